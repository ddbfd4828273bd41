#pragma once

// lock.hpp -- one CPU at a time, and no interrupt of it meanwhile.
//
// An interrupt handler that allocates wants the locks of the code that it interrupted. So whoever
// takes a lock switches interrupts off first, or its CPU waits for itself.
//
// KERNEL_WITHOUT builds a kernel that leaves one thing out, to show that the tests notice.

#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "machine.hpp"

namespace kernel {

enum class Without { Nothing, Lock, InterruptSave, Pin, CpuIndex, MagazineLock, Barrier };
#ifndef KERNEL_WITHOUT
#define KERNEL_WITHOUT Nothing
#endif
constexpr Without without = Without::KERNEL_WITHOUT;

[[noreturn]] void panic(const char* why) noexcept;

class SpinLock {
public:
    void lock() noexcept {
        const std::uint32_t self = static_cast<std::uint32_t>(this_cpu()) + 1;
        std::uint32_t holder = 0;
        while (!__atomic_compare_exchange_n(&holder_, &holder, self, false, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED)) {
            if (holder == self) panic("this CPU waits for a lock that it holds");
            while (__atomic_load_n(&holder_, __ATOMIC_RELAXED) != 0)
                pause();
            holder = 0;
        }
    }
    void unlock() noexcept { __atomic_store_n(&holder_, 0, __ATOMIC_RELEASE); }

private:
    std::uint32_t holder_ = 0;  // the number of the CPU, from 1
};

/// Holds a lock until it goes out of scope.
template <bool locked = true, bool saved = true>
class BasicGuard {
public:
    explicit BasicGuard(SpinLock& lock) noexcept : lock_(lock) {
        if constexpr (saved) flags_ = save_interrupts();
        if constexpr (locked) lock_.lock();
    }
    BasicGuard(const BasicGuard&) = delete;
    BasicGuard& operator=(const BasicGuard&) = delete;
    ~BasicGuard() {
        if constexpr (locked) lock_.unlock();
        if constexpr (saved) restore_interrupts(flags_);
    }

private:
    SpinLock& lock_;
    std::uint64_t flags_ = 0;
};

// [lock]
/// The same as an object with lock() and unlock(), which LockedCache, MagazineCache and
/// LockedBackend want.
template <bool locked = true>
class BasicInterruptSafeLock {
public:
    void lock() noexcept {
        const std::uint64_t flags = save_interrupts();
        if constexpr (locked) lock_.lock();
        flags_ = flags;  // of the one who holds it
    }
    void unlock() noexcept {
        const std::uint64_t flags = flags_;
        if constexpr (locked) lock_.unlock();
        restore_interrupts(flags);
    }

private:
    SpinLock lock_;
    std::uint64_t flags_ = 0;
};
// [/lock]

using Guard = BasicGuard<>;
using MemoryGuard = BasicGuard<without != Without::Lock, without != Without::InterruptSave>;

}  // namespace kernel
