#pragma once

// workloads.hpp -- what is asked of every allocator: the same loops, the same random numbers.
//
// Each workload is one run: a new allocator, an untimed warm-up, the timed loops, and everything
// freed. README.md says what each metric is.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "region.hpp"
#include "subject.hpp"

namespace bench {

/// The compiler may not know what happens to `value`, nor what memory holds afterwards.
template <typename T>
inline void keep(T& value) {
    asm volatile("" : "+r"(value) : : "memory");
}
template <typename T>
inline void escape(T& object) {
    asm volatile("" : : "r"(&object) : "memory");
}

/// A million objects, or as many as make a gibibyte.
[[nodiscard]] constexpr std::size_t million_of(std::size_t object_size) {
    return std::min<std::size_t>(1'000'000, (std::size_t{1} << 30) / object_size);
}

/// 0 .. size - 1 in random order, the same in every run.
[[nodiscard]] inline std::span<const std::uint32_t> permutation(std::size_t size) {
    static std::vector<std::vector<std::uint32_t>> known;
    for (const auto& order : known) {
        if (order.size() == size) return order;
    }
    std::vector<std::uint32_t> order(size);
    for (std::size_t i = 0; i < size; ++i)
        order[i] = static_cast<std::uint32_t>(i);
    std::shuffle(order.begin(), order.end(), std::mt19937_64{size});
    known.push_back(std::move(order));
    return known.back();
}

/// `number` numbers below `bound`, the same in every run.
[[nodiscard]] inline std::span<const std::uint32_t> numbers(std::size_t number, std::size_t bound) {
    struct Known {
        std::size_t bound;
        std::vector<std::uint32_t> values;
    };
    static std::vector<Known> known;
    for (const auto& one : known) {
        if (one.values.size() == number && one.bound == bound) return one.values;
    }
    std::mt19937_64 random{bound};
    std::vector<std::uint32_t> values(number);
    for (auto& value : values)
        value = static_cast<std::uint32_t>(random() % bound);
    known.push_back({bound, std::move(values)});
    return known.back().values;
}

/// Where the live objects are remembered; resident, for all runs.
[[nodiscard]] inline void** live_objects() {
    static std::vector<void*> live(1'100'000);
    return live.data();
}

template <typename A>
concept HasBulk = requires(A& allocator, void** objects) {
    allocator.alloc_bulk(objects, 1U);
    allocator.free_bulk(objects, 1U);
};

template <typename A>
class Workloads {
public:
    static void pair(Recorder& recorder) {
        A allocator{101};
        escape(allocator);
        const Objects others{allocator, 100};
        pairs(allocator, 1'000);
        recorder.time("pair", 1'000'000, [&] { pairs(allocator, 500'000); });
    }

    static void empty(Recorder& recorder) {
        A allocator{1};
        escape(allocator);
        pairs(allocator, 1'000);
        recorder.time("empty", 200'000, [&] { pairs(allocator, 100'000); });
    }

    static void boundary(Recorder& recorder) {
        A allocator{edge + 100};
        escape(allocator);
        const Objects others{allocator, edge};
        pairs(allocator, 1'000);
        recorder.time("boundary", 200'000, [&] { pairs(allocator, 100'000); });
        lifo(allocator, 100);
        recorder.time("boundary_100", 200'000, [&] {
            for (std::size_t round = 0; round < 1'000; ++round)
                lifo(allocator, 100);
        });
    }

    static void batch(Recorder& recorder) {
        A allocator{1'000};
        escape(allocator);
        lifo(allocator, 1'000);
        recorder.time("lifo", 600'000, [&] {
            for (std::size_t round = 0; round < 300; ++round)
                lifo(allocator, 1'000);
        });
        fifo(allocator, 1'000);
        recorder.time("fifo", 600'000, [&] {
            for (std::size_t round = 0; round < 300; ++round)
                fifo(allocator, 1'000);
        });
    }

    static void bulk(Recorder& recorder) {
        A allocator{1'000};
        escape(allocator);
        bulk(allocator, 1'000);
        recorder.time("bulk_64", 64 * 2 * 5'000, [&] {
            for (std::size_t round = 0; round < 5'000; ++round)
                bulk(allocator, 64);
        });
        recorder.time("bulk_1000", 600'000, [&] {
            for (std::size_t round = 0; round < 300; ++round)
                bulk(allocator, 1'000);
        });
    }

    static void queue(Recorder& recorder) {
        constexpr std::size_t length = 100'000;
        A allocator{length + 1};
        escape(allocator);
        void** const ring = live_objects();
        fill(allocator, length);
        const auto once_around = [&] {
            for (std::size_t i = 0; i < length; ++i) {
                void* const produced = get(allocator);
                allocator.free(ring[i]);
                ring[i] = produced;
            }
        };
        once_around();
        recorder.time("queue", 4 * 2 * length, [&] {
            for (std::size_t round = 0; round < 4; ++round)
                once_around();
        });
        drop(allocator, length);
    }

    static void ten_thousand(Recorder& recorder) {
        constexpr std::size_t number = 10'000;
        A allocator{number + 1'000};
        escape(allocator);
        fill(allocator, number);
        free_in_random_order(allocator, number);
        lifo(allocator, 1'000);
        recorder.time("aged_10k", 600'000, [&] {
            for (std::size_t round = 0; round < 300; ++round)
                lifo(allocator, 1'000);
        });
        fill(allocator, number);
        churn(allocator, number, 20'000);
        recorder.time("churn_10k", 800'000, [&] { churn(allocator, number, 400'000); });
        bursts(allocator, number);
        recorder.time("burst_10k", 40 * 2 * number, [&] {
            for (std::size_t round = 0; round < 40; ++round)
                bursts(allocator, number);
        });
        drop(allocator, number);
    }

    static void million(Recorder& recorder) {
        constexpr std::size_t number = million_of(A::object_size);
        A allocator{number + 1'000};
        escape(allocator);
        fill(allocator, number);
        free_in_random_order(allocator, number);
        const double half =
            recorder.time("million_alloc", number, [&] { fill(allocator, number); });
        recorder.time("walk", number, [&] { walk(number); });
        const double other =
            recorder.time("million_free", number, [&] { free_in_random_order(allocator, number); });
        recorder.add("million", 2 * number, half + other);
        lifo(allocator, 1'000);
        recorder.time("aged_1m", 600'000, [&] {
            for (std::size_t round = 0; round < 300; ++round)
                lifo(allocator, 1'000);
        });
        fill(allocator, number);
        churn(allocator, number, number);
        recorder.time("churn_1m", 2'000'000, [&] { churn(allocator, number, 1'000'000); });
        bursts(allocator, number);
        recorder.time("burst_1m", 2 * number, [&] { bursts(allocator, number); });
        recorder.time("walk_churned", number, [&] { walk(number); });
        drop(allocator, number);
    }

    static void cold(Recorder& recorder) {
        constexpr std::size_t number = million_of(A::object_size);
        static_cast<void>(permutation(number));
        static_cast<void>(live_objects());
        A allocator{number};
        escape(allocator);
        const double half = recorder.time("cold_alloc", number, [&] { fill(allocator, number); });
        const double other =
            recorder.time("cold_free", number, [&] { free_in_random_order(allocator, number); });
        recorder.add("cold", 2 * number, half + other);
    }

private:
    /// Where the next object is the first of another slab; for those that have no slabs, anywhere.
    static constexpr std::size_t edge = [] {
        if constexpr (requires { A::objects_per_slab; }) {
            return A::objects_per_slab * (1 + 1'000 / A::objects_per_slab);
        } else {
            return std::size_t{1'024};
        }
    }();

    [[nodiscard, gnu::always_inline]] static void* get(A& allocator) {
        void* object = allocator.alloc();
        keep(object);
        return object;
    }

    /// Live from here to the end of the block.
    class Objects {
    public:
        Objects(A& allocator, std::size_t number) : allocator_(allocator), objects_(number) {
            for (void*& object : objects_)
                object = get(allocator);
        }
        Objects(const Objects&) = delete;
        Objects& operator=(const Objects&) = delete;
        ~Objects() {
            for (void* const object : objects_)
                allocator_.free(object);
        }

    private:
        A& allocator_;
        std::vector<void*> objects_;
    };

    [[gnu::noinline]] static void pairs(A& allocator, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i)
            allocator.free(get(allocator));
    }

    [[gnu::noinline]] static void lifo(A& allocator, std::size_t number) {
        void** const objects = live_objects();
        for (std::size_t i = 0; i < number; ++i)
            objects[i] = get(allocator);
        for (std::size_t i = number; i-- > 0;)
            allocator.free(objects[i]);
    }

    [[gnu::noinline]] static void fifo(A& allocator, std::size_t number) {
        void** const objects = live_objects();
        for (std::size_t i = 0; i < number; ++i)
            objects[i] = get(allocator);
        for (std::size_t i = 0; i < number; ++i)
            allocator.free(objects[i]);
    }

    static void bulk(A& allocator, std::size_t number) {
        if constexpr (HasBulk<A>) {
            allocator.alloc_bulk(live_objects(), number);
            allocator.free_bulk(live_objects(), number);
        } else {
            fifo(allocator, number);
        }
    }

    /// Allocates, and writes a word (or what fits) in each.
    [[gnu::noinline]] static void fill(A& allocator, std::size_t number) {
        using Word = std::conditional_t<A::object_size >= sizeof(std::uint64_t), std::uint64_t,
                                        std::uint8_t>;
        void** const live = live_objects();
        for (std::size_t i = 0; i < number; ++i) {
            void* const object = get(allocator);
            *static_cast<Word*>(object) = static_cast<Word>(i);
            live[i] = object;
        }
    }

    static void drop(A& allocator, std::size_t number) {
        void** const live = live_objects();
        for (std::size_t i = 0; i < number; ++i)
            allocator.free(live[i]);
    }

    [[gnu::noinline]] static void free_in_random_order(A& allocator, std::size_t number) {
        const auto order = permutation(number);
        void** const live = live_objects();
        for (const std::uint32_t i : order)
            allocator.free(live[i]);
    }

    [[gnu::noinline]] static void churn(A& allocator, std::size_t number, std::size_t operations) {
        const auto victims = numbers(1'000'000, number).first(operations);
        void** const live = live_objects();
        for (const std::uint32_t i : victims) {
            allocator.free(live[i]);
            live[i] = get(allocator);
        }
    }

    /// Each object is replaced once, 1 to 100 at a time.
    [[gnu::noinline]] static void bursts(A& allocator, std::size_t number) {
        const auto order = permutation(number);
        const auto lengths = numbers(number, 100);
        void** const live = live_objects();
        for (std::size_t start = 0, burst = 0; start < number; ++burst) {
            const std::size_t end = std::min<std::size_t>(start + lengths[burst] + 1, number);
            for (std::size_t i = start; i < end; ++i)
                allocator.free(live[order[i]]);
            for (std::size_t i = start; i < end; ++i)
                live[order[i]] = get(allocator);
            start = end;
        }
    }

    [[gnu::noinline]] static void walk(std::size_t number) {
        void** const live = live_objects();
        unsigned sum = 0;
        for (std::size_t i = 0; i < number; ++i)
            sum += *static_cast<const unsigned char*>(live[i]);
        keep(sum);
    }
};

/// In the order in which they run: first those that want a process where nothing was touched.
struct Workload {
    std::string_view name;
    bool in_child;  // each run in a process of its own
    std::vector<std::string_view> metrics;
};
inline const std::vector<Workload> workloads{
    {"cold", true, {"cold", "cold_alloc", "cold_free"}},
    {"pair", false, {"pair"}},
    {"empty", false, {"empty"}},
    {"boundary", false, {"boundary", "boundary_100"}},
    {"batch", false, {"lifo", "fifo"}},
    {"bulk", false, {"bulk_64", "bulk_1000"}},
    {"queue", false, {"queue"}},
    {"ten_thousand", false, {"aged_10k", "churn_10k", "burst_10k"}},
    {"million",
     false,
     {"million", "million_alloc", "million_free", "aged_1m", "churn_1m", "burst_1m", "walk",
      "walk_churned"}},
};

template <typename A>
inline constexpr Run runs_of[] = {
    &Workloads<A>::cold,     &Workloads<A>::pair,         &Workloads<A>::empty,
    &Workloads<A>::boundary, &Workloads<A>::batch,        &Workloads<A>::bulk,
    &Workloads<A>::queue,    &Workloads<A>::ten_thousand, &Workloads<A>::million,
};

template <typename A>
bool is_available() {
    if constexpr (requires { A::available(); }) return A::available();
    return true;
}

template <typename A>
void add_subject(std::string name) {
    subjects().push_back({std::move(name), A::object_size, runs_of<A>, &is_available<A>});
}

}  // namespace bench
