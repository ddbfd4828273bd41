#pragma once

// secret.hpp -- what only one cache knows: the key of its guards and of its slabs' identities.
//
//      backend's secret(), or addresses --> live_ --mixed--> free_ --mixed--> state_ --> next()
//                                             |                |
//      the canary of an address            of a live one    of a free one      both: of a SlabInfo

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/memory_backend.hpp>

namespace slab_allocator {

namespace detail {

/// A permutation of 64 bits in which each bit of the result depends on all. (Steele, Lea and Flood
/// 2014, the finaliser of SplitMix.)
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9U;
    value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11ebU;
    return value ^ (value >> 31);
}

}  // namespace detail

/// Secrets of one cache and random numbers that follow from them: SplitMix, no secrets of
/// cryptography. Who can read a canary knows all of its kind.
class Secret {
public:
    /// The first call counts. The entropy is the backend's `std::uint64_t secret()`, where it has
    /// one, else that of addresses: the cache's and its first slab's. Two caches with the same
    /// differ.
    template <typename Backend>
    void seed([[maybe_unused]] Backend& backend, [[maybe_unused]] const std::byte* slab,
              const void* cache) noexcept {
        if (live_ != 0) return;
        std::uint64_t entropy = 0;
        if constexpr (backend_has::secret<Backend>) {
            entropy = backend.secret();
        } else {
            entropy = detail::mixed(address_of(slab)) ^ address_of(cache);
        }
        live_ = detail::mixed(entropy ^ detail::mixed(address_of(cache))) | 1;
        free_ = detail::mixed(live_);
        state_ = detail::mixed(free_);
    }
    [[nodiscard]] std::uint64_t of_live(std::uintptr_t address) const noexcept {
        return address ^ live_;
    }
    [[nodiscard]] std::uint64_t of_free(std::uintptr_t address) const noexcept {
        return address ^ free_;
    }
    [[nodiscard]] std::uint64_t of_slab_info(std::uintptr_t address) const noexcept {
        return detail::mixed(address ^ state_of_infos());
    }
    [[nodiscard]] std::uint64_t next() noexcept {
        return detail::mixed(state_ += 0x9e37'79b9'7f4a'7c15U);
    }

private:
    [[nodiscard]] std::uint64_t state_of_infos() const noexcept { return live_ + free_; }

    std::uint64_t live_ = 0;
    std::uint64_t free_ = 0;
    std::uint64_t state_ = 0;
};

}  // namespace slab_allocator
