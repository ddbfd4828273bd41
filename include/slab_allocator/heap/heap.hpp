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
//   [H1] every check of a call stands before its first store.
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
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/heap_blocks.hpp>
#include <slab_allocator/heap/heap_calls.hpp>
#include <slab_allocator/heap/heap_statistics.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename Backend, HeapConfig Config = HeapConfig{}>
    requires(size_classes::check<Config>() && check_memory_backend<Backend, Row::LargeByMap>())
class Heap : public HeapCalls<Heap<Backend, Config>, Config> {
    using Calls = HeapCalls<Heap, Config>;
    friend Calls;
    static constexpr bool guarded = guards_objects(Config.checks);
    using Blocks = HeapBlocks<BackendRef<Backend>, Config>;
    using Slabs = typename Blocks::Slabs;
    using Found = typename Blocks::Found;

public:
    using backend_type = Backend;
    using Calls::alloc;  // aligned
    using Calls::free;   // of a known size

    static constexpr std::size_t classes_number = Blocks::classes_number;

    /// Effects: none outside of the heap; the backend is first called by the first alloc.
    constexpr Heap() noexcept
        requires std::default_initializable<Backend>
        : blocks_(BackendRef<Backend>(backend_), this) {}
    constexpr explicit Heap(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)), blocks_(BackendRef<Backend>(backend_), this) {}

    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// Gives everything back. Blocks that are live then are a Defect::Leak, with their number.
    constexpr ~Heap()
        requires(!Config.never_destroyed)
    {
        blocks_.give_back_everything(this);
    }
    constexpr ~Heap()
        requires(Config.never_destroyed)
    = default;

    // ---- One block ------------------------------------------------------------------------------

    /// Returns: uninitialised memory, or nullptr. Costs: O(1).
    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        if constexpr (guarded) return Calls::alloc_guarded(size);
        if (size > Config.largest_object) [[unlikely]]
            return alloc_run(size, 1);
        return take(size_classes::ClassTable<Config>::class_of(size));
    }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), one question to the map.
    void free(void* block) noexcept { free_found(block, look_up(block)); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Costs: O(slabs).
    [[nodiscard]] HeapStatistics statistics() noexcept {
        HeapStatistics result{.failures_number = failures_number_};
        for (Slabs& slabs : blocks_.slabs)
            Blocks::add(result, slabs);
        blocks_.add_runs(result);
        return result;
    }

    /// What a class came to. Requires: number < classes_number.
    [[nodiscard]] CacheStatistics class_statistics(std::size_t number) noexcept {
        return blocks_.slabs[number].statistics();
    }
    [[nodiscard]] static constexpr Layout class_layout(std::size_t number) noexcept {
        return size_classes::layout_of_class(number, Config);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept {
        for (Slabs& slabs : blocks_.slabs) {
            const DefectReport wrong = slabs.validate(true);
            if (wrong.defect != Defect::None) return wrong;
        }
        return blocks_.runs.validate();
    }

    /// Gives all Free slabs back. Returns: how many. Costs: O(classes + slabs given back).
    std::size_t shrink_to_fit() noexcept {
        std::size_t given = 0;
        for (Slabs& slabs : blocks_.slabs)
            given += slabs.shrink_to_fit();
        return given;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }

private:
    [[nodiscard]] SlabInfo* look_up(const void* block) noexcept {
        return Blocks::Pages::find(backend_, block);
    }
    [[nodiscard]] Found find(const void* block) noexcept {
        SlabInfo* const slab_info = look_up(block);
        return blocks_.find(block, slab_info,
                            [&](Slabs& slabs) { return slabs.is_live(block, *slab_info); });
    }

    /// `slab_info` is what the map answers for the block.
    void free_found(void* block, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) [[unlikely]]
            return refuse(block);
        if (!blocks_.is_of_class(*slab_info)) [[unlikely]]
            return free_run(block, *slab_info);
        Slabs& slabs = blocks_.class_of(*slab_info);
        if constexpr (guarded) return Calls::free_guarded(block, *slab_info, slabs);
        if (!slabs.free(block, *slab_info)) [[unlikely]]
            refuse(block);
    }

    /// A block of a class.
    [[nodiscard]] void* take(std::size_t number) noexcept {
        if (void* const block = blocks_.slabs[number].alloc(); block != nullptr) [[likely]]
            return block;
        return alloc_again(number);
    }
    /// One with the guards of a free one goes back to its class.
    void put(void* block, std::size_t number) noexcept
        requires guarded
    {
        blocks_.slabs[number].quarantine(bytes_of(block));
    }
    [[nodiscard]] Slabs& slabs_with(const void*, std::size_t number) noexcept {
        return blocks_.slabs[number];
    }

    // ---- Slow paths -----------------------------------------------------------------------------

    /// Where the backend refused, after all that can be spared went back to it.
    [[nodiscard, gnu::noinline, gnu::cold]] void* alloc_again(std::size_t number) noexcept {
        void* const block = shrink_to_fit() != 0 ? blocks_.slabs[number].alloc() : nullptr;
        if (block == nullptr) ++failures_number_;
        return block;
    }

    [[nodiscard, gnu::noinline]] void* alloc_run(std::size_t size, std::size_t alignment) noexcept {
        void* run = blocks_.runs.alloc(size, alignment);
        if (run == nullptr && shrink_to_fit() != 0) run = blocks_.runs.alloc(size, alignment);
        if (run == nullptr) ++failures_number_;
        return run;
    }

    [[nodiscard]] bool resize_run(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        return blocks_.runs.resize(run, size);
    }
    [[gnu::noinline]] void free_run(void* block, SlabInfo& slab_info) noexcept {
        if (slab_info.owner != &blocks_.runs || !blocks_.runs.is_live(block, slab_info))
            [[unlikely]]
            return refuse(block);
        blocks_.runs.free(slab_info);
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// Nothing has been written yet, and nothing is [H1]. nullptr is no defect.
    [[gnu::noinline, gnu::cold]] void refuse(void* block) noexcept {
        if (block != nullptr) report(blocks_.diagnose(block, look_up(block), this));
    }

    Backend backend_{};
    std::size_t failures_number_ = 0;
    Blocks blocks_;
};

}  // namespace slab_allocator
