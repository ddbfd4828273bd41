// test_out_of_memory.cpp -- takes every page there is, and gives all of them back.

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

/// An object that leads to the next.
struct Block {
    Block* next;
    Object<1016> content;
};

template <typename Row>
constinit SharedCache<Block, typename Row::Backend, Row::config> blocks_of;

/// Allocates until there is nothing left. Returns: how many.
template <typename Row>
std::size_t take_all(Block*& blocks) noexcept {
    std::size_t number = 0;
    while (Block* const block = blocks_of<Row>.alloc()) {
        block->next = blocks;
        block->content.stamp(++number);
        blocks = block;
    }
    return number;
}

template <typename Row>
void give_back_all(Block* blocks, std::size_t number) noexcept {
    for (; blocks != nullptr; --number) {
        Block* const next = blocks->next;
        if (!blocks->content.has(number)) panic("contents were lost");
        blocks_of<Row>.free(blocks);
        blocks = next;
    }
    if (number != 0) panic("objects were lost");
}

/// Twice: what is there after the recovery is as much as before.
template <typename Row>
void run_dry() noexcept {
    const PagesState before = pages_state();
    std::size_t numbers[2] = {};
    for (std::size_t& number : numbers) {
        Block* blocks = nullptr;
        number = take_all<Row>(blocks);
        const auto statistics =
            blocks_of<Row>.alone([](auto& cache) { return cache.statistics(); });
        if (statistics.failures_number == 0 || statistics.allocated_objects_number != number) {
            panic("the statistics of a cache without memory");
        }
        give_back_all<Row>(blocks, number);
        blocks_of<Row>.shrink();
        if (!(pages_state() == before)) panic("page frames are missing");
    }
    if (numbers[0] != numbers[1]) panic("less memory after the recovery");
    print("  ", Column(Row::name, 14), numbers[0], " objects of ", sizeof(Block), " bytes\n");
}

constinit std::size_t taken_by_all = 0;

void take_all_at_once() noexcept {
    std::size_t row = this_cpu();
    for_each_row([&]<typename Row>() {
        if (row++ % 2 != 0) return;  // three of the rows
        Block* blocks = nullptr;
        const std::size_t number = take_all<Row>(blocks);
        __atomic_fetch_add(&taken_by_all, number, __ATOMIC_RELAXED);
        give_back_all<Row>(blocks, number);
    });
}

}  // namespace

void test_out_of_memory() noexcept {
    for_each_row([]<typename Row>() { run_dry<Row>(); });
    run_on_cpus(cpus_number(), take_all_at_once);
    for_each_row([]<typename Row>() { blocks_of<Row>.shrink(); });
    print("  ", cpus_number(), " CPUs at once: ", taken_by_all, " objects\n");
}

}  // namespace kernel
