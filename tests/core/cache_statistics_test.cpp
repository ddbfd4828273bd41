#include <slab_allocator/core/cache_statistics.hpp>

#include <support/catch.hpp>

using slab_allocator::CacheStatistics;

TEST_CASE("statistics begin at zero and are compared number by number", "[cache_statistics]") {
    constexpr CacheStatistics zero;
    STATIC_REQUIRE(zero == CacheStatistics{});
    STATIC_REQUIRE(zero.free_slabs_number + zero.partial_slabs_number + zero.full_slabs_number ==
                   0);
    STATIC_REQUIRE(CacheStatistics{.failures_number = 1} != zero);
    STATIC_REQUIRE(CacheStatistics{.bytes_lost = 1} != zero);
}

TEST_CASE("statistics that differ in one number differ", "[cache_statistics]") {
    const CacheStatistics zero;
    CacheStatistics other;
    REQUIRE(zero == other);
    other.bytes_held = 4096;
    REQUIRE_FALSE(zero == other);
    other = zero;
    other.free_slabs_number = 1;
    REQUIRE_FALSE(zero == other);
}

TEST_CASE("statistics of several caches add up, number by number", "[cache_statistics]") {
    CacheStatistics sum{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const CacheStatistics other{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000};
    REQUIRE(&(sum += other) == &sum);
    REQUIRE(sum == CacheStatistics{101, 202, 303, 404, 505, 606, 707, 808, 909, 1010});
    REQUIRE(sum.slabs_number() == 606);
}
