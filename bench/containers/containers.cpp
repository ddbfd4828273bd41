// containers.cpp -- how long does an insertion or an erasure take, in each standard container, with
// each allocator?
//
//      for each workload:   repetitions times:   every allocator, in random order
//
// so that what the machine does meanwhile is done to all. A figure is the median of the repetitions
// in nanoseconds; a ratio is the median of the ratios to std::allocator in the same repetition.
//
//      containers [REPETITIONS]      9; prints two tables in Markdown

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#if __has_include(<boost/pool/pool_alloc.hpp>)
#include <boost/pool/pool_alloc.hpp>
#endif
#if __has_include(<foonathan/memory/memory_pool_collection.hpp>)
#include <foonathan/memory/heap_allocator.hpp>
#include <foonathan/memory/memory_pool_collection.hpp>
#include <foonathan/memory/segregator.hpp>
#include <foonathan/memory/std_allocator.hpp>
#endif

#include <slab_allocator/slab_allocator.hpp>

#include "../compare/mallocs.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;
using namespace slab_allocator;

// ---- Allocators ---------------------------------------------------------------------------------

constexpr CacheConfig unchecked{.slab_size = config_of_pools.slab_size,
                                .object_size_type = ObjectSizeType::Small,
                                .checks = Checks::none};
using OnePool = Pool<AlignedAllocBackend>;
using UncheckedPool = Pool<AlignedAllocBackend, OneThread, unchecked>;
using SharedBackend = LockedBackend<AlignedAllocBackend, std::mutex>;
using SharedPool = Pool<SharedBackend, PerCpu<ThreadCpus<>, std::mutex>>;

template <typename P>
double run_in_pool(std::size_t workload) {
    const auto pool = std::make_unique<P>();
    return run(workload, Allocator<int, PoolRef<P>>(*pool));
}

constinit OnePool named_pool;
double run_in_named_pool(std::size_t workload) {
    return run(workload, Allocator<int, StaticPool<named_pool>>());
}

template <typename Resource>
double run_in_resource(std::size_t workload) {
    const auto resource = std::make_unique<Resource>();
    return run(workload, std::pmr::polymorphic_allocator<int>(resource.get()));
}

/// A malloc of another name. Which: a type with library, alloc_name and free_name.
template <typename Which>
struct Malloc {
    static inline MallocFunctions functions;
    [[nodiscard]] static bool available() {
        functions = load(Which::library, Which::alloc_name, Which::free_name);
        return functions.alloc != nullptr;
    }
};
template <typename T, typename Which>
struct MallocAllocator {
    using value_type = T;
    MallocAllocator() = default;
    template <typename U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    MallocAllocator(const MallocAllocator<U, Which>&) noexcept {}
    [[nodiscard]] T* allocate(std::size_t number) {
        void* const memory = Malloc<Which>::functions.alloc(number * sizeof(T));
        if (memory == nullptr) throw std::bad_alloc();
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t) noexcept { Malloc<Which>::functions.free(memory); }
    friend bool operator==(const MallocAllocator&, const MallocAllocator&) noexcept { return true; }
};
template <typename Which>
double run_in_malloc(std::size_t workload) {
    return run(workload, MallocAllocator<int, Which>());
}

#if __has_include(<boost/pool/pool_alloc.hpp>)
/// One pool for each size in the whole program, without its lock; it never gives memory back.
double run_in_boost(std::size_t workload) {
    return run(workload, boost::fast_pool_allocator<int, boost::default_user_allocator_new_delete,
                                                    boost::details::pool::null_mutex>());
}
#endif

#if __has_include(<foonathan/memory/memory_pool_collection.hpp>)
/// Nodes from a pool for each size, all else from malloc.
double run_in_foonathan(std::size_t workload) {
    namespace memory = foonathan::memory;
    using Pools = memory::memory_pool_collection<memory::node_pool, memory::identity_buckets>;
    auto both = memory::make_segregator(memory::threshold(128, Pools(128, std::size_t{1} << 16)),
                                        memory::heap_allocator());
    return run(workload, memory::std_allocator<int, decltype(both)>(both));
}
#endif

struct Subject {
    const char* name;
    double (*run)(std::size_t workload);
    std::vector<double> samples;  // of the workload at hand
};

[[nodiscard]] std::vector<Subject> subjects() {
    std::vector<Subject> all{
        {"std::allocator", [](std::size_t w) { return run(w, std::allocator<int>()); }, {}},
        {"Allocator, PoolRef", run_in_pool<OnePool>, {}},
        {"Allocator, StaticPool", run_in_named_pool, {}},
        {"Allocator, Checks::none", run_in_pool<UncheckedPool>, {}},
        {"Allocator, PerCpu", run_in_pool<SharedPool>, {}},
        {"MemoryResource", run_in_resource<MemoryResource<Heap<AlignedAllocBackend>>>, {}},
        {"pmr, unsynchronized pool", run_in_resource<std::pmr::unsynchronized_pool_resource>, {}},
        {"pmr, synchronized pool", run_in_resource<std::pmr::synchronized_pool_resource>, {}},
    };
#if __has_include(<boost/pool/pool_alloc.hpp>)
    all.push_back({"Boost, fast_pool_allocator", run_in_boost, {}});
#endif
#if __has_include(<foonathan/memory/memory_pool_collection.hpp>)
    all.push_back({"foonathan, node_pool", run_in_foonathan, {}});
#endif
    if (Malloc<Mimalloc>::available()) all.push_back({"mimalloc", run_in_malloc<Mimalloc>, {}});
    if (Malloc<Jemalloc>::available()) all.push_back({"jemalloc", run_in_malloc<Jemalloc>, {}});
    if (Malloc<Tcmalloc>::available()) all.push_back({"tcmalloc", run_in_malloc<Tcmalloc>, {}});
    return all;
}

// ---- Tables -------------------------------------------------------------------------------------

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void print_table(const char* title, const std::vector<Subject>& all,
                 const std::vector<std::vector<double>>& figures, bool with_mean) {
    std::printf("\n| %s |", title);
    for (const std::string_view name : workload_names)
        std::printf(" %.*s |", static_cast<int>(name.size()), name.data());
    std::printf("%s\n| --- |", with_mean ? " mean |" : "");
    for (std::size_t column = 0; column < std::size(workload_names) + (with_mean ? 1 : 0); ++column)
        std::printf(" ---: |");
    for (std::size_t row = 0; row < all.size(); ++row) {
        std::printf("\n| %s |", all[row].name);
        double logarithms = 0;
        for (const auto& workload : figures) {
            std::printf(" %.*f |", workload[row] < 10 ? 2 : 0, workload[row]);
            logarithms += std::log(workload[row]);
        }
        if (with_mean)
            std::printf(" %.2f |", std::exp(logarithms / static_cast<double>(figures.size())));
    }
    std::printf("\n");
}

}  // namespace

int main(int arguments_number, char** arguments) {
    make_room_for_tls(arguments);
    const int repetitions = arguments_number > 1 ? std::max(1, std::atoi(arguments[1])) : 9;
    std::vector<Subject> all = subjects();
    std::vector<std::vector<double>> times;
    std::vector<std::vector<double>> ratios;
    std::mt19937 generator{2001};
    for (std::size_t workload = 0; workload < std::size(workload_names); ++workload) {
        std::vector<std::size_t> order;
        for (std::size_t subject = 0; subject < all.size(); ++subject) {
            all[subject].samples.clear();
            order.push_back(subject);
        }
        for (int repetition = 0; repetition < repetitions; ++repetition) {
            std::shuffle(order.begin(), order.end(), generator);
            for (const std::size_t subject : order)
                all[subject].samples.push_back(all[subject].run(workload));
        }
        times.emplace_back();
        ratios.emplace_back();
        for (const Subject& subject : all) {
            std::vector<double> relative;
            for (std::size_t sample = 0; sample < subject.samples.size(); ++sample)
                relative.push_back(subject.samples[sample] / all[0].samples[sample]);
            times.back().push_back(median(subject.samples));
            ratios.back().push_back(median(std::move(relative)));
        }
        std::fprintf(stderr, "%s\n", std::string(workload_names[workload]).c_str());
    }
    std::printf("%s, %d repetitions\n", BENCH_COMPILER, repetitions);
    print_table("ns an operation", all, times, false);
    print_table("of std::allocator's time", all, ratios, true);
}
