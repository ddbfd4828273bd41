// benchmark_magazines.cpp -- a cache with magazines at levels none and misuse.

#include <cstddef>

#include "benchmark.hpp"
#include "magazines.hpp"
#include "memory.hpp"
#include "smp.hpp"

namespace kernel {

namespace {

using slab_allocator::Checks;

template <typename Row, std::size_t size, Checks level>
constinit CpuCache<Object<size>, ForAllCpus<typename Row::Backend>, AtLevel<Row, level>::config>
    measured;

template <typename Row, std::size_t size>
void print_row() noexcept {
    constexpr auto none = []() noexcept -> auto& { return measured<Row, size, Checks::none>; };
    constexpr auto misuse = []() noexcept -> auto& { return measured<Row, size, Checks::misuse>; };
    print_name<Row>(size);
    print_measure(on_cpus(1, none));
    print_measure(on_cpus(1, misuse));
    if (cpus_number() > 1) {
        print_measure(on_cpus(cpus_number(), none));
        print_measure(on_cpus(cpus_number(), misuse));
    }
    print("\n");
    none().shrink();
    misuse().shrink();
}

}  // namespace

void benchmark_magazines() noexcept {
    print_heads({"magazines, none", "magazines, misuse", "none, all CPUs", "misuse, all CPUs"}, 2);
    for_each_row_and_size([]<typename Row, std::size_t size>() { print_row<Row, size>(); });
}

}  // namespace kernel
