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

    [[nodiscard]] static Pin enter() noexcept { return {offset_}; }
    static void leave(const Pin&) noexcept {}
    static void join() noexcept {
        if (offset_ != none || ended_) return;
        offset_ = numbers_.take() * slab_allocator::cpu_slot_size;
        if (key_made_) pthread_setspecific(key_, &offset_);
    }
    [[nodiscard]] static slab_allocator::Reach synchronise() noexcept {
        return slab_allocator::ThreadCpus<>::synchronise();
    }
    static void wait() noexcept { slab_allocator::ThreadCpus<>::wait(); }

    /// At level debug: the call of malloc's that this thread is in returns to here.
    static void set_caller(const void* address) noexcept { caller_ = address; }
    [[nodiscard]] static const void* caller() noexcept { return caller_; }

    /// Before main; what the first thread has by then, it keeps.
    static void make_key() noexcept {
        key_made_ = pthread_key_create(&key_, &at_end) == 0;
        if (key_made_ && offset_ != none) pthread_setspecific(key_, &offset_);
    }

    /// In the child of a fork the caller is alone, and keeps its number.
    static void forget_others() noexcept {
        numbers_.keep_only(offset_ / slab_allocator::cpu_slot_size);
    }

private:
    static constexpr std::size_t none = slots_number * slab_allocator::cpu_slot_size;

    static void at_end(void*) noexcept {
        const std::size_t offset = offset_;
        ended_ = true;  // destructors that run later go under the lock
        offset_ = none;
        if (offset != none) numbers_.give_back(offset / slab_allocator::cpu_slot_size);
    }

    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local std::size_t offset_ =
        none;
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local bool ended_ = false;
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local const void* caller_ =
        nullptr;
    static inline constinit slab_allocator::SlotNumbers<slots_number> numbers_;
    static inline pthread_key_t key_ = 0;
    static inline bool key_made_ = false;
};

}  // namespace malloc_example
