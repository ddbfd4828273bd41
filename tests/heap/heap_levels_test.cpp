// heap_levels_test.cpp -- what the levels hardened and debug find of a heap's blocks, and that a
// refused call has changed nothing.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <heap/any_heap.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/heap/locked_heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/poke.hpp>

using namespace support;
using slab_allocator::Checks;
using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

constexpr std::size_t class_sizes[] = {1, 24, 100, 1'000, 5'000, 30'000};
constexpr std::size_t run_size = 200'000;

using Shared = slab_allocator::LockedBackend<slab_allocator::AlignedAllocBackend, std::mutex>;

/// One of the three heaps at a level; of a Heap and its memory, every byte can be compared.
template <Checks level>
struct Single {
    static constexpr Checks checks = level;
    static constexpr bool looks_at_live = true;
    TestMemory memory;
    HeapOf<HeapConfig{.checks = level}> heap{memory};
    auto& operator*() { return *heap; }
    void reset() { heap.reset(); }
    support::Snapshot snapshot() {
        const auto* const bytes =
            static_cast<const unsigned char*>(static_cast<const void*>(&*heap));
        support::Snapshot all(bytes, bytes + sizeof(*heap));
        memory.append_to(all);
        return all;
    }
};
template <Checks level, typename Heap, bool looks>
struct Several {
    static constexpr Checks checks = level;
    static constexpr bool looks_at_live = looks;
    std::unique_ptr<Heap> heap = std::make_unique<Heap>();
    auto& operator*() { return *heap; }
    void reset() { heap.reset(); }
    static int snapshot() { return 0; }
};
template <Checks level>
using Locked =
    Several<level, slab_allocator::LockedHeap<Shared, std::mutex, HeapConfig{.checks = level}>,
            true>;
template <Checks level>
using Magazines = Several<level,
                          slab_allocator::MagazineHeap<Shared, slab_allocator::ThreadCpus<>,
                                                       std::mutex, HeapConfig{.checks = level}>,
                          false>;

using EveryGuarded =
    std::tuple<Single<Checks::hardened>, Single<Checks::debug>, Locked<Checks::hardened>,
               Locked<Checks::debug>, Magazines<Checks::hardened>, Magazines<Checks::debug>>;

[[nodiscard]] std::byte* alloc(auto& heap, std::size_t size) {
    return static_cast<std::byte*>(heap.alloc(size));
}

/// Is the call refused as this defect, and nothing has changed?
template <typename Scene, typename Call>
DefectReport refuses(Scene& scene, Defect defect, Call&& call) {
    const auto before = scene.snapshot();
    const DefectReport report = report_of(call);
    CHECK(name_of(report.defect) == std::string(name_of(defect)));
    const bool unchanged = scene.snapshot() == before;
    CHECK(unchanged);
    return report;
}
/// ... by each way to free it?
template <typename Scene>
void refuses_free(Scene& scene, Defect defect, std::byte* block, std::size_t size) {
    auto& heap = *scene;
    const DefectReport report = refuses(scene, defect, [&] { heap.free(block); });
    CHECK(report.pointer == block);
    refuses(scene, defect, [&] { heap.free(block, size); });
    refuses(scene, defect, [&] { CHECK(heap.realloc(block, 50'000) == nullptr); });
    CHECK_FALSE(heap.owns(block));
    CHECK(heap.usable_size(block) == 0);
}

/// Changes a byte, and puts it back.
class Broken {
public:
    explicit Broken(std::byte* byte) : byte_(byte), before_(peek(byte)) {
        poke(byte_, before_ ^ std::byte{0x11});
    }
    Broken(const Broken&) = delete;
    Broken& operator=(const Broken&) = delete;
    ~Broken() { poke(byte_, before_); }

private:
    std::byte* byte_;
    std::byte before_;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a guarded heap finds every wrong free", "[heap][levels]", EveryGuarded) {
    TestType scene;
    TestType other;
    auto& heap = *scene;
    static std::byte foreign[64];
    for (const std::size_t size : class_sizes) {
        CAPTURE(size);
        std::byte* const kept = alloc(heap, size);
        std::byte* const block = alloc(heap, size);
        for (const std::ptrdiff_t offset : {1, 8})
            refuses_free(scene, Defect::InteriorPointer, block + offset, size);
        heap.free(block, size);
        refuses_free(scene, Defect::DoubleFree, block, size);
        std::vector<std::byte*> more;
        for (std::size_t number = 0; number < 5; ++number)
            more.push_back(alloc(heap, size));
        for (std::byte* const another : more)
            heap.free(another);
        refuses_free(scene, Defect::DoubleFree, block, size);

        std::byte* const theirs = alloc(*other, size);
        // Each has a map of its own, so it is nowhere in this one's.
        refuses_free(scene, Defect::ForeignPointer, theirs, size);
        (*other).free(theirs);
        for (const std::size_t wrong : {size * 2 + 100, std::size_t{50'000}})
            refuses(scene, Defect::WrongSize, [&] { heap.free(kept, wrong); });
        refuses(scene, Defect::WrongSize, [&] { heap.free(kept, size, 65'536); });
        heap.free(kept, size);
    }
    // A word of 64 slots is taken in hand at once; slots beyond it were never out of their slab.
    std::byte* const one = alloc(heap, 24);
    const void* const slab = report_of([&] { heap.free(one + 1); }).slab;
    const slab_allocator::Layout layout = slab_allocator::size_classes::layout_of_class(
        TestType::checks == Checks::debug ? 4 : 1, {.checks = TestType::checks});
    const std::size_t untouched = layout.front + layout.offset_of(70);
    refuses_free(scene, Defect::NeverAllocated,
                 static_cast<std::byte*>(const_cast<void*>(slab)) + untouched, 24);
    heap.free(one);
    refuses_free(scene, Defect::ForeignPointer, foreign, 24);
    std::byte* const run = alloc(heap, run_size);
    refuses_free(scene, Defect::InteriorPointer, run + 16, run_size);
    refuses_free(scene, Defect::InteriorPointer, run + 8'192, run_size);
    heap.free(run, run_size);
    refuses_free(scene, Defect::ForeignPointer, run, run_size);
    REQUIRE(heap.validate().defect == Defect::None);
    REQUIRE(heap.statistics().allocated_bytes == 0);
}

TEMPLATE_LIST_TEST_CASE("an overrun is found at the block's free, with its first byte",
                        "[heap][levels]", EveryGuarded) {
    TestType scene;
    auto& heap = *scene;
    for (const std::size_t size : class_sizes) {
        CAPTURE(size);
        std::byte* const block = alloc(heap, size);
        const auto usable = static_cast<std::ptrdiff_t>(heap.usable_size(block));
        for (const std::ptrdiff_t beyond : {0, 1, 7}) {
            const Broken broken(block + usable + beyond);
            refuses_free(scene, Defect::Overflow, block, size);
            const DefectReport report = report_of([&] { heap.free(block); });
            REQUIRE(report.offset == usable + beyond);
            if (TestType::looks_at_live) REQUIRE(heap.validate().defect == Defect::Overflow);
        }
        if (TestType::checks == Checks::debug) {
            for (const std::ptrdiff_t before : {1, 16}) {
                const Broken broken(block - before);
                refuses_free(scene, Defect::Overflow, block, size);
                REQUIRE(report_of([&] { heap.free(block); }).offset == -before);
            }
        }
        REQUIRE(heap.validate().defect == Defect::None);
        heap.free(block, size);  // all bytes are as they were
    }
}

TEMPLATE_TEST_CASE_SIG("an overrun is found in whichever slab it is", "[heap][levels]",
                       ((Checks checks), checks), Checks::hardened, Checks::debug) {
    Single<checks> scene;
    auto& heap = *scene;
    std::vector<std::byte*> blocks;
    for (std::size_t number = 0; number < 2'000; ++number)
        blocks.push_back(alloc(heap, 100));
    for (std::size_t number = 0; number < blocks.size(); number += 37) {
        const Broken broken(blocks[number] + heap.usable_size(blocks[number]));
        const DefectReport found = heap.validate();
        REQUIRE(found.defect == Defect::Overflow);
        REQUIRE(found.pointer == blocks[number]);
    }
    for (std::byte* const block : blocks)
        heap.free(block);
}

TEMPLATE_LIST_TEST_CASE("a write after free is found before the block is handed out again",
                        "[heap][levels]", EveryGuarded) {
    TestType scene;
    auto& heap = *scene;
    for (const std::size_t size : class_sizes) {
        CAPTURE(size);
        std::byte* const other = alloc(heap, size);
        std::byte* const block = alloc(heap, size);
        const auto last = static_cast<std::ptrdiff_t>(heap.usable_size(block)) - 1;
        heap.free(block);
        poke(block + last, std::byte{0x77});
        if (TestType::looks_at_live) {
            const DefectReport found = heap.validate();
            REQUIRE(found.defect == Defect::WriteAfterFree);
            REQUIRE(found.offset == last);
        }
        DefectCatcher catcher;
        for (std::size_t step = 0; step < 5'000 && catcher.number() == 0; ++step) {
            std::byte* const next = alloc(heap, size);
            REQUIRE((next != block || catcher.number() == 1));
            heap.free(next);
        }
        const DefectReport report = catcher.only();
        REQUIRE(report.defect == Defect::WriteAfterFree);
        REQUIRE(report.pointer == block);
        REQUIRE(report.offset == last);
        heap.free(other);
        REQUIRE(heap.validate().defect == Defect::None);  // it was wiped
    }
    REQUIRE(heap.statistics().allocated_bytes == 0);
}

TEMPLATE_LIST_TEST_CASE("a guarded heap tells of leaks", "[heap][levels]", EveryGuarded) {
    TestType scene;
    auto& heap = *scene;
    std::set<const void*> blocks;
    for (const std::size_t size : class_sizes)
        blocks.insert(heap.alloc(size));
    blocks.insert(heap.alloc(run_size));
    heap.free(heap.alloc(24));
    DefectCatcher catcher;
    scene.reset();
    if (TestType::checks == Checks::hardened) {
        REQUIRE(catcher.only().defect == Defect::Leak);
        REQUIRE(catcher.only().objects_number == blocks.size());
        return;
    }
    REQUIRE(catcher.number() == blocks.size());
    std::size_t left = blocks.size();
    for (const DefectReport& report : catcher.reports()) {
        REQUIRE(report.defect == Defect::Leak);
        REQUIRE(report.objects_number == left--);
        REQUIRE(blocks.erase(report.pointer) == 1);
        REQUIRE((report.allocated_by != nullptr || left == 0));  // of a run, nobody knows
    }
}

TEST_CASE("at level debug a heap says who allocated a block, and who freed it", "[heap][levels]") {
    Single<Checks::debug> scene;
    auto& heap = *scene;
    int first = 0;
    int second = 0;
    heap.set_tag(&first);
    std::byte* const kept = alloc(heap, 100);
    std::byte* const block = alloc(heap, 100);
    heap.set_tag(&second);
    heap.free(block);
    const DefectReport twice = report_of([&] { heap.free(block); });
    REQUIRE(twice.defect == Defect::DoubleFree);
    REQUIRE(twice.allocated_by == &first);
    REQUIRE(twice.freed_by == &second);
    heap.set_tag(nullptr);
    {
        const Broken broken(kept + heap.usable_size(kept));
        REQUIRE(report_of([&] { heap.free(kept); }).allocated_by == &first);
    }
    std::byte* const other = alloc(heap, 100);
    heap.free(other);
    const DefectReport by_address = report_of([&] { heap.free(other); });
    REQUIRE(by_address.allocated_by != nullptr);
    REQUIRE(by_address.allocated_by != &first);
    heap.free(kept);
}

TEMPLATE_TEST_CASE_SIG("blocks of a guarded heap come in no order, and freed ones come back late",
                       "[heap][levels]", ((Checks checks), checks), Checks::hardened,
                       Checks::debug) {
    Single<checks> scene;
    auto& heap = *scene;
    std::vector<std::byte*> blocks;
    std::size_t ascending = 0;
    for (std::size_t number = 0; number < 64; ++number) {
        blocks.push_back(alloc(heap, 100));
        if (number > 0 && blocks[number] > blocks[number - 1]) ++ascending;
    }
    REQUIRE(ascending > 8);
    REQUIRE(ascending < 55);  // of 63
    const std::set<std::byte*> freed(blocks.begin(), blocks.begin() + 30);
    for (std::byte* const block : freed)
        heap.free(block);
    for (std::size_t number = 0; number < 200; ++number)
        REQUIRE_FALSE(freed.contains(alloc(heap, 100)));
    REQUIRE(heap.statistics().allocated_objects_number == 234);
    const DefectReport leaks = [&] {
        DefectCatcher catcher;
        scene.reset();
        return catcher.reports().front();
    }();
    REQUIRE(leaks.objects_number == 234);
}

TEST_CASE("at level debug a slab's last look finds a write after free", "[heap][levels]") {
    Single<Checks::debug> scene;
    auto& heap = *scene;
    std::byte* const block = alloc(heap, 100);
    heap.free(block);
    poke(block, std::byte{1});
    const DefectReport report = report_of([&] { heap.shrink_to_fit(); });
    REQUIRE(report.defect == Defect::WriteAfterFree);
    REQUIRE(report.pointer == block);
    REQUIRE(report.offset == 0);
}

TEST_CASE("at level debug a slab's last look finds that its SlabInfo was overwritten",
          "[heap][levels]") {
    Single<Checks::debug> scene;
    auto& heap = *scene;
    std::byte* const block = alloc(heap, 100);
    heap.free(block);
    slab_allocator::SlabInfo& slab_info = *scene.memory.saved_for(block);
    slab_info.free_number = static_cast<std::uint16_t>(slab_info.free_number - 1);
    DefectCatcher catcher;
    scene.reset();
    REQUIRE(catcher.number() == 1);
    REQUIRE(catcher.only().defect == Defect::CorruptedSlabInfo);
}

TEST_CASE("a level that is off is no byte of a heap", "[heap][levels]") {
    constexpr auto size_of = []<Checks checks>() {
        return sizeof(slab_allocator::Heap<InfosBackend, HeapConfig{.checks = checks}>);
    };
    STATIC_REQUIRE(size_of.operator()<Checks::none>() == size_of.operator()<Checks::misuse>());
    STATIC_REQUIRE(size_of.operator()<Checks::misuse>() < size_of.operator()<Checks::hardened>());
}
