#pragma once

// lock.hpp -- what a lock must do, and holding or leaving it for a scope.
//
//      LockGuard guard(lock);        ... | locked ...... | ...
//      UnlockGuard guard(lock);      locked ... | unlocked ...... | locked ...
//
// The standard's names without <mutex>, which kernels do not have.

namespace slab_allocator {

/// The standard's BasicLockable: std::mutex is one, and a kernel's spin lock in two lines.
template <typename Lock>
concept BasicLockable = requires(Lock& lock) {
    lock.lock();
    lock.unlock();
};

template <BasicLockable Lock>
class [[nodiscard]] LockGuard {
public:
    explicit LockGuard(Lock& lock) noexcept : lock_(lock) { lock_.lock(); }
    LockGuard(const LockGuard&) = delete;
    LockGuard& operator=(const LockGuard&) = delete;
    ~LockGuard() { lock_.unlock(); }

private:
    Lock& lock_;
};

/// Requires: the lock is held.
template <BasicLockable Lock>
class [[nodiscard]] UnlockGuard {
public:
    explicit UnlockGuard(Lock& lock) noexcept : lock_(lock) { lock_.unlock(); }
    UnlockGuard(const UnlockGuard&) = delete;
    UnlockGuard& operator=(const UnlockGuard&) = delete;
    ~UnlockGuard() { lock_.lock(); }

private:
    Lock& lock_;
};

}  // namespace slab_allocator
