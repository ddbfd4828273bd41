#pragma once

// subjects.hpp -- the caches that are fuzzed: those of tests/exhaustive, with the members for many
// objects and for slabs.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <exhaustive/subject.hpp>

namespace fuzz {

using exhaustive::CacheConfig;
using exhaustive::Checks;
using exhaustive::ObjectSizeType;
using exhaustive::SlabInfoLookup;

struct Subject : exhaustive::Subject {
    bool (*alloc_bulk)(void* cache, std::span<std::byte*> objects);
    void (*free_bulk)(void* cache, std::span<std::byte* const> objects);
    std::size_t (*reserve)(void* cache, std::size_t objects_number);
    std::size_t (*shrink)(void* cache, std::size_t most);
    void (*destroy)(void* cache, std::byte* object);
    /// Frees each visited object of an odd rank. Returns: how many.
    std::size_t (*free_every_other)(void* cache, std::vector<std::byte*>& freed);
};

template <std::size_t size, CacheConfig config>
[[nodiscard]] Subject fuzzed(const std::string& row) {
    using T = exhaustive::Object<size>;
    using Backend = typename support::TinyBackend<slab_allocator::layout_of<T, config>.row>::type;
    using Cache = slab_allocator::Cache<T, Backend, config>;
    struct Calls {
        static Cache& at(void* cache) { return *std::launder(static_cast<Cache*>(cache)); }
        static T* typed(std::byte* object) { return static_cast<T*>(static_cast<void*>(object)); }
        static std::byte* bytes_of(T* object) {
            return static_cast<std::byte*>(static_cast<void*>(object));
        }
        static bool alloc_bulk(void* cache, std::span<std::byte*> objects) {
            std::vector<T*> all(objects.size());
            if (!at(cache).alloc_bulk(all)) return false;
            for (std::size_t rank = 0; rank < all.size(); ++rank)
                objects[rank] = bytes_of(all[rank]);
            return true;
        }
        static void free_bulk(void* cache, std::span<std::byte* const> objects) {
            std::vector<T*> all;
            all.reserve(objects.size());
            for (std::byte* const object : objects)
                all.push_back(typed(object));
            at(cache).free_bulk(all);
        }
        static std::size_t reserve(void* cache, std::size_t objects_number) {
            return at(cache).reserve(objects_number);
        }
        static std::size_t shrink(void* cache, std::size_t most) { return at(cache).shrink(most); }
        static void destroy(void* cache, std::byte* object) { at(cache).destroy(typed(object)); }
        static std::size_t free_every_other(void* cache, std::vector<std::byte*>& freed) {
            std::size_t rank = 0;
            at(cache).for_each([&](T* object) {
                if (rank++ % 2 == 0) return;
                freed.push_back(bytes_of(object));
                at(cache).free(object);
            });
            return rank;
        }
    };
    return {exhaustive::subject_of<size, config>(row),
            &Calls::alloc_bulk,
            &Calls::free_bulk,
            &Calls::reserve,
            &Calls::shrink,
            &Calls::destroy,
            &Calls::free_every_other};
}

template <CacheConfig config, std::size_t... objects_numbers>
void add(std::vector<Subject>& all, const std::string& row) {
    (all.push_back(fuzzed<exhaustive::object_size_for(
                              exhaustive::with_pages_for(config, objects_numbers), objects_numbers),
                          exhaustive::with_pages_for(config, objects_numbers)>(row)),
     ...);
}

/// Every row with some numbers of objects in a slab.
template <Checks checks, std::size_t... objects_numbers>
void add_rows(std::vector<Subject>& all) {
    constexpr auto small = ObjectSizeType::Small;
    constexpr auto large = ObjectSizeType::Large;
    add<CacheConfig{.object_size_type = small, .checks = checks}, objects_numbers...>(
        all, "Small by mask");
    add<CacheConfig{.slab_alignment = 1, .object_size_type = small, .checks = checks},
        objects_numbers...>(all, "Small by map");
    add<CacheConfig{.object_size_type = large, .checks = checks}, objects_numbers...>(
        all, "Large by map");
    add<CacheConfig{.slab_alignment = 1, .object_size_type = large, .checks = checks},
        objects_numbers...>(all, "Large by map, unaligned");
    add<CacheConfig{.object_size_type = large,
                    .checks = checks,
                    .slab_info_lookup = SlabInfoLookup::PageFrames},
        objects_numbers...>(all, "Large by page frames");
}

}  // namespace fuzz
