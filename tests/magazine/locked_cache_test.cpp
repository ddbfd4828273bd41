#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/unlocking_backend.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::BasicLockable;
using slab_allocator::Defect;
using slab_allocator::LockedCache;

namespace {

template <typename Row, typename Lock = std::mutex>
using LockedOf = LockedCache<typename Row::Type, typename Row::Backend, Lock, Row::config>;

/// The backend is called as it stands: the cache's lock is all there is.
template <typename Row>
using BareOf = LockedCache<typename Row::Type, typename Row::Plain, KnownLock, Row::config>;

struct OnlyLock {
    void lock();
};

static_assert(BasicLockable<std::mutex> && BasicLockable<KnownLock>);
static_assert(!BasicLockable<OnlyLock> && !BasicLockable<int>);
static_assert(!std::copyable<LockedOf<MaskRow<64>>> && !std::movable<LockedOf<MaskRow<64>>>);

constinit LockedCache<int, SlabsBackend, std::mutex> in_static_memory;

using LockedPages = slab_allocator::LockedBackend<slab_allocator::AlignedAllocBackend, std::mutex>;

/// Random allocs and frees, single and many, until `steps` are done; then nothing is held.
template <typename Cache>
bool churn(Cache& cache, std::size_t thread, std::size_t steps) {
    Random random(seed() + thread);
    Holding<typename Cache::value_type> holding(thread);
    std::vector<typename Cache::value_type*> many;
    for (std::size_t step = 0; step < steps && holding.right(); ++step) {
        const bool grows = holding.size() < 300 && random.below(100) < (step / 500 % 2 ? 65U : 35U);
        if (random.one_in(50)) {
            many.assign(random.below(40), nullptr);
            if (cache.alloc_bulk(many)) {
                for (auto* const object : many)
                    holding.add(object);
            }
        } else if (random.one_in(50)) {
            many.clear();
            while (holding.size() > 0 && many.size() < 30)
                many.push_back(holding.remove_any(random));
            cache.free_bulk(many);
        } else if (grows) {
            holding.add(cache.alloc());
        } else if (holding.size() > 0) {
            cache.free(holding.remove_any(random));
        } else if (random.one_in(20)) {
            static_cast<void>(cache.shrink(random.below(3)));
        }
    }
    while (holding.size() > 0)
        cache.free(holding.remove_any(random));
    return holding.right();
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("threads that share a locked cache never share an object", "[locked_cache]",
                        EveryThreadRow) {
    DefectCatcher catcher;
    TestMemory memory;
    {
        LockedOf<TestType> cache(TestType::backend(memory));
        std::atomic<std::size_t> right = 0;
        in_threads(4, [&](std::size_t thread) { right += churn(cache, thread, 3000); });
        REQUIRE(right == 4);
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
        cache.shrink_to_fit();
        REQUIRE(memory.live_slabs() == 0);
    }
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("an object freed by another thread than allocated it comes back",
                        "[locked_cache]", EveryThreadRow) {
    using Type = typename TestType::Type;
    DefectCatcher catcher;
    TestMemory memory;
    LockedOf<TestType> cache(TestType::backend(memory));
    std::mutex mutex;
    std::vector<Type*> sent;
    std::atomic<bool> right = true;
    constexpr std::size_t objects_number = 3000;
    in_threads(2, [&](std::size_t thread) {
        for (std::size_t number = 0; number < objects_number;) {
            Type* object = thread == 0 ? cache.alloc() : nullptr;
            if (thread == 0) object->write(number);
            {
                const std::lock_guard guard(mutex);
                if (thread == 0) {
                    sent.insert(sent.begin(), object);
                } else if (!sent.empty()) {
                    object = sent.back();
                    sent.pop_back();
                }
            }
            if (object == nullptr) continue;
            if (thread == 1) {
                if (!object->holds(number)) right = false;
                cache.free(object);
            }
            ++number;
        }
    });
    REQUIRE(right);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("the backend is called with the lock released, the look-ups aside",
                        "[locked_cache]", EveryThreadRow) {
    TestMemory memory;
    std::optional<BareOf<TestType>> cache(std::in_place, TestType::plain(memory));
    std::size_t calls = 0;
    memory.on_call = [&](Call) {
        REQUIRE(KnownLock::held() == 0);
        ++calls;
    };
    std::vector<typename TestType::Type*> objects(3 * cache->objects_per_slab());
    REQUIRE(cache->alloc_bulk(objects));
    REQUIRE(KnownLock::held() == 0);
    cache->free_bulk(objects);
    REQUIRE(cache->reserve(1) >= 1);
    cache->shrink_to_fit();
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(calls >= 6);
    REQUIRE(cache->alloc() != nullptr);
    const std::size_t before = calls;
    REQUIRE(defect_of([&] { cache.reset(); }) ==
            (TestType::config.checks == Checks::none ? Defect::None : Defect::Leak));
    REQUIRE(calls > before);
}

TEMPLATE_LIST_TEST_CASE("between any two steps of a call another thread may call the cache",
                        "[locked_cache][reentrancy]", EveryThreadRow) {
    // In each call of the backend, and so at each place where the lock is released, another thread
    // does what it likes, which calls the backend, and so on.
    DefectCatcher catcher;
    TestMemory memory;
    {
        BareOf<TestType> cache(TestType::plain(memory));
        Random random;
        Holding<typename TestType::Type> holding(0);
        std::size_t depth = 0;
        std::size_t intrusions = 0;  // of this round
        std::size_t all_intrusions = 0;
        const std::size_t most = 4 * cache.objects_per_slab();
        const auto intrude = [&] {
            for (std::size_t count = random.below(4); count > 0 && holding.size() < most; --count)
                holding.add(cache.alloc());
            for (std::size_t count = random.below(4); count > 0 && holding.size() > 0; --count)
                cache.free(holding.remove_any(random));
            if (random.one_in(4)) static_cast<void>(cache.shrink(random.below(3)));
            if (random.one_in(4)) static_cast<void>(cache.owns(nullptr));
        };
        memory.on_call = [&](Call) {
            if (depth == 2 || intrusions == 300) return;
            ++depth;
            ++intrusions;
            ++all_intrusions;
            if (random.one_in(2)) {
                in_another_thread(intrude);
            } else {
                intrude();  // the backend itself
            }
            --depth;
        };
        const struct Quiet {
            TestMemory& memory;
            ~Quiet() { memory.on_call = nullptr; }
        } quiet{memory};
        std::vector<typename TestType::Type*> many;
        for (std::size_t round = 0; round < 12; ++round) {
            intrusions = 0;
            while (holding.size() < most) {
                holding.add(cache.alloc());
                if (!random.one_in(10)) continue;
                many.assign(1 + random.below(most), nullptr);
                REQUIRE(cache.alloc_bulk(many));
                for (auto* const object : many)
                    holding.add(object);
            }
            if (random.one_in(3)) static_cast<void>(cache.reserve(2 * most));
            const std::size_t left = random.below(most);
            while (holding.size() > left) {
                many.clear();
                for (std::size_t count = random.below(9); count > 0 && holding.size() > left;
                     --count) {
                    many.push_back(holding.remove_any(random));
                }
                cache.free_bulk(many);
                if (holding.size() > left) cache.free(holding.remove_any(random));
            }
            REQUIRE(holding.right());
            REQUIRE(cache.validate().defect == Defect::None);
            const std::size_t live = cache.statistics().allocated_objects_number;
            REQUIRE(live == holding.size());  // what the intruders did meanwhile, too
        }
        REQUIRE(all_intrusions > 10);
        memory.on_call = nullptr;
        static_cast<void>(cache.shrink(0));  // forgets what was reserved
        while (holding.size() > 0)
            cache.free(holding.remove(0));
        REQUIRE(holding.right());
        REQUIRE(cache.statistics().free_slabs_number <= TestType::config.retained_free_slabs);
    }
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_LIST_TEST_CASE("a refusing backend makes a locked alloc return null and lose nothing",
                        "[locked_cache]", EveryThreadRow) {
    DefectCatcher catcher;
    for (std::size_t refused = 1;; ++refused) {
        CAPTURE(refused);
        TestMemory memory;
        LockedOf<TestType> cache(TestType::backend(memory));
        memory.refuse(refused, true);
        auto* const object = cache.alloc();
        if (object != nullptr) {
            REQUIRE(refused > 1);
            cache.free(object);
            break;
        }
        REQUIRE(cache.statistics().failures_number == 1);
        REQUIRE(cache.statistics().bytes_held == 0);
        REQUIRE(memory.live_slabs() == 0);
        REQUIRE(memory.live_infos() == 0);
        REQUIRE(memory.saved_pages() == 0);
        memory.refuse_nothing();
        cache.free(cache.alloc());
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("threads go on with what they have when the backend refuses", "[locked_cache]") {
    DefectCatcher catcher;
    TestMemory memory;
    {
        LockedOf<MaskRow<64>> cache(MaskRow<64>::backend(memory));
        REQUIRE(cache.reserve(200) >= 200);
        memory.refuse(1, true);
        std::atomic<std::size_t> right = 0;
        in_threads(4, [&](std::size_t thread) { right += churn(cache, thread, 3000); });
        REQUIRE(right == 4);
        REQUIRE(cache.statistics().failures_number > 0);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("a lock around a backend, or away from it, hides no secret", "[locked_cache]") {
    struct Known {
        std::uint64_t secret() noexcept { return 0x5ec; }
    };
    slab_allocator::LockedBackend<Known, KnownLock> locked;
    slab_allocator::UnlockingBackend<Known, KnownLock> unlocking;
    STATIC_REQUIRE(slab_allocator::backend_has::secret<decltype(locked)>);
    STATIC_REQUIRE(slab_allocator::backend_has::secret<decltype(unlocking)>);
    REQUIRE(locked.secret() == 0x5ec);
    unlocking.lock().lock();
    REQUIRE(unlocking.secret() == 0x5ec);
    unlocking.lock().unlock();
}

TEST_CASE("a locked cache finds wrong frees, and destroys nothing that is not its own",
          "[locked_cache]") {
    static int destroyed_here = 0;
    struct Counted {
        std::uint64_t number = 7;
        ~Counted() { ++destroyed_here; }
    };
    LockedCache<Counted, LockedPages, std::mutex> cache;
    Counted* const object = cache.create();
    REQUIRE(object->number == 7);
    REQUIRE(cache.owns(object));
    cache.destroy(object);
    REQUIRE(destroyed_here == 1);
    REQUIRE(defect_of([&] { cache.free(object); }) == Defect::DoubleFree);
    REQUIRE(defect_of([&] { cache.destroy(object); }) == Defect::DoubleFree);
    REQUIRE(destroyed_here == 1);
    auto* const inside = static_cast<Counted*>(
        static_cast<void*>(static_cast<std::byte*>(static_cast<void*>(object)) + 1));
    const auto report = report_of([&] { cache.free(inside); });
    REQUIRE(report.defect == Defect::InteriorPointer);
    REQUIRE(report.cache == &cache);
    {
        const auto handle = cache.make_unique();
    }
    REQUIRE(destroyed_here == 2);
    cache.destroy(nullptr);
    cache.free(nullptr);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a constructor that throws under a locked cache loses nothing, and may call it",
          "[locked_cache]") {
    struct Thrower {
        explicit Thrower(bool* called) {
            *called = true;
            throw std::runtime_error("no");
        }
        std::byte bytes[64];
    };
    LockedCache<Thrower, LockedPages, KnownLock> cache;
    bool called = false;
    REQUIRE_THROWS_AS(cache.create(&called), std::runtime_error);
    REQUIRE(called);
    REQUIRE(KnownLock::held() == 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("the walk of a locked cache visits every live object", "[locked_cache]") {
    LockedCache<std::uint64_t, LockedPages, KnownLock> cache;
    std::vector<std::uint64_t*> objects(1000);
    REQUIRE(cache.alloc_bulk(objects));
    std::size_t visited = 0;
    cache.for_each([&](std::uint64_t*) {
        REQUIRE(KnownLock::held() == 1);
        ++visited;
    });
    REQUIRE(visited == 1000);
    cache.free_bulk(objects);
    REQUIRE(in_static_memory.objects_per_slab() > 0);
}

TEST_CASE("a locked cache says its numbers", "[locked_cache]") {
    constexpr CacheConfig config{.slab_size = 8192, .object_size_type = ObjectSizeType::Small};
    using Cache = slab_allocator::LockedCache<Object<48>, SlabsBackend, std::mutex, config>;
    REQUIRE(Cache::object_size() == 48);
    REQUIRE(Cache::slab_size() == 8192);
}
