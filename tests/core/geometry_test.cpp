#include <slab_allocator/core/geometry.hpp>

#include <cstddef>

#include <support/catch.hpp>

using namespace slab_allocator;

namespace {

alignas(65536) std::byte memory[2 * 65536];

/// Slots and addresses lead to each other, and nothing between them is a slot.
void agrees_with_division(const auto& geometry) {
    const Layout& layout = geometry.layout;
    CAPTURE(layout.stride, layout.front);
    SlabInfo slab_info;
    slab_info.slab = memory + 65536;
    std::size_t reserved = 0;
    for (std::size_t slot = 0; slot < layout.slots_per_slab; ++slot) {
        std::byte* const object = geometry.object_at(slab_info, slot);
        REQUIRE(object == slab_info.slab + slot * layout.stride + layout.front);
        REQUIRE(geometry.slab_of(slab_info, object) == slab_info.slab);
        REQUIRE(geometry.slot_of(slab_info, object) == slot);
        REQUIRE(geometry.slot_of(slab_info, object + 1) >= layout.slots_per_slab);
        const bool bit = ((geometry.reserved_in(slab_info, slot / 64) >> (slot % 64)) & 1U) != 0;
        REQUIRE(geometry.is_reserved(slab_info, slot) == bit);
        if (bit) REQUIRE(slot - geometry.first_reserved(slab_info) == reserved++);
    }
    REQUIRE(reserved == layout.info_slots);
}

constexpr Layout layout_with(ObjectSizeType type, Checks checks) {
    return layout_for(48, 16, {.slab_size = 16384, .object_size_type = type, .checks = checks});
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("a slot has one address, and an address one slot", "[geometry]",
                       ((Checks checks), checks), Checks::misuse, Checks::hardened, Checks::debug) {
    constexpr Layout small = layout_with(ObjectSizeType::Small, checks);
    constexpr Layout large = layout_with(ObjectSizeType::Large, checks);
    STATIC_REQUIRE(small.error == ConfigError::None);
    STATIC_REQUIRE(large.error == ConfigError::None);
    agrees_with_division(StaticGeometry<small>());
    agrees_with_division(StaticGeometry<large>());
    agrees_with_division(RuntimeGeometry<large>(large));
}
