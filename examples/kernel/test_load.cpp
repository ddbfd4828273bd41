// test_load.cpp -- all CPUs and their timers at once, in every row, under a lock.

#include <cstddef>

#include "load.hpp"
#include "memory.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

struct UnderALock {
    static constexpr std::size_t operations_number = 12'000'000;

    template <typename Row, std::size_t size>
    [[nodiscard]] static auto& cache() noexcept {
        return cache_of<Row, size>;
    }

    template <typename Row>
    static void now_and_then() noexcept {}
    template <typename Row>
    static void in_the_handler(std::size_t) noexcept {}
};

}  // namespace

void test_load() noexcept { Load<UnderALock>::run(); }

}  // namespace kernel
