// mmap_backend_test.cpp -- the promises of mmap_backend.hpp.

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/maps/hash_map.hpp>
#include <support/catch.hpp>
#include <support/child.hpp>

using namespace slab_promises;

namespace {

constinit MmapBackend static_backend;

std::size_t mapped_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t pages = 0;
    statm >> pages;
    return pages * page;
}

bool mapped(const void* address) {
    unsigned char answer = 0;
    return ::mincore(const_cast<void*>(address), page, &answer) == 0 || errno != ENOMEM;
}

std::size_t resident_pages(const void* address, std::size_t bytes) {
    std::vector<unsigned char> answers(bytes / page);
    REQUIRE(::mincore(const_cast<void*>(address), bytes, answers.data()) == 0);
    std::size_t number = 0;
    for (unsigned char answer : answers)
        number += answer & 1U;
    return number;
}

/// The VmFlags of the mapping that `address` lies in; empty where the system does not tell.
std::string flags_of(const void* address) {
    std::ifstream smaps("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(smaps, line);) {
        unsigned long start = 0;
        unsigned long end = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
            here = start <= address_of(address) && address_of(address) < end;
        } else if (here && line.rfind("VmFlags:", 0) == 0) {
            return line + " ";
        }
    }
    return {};
}

TEST_CASE("mapped slabs are a source of slabs and nothing else", "[mmap]") {
    STATIC_REQUIRE(
        MemoryBackend<MmapBackend, CacheConfig{.object_size_type = ObjectSizeType::Small}>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<MmapBackend>);
    STATIC_REQUIRE_FALSE(backend_has::get_slab_info_ptr<MmapBackend>);
}

TEST_CASE("with every option mapped slabs are aligned, disjoint and writable", "[mmap]") {
    const MmapOptions options =
        GENERATE(MmapOptions{}, MmapOptions{.huge_pages = true}, MmapOptions{.prefault = true},
                 MmapOptions{.huge_pages = true, .prefault = true}, MmapOptions{.run_size = 65536},
                 MmapOptions{.huge_pages = true, .prefault = true, .run_size = 4096});
    CAPTURE(options.huge_pages, options.prefault, options.run_size);
    MmapBackend backend(options);
    serve_every_size_and_alignment(backend, 4 * mebibyte, 4 * mebibyte);
    serve_at_random(backend, 5, 8, 6, 120, false);
    backend.trim();
    REQUIRE(backend.bytes_held() == 0);
}

TEST_CASE("pages without runs are mappings of their own, aligned to the byte", "[mmap]") {
    const bool huge = GENERATE(false, true);
    MmapPages pages(MmapOptions{.huge_pages = huge});
    serve_every_size_and_alignment(pages, 4 * mebibyte, 4 * mebibyte);
    void* const slab = pages.alloc_slab(3 * mebibyte, 65536);
    REQUIRE(is_aligned(slab, huge ? 2 * mebibyte : 65536));
    pages.free_slab(slab, 3 * mebibyte, 65536);
}

TEST_CASE("everything that was mapped is unmapped at the end", "[mmap]") {
    std::vector<void*> slabs;
    {
        MmapBackend backend;
        for (std::size_t size = page; size <= 4 * mebibyte; size *= 2) {
            slabs.push_back(backend.alloc_slab(size, page));
            REQUIRE(mapped(slabs.back()));
        }
    }
    for (void* slab : slabs)
        REQUIRE_FALSE(mapped(slab));
}

TEST_CASE("what is reserved for an alignment does not stay mapped", "[mmap]") {
    MmapPages pages;
    std::vector<void*> slabs;
    const std::size_t before = mapped_bytes();
    for (int number = 0; number < 64; ++number)
        slabs.push_back(pages.alloc_slab(65536, 4 * mebibyte));
    CHECK(mapped_bytes() <= before + 64 * 65536 + 16 * mebibyte);
    for (void* slab : slabs)
        pages.free_slab(slab, 65536, 4 * mebibyte);
    CHECK(mapped_bytes() <= before + 16 * mebibyte);
}

TEST_CASE("slabs are not touched before their user does", "[mmap]") {
    MmapBackend backend;
    void* const slab = backend.alloc_slab(mebibyte, mebibyte);
    REQUIRE(resident_pages(slab, mebibyte) == 0);
    backend.free_slab(slab, mebibyte, mebibyte);
    REQUIRE(resident_pages(slab, mebibyte) == 0);
}

TEST_CASE("prefault makes a run resident before its first touch", "[mmap]") {
    MmapBackend backend(MmapOptions{.prefault = true});
    void* const slab = backend.alloc_slab(mebibyte, mebibyte);
    REQUIRE(resident_pages(slab, mebibyte) == mebibyte / page);
    backend.free_slab(slab, mebibyte, mebibyte);
}

TEST_CASE("huge pages are asked for, and runs lie on them", "[mmap]") {
    MmapBackend backend(MmapOptions{.huge_pages = true});
    void* const slab = backend.alloc_slab(page, page);
    REQUIRE(is_aligned(slab, MmapPages::huge_page_size));
    const std::string flags = flags_of(slab);
    CAPTURE(flags);
    if (!flags.empty()) REQUIRE(flags.find(" hg ") != std::string::npos);
    backend.free_slab(slab, page, page);

    MmapBackend plain;
    void* const other = plain.alloc_slab(page, page);
    REQUIRE(flags_of(other).find(" hg ") == std::string::npos);
    plain.free_slab(other, page, page);
}

TEST_CASE("what no address space has is refused", "[mmap]") {
    MmapPages pages;
    for (std::size_t huge : {~std::size_t{0}, ~std::size_t{0} / 2, ~std::size_t{0} - 2 * page})
        REQUIRE(pages.alloc_slab(huge, 2 * mebibyte) == nullptr);
    MmapBackend backend;
    REQUIRE(backend.alloc_slab(std::size_t{1} << 62, page) == nullptr);
    void* const slab = backend.alloc_slab(page, page);
    REQUIRE(slab != nullptr);
    backend.free_slab(slab, page, page);
}

TEST_CASE("a Large cache lives on mapped slabs that are composed with a map", "[mmap]") {
    using Pages = BackendRef<MmapBackend>;
    using Backend = ComposedBackend<Pages, SlabInfoCache<Pages>, HashMap<Pages>>;
    struct Object {
        std::byte bytes[1024];
    };
    MmapBackend pages;
    {
        Backend backend(pages, pages, pages);
        Cache<Object, BackendRef<Backend>, CacheConfig{.object_size_type = ObjectSizeType::Large}>
            cache{BackendRef<Backend>(backend)};
        std::vector<Object*> objects;
        for (int number = 0; number < 3000; ++number)
            objects.push_back(cache.create());
        for (Object* object : objects)
            cache.free(object);
    }
    pages.trim();
    REQUIRE(pages.bytes_held() == 0);
}

TEST_CASE("a backend without a dynamic initialiser serves from the start", "[mmap]") {
    void* const slab = static_backend.alloc_slab(8192, 8192);
    REQUIRE(is_aligned(slab, 8192));
    static_backend.free_slab(slab, 8192, 8192);
}

}  // namespace

#ifdef MADV_POPULATE_WRITE
TEST_CASE("prefaulting works on a system that cannot do it at once", "[mmap]") {
    REQUIRE(support::in_child([] {
        MmapPages pages(MmapOptions{.prefault = true});
        if (!support::refuse_system_call(SYS_madvise, 2, MADV_POPULATE_WRITE, EINVAL)) return false;
        void* const slab = pages.alloc_slab(65536, page);
        return slab != nullptr && resident_pages(slab, 65536) == 65536 / page;
    }));
}

TEST_CASE("a slab that cannot be made resident is refused, and unmapped", "[mmap]") {
    REQUIRE(support::in_child([] {
        MmapPages pages(MmapOptions{.prefault = true});
        if (!support::refuse_system_call(SYS_madvise, 2, MADV_POPULATE_WRITE, ENOMEM)) return false;
        const std::size_t before = mapped_bytes();
        return pages.alloc_slab(16 * mebibyte, page) == nullptr &&
               mapped_bytes() < before + 8 * mebibyte;
    }));
}
#endif

TEST_CASE("discarded pages are not resident, zero when they are touched again, and no others are",
          "[mmap]") {
    MmapPages pages;
    constexpr std::size_t size = 64 * page;
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(size, page));
    REQUIRE(slab != nullptr);
    std::memset(slab, 7, size);
    MmapPages::discard(slab + 16 * page, 32 * page);
    if (!sanitized) REQUIRE(resident_pages(slab, size) == 32);
    REQUIRE(slab[16 * page - 1] == std::byte{7});
    REQUIRE(slab[16 * page] == std::byte{0});
    REQUIRE(slab[48 * page - 1] == std::byte{0});
    REQUIRE(slab[48 * page] == std::byte{7});
    pages.free_slab(slab, size, page);
}

TEST_CASE("a discard that the system refuses says so and leaves the pages as they are", "[mmap]") {
    REQUIRE(support::in_child([] {
        MmapPages pages;
        auto* const slab = static_cast<std::byte*>(pages.alloc_slab(4 * page, page));
        std::memset(slab, 7, 4 * page);
        if (!MmapPages::discard(slab, page)) return false;
        if (!support::refuse_system_call(SYS_madvise, 2, MADV_DONTNEED, EINVAL)) return false;
        return !MmapPages::discard(slab + page, page) && slab[0] == std::byte{0} &&
               slab[page] == std::byte{7};
    }));
}

TEST_CASE("what the system refuses to unmap is no longer resident", "[mmap]") {
    REQUIRE(support::in_child([] {
        MmapPages pages;
        auto* const slab = static_cast<std::byte*>(pages.alloc_slab(67 * page, page));
        std::memset(slab, 7, 67 * page);
        if (!support::refuse_system_call(SYS_munmap, 1, 67 * page, ENOMEM)) return false;
        pages.free_slab(slab, 67 * page, page);
        return sanitized || (mapped(slab) && resident_pages(slab, 67 * page) == 0);
    }));
}

TEST_CASE("whether huge pages are wanted is advised of a part of a mapping, and of no other",
          "[mmap]") {
    MmapPages pages;
    constexpr std::size_t huge = MmapPages::huge_page_size;
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(3 * huge, huge));
    REQUIRE(slab != nullptr);
    const auto is = [&](std::size_t number, const char* flag) {
        const std::string flags = flags_of(slab + number * huge);
        return flags.empty() || flags.find(flag) != std::string::npos;
    };
    MmapPages::advise_huge_pages(slab + huge, huge, true);
    REQUIRE(is(1, " hg"));
    REQUIRE((flags_of(slab).empty() || !is(0, " hg")));
    MmapPages::advise_huge_pages(slab + huge, huge, false);
    REQUIRE((flags_of(slab).empty() || !is(1, " hg")));
    REQUIRE(is(1, " nh"));
    pages.free_slab(slab, 3 * huge, huge);
}

TEST_CASE("the options of a source of pages are those it was made with", "[mmap]") {
    const MmapPages pages(MmapOptions{.prefault = true, .run_size = 65536});
    REQUIRE(pages.options().prefault);
    REQUIRE(pages.options().run_size == 65536);
    REQUIRE_FALSE(pages.options().huge_pages);
}
