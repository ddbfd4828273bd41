#pragma once

// defect.hpp -- what can be wrong, and who is told.
//
// A defect is a caller's mistake, a backend's mistake, or overwritten memory that the library
// noticed. Every check runs before the first store:
//
//      check --defect--> report() --> handler --returns--> the call is refused, not a byte changed
//                                        '----traps------> the default: print_defect(), trap
//
// The handler is one word in the image, for all caches; it may be called on any thread, under the
// caller's lock, and must not call the cache that reports.
//
// Invariants
//   [D1] the handler is never null.
//   [D2] nothing here allocates, throws, or keeps the report.

#if __STDC_HOSTED__
#include <cstdio>
#endif
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/sink.hpp>

namespace slab_allocator {

/// What can be wrong; what each is found by, docs/levels.md tells.
enum class Defect : std::uint8_t {
    None,
    DoubleFree,          ///< free of a slot that is free already
    NeverAllocated,      ///< free of a slot that was never handed out
    InteriorPointer,     ///< free of an address in a slab that is not the start of a slot
    ForeignPointer,      ///< free of an address that lies in no slab of this cache
    OtherCache,          ///< free of an object of another cache
    WrongSize,           ///< free of a heap's block with another size than it was asked for with
    MisalignedSlab,      ///< alloc_slab() answered an address without the promised alignment
    MisalignedSlabInfo,  ///< the backend placed a SlabInfo at a misaligned address
    MemoryInUse,         ///< the backend answered memory that a slab lies in already
    BackendLostSlab,     ///< the backend's map does not lead to a slab that was saved in it
    CorruptedSlabInfo,   ///< a SlabInfo, a list or a counter was overwritten
    WriteAfterFree,      ///< a free object was written to (levels hardened, debug)
    Overflow,            ///< the bytes before or behind an object were (levels hardened, debug)
    Leak,                ///< live objects at the destruction of their cache
};

/// The name of a defect, for a log.
[[nodiscard]] constexpr const char* name_of(Defect defect) noexcept {
    switch (defect) {
        case Defect::None:
            return "None";
        case Defect::DoubleFree:
            return "DoubleFree";
        case Defect::NeverAllocated:
            return "NeverAllocated";
        case Defect::InteriorPointer:
            return "InteriorPointer";
        case Defect::ForeignPointer:
            return "ForeignPointer";
        case Defect::OtherCache:
            return "OtherCache";
        case Defect::WrongSize:
            return "WrongSize";
        case Defect::MisalignedSlab:
            return "MisalignedSlab";
        case Defect::MisalignedSlabInfo:
            return "MisalignedSlabInfo";
        case Defect::MemoryInUse:
            return "MemoryInUse";
        case Defect::BackendLostSlab:
            return "BackendLostSlab";
        case Defect::CorruptedSlabInfo:
            return "CorruptedSlabInfo";
        case Defect::WriteAfterFree:
            return "WriteAfterFree";
        case Defect::Overflow:
            return "Overflow";
        case Defect::Leak:
            return "Leak";
    }
    return "?";
}

/// What a defect is, and what to do, in a sentence for who sees it for the first time.
[[nodiscard]] constexpr const char* explanation_of(Defect defect) noexcept {
    switch (defect) {
        case Defect::None:
            break;
        case Defect::DoubleFree:
            return "this object was freed before and not allocated since: free it once";
        case Defect::NeverAllocated:
            return "this is the place of an object that was never allocated: free what alloc() "
                   "gave";
        case Defect::InteriorPointer:
            return "this address is not where an object starts: free what alloc() gave";
        case Defect::ForeignPointer:
            return "this address lies in no slab of this cache: free what its alloc() gave";
        case Defect::OtherCache:
            return "this object is another cache's: free it to the cache that it came from";
        case Defect::WrongSize:
            return "this block is of another size: free it with the size that it was asked for "
                   "with";
        case Defect::MisalignedSlab:
            return "alloc_slab() must answer an address aligned to slab_alignment";
        case Defect::MisalignedSlabInfo:
            return "the backend must place a SlabInfo at an address aligned to alignof(SlabInfo)";
        case Defect::MemoryInUse:
            return "the backend gave memory that a slab lies in already";
        case Defect::BackendLostSlab:
            return "get_slab_info_ptr() must answer what save_slab_info_ptr() was told for a page";
        case Defect::CorruptedSlabInfo:
            return "a record was overwritten, by an object that was written beyond its end, "
                   "perhaps";
        case Defect::WriteAfterFree:
            return "this object was written to after its free";
        case Defect::Overflow:
            return "the bytes beside this object were written to";
        case Defect::Leak:
            return "objects are live when their cache is destroyed: free them before";
    }
    return "";
}

/// What is known of a defect. `slab` and `slot` are null and 0 where the pointer leads to no slab.
/// `objects_number` is the number of live objects of a Leak, 1 otherwise; level debug reports each
/// of them, with how many there are from it on. Who allocated and freed last is known at level
/// debug: a return address, or the cache's tag.
struct DefectReport {
    Defect defect = Defect::None;
    const void* pointer = nullptr;  ///< what the caller or the backend gave
    const void* cache = nullptr;
    const void* slab = nullptr;
    std::size_t slot = 0;
    std::size_t objects_number = 1;
    std::ptrdiff_t offset = 0;  ///< of the first wrong byte, from the start of the object
    const void* allocated_by = nullptr;
    const void* freed_by = nullptr;
};

/// Who is told. May be called on any thread, and must not call the cache that reports.
using DefectHandler = void (*)(const DefectReport&) noexcept;

/// Writes all that is known as one line, and what the defect means: for a handler of one's own.
template <Sink Out>
void print_defect(const DefectReport& report, Out&& sink) {
    detail::Writer writer(sink);
    const auto add = [&](const char* name, const void* address) {
        writer.text(name);
        writer.address(address_of(address));
    };
    writer.text("slab_allocator: ");
    writer.text(name_of(report.defect));
    add(": pointer ", report.pointer);
    add(", cache ", report.cache);
    if (report.slab != nullptr) {
        add(", slab ", report.slab);
        writer.text(", slot ");
        writer.number(report.slot);
    }
    if (report.defect == Defect::Leak) {
        writer.text(", objects ");
        writer.number(report.objects_number);
    }
    if (report.defect == Defect::WriteAfterFree || report.defect == Defect::Overflow) {
        writer.text(report.offset < 0 ? ", byte -" : ", byte ");
        writer.number(static_cast<std::size_t>(report.offset < 0 ? -report.offset : report.offset));
    }
    if (report.allocated_by != nullptr) add(", allocated by ", report.allocated_by);
    if (report.freed_by != nullptr) add(", freed by ", report.freed_by);
    writer.text(": ");
    writer.text(explanation_of(report.defect));
    writer.text("\n");
}

/// The handler until another is set: prints one line where there is a stderr, then traps; of leaks
/// that are reported one by one, after the last.
inline void print_and_trap([[maybe_unused]] const DefectReport& report) noexcept {
#if __STDC_HOSTED__
    char line[512];
    ArraySink sink(line);
    print_defect(report, sink);
    std::fwrite(line, 1, sink.text().size(), stderr);
#endif
    const bool more = report.defect == Defect::Leak && report.pointer != nullptr;
    if (!more || report.objects_number == 1) __builtin_trap();
}

namespace detail {
inline constinit DefectHandler defect_handler = print_and_trap;
}

/// Sets who is told of defects and returns who was told before; null stands for print_and_trap.
/// Costs: one atomic exchange. May be called at any time on any thread.
inline DefectHandler set_defect_handler(DefectHandler handler) noexcept {
    if (handler == nullptr) handler = print_and_trap;  // [D1]
    return __atomic_exchange_n(&detail::defect_handler, handler, __ATOMIC_ACQ_REL);
}

/// Tells the handler. Where it returns, the caller of report() refuses what it was asked to do.
[[gnu::cold, gnu::noinline]] inline void report(const DefectReport& report) noexcept {
    __atomic_load_n(&detail::defect_handler, __ATOMIC_ACQUIRE)(report);
}

/// For overwritten metadata: where the handler returns there is nothing safe to do, so this traps.
[[noreturn, gnu::cold, gnu::noinline]] inline void report_and_trap(
    const DefectReport& defect_report) noexcept {
    report(defect_report);
    __builtin_trap();
}

}  // namespace slab_allocator
