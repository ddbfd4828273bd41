// heap_out_of_memory_test.cpp -- a backend that refuses, at each of its calls in turn.

#include <cstddef>
#include <vector>

#include <heap/any_heap.hpp>
#include <support/catch.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::HeapStatistics;

namespace {

constexpr std::size_t sizes[] = {1, 40, 700, 3'000, 20'000, 40'000, 150'000};

/// The same calls each time. Returns: are all of them right, with the refusal that was set?
template <HeapConfig config>
[[nodiscard]] bool run(TestMemory& memory, HeapOf<config>& heap, std::size_t& failures) {
    HeapModel model;
    for (std::size_t round = 0; round < 3; ++round) {
        for (const std::size_t size : sizes) {
            const HeapStatistics before = heap->statistics();
            void* block = heap->alloc(size);
            if (block == nullptr) {
                ++failures;
                const HeapStatistics now = heap->statistics();
                if (now.allocated_bytes != before.allocated_bytes ||
                    now.bytes_held > before.bytes_held ||
                    now.failures_number != before.failures_number + 1 ||
                    heap->validate().defect != Defect::None || !model.all_intact(*heap)) {
                    return false;
                }
                memory.refuse_nothing();
                block = heap->alloc(size);
            }
            if (!model.add(*heap, block, size, 0)) return false;
        }
        const HeapModel::Block block = model.remove(*heap, round);
        void* moved = heap->realloc(block.start, block.size * 3);
        if (moved == nullptr) {
            ++failures;
            if (!HeapModel::intact(block, block.size)) return false;
            memory.refuse_nothing();
            moved = heap->realloc(block.start, block.size * 3);
        }
        if (!HeapModel::intact({static_cast<std::byte*>(moved), block.size, 0, block.stamp},
                               block.size)) {
            return false;
        }
        heap->free(moved);
    }
    if (!model.all_intact(*heap)) return false;
    while (!model.empty())
        heap->free(model.remove(*heap, 0).start);
    return heap->validate().defect == Defect::None;
}

}  // namespace

TEMPLATE_TEST_CASE_SIG(
    "whichever call the backend refuses, nothing is lost and the next try succeeds", "[heap]",
    ((HeapConfig config), config), as_it_comes, hardened, debugged) {
    std::size_t failures = 0;
    for (std::size_t refused = 1;; ++refused) {
        CAPTURE(refused);
        TestMemory memory;
        memory.patterns = false;
        HeapOf<config> heap(memory);
        memory.refuse(refused, false);
        REQUIRE(run(memory, heap, failures));
        if (memory.refusals() == 0) break;
        heap->shrink_to_fit();
        REQUIRE(memory.live_slabs() == 0);
        REQUIRE(memory.live_infos() == 0);
        REQUIRE(memory.saved_pages() == 0);
    }
    REQUIRE(failures > 100);  // three kinds of calls for each of seven sizes, and each page saved
}

TEST_CASE("before it gives up, a heap gives back what lies free in other classes", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    heap->free(heap->alloc(1'000));  // a Free slab of another class stays
    REQUIRE(memory.live_slabs() == 1);
    memory.refuse(1, false);
    void* const block = heap->alloc(32);
    REQUIRE(block != nullptr);
    REQUIRE(memory.live_slabs() == 1);
    memory.refuse(1, true);
    REQUIRE(heap->alloc(64) == nullptr);
    REQUIRE(heap->alloc(100'000) == nullptr);
    REQUIRE(heap->statistics().failures_number == 2);
    memory.refuse_nothing();
    heap->free(block);
}

TEST_CASE("no size and no alignment is too large to be refused", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    memory.slab_instead = [] { return nullptr; };
    for (std::size_t bit = 28; bit < 64; ++bit) {
        const std::size_t power = std::size_t{1} << bit;
        for (const std::size_t size : {power - 1, power, power + 1, ~power + 1, ~power}) {
            CHECK(heap->alloc(size) == nullptr);
            CHECK(heap->alloc(size, power) == nullptr);
            CHECK(heap->alloc(1, power) == nullptr);
            CHECK(heap->alloc(size, 4'096) == nullptr);
        }
    }
    CHECK(heap->alloc(~std::size_t{0}) == nullptr);
    memory.be_honest();
    void* const block = heap->alloc(10);
    CHECK(heap->realloc(block, ~std::size_t{0}) == nullptr);
    CHECK(heap->owns(block));
    heap->free(block);
}
