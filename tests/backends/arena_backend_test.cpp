// arena_backend_test.cpp -- the promises of arena_backend.hpp.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/arena_backend.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>

using namespace slab_promises;

namespace {

constinit ArenaBackend<16 * mebibyte> static_arena;
constinit ArenaBackend<64 * page> small_arena;

struct Object {
    std::byte bytes[64];
};
constinit Cache<Object, ArenaBackend<64 * page>,
                CacheConfig{.object_size_type = ObjectSizeType::Small}>
    static_cache;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

/// A region of run time, not aligned to a page, and the arena over it.
struct GivenMemory {
    explicit GivenMemory(std::size_t bytes)
        : memory(std::aligned_alloc(mebibyte, align_up(bytes + page, mebibyte))),
          arena(static_cast<std::byte*>(memory.get()) + 100, bytes) {}
    std::unique_ptr<void, Free> memory;
    ArenaBackendOver arena;
};

TEST_CASE("an arena serves caches that find SlabInfos by masking, and no others", "[arena]") {
    using Arena = ArenaBackend<16 * page>;
    STATIC_REQUIRE(MemoryBackend<Arena, CacheConfig{.object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE(
        MemoryBackend<ArenaBackendOver, CacheConfig{.object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE_FALSE(
        MemoryBackend<Arena, CacheConfig{.slab_size = 8192,
                                         .slab_alignment = 4096,
                                         .object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE_FALSE(
        MemoryBackend<Arena, CacheConfig{.object_size_type = ObjectSizeType::Large}>);
    STATIC_REQUIRE_FALSE(
        MemoryBackend<Arena, CacheConfig{.object_size_type = ObjectSizeType::Large,
                                         .slab_info_lookup = SlabInfoLookup::PageFrames}>);
}

TEST_CASE("an arena has nothing to destroy and cannot be copied", "[arena]") {
    STATIC_REQUIRE(std::is_trivially_destructible_v<ArenaBackend<page>>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<ArenaBackendOver>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<ArenaBackend<page>>);
    STATIC_REQUIRE(alignof(ArenaBackend<16 * page>) == 65536);
    STATIC_REQUIRE(alignof(ArenaBackend<3 * page>) == 8192);
    STATIC_REQUIRE(alignof(ArenaBackend<16 * page, 4096>) == 4096);
}

TEST_CASE("slabs of an arena are aligned, disjoint and writable", "[arena]") {
    serve_every_size_and_alignment(static_arena, mebibyte / 4, 65536);
    REQUIRE(static_arena.pages_in_use() == 0);
}

TEST_CASE("slabs of an arena in random order are disjoint, and all pages come back", "[arena]") {
    const unsigned seed = GENERATE(1U, 2U, 3U);
    serve_at_random(static_arena, seed, 9, 5, 150, true);
    REQUIRE(static_arena.pages_in_use() == 0);
    REQUIRE(static_arena.alloc_slab(16 * mebibyte, page) != nullptr);
    static_arena.free_slab(static_cast<void*>(&static_arena), 16 * mebibyte, page);
    REQUIRE(static_arena.pages_in_use() == 0);
}

TEST_CASE("a region of run time serves slabs as an array does", "[arena]") {
    GivenMemory given(16 * mebibyte);
    REQUIRE(given.arena.pages_number() >= 16 * mebibyte / page - 2);
    serve_every_size_and_alignment(given.arena, mebibyte / 4, 65536);
    serve_at_random(given.arena, 4, 9, 5, 150, true);
    REQUIRE(given.arena.pages_in_use() == 0);
}

TEST_CASE("a region without a whole page to give refuses", "[arena]") {
    ArenaBackendOver none;
    REQUIRE(none.alloc_slab(page, page) == nullptr);
    REQUIRE(none.pages_number() == 0);
    alignas(page) static std::byte memory[3 * page];
    ArenaBackendOver tiny(memory + 1, 2 * page);
    REQUIRE(tiny.alloc_slab(page, page) == nullptr);
    ArenaBackendOver less(memory + 1, 100);
    REQUIRE(less.alloc_slab(page, page) == nullptr);
    ArenaBackendOver one(memory, 2 * page + 100);
    REQUIRE(one.alloc_slab(page, page) == memory + page);
    REQUIRE(one.alloc_slab(page, page) == nullptr);
}

TEST_CASE("an arena gives every page, then refuses, and recovers", "[arena]") {
    auto& arena = small_arena;
    std::vector<void*> slabs;
    while (void* slab = arena.alloc_slab(page, page))
        slabs.push_back(slab);
    REQUIRE(slabs.size() == arena.pages_number());
    REQUIRE(arena.pages_in_use() == 64);
    REQUIRE(arena.alloc_slab(page, page) == nullptr);
    arena.free_slab(slabs[17], page, page);
    REQUIRE(arena.alloc_slab(2 * page, page) == nullptr);
    REQUIRE(arena.alloc_slab(page, page) == slabs[17]);
    arena.free_slab(slabs[17], page, page);
    arena.free_slab(slabs[18], page, page);
    REQUIRE(arena.alloc_slab(2 * page, 2 * page) == nullptr);  // 17 is odd
    REQUIRE(arena.alloc_slab(2 * page, page) == slabs[17]);
    arena.free_slab(slabs[17], 2 * page, page);
    for (std::size_t number = 0; number < slabs.size(); ++number) {
        if (number != 17 && number != 18) arena.free_slab(slabs[number], page, page);
    }
    REQUIRE(arena.pages_in_use() == 0);
}

TEST_CASE("an arena gives the lowest address that fits", "[arena]") {
    auto& arena = small_arena;
    auto* const start = static_cast<std::byte*>(arena.alloc_slab(64 * page, page));
    REQUIRE(start != nullptr);
    arena.free_slab(start, 64 * page, page);
    REQUIRE(arena.alloc_slab(3 * page, page) == start);
    REQUIRE(arena.alloc_slab(4 * page, 4 * page) == start + 4 * page);
    REQUIRE(arena.alloc_slab(page, page) == start + 3 * page);
    REQUIRE(arena.alloc_slab(page, page) == start + 8 * page);
    arena.free_slab(start, 3 * page, page);
    REQUIRE(arena.alloc_slab(2 * page, page) == start);
    REQUIRE(arena.alloc_slab(2 * page, page) == start + 9 * page);
    arena.free_slab(start, 2 * page, page);
    arena.free_slab(start + 3 * page, page, page);
    arena.free_slab(start + 4 * page, 4 * page, 4 * page);
    arena.free_slab(start + 8 * page, page, page);
    arena.free_slab(start + 9 * page, 2 * page, page);
    REQUIRE(arena.pages_in_use() == 0);
}

TEST_CASE("sizes and alignments beyond the arena are refused", "[arena]") {
    for (std::size_t huge : {65 * page, mebibyte, ~std::size_t{0}, ~std::size_t{0} - page}) {
        REQUIRE(small_arena.alloc_slab(huge, page) == nullptr);
    }
    REQUIRE(small_arena.alloc_slab(0, page) == nullptr);
    REQUIRE(small_arena.alloc_slab(page, (~std::size_t{0} >> 1) + 1) == nullptr);
    REQUIRE(small_arena.pages_in_use() == 0);
}

TEST_CASE("a free of what is no slab of the arena is reported, refused and changes nothing",
          "[arena]") {
    auto& arena = small_arena;
    auto* const slab = static_cast<std::byte*>(arena.alloc_slab(4 * page, page));
    auto* const next = static_cast<std::byte*>(arena.alloc_slab(4 * page, page));
    static std::byte elsewhere[16];
    for (void* wrong : {static_cast<void*>(slab + page), static_cast<void*>(slab + 1),
                        static_cast<void*>(slab - 1), static_cast<void*>(slab + 64 * page),
                        static_cast<void*>(elsewhere), static_cast<void*>(nullptr)}) {
        CHECK(defect_of([&] { arena.free_slab(wrong, 4 * page, page); }) == Defect::ForeignPointer);
    }
    for (std::size_t wrong_size : {page, 2 * page, 8 * page, 65 * page, ~std::size_t{0}}) {
        CHECK(defect_of([&] { arena.free_slab(slab, wrong_size, page); }) ==
              Defect::ForeignPointer);
    }
    // the end of a slab, to the page
    CHECK(defect_of([&] { arena.free_slab(slab + page, 3 * page, page); }) ==
          Defect::ForeignPointer);
    CHECK(defect_of([&] { arena.free_slab(next + 4 * page, page, page); }) == Defect::DoubleFree);
    REQUIRE(arena.pages_in_use() == 8);
    CHECK(defect_of([&] { arena.free_slab(slab, 4 * page, page); }) == Defect::None);
    CHECK(defect_of([&] { arena.free_slab(slab, 4 * page, page); }) == Defect::DoubleFree);
    REQUIRE(arena.pages_in_use() == 4);
    REQUIRE(arena.contains(next));
    REQUIRE_FALSE(arena.contains(elsewhere));
    arena.free_slab(next, 4 * page, page);
    REQUIRE(arena.pages_in_use() == 0);
}

TEST_CASE("a cache lives in a static arena, runs dry and recovers", "[arena]") {
    std::vector<Object*> objects;
    while (Object* object = static_cache.alloc())
        objects.push_back(object);
    REQUIRE(objects.size() * sizeof(Object) > 60 * page);
    for (Object* object : objects)
        static_cache.free(object);
    Object* const object = static_cache.alloc();
    REQUIRE(object != nullptr);
    static_cache.free(object);
    static_cache.shrink_to_fit();
    REQUIRE(static_cache.backend().pages_in_use() == 0);
}

TEST_CASE("two caches share an arena by reference", "[arena]") {
    using Arena = ArenaBackend<64 * page>;
    using Pages = BackendRef<Arena>;
    {
        Cache<Object, Pages,
              CacheConfig{.slab_size = 4096, .object_size_type = ObjectSizeType::Small}>
            one{Pages(small_arena)};
        Cache<int, Pages,
              CacheConfig{.slab_size = 16384, .object_size_type = ObjectSizeType::Small}>
            other{Pages(small_arena)};
        Object* const object = one.alloc();
        int* const number = other.alloc();
        REQUIRE(small_arena.pages_in_use() == 1 + 4);
        one.free(object);
        other.free(number);
    }
    REQUIRE(small_arena.pages_in_use() == 0);
}

}  // namespace

TEST_CASE("what is aligned to less than a page is aligned to one in an arena", "[arena]") {
    slab_allocator::ArenaBackend<16 * page> arena;
    void* const slab = arena.alloc_slab(page, 64);
    REQUIRE(is_aligned(slab, page));
    arena.free_slab(slab, page, 64);
    REQUIRE(slab_allocator::arena_alignment(8192) == 8192);
    REQUIRE(slab_allocator::arena_alignment(12288) == 8192);
    REQUIRE(slab_allocator::arena_alignment(1 << 20) == 65536);
}
