#pragma once

// serial.hpp -- text for whoever listens at the first serial port.

#include <cstddef>
#include <cstdint>

#include "lock.hpp"

namespace kernel {

/// A number in base 16.
struct Hex {
    std::uint64_t value;
};

/// A number or text, filled up with spaces: numbers to the right, text to the left.
struct Column {
    constexpr Column(std::uint64_t number, std::size_t columns) noexcept
        : value(number), width(columns) {}
    constexpr Column(const char* words, std::size_t columns) noexcept
        : text(words), width(columns) {}
    const char* text = nullptr;
    std::uint64_t value = 0;
    std::size_t width = 0;
};

/// Tenths, as 12.3.
struct Tenths {
    std::uint64_t value;
    std::size_t width;
};

namespace serial {

void start() noexcept;
void put(const char* text) noexcept;
void put(const char* text, std::size_t size) noexcept;
void put(std::uint64_t number) noexcept;
void put(Hex number) noexcept;
void put(Column column) noexcept;
void put(Tenths number) noexcept;
inline void put(const void* address) noexcept {
    put(Hex{reinterpret_cast<std::uint64_t>(address)});
}

inline constinit SpinLock lock;

// [sink]
/// Where the library's reports go.
struct Sink {
    void write(const char* text, std::size_t size) const noexcept { put(text, size); }
};
// [/sink]

}  // namespace serial

/// Prints all of it in one piece, whoever else prints.
template <typename... Parts>
void print(Parts... parts) noexcept {
    const Guard guard(serial::lock);
    (serial::put(parts), ...);
}

/// What cannot be: says why, and leaves.
[[noreturn]] void panic(const char* why) noexcept;

}  // namespace kernel
