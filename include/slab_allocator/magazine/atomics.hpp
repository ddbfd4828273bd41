#pragma once

// atomics.hpp -- every access to memory that CPUs share without a lock, in one place.
//
//      CpuSlot, Depot, Token, SlotNumbers --> Atomics::load_acquire(word) --> the machine
//                                                      |
//                                                      '--> a scheduler that tries every order
//
// The machine's are the compiler's builtins, since kernels have no <atomic>. A policy, so that a
// test can put itself in their place, run the code as it is, and decide after each of them which
// CPU is next, and whether the others see a store already (tests/interleavings).

#include <cstddef>
#include <cstdint>

namespace slab_allocator {

struct BuiltinAtomics {
    template <typename T>
    [[nodiscard]] static T load_relaxed(const T& word) noexcept {
        return __atomic_load_n(&word, __ATOMIC_RELAXED);
    }
    template <typename T>
    [[nodiscard]] static T load_acquire(const T& word) noexcept {
        return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
    }
    template <typename T>
    static void store_relaxed(T& word, T value) noexcept {
        __atomic_store_n(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static void store_release(T& word, T value) noexcept {
        __atomic_store_n(&word, value, __ATOMIC_RELEASE);
    }

    // ---- Read, modify and write: all return what was there --------------------------------------

    /// A full barrier, too.
    template <typename T>
    static T exchange(T& word, T value) noexcept {
        return __atomic_exchange_n(&word, value, __ATOMIC_SEQ_CST);
    }
    template <typename T>
    static T fetch_add_relaxed(T& word, T value) noexcept {
        return __atomic_fetch_add(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static T fetch_sub_relaxed(T& word, T value) noexcept {
        return __atomic_fetch_sub(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static T fetch_and_release(T& word, T value) noexcept {
        return __atomic_fetch_and(&word, value, __ATOMIC_RELEASE);
    }
    /// Returns: whether `expected` was there and `value` is; else `expected` is what is there.
    template <typename T>
    [[nodiscard]] static bool compare_exchange_acquire(T& word, T& expected, T value) noexcept {
        return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED);
    }

    /// The same for a word that leads to what the caller made: whoever reads it sees that whole.
    template <typename T>
    [[nodiscard]] static bool compare_exchange_publishing(T& word, T& expected, T value) noexcept {
        return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_ACQUIRE);
    }

    // ---- What costs no instruction --------------------------------------------------------------

    /// The compiler moves no access over this. What another CPU sees, a barrier there decides.
    static void compiler_fence() noexcept { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

    /// The caller is about to use what belongs to it alone, or to who holds its lock. For a test
    /// that knows who did so before, and whether it could know.
    static void touch(const void*) noexcept {}

    /// The caller is about to read, or to write, a word that is its own, but for a mistake of the
    /// user's (a second free).
    static void look_at(const void*) noexcept {}
    static void change(const void*) noexcept {}
};

}  // namespace slab_allocator
