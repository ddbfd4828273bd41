#include <slab_allocator/core/secret.hpp>

#include <cstdint>

#include <support/catch.hpp>

using slab_allocator::Secret;
namespace detail = slab_allocator::detail;

namespace {

struct Known {
    std::uint64_t value;
    [[nodiscard]] std::uint64_t secret() const noexcept { return value; }
};

}  // namespace

TEST_CASE("secrets are mixed as SplitMix64 mixes", "[secret]") {
    constexpr std::uint64_t step = 0x9e37'79b9'7f4a'7c15U;  // its first three numbers, from 0 on
    REQUIRE(detail::mixed(step) == 0xe220'a839'7b1d'cdafU);
    REQUIRE(detail::mixed(2 * step) == 0x6e78'9e6a'a1b9'65f4U);
    REQUIRE(detail::mixed(3 * step) == 0x06c4'5d18'8009'454fU);
}

TEST_CASE("a secret is one cache's, and what it makes of an address is one thing's", "[secret]") {
    const int caches[2] = {};
    Secret first;
    Secret second;
    Known seventeen{17};
    first.seed(seventeen, nullptr, &caches[0]);
    second.seed(seventeen, nullptr, &caches[1]);
    REQUIRE(first.of_live(4096) != second.of_live(4096));
    REQUIRE(first.of_live(4096) != first.of_free(4096));
    REQUIRE(first.of_live(4096) != first.of_live(4160));
    REQUIRE(first.of_slab_info(4096) != second.of_slab_info(4096));
    const std::uint64_t before = first.of_live(4096);
    Known eighteen{18};
    first.seed(eighteen, nullptr, &caches[0]);  // the first call counts
    REQUIRE(first.of_live(4096) == before);
    REQUIRE(first.next() != first.next());
}

TEST_CASE("without a backend's secret, a secret is of the addresses of cache and slab",
          "[secret]") {
    struct {
    } backend;
    const std::byte slabs[2] = {};
    const int caches[2] = {};
    const auto of = [&](int slab, int cache) {
        Secret secret;
        secret.seed(backend, &slabs[slab], &caches[cache]);
        return secret.of_live(0);
    };
    REQUIRE(of(0, 0) == of(0, 0));
    REQUIRE(of(0, 0) != of(1, 0));
    REQUIRE(of(0, 0) != of(0, 1));
    REQUIRE(of(0, 0) != 0);
}
