// shared_heap_test.cpp -- the promises of locked_heap.hpp and magazine_heap.hpp.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/heap/locked_heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/poke.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

using namespace support;
using namespace slab_allocator;

namespace {

using Backend = LockedBackend<AlignedAllocBackend, std::mutex>;
constexpr HeapConfig two_layouts{.slabs_of_any_pages = true, .small_slabs = true};
using HeapOfTwoLayouts = MagazineHeap<Backend, ThreadCpus<>, std::mutex, two_layouts>;
using EveryHeap = std::tuple<LockedHeap<Backend, std::mutex>,
                             MagazineHeap<Backend, ThreadCpus<>, std::mutex>, HeapOfTwoLayouts>;
template <Checks checks>
using Guarded =
    MagazineHeap<Backend, ThreadCpus<>, std::mutex,
                 HeapConfig{.small_slabs = checks == Checks::hardened, .checks = checks}>;
using EveryLevel =
    std::tuple<LockedHeap<Backend, std::mutex>, Guarded<Checks::none>, Guarded<Checks::misuse>,
               Guarded<Checks::hardened>, Guarded<Checks::debug>>;

/// Blocks that threads hand to one another; each is full of its size.
struct Exchange {
    struct Block {
        std::byte* start = nullptr;
        std::size_t size = 0;
    };
    std::mutex lock;
    std::array<Block, 64> places;

    Block swap(std::size_t place, Block block) {
        const std::lock_guard guard(lock);
        return std::exchange(places[place], block);
    }
};

template <typename Heap>
bool work(Heap& heap, Exchange& exchange, std::uint64_t seed, std::size_t rounds) {
    Random random(seed);
    bool right = true;
    for (std::size_t round = 0; round < rounds; ++round) {
        const std::size_t size = 1 + random.below(std::size_t{1} << random.below(17));
        auto* start =
            static_cast<std::byte*>(random.one_in(8) ? heap.alloc(size, 64) : heap.alloc(size));
        if (start == nullptr) return false;
        std::memset(start, static_cast<int>(size), size);
        if (random.one_in(16)) {
            start = static_cast<std::byte*>(heap.realloc(start, size));
            if (start == nullptr) return false;
        }
        if (heap.usable_size(start) < size) return false;
        const Exchange::Block old = exchange.swap(random.below(64), {start, size});
        right = right && old.start != start;
        if (old.start == nullptr) continue;
        const auto stamp = static_cast<std::byte>(old.size);
        right = right && old.start[0] == stamp &&
                std::memcmp(old.start, old.start + 1, old.size - 1) == 0;
        heap.free(old.start);
    }
    return right;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("threads allocate what others free, and nobody's contents change", "[heap]",
                        EveryLevel) {
    auto heap = std::make_unique<TestType>();
    Exchange exchange;
    std::atomic<bool> right{true};
    for (std::size_t generation = 0; generation < 3; ++generation) {
        std::vector<std::thread> threads;
        for (std::size_t thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, seed = 10 * generation + thread] {
                if (!work(*heap, exchange, seed, 6'000)) right = false;
            });
        }
        for (std::size_t look = 0; look < 5; ++look) {
            heap->shrink_to_fit();  // in the middle of it
            if (heap->validate().defect != Defect::None) right = false;
        }
        for (std::thread& thread : threads)
            thread.join();
    }
    REQUIRE(right);
    for (const Exchange::Block& block : exchange.places)
        heap->free(block.start);
    REQUIRE(heap->validate().defect == Defect::None);
    REQUIRE(heap->statistics().allocated_bytes == 0);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == 0);
}

TEMPLATE_LIST_TEST_CASE("wrong frees of a shared heap are found", "[heap]", EveryHeap) {
    auto heap = std::make_unique<TestType>();
    static std::byte foreign[16];
    std::vector<std::byte*> blocks;
    for (const std::size_t size : {24U, 24U, 24U, 5'000U, 40'000U, 200'000U})
        blocks.push_back(static_cast<std::byte*>(heap->alloc(size)));
    const auto of_free = [&](void* block) { return defect_of([&] { heap->free(block); }); };
    for (std::byte* const block : blocks) {
        REQUIRE(of_free(block + 8) == Defect::InteriorPointer);
        REQUIRE(defect_of([&] { heap->free(block, 100); }) == Defect::WrongSize);
        REQUIRE(heap->owns(block));
        REQUIRE_FALSE(heap->owns(block + 8));
    }
    REQUIRE(of_free(foreign) == Defect::ForeignPointer);
    REQUIRE(of_free(nullptr) == Defect::None);
    heap->free(blocks[1]);
    REQUIRE_FALSE(heap->owns(blocks[1]));
    REQUIRE(of_free(blocks[1]) == Defect::DoubleFree);  // in a front, or in its slab
    heap->shrink_to_fit();
    REQUIRE(of_free(blocks[1]) == Defect::DoubleFree);  // in its slab
    REQUIRE(heap->realloc(nullptr, 0) != nullptr);
    REQUIRE(defect_of([&] { REQUIRE(heap->realloc(blocks[1], 3) == nullptr); }) ==
            Defect::DoubleFree);
    blocks.erase(blocks.begin() + 1);
    for (std::byte* const block : blocks)
        heap->free(block);
    REQUIRE(heap->statistics().allocated_objects_number == 1);
    const DefectReport leak = report_of([&] { heap.reset(); });
    REQUIRE(leak.defect == Defect::Leak);
    REQUIRE(leak.objects_number == 1);
}

TEMPLATE_LIST_TEST_CASE("a second free is found wherever the block lies by then", "[heap]",
                        EveryHeap) {
    auto heap = std::make_unique<TestType>();
    for (const std::size_t size : {std::size_t{64}, std::size_t{3'000}}) {
        std::vector<void*> blocks;
        for (std::size_t number = 0; number < 700; ++number)  // more than a front holds
            blocks.push_back(heap->alloc(size));
        for (void* const block : blocks) {
            heap->free(block);
            REQUIRE(defect_of([&] { heap->free(block); }) != Defect::None);
        }
        void* const live = heap->alloc(size);
        for (void* const block : blocks) {
            if (block == live) continue;
            const Defect defect = defect_of([&] { heap->free(block); });
            REQUIRE((defect == Defect::DoubleFree || defect == Defect::ForeignPointer));
        }
        heap->free(live);
    }
    REQUIRE(heap->statistics().allocated_objects_number == 0);
}

TEST_CASE("a block that was written to after its free is not handed out twice", "[heap]") {
    using Heap = MagazineHeap<Backend, ThreadCpus<>, std::mutex>;
    auto heap = std::make_unique<Heap>();
    void* const block = heap->alloc(64);
    heap->free(block);
    support::fill_raw(block, std::byte{0}, 8);  // the token is gone
    DefectCatcher catcher;
    heap->free(block);  // cannot be seen
    REQUIRE(catcher.number() == 0);
    std::vector<void*> others;
    std::size_t times = 0;
    for (std::size_t number = 0; number < 100; ++number) {
        others.push_back(heap->alloc(64));
        times += others.back() == block ? 1U : 0U;
    }
    REQUIRE(times == 1);
    REQUIRE(catcher.only().defect == Defect::DoubleFree);
    for (void* const other : others)
        heap->free(other);
}

TEST_CASE("a class begins with small slabs, and goes on with others where it has many blocks",
          "[heap]") {
    auto heap = std::make_unique<HeapOfTwoLayouts>();
    std::vector<std::byte*> blocks;
    const auto take_until = [&](std::size_t number) {
        while (blocks.size() < number)
            blocks.push_back(static_cast<std::byte*>(heap->alloc(4'000)));
        return heap->statistics().bytes_held;
    };
    const auto slabs = [](std::size_t number, std::size_t pages) {
        return number * (pages * 4096 + sizeof(SlabInfo));
    };
    REQUIRE(take_until(1) == slabs(1, 1));
    REQUIRE(take_until(16) == slabs(16, 1));
    REQUIRE(take_until(17) == slabs(16, 1) + slabs(1, 4));
    REQUIRE(take_until(20) == slabs(16, 1) + slabs(1, 4));
    REQUIRE(take_until(21) == slabs(16, 1) + slabs(2, 4));
    for (std::byte* const block : {blocks[3], blocks[18]}) {  // one of each layout
        REQUIRE(heap->usable_size(block) == 4096);
        REQUIRE(heap->realloc(block, 4'090) == block);
        REQUIRE(defect_of([&] { heap->free(block + 64); }) == Defect::InteriorPointer);
        REQUIRE(defect_of([&] { heap->free(block, 3'000); }) == Defect::WrongSize);
        heap->free(block, 4'000);
        REQUIRE(defect_of([&] { heap->free(block); }) == Defect::DoubleFree);
    }
    REQUIRE(heap->validate().defect == Defect::None);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == slabs(15, 1) + slabs(2, 4));
    blocks[3] = static_cast<std::byte*>(heap->alloc(4'000));  // small ones first
    REQUIRE(heap->statistics().bytes_held == slabs(16, 1) + slabs(2, 4));
    blocks.erase(blocks.begin() + 18);
    for (std::byte* const block : blocks)
        heap->free(block);
    heap->shrink_to_fit();
    REQUIRE(heap->statistics().bytes_held == 0);
}

TEST_CASE("shrink empties the caller's own front, and no slab stays that is not needed", "[heap]") {
    TestMemory memory;
    memory.patterns = false;
    {
        constexpr HeapConfig config{.small_slabs = true};
        MagazineHeap<InfosBackend, ThreadCpus<>, std::mutex, config> heap{
            InfosBackend{{{&memory}}}};
        void* const live = heap.alloc(100);
        heap.free(heap.alloc(100));
        const std::size_t before = memory.live_slabs();
        for (std::size_t size = 1; size <= 32'768; size += 300) {
            std::vector<void*> blocks;
            for (std::size_t number = 0; number < 20; ++number)
                blocks.push_back(heap.alloc(size));
            for (void* const block : blocks)
                heap.free(block);
        }
        REQUIRE(memory.live_slabs() > before + 40);  // at least what lies in the front
        REQUIRE(heap.shrink() > 40);
        REQUIRE(memory.live_slabs() == before);
        REQUIRE(heap.shrink() == 0);
        REQUIRE(heap.owns(live));
        heap.free(live);
    }
    REQUIRE(memory.live_slabs() == 0);
}

TEST_CASE("a shared heap whose backend refuses gives nullptr, and goes on afterwards", "[heap]") {
    for (std::size_t refused = 1; refused < 40; ++refused) {
        CAPTURE(refused);
        TestMemory memory;
        memory.patterns = false;
        {
            MagazineHeap<InfosBackend, ThreadCpus<>, std::mutex> heap{InfosBackend{{{&memory}}}};
            memory.refuse(refused, true);
            std::vector<void*> blocks;
            std::size_t failures = 0;
            for (std::size_t number = 0; number < 600; ++number) {
                void* const block = heap.alloc(number * 90);
                (block == nullptr ? static_cast<void>(++failures) : blocks.push_back(block));
            }
            REQUIRE(failures > 0);
            REQUIRE(heap.statistics().failures_number == failures);
            memory.refuse_nothing();
            blocks.push_back(heap.alloc(50'000));
            blocks.push_back(heap.alloc(5'000));
            REQUIRE(heap.validate().defect == Defect::None);
            for (void* const block : blocks) {
                REQUIRE(block != nullptr);
                heap.free(block);
            }
            REQUIRE(heap.statistics().allocated_bytes == 0);
        }
        REQUIRE(memory.live_slabs() == 0);
    }
}
