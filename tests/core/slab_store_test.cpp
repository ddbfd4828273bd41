#include <slab_allocator/core/slab_store.hpp>

#include <cstddef>

#include <support/catch.hpp>
#include <support/defects.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::is_place_for_slab_info;
using slab_allocator::SlabInfo;

namespace {

constexpr std::size_t page_size = 4096;
alignas(page_size) std::byte memory[6 * page_size];
std::byte* const slab = memory + page_size;

}  // namespace

TEST_CASE("a SlabInfo lies before a slab or behind it, and is aligned", "[slab_store]") {
    constexpr std::size_t step = alignof(SlabInfo);
    std::byte* const own = slab + page_size;  // between two others
    const auto defect_at = [&](const std::byte* place) {
        const auto report = report_of(
            [&] { static_cast<void>(is_place_for_slab_info(place, own, page_size, memory)); });
        REQUIRE((report.defect == Defect::None || report.pointer == place));
        return report.defect;
    };
    REQUIRE(defect_at(own - sizeof(SlabInfo)) == Defect::None);
    REQUIRE(defect_at(own - sizeof(SlabInfo) + step) == Defect::MemoryInUse);
    REQUIRE(defect_at(own) == Defect::MemoryInUse);
    REQUIRE(defect_at(own + page_size - step) == Defect::MemoryInUse);
    REQUIRE(defect_at(own + page_size) == Defect::None);
    REQUIRE(defect_at(own + page_size + 1) == Defect::MisalignedSlabInfo);
}
