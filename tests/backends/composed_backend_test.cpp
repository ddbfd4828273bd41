// composed_backend_test.cpp -- the promises of composed_backend.hpp.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/maps/hash_map.hpp>
#include <support/catch.hpp>

using namespace slab_promises;

namespace {

constexpr CacheConfig small_by_mask{.object_size_type = ObjectSizeType::Small};
constexpr CacheConfig small_by_map{
    .slab_size = 16384, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig large_by_map{.object_size_type = ObjectSizeType::Large};
constexpr CacheConfig page_frames{.object_size_type = ObjectSizeType::Large,
                                  .slab_info_lookup = SlabInfoLookup::PageFrames};

using Pages = BackendRef<CountingPages>;
using Whole = ComposedBackend<Pages, SlabInfoCache<Pages>, HashMap<Pages>>;

struct Nothing {};

struct Frames : AlignedAllocPages {
    SlabInfo* slab_info_at(std::uintptr_t) noexcept { return nullptr; }
    std::uint64_t secret() noexcept { return 0x5ec; }
};

struct MisspeltInfos {
    void* alloc_slab_info() noexcept { return nullptr; }
    void free_slab_info(SlabInfo*) noexcept {}
};

struct VoidMap {
    void save_slab_info_ptr(std::uintptr_t, SlabInfo*) noexcept {}
    SlabInfo* get_slab_info_ptr(std::uintptr_t) noexcept { return nullptr; }
    void delete_slab_info_ptr(std::uintptr_t) noexcept {}
};

struct Object {
    std::uint64_t words[5];
};

TEST_CASE("a backend of three parts serves what its parts can serve", "[composed]") {
    STATIC_REQUIRE(MemoryBackend<Whole, small_by_mask>);
    STATIC_REQUIRE(MemoryBackend<Whole, small_by_map>);
    STATIC_REQUIRE(MemoryBackend<Whole, large_by_map>);
    STATIC_REQUIRE_FALSE(MemoryBackend<Whole, page_frames>);

    using SlabsOnly = ComposedBackend<AlignedAllocPages, Nothing, Nothing>;
    STATIC_REQUIRE(MemoryBackend<SlabsOnly, small_by_mask>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<SlabsOnly>);
    STATIC_REQUIRE_FALSE(backend_has::get_slab_info_ptr<SlabsOnly>);

    using WithFrames = ComposedBackend<Frames, Nothing, Nothing>;
    STATIC_REQUIRE(MemoryBackend<WithFrames, page_frames>);
    STATIC_REQUIRE_FALSE(backend_has::secret<SlabsOnly>);
    STATIC_REQUIRE(backend_has::secret<WithFrames>);
    REQUIRE(WithFrames{}.secret() == 0x5ec);
    REQUIRE(WithFrames{}.slab_info_at(4096) == nullptr);

    using WithoutInfos = ComposedBackend<AlignedAllocPages, Nothing, VoidMap>;
    STATIC_REQUIRE(MemoryBackend<WithoutInfos, small_by_map>);
    STATIC_REQUIRE_FALSE(MemoryBackend<WithoutInfos, large_by_map>);
}

TEST_CASE("a wrong signature of a part is not hidden", "[composed]") {
    using Wrong = ComposedBackend<AlignedAllocPages, MisspeltInfos, VoidMap>;
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<Wrong>);
    STATIC_REQUIRE(backend_has::free_slab_info<Wrong>);
    STATIC_REQUIRE(backend_has::save_slab_info_ptr<Wrong>);
}

TEST_CASE("empty parts take no room", "[composed]") {
    struct A {};
    struct B {};
    STATIC_REQUIRE(std::is_empty_v<ComposedBackend<AlignedAllocPages, A, B>>);
}

template <CacheConfig Config>
void serve(Whole& whole) {
    Cache<Object, BackendRef<Whole>, Config> cache{BackendRef<Whole>(whole)};
    std::vector<Object*> objects;
    for (std::uint64_t number = 0; number < 5000; ++number) {
        objects.push_back(cache.alloc());
        REQUIRE(objects.back() != nullptr);
        objects.back()->words[4] = number;
    }
    REQUIRE(cache.validate().defect == Defect::None);
    for (std::uint64_t number = 0; number < 5000; ++number) {
        REQUIRE(objects[number]->words[4] == number);
        cache.free(objects[number]);
    }
}

TEST_CASE("caches of every kind live on three parts over the same pages", "[composed]") {
    CountingPages pages;
    {
        Whole whole(pages, pages, pages);
        serve<small_by_mask>(whole);
        serve<small_by_map>(whole);
        serve<large_by_map>(whole);
        REQUIRE(&whole.slabs().get() == &pages);
        REQUIRE(&whole.infos().pages().get() == &pages);
        REQUIRE(&whole.map().pages().get() == &pages);
    }
    REQUIRE(pages.live_number() == 0);
    REQUIRE(pages.mistakes_number == 0);
}

TEST_CASE("parts that can be moved are given as they are", "[composed]") {
    struct Counted : AlignedAllocPages {
        int number = 0;
    };
    Counted slabs;
    slabs.number = 7;
    ComposedBackend composed(slabs, Nothing{}, VoidMap{});
    STATIC_REQUIRE(std::is_same_v<decltype(composed), ComposedBackend<Counted, Nothing, VoidMap>>);
    REQUIRE(composed.slabs().number == 7);
    ComposedBackend<AlignedAllocPages, SlabInfoCache<AlignedAllocPages>, HashMap<AlignedAllocPages>>
        made_in_place;
    void* const slab = made_in_place.alloc_slab(8192, 8192);
    REQUIRE(is_aligned(slab, 8192));
    made_in_place.free_slab(slab, 8192, 8192);
}

}  // namespace
