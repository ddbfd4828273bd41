#pragma once

// tests.hpp -- what this kernel is for. Each test comes back if all is well, and else panics.

#include <slab_allocator/core/defect.hpp>

namespace kernel {

/// Everything below but the benchmark, or the test of magazines only; and that every page frame is
/// back after each.
void run_tests(bool magazines_only) noexcept;

/// Every misuse of a cache and of the page frames is reported, and harms nothing.
void test_misuse() noexcept;

/// A cache whose objects are caches.
void test_cache_of_caches() noexcept;

/// Takes all memory there is: one CPU, then all of them at once.
void test_out_of_memory() noexcept;

/// All CPUs and their interrupt handlers allocate and free at once, in every row.
void test_load() noexcept;

/// The same through the magazines of each CPU; and no object is out of reach in them.
void test_magazines() noexcept;

/// A cache that takes all memory, and gives it back to whoever needs it.
void test_shrinker() noexcept;

/// Instructions, or cycles, for an alloc and a free, as tables.
void run_benchmark(bool in_cycles) noexcept;

// ---- What the library reports -------------------------------------------------------------------

/// From now on a defect is a line on the serial port, and the end where nobody expects it.
void report_defects() noexcept;

/// From now on the next defects are expected, until stop_expecting(), which tells the last of them.
void expect_defects() noexcept;
[[nodiscard]] slab_allocator::DefectReport stop_expecting() noexcept;

template <typename Call>
[[nodiscard]] slab_allocator::DefectReport report_of(Call&& call) noexcept {
    expect_defects();
    call();
    return stop_expecting();
}
template <typename Call>
[[nodiscard]] slab_allocator::Defect defect_of(Call&& call) noexcept {
    return report_of(call).defect;
}

}  // namespace kernel
