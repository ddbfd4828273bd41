#pragma once

// region.hpp -- memory for everything that is measured, without the cost of getting it.
//
//      | handed out since the last reset | slabs given back wait in a LIFO by size | untouched |
//
// One mapping for the whole process, which keeps its pages: an allocator that starts over (reset)
// finds them resident, so no page fault is timed except where the question is what a fault costs.
// Huge pages are asked for, because some rivals do: a million objects are not about who has them.
// One allocator lives at a time.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sys/mman.h>

namespace bench {

class Region {
public:
    static constexpr std::size_t size = std::size_t{8} << 30;
    static constexpr std::size_t page_size = 4096;

    static Region& instance() {
        static Region region;
        return region;
    }

    /// Everything handed out before is void.
    void reset() noexcept {
        used_ = 0;
        in_use_ = 0;
        for (auto& stack : free_)
            stack.clear();
    }

    /// Costs: a bump, or one pop where a piece of the same size was given back.
    [[nodiscard]] void* take(std::size_t bytes, std::size_t alignment) {
        auto& stack = free_[class_of(bytes)];
        in_use_ += bytes;
        if (!stack.empty()) {
            void* const piece = stack.back();
            stack.pop_back();
            return piece;
        }
        const std::size_t start = (used_ + alignment - 1) & ~(alignment - 1);
        if (start + bytes > size) {
            in_use_ -= bytes;
            return nullptr;
        }
        used_ = start + bytes;
        return base_ + start;
    }
    void give(void* piece, std::size_t bytes) {
        in_use_ -= bytes;
        free_[class_of(bytes)].push_back(piece);
    }

    [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }

    [[nodiscard]] std::byte* base() const noexcept { return base_; }

    /// Zeroed memory that costs nothing until it is touched.
    [[nodiscard]] static void* map(std::size_t bytes) {
        void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            std::perror("mmap");
            std::exit(1);
        }
        return memory;
    }

private:
    Region() {
        // Aligned to the largest slab, so that the first slab lies at the start.
        constexpr std::size_t alignment = std::size_t{2} << 20;
        base_ = static_cast<std::byte*>(map(size + alignment));
        const auto address = reinterpret_cast<std::uintptr_t>(base_);
        base_ += (alignment - address % alignment) % alignment;
        static_cast<void>(::madvise(base_, size, MADV_HUGEPAGE));  // advice only
        for (auto& stack : free_)
            stack.reserve(1024);
    }

    // One LIFO a power of two: allocators under test ask for few sizes, all or none of a class.
    [[nodiscard]] static std::size_t class_of(std::size_t bytes) noexcept {
        return static_cast<std::size_t>(std::bit_width(bytes));
    }

    std::byte* base_ = nullptr;
    std::size_t used_ = 0;
    std::size_t in_use_ = 0;
    std::vector<void*> free_[64];
};

/// A backend for rows that need nothing but slabs, and Pages for maps.
struct RegionSlabs {
    [[nodiscard]] void* alloc_slab(std::size_t bytes, std::size_t alignment) {
        return Region::instance().take(bytes, alignment);
    }
    void free_slab(void* slab, std::size_t bytes, std::size_t) {
        Region::instance().give(slab, bytes);
    }
};

}  // namespace bench
