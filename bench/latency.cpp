// latency.cpp -- how long can a single call take?
//
// Ten million calls of a heap that grows to a million objects while random ones are freed; each
// call is timed by itself. A heap grows by slabs, so the births of slabs are among the calls, and
// nothing in them may be proportional to the objects of a slab.
//
// The table has the lowest of three runs for each column: what the machine did to one of them is
// not the allocator's. Ticks of the time stamp counter, less those of timing nothing.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include <x86intrin.h>

#include "compare/caches.hpp"
#include "compare/mallocs.hpp"
#include "compare/region.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;

constexpr std::size_t object_size = 64;
constexpr std::size_t operations = 10'000'000;
constexpr std::size_t peak = 1'000'000;
constexpr double shares[] = {0.50, 0.99, 0.999, 0.9999, 1.0};

/// Nothing before it is done later, nothing after it is done before.
[[nodiscard]] std::uint64_t ticks() {
    unsigned processor;
    _mm_lfence();
    const std::uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
}

[[nodiscard]] std::uint32_t overhead() {
    std::uint32_t least = ~0U;
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t start = ticks();
        least = std::min(least, static_cast<std::uint32_t>(ticks() - start));
    }
    return least;
}

/// What to do, decided before: alloc, or free the live object with this number.
constexpr std::uint32_t alloc_one = ~0U;

[[nodiscard]] std::vector<std::uint32_t> script() {
    std::mt19937_64 random{1};
    std::vector<std::uint32_t> steps(operations);
    std::size_t live = 0;
    for (std::size_t i = 0; i < operations; ++i) {
        const bool below = live < peak * i / operations + 100;
        const bool alloc = live == 0 || random() % 100 < (below ? 75 : 25);
        steps[i] = alloc ? alloc_one : static_cast<std::uint32_t>(random() % live);
        live = alloc ? live + 1 : live - 1;
    }
    return steps;
}

struct Times {
    std::vector<std::uint32_t> allocs = std::vector<std::uint32_t>(operations);
    std::vector<std::uint32_t> frees = std::vector<std::uint32_t>(operations);
    std::size_t allocs_number = 0;
    std::size_t frees_number = 0;
};

template <typename Allocator>
void run(const std::vector<std::uint32_t>& steps, std::vector<void*>& live, Times& times) {
    Region::instance().reset();
    Allocator allocator{peak};
    std::size_t live_number = 0;
    times.allocs_number = times.frees_number = 0;
    for (const std::uint32_t step : steps) {
        if (step == alloc_one) {
            const std::uint64_t start = ticks();
            void* const object = allocator.alloc();
            const std::uint64_t end = ticks();
            live[live_number++] = object;
            times.allocs[times.allocs_number++] = static_cast<std::uint32_t>(end - start);
        } else {
            void* const object = live[step];
            live[step] = live[--live_number];
            const std::uint64_t start = ticks();
            allocator.free(object);
            const std::uint64_t end = ticks();
            times.frees[times.frees_number++] = static_cast<std::uint32_t>(end - start);
        }
    }
    while (live_number > 0)
        allocator.free(live[--live_number]);
}

class Row {
public:
    void add(std::vector<std::uint32_t>& all, std::size_t number) {
        std::sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(number));
        for (std::size_t i = 0; i < std::size(shares); ++i) {
            const auto rank = static_cast<std::size_t>(shares[i] * static_cast<double>(number));
            lowest_[i] = std::min(lowest_[i], all[std::min(rank, number - 1)]);
        }
    }
    void print(const char* allocator, const char* call, std::uint32_t nothing) const {
        std::printf("%-14s %-6s", allocator, call);
        for (const std::uint32_t ticks : lowest_)
            std::printf("%10u", ticks > nothing ? ticks - nothing : 0);
        std::printf("\n");
    }

private:
    std::uint32_t lowest_[std::size(shares)] = {~0U, ~0U, ~0U, ~0U, ~0U};
};

template <typename Allocator>
void measure(const char* name, const std::vector<std::uint32_t>& steps, std::uint32_t nothing) {
    static std::vector<void*> live(operations);
    static Times times;
    Row allocs;
    Row frees;
    for (int repetition = 0; repetition < 4; ++repetition) {
        run<Allocator>(steps, live, times);
        if (repetition == 0) continue;  // makes the memory resident
        allocs.add(times.allocs, times.allocs_number);
        frees.add(times.frees, times.frees_number);
    }
    allocs.print(name, "alloc", nothing);
    frees.print(name, "free", nothing);
}

template <Checks checks, std::size_t slab_size = 0>
using CacheWith = CacheSubject<object_size, RegionSlabs,
                               CacheConfig{.slab_size = slab_size,
                                           .object_size_type = ObjectSizeType::Small,
                                           .checks = checks}>;

}  // namespace

int main() {
    const std::vector<std::uint32_t> steps = script();
    const std::uint32_t nothing = overhead();
    std::printf("%zu bytes an object; ticks of single calls, less %u for timing nothing\n\n",
                object_size, nothing);
    std::printf("%-14s %-6s%10s%10s%10s%10s%10s\n", "", "", "p50", "p99", "p99.9", "p99.99", "max");
    measure<CacheWith<Checks::none>>("none", steps, nothing);
    measure<CacheWith<Checks::misuse>>("misuse", steps, nothing);
    measure<CacheWith<Checks::none, 4096>>("none, 4 KiB", steps, nothing);
    measure<CacheWith<Checks::misuse, 4096>>("misuse, 4 KiB", steps, nothing);
    measure<CacheWith<Checks::none, 65536>>("none, 64 KiB", steps, nothing);
    measure<CacheWith<Checks::misuse, 65536>>("misuse, 64 KiB", steps, nothing);
    measure<Glibc<object_size>>("glibc malloc", steps, nothing);
}
