// threads.cpp -- a backend that bears one thread, where several come.

// CASE BACKEND=AlignedAllocBackend|Referred|Composed|Yours
//      "it bears one: take LockedBackend<Backend, Lock>"
// CASE BACKEND=AlignedAllocBackend, PLACE=InMagazineHeap
//      "it bears one: take LockedBackend<Backend, Lock>"

#include <mutex>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/arena_backend.hpp>
#include <slab_allocator/backends/buddy_backend.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#ifndef BACKEND
#define BACKEND LockedBackend<AlignedAllocBackend, std::mutex>
#endif
#ifndef PLACE
#define PLACE InLockedCache
#endif

using namespace slab_allocator;

struct Yours : AlignedAllocBackend {};
// [one thread]
template <>
inline constexpr bool slab_allocator::bears_threads<Yours> = false;
// [/one thread]

using Referred = BackendRef<AlignedAllocBackend>;
using Composed = ComposedBackend<MmapBackend, AlignedAllocBackend, AlignedAllocBackend>;

static_assert(!bears_threads<MmapBackend> && !bears_threads<ArenaBackend<4096>>);
static_assert(!bears_threads<ArenaBackendOver> && !bears_threads<BuddyBackend<>>);
static_assert(!bears_threads<SlabInfoCache<AlignedAllocBackend>>);
static_assert(!bears_threads<HashMap<AlignedAllocBackend>>);
static_assert(bears_threads<LockedBackend<MmapBackend, std::mutex>>);

struct Object {
    std::byte bytes[64];
};

template <typename Backend>
using InLockedCache = LockedCache<Object, Backend, std::mutex>;
template <typename Backend>
using InMagazineHeap = MagazineHeap<Backend, ThreadCpus<>, std::mutex>;

void* use(PLACE<BACKEND>& place) { return place.owns(nullptr) ? nullptr : &place; }
