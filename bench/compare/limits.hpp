#pragma once

// limits.hpp -- how fast could it be, if an allocator did nothing but hand out memory?
//
//      Limit        pop and push on a free list through the objects, all of them on it beforehand
//      ArrayLimit   pop and push on an array of pointers
//      Bump         the list, fed by a pointer that moves on
//
// None of them grows, checks, or knows where an object belongs.

#include <cstddef>

#include "region.hpp"

namespace bench {

template <std::size_t Size>
class LimitBase {
public:
    static constexpr std::size_t object_size = Size;

protected:
    // Room for a link, and aligned to it.
    static constexpr std::size_t stride = (Size + sizeof(void*) - 1) & ~(sizeof(void*) - 1);

    [[nodiscard]] static std::byte* memory(std::size_t bytes) {
        return static_cast<std::byte*>(Region::instance().take(bytes, Region::page_size));
    }
    [[nodiscard]] static void*& next(void* object) { return *static_cast<void**>(object); }
};

template <std::size_t Size>
class Limit : public LimitBase<Size> {
    using Base = LimitBase<Size>;

public:
    explicit Limit(std::size_t capacity) {
        std::byte* const objects = Base::memory(capacity * Base::stride);
        for (std::size_t i = capacity; i-- > 0;)
            free(objects + i * Base::stride);
    }
    [[nodiscard]] void* alloc() {
        void* const object = head_;
        head_ = Base::next(object);
        return object;
    }
    void free(void* object) {
        Base::next(object) = head_;
        head_ = object;
    }

private:
    void* head_ = nullptr;
};

template <std::size_t Size>
class ArrayLimit : public LimitBase<Size> {
    using Base = LimitBase<Size>;

public:
    explicit ArrayLimit(std::size_t capacity) {
        std::byte* const objects = Base::memory(capacity * Base::stride);
        top_ = static_cast<void**>(static_cast<void*>(Base::memory(capacity * sizeof(void*))));
        for (std::size_t i = capacity; i-- > 0;)
            free(objects + i * Base::stride);
    }
    [[nodiscard]] void* alloc() { return *--top_; }
    void free(void* object) { *top_++ = object; }

private:
    void** top_;
};

template <std::size_t Size>
class Bump : public LimitBase<Size> {
    using Base = LimitBase<Size>;

public:
    explicit Bump(std::size_t capacity)
        : next_(Base::memory(capacity * Base::stride)), end_(next_ + capacity * Base::stride) {}

    [[nodiscard]] void* alloc() {
        if (head_ != nullptr) {
            void* const object = head_;
            head_ = Base::next(object);
            return object;
        }
        if (next_ == end_) [[unlikely]]
            return nullptr;
        void* const object = next_;
        next_ += Base::stride;
        return object;
    }
    void free(void* object) {
        Base::next(object) = head_;
        head_ = object;
    }

private:
    void* head_ = nullptr;
    std::byte* next_;
    std::byte* end_;
};

}  // namespace bench
