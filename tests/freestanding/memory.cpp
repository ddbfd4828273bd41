// memory.cpp -- the four functions that a compiler may call in any case: a kernel has its own.

#include <cstddef>

extern "C" {

void* memcpy(void* to, const void* from, std::size_t size) {
    auto* const bytes = static_cast<volatile unsigned char*>(to);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<const unsigned char*>(from)[i];
    return to;
}

void* memmove(void* to, const void* from, std::size_t size) {
    auto* const bytes = static_cast<volatile unsigned char*>(to);
    const auto* const source = static_cast<const unsigned char*>(from);
    if (to < from) return memcpy(to, from, size);
    for (std::size_t i = size; i-- > 0;)
        bytes[i] = source[i];
    return to;
}

void* memset(void* to, int value, std::size_t size) {
    auto* const bytes = static_cast<volatile unsigned char*>(to);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<unsigned char>(value);
    return to;
}

int memcmp(const void* left, const void* right, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        const int difference = static_cast<const unsigned char*>(left)[i] -
                               static_cast<const unsigned char*>(right)[i];
        if (difference != 0) return difference;
    }
    return 0;
}
}
