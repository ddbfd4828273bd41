// memory.cpp -- how much memory is held, and is it given back?
//
//      1  bytes held for each byte of a million live objects; after freeing all; after freeing 90 %
//         of them, at random, and in clusters of 10,000 that were allocated one after the other,
//         as it is and trimmed: after asking for what can be had
//      2  slabs held after long churn at a tenth of the peak, by the rule that chooses a slab
//
// Bytes are what an allocator took from the bench's region, SlabInfos and maps included; for those
// that ask the system themselves, what the process has resident, each in a process of its own. All
// are in bytes a byte of the million.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <queue>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>

#include "compare/caches.hpp"
#include "compare/mallocs.hpp"
#include "compare/original.hpp"
#include "compare/pools.hpp"
#include "compare/region.hpp"
#include "compare/rows.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::ObjectSizeType;

// ---- 1: bytes -----------------------------------------------------------------------------------

constexpr std::size_t million = 1'000'000;
constexpr std::size_t cluster = 10'000;

[[nodiscard]] std::size_t resident() {
    std::size_t pages = 0;
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%*u %zu", &pages) != 1) return 0;
    std::fclose(file);
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct Held {
    double live, free_all, free_random, free_clusters, trimmed;
};

/// Allocates a million; frees those that `frees` says of its number.
template <typename A, typename Frees>
[[nodiscard]] std::size_t free_some(A& allocator, std::vector<void*>& objects, Frees&& frees,
                                    std::span<const std::uint32_t> order) {
    for (void*& object : objects) {
        object = allocator.alloc();
        *static_cast<unsigned char*>(object) = 1;
    }
    for (const std::uint32_t i : order) {
        if (frees(i)) allocator.free(std::exchange(objects[i], nullptr));
    }
    return A::held();
}

template <typename A>
[[nodiscard]] Held held_by() {
    std::mt19937_64 random{1};
    std::vector<void*> objects(million);
    std::vector<std::uint32_t> order(million);
    for (std::size_t i = 0; i < million; ++i)
        order[i] = static_cast<std::uint32_t>(i);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<bool> kept(million / cluster);
    for (std::size_t i = 0; i < kept.size() / 10; ++i)
        kept[i] = true;
    std::shuffle(kept.begin(), kept.end(), random);
    std::vector<bool> kept_objects(million);
    for (std::size_t i = 0; i < million / 10; ++i)
        kept_objects[order[i]] = true;
    std::shuffle(order.begin(), order.end(), random);

    A allocator{million};
    const std::size_t before = A::held();
    const auto share = [&](std::size_t now) {
        return static_cast<double>(now > before ? now - before : 0) /
               static_cast<double>(million * A::object_size);
    };
    const auto give_back_rest = [&] {
        for (void*& object : objects)
            if (object != nullptr) allocator.free(std::exchange(object, nullptr));
    };
    Held result{};
    result.live = share(free_some(allocator, objects, [](auto) { return false; }, order));
    give_back_rest();
    result.free_all = share(A::held());
    result.free_random =
        share(free_some(allocator, objects, [&](auto i) { return !kept_objects[i]; }, order));
    give_back_rest();
    result.free_clusters =
        share(free_some(allocator, objects, [&](auto i) { return !kept[i / cluster]; }, order));
    if constexpr (requires { allocator.trim(); }) allocator.trim();
    result.trimmed = share(A::held());
    give_back_rest();
    return result;
}

/// Counted in the region.
template <typename A>
struct InRegion : A {
    using A::A;
    [[nodiscard]] static std::size_t held() { return Region::instance().in_use(); }
};
/// Counted by the system.
template <typename A>
struct Resident : A {
    using A::A;
    [[nodiscard]] static std::size_t held() { return resident(); }
};

template <typename A>
void print_held(const char* name) {
    if constexpr (requires { A::available(); }) {
        if (!A::available()) return;
    }
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
        const Held held = held_by<A>();
        std::printf("%-24s%10.3f%10.3f%10.3f%10.3f%10.3f\n", name, held.live, held.free_all,
                    held.free_random, held.free_clusters, held.trimmed);
        std::fflush(stdout);
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
}

constexpr CacheConfig small{.object_size_type = ObjectSizeType::Small};
constexpr CacheConfig page{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};

template <std::size_t Size>
void print_bytes() {
    std::printf("\n%4zu bytes an object     %10s%10s%10s%10s%10s\n", Size, "live", "free all",
                "random", "clusters", "trimmed");
    print_held<InRegion<CacheSubject<Size, RegionSlabs, small>>>("cache, Small");
    print_held<InRegion<CacheSubject<Size, RegionSlabs, page>>>("cache, Small, 4 KiB");
    print_held<InRegion<CacheSubject<Size, RowByMap<Hash>, CacheConfig{}>>>("cache, Auto, hash");
    print_held<InRegion<CacheSubject<Size, RowByMap<Radix>, CacheConfig{}>>>("cache, Auto, radix");
    print_held<Resident<CacheSubject<Size, slab_allocator::AlignedAllocBackend, CacheConfig{}>>>(
        "cache, aligned_alloc");
    print_held<Resident<CacheSubject<Size, slab_allocator::MmapBackend, small>>>("cache, mmap");
    print_held<InRegion<Original<Size, 4096, false, std::monostate>>>("original, Small, 4 KiB");
#if __has_include(<boost/pool/pool.hpp>)
    print_held<InRegion<BoostPool<Size>>>("boost");
#endif
    print_held<InRegion<PmrPool<Size>>>("pmr");
    print_held<Resident<Glibc<Size>>>("malloc");
    print_held<Resident<Loaded<Size, Mimalloc>>>("mimalloc");
    print_held<Resident<Loaded<Size, Jemalloc>>>("jemalloc");
    print_held<Resident<Loaded<Size, Tcmalloc>>>("tcmalloc");
    print_held<Resident<Loaded<Size, Tbb>>>("tbb");
}

// ---- 2: slabs, by rule --------------------------------------------------------------------------

/// One life after the other: alloc or free of the object with this number, and when an object dies.
struct Trace {
    struct Step {
        bool alloc;
        std::uint32_t object;
    };
    std::vector<Step> steps;
    std::vector<std::size_t> checkpoints;  // after so many steps
    std::vector<std::size_t> deaths;       // by object

    std::uint32_t alloc() {
        const auto object = static_cast<std::uint32_t>(deaths.size());
        steps.push_back({true, object});
        deaths.push_back(~std::size_t{0});
        return object;
    }
    void free(std::uint32_t object) {
        deaths[object] = steps.size();
        steps.push_back({false, object});
    }
    void checkpoint() { checkpoints.push_back(steps.size()); }
};

constexpr std::size_t peak_objects = 200'000;
constexpr std::size_t few_objects = peak_objects / 10;

[[nodiscard]] std::uint32_t take_random(std::vector<std::uint32_t>& live, std::mt19937_64& random) {
    std::swap(live[random() % live.size()], live.back());
    const std::uint32_t object = live.back();
    live.pop_back();
    return object;
}

/// A peak, a random tenth of it left, and that replaced in bursts, 2, 5, 10, 20 and 50 times over.
[[nodiscard]] Trace churn_trace() {
    Trace trace;
    std::mt19937_64 random{1};
    std::vector<std::uint32_t> live;
    while (live.size() < peak_objects)
        live.push_back(trace.alloc());
    while (live.size() > few_objects)
        trace.free(take_random(live, random));
    std::size_t replaced = 0;
    for (const std::size_t turnovers : {2U, 5U, 10U, 20U, 50U}) {
        while (replaced < turnovers * few_objects) {
            const std::size_t burst = 1 + random() % 200;
            for (std::size_t i = 0; i < burst; ++i)
                trace.free(take_random(live, random));
            for (std::size_t i = 0; i < burst; ++i)
                live.push_back(trace.alloc());
            replaced += burst;
        }
        trace.checkpoint();
    }
    return trace;
}

/// Most die young, one in a hundred lives 20 times as long; five times the load rises tenfold, and
/// falls again.
[[nodiscard]] Trace load_trace() {
    constexpr double young_ticks = 10'000;
    Trace trace;
    std::mt19937_64 random{2};
    std::exponential_distribution<double> lifetime{1 / young_ticks};
    using Death = std::pair<std::size_t, std::uint32_t>;  // tick, object
    std::priority_queue<Death, std::vector<Death>, std::greater<>> deaths;
    std::size_t now = 0;
    const auto run = [&](std::size_t ticks, std::size_t allocs_per_tick) {
        for (const std::size_t end = now + ticks; now < end; ++now) {
            for (; !deaths.empty() && deaths.top().first <= now; deaths.pop())
                trace.free(deaths.top().second);
            for (std::size_t i = 0; i < allocs_per_tick; ++i) {
                const double ticks_to_live = lifetime(random) * (random() % 100 == 0 ? 20 : 1);
                deaths.push({now + 1 + static_cast<std::size_t>(ticks_to_live), trace.alloc()});
            }
        }
    };
    for (int period = 0; period < 5; ++period) {
        run(30'000, 10);
        run(100'000, 1);
        trace.checkpoint();
    }
    return trace;
}

/// A slab in a simulation; `key` is its place among the partial ones, the least is taken next.
struct SimulatedSlab {
    using Key = std::pair<std::int64_t, std::int64_t>;
    std::size_t number = 0;
    std::size_t free = 0;
    std::size_t death = 0;  // of the object that lives longest
    std::int64_t crossed = 0;
    int group = -1;
    Key key{};
};

enum class Rule { Newest, Oldest, TwoLists, EightLists, Fullest, LowestAddress, Oracle };

/// Chooses slabs by one rule, and counts those that are not empty. Empty ones go back at once; a
/// new one has the lowest address that is free.
class Simulation {
public:
    Simulation(Rule rule, std::size_t objects_per_slab) : rule_(rule), slots_(objects_per_slab) {}

    [[nodiscard]] std::vector<std::size_t> run(const Trace& trace) {
        std::vector<std::size_t> held;
        std::vector<std::size_t> slab_of(trace.deaths.size());
        auto checkpoint = trace.checkpoints.begin();
        for (time_ = 0; time_ < trace.steps.size(); ++time_) {
            const auto [alloc, object] = trace.steps[time_];
            if (alloc) {
                slab_of[object] = take(trace.deaths[object]);
            } else {
                give_back(slab_of[object]);
            }
            if (checkpoint != trace.checkpoints.end() && time_ + 1 == *checkpoint) {
                held.push_back(slabs_.size() - unused_.size());
                ++checkpoint;
            }
        }
        return held;
    }

private:
    [[nodiscard]] std::size_t choose(std::size_t death) {
        if (partial_.empty()) return add_slab();
        auto chosen = partial_.begin();
        if (rule_ == Rule::Oracle) {  // the first that lives as long anyway; else the longest
            chosen = partial_.lower_bound({{static_cast<std::int64_t>(death >> 1), 0}, 0});
            if (chosen == partial_.end()) --chosen;
        }
        return chosen->second;
    }

    [[nodiscard]] std::size_t take(std::size_t death) {
        const std::size_t number = choose(death);
        SimulatedSlab& slab = slabs_[number];
        partial_.erase({slab.key, number});
        --slab.free;
        slab.death = std::max(slab.death, death);
        settle(slab);
        return number;
    }

    void give_back(std::size_t number) {
        SimulatedSlab& slab = slabs_[number];
        partial_.erase({slab.key, number});
        ++slab.free;
        if (slab.free == slots_) {
            unused_.insert(number);
        } else {
            settle(slab);
        }
    }

    [[nodiscard]] std::size_t add_slab() {
        std::size_t number = slabs_.size();
        if (unused_.empty()) {
            slabs_.emplace_back();
        } else {
            number = *unused_.begin();
            unused_.erase(unused_.begin());
        }
        slabs_[number] = {};
        slabs_[number].number = number;
        slabs_[number].free = slots_;
        return number;
    }

    void settle(SimulatedSlab& slab) {
        const int group = group_of(slab);
        if (group != slab.group) slab.crossed = static_cast<std::int64_t>(time_);
        slab.group = group;
        if (slab.free == 0) return;
        slab.key = key_of(slab);
        partial_.insert({slab.key, slab.number});
    }

    /// The list that the slab stands on; entering it is what puts it in front.
    [[nodiscard]] int group_of(const SimulatedSlab& slab) const {
        if (slab.free == 0) return 0;
        switch (rule_) {
            case Rule::TwoLists:
                return slots_ - slab.free >= 75 * slots_ / 100 ? 1 : 2;
            case Rule::EightLists:
                return static_cast<int>(1 + slab.free * 8 / slots_);
            case Rule::Fullest:
                return static_cast<int>(slab.free);
            default:
                return 1;
        }
    }

    [[nodiscard]] SimulatedSlab::Key key_of(const SimulatedSlab& slab) const {
        switch (rule_) {
            case Rule::Oldest:
                return {0, slab.crossed};
            case Rule::LowestAddress:
                return {0, static_cast<std::int64_t>(slab.number)};
            case Rule::Oracle:
                return {static_cast<std::int64_t>(slab.death >> 1), 0};
            default:
                return {slab.group, -slab.crossed};
        }
    }

    Rule rule_;
    std::size_t slots_;
    std::size_t time_ = 0;
    std::vector<SimulatedSlab> slabs_;
    std::set<std::pair<SimulatedSlab::Key, std::size_t>> partial_;
    std::set<std::size_t> unused_;
};

/// The cache itself on the trace: the slabs that it has from its backend.
template <typename A, std::size_t slab_size>
[[nodiscard]] std::vector<std::size_t> slabs_of(const Trace& trace) {
    Region::instance().reset();
    A allocator{peak_objects};
    std::vector<void*> objects(trace.deaths.size());
    std::vector<std::size_t> held;
    auto checkpoint = trace.checkpoints.begin();
    for (std::size_t time = 0; time < trace.steps.size(); ++time) {
        const auto [alloc, object] = trace.steps[time];
        if (alloc) {
            objects[object] = allocator.alloc();
        } else {
            allocator.free(std::exchange(objects[object], nullptr));
        }
        if (checkpoint != trace.checkpoints.end() && time + 1 == *checkpoint) {
            held.push_back(Region::instance().in_use() / slab_size);
            ++checkpoint;
        }
    }
    for (void* const object : objects)
        if (object != nullptr) allocator.free(object);
    return held;
}

/// As many as the live objects fill.
[[nodiscard]] std::vector<std::size_t> least(const Trace& trace, std::size_t objects_per_slab) {
    std::vector<std::size_t> held;
    std::size_t live = 0;
    std::size_t time = 0;
    for (const std::size_t checkpoint : trace.checkpoints) {
        for (; time < checkpoint; ++time)
            trace.steps[time].alloc ? ++live : --live;
        held.push_back((live + objects_per_slab - 1) / objects_per_slab);
    }
    return held;
}

void print_slabs(const char* name, const std::vector<std::size_t>& held,
                 const std::vector<std::size_t>& oracle) {
    std::printf("%-28s", name);
    double product = 1;
    for (std::size_t i = 0; i < held.size(); ++i) {
        std::printf("%8zu", held[i]);
        product *= static_cast<double>(held[i]) / static_cast<double>(oracle[i]);
    }
    std::printf("   x%.2f\n", std::pow(product, 1 / static_cast<double>(held.size())));
}

template <std::size_t slab_size>
void print_rules(const char* title, const Trace& trace) {
    constexpr std::size_t object_size = 64;
    constexpr CacheConfig config{.slab_size = slab_size, .object_size_type = ObjectSizeType::Small};
    using Cache = CacheSubject<object_size, RegionSlabs, config>;
    constexpr std::size_t slots = Cache::objects_per_slab;
    const auto simulated = [&](Rule rule) { return Simulation{rule, slots}.run(trace); };
    const auto oracle = simulated(Rule::Oracle);

    std::printf("\n%s, slabs of %zu objects; (x) to the oracle, mean\n", title, slots);
    print_slabs("full slabs of the live ones", least(trace, slots), oracle);
    print_slabs("oracle: knows each death", oracle, oracle);
    print_slabs("lowest address first", simulated(Rule::LowestAddress), oracle);
    print_slabs("fullest first", simulated(Rule::Fullest), oracle);
    print_slabs("eight lists by fullness", simulated(Rule::EightLists), oracle);
    print_slabs("two lists (the original's)", simulated(Rule::TwoLists), oracle);
    print_slabs("one list, newest first", simulated(Rule::Newest), oracle);
    print_slabs("one list, oldest first", simulated(Rule::Oldest), oracle);
    print_slabs("this library's cache", slabs_of<Cache, slab_size>(trace), oracle);
}

}  // namespace

int main(int, char** arguments) {
    make_room_for_tls(arguments);
    std::printf("1  bytes held for each byte of a million objects\n");
    print_bytes<48>();
    print_bytes<64>();
    print_bytes<1000>();

    std::printf("\n2  slabs held\n");
    const Trace churn = churn_trace();
    const Trace load = load_trace();
    constexpr const char* churned =
        "A tenth left of a peak, then replaced 2, 5, 10, 20, 50 times over";
    constexpr const char* loaded = "After each of five peaks of load, few objects live long";
    print_rules<4096>(churned, churn);
    print_rules<65536>(churned, churn);
    print_rules<4096>(loaded, load);
    print_rules<65536>(loaded, load);
}
