// instructions.cpp -- how many instructions does a call take?
//
// Of everything that is compared with a table: see probes.hpp, and tests/instructions.

#include <cstddef>
#include <string>

#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include "../compare/caches.hpp"
#include "../compare/limits.hpp"
#include "../compare/rows.hpp"
#include "probes.hpp"

namespace {

using namespace bench;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfoLookup;

/// A block of a size that the compiler does not see.
template <typename Heap>
class HeapSubject {
public:
    explicit HeapSubject(std::size_t) {}
    [[nodiscard]] void* alloc() {
        keep(size_);
        return heap_.alloc(size_);
    }
    void free(void* block) { heap_.free(block); }

private:
    std::size_t size_ = object_size;
    Heap heap_;
};

/// A map for one heap alone: a look-up that others call, too, the compiler may leave a function.
template <Checks checks, bool magazines>
struct SlabsOfHeap : RegionSlabs {};

template <Checks checks>
void probe_heaps(const std::string& level) {
    using slab_allocator::HeapConfig;
    using slab_allocator::RadixMap;
    using Backend = RowByMap<RadixMap<SlabsOfHeap<checks, false>>>;
    using SharedBackend =
        slab_allocator::LockedBackend<RowByMap<RadixMap<SlabsOfHeap<checks, true>>>, NoLock>;
    constexpr HeapConfig config{.checks = checks};
    probe<HeapSubject<slab_allocator::Heap<Backend, config>>>(level + "-heap");
    probe<HeapSubject<
        slab_allocator::MagazineHeap<SharedBackend, slab_allocator::ThreadCpus<>, NoLock, config>>>(
        level + "-heap-magazines");
}

template <Checks checks>
void probe_rows(const std::string& level) {
    constexpr auto small = ObjectSizeType::Small;
    constexpr auto large = ObjectSizeType::Large;
    constexpr CacheConfig mask{.object_size_type = small, .checks = checks};
    constexpr CacheConfig page{.slab_size = 4096, .object_size_type = small, .checks = checks};
    constexpr CacheConfig small_by_map{
        .slab_size = 16384, .slab_alignment = 4096, .object_size_type = small, .checks = checks};
    constexpr CacheConfig large_by_map{
        .slab_alignment = 4096, .object_size_type = large, .checks = checks};
    constexpr CacheConfig frames{.object_size_type = large,
                                 .checks = checks,
                                 .slab_info_lookup = SlabInfoLookup::PageFrames};
    probe<CacheSubject<object_size, RegionSlabs, mask>>(level);
    probe<CacheSubject<object_size, RegionSlabs, page>>(level + "-4k");
    probe<CacheSubject<object_size, RowByMap<Flat>, small_by_map>>(level + "-small-flat");
    probe<CacheSubject<object_size, RowByMap<Radix>, small_by_map>>(level + "-small-radix");
    probe<CacheSubject<object_size, RowByMap<Hash>, small_by_map>>(level + "-small-hash");
    probe<CacheSubject<object_size, RowByMap<Flat>, large_by_map>>(level + "-large-flat");
    probe<CacheSubject<object_size, RowByMap<Radix>, large_by_map>>(level + "-large-radix");
    probe<CacheSubject<object_size, RowByMap<Hash>, large_by_map>>(level + "-large-hash");
    probe<CacheSubject<object_size, RowByPageFrames, frames>>(level + "-frames");
}

}  // namespace

int main() {
    probe<Nothing>("nothing");
    probe<Limit<object_size>>("limit");
    probe_rows<Checks::none>("none");
    probe_rows<Checks::misuse>("misuse");
    probe<MagazineSubject<Checks::none>>("none-magazines");
    probe<MagazineSubject<Checks::misuse>>("misuse-magazines");
    probe_heaps<Checks::none>("none");
    probe_heaps<Checks::misuse>("misuse");
}
