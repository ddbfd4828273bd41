// test_load.cpp -- all CPUs and their timers, at once, in every row.
//
// Each CPU fills and empties a table of objects at random, so that slabs are born and die all the
// time; some objects are freed by another CPU than the one that allocated them. The timer
// interrupts wherever it comes and does the same with a few objects of its own. Every object is
// full of a number that nobody else has.

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "interrupts.hpp"
#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

using Thing = Object<64>;

constexpr std::size_t operations_number = 12'000'000;  // of all CPUs, in all rows
constexpr std::size_t slots_number = 512;
constexpr std::size_t phase_length = 2048;
constexpr std::size_t handed_over_number = 64;
constexpr std::size_t kept_number = 8;
constexpr std::uint32_t timer_period = 4000;

struct Held {
    Thing* thing = nullptr;
    std::uint64_t number = 0;
};

struct Walker {
    Held slots[slots_number];
    Held kept_by_timer[rows_number][kept_number];
    std::uint64_t random = 0;
    std::uint64_t last_number = 0;
    std::size_t operations = 0;
    std::size_t timer_operations = 0;
    std::size_t timer_calls = 0;

    [[nodiscard]] std::uint64_t next_random() noexcept {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return random;
    }
};
constinit Walker walkers[most_cpus] = {};

/// Where one CPU leaves an object for another. The object says which number it has.
constinit Thing* handed_over[handed_over_number] = {};

template <typename Row>
void put_into(Held& held, std::uint64_t number) noexcept {
    held.thing = cache_of<Row, sizeof(Thing)>.alloc();
    if (held.thing == nullptr) panic("no memory");
    held.number = number;
    held.thing->stamp(number);
}

template <typename Row>
void take_from(Held& held) noexcept {
    if (!held.thing->has(held.number)) panic("contents were overwritten");
    cache_of<Row, sizeof(Thing)>.free(held.thing);
    held.thing = nullptr;
}

template <typename Row>
void hand_over(Held& held, std::size_t place) noexcept {
    if (!held.thing->has(held.number)) panic("contents were overwritten");
    Thing* const other = __atomic_exchange_n(&handed_over[place], held.thing, __ATOMIC_ACQ_REL);
    held.thing = nullptr;
    if (other == nullptr) return;
    if (!other->has(other->words[0] ^ reinterpret_cast<std::uint64_t>(other))) {
        panic("contents were overwritten on the way");
    }
    cache_of<Row, sizeof(Thing)>.free(other);
}

/// One call in each row, allocating or freeing.
void on_timer() noexcept {
    Walker& walker = walkers[this_cpu()];
    const std::size_t call = walker.timer_calls++;
    std::size_t row = 0;
    for_each_row([&]<typename Row>() {
        Held& held = walker.kept_by_timer[row++][call * 5 % kept_number];
        if (held.thing == nullptr) {
            put_into<Row>(held, std::uint64_t{this_cpu() + 64} << 48 | call << 8 | row);
        } else {
            take_from<Row>(held);
        }
        ++walker.timer_operations;
    });
}

/// Allocates in one phase, frees in the next, and now and then the other way.
template <typename Row>
void walk(Walker& walker, std::size_t operations) noexcept {
    const std::size_t end = walker.operations + operations;
    for (std::size_t step = 0; walker.operations < end; ++step) {
        const std::uint64_t random = walker.next_random();
        Held& held = walker.slots[random % slots_number];
        const bool fills = step / phase_length % 2 == 0;
        if (fills != (held.thing == nullptr) && (random >> 32) % 8 != 0) continue;
        if (held.thing == nullptr) {
            put_into<Row>(held, std::uint64_t{this_cpu()} << 48 | ++walker.last_number);
        } else if ((random >> 40) % 8 == 0) {
            hand_over<Row>(held, (random >> 48) % handed_over_number);
        } else {
            take_from<Row>(held);
        }
        ++walker.operations;
    }
    for (Held& held : walker.slots) {
        if (held.thing != nullptr) take_from<Row>(held);
    }
}

template <typename Row>
void work() noexcept {
    Walker& walker = walkers[this_cpu()];
    if (walker.random == 0) walker.random = 88172645463325252 + this_cpu() * 7919;
    start_timer(on_timer, timer_period);
    walk<Row>(walker, operations_number / rows_number / cpus_number());
    stop_timer();
}

template <typename Row>
void load_row(std::size_t row) noexcept {
    auto& cache = cache_of<Row, sizeof(Thing)>;
    run_on_cpus(cpus_number(), work<Row>);
    for (Thing*& thing : handed_over) {
        if (thing != nullptr) cache.free(thing);
        thing = nullptr;
    }
    const auto statistics = cache.alone([](auto& unlocked) {
        if (unlocked.validate().defect != Defect::None) panic("a cache is not sound");
        return unlocked.statistics();
    });
    std::size_t kept = 0;
    for (const Walker& walker : walkers) {
        for (const Held& held : walker.kept_by_timer[row])
            kept += held.thing != nullptr ? 1 : 0;
    }
    if (statistics.allocated_objects_number != kept) panic("objects are lost");
    print("  ", Column(Row::name, 14), "peak: ", statistics.peak_allocated_objects_number,
          " objects in ", statistics.peak_slabs_number, " slabs\n");
}

}  // namespace

void test_load() noexcept {
    std::size_t row = 0;
    for_each_row([&]<typename Row>() { load_row<Row>(row++); });

    row = 0;
    for_each_row([&]<typename Row>() {
        for (Walker& walker : walkers) {
            for (Held& held : walker.kept_by_timer[row]) {
                if (held.thing != nullptr) take_from<Row>(held);
            }
        }
        cache_of<Row, sizeof(Thing)>.shrink();
        ++row;
    });
    std::size_t operations = 0;
    std::size_t timer_operations = 0;
    for (const Walker& walker : walkers) {
        operations += walker.operations;
        timer_operations += walker.timer_operations;
    }
    print("  ", operations, " operations, and ", timer_operations, " of interrupt handlers\n");
    if (timer_operations < 1000) panic("the timers have not interrupted");
}

}  // namespace kernel
