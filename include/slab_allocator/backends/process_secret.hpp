#pragma once

// process_secret.hpp -- a number that nobody outside of this process can guess: what the guards of
// levels hardened and debug make their key of. Hosted.
//
//      system's random numbers --once--> process_secret() --> backend.secret() --> each cache's key
//
// From getentropy (POSIX.1-2024). Where the system has none, or refuses, it is made of an address
// and of the time, which is better than what an attacker knows, and worse than what one must hope.

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif

#include <cstdint>
#include <ctime>

#include <slab_allocator/core/align.hpp>

namespace slab_allocator {

namespace detail {

[[nodiscard]] inline std::uint64_t ask_for_secret() noexcept {
    std::uint64_t secret = 0;
#if __has_include(<sys/random.h>)
    if (::getentropy(&secret, sizeof secret) == 0) return secret;
#endif
    return address_of(&secret) ^ static_cast<std::uint64_t>(std::time(nullptr)) << 20U;
}

}  // namespace detail

/// Always the same in a process. Costs: the first call asks the system. Any thread may call it.
[[nodiscard]] inline std::uint64_t process_secret() noexcept {
    static const std::uint64_t secret = detail::ask_for_secret();
    return secret;
}

}  // namespace slab_allocator
