#pragma once

// object_calls.hpp -- create, destroy and make_unique, for every cache that has alloc and free.
//
//      create     alloc --> constructor --throws--> free
//      destroy    owns? --> destructor --> free
//
// No lock is held while a constructor or a destructor of T runs: they may call the cache.

#include <concepts>
#include <new>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/handle.hpp>

namespace slab_allocator {

namespace detail {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/// A T made in `memory`. Whoever gives an aggregate fewer values than it has members means it, and
/// is not to be warned in a header that is not theirs.
template <typename T, typename... Arguments>
T* construct(void* memory,
             Arguments&&... arguments) noexcept(std::is_nothrow_constructible_v<T, Arguments...>) {
    return ::new (memory) T(std::forward<Arguments>(arguments)...);
}

#pragma GCC diagnostic pop

}  // namespace detail

/// A base class of Derived, which has alloc, free, and, where `checked`, owns.
template <typename Derived, typename T, bool checked>
class ObjectCalls {
public:
    /// alloc, and a T made there. A constructor that throws loses nothing.
    template <typename... Arguments>
        requires std::constructible_from<T, Arguments...>
    [[nodiscard]] T* create(Arguments&&... arguments) noexcept(
        std::is_nothrow_constructible_v<T, Arguments...>) {
        T* const memory = derived().alloc();
        if (memory == nullptr) return nullptr;
        FreeUnlessDone guard{&derived(), memory};
        T* const object = detail::construct<T>(memory, std::forward<Arguments>(arguments)...);
        guard.cache = nullptr;
        return object;
    }

    /// The T is destroyed and its memory taken back; nullptr does nothing. A pointer that free
    /// would refuse is refused before the destructor runs.
    void destroy(T* object) noexcept
        requires std::is_nothrow_destructible_v<T>
    {
        if constexpr (!std::is_trivially_destructible_v<T>) {
            if (object == nullptr) return;
            if constexpr (checked) {
                if (!derived().owns(object)) [[unlikely]]
                    return derived().free(object);
            }
            object->~T();
        }
        derived().free(object);
    }

    /// create, owned by a handle: empty where alloc fails. make_unique<cache>(...) is the same for
    /// a static cache, one pointer wide.
    template <typename... Arguments>
        requires std::constructible_from<T, Arguments...>
    [[nodiscard]] auto make_unique(Arguments&&... arguments) noexcept(
        std::is_nothrow_constructible_v<T, Arguments...>) {
        return Handle<T, OwnedBy<Derived>>(create(std::forward<Arguments>(arguments)...),
                                           {&derived()});
    }

private:
    friend Derived;
    constexpr ObjectCalls() noexcept = default;

    struct FreeUnlessDone {
        Derived* cache;
        T* memory;
        ~FreeUnlessDone() {
            if (cache != nullptr) cache->free(memory);
        }
    };

    [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

}  // namespace slab_allocator
