#pragma once

// forwarding_backend.hpp -- the functions of a backend, passed on to another one.
//
//      cache --alloc_slab--> Derived: | something | backend.alloc_slab | something |
//
// Who stands in front of a backend says what happens around a call, once for all functions:
//
//      around(call)     call(backend), with whatever Derived does before and after it
//      look_up(call)    the same for the two look-ups, which stand in the middle of each free
//
// Derived has just the functions that Backend has, with the answers that they have there: the
// backend concept sees through it, and what is missing or misspelt stays so.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

/// A base class of Derived.
template <typename Derived, typename Backend>
class ForwardingBackend {
public:
    using backend_type = Backend;

    [[nodiscard]] decltype(auto) alloc_slab(std::size_t slab_size,
                                            std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.alloc_slab(slab_size, slab_alignment);
        });
    }

    decltype(auto) free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.free_slab(slab, slab_size, slab_alignment);
        });
    }

    [[nodiscard]] decltype(auto) resize_slab(void* slab, std::size_t before, std::size_t after,
                                             std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) {
            backend.resize_slab(slab, before, after, slab_alignment);
        }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.resize_slab(slab, before, after, slab_alignment);
        });
    }

    [[nodiscard]] decltype(auto) alloc_slab_info() noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        return derived().around(
            [](Backend& backend) -> decltype(auto) { return backend.alloc_slab_info(); });
    }

    decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        return derived().around(
            [&](Backend& backend) -> decltype(auto) { return backend.free_slab_info(slab_info); });
    }

    decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.save_slab_info_ptr(page_addr, slab_info);
        });
    }

    decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.delete_slab_info_ptr(page_addr);
        });
    }

    [[nodiscard]] decltype(auto) secret() noexcept
        requires requires(Backend& backend) { backend.secret(); }
    {
        return derived().around(
            [](Backend& backend) -> decltype(auto) { return backend.secret(); });
    }

    // ---- The look-ups ---------------------------------------------------------------------------

    [[nodiscard]] decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        return derived().look_up([&](Backend& backend) -> decltype(auto) {
            return backend.get_slab_info_ptr(page_addr);
        });
    }

    [[nodiscard]] decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        return derived().look_up(
            [&](Backend& backend) -> decltype(auto) { return backend.slab_info_at(page_addr); });
    }

private:
    friend Derived;
    constexpr ForwardingBackend() noexcept = default;

    [[nodiscard]] constexpr Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

}  // namespace slab_allocator
