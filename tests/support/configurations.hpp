#pragma once

// configurations.hpp -- the configurations that every promise is tested in.
//
//      row                                          objects in a slab
//      Small by mask, one page | several            1  2  3  63  64  65  4096
//      Small by map, several                        1  2  3  63  64  65  4096
//      Large by map, one page | several             1  2  3  63  64  65  512
//      ... of page-aligned slabs, by page frames    1  2  3  63  64  65
//
// and beside them: one byte, a whole slab, large alignments, other numbers of retained slabs, other
// pages, and what is chosen where the user leaves all open.

#include <cstddef>
#include <string>
#include <vector>

#include <support/any_cache.hpp>

namespace support {

/// The largest object of which exactly `objects_number` fit into a slab.
consteval std::size_t object_size_for(CacheConfig config, std::size_t objects_number) {
    std::size_t size = config.slab_size / objects_number;
    while (slab_allocator::layout_for(size, 1, config).objects_per_slab != objects_number)
        --size;
    return size;
}

template <typename T, CacheConfig config>
[[nodiscard]] Configuration configuration_of(const std::string& name) {
    using Backend = BackendOf<slab_allocator::layout_of<T, config>.row>;
    constexpr const char* levels[] = {", unchecked", "", ", hardened", ", debug"};
    const char* const level = levels[static_cast<std::size_t>(config.checks)];
    return {name + level, slab_allocator::layout_of<T, config>, config, alignof(T),
            [](TestMemory& memory) -> std::unique_ptr<AnyCache> {
                return std::make_unique<AdaptedCache<T, Backend, config>>(memory);
            }};
}

template <CacheConfig config, std::size_t... objects_numbers>
void add_counts(std::vector<Configuration>& all, const std::string& row) {
    (all.push_back(configuration_of<Object<object_size_for(config, objects_numbers)>, config>(
         row + ", " + std::to_string(objects_numbers) + " in a slab")),
     ...);
}

// One configuration a row, without the number of objects in a slab.
template <Checks checks>
inline constexpr CacheConfig small_page{
    .slab_size = 4096, .object_size_type = ObjectSizeType::Small, .checks = checks};
template <Checks checks>
inline constexpr CacheConfig small_pages{
    .slab_size = 16384, .object_size_type = ObjectSizeType::Small, .checks = checks};
template <Checks checks>
inline constexpr CacheConfig small_map{.slab_size = 16384,
                                       .slab_alignment = 4096,
                                       .object_size_type = ObjectSizeType::Small,
                                       .checks = checks};
template <Checks checks>
inline constexpr CacheConfig large_page{
    .slab_size = 4096, .object_size_type = ObjectSizeType::Large, .checks = checks};
template <Checks checks>
inline constexpr CacheConfig large_pages{
    .slab_size = 8192, .object_size_type = ObjectSizeType::Large, .checks = checks};
template <Checks checks>
inline constexpr CacheConfig large_unaligned{.slab_size = 16384,
                                             .slab_alignment = 4096,
                                             .object_size_type = ObjectSizeType::Large,
                                             .checks = checks};
template <Checks checks>
inline constexpr CacheConfig large_frames{.slab_size = 8192,
                                          .object_size_type = ObjectSizeType::Large,
                                          .checks = checks,
                                          .slab_info_lookup = SlabInfoLookup::PageFrames};

constexpr CacheConfig retaining(CacheConfig config, std::size_t retained_free_slabs) {
    config.retained_free_slabs = retained_free_slabs;
    return config;
}

/// All levels, where each number of objects in a slab is worth its time.
template <Checks checks, std::size_t... objects_numbers>
void add_rows(std::vector<Configuration>& all) {
    add_counts<small_page<checks>, objects_numbers...>(all, "Small by mask, one page");
    add_counts<small_pages<checks>, objects_numbers...>(all, "Small by mask, several pages");
    add_counts<small_map<checks>, objects_numbers...>(all, "Small by map");
    add_counts<large_page<checks>, objects_numbers...>(all, "Large by map, one page");
    add_counts<large_pages<checks>, objects_numbers...>(all, "Large by map, several pages");
    add_counts<large_unaligned<checks>, objects_numbers...>(all, "Large by map, unaligned slabs");
    add_counts<large_frames<checks>, objects_numbers...>(all, "Large by page frames");
}

/// In a file of its own each, because together they take long to compile.
void add_checked_rows(std::vector<Configuration>& all);
void add_checked_rows_of_many(std::vector<Configuration>& all);
void add_checked_oddities(std::vector<Configuration>& all);
void add_unchecked(std::vector<Configuration>& all);
void add_guarded_rows(std::vector<Configuration>& all);

}  // namespace support
