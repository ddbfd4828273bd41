#pragma once

// snapshot.hpp -- all memory that a cache could change, so that "not one byte" can be said.

#include <cstddef>
#include <initializer_list>
#include <vector>

#include <support/any_cache.hpp>
#include <support/test_memory.hpp>

namespace support {

/// The caches themselves, and every slab, SlabInfo, and map entry of the memory behind them.
[[nodiscard]] inline std::vector<std::byte> snapshot(
    std::initializer_list<AnyCache*> caches, std::initializer_list<const TestMemory*> memories) {
    std::vector<std::byte> bytes;
    for (AnyCache* const cache : caches) {
        bytes.insert(bytes.end(), cache->bytes().begin(), cache->bytes().end());
    }
    for (const TestMemory* const memory : memories)
        memory->append_to(bytes);
    return bytes;
}

}  // namespace support
