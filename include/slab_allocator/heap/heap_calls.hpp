#pragma once

// heap_calls.hpp -- what every heap has that can alloc, free, and find a block: sizes, realloc.
//
//      free(p, size)     has it that size?  no: WrongSize, refused   yes: free(p)
//      realloc           find --> is as large, or can be? it stays : alloc, copy, free
//      usable_size       find --> of its class, or its pages
//
// No lock is held while contents are copied.

#include <cstddef>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

/// A base class of Derived, which has alloc(size), free_found, alloc_run, resize_run,
/// look_up, find, refuse, its blocks_, and, where blocks have guards, take, put, slabs_with.
template <typename Derived, HeapConfig Config>
class HeapCalls {
public:
    /// Aligned. Returns: nullptr, too, where the alignment is no power of two.
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (!is_power_of_two(alignment)) return nullptr;
        if (size_classes::is_for_class<Config>(size, alignment)) [[likely]]
            return derived().alloc(size_classes::aligned_request<Config>(size, alignment));
        return derived().alloc_run(size, alignment);
    }

    /// The same for a caller who knows the size that was asked for: another size, that is not of
    /// the same class or number of pages, is a Defect::WrongSize, and refused.
    void free(void* block, std::size_t size) noexcept { free(block, size, 1); }
    void free(void* block, std::size_t size, std::size_t alignment) noexcept {
        SlabInfo* const slab_info = derived().look_up(block);
        if constexpr (Config.checks != Checks::none) {
            if (block != nullptr && !derived().blocks_.has_size(slab_info, size, alignment))
                [[unlikely]]
                return refuse_size(block);
        }
        derived().free_found(block, slab_info);
    }

    /// A block of another size with the same contents, as far as both go; where it is, if a block
    /// of that size would be as large. Returns: nullptr where the backend, or a Defect, stood in
    /// the way, and the old block is as before. An alignment of more than 16 is not kept.
    [[nodiscard]] void* realloc(void* block, std::size_t size) noexcept {
        if (block == nullptr) return derived().alloc(size);
        const auto found = derived().find(block);
        if (!found.live) [[unlikely]] {
            derived().refuse(block);
            return nullptr;
        }
        if (derived().blocks_.is_as_large(found, size)) return block;
        if constexpr (Config.backend_resizes) {
            const bool both_runs =
                found.slabs == nullptr && size > size_classes::largest_request<Config>;
            if (both_runs && derived().resize_run(*found.slab_info, size)) return block;
        }
        void* const other = derived().alloc(size);
        if (other == nullptr) return nullptr;
        const std::size_t before = found.size();
        __builtin_memcpy(other, block, before < size ? before : size);
        derived().free_found(block, found.slab_info);
        return other;
    }

    /// How many bytes of a live block may be used; 0 of anything else. Costs: O(1).
    [[nodiscard]] std::size_t usable_size(const void* block) noexcept {
        const auto found = derived().find(block);
        return found.live ? found.size() : 0;
    }

    /// Is it the start of a live block of this heap? Costs: O(1).
    [[nodiscard]] bool owns(const void* block) noexcept { return derived().find(block).live; }

    /// As Cache's.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        tag_.set(tag);
    }

private:
    friend Derived;
    constexpr HeapCalls() noexcept = default;

    // ---- Blocks with guards: levels hardened and debug ------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_guarded(std::size_t size) noexcept {
        const void* const by = caller_or(__builtin_return_address(0));
        if (size > size_classes::largest_request<Config>) return derived().alloc_run(size, 1);
        const std::size_t number = size_classes::ClassTable<Config>::class_of(size);
        for (;;) {
            void* const block = derived().take(number);
            if (block == nullptr || derived().slabs_with(block, number).make_live(block, by))
                return block;
            derived().put(block, number);
        }
    }

    [[gnu::noinline]] void free_guarded(void* block, SlabInfo& slab_info, auto& slabs) noexcept {
        const void* const by = caller_or(__builtin_return_address(0));
        if (!slabs.make_free(block, slab_info, by)) [[unlikely]]
            return derived().refuse(block);
        derived().put(block, slabs.number());
    }

    /// Who calls: level debug writes it down.
    [[nodiscard]] const void* caller_or(const void* return_address) noexcept {
        if constexpr (Config.cpus_know_caller) return derived().cpus_.caller();
        return tag_.or_else(return_address);
    }

    [[gnu::noinline, gnu::cold]] void refuse_size(void* block) noexcept {
        const auto found = derived().find(block);
        if (!found.live) return derived().refuse(block);
        report({.defect = Defect::WrongSize,
                .pointer = block,
                .cache = &derived(),
                .slab = found.slab_info->slab});
    }

    [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }

    [[no_unique_address]] Tag<Config.checks> tag_;
};

}  // namespace slab_allocator
