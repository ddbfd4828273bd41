// heap_misuse_test.cpp -- every wrong free is found, reported as what it is, and changes nothing.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <heap/any_heap.hpp>
#include <slab_allocator/core/cache.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

constexpr std::size_t sizes[] = {16, 16, 100, 5'000, 30'000, 50'000, 200'000};

/// A heap with live blocks in it, of which nothing may change.
struct Scene {
    TestMemory memory;
    HeapOf<as_it_comes> heap{memory};
    std::vector<void*> blocks;

    Scene() {
        for (const std::size_t size : sizes)
            blocks.push_back(heap->alloc(size));
    }
    ~Scene() {
        for (void* const block : blocks)
            heap->free(block);
    }

    [[nodiscard]] Snapshot snapshot() {
        const auto* const bytes =
            static_cast<const unsigned char*>(static_cast<const void*>(&*heap));
        Snapshot all(bytes, bytes + sizeof(*heap));
        memory.append_to(all);
        return all;
    }

    /// Is the call refused with just this, and not a byte changed?
    template <typename Call>
    void refuses(const char* what, Defect defect, const void* pointer, Call&& call) {
        INFO(what << ", " << pointer);
        const Snapshot before = snapshot();
        const DefectReport report = report_of(call);
        CHECK(name_of(report.defect) == std::string(name_of(defect)));
        CHECK(report.pointer == pointer);
        CHECK(report.cache == &*heap);
        const bool unchanged = snapshot() == before;
        CHECK(unchanged);
        CHECK(heap->validate().defect == Defect::None);
    }
    void refuses_free(const char* what, Defect defect, void* pointer) {
        refuses(what, defect, pointer, [&] { heap->free(pointer); });
        CHECK_FALSE(heap->owns(pointer));
        CHECK(heap->usable_size(pointer) == 0);
        refuses(what, defect, pointer, [&] { heap->free(pointer, 16); });
        refuses(what, defect, pointer, [&] { CHECK(heap->realloc(pointer, 10) == nullptr); });
    }
};

[[nodiscard]] void* after(void* block, std::ptrdiff_t bytes) {
    return static_cast<std::byte*>(block) + bytes;
}

}  // namespace

TEST_CASE("a heap finds a double free, of every class and at every distance", "[heap]") {
    Scene scene;
    for (std::size_t number = 0; number < 64; ++number) {
        const std::size_t size = slab_allocator::size_classes::size_of_class(number);
        CAPTURE(number, size);
        std::vector<void*> blocks;
        for (std::size_t block = 0; block < 132; ++block)  // others live in each one's slab
            blocks.push_back(scene.heap->alloc(size));
        for (const std::size_t rank : {std::size_t{0}, std::size_t{5}, std::size_t{129}}) {
            scene.heap->free(blocks[rank]);
            scene.refuses_free("at once", Defect::DoubleFree, blocks[rank]);
        }
        scene.refuses_free("later", Defect::DoubleFree, blocks[0]);
        for (std::size_t block = 1; block < 132; ++block) {
            if (block != 5 && block != 129) scene.heap->free(blocks[block]);
        }
    }
}

TEST_CASE("a heap finds pointers that it never gave", "[heap]") {
    Scene scene;
    static std::byte foreign[64];
    for (void* const block : scene.blocks) {
        scene.refuses_free("interior", Defect::InteriorPointer, after(block, 1));
        scene.refuses_free("interior", Defect::InteriorPointer, after(block, 8));
    }
    void* const run = scene.blocks.back();
    scene.refuses_free("another page of a run", Defect::InteriorPointer, after(run, 8'192));
    scene.refuses_free("where no run is", Defect::ForeignPointer, scene.memory.no_mans_land());
    scene.refuses_free("a variable", Defect::ForeignPointer, foreign);
    scene.refuses_free("the heap itself", Defect::ForeignPointer, &*scene.heap);
    // A word of 64 slots is taken in hand at once; slots beyond it were never out of their slab.
    scene.refuses_free("never allocated", Defect::NeverAllocated,
                       after(scene.blocks[0], std::ptrdiff_t{16} * 100));
    void* const freed = scene.heap->alloc(70'000);
    scene.heap->free(freed);
    scene.refuses_free("a run that is gone", Defect::ForeignPointer, freed);
    REQUIRE(scene.memory.complaint().empty());
}

TEST_CASE("a heap finds blocks of another heap, and objects of a cache", "[heap]") {
    Scene scene;
    HeapOf<as_it_comes> other(scene.memory);
    struct Object {
        std::byte bytes[48];
    };
    slab_allocator::Cache<Object, InfosBackend,
                          slab_allocator::CacheConfig{.object_size_type =
                                                          slab_allocator::ObjectSizeType::Large}>
        cache{InfosBackend{{{&scene.memory}}}};
    for (const std::size_t size : {std::size_t{40}, std::size_t{9'000}, std::size_t{90'000}}) {
        void* const block = other->alloc(size);
        scene.refuses_free("another heap's", Defect::OtherCache, block);
        scene.refuses("another heap's, of its size", Defect::OtherCache, block,
                      [&] { scene.heap->free(block, size); });
        other->free(block);
    }
    Object* const object = cache.alloc();
    scene.refuses_free("a cache's", Defect::OtherCache, object);
    REQUIRE(defect_of([&] { cache.free(static_cast<Object*>(scene.blocks[0])); }) ==
            Defect::OtherCache);
    cache.free(object);
}

TEST_CASE("a free with another size than was asked for is found", "[heap]") {
    Scene scene;
    for (std::size_t rank = 0; rank < scene.blocks.size(); ++rank) {
        void* const block = scene.blocks[rank];
        // Half of 16 bytes is of the same class.
        const std::size_t less = rank < 2 ? sizes[rank] + 1 : sizes[rank] / 2;
        for (const std::size_t wrong : {less, sizes[rank] * 2, sizes[rank] + 4'096}) {
            scene.refuses("another size", Defect::WrongSize, block,
                          [&] { scene.heap->free(block, wrong); });
        }
        scene.refuses("another alignment", Defect::WrongSize, block,
                      [&] { scene.heap->free(block, 1, 32); });
        scene.refuses("no alignment", Defect::WrongSize, block,
                      [&] { scene.heap->free(block, sizes[rank], 3); });
    }
    scene.heap->free(nullptr, 12);
    for (std::size_t rank = 0; rank < scene.blocks.size(); ++rank)
        scene.heap->free(scene.blocks[rank], sizes[rank]);
    scene.blocks.clear();
}

TEST_CASE("blocks that are live when their heap dies are a leak, with their number", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    for (const std::size_t size : {std::size_t{1}, std::size_t{1'000}, std::size_t{100'000}})
        REQUIRE(heap->alloc(size) != nullptr);
    const DefectReport report = report_of([&] { heap.reset(); });
    REQUIRE(report.defect == Defect::Leak);
    REQUIRE(report.objects_number == 3);
    REQUIRE(memory.live_slabs() == 0);
}

TEST_CASE("what a backend answers wrongly is refused, and nothing is lost", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    for (const std::size_t size : {std::size_t{64}, std::size_t{100'000}}) {
        CAPTURE(size);
        void* block = nullptr;
        const auto alloc = [&] { block = heap->alloc(size); };
        memory.misalign = 64;
        REQUIRE(defect_of(alloc) == Defect::MisalignedSlab);
        REQUIRE(block == nullptr);
        memory.misalign_info = 4;
        REQUIRE(defect_of(alloc) == Defect::MisalignedSlabInfo);
        REQUIRE(block == nullptr);
        memory.forgets = true;
        REQUIRE(defect_of(alloc) == Defect::BackendLostSlab);
        memory.be_honest();
        memory.forgive();  // a delete of what was not saved
        REQUIRE(block == nullptr);
        block = heap->alloc(size);
        REQUIRE(block != nullptr);
        void* second = block;
        memory.slab_instead = [&] { return memory.slab_of(block); };
        REQUIRE(defect_of([&] { second = heap->alloc(size == 64 ? 128 : size); }) ==
                Defect::MemoryInUse);
        memory.be_honest();
        REQUIRE(second == nullptr);
        heap->free(block);
    }
    heap->shrink_to_fit();
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(memory.live_infos() == 0);
}

namespace {

/// One slab, in the middle of three places, and one SlabInfo, which lies where a test says.
struct ThreePlaces {
    static constexpr std::size_t size = 128 * 1024;
    alignas(size) static inline std::byte places[3 * size];
    static inline void* info = nullptr;
    static inline std::map<std::uintptr_t, SlabInfo*> known;

    [[nodiscard]] static void* alloc_slab(std::size_t bytes, std::size_t) noexcept {
        return bytes <= size ? places + size : nullptr;
    }
    static void free_slab(void*, std::size_t, std::size_t) noexcept {}
    [[nodiscard]] static SlabInfo* alloc_slab_info() noexcept {
        return static_cast<SlabInfo*>(info);
    }
    static void free_slab_info(SlabInfo*) noexcept {}
    [[nodiscard]] static bool save_slab_info_ptr(std::uintptr_t page, SlabInfo* slab_info) {
        known[page] = slab_info;
        return true;
    }
    [[nodiscard]] static SlabInfo* get_slab_info_ptr(std::uintptr_t page) noexcept {
        const auto found = known.find(page);
        return found == known.end() ? nullptr : found->second;
    }
    static void delete_slab_info_ptr(std::uintptr_t page) noexcept { known.erase(page); }
};

}  // namespace

TEST_CASE("a SlabInfo in the memory that it is for is refused, before it and behind it none is",
          "[heap]") {
    using Heap = slab_allocator::Heap<ThreePlaces, as_it_comes>;
    const auto heap = std::make_unique<Heap>();
    const std::size_t bytes = GENERATE(as<std::size_t>{}, 64, 40'000);
    const std::size_t held = bytes == 64 ? heap->class_layout(3).slab_size : 40'960;
    std::byte* const slab = ThreePlaces::places + ThreePlaces::size;
    const auto alloc_with = [&](std::byte* info) {
        ThreePlaces::info = info;
        void* block = nullptr;
        const Defect defect = defect_of([&] { block = heap->alloc(bytes); });
        REQUIRE((block == nullptr) == (defect != Defect::None));
        heap->free(block);
        heap->shrink_to_fit();
        REQUIRE(ThreePlaces::known.empty());
        return defect;
    };
    REQUIRE(alloc_with(slab - sizeof(SlabInfo)) == Defect::None);
    REQUIRE(alloc_with(slab - sizeof(SlabInfo) + alignof(SlabInfo)) == Defect::MemoryInUse);
    REQUIRE(alloc_with(slab) == Defect::MemoryInUse);
    REQUIRE(alloc_with(slab + held - alignof(SlabInfo)) == Defect::MemoryInUse);
    REQUIRE(alloc_with(slab + held) == Defect::None);
    REQUIRE(alloc_with(ThreePlaces::places + 1) == Defect::MisalignedSlabInfo);
}

TEST_CASE("validate finds what was overwritten in the list of runs", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    void* const blocks[] = {heap->alloc(50'000), heap->alloc(60'000), heap->alloc(70'000)};
    SlabInfo* infos[3];
    for (std::size_t rank = 0; rank < 3; ++rank)
        infos[rank] = memory.saved_for(blocks[rank]);
    // The links of a node are its first two words: the one after it, and the one before.
    const auto link = [&](std::size_t rank, std::size_t word) {
        return static_cast<SlabInfo**>(static_cast<void*>(infos[rank])) + word;
    };
    const auto found = [&] { return heap->validate().defect; };
    REQUIRE(found() == Defect::None);
    {
        SlabInfo* const before = std::exchange(*link(1, 1), infos[1]);
        REQUIRE(found() == Defect::CorruptedSlabInfo);
        *link(1, 1) = before;
    }
    {  // The newest is the first. The one in the middle is passed over.
        SlabInfo* const next = std::exchange(*link(2, 0), infos[0]);
        SlabInfo* const before = std::exchange(*link(0, 1), infos[2]);
        REQUIRE(found() == Defect::CorruptedSlabInfo);
        *link(2, 0) = next;
        *link(0, 1) = before;
    }
    {  // Two of them are a ring of their own.
        SlabInfo* const next = std::exchange(*link(1, 0), infos[2]);
        SlabInfo* const before = std::exchange(*link(2, 1), infos[1]);
        REQUIRE(found() == Defect::CorruptedSlabInfo);
        *link(1, 0) = next;
        *link(2, 1) = before;
    }
    const auto list = std::exchange(infos[0]->list, std::uint8_t{40});
    REQUIRE(found() == Defect::CorruptedSlabInfo);  // it does not start at a multiple of 2^40
    infos[0]->list = list;
    infos[0]->map.take(0, 1, 0);  // 50'000 bytes are 13 pages; now it has 12
    REQUIRE(found() == Defect::CorruptedSlabInfo);
    infos[0]->map.give_back(0, 1);
    REQUIRE(found() == Defect::None);
    for (void* const block : blocks)
        heap->free(block);
}

TEST_CASE("validate finds what was overwritten of a slab that a class has in hand", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    // The word of the heap that loses its lowest bit with each alloc of the class is its hand.
    std::uint64_t* hand = nullptr;
    void* const first = heap->alloc(64);
    auto* const words = static_cast<std::uint64_t*>(static_cast<void*>(&*heap));
    const std::vector<std::uint64_t> before(words, words + sizeof(*heap) / 8);
    void* const second = heap->alloc(64);
    for (std::size_t word = 0; word < before.size(); ++word) {
        if (words[word] == before[word] || words[word] != (before[word] & (before[word] - 1)))
            continue;
        REQUIRE(hand == nullptr);
        hand = words + word;
    }
    REQUIRE(hand != nullptr);
    SlabInfo& info = *memory.saved_for(first);
    const auto found = [&] { return heap->validate().defect; };
    REQUIRE(found() == Defect::None);
    info.map.give_back(0, std::uint64_t{1} << 20);  // in hand, and free in the map
    REQUIRE(found() == Defect::CorruptedSlabInfo);
    info.map.take(0, std::uint64_t{1} << 20, 0);
    const auto most = std::exchange(info.list_max_free, std::uint16_t{7});  // it would move
    REQUIRE(found() == Defect::CorruptedSlabInfo);
    info.list_max_free = most;
    SlabInfo*& next = *static_cast<SlabInfo**>(static_cast<void*>(&info));
    next = &info;  // it is on no list
    REQUIRE(found() == Defect::CorruptedSlabInfo);
    next = nullptr;
    REQUIRE(found() == Defect::None);
    heap->free(first);
    heap->free(second);
    heap->shrink_to_fit();
    REQUIRE(memory.live_slabs() == 0);
    REQUIRE(*hand == 0);
    *hand = 4;  // of no slab
    REQUIRE(found() == Defect::CorruptedSlabInfo);
    *hand = 0;
    REQUIRE(found() == Defect::None);
}

TEST_CASE("validate finds what was overwritten", "[heap]") {
    TestMemory memory;
    HeapOf<as_it_comes> heap(memory);
    std::vector<void*> blocks;
    for (std::size_t number = 0; number < 200; ++number)
        blocks.push_back(heap->alloc(64));
    blocks.push_back(heap->alloc(100'000));
    const auto broken = [&](auto& field, auto value) {
        const auto before = std::exchange(field, value);
        const Defect defect = heap->validate().defect;
        field = before;
        return defect;
    };
    for (void* const block : {blocks.front(), blocks[199], blocks.back()}) {
        SlabInfo& info = *memory.saved_for(block);
        REQUIRE(broken(info.owner, nullptr) == Defect::CorruptedSlabInfo);
        REQUIRE(broken(info.slab, info.slab + 4'096) != Defect::None);
        if (block == blocks.back()) continue;
        REQUIRE(broken(info.free_number, std::uint16_t{77}) == Defect::CorruptedSlabInfo);
        REQUIRE(broken(info.untouched, std::uint16_t{1'000}) == Defect::CorruptedSlabInfo);
    }
    const auto page = slab_allocator::address_of(blocks.front());
    SlabInfo* const saved =
        memory.exchange_saved(slab_allocator::align_down(page, TestMemory::page_size), nullptr);
    REQUIRE(heap->validate().defect == Defect::BackendLostSlab);
    memory.exchange_saved(slab_allocator::align_down(page, TestMemory::page_size), saved);
    REQUIRE(heap->validate().defect == Defect::None);
    for (void* const block : blocks)
        heap->free(block);
}
