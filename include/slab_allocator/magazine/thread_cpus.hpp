#pragma once

// thread_cpus.hpp -- the policy of a program: a slot for each live thread. Hosted.
//
//      live threads   A     B           C
//      slots        | 0 |   1 |  2 |    3 | ...     the lowest free one (slot_numbers.hpp)
//
// A thread gets its number in its first slow path, and gives it back when it ends, from where the
// next thread takes it, with the magazines that lie in the slot: however many threads come and go,
// only as many slots are in use as threads lived at one time. A thread beyond `most_threads` has
// none, and goes under the lock; so does one that allocates in a destructor of its thread_locals
// that runs after this one's.
//
// On Linux, other threads' slots are reached by the membarrier system call (4.14). Elsewhere they
// are not: what lies in them comes back when the cache is destroyed. In the child of a fork, the
// numbers of the threads that are not there any more stay taken until after_fork_in_child().
//
// Invariants
//   [T1] a number is taken  <=>  a live thread has it, as its offset_
//   [T2] offset_ == none before the first join() and from the end of the thread on

#include <sched.h>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstddef>

#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/slot_numbers.hpp>

namespace slab_allocator {

/// All policies with the same `most_threads` share the numbers of the threads. Not for signal
/// handlers: one that interrupts an alloc or a free must not call the same cache.
template <std::size_t most_threads = 64>
class ThreadCpus : public PinnedCpus<ThreadCpus<most_threads>> {
public:
    static constexpr std::size_t slots_number = most_threads;

    struct Pin {
        std::size_t offset;
    };

    [[nodiscard]] static Pin enter() noexcept { return {offset_}; }
    static void leave(const Pin&) noexcept {}

    /// Costs: nothing where the thread has a slot, else one atomic exchange where one is free.
    static void join() noexcept {
        if (offset_ != none || ended_) return;
        static thread_local const AtEnd at_end;
        static_cast<void>(&at_end);
        offset_ = numbers_.take() * cpu_slot_size;
    }

    [[nodiscard]] static Reach synchronise() noexcept {
#if defined(__linux__)
        // Registering again costs little, and after a fork it is needed.
        if (::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
            ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) {
            return Reach::objects;
        }
#endif
        return Reach::own;
    }

    static void wait() noexcept { ::sched_yield(); }

    /// New threads take the slots over, with what is in them.
    static void after_fork_in_child() noexcept { numbers_.keep_only(offset_ / cpu_slot_size); }

    /// How many threads have a slot at this moment.
    [[nodiscard]] static std::size_t threads_number() noexcept { return numbers_.taken_number(); }

private:
    static constexpr std::size_t none = most_threads * cpu_slot_size;  // the closed slot

    struct AtEnd {
        AtEnd() noexcept {}
        AtEnd(const AtEnd&) = delete;
        AtEnd& operator=(const AtEnd&) = delete;
        ~AtEnd() {
            const std::size_t offset = offset_;
            ended_ = true;
            offset_ = none;  // [T2]
            if (offset != none) numbers_.give_back(offset / cpu_slot_size);
        }
    };

    // constinit: reached without asking whether they were initialised.
    static inline constinit thread_local std::size_t offset_ = none;
    static inline constinit thread_local bool ended_ = false;
    static inline constinit SlotNumbers<most_threads> numbers_;
};

}  // namespace slab_allocator
