// heap.cpp -- kmalloc: a heap over a fixed array, as a static object that is never destroyed.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/kernel.hpp>

namespace {

using namespace slab_allocator;

constexpr std::size_t region_size = std::size_t{256} * 4096;
using Arena = ArenaBackend<region_size>;
using Pages = BackendRef<Arena>;
using Backend =
    ComposedBackend<Pages, SlabInfoCache<Pages, 4096, true>, RadixMap<Pages, 4096, 48, true>>;
constexpr HeapConfig config{.largest_object = 4096, .largest_slab = 32768, .never_destroyed = true};

constinit Arena arena;
constinit Backend backend{Pages(arena), Pages(arena), Pages(arena)};
constinit Heap<BackendRef<Backend>, config> heap{BackendRef<Backend>(backend)};

bool use(std::size_t size, std::size_t alignment) {
    void* const block = heap.alloc(size, alignment);
    if (block == nullptr || !heap.owns(block) || heap.usable_size(block) < size) return false;
    void* const moved = heap.realloc(block, 3 * size);
    if (moved == nullptr) return false;
    heap.free(moved, 3 * size);
    return true;
}

}  // namespace

template class slab_allocator::Heap<BackendRef<Backend>, config>;

int main() {
    const bool right = use(1, 1) && use(100, 64) && use(4096, 4096) && use(20'000, 8192);
    heap.shrink_to_fit();
    return right && heap.statistics().bytes_held == 0 && heap.validate().defect == Defect::None ? 0
                                                                                                : 1;
}
