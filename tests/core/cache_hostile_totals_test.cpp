// How many of fourteen faults of a backend each level finds.
//
//      SLAB_ALLOCATOR_COUNT=1 core_test "[totals]"        prints what came of each, row by row
//
// Each fault is provoked in a process of its own, in every row in which it can be. It counts as
// found where, in each of these, nothing is lost and it is reported, refused (null, and everything
// as it was), stops the program, or, where the backend calls the cache, is served. What happens in
// detail, fault by fault, says cache_hostile_backend_test.cpp.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/configurations.hpp>
#include <support/defects.hpp>
#include <support/model.hpp>
#include <support/test_memory.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

/// What came of a fault; what a process exits with. Unseen: nothing is lost, and nobody told.
enum class Outcome : int { harm = 40, unseen, impossible, reported, refused, stopped, served };
constexpr const char* names[] = {"HARM", "unseen", "-", "reported", "refused", "stopped", "served"};
static_assert(static_cast<int>(Outcome::served) - static_cast<int>(Outcome::harm) == 6);

/// A cache with three full slabs.
struct Scene {
    explicit Scene(const Configuration& its)
        : configuration(its),
          layout(its.layout),
          cache(its.make(memory)),
          model(configuration, memory) {
        while (model.size() < its.slabs(3))
            right = model.add(cache->alloc()) && right;
        live = memory.slab_of(model.at(0));
    }

    const Configuration& configuration;
    const Layout& layout;
    DefectCatcher catcher;
    TestMemory memory;
    std::unique_ptr<AnyCache> cache;
    Model model;
    std::byte* live;  // a slab
    bool right = true;
};

/// The cache, whose backend is honest again, goes on as if nothing had been.
[[nodiscard]] bool goes_on(Scene& scene) {
    const std::size_t reports = scene.catcher.number();
    bool right = scene.right && scene.memory.complaint().empty() && scene.model.all_intact() &&
                 scene.cache->validate().defect == Defect::None;
    while (right && scene.model.size() < scene.configuration.slabs(5))
        right = scene.model.add(scene.cache->alloc());
    right = right && scene.model.all_intact();
    while (right && !scene.model.empty()) {
        std::byte* const object = scene.model.remove(scene.model.size() - 1);
        right = object != nullptr;
        if (right) scene.cache->free(object);
    }
    return right && scene.cache->statistics().allocated_objects_number == 0 &&
           scene.cache->validate().defect == Defect::None && scene.memory.complaint().empty() &&
           scene.catcher.number() == reports;
}

/// What comes of the next slab, of which the backend lies. `complains`: it is given back what it
/// never gave, and says so.
[[nodiscard]] Outcome of_next_slab(Scene& scene, bool complains = false) {
    std::byte* object = nullptr;
    while (scene.model.size() <= scene.configuration.slabs(4)) {
        object = scene.cache->alloc();
        if (object == nullptr) break;
        static_cast<void>(scene.model.add(object));
    }
    if (object != nullptr) {  // it is believed: is it found when all comes back?
        for (std::byte* const believed : scene.model.objects())
            scene.cache->free(believed);
        return scene.catcher.number() > 0 ? Outcome::reported : Outcome::harm;
    }
    scene.memory.be_honest();
    scene.memory.refuse_nothing();
    if (complains) scene.memory.forgive();
    if (!goes_on(scene)) return Outcome::harm;
    return scene.catcher.number() > 0 ? Outcome::reported : Outcome::refused;
}

/// From now on every page that was saved leads to `wrong`.
void answer(Scene& scene, SlabInfo* wrong) {
    scene.memory.page_instead = [&scene, wrong](std::uintptr_t page) {
        auto* const address = reinterpret_cast<std::byte*>(page);
        return scene.memory.saved_for(address) == nullptr ? nullptr : wrong;
    };
}

[[nodiscard]] Outcome no_slab(Scene& scene) {
    scene.memory.slab_instead = [] { return nullptr; };
    return of_next_slab(scene);
}

[[nodiscard]] Outcome no_info(Scene& scene) {
    if (scene.layout.small()) return Outcome::impossible;
    scene.memory.info_instead = [] { return nullptr; };
    if (scene.layout.row == Row::LargeByPageFrames)
        scene.memory.page_instead = [](std::uintptr_t) { return nullptr; };
    return of_next_slab(scene);
}

[[nodiscard]] Outcome misaligned_slab(Scene& scene) {
    scene.memory.misalign = 8;
    return of_next_slab(scene);
}

[[nodiscard]] Outcome misaligned_info(Scene& scene) {
    if (scene.layout.small()) return Outcome::impossible;
    scene.memory.misalign_info = 4;
    if (scene.layout.row == Row::LargeByPageFrames) {
        scene.memory.page_instead = [](std::uintptr_t page) {
            return reinterpret_cast<SlabInfo*>(page + 4);
        };
    }
    return of_next_slab(scene);
}

/// Where slabs are aligned to their size, one that overlaps is misaligned, or the same.
[[nodiscard]] Outcome overlapping_slab(Scene& scene) {
    if (scene.layout.slab_alignment >= scene.layout.slab_size) return Outcome::impossible;
    std::byte* const wrong = scene.live + scene.layout.slab_alignment;
    scene.memory.slab_instead = [wrong] { return wrong; };
    return of_next_slab(scene);
}

[[nodiscard]] Outcome same_slab(Scene& scene) {
    scene.memory.slab_instead = [&scene] { return scene.live; };
    return of_next_slab(scene);
}

[[nodiscard]] Outcome info_in_slab(Scene& scene) {
    if (scene.layout.small()) return Outcome::impossible;
    scene.memory.record = true;
    scene.memory.info_instead = [&scene] {
        return reinterpret_cast<SlabInfo*>(scene.memory.events.back().address + 64);
    };
    if (scene.layout.row == Row::LargeByPageFrames) {
        scene.memory.page_instead = [](std::uintptr_t page) {
            return reinterpret_cast<SlabInfo*>(page + 64);
        };
    }
    return of_next_slab(scene, true);
}

[[nodiscard]] Outcome map_forgets(Scene& scene) {
    if (!scene.layout.uses_map()) return Outcome::impossible;
    scene.memory.forgets = true;
    return of_next_slab(scene, true);
}

[[nodiscard]] Outcome map_answers_another(Scene& scene) {
    if (!scene.layout.uses_map()) return Outcome::impossible;
    answer(scene, scene.cache->slab_info_of(scene.model.at(0)));
    return of_next_slab(scene);
}

[[nodiscard]] Outcome map_answers_garbage(Scene& scene) {
    if (!scene.layout.uses_map()) return Outcome::impossible;
    answer(scene, reinterpret_cast<SlabInfo*>(0xdead'beef));
    return of_next_slab(scene);
}

[[nodiscard]] Outcome map_refuses(Scene& scene) {
    if (!scene.layout.uses_map()) return Outcome::impossible;
    // The last page: the slab, where there is one its SlabInfo, the pages before.
    const std::size_t before = scene.layout.row == Row::LargeByMap ? 2 : 1;
    scene.memory.refuse(before + scene.layout.pages_per_slab(), true);
    return of_next_slab(scene);
}

[[nodiscard]] Outcome throws(Scene& scene) {
    scene.memory.on_call = [](Call) { throw std::runtime_error("no memory"); };
    return of_next_slab(scene);
}

/// A slab goes that the map does not know any more.
[[nodiscard]] Outcome deletes_absent(Scene& scene) {
    if (!scene.layout.uses_map()) return Outcome::impossible;
    while (!scene.model.empty())
        scene.cache->free(scene.model.remove(scene.model.size() - 1));
    static_cast<void>(scene.cache->statistics());
    const std::vector<std::byte*> kept = scene.memory.live_slab_starts();
    if (kept.empty()) return Outcome::harm;
    const std::uintptr_t page = slab_allocator::address_of(kept.front());
    static_cast<void>(scene.memory.exchange_saved(page, nullptr));
    static_cast<void>(scene.cache->shrink_to_fit());
    scene.memory.forget_one_saved_page();
    scene.memory.forgive();
    if (!goes_on(scene)) return Outcome::harm;
    return scene.catcher.number() > 0 ? Outcome::reported : Outcome::unseen;
}

/// Each function of the backend allocates and frees.
[[nodiscard]] Outcome calls_the_cache(Scene& scene) {
    bool within = false;
    bool right = true;
    std::size_t calls = 0;
    scene.memory.on_call = [&](Call) {
        if (within) return;
        within = true;
        ++calls;
        std::byte* const object = scene.cache->alloc();
        right = right && object != nullptr && scene.cache->owns(object);
        scene.cache->free(object);
        within = false;
    };
    std::byte* const object = scene.cache->alloc();  // of a new slab
    right = right && scene.model.add(object) && calls > 0;
    scene.memory.on_call = nullptr;
    return right && goes_on(scene) && scene.catcher.number() == 0 ? Outcome::served : Outcome::harm;
}

struct Fault {
    const char* name;
    Outcome (*provoke)(Scene&);
    bool may_stop = false;
};
constexpr Fault faults[] = {
    {"no slab", &no_slab},
    {"no SlabInfo", &no_info},
    {"a misaligned slab", &misaligned_slab},
    {"a misaligned SlabInfo", &misaligned_info},
    {"overlapping slabs", &overlapping_slab},
    {"the same slab twice", &same_slab, true},
    {"a SlabInfo in its slab", &info_in_slab},
    {"a map that forgets", &map_forgets},
    {"a map with another's SlabInfo", &map_answers_another},
    {"a map with garbage", &map_answers_garbage},
    {"a map that refuses", &map_refuses},
    {"a backend that throws", &throws, true},
    {"a delete of what is absent", &deletes_absent},
    {"a backend that calls the cache", &calls_the_cache},
};
static_assert(std::size(faults) == 14);

[[nodiscard]] Outcome outcome_of(const Configuration& configuration, const Fault& fault) {
    const int end = end_of([&] {
        try {
            auto* const scene = new Scene(configuration);  // nobody destroys what a lie is in
            ::_exit(static_cast<int>(fault.provoke(*scene)));
        } catch (...) {  // of the test's own
            ::_exit(static_cast<int>(Outcome::harm));
        }
    });
    if (fault.may_stop && (end == -SIGABRT || end == -SIGILL || end == -SIGTRAP))
        return Outcome::stopped;
    const bool known =
        end >= static_cast<int>(Outcome::harm) && end <= static_cast<int>(Outcome::served);
    return known ? static_cast<Outcome>(end) : Outcome::harm;  // a fault, or a sanitizer's report
}

/// For each row one of a level, with few objects in a slab.
[[nodiscard]] std::vector<const Configuration*> one_of_each_row(Checks checks) {
    std::vector<const Configuration*> result;
    for (const Row row :
         {Row::SmallByMask, Row::SmallByMap, Row::LargeByMap, Row::LargeByPageFrames}) {
        for (const Configuration& configuration : every_configuration()) {
            const bool meant = configuration.layout.row == row &&
                               configuration.config.checks == checks &&
                               configuration.objects_per_slab() <= 65 &&
                               configuration.config.retained_free_slabs == 1;
            if (!meant) continue;
            result.push_back(&configuration);
            break;
        }
    }
    return result;
}

/// How many of the faults a level finds, in each row where they can be.
[[nodiscard]] std::size_t found_at(Checks checks, const char* level) {
    const bool print = std::getenv("SLAB_ALLOCATOR_COUNT") != nullptr;
    const std::vector<const Configuration*> rows = one_of_each_row(checks);
    REQUIRE(rows.size() == 4);
    if (print) std::printf("%-32s by mask   by map    Large     page frames\n", level);
    std::size_t found_number = 0;
    for (const Fault& fault : faults) {
        if (print) std::printf("%-32s", fault.name);
        bool found = true;
        for (const Configuration* const row : rows) {
            CAPTURE(row->name, fault.name);
            const Outcome outcome = outcome_of(*row, fault);
            REQUIRE(outcome != Outcome::harm);
            found = found && outcome != Outcome::unseen;
            const auto index =
                static_cast<std::size_t>(outcome) - static_cast<std::size_t>(Outcome::harm);
            if (print) std::printf("%-10s", names[index]);
        }
        if (print) std::printf("\n");
        found_number += found ? 1U : 0U;
    }
    if (print) std::printf("%s: %zu of %zu found\n\n", level, found_number, std::size(faults));
    return found_number;
}

}  // namespace

TEST_CASE("of fourteen faults of a backend a level finds as many as it says",
          "[cache][hostile][totals]") {
    REQUIRE(found_at(Checks::misuse, "misuse") >= 13);
    REQUIRE(found_at(Checks::hardened, "hardened") >= 13);
    REQUIRE(found_at(Checks::debug, "debug") == 14);
}
