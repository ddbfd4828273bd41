#include <slab_allocator/core/guards.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <support/catch.hpp>

using slab_allocator::Checks;
using slab_allocator::DefectReport;
namespace detail = slab_allocator::detail;

namespace {

constexpr std::size_t most = 150;

/// `size` bytes of 7, with `around` on both sides.
struct Bytes {
    Bytes(std::size_t size, int around) {
        std::memset(all, around, sizeof(all));
        std::memset(all + 16, 7, size);
    }
    [[nodiscard]] const std::byte* start() const {
        return static_cast<const std::byte*>(static_cast<const void*>(all + 16));
    }
    unsigned char all[16 + most + 16];
};

using Debug =
    slab_allocator::Guards<slab_allocator::ShapeOfClass<Checks::debug, 16>, Checks::debug>;

}  // namespace

TEST_CASE("whether all bytes have a value, and which is the first that has not", "[guards]") {
    for (std::size_t size = 0; size <= most; ++size) {
        CAPTURE(size);
        for (const int around : {0, 7}) {
            Bytes bytes(size, around);
            REQUIRE(detail::all_bytes_are<7>(bytes.start(), size));
            REQUIRE(detail::first_other_byte(bytes.start(), size, 7) == size);
            for (std::size_t wrong = 0; wrong < size; ++wrong) {
                bytes.all[16 + wrong] = 6;
                REQUIRE(!detail::all_bytes_are<7>(bytes.start(), size));
                REQUIRE(detail::first_other_byte(bytes.start(), size, 7) == wrong);
                bytes.all[16 + wrong] = 7;
            }
        }
    }
}

TEST_CASE("debug: who is nobody's slot, and then whose", "[guards]") {
    constexpr std::size_t size = 40;
    Debug guards{slab_allocator::ShapeOfClass<Checks::debug, 16>(size)};
    alignas(16) std::byte slot[16 + size + 16 + 2 * sizeof(void*)];
    std::memset(slot, 0xee, sizeof(slot));
    std::byte* const object = slot + 16;
    const auto said = [&] {
        DefectReport report;
        guards.add_provenance(report, object);
        return report;
    };
    guards.make_fresh(object);
    REQUIRE(guards.is_free(object));
    REQUIRE(said().allocated_by == nullptr);
    REQUIRE(said().freed_by == nullptr);
    const int one = 0;
    const int other = 0;
    guards.make_live(object, &one);
    REQUIRE(said().allocated_by == &one);
    REQUIRE(detail::all_bytes_are<Debug::fresh>(object, size));
    guards.make_free(object, &other);
    REQUIRE(said().allocated_by == &one);
    REQUIRE(said().freed_by == &other);
    detail::reveal(slot, sizeof(slot));
}
