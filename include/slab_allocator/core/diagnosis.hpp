#pragma once

// diagnosis.hpp -- what is wrong: with a pointer that was freed, with the objects of a slab, at the
// end of a cache. For every cache and heap; nothing here is called while all is well.
//
//      pointer --> in no slab of ours ................... ForeignPointer, OtherCache
//              --> in a slab --> no start of a slot ..... InteriorPointer
//                            --> slot never taken ....... NeverAllocated
//                            --> slot free, or cached ... DoubleFree
//                            --> slot live, its guards overwritten: what they say
//
// A slot that is out of its slab is live, or cached: in the object stack, the current word or the
// quarantine, as the front end says, or in a layer in front of it, as the guards say.
//
// Invariants
//   [J1] nothing is stored: a call that is refused has changed nothing.

#include <cstddef>

#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// Of the slabs with this geometry, whose objects have these guards. `cache`: who reports.
template <typename Geometry, typename Guard>
class Diagnosis {
public:
    Diagnosis(const Geometry& geometry, const Guard& guards, const detail::Memcheck& memcheck,
              const void* cache) noexcept
        : geometry_(geometry), guards_(guards), memcheck_(memcheck), cache_(cache) {}

    /// Completes the report on a free of report.pointer, which is no live object with sound guards.
    /// `slab_info`: of the slab of the caller's that the pointer leads to.
    void of_free(DefectReport& report, const SlabRecord& slab_info, bool is_cached) const noexcept {
        const auto* const object = static_cast<const std::byte*>(report.pointer);
        report.slab = slab_info.slab;
        const std::size_t slot = geometry_.slot_of(slab_info, object);
        if (slot >= geometry_.layout.slots_per_slab || geometry_.is_reserved(slab_info, slot)) {
            report.defect = Defect::InteriorPointer;
            return;
        }
        report.slot = slot;
        const bool was_taken = slot < slab_info.untouched;
        report.defect = was_taken ? Defect::DoubleFree : Defect::NeverAllocated;
        if constexpr (Guard::active) {
            if (was_taken) guards_.add_provenance(report, object);
            if (slab_info.map.is_free(slot) || is_cached || guards_.looks_free(object)) return;
            const Violation violation = guards_.violation_of_live(object);
            report.defect = violation.defect;
            report.offset = violation.offset;
        }
    }

    /// The report on an object of a slab that is not as it must be.
    [[nodiscard]] DefectReport report_on(const Violation& violation, const SlabRecord& slab_info,
                                         const std::byte* object) const noexcept {
        DefectReport result{.defect = violation.defect,
                            .pointer = object,
                            .cache = cache_,
                            .slab = slab_info.slab,
                            .slot = geometry_.slot_of(slab_info, object),
                            .offset = violation.offset};
        guards_.add_provenance(result, object);
        return result;
    }

    /// The first object of a slab that is not as it must be [G1] [G2]; Defect::None: all are.
    /// is_cached(object) answers for slots that are out of the slab; of what is neither free nor
    /// cached only `with_live`: a layer in front may hold it.
    template <typename IsCached>
    [[nodiscard]] DefectReport of_slab(const SlabRecord& slab_info, IsCached is_cached,
                                       bool with_live) const noexcept
        requires(Guard::active)
    {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (geometry_.is_reserved(slab_info, slot)) continue;
            const std::byte* const object = geometry_.object_at(slab_info, slot);
            const bool is_free = slab_info.map.is_free(slot);
            if (!is_free && with_live && guards_.is_live(object)) continue;
            const bool is_here = is_free || is_cached(object);
            if (!is_here && !with_live) continue;
            const Violation violation = is_here || guards_.looks_free(object)
                                            ? violation_of_free(object)
                                            : guards_.violation_of_live(object);
            if (violation.defect != Defect::None) return report_on(violation, slab_info, object);
        }
        return {};
    }

private:
    /// memcheck was told that the object is nobody's.
    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        const std::size_t size = geometry_.layout.object_size;
        if (memcheck_.watches()) detail::Memcheck::make_defined(object, size);
        const Violation violation = guards_.violation_of_free(object);
        if (memcheck_.watches()) detail::Memcheck::make_nobodys(object, size);
        return violation;
    }

    const Geometry& geometry_;
    const Guard& guards_;
    const detail::Memcheck& memcheck_;
    const void* cache_;
};

/// Objects that are live at the end of their cache: one report with their number; at level debug
/// one of each. for_each(f) calls f(object, guards) for all of them.
template <Checks checks, typename ForEach>
void report_leaks(std::size_t live, const void* cache, ForEach for_each) noexcept {
    if (live == 0) return;
    if constexpr (checks == Checks::debug) {
        DefectReport leak{.defect = Defect::Leak, .cache = cache, .objects_number = live};
        for_each([&](const void* object, const auto&... guards) {
            leak.pointer = object;
            leak.allocated_by = leak.freed_by = nullptr;
            (guards.add_provenance(leak, static_cast<const std::byte*>(object)), ...);
            report(leak);
            --leak.objects_number;
        });
    } else if constexpr (checks != Checks::none) {
        report({.defect = Defect::Leak, .cache = cache, .objects_number = live});
    }
}

}  // namespace slab_allocator
