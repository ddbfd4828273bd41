#include <slab_allocator/core/guards.hpp>

#include <cstdint>

#include <support/catch.hpp>

using slab_allocator::Secret;
namespace detail = slab_allocator::detail;

TEST_CASE("secrets are mixed as SplitMix64 mixes", "[guards]") {
    constexpr std::uint64_t step = 0x9e37'79b9'7f4a'7c15U;  // its first three numbers, from 0 on
    REQUIRE(detail::mixed(step) == 0xe220'a839'7b1d'cdafU);
    REQUIRE(detail::mixed(2 * step) == 0x6e78'9e6a'a1b9'65f4U);
    REQUIRE(detail::mixed(3 * step) == 0x06c4'5d18'8009'454fU);
}

TEST_CASE("a secret is one cache's, and what it makes of an address is one thing's", "[guards]") {
    const int caches[2] = {};
    Secret first;
    Secret second;
    first.seed(17, &caches[0]);
    second.seed(17, &caches[1]);
    REQUIRE(first.of_live(4096) != second.of_live(4096));
    REQUIRE(first.of_live(4096) != first.of_free(4096));
    REQUIRE(first.of_live(4096) != first.of_live(4160));
    REQUIRE(first.of_slab_info(4096) != second.of_slab_info(4096));
    const std::uint64_t before = first.of_live(4096);
    first.seed(18, &caches[0]);  // the first call counts
    REQUIRE(first.of_live(4096) == before);
    REQUIRE(first.next() != first.next());
}
