#pragma once

// any_heap.hpp -- a heap over the memory of a test, and what it must look like from outside.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

namespace support {

using slab_allocator::HeapConfig;

/// As it comes, and as a small kernel would have it.
inline constexpr HeapConfig as_it_comes{};
inline constexpr HeapConfig for_a_kernel{
    .largest_object = 2048, .largest_slab = 16384, .retained_free_slabs = 1};

/// And at other levels.
inline constexpr HeapConfig unchecked{.checks = slab_allocator::Checks::none};
inline constexpr HeapConfig hardened{.checks = slab_allocator::Checks::hardened};
inline constexpr HeapConfig debugged{.checks = slab_allocator::Checks::debug};
inline constexpr HeapConfig debugged_kernel{.largest_object = 2048,
                                            .largest_slab = 16384,
                                            .retained_free_slabs = 1,
                                            .checks = slab_allocator::Checks::debug};

template <HeapConfig config>
struct HeapOf {
    using Heap = slab_allocator::Heap<InfosBackend, config>;
    static constexpr HeapConfig choice = config;

    explicit HeapOf(TestMemory& memory)
        : heap_(std::make_unique<Heap>(InfosBackend{{{&memory}}})) {}
    Heap& operator*() noexcept { return *heap_; }
    Heap* operator->() noexcept { return heap_.get(); }
    void reset() { heap_.reset(); }

private:
    std::unique_ptr<Heap> heap_;  // a heap is not moved, and takes 24 KB
};

/// The live blocks, each with a pattern of its own from its first usable byte to its last.
class HeapModel {
public:
    struct Block {
        std::byte* start;
        std::size_t size;       // that was asked for
        std::size_t alignment;  // likewise; 0: alloc(size)
        std::byte stamp;
    };

    [[nodiscard]] std::size_t size() const noexcept { return live_.size(); }
    [[nodiscard]] bool empty() const noexcept { return live_.empty(); }
    [[nodiscard]] const Block& at(std::size_t rank) const noexcept { return live_[rank]; }

    /// Is a new block as it was asked for? Writes all of it that may be used.
    template <typename Heap>
    [[nodiscard]] bool add(Heap& heap, void* memory, std::size_t size, std::size_t alignment) {
        auto* const start = static_cast<std::byte*>(memory);
        const std::size_t needed = alignment < 16 ? 16 : alignment;
        const bool right = start != nullptr && slab_allocator::is_aligned(start, needed) &&
                           heap.usable_size(start) >= size && heap.owns(start);
        if (!right) return false;
        live_.push_back({start, size, alignment, static_cast<std::byte>(++stamp_)});
        write(heap, live_.back());
        return true;
    }

    /// Takes a block out of the model. Returns: a null start where its contents changed.
    template <typename Heap>
    [[nodiscard]] Block remove(Heap& heap, std::size_t rank) {
        Block block = live_[rank];
        live_[rank] = live_.back();
        live_.pop_back();
        if (!intact(block, heap.usable_size(block.start))) block.start = nullptr;
        return block;
    }

    template <typename Heap>
    [[nodiscard]] bool all_intact(Heap& heap) const {
        for (const Block& block : live_) {
            if (!intact(block, heap.usable_size(block.start))) return false;
        }
        return true;
    }

    [[nodiscard]] static bool intact(const Block& block, std::size_t bytes) {
        return bytes >= block.size &&
               (bytes == 0 || (block.start[0] == block.stamp &&
                               std::memcmp(block.start, block.start + 1, bytes - 1) == 0));
    }

private:
    template <typename Heap>
    static void write(Heap& heap, const Block& block) {
        std::memset(block.start, static_cast<int>(block.stamp), heap.usable_size(block.start));
    }

    std::vector<Block> live_;
    std::uint8_t stamp_ = 0;
};

/// Small sizes are frequent, large ones are there.
[[nodiscard]] inline std::size_t some_size(Random& random) {
    return random.below(std::size_t{1} << random.below(18));
}

}  // namespace support
