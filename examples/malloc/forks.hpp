#pragma once

// forks.hpp -- what malloc does around a fork, whoever else has handlers for it.
//
//      prepare handlers         the C library takes    the process    the C library   handlers of
//      of others, then ours     the list of files      is copied      lets go         ours, others
//      -------------------------------------------------------------------------------------->
//      first   |<------------ ours: the list of files, then every lock ---------->|
//      else    |<------------ ours: the gate is closed -------------------------->|
//
// Handlers run in the reverse order of their registration before the fork, and in that order after
// it. So who is registered first runs next to the fork. A library that is loaded before the program
// replaces __register_atfork, by which every other library registers, and registers its own
// handlers before the first of them: it holds its locks while nothing of anybody else's runs.
//
// A library that came by dlopen cannot: handlers are registered already. Those run while its own
// prepare handler has run, and may wait for threads that allocate. So it holds nothing then, but
// closes a gate: who takes a lock of malloc takes the C library's list of files first, which fork
// takes before it copies the process, where there are threads. Whoever has it is not copied midway.
//
// The list of files comes before the locks of malloc in both: a thread that flushes all files holds
// it, and may allocate (fopencookie).
//
// Invariants
//   [K1] when the process is copied, no lock of malloc is held, or all are, by the caller of fork

namespace malloc_example {

// The C library exports these, and no header of its declares them.
extern "C" [[gnu::weak]] void _IO_list_lock() noexcept;
extern "C" [[gnu::weak]] void _IO_list_unlock() noexcept;

/// The lock of the list of all files. Its owner may take it again; in the child of a process that
/// had threads it is free.
class FileList {
public:
    static void lock() noexcept {
        if (&_IO_list_lock != nullptr) _IO_list_lock();
    }
    static void unlock() noexcept {
        if (&_IO_list_unlock != nullptr) _IO_list_unlock();
    }
};

/// Closed while a fork is prepared by others, too.
class ForkGate {
public:
    [[nodiscard]] static bool is_closed() noexcept {
        return __atomic_load_n(&forks_number_, __ATOMIC_RELAXED) != 0;
    }
    static void close() noexcept { __atomic_fetch_add(&forks_number_, 1, __ATOMIC_RELAXED); }
    static void open() noexcept { __atomic_fetch_sub(&forks_number_, 1, __ATOMIC_RELAXED); }
    /// In the child, which is alone.
    static void open_wide() noexcept { __atomic_store_n(&forks_number_, 0, __ATOMIC_RELAXED); }

private:
    static inline constinit unsigned forks_number_ = 0;  // several threads may fork at once
};

/// Registers the handlers of malloc, at the first call.
void register_fork_handlers() noexcept;

// ---- What malloc.cpp does -----------------------------------------------------------------------

void lock_everything() noexcept;
void unlock_everything() noexcept;
/// Waits until nobody holds a lock who took it before the gate was closed.
void wait_for_everybody() noexcept;
/// In the child, whose caller is its only thread: every lock is free, fronts of others are lost.
void forget_other_threads() noexcept;

}  // namespace malloc_example
