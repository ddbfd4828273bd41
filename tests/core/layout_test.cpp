#include <slab_allocator/core/layout.hpp>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

/// The first invariant that does not hold; nullptr: all do.
[[nodiscard]] const char* wrong_with(const Layout& layout, std::size_t size,
                                     std::size_t alignment) {
    if (layout.error != ConfigError::None) return "it cannot work";
    if (layout.object_size != size) return "object_size";
    if (layout.stride < size || layout.stride - size >= alignment ||
        layout.stride % alignment != 0) {
        return "stride";
    }
    if (!is_power_of_two(layout.slab_size) || layout.slab_size % layout.page_size != 0) {
        return "slab_size";
    }
    if (layout.slab_alignment % alignment != 0) return "[Y2] slots are not aligned";
    const std::size_t end_of_slots = layout.slots_per_slab * layout.stride;
    if (layout.objects_per_slab == 0) return "no object";
    if (layout.objects_per_slab + layout.info_slots != layout.slots_per_slab) return "slots";
    if (end_of_slots > layout.slab_size) return "[Y1] slots end outside of the slab";
    if (!layout.small()) {
        if (layout.info_slots != 0) return "Large: covered slots";
        if (layout.slots_per_slab > SlabInfo::max_slots) return "Large: too many slots";
        if (end_of_slots + layout.stride <= layout.slab_size) return "room for one more";
        return nullptr;
    }
    if (layout.slots_per_slab > FreeMap::max_slots) return "Small: too many slots";
    if (!is_power_of_two(layout.colours)) return "colours";
    const std::size_t info = small_slab_info_size(layout.slots_per_slab);
    const std::size_t grain = std::min(layout.slab_alignment, layout.slab_size);
    std::size_t seen = ~std::size_t{0};
    for (std::size_t colour = 0; colour < layout.colours; ++colour) {
        const std::size_t offset = layout.info_offset_of(colour * grain);
        if (offset % alignof(SlabInfo) != 0) return "[Y2] the SlabInfo is not aligned";
        if (offset + info > layout.slab_size) return "[Y1] the SlabInfo ends outside of the slab";
        if (offset == seen) return "two colours are the same";
        seen = offset;
        if (layout.info_slots == 0) {
            if (offset < end_of_slots) return "[Y1] the SlabInfo lies in a slot";
        } else {
            const std::size_t slot = layout.info_slot_of(colour * grain);
            if (slot + layout.info_slots > layout.slots_per_slab) return "[Y1] covered slots";
            if (slot * layout.stride > offset) return "[Y1] starts before its slots";
            if (offset + info > (slot + layout.info_slots) * layout.stride) {
                return "[Y1] ends after its slots";
            }
        }
    }
    if (layout.info_offset_of(layout.colours * grain) != layout.info_offset_of(0)) {
        return "colours do not come round";
    }
    return nullptr;
}

struct Failure {
    std::size_t size = 0;
    std::size_t alignment = 0;
    const char* what = nullptr;
};

/// Every size and alignment under one configuration.
template <typename Accepts>
[[nodiscard]] Failure first_failure(const CacheConfig& config, std::size_t most,
                                    std::size_t most_alignment, Accepts&& accepts) {
    for (std::size_t alignment = 1; alignment <= most_alignment; alignment *= 2) {
        for (std::size_t size = 1; size <= most; ++size) {
            const Layout layout = layout_for(size, alignment, config);
            if (layout.error != ConfigError::None && accepts(layout)) continue;
            const char* const what = wrong_with(layout, size, alignment);
            if (what != nullptr) return {size, alignment, what};
        }
    }
    return {};
}

/// A layout that found no room must be right in that: not even one object and a SlabInfo fit.
[[nodiscard]] bool really_no_room(const Layout& layout) {
    const std::size_t info = layout.small() ? small_slab_info_size(1) : 0;
    return layout.error == ConfigError::NoRoomForAnObject &&
           align_up(layout.stride, alignof(SlabInfo)) + info > layout.slab_size;
}

/// Nor may a Large slab be refused that a SlabInfo could manage.
[[nodiscard]] bool too_many_slots(const Layout& layout) {
    return layout.error == ConfigError::TooManySlotsForLarge &&
           layout.slab_size / layout.stride > SlabInfo::max_slots;
}

[[nodiscard]] double loss(const Layout& layout) {
    return static_cast<double>(layout.bytes_lost_per_slab()) /
           static_cast<double>(layout.bytes_per_slab());
}

constexpr CacheConfig small_4k{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig large_4k{.slab_size = 4096, .object_size_type = ObjectSizeType::Large};
constexpr CacheConfig small_64k{.slab_size = 65536, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig unaligned_16k{
    .slab_size = 16384, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};

}  // namespace

TEST_CASE("the layout holds for every size and alignment where all is left open", "[layout]") {
    for (const ObjectSizeType type :
         {ObjectSizeType::Auto, ObjectSizeType::Small, ObjectSizeType::Large}) {
        const auto rightly_refused = [type](const Layout& layout) {
            return type == ObjectSizeType::Large && too_many_slots(layout);
        };
        const Failure failure =
            first_failure(CacheConfig{.object_size_type = type}, 8192, 4096, rightly_refused);
        CAPTURE(static_cast<int>(type), failure.size, failure.alignment);
        REQUIRE(std::string(failure.what == nullptr ? "" : failure.what) == "");
    }
}

TEST_CASE("the layout holds for every size in slabs of a given size, or rightly has no room",
          "[layout]") {
    for (const CacheConfig& config : {small_4k, small_64k, unaligned_16k}) {
        const Failure failure = first_failure(config, 8192, 4096, really_no_room);
        CAPTURE(config.slab_size, failure.size, failure.alignment);
        REQUIRE(std::string(failure.what == nullptr ? "" : failure.what) == "");
    }
    const Failure failure = first_failure(large_4k, 8192, 4096, [](const Layout& layout) {
        return really_no_room(layout) || too_many_slots(layout);
    });
    CAPTURE(failure.size, failure.alignment);
    REQUIRE(std::string(failure.what == nullptr ? "" : failure.what) == "");
}

TEST_CASE("the search loses at most 4 % on average and 11 % at worst, over sizes 16 to 4096",
          "[layout]") {
    double sum = 0;
    double worst = 0;
    std::size_t worst_size = 0;
    for (std::size_t size = 16; size <= 4096; ++size) {
        const double lost = loss(layout_for(size, 1, CacheConfig{}));
        sum += lost;
        if (lost > worst) {
            worst = lost;
            worst_size = size;
        }
    }
    const double mean = sum / (4096 - 16 + 1);
    CAPTURE(mean, worst, worst_size);
    REQUIRE(mean <= 0.04);
    REQUIRE(worst <= 0.11);
}

TEST_CASE("the search loses at most a sixteenth, where any slab size reaches that", "[layout]") {
    for (std::size_t size = 1; size <= 4096; ++size) {
        const Layout chosen = layout_for(size, 1, CacheConfig{});
        double best = 1;
        for (std::size_t slab_size = 4096; slab_size <= 65536; slab_size *= 2) {
            for (const ObjectSizeType type : {ObjectSizeType::Small, ObjectSizeType::Large}) {
                const Layout other = layout_for(
                    size, 1, CacheConfig{.slab_size = slab_size, .object_size_type = type});
                if (other.error == ConfigError::None) best = std::min(best, loss(other));
            }
        }
        CAPTURE(size);
        if (best <= 1.0 / 16) REQUIRE(loss(chosen) <= 1.0 / 16);
    }
}

TEST_CASE("the layout never loses more than the original's Small slab of one page", "[layout]") {
    for (std::size_t size = 16; size <= 4040; ++size) {
        const double original_loss = 1 - static_cast<double>((4096 - 56) / size * size) / 4096.0;
        const Layout layout = layout_for(size, 1, CacheConfig{});
        CAPTURE(size, layout.slab_size, layout.objects_per_slab, loss(layout), original_loss);
        if (loss(layout) > original_loss) FAIL("it loses more");
    }
}

TEST_CASE("slots are found without dividing, for every stride and offset", "[layout]") {
    Layout layout;
    bool right = true;
    std::size_t wrong_stride = 0;
    for (std::size_t stride = 1; stride <= 4096; ++stride) {
        slab_allocator::detail::set_stride(layout, stride);
        const std::size_t slots = 65536 / stride;
        std::size_t slot = 0;
        std::size_t rest = 0;
        for (std::size_t offset = 0; offset < 65536 + 4096; ++offset) {
            const std::size_t answer = layout.slot_at(offset);
            const bool same = rest == 0 && slot < slots ? answer == slot : answer >= slots;
            if (!same) wrong_stride = stride;
            right = right && same;
            if (++rest == stride) {
                rest = 0;
                ++slot;
            }
        }
    }
    CAPTURE(wrong_stride);
    REQUIRE(right);
}

TEST_CASE("no address outside of a slab is one of its slots", "[layout]") {
    support::Random random;
    Layout layout;
    bool right = true;
    for (std::size_t stride = 1; stride <= 4096; ++stride) {
        slab_allocator::detail::set_stride(layout, stride);
        const std::size_t slots = 65536 / stride;
        for (std::size_t offset = 1; offset <= 256; ++offset) {
            right = right && layout.slot_at(0 - offset) >= slots;  // before the slab
            right = right && (layout.slot_at(random.next() | 0x1'0000'0000) >= slots);
        }
        right = right && layout.slot_at(0 - stride) >= slots;
    }
    REQUIRE(right);
}

TEST_CASE("layouts are there at compile time", "[layout]") {
    STATIC_REQUIRE(layout_for(64, 8, CacheConfig{}).error == ConfigError::None);
    STATIC_REQUIRE(layout_for(1024, 8, small_4k).objects_per_slab == 3);
    STATIC_REQUIRE(layout_for(1024, 8, large_4k).objects_per_slab == 4);
    STATIC_REQUIRE(layout_for(1024, 8, large_4k).row == Row::LargeByMap);
    STATIC_REQUIRE(layout_for(1024, 8, small_4k).row == Row::SmallByMask);
    STATIC_REQUIRE(layout_for(1024, 8, unaligned_16k).row == Row::SmallByMap);
    STATIC_REQUIRE(layout_for(2048, 2048, small_4k).objects_per_slab == 1);
    STATIC_REQUIRE(layout_for(4096, 1, large_4k).objects_per_slab == 1);
    STATIC_REQUIRE(layout_for(3, 2, small_4k).stride == 4);
    STATIC_REQUIRE(layout_for(100'000, 1, CacheConfig{}).slab_size == 131072);
}

TEST_CASE("what cannot work is an error that says what", "[layout]") {
    struct Case {
        std::size_t size;
        std::size_t alignment;
        CacheConfig config;
        ConfigError error;
    };
    constexpr auto frames = SlabInfoLookup::PageFrames;
    const Case cases[] = {
        {8, 8, {.page_size = 1000}, ConfigError::PageSizeIsNoPowerOfTwo},
        {8, 8, {.slab_size = 5000}, ConfigError::SlabSizeIsNoPowerOfTwo},
        {8, 8, {.slab_size = 2048}, ConfigError::SlabSizeIsLessThanAPage},
        {8, 8, {.slab_alignment = 5000}, ConfigError::SlabAlignmentIsNoPowerOfTwo},
        {8, 8, {.slab_alignment = 2048}, ConfigError::SlabAlignmentIsLessThanAPage},
        {8, 8192, {.slab_size = 4096}, ConfigError::ObjectAlignmentIsTooLarge},
        {8,
         8,
         {.object_size_type = ObjectSizeType::Small, .slab_info_lookup = frames},
         ConfigError::PageFramesAreForLarge},
        {64,
         8,
         {.slab_size = 8192, .slab_alignment = 4096, .slab_info_lookup = frames},
         ConfigError::PageFramesNeedNaturalAlignment},
        {4041, 1, small_4k, ConfigError::NoRoomForAnObject},
        {4097, 1, large_4k, ConfigError::NoRoomForAnObject},
        {4, 4, large_4k, ConfigError::TooManySlotsForLarge},
        {4040, 1, small_4k, ConfigError::None},
        {4096, 1, large_4k, ConfigError::None},
        {64, 8, {.slab_info_lookup = frames}, ConfigError::None},
        {64, 8, {.page_size = 1 << 20}, ConfigError::None},
    };
    for (const Case& each : cases) {
        CAPTURE(each.size, each.alignment, each.config.slab_size, each.config.page_size);
        REQUIRE(layout_for(each.size, each.alignment, each.config).error == each.error);
    }
    STATIC_REQUIRE(layout_for(4041, 1, small_4k).error == ConfigError::NoRoomForAnObject);
}

TEST_CASE("SlabInfos of neighbouring slabs fall into different cache sets", "[layout]") {
    for (const std::size_t size : {16U, 64U, 100U, 256U}) {
        const Layout layout = layout_for(size, 8, small_4k);
        CAPTURE(size, layout.colours, layout.colour_step);
        REQUIRE(layout.colours >= 2);
    }
    // Sizes that leave no room beside the SlabInfo but for it alone have one colour.
    REQUIRE(layout_for(4040, 1, small_4k).colours == 1);
}

TEST_CASE("a table of what layouts lose", "[.table]") {
    std::printf("%6s %10s %6s %8s %8s\n", "size", "slab_size", "type", "objects", "loss %");
    for (const std::size_t size :
         {1U,   8U,   16U,  24U,   32U,   48U,   64U,   96U,   100U,  128U,  192U,
          256U, 512U, 700U, 1000U, 1024U, 1536U, 2048U, 3072U, 3648U, 4096U, 8192U}) {
        const Layout layout = layout_for(size, 1, CacheConfig{});
        std::printf("%6zu %10zu %6s %8zu %8.2f\n", size, layout.slab_size,
                    layout.small() ? "Small" : "Large", layout.objects_per_slab,
                    100 * loss(layout));
    }
    double sum = 0;
    double worst = 0;
    for (std::size_t size = 16; size <= 4096; ++size) {
        const double lost = loss(layout_for(size, 1, CacheConfig{}));
        sum += lost;
        worst = std::max(worst, lost);
    }
    std::printf("sizes 16 to 4096: mean %.2f %%, worst %.2f %%\n", 100 * sum / (4096 - 16 + 1),
                100 * worst);
}
