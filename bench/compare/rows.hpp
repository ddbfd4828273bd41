#pragma once

// rows.hpp -- the backends of the other rows, over the region: one for each map.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/maps/flat_map.hpp>
#include <slab_allocator/maps/hash_map.hpp>
#include <slab_allocator/maps/radix_map.hpp>

#include "original.hpp"
#include "region.hpp"

namespace bench {

using slab_allocator::SlabInfo;

/// One entry for each page of the region, zero until it is used.
template <typename Entry>
[[nodiscard]] Entry* entries_of_region() {
    static void* const entries = Region::map(Region::size / Region::page_size * sizeof(Entry));
    return static_cast<Entry*>(entries);
}

using Hash = slab_allocator::HashMap<RegionSlabs>;
using Radix = slab_allocator::RadixMap<RegionSlabs>;

class Flat : public slab_allocator::FlatMap<> {
public:
    Flat() : FlatMap(Region::instance().base(), Region::size, entries_of_region<SlabInfo*>()) {}
};

template <typename Map>
using RowByMap =
    slab_allocator::ComposedBackend<RegionSlabs, slab_allocator::SlabInfoCache<RegionSlabs>, Map>;

/// As a kernel has it: an array of SlabInfos, one for each page frame.
class RowByPageFrames : public RegionSlabs {
public:
    [[nodiscard]] SlabInfo* slab_info_at(std::uintptr_t page_addr) {
        const std::uintptr_t offset = page_addr - slab_allocator::address_of(base_);
        return offset < Region::size ? frames_ + offset / Region::page_size : nullptr;
    }

private:
    const std::byte* base_ = Region::instance().base();
    SlabInfo* frames_ = entries_of_region<SlabInfo>();
};

/// A map of this library, as the original sees it.
template <typename Map>
class MapOfOriginal {
public:
    void save(std::uintptr_t page, OriginalSlabInfo* info) {
        static_cast<void>(map_.save_slab_info_ptr(page, as_slab_info(info)));
    }
    [[nodiscard]] OriginalSlabInfo* get(std::uintptr_t page) {
        return static_cast<OriginalSlabInfo*>(static_cast<void*>(map_.get_slab_info_ptr(page)));
    }
    void forget(std::uintptr_t page) { map_.delete_slab_info_ptr(page); }

    [[nodiscard]] OriginalSlabInfo* alloc_info() {
        return static_cast<OriginalSlabInfo*>(infos_.alloc());
    }
    void free_info(OriginalSlabInfo* info) { infos_.free(info); }

private:
    // The map stores pointers and looks at none of them.
    [[nodiscard]] static SlabInfo* as_slab_info(OriginalSlabInfo* info) {
        return static_cast<SlabInfo*>(static_cast<void*>(info));
    }

    struct NoMap {};
    Original<sizeof(OriginalSlabInfo), Region::page_size, false, NoMap> infos_{0};
    Map map_;
};

}  // namespace bench
