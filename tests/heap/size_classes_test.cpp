// size_classes_test.cpp -- the promises of size_classes.hpp: every size, every alignment.

#include <bit>
#include <cstddef>
#include <cstdio>

#include <slab_allocator/heap/size_classes.hpp>
#include <support/catch.hpp>

using namespace slab_allocator;
using namespace slab_allocator::size_classes;

namespace {

constexpr std::size_t largest = 32768;
constexpr std::size_t classes_number = class_of(largest) + 1;

/// What the sizes 1 .. `largest` lose, as shares of their blocks.
struct Waste {
    double worst_rounding = 0;  // beyond what an alignment of 16 bytes takes
    double mean_rounding = 0;   // all of it
    double worst_slab = 0;      // what is left over in a slab, and its SlabInfo and map
    double mean_slab = 0;       // over the sizes
};

Waste waste_of(const HeapConfig& config) {
    Waste waste;
    for (std::size_t size = 1; size <= config.largest_object; ++size) {
        const std::size_t number = class_of(size);
        const auto block = static_cast<double>(size_of_class(number));
        const double beyond = (block - static_cast<double>(align_up(size, grain))) / block;
        waste.worst_rounding = beyond > waste.worst_rounding ? beyond : waste.worst_rounding;
        waste.mean_rounding += (block - static_cast<double>(size)) / block;
        const Layout layout = layout_of_class(number, config);
        const double lost = static_cast<double>(layout.bytes_lost_per_slab()) /
                            static_cast<double>(layout.bytes_per_slab());
        waste.worst_slab = lost > waste.worst_slab ? lost : waste.worst_slab;
        waste.mean_slab += lost;
    }
    waste.mean_rounding /= static_cast<double>(config.largest_object);
    waste.mean_slab /= static_cast<double>(config.largest_object);
    return waste;
}

}  // namespace

TEST_CASE("every size has a class, the smallest that it fits into", "[size_classes]") {
    REQUIRE(classes_number == 64);
    REQUIRE(class_of(0) == 0);
    REQUIRE(ClassTable<HeapConfig{}>::class_of(0) == 0);
    std::size_t before = 0;
    for (std::size_t size = 1; size <= largest; ++size) {
        const std::size_t number = class_of(size);
        if (ClassTable<HeapConfig{}>::class_of(size) != number || size_of_class(number) < size ||
            (number > 0 && size_of_class(number - 1) >= size) || number < before ||
            number > before + 1) {
            FAIL("size " << size << ", class " << number);
        }
        before = number;
    }
}

TEST_CASE("rounding up to a class costs at most 12.5 % and on average 6 % of the block",
          "[size_classes]") {
    const Waste waste = waste_of(HeapConfig{.slabs_of_any_pages = GENERATE(false, true)});
    std::printf(
        "1..32768 bytes: rounding at most %.2f %%, on average %.2f %%; slabs at most %.2f %%, "
        "on average %.2f %%\n",
        100 * waste.worst_rounding, 100 * waste.mean_rounding, 100 * waste.worst_slab,
        100 * waste.mean_slab);
    REQUIRE(waste.worst_rounding <= 0.125);
    REQUIRE(waste.mean_rounding <= 0.06);
    REQUIRE(waste.worst_slab <= 0.125);
    REQUIRE(waste.mean_slab <= 0.06);
    // Below 97 bytes, every multiple of 16 is a class: nothing is lost but to the alignment.
    for (std::size_t size = 113; size <= largest; ++size) {
        const std::size_t block = size_of_class(class_of(size));
        if (8 * (block - size) > block) FAIL("size " << size << ", block " << block);
    }
}

TEST_CASE("a class of an aligned size is aligned, and costs as much as the alignment does",
          "[size_classes]") {
    for (std::size_t alignment = 1; alignment <= largest; alignment *= 2) {
        for (std::size_t size = 1; size <= largest; ++size) {
            const std::size_t rounded = aligned_size(size, alignment);
            if (rounded > largest) continue;
            const std::size_t number = class_of(rounded);
            const std::size_t block = size_of_class(number);
            const std::size_t forced = align_up(rounded, grain);
            const bool right =
                block >= size && block % alignment == 0 && 8 * (block - forced) <= block;
            if (!right) FAIL("size " << size << ", alignment " << alignment << ": " << block);
        }
    }
}

TEST_CASE("a small slab loses at most a quarter, and is no larger than the other",
          "[size_classes]") {
    const bool any = GENERATE(false, true);
    std::size_t sum = 0;
    for (std::size_t number = 0; number <= class_of(largest); ++number) {
        CAPTURE(number);
        const HeapConfig config{.slabs_of_any_pages = any};
        const Layout small = layout_of_class(number, config, true);
        REQUIRE(small.slab_size <= layout_of_class(number, config, false).slab_size);
        REQUIRE(4 * small.bytes_lost_per_slab() <= small.bytes_per_slab());
        if (size_of_class(number) <= 512) REQUIRE(small.slab_size == config.page_size);
        sum += small.slab_size;
    }
    if (any) REQUIRE(sum <= std::size_t{160} * 4096);  // one of each
}

TEMPLATE_TEST_CASE_SIG(
    "with guards, a request has its bytes, its alignment, and the smallest class "
    "for both",
    "[size_classes]", ((Checks checks), checks), Checks::none, Checks::misuse, Checks::hardened,
    Checks::debug) {
    constexpr HeapConfig config{.checks = checks};
    constexpr std::size_t guards = guards_size<config>;
    STATIC_REQUIRE(guards == (checks == Checks::debug      ? 32 + 2 * sizeof(void*)
                              : checks == Checks::hardened ? 8
                                                           : 0));
    for (std::size_t alignment = 1; alignment <= largest; alignment *= 2) {
        for (std::size_t size = 0; size <= largest; size = size < 300 ? size + 1 : size * 33 / 32) {
            if (!is_for_class<config>(size, alignment)) {
                if (size + guards <= largest - alignment) FAIL(size << ", " << alignment);
                continue;
            }
            const std::size_t number =
                ClassTable<config>::class_of(aligned_request<config>(size, alignment));
            const Layout layout = layout_of_class(number, config);
            const std::size_t bytes = size == 0 ? 1 : size;
            const bool right = number == class_of(aligned_size(bytes + guards, alignment)) &&
                               layout.object_size >= bytes && layout.stride % alignment == 0 &&
                               layout.front % alignment == 0 &&
                               layout.slab_alignment % alignment == 0;
            if (!right) FAIL("size " << size << ", alignment " << alignment);
        }
    }
}

TEMPLATE_TEST_CASE_SIG(
    "every class has a layout in which all of its alignments hold", "[size_classes]",
    ((std::size_t object, std::size_t slab, bool any, bool small, Checks checks), object, slab, any,
     small, checks),
    (32768, 262144, false, false, Checks::misuse), (32768, 262144, true, false, Checks::none),
    (32768, 262144, true, true, Checks::misuse), (4096, 32768, false, false, Checks::hardened),
    (4096, 32768, false, true, Checks::hardened), (4096, 16384, true, false, Checks::misuse),
    (2048, 4096, false, false, Checks::misuse), (128, 4096, false, false, Checks::hardened),
    (32768, 262144, false, false, Checks::debug), (32768, 65536, true, true, Checks::debug),
    (2048, 4096, false, false, Checks::debug)) {
    constexpr HeapConfig config{.largest_object = object,
                                .largest_slab = slab,
                                .slabs_of_any_pages = any,
                                .small_slabs = small,
                                .checks = checks};
    STATIC_REQUIRE(check<config>());
    for (std::size_t number = 0; number <= class_of(object); ++number) {
        CAPTURE(number);
        const Layout layout = layout_of_class(number, config);
        REQUIRE(layout.error == ConfigError::None);
        REQUIRE(layout.row == Row::LargeByMap);
        REQUIRE(layout.stride == size_of_class(number));
        REQUIRE(layout.slab_alignment >= config.page_size);
        REQUIRE(layout.slab_alignment % (layout.stride & (~layout.stride + 1)) == 0);
        REQUIRE(layout.slab_size % config.page_size == 0);
        REQUIRE(layout.slab_size <= slab);
        REQUIRE((any || is_power_of_two(layout.slab_size)));
        REQUIRE(layout.objects_per_slab == layout.slots_per_slab);
        REQUIRE(layout.objects_per_slab >= 1);
        REQUIRE(layout.objects_per_slab <= SlabInfo::max_slots);
        if (size_of_class(number) <= guards_size<config>) continue;  // serves nobody
        REQUIRE(layout.object_size == size_of_class(number) - guards_size<config>);
        REQUIRE(layout.front % (layout.stride & (~layout.stride + 1)) == 0);
        const std::size_t last = layout.front + layout.offset_of(layout.objects_per_slab - 1);
        REQUIRE(last + layout.object_size + layout.behind <= layout.slab_size);
    }
}

TEST_CASE("a slab has as many blocks as a SlabInfo can manage, however large a page is",
          "[size_classes]") {
    std::size_t full = 0;
    for (std::size_t page = 4096; page <= std::size_t{64} * 1024; page *= 2) {
        for (std::size_t number = 0; number < classes_number; ++number) {
            CAPTURE(page, number);
            const Layout layout = layout_of_class(number, {.page_size = page});
            REQUIRE(layout.error == ConfigError::None);
            REQUIRE(layout.slots_per_slab <= SlabInfo::max_slots);
            REQUIRE(layout.slots_per_slab > 0);
            REQUIRE(layout.slots_per_slab * layout.stride <= layout.slab_size);
            full += layout.slots_per_slab == SlabInfo::max_slots ? 1 : 0;
        }
    }
    REQUIRE(full > 0);
}

TEST_CASE("no class has a layout where the pages are none", "[size_classes]") {
    REQUIRE(layout_of_class(0, {.page_size = 3000}).error != ConfigError::None);
}

TEST_CASE("what is for a class is no larger than the largest block when it is aligned",
          "[size_classes]") {
    constexpr HeapConfig config{};
    for (std::size_t alignment = 1; alignment <= 2 * largest; alignment *= 2) {
        for (std::size_t size = 0; size <= largest + 100; size += 1 + size / 64) {
            const bool for_class = is_for_class<config>(size, alignment);
            REQUIRE(for_class == (size <= largest && alignment <= largest));
            if (for_class) REQUIRE(aligned_size(size, alignment) <= largest);
        }
    }
}
