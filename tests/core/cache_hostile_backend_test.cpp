// What a cache makes of a backend that lies. Each fault of a backend has its test; none may be
// undefined behaviour, which the sanitizers say.

#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/configurations.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

/// A cache with three full slabs, whose backend is about to lie.
struct Lied {
    const Configuration& configuration;
    TestMemory& memory;
    AnyCache& cache;
    Model& model;
};

[[nodiscard]] std::byte* page_of(std::byte* memory, const Configuration& configuration) {
    return memory - slab_allocator::address_of(memory) % configuration.layout.page_size;
}

/// `lie` makes the backend lie from now on. The next slab is refused as `defect` (None: refused,
/// but no defect), and when the backend is honest again the cache goes on as if nothing had been.
void refuses_slab(const Configuration& configuration, const std::function<void(Lied&)>& lie,
                  Defect defect) {
    DefectCatcher outer;
    TestMemory memory;
    {
        const auto cache = configuration.make(memory);
        Model model(configuration, memory);
        grow(*cache, model, configuration.slabs(3));
        Lied lied{configuration, memory, *cache, model};
        lie(lied);
        {
            DefectCatcher catcher;
            // What is at hand is given; then a slab is needed.
            std::byte* object = nullptr;
            bool right = true;
            const std::size_t most = configuration.slabs(4) + 1;
            while (right && model.size() < most && (object = cache->alloc()) != nullptr)
                right = model.add(object);
            REQUIRE(right);
            REQUIRE(object == nullptr);
            REQUIRE(slab_allocator::name_of(catcher.only().defect) ==
                    std::string(slab_allocator::name_of(defect)));
            REQUIRE(catcher.number() == (defect == Defect::None ? 0 : 1));
            if (defect != Defect::None) {
                REQUIRE(catcher.only().cache == cache->bytes().data());
                REQUIRE(catcher.only().pointer != nullptr);
            }
            std::vector<std::byte*> objects(configuration.slabs(1));
            REQUIRE(!cache->alloc_bulk(objects));
            REQUIRE(cache->reserve(configuration.slabs(9)) < configuration.slabs(9));
        }
        if (memory.forgets) {
            REQUIRE(memory.complaint() == "delete: not saved");
            memory.forgive();
        }
        memory.be_honest();
        REQUIRE(memory.complaint() == "");
        REQUIRE(model.all_intact());
        REQUIRE(cache->validate().defect == Defect::None);
        REQUIRE(model.agrees(*cache, 2));
        grow(*cache, model, configuration.slabs(6));
        REQUIRE(model.all_intact());
        shrink(*cache, model);
    }
    REQUIRE(outer.number() == 0);
}

template <typename Promise>
void in_rows(std::initializer_list<Row> rows, Promise&& promise) {
    for (const Configuration& configuration : every_checked_configuration()) {
        bool meant = false;
        for (const Row row : rows)
            meant = meant || configuration.layout.row == row;
        if (!meant || configuration.objects_per_slab() >= 512) continue;
        CAPTURE(configuration.name);
        promise(configuration);
    }
}

constexpr auto every_row = {Row::SmallByMask, Row::SmallByMap, Row::LargeByMap,
                            Row::LargeByPageFrames};
constexpr auto map_rows = {Row::SmallByMap, Row::LargeByMap};

}  // namespace

// ---- What is answered when a slab is born -------------------------------------------------------

TEST_CASE("fault 1: no slab", "[cache][hostile]") {
    in_rows(every_row, [](const Configuration& configuration) {
        refuses_slab(
            configuration, [](Lied& lied) { lied.memory.slab_instead = [] { return nullptr; }; },
            Defect::None);
    });
}

TEST_CASE("fault 2: no SlabInfo", "[cache][hostile]") {
    in_rows({Row::LargeByMap}, [](const Configuration& configuration) {
        refuses_slab(
            configuration, [](Lied& lied) { lied.memory.info_instead = [] { return nullptr; }; },
            Defect::None);
    });
    in_rows({Row::LargeByPageFrames}, [](const Configuration& configuration) {
        refuses_slab(
            configuration,
            [](Lied& lied) { lied.memory.page_instead = [](std::uintptr_t) { return nullptr; }; },
            Defect::None);
    });
}

TEST_CASE("fault 3: a slab that is not aligned", "[cache][hostile]") {
    in_rows(every_row, [](const Configuration& configuration) {
        for (const std::size_t wrong :
             {std::size_t{1}, std::size_t{8}, std::size_t{16}, configuration.layout.page_size / 2,
              configuration.layout.slab_alignment / 2}) {
            CAPTURE(wrong);
            TestMemory memory;
            const auto cache = configuration.make(memory);
            memory.misalign = wrong;
            REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) ==
                    Defect::MisalignedSlab);
            REQUIRE(memory.live_slabs() == 0);
        }
    });
}

TEST_CASE("fault 4: a SlabInfo that is not aligned", "[cache][hostile]") {
    in_rows({Row::LargeByMap}, [](const Configuration& configuration) {
        TestMemory memory;
        const auto cache = configuration.make(memory);
        memory.misalign_info = 4;
        REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) ==
                Defect::MisalignedSlabInfo);
        REQUIRE(memory.live_slabs() + memory.live_infos() == 0);
    });
    in_rows({Row::LargeByPageFrames}, [](const Configuration& configuration) {
        refuses_slab(
            configuration,
            [](Lied& lied) {
                lied.memory.page_instead = [](std::uintptr_t page) {
                    return reinterpret_cast<SlabInfo*>(page + 4);
                };
            },
            Defect::MisalignedSlabInfo);
    });
}

TEST_CASE("fault 5: a slab that overlaps another", "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        if (configuration.layout.slab_alignment >= configuration.layout.slab_size) return;
        for (const bool before : {false, true}) {
            refuses_slab(
                configuration,
                [&](Lied& lied) {
                    std::byte* const slab = lied.memory.slab_of(lied.model.at(0));
                    const std::size_t alignment = configuration.layout.slab_alignment;
                    std::byte* const wrong = before ? slab - alignment : slab + alignment;
                    lied.memory.slab_instead = [wrong] { return wrong; };
                },
                Defect::MemoryInUse);
        }
    });
}

TEST_CASE("fault 6: the same slab twice", "[cache][hostile]") {
    in_rows({Row::SmallByMap, Row::LargeByMap, Row::LargeByPageFrames},
            [](const Configuration& configuration) {
                for (const bool newest : {false, true}) {
                    refuses_slab(
                        configuration,
                        [newest](Lied& lied) {
                            std::byte* const slab = lied.memory.slab_of(
                                lied.model.at(newest ? lied.model.size() - 1 : 0));
                            lied.memory.slab_instead = [slab] { return slab; };
                        },
                        Defect::MemoryInUse);
                }
            });
}

TEST_CASE("fault 6: a slab of another cache", "[cache][hostile]") {
    in_rows(
        {Row::SmallByMap, Row::LargeByMap, Row::LargeByPageFrames},
        [](const Configuration& configuration) {
            DefectCatcher catcher;
            TestMemory memory;
            const auto cache = configuration.make(memory);
            const auto other = configuration.make(memory);
            std::byte* const object = other->alloc();
            memory.slab_instead = [&] { return memory.slab_of(object); };
            REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) == Defect::MemoryInUse);
            memory.be_honest();
            REQUIRE(other->validate().defect == Defect::None);
            REQUIRE(other->owns(object));
            cache->free(cache->alloc());
            other->free(object);
            REQUIRE(catcher.number() == 0);
        });
}

TEST_CASE("fault 7: a SlabInfo in the slab itself", "[cache][hostile]") {
    in_rows({Row::LargeByMap}, [](const Configuration& configuration) {
        const std::size_t last = configuration.layout.slab_size - 8;
        for (const std::size_t offset : {std::size_t{0}, std::size_t{64}, last}) {
            TestMemory memory;
            const auto cache = configuration.make(memory);
            memory.record = true;
            memory.info_instead = [&] {
                return reinterpret_cast<SlabInfo*>(memory.events.back().address + offset);
            };
            REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) == Defect::MemoryInUse);
            memory.forgive();  // it gets back what it did not give
            memory.be_honest();
            REQUIRE(memory.live_slabs() == 0);
            cache->free(cache->alloc());
        }
    });
}

TEST_CASE("fault 8: a map that forgets what it is told", "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        refuses_slab(
            configuration, [](Lied& lied) { lied.memory.forgets = true; }, Defect::BackendLostSlab);
    });
}

TEST_CASE("fault 9: a map that answers with another slab's SlabInfo", "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        refuses_slab(
            configuration,
            [](Lied& lied) {
                SlabInfo* const other = lied.cache.slab_info_of(lied.model.at(0));
                // As long as nothing was saved it tells the truth.
                lied.memory.page_instead = [&lied, other](std::uintptr_t page) {
                    auto* const address = reinterpret_cast<std::byte*>(page);
                    SlabInfo* const saved = lied.memory.saved_for(address);
                    return saved == nullptr ? nullptr : other;
                };
            },
            Defect::BackendLostSlab);
    });
}

TEST_CASE("fault 10: a map that answers with garbage", "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        for (const std::uintptr_t garbage :
             {std::uintptr_t{1}, std::uintptr_t{0xdead'beef}, ~std::uintptr_t{7}}) {
            refuses_slab(
                configuration,
                [garbage](Lied& lied) {
                    lied.memory.page_instead = [&lied, garbage](std::uintptr_t page) {
                        auto* const address = reinterpret_cast<std::byte*>(page);
                        return lied.memory.saved_for(address) == nullptr
                                   ? nullptr
                                   : reinterpret_cast<SlabInfo*>(garbage);
                    };
                },
                Defect::BackendLostSlab);
            // Where it does so before anything is saved, the slab seems to be another's: it stays.
            TestMemory memory;
            const auto cache = configuration.make(memory);
            memory.page_instead = [garbage](std::uintptr_t) {
                return reinterpret_cast<SlabInfo*>(garbage);
            };
            REQUIRE(defect_of([&] { REQUIRE(cache->alloc() == nullptr); }) == Defect::MemoryInUse);
            memory.be_honest();
            REQUIRE(memory.live_slabs() == 1);
            memory.free_slab(memory.live_slab_starts().front(), configuration.layout.slab_size,
                             configuration.layout.slab_alignment);
            cache->free(cache->alloc());
        }
    });
}

// ---- What is answered later ---------------------------------------------------------------------

TEST_CASE("fault 8: a map that forgets a slab later", "[cache][hostile]") {
    in_each(every_checked_configuration(), [](const Configuration& configuration,
                                              TestMemory& memory, AnyCache& cache) {
        if (!configuration.layout.uses_map()) return;
        Model model(configuration, memory);
        grow(cache, model, configuration.slabs(2) + 1);
        std::byte* const object = model.at(0);
        const std::uintptr_t page = slab_allocator::address_of(page_of(object, configuration));
        SlabInfo* const right = memory.exchange_saved(page, nullptr);
        REQUIRE(defect_of([&] { cache.free(object); }) == Defect::ForeignPointer);
        REQUIRE(defect_of([&] { cache.destroy(object); }) == Defect::ForeignPointer);
        REQUIRE(!cache.owns(object));
        REQUIRE(cache.validate().defect == Defect::BackendLostSlab);
        static_cast<void>(memory.exchange_saved(page, right));
        REQUIRE(model.all_intact());
        REQUIRE(cache.validate().defect == Defect::None);
        shrink(cache, model);
    });
}

TEST_CASE("fault 9: a map that answers with another slab's SlabInfo later", "[cache][hostile]") {
    in_each(every_checked_configuration(), [](const Configuration& configuration,
                                              TestMemory& memory, AnyCache& cache) {
        if (!configuration.layout.uses_map()) return;
        Model model(configuration, memory);
        grow(cache, model, configuration.slabs(2));
        std::byte* const object = model.at(0);
        std::byte* other = object;
        for (std::byte* const live : model.objects()) {
            if (memory.slab_of(live) != memory.slab_of(object)) other = live;
        }
        const std::uintptr_t page = slab_allocator::address_of(page_of(object, configuration));
        SlabInfo* const right = memory.exchange_saved(page, cache.slab_info_of(other));
        // Where the address says where a slab starts, a slot has the same number in both.
        if (configuration.layout.slab_alignment < configuration.layout.slab_size) {
            REQUIRE(defect_of([&] { cache.free(object); }) == Defect::InteriorPointer);
        }
        REQUIRE(cache.validate().defect == Defect::BackendLostSlab);
        static_cast<void>(memory.exchange_saved(page, right));
        REQUIRE(cache.validate().defect == Defect::None);
        shrink(cache, model);
    });
}

TEST_CASE("fault 11: a map that refuses any one page leaves nothing behind", "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        const std::size_t info = configuration.layout.row == Row::LargeByMap ? 1 : 0;
        for (std::size_t page = 0; page < configuration.layout.pages_per_slab(); ++page) {
            TestMemory memory;
            const auto cache = configuration.make(memory);
            memory.refuse(1 + info + page + 1, false);
            REQUIRE(cache->alloc() == nullptr);
            REQUIRE(memory.live_slabs() + memory.live_infos() + memory.saved_pages() == 0);
            REQUIRE(memory.complaint() == "");
            cache->free(cache->alloc());
        }
    });
}

TEST_CASE("fault 12: a backend that throws ends the program", "[cache][hostile]") {
    in_rows(every_row, [](const Configuration& configuration) {
        if (configuration.objects_per_slab() > 3) return;  // each is a process
        for (const Call thrown : {Call::alloc_slab, Call::alloc_slab_info, Call::save}) {
            const Layout& layout = configuration.layout;
            if (thrown == Call::alloc_slab_info && layout.row != Row::LargeByMap) continue;
            if (thrown == Call::save && !layout.uses_map()) continue;
            CAPTURE(static_cast<int>(thrown));
            REQUIRE(end_of([&] {
                        TestMemory memory;
                        const auto cache = configuration.make(memory);
                        memory.on_call = [thrown](Call call) {
                            if (call == thrown) throw std::runtime_error("no memory");
                        };
                        static_cast<void>(cache->alloc());
                    }) == -SIGABRT);
        }
    });
}

TEST_CASE("fault 13: a map that forgot a slab is told to delete it, and nothing else breaks",
          "[cache][hostile]") {
    in_rows(map_rows, [](const Configuration& configuration) {
        TestMemory memory;
        const auto cache = configuration.make(memory);
        Model model(configuration, memory);
        if (configuration.config.retained_free_slabs == 0) return;
        std::vector<std::byte*> objects(configuration.slabs(1));
        REQUIRE(cache->alloc_bulk(objects));
        std::byte* const slab = memory.slab_of(objects.front());
        cache->free_bulk(objects);
        const std::uintptr_t page = slab_allocator::address_of(slab);
        SlabInfo* const saved = memory.exchange_saved(page, nullptr);
        REQUIRE(saved != nullptr);
        REQUIRE(cache->validate().defect == Defect::BackendLostSlab);
        const bool debug = configuration.config.checks == Checks::debug;  // looks once more
        REQUIRE(defect_of([&] { static_cast<void>(cache->shrink_to_fit()); }) ==
                (debug ? Defect::BackendLostSlab : Defect::None));
        REQUIRE(memory.complaint() != "");
        memory.forgive();
        REQUIRE(memory.live_slabs() == 0);
        grow(*cache, model, configuration.slabs(2));
        REQUIRE(model.all_intact());
        shrink(*cache, model);
        memory.forget_one_saved_page();
    });
}

TEST_CASE("fault 14: each function of the backend, by itself, may call the cache",
          "[cache][hostile]") {
    in_rows(every_row, [](const Configuration& configuration) {
        for (const Call called : {Call::alloc_slab, Call::free_slab, Call::alloc_slab_info,
                                  Call::free_slab_info, Call::save, Call::remove}) {
            CAPTURE(static_cast<int>(called));
            DefectCatcher catcher;
            TestMemory memory;
            const auto cache = configuration.make(memory);
            Model model(configuration, memory);
            bool right = true;
            bool within = false;
            std::size_t calls = 0;
            memory.on_call = [&](Call call) {
                if (call != called || within || calls == 40) return;
                within = true;
                ++calls;
                right = model.add(cache->alloc()) && right;
                std::byte* const object = cache->alloc();
                right = right && object != nullptr && cache->owns(object);
                cache->free(object);
                if (calls % 2 == 0) cache->free(model.remove(model.size() / 2));
                within = false;
            };
            for (std::size_t round = 0; round < 4; ++round) {
                while (right && model.size() < configuration.slabs(4))
                    right = model.add(cache->alloc());
                REQUIRE(right);
                while (model.size() > round)
                    cache->free(model.remove(model.size() - 1));
                static_cast<void>(cache->shrink_to_fit());
                REQUIRE(cache->validate().defect == Defect::None);
                REQUIRE(model.all_intact());
            }
            memory.on_call = nullptr;
            const Layout& layout = configuration.layout;
            const bool has_infos = layout.row == Row::LargeByMap;
            const bool has =
                called == Call::alloc_slab || called == Call::free_slab ||
                (has_infos &&
                 (called == Call::alloc_slab_info || called == Call::free_slab_info)) ||
                (layout.uses_map() && (called == Call::save || called == Call::remove));
            REQUIRE((calls > 0) == has);
            shrink(*cache, model);
            REQUIRE(catcher.number() == 0);
        }
    });
}

namespace {

/// Its constructor throws when the number of constructions comes to a given one.
struct Thrower {
    static inline std::size_t constructions = 0;
    static inline std::size_t thrown = 0;
    static inline std::size_t alive = 0;
    Thrower() {
        if (++constructions == thrown) throw std::runtime_error("no object");
        ++alive;
    }
    Thrower(const Thrower&) = delete;
    Thrower& operator=(const Thrower&) = delete;
    ~Thrower() { --alive; }
    std::byte bytes[1000];
};

template <CacheConfig config>
void survives_throwing_constructors() {
    constexpr std::size_t most = 20;
    for (Thrower::thrown = 1; Thrower::thrown <= most; ++Thrower::thrown) {
        CAPTURE(Thrower::thrown);
        Thrower::constructions = 0;
        TestMemory memory;
        CacheOf<Thrower, config> cache{[&] {
            typename CacheOf<Thrower, config>::backend_type backend;
            backend.memory = &memory;
            return backend;
        }()};
        std::vector<Thrower*> live;
        std::size_t caught = 0;
        while (live.size() < most) {
            try {
                live.push_back(cache.create());
            } catch (const std::runtime_error&) {
                ++caught;
                REQUIRE(cache.validate().defect == Defect::None);
                REQUIRE(cache.statistics().allocated_objects_number == live.size());
            }
        }
        REQUIRE(caught == 1);
        REQUIRE(Thrower::alive == most);
        for (Thrower* const object : live)
            cache.destroy(object);
        REQUIRE(Thrower::alive == 0);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
    }
}

}  // namespace

TEST_CASE("a constructor that throws, whichever it is, loses nothing", "[cache][hostile]") {
    survives_throwing_constructors<small_page<Checks::misuse>>();
    survives_throwing_constructors<small_map<Checks::misuse>>();
    survives_throwing_constructors<large_unaligned<Checks::misuse>>();
    survives_throwing_constructors<large_frames<Checks::misuse>>();
    survives_throwing_constructors<large_page<Checks::none>>();
    survives_throwing_constructors<small_map<Checks::hardened>>();
    survives_throwing_constructors<large_frames<Checks::debug>>();
}

// ---- What nobody can know when it is answered ---------------------------------------------------

TEST_CASE(
    "fault 6: the same slab twice, where no map knows, ends in a trap at the latest when its "
    "list is touched",
    "[cache][hostile]") {
    in_rows({Row::SmallByMask}, [](const Configuration& configuration) {
        if (configuration.objects_per_slab() > 3) return;  // each is a process
        const int end = end_of([&] {
            slab_allocator::set_defect_handler(
                [](const slab_allocator::DefectReport& report) noexcept {
                    if (report.defect == Defect::CorruptedSlabInfo) ::_exit(42);
                });
            TestMemory memory;
            const auto cache = configuration.make(memory);
            std::vector<std::byte*> live;
            for (std::size_t number = configuration.slabs(3); number > 0; --number)
                live.push_back(cache->alloc());
            std::byte* const slab = memory.slab_of(live.front());
            memory.slab_instead = [slab] { return slab; };
            for (std::size_t number = configuration.slabs(3); number > 0; --number)
                live.push_back(cache->alloc());
            for (std::byte* const object : live)
                cache->free(object);
        });
        CHECK(end == 42);
    });
}

namespace {

/// Two SlabInfos, one on each side of the slab, and a way to give one that lies in it.
struct Surrounded {
    alignas(slab_allocator::SlabInfo) std::byte below[sizeof(slab_allocator::SlabInfo)];
    alignas(4096) std::byte slab[4096];
    alignas(slab_allocator::SlabInfo) std::byte above[sizeof(slab_allocator::SlabInfo)];
    std::byte* info = nullptr;
};

struct SurroundedBackend {
    Surrounded* memory;
    void* alloc_slab(std::size_t, std::size_t) const noexcept { return memory->slab; }
    void free_slab(void*, std::size_t, std::size_t) const noexcept {}
    SlabInfo* slab_info_at(std::uintptr_t) const noexcept {
        return static_cast<SlabInfo*>(static_cast<void*>(memory->info));
    }
};

}  // namespace

TEST_CASE("a SlabInfo may lie on either side of its slab, and not in it", "[cache][hostile]") {
    constexpr CacheConfig config{.slab_size = 4096,
                                 .object_size_type = ObjectSizeType::Large,
                                 .slab_info_lookup = SlabInfoLookup::PageFrames};
    static Surrounded memory;
    for (std::byte* const info : {memory.below, memory.above}) {
        memory.info = info;
        slab_allocator::Cache<Object<64>, SurroundedBackend, config> cache{{&memory}};
        Object<64>* const object = cache.alloc();
        REQUIRE(object != nullptr);
        cache.free(object);
    }
    for (const std::size_t offset : {0U, 64U, 4096U - 64U}) {
        memory.info = memory.slab + offset;
        slab_allocator::Cache<Object<64>, SurroundedBackend, config> cache{{&memory}};
        std::fill(std::begin(memory.slab), std::end(memory.slab), std::byte{0});
        REQUIRE(defect_of([&] { REQUIRE(cache.alloc() == nullptr); }) == Defect::MemoryInUse);
    }
}
