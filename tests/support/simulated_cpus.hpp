#pragma once

// simulated_cpus.hpp -- as many CPUs as one thread can play, and what they write into one another's
// cache lines, counted.
//
//      CPU 0   alloc free alloc ...  --.
//      CPU 1   free alloc free ...   --+--> one MagazineCache     in one random order
//      CPU n   ...                   --'
//
// A line is shared where the CPU that writes it is not the one that wrote it last. What is counted
// is what goes through the policies: the slots, the depot, and every lock, of the slabs, too. The
// lines of objects, and of the pointers to them in magazines, are not: they move with the objects.

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>

#include <support/random.hpp>

namespace support {

/// Who is playing, and what was counted. One at a time.
struct Simulation {
    static void write(const void* address) {
        ++writes;
        const auto [line, fresh] =
            writers.try_emplace(slab_allocator::address_of(address) / 64, cpu);
        if (!fresh && std::exchange(line->second, cpu) != cpu) ++shared_lines;
    }

    [[nodiscard]] static bool in_cache(const void* memory) noexcept {
        return slab_allocator::address_of(memory) - cache < cache_size;
    }

    static inline std::uintptr_t cache = 0;
    static inline std::size_t cache_size = 0;
    static inline std::size_t cpu = 0;
    static inline bool crowded = false;  // each visit to the depot meets another
    static inline std::uint64_t writes = 0;
    static inline std::uint64_t shared_lines = 0;
    static inline std::unordered_map<std::uintptr_t, std::size_t> writers;
};

struct SimulatedAtomics : slab_allocator::BuiltinAtomics {
    using Real = slab_allocator::BuiltinAtomics;
    template <typename T>
    static void store_relaxed(T& word, T value) noexcept {
        Simulation::write(&word);
        Real::store_relaxed(word, value);
    }
    template <typename T>
    static void store_release(T& word, T value) noexcept {
        Simulation::write(&word);
        Real::store_release(word, value);
    }
    template <typename T>
    static T fetch_add_relaxed(T& word, T value) noexcept {
        Simulation::write(&word);
        const T before = Real::fetch_add_relaxed(word, value);
        return Simulation::crowded ? before + 1 : before;
    }
    template <typename T>
    static T fetch_sub_relaxed(T& word, T value) noexcept {
        Simulation::write(&word);
        return Real::fetch_sub_relaxed(word, value);
    }
    template <typename T>
    [[nodiscard]] static bool compare_exchange_acquire(T& word, T& expected, T value) noexcept {
        Simulation::write(&word);
        return Real::compare_exchange_acquire(word, expected, value);
    }
    static void touch(const void* memory) noexcept {
        if (Simulation::in_cache(memory)) Simulation::write(memory);
    }
};

class SimulatedLock {
public:
    void lock() noexcept { Simulation::write(this); }
    void unlock() noexcept { Simulation::write(this); }

private:
    [[maybe_unused]] char word_ = 0;
};

template <std::size_t number>
class SimulatedCpus : public slab_allocator::PinnedCpus<SimulatedCpus<number>> {
public:
    static constexpr std::size_t slots_number = number;
    struct Pin {
        std::size_t offset;
    };
    [[nodiscard]] Pin enter() noexcept { return {Simulation::cpu * slab_allocator::cpu_slot_size}; }
    void leave(const Pin&) noexcept {}
    void join() noexcept {}
    [[nodiscard]] slab_allocator::Reach synchronise() noexcept {
        return slab_allocator::Reach::objects;
    }
    void wait() noexcept {}
};

/// Per million calls of alloc and free.
struct Scaling {
    double depot_visits;
    double shared_lines;
    std::size_t rounds;
};

enum class Load {
    own,       ///< each CPU frees what it allocated, up to 100 objects at a time
    pipeline,  ///< CPU 2n allocates, CPU 2n + 1 frees
    exchange   ///< each CPU frees what any allocated
};

/// `crowded`: whether magazines grew as if every visit met another.
template <std::size_t cpus>
[[nodiscard]] Scaling simulate(Load load, bool crowded, std::size_t calls_per_cpu) {
    struct Object {
        std::byte bytes[64];
    };
    struct Backend : slab_allocator::AlignedAllocBackend {};  // all of it is one thread, really
    slab_allocator::MagazineCache<Object, Backend, SimulatedCpus<cpus>, SimulatedLock,
                                  slab_allocator::CacheConfig{}, SimulatedAtomics>
        cache;
    Simulation::cache = slab_allocator::address_of(&cache);
    Simulation::cache_size = sizeof(cache);
    Random random(1);
    Simulation::writers.clear();
    std::vector<std::vector<Object*>> live(cpus);
    const auto call = [&] {
        const std::size_t cpu = random.below(cpus);
        Simulation::cpu = cpu;
        std::size_t owner = cpu;
        bool grows = false;
        if (load == Load::pipeline) {
            owner = cpu / 2;
            grows = cpu % 2 == 0;
            if (live[owner].size() >= 200) grows = false;  // it waits: the other one's turn
            if (live[owner].empty()) grows = true;
            Simulation::cpu = 2 * owner + (grows ? 0 : 1);
        } else {
            grows = live[cpu].size() < random.below(100);
            if (!grows && load == Load::exchange) owner = random.below(cpus);
            if (live[owner].empty()) grows = true;
        }
        if (grows) {
            live[load == Load::pipeline ? owner : cpu].push_back(cache.alloc());
        } else {
            std::swap(live[owner][random.below(live[owner].size())], live[owner].back());
            cache.free(live[owner].back());
            live[owner].pop_back();
        }
    };
    const std::size_t calls = cpus * calls_per_cpu;
    Simulation::crowded = crowded;
    for (std::size_t number = 0; number < calls / 2; ++number)
        call();
    Simulation::crowded = false;
    const auto before = cache.depot_statistics();
    Simulation::shared_lines = 0;
    for (std::size_t number = 0; number < calls; ++number)
        call();
    const double shared_lines = static_cast<double>(Simulation::shared_lines);
    const auto after = cache.depot_statistics();
    for (auto& each : live) {
        for (Object* const object : each)
            cache.free(object);
    }
    const double million = static_cast<double>(calls) / 1e6;
    return {
        .depot_visits = static_cast<double>(after.visits_number - before.visits_number) / million,
        .shared_lines = shared_lines / million,
        .rounds = after.rounds};
}

}  // namespace support
