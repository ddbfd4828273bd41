#pragma once

// defect_line.hpp -- a defect in the words of those who know malloc and free.
//
//      slab_malloc: double free: the block at 0x7f3a5c1d2e40 is free already; allocated by ...
//
// A user of malloc knows no cache, no slab and no alloc(): blocks, and calls that take pointers.

#include <cstddef>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/sink.hpp>

#include "modules.hpp"

namespace malloc_example {

using slab_allocator::Defect;
using slab_allocator::DefectReport;

/// A live block; nullptr: none.
struct Block {
    const void* start = nullptr;
    std::size_t size = 0;
};

/// Writes a defect as one line. `around` is the live block that the pointer lies in.
template <slab_allocator::Sink Out>
class DefectLine {
public:
    explicit DefectLine(Out& sink) noexcept : writer_(sink) {}

    void write(const DefectReport& report, const Block& around, bool on_stack) {
        writer_.text("slab_malloc: ");
        write_what(report, around, on_stack);
        write_who("; allocated by ", report.allocated_by);
        const bool was_freed =
            report.defect == Defect::DoubleFree || report.defect == Defect::WriteAfterFree;
        if (was_freed) write_who("; freed by ", report.freed_by);  // else its place was, before
        writer_.text("\n");
    }

private:
    void write_what(const DefectReport& report, const Block& around, bool on_stack) {
        switch (report.defect) {
            case Defect::None:
                return writer_.text("no defect");
            case Defect::DoubleFree:
                return say("double free: the block at ", report, " is free already");
            case Defect::NeverAllocated:
                return say("invalid pointer: no block was ever allocated at ", report, "");
            case Defect::InteriorPointer:
                return write_interior(report, around);
            case Defect::ForeignPointer:
                return write_foreign(report, on_stack);
            case Defect::OtherCache:
                return say("damaged: what malloc wrote down of the block at ", report,
                           " names no size of its own");
            case Defect::WrongSize:
                return write_size(report, around);
            case Defect::WriteAfterFree:
                return write_byte("write after free: ", report, " was written after its free");
            case Defect::Overflow:
                if (report.offset < 0)
                    return write_byte("underrun: ", report, " was written, before its start");
                return write_byte("overrun: ", report, " was written, behind its end");
            case Defect::Leak:
                writer_.text("leak: ");
                writer_.number(report.objects_number);
                return writer_.text(" blocks were not freed");
            case Defect::MemoryInUse:
                return say("the system gave memory that is in use already, at ", report, "");
            case Defect::MisalignedSlab:
                return say("the system gave memory that is not aligned, at ", report, "");
            case Defect::MisalignedSlabInfo:
            case Defect::BackendLostSlab:
            case Defect::CorruptedSlabInfo:
                return say("damaged: what malloc wrote down was overwritten, at ", report, "");
        }
    }

    void say(const char* before, const DefectReport& report, const char* behind) {
        writer_.text(before);
        writer_.address(slab_allocator::address_of(report.pointer));
        writer_.text(behind);
    }

    void write_interior(const DefectReport& report, const Block& around) {
        if (around.start == nullptr)
            return say("invalid pointer: ", report, " is not where a block starts");
        say("invalid pointer: ", report, " is inside of the block of ");
        writer_.number(around.size);
        writer_.text(" bytes that starts at ");
        writer_.address(slab_allocator::address_of(around.start));
    }

    void write_foreign(const DefectReport& report, bool on_stack) {
        if (on_stack)
            return say("invalid pointer: ", report, " is on the stack, malloc gave no such");
        const Module module = Module::around(report.pointer);
        if (module.name != nullptr) {
            writer_.text("invalid pointer: ");
            write_place(writer_, report.pointer);
            return writer_.text(" is a variable or code, malloc gave no such");
        }
        say("invalid pointer: no block starts at ", report,
            ": malloc never gave it, or it was a large block that was freed before");
    }

    void write_size(const DefectReport& report, const Block& around) {
        say("wrong size: the block at ", report, " is freed with another size than it has, ");
        writer_.number(around.size);
        writer_.text(" bytes rounded up");
    }

    void write_byte(const char* what, const DefectReport& report, const char* behind) {
        writer_.text(what);
        writer_.text(report.offset < 0 ? "byte -" : "byte ");
        writer_.number(
            static_cast<std::size_t>(report.offset < 0 ? -report.offset : report.offset));
        say(" of the block at ", report, behind);
    }

    void write_who(const char* what, const void* address) {
        if (address == nullptr) return;
        writer_.text(what);
        write_place(writer_, address);
        if (Module::around(address).name == nullptr)
            writer_.text(" (overwritten, or no file's code)");
    }

    slab_allocator::detail::Writer<Out> writer_;
};

}  // namespace malloc_example
