#include <slab_allocator/core/retention.hpp>

#include <cstddef>
#include <deque>

#include <support/catch.hpp>

using namespace slab_allocator;

namespace {

constexpr std::size_t objects_per_slab = 16;
constexpr std::size_t capacity = 8;

/// Slabs with so many free slots each, on their lists.
struct Slabs {
    void add(std::size_t free_number) {
        SlabInfo& slab_info = infos.emplace_back();
        slab_info.free_number = static_cast<std::uint16_t>(free_number);
        lists.add(slab_info);
    }
    ~Slabs() {
        for (SlabInfo& slab_info : infos)
            lists.remove(slab_info);
    }

    SlabLists<objects_per_slab> lists;
    std::deque<SlabInfo> infos;
};

using Retained = Retention<SlabLists<objects_per_slab>, capacity, 1>;

}  // namespace

TEST_CASE("the last live object finds no place among the cached ones where slabs are to go",
          "[retention]") {
    for (std::size_t taken = 0; taken <= objects_per_slab; ++taken) {
        CAPTURE(taken);
        Slabs slabs;
        Retained retention;
        slabs.add(objects_per_slab - taken);
        REQUIRE(retention.update(slabs.lists, false) == capacity);  // one slab is kept
        slabs.add(objects_per_slab);
        const bool few = taken > 0 && taken <= capacity;
        REQUIRE(retention.update(slabs.lists, false) == (few ? taken - 1 : capacity));
        retention.keep_all(slabs.lists);
        if (taken == 0) REQUIRE(retention.update(slabs.lists, false) == capacity);
        REQUIRE(retention.update(slabs.lists, true) == 0);
    }
}

TEST_CASE("free slabs that are more than are kept are surplus", "[retention]") {
    Slabs slabs;
    Retained retention;
    slabs.add(objects_per_slab);
    slabs.add(objects_per_slab);
    slabs.add(3);
    REQUIRE_FALSE(retention.has_surplus(1));
    REQUIRE(retention.has_surplus(2));
    retention.keep_all(slabs.lists);
    REQUIRE_FALSE(retention.has_surplus(2));
    REQUIRE(retention.has_surplus(3));
    retention.keep_all(slabs.lists);
    REQUIRE_FALSE(retention.has_surplus(2));
    retention.reset();
    REQUIRE(retention.has_surplus(2));
}

TEST_CASE("nearly free slabs drain where four have room, and half free ones where half is free",
          "[retention]") {
    Slabs slabs;
    Retained retention;
    SlabInfo& nearly = (slabs.add(15), slabs.infos[0]);
    SlabInfo& half = (slabs.add(8), slabs.infos[1]);
    const auto drain = [&](const SlabInfo& slab_info) {
        static_cast<void>(retention.update(slabs.lists, false));
        return retention.must_drain(slab_info);
    };
    slabs.add(1);
    REQUIRE_FALSE(drain(nearly));  // three have room
    slabs.add(0);
    REQUIRE_FALSE(drain(nearly));
    slabs.add(1);
    REQUIRE(drain(nearly));
    REQUIRE_FALSE(drain(half));  // 25 of 80 are free
    slabs.add(16);
    REQUIRE_FALSE(drain(half));  // 41 of 96
    slabs.add(16);
    REQUIRE(drain(half));  // 57 of 112
    REQUIRE(drain(nearly));
    static_cast<void>(retention.update(slabs.lists, true));
    REQUIRE_FALSE(retention.must_drain(nearly));
}
