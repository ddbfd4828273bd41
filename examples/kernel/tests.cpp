// tests.cpp -- the tests in their order, and what becomes of a defect.

#include "tests.hpp"

#include <cstdint>

#include "memory.hpp"
#include "serial.hpp"
#include "smp.hpp"

namespace kernel {

namespace {

constinit bool expected = false;
constinit slab_allocator::DefectReport last_report = {};

// [handler]
void on_defect(const slab_allocator::DefectReport& report) noexcept {
    {
        const Guard guard(serial::lock);
        slab_allocator::print_defect(report, serial::Sink{});
    }
    if (!expected) panic("a defect that nobody expects");
    last_report = report;
}
// [/handler]

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
    last_report = {};
}

slab_allocator::DefectReport stop_expecting() noexcept {
    expected = false;
    return last_report;
}

void run_tests(bool magazines_only) noexcept {
    report_defects();
    const PagesState before = pages_state();
    if (!magazines_only) {
        run("misuse", test_misuse, before);
        run("a cache of caches", test_cache_of_caches, before);
        run("out of memory", test_out_of_memory, before);
        run("memory pressure", test_shrinker, before);
        run("load", test_load, before);
    }
    run("magazines", test_magazines, before);
    print("all tests passed on ", cpus_number(), " CPUs\n");
}

}  // namespace kernel
