// heap_test.cpp -- the promises of heap.hpp to callers who do nothing wrong.

#include <cstddef>
#include <tuple>
#include <vector>

#include <heap/any_heap.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::HeapStatistics;
using slab_allocator::is_aligned;

namespace {

using Unguarded = std::tuple<HeapOf<as_it_comes>, HeapOf<for_a_kernel>, HeapOf<unchecked>>;
using EveryHeap = std::tuple<HeapOf<as_it_comes>, HeapOf<for_a_kernel>, HeapOf<unchecked>,
                             HeapOf<hardened>, HeapOf<debugged>, HeapOf<debugged_kernel>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("blocks of random sizes and alignments keep their contents", "[heap]",
                        EveryHeap) {
    TestMemory memory;
    memory.patterns = false;
    TestType heap(memory);
    HeapModel model;
    Random random;
    for (std::size_t step = 0; step < 60'000; ++step) {
        CAPTURE(step);
        const bool grows = step % 20'000 < 10'000;
        const std::size_t choice = random.below(10);
        if (model.empty() || choice < (grows ? 6U : 3U)) {
            const std::size_t size = some_size(random);
            if (random.one_in(4)) {
                const std::size_t alignment = std::size_t{1} << random.below(15);
                if (!model.add(*heap, heap->alloc(size, alignment), size, alignment))
                    FAIL("alloc(" << size << ", " << alignment << ")");
            } else if (!model.add(*heap, heap->alloc(size), size, 0)) {
                FAIL("alloc(" << size << ")");
            }
        } else {
            const HeapModel::Block block = model.remove(*heap, random.below(model.size()));
            if (block.start == nullptr) FAIL("the contents of a block changed");
            if (choice == 9) {
                const std::size_t size = some_size(random);
                auto* const moved = static_cast<std::byte*>(heap->realloc(block.start, size));
                const std::size_t kept = block.size < size ? block.size : size;
                if (!HeapModel::intact({moved, kept, 0, block.stamp}, kept) && kept > 0)
                    FAIL("realloc lost the contents");
                if (!model.add(*heap, moved, size, 0)) FAIL("realloc(" << size << ")");
            } else if (random.one_in(2)) {
                heap->free(block.start);
            } else {
                heap->free(block.start, block.size, block.alignment == 0 ? 1 : block.alignment);
            }
        }
        if (step % 5'000 == 0) {
            REQUIRE(model.all_intact(*heap));
            REQUIRE(heap->validate().defect == Defect::None);
        }
    }
    REQUIRE(model.all_intact(*heap));
    while (!model.empty())
        heap->free(model.remove(*heap, model.size() - 1).start);
    const HeapStatistics empty = heap->statistics();
    REQUIRE(empty.allocated_objects_number == 0);
    REQUIRE(empty.allocated_bytes == 0);
    REQUIRE(empty.runs_number == 0);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == 0);
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(memory.live_infos() == 0);
}

TEMPLATE_LIST_TEST_CASE("every size and alignment gives what was asked for", "[heap]", EveryHeap) {
    TestMemory memory;
    memory.patterns = false;
    TestType heap(memory);
    for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (std::size_t size = 0; size <= 40'000; size = size < 300 ? size + 1 : size * 9 / 8) {
            CAPTURE(size, alignment);
            void* const block = heap->alloc(size, alignment);
            if (block == nullptr || !is_aligned(block, alignment) || !is_aligned(block, 16) ||
                heap->usable_size(block) < size || !heap->owns(block)) {
                FAIL("size " << size << ", alignment " << alignment);
            }
            heap->free(block, size, alignment);
            if (heap->owns(block)) FAIL("still owned");
        }
    }
    REQUIRE(heap->alloc(1, 0) == nullptr);
    REQUIRE(heap->alloc(1, 3) == nullptr);
    REQUIRE(heap->statistics().allocated_bytes == 0);
}

TEMPLATE_LIST_TEST_CASE("realloc stays where the block is as large as a new one would be", "[heap]",
                        EveryHeap) {
    TestMemory memory;
    TestType heap(memory);
    auto* block = static_cast<std::byte*>(heap->realloc(nullptr, 1));
    REQUIRE(block != nullptr);
    *block = std::byte{42};
    std::size_t moves = 0;
    for (std::size_t size = 2; size <= 150'000; size += 1 + size / 64) {
        const std::size_t usable = heap->usable_size(block);
        auto* const other = static_cast<std::byte*>(heap->realloc(block, size));
        REQUIRE(other != nullptr);
        REQUIRE((other == block) == (size <= usable));
        REQUIRE(heap->usable_size(other) >= size);
        REQUIRE(*other == std::byte{42});
        moves += other == block ? 0U : 1U;
        block = other;
    }
    REQUIRE(moves > 20);
    block = static_cast<std::byte*>(heap->realloc(block, 1));
    REQUIRE(heap->usable_size(block) <= 16);
    REQUIRE(*block == std::byte{42});
    REQUIRE(heap->realloc(block, 0) == block);
    heap->free(block, 0);
    REQUIRE(heap->statistics().allocated_bytes == 0);
}

TEMPLATE_LIST_TEST_CASE("a heap that is empty again has given its pages back", "[heap]",
                        Unguarded) {
    TestMemory memory;
    TestType heap(memory);
    REQUIRE(memory.calls() == 0);
    constexpr std::size_t kept = 1 + TestType::choice.retained_free_slabs;
    for (const std::size_t size : {std::size_t{16}, std::size_t{200}, std::size_t{2000}}) {
        CAPTURE(size);
        const std::size_t before = memory.live_slabs();
        std::vector<void*> blocks;
        for (std::size_t number = 0; number < 2'000; ++number)
            blocks.push_back(heap->alloc(size));
        for (void* const block : blocks)
            heap->free(block);
        REQUIRE(memory.live_slabs() <= before + kept);
    }
    const std::size_t left = memory.live_slabs();
    REQUIRE(heap->shrink_to_fit() == left);
    REQUIRE(memory.live_slabs() == 0);
}

TEST_CASE("statistics count what is allocated, by the sizes of the classes", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    void* const small = heap->alloc(17);
    void* const other = heap->alloc(4'000);
    void* const large = heap->alloc(100'000);
    HeapStatistics statistics = heap->statistics();
    REQUIRE(statistics.allocated_objects_number == 2);
    REQUIRE(statistics.runs_number == 1);
    REQUIRE(statistics.run_bytes == 102'400);
    REQUIRE(statistics.allocated_bytes == 32 + 4'096 + 102'400);
    REQUIRE(statistics.slabs_number == 2);
    REQUIRE(statistics.free_slabs_number == 0);
    REQUIRE(statistics.bytes_held == 8'192 + 16'384 + 102'400 + 3 * sizeof(SlabInfo));
    REQUIRE(heap->class_statistics(1).allocated_objects_number == 1);
    heap->free(small);
    heap->free(other);
    heap->free(large);
    statistics = heap->statistics();
    REQUIRE(statistics.allocated_bytes == 0);
    REQUIRE(statistics.free_slabs_number == 2);
}

TEST_CASE("with pages larger than a SlabInfo can manage of the smallest blocks, all are served",
          "[heap]") {
    TestMemory memory;
    HeapOf<HeapConfig{.page_size = std::size_t{64} * 1024}> heap(memory);
    for (const std::size_t size : {std::size_t{16}, std::size_t{64}, std::size_t{100}}) {
        CAPTURE(size);
        std::vector<void*> blocks;
        HeapModel model;
        for (std::size_t number = 0; number < 3 * SlabInfo::max_slots; ++number) {
            blocks.push_back(heap->alloc(size));
            REQUIRE(model.add(*heap, blocks.back(), size, 0));
        }
        REQUIRE(model.all_intact(*heap));
        REQUIRE(heap->validate().defect == slab_allocator::Defect::None);
        for (void* const block : blocks)
            heap->free(block);
    }
    REQUIRE(heap->statistics().allocated_objects_number == 0);
}

TEST_CASE("a slab in hand counts as full where the last of its blocks is out", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    constexpr std::size_t number = slab_allocator::size_classes::class_of(3'000);
    std::vector<void*> blocks;
    for (std::size_t block = 0; block < heap->class_layout(number).objects_per_slab; ++block) {
        REQUIRE(heap->class_statistics(number).full_slabs_number == 0);
        blocks.push_back(heap->alloc(3'000));
    }
    REQUIRE(heap->class_statistics(number).full_slabs_number == 1);
    REQUIRE(heap->class_statistics(number).partial_slabs_number == 0);
    for (void* const block : blocks)
        heap->free(block);
}

TEST_CASE("the emptier slabs of a class drain, and go back", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    std::vector<void*> blocks;
    for (std::size_t number = 0; number < 20'000; ++number)
        blocks.push_back(heap->alloc(64));
    Random random;
    random.shuffle(blocks);
    const std::size_t slabs = memory.live_slabs();
    while (blocks.size() > 5'000) {
        heap->free(blocks.back());
        blocks.pop_back();
    }
    for (std::size_t step = 0; step < 200'000; ++step) {  // churn
        const std::size_t rank = random.below(blocks.size());
        heap->free(blocks[rank]);
        blocks[rank] = heap->alloc(64);
    }
    REQUIRE(heap->validate().defect == Defect::None);
    REQUIRE(memory.live_slabs() * 2 < slabs);  // a quarter would be perfect
    for (void* const block : blocks)
        heap->free(block);
}
