// soak.cpp -- does it go on for ever?
//
//      soak [operations [threads]]       1,000,000,000 and 16 where nothing is said
//
// Threads allocate, free, and hand objects to one another at random, at a live number that rises
// and falls. Every object is full of its stamp while it is somebody's, and looked at when it is
// freed. The magazines shrink now and then, and all are emptied. Memory is what the backend has
// given, and what is resident, sampled fifty times. Exit status 1: contents were wrong,
// objects were left, or the second half of the run needed more than the first, by over a tenth.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

namespace {

/// AlignedAllocBackend, and how much it gave.
class CountingBackend {
public:
    void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        void* const slab = backend_.alloc_slab(size, alignment);
        if (slab != nullptr) held += size;
        return slab;
    }
    void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        held -= size;
        backend_.free_slab(slab, size, alignment);
    }

    static inline std::atomic<std::size_t> held = 0;

private:
    slab_allocator::AlignedAllocBackend backend_;
};

struct Object {
    std::array<std::uint64_t, 8> words;

    void write(std::uint64_t stamp) noexcept { words.fill(stamp); }
    [[nodiscard]] bool right() const noexcept {
        return std::all_of(words.begin(), words.end(),
                           [this](std::uint64_t word) { return word == words[0]; });
    }
};

// Threads are in the backend at the same time, and AlignedAllocBackend cannot bear that.
using Backend = slab_allocator::LockedBackend<CountingBackend, std::mutex>;
using Cache =
    slab_allocator::MagazineCache<Object, Backend, slab_allocator::ThreadCpus<>, std::mutex>;

Cache cache;
std::array<std::atomic<Object*>, 256> mailbox;
std::atomic<std::uint64_t> operations = 0;
std::atomic<std::uint64_t> wrong = 0;

void free_checked(Object* object) {
    if (object == nullptr) return;
    if (!object->right()) ++wrong;
    object->words[7] = 0;  // whoever still has it will notice
    cache.free(object);
}

void run(std::size_t thread, std::uint64_t steps) {
    std::minstd_rand random(static_cast<std::uint32_t>(thread + 1));
    std::uint64_t stamp = thread << 48;
    std::vector<Object*> live;
    for (std::uint64_t done = 0; done < steps;) {
        const auto dice = random();
        // It grows and shrinks by turns, to some hundred objects.
        const bool grows = (dice >> 8) % 100 < (done / 8192 % 2 == 0 ? 56U : 44U);
        if (grows && live.size() < 2000) {
            Object* const object = cache.alloc();
            if (object == nullptr) std::abort();
            object->write(++stamp);
            live.push_back(object);
        } else if (live.empty()) {
            continue;
        } else {
            const std::size_t at = (dice >> 4) % live.size();
            Object* object = live[at];
            live[at] = live.back();
            live.pop_back();
            if (dice % 4 == 0) object = mailbox[dice / 4 % mailbox.size()].exchange(object);
            free_checked(object);
        }
        if (++done % 4096 == 0) operations += 4096;
        if (done % 1'000'000 == thread * 1000) cache.tick();
        if (done % 10'000'000 == thread * 500'000) static_cast<void>(cache.shrink_to_fit());
    }
    for (Object* const object : live)
        free_checked(object);
}

[[nodiscard]] std::size_t resident() {
    std::size_t pages = 0;
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    if (std::fscanf(file, "%*u %zu", &pages) != 1) pages = 0;
    std::fclose(file);
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t all = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000'000;
    const std::size_t threads_number = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 16;
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < threads_number; ++thread)
        threads.emplace_back([=] { run(thread, all / threads_number); });

    std::printf(
        "soak: %llu operations, %zu threads\n\n  operations   seconds   backend KiB   "
        "resident KiB   depot's rounds\n",
        static_cast<unsigned long long>(all), threads_number);
    constexpr std::uint64_t samples = 50;
    std::array<std::size_t, 2> most{};
    const std::uint64_t last = all - all / samples;  // they do not end at the same time
    for (std::uint64_t sample = 1; sample * (all / samples) <= last; ++sample) {
        std::size_t peak = CountingBackend::held;
        while (operations < sample * (all / samples)) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            peak = std::max(peak, CountingBackend::held.load());
        }
        std::size_t& of_half = most[sample * 2 > samples ? 1 : 0];
        of_half = std::max(of_half, peak);
        std::printf("%12llu %9.1f %13zu %14zu %10zu\n",
                    static_cast<unsigned long long>(operations.load()),
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                    peak / 1024, resident() / 1024, cache.depot_statistics().rounds);
        std::fflush(stdout);
    }
    for (std::thread& thread : threads)
        thread.join();
    for (auto& place : mailbox)
        free_checked(place.exchange(nullptr));
    const std::size_t left = cache.statistics().allocated_objects_number;
    static_cast<void>(cache.shrink_to_fit());
    std::printf(
        "\nwrong contents: %llu; objects left: %zu; bytes held at the end: %zu\n"
        "most held, first half: %zu KiB, second half: %zu KiB\n",
        static_cast<unsigned long long>(wrong.load()), left, CountingBackend::held.load(),
        most[0] / 1024, most[1] / 1024);
    return wrong == 0 && left == 0 && most[1] <= most[0] + most[0] / 10 ? 0 : 1;
}
