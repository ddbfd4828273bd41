#include "numbers.hpp"

Number* count(Numbers& numbers, std::size_t most) {
    Number* first = nullptr;
    for (std::size_t value = 1; value <= most; ++value) {
        Number* const number = numbers.create(value, first);
        if (number == nullptr) return nullptr;
        first = number;
    }
    return first;
}
