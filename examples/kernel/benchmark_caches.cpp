// benchmark_caches.cpp -- a cache by itself at levels none and misuse, and under a lock.

#include <cstddef>

#include "benchmark.hpp"
#include "memory.hpp"
#include "smp.hpp"

namespace kernel {

namespace {

using slab_allocator::Checks;

template <typename Row, std::size_t size, Checks level>
constinit SharedCache<Object<size>, typename Row::Backend, AtLevel<Row, level>::config> measured;

template <typename Row, std::size_t size, Checks level>
[[nodiscard]] Measure alone() noexcept {
    return measured<Row, size, level>.alone([](auto& cache) {
        return Measure{.pair = time_of(1, [&] { pairs(cache); }),
                       .churn = time_of(1, [&] { churn(cache); }),
                       .batch = time_of(1, [&] { batches(cache); })};
    });
}

template <typename Row, std::size_t size>
void print_row() noexcept {
    constexpr auto cache = []() noexcept -> auto& { return measured<Row, size, Checks::misuse>; };
    print_name<Row>(size);
    print_measure(alone<Row, size, Checks::none>());
    print_measure(alone<Row, size, Checks::misuse>());
    print_measure(on_cpus(1, cache));
    if (cpus_number() > 1) print_measure(on_cpus(cpus_number(), cache));
    print("\n");
    measured<Row, size, Checks::none>.shrink();
    cache().shrink();
}

}  // namespace

void benchmark_caches() noexcept {
    print_heads({"none", "misuse", "misuse, a lock", "misuse, a lock, all"}, 3);
    for_each_row_and_size([]<typename Row, std::size_t size>() { print_row<Row, size>(); });
}

}  // namespace kernel
