#include <slab_allocator/core/align.hpp>

#include <cstddef>
#include <cstdint>

#include <support/catch.hpp>

using namespace slab_allocator;

TEST_CASE("align_down and align_up are the multiples around a number", "[align]") {
    STATIC_REQUIRE(align_down(4097U, 4096) == 4096);
    STATIC_REQUIRE(align_up(4097U, 4096) == 8192);
    STATIC_REQUIRE(align_up(std::size_t{0}, 8) == 0);
    bool right = true;
    for (std::uint64_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (std::uint64_t value = 0; value < 10'000; ++value) {
            const std::uint64_t down = value / alignment * alignment;
            right = right && align_down(value, alignment) == down &&
                    align_up(value, alignment) == (down == value ? value : down + alignment);
        }
    }
    REQUIRE(right);
}

TEST_CASE("align_down keeps the high half of an address", "[align]") {
    STATIC_REQUIRE(align_down(std::uint64_t{0xffff'8000'1234'5678}, 4096) == 0xffff'8000'1234'5000);
}

TEST_CASE("divide_up rounds up", "[align]") {
    STATIC_REQUIRE(divide_up(0, 64) == 0);
    STATIC_REQUIRE(divide_up(1, 64) == 1);
    STATIC_REQUIRE(divide_up(64, 64) == 1);
    STATIC_REQUIRE(divide_up(65, 64) == 2);
}

TEST_CASE("powers of two are known", "[align]") {
    STATIC_REQUIRE(!is_power_of_two(0));
    volatile std::size_t none = 0;  // a number that comes late
    REQUIRE_FALSE(is_power_of_two(none));
    STATIC_REQUIRE(is_power_of_two(1));
    STATIC_REQUIRE(!is_power_of_two(3));
    STATIC_REQUIRE(is_power_of_two(std::size_t{1} << 63));
}

TEST_CASE("block_of is the start of the aligned block around an address", "[align]") {
    alignas(4096) static std::byte block[2 * 4096];
    REQUIRE(block_of(block, 4096) == block);
    REQUIRE(block_of(block + 4095, 4096) == block);
    REQUIRE(block_of(block + 4096, 4096) == block + 4096);
    REQUIRE(is_aligned(block, 4096));
    REQUIRE(!is_aligned(block + 64, 4096));
    REQUIRE(is_aligned(block + 64, 64));
    REQUIRE(address_of(block + 1) == address_of(block) + 1);
}
