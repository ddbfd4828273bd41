#pragma once

// allocator.hpp -- the allocator of standard containers, over a pool. Hosted.
//
//      Pool<Backend> pool;                a pool in an object: one pointer in the container
//      std::list<int, Allocator<int, PoolRef<Pool<Backend>>>> list(pool);
//
//      constinit Pool<Backend> pool;      a pool with a name: nothing in the container
//      std::list<int, Allocator<int, StaticPool<pool>>> list;
//
// One T at a time, as containers of nodes ask for, comes from the pool's cache for T's size, which
// is known at compile time: the hot path of that cache is inlined into the container. More at a
// time come from the pool's heap. Allocators are equal when their pools are the same one.
//
// What becomes of the pool when containers are
//   - copied: a copy is in the pool of what it was copied from, unless told another; an assignment
//     leaves the target in its own, which was chosen for as long as the target lives.
//   - moved, swapped: memory goes along with its pool. So both are O(1), never throw, and leave
//     iterators valid, whichever the pools; and no swap is undefined (that of std::pmr is, between
//     different resources).

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <slab_allocator/adaptors/out_of_memory.hpp>
#include <slab_allocator/adaptors/pool.hpp>

namespace slab_allocator {

/// Source: PoolRef<Pool> or StaticPool<pool>. For several threads where the pool is.
template <typename T, typename Source>
class Allocator {
    static_assert(
        requires { typename Source::pool_type; },
        "an Allocator is told how it finds its pool: StaticPool<pool> for a pool with a "
        "name, PoolRef<Pool<...>> for one in an object");

public:
    using value_type = T;
    using pool_type = typename Source::pool_type;
    using source_type = Source;

    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::is_empty<Source>;

    constexpr Allocator() noexcept
        requires std::default_initializable<Source>
    = default;

    /// Not explicit: a pool stands for its allocator where a container asks for one.
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr Allocator(Source source) noexcept : source_(source) {}
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr Allocator(pool_type& pool) noexcept
        requires std::convertible_to<pool_type&, Source>
        : source_(pool) {}
    template <typename U>
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr Allocator(const Allocator<U, Source>& other) noexcept : source_(other.source()) {}

    /// Returns: memory for `number` Ts, uninitialised. Throws: std::bad_alloc where the backend
    /// refuses, with everything as before; std::bad_array_new_length where no array can be so long.
    [[nodiscard]] T* allocate(std::size_t number) {
        if (number == 1)
            return static_cast<T*>(detail::or_out_of_memory(pool().template alloc<T>()));
        return static_cast<T*>(detail::or_out_of_memory(
            pool().alloc_bytes(detail::array_bytes(number, sizeof(T)), alignof(T))));
    }

    /// Requires: the number that allocate was given.
    void deallocate(T* memory, std::size_t number) noexcept {
        if (number == 1) return pool().free(memory);
        pool().free_bytes(memory, number * sizeof(T), alignof(T));
    }

    [[nodiscard]] constexpr Source source() const noexcept { return source_; }
    [[nodiscard]] constexpr pool_type& pool() const noexcept { return source_.get(); }

    template <typename U>
    [[nodiscard]] friend constexpr bool operator==(const Allocator& one,
                                                   const Allocator<U, Source>& other) noexcept {
        return &one.pool() == &other.pool();
    }

private:
    [[no_unique_address]] Source source_;
};

}  // namespace slab_allocator
