#pragma once

// pool.hpp -- the memory that containers share: nodes from caches, everything else from a heap.
//
//      std::list, std::map, ... --node: type known--> NodeCaches --.
//                               --array-------------> Heap --------+--> Backend
//      std::vector, std::deque --array--------------> Heap         |
//
// A pool outlives all that has memory of it. Containers reach it through a source: PoolRef<Pool>
// holds its address, StaticPool<pool> is told it by its type, and empty. What is taken from a pool
// goes back to it with the same type and number, so that nothing has to be looked up: a wrong one
// is a Defect of the cache or the heap that it is given to.

#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include <slab_allocator/adaptors/cache_kind.hpp>
#include <slab_allocator/adaptors/node_caches.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/object_calls.hpp>
#include <slab_allocator/heap/heap.hpp>

namespace slab_allocator {

/// Small slabs of 16 KiB, found by masking: any backend has the two functions that they need, and
/// a container of ten nodes does not hold 64 KiB.
inline constexpr CacheConfig config_of_pools{.slab_size = std::size_t{16} * 1024,
                                             .object_size_type = ObjectSizeType::Small};

/// Kind: OneThread, UnderLock or PerCpu. Not copied or moved: allocators know its address.
template <typename Backend, typename Kind = OneThread, CacheConfig Config = config_of_pools>
    requires MemoryBackend<Backend, Config>
class Pool {  // NOLINT(clang-analyzer-optin.performance.Padding): the backend must come first
public:
    using backend_type = Backend;
    using heap_type = typename Kind::template Heap<BackendRef<Backend>, Config>;
    using nodes_type = NodeCaches<Backend, Kind, Config>;

    /// Effects: none outside of the pool.
    constexpr Pool() noexcept
        requires std::default_initializable<Backend>
    {}
    constexpr explicit Pool(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}

    /// Is one T served by a cache of its size?
    template <typename T>
    [[nodiscard]] static constexpr bool has_cache_for() noexcept {
        return nodes_type::serves(sizeof(T), alignof(T));
    }

    /// Returns: memory for one T, uninitialised; nullptr: the backend refused.
    template <typename T>
    [[nodiscard]] T* alloc() noexcept {
        if constexpr (has_cache_for<T>()) {
            return static_cast<T*>(nodes_.template alloc<sizeof(T)>());
        } else {
            return static_cast<T*>(heap_.alloc(sizeof(T), alignof(T)));
        }
    }
    template <typename T>
    void free(T* object) noexcept {
        if constexpr (has_cache_for<T>()) {
            nodes_.template free<sizeof(T)>(object);
        } else {
            heap_.free(object, sizeof(T), alignof(T));
        }
    }

    /// alloc, and a T made there. A constructor that throws loses nothing.
    template <typename T, typename... Arguments>
        requires std::constructible_from<T, Arguments...>
    [[nodiscard]] T* create(Arguments&&... arguments) noexcept(
        std::is_nothrow_constructible_v<T, Arguments...>) {
        T* const memory = alloc<T>();
        if (memory == nullptr) return nullptr;
        FreeUnlessDone<T> guard{this, memory};
        T* const object = detail::construct<T>(memory, std::forward<Arguments>(arguments)...);
        guard.pool = nullptr;
        return object;
    }
    /// Requires: what create<T>() gave, as a T and no other type; or nullptr, which does nothing.
    template <typename T>
        requires std::is_nothrow_destructible_v<T>
    void destroy(T* object) noexcept {
        if (object == nullptr) return;
        object->~T();
        free(object);
    }

    /// `size` bytes. Returns: nullptr: the backend refused.
    [[nodiscard]] void* alloc_bytes(std::size_t size, std::size_t alignment) noexcept {
        return heap_.alloc(size, alignment);
    }
    /// Requires: the numbers that alloc_bytes was given.
    void free_bytes(void* memory, std::size_t size, std::size_t alignment) noexcept {
        heap_.free(memory, size, alignment);
    }

    /// Of the caches of nodes, as if they were one; peaks are the sum of their peaks.
    [[nodiscard]] CacheStatistics statistics() noexcept { return nodes_.statistics(); }

    /// Gives all Free slabs back. Returns: how many.
    std::size_t shrink_to_fit() noexcept { return nodes_.shrink_to_fit() + heap_.shrink_to_fit(); }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr nodes_type& nodes() noexcept { return nodes_; }
    [[nodiscard]] constexpr heap_type& heap() noexcept { return heap_; }

private:
    template <typename T>
    struct FreeUnlessDone {
        Pool* pool;
        T* memory;
        ~FreeUnlessDone() {
            if (pool != nullptr) pool->free(memory);
        }
    };

    [[no_unique_address]] Backend backend_{};  // first, so that it is there as long as the others
    heap_type heap_{BackendRef<Backend>(backend_)};
    nodes_type nodes_{backend_};
};

/// The address of a pool. As an owner of a Handle, it destroys what it gave.
template <typename Pool>
class PoolRef {
public:
    using pool_type = Pool;

    /// Not explicit: a Pool& stands for itself where a PoolRef is asked for.
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr PoolRef(Pool& referred) noexcept : pool_(&referred) {}

    [[nodiscard]] constexpr Pool& get() const noexcept { return *pool_; }
    template <typename T>
    void destroy(T* object) const noexcept {
        pool_->destroy(object);
    }

private:
    Pool* pool_;
};

/// A pool with a name: a variable with static storage, best `constinit`.
template <auto& pool>
class StaticPool {
public:
    using pool_type = std::remove_reference_t<decltype(pool)>;

    [[nodiscard]] static constexpr pool_type& get() noexcept { return pool; }
    template <typename T>
    static void destroy(T* object) noexcept {
        pool.destroy(object);
    }
};

}  // namespace slab_allocator
