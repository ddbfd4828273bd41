// Levels hardened and debug: what stands around objects and in free ones, and when it is looked at.

#include <slab_allocator/core/guards.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <type_traits>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/poke.hpp>
#include <support/scenes.hpp>
#include <support/snapshot.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::Guards;

namespace {

template <typename Promise>
void in_every_guarded_configuration(Promise&& promise) {
    for (const Configuration& configuration : every_configuration()) {
        if (!configuration.guarded()) continue;
        DYNAMIC_SECTION(configuration.name) {
            TestMemory memory;
            const auto cache = configuration.make(memory);
            promise(configuration, memory, *cache);
        }
    }
}

[[nodiscard]] std::vector<std::byte*> allocated(AnyCache& cache, std::size_t number) {
    std::vector<std::byte*> objects(number);
    for (std::byte*& object : objects)
        object = cache.alloc();
    return objects;
}

void free_all(AnyCache& cache, const std::vector<std::byte*>& objects) {
    for (std::byte* const object : objects)
        cache.free(object);
}

void flip(std::byte* byte) {
    poke(byte, static_cast<std::byte>(~std::to_integer<unsigned>(peek(byte)) & 0xffU));
}

}  // namespace

TEST_CASE("every byte that is written after free is found before the object is anybody's again",
          "[cache][guards]") {
    in_every_guarded_configuration(
        [](const Configuration& configuration, TestMemory&, AnyCache& cache) {
            std::vector<std::byte*> live = allocated(cache, configuration.slabs(1) + 1);
            const std::size_t size = configuration.layout.object_size;
            for (std::size_t offset = 0; offset < size; offset += 1 + size / 23) {
                CAPTURE(offset);
                std::byte* const object = live.back();
                cache.free(object);
                flip(object + offset);
                const DefectReport report = cache.validate();
                REQUIRE(report.defect == Defect::WriteAfterFree);
                REQUIRE(report.pointer == object);
                REQUIRE(report.offset == static_cast<std::ptrdiff_t>(offset));
                // It would be handed out sometime: then it is found, and is none of those.
                DefectCatcher catcher;
                live.pop_back();
                for (std::size_t count = configuration.slabs(2); count > 0 && catcher.number() == 0;
                     --count) {
                    live.push_back(cache.alloc());
                }
                REQUIRE(catcher.only().defect == Defect::WriteAfterFree);
                REQUIRE(catcher.only().pointer == object);
                REQUIRE(catcher.only().offset == static_cast<std::ptrdiff_t>(offset));
                REQUIRE(cache.validate().defect == Defect::None);
                live.push_back(cache.alloc());
            }
            free_all(cache, live);
            REQUIRE(cache.statistics().allocated_objects_number == 0);
        });
}

TEST_CASE("an overflow is found by the free of its object, which changes nothing",
          "[cache][guards]") {
    in_every_guarded_configuration([](const Configuration& configuration, TestMemory& memory,
                                      AnyCache& cache) {
        const std::vector<std::byte*> live = allocated(cache, configuration.slabs(1) + 1);
        const auto size = static_cast<std::ptrdiff_t>(configuration.layout.object_size);
        const bool debug = configuration.config.checks == Checks::debug;
        const auto front = static_cast<std::ptrdiff_t>(configuration.layout.front);
        for (std::byte* const object : {live.front(), live[live.size() / 2], live.back()}) {
            for (std::ptrdiff_t offset = debug ? -front : size; offset < size + 8;
                 offset = offset == -1 ? size : offset + 1) {
                CAPTURE(offset);
                flip(object + offset);
                if (offset > size) flip(object + offset - 1);  // the first wrong one is told
                std::byte* const bulk[] = {live[1], object};
                for (const bool in_bulk : {false, true}) {
                    if (in_bulk && object == live[1]) continue;
                    const auto before = snapshot({&cache}, {&memory});
                    const DefectReport report =
                        report_of([&] { in_bulk ? cache.free_bulk(bulk) : cache.free(object); });
                    const bool unchanged = snapshot({&cache}, {&memory}) == before;
                    REQUIRE(unchanged);
                    REQUIRE(report.defect == Defect::Overflow);
                    REQUIRE(report.pointer == object);
                    REQUIRE(report.offset == (offset > size ? offset - 1 : offset));
                }
                REQUIRE(cache.validate().defect == Defect::Overflow);
                flip(object + offset);
                if (offset > size) flip(object + offset - 1);
                REQUIRE(cache.validate().defect == Defect::None);
            }
        }
        free_all(cache, live);
    });
}

TEST_CASE("a freed object comes back late, and nobody knows when", "[cache][guards]") {
    in_every_guarded_configuration(
        [](const Configuration& configuration, TestMemory&, AnyCache& cache) {
            if (configuration.objects_per_slab() < 64) return;
            std::vector<std::byte*> live = allocated(cache, 40);
            std::set<std::size_t> delays;
            std::size_t sum = 0;
            for (std::size_t round = 0; round < 200; ++round) {
                std::byte* const object = live[round % live.size()];
                cache.free(object);
                std::size_t delay = 0;
                std::vector<std::byte*> others;
                for (; others.empty() || others.back() != object; ++delay) {
                    REQUIRE(delay < 1000);
                    others.push_back(cache.alloc());
                }
                others.pop_back();
                free_all(cache, others);
                delays.insert(delay);
                sum += delay;
            }
            REQUIRE(sum / 200 >= 8);
            REQUIRE(delays.size() >= 10);
            free_all(cache, live);
        });
}

TEST_CASE("objects of a new slab come in an order that differs from cache to cache",
          "[cache][guards]") {
    // All at once: what they know of chance are addresses.
    struct Scene {
        TestMemory memory;
        std::unique_ptr<AnyCache> cache;
        std::vector<std::byte*> objects;
    };
    std::vector<std::unique_ptr<Scene>> scenes;
    std::set<std::vector<std::ptrdiff_t>> orders;
    for (const Configuration& configuration : every_configuration()) {
        if (!configuration.guarded() || configuration.objects_per_slab() < 64) continue;
        Scene& scene = *scenes.emplace_back(std::make_unique<Scene>());
        scene.cache = configuration.make(scene.memory);
        scene.objects = allocated(*scene.cache, 32);
        REQUIRE(!std::is_sorted(scene.objects.begin(), scene.objects.end()));
        std::vector<std::ptrdiff_t> order;
        for (std::byte* const object : scene.objects) {
            order.push_back((object - scene.memory.slab_of(object)) /
                            static_cast<std::ptrdiff_t>(configuration.layout.stride));
        }
        orders.insert(order);
    }
    REQUIRE(orders.size() == scenes.size());
    for (const auto& scene : scenes)
        free_all(*scene->cache, scene->objects);
}

TEST_CASE("hardened costs an object 8 bytes, and the levels below nothing", "[cache][guards]") {
    for (std::size_t size = 1; size <= 4096; ++size) {
        for (const std::size_t alignment : {1U, 8U, 64U}) {
            const auto stride = [&](Checks checks) {
                return slab_allocator::layout_for(size, alignment, {.checks = checks}).stride;
            };
            REQUIRE(stride(Checks::hardened) == slab_allocator::align_up(size + 8, alignment));
            REQUIRE(stride(Checks::misuse) == slab_allocator::align_up(size, alignment));
            REQUIRE(stride(Checks::none) == slab_allocator::align_up(size, alignment));
        }
    }
    constexpr slab_allocator::Layout layout = slab_allocator::layout_for(64, 8, {});
    STATIC_REQUIRE(std::is_empty_v<Guards<slab_allocator::KnownShape<layout>, Checks::none>>);
    STATIC_REQUIRE(std::is_empty_v<Guards<slab_allocator::KnownShape<layout>, Checks::misuse>>);
}

namespace {

template <Checks checks>
constexpr slab_allocator::Layout layout_of_forty =
    slab_allocator::layout_for(40, 8, {.checks = checks});

struct KnownSecret : SlabsBackend {
    std::uint64_t value = 1;
    [[nodiscard]] std::uint64_t secret() const noexcept { return value; }
};

/// Of a cache, and of a heap's size class.
template <Checks level>
struct OfCache : Guards<slab_allocator::KnownShape<layout_of_forty<level>>, level> {
    static constexpr Checks checks = level;
};
template <Checks level>
struct OfClass : Guards<slab_allocator::ShapeOfClass<level, 8>, level> {
    static constexpr Checks checks = level;
    OfClass() : OfClass::Guards(slab_allocator::ShapeOfClass<level, 8>(40)) {}
};

}  // namespace

TEMPLATE_TEST_CASE("guards know what is wrong with an object, and with a sound one nothing",
                   "[guards]", OfCache<Checks::hardened>, OfCache<Checks::debug>,
                   OfClass<Checks::hardened>, OfClass<Checks::debug>) {
    constexpr slab_allocator::Layout layout = layout_of_forty<TestType::checks>;
    alignas(64) std::byte slot[2 * layout.stride] = {};
    std::byte* const object = slot + layout.front;
    TestType guards;
    KnownSecret backend;
    guards.secret().seed(backend, nullptr, &guards);
    guards.make_free(object, nullptr);
    REQUIRE(guards.is_free(object));
    REQUIRE_FALSE(guards.is_live(object));
    REQUIRE(guards.looks_free(object));
    REQUIRE(guards.violation_of_free(object).defect == Defect::None);
    guards.make_live(object, nullptr);
    REQUIRE(guards.is_live(object));
    REQUIRE_FALSE(guards.is_free(object));
    REQUIRE_FALSE(guards.looks_free(object));
    REQUIRE(guards.violation_of_live(object).defect == Defect::None);
    // One byte behind: the contents are those of a free object, its guards are not.
    for (const bool live : {false, true}) {
        live ? guards.make_live(object, nullptr) : guards.make_free(object, nullptr);
        for (std::size_t offset = 40; offset < 48; ++offset) {
            poke(object + offset, peek(object + offset) ^ std::byte{1});
            REQUIRE_FALSE((live ? guards.is_live(object) : guards.is_free(object)));
            const slab_allocator::Violation wrong =
                live ? guards.violation_of_live(object) : guards.violation_of_free(object);
            poke(object + offset, peek(object + offset) ^ std::byte{1});
            REQUIRE(wrong.defect == Defect::Overflow);
            REQUIRE(wrong.offset == static_cast<std::ptrdiff_t>(offset));
        }
    }
    slab_allocator::detail::reveal(slot, sizeof(slot));
    volatile std::uint8_t late = 0x5a;
    REQUIRE(slab_allocator::detail::eight_of(late) == 0x5a5a'5a5a'5a5a'5a5aU);
}

namespace {

using Plain = Object<100, 8>;
constexpr CacheConfig hardened{.slab_size = 4096, .checks = Checks::hardened};
constexpr CacheConfig debug{.slab_size = 4096, .checks = Checks::debug};

/// Has an object the canary of `guess`, where the backend's secret is `secret`?
[[nodiscard]] bool canary_is_of(std::uint64_t guess, std::uint64_t secret) {
    TestMemory memory;
    KnownSecret backend;
    backend.memory = &memory;
    backend.value = secret;
    slab_allocator::Cache<Plain, KnownSecret, hardened> cache{backend};
    Plain* const object = cache.alloc();
    std::uint64_t canary = 0;
    copy_raw(&canary, object->bytes + sizeof(Plain), sizeof canary);
    slab_allocator::Secret guessed;
    backend.value = guess;
    guessed.seed(backend, nullptr, &cache);
    const bool same = canary == guessed.of_live(slab_allocator::address_of(object));
    cache.free(object);
    return same;
}

}  // namespace

TEST_CASE("the canary follows from the backend's secret and the object's address",
          "[cache][guards]") {
    REQUIRE(canary_is_of(1, 1));
    REQUIRE(canary_is_of(2, 2));
    REQUIRE(!canary_is_of(1, 2));
}

TEST_CASE("hardened: a copy of a SlabInfo makes no slab", "[cache][guards]") {
    constexpr CacheConfig config{
        .slab_size = 4096, .object_size_type = ObjectSizeType::Small, .checks = Checks::hardened};
    TestMemory memory;
    SlabsBackend backend;
    backend.memory = &memory;
    slab_allocator::Cache<Plain, SlabsBackend, config> cache{backend};
    Plain* const object = cache.alloc();
    std::byte* const slab = memory.slab_of(object->bytes);
    alignas(4096) static std::byte forged[16][4096];
    for (auto& block : forged) {
        copy_raw(block, slab, sizeof block);  // with the SlabInfo in it, at any colour
        auto* const bad = static_cast<Plain*>(static_cast<void*>(block + (object->bytes - slab)));
        const DefectReport report = report_of([&] { cache.free(bad); });
        const bool known =
            report.defect == Defect::ForeignPointer || report.defect == Defect::OtherCache;
        REQUIRE(known);
    }
    cache.free(object);
}

TEST_CASE("debug: a report says nobody where an overrun went over who it was", "[cache][guards]") {
    slab_allocator::Cache<Plain, slab_allocator::AlignedAllocBackend, debug> cache;
    Plain* const object = cache.alloc();
    const auto overrun = [&](std::size_t bytes) {
        for (std::size_t byte = 0; byte < bytes; ++byte)
            flip(object->bytes + sizeof(Plain) + byte);
    };
    const std::size_t zone = 16;
    overrun(zone - 1);
    const DefectReport within = report_of([&] { cache.free(object); });
    REQUIRE(within.defect == Defect::Overflow);
    REQUIRE(within.allocated_by != nullptr);
    overrun(zone - 1);
    overrun(zone + 2 * sizeof(void*));
    const DefectReport beyond = report_of([&] { cache.free(object); });
    REQUIRE(beyond.defect == Defect::Overflow);
    REQUIRE(beyond.allocated_by == nullptr);
    REQUIRE(beyond.freed_by == nullptr);
    overrun(zone + 2 * sizeof(void*));
    cache.free(object);
}

TEST_CASE("debug: a report says who allocated and who freed", "[cache][guards]") {
    slab_allocator::Cache<Plain, slab_allocator::AlignedAllocBackend, debug> cache;
    const int one = 0;
    const int other = 0;
    cache.set_tag(&one);
    Plain* const object = cache.alloc();
    cache.set_tag(&other);
    cache.free(object);
    const DefectReport twice = report_of([&] { cache.free(object); });
    REQUIRE(twice.defect == Defect::DoubleFree);
    REQUIRE(twice.allocated_by == &one);
    REQUIRE(twice.freed_by == &other);
    flip(object->bytes + 7);
    const DefectReport written = cache.validate();
    REQUIRE(written.defect == Defect::WriteAfterFree);
    REQUIRE(written.offset == 7);
    REQUIRE(written.allocated_by == &one);
    REQUIRE(written.freed_by == &other);
    flip(object->bytes + 7);
    cache.set_tag(nullptr);
    Plain* const here = cache.alloc();
    cache.free(here);
    const DefectReport again = report_of([&] { cache.free(here); });
    REQUIRE(again.allocated_by != nullptr);
    REQUIRE(again.allocated_by != &one);
    REQUIRE(again.freed_by != nullptr);
    REQUIRE(again.freed_by != again.allocated_by);
}

TEST_CASE("debug: each object that leaks is reported, with who allocated it", "[cache][guards]") {
    const int tags[3] = {};
    std::vector<DefectReport> leaks;
    {
        DefectCatcher catcher;
        {
            slab_allocator::Cache<Plain, slab_allocator::AlignedAllocBackend, debug> cache;
            for (const int& tag : tags) {
                cache.set_tag(&tag);
                REQUIRE(cache.alloc() != nullptr);
            }
        }
        leaks = catcher.reports();
    }
    REQUIRE(leaks.size() == 3);
    for (const int& tag : tags) {
        REQUIRE(std::any_of(leaks.begin(), leaks.end(), [&](const DefectReport& leak) {
            return leak.defect == Defect::Leak && leak.allocated_by == &tag;
        }));
    }
    REQUIRE(leaks[0].objects_number == 3);
    REQUIRE(leaks[2].objects_number == 1);
}

TEST_CASE("debug: a write after free is found when its slab goes, if not before",
          "[cache][guards]") {
    TestMemory memory;
    SlabsBackend backend;
    backend.memory = &memory;
    slab_allocator::Cache<Plain, SlabsBackend,
                          CacheConfig{.slab_size = 4096, .checks = Checks::debug}>
        cache{backend};
    Plain* const object = cache.alloc();
    cache.free(object);
    static_cast<void>(cache.statistics());  // back to its slab
    poke(object->bytes + 3, std::byte{1});
    const DefectReport report = report_of([&] { static_cast<void>(cache.shrink_to_fit()); });
    REQUIRE(report.defect == Defect::WriteAfterFree);
    REQUIRE(report.pointer == object);
    REQUIRE(report.offset == 3);
    REQUIRE(memory.live_slabs() == 0);
}

TEST_CASE(
    "hardened: where what was written to goes back and no slab comes, alloc_bulk gives nothing",
    "[cache][guards][bulk]") {
    constexpr CacheConfig config{
        .slab_size = 4096, .object_size_type = ObjectSizeType::Large, .checks = Checks::hardened};
    std::size_t refused = 0;
    for (const std::size_t written : {0U, 1U}) {
        TestMemory memory;
        InfosBackend backend;
        backend.memory = &memory;
        slab_allocator::Cache<Object<4000>, InfosBackend, config> cache{backend};
        REQUIRE(cache.reserve(2) == 2);
        Object<4000>* objects[] = {cache.alloc(), cache.alloc()};
        cache.free_bulk(objects);
        REQUIRE(cache.shrink(0) == 0);  // from now on one Free slab is kept, but there are two
        poke(objects[written]->bytes + 17, std::byte{1});
        memory.refuse(1, true);
        Object<4000>* taken[2] = {};
        bool done = false;
        const auto report = report_of([&] { done = cache.alloc_bulk(taken); });
        REQUIRE(report.defect == Defect::WriteAfterFree);
        REQUIRE(report.offset == 17);
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE((taken[0] != nullptr) == done);
        REQUIRE((taken[1] != nullptr) == done);
        REQUIRE(cache.statistics().allocated_objects_number == (done ? 2 : 0));
        if (done) cache.free_bulk(taken);
        refused += done ? 0U : 1U;
    }
    REQUIRE(refused > 0);
}
