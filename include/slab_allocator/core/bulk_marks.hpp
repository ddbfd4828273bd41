#pragma once

// bulk_marks.hpp -- the check of many objects before the first of them is freed.
//
//      object --sound?--> its bit is marked free --> ... --> all are: the caller frees them
//                    '--no--> all marks are undone, and it is reported
//
// A mark makes the second of the same object in a bulk a double free, found as any other.
//
// Invariants
//   [I3] where mark() returns false, every map is as it was.

#include <cstddef>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/slot_group.hpp>

namespace slab_allocator {

/// `Front` says what is sound and what is cached. Neighbours are checked together where objects
/// have no guards to look at.
template <Layout layout, bool one_by_one, typename Front>
class BulkMarks {
public:
    explicit BulkMarks(Front& front) noexcept : front_(front) {}

    /// Returns: whether all are sound, and are marked; null is passed over.
    template <typename Object>
    [[nodiscard]] bool mark(std::span<Object* const> objects) noexcept {
        for (std::size_t done = 0; done < objects.size();) {
            if (objects[done] == nullptr) {
                ++done;
                continue;
            }
            std::byte* const object = bytes_of(objects[done]);
            SlabRecord* const slab_info = front_.find(object);
            if (!front_.is_sound(slab_info, object)) [[unlikely]] {
                const DefectReport wrong = front_.diagnose(object);
                unmark(objects.first(done));
                report(wrong);
                return false;
            }
            const std::size_t at_once = one_by_one ? 1 : objects.size() - done;
            done += mark_group(*slab_info, objects.subspan(done, at_once));
        }
        return true;
    }

private:
    /// The first objects, of which the first is right, as far as all are. Returns: how many.
    template <typename Object>
    [[nodiscard]] std::size_t mark_group(SlabRecord& slab_info,
                                         std::span<Object* const> objects) noexcept {
        SlotGroup group = group_of<layout, true>(slab_info, objects);
        bool all_right = group.all_taken_in(slab_info.map);
        if (front_.has_cached()) {
            for (Object* const object : objects.first(group.number))
                all_right = all_right && !front_.is_cached(bytes_of(object));
        }
        if (!all_right) group = group_of<layout, true>(slab_info, objects.first(1));
        group.mark_in(slab_info.map);
        return group.number;
    }

    template <typename Object>
    void unmark(std::span<Object* const> objects) noexcept {
        for (Object* const object : objects) {
            if (object == nullptr) continue;
            SlabRecord& slab_info = *front_.find(bytes_of(object));
            group_of<layout, true>(slab_info, std::span(&object, 1)).unmark_in(slab_info.map);
        }
    }

    Front& front_;
};

}  // namespace slab_allocator
