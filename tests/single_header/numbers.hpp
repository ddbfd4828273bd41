#pragma once

// numbers.hpp -- what the two sources of the program share: a cache, and a backend for it.

#include <slab_allocator.hpp>

struct Number {
    std::size_t value;
    Number* next;
};

using Numbers =
    slab_allocator::Cache<Number, slab_allocator::AlignedAllocBackend,
                          slab_allocator::CacheConfig{.object_size_type =
                                                          slab_allocator::ObjectSizeType::Large}>;

/// Puts 1 to `most` before `first`. Returns: the new first; null where memory ran out.
Number* count(Numbers& numbers, std::size_t most);
