#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include <slab_allocator/adaptors/smart_pointers.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/handle.hpp>

#include <adaptors/conformance.hpp>

using namespace conformance;
using slab_allocator::AlignedAllocBackend;
using slab_allocator::Cache;
using slab_allocator::Deleter;
using slab_allocator::make_shared_in;
using slab_allocator::make_unique_in;
using slab_allocator::OwnedBy;
using slab_allocator::OwnedByStatic;
using slab_allocator::StaticPool;

namespace {

constinit Pool<AlignedAllocBackend> static_pool;
constinit Cache<Tracked, AlignedAllocBackend> static_cache;

struct Picky {
    explicit Picky(bool throws) {
        if (throws) throw std::runtime_error("no");
    }
};

}  // namespace

TEST_CASE("a unique_ptr in a pool is one pointer wide where the pool has a name",
          "[smart_pointers]") {
    InPool here;
    {
        auto held = make_unique_in<Tracked>(here.pool, 3);
        auto named = make_unique_in<Tracked>(StaticPool<static_pool>{}, 4);
        STATIC_REQUIRE(sizeof(held) == 2 * sizeof(void*));
        STATIC_REQUIRE(sizeof(named) == sizeof(void*));
        STATIC_REQUIRE(std::same_as<decltype(held)::pointer, Tracked*>);
        CHECK((held->number() == 3 && named->number() == 4));
        CHECK((here.live_blocks() == 1 && Tracked::live == 2));
        auto moved = std::move(held);
        CHECK((held == nullptr && moved->number() == 3));
        moved.reset();
        CHECK((here.live_blocks() == 0 && Tracked::live == 1));
    }
    CHECK(static_pool.statistics().allocated_objects_number == 0);
}

TEST_CASE("a Deleter makes a unique_ptr own an object of a cache", "[smart_pointers]") {
    Cache<Tracked, AlignedAllocBackend> cache;
    using Held = std::unique_ptr<Tracked, Deleter<OwnedBy<Cache<Tracked, AlignedAllocBackend>>>>;
    using Named = std::unique_ptr<Tracked, Deleter<OwnedByStatic<static_cache>>>;
    STATIC_REQUIRE(sizeof(Named) == sizeof(void*));
    {
        const Held held(cache.create(1), {{&cache}});
        const Named named(static_cache.create(2));
        CHECK((cache.owns(held.get()) && static_cache.owns(named.get())));
    }
    CHECK(Tracked::live == 0);
    CHECK(cache.statistics().allocated_objects_number == 0);
    CHECK(static_cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a shared_ptr and its counts are one node", "[smart_pointers]") {
    InPool here;
    std::weak_ptr<Tracked> weak;
    {
        const auto shared = make_shared_in<Tracked>(here.pool, 5);
        const auto named = make_shared_in<Tracked>(StaticPool<static_pool>{}, 6);
        weak = shared;
        const std::vector<std::shared_ptr<Tracked>> copies(10, shared);
        CHECK((here.live_blocks() == 1 && shared.use_count() == 11));
        CHECK(named->number() == 6);
        const std::shared_ptr<Tracked> adopted(
            here.pool.create<Tracked>(7), [&](Tracked* object) { here.pool.destroy(object); },
            here.allocator<Tracked>());
        CHECK(here.live_blocks() == 3);
    }
    CHECK(Tracked::live == 0);
    CHECK((weak.expired() && here.live_blocks() == 1));  // the counts live as long as the weak one
    weak.reset();
    CHECK(here.live_blocks() == 0);
    CHECK(static_pool.statistics().allocated_objects_number == 0);
}

TEST_CASE("what throws on the way to a smart pointer loses nothing", "[smart_pointers]") {
    InPool here;
    CHECK_THROWS_AS(make_unique_in<Picky>(here.pool, true), std::runtime_error);
    CHECK_THROWS_AS(make_shared_in<Picky>(here.pool, true), std::runtime_error);
    CHECK(here.live_blocks() == 0);
    here.pool.shrink_to_fit();
    here.memory.refuse(1, true);
    CHECK_THROWS_AS(make_unique_in<Tracked>(here.pool, 1), std::bad_alloc);
    CHECK_THROWS_AS(make_shared_in<Tracked>(here.pool, 1), std::bad_alloc);
    here.memory.refuse_nothing();
    CHECK((here.live_blocks() == 0 && Tracked::live == 0));
}
