// serial.cpp -- a 16550 at its usual place, polled.

#include "serial.hpp"

#include "machine.hpp"

namespace kernel {

namespace {

constexpr std::uint16_t port = 0x3f8;

void put_byte(char byte) noexcept {
    while ((read_port8(port + 5) & 0x20) == 0)
        pause();
    write_port8(port, static_cast<std::uint8_t>(byte));
}

void put_number(std::uint64_t number, unsigned base, std::size_t width) noexcept {
    char digits[64];
    std::size_t length = 0;
    do {
        digits[length++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    for (std::size_t filled = length; filled < width; ++filled)
        put_byte(' ');
    while (length > 0)
        put_byte(digits[--length]);
}

}  // namespace

namespace serial {

void start() noexcept {
    write_port8(port + 1, 0);     // no interrupts
    write_port8(port + 3, 0x80);  // speed: 115200
    write_port8(port + 0, 1);
    write_port8(port + 1, 0);
    write_port8(port + 3, 3);     // 8 bits, no parity
    write_port8(port + 2, 0xc7);  // a queue
}

void put(const char* text) noexcept {
    for (; *text != '\0'; ++text)
        put_byte(*text);
}

void put(const char* text, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i)
        put_byte(text[i]);
}

void put(std::uint64_t number) noexcept { put_number(number, 10, 0); }

void put(Hex number) noexcept {
    put("0x");
    put_number(number.value, 16, 0);
}

void put(Column column) noexcept {
    if (column.text == nullptr) return put_number(column.value, 10, column.width);
    std::size_t length = 0;
    for (; column.text[length] != '\0'; ++length)
        put_byte(column.text[length]);
    for (; length < column.width; ++length)
        put_byte(' ');
}

void put(Tenths number) noexcept {
    put_number(number.value / 10, 10, number.width - 2);
    put_byte('.');
    put_number(number.value % 10, 10, 0);
}

}  // namespace serial

void panic(const char* why) noexcept {
    disable_interrupts();
    serial::put("\nPANIC: ");  // without the lock: its holder may be what panics
    serial::put(why);
    serial::put(" (CPU ");
    serial::put(std::uint64_t{this_cpu()});
    serial::put(")\n");
    leave(false);
}

}  // namespace kernel
