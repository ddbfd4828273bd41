#pragma once

// unlocking_backend.hpp -- a lock, and a backend that is called with it released.
//
//      cache, locked --alloc_slab--> unlock | backend.alloc_slab | lock --> cache, locked
//      cache, locked --get_slab_info_ptr--> backend.get_slab_info_ptr ----> cache, locked
//
// A cache calls its backend on slow paths only, with every list in order before the call, and looks
// at them again after it ([C3] of cache.hpp). So others may have the cache meanwhile: the backend
// itself, which may call the cache that calls it, and other threads. The two look-ups stand in the
// middle of each free, and are as fast as they must be; the lock stays locked around them.
//
// Invariants
//   [U1] a function but the look-ups is called with the lock released, and returns with it held
//   [U2] from no_longer_shared() on, the lock is not touched: the last thread takes the cache apart

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/magazine/lock.hpp>

namespace slab_allocator {

/// Has the functions that Backend has. A move takes the backend along, not the lock.
template <typename Backend, BasicLockable Lock>
class UnlockingBackend {
public:
    using backend_type = Backend;

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

    [[nodiscard]] decltype(auto) alloc_slab(std::size_t slab_size,
                                            std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        return unlocked([&]() -> decltype(auto) {  //
            return backend_.alloc_slab(slab_size, slab_alignment);
        });
    }

    decltype(auto) free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        return unlocked([&]() -> decltype(auto) {
            return backend_.free_slab(slab, slab_size, slab_alignment);
        });
    }

    [[nodiscard]] decltype(auto) alloc_slab_info() noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        return unlocked([&]() -> decltype(auto) { return backend_.alloc_slab_info(); });
    }

    decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        return unlocked([&]() -> decltype(auto) { return backend_.free_slab_info(slab_info); });
    }

    decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        return unlocked(
            [&]() -> decltype(auto) { return backend_.save_slab_info_ptr(page_addr, slab_info); });
    }

    decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        return unlocked([&]() -> decltype(auto) {  //
            return backend_.delete_slab_info_ptr(page_addr);
        });
    }

    // ---- The look-ups ---------------------------------------------------------------------------

    [[nodiscard]] decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        return backend_.get_slab_info_ptr(page_addr);
    }

    [[nodiscard]] decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        return backend_.slab_info_at(page_addr);
    }

private:
    template <typename Call>
    decltype(auto) unlocked(Call call) noexcept {
        if (!shared_) return call();           // [U2]
        const UnlockGuard<Lock> guard(lock_);  // [U1]
        return call();
    }

    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
    bool shared_ = true;
};

}  // namespace slab_allocator
