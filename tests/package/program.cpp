// program.cpp -- somebody's program: has the headers, is compiled as C++20 unasked, and says which
// version of the library it has.

#include <cstdio>

#include <slab_allocator/slab_allocator.hpp>

int main() {
    using namespace slab_allocator;
    Cache<int, AlignedAllocBackend> cache;
    const auto number = cache.make_unique(7);
    if (number == nullptr || *number != 7) return 1;
    std::printf("%d.%d.%d\n", SLAB_ALLOCATOR_VERSION_MAJOR, SLAB_ALLOCATOR_VERSION_MINOR,
                SLAB_ALLOCATOR_VERSION_PATCH);
}
