#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/depot.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/defects.hpp>
#include <support/played_cpus.hpp>
#include <support/poke.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::CpuPolicy;
using slab_allocator::Defect;
using slab_allocator::DepotStatistics;
using slab_allocator::KernelCpus;
using slab_allocator::MagazineCache;
using slab_allocator::PinnedCpus;
using slab_allocator::Reach;
using slab_allocator::ThreadCpus;

namespace {

static_assert(CpuPolicy<PlayedCpus<4>> && CpuPolicy<ThreadCpus<>>);
static_assert(!CpuPolicy<int>);

template <typename Row, typename Cpus = ThreadCpus<>>
using Threaded =
    MagazineCache<typename Row::Type, typename Row::Backend, Cpus, std::mutex, Row::config>;

using EveryCheckedRow =
    std::tuple<MaskRow<64>, MaskRow<1200>, SmallMapRow<48>, LargeMapRow<64>, FramesRow<64>>;

}  // namespace

// ---- One thread plays all CPUs ------------------------------------------------------------------

TEMPLATE_LIST_TEST_CASE("magazines hand out what is free, whichever CPU freed it", "[magazine]",
                        EveryThreadRow) {
    using Type = typename TestType::Type;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Played<TestType> cache(TestType::plain(memory));
        memory.on_call = [&](Call) {
            REQUIRE(KnownLock::held() == 0);
            REQUIRE(cache.cpus().entered == 0);
        };
        Random random;
        Holding<Type> holding(0);
        std::set<Type*> live;
        std::vector<Type*> many;
        const auto take_in = [&](Type* object) {
            holding.add(object);
            return object != nullptr && live.insert(object).second;
        };
        bool right = true;
        std::size_t peak = 0;
        for (std::size_t step = 0; step < 20000 && right; ++step) {
            if (random.one_in(8)) cache.cpus().cpu = random.below(5);  // the last one has no slot
            const bool grows = random.below(100) < (step / 2500 % 2 == 0 ? 60U : 40U);
            if (random.one_in(200)) {
                many.assign(random.below(100), nullptr);
                right = cache.alloc_bulk(many);
                for (Type* const object : many)
                    right = take_in(object) && right;
            } else if (random.one_in(1000)) {
                static_cast<void>(cache.shrink_to_fit());
            } else if (random.one_in(300)) {
                cache.tick();
            } else if (grows) {
                right = take_in(cache.alloc());
            } else if (holding.size() > 0) {
                Type* const object = holding.remove_any(random);
                live.erase(object);
                cache.free(object);
                if constexpr (TestType::config.checks != Checks::none) {
                    right = !cache.owns(object);
                }
            }
            peak = std::max(peak, holding.size());
        }
        REQUIRE(right);
        REQUIRE(holding.right());
        REQUIRE(cache.cpus().right);
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE(cache.statistics().allocated_objects_number == live.size());
        std::set<Type*> visited;
        cache.for_each([&](Type* object) { visited.insert(object); });
        REQUIRE(visited == live);
        for (Type* const object : live)
            REQUIRE(cache.owns(object));
        while (holding.size() > 0)
            cache.free(holding.remove(0));
        REQUIRE(holding.right());
        REQUIRE(cache.statistics().allocated_objects_number == 0);
        static_cast<void>(cache.shrink_to_fit());
        REQUIRE(memory.live_slabs() == 0);
        memory.on_call = nullptr;
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("while a magazine serves, no lock is taken and no backend called", "[magazine]") {
    static std::size_t locked = 0;
    struct CountingLock {
        void lock() noexcept { ++locked; }
        void unlock() noexcept {}
    };
    using Row = MaskRow<64>;
    TestMemory memory;
    MagazineCache<Row::Type, Row::Plain, PlayedCpus<4>, CountingLock, Row::config> cache(
        Row::plain(memory));
    std::vector<Row::Type*> objects(40);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free_bulk(objects);
    locked = 0;
    const std::size_t calls = memory.calls();
    for (std::size_t round = 0; round < 1000; ++round) {
        cache.free(cache.alloc());
        REQUIRE(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
    }
    REQUIRE(locked == 0);
    REQUIRE(memory.calls() == calls);
    // Two magazines: at no border between them is the depot visited in each call.
    std::size_t most = 0;
    for (std::size_t live = 1; live < 200; ++live) {
        objects.resize(live);
        REQUIRE(cache.alloc_bulk(objects));
        locked = 0;
        for (std::size_t round = 0; round < 100; ++round)
            cache.free(cache.alloc());
        most = std::max(most, locked);
        cache.free_bulk(objects);
    }
    REQUIRE(most <= 4);  // one visit, and a refill where it found nothing
}

TEST_CASE("magazines are allocated by free alone", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    std::vector<Row::Type*> objects(5 * cache.objects_per_slab());
    REQUIRE(cache.alloc_bulk(objects));
    REQUIRE(memory.live_slabs() == 5);
    cache.free(objects.back());
    objects.pop_back();
    REQUIRE(memory.live_slabs() == 6);
    cache.free_bulk(objects);
}

TEST_CASE("without memory for a magazine, free gives the object to its slab", "[magazine]") {
    using Row = MaskRow<64>;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Played<Row> cache(Row::plain(memory));
        std::vector<Row::Type*> objects(5 * cache.objects_per_slab());
        REQUIRE(cache.alloc_bulk(objects));
        memory.refuse(1, true);
        cache.free_bulk(objects);
        REQUIRE(memory.live_slabs() == 1);
        REQUIRE(cache.alloc() != nullptr);
        REQUIRE(cache.statistics().allocated_objects_number == 1);
        cache.for_each([](auto*) {});
    }
    REQUIRE(catcher.only().defect == Defect::Leak);
}

TEMPLATE_LIST_TEST_CASE("alloc fails only when no magazine that it can reach has an object",
                        "[magazine]", EveryThreadRow) {
    using Type = typename TestType::Type;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Played<TestType> cache(TestType::plain(memory));
        std::vector<Type*> objects(4 * cache.objects_per_slab());
        REQUIRE(cache.alloc_bulk(objects));
        memory.refuse(1, true);  // but magazines would be nice to have
        memory.refuse_nothing();
        for (std::size_t rank = 0; rank < objects.size(); ++rank)
            on_cpu(cache, rank % 4, [&] { cache.free(objects[rank]); });
        memory.refuse(1, true);
        const std::size_t slabs = cache.statistics().slabs_number();  // empties the magazines
        REQUIRE(slabs <= TestType::config.retained_free_slabs);

        memory.refuse_nothing();
        REQUIRE(cache.alloc_bulk(objects));
        std::vector<Type*> back(objects.begin(), objects.begin() + 3);
        for (std::size_t rank = 0; rank < back.size(); ++rank)
            on_cpu(cache, rank, [&] { cache.free(back[rank]); });
        memory.refuse(1, true);
        std::set<Type*> again;
        on_cpu(cache, 3, [&] {
            for (std::size_t rank = 0; rank < back.size(); ++rank) {
                Type* const object = cache.alloc();
                REQUIRE(object != nullptr);
                again.insert(object);
            }
            REQUIRE(again == std::set<Type*>(back.begin(), back.end()));
            REQUIRE(cache.alloc() == nullptr);
            REQUIRE(!cache.alloc_bulk(back));
        });
        REQUIRE(cache.statistics().failures_number == 2);
        REQUIRE(cache.statistics().allocated_objects_number == objects.size());
        cache.free_bulk(objects);
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("slots out of reach are left alone, and given back with the cache", "[magazine]") {
    using Row = MaskRow<64>;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Played<Row> cache(Row::plain(memory));
        stock_up(cache, 0, 20);
        cache.cpus().cpu = 1;
        cache.cpus().reach = Reach::own;
        REQUIRE(cache.statistics().allocated_objects_number == 20);
        REQUIRE(cache.shrink_to_fit() == 0);
        cache.cpus().cpu = 0;
        REQUIRE(cache.shrink_to_fit() == 1);
        stock_up(cache, 0, 20);
    }
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("a shrink reaches all CPUs and gives everything back", "[magazine]",
                        EveryThreadRow) {
    DefectCatcher catcher;
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    for (std::size_t cpu = 0; cpu < 4; ++cpu)
        stock_up(cache, cpu, 300);
    REQUIRE(memory.live_slabs() > 1);
    cache.cpus().cpu = 2;
    REQUIRE(cache.shrink_to_fit() > 0);
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(memory.live_infos() == 0);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("what lay idle at the depot between two ticks is given back", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    std::vector<Row::Type*> objects(1000);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free_bulk(objects);
    const DepotStatistics before = cache.depot_statistics();
    REQUIRE(before.full_magazines_number >= 10);
    cache.tick();  // all were needed until now
    REQUIRE(cache.depot_statistics().full_magazines_number == before.full_magazines_number);
    // Of the next interval, three magazines are.
    objects.resize(2 * before.rounds + 2 * before.rounds + 1);
    REQUIRE(cache.alloc_bulk(objects));
    const std::size_t least = cache.depot_statistics().full_magazines_number;
    REQUIRE(least < before.full_magazines_number);
    REQUIRE(least > 0);
    cache.free_bulk(objects);
    const std::size_t slabs = memory.live_slabs();
    cache.tick();
    REQUIRE(cache.depot_statistics().full_magazines_number == before.full_magazines_number - least);
    REQUIRE(memory.live_slabs() < slabs);
    cache.tick();
    REQUIRE(cache.depot_statistics().full_magazines_number == 0);
}

TEST_CASE("the depot keeps a bounded number of full magazines", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    stock_up(cache, 0, 20000);
    REQUIRE(cache.depot_statistics().full_magazines_number == 16);
    REQUIRE(memory.live_slabs() < 60);
}

TEST_CASE("a CPU that allocates lives on the magazines of one that frees", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    std::vector<Row::Type*> objects(50);
    std::size_t calls = 0;
    DepotStatistics before;
    for (std::size_t round = 0; round < 1000; ++round) {
        if (round == 100) {
            calls = memory.calls();
            before = cache.depot_statistics();
        }
        REQUIRE(on_cpu(cache, 0, [&] { return cache.alloc_bulk(objects); }));
        on_cpu(cache, 1, [&] { cache.free_bulk(objects); });
    }
    REQUIRE(memory.calls() == calls);  // no slab and no magazine more
    const std::uint64_t visits = cache.depot_statistics().visits_number - before.visits_number;
    REQUIRE(visits <= 2 * 900 * 50 / before.rounds + 4);
}

// ---- Wrong frees --------------------------------------------------------------------------------

TEMPLATE_LIST_TEST_CASE("a second free is found at once, wherever the object lies", "[magazine]",
                        EveryCheckedRow) {
    using Type = typename TestType::Type;
    DefectCatcher none;
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    std::vector<Type*> objects(200);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free_bulk(objects);  // in loaded, in previous, at the depot, in their slabs
    for (std::size_t cpu = 0; cpu < 5; ++cpu) {
        cache.cpus().cpu = cpu;
        for (Type* const object : objects) {
            const auto report = report_of([&] { cache.free(object); });
            if (report.defect != Defect::DoubleFree) REQUIRE(memory.slab_of(object) == nullptr);
            if (report.defect == Defect::DoubleFree) REQUIRE(report.pointer == object);
            REQUIRE(report.cache == &cache);
        }
    }
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(cache.validate().defect == Defect::None);
    REQUIRE(none.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("an object freed twice that was written between is handed out once",
                        "[magazine]", EveryCheckedRow) {
    using Type = typename TestType::Type;
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    stock_up(cache, 0, 3);
    stock_up(cache, 1, 3);
    cache.cpus().cpu = 0;
    Type* const object = cache.alloc();
    REQUIRE(defect_of([&] {
                cache.free(object);
                fill_raw(object, std::byte{7}, sizeof(*object));
                cache.cpus().cpu = 1;
                cache.free(object);  // looks like a live one
            }) == Defect::None);

    std::vector<Type*> all;
    const auto report = report_of([&] {
        for (const std::size_t cpu : {0U, 1U}) {
            cache.cpus().cpu = cpu;
            for (std::size_t number = 0; number < 8; ++number)
                all.push_back(cache.alloc());
        }
    });
    REQUIRE(report.defect == Defect::DoubleFree);
    REQUIRE(report.pointer == object);
    REQUIRE(std::count(all.begin(), all.end(), object) == 1);
    DefectCatcher none;
    cache.free_bulk(all);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(none.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("an object freed twice that was written between goes to its slab once",
                        "[magazine]", EveryCheckedRow) {
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    stock_up(cache, 0, 3);
    stock_up(cache, 1, 3);
    auto* const object = cache.alloc();
    cache.free(object);
    fill_raw(object, std::byte{7}, sizeof(*object));
    cache.cpus().cpu = 0;
    cache.free(object);
    const auto report = report_of([&] { static_cast<void>(cache.shrink_to_fit()); });
    REQUIRE(report.defect == Defect::DoubleFree);
    REQUIRE(report.pointer == object);
    REQUIRE(memory.live_slabs() == 0);
}

TEMPLATE_LIST_TEST_CASE("what is no object of the cache does not get into a magazine", "[magazine]",
                        EveryCheckedRow) {
    using Type = typename TestType::Type;
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    Played<TestType> other(TestType::plain(memory));
    stock_up(cache, 0, 3);
    Type* const object = cache.alloc();
    Type* const theirs = other.alloc();
    const auto defect_of_free = [&](std::byte* pointer) {
        return defect_of([&] { cache.free(static_cast<Type*>(static_cast<void*>(pointer))); });
    };
    REQUIRE(defect_of_free(object->bytes + 1) == Defect::InteriorPointer);
    REQUIRE(defect_of_free(theirs->bytes) == Defect::OtherCache);
    REQUIRE(defect_of_free(memory.no_mans_land()) == Defect::ForeignPointer);
    // The last slot of the slab of an object: never handed out.
    std::byte* const slab = memory.slab_of(object);
    constexpr std::size_t slots = cache.slab_size() / sizeof(Type);
    std::byte* const last = slab + (slots - 1) * sizeof(Type);
    if (cache.objects_per_slab() > 40) {
        const Defect defect = defect_of_free(last);
        REQUIRE((defect == Defect::NeverAllocated || defect == Defect::InteriorPointer));
    }
    REQUIRE(!cache.owns(theirs));
    REQUIRE(cache.owns(object));
    other.free(theirs);
    cache.free(object);
    cache.free(nullptr);
    cache.destroy(nullptr);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("objects too small for a token have room for one, and are checked", "[magazine]") {
    using Row =
        ThreadRow<1, CacheConfig{.slab_size = 4096, .object_size_type = ObjectSizeType::Small}>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    static_assert(Played<Row>::object_size() == 8);
    auto* const object = cache.alloc();
    cache.free(object);
    REQUIRE(defect_of([&] { cache.free(object); }) == Defect::DoubleFree);

    using Unchecked = MaskRow<1, Checks::none>;
    static_assert(Played<Unchecked>::object_size() == 1);
}

TEST_CASE("at level debug, a second free is found at once, whatever was written between",
          "[magazine]") {
    using Row = MaskRow<64, Checks::debug>;
    DefectCatcher catcher;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    Row::Type* const object = cache.alloc();
    Row::Type* const other = cache.alloc();
    cache.free(object);
    fill_raw(object, std::byte{7}, sizeof(*object));
    for (const std::size_t cpu : {0U, 1U}) {
        cache.cpus().cpu = cpu;
        const auto report = report_of([&] { cache.free(object); });
        REQUIRE(report.defect == Defect::DoubleFree);
        REQUIRE(report.pointer == object);
        REQUIRE(report.freed_by != nullptr);
        REQUIRE(!cache.owns(object));
    }
    REQUIRE(cache.owns(other));
    REQUIRE(catcher.number() == 0);
    poke(other->bytes, std::byte{1});
    REQUIRE(defect_of([&] { cache.free(other); }) == Defect::None);
    REQUIRE(cache.validate().defect == Defect::WriteAfterFree);
    REQUIRE(defect_of([&] { static_cast<void>(cache.shrink_to_fit()); }) == Defect::WriteAfterFree);
}

TEST_CASE("at level hardened, tokens and canaries are beside each other", "[magazine]") {
    using Row = MaskRow<64, Checks::hardened>;
    DefectCatcher catcher;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    std::vector<Row::Type*> objects(100);
    for (std::size_t round = 0; round < 20; ++round) {
        cache.cpus().cpu = round % 4;
        REQUIRE(cache.alloc_bulk(objects));
        for (Row::Type* const object : objects)
            object->write(round);
        cache.free_bulk(objects);
        for (Row::Type* const object : objects)
            REQUIRE(defect_of([&] { cache.free(object); }) == Defect::DoubleFree);
    }
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
    // An overflow while it was live is found when it goes to its slab.
    Row::Type* const object = cache.alloc();
    std::byte* const behind = object->bytes + sizeof(Row::Type);
    poke(behind, peek(behind) ^ std::byte{1});
    cache.free(object);
    REQUIRE(defect_of([&] { static_cast<void>(cache.shrink_to_fit()); }) == Defect::Overflow);
}

TEST_CASE("an object whose constructor writes nothing is no double free", "[magazine]") {
    struct Silent {
        Silent() noexcept {}
        ~Silent() {}
        std::uint64_t words[4];
    };
    TestMemory memory;
    SlabsBackend backend;
    backend.memory = &memory;
    DefectCatcher none;
    {
        MagazineCache<Silent, SlabsBackend, PlayedCpus<1>, KnownLock> cache(backend);
        for (std::size_t round = 0; round < 100; ++round) {
            Silent* const object = cache.create();
            object->words[0] = round;
            cache.destroy(object);
            const auto handle = cache.make_unique();
            REQUIRE(cache.owns(handle.get()));
        }
    }
    REQUIRE(none.number() == 0);
}

TEST_CASE("live objects at the destruction of a magazine cache are counted exactly", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    std::optional<Played<Row>> cache(std::in_place, Row::plain(memory));
    for (std::size_t cpu = 0; cpu < 4; ++cpu)
        stock_up(*cache, cpu, 100);
    REQUIRE(cache->alloc() != nullptr);
    REQUIRE(cache->alloc() != nullptr);
    const auto report = report_of([&] { cache.reset(); });
    REQUIRE(report.defect == Defect::Leak);
    REQUIRE(report.objects_number == 2);
}

// ---- The depot ----------------------------------------------------------------------------------

namespace {

/// Meets another visitor whenever it is unlocked, where a test wants that.
struct CrowdedLock {
    void lock() noexcept {}
    void unlock() noexcept {
        if (!in_the_way || inside) return;
        inside = true;
        (*in_the_way)();
        inside = false;
    }
    static inline std::function<void()>* in_the_way = nullptr;
    static inline bool inside = false;
};

}  // namespace

TEST_CASE("magazines grow where visits meet, and shrink where they do not", "[depot]") {
    using Object = Stamped<64>;
    slab_allocator::Depot<Object, CrowdedLock, 16> depot;
    using slab_allocator::Rounds;
    constexpr Rounds limits = slab_allocator::Depot<Object, CrowdedLock, 16>::limits;
    REQUIRE(depot.rounds() == limits.first);
    const auto visit = [&](std::size_t number) {
        while (number-- > 0)
            static_cast<void>(depot.crowded());
    };
    visit(10000);
    REQUIRE(depot.rounds() == limits.first);  // nobody in the way
    std::function<void()> another = [&] { visit(1); };
    CrowdedLock::in_the_way = &another;
    const struct Away {
        ~Away() { CrowdedLock::in_the_way = nullptr; }
    } away;
    visit(64);
    REQUIRE(depot.rounds() > limits.first);
    visit(10000);
    REQUIRE(depot.rounds() == limits.most);
    REQUIRE(depot.statistics().contended_visits_number > 10000);
    CrowdedLock::in_the_way = nullptr;
    {
        slab_allocator::MagazineStack<Object> idle;
        depot.tick(idle, idle);
        REQUIRE(depot.rounds() == limits.most);  // the interval had contention
        depot.tick(idle, idle);
        REQUIRE(depot.rounds() == limits.most - limits.most / 4);
        for (std::size_t count = 0; count < 20; ++count)
            depot.tick(idle, idle);
        REQUIRE(depot.rounds() == limits.least);
        REQUIRE(idle.empty());
    }
}

TEST_CASE("a depot with no room for a full magazine takes none, and gives no empty one",
          "[depot]") {
    using Object = Stamped<64>;
    slab_allocator::Depot<Object, CrowdedLock, 2> depot;
    slab_allocator::Magazine<Object> full[3];
    slab_allocator::Magazine<Object> empty[3];
    for (std::size_t number = 0; number < 3; ++number) {
        full[number].number = 1;
        depot.put_empty(empty[number]);
    }
    REQUIRE(depot.trade_full(&full[0]) != nullptr);
    REQUIRE(!depot.crowded());
    REQUIRE(depot.trade_full(&full[1]) != nullptr);
    REQUIRE(depot.crowded());
    REQUIRE(depot.trade_full(&full[2]) == nullptr);
    REQUIRE(depot.statistics().full_magazines_number == 2);
    REQUIRE(depot.statistics().empty_magazines_number == 1);
    REQUIRE(depot.trade_full(nullptr) != nullptr);  // without one to leave, there is room
    REQUIRE(depot.trade_full(nullptr) == nullptr);
    REQUIRE(depot.trade_empty(&empty[0]) == &full[1]);
    REQUIRE(depot.trade_empty(nullptr) == &full[0]);
    REQUIRE(depot.trade_empty(&empty[1]) == nullptr);
    REQUIRE(depot.take_empty() == &empty[0]);
    REQUIRE(depot.take_empty() == nullptr);
}

TEST_CASE("a CPU keeps few large objects and many small ones", "[depot]") {
    using slab_allocator::rounds_for;
    STATIC_REQUIRE(rounds_for(64, 123).least == 16);
    STATIC_REQUIRE(rounds_for(64, 123).most == 123);
    STATIC_REQUIRE(rounds_for(4096, 123).least == 8);
    STATIC_REQUIRE(rounds_for(4096, 123).most == 64);
    STATIC_REQUIRE(rounds_for(1 << 20, 123).most == 1);
    for (std::size_t size = 1; size <= std::size_t{1} << 20; size += 1 + size / 8) {
        for (const std::size_t capacity : {1U, 7U, 123U}) {
            const auto [least, first, most] = rounds_for(size, capacity);
            CAPTURE(size, capacity);
            REQUIRE(least >= 1);
            REQUIRE(most <= capacity);
            REQUIRE((most == 1 || most * size <= 256 * 1024));  // what a magazine keeps from others
            REQUIRE((first == 1 || first * size <= 64 * 1024));
            REQUIRE((least <= first && first <= 32));
        }
    }
}

// ---- Several threads ----------------------------------------------------------------------------

TEMPLATE_LIST_TEST_CASE("threads that share a magazine cache never share an object",
                        "[magazine][threads]", EveryThreadRow) {
    DefectCatcher catcher;
    TestMemory memory;
    {
        Threaded<TestType> cache(TestType::backend(memory));
        Exchange exchange(cache, 300);
        in_threads(4, [&](std::size_t thread) { exchange.run(thread, 20000); });
        REQUIRE(exchange.end());
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
        static_cast<void>(cache.shrink_to_fit());
        REQUIRE(cache.statistics().slabs_number() == 0);
        REQUIRE(memory.live_slabs() <= 4);  // a magazine of each
    }
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("magazines are emptied while threads use them", "[magazine][threads]",
                        EveryThreadRow) {
    DefectCatcher catcher;
    TestMemory memory;
    {
        Threaded<TestType> cache(TestType::backend(memory));
        Exchange exchange(cache, 100);
        std::atomic<std::size_t> running = 3;
        std::size_t times = 0;
        in_threads(5, [&](std::size_t thread) {
            if (thread < 3) {
                exchange.run(thread, 10000);
                --running;
                return;
            }
            do {
                static_cast<void>(cache.shrink_to_fit());
                if (thread == 3) {
                    cache.tick();
                    static_cast<void>(cache.statistics());
                    ++times;
                }
            } while (running > 0);
        });
        REQUIRE(times > 0);
        REQUIRE(exchange.end());
        REQUIRE(cache.statistics().allocated_objects_number == 0);
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("threads go on with what there is when the backend refuses", "[magazine][threads]") {
    using Row = MaskRow<64>;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Threaded<Row> cache(Row::backend(memory));
        REQUIRE(cache.reserve(60) >= 60);
        {
            in_threads(4, [&](std::size_t) { cache.free(cache.alloc()); });
        }
        memory.refuse(1, true);
        Exchange exchange(cache, 150);
        in_threads(4, [&](std::size_t thread) { exchange.run(thread, 5000); });
        REQUIRE(exchange.end());
        REQUIRE(cache.statistics().failures_number > 0);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
        memory.refuse_nothing();
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("threads beyond the slots share the slabs' lock", "[magazine][threads]") {
    using Row = MaskRow<64>;
    DefectCatcher catcher;
    TestMemory memory;
    {
        Threaded<Row, ThreadCpus<2>> cache(Row::backend(memory));
        Exchange exchange(cache, 100);
        in_threads(5, [&](std::size_t thread) { exchange.run(thread, 10000); });
        REQUIRE(exchange.end());
        REQUIRE(cache.statistics().allocated_objects_number == 0);
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("ten thousand short threads use no more than those that lived together",
          "[magazine][threads]") {
    using Row = MaskRow<64>;
    using Cpus = ThreadCpus<8>;
    TestMemory memory;
    {
        Threaded<Row, Cpus> cache(Row::backend(memory));
        std::size_t most = 0;
        std::atomic<bool> right = true;
        for (std::size_t round = 0; round < 2500; ++round) {
            in_threads(4, [&](std::size_t thread) {
                Row::Type* objects[20];
                for (Row::Type*& object : objects) {
                    object = cache.alloc();
                    object->write(thread);
                }
                for (Row::Type* const object : objects) {
                    if (!object->holds(thread)) right = false;
                    cache.free(object);
                }
                if (Cpus::threads_number() > 4) right = false;
            });
            if (round == 100) most = memory.live_slabs();
        }
        REQUIRE(right);
        REQUIRE(Cpus::threads_number() == 0);
        REQUIRE(memory.live_slabs() <= most + 2);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
    }
}

TEST_CASE("a thread that ends leaves its objects to others", "[magazine][threads]") {
    using Row = MaskRow<64>;
    using Cpus = ThreadCpus<16>;
    TestMemory memory;
    Threaded<Row, Cpus> cache(Row::backend(memory));
    std::set<Row::Type*> left;
    in_another_thread([&] {
        std::vector<Row::Type*> objects(20);
        static_cast<void>(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
        left.insert(objects.begin(), objects.end());
    });
    REQUIRE(Cpus::threads_number() == 0);
    in_another_thread([&] {
        // Its slot is this thread's now.
        cache.cpus().join();
        Row::Type* const object = cache.alloc();
        if (left.count(object) == 1) left.clear();
        cache.free(object);
    });
    REQUIRE(left.empty());
}

TEST_CASE("a thread may allocate and free to its very end", "[magazine][threads]") {
    using Row = MaskRow<64>;
    using Cpus = ThreadCpus<32>;
    static std::optional<Threaded<Row, Cpus>> cache;
    TestMemory memory;
    cache.emplace(Row::backend(memory));
    struct AtEnd {
        Row::Type* object = nullptr;
        ~AtEnd() {
            cache->free(object);
            cache->free(cache->alloc());
        }
    };
    in_another_thread([] {
        static thread_local AtEnd at_end;  // destroyed after the thread's slot
        at_end.object = nullptr;
        at_end.object = cache->alloc();
    });
    REQUIRE(Cpus::threads_number() == 0);
    REQUIRE(cache->statistics().allocated_objects_number == 0);
    cache.reset();
}

namespace {

/// A thread that was told to stops at its next lock until somebody waits for its slot.
struct Gate {
    static inline thread_local bool stops_here = false;
    static inline thread_local std::size_t cpu = 0;
    static inline std::atomic<bool> reached = false;
    static inline std::atomic<bool> open = false;
    static inline std::atomic<std::size_t> waits = 0;
};

class GateLock {
public:
    void lock() {
        if (Gate::stops_here) {
            Gate::stops_here = false;
            Gate::reached = true;
            while (!Gate::open)
                std::this_thread::yield();
        }
        mutex_.lock();
    }
    void unlock() { mutex_.unlock(); }

private:
    std::mutex mutex_;
};

struct GateCpus : PinnedCpus<GateCpus> {
    static constexpr std::size_t slots_number = 2;
    struct Pin {
        std::size_t offset;
    };
    static Pin enter() noexcept { return {Gate::cpu * slab_allocator::cpu_slot_size}; }
    static void leave(const Pin&) noexcept {}
    static void join() noexcept {}
    static Reach synchronise() noexcept { return ThreadCpus<>::synchronise(); }
    static void wait() noexcept {
        ++Gate::waits;
        Gate::open = true;
    }
};

}  // namespace

TEST_CASE("a slot in which somebody is, is not emptied before he has left it",
          "[magazine][threads]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    MagazineCache<Row::Type, Row::Backend, GateCpus, GateLock, Row::config> cache(
        Row::backend(memory));
    if (GateCpus::synchronise() == Reach::own) return;  // no slot is reached from outside
    in_threads(2, [&](std::size_t thread) {
        Gate::cpu = thread;
        if (thread == 0) {
            cache.free(cache.alloc());
            std::vector<Row::Type*> objects(2 * cache.depot_statistics().rounds + 1);
            static_cast<void>(cache.alloc_bulk(objects));
            Gate::stops_here = true;  // at the depot, with its slot seized
            cache.free_bulk(objects);
        } else {
            while (!Gate::reached)
                std::this_thread::yield();
            static_cast<void>(cache.shrink_to_fit());
            Gate::open = true;
        }
    });
    REQUIRE(Gate::waits > 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

// ---- A kernel's policy --------------------------------------------------------------------------

namespace {

struct Machine {
    int pin() noexcept {
        const int before = pinned;
        pinned = before + 1;
        return before;
    }
    void unpin(int before) noexcept { pinned = before; }
    std::size_t cpu_index() const noexcept {
        right = right && pinned > 0;
        return cpu;
    }
    bool barrier_on_all_cpus() noexcept {
        right = right && pinned == 0;
        ++barriers;
        return has_barrier;
    }
    void relax() noexcept { ++relaxed; }

    static inline int pinned = 0;
    static inline std::size_t cpu = 0;
    static inline std::size_t barriers = 0;
    static inline bool has_barrier = true;
    static inline std::size_t relaxed = 0;
    static inline bool right = true;
};

static_assert(slab_allocator::CpuMachine<Machine> && !slab_allocator::CpuMachine<int>);

}  // namespace

TEST_CASE("a kernel's CPUs are held for the length of a pop, and never around the backend",
          "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row, KernelCpus<Machine, 2>> cache(Row::plain(memory));
    memory.on_call = [](Call) { REQUIRE(Machine::pinned == 0); };
    std::vector<Row::Type*> objects(300);
    for (const std::size_t cpu : {0U, 1U, 2U}) {  // a CPU beyond those that were announced
        Machine::cpu = cpu;
        REQUIRE(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
        REQUIRE(Machine::pinned == 0);
    }
    REQUIRE(Machine::barriers == 0);
    REQUIRE(cache.shrink_to_fit() > 0);
    REQUIRE(Machine::barriers == 1);
    REQUIRE(memory.live_slabs() == 1);  // two CPUs keep an empty magazine, in one slab
    REQUIRE(cache.statistics().slabs_number() == 0);
    REQUIRE(Machine::right);
    memory.on_call = nullptr;
}

TEST_CASE("a kernel without a barrier empties the caller's CPU alone", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row, KernelCpus<Machine, 2>> cache(Row::plain(memory));
    const auto objects_on = [&](std::size_t cpu) {
        Machine::cpu = cpu;
        std::vector<Row::Type*> objects(2 * cache.depot_statistics().rounds);
        REQUIRE(cache.alloc_bulk(objects));
        return objects;
    };
    const auto some = objects_on(0);
    const auto more = objects_on(1);
    cache.free_bulk(more);
    Machine::cpu = 0;
    cache.free_bulk(some);
    Machine::has_barrier = false;
    static_cast<void>(cache.shrink_to_fit());
    const std::size_t left = cache.statistics().slabs_number();
    REQUIRE(left > 0);  // for CPU 1's objects
    Machine::cpu = 1;
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE(cache.statistics().slabs_number() == 0);
    Machine::has_barrier = true;
    REQUIRE(Machine::right);
}

TEST_CASE("a kernel's CPU beyond the slots has none, and waiting is the machine's", "[magazine]") {
    KernelCpus<Machine, 2> cpus;
    const auto offset_on = [&](std::size_t cpu) {
        Machine::cpu = cpu;
        auto pin = cpus.enter();
        cpus.leave(pin);
        return pin.offset;
    };
    REQUIRE(offset_on(0) == 0);
    REQUIRE(offset_on(2) == 2 * offset_on(1));
    REQUIRE(offset_on(7) == offset_on(2));
    const std::size_t before = Machine::relaxed;
    cpus.wait();
    REQUIRE(Machine::relaxed == before + 1);
    REQUIRE(Machine::right);
}

// ---- What is asked rarely -----------------------------------------------------------------------

TEST_CASE("the null pointer is no object, unchecked, too", "[magazine]") {
    using Type = Stamped<64>;
    constexpr CacheConfig config{.object_size_type = ObjectSizeType::Small, .checks = Checks::none};
    TestMemory memory;
    SlabsBackend backend;
    backend.memory = &memory;
    MagazineCache<Type, SlabsBackend, PlayedCpus<4>, KnownLock, config> cache(backend);
    cache.free(nullptr);
    Type* const object = cache.alloc();
    cache.free(nullptr);
    cache.free(object);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("magazines say their numbers", "[magazine]") {
    using Row = MaskRow<64>;
    using Cache = Played<Row>;
    REQUIRE(Cache::object_size() == 64);
    REQUIRE(Cache::slab_size() % 4096 == 0);
    const slab_allocator::Rounds small = slab_allocator::rounds_for(64, 100);
    REQUIRE(small.least == 16);
    REQUIRE(small.first == 32);
    REQUIRE(small.most == 100);
    const slab_allocator::Rounds large = slab_allocator::rounds_for(100'000, 100);
    REQUIRE(large.least == 1);
    REQUIRE(large.first == 1);
    REQUIRE(large.most == 2);
    const CacheConfig tiny =
        slab_allocator::detail::config_of_magazines({.page_size = 256, .never_destroyed = true});
    REQUIRE(tiny.page_size == 4096);
    REQUIRE(tiny.never_destroyed);
    REQUIRE(slab_allocator::detail::config_of_magazines({.page_size = 16384}).slab_size == 16384);
}

TEST_CASE("shrink gives no retained slab where the magazines gave enough", "[magazine]") {
    using Row = MaskRow<64>;
    TestMemory memory;
    Played<Row> cache(Row::plain(memory));
    std::vector<Row::Type*> objects(1000);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free_bulk(objects);
    const std::size_t given = cache.shrink(1);
    REQUIRE(given > 1);
    REQUIRE(memory.live_slabs() > 0);
    REQUIRE(cache.shrink_to_fit() > 0);
    REQUIRE(memory.live_slabs() == 0);
}

TEST_CASE("what was written to in any magazine is dropped, and what is given is another",
          "[magazine]") {
    using Row = MaskRow<64>;
    DefectCatcher catcher;
    TestMemory memory;
    std::set<const void*> dropped;
    {
        Played<Row> cache(Row::plain(memory));
        std::vector<Row::Type*> objects(400);
        REQUIRE(cache.alloc_bulk(objects));
        cache.free_bulk(objects);
        REQUIRE(catcher.number() == 0);
        for (Row::Type* const object : objects)
            fill_raw(object, std::byte{3}, sizeof(*object));
        REQUIRE(cache.alloc_bulk(objects));
        for (const auto& report : catcher.reports())
            dropped.insert(report.pointer);
        REQUIRE(dropped.size() > 100);  // those of the depot, too
        REQUIRE(dropped.size() == catcher.number());
        for (Row::Type* const object : objects)
            REQUIRE(dropped.count(object) == 0);
        cache.free_bulk(objects);
        REQUIRE(dropped.size() == catcher.number());
    }
    REQUIRE(catcher.reports().back().defect == Defect::Leak);  // nobody has them any more
    REQUIRE(catcher.reports().back().objects_number == dropped.size());
}

TEST_CASE("a thread that found no slot gives none back at its end", "[magazine][threads]") {
    using Cpus = ThreadCpus<1>;
    Cpus::join();
    REQUIRE(Cpus::threads_number() == 1);
    std::thread([] {
        Cpus::join();
        REQUIRE(Cpus::enter().offset != 0);
    }).join();
    REQUIRE(Cpus::threads_number() == 1);
    REQUIRE(Cpus::enter().offset == 0);
}

#if defined(__linux__)
TEST_CASE("where the system refuses a barrier, a policy of threads says so",
          "[magazine][threads]") {
    for (const int command :
         {MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, MEMBARRIER_CMD_PRIVATE_EXPEDITED}) {
        REQUIRE(support::in_child([&] {
            return support::refuse_system_call(SYS_membarrier, 0,
                                               static_cast<std::uint32_t>(command), EPERM) &&
                   ThreadCpus<>::synchronise() == slab_allocator::Reach::own;
        }));
    }
    REQUIRE(ThreadCpus<>::synchronise() == slab_allocator::Reach::objects);
}
#endif
