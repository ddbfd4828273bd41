// What the malloc of a program says of a defect: lines_check.py looks at those that a program can
// bring about, this at all.

#include <string>

#include <support/catch.hpp>

#include "../../examples/malloc/defect_line.hpp"

using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

struct StringSink {
    void write(const char* characters, std::size_t size) { text.append(characters, size); }
    std::string text;
};

std::string line_of(const DefectReport& report) {
    StringSink sink;
    malloc_example::DefectLine(sink).write(report, {}, false);
    return sink.text;
}

}  // namespace

TEST_CASE("the malloc of a program has a line for every defect, in words of malloc",
          "[examples][malloc]") {
    const auto* const address = reinterpret_cast<const void*>(std::uintptr_t{0x10});
    for (unsigned number = 1; number <= static_cast<unsigned>(Defect::Leak); ++number) {
        const auto defect = static_cast<Defect>(number);
        CAPTURE(slab_allocator::name_of(defect));
        const std::string line = line_of({.defect = defect, .pointer = address, .slab = address});
        REQUIRE(line.rfind("slab_malloc: ", 0) == 0);
        REQUIRE(line.back() == '\n');
        const std::string words = line.substr(13);
        REQUIRE(words.size() > 20);
        for (const char* const unknown : {"cache", "slab", "alloc()", "backend", "SlabInfo"})
            REQUIRE(words.find(unknown) == std::string::npos);
        REQUIRE((defect == Defect::Leak || words.find("0x10") != std::string::npos));
    }
}

TEST_CASE("an address in no file is not said to be who allocated", "[examples][malloc]") {
    const auto* const overwritten = reinterpret_cast<const void*>(std::uintptr_t{0x41414141});
    const std::string line = line_of(
        {.defect = Defect::DoubleFree, .pointer = overwritten, .allocated_by = overwritten});
    REQUIRE(line.find("allocated by 0x41414141 (overwritten, or no file's code)") !=
            std::string::npos);
}
