// The numbers and properties that README.md states in words and drawings.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/handle.hpp>

#include <support/catch.hpp>

using namespace slab_allocator;

namespace {

struct Object {
    std::byte bytes[64];
};

template <CacheConfig config>
using CacheOf = Cache<Object, AlignedAllocBackend, config>;

using Small = CacheOf<CacheConfig{.slab_size = 4096, .object_size_type = ObjectSizeType::Small}>;
using Large = CacheOf<CacheConfig{.slab_size = 8192, .object_size_type = ObjectSizeType::Large}>;

constinit CacheOf<CacheConfig{.never_destroyed = true}> static_cache;

}  // namespace

TEST_CASE("the README draws slabs with as many objects as they have", "[readme]") {
    STATIC_REQUIRE(Small::objects_per_slab() == 63);
    STATIC_REQUIRE(Small::slab_size() / sizeof(Object) == 64);
    STATIC_REQUIRE(Large::objects_per_slab() == 128);
    STATIC_REQUIRE(sizeof(SlabInfo) == 128);
}

TEST_CASE("the limits that the README states are those of the library", "[readme]") {
    STATIC_REQUIRE(FreeMap::max_slots == 4096);
    STATIC_REQUIRE(SlabInfo::max_slots == 640);
    STATIC_REQUIRE(Layout::largest_search == std::size_t{64} * 1024);
    for (std::size_t stride = 1; stride <= std::size_t{128} * 1024; ++stride) {
        for (const std::size_t objects : {1U, 3U, 16U, 63U, 1024U}) {
            const std::size_t capacity = cached_capacity(stride, objects);
            REQUIRE(capacity <= 128);
            REQUIRE(capacity * stride <= std::size_t{128} * 1024);
            REQUIRE(capacity <= 4 * objects);
        }
    }
}

TEST_CASE("a cache is neither copied nor moved, and one that is never destroyed has no destructor",
          "[readme]") {
    STATIC_REQUIRE_FALSE(std::copy_constructible<Small>);
    STATIC_REQUIRE_FALSE(std::move_constructible<Small>);
    STATIC_REQUIRE_FALSE(std::is_trivially_destructible_v<Small>);
    STATIC_REQUIRE(sizeof(make_unique<static_cache>()) == sizeof(Object*));
}
