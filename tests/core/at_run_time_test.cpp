// What is computed while compiling is the same where the numbers come late: a kernel may read them
// from its machine.

#include <cstddef>
#include <iterator>

#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/object_stack.hpp>

#include <support/any_cache.hpp>
#include <support/catch.hpp>

using namespace support;
namespace detail = slab_allocator::detail;

namespace {

constexpr std::size_t object_sizes[] = {1,    2,    3,    7,    8,    24,   40,  63,
                                        64,   65,   85,   100,  104,  128,  400, 680,
                                        1000, 1365, 2000, 3000, 4000, 4040, 5000};
constexpr Checks levels[] = {Checks::none, Checks::misuse, Checks::hardened, Checks::debug};

/// All layouts that a slab size, an alignment of slabs and a kind allow, each with its error.
template <typename F>
constexpr void for_each_layout(std::size_t slab_size, std::size_t slab_alignment,
                               ObjectSizeType type, F f) {
    for (const std::size_t size : object_sizes) {
        for (const Checks checks : levels) {
            CacheConfig config{.slab_size = slab_size,
                               .slab_alignment = slab_alignment,
                               .object_size_type = type,
                               .checks = checks};
            f(slab_allocator::layout_for(size, 1, config));
            f(slab_allocator::layout_for((size + 31) / 32 * 32, 32, config));
            config.slab_info_lookup = slab_allocator::SlabInfoLookup::PageFrames;
            f(slab_allocator::layout_for(size, 1, config));
        }
    }
}

struct Layouts {
    static constexpr std::size_t number = std::size(object_sizes) * std::size(levels) * 3;
    Layout all[number];
};

[[nodiscard]] bool same(const Layout& a, const Layout& b) {
    return a.error == b.error && a.row == b.row && a.object_size == b.object_size &&
           a.front == b.front && a.behind == b.behind && a.stride == b.stride &&
           a.inverse == b.inverse && a.rotation == b.rotation && a.page_size == b.page_size &&
           a.slab_size == b.slab_size && a.slab_alignment == b.slab_alignment &&
           a.slots_per_slab == b.slots_per_slab && a.objects_per_slab == b.objects_per_slab &&
           a.info_slots == b.info_slots && a.info_offset == b.info_offset &&
           a.colours == b.colours && a.colour_step == b.colour_step;
}

template <std::size_t slab_size, std::size_t slab_alignment, ObjectSizeType type>
void require_the_same() {
    static constexpr Layouts before = [] {
        Layouts result{};
        std::size_t next = 0;
        for_each_layout(slab_size, slab_alignment, type,
                        [&](const Layout& layout) { result.all[next++] = layout; });
        return result;
    }();
    volatile std::size_t late = slab_size;
    std::size_t next = 0;
    std::size_t equal = 0;
    for_each_layout(late, slab_alignment, type, [&](const Layout& layout) {
        if (same(layout, before.all[next++])) ++equal;
    });
    REQUIRE(equal == Layouts::number);
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("a layout is the same at run time", "[layout]",
                       ((ObjectSizeType kind), kind), ObjectSizeType::Small,
                       ObjectSizeType::Large) {
    require_the_same<0, 0, kind>();
    require_the_same<4096, 0, kind>();
    require_the_same<8192, 0, kind>();
    require_the_same<16384, 4096, kind>();
    require_the_same<32768, 0, kind>();
}

TEST_CASE("an object that is left open is Small or Large as at run time", "[layout]") {
    require_the_same<0, 0, ObjectSizeType::Auto>();
}

TEST_CASE("an object beyond the search has the smallest slab that holds it", "[layout]") {
    volatile std::size_t size = 100'000;
    const Layout layout = slab_allocator::layout_for(size, 8, CacheConfig{});
    REQUIRE(layout.error == slab_allocator::ConfigError::None);
    REQUIRE(layout.slab_size == 128 * 1024);
    REQUIRE(layout.objects_per_slab == 1);
}

TEST_CASE("debug's front zone is as wide as the alignment, and 16 bytes at least", "[layout]") {
    REQUIRE(detail::front_of(Checks::debug, 1) == 16);
    REQUIRE(detail::front_of(Checks::debug, 64) == 64);
    REQUIRE(detail::front_of(Checks::hardened, 64) == 0);
    REQUIRE(detail::behind_of(Checks::debug) == 16 + 2 * sizeof(void*));
    REQUIRE(detail::behind_of(Checks::hardened) == 8);
    REQUIRE(detail::behind_of(Checks::misuse) == 0);
}

TEST_CASE("the row that a configuration needs", "[memory_backend]") {
    const CacheConfig page{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
    CacheConfig unaligned = page;
    unaligned.slab_size = 8192;
    unaligned.slab_alignment = 4096;
    CacheConfig aligned = unaligned;
    aligned.slab_alignment = 8192;
    CacheConfig open = unaligned;
    open.slab_size = 0;
    CacheConfig frames;
    frames.slab_info_lookup = SlabInfoLookup::PageFrames;
    REQUIRE(detail::row_of(page) == Row::SmallByMask);
    REQUIRE(detail::row_of(aligned) == Row::SmallByMask);
    REQUIRE(detail::row_of(unaligned) == Row::SmallByMap);
    REQUIRE(detail::row_of(open) == Row::SmallByMap);
    REQUIRE(detail::row_of(CacheConfig{}) == Row::LargeByMap);
    REQUIRE(detail::row_of(frames) == Row::LargeByPageFrames);
    REQUIRE(detail::needs_map(Row::SmallByMap));
    REQUIRE(detail::needs_map(Row::LargeByMap));
    REQUIRE(!detail::needs_map(Row::SmallByMask));
    REQUIRE(!detail::needs_map(Row::LargeByPageFrames));
}

TEST_CASE("the hand holds what 128 KiB and four slabs hold", "[object_stack]") {
    REQUIRE(slab_allocator::cached_capacity(16, 250) == 128);
    REQUIRE(slab_allocator::cached_capacity(16, 16) == 64);
    REQUIRE(slab_allocator::cached_capacity(4096, 250) == 32);
    REQUIRE(slab_allocator::cached_capacity(1 << 20, 1) == 1);
    REQUIRE(slab_allocator::cached_capacity(1024, 250) == 128);
    REQUIRE(slab_allocator::cached_capacity(1025, 250) == 64);
    REQUIRE(slab_allocator::cached_capacity(16, 32) == 128);
    REQUIRE(slab_allocator::cached_capacity(16, 31) == 64);
    REQUIRE(slab_allocator::cached_capacity(16, 1) == 4);
}

TEST_CASE("as many slots have places of their own as the places reach", "[object_stack]") {
    using Ranks = slab_allocator::MembershipIndex<64, 128, true>;  // 1024 classes of 64 bytes
    REQUIRE(Ranks::can_index(1024));
    REQUIRE(!Ranks::can_index(1025));
}

TEST_CASE("what a slab takes and loses", "[layout]") {
    constexpr CacheConfig config{.slab_size = 16384, .slab_alignment = 4096};
    const Layout layout = slab_allocator::layout_for(64, 8, config);
    constexpr std::size_t records =
        sizeof(slab_allocator::SlabInfo) + 4 * Layout::map_bytes_per_page;
    REQUIRE(layout.row == slab_allocator::Row::LargeByMap);
    REQUIRE(layout.bytes_per_slab() == 16384 + records);
    REQUIRE(layout.bytes_lost_per_slab() == records);
    REQUIRE(!detail::loses_less(layout, layout));
    Layout worse = layout;
    worse.object_size = 63;
    REQUIRE(detail::loses_less(layout, worse));
    REQUIRE(!detail::loses_less(worse, layout));
}

TEMPLATE_TEST_CASE_SIG("a cache says its numbers", "[cache]", ((ObjectSizeType kind), kind),
                       ObjectSizeType::Small, ObjectSizeType::Large) {
    constexpr CacheConfig config{.slab_size = 8192, .object_size_type = kind};
    using Cache = CacheOf<Object<48>, config>;
    REQUIRE(Cache::object_size() == 48);
    REQUIRE(Cache::slab_size() == 8192);
    REQUIRE(Cache::page_size() == 4096);
    REQUIRE(Cache::object_size_type() == kind);
    REQUIRE(Cache::objects_per_slab() == (kind == ObjectSizeType::Large ? 170 : 168));
}
