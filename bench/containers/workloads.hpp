#pragma once

// workloads.hpp -- what is asked of every allocator: the same containers, the same numbers.
//
// Each workload is a new container with the allocator, an untimed warm-up, and the timed loop. An
// insertion or an erasure is one operation. Keys are 32 bits and random, with a fixed seed; who is
// erased is who was inserted longest ago: in the order of keys, and in that of the tree, anybody.

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bench {

using Key = std::uint32_t;

/// Random keys, the same in every run.
[[nodiscard]] inline const std::vector<Key>& keys() {
    static const std::vector<Key> all = [] {
        std::vector<Key> random(600'000);
        std::mt19937 generator{1994};
        for (Key& key : random)
            key = static_cast<Key>(generator());
        return random;
    }();
    return all;
}

/// Nanoseconds of this thread's processor time.
[[nodiscard]] inline double now() {
    std::timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

/// Nanoseconds of one of `operations`.
template <typename F>
[[nodiscard]] double time(std::size_t operations, F&& f) {
    const double start = now();
    f();
    return (now() - start) / static_cast<double>(operations);
}

template <typename A, typename T>
using Rebound = typename std::allocator_traits<A>::template rebind_alloc<T>;
template <typename A>
using List = std::list<std::uint64_t, Rebound<A, std::uint64_t>>;
template <typename A>
using Set = std::set<Key, std::less<>, Rebound<A, Key>>;
template <typename A>
using Map = std::map<Key, Key, std::less<>, Rebound<A, std::pair<const Key, Key>>>;
template <typename A>
using HashMap = std::unordered_map<Key, Key, std::hash<Key>, std::equal_to<>,
                                   Rebound<A, std::pair<const Key, Key>>>;

// ---- Lists --------------------------------------------------------------------------------------

/// A thousand are pushed and popped at the back.
template <typename A>
double list_stack(const A& allocator) {
    List<A> list(allocator);
    const auto round = [&] {
        for (std::size_t number = 0; number < 1000; ++number)
            list.push_back(number);
        while (!list.empty())
            list.pop_back();
    };
    round();
    return time(50 * 2000, [&] {
        for (int rounds = 0; rounds < 50; ++rounds)
            round();
    });
}

/// Ten thousand stand in a queue; each step pushes one and pops the oldest.
template <typename A>
double list_queue(const A& allocator) {
    List<A> list(10'000, 0, allocator);
    const auto steps = [&](std::size_t number) {
        for (; number > 0; --number) {
            list.push_back(number);
            list.pop_front();
        }
    };
    steps(20'000);
    return time(200'000, [&] { steps(100'000); });
}

// ---- Trees and tables ---------------------------------------------------------------------------

template <typename Container>
void insert(Container& container, Key key) {
    if constexpr (requires { typename Container::mapped_type; }) {
        container.emplace(key, key);
    } else {
        container.emplace(key);
    }
}

/// `live` elements; each step erases the oldest and inserts another.
template <typename Container>
double churn(Container&& container, std::size_t live, std::size_t steps_number) {
    const std::vector<Key>& all = keys();
    std::size_t next = 0;
    for (; next < live; ++next)
        insert(container, all[next]);
    const auto steps = [&](std::size_t number) {
        for (; number > 0; --number, ++next) {
            container.erase(all[next - live]);
            insert(container, all[next]);
        }
    };
    steps(live);
    return time(2 * steps_number, [&] { steps(steps_number); });
}

template <typename A>
double set_10k(const A& allocator) {
    return churn(Set<A>(allocator), 10'000, 100'000);
}
template <typename A>
double map_1k(const A& allocator) {
    return churn(Map<A>(allocator), 1000, 100'000);
}
template <typename A>
double map_100k(const A& allocator) {
    return churn(Map<A>(allocator), 100'000, 100'000);
}
template <typename A>
double hash_1k(const A& allocator) {
    return churn(HashMap<A>(2000, std::hash<Key>(), std::equal_to<>(), allocator), 1000, 200'000);
}
template <typename A>
double hash_100k(const A& allocator) {
    return churn(HashMap<A>(200'000, std::hash<Key>(), std::equal_to<>(), allocator), 100'000,
                 200'000);
}

/// A map of 200,000 comes and goes. One that was there before has warmed the memory up.
template <typename A>
double map_built(const A& allocator) {
    const auto build = [&] {
        Map<A> map(allocator);
        for (std::size_t number = 0; number < 200'000; ++number)
            insert(map, keys()[number]);
    };
    build();
    return time(400'000, build);
}

/// An element's visit, in order, after a churn of 100,000: what locality is worth.
template <typename A>
double map_walked(const A& allocator) {
    Map<A> map(allocator);
    static_cast<void>(churn(map, 100'000, 200'000));
    std::uint64_t sum = 0;
    const double result = time(map.size(), [&] {
        for (const auto& [key, value] : map)
            sum += value;
        asm volatile("" : : "r"(sum));
    });
    return result;
}

/// In the order of `workload_names`.
template <typename A>
[[nodiscard]] double run(std::size_t workload, const A& allocator) {
    constexpr double (*all[])(const A&) = {
        list_stack<A>, list_queue<A>, set_10k<A>,   map_1k<A>,     map_100k<A>,
        hash_1k<A>,    hash_100k<A>,  map_built<A>, map_walked<A>,
    };
    return all[workload](allocator);
}
inline constexpr std::string_view workload_names[] = {
    "list_stack", "list_queue", "set_10k",   "map_1k",     "map_100k",
    "hash_1k",    "hash_100k",  "map_built", "map_walked",
};

}  // namespace bench
