#include <slab_allocator/core/config.hpp>

#include <slab_allocator/core/cache.hpp>

#include <support/any_cache.hpp>
#include <support/catch.hpp>

using namespace slab_allocator;

TEST_CASE("a configuration that chooses nothing has the documented defaults", "[config]") {
    constexpr CacheConfig config;
    STATIC_REQUIRE(config.slab_size == 0);
    STATIC_REQUIRE(config.page_size == 4096);
    STATIC_REQUIRE(config.slab_alignment == 0);
    STATIC_REQUIRE(config.object_size_type == ObjectSizeType::Auto);
    STATIC_REQUIRE(config.retained_free_slabs == 1);
    STATIC_REQUIRE(config.checks == Checks::misuse);
    STATIC_REQUIRE(config.slab_info_lookup == SlabInfoLookup::Auto);
    STATIC_REQUIRE(!config.never_destroyed);
}

TEST_CASE("caches of different configurations are different types", "[config]") {
    using One = support::CacheOf<int, CacheConfig{.slab_size = 4096}>;
    using Other = support::CacheOf<int, CacheConfig{.slab_size = 8192}>;
    STATIC_REQUIRE(!std::is_same_v<One, Other>);
    STATIC_REQUIRE(std::is_same_v<One, support::CacheOf<int, CacheConfig{.slab_size = 4096}>>);
    STATIC_REQUIRE(CacheConfig{.slab_size = 4096} != CacheConfig{.slab_size = 8192});
}
