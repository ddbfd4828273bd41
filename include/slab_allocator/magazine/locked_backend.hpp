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
#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/magazine/lock.hpp>

namespace slab_allocator {

/// Has the functions that Backend has. Caches that share one hold it by BackendRef.
template <typename Backend, BasicLockable Lock>
class LockedBackend {
public:
    using backend_type = Backend;

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

    [[nodiscard]] decltype(auto) alloc_slab(std::size_t slab_size,
                                            std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.alloc_slab(slab_size, slab_alignment);
    }

    decltype(auto) free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] decltype(auto) alloc_slab_info() noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.alloc_slab_info();
    }

    decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.free_slab_info(slab_info);
    }

    decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.save_slab_info_ptr(page_addr, slab_info);
    }

    [[nodiscard]] decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.get_slab_info_ptr(page_addr);
    }

    decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.delete_slab_info_ptr(page_addr);
    }

    [[nodiscard]] decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        const LockGuard<Lock> guard(lock_);
        return backend_.slab_info_at(page_addr);
    }

private:
    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
};

}  // namespace slab_allocator
