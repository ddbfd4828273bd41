#pragma once

// thread_slots.hpp -- a slot for each thread, without a byte of malloc: the policy of malloc.
//
//      join()      the lowest free number, and a pthread key whose destructor gives it back
//      the end     of a thread: its number, with the front that it has, is the next thread's
//
// ThreadCpus does the same with a thread_local that has a destructor, and registering that calls
// calloc. Here the number is in the thread's static TLS (initial-exec), which is there from its
// first instruction on, and the key is made before there is a second thread.

#include <pthread.h>

#include <cstddef>

#include <slab_allocator/magazine/cpu_slot.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/slot_numbers.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

namespace malloc_example {

class ThreadSlots {
public:
    static constexpr std::size_t slots_number = 256;

    struct Pin {
        std::size_t offset;
    };

    [[nodiscard]] static Pin enter() noexcept { return {index_ * slab_allocator::cpu_slot_size}; }
    static void leave(const Pin&) noexcept {}
    static void join() noexcept {
        if (index_ != slots_number || ended_) return;
        index_ = numbers_.take();
        if (key_made_) pthread_setspecific(key_, &index_);
    }
    [[nodiscard]] static slab_allocator::Reach synchronise() noexcept {
        return slab_allocator::ThreadCpus<>::synchronise();
    }
    static void wait() noexcept { slab_allocator::ThreadCpus<>::wait(); }

    /// Before main; what the first thread has by then, it keeps.
    static void make_key() noexcept {
        key_made_ = pthread_key_create(&key_, &at_end) == 0;
        if (key_made_ && index_ != slots_number) pthread_setspecific(key_, &index_);
    }

    /// In the child of a fork the caller is alone, and keeps its number.
    static void forget_others() noexcept {
        numbers_ = {};
        if (index_ == slots_number) return;
        while (numbers_.take() != index_) {
        }
        for (std::size_t lower = 0; lower < index_; ++lower)
            numbers_.give_back(lower);
    }

private:
    static void at_end(void*) noexcept {
        const std::size_t index = index_;
        ended_ = true;  // destructors that run later go under the lock
        index_ = slots_number;
        if (index != slots_number) numbers_.give_back(index);
    }

    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local std::size_t index_ =
        slots_number;
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local bool ended_ = false;
    static inline constinit slab_allocator::SlotNumbers<slots_number> numbers_;
    static inline pthread_key_t key_ = 0;
    static inline bool key_made_ = false;
};

}  // namespace malloc_example
