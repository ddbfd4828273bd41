// Every order of threads in a LockedCache whose backend calls it, on CPUs that several threads
// share, and where a map is asked which slab an object is in.

#include <cstddef>

#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>

#include "scenarios.hpp"

using namespace interleavings;
using slab_allocator::KernelCpus;
using slab_allocator::LockedCache;
using slab_allocator::MagazineCache;

namespace {

using Kernel = Stage<MagazineCache<Big, CheckedBackend, KernelCpus<CheckedMachine, 2>, CheckedLock,
                                   by_mask, CheckedAtomics>>;

/// All threads on CPU 0, the last of three on CPU 1.
void on_one_cpu(Kernel& stage) {
    stock(stage, 0, 2);
    Places::of[0].cpu = Places::of[1].cpu = 0;
    Places::of[2].cpu = 1;
}

using Sequences = Stage<
    MagazineCache<Big, CheckedBackend, SequenceCpus<2>, CheckedLock, by_mask, CheckedAtomics>>;

/// Both CPUs have an object in their loaded magazine, and room for slot 0 or 1.
void both_stocked(Sequences& stage) {
    for (const std::size_t cpu : {1U, 0U}) {
        stage.on_cpu(cpu);
        stage.slot(cpu) = stage.alloc();
        stock(stage, cpu, 1);
    }
}

/// Both threads on CPU 0, whose magazines are full.
void all_full(Sequences& stage) {
    stage.slot(1) = stage.alloc();
    fill(stage, 0);
    Places::of[0].cpu = Places::of[1].cpu = 0;
}

using Locked = Stage<LockedCache<Big, CheckedBackend, CheckedLock, by_mask>>;

/// A backend that takes an object of the cache that asks it, and gives one back.
struct Reentering : Locked {
    Reentering() {
        has_slots = false;
        reenter = [this] {
            if (depth > 0 || !Machine::now().in_thread()) return;
            ++depth;
            const bool held = Machine::now().mutation == Mutation::lock_held;
            if (held) cache().lock().lock();
            free(alloc());
            if (held) cache().lock().unlock();
            --depth;
        };
    }
    std::size_t depth = 0;
};

inline constexpr slab_allocator::CacheConfig by_map{
    .slab_size = CheckedMemory::slab,
    .slab_alignment = CheckedMemory::page,
    .object_size_type = slab_allocator::ObjectSizeType::Small};
using Mapped = Stage<
    MagazineCache<Big, CheckedBackend, CheckedThreads<2>, CheckedLock, by_map, CheckedAtomics>>;

}  // namespace

TEST_CASE("in every order of threads on one CPU, every promise holds", "[interleavings]") {
    {
        Kernel stage;
        stage.before = on_one_cpu;
        stage.threads = {pair<Kernel>, pair<Kernel>};
        REQUIRE(right("one CPU: pair | pair", stage).executions > 1);
    }
    {
        Kernel stage;
        stage.before = on_one_cpu;
        stage.threads = {alloc_one<Kernel>, alloc_one<Kernel>, drain<Kernel>};
        stage.most_preemptions = 3;
        REQUIRE(right("one CPU: alloc | alloc, another: shrink_to_fit", stage).executions > 1);
    }
}

TEST_CASE("preemption in a slot is found", "[interleavings][mutants]") {
    Kernel stage;
    stage.before = on_one_cpu;
    stage.threads = {pair<Kernel>, pair<Kernel>};
    wrong("preemption is not off", stage, Mutation::no_pin, "touches what");
}

TEST_CASE("in every order of threads of a locked cache, every promise holds", "[interleavings]") {
    {
        Reentering stage;
        stage.threads = {alloc_one<Locked>, alloc_one<Locked>};
        REQUIRE(right("locked, re-entered: alloc | alloc", stage).executions > 1);
    }
    {
        Reentering stage;
        stage.before = [](Locked& s) {
            for (std::size_t number = 0; number < 4; ++number)
                s.slot(number) = s.alloc();
        };
        stage.threads = {[](Locked& s) {
                             s.free(s.slot(0));
                             s.alloc();
                         },
                         [](Locked& s) {
                             s.free(s.slot(3));
                             drain(s);
                         }};
        REQUIRE(right("locked, re-entered: free alloc | free shrink", stage).executions > 1);
    }
    {
        Reentering stage;
        stage.threads = {alloc_one<Locked>, pair<Locked>, drain<Locked>};
        stage.most_preemptions = 3;
        REQUIRE(right("locked, re-entered: alloc | pair | shrink", stage).executions > 1);
    }
}

TEST_CASE("a lock that is held while the backend runs is found", "[interleavings][mutants]") {
    Reentering stage;
    stage.threads = {alloc_one<Locked>, alloc_one<Locked>};
    wrong("the lock is held around the backend", stage, Mutation::lock_held, "deadlock");
}

TEST_CASE("in every order of threads that ask a map, every promise holds", "[interleavings]") {
    Mapped stage;
    stage.before = [](Mapped& s) {
        s.on_cpu(0);
        for (std::size_t number = 0; number < 4; ++number)
            s.slot(number) = s.alloc();
        drain(s);
    };
    stage.threads = {[](Mapped& s) { s.free(s.slot(0)); },
                     [](Mapped& s) {
                         s.free(s.slot(3));  // the only one of its slab
                     }};
    stage.most_preemptions = 3;
    REQUIRE(right("map: free | free, the last of its slab", stage).executions > 1);
}

TEST_CASE("in every order of restartable sequences, every promise holds", "[interleavings]") {
    const auto all_right = [](const char* name, const Sequences::Body& body) {
        Sequences stage;
        stage.before = both_stocked;
        stage.threads = {body, drain<Sequences>};
        REQUIRE(right(name, stage).executions > 1);
    };
    all_right("sequences: alloc | shrink_to_fit", alloc_one<Sequences>);
    all_right("sequences: free | shrink_to_fit", free_own<Sequences>);
    {
        Sequences stage;
        stage.before = [](Sequences& s) {
            stock(s, 0, 2);
            Places::of[0].cpu = Places::of[1].cpu = 0;
        };
        stage.threads = {pair<Sequences>, pair<Sequences>};
        REQUIRE(right("sequences, one CPU: pair | pair", stage).executions > 1);
    }
    Sequences stage;
    stage.before = all_full;
    stage.threads = {free_own<Sequences>, free_own<Sequences>};
    stage.most_preemptions = 3;
    REQUIRE(right("sequences, one CPU: free | free, all full", stage).executions > 1);
}

TEST_CASE("a sequence that reads top first is found", "[interleavings][mutants]") {
    Sequences stage;  // the other opens the slot between the two, from another CPU
    stage.before = all_full;
    stage.threads = {free_own<Sequences>, free_own<Sequences>};
    stage.most_preemptions = 3;
    wrong("sequences: top before the limit", stage, Mutation::top_first, "");
}

TEST_CASE("a floor or a limit that stays is found", "[interleavings][mutants]") {
    Sequences pushing;
    pushing.before = both_stocked;
    pushing.threads = {free_own<Sequences>, drain<Sequences>};
    wrong("sequences: the limit of a claimed slot stays", pushing, Mutation::limit_stays, "");
    Sequences popping;
    popping.before = both_stocked;
    popping.threads = {alloc_one<Sequences>, drain<Sequences>};
    wrong("sequences: the floor of a claimed slot stays", popping, Mutation::floor_stays, "");
}
