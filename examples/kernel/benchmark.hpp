#pragma once

// benchmark.hpp -- the loops that are measured, the same for every kind of cache.

#include <cstddef>
#include <cstdint>

#include "machine.hpp"
#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"

namespace kernel {

/// The tables of caches with and without a lock, and of those with magazines.
void benchmark_caches() noexcept;
void benchmark_magazines() noexcept;

constexpr std::size_t rounds_number = 20;
constexpr std::size_t batch_number = 256;

struct Measure {
    std::uint64_t pair = 0;   // alloc and free of one object
    std::uint64_t churn = 0;  // of one of 256, in no order
    std::uint64_t batch = 0;  // of all 256, in order: slabs are born and die
};

/// Requires: measure_tick() was called. Returns: tenths of an instruction, or of a cycle.
[[nodiscard]] std::uint64_t tenths(std::uint64_t elapsed, std::size_t number) noexcept;

template <typename AnyCache>
void pairs(AnyCache& cache) noexcept {
    for (std::size_t i = 0; i < rounds_number * batch_number; ++i) {
        auto* object = cache.alloc();
        asm volatile("" : "+r"(object)::"memory");
        cache.free(object);
    }
}

template <typename AnyCache>
void churn(AnyCache& cache) noexcept {
    typename AnyCache::value_type* objects[batch_number];
    for (auto*& object : objects)
        object = cache.alloc();
    for (std::size_t i = 0; i < rounds_number * batch_number; ++i) {
        auto*& object = objects[(i * 97 + i / batch_number) % batch_number];
        cache.free(object);
        object = cache.alloc();
    }
    for (auto* object : objects)
        cache.free(object);
}

template <typename AnyCache>
void batches(AnyCache& cache) noexcept {
    typename AnyCache::value_type* objects[batch_number];
    for (std::size_t round = 0; round < rounds_number; ++round) {
        for (auto*& object : objects)
            object = cache.alloc();
        asm volatile("" ::"r"(objects) : "memory");
        for (auto* object : objects)
            cache.free(object);
    }
}

template <typename Work>
[[nodiscard]] std::uint64_t time_of(std::size_t number, Work&& work) noexcept {
    work();  // slabs, maps and this code are there then
    const std::uint64_t start = ticks();
    work();
    return tenths(ticks() - start, number * rounds_number * batch_number);
}

/// `cache` is a function that returns one that all CPUs may use at once.
template <typename Cache>
[[nodiscard]] Measure on_cpus(std::size_t number, Cache) noexcept {
    const auto time_of_work = [&](Work work) {
        return time_of(number, [&] { run_on_cpus(number, work); });
    };
    return {.pair = time_of_work([]() noexcept { pairs(Cache{}()); }),
            .churn = time_of_work([]() noexcept { churn(Cache{}()); }),
            .batch = time_of_work([]() noexcept { batches(Cache{}()); })};
}

inline void print_measure(const Measure& measure) noexcept {
    print(" |", Tenths{measure.pair, 7}, Tenths{measure.churn, 7}, Tenths{measure.batch, 7});
}

/// The heads of groups of three columns; those from `first_of_all_cpus` on are left out where there
/// is one CPU.
template <std::size_t number>
void print_heads(const char* const (&heads)[number], std::size_t first_of_all_cpus) noexcept {
    const std::size_t end = cpus_number() > 1 ? number : first_of_all_cpus;
    print(Column("", 18));
    for (std::size_t i = 0; i < end; ++i)
        print(" | ", Column(heads[i], 21));
    print("\n", Column("row", 12), Column("  size", 6));
    for (std::size_t i = 0; i < end; ++i)
        print(" |    one  churn    all");
    print("\n");
}

/// Calls f.operator()<Row, size>() for each.
template <typename F>
void for_each_row_and_size(F&& f) noexcept {
    for_each_row([&]<typename Row>() {
        f.template operator()<Row, 16>();
        f.template operator()<Row, 64>();
        f.template operator()<Row, 256>();
        f.template operator()<Row, 1024>();
    });
}

template <typename Row>
void print_name(std::size_t size) noexcept {
    print(Column(Row::name, 12), Column(size, 6));
}

}  // namespace kernel
