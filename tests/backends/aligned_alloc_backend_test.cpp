// aligned_alloc_backend_test.cpp -- the promises of aligned_alloc_backend.hpp.

#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>

using namespace slab_promises;

namespace {

struct Object {
    std::uint64_t words[8];
};

template <std::size_t slab_size, std::size_t slab_alignment, ObjectSizeType type>
struct Row {
    static constexpr CacheConfig config{
        .slab_size = slab_size, .slab_alignment = slab_alignment, .object_size_type = type};
};

using EveryRow =
    std::tuple<Row<0, 0, ObjectSizeType::Auto>, Row<4096, 0, ObjectSizeType::Small>,
               Row<65536, 0, ObjectSizeType::Small>, Row<16384, 4096, ObjectSizeType::Small>,
               Row<4096, 0, ObjectSizeType::Large>, Row<32768, 4096, ObjectSizeType::Large>,
               Row<8192, 65536, ObjectSizeType::Large>>;

std::size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t pages = 0;
    statm >> pages >> pages;
    return pages * 4096;
}

/// What a test itself leaves in malloc's caches. A run has 2 MiB; leak checkers find the rest.
constexpr std::size_t noise = 16 * 1024;

std::size_t bytes_from_malloc() {
    const struct mallinfo2 numbers = ::mallinfo2();
    return numbers.uordblks + numbers.hblkhd;
}

constinit Cache<Object, AlignedAllocBackend> static_cache;

TEST_CASE("one backend has all that any configuration but PageFrames needs", "[aligned_alloc]") {
    using Backend = AlignedAllocBackend;
    STATIC_REQUIRE(MemoryBackend<Backend>);
    STATIC_REQUIRE(MemoryBackend<Backend, CacheConfig{.object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE(MemoryBackend<Backend, CacheConfig{.slab_size = 16384,
                                                      .slab_alignment = 4096,
                                                      .object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE(MemoryBackend<Backend, CacheConfig{.object_size_type = ObjectSizeType::Large}>);
    STATIC_REQUIRE_FALSE(
        MemoryBackend<Backend, CacheConfig{.object_size_type = ObjectSizeType::Large,
                                           .slab_info_lookup = SlabInfoLookup::PageFrames}>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Backend>);
}

TEMPLATE_LIST_TEST_CASE("a cache of every configuration needs this backend and nothing else",
                        "[aligned_alloc]", EveryRow) {
    const std::size_t before = bytes_from_malloc();
    {
        auto cache = std::make_unique<Cache<Object, AlignedAllocBackend, TestType::config>>();
        std::vector<Object*> objects;
        for (std::uint64_t number = 0; number < 20000; ++number) {
            objects.push_back(cache->alloc());
            REQUIRE(objects.back() != nullptr);
            objects.back()->words[7] = number;
        }
        REQUIRE(cache->validate().defect == Defect::None);
        for (std::uint64_t number = 0; number < 20000; ++number) {
            REQUIRE(objects[number]->words[7] == number);
            cache->free(objects[number]);
        }
    }
    REQUIRE(bytes_from_malloc() < before + noise);
}

TEST_CASE("slabs from aligned_alloc are aligned, disjoint and writable", "[aligned_alloc]") {
    AlignedAllocBackend backend;
    serve_every_size_and_alignment(backend, 4 * mebibyte, 4 * mebibyte);
    serve_at_random(backend, GENERATE(6U, 7U), 9, 6, 150, false);
    REQUIRE(backend.bytes_held() <= 2 * mebibyte);
    backend.trim();
    REQUIRE(backend.bytes_held() == 0);
}

TEST_CASE("pages without runs are aligned, disjoint and writable, too", "[aligned_alloc]") {
    AlignedAllocPages pages;
    serve_every_size_and_alignment(pages, mebibyte, mebibyte);
    REQUIRE(pages.alloc_slab(~std::size_t{0}, page) == nullptr);
}

TEST_CASE("SlabInfos are distinct, aligned, and many", "[aligned_alloc]") {
    const std::size_t before = bytes_from_malloc();
    {
        AlignedAllocBackend backend;
        std::map<SlabInfo*, std::size_t> infos;
        for (std::size_t number = 0; number < 5000; ++number) {
            SlabInfo* const info = backend.alloc_slab_info();
            REQUIRE(info != nullptr);
            REQUIRE(is_aligned(info, alignof(SlabInfo)));
            ::new (info) SlabInfo;
            REQUIRE(infos.emplace(info, number).second);
            REQUIRE(backend.save_slab_info_ptr((number + 1) * page, info));
        }
        for (const auto& [info, number] : infos)
            REQUIRE(backend.get_slab_info_ptr((number + 1) * page) == info);
        for (const auto& [info, number] : infos) {
            backend.delete_slab_info_ptr((number + 1) * page);
            backend.free_slab_info(info);
        }
        REQUIRE(backend.get_slab_info_ptr(page) == nullptr);
        backend.trim();
        REQUIRE(backend.bytes_held() == 0);
        infos.clear();
        REQUIRE(bytes_from_malloc() < before + noise);
    }
    REQUIRE(bytes_from_malloc() < before + noise);
}

TEST_CASE("slabs and page entries that are left go back with the backend", "[aligned_alloc]") {
    const std::size_t before = bytes_from_malloc();
    {
        AlignedAllocBackend backend;
        SlabInfo slab_info;
        for (std::size_t number = 1; number < 1000; ++number) {
            REQUIRE(backend.alloc_slab(page << number % 12, page) != nullptr);
            REQUIRE(backend.save_slab_info_ptr(number * page, &slab_info));
        }
    }
    REQUIRE(bytes_from_malloc() < before + noise);
}

TEST_CASE("differently configured caches share one backend by reference", "[aligned_alloc]") {
    using Ref = BackendRef<AlignedAllocBackend>;
    AlignedAllocBackend backend;
    {
        Cache<Object, Ref, CacheConfig{.object_size_type = ObjectSizeType::Small}> small{
            Ref(backend)};
        Cache<Object, Ref,
              CacheConfig{.slab_size = 32768,
                          .slab_alignment = 4096,
                          .object_size_type = ObjectSizeType::Large}>
            large{Ref(backend)};
        std::vector<Object*> smalls;
        std::vector<Object*> larges;
        std::mt19937 random(8);
        for (int step = 0; step < 50000; ++step) {
            const bool is_small = random() % 2 == 0;
            auto& objects = is_small ? smalls : larges;
            if (random() % 3 != 0) {
                Object* const object = is_small ? small.alloc() : large.alloc();
                REQUIRE(object != nullptr);
                object->words[0] = object->words[7] = address_of(object);
                objects.push_back(object);
            } else if (!objects.empty()) {
                std::swap(objects[random() % objects.size()], objects.back());
                Object* const object = objects.back();
                objects.pop_back();
                REQUIRE(object->words[0] == address_of(object));
                REQUIRE(object->words[7] == address_of(object));
                is_small ? small.free(object) : large.free(object);
            }
        }
        for (Object* object : smalls)
            small.free(object);
        for (Object* object : larges)
            large.free(object);
    }
    backend.trim();
    REQUIRE(backend.bytes_held() == 0);
}

TEST_CASE("a wrong free of a slab is reported and refused", "[aligned_alloc]") {
    AlignedAllocBackend backend;
    void* const slab = backend.alloc_slab(page, page);
    CHECK(defect_of([&] { backend.free_slab(slab, 2 * page, 2 * page); }) ==
          Defect::ForeignPointer);
    CHECK(defect_of([&] { backend.free_slab(slab, page, page); }) == Defect::None);
    CHECK(defect_of([&] { backend.free_slab(slab, page, page); }) == Defect::DoubleFree);
}

TEST_CASE("64 MiB of slabs cost at most 1.02 of their bytes, and go back", "[aligned_alloc]") {
    if constexpr (!sanitized) {
        const std::size_t size = GENERATE(std::size_t{65536}, std::size_t{4096});
        constexpr std::size_t bytes = 64 * mebibyte;
        AlignedAllocBackend backend;
        std::vector<std::byte*> slabs(bytes / size);
        const std::size_t before = resident_bytes();
        // Twice: after the first time malloc takes such blocks from its heap, not from mmap.
        for (int repeated = 0; repeated < 2; ++repeated) {
            CAPTURE(size, repeated);
            for (std::byte*& slab : slabs) {
                slab = static_cast<std::byte*>(backend.alloc_slab(size, size));
                REQUIRE(slab != nullptr);
                for (std::size_t offset = 0; offset < size; offset += page)
                    slab[offset] = std::byte{1};
            }
            const double overhead =
                static_cast<double>(resident_bytes() - before) / static_cast<double>(bytes);
            CAPTURE(overhead);
            CHECK(overhead <= 1.02);
            for (std::byte* slab : slabs)
                backend.free_slab(slab, size, size);
            CHECK(resident_bytes() <= before + 3 * mebibyte);  // one run is kept
        }
        backend.trim();
        CHECK(resident_bytes() <= before + mebibyte);
    }
}

TEST_CASE("a million objects of 64 bytes cost at most 1.05 of their bytes", "[aligned_alloc]") {
    if constexpr (!sanitized) {
        constexpr std::size_t number = 1'000'000;
        std::vector<Object*> objects(number);
        const std::size_t before = resident_bytes();
        {
            auto cache = std::make_unique<Cache<Object, AlignedAllocBackend>>();
            for (Object*& object : objects) {
                object = cache->alloc();
                REQUIRE(object != nullptr);
                object->words[0] = 1;
            }
            const double overhead = static_cast<double>(resident_bytes() - before) /
                                    static_cast<double>(number * sizeof(Object));
            CAPTURE(overhead, cache->slab_size());
            CHECK(overhead <= 1.05);
            for (Object* object : objects)
                cache->free(object);
        }
        CHECK(resident_bytes() <= before + mebibyte);
    }
}

TEST_CASE("a static cache with its own backend needs no dynamic initialiser", "[aligned_alloc]") {
    Object* const object = static_cache.alloc();
    REQUIRE(object != nullptr);
    static_cache.free(object);
}

}  // namespace
