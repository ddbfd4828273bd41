#include <slab_allocator/core/handle.hpp>

#include <stdexcept>
#include <utility>

#include <slab_allocator/core/cache.hpp>

#include <support/any_cache.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/test_memory.hpp>

using namespace support;
using slab_allocator::Cache;
using slab_allocator::Defect;
using slab_allocator::Handle;

namespace {

/// Pages of the program's own, so that a cache can be a constant from the start.
struct StaticPages {
    void* alloc_slab(std::size_t, std::size_t) noexcept {
        alignas(4096) static std::byte pages[4][4096];
        return used == 4 ? nullptr : pages[used++];
    }
    void free_slab(void*, std::size_t, std::size_t) noexcept { --used; }
    std::size_t used = 0;
};

struct Counted {
    static inline std::size_t alive = 0;
    explicit Counted(int number) : value(number) {
        if (number < 0) throw std::invalid_argument("negative");
        ++alive;
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --alive; }
    int value;
};

constexpr CacheConfig one_page{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
using StaticCache = Cache<Counted, StaticPages, one_page>;
constinit StaticCache static_cache;

using CountedCache = Cache<Counted, SlabsBackend, one_page>;

}  // namespace

TEST_CASE("a cache is a constant before the program runs", "[handle][cache]") {
    STATIC_REQUIRE(std::is_nothrow_default_constructible_v<StaticCache>);
    Counted* const counted = static_cache.create(5);
    REQUIRE(counted->value == 5);
    REQUIRE(Counted::alive == 1);
    static_cache.destroy(counted);
    REQUIRE(Counted::alive == 0);
    REQUIRE(static_cache.backend().used == 1);
    REQUIRE(std::as_const(static_cache).backend().used == 1);
}

TEST_CASE("a cache that is never destroyed has nothing to do at exit", "[handle][cache]") {
    constexpr CacheConfig forever{
        .slab_size = 4096, .object_size_type = ObjectSizeType::Small, .never_destroyed = true};
    STATIC_REQUIRE(std::is_trivially_destructible_v<Cache<Counted, StaticPages, forever>>);
    STATIC_REQUIRE(!std::is_trivially_destructible_v<StaticCache>);
}

TEST_CASE("a cache is neither copied nor moved", "[handle][cache]") {
    STATIC_REQUIRE(!std::is_copy_constructible_v<CountedCache>);
    STATIC_REQUIRE(!std::is_move_constructible_v<CountedCache>);
    STATIC_REQUIRE(!std::is_copy_assignable_v<CountedCache>);
    STATIC_REQUIRE(!std::is_move_assignable_v<CountedCache>);
}

TEST_CASE("create constructs and destroy destroys", "[handle][cache]") {
    TestMemory memory;
    CountedCache cache{SlabsBackend{&memory}};
    Counted* const one = cache.create(1);
    Counted* const two = cache.create(2);
    REQUIRE(one->value == 1);
    REQUIRE(two->value == 2);
    REQUIRE(Counted::alive == 2);
    cache.destroy(one);
    cache.destroy(nullptr);
    REQUIRE(Counted::alive == 1);
    cache.destroy(two);
    REQUIRE(Counted::alive == 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a constructor that throws loses nothing", "[handle][cache]") {
    TestMemory memory;
    CountedCache cache{SlabsBackend{&memory}};
    REQUIRE_THROWS_AS(cache.create(-1), std::invalid_argument);
    REQUIRE_THROWS_AS(cache.make_unique(-1), std::invalid_argument);
    REQUIRE_THROWS_AS(slab_allocator::make_unique<static_cache>(-1), std::invalid_argument);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(static_cache.statistics().allocated_objects_number == 0);
    STATIC_REQUIRE(!noexcept(cache.create(1)));
    cache.destroy(cache.create(1));
}

TEST_CASE("create gives nothing where the backend refuses, and constructs nothing",
          "[handle][cache]") {
    TestMemory memory;
    CountedCache cache{SlabsBackend{&memory}};
    memory.refuse(1, true);
    REQUIRE(cache.create(1) == nullptr);
    REQUIRE(!cache.make_unique(1));
    REQUIRE(Counted::alive == 0);
    REQUIRE(cache.statistics().failures_number == 2);
}

TEST_CASE("a second destroy is refused before the destructor runs", "[handle][cache]") {
    TestMemory memory;
    CountedCache cache{SlabsBackend{&memory}};
    Counted* const counted = cache.create(1);
    cache.destroy(counted);
    REQUIRE(defect_of([&] { cache.destroy(counted); }) == Defect::DoubleFree);
    REQUIRE(Counted::alive == 0);
}

TEST_CASE("destroy of a trivial object is a free", "[handle][cache]") {
    TestMemory memory;
    Cache<int, SlabsBackend, one_page> cache{SlabsBackend{&memory}};
    int* const number = cache.create(7);
    REQUIRE(*number == 7);
    cache.destroy(number);
    cache.destroy(nullptr);
    REQUIRE(defect_of([&] { cache.destroy(number); }) == Defect::DoubleFree);
    STATIC_REQUIRE(noexcept(cache.create(7)));
}

TEST_CASE("destroy works where nothing is checked", "[handle][cache]") {
    constexpr CacheConfig unchecked{
        .slab_size = 4096, .object_size_type = ObjectSizeType::Small, .checks = Checks::none};
    TestMemory memory;
    Cache<Counted, SlabsBackend, unchecked> cache{SlabsBackend{&memory}};
    cache.destroy(cache.create(7));
    cache.destroy(nullptr);
    REQUIRE(Counted::alive == 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a handle owns its object", "[handle]") {
    TestMemory memory;
    CountedCache cache{SlabsBackend{&memory}};
    {
        auto one = cache.make_unique(1);
        REQUIRE(one);
        REQUIRE(one->value == 1);
        REQUIRE((*one).value == 1);
        REQUIRE(cache.owns(one.get()));
        auto other = std::move(one);
        REQUIRE(one == nullptr);
        REQUIRE(other != nullptr);
        REQUIRE(Counted::alive == 1);
        one = cache.make_unique(2);
        REQUIRE(Counted::alive == 2);
        other = std::move(one);  // the first one goes
        REQUIRE(Counted::alive == 1);
        REQUIRE(other->value == 2);
        auto& itself = other;
        other = std::move(itself);
        REQUIRE(other->value == 2);
        Counted* const released = other.release();
        REQUIRE(!other);
        REQUIRE(Counted::alive == 1);
        cache.destroy(released);
        other.reset();
        REQUIRE(Counted::alive == 0);
        one = cache.make_unique(3);
        one.reset();
        REQUIRE(Counted::alive == 0);
        other = cache.make_unique(4);
    }
    REQUIRE(Counted::alive == 0);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("a handle that is moved to takes the cache with the object", "[handle]") {
    TestMemory memory;
    CountedCache first{SlabsBackend{&memory}};
    CountedCache second{SlabsBackend{&memory}};
    {
        auto of_first = first.make_unique(1);
        auto of_second = second.make_unique(2);
        of_first = std::move(of_second);
        REQUIRE(first.statistics().allocated_objects_number == 0);
        REQUIRE(second.owns(of_first.get()));
    }
    REQUIRE(second.statistics().allocated_objects_number == 0);
    REQUIRE(Counted::alive == 0);
}

TEST_CASE("the handle of a static cache is one pointer wide", "[handle]") {
    {
        auto one = slab_allocator::make_unique<static_cache>(1);
        STATIC_REQUIRE(sizeof(one) == sizeof(void*));
        REQUIRE(one->value == 1);
        REQUIRE(static_cache.owns(one.get()));
        auto other = std::move(one);
        one = slab_allocator::make_unique<static_cache>(2);
        REQUIRE(Counted::alive == 2);
    }
    REQUIRE(Counted::alive == 0);
}

TEST_CASE("a handle that owns nothing is null and destroys nothing", "[handle]") {
    Handle<Counted, slab_allocator::OwnedBy<CountedCache>> nothing;
    REQUIRE(nothing == nullptr);
    REQUIRE(!nothing);
    REQUIRE(nothing.get() == nullptr);
    nothing.reset();
    STATIC_REQUIRE(!std::is_copy_constructible_v<decltype(nothing)>);
}
