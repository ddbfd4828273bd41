// debuggee.cpp -- caches in a known state, for GDB to look at: see gdb_test.py.

#include <cstddef>
#include <cstdio>
#include <mutex>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <slab_allocator/report/report.hpp>

namespace app {

using namespace slab_allocator;
using Backend = AlignedAllocBackend;

struct Object {
    std::byte bytes[64];
};

constexpr CacheConfig pages{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig elsewhere{.slab_size = 8192, .object_size_type = ObjectSizeType::Large};

Cache<Object, Backend, pages> small;
Cache<Object, Backend, elsewhere> large;
Cache<Object, Backend, CacheConfig{.checks = Checks::debug}> debugged;
Heap<Backend> heap;
Heap<Backend, HeapConfig{.checks = Checks::debug}> heap_debugged;

using SharedBackend = LockedBackend<Backend, std::mutex>;
LockedCache<Object, SharedBackend, std::mutex, pages> locked;
using Cpus = ThreadCpus<4>;
MagazineCache<Object, SharedBackend, Cpus, std::mutex, pages> per_cpu;
MagazineHeap<SharedBackend, Cpus, std::mutex> heap_per_cpu;

Object* live = nullptr;             // of small
Object* cached = nullptr;           // freed, and in the object stack
Object* in_slab = nullptr;          // freed, and back in its slab
Object* guarded = nullptr;          // of debugged
Object* of_locked = nullptr;        // of locked
void* block = nullptr;              // of heap
void* freed_block = nullptr;        // of heap, and in the current word
void* quarantined_block = nullptr;  // of heap_debugged, freed, and among the delayed
void* guarded_block = nullptr;      // of heap_debugged
Object* at_depot = nullptr;         // of per_cpu, freed, and in a magazine that went to the depot
Object* in_slot = nullptr;          // of per_cpu, freed, and in a magazine of this thread's
void* in_front = nullptr;           // of heap_per_cpu, freed, and in this thread's front
Object local = {};                  // of none

struct Standard {
    void write(const char* text, std::size_t size) { std::fwrite(text, 1, size, stdout); }
};

/// Here GDB stops.
[[gnu::noinline]] void stop() { __asm__ volatile("" : : : "memory"); }

template <typename AnyCache>
void fill(AnyCache& cache, std::size_t number) {
    for (; number > 0; --number)
        static_cast<void>(cache.alloc());
}

}  // namespace app

int main() {
    using namespace app;
    fill(small, 100);
    fill(large, 300);
    fill(debugged, 10);
    fill(locked, 5);
    live = small.alloc();
    in_slab = small.alloc();
    small.free(in_slab);
    static_cast<void>(small.statistics());  // nothing is cached from here on
    cached = large.alloc();
    large.free(cached);
    guarded = debugged.alloc();
    of_locked = locked.alloc();
    for (int number = 0; number < 300; ++number)
        block = heap.alloc(100);
    freed_block = heap.alloc(100);
    heap.free(freed_block);
    static_cast<void>(heap.alloc(2000));
    guarded_block = heap_debugged.alloc(40);
    quarantined_block = heap_debugged.alloc(40);
    heap_debugged.free(quarantined_block);
    fill(per_cpu, 40);
    Object* many[200];
    for (Object*& object : many)
        object = per_cpu.alloc();
    at_depot = many[0];
    in_slot = many[199];
    for (Object* const object : many)
        per_cpu.free(object);
    static_cast<void>(heap_per_cpu.alloc(100));
    in_front = heap_per_cpu.alloc(100);
    heap_per_cpu.free(in_front);
    Cache<Object, Backend, pages> of_main;
    Object* const owned = of_main.alloc();
    stop();
    report({summary_of("app::small", small), summary_of("app::large", large),
            summary_of("app::debugged", debugged), summary_of("app::locked", locked)},
           Standard{});
    report(heap, Standard{}, "app::heap");
    of_main.free(owned);
    std::fflush(stdout);
    std::_Exit(0);  // with all those objects
}
