#pragma once

// unlocking_backend.hpp -- a lock, and a backend that is called with it released.
//
//      cache, locked --alloc_slab--> unlock | backend.alloc_slab | lock --> cache, locked
//      cache, locked --get_slab_info_ptr--> backend.get_slab_info_ptr ----> cache, locked
//
// A cache calls its backend on slow paths only, with every list in order before the call, and looks
// at them again after it ([I1], slab_set.hpp). So others may have the cache meanwhile: the backend
// itself, which may call the cache that calls it, and other threads. The two look-ups stand in the
// middle of each free, and are as fast as they must be; the lock stays locked around them.
//
// Invariants
//   [U1] a function but the look-ups is called with the lock released, and returns with it held
//   [U2] from no_longer_shared() on, the lock is not touched: the last thread takes the cache apart

#include <concepts>
#include <utility>

#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/magazine/forwarding_backend.hpp>
#include <slab_allocator/magazine/lock.hpp>

namespace slab_allocator {

/// Has the functions that Backend has. A move takes the backend along, not the lock.
template <typename Backend, BasicLockable Lock>
class UnlockingBackend : public ForwardingBackend<UnlockingBackend<Backend, Lock>, Backend> {
    static_assert(bears_threads<Backend>,
                  "several threads call this backend at once, with no lock of the cache or heap "
                  "held, and it bears one: take LockedBackend<Backend, Lock>");

public:
    constexpr UnlockingBackend() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit UnlockingBackend(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}
    constexpr UnlockingBackend(UnlockingBackend&& other) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(other.backend_)) {}

    [[nodiscard]] constexpr Backend& get() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& get() const noexcept { return backend_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return lock_; }

    /// For the destructor of what was locked [U2].
    constexpr void no_longer_shared() noexcept { shared_ = false; }

private:
    friend ForwardingBackend<UnlockingBackend, Backend>;

    template <typename Call>
    decltype(auto) around(Call call) noexcept {
        if (!shared_) return call(backend_);   // [U2]
        const UnlockGuard<Lock> guard(lock_);  // [U1]
        return call(backend_);
    }
    template <typename Call>
    decltype(auto) look_up(Call call) noexcept {
        return call(backend_);
    }

    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
    bool shared_ = true;
};

}  // namespace slab_allocator
