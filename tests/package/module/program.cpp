// program.cpp -- a program that imports the library and includes none of it. With -D INSIDE it
// names what the module keeps to itself, which must not compile.

#include <cstdio>

import slab_allocator;

namespace {

using namespace slab_allocator;

using Pages = BackendRef<MmapBackend>;
using Backend = ComposedBackend<Pages, SlabInfoCache<Pages>, HashMap<Pages>>;

static_assert(MemoryBackend<AlignedAllocBackend>);
static_assert(SlabSource<MmapBackend> && !SlabInfoMap<MmapBackend>);

#ifdef INSIDE
using Inside = ListNode;
#endif

int defects_number = 0;

void count_defect(const DefectReport& report) noexcept {
    if (report.defect == Defect::DoubleFree) ++defects_number;
}

}  // namespace

int main() {
    MmapBackend pages{MmapOptions{.prefault = true}};
    Backend backend{pages, pages, pages};
    Cache<long, BackendRef<Backend>, CacheConfig{.object_size_type = ObjectSizeType::Large}> cache{
        backend};
    Cache<int, AlignedAllocBackend> other;

    const auto number = other.make_unique(7);
    long* const first = cache.create(1);
    long* const second = cache.create(2);
    if (number == nullptr || first == nullptr || second == nullptr) return 1;
    const CacheStatistics statistics = cache.statistics();
    if (statistics.allocated_objects_number != 2 || *number != 7) return 2;

    set_defect_handler(count_defect);
    cache.destroy(first);
    cache.free(first);
    cache.destroy(second);
    if (defects_number != 1) return 3;
    std::puts(name_of(Defect::DoubleFree));
}
