// Level misuse, everything that is at a border of what can be configured.

#include <support/configurations.hpp>

using namespace support;

namespace {

constexpr CacheConfig small_8k{.slab_size = 8192, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig map_8k{
    .slab_size = 8192, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig other_pages{
    .slab_size = 32768, .page_size = 16384, .object_size_type = ObjectSizeType::Large};

}  // namespace

void support::add_checked_oddities(std::vector<Configuration>& all) {
    constexpr auto misuse = Checks::misuse;
    // As many slots as a free map holds.
    all.push_back(configuration_of<Object<1>, small_8k>("Small by mask, 4096 bytes in a slab"));
    all.push_back(configuration_of<Object<3>, small_map<misuse>>("Small by map, 4096 in a slab"));
    all.push_back(configuration_of<Object<16>, large_pages<misuse>>("Large by map, 512 in a slab"));
    // One byte, and a whole slab.
    all.push_back(configuration_of<Object<1>, small_page<misuse>>("Small by mask, bytes"));
    all.push_back(configuration_of<Object<1>, map_8k>("Small by map, bytes"));
    all.push_back(configuration_of<Object<4096 - 56>, small_page<misuse>>("Small, a whole slab"));
    all.push_back(configuration_of<Object<8192>, large_pages<misuse>>("Large, a whole slab"));
    all.push_back(
        configuration_of<Object<8192>, large_frames<misuse>>("Large by page frames, a whole slab"));
    // Alignments, up to the slab's.
    all.push_back(configuration_of<Object<48, 64>, small_page<misuse>>("Small, lines"));
    all.push_back(configuration_of<Object<1024, 2048>, small_map<misuse>>("Small by map, 2048"));
    all.push_back(configuration_of<Object<5, 8>, small_pages<misuse>>("Small by mask, words"));
    all.push_back(configuration_of<Object<4096, 4096>, large_unaligned<misuse>>("Large, pages"));
    all.push_back(configuration_of<Object<1, 8192>, large_pages<misuse>>("Large, as the slab"));
    // Other numbers of retained slabs.
    all.push_back(
        configuration_of<Object<64>, retaining(small_page<misuse>, 0)>("Small by mask, keeps 0"));
    all.push_back(
        configuration_of<Object<64>, retaining(small_page<misuse>, 3)>("Small by mask, keeps 3"));
    all.push_back(
        configuration_of<Object<700>, retaining(small_map<misuse>, 0)>("Small by map, keeps 0"));
    all.push_back(configuration_of<Object<4000>, retaining(large_page<misuse>, 0)>(
        "Large by map, one in a slab, keeps 0"));
    all.push_back(
        configuration_of<Object<100>, retaining(large_pages<misuse>, 3)>("Large by map, keeps 3"));
    all.push_back(configuration_of<Object<512>, retaining(large_frames<misuse>, 0)>(
        "Large by page frames, keeps 0"));
    all.push_back(configuration_of<Object<8192>, retaining(large_frames<misuse>, 3)>(
        "Large by page frames, one in a slab, keeps 3"));
    // Other pages, and all left open.
    all.push_back(configuration_of<Object<300>, other_pages>("Large by map, pages of 16 KiB"));
    all.push_back(configuration_of<Object<64, 8>, CacheConfig{}>("all left open, 64 bytes"));
    all.push_back(configuration_of<Object<1024, 8>, CacheConfig{}>("all left open, 1024 bytes"));
}

TEST_CASE("the configurations at the borders are where they say", "[configurations]") {
    std::vector<Configuration> all;
    add_checked_oddities(all);
    REQUIRE(all[0].objects_per_slab() == 4096);
    REQUIRE(all[1].objects_per_slab() == 4096);
    REQUIRE(all[2].objects_per_slab() == 512);
    for (const std::size_t whole : {5U, 6U, 7U, 12U}) {
        REQUIRE(all[whole].objects_per_slab() == 1);
    }
}
