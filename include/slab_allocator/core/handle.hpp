#pragma once

// handle.hpp -- one owner for one object: destroyed and given back when its handle is.
//
//      OwnedBy<Cache>         | object | cache |     cache.make_unique(...)
//      OwnedByStatic<cache>   | object |             make_unique<cache>(...)
//
// As std::unique_ptr, without <memory>, which kernels do not have. A handle must not outlive its
// cache. Freeing through the handle of a static cache with another cache does not compile.

#include <cstddef>
#include <type_traits>
#include <utility>

namespace slab_allocator {

/// Remembers the cache.
template <typename Cache>
struct OwnedBy {
    Cache* cache = nullptr;
    void destroy(typename Cache::value_type* object) const noexcept { cache->destroy(object); }
};

/// Is told the cache by its type.
template <auto& cache>
struct OwnedByStatic {
    template <typename T>
    void destroy(T* object) const noexcept {
        cache.destroy(object);
    }
};

template <typename T, typename Owner>
class [[nodiscard]] Handle {
public:
    using element_type = T;

    constexpr Handle() noexcept = default;
    constexpr Handle(T* object, Owner owner) noexcept : object_(object), owner_(owner) {}
    Handle(Handle&& other) noexcept : object_(other.release()), owner_(other.owner_) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            reset();
            owner_ = other.owner_;
            object_ = other.release();
        }
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }

    [[nodiscard]] T* get() const noexcept { return object_; }
    [[nodiscard]] T& operator*() const noexcept { return *object_; }
    [[nodiscard]] T* operator->() const noexcept { return object_; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }

    /// The object, which is the caller's to destroy from now on.
    [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }
    void reset() noexcept {
        if (object_ != nullptr) owner_.destroy(release());
    }

    friend bool operator==(const Handle& handle, std::nullptr_t) noexcept {
        return handle.object_ == nullptr;
    }

private:
    T* object_ = nullptr;
    [[no_unique_address]] Owner owner_;
};

/// An object of a static cache, in a handle that is one pointer wide; empty where alloc fails.
template <auto& cache, typename... Arguments>
[[nodiscard]] auto make_unique(Arguments&&... arguments) {
    using Object = typename std::remove_reference_t<decltype(cache)>::value_type;
    return Handle<Object, OwnedByStatic<cache>>(cache.create(std::forward<Arguments>(arguments)...),
                                                {});
}

}  // namespace slab_allocator
