// A MagazineCache in a program: a pipeline, a cache that is destroyed, fork, and signals, with
// threads in the middle of something.

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/arena_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::AlignedAllocBackend;
using slab_allocator::ArenaBackend;
using slab_allocator::LockedBackend;
using slab_allocator::MagazineCache;
using slab_allocator::ThreadCpus;

namespace {

using Item = Stamped<64>;

// Threads are in the backend at the same time, and AlignedAllocBackend cannot bear that.
template <typename Lock = std::mutex>
using ProgramsCache =
    MagazineCache<Item, LockedBackend<AlignedAllocBackend, Lock>, ThreadCpus<>, Lock>;

/// Allocates up to `most`, looks at them, frees them. Returns: whether all was right.
template <typename Cache>
bool churn(Cache& cache, std::size_t thread, std::size_t steps, std::size_t most = 200) {
    Random random(seed() + thread);
    Holding<Item> holding(thread);
    for (std::size_t step = 0; step < steps && holding.right(); ++step) {
        if (holding.size() < random.below(most)) {
            holding.add(cache.alloc());
        } else if (holding.size() > 0) {
            cache.free(holding.remove_any(random));
        }
    }
    while (holding.size() > 0)
        cache.free(holding.remove(0));
    return holding.right();
}

}  // namespace

TEST_CASE("what some threads allocate, others free, and memory does not grow",
          "[magazine][threads]") {
    DefectCatcher catcher;
    ProgramsCache<> cache;
    struct Ring {
        std::array<std::atomic<Item*>, 64> places{};
    };
    std::array<Ring, 2> rings;
    constexpr std::size_t objects_number = 20000;
    std::atomic<bool> right = true;
    in_threads(4, [&](std::size_t thread) {
        Ring& ring = rings[thread / 2];
        for (std::size_t number = 0; number < objects_number; ++number) {
            std::atomic<Item*>& place = ring.places[number % ring.places.size()];
            if (thread % 2 == 0) {
                Item* const object = cache.alloc();
                object->write(number);
                while (place.load() != nullptr)
                    std::this_thread::yield();
                place.store(object);
            } else {
                Item* object = nullptr;
                while ((object = place.exchange(nullptr)) == nullptr)
                    std::this_thread::yield();
                if (!object->holds(number)) right = false;
                cache.free(object);
            }
        }
    });
    REQUIRE(right);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(cache.statistics().peak_slabs_number * cache.objects_per_slab() < 4000);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("a cache is destroyed as soon as the last call of any thread is over",
          "[magazine][threads]") {
    DefectCatcher catcher;
    std::atomic<bool> right = true;
    for (std::size_t round = 0; round < 50; ++round) {
        std::optional<ProgramsCache<>> cache(std::in_place);
        in_threads(4, [&](std::size_t thread) {
            if (!churn(*cache, thread, 300)) right = false;
        });
        cache.reset();  // magazines of four threads that are gone
    }
    REQUIRE(right);
    REQUIRE(catcher.number() == 0);
}

namespace {

/// A mutex that nobody holds while the process forks: as a malloc has them.
class LockOverFork {
public:
    LockOverFork() {
        static const int once = ::pthread_atfork(hold_all, let_all_go, let_all_go);
        static_cast<void>(once);
        all().insert(this);
    }
    LockOverFork(const LockOverFork&) = delete;
    LockOverFork& operator=(const LockOverFork&) = delete;
    ~LockOverFork() { all().erase(this); }

    void lock() { mutex_.lock(); }
    void unlock() { mutex_.unlock(); }

private:
    static std::set<LockOverFork*>& all() {
        static std::set<LockOverFork*> all;
        return all;
    }
    static void hold_all() {
        for (LockOverFork* const each : all())
            each->lock();
    }
    static void let_all_go() {
        for (LockOverFork* const each : all())
            each->unlock();
    }
    std::mutex mutex_;
};

}  // namespace

TEST_CASE("a process forks while its threads allocate, and both go on", "[magazine][threads]") {
    DefectCatcher catcher;
    ProgramsCache<LockOverFork> cache;
    std::atomic<bool> right = true;
    std::atomic<std::size_t> running = 3;
    std::size_t children = 0;
    in_threads(4, [&](std::size_t thread) {
        if (thread > 0) {
            if (!churn(cache, thread, 30000)) right = false;
            --running;
            return;
        }
        do {
            static_cast<void>(churn(cache, thread, 100));
            const ::pid_t child = ::fork();
            if (child == 0) ::_exit(churn(cache, thread, 5000, 1000) ? 0 : 1);
            int status = -1;
            if (::waitpid(child, &status, 0) != child || status != 0) right = false;
            ++children;
        } while (running > 0);
    });
    REQUIRE(children > 0);
    REQUIRE(right);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}

namespace {

ArenaBackend<std::size_t{1} << 20> arena;
using HandlersBackend =
    LockedBackend<slab_allocator::BackendRef<ArenaBackend<std::size_t{1} << 20>>, std::mutex>;
using HandlersCache = MagazineCache<Item, HandlersBackend, ThreadCpus<>, std::mutex>;

HandlersCache* of_handlers = nullptr;
std::atomic<std::size_t> signals = 0;
std::atomic<bool> handlers_right = true;

extern "C" void allocate_in_handler(int) {
    std::array<Item*, 40> objects{};
    const std::uint64_t stamp = ++signals;
    for (Item*& object : objects) {
        object = of_handlers->alloc();
        if (object == nullptr) handlers_right = false;
        if (object != nullptr) object->write(stamp);
    }
    for (Item* const object : objects) {
        if (object == nullptr) continue;
        if (!object->holds(stamp)) handlers_right = false;
        of_handlers->free(object);
    }
}

}  // namespace

TEST_CASE("a signal handler has a cache of its own, whatever it interrupts",
          "[magazine][threads]") {
    // What is allowed: a cache that nobody but handlers of this signal uses, and a backend that is
    // no malloc, in threads that have a slot.
    DefectCatcher catcher;
    ProgramsCache<> cache;
    HandlersCache handlers{
        HandlersBackend(slab_allocator::BackendRef<ArenaBackend<std::size_t{1} << 20>>(arena))};
    of_handlers = &handlers;
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = allocate_in_handler;
    REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
    std::array<::pthread_t, 2> targets{};
    std::atomic<std::size_t> ready = 0;
    std::atomic<std::size_t> done = 0;
    std::atomic<bool> over = false;
    std::atomic<bool> right = true;
    in_threads(3, [&](std::size_t thread) {
        if (thread < 2) {
            cache.free(cache.alloc());
            targets[thread] = ::pthread_self();
            ++ready;
            if (!churn(cache, thread, 20000)) right = false;
            ++done;
            while (!over)
                std::this_thread::yield();
            return;
        }
        while (ready < 2)
            std::this_thread::yield();
        do {
            for (const ::pthread_t target : targets)
                static_cast<void>(::pthread_kill(target, SIGUSR1));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        } while (done < 2);
        over = true;
    });
    REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
    REQUIRE(signals > 0);
    REQUIRE(handlers_right);
    REQUIRE(right);
    REQUIRE(handlers.statistics().allocated_objects_number == 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}
