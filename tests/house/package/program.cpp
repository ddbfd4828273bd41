// program.cpp -- somebody's program: finds the headers, and is compiled as C++20 unasked.

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/version.hpp>

struct Nothing {
    void* alloc_slab(std::size_t, std::size_t) { return nullptr; }
    void free_slab(void*, std::size_t, std::size_t) {}
};

int main() {
    using namespace slab_allocator;
    Cache<int, Nothing, CacheConfig{.object_size_type = ObjectSizeType::Small}> cache;
    return cache.alloc() == nullptr && SLAB_ALLOCATOR_VERSION_MAJOR == 0 ? 0 : 1;
}
