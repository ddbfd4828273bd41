#pragma once

// token.hpp -- the mark on an object that lies in a magazine, so that none lies in two.
//
//      free          token on? refused : put it on      --> magazine
//      alloc         magazine --> take it off           not on? not handed out
//      to its slab   magazine --> take it off           not on? not given back
//
// The token is the object's first 8 bytes: a number that follows from its address, which nobody
// else has a reason to write. It is a right that can be used once: whoever finds an object in a
// magazine may hand it out if the token is on, and takes it off. An object that lies in two
// magazines has one token, so the second who finds it gets nothing. (Taking it off is a load and a
// store, no atomic exchange: two who find the object at the same instant may both get it.)
//
// A word of the object and not of its slab's record, because that would be a cache line that CPUs
// share: the object itself is the one line that moves with it anyway.
//
// Invariants
//   [K1] an object is handed out without its token
//   [K2] nothing follows from what is read here but whether a call is refused or an object dropped
//   [K3] a token is neither 0 nor its object's address, and another for each object: a product with
//        an odd number
//
// An object in a magazine is hidden from AddressSanitizer (core/poison.hpp), but its token is read
// and written: these functions are not looked at.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>

namespace slab_allocator {

template <typename Atomics = BuiltinAtomics>
class Token {
public:
    using Word = std::uint64_t;

    [[nodiscard, gnu::no_sanitize_address]] static bool is_on(const void* object) noexcept {
        Atomics::look_at(object);
        opaque(object);
        Word word = 0;
        __builtin_memcpy(&word, object, sizeof(word));
        return word == of(object);
    }
    static void put_on(void* object) noexcept { write(object, of(object)); }
    /// Returns: was it on?
    [[nodiscard]] static bool take_off(void* object) noexcept {
        const bool on = is_on(object);
        if (on) [[likely]]
            clear(object);
        return on;
    }
    static void clear(void* object) noexcept { write(object, 0); }

private:
    /// One instruction: the factor fits into it, and its upper bits are ones.
    [[nodiscard]] static Word of(const void* object) noexcept {
        return Word{address_of(object)} * 0xffff'ffff'9e37'79b5U;  // [K3]
    }
    [[gnu::no_sanitize_address]] static void write(void* object, Word word) noexcept {
        Atomics::change(object);
        __builtin_memcpy(object, &word, sizeof(word));
        opaque(object);
    }

    // A compiler may take what is in an object before its constructor, or after its destructor, for
    // nothing, and leave out the stores there. An empty instruction that could read and write it
    // keeps them.
    static void opaque(const void* object) noexcept {
        __asm__ volatile("" : : "r"(object) : "memory");
    }
};

}  // namespace slab_allocator
