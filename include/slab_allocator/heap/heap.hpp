#pragma once

// heap.hpp -- memory of any size: a kernel's kmalloc, a program's malloc.
//
//      alloc(size) --class_of--> ClassSlabs [0 .. 63] --lowest free slot-->
//                  '--larger---> PageRuns ----------------whole pages----->
//      free(p) --page--> map --> SlabInfo --owner--> the ClassSlabs, or the PageRuns, that it is of
//
// One look-up finds the SlabInfo of any block, small or large, and its owner is the very place that
// takes the block back. The backend is that of a Large cache: pages, SlabInfos, a map.
//
// Every block is aligned to 16 bytes, and to what alloc is asked for. A request of 0 bytes is one
// of 1. nullptr means that the backend refused, after the heap gave back what it could spare, and
// nothing has changed.
//
// Invariants
//   [H1] owner of a SlabInfo is one of slabs_, or &runs_, or it is not of this heap.
//   [H2] every check of a call stands before its first store.
//
// Not synchronised: one lock, or one thread, for all members; LockedHeap and MagazineHeap are for
// several. It is neither copied nor moved.

#include <concepts>
#include <cstddef>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/class_slabs.hpp>
#include <slab_allocator/heap/heap_pages.hpp>
#include <slab_allocator/heap/heap_statistics.hpp>
#include <slab_allocator/heap/page_runs.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename Backend, HeapConfig Config = HeapConfig{}>
    requires(size_classes::check<Config>() && check_memory_backend<Backend, Row::LargeByMap>())
class Heap {
    static constexpr bool checked = Config.checks != Checks::none;
    using Pages = HeapPages<BackendRef<Backend>, Config.page_size, checked>;
    using Slabs = ClassSlabs<BackendRef<Backend>, Config>;
    using Runs = PageRuns<BackendRef<Backend>, Config>;

public:
    using backend_type = Backend;

    static constexpr std::size_t classes_number = size_classes::class_of(Config.largest_object) + 1;

    /// Effects: none outside of the heap; the backend is first called by the first alloc.
    constexpr Heap() noexcept
        requires std::default_initializable<Backend>
        : Heap(std::make_index_sequence<classes_number>{}) {}
    constexpr explicit Heap(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : Heap(std::move(backend), std::make_index_sequence<classes_number>{}) {}

    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// Gives everything back. Blocks that are live then are a Defect::Leak, with their number.
    constexpr ~Heap()
        requires(!Config.never_destroyed)
    {
        give_back_everything();
    }
    constexpr ~Heap()
        requires(Config.never_destroyed)
    = default;

    // ---- One block ------------------------------------------------------------------------------

    /// Returns: uninitialised memory, or nullptr. Costs: O(1).
    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        if (size > Config.largest_object) [[unlikely]]
            return alloc_run(size, 1);
        const std::size_t number = size_classes::class_of(size);
        if (void* const block = slabs_[number].alloc(); block != nullptr) [[likely]]
            return block;
        return alloc_again(number);
    }

    /// The same, aligned. Returns: nullptr, too, where the alignment is no power of two.
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (!is_power_of_two(alignment)) return nullptr;
        if (is_for_class(size, alignment)) [[likely]]
            return alloc(size_classes::aligned_size(size, alignment));
        return alloc_run(size, alignment);
    }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), one question to the map.
    void free(void* block) noexcept {
        SlabInfo* const slab_info = Pages::find(backend_, block);
        if (slab_info == nullptr) [[unlikely]]
            return refuse(block);
        Slabs* const slabs = slabs_of(*slab_info);
        if (slabs == nullptr) [[unlikely]]
            return free_run(block, *slab_info);
        if (!slabs->free(block, *slab_info)) [[unlikely]]
            refuse(block);
    }

    /// The same for a caller who knows the size that was asked for: another size, that is not of
    /// the same class or number of pages, is a Defect::WrongSize, and refused.
    void free(void* block, std::size_t size) noexcept { free(block, size, 1); }
    void free(void* block, std::size_t size, std::size_t alignment) noexcept {
        if constexpr (checked) {
            if (block != nullptr && !has_size(block, size, alignment)) [[unlikely]]
                return refuse_size(block);
        }
        free(block);
    }

    /// A block of another size with the same contents, as far as both go; where it is, if a block
    /// of that size would be as large. Returns: nullptr where the backend, or a Defect, stood in
    /// the way, and the old block is as before. An alignment of more than 16 is not kept.
    [[nodiscard]] void* realloc(void* block, std::size_t size) noexcept {
        if (block == nullptr) return alloc(size);
        const Found found = find(block);
        if (!found.live) [[unlikely]] {
            refuse(block);
            return nullptr;
        }
        if (is_as_large(found, size)) return block;
        void* const other = alloc(size);
        if (other == nullptr) return nullptr;
        const std::size_t before = size_of(found);
        __builtin_memcpy(other, block, before < size ? before : size);
        free(block);
        return other;
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// How many bytes of a live block may be used; 0 of anything else. Costs: O(1).
    [[nodiscard]] std::size_t usable_size(const void* block) noexcept {
        const Found found = find(block);
        return found.live ? size_of(found) : 0;
    }

    /// Is it the start of a live block of this heap? Costs: O(1).
    [[nodiscard]] bool owns(const void* block) noexcept { return find(block).live; }

    /// Costs: O(slabs).
    [[nodiscard]] HeapStatistics statistics() noexcept {
        HeapStatistics result{
            .allocated_bytes = runs_.bytes(),
            .runs_number = runs_.number(),
            .run_bytes = runs_.bytes(),
            .bytes_held = runs_.bytes() + runs_.number() * sizeof(SlabInfo),
            .failures_number = failures_number_,
        };
        for (Slabs& slabs : slabs_) {
            const CacheStatistics of_class = slabs.statistics();
            result.allocated_objects_number += of_class.allocated_objects_number;
            result.allocated_bytes += of_class.allocated_objects_number * slabs.object_size();
            result.slabs_number += of_class.slabs_number();
            result.free_slabs_number += of_class.free_slabs_number;
            result.bytes_held += of_class.bytes_held;
        }
        return result;
    }

    /// What a class came to. Requires: number < classes_number.
    [[nodiscard]] CacheStatistics class_statistics(std::size_t number) noexcept {
        return slabs_[number].statistics();
    }
    [[nodiscard]] static constexpr Layout class_layout(std::size_t number) noexcept {
        return size_classes::layout_of_class(number, Config);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept {
        for (Slabs& slabs : slabs_) {
            const DefectReport wrong = slabs.validate();
            if (wrong.defect != Defect::None) return wrong;
        }
        return runs_.validate();
    }

    /// Gives all Free slabs back. Returns: how many. Costs: O(classes + slabs given back).
    std::size_t shrink_to_fit() noexcept {
        std::size_t given = 0;
        for (Slabs& slabs : slabs_)
            given += slabs.shrink_to_fit();
        return given;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }

private:
    struct Found {
        SlabInfo* slab_info = nullptr;
        Slabs* slabs = nullptr;  // nullptr: a run
        bool live = false;
    };

    template <std::size_t... numbers>
    constexpr explicit Heap(std::index_sequence<numbers...>) noexcept
        : slabs_{Slabs(size_classes::layout_of_class(numbers, Config), pages())...},
          runs_(pages()) {}
    template <std::size_t... numbers>
    constexpr Heap(Backend&& backend, std::index_sequence<numbers...>) noexcept
        : backend_(std::move(backend)),
          slabs_{Slabs(size_classes::layout_of_class(numbers, Config), pages())...},
          runs_(pages()) {}

    [[nodiscard]] constexpr Pages pages() noexcept { return Pages(backend_, this); }

    // ---- Which one ------------------------------------------------------------------------------

    [[nodiscard]] static bool is_for_class(std::size_t size, std::size_t alignment) noexcept {
        return size <= Config.largest_object && alignment <= Config.largest_object &&
               size_classes::aligned_size(size, alignment) <= Config.largest_object;
    }

    /// nullptr: its owner is none of the classes [H1].
    [[nodiscard]] Slabs* slabs_of(const SlabInfo& slab_info) noexcept {
        const std::size_t offset = address_of(slab_info.owner) - address_of(slabs_);
        if (offset >= sizeof(slabs_)) [[unlikely]]
            return nullptr;
        return static_cast<Slabs*>(
            static_cast<void*>(static_cast<std::byte*>(static_cast<void*>(slabs_)) + offset));
    }

    [[nodiscard]] Found find(const void* block) noexcept {
        SlabInfo* const slab_info = Pages::find(backend_, block);
        if (slab_info == nullptr) return {};
        if (Slabs* const slabs = slabs_of(*slab_info))
            return {slab_info, slabs, slabs->is_live(block, *slab_info)};
        return {slab_info, nullptr, slab_info->owner == &runs_ && runs_.is_live(block, *slab_info)};
    }

    [[nodiscard]] static std::size_t size_of(const Found& found) noexcept {
        return found.slabs != nullptr ? found.slabs->object_size()
                                      : Runs::size_of(*found.slab_info);
    }

    /// Would a request of `size` bytes be as large a block as this one?
    [[nodiscard]] bool is_as_large(const Found& found, std::size_t size) noexcept {
        if (size > Config.largest_object)
            return found.slabs == nullptr && Runs::fits(size, *found.slab_info);
        return found.slabs == &slabs_[size_classes::class_of(size)];
    }

    /// Is the block, if it is one of this heap, what such a request gives?
    [[nodiscard]] bool has_size(const void* block, std::size_t size,
                                std::size_t alignment) noexcept {
        SlabInfo* const slab_info = Pages::find(backend_, block);
        if (slab_info == nullptr || !is_power_of_two(alignment)) return false;
        Slabs* const slabs = slabs_of(*slab_info);
        if (is_for_class(size, alignment)) {
            const std::size_t rounded = size_classes::aligned_size(size, alignment);
            return slabs == &slabs_[size_classes::class_of(rounded)];
        }
        return slabs == nullptr && slab_info->owner == &runs_ && Runs::fits(size, *slab_info);
    }

    // ---- Slow paths -----------------------------------------------------------------------------

    /// Where the backend refused, after all that can be spared went back to it.
    [[nodiscard, gnu::noinline, gnu::cold]] void* alloc_again(std::size_t number) noexcept {
        void* const block = shrink_to_fit() != 0 ? slabs_[number].alloc() : nullptr;
        if (block == nullptr) ++failures_number_;
        return block;
    }

    [[nodiscard, gnu::noinline]] void* alloc_run(std::size_t size, std::size_t alignment) noexcept {
        void* run = runs_.alloc(size, alignment);
        if (run == nullptr && shrink_to_fit() != 0) run = runs_.alloc(size, alignment);
        if (run == nullptr) ++failures_number_;
        return run;
    }

    [[gnu::noinline]] void free_run(void* block, SlabInfo& slab_info) noexcept {
        if (slab_info.owner != &runs_ || !runs_.is_live(block, slab_info)) [[unlikely]]
            return refuse(block);
        runs_.free(slab_info);
    }

    constexpr void give_back_everything() noexcept {
        std::size_t live = 0;
        for (Slabs& slabs : slabs_)
            live += slabs.give_back_everything();
        live += runs_.give_back_everything();
        if constexpr (checked) {
            if (live != 0) report({.defect = Defect::Leak, .cache = this, .objects_number = live});
        }
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// Nothing has been written yet, and nothing is [H2]. nullptr is no defect.
    [[gnu::noinline, gnu::cold]] void refuse(void* block) noexcept {
        if (block != nullptr) report(what_is_wrong(block));
    }

    [[gnu::noinline, gnu::cold]] void refuse_size(void* block) noexcept {
        const Found found = find(block);
        if (!found.live) return refuse(block);
        report({.defect = Defect::WrongSize,
                .pointer = block,
                .cache = this,
                .slab = found.slab_info->slab});
    }

    /// What is wrong with the free of a block that is not live.
    [[nodiscard]] DefectReport what_is_wrong(const void* block) noexcept {
        DefectReport result{.defect = Defect::ForeignPointer, .pointer = block, .cache = this};
        const Found found = find(block);
        if (found.slabs != nullptr) {
            found.slabs->say_what_is_wrong(result, *found.slab_info);
        } else if (const SlabInfo* const run = runs_.run_around(block)) {
            result.defect = Defect::InteriorPointer;
            result.slab = run->slab;
        } else if (found.slab_info != nullptr && found.slab_info->owner != nullptr) {
            result.defect = Defect::OtherCache;
        }
        return result;
    }

    Backend backend_{};
    std::size_t failures_number_ = 0;
    Slabs slabs_[classes_number];
    Runs runs_;
};

}  // namespace slab_allocator
