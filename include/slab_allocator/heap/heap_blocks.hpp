#pragma once

// heap_blocks.hpp -- all that a heap gives memory from, and whose a block is.
//
//      SlabInfo --owner--> slabs[0] .. slabs[classes_number - 1], or runs, or somebody else's
//
// What Heap and MagazineHeap have in common. They differ in how their slabs call the backend, which
// is ClassBackend, and in who holds which lock meanwhile.
//
// Invariants
//   [B1] the owner of a SlabInfo is one of `slabs`, or &runs, or the SlabInfo is not of this heap.

#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/diagnosis.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/class_slabs.hpp>
#include <slab_allocator/heap/heap_pages.hpp>
#include <slab_allocator/heap/heap_statistics.hpp>
#include <slab_allocator/heap/page_runs.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

template <typename ClassBackend, HeapConfig Config, bool two_layouts = false>
class HeapBlocks {
public:
    using Pages = HeapPages<ClassBackend, Config.page_size, Config.checks != Checks::none>;
    using Slabs = ClassSlabs<ClassBackend, Config>;
    using Runs = PageRuns<ClassBackend, Config>;

    static constexpr std::size_t classes_number = size_classes::class_of(Config.largest_object) + 1;
    static_assert(classes_number <= 256, "a class knows its number by a byte");
    static constexpr std::size_t layouts_number = two_layouts ? 2 : 1;

    /// A block, and whether it is one.
    struct Found {
        SlabInfo* slab_info = nullptr;
        Slabs* slabs = nullptr;  ///< nullptr: a run, or no block of this heap
        bool live = false;

        /// Requires: live.
        [[nodiscard]] std::size_t size() const noexcept {
            return slabs != nullptr ? slabs->object_size() : Runs::size_of(*slab_info);
        }
    };

    /// Each class, and the runs, have a backend of their own, made of `reference`.
    template <typename Reference>
    constexpr HeapBlocks(Reference reference, const void* heap) noexcept
        : HeapBlocks(reference, heap, std::make_index_sequence<classes_number * layouts_number>{}) {
    }
    HeapBlocks(const HeapBlocks&) = delete;  // SlabInfos know its address
    HeapBlocks& operator=(const HeapBlocks&) = delete;

    // ---- Which one ------------------------------------------------------------------------------

    /// Is its owner one of the classes [B1]?
    [[nodiscard]] bool is_of_class(const SlabInfo& slab_info) const noexcept {
        return offset_of_owner(slab_info) < sizeof(slabs);
    }
    /// Requires: is_of_class(slab_info).
    [[nodiscard]] Slabs& class_of(const SlabInfo& slab_info) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(slabs));
        return *static_cast<Slabs*>(static_cast<void*>(first + offset_of_owner(slab_info)));
    }
    /// nullptr: there is no SlabInfo, or its owner is none of the classes.
    [[nodiscard]] Slabs* slabs_of(const SlabInfo* slab_info) noexcept {
        return slab_info != nullptr && is_of_class(*slab_info) ? &class_of(*slab_info) : nullptr;
    }

    /// `slab_info` is what the map answered for the block; nullptr: nothing. Is it live? That of a
    /// class is asked of is_live(class).
    template <typename F>
    [[nodiscard]] Found find(const void* block, SlabInfo* slab_info, F is_live) noexcept {
        if (slab_info == nullptr) return {};
        if (Slabs* const of = slabs_of(slab_info)) return {slab_info, of, is_live(*of)};
        return {slab_info, nullptr, slab_info->owner == &runs && runs.is_live(block, *slab_info)};
    }

    /// Would a request of `size` bytes be as large a block as this one?
    [[nodiscard]] bool is_as_large(const Found& found, std::size_t size) noexcept {
        if (size > size_classes::largest_request<Config>)
            return found.slabs == nullptr && Runs::fits(size, *found.slab_info);
        return found.slabs != nullptr &&
               found.slabs->number() == size_classes::ClassTable<Config>::class_of(size);
    }

    /// Is the block, if it is one of this heap, what such a request gives?
    [[nodiscard]] bool has_size(SlabInfo* slab_info, std::size_t size,
                                std::size_t alignment) noexcept {
        if (slab_info == nullptr || !is_power_of_two(alignment)) return false;
        Slabs* const of = slabs_of(slab_info);
        if (size_classes::is_for_class<Config>(size, alignment)) {
            const std::size_t rounded = size_classes::aligned_request<Config>(size, alignment);
            return of != nullptr &&
                   of->number() == size_classes::ClassTable<Config>::class_of(rounded);
        }
        return of == nullptr && slab_info->owner == &runs && Runs::fits(size, *slab_info);
    }

    // ---- All of them ----------------------------------------------------------------------------

    static void add(HeapStatistics& sum, Slabs& of) noexcept {
        const CacheStatistics of_class = of.statistics();
        sum.allocated_objects_number += of_class.allocated_objects_number;
        sum.allocated_bytes += of_class.allocated_objects_number * of.object_size();
        sum.slabs_number += of_class.slabs_number();
        sum.free_slabs_number += of_class.free_slabs_number;
        sum.bytes_held += of_class.bytes_held;
    }
    void add_runs(HeapStatistics& sum) const noexcept {
        sum.runs_number += runs.number();
        sum.run_bytes += runs.bytes();
        sum.allocated_bytes += runs.bytes();
        sum.bytes_held += runs.bytes() + runs.number() * sizeof(SlabInfo);
    }

    /// Blocks that are live are a Defect::Leak of `heap`.
    constexpr void give_back_everything(const void* heap) noexcept {
        std::size_t live = runs.number();
        for (Slabs& of : slabs) {
            of.flush();
            live += of.statistics().allocated_objects_number;
        }
        report_leaks<Config.checks>(live, heap, [&](auto report_one) {
            for (Slabs& of : slabs)
                of.for_each([&](const std::byte* block) { report_one(block, of.guards()); });
            runs.for_each(report_one);
        });
        for (Slabs& of : slabs)
            of.give_back_everything();
        runs.give_back_everything();
    }

    /// What is wrong with the free of a block that is not live.
    [[nodiscard]] DefectReport diagnose(const void* block, SlabInfo* slab_info,
                                        const void* heap) noexcept {
        DefectReport result{.defect = Defect::ForeignPointer, .pointer = block, .cache = heap};
        Slabs* const of = slabs_of(slab_info);
        if (of != nullptr) {
            of->diagnose(result, *slab_info);
        } else if (const SlabInfo* const run = runs.run_around(block)) {
            result.defect = Defect::InteriorPointer;
            result.slab = run->slab;
        } else if (slab_info != nullptr && slab_info->owner != nullptr) {
            result.defect = Defect::OtherCache;
        }
        return result;
    }

    /// With two layouts, first all classes with the small one, then all with the other.
    Slabs slabs[classes_number * layouts_number];
    Runs runs;

private:
    [[nodiscard]] std::size_t offset_of_owner(const SlabInfo& slab_info) const noexcept {
        return address_of(slab_info.owner) - address_of(slabs);
    }

    template <typename Reference, std::size_t... numbers>
    constexpr HeapBlocks(Reference reference, const void* heap,
                         std::index_sequence<numbers...>) noexcept
        : slabs{Slabs(numbers % classes_number, layout_at(numbers), most_slabs_at(numbers),
                      ClassBackend(reference), heap)...},
          runs(Pages(ClassBackend(reference), heap)) {}

    [[nodiscard]] static constexpr Layout layout_at(std::size_t index) noexcept {
        return size_classes::layout_of_class(index % classes_number, Config,
                                             Config.small_slabs && index < classes_number);
    }
    /// Of small slabs, where there are others: more would be births without end.
    [[nodiscard]] static constexpr std::uint16_t most_slabs_at(std::size_t index) noexcept {
        constexpr std::size_t most_bytes = std::size_t{64} * 1024;
        if (!two_layouts || index >= classes_number) return 0;
        return static_cast<std::uint16_t>(divide_up(most_bytes, layout_at(index).slab_size));
    }
};

}  // namespace slab_allocator
