// The promises of maps/radix_map.hpp.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

#include <slab_allocator/maps/radix_map.hpp>
#include <support/catch.hpp>

#include "map_promises.hpp"

using namespace slab_allocator;
using namespace slab_allocator::test;

namespace {

constexpr std::uint64_t seed = 20240302;
constexpr std::size_t levels = 3;  // of the default tree

constinit RadixMap<HeapPages> static_map;
constinit RadixMap<HeapPages, 4096, 48, true> kernel_map;

/// Pages of both halves, side by side and far apart.
std::vector<std::uintptr_t> mixed_pages(std::size_t page_size) {
    std::vector<std::uintptr_t> pages = pages_from(0, 2000, page_size);
    append(pages, pages_from(0x7F0000000000 - 1000 * page_size, 4000, page_size));
    append(pages, pages_from(0xFFFFFFFFFFFFFFFF - 1000 * page_size + 1, 1000, page_size));
    append(pages, pages_from(0xFFFF800000000000, 1000, page_size, 16));
    append(pages, pages_from(0x00007FFFFFFFFFFF - 500 * page_size + 1, 1000, page_size));
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < 200; ++i) {
        const std::uintptr_t low =
            align_down(static_cast<std::uintptr_t>(random() >> 16), page_size);
        pages.push_back(low);
        pages.push_back(low | 0xFFFF000000000000);  // the same 48 bits, the other half
    }
    return pages;
}

template <typename Map>
bool holds(Map& map, std::uintptr_t page_addr) {
    if (!map.save_slab_info_ptr(page_addr, some_slab_info(1))) return false;
    const bool held = map.get_slab_info_ptr(page_addr) == some_slab_info(1);
    map.delete_slab_info_ptr(page_addr);
    return held && map.get_slab_info_ptr(page_addr) == nullptr;
}

}  // namespace

TEST_CASE("a radix map is a slab info map that a static can hold", "[radix_map]") {
    STATIC_REQUIRE(SlabInfoMap<RadixMap<HeapPages>>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<RadixMap<HeapPages>>);
    STATIC_REQUIRE(!std::is_trivially_destructible_v<RadixMap<HeapPages>>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<RadixMap<HeapPages, 4096, 48, true>>);
    STATIC_REQUIRE(!std::is_default_constructible_v<RadixMap<LedgerPages>>);

    REQUIRE(static_map.get_slab_info_ptr(0x5000) == nullptr);
    REQUIRE(holds(static_map, 0x5000));
    REQUIRE(holds(kernel_map, 0x5000));
    REQUIRE(kernel_map.shrink() == levels);
}

TEST_CASE("an empty radix map answers every question and holds no memory", "[radix_map]") {
    Ledger ledger;
    RadixMap<LedgerPages> map{LedgerPages{ledger}};
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < 10'000; ++i) {
        const std::uintptr_t page_addr = align_down(static_cast<std::uintptr_t>(random()), 4096);
        map.delete_slab_info_ptr(page_addr);
        REQUIRE(map.get_slab_info_ptr(page_addr) == nullptr);
    }
    REQUIRE(map.save_slab_info_ptr(0x5000, nullptr));
    REQUIRE(map.shrink() == 0);
    REQUIRE(ledger.requests_number == 0);
}

TEST_CASE("a radix map answers as std::unordered_map does", "[radix_map]") {
    CAPTURE(seed);
    Ledger ledger;
    {
        RadixMap<LedgerPages> map{LedgerPages{ledger}};
        REQUIRE(first_difference(map, mixed_pages(4096), seed) == 0);
    }
    REQUIRE(ledger.balanced());
}

TEST_CASE("a radix map answers as std::unordered_map does with pages of 16 KiB", "[radix_map]") {
    CAPTURE(seed);
    Ledger ledger;
    {
        RadixMap<LedgerPages, 16384> map{LedgerPages{ledger}};
        REQUIRE(first_difference(map, mixed_pages(16384), seed) == 0);
    }
    REQUIRE(ledger.balanced());
}

TEST_CASE("a radix map answers as std::unordered_map does with any number of address bits",
          "[radix_map]") {
    CAPTURE(seed);
    const std::vector<std::uintptr_t> pages = pages_from(std::uintptr_t{0} - 4096 * 2000, 4000);
    const auto agrees = [&]<std::size_t address_bits>() {
        Ledger ledger;
        {
            RadixMap<LedgerPages, 4096, address_bits> map{LedgerPages{ledger}};
            if (first_difference(map, pages, seed, 50'000) != 0) return false;
        }
        return ledger.balanced();
    };
    REQUIRE(agrees.operator()<24>());
    REQUIRE(agrees.operator()<25>());
    REQUIRE(agrees.operator()<30>());
    REQUIRE(agrees.operator()<39>());
    REQUIRE(agrees.operator()<57>());
    REQUIRE(agrees.operator()<63>());
    REQUIRE(agrees.operator()<64>());
}

TEST_CASE("a radix map holds the lower and the upper half, and no address between", "[radix_map]") {
    Ledger ledger;
    RadixMap<LedgerPages> map{LedgerPages{ledger}};
    for (const std::uintptr_t good :
         {std::uintptr_t{0}, std::uintptr_t{0x00007FFFFFFFF000}, std::uintptr_t{0x0000800000000000},
          std::uintptr_t{0x0000FFFFFFFFF000}, std::uintptr_t{0xFFFF000000000000},
          std::uintptr_t{0xFFFF7FFFFFFFF000}, std::uintptr_t{0xFFFF800000000000},
          std::uintptr_t{0xFFFFFFFF80000000}, std::uintptr_t{0xFFFFFFFFFFFFF000}}) {
        CAPTURE(good);
        REQUIRE(holds(map, good));
    }
    const std::size_t requests_number = ledger.requests_number;
    for (const std::uintptr_t bad :
         {std::uintptr_t{0x0001000000000000}, std::uintptr_t{0x0001800000000000},
          std::uintptr_t{0x4000000000000000}, std::uintptr_t{0x7FFFFFFFFFFFF000},
          std::uintptr_t{0x8000000000000000}, std::uintptr_t{0xFFFE800000000000},
          std::uintptr_t{0xFFFEFFFFFFFFF000}}) {
        CAPTURE(bad);
        REQUIRE(!map.save_slab_info_ptr(bad, some_slab_info(1)));
        REQUIRE(!map.save_slab_info_ptr(bad, nullptr));
        map.delete_slab_info_ptr(bad);
        REQUIRE(map.get_slab_info_ptr(bad) == nullptr);
    }
    REQUIRE(ledger.requests_number == requests_number);

    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
    for (std::size_t bit = 48; bit < 64; ++bit) {
        REQUIRE(map.get_slab_info_ptr(0x5000 + (std::uintptr_t{1} << bit)) == nullptr);
        map.delete_slab_info_ptr(0x5000 + (std::uintptr_t{1} << bit));
    }
    REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(1));
}

TEST_CASE("with 64 address bits every address is good", "[radix_map]") {
    Ledger ledger;
    RadixMap<LedgerPages, 4096, 64> map{LedgerPages{ledger}};
    for (std::size_t bit = 12; bit < 64; ++bit) {
        REQUIRE(holds(map, std::uintptr_t{1} << bit));
        REQUIRE(holds(map, std::uintptr_t{0} - (std::uintptr_t{1} << bit)));
    }
}

TEST_CASE("a radix map that is refused a node is as it was before, and later saves",
          "[radix_map]") {
    for (std::size_t refused = 1; refused <= levels; ++refused) {
        CAPTURE(refused);
        Ledger ledger;
        RadixMap<LedgerPages> map{LedgerPages{ledger}};
        ledger.refuse(refused);
        REQUIRE(!map.save_slab_info_ptr(0x5000, some_slab_info(1)));
        REQUIRE(ledger.requests_number == refused);
        REQUIRE(ledger.balanced());
        REQUIRE(map.get_slab_info_ptr(0x5000) == nullptr);
        REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
        REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(1));
    }
}

TEST_CASE("a radix map that is refused a further node keeps the ones it has", "[radix_map]") {
    const std::uintptr_t other_leaf = 0x5000 + (std::uintptr_t{1} << 24);
    const std::uintptr_t other_half = 0xFFFF800000000000;
    for (std::size_t refused = 1; refused < levels; ++refused) {
        CAPTURE(refused);
        Ledger ledger;
        RadixMap<LedgerPages> map{LedgerPages{ledger}};
        REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
        const std::size_t bytes = ledger.bytes;
        ledger.refuse(refused);
        REQUIRE(!map.save_slab_info_ptr(other_half, some_slab_info(2)));
        REQUIRE(ledger.bytes == bytes);
        REQUIRE(map.get_slab_info_ptr(other_half) == nullptr);
        ledger.refuse(1);
        REQUIRE(!map.save_slab_info_ptr(other_leaf, some_slab_info(3)));
        REQUIRE(ledger.bytes == bytes);
        REQUIRE(map.get_slab_info_ptr(other_leaf) == nullptr);
        REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(1));
        REQUIRE(map.save_slab_info_ptr(other_half, some_slab_info(2)));
        REQUIRE(map.save_slab_info_ptr(other_leaf, some_slab_info(3)));
        REQUIRE(map.get_slab_info_ptr(other_half) == some_slab_info(2));
        REQUIRE(map.get_slab_info_ptr(other_leaf) == some_slab_info(3));
    }
}

TEST_CASE("saving a page of a radix map again overwrites, and saving null deletes", "[radix_map]") {
    Ledger ledger;
    RadixMap<LedgerPages> map{LedgerPages{ledger}};
    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(2)));
    map.delete_slab_info_ptr(0x6000);
    map.delete_slab_info_ptr(0x7F0000000000);
    REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(2));
    REQUIRE(map.save_slab_info_ptr(0x5000, nullptr));
    REQUIRE(map.get_slab_info_ptr(0x5000) == nullptr);
    REQUIRE(ledger.requests_number == levels);
}

TEST_CASE("shrink gives back every node that no page needs, and no other", "[radix_map]") {
    Ledger ledger;
    RadixMap<LedgerPages> map{LedgerPages{ledger}};
    MapAndModel<RadixMap<LedgerPages>> both(map);
    const std::vector<std::uintptr_t> pages = mixed_pages(4096);
    for (std::size_t i = 0; i < pages.size(); ++i)
        REQUIRE(both.save(pages[i], some_slab_info(i)));
    REQUIRE(map.shrink() == 0);
    for (std::size_t i = 1; i < pages.size(); ++i) {
        if (pages[i] != pages[0]) both.erase(pages[i]);
    }
    const std::size_t nodes_number = ledger.runs.size();
    REQUIRE(map.shrink() == nodes_number - levels);
    REQUIRE(ledger.runs.size() == levels);
    REQUIRE(both.agree(pages));
    both.erase(pages[0]);
    REQUIRE(map.shrink() == levels);
    REQUIRE(ledger.balanced());
    REQUIRE(both.save(pages[0], some_slab_info(1)));
    REQUIRE(both.agree(pages));
}

TEST_CASE("readers without a lock see a page whole or not at all", "[radix_map]") {
    constexpr std::size_t pages_number = 512;
    constexpr std::size_t stride = 4096 + 1;  // each page in its own leaf
    constexpr std::size_t rounds = 20;
    const std::vector<std::uintptr_t> pages =
        pages_from(0x00007F0000000000, pages_number, 4096, stride);
    Ledger ledger;
    RadixMap<LedgerPages> map{LedgerPages{ledger}};
    std::vector<SlabInfo> slab_infos(pages_number);
    std::vector<std::byte> slabs(pages_number);  // what a reader expects in the SlabInfo
    std::atomic<bool> finished = false;
    std::atomic<std::size_t> seen = 0;
    std::atomic<std::size_t> wrong = 0;

    const auto read = [&](std::uint64_t reader) {
        std::mt19937_64 random(seed + reader);
        while (!finished) {
            const std::size_t i = random() % pages_number;
            const SlabInfo* const slab_info = map.get_slab_info_ptr(pages[i]);
            if (slab_info == nullptr) continue;
            if (slab_info->slab != &slabs[i]) ++wrong;
            ++seen;
        }
    };
    std::thread first(read, 1);
    std::thread second(read, 2);
    for (std::size_t i = 0; i < pages_number; ++i) {
        slab_infos[i].slab = &slabs[i];
        if (!map.save_slab_info_ptr(pages[i], &slab_infos[i])) ++wrong;
        if (i % 64 == 0) std::this_thread::yield();
    }
    for (std::size_t round = 0; round < rounds || seen == 0; ++round) {
        for (const std::uintptr_t page_addr : pages)
            map.delete_slab_info_ptr(page_addr);
        for (std::size_t i = 0; i < pages_number; ++i) {
            if (!map.save_slab_info_ptr(pages[i], &slab_infos[i])) ++wrong;
        }
        std::this_thread::yield();
    }
    finished = true;
    first.join();
    second.join();
    REQUIRE(wrong == 0);
    REQUIRE(seen > 0);
}
