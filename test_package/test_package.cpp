// test_package.cpp -- says which version it was given, after an object was there and gone.

#include <cstdio>

#include <slab_allocator/slab_allocator.hpp>

int main() {
    using namespace slab_allocator;
    Cache<int, AlignedAllocBackend> cache;
    const auto number = cache.make_unique(7);
    if (number == nullptr || *number != 7) return 1;
    std::printf("slab_allocator %d.%d.%d\n", SLAB_ALLOCATOR_VERSION_MAJOR,
                SLAB_ALLOCATOR_VERSION_MINOR, SLAB_ALLOCATOR_VERSION_PATCH);
}
