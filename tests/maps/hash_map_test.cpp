// The promises of maps/hash_map.hpp.

#include <cstddef>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include <slab_allocator/maps/hash_map.hpp>
#include <support/catch.hpp>

#include "map_promises.hpp"

using namespace slab_allocator;
using namespace slab_allocator::test;

namespace {

constexpr std::uint64_t seed = 20240229;

constinit HashMap<HeapPages> static_map;
constinit HashMap<HeapPages, 4096, true> kernel_map;

/// Pages of all kinds: side by side, far apart, in steps of powers of two, high and low.
std::vector<std::uintptr_t> mixed_pages(std::size_t page_size) {
    std::vector<std::uintptr_t> pages = pages_from(0, 2000, page_size);
    append(pages, pages_from(0x7F0000000000, 4000, page_size));
    append(pages, pages_from(0xFFFF800000000000, 2000, page_size, 16));
    append(pages, pages_from(0xFFFFFFFF80000000, 500, page_size, 512));
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < 3000; ++i) {
        pages.push_back(align_down(static_cast<std::uintptr_t>(random()), page_size));
    }
    return pages;
}

}  // namespace

TEST_CASE("a hash map is a slab info map that a static can hold", "[hash_map]") {
    STATIC_REQUIRE(SlabInfoMap<HashMap<HeapPages>>);
    STATIC_REQUIRE(SlabInfoMap<HashMap<LedgerPages, 16384>>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<HashMap<HeapPages>>);
    STATIC_REQUIRE(!std::is_trivially_destructible_v<HashMap<HeapPages>>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<HashMap<HeapPages, 4096, true>>);
    STATIC_REQUIRE(!std::is_default_constructible_v<HashMap<LedgerPages>>);

    REQUIRE(static_map.get_slab_info_ptr(0x5000) == nullptr);
    REQUIRE(static_map.save_slab_info_ptr(0x5000, some_slab_info(1)));
    REQUIRE(static_map.get_slab_info_ptr(0x5000) == some_slab_info(1));

    REQUIRE(kernel_map.save_slab_info_ptr(0x5000, some_slab_info(2)));
    REQUIRE(kernel_map.get_slab_info_ptr(0x5000) == some_slab_info(2));
    kernel_map.delete_slab_info_ptr(0x5000);  // the last page takes the table with it
}

TEST_CASE("an empty hash map answers every question and holds no memory", "[hash_map]") {
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    for (const std::uintptr_t page_addr : mixed_pages(4096)) {
        map.delete_slab_info_ptr(page_addr);
        if (map.get_slab_info_ptr(page_addr) != nullptr) FAIL(page_addr);
    }
    REQUIRE(ledger.requests_number == 0);
}

TEST_CASE("a hash map answers as std::unordered_map does", "[hash_map]") {
    CAPTURE(seed);
    Ledger ledger;
    {
        HashMap<LedgerPages> map{LedgerPages{ledger}};
        REQUIRE(first_difference(map, mixed_pages(4096), seed) == 0);
        REQUIRE(ledger.balanced());
        REQUIRE(map.save_slab_info_ptr(0, some_slab_info(0)));
    }
    REQUIRE(ledger.balanced());
}

TEST_CASE("a hash map answers as std::unordered_map does with pages of 16 KiB", "[hash_map]") {
    CAPTURE(seed);
    Ledger ledger;
    HashMap<LedgerPages, 16384> map{LedgerPages{ledger}};
    REQUIRE(first_difference(map, mixed_pages(16384), seed) == 0);
    REQUIRE(ledger.balanced());
}

// A table of 16 that may not grow is full of runs that wrap around.
TEST_CASE("a hash map that may not grow fails only when one entry is left", "[hash_map]") {
    CAPTURE(seed);
    constexpr std::size_t page_size = 16 * 2 * sizeof(void*);
    std::mt19937_64 random(seed);
    for (std::size_t round = 0; round < 200; ++round) {
        Ledger ledger;
        HashMap<LedgerPages, page_size> map{LedgerPages{ledger}};
        MapAndModel<HashMap<LedgerPages, page_size>> both(map);
        std::vector<std::uintptr_t> pages = {0};
        while (pages.size() < 24) {
            pages.push_back(align_down(static_cast<std::uintptr_t>(random()), page_size));
        }
        REQUIRE(both.save(0, some_slab_info(0)));
        ledger.refuse_all();
        for (std::size_t operation = 0; operation < 2000; ++operation) {
            const std::uintptr_t page_addr = pages[1 + random() % 23];
            const bool room = both.has(page_addr) || both.size() < 15;
            if (random() % 8 < 5) {
                REQUIRE(both.save(page_addr, some_slab_info(random())) == room);
            } else {
                both.erase(page_addr);
            }
            REQUIRE(both.agree(pages));
        }
        for (const std::uintptr_t page_addr : pages)
            both.erase(page_addr);
        REQUIRE(ledger.balanced());
    }
}

TEST_CASE("a hash map whose first table is refused saves nothing, and later does", "[hash_map]") {
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    for (const std::uintptr_t page_addr : mixed_pages(4096)) {
        ledger.refuse(1);
        if (map.save_slab_info_ptr(page_addr, some_slab_info(1))) FAIL(page_addr);
        if (map.get_slab_info_ptr(page_addr) != nullptr) FAIL(page_addr);
    }
    REQUIRE(ledger.balanced());
    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
    REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(1));
}

TEST_CASE("a hash map goes on without the larger table that it is refused", "[hash_map]") {
    for (std::size_t refused = 2; refused < 8; ++refused) {
        CAPTURE(refused);
        Ledger ledger;
        HashMap<LedgerPages> map{LedgerPages{ledger}};
        MapAndModel<HashMap<LedgerPages>> both(map);
        const std::vector<std::uintptr_t> pages = pages_from(0x10000, 2000);
        ledger.refuse(refused);
        for (std::size_t i = 0; i < pages.size(); ++i) {
            if (!both.save(pages[i], some_slab_info(i))) FAIL(i);
        }
        REQUIRE(ledger.requests_number >= 5);
        REQUIRE(both.agree(pages));
        ledger.refuse_all();  // nor the smaller ones
        for (const std::uintptr_t page_addr : pages) {
            if (!both.agree(pages)) FAIL(page_addr);
            for (std::size_t i = 0; i < 100; ++i)
                both.erase(page_addr + i * 4096);
        }
        REQUIRE(ledger.balanced());
    }
}

TEST_CASE("a full hash map still overwrites and deletes, and saves again when it may grow",
          "[hash_map]") {
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    MapAndModel<HashMap<LedgerPages>> both(map);
    ledger.refuse(2, 1'000'000);
    const std::vector<std::uintptr_t> pages = pages_from(0x7F0000000000, 300);
    std::size_t saved = 0;
    while (both.save(pages[saved], some_slab_info(saved)))
        ++saved;
    REQUIRE(saved == 4096 / (2 * sizeof(void*)) - 1);
    REQUIRE(both.agree(pages));
    REQUIRE(both.save(pages[7], some_slab_info(8)));
    REQUIRE(both.agree(pages));
    both.erase(pages[7]);
    REQUIRE(both.save(pages[saved], some_slab_info(9)));
    REQUIRE(!both.save(pages[7], some_slab_info(7)));
    REQUIRE(both.agree(pages));
    ledger.refuse_none();
    REQUIRE(both.save(pages[7], some_slab_info(7)));
    REQUIRE(both.agree(pages));
}

TEST_CASE("saving a page again overwrites, and saving null deletes", "[hash_map]") {
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(1)));
    REQUIRE(map.save_slab_info_ptr(0x5000, some_slab_info(2)));
    REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(2));
    map.delete_slab_info_ptr(0x6000);
    REQUIRE(map.get_slab_info_ptr(0x5000) == some_slab_info(2));
    REQUIRE(map.save_slab_info_ptr(0x5000, nullptr));
    REQUIRE(map.get_slab_info_ptr(0x5000) == nullptr);
    REQUIRE(ledger.balanced());
}

TEST_CASE("a hash map takes at most 64 bytes for each page and gives them back as pages go",
          "[hash_map]") {
    constexpr std::size_t entry_size = 2 * sizeof(void*);
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    MapAndModel<HashMap<LedgerPages>> both(map);
    const std::vector<std::uintptr_t> pages = pages_from(0x7F0000000000, 10'000);
    for (std::size_t i = 0; i < pages.size(); ++i) {
        if (!both.save(pages[i], some_slab_info(i))) FAIL(i);
        const bool frugal = ledger.bytes <= 4096 || ledger.bytes < 4 * entry_size * (i + 1);
        const bool roomy = ledger.bytes >= 2 * entry_size * (i + 1);
        if (!frugal || !roomy) FAIL(i);
    }
    for (std::size_t left = pages.size(); left > 0; --left) {
        both.erase(pages[left - 1]);
        const bool frugal = ledger.bytes <= 4096 || ledger.bytes <= 8 * entry_size * (left - 1);
        if (!frugal) FAIL(left);
        if (left % 500 == 0) REQUIRE(both.agree(pages));
    }
    REQUIRE(ledger.balanced());
}

TEST_CASE("a hash map at one size asks for no memory", "[hash_map]") {
    Ledger ledger;
    HashMap<LedgerPages> map{LedgerPages{ledger}};
    const std::vector<std::uintptr_t> pages = pages_from(0x7F0000000000, 10'000);
    for (const std::uintptr_t page_addr : pages) {
        if (!map.save_slab_info_ptr(page_addr, some_slab_info(1))) FAIL(page_addr);
    }
    const std::size_t requests_number = ledger.requests_number;
    for (const std::uintptr_t page_addr : pages) {
        map.delete_slab_info_ptr(page_addr);
        if (!map.save_slab_info_ptr(page_addr, some_slab_info(2))) FAIL(page_addr);
    }
    REQUIRE(ledger.requests_number == requests_number);
}
