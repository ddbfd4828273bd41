#include <slab_allocator/core/slab_locator.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <type_traits>

#include <support/catch.hpp>
#include <support/defects.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::Layout;
using slab_allocator::Row;
using slab_allocator::SlabInfo;
using slab_allocator::SlabLocator;

namespace {

/// Saves whatever comes, or refuses from some number of pages on, or forgets one at once.
template <typename Result>
struct MapBackend {
    Result save_slab_info_ptr(std::uintptr_t page, SlabInfo* slab_info) {
        if (page != forgotten && pages.size() < most) pages[page] = slab_info;
        if constexpr (!std::is_void_v<Result>) return pages.size() < most || pages.contains(page);
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page) {
        const auto found = pages.find(page);
        return found == pages.end() ? nullptr : found->second;
    }
    void delete_slab_info_ptr(std::uintptr_t page) { pages.erase(page); }

    std::map<std::uintptr_t, SlabInfo*> pages;
    std::uintptr_t forgotten = 0;
    std::size_t most = 100;
};

constexpr std::size_t page_size = 4096;
constexpr Layout by_map{.row = Row::LargeByMap, .page_size = page_size};
alignas(page_size) std::byte memory[6 * page_size];
std::byte* const slab = memory + page_size;

}  // namespace

TEMPLATE_TEST_CASE("all pages of a slab lead to its SlabInfo, or none", "[slab_locator]", void,
                   bool) {
    using Map = SlabLocator<by_map, MapBackend<TestType>>;
    MapBackend<TestType> backend;
    SlabInfo info;
    info.slab = slab;
    REQUIRE(!Map::in_use(backend, slab, 4));
    REQUIRE(Map::template save<true>(backend, info, 4, nullptr));
    REQUIRE(backend.pages.size() == 4);
    REQUIRE(Map::find(backend, slab + 4 * page_size - 1) == &info);
    REQUIRE(Map::find(backend, slab - 1) == nullptr);
    REQUIRE(Map::knows(backend, info, 4));
    REQUIRE(!Map::knows(backend, info, 5));
    REQUIRE(Map::in_use(backend, slab + 3 * page_size, 1));
    Map::forget(backend, slab, 4);
    REQUIRE(backend.pages.empty());

    backend.forgotten = slab_allocator::address_of(slab + 2 * page_size);
    const auto lost =
        report_of([&] { REQUIRE(!Map::template save<true>(backend, info, 4, &backend)); });
    REQUIRE(lost.defect == Defect::BackendLostSlab);
    REQUIRE(lost.pointer == slab + 2 * page_size);
    REQUIRE(lost.cache == &backend);
    REQUIRE(lost.slab == slab);
    REQUIRE(backend.pages.empty());
}

TEST_CASE("what a map refuses leaves no page of the slab behind", "[slab_locator]") {
    using Map = SlabLocator<by_map, MapBackend<bool>>;
    MapBackend<bool> backend;
    SlabInfo info;
    info.slab = slab;
    backend.most = 2;
    const DefectCatcher catcher;
    REQUIRE(!Map::template save<true>(backend, info, 4, nullptr));
    REQUIRE(backend.pages.empty());
    REQUIRE(catcher.number() == 0);
}
