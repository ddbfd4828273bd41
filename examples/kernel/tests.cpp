// tests.cpp -- the tests in their order, and what becomes of a defect.

#include "tests.hpp"

#include <cstdint>

#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"

namespace kernel {

namespace {

constinit bool expected = false;
constinit Defect last_defect = Defect::None;

void on_defect(const slab_allocator::DefectReport& report) noexcept {
    print("    ", name_of(report.defect), ": pointer ", report.pointer, ", cache ", report.cache,
          ", slab ", report.slab, ", slot ", std::uint64_t{report.slot}, ", objects ",
          std::uint64_t{report.objects_number}, "\n");
    if (!expected) panic("a defect that nobody expects");
    last_defect = report.defect;
}

void run(const char* name, void (*test)() noexcept, const PagesState& before) noexcept {
    print("test: ", name, "\n");
    test();
    if (!(pages_state() == before)) panic("page frames are missing, or their blocks are broken up");
    print("  passed: every page frame is back\n");
}

}  // namespace

void report_defects() noexcept { slab_allocator::set_defect_handler(on_defect); }

void expect_defects() noexcept {
    expected = true;
    last_defect = Defect::None;
}

Defect stop_expecting() noexcept {
    expected = false;
    return last_defect;
}

void run_tests() noexcept {
    report_defects();
    const PagesState before = pages_state();
    run("misuse", test_misuse, before);
    run("a cache of caches", test_cache_of_caches, before);
    run("out of memory", test_out_of_memory, before);
    run("load", test_load, before);
    print("all tests passed on ", cpus_number(), " CPUs\n");
}

}  // namespace kernel
