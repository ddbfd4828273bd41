#pragma once

// threads.hpp -- what tests of several threads need: threads, locks that know their holder, and
// objects whose contents tell whether two had the same one.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>

#include <support/any_cache.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

namespace support {

/// A mutex that knows how many of its kind the running thread holds.
class KnownLock {
public:
    void lock() {
        mutex_.lock();
        ++held_;
    }
    void unlock() {
        --held_;
        mutex_.unlock();
    }
    [[nodiscard]] static std::size_t held() noexcept { return held_; }

private:
    std::mutex mutex_;
    static inline thread_local std::size_t held_ = 0;
};

/// Runs body(number) in `threads` threads and waits for all of them.
template <typename Body>
void in_threads(std::size_t threads, Body&& body) {
    std::vector<std::thread> all;
    for (std::size_t number = 0; number < threads; ++number)
        all.emplace_back([&body, number] { body(number); });
    for (std::thread& thread : all)
        thread.join();
}

/// Runs `body` in a thread of its own and waits for it.
template <typename Body>
void in_another_thread(Body&& body) {
    std::thread(std::forward<Body>(body)).join();
}

/// An object that is full of its stamp while it is somebody's.
template <std::size_t size, std::size_t alignment = 1>
struct alignas(alignment) Stamped {
    std::byte bytes[size];

    void write(std::uint64_t stamp) noexcept {
        for (std::size_t at = 0; at < size; ++at)
            bytes[at] = pattern(stamp, at);
    }
    [[nodiscard]] bool holds(std::uint64_t stamp) const noexcept {
        for (std::size_t at = 0; at < size; ++at) {
            if (bytes[at] != pattern(stamp, at)) return false;
        }
        return true;
    }

private:
    [[nodiscard]] static std::byte pattern(std::uint64_t stamp, std::size_t at) noexcept {
        return static_cast<std::byte>((stamp * 0x9e37'79b9'7f4a'7c15U) >> (8 * (at % 8)));
    }
};

/// What one thread holds: objects, each with a stamp of its own. No REQUIRE: threads may not.
template <typename T>
class Holding {
public:
    explicit Holding(std::size_t thread) noexcept : stamp_(std::uint64_t{thread} << 48) {}

    [[nodiscard]] std::size_t size() const noexcept { return live_.size(); }
    [[nodiscard]] bool right() const noexcept { return right_; }

    void add(T* object) {
        if (object == nullptr) return;
        if (!slab_allocator::is_aligned(object, alignof(T))) right_ = false;
        live_.push_back({object, ++stamp_});
        object->write(stamp_);
    }
    [[nodiscard]] T* remove(std::size_t rank) {
        const Live live = live_[rank];
        live_[rank] = live_.back();
        live_.pop_back();
        if (!live.object->holds(live.stamp)) right_ = false;
        return live.object;
    }
    [[nodiscard]] T* remove_any(Random& random) { return remove(random.below(live_.size())); }

private:
    struct Live {
        T* object;
        std::uint64_t stamp;
    };
    std::vector<Live> live_;
    std::uint64_t stamp_;
    bool right_ = true;
};

/// Random allocs and frees, and exchange with other threads.
template <typename Cache>
class Exchange {
public:
    using Type = typename Cache::value_type;

    Exchange(Cache& cache, std::size_t most) : cache_(cache), most_(most) {}

    void run(std::size_t thread, std::size_t steps) {
        Random random(seed() + thread);
        Holding<Type> holding(thread + 1);
        std::vector<Sent> got;
        bool right = true;
        for (std::size_t step = 0; step < steps; ++step) {
            const bool grows =
                holding.size() < most_ && random.below(100) < (step / 300 % 2 ? 65U : 35U);
            if (grows) {
                holding.add(cache_.alloc());
            } else if (holding.size() > 0) {
                if (random.one_in(3)) {
                    Type* const object = holding.remove_any(random);
                    object->write(step);
                    const std::lock_guard guard(mutex_);
                    sent_.push_back({object, step});
                } else {
                    cache_.free(holding.remove_any(random));
                }
            }
            if (random.one_in(20)) {
                const std::lock_guard guard(mutex_);
                std::swap(sent_, got);
            }
            for (const Sent& each : got) {
                right = right && each.object->holds(each.stamp);
                cache_.free(each.object);
            }
            got.clear();
        }
        while (holding.size() > 0)
            cache_.free(holding.remove(0));
        if (!right || !holding.right()) right_ = false;
    }

    /// Frees what was sent and got nowhere. Returns: were all contents right?
    [[nodiscard]] bool end() {
        for (const Sent& each : sent_) {
            if (!each.object->holds(each.stamp)) right_ = false;
            cache_.free(each.object);
        }
        sent_.clear();
        return right_;
    }

private:
    struct Sent {
        Type* object;
        std::uint64_t stamp;
    };
    Cache& cache_;
    std::size_t most_;
    std::mutex mutex_;
    std::vector<Sent> sent_;
    std::atomic<bool> right_ = true;
};

/// A row of the backend table, for tests of several threads.
template <std::size_t size, CacheConfig configuration>
struct ThreadRow {
    static constexpr CacheConfig config = configuration;
    using Type = Stamped<size>;
    using Plain = BackendOf<slab_allocator::layout_of<Type, config>.row>;
    using Backend = slab_allocator::LockedBackend<Plain, std::mutex>;

    [[nodiscard]] static Plain plain(TestMemory& memory) {
        Plain plain;
        plain.memory = &memory;
        return plain;
    }
    [[nodiscard]] static Backend backend(TestMemory& memory) { return Backend(plain(memory)); }
};

template <std::size_t size, Checks checks = Checks::misuse>
using MaskRow = ThreadRow<size, CacheConfig{.slab_size = 4096,
                                            .object_size_type = ObjectSizeType::Small,
                                            .checks = checks}>;
template <std::size_t size, Checks checks = Checks::misuse>
using SmallMapRow = ThreadRow<size, CacheConfig{.slab_size = 16384,
                                                .slab_alignment = 4096,
                                                .object_size_type = ObjectSizeType::Small,
                                                .checks = checks}>;
template <std::size_t size, Checks checks = Checks::misuse>
using LargeMapRow = ThreadRow<size, CacheConfig{.slab_size = 8192,
                                                .object_size_type = ObjectSizeType::Large,
                                                .checks = checks}>;
template <std::size_t size, Checks checks = Checks::misuse>
using FramesRow = ThreadRow<size, CacheConfig{.slab_size = 8192,
                                              .object_size_type = ObjectSizeType::Large,
                                              .checks = checks,
                                              .slab_info_lookup = SlabInfoLookup::PageFrames}>;

using EveryThreadRow =
    std::tuple<MaskRow<64>, MaskRow<64, Checks::none>, MaskRow<1200>, SmallMapRow<48>,
               LargeMapRow<64>, LargeMapRow<64, Checks::none>, LargeMapRow<4096>, FramesRow<64>>;

}  // namespace support
