// threads.cpp -- how fast are caches for several threads, with one thread and with two?
//
//      repetitions times:  for each workload:  every allocator, in random order
//
// A figure is the nanoseconds of an alloc or a free, by the clock on the wall, from the first
// thread's start to the last one's end; the median of the repetitions, or with --lowest the lowest.
// `_2`: two threads, each does as much as the one. `core` is a Cache without a lock, where one
// thread is alone. README.md says what each workload is.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/rseq_cpus.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include "compare/caches.hpp"
#include "compare/folder.hpp"
#include "compare/mallocs.hpp"

namespace {

using namespace bench;
using slab_allocator::AlignedAllocBackend;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;

constexpr std::size_t object_size = 64;
using Thing = Object<object_size>;

class SpinLock {
public:
    void lock() noexcept {
        while (flag_.exchange(true, std::memory_order_acquire)) {
            while (flag_.load(std::memory_order_relaxed))
                __builtin_ia32_pause();
        }
    }
    void unlock() noexcept { flag_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> flag_{false};
};

using Backend = slab_allocator::LockedBackend<AlignedAllocBackend, std::mutex>;
template <typename Cpus, Checks checks>
using Magazines =
    slab_allocator::MagazineCache<Thing, Backend, Cpus, std::mutex, CacheConfig{.checks = checks}>;
template <typename Lock, Checks checks>
using Locked = slab_allocator::LockedCache<Thing, Backend, Lock, CacheConfig{.checks = checks}>;

/// A cache of this library.
template <typename Cache>
class Ours {
public:
    [[nodiscard]] static bool available() { return true; }
    [[nodiscard]] Thing* alloc() { return cache_.alloc(); }
    void free(Thing* object) { cache_.free(object); }
    void alloc_bulk(std::span<Thing*> objects) {
        if (!cache_.alloc_bulk(objects)) std::abort();
    }
    void free_bulk(std::span<Thing*> objects) { cache_.free_bulk(objects); }

private:
    Cache cache_;
};

/// What has single calls only.
template <typename Single>
class OneByOne {
public:
    [[nodiscard]] static bool available() { return Single::available(); }
    [[nodiscard]] Thing* alloc() { return static_cast<Thing*>(single_.alloc()); }
    void free(Thing* object) { single_.free(object); }
    void alloc_bulk(std::span<Thing*> objects) {
        for (Thing*& object : objects)
            object = alloc();
    }
    void free_bulk(std::span<Thing*> objects) {
        for (Thing* const object : objects)
            free(object);
    }

private:
    Single single_{0};
};

/// What is in this program whenever it was built.
template <typename Single>
struct Present : Single {
    using Single::Single;
    [[nodiscard]] static bool available() { return true; }
};
class SynchronizedPool {
public:
    explicit SynchronizedPool(int) {}
    [[nodiscard]] static bool available() { return true; }
    [[nodiscard]] void* alloc() { return pool_.allocate(sizeof(Thing), alignof(Thing)); }
    void free(void* object) { pool_.deallocate(object, sizeof(Thing), alignof(Thing)); }

private:
    std::pmr::synchronized_pool_resource pool_;
};

void keep(Thing*& object) { asm volatile("" : "+r"(object) : : "memory"); }
void touch(Thing* object) { object->bytes[0] = std::byte{1}; }

/// Runs body(thread) in `threads` threads that start together. Returns: nanoseconds.
template <typename Body>
double timed(std::size_t threads, Body body) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point start;
    std::barrier together(static_cast<std::ptrdiff_t>(threads),
                          [&]() noexcept { start = Clock::now(); });
    std::vector<std::thread> all;
    std::vector<Clock::time_point> ends(threads);
    for (std::size_t thread = 0; thread < threads; ++thread) {
        all.emplace_back([&, thread] {
            body(thread, true);  // warm-up
            together.arrive_and_wait();
            body(thread, false);
            ends[thread] = Clock::now();
        });
    }
    for (std::thread& thread : all)
        thread.join();
    const auto end = *std::max_element(ends.begin(), ends.end());
    return std::chrono::duration<double, std::nano>(end - start).count();
}

constexpr std::size_t rounds = 400'000;

template <typename A>
double pair(A& allocator, std::size_t threads) {
    const double all = timed(threads, [&](std::size_t, bool warm_up) {
        for (std::size_t left = warm_up ? 1000 : 10 * rounds; left > 0; --left) {
            Thing* object = allocator.alloc();
            keep(object);
            allocator.free(object);
        }
    });
    return all / (2.0 * 10 * rounds);
}

template <typename A, bool bulk>
double batch(A& allocator, std::size_t threads) {
    constexpr std::size_t size = 64;
    const double all = timed(threads, [&](std::size_t, bool warm_up) {
        Thing* objects[size];
        for (std::size_t left = warm_up ? 100 : rounds / 8; left > 0; --left) {
            if constexpr (bulk) {
                allocator.alloc_bulk(objects);
                for (Thing*& object : objects)
                    keep(object);
                allocator.free_bulk(objects);
            } else {
                for (Thing*& object : objects) {
                    object = allocator.alloc();
                    keep(object);
                }
                for (Thing* const object : objects)
                    allocator.free(object);
            }
        }
    });
    return all / (2.0 * size * (rounds / 8));
}

/// A ring for one who puts and one who gets.
class Ring {
public:
    void put(Thing* object) {
        while (put_.load(std::memory_order_relaxed) - got_.load(std::memory_order_acquire) == size)
            std::this_thread::yield();
        const std::size_t at = put_.load(std::memory_order_relaxed);
        things_[at % size] = object;
        put_.store(at + 1, std::memory_order_release);
    }
    [[nodiscard]] Thing* get() {
        const std::size_t at = got_.load(std::memory_order_relaxed);
        while (put_.load(std::memory_order_acquire) == at)
            std::this_thread::yield();
        Thing* const object = things_[at % size];
        got_.store(at + 1, std::memory_order_release);
        return object;
    }

    void wait_until_empty() const {
        while (got_.load(std::memory_order_acquire) != put_.load(std::memory_order_relaxed))
            std::this_thread::yield();
    }

private:
    static constexpr std::size_t size = 1024;
    alignas(128) std::atomic<std::size_t> put_{0};
    alignas(128) std::atomic<std::size_t> got_{0};
    alignas(128) Thing* things_[size];
};

/// One thread allocates, another frees.
template <typename A>
double produce(A& allocator, std::size_t) {
    const auto ring = std::make_unique<Ring>();
    const double all = timed(2, [&](std::size_t thread, bool warm_up) {
        for (std::size_t left = warm_up ? 20'000 : rounds; left > 0; --left) {
            if (thread == 0) {
                Thing* const object = allocator.alloc();
                touch(object);
                ring->put(object);
            } else {
                Thing* const object = ring->get();
                touch(object);
                allocator.free(object);
            }
        }
    });
    return all / (2.0 * rounds);
}

/// As produce, but what goes over comes back and is freed where it was allocated: the local case.
template <typename A>
double local(A& allocator, std::size_t) {
    const auto ring = std::make_unique<Ring>();
    const double all = timed(2, [&](std::size_t thread, bool warm_up) {
        std::vector<Thing*> own;
        for (std::size_t left = warm_up ? 20'000 : rounds; left > 0; --left) {
            if (thread == 0) {
                Thing* const object = allocator.alloc();
                touch(object);
                ring->put(object);
                own.push_back(object);
                if (own.size() == 4096) {  // 1024 may be in the ring, one in the other's hand
                    for (std::size_t rank = 0; rank < 3000; ++rank)
                        allocator.free(own[rank]);
                    own.erase(own.begin(), own.begin() + 3000);
                }
            } else {
                touch(ring->get());
            }
        }
        if (thread == 0) {
            ring->put(nullptr);
            ring->wait_until_empty();
            for (Thing* const object : own)
                allocator.free(object);
        } else {
            static_cast<void>(ring->get());
        }
    });
    return all / (2.0 * rounds);
}

/// Random replacement, and now and then each thread goes on with another one's objects (Larson and
/// Krishnan 1998).
template <typename A>
double exchange(A& allocator, std::size_t threads) {
    constexpr std::size_t live = 1000;
    constexpr std::size_t steps = 10'000;
    std::vector<std::vector<Thing*>> all_things(threads, std::vector<Thing*>(live, nullptr));
    std::barrier turn(static_cast<std::ptrdiff_t>(threads), [&]() noexcept {
        std::rotate(all_things.begin(), all_things.begin() + 1, all_things.end());
    });
    const double all = timed(threads, [&](std::size_t thread, bool warm_up) {
        std::minstd_rand random{static_cast<unsigned>(thread + 1)};
        for (std::size_t left = warm_up ? 2 : 2 * rounds / steps; left > 0; --left) {
            std::vector<Thing*>& things = all_things[thread];
            for (std::size_t step = 0; step < steps; ++step) {
                Thing*& object = things[random() % live];
                if (object != nullptr) allocator.free(object);
                object = allocator.alloc();
                touch(object);
            }
            turn.arrive_and_wait();
        }
    });
    for (const auto& things : all_things) {
        for (Thing* const object : things) {
            if (object != nullptr) allocator.free(object);
        }
    }
    return all / (2.0 * static_cast<double>(2 * rounds / steps * steps));
}

/// Threads that live for 2000 calls.
template <typename A>
double churn(A& allocator, std::size_t threads) {
    constexpr std::size_t lives = 50;
    constexpr std::size_t objects_number = 100;
    const double all = timed(threads, [&](std::size_t, bool warm_up) {
        for (std::size_t left = warm_up ? 1 : lives; left > 0; --left) {
            std::thread([&] {
                Thing* objects[objects_number];
                for (std::size_t round = 0; round < 10; ++round) {
                    for (Thing*& object : objects) {
                        object = allocator.alloc();
                        keep(object);
                    }
                    for (Thing* const object : objects)
                        allocator.free(object);
                }
            }).join();
        }
    });
    return all / (2.0 * 10 * objects_number * lives);
}

struct Workload {
    const char* name;
    std::size_t threads;
};
constexpr Workload workloads[] = {{"pair", 1},       {"pair_2", 2}, {"batch", 1},
                                  {"batch_2", 2},    {"bulk", 1},   {"bulk_2", 2},
                                  {"produce", 2},    {"local", 2},  {"exchange", 1},
                                  {"exchange_2", 2}, {"churn", 1},  {"churn_2", 2}};

template <typename A>
double run(std::size_t workload) {
    const auto allocator = std::make_unique<A>();
    const std::size_t threads = workloads[workload].threads;
    switch (workload) {
        case 0:
        case 1:
            return pair(*allocator, threads);
        case 2:
        case 3:
            return batch<A, false>(*allocator, threads);
        case 4:
        case 5:
            return batch<A, true>(*allocator, threads);
        case 6:
            return produce(*allocator, threads);
        case 7:
            return local(*allocator, threads);
        case 8:
        case 9:
            return exchange(*allocator, threads);
        default:
            return churn(*allocator, threads);
    }
}

struct Subject {
    const char* name;
    double (*run)(std::size_t workload);
    bool (*available)();
    bool alone;  // with one thread only
};
template <typename A>
constexpr Subject subject(const char* name, bool alone = false) {
    return {name, run<A>, A::available, alone};
}

using slab_allocator::RseqCpus;
using slab_allocator::ThreadCpus;
template <Checks checks>
using Core = slab_allocator::Cache<Thing, AlignedAllocBackend, CacheConfig{.checks = checks}>;

const Subject subjects[] = {
    subject<Ours<Core<Checks::none>>>("core", true),
    subject<Ours<Magazines<ThreadCpus<>, Checks::none>>>("none"),
    subject<Ours<Magazines<ThreadCpus<>, Checks::misuse>>>("misuse"),
    subject<Ours<Magazines<RseqCpus<>, Checks::none>>>("rseq-none"),
    subject<Ours<Magazines<RseqCpus<>, Checks::misuse>>>("rseq-misuse"),
    subject<Ours<Locked<std::mutex, Checks::none>>>("mutex"),
    subject<Ours<Locked<SpinLock, Checks::none>>>("spinlock"),
    subject<OneByOne<Present<Glibc<object_size>>>>("malloc"),
    subject<OneByOne<Loaded<object_size, Mimalloc>>>("mimalloc"),
    subject<OneByOne<Loaded<object_size, Jemalloc>>>("jemalloc"),
    subject<OneByOne<Loaded<object_size, Tcmalloc>>>("tcmalloc"),
    subject<OneByOne<Loaded<object_size, Tbb>>>("tbb"),
#ifdef BENCH_SNMALLOC
    subject<OneByOne<Present<Snmalloc<object_size>>>>("snmalloc"),
#endif
#ifdef BENCH_RPMALLOC
    subject<OneByOne<Present<Rpmalloc<object_size>>>>("rpmalloc"),
#endif
#ifdef BENCH_MIMALLOC
    subject<OneByOne<Present<MimallocOfFolder<object_size>>>>("mimalloc-src"),
#endif
    subject<OneByOne<SynchronizedPool>>("pmr"),
};

}  // namespace

int main(int argc, char** argv) {
    make_room_for_tls(argv);
    int repetitions = 9;
    bool lowest = false;
    const char* json = nullptr;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument.starts_with("--reps=")) {
            repetitions = std::max(1, std::atoi(argv[i] + 7));
        } else if (argument.starts_with("--json=")) {
            json = argv[i] + 7;
        } else if (argument == "--lowest") {
            lowest = true;
        } else {
            std::fputs("usage: threads [--reps=9] [--lowest] [--json=FILE]\n", stderr);
            return 2;
        }
    }
    std::vector<std::size_t> order;
    for (std::size_t number = 0; number < std::size(subjects); ++number) {
        if (subjects[number].available()) order.push_back(number);
    }
    std::map<std::pair<std::size_t, std::size_t>, std::vector<double>> samples;
    std::mt19937 random{1};
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        for (std::size_t workload = 0; workload < std::size(workloads); ++workload) {
            std::shuffle(order.begin(), order.end(), random);
            for (const std::size_t number : order) {
                const bool several = workloads[workload].threads > 1 || workload >= 10;
                if (subjects[number].alone && several) continue;
                samples[{number, workload}].push_back(subjects[number].run(workload));
            }
        }
    }
    std::printf("%zu bytes, nanoseconds an operation (%s of %d); _2: two threads, each as much\n\n",
                object_size, lowest ? "lowest" : "median", repetitions);
    std::printf("| allocator |");
    for (const Workload& workload : workloads)
        std::printf(" %s |", workload.name);
    std::printf("\n|---|");
    for ([[maybe_unused]] const Workload& workload : workloads)
        std::printf("---:|");
    std::ofstream file;
    if (json != nullptr) file.open(json);
    file << "{\"compiler\": \"" << BENCH_COMPILER << "\", \"repetitions\": " << repetitions
         << ", \"figures\": [";
    const char* separator = "\n";
    for (std::size_t number = 0; number < std::size(subjects); ++number) {
        std::printf("\n| %s |", subjects[number].name);
        for (std::size_t workload = 0; workload < std::size(workloads); ++workload) {
            std::vector<double> values = samples[{number, workload}];
            if (values.empty()) {
                std::printf(" |");
                continue;
            }
            std::sort(values.begin(), values.end());
            const double figure = lowest ? values.front() : values[values.size() / 2];
            std::printf(" %.2f |", figure);
            file << separator << "  {\"allocator\": \"" << subjects[number].name
                 << "\", \"metric\": \"" << workloads[workload].name << "\", \"ns\": " << figure
                 << ", \"lowest\": " << values.front() << ", \"highest\": " << values.back() << "}";
            separator = ",\n";
        }
    }
    file << "\n]}\n";
    std::printf("\n");
}
