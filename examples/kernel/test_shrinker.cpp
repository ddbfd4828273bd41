// test_shrinker.cpp -- a cache of names that takes whatever memory is there, and gives it back.
//
// What a kernel remembers of its files costs nobody anything while there is memory, and can be
// found again. So all CPUs remember names for ever, and somebody who needs memory gets it.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/report/report.hpp>

#include "cpu.hpp"
#include "magazines.hpp"
#include "memory.hpp"
#include "serial.hpp"
#include "shrinker.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

struct Name {
    Name* next;
    std::uint64_t number;
    Object<1008> content;
};

// [names]
constinit CpuCache<Name, ReclaimedPages, ByPageFrames::config> names;
// [/names]

/// All that are remembered, the oldest first.
struct Queue {
    Lock lock;
    Name* oldest = nullptr;
    Name** end = &oldest;
    std::uint64_t remembered = 0;
    std::uint64_t forgotten = 0;
};
constinit Queue queue;

/// Returns: false: there is no memory, whatever is forgotten.
[[nodiscard]] bool remember() noexcept {
    Name* const name = names.alloc();  // without the lock: it may be the shrinker's turn
    if (name == nullptr) return false;
    queue.lock.lock();
    name->next = nullptr;
    name->number = queue.remembered++;
    name->content.stamp(name->number);
    *queue.end = name;
    queue.end = &name->next;
    queue.lock.unlock();
    return true;
}

/// Returns: how many there were.
std::size_t forget_oldest(std::size_t most) noexcept {
    std::size_t number = 0;
    for (; number < most; ++number) {
        queue.lock.lock();
        Name* const name = queue.oldest;
        if (name != nullptr) {
            queue.oldest = name->next;
            if (queue.oldest == nullptr) queue.end = &queue.oldest;
            if (name->number != queue.forgotten++) panic("a name is missing");
        }
        queue.lock.unlock();
        if (name == nullptr) break;
        if (!name->content.has(name->number)) panic("contents were overwritten");
        names.free(name);
    }
    return number;
}

// [names shrink]
std::size_t shrink_names(Pressure pressure) noexcept {
    if (pressure == Pressure::Idle) {
        names.tick();
        return 0;
    }
    const std::size_t forgotten = forget_oldest(512);
    return forgotten + names.shrink_to_fit();
}
constinit Shrinker names_shrinker{shrink_names};
// [/names shrink]

constinit std::size_t names_number = 0;  // more than fit

void remember_many() noexcept {
    for (std::size_t i = 0; i < names_number / cpus_number(); ++i) {
        if (!remember()) panic("a name was refused, though older ones could be forgotten");
    }
}

/// Somebody whose memory nobody can take.
struct Block {
    Block* next;
    Object<1016> content;
};
constinit CpuCache<Block, ReclaimedPages, ByPageFrames::config> blocks;

[[nodiscard]] std::size_t take_all(Block*& taken) noexcept {
    std::size_t number = 0;
    while (Block* const block = blocks.alloc()) {
        block->next = taken;
        block->content.stamp(++number);
        taken = block;
    }
    return number;
}

void give_back_all(Block* taken, std::size_t number) noexcept {
    while (taken != nullptr) {
        Block* const next = taken->next;
        if (!taken->content.has(number--)) panic("contents were overwritten");
        blocks.free(taken);
        taken = next;
    }
}

}  // namespace

void test_shrinker() noexcept {
    add_shrinker(names_shrinker);
    names_number = pages_state().free_pages * (page_size / sizeof(Name) + 2);
    for (int again = 0; again < 2; ++again) {
        const std::uint64_t before = queue.forgotten;
        run_on_cpus(cpus_number(), remember_many);
        const std::uint64_t kept = queue.remembered - queue.forgotten;
        print("  ", cpus_number(), " CPUs remember ", names_number, " names: ", kept,
              " are there, ", queue.forgotten - before, " were forgotten\n");
        if (queue.forgotten == before) panic("there was no pressure");

        Block* taken = nullptr;
        const std::size_t number = take_all(taken);
        if (queue.remembered != queue.forgotten) panic("refused, though there were names left");
        if (number < kept / 2) panic("the names' memory did not come");
        if (remember()) panic("where is that memory from?");
        print("  ", number, " blocks took their memory; then no memory\n");
        // [report]
        slab_allocator::report({summary_of("names", names), summary_of("blocks", blocks)},
                               serial::Sink{});
        // [/report]
        give_back_all(taken, number);

        // Nobody needs what lies at the depot now, and an interval later it is known.
        for (int ticks_number = 0; ticks_number < 3; ++ticks_number) {
            blocks.tick();
            relieve(Pressure::Idle);
        }
        if (blocks.depot_statistics().full_magazines_number != 0) panic("idle magazines stay");
        blocks.shrink();
    }
    names.shrink();
}

}  // namespace kernel
