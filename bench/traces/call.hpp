#pragma once

// call.hpp -- one call of malloc's family, as record writes it and replay reads it.

#include <cstdint>

enum class Operation : std::uint64_t { alloc, zeroed, free, realloc };

struct Call {
    std::uint64_t block;   ///< an address; in a converted trace, a number from 0
    std::uint64_t before;  ///< realloc: the block that it was
    std::uint64_t size;
    Operation operation;
};
