#pragma once

// thread_cpus.hpp -- the policy of a program: a slot for each live thread. Hosted.
//
//      live threads   A     B           C
//      slots        | 0 |   1 |  2 |    3 | ...     the lowest free one, from a bitmap
//
// A thread gets its number in its first slow path, and gives it back when it ends, from where the
// next thread takes it, with the magazines that lie in the slot: however many threads come and go,
// only as many slots are in use as threads lived at one time. A thread beyond `most_threads` has
// none, and goes under the lock; so does one that allocates in a destructor of its thread_locals
// that runs after this one's.
//
// On Linux, other threads' slots are reached by the membarrier system call (4.14). Elsewhere they
// are not: what lies in them comes back when the cache is destroyed. In the child of a fork, the
// numbers of the threads that are not there any more stay taken.
//
// Invariants
//   [T1] a bit of taken_ is set  <=>  a live thread has that number as its index_
//   [T2] index_ == most_threads before the first join() and from the end of the thread on

#include <sched.h>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/magazine/cpus.hpp>

namespace slab_allocator {

/// All policies with the same `most_threads` share the numbers of the threads. Not for signal
/// handlers: one that interrupts an alloc or a free must not call the same cache.
template <std::size_t most_threads = 64>
class ThreadCpus {
public:
    static constexpr std::size_t slots_number = most_threads;

    struct Pin {
        std::size_t index;
    };

    [[nodiscard]] static Pin enter() noexcept { return {index_}; }
    static void leave(const Pin&) noexcept {}

    /// Costs: nothing where the thread has a slot, else one atomic exchange where one is free.
    static void join() noexcept {
        if (index_ != most_threads || ended_) return;
        static thread_local const AtEnd at_end;
        static_cast<void>(&at_end);
        index_ = take_lowest();
    }

    [[nodiscard]] static bool synchronise() noexcept {
#if defined(__linux__)
        // Registering again costs little, and after a fork it is needed.
        return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
               ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
        return false;
#endif
    }

    static void wait() noexcept { ::sched_yield(); }

    /// How many threads have a slot at this moment.
    [[nodiscard]] static std::size_t threads_number() noexcept {
        std::size_t sum = 0;
        for (std::uint64_t& word : taken_)
            sum += bits_number(__atomic_load_n(&word, __ATOMIC_RELAXED));
        return sum;
    }

private:
    static constexpr std::size_t bits = 64;

    struct AtEnd {
        AtEnd() noexcept {}
        AtEnd(const AtEnd&) = delete;
        AtEnd& operator=(const AtEnd&) = delete;
        ~AtEnd() {
            const std::size_t index = index_;
            ended_ = true;
            index_ = most_threads;  // [T2]
            if (index == most_threads) return;
            // Release: what this thread left in the slot is the next one's.
            __atomic_fetch_and(&taken_[index / bits], ~(std::uint64_t{1} << (index % bits)),
                               __ATOMIC_RELEASE);
        }
    };

    [[nodiscard]] static std::size_t take_lowest() noexcept {
        for (std::size_t word = 0; word < divide_up(most_threads, bits); ++word) {
            std::uint64_t taken = __atomic_load_n(&taken_[word], __ATOMIC_RELAXED);
            while (~taken != 0) {
                const std::size_t bit = lowest_bit(~taken);
                if (word * bits + bit >= most_threads) return most_threads;
                if (__atomic_compare_exchange_n(&taken_[word], &taken,
                                                taken | (std::uint64_t{1} << bit), false,
                                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
                    return word * bits + bit;  // [T1]
                }
            }
        }
        return most_threads;
    }

    // constinit: reached without asking whether they were initialised.
    static inline constinit thread_local std::size_t index_ = most_threads;
    static inline constinit thread_local bool ended_ = false;
    static inline constinit std::uint64_t taken_[divide_up(most_threads, bits)] = {};
};

}  // namespace slab_allocator
