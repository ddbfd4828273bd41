// memory_functions.cpp -- the four functions that a compiler may call in any case.

#include <cstddef>

extern "C" {

void* memset(void* memory, int value, std::size_t size) {
    void* to = memory;
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return memory;
}

void* memcpy(void* memory, const void* from, std::size_t size) {
    void* to = memory;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return memory;
}

void* memmove(void* memory, const void* from, std::size_t size) {
    if (memory < from) return memcpy(memory, from, size);
    auto* to = static_cast<volatile char*>(memory);
    const auto* source = static_cast<const char*>(from);
    while (size-- > 0)
        to[size] = source[size];
    return memory;
}

int memcmp(const void* left, const void* right, std::size_t size) {
    const auto* a = static_cast<const volatile unsigned char*>(left);
    const auto* b = static_cast<const volatile unsigned char*>(right);
    for (std::size_t i = 0; i < size; ++i) {
        if (a[i] != b[i]) return a[i] - b[i];
    }
    return 0;
}
}
