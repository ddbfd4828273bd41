// The promises of maps/flat_map.hpp.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

#include <slab_allocator/maps/flat_map.hpp>
#include <support/catch.hpp>

#include "map_promises.hpp"

using namespace slab_allocator;
using namespace slab_allocator::test;

namespace {

constexpr std::uint64_t seed = 20240301;

alignas(4096) std::byte region[8 * 4096];
SlabInfo* region_slab_infos[8];
SlabInfo* high_slab_infos[4];

constinit FlatMap<> region_map(region, sizeof region, region_slab_infos);
constinit FlatMap<> high_map(0xFFFF800000000000, 4 * 4096, high_slab_infos);
constinit FlatMapOf<8> own_array_map(region);
constinit FlatMapOf<8> low_map(0);
constinit FlatMap<> boot_map;

/// Does the map hold exactly the pages of the region, each by itself?
template <typename Map>
bool holds_exactly(Map& map, std::uintptr_t base, std::size_t pages_number,
                   std::size_t page_size = 4096) {
    for (std::size_t i = 0; i < pages_number; ++i) {
        if (!map.save_slab_info_ptr(base + i * page_size, some_slab_info(i))) return false;
    }
    const std::uintptr_t end = base + pages_number * page_size;
    for (const std::uintptr_t outside :
         {base - page_size, end, end + page_size, base ^ (std::uintptr_t{1} << 63),
          std::numeric_limits<std::uintptr_t>::max() / 2}) {
        if (map.save_slab_info_ptr(outside, some_slab_info(99))) return false;
        map.delete_slab_info_ptr(outside);
        if (map.get_slab_info_ptr(outside) != nullptr) return false;
    }
    for (std::size_t i = 0; i < pages_number; ++i) {
        if (map.get_slab_info_ptr(base + i * page_size) != some_slab_info(i)) return false;
        map.delete_slab_info_ptr(base + i * page_size);
        if (map.get_slab_info_ptr(base + i * page_size) != nullptr) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("a flat map is a slab info map that a static can hold", "[flat_map]") {
    STATIC_REQUIRE(SlabInfoMap<FlatMap<>>);
    STATIC_REQUIRE(SlabInfoMap<FlatMapOf<8>>);
    STATIC_REQUIRE(std::is_trivially_copyable_v<FlatMap<>>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<FlatMapOf<8>>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<FlatMapOf<8>>);
    STATIC_REQUIRE(noexcept(region_map.get_slab_info_ptr(0)));
}

TEST_CASE("a flat map holds every page of its region and none outside", "[flat_map]") {
    REQUIRE(holds_exactly(region_map, address_of(region), 8));
    REQUIRE(holds_exactly(high_map, 0xFFFF800000000000, 4));
    REQUIRE(holds_exactly(own_array_map, address_of(region), 8));
    REQUIRE(holds_exactly(low_map, 0, 8));
}

TEST_CASE("a flat map may cover the last page of all", "[flat_map]") {
    FlatMapOf<4> map(std::uintptr_t{0} - 4 * 4096);
    REQUIRE(holds_exactly(map, std::uintptr_t{0} - 4 * 4096, 4));
}

TEST_CASE("a flat map writes to the entry of the page and to no other", "[flat_map]") {
    SlabInfo* slab_infos[4] = {};
    FlatMap<> map(0x10000, 4 * 4096, slab_infos);
    REQUIRE(map.save_slab_info_ptr(0x12000, some_slab_info(1)));
    REQUIRE(slab_infos[0] == nullptr);
    REQUIRE(slab_infos[1] == nullptr);
    REQUIRE(slab_infos[2] == some_slab_info(1));
    REQUIRE(slab_infos[3] == nullptr);
}

TEST_CASE("a page that the region ends in is outside of it", "[flat_map]") {
    SlabInfo* slab_infos[2] = {};
    FlatMap<> map(0x10000, 2 * 4096 + 4095, slab_infos);
    REQUIRE(map.save_slab_info_ptr(0x11000, some_slab_info(1)));
    REQUIRE(!map.save_slab_info_ptr(0x12000, some_slab_info(1)));
}

TEST_CASE("a flat map without a region answers every question, and reset gives it one",
          "[flat_map]") {
    for (const std::uintptr_t page_addr :
         {std::uintptr_t{0}, std::uintptr_t{0x1000}, address_of(region)}) {
        REQUIRE(boot_map.get_slab_info_ptr(page_addr) == nullptr);
        REQUIRE(!boot_map.save_slab_info_ptr(page_addr, some_slab_info(1)));
        boot_map.delete_slab_info_ptr(page_addr);
    }
    std::vector<SlabInfo*> slab_infos(16, nullptr);
    boot_map.reset(0x100000, 16 * 4096, slab_infos.data());
    REQUIRE(holds_exactly(boot_map, 0x100000, 16));
    boot_map.reset(region, sizeof region, slab_infos.data());
    REQUIRE(holds_exactly(boot_map, address_of(region), 8));
    boot_map.reset(0, 0, nullptr);
    REQUIRE(boot_map.get_slab_info_ptr(0) == nullptr);
}

TEST_CASE("saving a page of a flat map again overwrites", "[flat_map]") {
    FlatMapOf<2> map(0x10000);
    REQUIRE(map.save_slab_info_ptr(0x10000, some_slab_info(1)));
    REQUIRE(map.save_slab_info_ptr(0x10000, some_slab_info(2)));
    map.delete_slab_info_ptr(0x11000);
    REQUIRE(map.get_slab_info_ptr(0x10000) == some_slab_info(2));
}

TEST_CASE("a flat map answers as std::unordered_map does", "[flat_map]") {
    CAPTURE(seed);
    std::vector<SlabInfo*> slab_infos(5000, nullptr);
    FlatMap<> map(0x7F0000000000, 5000 * 4096, slab_infos.data());
    REQUIRE(first_difference(map, pages_from(0x7F0000000000, 5000), seed) == 0);
}

TEST_CASE("a flat map answers as std::unordered_map does with pages of 16 KiB", "[flat_map]") {
    CAPTURE(seed);
    std::vector<SlabInfo*> slab_infos(5000, nullptr);
    FlatMap<16384> map(0xFFFF888000000000, 5000 * 16384, slab_infos.data());
    REQUIRE(first_difference(map, pages_from(0xFFFF888000000000, 5000, 16384), seed) == 0);
    REQUIRE(holds_exactly(map, 0xFFFF888000000000, 5000, 16384));
}

TEST_CASE("a reader of a flat map without a lock sees a page whole or not at all", "[flat_map]") {
    FlatMapOf<1> map(0x10000);
    SlabInfo slab_info;
    std::atomic<bool> seen = false;
    std::atomic<bool> wrong = false;
    std::thread reader([&] {
        while (!seen) {
            const SlabInfo* const found = map.get_slab_info_ptr(0x10000);
            if (found == nullptr) continue;
            if (found->slab != region) wrong = true;
            seen = true;
        }
    });
    slab_info.slab = region;
    while (!seen) {
        if (!map.save_slab_info_ptr(0x10000, &slab_info)) wrong = true;
        std::this_thread::yield();
        map.delete_slab_info_ptr(0x10000);
    }
    reader.join();
    REQUIRE(!wrong);
}
