// benchmark.cpp -- how many instructions are an alloc and a free?
//
// Under `qemu -accel tcg,thread=single -icount shift=1,sleep=off` the tick counter counts
// instructions, of all CPUs together, and every run is the same to the last one. What a tick is, a
// loop of known length says first.

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "machine.hpp"
#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

constexpr std::size_t rounds_number = 20;
constexpr std::size_t batch_number = 256;

struct Measure {
    std::uint64_t pair = 0;   // alloc and free of one object
    std::uint64_t churn = 0;  // of one of 256, in no order
    std::uint64_t batch = 0;  // of all 256, in order: slabs are born and die
};

/// In tenths of an instruction.
constinit std::uint64_t ticks_of_loop = 1;
constexpr std::uint64_t loop_instructions = 200'000;

void measure_tick() noexcept {
    const std::uint64_t start = ticks();
    std::uint64_t left = loop_instructions / 2;
    asm volatile("1: decq %0; jnz 1b" : "+r"(left)::"cc");
    ticks_of_loop = ticks() - start;
}
[[nodiscard]] std::uint64_t tenths(std::uint64_t elapsed, std::size_t number) noexcept {
    const std::uint64_t whole = ticks_of_loop * number;
    return (elapsed * 10 * loop_instructions + whole / 2) / whole;
}

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

template <typename Row, std::size_t size>
[[nodiscard]] Measure alone() noexcept {
    return cache_of<Row, size>.alone([](auto& cache) {
        return Measure{.pair = time_of(1, [&] { pairs(cache); }),
                       .churn = time_of(1, [&] { churn(cache); }),
                       .batch = time_of(1, [&] { batches(cache); })};
    });
}

template <typename Row, std::size_t size>
[[nodiscard]] Measure on_cpus(std::size_t number) noexcept {
    constexpr auto& cache = cache_of<Row, size>;
    const auto time_of_work = [&](Work work) {
        return time_of(number, [&] { run_on_cpus(number, work); });
    };
    return {.pair = time_of_work([]() noexcept { pairs(cache); }),
            .churn = time_of_work([]() noexcept { churn(cache); }),
            .batch = time_of_work([]() noexcept { batches(cache); })};
}

void print_measure(const Measure& measure) noexcept {
    print(" |", Tenths{measure.pair, 7}, Tenths{measure.churn, 7}, Tenths{measure.batch, 7});
}

template <typename Row, std::size_t size>
void print_row() noexcept {
    print(Column(Row::name, 12), Column(size, 6));
    print_measure(alone<Row, size>());
    print_measure(on_cpus<Row, size>(1));
    if (cpus_number() > 1) print_measure(on_cpus<Row, size>(cpus_number()));
    print("\n");
    cache_of<Row, size>.shrink();
}

}  // namespace

void run_benchmark() noexcept {
    report_defects();
    measure_tick();
    print("instructions for one alloc and one free; a tick is ", Tenths{tenths(10, 10), 3},
          " instructions\n"
          "    one: an object, again and again     churn: one of 256 that live\n"
          "    all: 256, one after the other, so that slabs are born and die\n");
    const bool several = cpus_number() > 1;
    print(Column("", 18), Column(" | without a lock", 23), Column(" | with its lock", 23),
          several ? " | all CPUs at once\n" : "\n");
    constexpr const char* columns = " |    one  churn    all";
    print(Column("row", 12), Column("  size", 6), columns, columns, several ? columns : "", "\n");
    for_each_row([]<typename Row>() {
        print_row<Row, 16>();
        print_row<Row, 64>();
        print_row<Row, 256>();
        print_row<Row, 1024>();
    });
    print("benchmark done on ", cpus_number(), " CPUs\n");
}

}  // namespace kernel
