#pragma once

// effort.hpp -- how the tests are built, for those that take as long as they are allowed to.

namespace support {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif
#else
inline constexpr bool address_sanitizer = false;
#endif

#if defined(__OPTIMIZE__)
inline constexpr bool optimised = true;
#else
inline constexpr bool optimised = false;
#endif

#if defined(__clang__)
inline constexpr bool clang = true;
#else
inline constexpr bool clang = false;
#endif

}  // namespace support
