#pragma once

// locked_backend.hpp -- a backend that several threads may call, made of one that they may not.
//
//      LockedCache --.
//      LockedCache --+--> LockedBackend: | lock | Backend |     one call at a time
//      MagazineCache '
//
// The caches of this floor call their backend from several threads at once. A backend that is not
// made for that gets a lock of its own here, which is held in each call, so such a backend must not
// call a cache that stands on it. Each look-up takes the lock, too: maps whose readers need none
// (FlatMap, RadixMap) do without this room where their writers are kept apart.
//
// Invariants
//   [K1] backend_ is used with lock_ held, but by get()

#include <concepts>
#include <utility>

#include <slab_allocator/magazine/forwarding_backend.hpp>
#include <slab_allocator/magazine/lock.hpp>

namespace slab_allocator {

/// Has the functions that Backend has. Caches that share one hold it by BackendRef.
template <typename Backend, BasicLockable Lock>
class LockedBackend : public ForwardingBackend<LockedBackend<Backend, Lock>, Backend> {
public:
    constexpr LockedBackend() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedBackend(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}
    /// Requires: nobody uses `other`.
    constexpr LockedBackend(LockedBackend&& other) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(other.backend_)) {}

    /// The backend itself, without the lock.
    [[nodiscard]] constexpr Backend& get() noexcept { return backend_; }

private:
    friend ForwardingBackend<LockedBackend, Backend>;

    template <typename Call>
    decltype(auto) around(Call call) noexcept {
        const LockGuard<Lock> guard(lock_);  // [K1]
        return call(backend_);
    }
    template <typename Call>
    decltype(auto) look_up(Call call) noexcept {
        return around(call);
    }

    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
};

}  // namespace slab_allocator
