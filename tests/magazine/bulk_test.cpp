// Many objects at once through magazines: whole runs of them move, and each is checked as one is.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/played_cpus.hpp>
#include <support/poke.hpp>
#include <support/random.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::Checks;
using slab_allocator::Defect;
using slab_allocator::MagazineCache;
using slab_allocator::ThreadCpus;

namespace {

struct CountingLock {
    void lock() noexcept { ++number; }
    void unlock() noexcept {}
    static inline std::size_t number = 0;
};

using Mask = MaskRow<64>;
using Counted = MagazineCache<Mask::Type, Mask::Plain, PlayedCpus<4>, CountingLock, Mask::config>;
using Objects = std::vector<Mask::Type*>;

[[nodiscard]] bool all_different(const Objects& objects) {
    return std::set<Mask::Type*>(objects.begin(), objects.end()).size() == objects.size();
}

}  // namespace

TEST_CASE("a bulk that two magazines serve enters the slot once, and takes no lock",
          "[magazine][bulk]") {
    TestMemory memory;
    Counted cache(Mask::plain(memory));
    Objects objects(2 * cache.depot_statistics().rounds);
    REQUIRE(cache.alloc_bulk(objects));
    cache.free_bulk(objects);
    CountingLock::number = 0;
    for (std::size_t round = 0; round < 10; ++round) {
        cache.cpus().entries = 0;
        REQUIRE(cache.alloc_bulk(objects));
        REQUIRE(all_different(objects));
        REQUIRE(cache.cpus().entries == 1);
        cache.free_bulk(objects);
        REQUIRE(cache.cpus().entries == 2);
    }
    REQUIRE(CountingLock::number == 0);
}

TEST_CASE("whole magazines of a bulk go through the depot, and no slab is asked",
          "[magazine][bulk]") {
    TestMemory memory;
    Counted cache(Mask::plain(memory));
    Objects objects(8 * cache.depot_statistics().rounds);
    REQUIRE(cache.alloc_bulk(objects));
    on_cpu(cache, 1, [&] { cache.free_bulk(objects); });
    on_cpu(cache, 2, [&] { REQUIRE(cache.alloc_bulk(objects)); });  // 6 of 8: two are CPU 1's
    cache.free_bulk(objects);
    const auto before = cache.depot_statistics();
    const std::size_t calls = memory.calls();
    for (std::size_t round = 0; round < 100; ++round) {
        REQUIRE(on_cpu(cache, 2, [&] { return cache.alloc_bulk(objects); }));
        REQUIRE(all_different(objects));
        cache.free_bulk(objects);
    }
    REQUIRE(memory.calls() == calls);
    const std::uint64_t visits = cache.depot_statistics().visits_number - before.visits_number;
    REQUIRE(visits <=
            100 * 2 * 6 +
                1);  // the look itself, and one for each magazine that is not the slot's own
}

TEST_CASE("what magazines do not have comes from the slabs, under one lock", "[magazine][bulk]") {
    TestMemory memory;
    Counted cache(Mask::plain(memory));
    REQUIRE(cache.reserve(1000) >= 1000);
    Objects objects(1000);
    CountingLock::number = 0;
    REQUIRE(cache.alloc_bulk(objects));
    REQUIRE(CountingLock::number <=
            4);  // twice the depot's, the slabs', and in vain the magazines'
    REQUIRE(all_different(objects));
    cache.free_bulk(objects);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("each object of a bulk is checked, and one that is refused stops no other",
          "[magazine][bulk]") {
    TestMemory memory;
    Played<Mask> cache(Mask::plain(memory));
    Played<Mask> other(Mask::plain(memory));
    Objects objects(100);
    REQUIRE(cache.alloc_bulk(objects));
    Mask::Type* const foreign = other.alloc();
    Mask::Type* const freed = cache.alloc();
    cache.free(freed);
    Objects wrong = objects;
    wrong.insert(wrong.begin() + 90, nullptr);
    wrong.insert(wrong.begin() + 70, objects[3]);  // for the second time in this bulk
    wrong.insert(wrong.begin() + 50, foreign);
    wrong.insert(wrong.begin(), freed);
    {
        const DefectCatcher catcher;
        cache.free_bulk(wrong);
        REQUIRE(catcher.number() == 3);
        REQUIRE(catcher.reports()[0].defect == Defect::DoubleFree);
        REQUIRE(catcher.reports()[0].pointer == freed);
        REQUIRE(catcher.reports()[1].defect == Defect::OtherCache);
        REQUIRE(catcher.reports()[2].defect == Defect::DoubleFree);
        REQUIRE(catcher.reports()[2].pointer == objects[3]);
    }
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    other.free(foreign);
}

TEST_CASE("a bulk hands out no object that was freed twice and written between, and is whole",
          "[magazine][bulk]") {
    TestMemory memory;
    Played<Mask> cache(Mask::plain(memory));
    stock_up(cache, 0, 20);
    Mask::Type* const object = cache.alloc();
    Mask::Type* const others[] = {cache.alloc(), cache.alloc(), cache.alloc()};
    cache.free(others[0]);
    cache.free(object);
    fill_raw(object, std::byte{7}, sizeof(*object));
    cache.free(others[1]);
    cache.free(object);  // looks like a live one
    cache.free(others[2]);
    Objects objects(200);
    const auto report = report_of([&] { REQUIRE(cache.alloc_bulk(objects)); });
    REQUIRE(report.defect == Defect::DoubleFree);
    REQUIRE(report.pointer == object);
    REQUIRE(std::count(objects.begin(), objects.end(), object) == 1);
    REQUIRE(all_different(objects));
    cache.free_bulk(objects);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a bulk that the backend refuses is none at all, and takes what all CPUs have before",
          "[magazine][bulk]") {
    DefectCatcher catcher;
    TestMemory memory;
    Played<Mask> cache(Mask::plain(memory));
    Objects objects(4 * cache.objects_per_slab());
    REQUIRE(cache.alloc_bulk(objects));
    for (std::size_t cpu = 0; cpu < 4; ++cpu) {
        const std::size_t size = cache.objects_per_slab();
        on_cpu(cache, cpu, [&] { cache.free_bulk(std::span(objects).subspan(cpu * size, size)); });
    }
    memory.refuse(1, true);
    cache.cpus().cpu = 0;
    Objects all(cache.statistics().free_objects_number);
    on_cpu(cache, 1, [&] {
        REQUIRE(cache.alloc_bulk(all));
        cache.free_bulk(all);
    });
    REQUIRE(on_cpu(cache, 2, [&] { return cache.alloc_bulk(all); }));  // CPU 1's, too
    REQUIRE(all_different(all));
    cache.free_bulk(all);
    Objects too_many(all.size() + 1);
    REQUIRE(!cache.alloc_bulk(too_many));
    REQUIRE(cache.statistics().failures_number == 1);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("where the backend refuses, a bulk has what another CPU's magazines hold",
          "[magazine][bulk]") {
    TestMemory memory;
    Played<Mask> cache(Mask::plain(memory));
    Objects some(2 * cache.depot_statistics().rounds);
    on_cpu(cache, 1, [&] {
        REQUIRE(cache.alloc_bulk(some));
        cache.free_bulk(some);
    });
    Objects all(cache.statistics().free_objects_number);
    on_cpu(cache, 1, [&] {
        REQUIRE(cache.alloc_bulk(some));
        cache.free_bulk(some);  // they lie in its magazines, which it has now
    });
    memory.refuse(1, true);
    REQUIRE(on_cpu(cache, 2, [&] { return cache.alloc_bulk(all); }));
    REQUIRE(all_different(all));
    REQUIRE(cache.statistics().failures_number == 0);
    memory.refuse_nothing();
    cache.free_bulk(all);
}

TEMPLATE_TEST_CASE("bulks of all levels and of objects too small for a token", "[magazine][bulk]",
                   (MaskRow<64, Checks::none>), (MaskRow<64, Checks::debug>), (MaskRow<1>)) {
    using Type = typename TestType::Type;
    DefectCatcher catcher;
    TestMemory memory;
    Played<TestType> cache(TestType::plain(memory));
    std::vector<Type*> objects(700);
    for (std::size_t round = 0; round < 4; ++round) {
        cache.cpus().cpu = round;
        REQUIRE(cache.alloc_bulk(objects));
        for (std::size_t number = 0; number < objects.size(); ++number)
            objects[number]->write(number);
        for (std::size_t number = 0; number < objects.size(); ++number)
            REQUIRE(objects[number]->holds(number));
        if (round % 2 == 1) objects.push_back(nullptr);
        cache.free_bulk(objects);
        objects.resize(700);
    }
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    memory.refuse(1, true);
    std::vector<Type*> too_many(5000);
    REQUIRE(!cache.alloc_bulk(too_many));
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("threads that exchange bulks never share an object", "[magazine][bulk][threads]") {
    DefectCatcher catcher;
    TestMemory memory;
    MagazineCache<Mask::Type, Mask::Backend, ThreadCpus<>, std::mutex, Mask::config> cache(
        Mask::backend(memory));
    std::mutex mutex;
    Objects sent;
    std::atomic<bool> right = true;
    in_threads(4, [&](std::size_t thread) {
        Random random(seed() + thread);
        Objects mine;
        for (std::size_t step = 0; step < 500; ++step) {
            mine.resize(1 + random.below(100));
            if (!cache.alloc_bulk(mine)) right = false;
            for (Mask::Type* const object : mine)
                object->write(thread * 1000 + step);
            if (random.one_in(50)) cache.tick();
            if (random.one_in(200)) static_cast<void>(cache.shrink_to_fit());
            for (Mask::Type* const object : mine) {
                if (!object->holds(thread * 1000 + step)) right = false;
            }
            {
                const std::lock_guard guard(mutex);
                std::swap(sent, mine);
            }
            cache.free_bulk(mine);
        }
    });
    cache.free_bulk(sent);
    REQUIRE(right);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}
