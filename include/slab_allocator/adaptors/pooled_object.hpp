#pragma once

// pooled_object.hpp -- operator new and delete of a class, from a pool. Hosted.
//
//      constinit Pool pool;
//      class Node : public PooledObject<Node, pool> { ... };
//
//      new Node       the pool's cache of nodes of that size
//      new Derived    the pool's heap, if it is larger; a virtual destructor tells delete
//      new Node[3]    the pool's heap
//
// The compiler tells delete how large the object was that new made: nothing is looked up. An object
// that is aligned to more than new's default is looked up: where its constructor throws, compilers
// call a delete that takes the alignment, and none that takes the size, too; and a class with the
// one has no use for the other. Deleting through a pointer to a base class without a virtual
// destructor is undefined, here as everywhere; here it is a Defect, where the sizes differ.

#include <cstddef>
#include <new>

#include <slab_allocator/adaptors/out_of_memory.hpp>

namespace slab_allocator {

/// A base class of Derived, by which it is known; it adds no byte.
template <typename Derived, auto& pool>
class PooledObject {
public:
    [[nodiscard]] static void* operator new(std::size_t size) {
        return detail::or_out_of_memory(alloc(size, default_alignment));
    }
    [[nodiscard]] static void* operator new(std::size_t size, std::align_val_t alignment) {
        return detail::or_out_of_memory(alloc(size, static_cast<std::size_t>(alignment)));
    }
    [[nodiscard]] static void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
        return alloc(size, default_alignment);
    }
    [[nodiscard]] static void* operator new(std::size_t size, std::align_val_t alignment,
                                            const std::nothrow_t&) noexcept {
        return alloc(size, static_cast<std::size_t>(alignment));
    }
    /// The others would hide it.
    [[nodiscard]] static void* operator new(std::size_t, void* place) noexcept { return place; }

    static void operator delete(void* memory, std::size_t size) noexcept {
        if (has_cache(size, default_alignment)) return pool.free(static_cast<Derived*>(memory));
        pool.free_bytes(memory, size, default_alignment);
    }
    static void operator delete(void* memory, std::align_val_t) noexcept { free_looked_up(memory); }
    static void operator delete(void* memory, const std::nothrow_t&) noexcept {
        free_looked_up(memory);
    }
    static void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
        free_looked_up(memory);
    }
    static void operator delete(void*, void*) noexcept {}

    [[nodiscard]] static void* operator new[](std::size_t size) {
        return detail::or_out_of_memory(pool.alloc_bytes(size, default_alignment));
    }
    [[nodiscard]] static void* operator new[](std::size_t size, std::align_val_t alignment) {
        return detail::or_out_of_memory(
            pool.alloc_bytes(size, static_cast<std::size_t>(alignment)));
    }
    [[nodiscard]] static void* operator new[](std::size_t, void* place) noexcept { return place; }
    static void operator delete[](void*, void*) noexcept {}
    static void operator delete[](void* memory, std::size_t size) noexcept {
        pool.free_bytes(memory, size, default_alignment);
    }
    static void operator delete[](void* memory, std::align_val_t) noexcept {
        pool.heap().free(memory);
    }

protected:
    PooledObject() = default;
    PooledObject(const PooledObject&) = default;
    PooledObject& operator=(const PooledObject&) = default;
    ~PooledObject() = default;

private:
    static constexpr std::size_t default_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

    /// new and delete are told the same of an object, so both come to the same answer.
    [[nodiscard]] static bool has_cache(std::size_t size, std::size_t alignment) noexcept {
        const bool asks_for_more = alignment > default_alignment && alignment > alignof(Derived);
        return size == sizeof(Derived) && !asks_for_more;
    }
    [[nodiscard]] static void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (has_cache(size, alignment)) return pool.template alloc<Derived>();
        return pool.alloc_bytes(size, alignment);
    }
    /// The size is not known.
    static void free_looked_up(void* memory) noexcept {
        if (pool.heap().owns(memory)) return pool.heap().free(memory);
        pool.free(static_cast<Derived*>(memory));
    }
};

}  // namespace slab_allocator
