#pragma once

// played_cpus.hpp -- CPUs for a MagazineCache that one thread plays: the test says which it is on.

#include <cstddef>
#include <vector>

#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>

#include <support/catch.hpp>
#include <support/threads.hpp>

namespace support {

/// As many CPUs as one thread can play: the test says which one it is on.
template <std::size_t number>
class PlayedCpus : public slab_allocator::PinnedCpus<PlayedCpus<number>> {
public:
    static constexpr std::size_t slots_number = number;
    struct Pin {
        std::size_t offset;
    };

    Pin enter() noexcept {
        ++entered;
        ++entries;
        return {cpu * slab_allocator::cpu_slot_size};
    }
    void leave(const Pin&) noexcept { --entered; }
    void join() noexcept { right = right && entered == 0 && KnownLock::held() == 0; }
    slab_allocator::Reach synchronise() noexcept {
        right = right && entered == 0 && KnownLock::held() == 0;
        return reach;
    }
    void wait() noexcept { right = false; }  // nobody else is ever in a slot

    std::size_t cpu = 0;
    std::size_t entered = 0;
    std::size_t entries = 0;
    slab_allocator::Reach reach =
        slab_allocator::Reach::magazines;  // it is known that nobody else is in a slot
    bool right = true;
};

template <typename Row, typename Cpus = PlayedCpus<4>>
using Played = slab_allocator::MagazineCache<typename Row::Type, typename Row::Plain, Cpus,
                                             KnownLock, Row::config>;

/// Runs `body` on a CPU.
template <typename Cache, typename Body>
decltype(auto) on_cpu(Cache& cache, std::size_t cpu, Body&& body) {
    cache.cpus().cpu = cpu;
    return body();
}

/// Allocates and frees on `cpu`, so that it has magazines.
template <typename Cache>
void stock_up(Cache& cache, std::size_t cpu, std::size_t objects_number) {
    on_cpu(cache, cpu, [&] {
        std::vector<typename Cache::value_type*> objects(objects_number);
        REQUIRE(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
    });
}

}  // namespace support
