#pragma once

// subject.hpp -- the caches whose every sequence is walked, each behind a few plain functions.
//
//      row                            pages in a slab     objects in a slab
//      Small by mask                  2                   1  2  3  4  63  64  65
//      Small by map, unaligned        2                   1  2  3  4  63  64  65
//      Large by map                   2                   1  2  3  4  63  64  65
//      Large by map, unaligned        2                   1  2  3  4  63  64  65
//      Large by page frames           2                   1  2  3  4  63  64  65
//
// Slabs are as small as that many objects allow, and pages with them.

#include <cstddef>
#include <new>
#include <string>
#include <vector>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/layout.hpp>

#include <support/tiny_memory.hpp>

namespace exhaustive {

using slab_allocator::CacheConfig;
using slab_allocator::CacheStatistics;
using slab_allocator::Checks;
using slab_allocator::DefectReport;
using slab_allocator::Layout;
using slab_allocator::ObjectSizeType;
using slab_allocator::Row;
using slab_allocator::SlabInfoLookup;
using support::TinyMemory;

/// Does a cache of this level write to its objects, free or live?
constexpr bool writes_objects(Checks checks) noexcept {
    return checks != Checks::none && checks != Checks::misuse;
}

struct Subject {
    std::string name;
    Layout layout;
    Checks checks;
    std::size_t retained_free_slabs;
    std::size_t size;  // of the cache

    void (*construct)(void* cache, TinyMemory& memory);
    void (*destruct)(void* cache);
    std::byte* (*alloc)(void* cache);
    void (*free)(void* cache, std::byte* object);
    bool (*owns)(void* cache, const std::byte* object);
    void (*visit)(void* cache, std::vector<std::byte*>& live);
    DefectReport (*validate)(void* cache);
    CacheStatistics (*statistics)(void* cache);
};

template <std::size_t size>
struct Object {
    std::byte bytes[size];
};

template <typename Cache>
struct CallsOf {
    using T = typename Cache::value_type;

    static void construct(void* cache, TinyMemory& memory) {
        typename Cache::backend_type backend;
        backend.memory = &memory;
        ::new (cache) Cache(backend);
    }
    static void destruct(void* cache) { at(cache).~Cache(); }
    static std::byte* alloc(void* cache) { return bytes_of(at(cache).alloc()); }
    static void free(void* cache, std::byte* object) { at(cache).free(object_at(object)); }
    static bool owns(void* cache, const std::byte* object) {
        return at(cache).owns(object_at(const_cast<std::byte*>(object)));
    }
    static void visit(void* cache, std::vector<std::byte*>& live) {
        at(cache).for_each([&live](T* object) { live.push_back(bytes_of(object)); });
    }
    static DefectReport validate(void* cache) { return at(cache).validate(); }
    static CacheStatistics statistics(void* cache) { return at(cache).statistics(); }

private:
    [[nodiscard]] static Cache& at(void* cache) noexcept {
        return *std::launder(static_cast<Cache*>(cache));
    }
    [[nodiscard]] static T* object_at(std::byte* object) noexcept {
        return static_cast<T*>(static_cast<void*>(object));
    }
    [[nodiscard]] static std::byte* bytes_of(T* object) noexcept {
        return static_cast<std::byte*>(static_cast<void*>(object));
    }
};

template <std::size_t size, CacheConfig config>
[[nodiscard]] Subject subject_of(const std::string& row) {
    using T = Object<size>;
    constexpr Layout layout = slab_allocator::layout_of<T, config>;
    using Backend = typename support::TinyBackend<layout.row>::type;
    using Cache = slab_allocator::Cache<T, Backend, config>;
    using Calls = CallsOf<Cache>;
    static_assert(layout.slab_size <= TinyMemory::largest_slab);
    static_assert(layout.pages_per_slab() <= TinyMemory::most_pages);
    return {
        .name = row + ", " + std::to_string(layout.objects_per_slab) + " in a slab",
        .layout = layout,
        .checks = config.checks,
        .retained_free_slabs = config.retained_free_slabs,
        .size = sizeof(Cache),
        .construct = &Calls::construct,
        .destruct = &Calls::destruct,
        .alloc = &Calls::alloc,
        .free = &Calls::free,
        .owns = &Calls::owns,
        .visit = &Calls::visit,
        .validate = &Calls::validate,
        .statistics = &Calls::statistics,
    };
}

/// The largest object of which exactly `objects_number` fit into a slab.
consteval std::size_t object_size_for(CacheConfig config, std::size_t objects_number) {
    std::size_t size = config.slab_size / objects_number;
    while (slab_allocator::layout_for(size, 1, config).objects_per_slab != objects_number)
        --size;
    return size;
}

/// `pages`: of 256 bytes, or of 2048 for many objects.
consteval CacheConfig with_pages_for(CacheConfig config, std::size_t objects_number) {
    config.page_size = objects_number < 8 ? 256 : 2048;
    config.slab_size = 2 * config.page_size;
    if (config.slab_alignment != 0) config.slab_alignment = config.page_size;
    return config;
}

template <CacheConfig config, std::size_t... objects_numbers>
void add_row(std::vector<Subject>& all, const std::string& row) {
    (all.push_back(
         subject_of<object_size_for(with_pages_for(config, objects_numbers), objects_numbers),
                    with_pages_for(config, objects_numbers)>(row)),
     ...);
}

template <CacheConfig config>
void add_counts(std::vector<Subject>& all, const std::string& row) {
    add_row<config, 1, 2, 3, 4, 63, 64, 65>(all, row);
}

template <Checks checks>
[[nodiscard]] std::vector<Subject> small_subjects() {
    constexpr CacheConfig by_mask{.object_size_type = ObjectSizeType::Small, .checks = checks};
    constexpr CacheConfig by_map{
        .slab_alignment = 1, .object_size_type = ObjectSizeType::Small, .checks = checks};
    std::vector<Subject> all;
    add_counts<by_mask>(all, "Small by mask");
    add_counts<by_map>(all, "Small by map, unaligned");
    return all;
}

template <Checks checks>
[[nodiscard]] std::vector<Subject> large_subjects() {
    constexpr CacheConfig by_map{.object_size_type = ObjectSizeType::Large, .checks = checks};
    constexpr CacheConfig unaligned{
        .slab_alignment = 1, .object_size_type = ObjectSizeType::Large, .checks = checks};
    constexpr CacheConfig by_frames{.object_size_type = ObjectSizeType::Large,
                                    .checks = checks,
                                    .slab_info_lookup = SlabInfoLookup::PageFrames};
    std::vector<Subject> all;
    add_counts<by_map>(all, "Large by map");
    add_counts<unaligned>(all, "Large by map, unaligned");
    add_counts<by_frames>(all, "Large by page frames");
    return all;
}

}  // namespace exhaustive
