#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <support/poke.hpp>
#include <support/scenes.hpp>
#include <support/snapshot.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

/// A cache with a full slab, one with room, and a Free one, where the configuration has such.
struct Ward {
    const Configuration& configuration;
    TestMemory& memory;
    AnyCache& cache;
    Model& model;

    [[nodiscard]] SlabInfo& info(std::size_t number) {
        return *cache.slab_info_of(memory.live_slab_starts()[number]);
    }

    /// validate() finds what `damage` does, as `expected` or, where that is None, as anything, and
    /// finds nothing before and after.
    void finds(const char* what, std::byte* at, std::size_t size,
               const std::function<void()>& damage, Defect expected = Defect::CorruptedSlabInfo) {
        CAPTURE(what);
        REQUIRE(cache.validate().defect == Defect::None);
        std::vector<std::byte> before(size);
        copy_raw(before.data(), at, size);
        damage();
        const DefectReport report = cache.validate();
        copy_raw(at, before.data(), size);
        REQUIRE(report.defect != Defect::None);
        if (expected != Defect::None) REQUIRE(report.defect == expected);
        REQUIRE(report.cache == cache.bytes().data());
        REQUIRE(report.pointer != nullptr);
        REQUIRE(cache.validate().defect == Defect::None);
    }

    void finds_in(SlabInfo& slab_info, const char* what, const std::function<void()>& damage,
                  Defect expected = Defect::CorruptedSlabInfo) {
        const std::size_t size =
            slab_allocator::small_slab_info_size(configuration.layout.slots_per_slab);
        finds(what, bytes_of(&slab_info), size, damage, expected);
    }

    [[nodiscard]] static std::byte* bytes_of(void* memory) noexcept {
        return static_cast<std::byte*>(memory);
    }
};

template <typename Promise>
void in_a_ward(Promise&& promise) {
    in_every_configuration(
        [&](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            static_cast<void>(cache.reserve(configuration.slabs(5)));
            grow(cache, model, configuration.slabs(3) + 1);
            Random random;
            model.shuffle(random);
            const std::size_t in_a_slab = configuration.objects_per_slab();
            shrink(cache, model, in_a_slab * 2 + in_a_slab / 2 + 1);
            static_cast<void>(cache.statistics());  // all that was freed is in its slab
            Ward ward{configuration, memory, cache, model};
            promise(ward);
            REQUIRE(model.agrees(cache));
            shrink(cache, model);
        });
}

}  // namespace

TEST_CASE("validate finds nothing in a sound cache and changes nothing", "[cache][validate]") {
    in_a_ward([](Ward& ward) {
        static_cast<void>(ward.cache.alloc());
        const Snapshot before = snapshot({&ward.cache}, {&ward.memory});
        REQUIRE(ward.cache.validate().defect == Defect::None);
        const bool same = snapshot({&ward.cache}, {&ward.memory}) == before;
        REQUIRE(same);
        std::size_t live = 0;
        ward.cache.for_each([&](std::byte* object) {
            bool known = false;
            for (std::size_t rank = 0; rank < ward.model.size(); ++rank) {
                known = known || ward.model.at(rank) == object;
            }
            if (!known) ward.cache.free(object);
            ++live;
        });
        REQUIRE(live == ward.model.size() + 1);
    });
}

TEST_CASE("validate finds every field of a SlabInfo that was overwritten", "[cache][validate]") {
    in_a_ward([](Ward& ward) {
        const std::size_t slabs = ward.memory.live_slabs();
        for (std::size_t number = 0; number < slabs; ++number) {
            SlabInfo& info = ward.info(number);
            SlabInfo& other = ward.info((number + 1) % slabs);
            const Layout& layout = ward.configuration.layout;
            ward.finds_in(info, "no owner", [&] { info.owner = nullptr; });
            ward.finds_in(info, "another owner", [&] { info.owner = &other; });
            ward.finds_in(info, "slab of another", [&] { info.slab = other.slab; }, Defect::None);
            ward.finds_in(info, "slab misaligned", [&] { info.slab += 8; });
            ward.finds_in(info, "one free more", [&] { ++info.free_number; });
            ward.finds_in(info, "one free less", [&] { --info.free_number; });
            ward.finds_in(info, "another list", [&] { info.list ^= 1; });
            ward.finds_in(info, "no list", [&] { info.list = 200; });
            ward.finds_in(info, "another end of the list", [&] { ++info.list_max_free; });
            ward.finds_in(info, "more untouched than slots", [&] {
                info.untouched = static_cast<std::uint16_t>(layout.slots_per_slab + 1);
            });
            if (info.free_number < layout.objects_per_slab) {
                ward.finds_in(info, "an object in untouched slots", [&] { info.untouched = 0; });
            }
            // Each bit of the free map: the summary, and the words.
            auto* const map = Ward::bytes_of(&info.map);
            const std::size_t words = slab_allocator::FreeMap::words_for(layout.slots_per_slab);
            for (std::size_t bit = 0; bit < 64 * (1 + words); bit += words > 2 ? 13 : 1) {
                ward.finds_in(info, "a bit of the map",
                              [&] { map[bit / 8] ^= std::byte{1} << (bit % 8); });
            }
        }
    });
}

TEST_CASE("validate finds every link of a list that was overwritten", "[cache][validate]") {
    in_a_ward([](Ward& ward) {
        const std::size_t slabs = ward.memory.live_slabs();
        for (std::size_t number = 0; number < slabs; ++number) {
            SlabInfo& info = ward.info(number);
            SlabInfo& other = ward.info((number + 1) % slabs);
            std::byte* const links = Ward::bytes_of(&info);  // next, then previous
            for (const std::size_t link : {0U, 8U}) {
                CAPTURE(number, link);
                const auto overwrite = [&](const void* value) {
                    return [=] { copy_raw(links + link, &value, sizeof(value)); };
                };
                const void* value = nullptr;
                copy_raw(&value, links + link, sizeof(value));
                if (value != &info) ward.finds_in(info, "to itself", overwrite(&info));
                if (value != &other) ward.finds_in(info, "to another", overwrite(&other));
                ward.finds_in(info, "to nowhere", overwrite(nullptr));
            }
        }
    });
}

TEST_CASE("validate finds a map that lost a page or leads to another slab", "[cache][validate]") {
    in_a_ward([](Ward& ward) {
        if (!ward.configuration.layout.uses_map()) return;
        for (std::byte* const slab : ward.memory.live_slab_starts()) {
            SlabInfo* const right = ward.cache.slab_info_of(slab);
            SlabInfo* const other = ward.cache.slab_info_of(ward.memory.live_slab_starts().front());
            for (std::size_t page = 0; page < ward.configuration.layout.pages_per_slab(); ++page) {
                const std::uintptr_t address =
                    slab_allocator::address_of(slab) + page * ward.configuration.layout.page_size;
                REQUIRE(ward.memory.exchange_saved(address, nullptr) == right);
                REQUIRE(ward.cache.validate().defect == Defect::BackendLostSlab);
                static_cast<void>(ward.memory.exchange_saved(address, other));
                REQUIRE(ward.cache.validate().defect ==
                        (other == right ? Defect::None : Defect::BackendLostSlab));
                static_cast<void>(ward.memory.exchange_saved(address, right));
                REQUIRE(ward.cache.validate().defect == Defect::None);
            }
        }
    });
}

TEST_CASE("validate finds counters of the cache that were overwritten", "[cache][validate]") {
    in_a_ward([](Ward& ward) {
        const CacheStatistics told = ward.cache.statistics();
        const auto bytes = ward.cache.bytes();
        const auto finds_number = [&](const char* what, std::size_t number) {
            // It is not known where in the cache the counter lies, only what it says.
            std::size_t found = 0;
            for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
                std::size_t value = 0;
                std::memcpy(&value, bytes.data() + at, sizeof(value));
                if (value != number) continue;
                for (const std::size_t wrong : {number + 1, number - 1}) {
                    std::memcpy(bytes.data() + at, &wrong, sizeof(wrong));
                    if (ward.cache.validate().defect == Defect::CorruptedSlabInfo) ++found;
                }
                std::memcpy(bytes.data() + at, &number, sizeof(number));
            }
            CAPTURE(what, number);
            REQUIRE(found >= 2);
            REQUIRE(ward.cache.validate().defect == Defect::None);
        };
        finds_number("slabs",
                     told.free_slabs_number + told.partial_slabs_number + told.full_slabs_number);
        finds_number("free objects", told.free_objects_number);
        finds_number("free slabs", told.free_slabs_number);
        finds_number("full slabs", told.full_slabs_number);
    });
}

TEST_CASE("validate finds recent objects that were overwritten", "[cache][validate]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Model model(configuration, memory);
            grow(cache, model, 2);
            std::byte* const object = cache.alloc();
            std::byte* const other = cache.alloc();
            cache.free(object);
            cache.free(other);
            // In the cache stand the addresses of both, where both are recent.
            const auto bytes = cache.bytes();
            std::vector<std::size_t> places;
            for (std::size_t at = 0; at + sizeof(void*) <= bytes.size(); at += sizeof(void*)) {
                std::byte* value = nullptr;
                std::memcpy(&value, bytes.data() + at, sizeof(value));
                if (value == object) places.push_back(at);
            }
            std::byte* const free_slot_of_none = memory.no_mans_land();
            std::size_t found = 0;
            for (const std::size_t at : places) {
                for (const std::byte* const wrong : {other, free_slot_of_none, object + 1}) {
                    std::memcpy(bytes.data() + at, &wrong, sizeof(wrong));
                    if (cache.validate().defect == Defect::CorruptedSlabInfo) ++found;
                }
                std::memcpy(bytes.data() + at, &object, sizeof(object));
            }
            REQUIRE(cache.validate().defect == Defect::None);
            if (configuration.objects_per_slab() >= 63) REQUIRE(found >= 2);
            shrink(cache, model);
        });
}
