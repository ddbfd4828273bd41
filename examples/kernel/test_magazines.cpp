// test_magazines.cpp -- the caches with magazines: wrong frees, out of memory, and under load.

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "load.hpp"
#include "magazines.hpp"
#include "memory.hpp"
#include "misuse.hpp"
#include "serial.hpp"
#include "smp.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

// ---- Misuse -------------------------------------------------------------------------------------

template <typename Row, std::size_t size>
constinit CpuCache<Object<size>, ForAllCpus<typename Row::Backend>, Row::config> other_of;

struct WithMagazines {
    static constexpr bool looking_changes_nothing = false;  // it empties the magazines
    static constexpr std::size_t operations_number = 6'000'000;

    template <typename Row, std::size_t size>
    [[nodiscard]] static auto& cache() noexcept {
        return magazines_of<Row, size>;
    }
    template <typename Row, std::size_t size>
    [[nodiscard]] static auto& other() noexcept {
        return other_of<Row, size>;
    }

    /// Empties the magazines of all CPUs under their hands.
    template <typename Row>
    static void now_and_then() noexcept {
        cache<Row, 64>().shrink_to_fit();
    }
    template <typename Row>
    static void in_the_handler(std::size_t call) noexcept {
        if (this_cpu() == 0 && call % 64 == 0) cache<Row, 64>().tick();
    }
};

// ---- Out of memory ------------------------------------------------------------------------------

/// An object that leads to the next.
struct Block {
    Block* next;
    Object<1016> content;
};

constinit CpuCache<Block, Pages, ByPageFrames::config> blocks;
constinit Block* taken = nullptr;

/// Returns: how many there were.
std::size_t take_all() noexcept {
    std::size_t number = 0;
    while (Block* const block = blocks.alloc()) {
        block->next = taken;
        block->content.stamp(++number);
        taken = block;
    }
    return number;
}

/// On one CPU after the other, so that some of them lie in the magazines of each.
void give_back_all() noexcept {
    static constinit std::size_t turn = 0;
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) % cpus_number() != this_cpu())
        pause();
    const bool last = this_cpu() + 1 == cpus_number();
    for (std::size_t number = 0; taken != nullptr && (last || number < 100); ++number) {
        Block* const next = taken->next;
        blocks.free(taken);
        taken = next;
    }
    __atomic_fetch_add(&turn, 1, __ATOMIC_RELEASE);
}

/// What lies in other CPUs' magazines is there for the one who finds no memory.
void run_dry() noexcept {
    // Another CPU keeps an empty magazine at hand, in a page that is no part of a slab then.
    const std::size_t kept_back = 8 * (cpus_number() - 1);
    const std::size_t number = take_all();
    for (int again = 0; again < 3; ++again) {
        run_on_cpus(cpus_number(), give_back_all);
        if (take_all() + kept_back < number) panic("objects in magazines are out of reach");
    }
    run_on_cpus(cpus_number(), give_back_all);
    blocks.shrink();
    print("  all of ", number, " objects found, in whose magazine they lay\n");
}

}  // namespace

void test_magazines() noexcept {
    for_each_row([]<typename Row>() { Misuse<WithMagazines, Row>().run(); });
    run_dry();
    Load<WithMagazines>::run();
    for_each_row([]<typename Row>() {
        const auto depot = magazines_of<Row, 64>.depot_statistics();
        print("  ", Column(Row::name, 14), "depot: ", depot.visits_number, " visits, ",
              depot.contended_visits_number, " met another; magazines of ",
              std::uint64_t{depot.rounds}, "\n");
    });
}

}  // namespace kernel
