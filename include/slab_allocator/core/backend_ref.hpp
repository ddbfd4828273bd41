#pragma once

// backend_ref.hpp -- a backend that lies elsewhere, held by reference.
//
//      Cache<A, BackendRef<Pages>> --.
//      Cache<B, BackendRef<Pages>> --+--> Pages        one backend, many caches
//      HashMap<BackendRef<Pages>>  --'
//
// A BackendRef has just the functions that its backend has, with the answers that they have there:
// the backend concept sees through it, and what is missing or misspelt stays so.
//
// Invariants
//   [B1] backend_ is never null, and the backend outlives the reference (not checked).

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

template <typename Backend>
class BackendRef {
public:
    using backend_type = Backend;

    /// Not explicit: a Backend& stands for itself where a BackendRef is asked for.
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr BackendRef(Backend& backend) noexcept : backend_(&backend) {}

    [[nodiscard]] constexpr Backend& get() const noexcept { return *backend_; }

    [[nodiscard]] constexpr decltype(auto) alloc_slab(std::size_t slab_size,
                                                      std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        return backend_->alloc_slab(slab_size, slab_alignment);
    }

    constexpr decltype(auto) free_slab(void* slab, std::size_t slab_size,
                                       std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        return backend_->free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] constexpr decltype(auto) resize_slab(void* slab, std::size_t before,
                                                       std::size_t after,
                                                       std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) {
            backend.resize_slab(slab, before, after, slab_alignment);
        }
    {
        return backend_->resize_slab(slab, before, after, slab_alignment);
    }

    constexpr decltype(auto) discard(void* start, std::size_t bytes) const noexcept
        requires requires(Backend& backend) { backend.discard(start, bytes); }
    {
        return backend_->discard(start, bytes);
    }
    constexpr decltype(auto) advise_huge_pages(void* start, std::size_t bytes,
                                               bool wanted) const noexcept
        requires requires(Backend& backend) { backend.advise_huge_pages(start, bytes, wanted); }
    {
        return backend_->advise_huge_pages(start, bytes, wanted);
    }

    [[nodiscard]] constexpr decltype(auto) alloc_slab_info() const noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        return backend_->alloc_slab_info();
    }

    constexpr decltype(auto) free_slab_info(SlabInfo* slab_info) const noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        return backend_->free_slab_info(slab_info);
    }

    constexpr decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr,
                                                SlabInfo* slab_info) const noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        return backend_->save_slab_info_ptr(page_addr, slab_info);
    }

    [[nodiscard]] constexpr decltype(auto) get_slab_info_ptr(
        std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        return backend_->get_slab_info_ptr(page_addr);
    }

    constexpr decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        return backend_->delete_slab_info_ptr(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) slab_info_at(std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        return backend_->slab_info_at(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) secret() const noexcept
        requires requires(Backend& backend) { backend.secret(); }
    {
        return backend_->secret();
    }

private:
    Backend* backend_;  // [B1]
};

template <typename Backend>
inline constexpr bool bears_threads<BackendRef<Backend>> = bears_threads<Backend>;

}  // namespace slab_allocator
