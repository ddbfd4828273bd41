// levels.cpp -- what do the levels cost, and what would the guards cost alone?
//
// A minute with Google Benchmark: 64 bytes, each object written at its first byte. One item is an
// alloc and its free. `guarded by its caller` is level misuse, whose caller zeroes each object
// before he frees it and looks whether it still is when he gets it again: the least that anyone
// pays who wants that, without canaries, late reuse, or random order.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "compare/caches.hpp"
#include "compare/region.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;

constexpr std::size_t object_size = 64;

template <Checks checks>
class Level {
public:
    Level() { Region::instance().reset(); }
    [[nodiscard]] std::byte* alloc() { return static_cast<std::byte*>(cache_.alloc()); }
    void free(std::byte* object) { cache_.free(object); }

private:
    CacheSubject<object_size, RegionSlabs,
                 CacheConfig{.object_size_type = ObjectSizeType::Small, .checks = checks}>
        cache_{0};
};

class GuardedByCaller : public Level<Checks::misuse> {
public:
    /// What others left in the region is wiped first.
    GuardedByCaller() { std::memset(Region::instance().base(), 0, std::size_t{64} << 20); }

    [[nodiscard]] std::byte* alloc() {
        std::byte* const object = Level::alloc();
        std::array<std::uint64_t, object_size / 8> words;
        std::memcpy(words.data(), object, object_size);
        std::uint64_t all = 0;
        for (const std::uint64_t word : words)
            all |= word;
        if (all != 0) [[unlikely]]
            __builtin_trap();
        return object;
    }
    void free(std::byte* object) {
        std::memset(object, 0, object_size);
        Level::free(object);
    }
};

template <typename Allocator>
[[nodiscard]] std::byte* written(Allocator& allocator) {
    std::byte* object = allocator.alloc();
    *object = std::byte{1};
    benchmark::DoNotOptimize(object);
    return object;
}

template <typename Allocator>
void pair(benchmark::State& state) {
    Allocator allocator;
    for (auto _ : state)
        allocator.free(written(allocator));
    state.SetItemsProcessed(state.iterations());
}

/// So many, then all back: the last one first, or in an order that nobody can foresee.
template <typename Allocator, bool random>
void batch(benchmark::State& state) {
    Allocator allocator;
    const auto number = static_cast<std::size_t>(state.range(0));
    std::vector<std::byte*> objects(number);
    std::vector<std::size_t> order(number);
    for (std::size_t rank = 0; rank < number; ++rank)
        order[rank] = number - 1 - rank;
    if (random) std::shuffle(order.begin(), order.end(), std::mt19937{1});
    for (auto _ : state) {
        for (std::byte*& object : objects)
            object = written(allocator);
        for (const std::size_t rank : order)
            allocator.free(objects[rank]);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(number));
}
template <typename Allocator>
void lifo(benchmark::State& state) {
    batch<Allocator, false>(state);
}
template <typename Allocator>
void random_order(benchmark::State& state) {
    batch<Allocator, true>(state);
}

/// A random one of so many is replaced.
template <typename Allocator>
void replace(benchmark::State& state) {
    Allocator allocator;
    std::vector<std::byte*> objects(static_cast<std::size_t>(state.range(0)));
    for (std::byte*& object : objects)
        object = written(allocator);
    std::vector<std::uint32_t> victims(1'000'000);
    std::mt19937 random{1};
    for (auto& victim : victims)
        victim = static_cast<std::uint32_t>(random() % objects.size());
    std::size_t next = 0;
    for (auto _ : state) {
        std::byte*& object = objects[victims[next]];
        allocator.free(object);
        object = written(allocator);
        next = next + 1 == victims.size() ? 0 : next + 1;
    }
    for (std::byte* const object : objects)
        allocator.free(object);
    state.SetItemsProcessed(state.iterations());
}

template <typename Allocator>
void add(const char* name) {
    const auto named = [&](const char* workload) { return std::string(workload) + ", " + name; };
    benchmark::RegisterBenchmark(named("pair").c_str(), pair<Allocator>);
    benchmark::RegisterBenchmark(named("lifo").c_str(), lifo<Allocator>)->Arg(100)->Arg(1'000);
    benchmark::RegisterBenchmark(named("random order").c_str(), random_order<Allocator>)
        ->Arg(100)
        ->Arg(1'000)
        ->Arg(100'000);
    benchmark::RegisterBenchmark(named("replace").c_str(), replace<Allocator>)->Arg(10'000);
}

}  // namespace

int main(int argc, char** argv) {
    add<Level<Checks::none>>("none");
    add<Level<Checks::misuse>>("misuse");
    add<GuardedByCaller>("guarded by its caller");
    add<Level<Checks::hardened>>("hardened");
    add<Level<Checks::debug>>("debug");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
