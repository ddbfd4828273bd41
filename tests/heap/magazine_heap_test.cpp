// magazine_heap_test.cpp -- the promises of magazine_heap.hpp, by one thread that plays all CPUs.

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/poke.hpp>
#include <support/test_memory.hpp>
#include <support/threads.hpp>

using namespace support;
using namespace slab_allocator;

namespace {

/// As many CPUs as one thread can play, and what the others do meanwhile.
class Cpus : public PinnedCpus<Cpus> {
public:
    static constexpr std::size_t slots_number = 4;
    struct Pin {
        std::size_t offset;
    };

    Pin enter() noexcept {
        ++entered;
        if (entered_before_move > 0 && --entered_before_move == 0) cpu = moved_to;
        return {cpu * cpu_slot_size};
    }
    void leave(const Pin&) noexcept { --entered; }
    void join() noexcept {}
    Reach synchronise() noexcept {
        right = right && entered == 0 && KnownLock::held() == 0;
        if (meanwhile) std::exchange(meanwhile, nullptr)();
        return reach;
    }
    void wait() noexcept {}

    std::size_t cpu = 0;
    std::size_t entered_before_move = 0;  ///< the thread is moved before its how many-th enter
    std::size_t moved_to = 0;
    std::size_t entered = 0;
    Reach reach = Reach::magazines;
    std::function<void()> meanwhile;  ///< once, while all CPUs are waited for
    bool right = true;
};

using Heap = MagazineHeap<InfosBackend, Cpus, KnownLock>;

struct Scene {
    TestMemory memory;
    std::unique_ptr<Heap> heap = std::make_unique<Heap>(InfosBackend{{{&memory}}});

    ~Scene() { CHECK(heap->cpus().right); }

    [[nodiscard]] std::byte* alloc(std::size_t cpu, std::size_t size) {
        heap->cpus().cpu = cpu;
        auto* const block = static_cast<std::byte*>(heap->alloc(size));
        REQUIRE(block != nullptr);
        return block;
    }
    void free(std::size_t cpu, void* block) {
        heap->cpus().cpu = cpu;
        heap->free(block);
    }
    [[nodiscard]] std::size_t live() { return heap->statistics().allocated_objects_number; }
};

}  // namespace

TEST_CASE("what a CPU freed it allocates again, and no other does", "[heap][magazine_heap]") {
    Scene scene;
    std::byte* const block = scene.alloc(0, 64);
    scene.free(0, block);
    REQUIRE(scene.alloc(1, 64) != block);
    REQUIRE(scene.alloc(0, 64) == block);
    REQUIRE(scene.live() == 2);
    scene.heap->cpus().cpu = 2;  // it has nothing, and frees what others have
    scene.heap->free(block);
    REQUIRE(scene.alloc(2, 64) == block);
    scene.free(2, block);
    const auto leak =
        report_of([&] { scene.heap = std::make_unique<Heap>(InfosBackend{{{&scene.memory}}}); });
    REQUIRE(leak.defect == Defect::Leak);
    REQUIRE(leak.objects_number == 1);
}

TEST_CASE("a CPU beyond the slots has no front, and its blocks go by way of the slabs",
          "[heap][magazine_heap]") {
    Scene scene;
    std::vector<std::byte*> blocks;
    for (std::size_t number = 0; number < 20; ++number)
        blocks.push_back(scene.alloc(Cpus::slots_number, 64));
    for (std::byte* const block : blocks)
        scene.free(Cpus::slots_number, block);
    REQUIRE(scene.memory.live_slabs() == 1);  // that of the blocks: no front was made
    REQUIRE(scene.live() == 0);
    scene.heap->shrink_to_fit();
    REQUIRE(scene.memory.live_slabs() == 0);
}

TEST_CASE("who comes second with a CPU's front takes the first one's", "[heap][magazine_heap]") {
    Scene scene;
    bool meanwhile = true;
    void* first = nullptr;
    scene.memory.on_call = [&](Call) {  // another thread of this CPU would come between like this
        if (std::exchange(meanwhile, false)) first = scene.heap->alloc(64);
    };
    std::byte* const second = scene.alloc(0, 64);
    scene.memory.on_call = nullptr;
    REQUIRE((first != nullptr && first != second));
    REQUIRE(scene.memory.live_slabs() == 2);  // one front, and the slab of both
    scene.free(0, first);
    scene.free(0, second);
    REQUIRE(scene.alloc(0, 64) == second);
    scene.free(0, second);
}

TEST_CASE("where the other CPUs are out of reach, only the caller's front is emptied",
          "[heap][magazine_heap]") {
    Scene scene;
    scene.heap->cpus().reach = Reach::own;
    const std::size_t sizes[] = {16, 64, 3'000, 20'000};
    std::vector<std::byte*> blocks;
    for (const std::size_t cpu : {0U, 1U}) {
        for (const std::size_t size : sizes) {
            for (std::size_t number = 0; number < 5; ++number)
                blocks.push_back(scene.alloc(cpu, size));
        }
    }
    for (std::size_t rank = 0; rank < blocks.size(); ++rank)
        scene.free(rank < blocks.size() / 2 ? 0 : 1, blocks[rank]);
    for (const std::size_t cpu : {2U, 1U}) {  // CPU 2 has no front
        scene.heap->cpus().cpu = cpu;
        scene.heap->shrink_to_fit();
        REQUIRE(scene.live() > 0);  // what the others have counts as theirs
    }
    const std::size_t on_0 = scene.live();
    REQUIRE(on_0 <= blocks.size() / 2);
    scene.heap->cpus().cpu = 0;
    scene.heap->shrink_to_fit();
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.memory.live_slabs() == 2);  // the fronts
    REQUIRE(scene.heap->validate().defect == Defect::None);
}

TEST_CASE("two threads empty the fronts at once, and each block goes to its slab once",
          "[heap][magazine_heap]") {
    const DefectCatcher catcher;
    Scene scene;
    std::vector<std::byte*> blocks;
    for (std::size_t number = 0; number < 100; ++number)
        blocks.push_back(scene.alloc(number % 3, 64));
    for (std::size_t number = 0; number < 100; ++number)
        scene.free(number % 4, blocks[number]);
    bool came = false;
    scene.heap->cpus().meanwhile = [&] {
        scene.heap->shrink_to_fit();
        came = true;
    };
    scene.heap->shrink_to_fit();
    REQUIRE(came);
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    REQUIRE(scene.memory.live_slabs() == 4);  // the fronts
    REQUIRE(catcher.number() == 0);
    REQUIRE(scene.alloc(0, 64) != nullptr);  // they serve as before
    scene.heap->cpus().cpu = 0;
    scene.heap->free(scene.alloc(0, 64));
    std::byte* const next = scene.alloc(0, 64);
    scene.free(0, next);
    REQUIRE(scene.alloc(0, 64) == next);
    scene.free(0, next);
    const auto leak = report_of([&] { scene.heap.reset(); });
    REQUIRE(leak.objects_number == 1);
    scene.heap = std::make_unique<Heap>(InfosBackend{{{&scene.memory}}});
}

TEST_CASE("a block that was written to after its free goes to its slab once",
          "[heap][magazine_heap]") {
    DefectCatcher catcher;
    Scene scene;
    std::byte* const block = scene.alloc(0, 64);
    std::byte* const other = scene.alloc(0, 64);
    scene.free(0, block);
    fill_raw(block, std::byte{0}, 8);  // the token is gone
    scene.free(0, other);
    scene.free(0, block);  // cannot be seen
    REQUIRE(catcher.number() == 0);
    scene.heap->shrink_to_fit();
    REQUIRE(catcher.only().defect == Defect::DoubleFree);
    REQUIRE(catcher.only().pointer == block);
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.heap->validate().defect == Defect::None);
}

TEST_CASE("a block that is free in its slab is not freed there again, whatever is written in it",
          "[heap][magazine_heap]") {
    DefectCatcher catcher;
    Scene scene;
    scene.heap->cpus().reach = Reach::own;
    std::byte* const block = scene.alloc(0, 64);
    std::byte* const other = scene.alloc(0, 64);  // the slab stays
    scene.free(0, block);
    std::byte token[8];
    copy_raw(token, block, sizeof token);
    fill_raw(block, std::byte{0}, 8);
    scene.free(1, block);         // cannot be seen: it lies in two fronts
    scene.heap->shrink_to_fit();  // out of that of CPU 1
    REQUIRE(catcher.number() == 0);
    copy_raw(block, token, sizeof token);  // a stale copy is written back
    scene.heap->cpus().cpu = 0;
    scene.heap->shrink_to_fit();
    REQUIRE(catcher.only().defect == Defect::DoubleFree);
    REQUIRE(catcher.only().pointer == block);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    REQUIRE(scene.live() == 1);
    scene.free(0, other);
}

TEST_CASE("a free whose thread is moved to another CPU ends there", "[heap][magazine_heap]") {
    const DefectCatcher catcher;
    Scene scene;
    std::vector<std::byte*> blocks;
    for (std::size_t number = 0; number < 400; ++number)
        blocks.push_back(scene.alloc(0, 64));
    scene.free(1, scene.alloc(1, 64));  // CPU 1 has a front with room
    for (std::size_t number = 0; number < 400; ++number) {
        scene.heap->cpus().entered_before_move = 1 + number % 4;
        scene.heap->cpus().moved_to = 1;
        scene.free(0, blocks[number]);
    }
    scene.heap->cpus().entered_before_move = 0;
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("an alloc whose thread is moved gives the blocks that it took for its front back",
          "[heap][magazine_heap]") {
    const DefectCatcher catcher;
    Scene scene;
    std::vector<std::byte*> blocks;
    for (std::size_t number = 0; number < 400; ++number) {
        scene.heap->cpus().entered_before_move = 4 - number % 4;
        scene.heap->cpus().moved_to = 1 + number / 100 % 3;  // which has no front at first
        blocks.push_back(scene.alloc(0, 64));
    }
    scene.heap->cpus().entered_before_move = 0;
    REQUIRE(scene.live() == 400);
    for (std::byte* const block : blocks)
        scene.free(0, block);
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("while a front is emptied its CPU's blocks go by way of the slabs",
          "[heap][magazine_heap]") {
    const DefectCatcher catcher;
    Scene scene;
    std::byte* const first = scene.alloc(0, 64);
    scene.free(0, scene.alloc(0, 64));
    std::byte* second = nullptr;
    scene.heap->cpus().meanwhile = [&] {
        second = static_cast<std::byte*>(scene.heap->alloc(64));
        scene.heap->free(first);
    };
    scene.heap->shrink_to_fit();
    REQUIRE((second != nullptr && second != first));
    REQUIRE(scene.live() == 1);
    scene.free(0, second);
    REQUIRE(scene.live() == 0);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    REQUIRE(catcher.number() == 0);
}

TEMPLATE_TEST_CASE_SIG("a guarded heap with fronts has no block where the backend has no page",
                       "[heap][magazine_heap]", ((Checks checks), checks), Checks::hardened,
                       Checks::debug) {
    TestMemory memory;
    MagazineHeap<InfosBackend, Cpus, KnownLock, HeapConfig{.checks = checks}> heap(
        InfosBackend{{{&memory}}});
    memory.refuse(1, true);
    REQUIRE(heap.alloc(64) == nullptr);
    REQUIRE(heap.alloc(100'000) == nullptr);
    REQUIRE(heap.statistics().failures_number == 2);
    memory.refuse_nothing();
    auto* const block = static_cast<std::byte*>(heap.alloc(64));
    heap.free(block);
    poke(block, std::byte{1});
    const auto report = report_of([&] { heap.free(heap.alloc(64)); });
    REQUIRE(report.defect == Defect::WriteAfterFree);
    REQUIRE(report.pointer == block);
    REQUIRE(heap.statistics().allocated_objects_number == 0);
}

TEST_CASE("before it gives up a run, a heap gives back what lies free in fronts and slabs",
          "[heap][magazine_heap]") {
    Scene scene;
    scene.free(0, scene.alloc(0, 1'000));
    scene.memory.refuse(1, false);
    void* const run = scene.heap->alloc(100'000);
    REQUIRE(run != nullptr);
    REQUIRE(scene.memory.live_slabs() == 2);  // the front, and the run
    scene.memory.refuse(1, true);
    REQUIRE(scene.heap->alloc(100'000) == nullptr);
    REQUIRE(scene.heap->statistics().failures_number == 1);
    scene.memory.refuse_nothing();
    scene.heap->free(run);
}

TEST_CASE("a block of another heap is refused, and owned by that one alone",
          "[heap][magazine_heap]") {
    Scene scene;
    Heap other(InfosBackend{{{&scene.memory}}});
    static std::byte foreign[64];
    for (const std::size_t size : {std::size_t{64}, std::size_t{9'000}, std::size_t{100'000}}) {
        CAPTURE(size);
        void* const block = other.alloc(size);
        REQUIRE(defect_of([&] { scene.heap->free(block); }) == Defect::OtherCache);
        REQUIRE(defect_of([&] { scene.heap->free(block, size); }) == Defect::OtherCache);
        REQUIRE_FALSE(scene.heap->owns(block));
        REQUIRE(other.owns(block));
        other.free(block);
    }
    REQUIRE_FALSE(scene.heap->owns(foreign));
    REQUIRE(scene.heap->usable_size(foreign) == 0);
}

TEST_CASE("a free of memory that is being made a slab is refused, whenever it comes",
          "[heap][magazine_heap]") {
    Scene scene;
    std::size_t refused = 0;
    scene.memory.on_call = [&](Call call) {
        if (call != Call::save || scene.memory.saved_pages() == 0) return;
        // Its first page has a SlabInfo by now, which is nobody's yet.
        std::byte* const slab = scene.memory.last_slab();
        REQUIRE(defect_of([&] { scene.heap->free(slab); }) == Defect::ForeignPointer);
        REQUIRE_FALSE(scene.heap->owns(slab));
        ++refused;
    };
    std::byte* const block = scene.alloc(0, 9'000);
    scene.memory.on_call = nullptr;
    REQUIRE(refused > 0);
    scene.free(0, block);
}

TEST_CASE("validate finds what was overwritten in the slabs and the runs of a magazine heap",
          "[heap][magazine_heap]") {
    Scene scene;
    std::byte* const block = scene.alloc(0, 64);
    std::byte* const run = scene.alloc(0, 100'000);
    REQUIRE(scene.heap->validate().defect == Defect::None);
    for (std::byte* const one : {block, run}) {
        SlabInfo& info = *scene.memory.saved_for(one);
        const void* const owner = std::exchange(info.owner, nullptr);
        REQUIRE(scene.heap->validate().defect == Defect::CorruptedSlabInfo);
        info.owner = owner;
    }
    REQUIRE(scene.heap->validate().defect == Defect::None);
    scene.free(0, block);
    scene.free(0, run);
}
