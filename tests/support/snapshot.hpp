#pragma once

// snapshot.hpp -- all memory that a cache could change, so that "not one byte" can be said.

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <span>

#include <support/any_cache.hpp>
#include <support/test_memory.hpp>

namespace support {

/// The caches themselves, and every slab, SlabInfo, and map entry of the memory behind them.
[[nodiscard]] inline Snapshot snapshot(std::initializer_list<AnyCache*> caches,
                                       std::initializer_list<const TestMemory*> memories) {
    Snapshot bytes;
    for (AnyCache* const cache : caches) {
        const std::span<const std::byte> own = cache->bytes();
        bytes.resize(bytes.size() + own.size());
        std::memcpy(bytes.data() + bytes.size() - own.size(), own.data(), own.size());
    }
    for (const TestMemory* const memory : memories)
        memory->append_to(bytes);
    return bytes;
}

}  // namespace support
