#pragma once

// load.hpp -- all CPUs and their timers at one cache, and every object is looked at.
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

namespace kernel {

/// `Caches` says which: cache<Row, size>() is one. Beside that,
///     operations_number           are done, by all CPUs in all rows together
///     now_and_then<Row>()         is called by each CPU in the middle of the load
///     in_the_handler<Row>(call)   by each CPU's timer
template <typename Caches>
class Load {
    using Thing = Object<64>;

    static constexpr std::size_t slots_number = 512;
    static constexpr std::size_t phase_length = 2048;
    static constexpr std::size_t handed_over_number = 64;
    static constexpr std::size_t kept_number = 8;
    static constexpr std::uint32_t timer_period = 4000;

    template <typename Row>
    [[nodiscard]] static auto& cache_for() noexcept {
        return Caches::template cache<Row, sizeof(Thing)>();
    }

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
    static inline constinit Walker walkers[most_cpus] = {};

    /// Where one CPU leaves an object for another. The object says which number it has.
    static inline constinit Thing* handed_over[handed_over_number] = {};

    template <typename Row>
    static void put_into(Held& held, std::uint64_t number) noexcept {
        held.thing = cache_for<Row>().alloc();
        if (held.thing == nullptr) panic("no memory");
        held.number = number;
        held.thing->stamp(number);
    }

    template <typename Row>
    static void take_from(Held& held) noexcept {
        if (!held.thing->has(held.number)) panic("contents were overwritten");
        cache_for<Row>().free(held.thing);
        held.thing = nullptr;
    }

    template <typename Row>
    static void hand_over(Held& held, std::size_t place) noexcept {
        if (!held.thing->has(held.number)) panic("contents were overwritten");
        Thing* const other = __atomic_exchange_n(&handed_over[place], held.thing, __ATOMIC_ACQ_REL);
        held.thing = nullptr;
        if (other == nullptr) return;
        if (!other->has(other->words[0] ^ reinterpret_cast<std::uint64_t>(other))) {
            panic("contents were overwritten on the way");
        }
        cache_for<Row>().free(other);
    }

    /// One call in each row, allocating or freeing.
    static void on_timer() noexcept {
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
            Caches::template in_the_handler<Row>(call);
        });
    }

    /// Allocates in one phase, frees in the next, and now and then the other way.
    template <typename Row>
    static void walk(Walker& walker, std::size_t operations) noexcept {
        const std::size_t end = walker.operations + operations;
        for (std::size_t step = 0; walker.operations < end; ++step) {
            const std::uint64_t random = walker.next_random();
            Held& held = walker.slots[random % slots_number];
            const bool fills = step / phase_length % 2 == 0;
            if (step % (16 * phase_length) == 0) Caches::template now_and_then<Row>();
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
    static void work() noexcept {
        Walker& walker = walkers[this_cpu()];
        if (walker.random == 0) walker.random = 88172645463325252 + this_cpu() * 7919;
        start_timer(on_timer, timer_period);
        walk<Row>(walker, Caches::operations_number / rows_number / cpus_number());
        stop_timer();
    }

    template <typename Row>
    static void load_row(std::size_t row) noexcept {
        auto& cache = cache_for<Row>();
        run_on_cpus(cpus_number(), work<Row>);
        for (Thing*& thing : handed_over) {
            if (thing != nullptr) cache.free(thing);
            thing = nullptr;
        }
        const auto statistics = cache.statistics();
        if (cache.validate().defect != Defect::None) panic("a cache is not sound");
        std::size_t kept = 0;
        for (const Walker& walker : walkers) {
            for (const Held& held : walker.kept_by_timer[row])
                kept += held.thing != nullptr ? 1 : 0;
        }
        if (statistics.allocated_objects_number != kept) panic("objects are lost");
        print("  ", Column(Row::name, 14), "peak: ", statistics.peak_allocated_objects_number,
              " objects in ", statistics.peak_slabs_number, " slabs\n");
    }

public:
    static void run() noexcept {
        std::size_t row = 0;
        for_each_row([&]<typename Row>() { load_row<Row>(row++); });

        row = 0;
        for_each_row([&]<typename Row>() {
            for (Walker& walker : walkers) {
                for (Held& held : walker.kept_by_timer[row]) {
                    if (held.thing != nullptr) take_from<Row>(held);
                }
            }
            cache_for<Row>().shrink();
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
};

}  // namespace kernel
