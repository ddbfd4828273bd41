// Does not compile, and is not meant to: the README quotes it, and what g++ says.

#include <cstddef>

#include <slab_allocator/core/cache.hpp>

using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::ObjectSizeType;

// [refused]
struct Pages {  // all that a Small cache needs
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment);
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment);
};

struct Packet {
    std::byte bytes[512];
};

Cache<Packet, Pages, CacheConfig{.slab_size = 8192, .object_size_type = ObjectSizeType::Large}> one;
Cache<Packet, Pages, CacheConfig{.slab_size = 5000}> two;
// [/refused]
