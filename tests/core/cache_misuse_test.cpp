#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <support/configurations.hpp>
#include <support/scenes.hpp>
#include <support/snapshot.hpp>

using namespace support;
using slab_allocator::Defect;
using slab_allocator::DefectReport;

namespace {

// Mapped, and no cache's: larger than any slab of the tests on both sides of its middle.
alignas(65536) std::byte foreign[2 * 65536];

/// A cache, one beside it on the same memory, one on another memory, and live objects in all.
class Scene {
public:
    explicit Scene(const Configuration& configuration)
        : cache(configuration.make(memory)),
          neighbour(configuration.make(memory)),
          stranger(configuration.make(other_memory)),
          configuration_(configuration) {
        neighbours = neighbour->alloc();
        strangers = stranger->alloc();
        for (std::size_t number = configuration.slabs(2) + 1; number > 0; --number) {
            live.push_back(cache->alloc());
        }
    }
    Scene(const Scene&) = delete;
    Scene& operator=(const Scene&) = delete;

    /// Frees a live object, which then is nobody's.
    [[nodiscard]] std::byte* freed() {
        std::byte* const object = live.back();
        live.pop_back();
        cache->free(object);
        return object;
    }

    /// `object` is refused as `defect` by every door, and not one byte changes.
    void refuses(const char* what, std::byte* object, Defect defect) {
        CAPTURE(what, static_cast<const void*>(object), live.size());
        std::vector<std::byte*> bulk{live[0], object, live.back()};
        if (live.size() < 2) bulk.pop_back();
        REQUIRE(!cache->owns(object));
        refuses_call(object, defect, [&] { cache->free(object); });
        refuses_call(object, defect, [&] { cache->destroy(object); });
        refuses_call(object, defect, [&] { cache->free_bulk(bulk); });
        std::swap(bulk.front(), bulk[1]);
        refuses_call(object, defect, [&] { cache->free_bulk(bulk); });
        ++refused_;
    }

    template <typename Refused>
    void refuses_call(std::byte* object, Defect defect, Refused&& call) {
        const Snapshot before = everything();
        const std::size_t destroyed_before = destroyed;
        const DefectReport report = report_of(call);
        const bool unchanged = everything() == before;
        REQUIRE(unchanged);
        REQUIRE(slab_allocator::name_of(report.defect) == std::string(name_of(defect)));
        REQUIRE(report.pointer == object);
        REQUIRE(report.cache == cache->bytes().data());
        REQUIRE(destroyed == destroyed_before);
        const bool slab_known = report.defect == Defect::DoubleFree ||
                                report.defect == Defect::NeverAllocated ||
                                report.defect == Defect::InteriorPointer;
        REQUIRE((report.slab != nullptr) == slab_known);
        if (report.defect == Defect::DoubleFree || report.defect == Defect::NeverAllocated) {
            REQUIRE(static_cast<const std::byte*>(report.slab) +
                        report.slot * configuration_.layout.stride + configuration_.layout.front ==
                    object);
        } else {
            REQUIRE(report.slot == 0);
        }
    }

    /// After all refusals the cache works as if nothing had been.
    void goes_on() {
        REQUIRE(refused_ > 0);
        REQUIRE(cache->validate().defect == Defect::None);
        REQUIRE(cache->statistics().allocated_objects_number == live.size());
        for (std::size_t number = configuration_.slabs(1) + 3; number > 0; --number) {
            live.push_back(cache->alloc());
        }
        REQUIRE(cache->statistics().allocated_objects_number == live.size());
        for (std::byte* const object : live)
            cache->free(object);
        live.clear();
        REQUIRE(cache->statistics().allocated_objects_number == 0);
        REQUIRE(memory.live_slabs() <= 2 * configuration_.config.retained_free_slabs + 1);
        neighbour->free(neighbours);
        stranger->free(strangers);
    }

    TestMemory memory;
    TestMemory other_memory;
    std::unique_ptr<AnyCache> cache;
    std::unique_ptr<AnyCache> neighbour;
    std::unique_ptr<AnyCache> stranger;
    std::byte* neighbours = nullptr;
    std::byte* strangers = nullptr;
    std::vector<std::byte*> live;

private:
    [[nodiscard]] Snapshot everything() {
        return snapshot({cache.get(), neighbour.get(), stranger.get()}, {&memory, &other_memory});
    }

    const Configuration& configuration_;
    std::size_t refused_ = 0;
};

/// DoubleFree, where the slab of a freed object is still the cache's.
[[nodiscard]] Defect double_free(const Scene& scene, const std::byte* object) {
    return scene.memory.slab_of(object) == nullptr ? Defect::ForeignPointer : Defect::DoubleFree;
}

template <typename Promise>
void in_a_scene(Promise&& promise) {
    for (const Configuration& configuration : every_checked_configuration()) {
        DYNAMIC_SECTION(configuration.name) {
            CAPTURE(configuration.layout.objects_per_slab, configuration.layout.stride);
            DefectCatcher catcher;
            {
                Scene scene(configuration);
                promise(configuration, scene);
                scene.goes_on();
            }
            REQUIRE(catcher.number() == 0);
        }
    }
}

}  // namespace

TEST_CASE("a double free is refused at once", "[cache][misuse]") {
    in_a_scene([](const Configuration&, Scene& scene) {
        std::byte* const object = scene.freed();
        scene.refuses("freed just now", object, double_free(scene, object));
    });
}

TEST_CASE("a double free of the object that was allocated last is refused, whichever way it went",
          "[cache][misuse]") {
    in_a_scene([](const Configuration&, Scene& scene) {
        const std::function<void(std::byte*)> ways[] = {
            [&](std::byte* object) { scene.cache->free(object); },
            [&](std::byte* object) { scene.cache->destroy(object); },
            [&](std::byte* object) { scene.cache->free_bulk(std::span(&object, 1)); },
            [&](std::byte* object) {
                scene.cache->free(object);
                static_cast<void>(scene.cache->statistics());
            }};
        for (const auto& way : ways) {
            std::byte* const object = scene.cache->alloc();
            way(object);
            scene.refuses("allocated last", object, double_free(scene, object));
        }
    });
}

TEST_CASE("a double free is refused after other frees and allocations", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        std::vector<std::byte*> freed;
        for (std::size_t number = configuration.objects_per_slab(); number > 0; --number) {
            freed.push_back(scene.freed());  // into the recent objects, and out of them
            if (number % 61 == 1 || number + 3 > configuration.objects_per_slab()) {
                scene.refuses("the first", freed.front(), double_free(scene, freed.front()));
                scene.refuses("the last", freed.back(), double_free(scene, freed.back()));
            }
        }
        static_cast<void>(scene.cache->statistics());  // all go back to their slabs
        scene.refuses("in its slab", freed.front(), double_free(scene, freed.front()));
        scene.refuses("in its slab", freed.back(), double_free(scene, freed.back()));
        std::byte* const again = scene.cache->alloc();
        scene.live.push_back(again);
        for (std::byte* const object : {freed.front(), freed.back()}) {
            if (object != again) {
                scene.refuses("another was allocated", object, double_free(scene, object));
            }
        }
    });
}

TEST_CASE("no freed object passes for a live one, however many others are live and recent",
          "[cache][misuse]") {
    in_every_checked_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            // So many that the recent objects have to share places.
            if (configuration.objects_per_slab() < 63 || configuration.objects_per_slab() > 65)
                return;
            memory.patterns = false;
            Random random;
            std::vector<std::byte*> live(6000);
            REQUIRE(cache.alloc_bulk(live));
            std::vector<std::byte*> freed;  // and not allocated again
            bool right = true;
            for (std::size_t step = 0; right && step < 5000; ++step) {
                const std::size_t rank = random.below(live.size());
                std::swap(live[rank], live.back());
                cache.free(live.back());
                freed.push_back(live.back());
                live.pop_back();
                if (random.one_in(3)) {
                    live.push_back(cache.alloc());
                    std::erase(freed, live.back());
                }
                if (freed.empty()) continue;
                if (step % 32 == 0) {
                    for (std::byte* const object : freed)
                        right = right && !cache.owns(object);
                }
                std::byte* const twice = freed[random.below(freed.size())];
                right = right && defect_of([&] { cache.free(twice); }) != Defect::None;
            }
            REQUIRE(right);
            REQUIRE(cache.validate().defect == Defect::None);
            REQUIRE(cache.statistics().allocated_objects_number == live.size());
            cache.free_bulk(live);
        });
}

TEST_CASE("a double free is refused while the slab has no other object", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        // The slab of the first object: all others of it go, then the object itself, twice.
        std::byte* const last = scene.live.front();
        const std::byte* const slab = scene.memory.slab_of(last);
        std::vector<std::byte*> others;
        std::vector<std::byte*> stay;
        for (std::byte* const object : scene.live) {
            if (object == last) continue;
            (scene.memory.slab_of(object) == slab ? others : stay).push_back(object);
        }
        REQUIRE(others.size() == configuration.objects_per_slab() - 1);
        scene.live = stay;
        scene.cache->free_bulk(others);
        scene.cache->free(last);
        scene.refuses("the last of its slab", last, double_free(scene, last));
        static_cast<void>(scene.cache->statistics());
        scene.refuses("the last of its slab, which is Free", last, double_free(scene, last));
    });
}

TEST_CASE("an object twice in one bulk is refused with all of it", "[cache][misuse]") {
    in_a_scene([](const Configuration&, Scene& scene) {
        std::byte* const object = scene.live[0];
        std::byte* const other = scene.live[1];
        std::byte* const twice[] = {object, object};
        std::byte* const apart[] = {object, other, nullptr, object};
        scene.refuses_call(object, Defect::DoubleFree, [&] { scene.cache->free_bulk(twice); });
        scene.refuses_call(object, Defect::DoubleFree, [&] { scene.cache->free_bulk(apart); });
        REQUIRE(scene.cache->owns(object));
        REQUIRE(scene.cache->owns(other));
        scene.refuses("besides", foreign + 65536, Defect::ForeignPointer);
    });
}

TEST_CASE("one wrong object in a bulk of neighbours is refused with all of it", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        std::byte* const freed = scene.freed();
        const Defect freed_twice = double_free(scene, freed);
        std::vector<std::byte*> run = scene.live;
        std::sort(run.begin(), run.end());
        if (run.size() > 200) run.resize(200);
        for (const bool down : {false, true}) {
            for (const std::size_t where : {0U, 1U, 62U, 63U, 64U, 65U, 130U, 199U}) {
                if (where >= run.size()) break;
                std::vector<std::byte*> wrong = run;
                wrong[where] = freed;
                scene.refuses_call(freed, freed_twice, [&] { scene.cache->free_bulk(wrong); });
                wrong[where] = run.front();
                if (where > 0) {
                    scene.refuses_call(run.front(), Defect::DoubleFree,
                                       [&] { scene.cache->free_bulk(wrong); });
                }
                if (configuration.layout.stride == 1) continue;
                wrong[where] = run[where] + 1;
                scene.refuses_call(run[where] + 1, Defect::InteriorPointer,
                                   [&] { scene.cache->free_bulk(wrong); });
            }
            std::reverse(run.begin(), run.end());
            CAPTURE(down);
        }
        scene.refuses("besides", foreign + 65536, Defect::ForeignPointer);
    });
}

TEST_CASE("an address inside of an object is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        const std::size_t stride = configuration.layout.stride;
        const std::size_t alignment = configuration.object_alignment;
        std::byte* const object = scene.live[scene.live.size() / 2];
        for (const std::size_t offset :
             {std::size_t{1}, alignment, stride / 2, stride - alignment, stride - 1}) {
            if (offset % stride == 0) continue;
            scene.refuses("inside", object + offset, Defect::InteriorPointer);
        }
        scene.refuses("besides", foreign + 65536, Defect::ForeignPointer);
    });
}

TEST_CASE("an address in the SlabInfo or in the rest of a slab is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        const Layout& layout = configuration.layout;
        std::byte* const slab = scene.memory.slab_of(scene.live.front());
        if (layout.small()) {
            auto* const info = static_cast<std::byte*>(
                static_cast<void*>(scene.cache->slab_info_of(scene.live.front())));
            scene.refuses("the SlabInfo", info, Defect::InteriorPointer);
            scene.refuses("in the SlabInfo", info + 8, Defect::InteriorPointer);
            const auto offset = static_cast<std::size_t>(info - slab);
            for (std::size_t slot = 0; slot < layout.info_slots; ++slot) {
                const std::size_t covered = offset / layout.stride + slot;
                scene.refuses("a covered slot", slab + covered * layout.stride + layout.front,
                              Defect::InteriorPointer);
            }
        }
        const std::size_t end = layout.slots_per_slab * layout.stride;
        if (end < layout.slab_size) {
            scene.refuses("the rest", slab + end, Defect::InteriorPointer);
            scene.refuses("the last byte", slab + layout.slab_size - 1, Defect::InteriorPointer);
        }
        scene.refuses("besides", foreign + 65536, Defect::ForeignPointer);
    });
}

TEST_CASE("a slot that was never handed out is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        std::byte* const newest = scene.live.back();  // the first object of the third slab
        std::byte* const slab = scene.memory.slab_of(newest);
        const SlabInfo& slab_info = *scene.cache->slab_info_of(newest);
        const Layout& layout = configuration.layout;
        for (std::size_t slot = slab_info.untouched; slot < layout.slots_per_slab;
             slot += 1 + layout.slots_per_slab / 8) {
            const bool covered =
                (slab_info.map.word_at(slot / 64) >> (slot % 64) & 1) != 0 && layout.small() &&
                layout.info_slots > 0 &&
                slot >= layout.info_offset_of(slab_allocator::address_of(slab)) / layout.stride &&
                slot < layout.info_offset_of(slab_allocator::address_of(slab)) / layout.stride +
                           layout.info_slots;
            if (covered) continue;
            scene.refuses("never allocated", slab + slot * layout.stride + layout.front,
                          Defect::NeverAllocated);
        }
        scene.refuses("besides", foreign + 65536, Defect::ForeignPointer);
    });
}

TEST_CASE("an object of another cache is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        scene.refuses("same backend", scene.neighbours, Defect::OtherCache);
        const bool by_mask = configuration.layout.row == Row::SmallByMask;
        scene.refuses("other backend", scene.strangers,
                      by_mask ? Defect::OtherCache : Defect::ForeignPointer);
    });
}

TEST_CASE("an object of a cache with other slabs is refused", "[cache][misuse]") {
    DefectCatcher catcher;
    for (const Configuration& one : every_checked_configuration()) {
        TestMemory memory;
        const auto cache = one.make(memory);
        std::byte* const object = cache->alloc();
        for (const Configuration& other : every_checked_configuration()) {
            if (one.layout.row != other.layout.row) continue;
            CAPTURE(one.name, other.name);
            const auto others = other.make(memory);
            std::byte* const bad = others->alloc();
            std::memset(bad, 0xff, other.layout.object_size);
            const Snapshot before = snapshot({cache.get(), others.get()}, {&memory});
            const Defect defect = defect_of([&] { cache->free(bad); });
            const bool known = defect == Defect::OtherCache || defect == Defect::ForeignPointer;
            REQUIRE(known);
            const bool same = snapshot({cache.get(), others.get()}, {&memory}) == before;
            REQUIRE(same);
            others->free(bad);
        }
        cache->free(object);
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("memory that no cache ever had is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        for (const int content : {0x00, 0xff, 0x41}) {
            CAPTURE(content);
            std::memset(foreign, content, sizeof(foreign));
            scene.refuses("a static", foreign + 65536, Defect::ForeignPointer);
            scene.refuses("a static, somewhere", foreign + 65536 + 4096 + 64,
                          Defect::ForeignPointer);
        }
        std::memset(foreign, 0, sizeof(foreign));
        scene.refuses("the backend's, never given", scene.memory.no_mans_land(),
                      Defect::ForeignPointer);
        alignas(65536) std::byte on_the_stack[65536] = {};
        scene.refuses("on the stack", on_the_stack + 256, Defect::ForeignPointer);
        if (configuration.layout.row != Row::SmallByMask) {
            scene.refuses("not mapped",
                          reinterpret_cast<std::byte*>(slab_allocator::address_of(foreign) -
                                                       (std::uintptr_t{1} << 40)),
                          Defect::ForeignPointer);
        }
    });
}

// A stack holds the address of the cache whose function runs; by masking it is looked at.
TEST_CASE("memory full of the cache's address is refused", "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        const void* const address = scene.cache->bytes().data();
        for (std::size_t at = 0; at < sizeof(foreign); at += sizeof(address))
            std::memcpy(foreign + at, &address, sizeof(address));
        const slab_allocator::Layout& layout = configuration.layout;
        for (std::size_t slot = 0; slot < layout.slots_per_slab; ++slot) {
            CAPTURE(slot);
            REQUIRE(!scene.cache->owns(foreign + 65536 + layout.front + layout.offset_of(slot)));
        }
        scene.refuses("a slot of it", foreign + 65536 + layout.front, Defect::ForeignPointer);
        scene.refuses("none", foreign + 65536 + layout.front + 1, Defect::ForeignPointer);
    });
}

TEST_CASE("an object of a released slab is refused while its memory stays mapped",
          "[cache][misuse]") {
    in_a_scene([](const Configuration& configuration, Scene& scene) {
        for (const bool poison : {false, true}) {
            CAPTURE(poison);
            scene.memory.poison = poison;  // or the slab is left as it was
            std::vector<std::byte*> objects(configuration.slabs(3));
            REQUIRE(scene.cache->alloc_bulk(objects));
            scene.cache->free_bulk(objects);
            static_cast<void>(scene.cache->shrink_to_fit());
            std::size_t released = 0;
            for (std::byte* const object : objects) {
                if (scene.memory.slab_of(object) != nullptr || ++released % 97 != 1) continue;
                scene.refuses("of a released slab", object, Defect::ForeignPointer);
            }
            REQUIRE(released > 0);
        }
        scene.memory.poison = false;  // not all were
    });
}

TEST_CASE("live objects at the end are a leak, with their number", "[cache][misuse]") {
    for (const Configuration& configuration : every_checked_configuration()) {
        DYNAMIC_SECTION(configuration.name) {
            for (const std::size_t number :
                 {std::size_t{0}, std::size_t{1}, configuration.slabs(2) + 1}) {
                TestMemory memory;
                auto cache = configuration.make(memory);
                const void* const address = cache->bytes().data();
                std::vector<std::byte*> objects(number + 5);
                REQUIRE(cache->alloc_bulk(objects));
                cache->free_bulk(std::span(objects).first(5));
                DefectCatcher catcher;
                cache.reset();
                const bool one_by_one = configuration.config.checks == Checks::debug;
                REQUIRE(catcher.number() == (one_by_one ? number : number > 0 ? 1U : 0U));
                std::set<const void*> leaked;
                for (std::size_t index = 0; index < catcher.number(); ++index) {
                    const DefectReport& report = catcher.reports()[index];
                    REQUIRE(report.defect == Defect::Leak);
                    REQUIRE(report.objects_number == number - index);
                    REQUIRE(report.cache == address);
                    if (one_by_one) leaked.insert(report.pointer);
                }
                if (one_by_one) {
                    REQUIRE(leaked == std::set<const void*>(objects.begin() + 5, objects.end()));
                }
            }
        }
    }
}

TEST_CASE("a slab without the promised alignment is refused and given back", "[cache][misuse]") {
    for (const Configuration& configuration : every_checked_configuration()) {
        DYNAMIC_SECTION(configuration.name) {
            TestMemory memory;
            const auto cache = configuration.make(memory);
            const std::size_t alignment = configuration.layout.slab_alignment;
            for (const std::size_t misalign :
                 {std::size_t{1}, std::size_t{8}, std::size_t{64}, alignment / 2}) {
                memory.misalign = misalign;
                const DefectReport report = report_of([&] { REQUIRE(cache->alloc() == nullptr); });
                REQUIRE(report.defect == Defect::MisalignedSlab);
                REQUIRE(report.cache == cache->bytes().data());
                REQUIRE(slab_allocator::address_of(report.pointer) % alignment == misalign);
                REQUIRE(memory.live_slabs() == 0);
            }
            REQUIRE(cache->statistics().failures_number == 4);
            std::byte* const object = cache->alloc();
            REQUIRE(object != nullptr);
            cache->free(object);
        }
    }
}

TEST_CASE("a misaligned SlabInfo is refused and given back, and its slab", "[cache][misuse]") {
    for (const Configuration& configuration : every_checked_configuration()) {
        if (configuration.layout.row != Row::LargeByMap) continue;
        DYNAMIC_SECTION(configuration.name) {
            TestMemory memory;
            const auto cache = configuration.make(memory);
            for (const std::size_t misalign : {1U, 4U}) {
                memory.misalign_info = misalign;
                const DefectReport report = report_of([&] { REQUIRE(cache->alloc() == nullptr); });
                REQUIRE(report.defect == Defect::MisalignedSlabInfo);
                REQUIRE(report.cache == cache->bytes().data());
                REQUIRE(slab_allocator::address_of(report.pointer) % 8 == misalign);
                REQUIRE(memory.live_infos() == 0);
                REQUIRE(memory.live_slabs() == 0);
            }
            REQUIRE(cache->statistics().failures_number == 2);
            cache->free(cache->alloc());
        }
    }
}

TEST_CASE("a defect that nobody handles is printed and traps", "[cache][misuse]") {
    int channel[2];
    REQUIRE(::pipe(channel) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGILL, SIG_DFL);
        std::signal(SIGTRAP, SIG_DFL);
        ::dup2(channel[1], STDERR_FILENO);
        slab_allocator::set_defect_handler(nullptr);
        TestMemory memory;
        const auto cache =
            configuration_of<Object<64>, small_page<Checks::misuse>>("").make(memory);
        std::byte* const object = cache->alloc();
        cache->free(object);
        cache->free(object);
        ::_exit(0);
    }
    ::close(channel[1]);
    std::string printed;
    char buffer[256];
    for (ssize_t got = 0; (got = ::read(channel[0], buffer, sizeof(buffer))) > 0;) {
        printed.append(buffer, static_cast<std::size_t>(got));
    }
    ::close(channel[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CAPTURE(printed);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE((WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP));
    REQUIRE(printed.find("slab_allocator: DoubleFree: pointer 0x") == 0);
}
