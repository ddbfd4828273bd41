#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <slab_allocator/adaptors/allocator.hpp>
#include <slab_allocator/adaptors/cache_kind.hpp>
#include <slab_allocator/adaptors/pool.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include <support/catch.hpp>
#include <support/threads.hpp>

using slab_allocator::AlignedAllocBackend;
using slab_allocator::Allocator;
using slab_allocator::LockedBackend;
using slab_allocator::PerCpu;
using slab_allocator::Pool;
using slab_allocator::PoolRef;
using slab_allocator::ThreadCpus;
using slab_allocator::UnderLock;

namespace {

using Backend = LockedBackend<AlignedAllocBackend, std::mutex>;
using Locked = Pool<Backend, UnderLock<std::mutex>>;
using WithMagazines = Pool<Backend, PerCpu<ThreadCpus<>, std::mutex>>;

template <typename Pool>
using List = std::list<std::size_t, Allocator<std::size_t, PoolRef<Pool>>>;
template <typename Pool>
using Map = std::map<std::size_t, std::size_t, std::less<>,
                     Allocator<std::pair<const std::size_t, std::size_t>, PoolRef<Pool>>>;
template <typename Pool>
using Vector = std::vector<std::size_t, Allocator<std::size_t, PoolRef<Pool>>>;

/// Containers of its own, of several node sizes, and arrays. Returns: a list that another thread
/// ends.
template <typename Pool>
List<Pool> work(Pool& pool, std::size_t thread, bool& right) {
    List<Pool> list(pool);
    Map<Pool> map(pool);
    Vector<Pool> vector(pool);
    for (std::size_t step = 0; step < 3000; ++step) {
        list.push_back(thread);
        map.emplace(step, thread);
        vector.push_back(thread);
        if (step % 3 == 0) list.pop_front();
        if (step % 2 == 0) map.erase(step / 2);
        if (step % 1000 == 0) vector = Vector<Pool>(pool);
    }
    right = true;
    for (const std::size_t value : list)
        right = right && value == thread;
    for (const auto& [key, value] : map)
        right = right && value == thread;
    for (const std::size_t value : vector)
        right = right && value == thread;
    return list;
}

}  // namespace

TEMPLATE_TEST_CASE("several threads have containers in one pool", "[threads]", Locked,
                   WithMagazines) {
    constexpr std::size_t threads_number = 4;
    TestType pool;
    {
        std::vector<List<TestType>> lists(threads_number, List<TestType>(pool));
        bool right[threads_number] = {};
        support::in_threads(threads_number, [&](std::size_t thread) {
            lists[thread] = work(pool, thread, right[thread]);
        });
        for (std::size_t thread = 0; thread < threads_number; ++thread) {
            CHECK(right[thread]);
            CHECK(lists[thread].size() == 2000);
        }
        CHECK(pool.statistics().allocated_objects_number == 2000 * threads_number);
    }
    CHECK(pool.statistics().allocated_objects_number == 0);
    CHECK(pool.heap().statistics().allocated_objects_number == 0);
}
