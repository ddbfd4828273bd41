#pragma once

// poison.hpp -- AddressSanitizer is told which bytes of a slab are somebody's.
//
//      slab is born       hide all but its SlabInfo       hidden: who reads or writes there is
//      alloc              reveal the object               reported, at the instruction of his that
//      free               hide the object                 does it
//      slab goes back     reveal all
//
// It is on where a hosted program is compiled with AddressSanitizer, without anybody asking for it,
// and off it is no instruction and no byte. The sanitizer needs no header: its functions are
// declared here. A kernel's sanitizer has others, so freestanding it is off.
//
// Invariants
//   [A1] no byte of a live object is hidden. Of eight bytes that objects share, the sanitizer knows
//        only how many of the first are somebody's: what it cannot say is not hidden.
//   [A2] who holds no lock changes only groups of eight that lie in his own object alone.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/align.hpp>

extern "C" {  // of the sanitizer; where it is off, nobody calls them
void __asan_poison_memory_region(const volatile void* start, std::size_t size);    // NOLINT
void __asan_unpoison_memory_region(const volatile void* start, std::size_t size);  // NOLINT
int __asan_address_is_poisoned(const volatile void* address);                      // NOLINT
}

namespace slab_allocator::detail {

#if __STDC_HOSTED__ && defined(__SANITIZE_ADDRESS__)
inline constexpr bool hides = true;
#elif __STDC_HOSTED__ && defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool hides = true;
#else
inline constexpr bool hides = false;
#endif
#else
inline constexpr bool hides = false;
#endif

[[gnu::always_inline]] inline void hide(const void* start, std::size_t size) noexcept {
    if constexpr (hides) __asan_poison_memory_region(start, size);
}
[[gnu::always_inline]] inline void reveal(const void* start, std::size_t size) noexcept {
    if constexpr (hides) __asan_unpoison_memory_region(start, size);
}
[[nodiscard, gnu::always_inline]] inline bool is_hidden(const void* byte) noexcept {
    if constexpr (hides) return __asan_address_is_poisoned(byte) != 0;
    return false;
}

inline constexpr std::size_t hidden_together = 8;

/// change(start, size) of the groups that lie in those bytes alone [A2].
template <void (*change)(const void*, std::size_t) noexcept>
[[gnu::always_inline]] inline void change_alone(const void* start, std::size_t size) noexcept {
    if constexpr (hides) {
        const std::uintptr_t first = align_up(address_of(start), hidden_together);
        const std::uintptr_t end = align_down(address_of(start) + size, hidden_together);
        if (first < end) change(pointer_to<const void>(first), end - first);
    }
}

/// The same without a lock [A2].
[[gnu::always_inline]] inline void hide_alone(const void* start, std::size_t size) noexcept {
    change_alone<hide>(start, size);
}
[[gnu::always_inline]] inline void reveal_alone(const void* start, std::size_t size) noexcept {
    change_alone<reveal>(start, size);
}

/// How many bytes stand before an object, are its own, and stand behind it.
struct Around {
    std::size_t front;
    std::size_t size;
    std::size_t behind;

    void hide(const std::byte* object) const noexcept {
        detail::hide(object - front, front);
        detail::hide(object + size, behind);
    }
};

/// What stands around an object, or a free one, revealed while this lives.
class RevealedGuards {
public:
    RevealedGuards(const std::byte* object, const Around& around) noexcept
        : object_(object), around_(around) {
        reveal(object_ - around.front, around.front);
        reveal(object_ + around.size, around.behind);
    }
    RevealedGuards(const RevealedGuards&) = delete;
    RevealedGuards& operator=(const RevealedGuards&) = delete;
    ~RevealedGuards() { around_.hide(object_); }

private:
    const std::byte* object_;
    Around around_;
};

/// The same, and the object, which is hidden afterwards or not.
class RevealedSlot {
public:
    RevealedSlot(const std::byte* object, const Around& around, bool hidden_afterwards) noexcept
        : object_(object), around_(around), hidden_afterwards_(hidden_afterwards) {
        reveal(object_ - around.front, around.front + around.size + around.behind);
    }
    RevealedSlot(const RevealedSlot&) = delete;
    RevealedSlot& operator=(const RevealedSlot&) = delete;
    ~RevealedSlot() {
        around_.hide(object_);
        if (hidden_afterwards_) hide(object_, around_.size);
    }

private:
    const std::byte* object_;
    Around around_;
    bool hidden_afterwards_;
};

struct NothingRevealed {
    constexpr NothingRevealed(const std::byte*, const Around&, bool = false) noexcept {}
};

using Revealed = std::conditional_t<hides, RevealedSlot, NothingRevealed>;
using RevealedAround = std::conditional_t<hides, RevealedGuards, NothingRevealed>;

}  // namespace slab_allocator::detail
