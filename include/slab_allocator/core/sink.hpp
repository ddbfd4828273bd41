#pragma once

// sink.hpp -- where text goes: anything that takes characters and their number.
//
//      write("dentry", 6)      a serial line, a file, a ring buffer, a string
//
// The reports need nothing else of the world: no allocation, no printf, no locale. What a sink does
// with what it cannot take is its own affair.

#include <concepts>
#include <cstddef>
#include <span>

namespace slab_allocator {

/// Takes `size` characters, which no null follows.
template <typename T>
concept Sink = requires(T& sink, const char* text, std::size_t size) { sink.write(text, size); };

/// A sink into an array of the caller's; what does not fit is dropped, and counted.
class ArraySink {
public:
    constexpr explicit ArraySink(std::span<char> array) noexcept : array_(array) {}

    constexpr void write(const char* text, std::size_t size) noexcept {
        for (std::size_t index = 0; index < size; ++index) {
            if (size_ < array_.size()) array_[size_] = text[index];
            ++size_;
        }
    }

    [[nodiscard]] constexpr std::span<const char> text() const noexcept {
        return array_.first(size_ < array_.size() ? size_ : array_.size());
    }
    [[nodiscard]] constexpr std::size_t dropped_number() const noexcept {
        return size_ < array_.size() ? 0 : size_ - array_.size();
    }

private:
    std::span<char> array_;
    std::size_t size_ = 0;
};

namespace detail {

constexpr std::size_t length_of(const char* text) noexcept {
    std::size_t length = 0;
    while (text[length] != '\0')
        ++length;
    return length;
}

/// Text and numbers into a sink, in columns.
template <Sink Out>
class Writer {
public:
    constexpr explicit Writer(Out& sink) noexcept : sink_(sink) {}

    constexpr void text(const char* text) { sink_.write(text, length_of(text)); }
    constexpr void character(char character) { sink_.write(&character, 1); }

    constexpr void spaces(std::size_t number) {
        for (; number > 0; --number)
            character(' ');
    }
    /// At least `width` wide, the text on the left.
    constexpr void left(const char* text_, std::size_t width) {
        text(text_);
        if (length_of(text_) < width) spaces(width - length_of(text_));
    }
    /// At least `width` wide, the text on the right.
    constexpr void right(const char* text_, std::size_t width) {
        if (length_of(text_) < width) spaces(width - length_of(text_));
        text(text_);
    }
    constexpr void number(std::size_t number, std::size_t width = 0) { in_base(number, 10, width); }
    constexpr void address(std::size_t address) {
        text("0x");
        in_base(address, 16, 0);
    }

private:
    constexpr void in_base(std::size_t number, std::size_t base, std::size_t width) {
        constexpr std::size_t most_digits = 20;
        char digits[most_digits] = {};
        std::size_t first = most_digits;
        do {
            digits[--first] = "0123456789abcdef"[number % base];
            number /= base;
        } while (number != 0);
        const std::size_t length = most_digits - first;
        if (length < width) spaces(width - length);
        sink_.write(digits + first, length);
    }

    Out& sink_;
};

}  // namespace detail

}  // namespace slab_allocator
