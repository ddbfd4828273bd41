// migrating.cpp -- what one had elsewhere, as it is said here: docs/migrating.md quotes it.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>

namespace {

using namespace slab_allocator;

struct Particle {
    double x, y;
};

/// From Boost.Pool's object_pool: construct, destroy, and everything at once.
bool from_boost() {
    // [boost]
    Cache<Particle, AlignedAllocBackend> pool;
    Particle* const one = pool.create(1.0, 2.0);
    Particle* const other = pool.create(3.0, 4.0);
    if (one == nullptr || other == nullptr) return false;  // it does not throw
    pool.destroy(one);

    // What object_pool does in its destructor is said here: who is live is destroyed.
    pool.for_each([&](Particle* particle) { pool.destroy(particle); });
    // [/boost]
    return pool.statistics().allocated_objects_number == 0;
}

// [kmem_cache]
struct Inode {
    std::uint64_t number = 0;
    std::uint32_t links = 1;
};

using Pages = LockedBackend<AlignedAllocBackend, std::mutex>;  // called by several threads
constinit LockedCache<Inode, Pages, std::mutex> inodes;        // kmem_cache_create

Inode* new_inode(std::uint64_t number) {
    return inodes.create(number);  // kmem_cache_alloc, and the constructor, each time
}
void drop_inode(Inode* inode) {
    inodes.destroy(inode);  // kmem_cache_free
}
// [/kmem_cache]

bool from_kmem_cache() {
    Inode* const inode = new_inode(7);
    if (inode == nullptr || inode->number != 7 || inode->links != 1) return false;
    drop_inode(inode);
    return inodes.shrink_to_fit() == 1;  // kmem_cache_shrink
}

/// From the Rust crate: Cache<SomeType, Backend>::new(8192, 4096, ObjectSizeType::Large, backend).
bool from_rust() {
    // [rust]
    using SomeCache =
        Cache<Particle, AlignedAllocBackend,
              CacheConfig{
                  .slab_size = 8192, .page_size = 4096, .object_size_type = ObjectSizeType::Large}>;
    SomeCache cache;
    Particle* const particle = cache.alloc();
    cache.free(particle);
    const CacheStatistics statistics = cache.statistics();
    // [/rust]
    return particle != nullptr && statistics.free_objects_number == cache.objects_per_slab();
}

}  // namespace

int main() {
    const bool all = from_boost() && from_kmem_cache() && from_rust();
    std::puts(all ? "all as before" : "something is missing");
    return all ? 0 : 1;
}
