// benchmark.cpp -- how many instructions are an alloc and a free? What a tick is, and the start.
//
// Under `qemu -accel tcg,thread=single -icount shift=1,sleep=off` the tick counter counts
// instructions, of all CPUs together, and every run is the same to the last one: two ticks are one
// instruction, which a loop of known length says first. On a machine that is not counted, ask for
// `benchmark cycles`: ticks are left as they are.

#include "benchmark.hpp"

#include <cstddef>
#include <cstdint>

#include "machine.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

constexpr std::uint64_t loop_instructions = 200'000;
constinit std::uint64_t ticks_of_loop = loop_instructions;

void measure_tick() noexcept {
    const std::uint64_t start = ticks();
    std::uint64_t left = loop_instructions / 2;
    asm volatile("1: decq %0; jnz 1b" : "+r"(left)::"cc");
    ticks_of_loop = ticks() - start;
}

}  // namespace

std::uint64_t tenths(std::uint64_t elapsed, std::size_t number) noexcept {
    const std::uint64_t whole = ticks_of_loop * number;
    return (elapsed * 10 * loop_instructions + whole / 2) / whole;
}

void run_benchmark(bool in_cycles) noexcept {
    report_defects();
    if (!in_cycles) measure_tick();
    print(in_cycles ? "cycles" : "instructions", " for one alloc and one free");
    if (!in_cycles) {
        print("; one instruction is ", Tenths{ticks_of_loop * 10 / loop_instructions, 3},
              " cycles");
    }
    print(
        "\n"
        "    one: an object, again and again     churn: one of 256 that live\n"
        "    all: 256, one after the other, so that slabs are born and die\n");
    benchmark_caches();
    benchmark_magazines();
    print("benchmark done on ", cpus_number(), " CPUs\n");
}

}  // namespace kernel
