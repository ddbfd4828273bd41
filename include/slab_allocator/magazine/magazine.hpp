#pragma once

// magazine.hpp -- a stack of free objects that travels as one, and a stack of such magazines.
//
//      objects   | . | . | . |          |      the lowest `number`
//                ^bottom      ^top      ^end
//
// After Bonwick and Adams, "Magazines and Vmem" (2001). Every magazine has the same size, a quarter
// of a page, and holds as many objects as its owner fills in ("rounds"), so that a change of the
// rounds leaves no magazine of a wrong size behind.
//
// Invariants
//   [M1] no object below top is null
//   [M2] at rest, number says where top is; in a CPU's hand, the CPU's slot does

#include <cstddef>
#include <span>
#include <type_traits>

#include <slab_allocator/magazine/atomics.hpp>

namespace slab_allocator {

template <typename Object>
class Magazine {
public:
    static constexpr std::size_t capacity = 124;  // four of them and a SlabInfo to 4096 bytes

    Magazine() noexcept {}  // objects_ is written when it is filled

    [[nodiscard]] Object** bottom() noexcept { return objects_; }

    // ---- At rest --------------------------------------------------------------------------------

    [[nodiscard]] std::span<Object*> objects() noexcept { return {objects_, number}; }

    /// As many as there are, or fit. Returns: how many. Pointer: to an Object, by whatever name.
    template <typename Pointer>
    std::size_t take(std::span<Pointer> objects) noexcept {
        const std::size_t taken = number < objects.size() ? number : objects.size();
        number -= taken;
        copy(objects_ + number, objects.data(), taken);
        return taken;
    }
    /// As many as there is room for, up to `rounds`. Returns: how many.
    template <typename Pointer>
    std::size_t put(std::span<Pointer const> objects, std::size_t rounds) noexcept {
        const std::size_t room = rounds < number ? 0 : rounds - number;
        const std::size_t put = room < objects.size() ? room : objects.size();
        copy(objects.data(), objects_ + number, put);
        number += put;
        return put;
    }
    /// `objects` are some of its own places: they become its lowest, and all it has.
    void keep(std::span<Object* const> objects) noexcept {
        number = objects.size();
        if (objects.data() == objects_) return;
        for (std::size_t index = 0; index < number; ++index)
            objects_[index] = objects[index];
    }

    Magazine* next = nullptr;
    std::size_t number = 0;  // [M2]

private:
    template <typename From, typename To>
    static void copy(const From* from, To* to, std::size_t number) noexcept {
        static_assert(std::is_pointer_v<From> && std::is_pointer_v<To>);
        constexpr std::size_t size = sizeof(Object*);  // NOLINT: of the pointer
        __builtin_memcpy(static_cast<void*>(to), static_cast<const void*>(from), number * size);
    }

    Object* objects_[capacity];
};

/// How many objects a magazine takes: few of large ones, so that what a CPU keeps is bounded.
struct Rounds {
    std::size_t least;
    std::size_t first;
    std::size_t most;
};

[[nodiscard]] constexpr Rounds rounds_for(std::size_t object_size, std::size_t capacity) noexcept {
    const auto fitting = [&](std::size_t bytes, std::size_t limit) {
        const std::size_t number = bytes / object_size < limit ? bytes / object_size : limit;
        return number == 0 ? 1 : number;
    };
    constexpr std::size_t page = 4096;
    return {.least = fitting(8 * page, 16),
            .first = fitting(16 * page, 32),
            .most = fitting(64 * page, capacity)};
}

/// Magazines, the last one first. It remembers the least it held, for the depot's working set.
template <typename Object, typename Atomics = BuiltinAtomics>
class MagazineStack {
public:
    [[nodiscard]] constexpr bool empty() const noexcept { return top_ == nullptr; }
    [[nodiscard]] constexpr std::size_t number() const noexcept { return number_; }

    void push(Magazine<Object>& magazine) noexcept {
        Atomics::touch(this);
        magazine.next = top_;
        top_ = &magazine;
        ++number_;
    }

    /// Returns: nullptr where there is none.
    [[nodiscard]] Magazine<Object>* pop() noexcept {
        Atomics::touch(this);
        Magazine<Object>* const magazine = top_;
        if (magazine == nullptr) return nullptr;
        top_ = magazine->next;
        --number_;
        if (number_ < least_) least_ = number_;
        return magazine;
    }

    /// How many lay here idle since the last call: that many were never needed.
    [[nodiscard]] std::size_t close_interval() noexcept {
        Atomics::touch(this);
        const std::size_t idle = least_;
        least_ = number_;
        return idle < number_ ? idle : number_;
    }

private:
    Magazine<Object>* top_ = nullptr;
    std::size_t number_ = 0;
    std::size_t least_ = 0;
};

}  // namespace slab_allocator
