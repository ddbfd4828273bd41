#pragma once

// memory_resource.hpp -- a heap as a std::pmr::memory_resource. Hosted.
//
//      std::pmr::map --polymorphic_allocator--> MemoryResource: | vtable | heap | --> backend
//
// There is no upstream resource: pages come from the backend, and go back there when they are free,
// not only when the resource ends. No RTTI: a resource is equal to itself alone.

#include <concepts>
#include <cstddef>
#include <memory_resource>
#include <type_traits>
#include <utility>

#include <slab_allocator/adaptors/out_of_memory.hpp>

namespace slab_allocator {

/// Heap: a Heap, or whatever else has alloc(size, alignment) and free(memory, size, alignment); for
/// as many threads as that is. Not copied or moved: containers know its address.
template <typename Heap>
class MemoryResource final : public std::pmr::memory_resource {
public:
    using heap_type = Heap;

    template <typename... Arguments>
        requires std::constructible_from<Heap, Arguments...>
    explicit MemoryResource(Arguments&&... arguments) noexcept(
        std::is_nothrow_constructible_v<Heap, Arguments...>)
        : heap_(std::forward<Arguments>(arguments)...) {}
    MemoryResource(const MemoryResource&) = delete;
    MemoryResource& operator=(const MemoryResource&) = delete;

    [[nodiscard]] Heap& heap() noexcept { return heap_; }

private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        return detail::or_out_of_memory(heap_.alloc(bytes, alignment));
    }
    void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
        heap_.free(memory, bytes, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
        return this == &other;
    }

    Heap heap_;
};

}  // namespace slab_allocator
