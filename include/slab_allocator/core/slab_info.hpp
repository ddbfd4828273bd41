#pragma once

// slab_info.hpp -- the record that manages one slab.
//
//      byte 0      16      24     32            34              36          38     40         48
//      | list node | owner | slab | free_number | list_max_free | untouched | list | nonempty | ...
//
// 48 bytes and the words of the free map: 56 for up to 64 slots. In a Small slab it lies in the
// slab and has as many words as its slots need; outside of it (Large) it is sizeof(SlabInfo) = 128
// bytes, two cache lines, and room for max_slots slots. A backend that stores SlabInfos needs to
// know no more of it than its size.
//
// Invariants, while the slab lives
//   [S1] owner tells the cache or class; it is null before the birth of the slab and after its
//        death.
//   [S2] free_number == |free slots in the map|
//   [S3] the slots from `untouched` on were never taken out of the slab.
//   [S4] list is the list that the node stands on, and list_max_free the most free slots that slabs
//        on it have, so that giving a slot back costs one comparison.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>

namespace slab_allocator {

/// What every SlabInfo has, in a Small slab with no more words behind it than the slots need.
class SlabRecord : public ListNode {
public:
    /// Writes the first 48 bytes only: the map is fill()'s to write.
    SlabRecord() noexcept {}  // NOLINT: the map is left alone, see above

    const void* owner = nullptr;  // [S1]
    std::byte* slab = nullptr;
    std::uint16_t free_number = 0;    // [S2]
    std::uint16_t list_max_free = 0;  // [S4]
    std::uint16_t untouched = 0;      // [S3]
    std::uint8_t list = 0;            // [S4]
    FreeMap map;
};

/// One outside of its slab: what backends store.
class SlabInfo : public SlabRecord {
public:
    /// As many slots as it can manage.
    static constexpr std::size_t max_slots = 640;

    SlabInfo() noexcept {}  // NOLINT: the words are left alone, as the map is

private:
    [[maybe_unused]] std::uint64_t more_words_[FreeMap::words_for(max_slots) - 1];
};

/// Backends know SlabInfos only. One in its slab, shorter than that type, goes to a backend's map
/// and comes back as an address.
[[nodiscard]] inline SlabInfo* for_backend(SlabRecord* slab_info) noexcept {
    return static_cast<SlabInfo*>(static_cast<void*>(slab_info));
}
[[nodiscard]] inline SlabRecord* from_backend(SlabInfo* slab_info) noexcept {
    return static_cast<SlabRecord*>(static_cast<void*>(slab_info));
}

/// The bytes of a SlabInfo that manages `slots` slots in their own slab.
[[nodiscard]] constexpr std::size_t small_slab_info_size(std::size_t slots) noexcept {
    return sizeof(SlabRecord) + sizeof(std::uint64_t) * (FreeMap::words_for(slots) - 1);
}

}  // namespace slab_allocator
