// Every order in which CPUs can get into each other's way, in a MagazineCache whose CPUs are
// threads.

#include <cstddef>

#include <slab_allocator/magazine/magazine_cache.hpp>

#include "scenarios.hpp"

using namespace interleavings;
using slab_allocator::MagazineCache;

namespace {

template <std::size_t slots>
using CacheOf =
    MagazineCache<Big, CheckedBackend, CheckedThreads<slots>, CheckedLock, by_mask, CheckedAtomics>;

using S2 = Stage<CacheOf<2>>;
using S3 = Stage<CacheOf<3>>;

/// One CPU for each of two threads.
struct Two : S2 {};

/// One CPU for each of three threads, which are preempted three times at most.
struct Three : S3 {
    Three() {
        slots_number = 3;
        most_preemptions = 3;
    }
};

CheckedLock mailbox;

template <typename S>
void send(S& stage, Big* object) {
    mailbox.lock();
    stage.slot(7) = object;
    mailbox.unlock();
}
template <typename S>
[[nodiscard]] Big* receive(S& stage) {
    mailbox.lock();
    Big* const object = stage.slot(7);
    stage.slot(7) = nullptr;
    mailbox.unlock();
    return object;
}

/// `cpu` has one object in its magazines and one more in slot `cpu`; no slab has room, and the
/// backend refuses.
template <typename S>
void exhaust(S& stage, std::size_t cpu) {
    stage.on_cpu(cpu);
    std::vector<Big*> objects{stage.alloc()};
    stage.memory().refuses_slabs = true;
    while (Big* const object = stage.alloc())
        objects.push_back(object);
    stage.slot(cpu) = objects[0];
    stage.free(objects[1]);
}

/// CPUs 0 and 1 have one object in their loaded magazine and room for another, which is in slot 0
/// or 1.
template <typename S>
void two_stocked(S& stage) {
    for (const std::size_t cpu : {1U, 0U}) {
        stage.on_cpu(cpu);
        stage.slot(cpu) = stage.alloc();
        stock(stage, cpu, 1);
    }
}

template <typename S>
void tick(S& stage) {
    stage.cache().tick();
}

/// An object that is freed twice, by whoever.
template <typename S>
void free_again(S& stage) {
    stage.cache().free(stage.slot(6));
}

/// In each order: it is reported, and handed out once.
template <typename S>
void prepare_double_free(S& stage, std::size_t defects) {
    stage.defects_expected = true;
    stage.before = [](auto& s) {
        stock(s, 0, 1);
        stock(s, 1, 1);
        s.on_cpu(0);
        s.slot(6) = s.alloc();
        s.disown(s.slot(6));
    };
    stage.after = [defects](auto& s) {
        for (std::size_t cpu = 0; cpu < s.slots_number; ++cpu) {
            s.on_cpu(cpu);
            s.alloc();
            s.alloc();
        }
        s.check(s.defects_number() == defects, "not each free but the first is reported");
    };
}

/// Thread 0 has slot 0, thread 1 has none.
template <typename S>
void prepare_take_over(S& stage) {
    stage.before = [none = stage.slots_number](auto& s) {
        s.on_cpu(none);
        stock(s, none, 2);  // joins
        s.check(Places::outside.cpu == 0, "the first does not get the lowest number");
        for (Place& place : Places::of)
            place.cpu = none;
        Places::of[0].cpu = 0;
    };
    stage.after = [](auto& s) {
        s.check(s.cache().cpus().taken_number() == 1, "numbers of threads that ended are taken");
    };
}
template <typename S>
void pair_and_end(S& stage) {
    pair(stage);
    stage.cache().cpus().end();
}
void without_slots(Two& stage) {
    stage.before = [](S2&) { Places::of[0].cpu = Places::of[1].cpu = 2; };
    stage.threads = {alloc_one<S2>, alloc_one<S2>};
    stage.most_preemptions = 3;
    stage.after = [](S2& s) {
        s.check(s.cache().cpus().taken_number() == 2, "two threads have one number");
    };
}
template <typename S>
void two_pairs(S& stage) {
    pair(stage);
    pair(stage);
}

template <typename S>
void bulk_of_two(S& stage) {
    stage.alloc_bulk(2);
}
template <typename S>
void free_two(S& stage) {
    stage.free_bulk({stage.slot(0), stage.slot(8)});
}

template <typename S>
void nothing(S&) {}

/// The last CPU has empty magazines, the one before it full ones, and so the depot an empty one.
template <typename S>
void full_and_empty(S& stage) {
    empty(stage, stage.slots_number - 1);
    fill(stage, stage.slots_number - 2);
}
template <typename S>
void refusing(S& stage) {
    stage.memory().refuses_slabs = true;
}
template <typename S>
void exhaust_one(S& stage) {
    exhaust(stage, 1);
}
template <typename S>
void alloc_and_send(S& stage) {
    send(stage, stage.alloc());
}
template <typename S>
void receive_and_free(S& stage) {
    stage.free(receive(stage));
}

/// A stage of the kind S, with these threads.
template <typename S, typename Before, typename... Bodies>
void all_right(const char* name, Before before, Bodies... bodies) {
    S stage;
    stage.before = before;
    stage.threads = {bodies...};
    REQUIRE(right(name, stage).executions > 1);
}

}  // namespace

// ---- Two threads --------------------------------------------------------------------------------

TEST_CASE("two CPUs whose magazines serve have nothing in common", "[interleavings]") {
    Two alone;
    alone.before = two_stocked<S2>;
    alone.threads = {pair<S2>};
    const std::size_t of_one = right("pair", alone).executions;  // a store is seen soon, or late
    Two stage;
    stage.before = two_stocked<S2>;
    stage.threads = {pair<S2>, pair<S2>};
    REQUIRE(right("pair | pair", stage).executions == of_one * of_one);  // and nothing more
}

TEST_CASE("in every order of two threads, every promise holds", "[interleavings]") {
    all_right<Two>("alloc | alloc, of nothing", nothing<S2>, alloc_one<S2>, alloc_one<S2>);
    all_right<Two>("free | alloc, a full magazine goes over", full_and_empty<S2>, free_own<S2>,
                   alloc_one<S2>);
    all_right<Two>(
        "free | alloc, both without a magazine",
        [](S2& s) {
            s.on_cpu(0);
            s.slot(0) = s.alloc();
        },
        free_own<S2>, alloc_one<S2>);
    all_right<Two>("alloc, send | receive, free", nothing<S2>, alloc_and_send<S2>,
                   receive_and_free<S2>);
    all_right<Two>("alloc, without a magazine | shrink_to_fit", nothing<S2>, alloc_one<S2>,
                   drain<S2>);
    all_right<Two>("alloc | shrink_to_fit", two_stocked<S2>, alloc_one<S2>, drain<S2>);
    all_right<Two>("free | shrink_to_fit", two_stocked<S2>, free_own<S2>, drain<S2>);
    all_right<Two>(
        "alloc, refused | free", exhaust_one<S2>,
        [](S2& s) { s.check(s.alloc() != nullptr, "null, but there was one"); }, free_own<S2>);
    all_right<Two>("tick | alloc, from the depot", full_and_empty<S2>, tick<S2>, alloc_one<S2>);
    all_right<Two>("tick | free, to the depot", [](S2& s) { fill(s, 1); }, tick<S2>, free_own<S2>);
}

TEST_CASE("in every order of two threads, bulks keep every promise", "[interleavings]") {
    all_right<Two>("bulk of two | pair, each its own magazines", two_stocked<S2>, bulk_of_two<S2>,
                   pair<S2>);
    all_right<Two>("free of two | alloc, magazines go over", full_and_empty<S2>, free_two<S2>,
                   alloc_one<S2>);
    all_right<Two>("bulk of two | shrink_to_fit", two_stocked<S2>, bulk_of_two<S2>, drain<S2>);
    all_right<Two>(
        "free of two | shrink_to_fit",
        [](S2& s) {
            two_stocked(s);
            s.on_cpu(0);
            s.slot(8) = s.alloc();
        },
        free_two<S2>, drain<S2>);
}

TEST_CASE("a thread takes over the slot of one that ends", "[interleavings]") {
    Two stage;
    prepare_take_over(stage);
    stage.threads = {pair_and_end<S2>, two_pairs<S2>};
    REQUIRE(right("pair, the thread ends | pair pair of a new one", stage).executions > 1);
    Two other;
    without_slots(other);
    REQUIRE(right("alloc | alloc, of threads without a slot", other).executions > 1);
}

TEST_CASE("two frees of one object by two threads are reported once", "[interleavings]") {
    Two stage;
    prepare_double_free(stage, 1);
    stage.threads = {free_again<S2>, free_again<S2>};
    REQUIRE(right("free | free, of the same", stage).executions > 1);
}

TEST_CASE("an object in two magazines has two owners if both are asked at the same instant",
          "[interleavings]") {
    // The limit that token.hpp speaks of: a token is taken off with a load and a store.
    Two stage;
    prepare_double_free(stage, 1);
    stage.before = [prepared = stage.before](S2& s) {
        prepared(s);
        free_again(s);
        s.slot(6)->bytes.fill(std::byte{1});  // a write after free
        s.on_cpu(1);
        free_again(s);
    };
    stage.threads = {alloc_one<S2>, alloc_one<S2>};
    wrong("alloc | alloc, of what lies in both magazines", stage, Mutation::none, "");
}

TEST_CASE("two CPUs may empty all CPUs at a time", "[interleavings]") {
    Two stage;
    stage.most_preemptions = 3;
    stage.before = two_stocked<S2>;
    stage.threads = {drain<S2>, drain<S2>};
    REQUIRE(right("shrink_to_fit | shrink_to_fit", stage).executions > 1);
}

TEST_CASE("in every order of two threads, every promise holds: the long ones", "[.long]") {
    all_right<Two>("shrink_to_fit | shrink_to_fit", two_stocked<S2>, drain<S2>, drain<S2>);
    all_right<Two>("pair | shrink_to_fit", two_stocked<S2>, pair<S2>, drain<S2>);
    all_right<Two>("refused: alloc | alloc", refusing<S2>, alloc_one<S2>, alloc_one<S2>);
    all_right<Two>(
        "free | free, all magazines full, none at the depot",
        [](S2& s) {
            fill(s, 0);
            fill(s, 1);
        },
        free_own<S2>, free_own<S2>);
}

// ---- Three threads ------------------------------------------------------------------------------

TEST_CASE("with three threads and three preemptions, every promise holds", "[interleavings]") {
    all_right<Three>("alloc | alloc | alloc, of nothing", nothing<S3>, alloc_one<S3>, alloc_one<S3>,
                     alloc_one<S3>);
    all_right<Three>("tick | free | alloc, at the depot", full_and_empty<S3>, tick<S3>,
                     free_own<S3>, alloc_one<S3>);
    all_right<Three>(
        "free | free | alloc, at the depot", full_and_empty<S3>, [](S3& s) { s.free(s.slot(8)); },
        free_own<S3>, alloc_one<S3>);
    all_right<Three>("alloc | free | shrink_to_fit", two_stocked<S3>, alloc_one<S3>, free_own<S3>,
                     drain<S3>);
    all_right<Three>("alloc, send | receive, free | receive, free", nothing<S3>, alloc_and_send<S3>,
                     receive_and_free<S3>, receive_and_free<S3>);
}

TEST_CASE("three frees of one object by three threads are reported twice", "[interleavings]") {
    Three stage;
    prepare_double_free(stage, 2);
    stage.threads = {free_again<S3>, free_again<S3>, free_again<S3>};
    REQUIRE(right("free | free | free, of the same", stage).executions > 1);
}

TEST_CASE("with three threads and three preemptions, every promise holds: the long ones",
          "[.long]") {
    all_right<Three>("refused: alloc | alloc | alloc", refusing<S3>, alloc_one<S3>, alloc_one<S3>,
                     alloc_one<S3>);
    all_right<Three>("alloc | shrink_to_fit | shrink_to_fit", two_stocked<S3>, alloc_one<S3>,
                     drain<S3>, drain<S3>);
    all_right<Three>("alloc, refused | free | alloc, refused", exhaust_one<S3>, alloc_one<S3>,
                     free_own<S3>, alloc_one<S3>);
}

TEST_CASE("a slot is taken over once, with three threads and three preemptions", "[.long]") {
    Three stage;
    prepare_take_over(stage);
    stage.threads = {pair_and_end<S3>, pair<S3>, pair<S3>};
    stage.after = [](S3& s) {
        s.check(s.cache().cpus().taken_number() == 2, "numbers of threads that ended are taken");
    };
    REQUIRE(right("pair, the thread ends | pair | pair", stage).executions > 1);
}

// ---- What is broken on purpose is found ---------------------------------------------------------

TEST_CASE("a fence that is missing is found", "[interleavings][mutants]") {
    const auto found = [](const char* name, auto body, Mutation mutation) {
        Two stage;
        stage.before = two_stocked<S2>;
        stage.threads = {body, drain<S2>};
        wrong(name, stage, mutation, "");
    };
    found("no barrier on all CPUs", alloc_one<S2>, Mutation::no_barrier);
    found("no fence between top and floor", alloc_one<S2>, Mutation::no_compiler_fence);
    found("the floor of a claimed slot stays", alloc_one<S2>, Mutation::floor_stays);
    found("stores that do not release", alloc_one<S2>, Mutation::release_is_relaxed);
    found("loads that do not acquire", alloc_one<S2>, Mutation::acquire_is_relaxed);
}

TEST_CASE("a claim that is missing, or stays, is found", "[interleavings][mutants]") {
    {
        Two stage;
        stage.before = two_stocked<S2>;
        stage.threads = {drain<S2>, drain<S2>};
        stage.most_preemptions = 3;
        wrong("two can claim a slot", stage, Mutation::split_compare, "");
    }
    {
        Two stage;
        stage.before = two_stocked<S2>;
        stage.threads = {alloc_one<S2>, drain<S2>};
        wrong("a slot stays claimed", stage, Mutation::stays_claimed, "no slot any more");
    }
}

TEST_CASE("an exchange outside of the lock is found", "[interleavings][mutants]") {
    Two stage;
    stage.before = full_and_empty<S2>;
    stage.threads = {free_own<S2>, alloc_one<S2>};
    wrong("no lock", stage, Mutation::no_lock, "touches what");
}

TEST_CASE("a lost update is found", "[interleavings][mutants]") {
    Two stage;
    stage.before = refusing<S2>;
    stage.threads = {alloc_one<S2>, alloc_one<S2>};
    stage.most_preemptions = 3;
    wrong("failures are counted without an atomic add", stage, Mutation::split_fetch_add,
          "not the number of failures");
}

TEST_CASE("a number that two threads have is found", "[interleavings][mutants]") {
    {
        Two stage;
        without_slots(stage);
        wrong("a number is taken without an atomic exchange", stage, Mutation::split_compare,
              "one number");
    }
    {
        Two stage;
        prepare_take_over(stage);
        stage.threads = {[](S2& s) {
                             s.alloc();
                             s.cache().cpus().end();
                         },
                         [](S2& s) {
                             Big* const one = s.alloc();
                             Big* const two = s.alloc();
                             s.free(one);
                             s.free(two);
                         }};
        wrong("a number is given back without a release", stage, Mutation::give_back_relaxed,
              "touches what");
    }
}

TEST_CASE("an object without a token is found to have two owners", "[interleavings][mutants]") {
    using Unchecked = MagazineCache<Big, CheckedBackend, CheckedThreads<2>, CheckedLock, unchecked,
                                    CheckedAtomics>;
    Stage<Unchecked> stage;
    prepare_double_free(stage, 1);
    stage.threads = {free_again<Stage<Unchecked>>, free_again<Stage<Unchecked>>};
    wrong("no token", stage, Mutation::none, "two owners");
}
