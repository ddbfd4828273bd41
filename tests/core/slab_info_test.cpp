#include <slab_allocator/core/slab_info.hpp>

#include <cstring>

#include <support/catch.hpp>

using namespace slab_allocator;

TEST_CASE("a SlabInfo is 56 bytes for up to 64 slots, and two cache lines outside of its slab",
          "[slab_info]") {
    STATIC_REQUIRE(small_slab_info_size(1) == 56);
    STATIC_REQUIRE(small_slab_info_size(64) == 56);
    STATIC_REQUIRE(small_slab_info_size(65) == 64);
    STATIC_REQUIRE(small_slab_info_size(4096) == 560);
    STATIC_REQUIRE(sizeof(SlabInfo) == 128);
    STATIC_REQUIRE(small_slab_info_size(SlabInfo::max_slots) == sizeof(SlabInfo));
    STATIC_REQUIRE(alignof(SlabInfo) == 8);
}

TEST_CASE("a new SlabInfo is nobody's and stands on no list, and writes no word of the map",
          "[slab_info]") {
    alignas(SlabInfo) unsigned char memory[sizeof(SlabInfo)];
    std::memset(memory, 0xa5, sizeof(memory));
    // To the compiler memory is nobody's when a constructor begins: it may drop what was stored.
    asm volatile("" : : "r"(memory) : "memory");
    const SlabInfo* const slab_info = ::new (static_cast<void*>(memory)) SlabInfo;
    asm volatile("" : : "r"(memory) : "memory");
    REQUIRE(slab_info->owner == nullptr);
    REQUIRE(slab_info->slab == nullptr);
    REQUIRE(slab_info->free_number == 0);
    REQUIRE(slab_info->untouched == 0);
    REQUIRE(!slab_info->linked());
    std::size_t written = 0;
    for (std::size_t byte = 48; byte < sizeof(SlabInfo); ++byte)
        written += memory[byte] != 0xa5;
    REQUIRE(written == 0);
}
