// A process that forks while a thread is in the middle of a slow path: in the child that thread is
// not there, and its slot stays claimed until the cache is told so.

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/defects.hpp>
#include <support/threads.hpp>

using namespace support;

namespace {

/// A thread that is told so waits in front of the next lock.
class GatedLock {
public:
    void lock() {
        if (waits) {
            arrived = true;
            while (!open)
                std::this_thread::yield();
            waits = false;
        }
        mutex_.lock();
    }
    void unlock() { mutex_.unlock(); }

    static inline thread_local bool waits = false;
    static inline std::atomic<bool> arrived = false;
    static inline std::atomic<bool> open = false;

private:
    std::mutex mutex_;
};

using Item = Stamped<64>;
using Cpus = slab_allocator::ThreadCpus<7>;  // whose numbers no other test takes
using Backend = slab_allocator::LockedBackend<slab_allocator::AlignedAllocBackend, std::mutex>;
using Cache = slab_allocator::MagazineCache<Item, Backend, Cpus, GatedLock>;

/// What must be true in the child. `lost`: how many objects the other thread's slot had.
[[nodiscard]] bool goes_on(Cache& cache, std::size_t live, std::size_t lost) {
    ::alarm(60);  // where something waits for a thread that is not there
    cache.after_fork_in_child();
    if (Cpus::threads_number() != 1) return false;
    static_cast<void>(cache.shrink_to_fit());
    if (cache.statistics().allocated_objects_number != live + lost) return false;
    std::vector<Item*> objects(1000);
    for (std::size_t round = 0; round < 10; ++round) {
        for (Item*& object : objects)
            object = cache.alloc();
        for (Item* const object : objects)
            cache.free(object);
    }
    return cache.depot_statistics().contended_visits_number == 0 &&
           cache.statistics().allocated_objects_number == live + lost &&
           cache.validate().defect == slab_allocator::Defect::None;
}

}  // namespace

TEST_CASE("the child of a fork waits for no slot of a thread that is not there",
          "[magazine][threads]") {
    DefectCatcher catcher;
    Cache cache;
    Item* const mine = cache.alloc();
    cache.free(cache.alloc());  // a slot for this thread
    const std::size_t full = 2 * cache.depot_statistics().rounds;
    std::thread other([&] {
        std::vector<Item*> objects(full + 1);
        for (Item*& object : objects)
            object = cache.alloc();
        for (std::size_t number = 0; number < full; ++number)
            cache.free(objects[number]);
        GatedLock::waits = true;
        cache.free(objects[full]);  // by way of the depot, whose lock it waits for
    });
    while (!GatedLock::arrived)
        std::this_thread::yield();
    const bool two = Cpus::threads_number() == 2;
    const bool right = in_child([&] { return goes_on(cache, 1, full + 1); });
    GatedLock::open = true;
    other.join();
    REQUIRE(two);
    REQUIRE(right);
    REQUIRE(cache.statistics().allocated_objects_number == 1);
    cache.free(mine);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("a fork finds each lock of a magazine cache", "[magazine]") {
    Cache cache;
    std::vector<GatedLock*> locks;
    cache.for_each_lock([&](GatedLock& lock) {
        lock.lock();
        locks.push_back(&lock);
    });
    REQUIRE(locks.size() == 3);
    for (GatedLock* const lock : locks)
        lock->unlock();
    cache.free(cache.alloc());
}
