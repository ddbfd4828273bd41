// resizing_heap_test.cpp -- a heap over first-fit pages: slabs of any number of pages, and runs
// that grow where they are.

#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include <heap/any_heap.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/first_fit_pages.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/locked_heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <slab_allocator/maps/radix_map.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>

using namespace support;
using namespace slab_allocator;

namespace {

using FirstFit = FirstFitPages<MmapPages>;
using Parts = ComposedBackend<BackendRef<FirstFit>, SlabInfoCache<BackendRef<FirstFit>>,
                              RadixMap<BackendRef<FirstFit>>>;

struct ItsPages {
    FirstFit pages;
};

/// The parts, and what first-fit pages can do beside.
class Backend : private ItsPages, public Parts {
public:
    Backend() : Parts(pages, pages, pages) {}
    [[nodiscard]] bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                   std::size_t alignment) noexcept {
        return pages.resize_slab(slab, before, after, alignment);
    }
};

constexpr HeapConfig config{
    .slabs_of_any_pages = true, .small_slabs = true, .backend_resizes = true};
using EveryHeap =
    std::tuple<Heap<Backend, config>,
               LockedHeap<LockedBackend<Backend, std::mutex>, std::mutex, config>,
               MagazineHeap<LockedBackend<Backend, std::mutex>, ThreadCpus<>, std::mutex, config>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a run grows and shrinks where it is, with its contents", "[heap]",
                        EveryHeap) {
    auto heap = std::make_unique<TestType>();
    heap->free(heap->alloc(40'000));  // the records that it needs lie behind it
    void* const before = heap->alloc(200'000);
    auto* const run = static_cast<std::byte*>(heap->alloc(140'000));
    REQUIRE(run != nullptr);
    REQUIRE(heap->realloc(run, 40'000) == run);
    std::memset(run, 7, 40'000);
    for (const std::size_t size :
         {std::size_t{50'000}, std::size_t{900'000}, std::size_t{3'000'000}, std::size_t{60'000},
          std::size_t{33'000}}) {
        CAPTURE(size);
        REQUIRE(heap->realloc(run, size) == run);
        REQUIRE(heap->usable_size(run) == align_up(size, 4096));
        REQUIRE(heap->statistics().run_bytes == 200'704 + align_up(size, 4096));
        REQUIRE(run[32'999] == std::byte{7});
        REQUIRE(heap->validate().defect == Defect::None);
    }
    auto* const next = static_cast<std::byte*>(heap->alloc(100'000));
    REQUIRE(next == run + 36'864);
    auto* const moved = static_cast<std::byte*>(heap->realloc(run, 200'000));
    REQUIRE(moved != run);
    REQUIRE(moved[32'999] == std::byte{7});
    REQUIRE(heap->realloc(moved, ~std::size_t{0} / 2) == nullptr);
    REQUIRE(defect_of([&] { heap->free(next, 200'000); }) == Defect::WrongSize);
    heap->free(next, 100'000);
    heap->free(before);
    void* const small = heap->realloc(moved, 100);
    REQUIRE(heap->usable_size(small) == 112);
    heap->free(small, 100);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == 0);
}

TEMPLATE_LIST_TEST_CASE("blocks of all sizes in random order keep their contents, resized or not",
                        "[heap]", EveryHeap) {
    auto heap = std::make_unique<TestType>();
    Random random(3);
    HeapModel model;
    for (std::size_t round = 0; round < 20'000; ++round) {
        const std::size_t size = some_size(random);
        if (model.empty() || random.below(100) < 51) {
            REQUIRE(model.add(*heap, heap->alloc(size), size, 0));
            continue;
        }
        const HeapModel::Block block = model.remove(*heap, random.below(model.size()));
        REQUIRE(block.start != nullptr);
        if (!random.one_in(2)) {
            heap->free(block.start);
            continue;
        }
        auto* const other = static_cast<std::byte*>(heap->realloc(block.start, size));
        REQUIRE(other != nullptr);
        REQUIRE((size == 0 || block.size == 0 || other[0] == block.stamp));
        REQUIRE(model.add(*heap, other, size, 0));
    }
    REQUIRE(model.all_intact(*heap));
    REQUIRE(heap->validate().defect == Defect::None);
    while (!model.empty())
        heap->free(model.remove(*heap, 0).start);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == 0);
}
