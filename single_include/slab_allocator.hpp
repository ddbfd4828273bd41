#pragma once

// slab_allocator.hpp -- everything, for programs. Hosted.
//
// slab_allocator 0.1.0 in one file, made by tools/amalgamate.py
// from the headers in include/slab_allocator/, which are the ones to change.
//
// SPDX-License-Identifier: MIT
//
// MIT License
//
// Copyright (c) 2026 the slab_allocator contributors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy
// of this software and associated documentation files (the "Software"), to deal
// in the Software without restriction, including without limitation the rights
// to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
// copies of the Software, and to permit persons to whom the Software is
// furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all
// copies or substantial portions of the Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
// IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
// FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
// AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
// LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
// OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
// SOFTWARE.

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <initializer_list>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#if __STDC_HOSTED__
#include <cstdio>
#endif

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif

#if defined(__linux__) && defined(__x86_64__) && __has_include(<sys/rseq.h>)
#include <linux/membarrier.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(SLAB_ALLOCATOR_VERSION_MAJOR)
#error "slab_allocator is here already: include one single header, or those of the folder"
#elif __cplusplus <= 201703L
#error "slab_allocator is a C++20 library: compile with -std=c++20, or a later standard"
#else

// version.hpp -- the version, for the preprocessor. The build reads it from here.

#define SLAB_ALLOCATOR_VERSION_MAJOR 0
#define SLAB_ALLOCATOR_VERSION_MINOR 1
#define SLAB_ALLOCATOR_VERSION_PATCH 0

// align.hpp -- arithmetic on addresses: the only place that turns a pointer into a number, or back.
//
//      align_down(a, 4096)        a        align_up(a, 4096)
//      |--------------------------+-----------------|
//
// Every alignment is a power of two, not checked: the configuration is, at compile time.

static_assert(__cplusplus > 201703L,
              "slab_allocator is a C++20 library: compile with -std=c++20, or a later standard");

namespace slab_allocator {

/// Not std::has_single_bit: that is a call into libgcc where it is not inlined.
[[nodiscard]] constexpr bool is_power_of_two(std::size_t value) noexcept {
    return value != 0 && (value & (value - 1)) == 0;
}

template <typename Number>
[[nodiscard]] constexpr Number align_down(Number value, std::size_t alignment) noexcept {
    return value & ~static_cast<Number>(alignment - 1);
}

template <typename Number>
[[nodiscard]] constexpr Number align_up(Number value, std::size_t alignment) noexcept {
    return align_down(static_cast<Number>(value + alignment - 1), alignment);
}

[[nodiscard]] constexpr std::size_t divide_up(std::size_t value, std::size_t by) noexcept {
    return (value + by - 1) / by;
}

[[nodiscard]] inline std::uintptr_t address_of(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

/// What address_of() turned into a number.
template <typename T>
[[nodiscard]] T* pointer_to(std::uintptr_t address) noexcept {
    return reinterpret_cast<T*>(address);
}

[[nodiscard]] inline bool is_aligned(const void* pointer, std::size_t alignment) noexcept {
    return (address_of(pointer) & (alignment - 1)) == 0;
}

/// An object as memory, and back.
[[nodiscard]] inline std::byte* bytes_of(void* object) noexcept {
    return static_cast<std::byte*>(object);
}
template <typename T>
[[nodiscard]] T* object_in(std::byte* memory) noexcept {
    return static_cast<T*>(static_cast<void*>(memory));
}

/// The start of the aligned block that `pointer` lies in. Pointer arithmetic, so that compilers
/// and sanitizers still know where the result came from.
[[nodiscard]] inline std::byte* block_of(const std::byte* pointer, std::size_t alignment) noexcept {
    return reinterpret_cast<std::byte*>(align_down(address_of(pointer), alignment));
}

/// An address for comparisons only, which leads back to `pointer` with the same key.
[[nodiscard]] inline const void* disguised(const void* pointer, std::uint64_t key) noexcept {
    return reinterpret_cast<const void*>(address_of(pointer) ^ static_cast<std::uintptr_t>(key));
}

}  // namespace slab_allocator

// cache_statistics.hpp -- what a cache tells of itself.
//
//      slabs       slabs_number() == free_slabs_number + partial_slabs_number + full_slabs_number
//      slots       free_objects_number + allocated_objects_number == objects_per_slab * slabs
//      bytes       bytes_held == the slabs, and the SlabInfos outside of them
//                  bytes_lost: the part of it that no object can ever use

namespace slab_allocator {

struct CacheStatistics {
    std::size_t free_slabs_number = 0;     ///< slabs without an allocated object
    std::size_t partial_slabs_number = 0;  ///< slabs with both
    std::size_t full_slabs_number = 0;     ///< slabs without a free slot
    std::size_t free_objects_number = 0;
    std::size_t allocated_objects_number = 0;

    std::size_t peak_slabs_number = 0;
    /// At least the largest number of objects that were allocated at one time, and above it by less
    /// than what the cache keeps cached (64 objects, 64 KiB): it is taken where slabs are
    /// turned to, not in each alloc.
    std::size_t peak_allocated_objects_number = 0;
    std::size_t failures_number = 0;  ///< calls that gave nothing because the backend refused

    std::size_t bytes_held = 0;
    std::size_t bytes_lost = 0;

    [[nodiscard]] constexpr std::size_t slabs_number() const noexcept {
        return free_slabs_number + partial_slabs_number + full_slabs_number;
    }

    /// Of several caches together: every number is the sum of theirs, peaks too.
    constexpr CacheStatistics& operator+=(const CacheStatistics& other) noexcept {
        free_slabs_number += other.free_slabs_number;
        partial_slabs_number += other.partial_slabs_number;
        full_slabs_number += other.full_slabs_number;
        free_objects_number += other.free_objects_number;
        allocated_objects_number += other.allocated_objects_number;
        peak_slabs_number += other.peak_slabs_number;
        peak_allocated_objects_number += other.peak_allocated_objects_number;
        failures_number += other.failures_number;
        bytes_held += other.bytes_held;
        bytes_lost += other.bytes_lost;
        return *this;
    }

    friend constexpr bool operator==(const CacheStatistics&,
                                     const CacheStatistics&) noexcept = default;
};

}  // namespace slab_allocator

// config.hpp -- what the user chose.
//
//      Cache<Node, Backend, CacheConfig{.slab_size = 8192, .object_size_type =
//      ObjectSizeType::Large}>
//
// A structural type: it is part of the cache's type, so differently configured caches cannot be
// mixed. What follows from these numbers, and which of them cannot work, is layout's to say.

namespace slab_allocator {

/// Where the SlabInfo of a slab lies.
enum class ObjectSizeType : std::uint8_t {
    Auto,   ///< whichever of the two loses less memory
    Small,  ///< in the slab, in the place of a few objects or behind them
    Large,  ///< outside of the slab, so that a power of two of objects fits
};

/// What is looked for in each call. A level that is off costs no byte and no instruction.
enum class Checks : std::uint8_t {
    none,      ///< nothing: for measuring, and for callers that are proven
    misuse,    ///< every invalid free, every misaligned answer of the backend, leaks
    hardened,  ///< and writes after free and overflows; slots in random order, reused late
    debug,     ///< and zones on both sides, who allocated and who freed, the list of leaks
};

/// Who answers "which SlabInfo?" where the object's own address does not.
enum class SlabInfoLookup : std::uint8_t {
    Auto,        ///< the address by itself where it can, else the backend's map
    PageFrames,  ///< the backend's own array of page frames: slab_info_at(). Large only.
};

/// Members stand in the order in which designated initialisers must name them. Sizes are in bytes.
struct CacheConfig {
    /// A power of two, a multiple of page_size; 0 = the size up to 64 KiB that wastes least.
    std::size_t slab_size = 0;
    /// The grain of the SlabInfo map; a power of two.
    std::size_t page_size = 4096;
    /// What the backend promises for a slab's address: a power of two from page_size;
    /// 0 = slab_size, as a buddy allocator gives it.
    std::size_t slab_alignment = 0;
    ObjectSizeType object_size_type = ObjectSizeType::Auto;
    /// How many Free slabs are kept before the next is given back.
    std::size_t retained_free_slabs = 1;
    Checks checks = Checks::misuse;
    SlabInfoLookup slab_info_lookup = SlabInfoLookup::Auto;
    /// For statics that are never torn down: the cache's destructor is trivial, so that no
    /// destructor call is registered anywhere (a kernel has nobody to register it with).
    bool never_destroyed = false;

    friend constexpr bool operator==(const CacheConfig&, const CacheConfig&) noexcept = default;
};

}  // namespace slab_allocator

// free_map.hpp -- which slots of a slab are free: one bit a slot, with a summary word.
//
//      nonempty   ...0 1 1     bit w: word w has a free slot
//                      | |
//      words[0]   11..0110     bit s % 64 of word s / 64: slot s is free
//      words[1]   00..1000
//
// The next free slot is two bit scans away, and nothing is ever written in a free object: a write
// after free cannot reach the allocator, a cold object stays cold, and exact double free detection
// is one bit test. (hardened_malloc and XNU's zalloc keep their slots so, too.)
//
// Slots that no object can have (those under the SlabInfo) are reserved: their bits are set, so
// that a free of one is refused as that of a free slot is, but they do not count in the summary.
// The caller that takes and counts says which they are.
//
// Invariants
//   [F1] nonempty has bit w  <=>  words[w] has a set bit that is not reserved
//   [F2] reserved bits are always set, bits beyond the last slot never

// Every map has a first word. The others go on behind it, as many as the slots need: a FreeMap is
// the last member of a record, which its owner placed where there is room for them (slab_info.hpp).

namespace slab_allocator {

/// Index of the lowest set bit. Requires: bits != 0, not checked.
[[nodiscard]] constexpr std::size_t lowest_bit(std::uint64_t bits) noexcept {
    return static_cast<std::size_t>(__builtin_ctzll(bits));
}

/// Index of the highest set bit. Requires: bits != 0, not checked.
[[nodiscard]] constexpr std::size_t highest_bit(std::uint64_t bits) noexcept {
    return 63U - static_cast<std::size_t>(__builtin_clzll(bits));
}

/// The number of set bits. Spelt out because std::popcount is a call into libgcc on targets without
/// the instruction, and a kernel has no libgcc.
[[nodiscard]] constexpr std::size_t bits_number(std::uint64_t bits) noexcept {
    bits -= (bits >> 1) & 0x5555'5555'5555'5555U;
    bits = (bits & 0x3333'3333'3333'3333U) + ((bits >> 2) & 0x3333'3333'3333'3333U);
    bits = (bits + (bits >> 4)) & 0x0f0f'0f0f'0f0f'0f0fU;
    return static_cast<std::size_t>((bits * 0x0101'0101'0101'0101U) >> 56);
}

/// The lowest `number` bits, of 64 at most.
[[nodiscard]] constexpr std::uint64_t bits_below(std::size_t number) noexcept {
    return number >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << number) - 1;
}

/// f(0) && f(1) && ... && f(63): eight to a round, because a processor does not foresee the end of
/// a loop of 64. (Batches in LIFO order, 64 bytes: 0.86 to 1.23 ns an operation, else 1.08 to
/// 1.49.)
template <typename F>
[[gnu::always_inline]] constexpr bool for_all_of_word(F f) noexcept {
    for (std::size_t slot = 0; slot < 64; slot += 8) {
        if (!(f(slot) && f(slot + 1) && f(slot + 2) && f(slot + 3) && f(slot + 4) && f(slot + 5) &&
              f(slot + 6) && f(slot + 7))) {
            return false;
        }
    }
    return true;
}

class FreeMap {
public:
    static constexpr std::size_t bits_per_word = 64;
    static constexpr std::size_t max_words = 64;  // as many as the summary has bits
    static constexpr std::size_t max_slots = bits_per_word * max_words;

    [[nodiscard]] static constexpr std::size_t words_for(std::size_t slots) noexcept {
        return divide_up(slots, bits_per_word);
    }

    /// The bits of slots `first` .. `first + number - 1` that lie in word `word`.
    [[nodiscard]] static constexpr std::uint64_t bits_of(std::size_t first, std::size_t number,
                                                         std::size_t word) noexcept {
        const std::size_t start = word * bits_per_word;
        return below(first + number, start) & ~below(first, start);
    }

    /// Makes all of `slots` slots free but the reserved ones. Costs: one store a word.
    void fill(std::size_t slots, std::size_t reserved, std::size_t reserved_number) noexcept {
        nonempty_ = 0;
        for (std::size_t word = 0; word < words_for(slots); ++word) {
            words()[word] = bits_of(0, slots, word);  // [F2]
            const std::uint64_t usable = words()[word] & ~bits_of(reserved, reserved_number, word);
            if (usable != 0) nonempty_ |= std::uint64_t{1} << word;  // [F1]
        }
    }

    [[nodiscard]] bool empty() const noexcept { return nonempty_ == 0; }

    [[nodiscard]] bool is_free(std::size_t slot) const noexcept {
        return has_slot(word_at(slot / bits_per_word), slot);
    }

    /// is_free, without the lock under which others take and give back other slots of the word: the
    /// bit of a slot that is the caller's does not change meanwhile. ThreadSanitizer does not know
    /// that.
    [[nodiscard, gnu::no_sanitize_thread]] bool is_free_unlocked(std::size_t slot) const noexcept {
        return has_slot(__atomic_load_n(words() + slot / bits_per_word, __ATOMIC_RELAXED), slot);
    }

    [[nodiscard]] std::uint64_t word_at(std::size_t word) const noexcept { return words()[word]; }
    [[nodiscard]] std::uint64_t nonempty_words() const noexcept { return nonempty_; }

    /// The first word with a free slot. Requires: !empty(), not checked.
    [[nodiscard]] std::size_t first_word() const noexcept { return lowest_bit(nonempty_); }

    /// Takes `bits`, which are all free, out of `word`, of which `reserved` are reserved.
    void take(std::size_t word, std::uint64_t bits, std::uint64_t reserved) noexcept {
        words()[word] &= ~bits;
        if (words()[word] == reserved) nonempty_ &= ~(std::uint64_t{1} << word);  // [F1]
    }

    /// Makes `bits` of `word`, none of which is free, free.
    void give_back(std::size_t word, std::uint64_t bits) noexcept {
        words()[word] |= bits;
        nonempty_ |= std::uint64_t{1} << word;  // [F1]
    }

    [[nodiscard]] bool all_taken(std::size_t word, std::uint64_t bits) const noexcept {
        return (word_at(word) & bits) == 0;
    }

    /// Bits without the summary, which is behind until give_back().
    void mark(std::size_t word, std::uint64_t bits) noexcept { words()[word] |= bits; }
    void unmark(std::size_t word, std::uint64_t bits) noexcept { words()[word] &= ~bits; }

    /// One beyond the last of `slots` slots that is not free; 0: all are.
    [[nodiscard]] std::size_t end_of_taken(std::size_t slots) const noexcept {
        for (std::size_t word = words_for(slots); word-- > 0;) {
            const std::uint64_t taken = bits_of(0, slots, word) & ~word_at(word);
            if (taken != 0) return word * bits_per_word + highest_bit(taken) + 1;
        }
        return 0;
    }

    /// Do summary, words and `free_number` agree, for these slots?
    [[nodiscard]] bool consistent(std::size_t slots, std::size_t reserved,
                                  std::size_t reserved_number,
                                  std::size_t free_number) const noexcept {
        std::uint64_t nonempty = 0;
        std::size_t sum = 0;
        for (std::size_t word = 0; word < words_for(slots); ++word) {
            const std::uint64_t reserved_bits = bits_of(reserved, reserved_number, word);
            const std::uint64_t allowed = bits_of(0, slots, word);
            if ((word_at(word) & ~allowed) != 0 || (reserved_bits & ~word_at(word)) != 0)
                return false;
            const std::uint64_t usable = word_at(word) & ~reserved_bits;
            if (usable != 0) nonempty |= std::uint64_t{1} << word;
            sum += bits_number(usable);
        }
        return nonempty == nonempty_ && sum == free_number;
    }

private:
    [[nodiscard]] static constexpr bool has_slot(std::uint64_t word, std::size_t slot) noexcept {
        return ((word >> (slot % bits_per_word)) & 1U) != 0;
    }

    /// The bits of a word that begins with slot `start`, up to slot `end`.
    [[nodiscard]] static constexpr std::uint64_t below(std::size_t end,
                                                       std::size_t start) noexcept {
        return end <= start ? 0 : bits_below(end - start);
    }

    // Through a pointer, because the words go on behind the first.
    [[nodiscard]] std::uint64_t* words() noexcept { return static_cast<std::uint64_t*>(words_); }
    [[nodiscard]] const std::uint64_t* words() const noexcept {
        return static_cast<const std::uint64_t*>(words_);
    }

    std::uint64_t nonempty_;
    std::uint64_t words_[1];
};

}  // namespace slab_allocator

// sink.hpp -- where text goes: anything that takes characters and their number.
//
//      write("dentry", 6)      a serial line, a file, a ring buffer, a string
//
// The reports need nothing else of the world: no allocation, no printf, no locale. What a sink does
// with what it cannot take is its own affair.

namespace slab_allocator {

/// Takes `size` characters, which no null follows.
template <typename T>
concept Sink = requires(T& sink, const char* text, std::size_t size) { sink.write(text, size); };

/// A sink into an array of the caller's; what does not fit is dropped, and counted.
class ArraySink {
public:
    constexpr explicit ArraySink(std::span<char> array) noexcept : array_(array) {}

    constexpr void write(const char* text, std::size_t size) noexcept {
        for (std::size_t index = 0; index < size; ++index) {
            if (size_ < array_.size()) array_[size_] = text[index];
            ++size_;
        }
    }

    [[nodiscard]] constexpr std::span<const char> text() const noexcept {
        return array_.first(size_ < array_.size() ? size_ : array_.size());
    }
    [[nodiscard]] constexpr std::size_t dropped_number() const noexcept {
        return size_ < array_.size() ? 0 : size_ - array_.size();
    }

private:
    std::span<char> array_;
    std::size_t size_ = 0;
};

namespace detail {

constexpr std::size_t length_of(const char* text) noexcept {
    std::size_t length = 0;
    while (text[length] != '\0')
        ++length;
    return length;
}

/// Text and numbers into a sink, in columns.
template <Sink Out>
class Writer {
public:
    constexpr explicit Writer(Out& sink) noexcept : sink_(sink) {}

    constexpr void text(const char* text) { sink_.write(text, length_of(text)); }
    constexpr void character(char character) { sink_.write(&character, 1); }

    constexpr void spaces(std::size_t number) {
        for (; number > 0; --number)
            character(' ');
    }
    /// At least `width` wide, the text on the left.
    constexpr void left(const char* text_, std::size_t width) {
        text(text_);
        if (length_of(text_) < width) spaces(width - length_of(text_));
    }
    /// At least `width` wide, the text on the right.
    constexpr void right(const char* text_, std::size_t width) {
        if (length_of(text_) < width) spaces(width - length_of(text_));
        text(text_);
    }
    constexpr void number(std::size_t number, std::size_t width = 0) { in_base(number, 10, width); }
    constexpr void address(std::size_t address) {
        text("0x");
        in_base(address, 16, 0);
    }

private:
    constexpr void in_base(std::size_t number, std::size_t base, std::size_t width) {
        constexpr std::size_t most_digits = 20;
        char digits[most_digits] = {};
        std::size_t first = most_digits;
        do {
            digits[--first] = "0123456789abcdef"[number % base];
            number /= base;
        } while (number != 0);
        const std::size_t length = most_digits - first;
        if (length < width) spaces(width - length);
        sink_.write(digits + first, length);
    }

    Out& sink_;
};

}  // namespace detail

}  // namespace slab_allocator

// defect.hpp -- what can be wrong, and who is told.
//
// A defect is a caller's mistake, a backend's mistake, or overwritten memory that the library
// noticed. Every check runs before the first store:
//
//      check --defect--> report() --> handler --returns--> the call is refused, not a byte changed
//                                        '----traps------> the default: print_defect(), trap
//
// The handler is one word in the image, for all caches; it may be called on any thread, under the
// caller's lock, and must not call the cache that reports.
//
// Invariants
//   [D1] the handler is never null.
//   [D2] nothing here allocates, throws, or keeps the report.

namespace slab_allocator {

/// What can be wrong; what each is found by, docs/levels.md tells.
enum class Defect : std::uint8_t {
    None,
    DoubleFree,          ///< free of a slot that is free already
    NeverAllocated,      ///< free of a slot that was never handed out
    InteriorPointer,     ///< free of an address in a slab that is not the start of a slot
    ForeignPointer,      ///< free of an address that lies in no slab of this cache
    OtherCache,          ///< free of an object of another cache
    WrongSize,           ///< free of a heap's block with another size than it was asked for with
    MisalignedSlab,      ///< alloc_slab() answered an address without the promised alignment
    MisalignedSlabInfo,  ///< the backend placed a SlabInfo at a misaligned address
    MemoryInUse,         ///< the backend answered memory that a slab lies in already
    BackendLostSlab,     ///< the backend's map does not lead to a slab that was saved in it
    CorruptedSlabInfo,   ///< a SlabInfo, a list or a counter was overwritten
    WriteAfterFree,      ///< a free object was written to (levels hardened, debug)
    Overflow,            ///< the bytes before or behind an object were (levels hardened, debug)
    Leak,                ///< live objects at the destruction of their cache
};

/// The name of a defect, for a log.
[[nodiscard]] constexpr const char* name_of(Defect defect) noexcept {
    switch (defect) {
        case Defect::None:
            return "None";
        case Defect::DoubleFree:
            return "DoubleFree";
        case Defect::NeverAllocated:
            return "NeverAllocated";
        case Defect::InteriorPointer:
            return "InteriorPointer";
        case Defect::ForeignPointer:
            return "ForeignPointer";
        case Defect::OtherCache:
            return "OtherCache";
        case Defect::WrongSize:
            return "WrongSize";
        case Defect::MisalignedSlab:
            return "MisalignedSlab";
        case Defect::MisalignedSlabInfo:
            return "MisalignedSlabInfo";
        case Defect::MemoryInUse:
            return "MemoryInUse";
        case Defect::BackendLostSlab:
            return "BackendLostSlab";
        case Defect::CorruptedSlabInfo:
            return "CorruptedSlabInfo";
        case Defect::WriteAfterFree:
            return "WriteAfterFree";
        case Defect::Overflow:
            return "Overflow";
        case Defect::Leak:
            return "Leak";
    }
    return "?";
}

/// What a defect is, and what to do, in a sentence for who sees it for the first time.
[[nodiscard]] constexpr const char* explanation_of(Defect defect) noexcept {
    switch (defect) {
        case Defect::None:
            break;
        case Defect::DoubleFree:
            return "this object was freed before and not allocated since: free it once";
        case Defect::NeverAllocated:
            return "this is the place of an object that was never allocated: free what alloc() "
                   "gave";
        case Defect::InteriorPointer:
            return "this address is not where an object starts: free what alloc() gave";
        case Defect::ForeignPointer:
            return "this address lies in no slab of this cache: free what its alloc() gave";
        case Defect::OtherCache:
            return "this object is another cache's: free it to the cache that it came from";
        case Defect::WrongSize:
            return "this block is of another size: free it with the size that it was asked for "
                   "with";
        case Defect::MisalignedSlab:
            return "alloc_slab() must answer an address aligned to slab_alignment";
        case Defect::MisalignedSlabInfo:
            return "the backend must place a SlabInfo at an address aligned to alignof(SlabInfo)";
        case Defect::MemoryInUse:
            return "the backend gave memory that a slab lies in already";
        case Defect::BackendLostSlab:
            return "get_slab_info_ptr() must answer what save_slab_info_ptr() was told for a page";
        case Defect::CorruptedSlabInfo:
            return "a record was overwritten, by an object that was written beyond its end, "
                   "perhaps";
        case Defect::WriteAfterFree:
            return "this object was written to after its free";
        case Defect::Overflow:
            return "the bytes beside this object were written to";
        case Defect::Leak:
            return "objects are live when their cache is destroyed: free them before";
    }
    return "";
}

/// What is known of a defect. `slab` and `slot` are null and 0 where the pointer leads to no slab.
/// `objects_number` is the number of live objects of a Leak, 1 otherwise; level debug reports each
/// of them, with how many there are from it on. Who allocated and freed last is known at level
/// debug: a return address, or the cache's tag.
struct DefectReport {
    Defect defect = Defect::None;
    const void* pointer = nullptr;  ///< what the caller or the backend gave
    const void* cache = nullptr;
    const void* slab = nullptr;
    std::size_t slot = 0;
    std::size_t objects_number = 1;
    std::ptrdiff_t offset = 0;  ///< of the first wrong byte, from the start of the object
    const void* allocated_by = nullptr;
    const void* freed_by = nullptr;
};

/// Who is told. May be called on any thread, and must not call the cache that reports.
using DefectHandler = void (*)(const DefectReport&) noexcept;

/// Writes all that is known as one line, and what the defect means: for a handler of one's own.
template <Sink Out>
void print_defect(const DefectReport& report, Out&& sink) {
    detail::Writer writer(sink);
    const auto add = [&](const char* name, const void* address) {
        writer.text(name);
        writer.address(address_of(address));
    };
    writer.text("slab_allocator: ");
    writer.text(name_of(report.defect));
    add(": pointer ", report.pointer);
    add(", cache ", report.cache);
    if (report.slab != nullptr) {
        add(", slab ", report.slab);
        writer.text(", slot ");
        writer.number(report.slot);
    }
    if (report.defect == Defect::Leak) {
        writer.text(", objects ");
        writer.number(report.objects_number);
    }
    if (report.defect == Defect::WriteAfterFree || report.defect == Defect::Overflow) {
        writer.text(report.offset < 0 ? ", byte -" : ", byte ");
        writer.number(static_cast<std::size_t>(report.offset < 0 ? -report.offset : report.offset));
    }
    if (report.allocated_by != nullptr) add(", allocated by ", report.allocated_by);
    if (report.freed_by != nullptr) add(", freed by ", report.freed_by);
    writer.text(": ");
    writer.text(explanation_of(report.defect));
    writer.text("\n");
}

/// The handler until another is set: prints one line where there is a stderr, then traps; of leaks
/// that are reported one by one, after the last.
inline void print_and_trap([[maybe_unused]] const DefectReport& report) noexcept {
#if __STDC_HOSTED__
    char line[512];
    ArraySink sink(line);
    print_defect(report, sink);
    std::fwrite(line, 1, sink.text().size(), stderr);
#endif
    const bool more = report.defect == Defect::Leak && report.pointer != nullptr;
    if (!more || report.objects_number == 1) __builtin_trap();
}

namespace detail {
inline constinit DefectHandler defect_handler = print_and_trap;
}

/// Sets who is told of defects and returns who was told before; null stands for print_and_trap.
/// Costs: one atomic exchange. May be called at any time on any thread.
inline DefectHandler set_defect_handler(DefectHandler handler) noexcept {
    if (handler == nullptr) handler = print_and_trap;  // [D1]
    return __atomic_exchange_n(&detail::defect_handler, handler, __ATOMIC_ACQ_REL);
}

/// Tells the handler. Where it returns, the caller of report() refuses what it was asked to do.
[[gnu::cold, gnu::noinline]] inline void report(const DefectReport& report) noexcept {
    __atomic_load_n(&detail::defect_handler, __ATOMIC_ACQUIRE)(report);
}

/// For overwritten metadata: where the handler returns there is nothing safe to do, so this traps.
[[noreturn, gnu::cold, gnu::noinline]] inline void report_and_trap(
    const DefectReport& defect_report) noexcept {
    report(defect_report);
    __builtin_trap();
}

}  // namespace slab_allocator

// intrusive_list.hpp -- the doubly-linked list that slabs stand on.
//
// The links are a base class of the element, so the list never allocates, and taking an element off
// needs the element alone, not its list. The list is a ring closed by a sentinel:
//
//      .--> sentinel <--> front <--> ... <--> back <--.
//      '----------------------------------------------'
//
// A ring has no ends, so linking and unlinking have no branches but the checks.
//
// Invariants
//   [L1] on a ring   node.next->previous == &node  and  node.previous->next == &node
//   [L2] at rest     node.next == node.previous == nullptr
//   [L3] a node is at rest or on exactly one ring; link_after() and unlink() are the only doors.
//
// A slab changes lists rarely (a few times in objects_per_slab operations), so every build checks.

namespace slab_allocator {

template <typename T>
class IntrusiveList;

/// Base class of everything that can stand on an IntrusiveList.
///
/// In a Small slab AddressSanitizer takes a node for memory that nobody has (instruments.hpp): what
/// reaches into one is not looked at.
class ListNode {
public:
    constexpr ListNode() noexcept = default;
    ListNode(const ListNode&) = delete;  // neighbours know this node by its address
    ListNode& operator=(const ListNode&) = delete;

    [[nodiscard, gnu::no_sanitize_address]] constexpr bool linked() const noexcept {
        return next_ != nullptr;
    }

    /// Takes the node off its ring and lays it to rest. Requires: linked().
    [[gnu::no_sanitize_address]] constexpr void unlink() noexcept {
        check(linked() && consistent());  // [L1]
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = previous_ = nullptr;  // [L2]
    }

    /// Do both neighbours know this node? Requires: linked().
    [[nodiscard, gnu::no_sanitize_address]] constexpr bool consistent() const noexcept {
        return next_ != nullptr && previous_ != nullptr && next_->previous_ == this &&
               previous_->next_ == this;
    }

private:
    template <typename T>
    friend class IntrusiveList;

    struct Sentinel {};
    constexpr explicit ListNode(Sentinel) noexcept : next_(this), previous_(this) {}

    constexpr void check(bool holds) const noexcept {
        if (!holds) [[unlikely]] {
            report_and_trap({.defect = Defect::CorruptedSlabInfo, .pointer = this});
        }
    }

    [[gnu::no_sanitize_address]] constexpr void link_after(ListNode& position) noexcept {
        check(!linked() && position.consistent());  // [L3] [L1]
        previous_ = &position;
        next_ = position.next_;
        next_->previous_ = this;
        position.next_ = this;
    }

    ListNode* next_ = nullptr;
    ListNode* previous_ = nullptr;
};

/// A list of elements that it does not own. It stays where it is: the ring holds its address.
template <typename T>
class IntrusiveList {
public:
    using value_type = T;

    class Iterator {
    public:
        constexpr T& operator*() const noexcept { return static_cast<T&>(*node_); }
        [[gnu::no_sanitize_address]] constexpr Iterator& operator++() noexcept {
            node_ = node_->next_;
            return *this;
        }
        constexpr bool operator==(const Iterator&) const noexcept = default;

    private:
        friend class IntrusiveList;
        constexpr explicit Iterator(ListNode* node) noexcept : node_(node) {}
        ListNode* node_;
    };

    [[nodiscard]] constexpr bool empty() const noexcept { return sentinel_.next_ == &sentinel_; }

    /// Requires: !empty(), not checked.
    [[nodiscard]] constexpr T& front() noexcept { return static_cast<T&>(*sentinel_.next_); }

    /// Requires: element is at rest.
    constexpr void push_front(T& element) noexcept { element.link_after(sentinel_); }

    [[nodiscard]] constexpr Iterator begin() noexcept { return Iterator(sentinel_.next_); }
    [[nodiscard]] constexpr Iterator end() noexcept { return Iterator(&sentinel_); }

private:
    ListNode sentinel_{ListNode::Sentinel{}};
};

}  // namespace slab_allocator

// slab_info.hpp -- the record that manages one slab.
//
//      byte 0      16      24     32            34              36          38     40         48
//      | list node | owner | slab | free_number | list_max_free | untouched | list | nonempty | ...
//
// 48 bytes and the words of the free map: 56 for up to 64 slots. In a Small slab it lies in the
// slab and has as many words as its slots need; outside of it (Large) it is sizeof(SlabInfo) = 128
// bytes, two cache lines, and room for max_slots slots. A backend that stores SlabInfos needs to
// know no more of it than its size.
//
// Invariants, while the slab lives
//   [S1] owner tells the cache or class; it is null before the birth of the slab and after its
//        death.
//   [S2] free_number == |free slots in the map|
//   [S3] the slots from `untouched` on were never taken out of the slab.
//   [S4] list is the list that the node stands on, and list_max_free the most free slots that slabs
//        on it have, so that giving a slot back costs one comparison.

namespace slab_allocator {

/// What every SlabInfo has, in a Small slab with no more words behind it than the slots need.
class SlabRecord : public ListNode {
public:
    /// Writes the first 48 bytes only: the map is fill()'s to write.
    SlabRecord() noexcept {}  // NOLINT: the map is left alone, see above

    const void* owner = nullptr;  // [S1]
    std::byte* slab = nullptr;
    std::uint16_t free_number = 0;    // [S2]
    std::uint16_t list_max_free = 0;  // [S4]
    std::uint16_t untouched = 0;      // [S3]
    std::uint8_t list = 0;            // [S4]
    FreeMap map;
};

/// One outside of its slab: what backends store.
class SlabInfo : public SlabRecord {
public:
    /// As many slots as it can manage.
    static constexpr std::size_t max_slots = 640;

    SlabInfo() noexcept {}  // NOLINT: the words are left alone, as the map is

private:
    [[maybe_unused]] std::uint64_t more_words_[FreeMap::words_for(max_slots) - 1];
};

/// Backends know SlabInfos only. One in its slab, shorter than that type, goes to a backend's map
/// and comes back as an address.
[[nodiscard]] inline SlabInfo* for_backend(SlabRecord* slab_info) noexcept {
    return static_cast<SlabInfo*>(static_cast<void*>(slab_info));
}
[[nodiscard]] inline SlabRecord* from_backend(SlabInfo* slab_info) noexcept {
    return static_cast<SlabRecord*>(static_cast<void*>(slab_info));
}

/// The bytes of a SlabInfo that manages `slots` slots in their own slab.
[[nodiscard]] constexpr std::size_t small_slab_info_size(std::size_t slots) noexcept {
    return sizeof(SlabRecord) + sizeof(std::uint64_t) * (FreeMap::words_for(slots) - 1);
}

}  // namespace slab_allocator

// layout.hpp -- the numbers that follow from the user's choice, all at compile time.
//
//      Small   | slot 0 | slot 1 | SlabInfo | slot b | slot b+1 | ... | rest |
//              '-- slab          '-- in the place of info_slots slots        '-- slab + slab_size
//
//      Large   | slot 0 | slot 1 | ...                      | rest |      SlabInfo: elsewhere
//
//      slot    | front | object | behind |      front and behind: of the levels that guard objects
//
// Slots are numbered from the start of the slab, whatever the SlabInfo covers: those it covers are
// never free. Where it fits into the rest, it lies there and covers none. Its place is the slab's
// colour, a function of its address, so that the SlabInfos of thousands of slabs do not fall into
// the same cache sets; that costs nothing, because any slots are as good as any others.
//
// Where the user leaves slab_size and Small or Large open, every power of two up to 64 KiB is tried
// with both, and what loses least wins; ties go to the smaller slab, then to Small. (UMA computes
// both placements, too, at run time.) What is lost is what no object can use: rest, the SlabInfo
// wherever it lies, and 16 bytes a page for the map where there is one.
//
// Invariants
//   [Y1] the SlabInfo and every slot that it does not cover lie in the slab and do not overlap
//   [Y2] every slot and every SlabInfo is aligned
//   [Y3] slot_at(offset) < slots_per_slab  <=>  offset is the start of a slot

namespace slab_allocator {

/// The four rows of the backend table: where a SlabInfo lies, and who knows.
enum class Row : std::uint8_t { SmallByMask, SmallByMap, LargeByMap, LargeByPageFrames };

/// What cannot work in a configuration, in the order in which it is looked for.
enum class ConfigError : std::uint8_t {
    None,
    PageSizeIsNoPowerOfTwo,
    SlabSizeIsNoPowerOfTwo,
    SlabSizeIsLessThanAPage,
    SlabAlignmentIsNoPowerOfTwo,
    SlabAlignmentIsLessThanAPage,
    ObjectAlignmentIsTooLarge,
    PageFramesAreForLarge,
    PageFramesNeedNaturalAlignment,
    NoRoomForAnObject,
    TooManySlotsForLarge,
};

struct Layout {
    static constexpr std::size_t largest_search = std::size_t{64} * 1024;
    static constexpr std::size_t cache_line = 64;
    static constexpr std::size_t max_colours = 256;
    static constexpr std::size_t map_bytes_per_page = 16;

    ConfigError error = ConfigError::None;
    Row row = Row::SmallByMask;
    int rotation = 0;  ///< log2 of the even part of stride
    std::size_t object_size = 0;
    std::size_t front = 0;    ///< bytes of a slot before its object: a multiple of the alignment
    std::size_t behind = 0;   ///< at least as many bytes behind it
    std::size_t stride = 0;   ///< from slot to slot: all three, rounded up to the alignment
    std::size_t inverse = 0;  ///< of the odd part of stride, modulo 2^64: see slot_at
    std::size_t page_size = 0;
    std::size_t slab_size = 0;
    std::size_t slab_alignment = 0;
    std::size_t slots_per_slab = 0;    ///< numbered slots, those under the SlabInfo among them
    std::size_t objects_per_slab = 0;  ///< slots that objects can have
    std::size_t info_slots = 0;        ///< Small: slots that the SlabInfo covers
    std::size_t info_offset = 0;       ///< Small: of the SlabInfo in a slab of the first colour
    std::size_t colours = 1;           ///< a power of two
    std::size_t colour_step = 0;       ///< in bytes, from colour to colour

    [[nodiscard]] constexpr bool small() const noexcept {
        return row == Row::SmallByMask || row == Row::SmallByMap;
    }
    [[nodiscard]] constexpr bool uses_map() const noexcept {
        return row == Row::SmallByMap || row == Row::LargeByMap;
    }
    [[nodiscard]] constexpr std::size_t pages_per_slab() const noexcept {
        return slab_size / page_size;
    }

    /// All that one slab takes: its pages, its SlabInfo, its entries in the map.
    [[nodiscard]] constexpr std::size_t bytes_per_slab() const noexcept {
        return slab_size + (small() ? 0 : sizeof(SlabInfo)) +
               (uses_map() ? pages_per_slab() * map_bytes_per_page : 0);
    }
    [[nodiscard]] constexpr std::size_t bytes_lost_per_slab() const noexcept {
        return bytes_per_slab() - objects_per_slab * object_size;
    }

    /// Small: where the SlabInfo of the slab at `address` lies in it, in bytes.
    [[nodiscard]] constexpr std::uintptr_t info_offset_of(std::uintptr_t address) const noexcept {
        const std::size_t grain = slab_alignment < slab_size ? slab_alignment : slab_size;
        return info_offset + (address / grain) % colours * colour_step;
    }

    /// Small, with info_slots: the first slot that the SlabInfo of the slab at `address` covers.
    [[nodiscard]] constexpr std::size_t info_slot_of(std::uintptr_t address) const noexcept {
        return info_offset_of(address) / stride;
    }

    [[nodiscard]] constexpr std::size_t offset_of(std::size_t slot) const noexcept {
        return slot * stride;
    }

    /// Does the record of a slab agree with itself and with this? info_slot as info_slot_of says.
    [[nodiscard]] bool is_sound(const SlabRecord& slab_info,
                                std::size_t info_slot = 0) const noexcept {
        return slab_info.map.consistent(slots_per_slab, info_slot, info_slots,
                                        slab_info.free_number) &&
               slab_info.untouched <= slots_per_slab &&
               slab_info.untouched >= slab_info.map.end_of_taken(slots_per_slab) &&
               is_aligned(slab_info.slab, slab_alignment);
    }

    /// The slot whose object starts `offset` bytes behind that of slot 0; no number below
    /// slots_per_slab where none does [Y3]. With stride = 2^k m, m odd, multiplying by the inverse
    /// of m modulo 2^64 takes the multiples of m, and only those, to their quotients, and rotating
    /// by k sends what is no multiple of 2^k beyond the range: stride check, range check and
    /// division in one multiply, no divide. (Warren, Hacker's Delight, 10-17.)
    [[nodiscard]] constexpr std::size_t slot_at(std::size_t offset) const noexcept {
        return std::rotr(offset * inverse, rotation);
    }
};

namespace detail {

/// What the odd part of `value` must be multiplied with to give 1, modulo 2^64.
constexpr std::size_t inverse_of_odd_part(std::size_t value) noexcept {
    const std::size_t odd = value >> std::countr_zero(value);
    std::size_t inverse = odd;  // right in 3 bits; each step doubles them
    for (std::size_t bits = 3; bits < 8 * sizeof(std::size_t); bits *= 2) {
        inverse *= 2 - odd * inverse;
    }
    return inverse;
}

/// `stride`, and what slot_at() needs of it.
constexpr void set_stride(Layout& layout, std::size_t stride) noexcept {
    layout.stride = stride;
    layout.inverse = inverse_of_odd_part(stride);
    layout.rotation = std::countr_zero(stride);
}

/// What stands before an object: nothing, or a zone as wide as 16 bytes or the alignment.
constexpr std::size_t front_of(Checks checks, std::size_t alignment) noexcept {
    if (checks != Checks::debug) return 0;
    return alignment > 16 ? alignment : 16;
}

/// What stands behind it: nothing; a canary; a zone and two addresses (guards.hpp).
constexpr std::size_t behind_of(Checks checks) noexcept {
    if (checks == Checks::hardened) return sizeof(std::uint64_t);
    return checks == Checks::debug ? 16 + 2 * sizeof(void*) : 0;
}

/// The least common multiple of a number and a power of two.
constexpr std::size_t common_multiple(std::size_t value, std::size_t power) noexcept {
    const std::size_t shared = value & (~value + 1);  // the power of two in value
    return shared >= power ? value : value / shared * power;
}

/// Fills in where the SlabInfo of a Small slab lies; zero objects where none fits.
constexpr void lay_out_small(Layout& layout) noexcept {
    if (layout.slots_per_slab > FreeMap::max_slots) layout.slots_per_slab = FreeMap::max_slots;
    const std::size_t info = small_slab_info_size(layout.slots_per_slab);
    const std::size_t end_of_slots =
        align_up(layout.slots_per_slab * layout.stride, alignof(SlabInfo));
    std::size_t room = layout.slab_size;
    if (end_of_slots + info <= layout.slab_size) {  // in the rest
        layout.info_offset = align_up(end_of_slots, Layout::cache_line);
        if (layout.info_offset + info > layout.slab_size) layout.info_offset = end_of_slots;
        layout.colour_step = Layout::cache_line;
    } else {
        layout.info_slots = divide_up(info, layout.stride);
        // Colours start at slots that are cache lines, too, and lie apart by whole SlabInfos.
        std::size_t grain = common_multiple(layout.stride, Layout::cache_line);
        if (grain + info > layout.slab_size)
            grain = common_multiple(layout.stride, alignof(SlabInfo));
        layout.colour_step = divide_up(std::bit_ceil(info), grain) * grain;
        room = layout.slots_per_slab * layout.stride;
    }
    // A SlabInfo that covers slots needs all of them, and one slot is to be left.
    const std::size_t covered = layout.info_slots > 0 ? layout.info_slots * layout.stride : info;
    if (layout.info_slots >= layout.slots_per_slab) return;
    layout.objects_per_slab = layout.slots_per_slab - layout.info_slots;
    const std::size_t fitting = (room - covered - layout.info_offset) / layout.colour_step + 1;
    layout.colours = std::bit_floor(fitting < Layout::max_colours ? fitting : Layout::max_colours);
}

/// One candidate: all numbers given but Small or Large, which is `type`.
constexpr Layout lay_out(Layout layout, const CacheConfig& config, ObjectSizeType type,
                         std::size_t alignment) noexcept {
    layout.slab_alignment = config.slab_alignment == 0 ? layout.slab_size : config.slab_alignment;
    const bool natural = layout.slab_alignment >= layout.slab_size;
    if (type == ObjectSizeType::Small) {
        layout.row = natural ? Row::SmallByMask : Row::SmallByMap;
    } else {
        layout.row = config.slab_info_lookup == SlabInfoLookup::PageFrames ? Row::LargeByPageFrames
                                                                           : Row::LargeByMap;
    }
    layout.slots_per_slab = layout.slab_size / layout.stride;
    if (alignment > layout.slab_alignment) {
        layout.error = ConfigError::ObjectAlignmentIsTooLarge;
    } else if (type == ObjectSizeType::Small) {
        lay_out_small(layout);
    } else if (layout.row == Row::LargeByPageFrames && !natural) {
        layout.error = ConfigError::PageFramesNeedNaturalAlignment;
    } else {
        layout.objects_per_slab = layout.slots_per_slab;
        if (layout.objects_per_slab > SlabInfo::max_slots) {
            layout.error = ConfigError::TooManySlotsForLarge;
        }
    }
    if (layout.error == ConfigError::None && layout.objects_per_slab == 0) {
        layout.error = ConfigError::NoRoomForAnObject;
    }
    return layout;
}

/// Does `a` lose less of its memory than `b`? Compared as fractions, without rounding.
constexpr bool loses_less(const Layout& a, const Layout& b) noexcept {
    if (b.error != ConfigError::None) return a.error == ConfigError::None;
    return a.error == ConfigError::None &&
           std::uint64_t{a.bytes_lost_per_slab()} * b.bytes_per_slab() <
               std::uint64_t{b.bytes_lost_per_slab()} * a.bytes_per_slab();
}

constexpr ConfigError first_error(const CacheConfig& config) noexcept {
    if (!is_power_of_two(config.page_size)) return ConfigError::PageSizeIsNoPowerOfTwo;
    if (config.slab_size != 0) {
        if (!is_power_of_two(config.slab_size)) return ConfigError::SlabSizeIsNoPowerOfTwo;
        if (config.slab_size < config.page_size) return ConfigError::SlabSizeIsLessThanAPage;
    }
    if (config.slab_alignment != 0) {
        if (!is_power_of_two(config.slab_alignment)) {
            return ConfigError::SlabAlignmentIsNoPowerOfTwo;
        }
        if (config.slab_alignment < config.page_size) {
            return ConfigError::SlabAlignmentIsLessThanAPage;
        }
    }
    if (config.slab_info_lookup == SlabInfoLookup::PageFrames &&
        config.object_size_type == ObjectSizeType::Small) {
        return ConfigError::PageFramesAreForLarge;
    }
    return ConfigError::None;
}

}  // namespace detail

/// The layout of objects of `size` bytes, aligned to `alignment`, under `config`; where that cannot
/// work, `error` says why. Costs: nothing at run time.
[[nodiscard]] constexpr Layout layout_for(std::size_t size, std::size_t alignment,
                                          const CacheConfig& config) noexcept {
    Layout given;
    given.object_size = size;
    given.front = detail::front_of(config.checks, alignment);
    given.behind = detail::behind_of(config.checks);
    detail::set_stride(given, align_up(given.front + size + given.behind, alignment));
    given.page_size = config.page_size;
    given.error = detail::first_error(config);
    if (given.error != ConfigError::None) return given;

    std::size_t smallest = config.slab_size;
    std::size_t largest = config.slab_size;
    if (config.slab_size == 0) {
        const std::size_t one_object = std::bit_ceil(given.stride);
        smallest = config.page_size;
        largest = one_object > Layout::largest_search ? one_object : Layout::largest_search;
        if (largest < smallest) largest = smallest;
    }
    Layout best;
    bool first = true;
    for (std::size_t slab_size = smallest; slab_size <= largest; slab_size *= 2) {
        for (const ObjectSizeType type : {ObjectSizeType::Small, ObjectSizeType::Large}) {
            if (config.object_size_type != ObjectSizeType::Auto &&
                config.object_size_type != type) {
                continue;
            }
            if (type == ObjectSizeType::Small &&
                config.slab_info_lookup == SlabInfoLookup::PageFrames) {
                continue;
            }
            given.slab_size = slab_size;
            const Layout candidate = detail::lay_out(given, config, type, alignment);
            if (first || detail::loses_less(candidate, best)) best = candidate;
            first = false;
        }
    }
    return best;
}

namespace detail {

/// sizeof(T) and alignof(T), or, where the compiler has none, the reason in words.
struct Measure {
    std::size_t size;
    std::size_t alignment;
};
template <typename T>
consteval Measure measure_of() {
    constexpr bool complete = requires { sizeof(T); };
    static_assert(
        complete,
        "T must be complete here, because its size decides what a slab looks like: define "
        "it above");
    if constexpr (complete) {
        return {.size = sizeof(T), .alignment = alignof(T)};
    } else {
        return {.size = 1, .alignment = 1};
    }
}

}  // namespace detail

template <typename T, CacheConfig Config>
inline constexpr Layout layout_of =
    layout_for(detail::measure_of<T>().size, detail::measure_of<T>().alignment, Config);

}  // namespace slab_allocator

// config_check.hpp -- a sentence for every configuration that cannot work.
//
// A static_assert can print no number, but a compiler names the arguments of the template that it
// stands in: "... slab_size_is_a_power_of_two() [with slab_size = 5000; nearest = 8192]". So each
// rule is a template of the numbers that it is about, and of what they would have to be.

namespace slab_allocator {

namespace detail {

template <std::size_t page_size, std::size_t would_have_to_be>
consteval bool page_size_is_a_power_of_two() {
    static_assert(page_size == would_have_to_be, "page_size must be a power of two");
    return page_size == would_have_to_be;
}

template <std::size_t slab_size, std::size_t would_have_to_be>
consteval bool slab_size_is_a_power_of_two() {
    static_assert(slab_size == would_have_to_be,
                  "slab_size must be a power of two and a multiple of page_size, or 0 to have it "
                  "chosen");
    return slab_size == would_have_to_be;
}

template <std::size_t slab_size, std::size_t would_have_to_be_at_least>
consteval bool slab_size_is_at_least_a_page() {
    static_assert(slab_size >= would_have_to_be_at_least,
                  "slab_size must be at least page_size: a slab consists of pages");
    return slab_size >= would_have_to_be_at_least;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be>
consteval bool slab_alignment_is_a_power_of_two() {
    static_assert(slab_alignment == would_have_to_be,
                  "slab_alignment must be a power of two, or 0 for slab_size");
    return slab_alignment == would_have_to_be;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be_at_least>
consteval bool slab_alignment_is_at_least_a_page() {
    static_assert(slab_alignment >= would_have_to_be_at_least,
                  "slab_alignment must be at least page_size: a slab consists of pages");
    return slab_alignment >= would_have_to_be_at_least;
}

template <std::size_t object_alignment, std::size_t can_be_at_most>
consteval bool object_alignment_fits() {
    static_assert(
        object_alignment <= can_be_at_most,
        "the object's alignment is larger than the slab's: objects can be aligned at most "
        "as their slab is; raise slab_alignment (or slab_size, where that is 0)");
    return object_alignment <= can_be_at_most;
}

template <bool ok>
consteval bool page_frames_are_for_large() {
    static_assert(ok,
                  "slab_info_lookup PageFrames is for object_size_type Large: the SlabInfo of a "
                  "Small slab lies in the slab, not in the backend's array");
    return ok;
}

template <std::size_t slab_alignment, std::size_t would_have_to_be_at_least>
consteval bool page_frames_have_natural_alignment() {
    static_assert(slab_alignment >= would_have_to_be_at_least,
                  "slab_info_lookup PageFrames asks for a slab's first page, which is found by "
                  "masking: slab_alignment must be at least slab_size, or 0");
    return slab_alignment >= would_have_to_be_at_least;
}

template <std::size_t slab_size, std::size_t would_have_to_be_at_least>
consteval bool slab_has_room_for_an_object() {
    static_assert(slab_size >= would_have_to_be_at_least,
                  "no room for an object: slab_size must hold one object and, where it is Small, "
                  "its SlabInfo, too");
    return slab_size >= would_have_to_be_at_least;
}

template <std::size_t slots, std::size_t can_be_at_most>
consteval bool slab_info_can_hold_the_slots() {
    static_assert(slots <= can_be_at_most,
                  "too many slots for object_size_type Large: a SlabInfo outside of its slab "
                  "manages at most 640; lower slab_size or take Small");
    return slots <= can_be_at_most;
}

}  // namespace detail

/// Does not compile where a cache of `T` cannot work under `Config`, and says which number is wrong
/// and what it would have to be.
template <typename T, CacheConfig Config>
consteval bool check_config() {
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>,
                  "a cache serves objects: T must be an object type without const or volatile");
    constexpr Layout layout = layout_of<T, Config>;
    constexpr ConfigError error = layout.error;
    constexpr std::size_t alignment =
        Config.slab_alignment == 0 ? layout.slab_size : Config.slab_alignment;
    if constexpr (error == ConfigError::PageSizeIsNoPowerOfTwo) {
        return detail::page_size_is_a_power_of_two<Config.page_size,
                                                   std::bit_ceil(Config.page_size)>();
    } else if constexpr (error == ConfigError::SlabSizeIsNoPowerOfTwo) {
        return detail::slab_size_is_a_power_of_two<Config.slab_size,
                                                   std::bit_ceil(Config.slab_size)>();
    } else if constexpr (error == ConfigError::SlabSizeIsLessThanAPage) {
        return detail::slab_size_is_at_least_a_page<Config.slab_size, Config.page_size>();
    } else if constexpr (error == ConfigError::SlabAlignmentIsNoPowerOfTwo) {
        return detail::slab_alignment_is_a_power_of_two<Config.slab_alignment,
                                                        std::bit_ceil(Config.slab_alignment)>();
    } else if constexpr (error == ConfigError::SlabAlignmentIsLessThanAPage) {
        return detail::slab_alignment_is_at_least_a_page<Config.slab_alignment, Config.page_size>();
    } else if constexpr (error == ConfigError::ObjectAlignmentIsTooLarge) {
        return detail::object_alignment_fits<detail::measure_of<T>().alignment, alignment>();
    } else if constexpr (error == ConfigError::PageFramesAreForLarge) {
        return detail::page_frames_are_for_large<Config.object_size_type !=
                                                 ObjectSizeType::Small>();
    } else if constexpr (error == ConfigError::PageFramesNeedNaturalAlignment) {
        return detail::page_frames_have_natural_alignment<Config.slab_alignment,
                                                          layout.slab_size>();
    } else if constexpr (error == ConfigError::NoRoomForAnObject) {
        constexpr std::size_t info = layout.small() ? small_slab_info_size(1) : 0;
        constexpr std::size_t object = info + layout.stride;
        return detail::slab_has_room_for_an_object<layout.slab_size, std::bit_ceil(object)>();
    } else if constexpr (error == ConfigError::TooManySlotsForLarge) {
        return detail::slab_info_can_hold_the_slots<layout.objects_per_slab, SlabInfo::max_slots>();
    } else {
        return true;
    }
}

}  // namespace slab_allocator

// geometry.hpp -- where the slots of a slab are.
//
//      slab    | front | object 0 | behind | front | object 1 | behind | ... | SlabInfo | ...
//              '-------- slot 0 ---------' '-------- slot 1 ---------'       '- reserved
//
// A cache knows the numbers when it is compiled (StaticGeometry): the compiler folds them into the
// instructions. A size class of a heap has them as a member (RuntimeGeometry): one piece of code
// serves all classes. Everything that is computed from them is written once, here.
//
// Invariants
//   [E1] slot_of(slab, object) < slots_per_slab  <=>  object_at(slab, that slot) == object

namespace slab_allocator {

/// A layout that the compiler knows.
template <Layout known>
class StaticLayout {
public:
    static constexpr Layout located = known;
    static constexpr std::size_t known_objects_per_slab = known.objects_per_slab;
    static constexpr bool disguises_owner = true;
    static constexpr bool small = known.small();
    static constexpr bool naturally_aligned = known.slab_alignment >= known.slab_size;
    static constexpr bool reserves_slots = known.info_slots != 0;

    static constexpr Layout layout = known;

    [[nodiscard]] static constexpr std::size_t front() noexcept { return known.front; }
};

/// A layout that is a member. Row and page size are those of `like`, which is Large, so that the
/// SlabInfo reserves no slot; a front is there where `like` has one.
template <Layout like>
class LayoutMember {
public:
    static constexpr Layout located = like;
    static constexpr std::size_t known_objects_per_slab = 0;
    static constexpr bool disguises_owner = false;  // the owner is looked up by its address
    static constexpr bool small = false;
    static constexpr bool naturally_aligned = false;
    static constexpr bool reserves_slots = false;

    constexpr explicit LayoutMember(const Layout& given) noexcept : layout(given) {}

    [[nodiscard]] constexpr std::size_t front() const noexcept {
        return like.front != 0 ? layout.front : 0;
    }

    Layout layout;
};

template <typename Numbers>
class GeometryOf : public Numbers {
public:
    using Numbers::front;
    using Numbers::layout;
    using Numbers::Numbers;

    /// The slab that `object` lies in, given its SlabInfo.
    [[nodiscard]] std::byte* slab_of(const SlabRecord& slab_info,
                                     const std::byte* object) const noexcept {
        if constexpr (Numbers::naturally_aligned) {
            return block_of(object, layout.slab_size);
        } else {
            return slab_info.slab;
        }
    }

    /// The number of the slot whose object starts at `object`; no number below slots_per_slab where
    /// none does, whatever the address [E1].
    [[nodiscard]] std::size_t slot_of(const SlabRecord& slab_info,
                                      const std::byte* object) const noexcept {
        const std::byte* const slab = slab_of(slab_info, object);
        return layout.slot_at(address_of(object) - address_of(slab) - front());
    }

    [[nodiscard]] std::byte* object_at(const SlabRecord& slab_info,
                                       std::size_t slot) const noexcept {
        return slab_info.slab + layout.offset_of(slot) + front();
    }

    /// The first of the info_slots slots that the SlabInfo itself reserves.
    [[nodiscard]] std::size_t first_reserved(const SlabRecord& slab_info) const noexcept {
        if constexpr (!Numbers::reserves_slots) return 0;
        return layout.info_slot_of(address_of(slab_info.slab));
    }

    /// Does the SlabInfo itself lie in that slot?
    [[nodiscard]] bool is_reserved(const SlabRecord& slab_info, std::size_t slot) const noexcept {
        if constexpr (!Numbers::reserves_slots) return false;
        return slot - first_reserved(slab_info) < layout.info_slots;  // wraps for slots before it
    }

    /// The bits of word `word` that the SlabInfo itself reserves.
    [[nodiscard]] std::uint64_t reserved_in(const SlabRecord& slab_info,
                                            std::size_t word) const noexcept {
        if constexpr (!Numbers::reserves_slots) return 0;
        return FreeMap::bits_of(first_reserved(slab_info), layout.info_slots, word);
    }

    /// Does the record of a slab agree with itself and with the layout?
    [[nodiscard]] bool is_sound(const SlabRecord& slab_info) const noexcept {
        return layout.is_sound(slab_info, first_reserved(slab_info));
    }
};

template <Layout known>
using StaticGeometry = GeometryOf<StaticLayout<known>>;

template <Layout like>
using RuntimeGeometry = GeometryOf<LayoutMember<like>>;

}  // namespace slab_allocator

// slot_group.hpp -- which objects go back to their slab together.
//
//      objects   | a | a+1 | a+2 | c | d | ...
//                '---- a group ----'   one word of a map, or 64 neighbours that stand in two
//
// Many objects that are freed at once, or are given back from the cache's hand, come in the order
// in which they were freed: often side by side, up or down. What the SlabInfo of a group costs, it
// costs once for all of it.
//
// Invariants
//   [E2] a group is the first `number` of the objects, all of one slab, all different.

namespace slab_allocator {

struct SlotGroup {
    std::size_t number;
    std::size_t word;
    std::uint64_t bits;        // of that word
    std::uint64_t bits_after;  // of the next one

    [[nodiscard]] bool all_taken_in(const FreeMap& map) const noexcept {
        return map.all_taken(word, bits) &&
               (bits_after == 0 || map.all_taken(word + 1, bits_after));
    }
    void mark_in(FreeMap& map) const noexcept {
        map.mark(word, bits);
        if (bits_after != 0) map.mark(word + 1, bits_after);
    }
    void unmark_in(FreeMap& map) const noexcept {
        map.unmark(word, bits);
        if (bits_after != 0) map.unmark(word + 1, bits_after);
    }
    [[gnu::always_inline]] void free_in(FreeMap& map) const noexcept {
        map.give_back(word, bits);
        if (bits_after != 0) map.give_back(word + 1, bits_after);
    }
};

namespace detail {

/// Do the first 64 objects stand `step` bytes from one another?
template <std::uintptr_t step, typename Object>
[[nodiscard]] bool are_neighbours(std::span<Object* const> objects) noexcept {
    const std::uintptr_t first = address_of(objects[0]);
    return for_all_of_word(
        [&](std::size_t index) { return address_of(objects[index]) == first + index * step; });
}

}  // namespace detail

/// The group of the first objects. The first one is the start of a slot of a slab whose first
/// object is at `start`. Those after it are `suspect` where nobody checked them: they belong to the
/// group only if they are starts of slots of that slab, and no two are the same [E2].
/// Costs: O(number).
template <Layout layout, bool suspect, typename Object>
[[nodiscard, gnu::always_inline]] inline SlotGroup first_group(
    std::uintptr_t start, std::span<Object* const> objects) noexcept {
    constexpr std::size_t length = FreeMap::bits_per_word;
    const std::size_t slot = layout.slot_at(address_of(objects[0]) - start);
    if (objects.size() >= length) {
        const bool up = detail::are_neighbours<layout.stride>(objects);
        const std::size_t low = up ? slot : slot - (length - 1);  // wraps where there are none
        if (low < layout.slots_per_slab && low + length <= layout.slots_per_slab &&
            (up || detail::are_neighbours<std::uintptr_t{0} - layout.stride>(objects))) {
            const std::size_t shift = low % length;
            return {.number = length,
                    .word = low / length,
                    .bits = ~std::uint64_t{0} << shift,
                    .bits_after = ~(~std::uint64_t{0} << shift)};
        }
    }
    const std::size_t word = slot / length;
    const std::uintptr_t word_start = start + word * length * layout.stride;
    const std::size_t left = layout.slots_per_slab - word * length;
    const std::size_t slots = left < length ? left : length;
    std::uint64_t bits = std::uint64_t{1} << (slot % length);
    std::size_t number = 1;
    for (; number < objects.size(); ++number) {
        const std::size_t offset = address_of(objects[number]) - word_start;
        if (offset >= slots * layout.stride) break;
        const std::size_t next = layout.slot_at(offset);
        if (suspect && (next >= slots || ((bits >> next) & 1U) != 0)) break;
        bits |= std::uint64_t{1} << next;
    }
    return {.number = number, .word = word, .bits = bits, .bits_after = 0};
}

/// The same, of objects of a slab whose SlabInfo is `slab_info`.
template <Layout layout, bool suspect, typename Object>
[[nodiscard]] inline SlotGroup group_of(const SlabRecord& slab_info,
                                        std::span<Object* const> objects) noexcept {
    const auto* const first = static_cast<const std::byte*>(static_cast<const void*>(objects[0]));
    const std::byte* const slab = StaticGeometry<layout>().slab_of(slab_info, first);
    return first_group<layout, suspect>(address_of(slab) + layout.front, objects);
}

}  // namespace slab_allocator

// bulk_marks.hpp -- the check of many objects before the first of them is freed.
//
//      object --sound?--> its bit is marked free --> ... --> all are: the caller frees them
//                    '--no--> all marks are undone, and it is reported
//
// A mark makes the second of the same object in a bulk a double free, found as any other.
//
// Invariants
//   [I3] where mark() returns false, every map is as it was.

namespace slab_allocator {

/// `Front` says what is sound and what is cached. Neighbours are checked together where objects
/// have no guards to look at.
template <Layout layout, bool one_by_one, typename Front>
class BulkMarks {
public:
    explicit BulkMarks(Front& front) noexcept : front_(front) {}

    /// Returns: whether all are sound, and are marked; null is passed over.
    template <typename Object>
    [[nodiscard]] bool mark(std::span<Object* const> objects) noexcept {
        for (std::size_t done = 0; done < objects.size();) {
            if (objects[done] == nullptr) {
                ++done;
                continue;
            }
            std::byte* const object = bytes_of(objects[done]);
            SlabRecord* const slab_info = front_.find(object);
            if (!front_.is_sound(slab_info, object)) [[unlikely]] {
                const DefectReport wrong = front_.diagnose(object);
                unmark(objects.first(done));
                report(wrong);
                return false;
            }
            const std::size_t at_once = one_by_one ? 1 : objects.size() - done;
            done += mark_group(*slab_info, objects.subspan(done, at_once));
        }
        return true;
    }

private:
    /// The first objects, of which the first is right, as far as all are. Returns: how many.
    template <typename Object>
    [[nodiscard]] std::size_t mark_group(SlabRecord& slab_info,
                                         std::span<Object* const> objects) noexcept {
        SlotGroup group = group_of<layout, true>(slab_info, objects);
        bool all_right = group.all_taken_in(slab_info.map);
        if (front_.has_cached()) {
            for (Object* const object : objects.first(group.number))
                all_right = all_right && !front_.is_cached(bytes_of(object));
        }
        if (!all_right) group = group_of<layout, true>(slab_info, objects.first(1));
        group.mark_in(slab_info.map);
        return group.number;
    }

    template <typename Object>
    void unmark(std::span<Object* const> objects) noexcept {
        for (Object* const object : objects) {
            if (object == nullptr) continue;
            SlabRecord& slab_info = *front_.find(bytes_of(object));
            group_of<layout, true>(slab_info, std::span(&object, 1)).unmark_in(slab_info.map);
        }
    }

    Front& front_;
};

}  // namespace slab_allocator

// object_stack.hpp -- a short stack of free objects, which alloc pops and free pushes.
//
//      objects   | null | . | . | . |       |      what stands above the null is taken out of its
//                                   ^top           slab, but nobody's; alloc pops, free pushes
//
// A slab's free map gives and takes whole words cheaply and single bits dearly, so the cache fills
// this stack from words and empties it into words. (A magazine as in Bonwick and Adams 2001, filled
// by expanding bitmaps.) It is a pointer and not a number that is kept: the two calls of a pair
// reach memory through the same register, and processors that rename memory make that free (0.57
// of the time of a pair with a number, Golden Cove).
//
// Is an object in the stack? free asks that to find a double free. The answer must be exact and may
// not chain one operation to the next through memory, so there is a sparse set over it (Briggs and
// Torczon 1993): rank[class of the address] is where an object of that class was pushed last, and
// counts only while it is below top and an object of the class is still there. A class has at most
// one object in the stack; a second one goes to its slab.
//
// Invariants
//   [R1] objects[0] is null, no other below top is: the pop of nothing finds null
//   [R2] top <= limit <= the end of objects, but where limit was just lowered
//   [R3] checked: an object in the stack at i has rank[its class] == i
//   [R4] checked: the objects from top up to popped_end were popped, and nothing came in or went
//        elsewhere since: they are live, and pushing the one at top again is counting up;
//        popped_end <= limit

namespace slab_allocator {

class SlabRecord;

/// As many objects as 128 KiB and four slabs hold, but a power of two from 1 to 128.
[[nodiscard]] constexpr std::size_t cached_capacity(std::size_t stride,
                                                    std::size_t objects_per_slab) noexcept {
    std::size_t capacity = 128;
    while (capacity > 1 &&
           (capacity * stride > std::size_t{128} * 1024 || capacity > 4 * objects_per_slab)) {
        capacity /= 2;
    }
    return capacity;
}

/// What free needs to know of objects in the stack; nothing, where misuse is not looked for.
template <std::size_t stride, std::size_t capacity, bool checked>
class MembershipIndex {
public:
    [[nodiscard]] static constexpr bool can_index(std::size_t) noexcept { return true; }
    static constexpr void put(const std::byte*, std::size_t) noexcept {}
    static constexpr void put_word(const std::byte*, std::size_t) noexcept {}
};

template <std::size_t stride, std::size_t capacity>
class MembershipIndex<stride, capacity, true> {
public:
    static constexpr std::size_t classes = 8 * capacity;

    /// 2^shift <= stride, so only slots that are (classes - 1) * 2^shift apart can share a class.
    [[nodiscard]] static constexpr bool can_index(std::size_t slots) noexcept {
        return slots * stride <= classes << shift;
    }

    [[nodiscard]] std::size_t rank_of(const std::byte* object) const noexcept {
        return ranks_[class_of(address_of(object))];
    }
    [[nodiscard]] static bool same_class(const std::byte* a, const std::byte* b) noexcept {
        return class_of(address_of(a) ^ address_of(b)) == 0;
    }
    void put(const std::byte* object, std::size_t rank) noexcept {
        ranks_[class_of(address_of(object))] = static_cast<std::uint8_t>(rank);  // [R3]
    }
    /// put() for the slots of a whole word, the last of which has rank `rank`.
    void put_word(const std::byte* start, std::size_t rank) noexcept {
        constexpr std::size_t slots = FreeMap::bits_per_word;
        constexpr bool neighbours = std::has_single_bit(stride);  // constexpr: no call into libgcc
        const std::size_t first = class_of(address_of(start));
        if (neighbours && first + slots <= classes) {  // neighbours here, too
            constexpr std::uint64_t ones = 0x0101'0101'0101'0101;
            constexpr std::uint64_t down = std::endian::native == std::endian::little
                                               ? 0x0001'0203'0405'0607
                                               : 0x0706'0504'0302'0100;
            std::uint64_t eight = down + ones * (rank + slots - 8);
            for (std::size_t slot = 0; slot < slots; slot += 8, eight -= 8 * ones)
                __builtin_memcpy(ranks_ + first + slot, &eight, 8);
        } else {
            for (std::size_t slot = 0; slot < slots; ++slot)
                put(start + slot * stride, rank + slots - 1 - slot);
        }
    }

private:
    static constexpr int shift = std::bit_width(stride) - 1;

    [[nodiscard]] static std::size_t class_of(std::uintptr_t address) noexcept {
        return (address >> shift) % classes;
    }

    std::uint8_t ranks_[classes] = {};
};

/// `with_infos`: the stack remembers each object's SlabInfo, so that a row with a map is asked once
/// in a free, not again when the object goes back to its slab.
template <std::size_t stride, std::size_t objects_per_slab, bool checked, bool with_infos>
class ObjectStack {
public:
    static constexpr std::size_t capacity = cached_capacity(stride, objects_per_slab);
    static constexpr bool has_infos = with_infos;

    /// Do as many neighbouring slots all have places of their own?
    [[nodiscard]] static constexpr bool can_index(std::size_t slots) noexcept {
        return Ranks::can_index(slots);
    }

    [[nodiscard]] constexpr std::size_t size() const noexcept {
        return static_cast<std::size_t>(top_ - bottom());
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return top_ == bottom(); }
    [[nodiscard]] constexpr bool full() const noexcept { return top_ == limit_; }

    /// From now on, full() at `limit` objects. Requires: limit <= capacity, not checked.
    constexpr void set_limit(std::size_t limit) noexcept {
        limit_ = bottom() + limit;
        if constexpr (checked) {
            if (popped_end_ > limit_) popped_end_ = limit_;  // [R4]
        }
    }

    /// Takes the object that came last. Returns: nullptr where there is none.
    [[nodiscard]] std::byte* pop() noexcept {
        std::byte* const object = top_[-1];
        if (object != nullptr) [[likely]]  // [R1]
            --top_;
        return object;
    }

    /// Of the object that pop() gave, no address stays: who looks for leaks would find it.
    void wipe_popped() noexcept { *top_ = nullptr; }

    /// Requires: !full(), and checked: !collides(object). Not checked.
    void push(std::byte* object, SlabRecord* slab_info) noexcept {
        std::byte** const place = top_;  // what is stored there does not move it
        put(object, place, slab_info);
        top_ = place + 1;
        forget_popped();
    }

    /// Undoes the last pop() that was not undone, if `object` is what it gave and nothing else
    /// came in since [R4]. Returns: whether.
    [[nodiscard]] bool push_again(const std::byte* object) noexcept
        requires checked
    {
        if (top_ >= popped_end_ || *top_ != object) return false;
        ++top_;
        return true;
    }

    /// Is the place of the object's class taken, by itself or by another?
    [[nodiscard]] bool collides([[maybe_unused]] const std::byte* object) const noexcept {
        if constexpr (checked) {
            const std::byte* const* const place = bottom() + ranks_.rank_of(object);
            if (!ranks_.same_class(*place, object)) [[likely]]
                return false;
            return place < top_;  // hard to foresee: the last thing to ask
        } else {
            return false;
        }
    }

    /// Costs: one comparison where checked, one an object else.
    [[nodiscard]] bool contains(const std::byte* object) const noexcept {
        if constexpr (checked) {
            const std::byte* const* const place = bottom() + ranks_.rank_of(object);
            return *place == object && place < top_;
        } else {
            for (std::size_t rank = 0; rank < size(); ++rank) {
                if (all()[rank] == object) return true;
            }
            return false;
        }
    }

    /// An object that pop() gave went elsewhere than here.
    void forget_popped() noexcept {
        if constexpr (checked) popped_end_ = top_;
    }

    /// The lowest `most` of the slots `bits` of a word, whose places are not taken. Slots of one
    /// word have places of their own.
    [[nodiscard]] std::uint64_t indexable([[maybe_unused]] std::byte* start, std::uint64_t bits,
                                          std::size_t most) const noexcept {
        std::uint64_t result = 0;
        for (; bits != 0 && most > 0; bits &= bits - 1) {
            if constexpr (checked) {
                if (collides(start + lowest_bit(bits) * stride)) continue;
            }
            result |= bits & (~bits + 1);
            --most;
        }
        return result;
    }

    /// Pushes the slots `bits` of a word that starts at `start`, so that the lowest comes out
    /// first. Requires: room and places for all of them, not checked.
    void push_slots(std::byte* start, std::uint64_t bits, SlabRecord* slab_info) noexcept {
        if constexpr (capacity >= FreeMap::bits_per_word) {
            if (bits == ~std::uint64_t{0}) return push_word(start, slab_info);
        }
        top_ += bits_number(bits);
        std::byte** place = top_;
        for (; bits != 0; bits &= bits - 1)
            put(start + lowest_bit(bits) * stride, --place, slab_info);
        forget_popped();
    }

    /// From the bottom to the top.
    [[nodiscard]] std::span<std::byte* const> all() const noexcept { return {bottom(), top_}; }

    /// The SlabInfo of the object `rank` places from the bottom.
    [[nodiscard]] SlabRecord* info_at(std::size_t rank) const noexcept
        requires with_infos
    {
        return infos_[rank];
    }

    /// Forgets all objects but the lowest `size`. They stay where they were until the next push.
    void drop_to(std::size_t size) noexcept {
        top_ = bottom() + size;
        forget_popped();
    }

private:
    using Ranks = MembershipIndex<stride, capacity, checked>;

    [[nodiscard]] constexpr std::byte** bottom() noexcept { return objects_ + 1; }
    [[nodiscard]] constexpr std::byte* const* bottom() const noexcept { return objects_ + 1; }

    void put(std::byte* object, std::byte** place,
             [[maybe_unused]] SlabRecord* slab_info) noexcept {
        ranks_.put(object, static_cast<std::size_t>(place - bottom()));
        if constexpr (with_infos) infos_[place - bottom()] = slab_info;
        *place = object;
    }

    /// All slots of a word, as of a slab that nobody has churned: known numbers, for the compiler
    /// to make wide stores of.
    void push_word(std::byte* start, SlabRecord* slab_info) noexcept {
        constexpr std::size_t slots = FreeMap::bits_per_word;
        ranks_.put_word(start, size());
        for_all_of_word([&](std::size_t slot) {
            top_[slot] = start + (slots - 1 - slot) * stride;
            return true;
        });
        if constexpr (with_infos) {
            for (std::size_t slot = 0; slot < slots; ++slot)
                infos_[size() + slot] = slab_info;
        }
        top_ += slots;
        forget_popped();
    }

    struct NoPopped {};
    struct NoInfos {};

    [[nodiscard]] constexpr auto first_popped_end() noexcept {
        if constexpr (checked) {
            return bottom();
        } else {
            return NoPopped{};
        }
    }

    std::byte** top_ = objects_ + 1;
    std::byte** limit_ = objects_ + 1 + capacity;
    [[no_unique_address]] std::conditional_t<checked, std::byte**, NoPopped> popped_end_ =
        first_popped_end();
    [[no_unique_address]] Ranks ranks_;
    std::byte* objects_[1 + capacity] = {};
    [[no_unique_address]] std::conditional_t<with_infos, SlabRecord* [capacity], NoInfos> infos_ =
        {};
};

}  // namespace slab_allocator

// quarantine.hpp -- what guarded levels have in place of the object stack: free objects
// come back late, and in an order that nobody knows.
//
//      objects   |  gone  | ready: in random order | returned: as they came |          |
//                          ^next                    ^ready_end               ^end      2 * capacity
//
// alloc takes from the front of the ready ones, free puts behind the returned ones. When no ready
// one is left, shuffle() makes all that is there ready; where that is little, the cache takes words
// of slabs along. So an object comes back when all that were ready before it are gone, and then at
// any place among those that came with it. What goes back to its slab goes in the order in which it
// came, so that neighbours still go by words. (Quarantine and random order as in hardened_malloc.)
//
// Is an object in here? Its guards say so (guards.hpp): nothing is kept for that.
//
// Invariants
//   [X3] objects <= next <= ready_end <= end <= objects + 2 * capacity; size() <= capacity
//   [X4] full() may say so too early: alloc makes room that only set_limit() sees. A caller that
//        finds it full asks set_limit(), and full() again.

namespace slab_allocator {

class SlabRecord;

/// `with_infos`: it remembers each object's SlabInfo, as ObjectStack does.
template <std::size_t stride, std::size_t objects_per_slab, bool with_infos>
class Quarantine {
public:
    static constexpr std::size_t capacity = cached_capacity(stride, objects_per_slab);
    static constexpr bool has_infos = with_infos;

    [[nodiscard]] static constexpr bool can_index(std::size_t) noexcept { return true; }

    [[nodiscard]] constexpr std::size_t size() const noexcept {
        return static_cast<std::size_t>(end_ - next_);
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return end_ == next_; }
    [[nodiscard]] constexpr bool full() const noexcept { return end_ >= limit_; }  // [X4]
    [[nodiscard]] constexpr bool none_ready() const noexcept { return next_ == ready_end_; }

    /// From now on, full() at `limit` objects. Requires: limit <= capacity, not checked.
    constexpr void set_limit(std::size_t limit) noexcept {
        make_room(1);
        std::byte** const last = objects_ + places;
        limit_ = limit < static_cast<std::size_t>(last - next_) ? next_ + limit : last;
    }

    /// Takes a ready object. Requires: !none_ready(), not checked.
    [[nodiscard]] std::byte* pop() noexcept { return *next_++; }

    /// Of objects that pop() gave, no address stays: who looks for leaks would find it. Costs:
    /// O(capacity).
    void wipe_popped() noexcept {
        for (std::byte** place = objects_; place != objects_ + places; ++place) {
            if (place < next_ || place >= end_) *place = nullptr;
        }
    }

    /// Requires: !full(), not checked.
    void push(std::byte* object, SlabRecord* slab_info) noexcept { put(end_++, object, slab_info); }

    /// Brings all into random order, and makes them ready. Requires: set_limit() after it.
    void shuffle(std::uint64_t random) noexcept {
        const std::size_t number = size();
        for (std::size_t rank = 0; rank < number; ++rank) {  // Fisher and Yates, inside out
            random = random * 6364136223846793005U + 1442695040888963407U;
            const auto other = static_cast<std::size_t>(((random >> 32) * (rank + 1)) >> 32);
            std::byte* const object = next_[rank];
            SlabRecord* const slab_info = info_at(rank);
            put(objects_ + rank, objects_[other], info_of(objects_ + other));
            put(objects_ + other, object, slab_info);
        }
        next_ = objects_;
        ready_end_ = end_ = objects_ + number;
    }

    /// Makes room for `more` behind the end. Requires: size() + more <= 2 * capacity; set_limit()
    /// after it. Costs: O(1), on average of as many pushes as `capacity`.
    constexpr void make_room(std::size_t more) noexcept {
        if (static_cast<std::size_t>(objects_ + places - end_) >= more) return;
        const std::size_t number = size();
        const auto ready = static_cast<std::size_t>(ready_end_ - next_);
        __builtin_memmove(static_cast<void*>(objects_), static_cast<const void*>(next_),
                          number * sizeof(std::byte*));
        if constexpr (with_infos) {
            for (std::size_t rank = 0; rank < number; ++rank)
                infos_[rank] = info_at(rank);
        }
        next_ = objects_;
        ready_end_ = objects_ + ready;
        end_ = objects_ + number;
    }

    /// Costs: O(size()).
    [[nodiscard]] bool contains(const std::byte* object) const noexcept {
        // NOLINTNEXTLINE(readability-use-anyofallof): kernels have no <algorithm>
        for (const std::byte* const other : all()) {
            if (other == object) return true;
        }
        return false;
    }

    static constexpr void forget_popped() noexcept {}
    [[nodiscard]] static constexpr bool collides(const std::byte*) noexcept { return false; }

    /// The lowest `most` of `bits`.
    [[nodiscard]] static std::uint64_t indexable(const std::byte*, std::uint64_t bits,
                                                 std::size_t most) noexcept {
        std::uint64_t result = 0;
        for (; bits != 0 && most > 0; bits &= bits - 1, --most)
            result |= bits & (~bits + 1);
        return result;
    }

    /// Puts the slots `bits` of a word that starts at `start` behind all others. Requires: room for
    /// them, not checked.
    void push_slots(std::byte* start, std::uint64_t bits, SlabRecord* slab_info) noexcept {
        for (; bits != 0; bits &= bits - 1)
            push(start + lowest_bit(bits) * stride, slab_info);
    }

    /// From the next one to the last one.
    [[nodiscard]] std::span<std::byte* const> all() const noexcept { return {next_, end_}; }

    /// The SlabInfo of the object `rank` places from the next one; nullptr: not remembered.
    [[nodiscard]] SlabRecord* info_at(std::size_t rank) const noexcept {
        return info_of(next_ + rank);
    }

    /// Forgets all objects but the first `size`. They stay where they were until the next push.
    void drop_to(std::size_t size) noexcept {
        end_ = next_ + size;
        if (ready_end_ > end_) ready_end_ = end_;
    }

private:
    static constexpr std::size_t places = 2 * capacity;

    struct NoInfos {};

    void put(std::byte** place, std::byte* object,
             [[maybe_unused]] SlabRecord* slab_info) noexcept {
        *place = object;
        if constexpr (with_infos) infos_[place - objects_] = slab_info;
    }
    [[nodiscard]] SlabRecord* info_of([[maybe_unused]] std::byte* const* place) const noexcept {
        if constexpr (with_infos) return infos_[place - objects_];
        return nullptr;
    }

    std::byte** next_ = objects_;
    std::byte** ready_end_ = objects_;
    std::byte** end_ = objects_;
    std::byte** limit_ = objects_ + capacity;
    std::byte* objects_[places] = {};
    [[no_unique_address]] std::conditional_t<with_infos, SlabRecord* [places], NoInfos> infos_ = {};
};

}  // namespace slab_allocator

// slab_lists.hpp -- on which list a slab stands: the only place that moves one.
//
//      full        no free slot
//      partial 0   some, few free: taken from first, so that these become full ...
//      ...
//      partial 7   some, most free: ... and these drain, and go back to the backend
//      free        all free
//
// Partial slabs stand in eight classes by their share of free slots; within a class, the slab that
// came last is taken first. Finding the fullest slab with room is one bit scan.
//
// Invariants
//   [B1] a slab stands on the list of its free_number, and slab_info.list says which;
//        list_max_free is the most free slots that a slab on that list has.
//   [B2] bit i of nonempty  <=>  list i is not empty
//   [B3] a cache's: free_objects_number == sum of free_number over all slabs
//   [B4] slabs_number == |slabs on all lists|; the counts of full and free ones likewise
//
// A cache knows at compile time how many objects a slab has; a heap's size class has a member for
// that, SlabLists<0>, and does not count the free ones of all its slabs.

namespace slab_allocator {

namespace detail {

template <std::size_t number>
class ObjectsOfSlabs {
public:
    constexpr ObjectsOfSlabs() noexcept = default;
    constexpr explicit ObjectsOfSlabs(std::size_t) noexcept {}
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept { return number; }

protected:
    [[nodiscard]] constexpr bool are_free(std::size_t objects) const noexcept {  // [B3]
        return objects == free_objects_number_;
    }
    constexpr void add_free(std::size_t objects) noexcept { free_objects_number_ += objects; }
    constexpr void remove_free(std::size_t objects) noexcept { free_objects_number_ -= objects; }

    std::size_t free_objects_number_ = 0;
};

template <>
class ObjectsOfSlabs<0> {
public:
    constexpr explicit ObjectsOfSlabs(std::size_t number) noexcept
        : number_(static_cast<std::uint32_t>(number)) {}
    [[nodiscard]] constexpr std::size_t objects_per_slab() const noexcept { return number_; }

protected:
    [[nodiscard]] static constexpr bool are_free(std::size_t) noexcept { return true; }
    static constexpr void add_free(std::size_t) noexcept {}
    static constexpr void remove_free(std::size_t) noexcept {}

private:
    std::uint32_t number_;
};

}  // namespace detail

template <std::size_t known_objects_per_slab>
class SlabLists : public detail::ObjectsOfSlabs<known_objects_per_slab> {
    using Objects = detail::ObjectsOfSlabs<known_objects_per_slab>;

public:
    using Objects::Objects;
    using Objects::objects_per_slab;

    static constexpr std::size_t full = 0;
    static constexpr std::size_t partial_classes = 8;
    static constexpr std::size_t free = 1 + partial_classes;
    static constexpr std::size_t half_free = 1 + partial_classes / 2;  // and the lists after it
    static constexpr std::size_t nearly_free = partial_classes;
    static constexpr std::size_t lists_number = 2 + partial_classes;

    /// The list of a slab with `free_number` free slots [B1].
    [[nodiscard]] constexpr std::size_t list_for(std::size_t free_number) const noexcept {
        if (free_number == 0) return full;
        if (free_number == objects_per_slab()) return free;
        if constexpr (known_objects_per_slab != 0)
            return 1 + free_number * partial_classes / objects_per_slab();
        std::size_t number = 1;  // no division, where the compiler does not know by what
        while (free_number > max_free_on(number))
            ++number;
        return number;
    }

    /// The most free slots of a slab on list `number`.
    [[nodiscard]] constexpr std::size_t max_free_on(std::size_t number) const noexcept {
        if (number == full) return 0;
        if (number == free) return objects_per_slab();
        const std::size_t next = divide_up(number * objects_per_slab(), partial_classes);
        return next - 1;
    }

    [[nodiscard]] constexpr std::size_t slabs_number() const noexcept { return slabs_number_; }
    [[nodiscard]] constexpr std::size_t free_slabs_number() const noexcept {
        return free_slabs_number_;
    }
    [[nodiscard]] constexpr std::size_t full_slabs_number() const noexcept {
        return full_slabs_number_;
    }
    [[nodiscard]] constexpr std::size_t free_objects_number() const noexcept {
        return Objects::free_objects_number_;
    }
    /// Slots that are not in the hands of their slabs.
    [[nodiscard]] constexpr std::size_t taken_objects_number() const noexcept {
        return slabs_number_ * objects_per_slab() - free_objects_number();
    }

    [[nodiscard]] IntrusiveList<SlabRecord>& list(std::size_t number) noexcept {
        return lists_[number];
    }

    /// Calls f(slab_info) for every slab, the full ones first. It may move none.
    template <typename F>
    void for_each(F f) {
        for (IntrusiveList<SlabRecord>& of : lists_) {
            for (const SlabRecord& slab_info : of)
                f(slab_info);
        }
    }

    /// The fullest one, so that the emptier ones drain; nullptr where none has room.
    [[nodiscard]] SlabRecord* any_with_room() noexcept {
        SlabRecord* const partial = fullest_partial();
        return partial != nullptr ? partial : any_free();
    }
    /// The fullest partial slab; nullptr where there is none.
    [[nodiscard]] SlabRecord* fullest_partial() noexcept {
        return nonempty_partial() == 0 ? nullptr : &lists_[lowest_bit(nonempty_partial())].front();
    }
    [[nodiscard]] SlabRecord* any_free() noexcept {
        return free_slabs_number_ == 0 ? nullptr : &lists_[free].front();
    }
    [[nodiscard]] SlabRecord* any() noexcept {
        return nonempty_ == 0 ? nullptr : &lists_[lowest_bit(nonempty_)].front();
    }

    /// The first slab that does not stand as it must, or of which `defect_of` says that it has a
    /// defect; a null one where slabs are missing or counted wrongly.
    struct Wrong {
        Defect defect = Defect::None;
        const SlabRecord* slab_info = nullptr;

        /// For a report: the slab, or whose lists these are.
        [[nodiscard]] const void* where(const void* owner) const noexcept {
            return slab_info != nullptr ? static_cast<const void*>(slab_info) : owner;
        }
    };
    template <typename F>
    [[nodiscard]] Wrong validate(F defect_of) noexcept {
        std::size_t slabs = 0;
        std::size_t free_objects = 0;
        for (std::size_t number = 0; number < lists_number; ++number) {
            const std::size_t before = slabs;
            for (const SlabRecord& slab_info : lists_[number]) {
                Defect defect = Defect::CorruptedSlabInfo;
                if (++slabs <= slabs_number_ && slab_info.consistent() &&
                    stands_right(slab_info, number)) {
                    defect = defect_of(slab_info);
                }
                if (defect != Defect::None) return {defect, &slab_info};
                free_objects += slab_info.free_number;
            }
            if (!agree(number, slabs - before)) return {Defect::CorruptedSlabInfo};
        }
        if (slabs == slabs_number_ && Objects::are_free(free_objects)) return {};
        return {Defect::CorruptedSlabInfo};
    }

    /// Requires: slab_info is at rest.
    void add(SlabRecord& slab_info) noexcept {
        ++slabs_number_;
        Objects::add_free(slab_info.free_number);
        link(slab_info, list_for(slab_info.free_number));
    }
    [[gnu::noinline]] void remove(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        Objects::remove_free(slab_info.free_number);
        --slabs_number_;
    }

    /// `number` slots of a slab became free: moves it where it now belongs. Returns: was that
    /// elsewhere? The caller counts them for all slabs together, by add_free_count() [B3].
    [[nodiscard]] bool slots_freed(SlabRecord& slab_info, std::size_t number) noexcept {
        const std::size_t free_number = slab_info.free_number + number;
        slab_info.free_number = static_cast<std::uint16_t>(free_number);
        if (free_number <= slab_info.list_max_free) [[likely]]
            return false;
        move(slab_info);
        return true;
    }
    /// One more slot of a slab became free. Returns: does it belong elsewhere now? Then the caller
    /// calls move().
    [[nodiscard]] static bool slot_freed(SlabRecord& slab_info) noexcept {
        return ++slab_info.free_number > slab_info.list_max_free;
    }
    [[gnu::noinline]] void move(SlabRecord& slab_info) noexcept {
        unlink(slab_info);
        link(slab_info, list_for(slab_info.free_number));
    }
    /// Would one more free slot move it?
    [[nodiscard]] static bool would_move(const SlabRecord& slab_info) noexcept {
        return slab_info.free_number >= slab_info.list_max_free;
    }
    void add_free_count(std::size_t number) noexcept { Objects::add_free(number); }

    /// `number` slots of a slab were taken: moves it where it now belongs.
    void slots_taken(SlabRecord& slab_info, std::size_t number) noexcept {
        Objects::remove_free(number);
        slab_info.free_number = static_cast<std::uint16_t>(slab_info.free_number - number);
        if (list_for(slab_info.free_number) != slab_info.list) move(slab_info);
    }

private:
    [[nodiscard]] bool stands_right(const SlabRecord& slab_info,
                                    std::size_t number) const noexcept {  // [B1]
        return slab_info.list == number && slab_info.list_max_free == max_free_on(number) &&
               number == list_for(slab_info.free_number);
    }
    /// Do the counts and bits agree with `slabs` slabs standing on list `number`? [B2] [B4]
    [[nodiscard]] bool agree(std::size_t number, std::size_t slabs) const noexcept {
        if (number == free && slabs != free_slabs_number_) return false;
        if (number == full && slabs != full_slabs_number_) return false;
        return ((nonempty_ >> number) & 1U) == (slabs == 0 ? 0U : 1U);
    }

    [[nodiscard]] std::uint32_t nonempty_partial() const noexcept {
        constexpr std::uint32_t partial = ((std::uint32_t{1} << partial_classes) - 1) << 1;
        return nonempty_ & partial;
    }

    void link(SlabRecord& slab_info, std::size_t number) noexcept {
        lists_[number].push_front(slab_info);
        nonempty_ |= std::uint32_t{1} << number;  // [B2]
        slab_info.list = static_cast<std::uint8_t>(number);
        slab_info.list_max_free = static_cast<std::uint16_t>(max_free_on(number));
        if (number == free) ++free_slabs_number_;  // [B4]
        if (number == full) ++full_slabs_number_;
    }
    void unlink(SlabRecord& slab_info) noexcept {
        const std::size_t number = slab_info.list;
        slab_info.unlink();
        if (lists_[number].empty()) nonempty_ &= ~(std::uint32_t{1} << number);  // [B2]
        if (number == free) --free_slabs_number_;                                // [B4]
        if (number == full) --full_slabs_number_;
    }

    std::uint32_t nonempty_ = 0;
    std::size_t slabs_number_ = 0;
    std::size_t free_slabs_number_ = 0;
    std::size_t full_slabs_number_ = 0;
    IntrusiveList<SlabRecord> lists_[lists_number];
};

}  // namespace slab_allocator

// retention.hpp -- what a cache keeps: how many objects it may cache, which slabs are to drain, how
// many free slabs stay.
//
//      few live objects           cached objects are limited, so that the last free empties all
//      four slabs have room       objects of nearly free slabs go to their slabs, not to the cached
//      and half of all is free    ... those of half free slabs, too
//
// Computed from the counts of the lists by update(), which is called wherever these change. Nothing
// else decides about it.
//
// Invariants
//   [C2] more slabs than kept free ones => the cache is full() before the last object of all comes
//        back, so a cache without live objects keeps no more slabs than those.
//   [C5] where four slabs have room, and free looks at the SlabInfo (it checks), objects of slabs
//        that are nearly free go to their slabs, and the cached objects are flushed when a slab
//        comes to that; where half of all slots are free, those of half free slabs do, too.
//        Allocation takes from the fuller ones: the emptier drain, and the cache becomes dense
//        again.

namespace slab_allocator {

/// Of a cache that caches up to `capacity` objects and keeps `configured` free slabs.
template <typename Lists, std::size_t capacity, std::size_t configured>
class Retention {
public:
    /// Returns: how many objects may be cached from now on [C2]; none where a tool is to see every
    /// call. Requires: a call after each change of the counts.
    [[nodiscard]] std::size_t update(const Lists& lists, bool every_call_is_seen) noexcept {
        draining_from_ = static_cast<std::uint8_t>(every_call_is_seen ? Lists::lists_number
                                                                      : first_draining(lists));
        if (every_call_is_seen) return 0;
        const std::size_t taken = lists.taken_objects_number();
        const bool last_may_come = taken != 0 && taken <= capacity;
        return last_may_come && has_surplus(lists.slabs_number()) ? taken - 1 : capacity;
    }

    /// Shall the objects of the slab go there at once [C5]?
    [[nodiscard]] bool must_drain(const SlabRecord& slab_info) const noexcept {
        return slab_info.list >= draining_from_;
    }

    /// Would so many slabs, if they were free, be more than are kept?
    [[nodiscard]] bool has_surplus(std::size_t slabs) const noexcept {
        return slabs > kept_free_slabs_;
    }

    /// As many free slabs as there are now are kept, until reset().
    void keep_all(const Lists& lists) noexcept {
        if (has_surplus(lists.free_slabs_number())) kept_free_slabs_ = lists.free_slabs_number();
    }
    void reset() noexcept { kept_free_slabs_ = configured; }

private:
    static constexpr std::size_t enough_slabs = 4;  // with room, for one of them to drain [C5]

    [[nodiscard]] static std::size_t first_draining(const Lists& lists) noexcept {
        const std::size_t slabs = lists.slabs_number();
        if (slabs - lists.full_slabs_number() < enough_slabs) return Lists::lists_number;
        const bool half_free = 2 * lists.taken_objects_number() < slabs * lists.objects_per_slab();
        return half_free ? Lists::half_free : Lists::nearly_free;
    }

    std::uint8_t draining_from_ = Lists::lists_number;  // the first list whose slabs do
    std::size_t kept_free_slabs_ = configured;
};

}  // namespace slab_allocator

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

// memory_backend.hpp -- what the user's backend must do, and the compiler's words where it does
// not.
//
//      SlabInfo is found by            holds when                          the backend must have
//      masking the object's address    Small, slab_alignment >= slab_size  alloc_slab free_slab
//      asking the map                  Small, slabs only page-aligned      + the map:
//      save_slab_info_ptr
//                                                     get_slab_info_ptr delete_slab_info_ptr
//      asking the map                  Large                               + alloc_slab_info
//                                                     free_slab_info and the map
//      asking the backend's own array  Large, SlabInfoLookup::PageFrames   alloc_slab free_slab
//                                                     slab_info_at
//
// A backend has just the functions of its row. Beside the concept, which answers yes or no, stands
// check_memory_backend(), which says the same in a sentence per function. Backends do not throw: a
// cache's members are noexcept, so a backend that throws ends the program.

namespace slab_allocator {

namespace detail {
template <typename Answer>
concept SavedOrVoid = std::is_same_v<Answer, bool> || std::is_void_v<Answer>;
}

/// The functions, each by itself. Sizes and alignments are in bytes; every page_addr is a multiple
/// of page_size.
namespace backend_has {

/// Memory for one slab, aligned to slab_alignment; nullptr: out of memory.
template <typename Backend>
concept alloc_slab = requires(Backend& backend, std::size_t slab_size, std::size_t slab_alignment) {
    { backend.alloc_slab(slab_size, slab_alignment) } -> std::same_as<void*>;
};

/// Takes back what alloc_slab() gave, with the same two numbers.
template <typename Backend>
concept free_slab =
    requires(Backend& backend, void* slab, std::size_t slab_size, std::size_t slab_alignment) {
        { backend.free_slab(slab, slab_size, slab_alignment) } -> std::same_as<void>;
    };

/// Memory for one SlabInfo (size, alignment: the type's); nullptr: out of memory.
template <typename Backend>
concept alloc_slab_info = requires(Backend& backend) {
    { backend.alloc_slab_info() } -> std::same_as<SlabInfo*>;
};

template <typename Backend>
concept free_slab_info = requires(Backend& backend, SlabInfo* slab_info) {
    { backend.free_slab_info(slab_info) } -> std::same_as<void>;
};

/// Remembers which SlabInfo a page belongs to: once for each page when a slab is born. false: out
/// of memory, nothing remembered; a save that cannot fail may return void.
template <typename Backend>
concept save_slab_info_ptr =
    requires(Backend& backend, std::uintptr_t page_addr, SlabInfo* slab_info) {
        { backend.save_slab_info_ptr(page_addr, slab_info) } -> detail::SavedOrVoid;
    };

/// nullptr: no such page. Asked up to once per free, so make the asking fast; for any address.
template <typename Backend>
concept get_slab_info_ptr = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.get_slab_info_ptr(page_addr) } -> std::same_as<SlabInfo*>;
};

/// Forgets a page: once for each page when a slab dies.
template <typename Backend>
concept delete_slab_info_ptr = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.delete_slab_info_ptr(page_addr) } -> std::same_as<void>;
};

/// The SlabInfo that the backend keeps for the page frame at page_addr, which need not be one of
/// this cache: always the same for the same frame, zeroed or a SlabInfo{} before its first use;
/// nullptr: no such frame.
template <typename Backend>
concept slab_info_at = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.slab_info_at(page_addr) } -> std::same_as<SlabInfo*>;
};

/// May be there; asked once by a cache that guards its objects (levels hardened and debug): a
/// number that nobody can guess.
template <typename Backend>
concept secret = requires(Backend& backend) {
    { backend.secret() } -> std::same_as<std::uint64_t>;
};

}  // namespace backend_has

/// Gives slabs, and takes them back: in every row.
template <typename Backend>
concept SlabSource = backend_has::alloc_slab<Backend> && backend_has::free_slab<Backend>;

/// Gives memory for SlabInfos: where these lie outside of their slabs.
template <typename Backend>
concept SlabInfoSource =
    backend_has::alloc_slab_info<Backend> && backend_has::free_slab_info<Backend>;

/// Knows the SlabInfo of a page: where the address of an object does not lead there.
template <typename Backend>
concept SlabInfoMap =
    backend_has::save_slab_info_ptr<Backend> && backend_has::get_slab_info_ptr<Backend> &&
    backend_has::delete_slab_info_ptr<Backend>;

namespace detail {

constexpr bool needs_map(Row row) noexcept {
    return row == Row::SmallByMap || row == Row::LargeByMap;
}

template <typename Backend, Row row>
inline constexpr bool serves =
    SlabSource<Backend> && (!needs_map(row) || SlabInfoMap<Backend>) &&
    (row != Row::LargeByMap || SlabInfoSource<Backend>) &&
    (row != Row::LargeByPageFrames || backend_has::slab_info_at<Backend>);

/// The row of a configuration. Where Small or Large is left open, the larger set of functions.
constexpr Row row_of(const CacheConfig& config) noexcept {
    if (config.slab_info_lookup == SlabInfoLookup::PageFrames) return Row::LargeByPageFrames;
    if (config.object_size_type != ObjectSizeType::Small) return Row::LargeByMap;
    const bool natural = config.slab_alignment == 0 ||
                         (config.slab_size != 0 && config.slab_alignment >= config.slab_size);
    return natural ? Row::SmallByMask : Row::SmallByMap;
}

template <typename Backend, bool every, bool map, bool info, bool frames>
consteval bool check_functions() {
    static_assert(std::is_object_v<Backend> && !std::is_const_v<Backend>,
                  "a cache holds its backend by value and calls it: Backend must be an object type "
                  "without const; BackendRef<Backend> holds one by reference");
    static_assert(!every || backend_has::alloc_slab<Backend>,
                  "the backend needs `void* alloc_slab(std::size_t slab_size, std::size_t "
                  "slab_alignment)`: every configuration takes its slabs from it");
    static_assert(
        !every || backend_has::free_slab<Backend>,
        "the backend needs `void free_slab(void* slab, std::size_t slab_size, std::size_t "
        "slab_alignment)`: every configuration gives its slabs back to it");
    static_assert(
        !info || backend_has::alloc_slab_info<Backend>,
        "the backend needs `SlabInfo* alloc_slab_info()`: object_size_type Large (or what "
        "Auto chose for this object) keeps each SlabInfo outside of its slab");
    static_assert(!info || backend_has::free_slab_info<Backend>,
                  "the backend needs `void free_slab_info(SlabInfo* slab_info)`: object_size_type "
                  "Large (or what Auto chose for this object) keeps each SlabInfo outside of its "
                  "slab");
    static_assert(!map || backend_has::save_slab_info_ptr<Backend>,
                  "the backend needs `bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* "
                  "slab_info)`: object_size_type Large, or a slab_alignment below slab_size, finds "
                  "a SlabInfo through the backend's map");
    static_assert(!map || backend_has::get_slab_info_ptr<Backend>,
                  "the backend needs `SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr)`: "
                  "object_size_type Large, or a slab_alignment below slab_size, finds a SlabInfo "
                  "through the backend's map");
    static_assert(!map || backend_has::delete_slab_info_ptr<Backend>,
                  "the backend needs `void delete_slab_info_ptr(std::uintptr_t page_addr)`: "
                  "object_size_type Large, or a slab_alignment below slab_size, finds a SlabInfo "
                  "through the backend's map");
    static_assert(!frames || backend_has::slab_info_at<Backend>,
                  "the backend needs `SlabInfo* slab_info_at(std::uintptr_t page_addr)`: "
                  "slab_info_lookup PageFrames asks the backend's own array for each SlabInfo");
    return (!every || SlabSource<Backend>) && (!info || SlabInfoSource<Backend>) &&
           (!map || SlabInfoMap<Backend>) && (!frames || backend_has::slab_info_at<Backend>);
}

}  // namespace detail

/// Can Backend serve a cache under Config?
template <typename Backend, CacheConfig Config = CacheConfig{}>
concept MemoryBackend = detail::serves<Backend, detail::row_of(Config)>;

/// May several threads call a Backend at once, as caches for several threads do? Of a backend of
/// yours that cannot bear it, say so, and it is refused there:
///     template <> inline constexpr bool slab_allocator::bears_threads<YourBackend> = false;
template <typename Backend>
inline constexpr bool bears_threads = true;

/// Does not compile where Backend lacks a function that `row` needs, and says which and why.
template <typename Backend, Row row>
consteval bool check_memory_backend() {
    return detail::check_functions<Backend, true, detail::needs_map(row), row == Row::LargeByMap,
                                   row == Row::LargeByPageFrames>();
}

}  // namespace slab_allocator

// secret.hpp -- what only one cache knows: the key of its guards and of its slabs' identities.
//
//      backend's secret(), or addresses --> live_ --mixed--> free_ --mixed--> state_ --> next()
//                                             |                |
//      the canary of an address            of a live one    of a free one      both: of a SlabInfo

namespace slab_allocator {

namespace detail {

/// A permutation of 64 bits in which each bit of the result depends on all. (Steele, Lea and Flood
/// 2014, the finaliser of SplitMix.)
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9U;
    value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11ebU;
    return value ^ (value >> 31);
}

}  // namespace detail

/// Secrets of one cache and random numbers that follow from them: SplitMix, no secrets of
/// cryptography. Who can read a canary knows all of its kind.
class Secret {
public:
    /// The first call counts. The entropy is the backend's `std::uint64_t secret()`, where it has
    /// one, else that of addresses: the cache's and its first slab's. Two caches with the same
    /// differ.
    template <typename Backend>
    void seed([[maybe_unused]] Backend& backend, [[maybe_unused]] const std::byte* slab,
              const void* cache) noexcept {
        if (live_ != 0) return;
        std::uint64_t entropy = 0;
        if constexpr (backend_has::secret<Backend>) {
            entropy = backend.secret();
        } else {
            entropy = detail::mixed(address_of(slab)) ^ address_of(cache);
        }
        live_ = detail::mixed(entropy ^ detail::mixed(address_of(cache))) | 1;
        free_ = detail::mixed(live_);
        state_ = detail::mixed(free_);
    }
    [[nodiscard]] std::uint64_t of_live(std::uintptr_t address) const noexcept {
        return address ^ live_;
    }
    [[nodiscard]] std::uint64_t of_free(std::uintptr_t address) const noexcept {
        return address ^ free_;
    }
    [[nodiscard]] std::uint64_t of_slab_info(std::uintptr_t address) const noexcept {
        return detail::mixed(address ^ state_of_infos());
    }
    [[nodiscard]] std::uint64_t next() noexcept {
        return detail::mixed(state_ += 0x9e37'79b9'7f4a'7c15U);
    }

private:
    [[nodiscard]] std::uint64_t state_of_infos() const noexcept { return live_ + free_; }

    std::uint64_t live_ = 0;
    std::uint64_t free_ = 0;
    std::uint64_t state_ = 0;
};

}  // namespace slab_allocator

// guards.hpp -- what stands around an object and in a free one, at the levels that have it.
//
//      hardened   slot -> | object ............... | canary |          canary: 8 bytes, keyed
//      debug      slot -> | front zone | object .. | back zone | allocated by | freed by |
//
//                   live                              free
//      hardened   canary(address, one secret)       all zeros, canary(address, another secret)
//      debug      both zones 0xfd                   all 0x5a, both zones 0xfb
//
// A free object is made so by its free and looked at before it is handed out again, a live one is
// looked at by its free: a write after free and an overflow are found then, with the first wrong
// byte. An overflow that an attacker plans needs the canary, and that needs the secret. (Zero on
// free, verified, and a canary: hardened_malloc. Red zones, poison, and who allocated and freed:
// SLUB's debugging.)
//
// Slots that were never handed out are made free when they are first taken out of their slab: a new
// slab is not written through.
//
// Invariants
//   [G1] a slot below SlabInfo::untouched, that is no live object, is as a free one must be
//   [G2] a live object has the guards of a live one, and nothing else in the slab has
//   [G3] levels none and misuse: no byte, no instruction
//   [G4] under AddressSanitizer, what stands around an object is hidden, but from here (poison.hpp)

namespace slab_allocator {

/// The first wrong byte of an object and its guards, counted from the object's first; and what that
/// means. Defect::None: there is none.
struct Violation {
    Defect defect = Defect::None;
    std::ptrdiff_t offset = 0;
};

namespace detail {

[[nodiscard]] constexpr std::uint64_t eight_of(std::uint8_t value) noexcept {
    return std::uint64_t{value} * 0x0101'0101'0101'0101U;
}

/// Is each of `size` bytes `value`? Costs: no branch on what they are, and no loop for a small size
/// that the compiler knows.
template <std::uint8_t value>
[[nodiscard, gnu::always_inline]] inline bool all_bytes_are(const std::byte* from,
                                                            std::size_t size) noexcept {
    constexpr std::size_t word = sizeof(std::uint64_t);
    constexpr std::uint64_t eight = eight_of(value);
    const auto other_in = [&](std::size_t offset) {
        std::uint64_t found = 0;
        __builtin_memcpy(&found, from + offset, word);
        return found ^ eight;
    };
    std::uint64_t other = 0;
    std::size_t offset = 0;
    for (; offset + 8 * word <= size; offset += 8 * word) {
        other |= other_in(offset) | other_in(offset + word) | other_in(offset + 2 * word) |
                 other_in(offset + 3 * word) | other_in(offset + 4 * word) |
                 other_in(offset + 5 * word) | other_in(offset + 6 * word) |
                 other_in(offset + 7 * word);
    }
    for (; offset + word <= size; offset += word)
        other |= other_in(offset);
    if (size % word != 0 && size > word) {
        other |= other_in(size - word);
    } else if (size % word != 0) {
        std::uint64_t found = eight;
        __builtin_memcpy(&found, from, size % word);  // which is size
        other = found ^ eight;
    }
    return other == 0;
}

/// The index of the first byte that is not `value`; `size`: all are.
[[nodiscard]] inline std::size_t first_other_byte(const std::byte* from, std::size_t size,
                                                  std::uint8_t value) noexcept {
    std::size_t index = 0;
    while (index < size && from[index] == std::byte{value})
        ++index;
    return index;
}

}  // namespace detail

/// How large an object is and what stands around it, where all of that is known to the compiler ...
template <Layout layout>
class KnownShape {
public:
    static constexpr std::size_t front = layout.front;
    static constexpr std::size_t behind = layout.behind;
    [[nodiscard]] static constexpr std::size_t object_size() noexcept { return layout.object_size; }
};

/// ... and where the size is a member: of a heap's size class.
template <Checks checks, std::size_t alignment>
class ShapeOfClass {
public:
    static constexpr std::size_t front = detail::front_of(checks, alignment);
    static constexpr std::size_t behind = detail::behind_of(checks);
    constexpr explicit ShapeOfClass(std::size_t object_size) noexcept : object_size_(object_size) {}
    [[nodiscard]] constexpr std::size_t object_size() const noexcept { return object_size_; }

private:
    std::size_t object_size_;
};

/// Has a level guards?
[[nodiscard]] consteval bool guards_objects(Checks checks) noexcept {
    return checks == Checks::hardened || checks == Checks::debug;
}

/// Who allocates and frees, as level debug writes it down: a tag of the user's, or else a return
/// address. The other levels do not.
template <Checks checks>
class Tag {
public:
    [[nodiscard]] static constexpr const void* or_else(const void* address) noexcept {
        return address;
    }
};
template <>
class Tag<Checks::debug> {
public:
    constexpr void set(const void* tag) noexcept { tag_ = tag; }
    [[nodiscard]] constexpr const void* or_else(const void* address) const noexcept {
        return tag_ != nullptr ? tag_ : address;
    }

private:
    const void* tag_ = nullptr;
};

/// Levels none and misuse [G3].
template <typename Shape, Checks checks>
class Guards {
public:
    static constexpr bool active = false;

    constexpr Guards() noexcept = default;
    constexpr explicit Guards(const Shape&) noexcept {}

    static constexpr void add_provenance(DefectReport&, const std::byte*) noexcept {}
};

/// What the levels with guards share: the secret, the shape, and what is revealed to look at it.
template <typename Shape>
class KeyedGuards : protected Shape {
public:
    constexpr KeyedGuards() noexcept = default;
    constexpr explicit KeyedGuards(const Shape& shape) noexcept : Shape(shape) {}

    static constexpr bool active = true;

    [[nodiscard]] Secret& secret() noexcept { return secret_; }

    /// What a SlabInfo of the cache says of its owner: nobody else can know.
    [[nodiscard]] const void* identity(const void* cache, const void* slab_info) const noexcept {
        return disguised(cache, secret_.of_slab_info(address_of(slab_info)));
    }

protected:
    using Shape::object_size;
    using Slot = detail::Revealed;
    using Guarded = detail::RevealedAround;

    [[nodiscard]] constexpr detail::Around around() const noexcept {
        return {Shape::front, object_size(), Shape::behind};
    }

    Secret secret_;
};

template <typename Shape>
class Guards<Shape, Checks::hardened> : public KeyedGuards<Shape> {
    using Keyed = KeyedGuards<Shape>;
    using Keyed::around;
    using Keyed::object_size;
    using Keyed::secret_;
    using typename Keyed::Guarded;
    using typename Keyed::Slot;

public:
    using Keyed::Keyed;

    void make_free(std::byte* object, const void*) const noexcept {
        const Slot slot(object, around(), true);
        __builtin_memset(object, 0, object_size());
        put_canary(object, free_canary(object));
    }
    /// A slot that nobody had yet.
    void make_fresh(std::byte* object) const noexcept { make_free(object, nullptr); }
    void make_live(std::byte* object, const void*) const noexcept {
        const Slot slot(object, around(), false);
        put_canary(object, live_canary(object));
    }

    [[nodiscard]] bool is_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        return canary_at(object) == free_canary(object) &&
               detail::all_bytes_are<0>(object, object_size());
    }
    [[nodiscard]] bool is_live(const std::byte* object) const noexcept {
        return canary_at(object) == live_canary(object);
    }

    /// Has it the guards of a free one, whatever was written to it?
    [[nodiscard]] bool looks_free(const std::byte* object) const noexcept {
        return canary_at(object) == free_canary(object);
    }

    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        if (is_free(object)) return {};
        const Slot slot(object, around(), true);
        const std::size_t other = detail::first_other_byte(object, object_size(), 0);
        if (other != object_size())
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return violation_of_canary(object, free_canary(object));
    }
    [[nodiscard]] Violation violation_of_live(const std::byte* object) const noexcept {
        if (is_live(object)) return {};
        const Guarded revealed(object, around());
        return violation_of_canary(object, live_canary(object));
    }

    static constexpr void add_provenance(DefectReport&, const std::byte*) noexcept {}

private:
    [[nodiscard]] std::uint64_t live_canary(const std::byte* object) const noexcept {
        return secret_.of_live(address_of(object));
    }
    [[nodiscard]] std::uint64_t free_canary(const std::byte* object) const noexcept {
        return secret_.of_free(address_of(object));
    }
    /// Of any address that is asked for: AddressSanitizer does not look.
    [[nodiscard, gnu::no_sanitize_address]] std::uint64_t canary_at(
        const std::byte* object) const noexcept {
        std::uint64_t canary = 0;
        __builtin_memcpy(&canary, object + object_size(), sizeof canary);
        return canary;
    }
    void put_canary(std::byte* object, std::uint64_t canary) const noexcept {
        __builtin_memcpy(object + object_size(), &canary, sizeof canary);
    }
    /// Requires: another one stands there.
    [[nodiscard]] Violation violation_of_canary(const std::byte* object,
                                                std::uint64_t canary) const noexcept {
        std::size_t offset = object_size();
        std::byte expected[sizeof canary];
        __builtin_memcpy(expected, &canary, sizeof canary);
        while (object[offset] == expected[offset - object_size()])
            ++offset;
        return {.defect = Defect::Overflow, .offset = static_cast<std::ptrdiff_t>(offset)};
    }
};

template <typename Shape>
class Guards<Shape, Checks::debug> : public KeyedGuards<Shape> {
    using Keyed = KeyedGuards<Shape>;
    using Keyed::around;
    using Keyed::object_size;
    using typename Keyed::Guarded;
    using typename Keyed::Slot;

public:
    using Keyed::Keyed;

    static constexpr std::uint8_t zone_of_live = 0xfd;
    static constexpr std::uint8_t zone_of_free = 0xfb;
    static constexpr std::uint8_t fresh = 0xcd;  // allocated, not written
    static constexpr std::uint8_t poison = 0x5a;

    void make_free(std::byte* object, const void* by) const noexcept {
        const Slot slot(object, around(), true);
        __builtin_memset(object, poison, object_size());
        make_zones<zone_of_free>(object);
        put(object, freed, by);
    }
    /// A slot that nobody had yet.
    void make_fresh(std::byte* object) const noexcept {
        make_free(object, nullptr);
        const Guarded revealed(object, around());
        put(object, allocated, nullptr);
    }
    void make_live(std::byte* object, const void* by) const noexcept {
        const Slot slot(object, around(), false);
        __builtin_memset(object, fresh, object_size());
        make_zones<zone_of_live>(object);
        put(object, allocated, by);
    }

    [[nodiscard]] bool is_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        return detail::all_bytes_are<poison>(object, object_size()) &&
               zones_are<zone_of_free>(object);
    }
    [[nodiscard]] bool is_live(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return zones_are<zone_of_live>(object);
    }

    /// As above.
    [[nodiscard]] bool looks_free(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return zones_are<zone_of_free>(object);
    }

    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        const Slot slot(object, around(), true);
        const std::size_t other = detail::first_other_byte(object, object_size(), poison);
        if (other != object_size())
            return {.defect = Defect::WriteAfterFree, .offset = static_cast<std::ptrdiff_t>(other)};
        return violation_of_zone(object, zone_of_free);
    }
    [[nodiscard]] Violation violation_of_live(const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        return violation_of_zone(object, zone_of_live);
    }

    /// Of an object of the cache, whatever became of it.
    void add_provenance(DefectReport& report, const std::byte* object) const noexcept {
        const Guarded revealed(object, around());
        if (!marks_are_sound(object)) return;
        report.allocated_by = who(object, allocated);
        report.freed_by = who(object, freed);
    }

private:
    static constexpr std::size_t marks = 2 * sizeof(void*);
    static constexpr std::size_t back_zone = Shape::behind - marks;
    static constexpr std::size_t allocated = back_zone;  // behind the object
    static constexpr std::size_t freed = allocated + sizeof(void*);

    template <std::uint8_t zone>
    void make_zones(std::byte* object) const noexcept {
        __builtin_memset(object - Shape::front, zone, Shape::front);
        __builtin_memset(object + object_size(), zone, back_zone);
    }
    template <std::uint8_t zone>
    [[nodiscard]] bool zones_are(const std::byte* object) const noexcept {
        return detail::all_bytes_are<zone>(object - Shape::front, Shape::front) &&
               detail::all_bytes_are<zone>(object + object_size(), back_zone);
    }
    /// The one behind first: that is where more go wrong.
    [[nodiscard]] Violation violation_of_zone(const std::byte* object,
                                              std::uint8_t zone) const noexcept {
        const std::size_t back = detail::first_other_byte(object + object_size(), back_zone, zone);
        if (back != back_zone)
            return {.defect = Defect::Overflow,
                    .offset = static_cast<std::ptrdiff_t>(object_size() + back)};
        const std::size_t before =
            detail::first_other_byte(object - Shape::front, Shape::front, zone);
        if (before == Shape::front) return {};
        return {.defect = Defect::Overflow,
                .offset = static_cast<std::ptrdiff_t>(before) -
                          static_cast<std::ptrdiff_t>(Shape::front)};
    }

    /// Not where an overrun went through the zone before them.
    [[nodiscard]] bool marks_are_sound(const std::byte* object) const noexcept {
        const std::byte last = object[object_size() + back_zone - 1];
        return last == std::byte{zone_of_live} || last == std::byte{zone_of_free};
    }

    void put(std::byte* object, std::size_t mark, const void* by) const noexcept {
        __builtin_memcpy(object + object_size() + mark, static_cast<const void*>(&by), sizeof by);
    }
    [[nodiscard]] const void* who(const std::byte* object, std::size_t mark) const noexcept {
        const void* by = nullptr;
        __builtin_memcpy(static_cast<void*>(&by), object + object_size() + mark, sizeof by);
        return by;
    }
};

}  // namespace slab_allocator

// memcheck.hpp -- Valgrind's memcheck is told which bytes of a slab are somebody's, and of leaks.
//
//      slab is born       asked: is memcheck here?  no: never again      its slots: nobody's
//      alloc              a block, with the stack of who called
//      free               no block any more, with the stack of who called
//      slab goes back     its live objects are no blocks any more; all of it may be used
//
// It is on without anybody asking for it, where a hosted program runs under memcheck, and costs the
// hot path no instruction: with memcheck there a cache or a class of a heap keeps nothing cached
// and a CPU has no magazines and no front, so that every call takes the slow path, which tells.
// Without it a slow path looks at one byte, and a slab's birth asks.
//
// What stands around objects at levels hardened and debug is not hidden: their guards find who
// writes there.
//
// A request is what Valgrind knows when it sees it: rotations that together do nothing, and an
// instruction that does nothing, with the address of six words in a register. It needs no header
// of Valgrind's, and on a machine it costs as many instructions as it has. (The Valgrind manual,
// "The Client Request mechanism".)

namespace slab_allocator::detail {

/// The words of a request: which one, and up to five arguments.
struct ValgrindRequest {
    static constexpr std::uintptr_t block_allocated = 0x1301;  // start, size, guards, zeroed?
    static constexpr std::uintptr_t block_freed = 0x1302;      // start, guards
    static constexpr std::uintptr_t block_resized = 0x130b;    // start, before, after, guards
    static constexpr std::uintptr_t of_memcheck = std::uintptr_t{'M'} << 24 | std::uintptr_t{'C'}
                                                                                  << 16;
    static constexpr std::uintptr_t nobodys = of_memcheck;  // start, size
    static constexpr std::uintptr_t undefined = of_memcheck + 1;
    static constexpr std::uintptr_t defined = of_memcheck + 2;

    std::uintptr_t words[6];
};

#if __STDC_HOSTED__ && defined(__x86_64__) && !defined(__ILP32__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    std::uintptr_t answer = 0;  // NOLINT: Valgrind writes it
    __asm__ volatile(
        "rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
        "xchgq %%rbx, %%rbx"
        : "+d"(answer)
        : "a"(&request)
        : "cc", "memory");
    return answer;
}
#elif __STDC_HOSTED__ && defined(__i386__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    std::uintptr_t answer = 0;
    __asm__ volatile(
        "roll $3, %%edi\n\troll $13, %%edi\n\troll $29, %%edi\n\troll $19, %%edi\n\t"
        "xchgl %%ebx, %%ebx"
        : "+d"(answer)
        : "a"(&request)
        : "cc", "memory");
    return answer;
}
#elif __STDC_HOSTED__ && defined(__aarch64__) && !defined(__ILP32__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    register std::uintptr_t answer __asm__("x3") = 0;
    register const ValgrindRequest* words __asm__("x4") = &request;
    __asm__ volatile(
        "ror x12, x12, #3\n\tror x12, x12, #13\n\tror x12, x12, #51\n\tror x12, x12, #61\n\t"
        "orr x10, x10, x10"
        : "+r"(answer)
        : "r"(words)
        : "cc", "memory");
    return answer;
}
#else
inline constexpr bool valgrind_runs_here = false;
inline std::uintptr_t ask_valgrind(const ValgrindRequest&) noexcept { return 0; }
#endif

/// Where Valgrind cannot run it is empty, and watches() is false when it is compiled.
class Memcheck {
    using Request = ValgrindRequest;

public:
    /// Is memcheck there? Known after the first slab's birth.
    [[nodiscard]] constexpr bool watches() const noexcept { return state_.watches; }

    /// [start, end) is nobody's. Returns: whether memcheck said that it took note.
    bool hide(const void* start, const void* end) noexcept {
        const bool noted = ask(Request::nobodys, start, address_of(end) - address_of(start)) != 0;
        state_.note(noted);
        return noted;
    }

    // ---- Where nobody watches, these do nothing, and cost a few instructions --------------------

    /// `defined`: what is in it was written.
    static void allocated(const void* start, std::size_t size, bool defined) noexcept {
        ask(Request::block_allocated, start, size, 0, defined ? 1 : 0);
    }
    static void freed(const void* start) noexcept { ask(Request::block_freed, start, 0); }
    /// What a smaller one does not have any more, anybody may use.
    static void resized(const std::byte* start, std::size_t before, std::size_t after) noexcept {
        ask(Request::block_resized, start, before, after);
        if (after < before) make_defined(start + after, before - after);
    }
    static void make_undefined(const void* start, std::size_t size) noexcept {
        ask(Request::undefined, start, size);
    }
    static void make_defined(const void* start, std::size_t size) noexcept {
        ask(Request::defined, start, size);
    }
    static void make_nobodys(const void* start, std::size_t size) noexcept {
        ask(Request::nobodys, start, size);
    }

private:
    struct Asked {
        bool watches = false;
        constexpr void note(bool answer) noexcept {
            if (watches != answer) watches = answer;  // who reads it has no lock
        }
    };
    struct NeverThere {
        static constexpr bool watches = false;
        static constexpr void note(bool) noexcept {}
    };

    static std::uintptr_t ask(std::uintptr_t request, const void* start, std::uintptr_t second,
                              std::uintptr_t third = 0, std::uintptr_t fourth = 0) noexcept {
        if constexpr (!valgrind_runs_here) return 0;
        return ask_valgrind({{request, address_of(start), second, third, fourth, 0}});
    }

    [[no_unique_address]] std::conditional_t<valgrind_runs_here, Asked, NeverThere> state_;
};

/// For who keeps nothing: asks each time.
[[nodiscard]] inline bool memcheck_watches() noexcept { return Memcheck().hide(nullptr, nullptr); }

}  // namespace slab_allocator::detail

// diagnosis.hpp -- what is wrong: with a pointer that was freed, with the objects of a slab, at the
// end of a cache. For every cache and heap; nothing here is called while all is well.
//
//      pointer --> in no slab of ours ................... ForeignPointer, OtherCache
//              --> in a slab --> no start of a slot ..... InteriorPointer
//                            --> slot never taken ....... NeverAllocated
//                            --> slot free, or cached ... DoubleFree
//                            --> slot live, its guards overwritten: what they say
//
// A slot that is out of its slab is live, or cached: in the object stack, the current word or the
// quarantine, as the front end says, or in a layer in front of it, as the guards say.
//
// Invariants
//   [J1] nothing is stored: a call that is refused has changed nothing.

namespace slab_allocator {

/// Of the slabs with this geometry, whose objects have these guards. `cache`: who reports.
template <typename Geometry, typename Guard>
class Diagnosis {
public:
    Diagnosis(const Geometry& geometry, const Guard& guards, const detail::Memcheck& memcheck,
              const void* cache) noexcept
        : geometry_(geometry), guards_(guards), memcheck_(memcheck), cache_(cache) {}

    /// Completes the report on a free of report.pointer, which is no live object with sound guards.
    /// `slab_info`: of the slab of the caller's that the pointer leads to.
    void of_free(DefectReport& report, const SlabRecord& slab_info, bool is_cached) const noexcept {
        const auto* const object = static_cast<const std::byte*>(report.pointer);
        report.slab = slab_info.slab;
        const std::size_t slot = geometry_.slot_of(slab_info, object);
        if (slot >= geometry_.layout.slots_per_slab || geometry_.is_reserved(slab_info, slot)) {
            report.defect = Defect::InteriorPointer;
            return;
        }
        report.slot = slot;
        const bool was_taken = slot < slab_info.untouched;
        report.defect = was_taken ? Defect::DoubleFree : Defect::NeverAllocated;
        if constexpr (Guard::active) {
            if (was_taken) guards_.add_provenance(report, object);
            if (slab_info.map.is_free(slot) || is_cached || guards_.looks_free(object)) return;
            const Violation violation = guards_.violation_of_live(object);
            report.defect = violation.defect;
            report.offset = violation.offset;
        }
    }

    /// The report on an object of a slab that is not as it must be.
    [[nodiscard]] DefectReport report_on(const Violation& violation, const SlabRecord& slab_info,
                                         const std::byte* object) const noexcept {
        DefectReport result{.defect = violation.defect,
                            .pointer = object,
                            .cache = cache_,
                            .slab = slab_info.slab,
                            .slot = geometry_.slot_of(slab_info, object),
                            .offset = violation.offset};
        guards_.add_provenance(result, object);
        return result;
    }

    /// The first object of a slab that is not as it must be [G1] [G2]; Defect::None: all are.
    /// is_cached(object) answers for slots that are out of the slab; of what is neither free nor
    /// cached only `with_live`: a layer in front may hold it.
    template <typename IsCached>
    [[nodiscard]] DefectReport of_slab(const SlabRecord& slab_info, IsCached is_cached,
                                       bool with_live) const noexcept
        requires(Guard::active)
    {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (geometry_.is_reserved(slab_info, slot)) continue;
            const std::byte* const object = geometry_.object_at(slab_info, slot);
            const bool is_free = slab_info.map.is_free(slot);
            if (!is_free && with_live && guards_.is_live(object)) continue;
            const bool is_here = is_free || is_cached(object);
            if (!is_here && !with_live) continue;
            const Violation violation = is_here || guards_.looks_free(object)
                                            ? violation_of_free(object)
                                            : guards_.violation_of_live(object);
            if (violation.defect != Defect::None) return report_on(violation, slab_info, object);
        }
        return {};
    }

private:
    /// memcheck was told that the object is nobody's.
    [[nodiscard]] Violation violation_of_free(const std::byte* object) const noexcept {
        const std::size_t size = geometry_.layout.object_size;
        if (memcheck_.watches()) detail::Memcheck::make_defined(object, size);
        const Violation violation = guards_.violation_of_free(object);
        if (memcheck_.watches()) detail::Memcheck::make_nobodys(object, size);
        return violation;
    }

    const Geometry& geometry_;
    const Guard& guards_;
    const detail::Memcheck& memcheck_;
    const void* cache_;
};

/// Objects that are live at the end of their cache: one report with their number; at level debug
/// one of each. for_each(f) calls f(object, guards) for all of them.
template <Checks checks, typename ForEach>
void report_leaks(std::size_t live, const void* cache, ForEach for_each) noexcept {
    if (live == 0) return;
    if constexpr (checks == Checks::debug) {
        DefectReport leak{.defect = Defect::Leak, .cache = cache, .objects_number = live};
        for_each([&](const void* object, const auto&... guards) {
            leak.pointer = object;
            leak.allocated_by = leak.freed_by = nullptr;
            (guards.add_provenance(leak, static_cast<const std::byte*>(object)), ...);
            report(leak);
            --leak.objects_number;
        });
    } else if constexpr (checks != Checks::none) {
        report({.defect = Defect::Leak, .cache = cache, .objects_number = live});
    }
}

}  // namespace slab_allocator

// instruments.hpp -- the tools that watch memory are told whose it is: AddressSanitizer
// (poison.hpp) and memcheck (memcheck.hpp). Without them, none of this is an instruction of a hot
// path.
//
//      slab_created       all but a SlabInfo in the slab: nobody's
//      annotate_alloc     an object is the caller's ...       annotate_free     ... and nobody's
//      slab_destroyed     all of it is the backend's; what is live in it is no block any more
//
// Where objects have guards, these annotate each object themselves for AddressSanitizer.

namespace slab_allocator {

template <bool guarded>
class Instruments : public detail::Memcheck {
public:
    /// AddressSanitizer sees the links of a SlabInfo in the slab as nobody's, too: a write beyond
    /// the slot before it is reported there. What guards are made of, memcheck is not told.
    template <typename Geometry>
    void slab_created(const Geometry& geometry, const SlabRecord& slab_info) noexcept {
        const std::byte* const slab = slab_info.slab;
        const std::byte* const end = slab + geometry.layout.slab_size;
        constexpr std::size_t links = Geometry::small ? sizeof(ListNode) : 0;
        const std::byte* record = end;
        if constexpr (Geometry::small)
            record = static_cast<const std::byte*>(static_cast<const void*>(&slab_info));
        const std::byte* const behind =
            Geometry::small ? record + small_slab_info_size(geometry.layout.slots_per_slab) : end;
        detail::hide(slab, static_cast<std::size_t>(record - slab) + links);
        detail::hide(behind, static_cast<std::size_t>(end - behind));
        if (hide(slab, guarded ? slab : record) && !guarded && Geometry::small) hide(behind, end);
    }

    template <typename Geometry>
    void slab_destroyed(const Geometry& geometry, const SlabRecord& slab_info) const noexcept {
        if (watches()) [[unlikely]]
            free_blocks(geometry, slab_info);
        detail::reveal(slab_info.slab, geometry.layout.slab_size);
    }

    /// memcheck is told by the slow paths, which every call takes where it is there.
    static void annotate_alloc(const void* object, std::size_t size) noexcept {
        if constexpr (!guarded) detail::reveal(object, size);
    }
    static void annotate_free(const void* object, std::size_t size) noexcept {
        if constexpr (!guarded) detail::hide(object, size);
    }

    /// Both tools; nullptr is passed over.
    template <typename Object>
    void annotate_alloc(std::span<Object* const> objects, std::size_t size) const noexcept {
        if (!detail::hides && !watches()) [[likely]]
            return;
        for (Object* const object : objects) {
            annotate_alloc(object, size);
            allocated(object, size, false);
        }
    }
    template <typename Object>
    void annotate_free(std::span<Object* const> objects, std::size_t size) const noexcept {
        if (!detail::hides && !watches()) [[likely]]
            return;
        for (Object* const object : objects) {
            if (object == nullptr) continue;
            annotate_free(object, size);
            freed(object);
        }
    }

private:
    template <typename Geometry>
    [[gnu::noinline, gnu::cold]] static void free_blocks(const Geometry& geometry,
                                                         const SlabRecord& slab_info) noexcept {
        for (std::size_t slot = 0; slot < slab_info.untouched; ++slot) {
            if (!slab_info.map.is_free(slot)) freed(geometry.object_at(slab_info, slot));
        }
        make_defined(slab_info.slab, geometry.layout.slab_size);
    }
};

}  // namespace slab_allocator

// slab_locator.hpp -- from an address to the SlabInfo of its slab: the only place that branches on
// the backend's row.
//
//      SmallByMask         object --mask--> slab --colour--> SlabInfo
//      SmallByMap          object --mask--> page --map--> SlabInfo
//      LargeByMap          object --mask--> page --map--> SlabInfo
//      LargeByPageFrames   object --mask--> slab --backend's array--> SlabInfo
//
// The map has one entry a page, made when the slab is born. The map and array rows answer for any
// address. The mask row reads the would-be SlabInfo of the address it is given: a wild pointer into
// memory that is not mapped faults there.
//
// Invariants
//   [W1] save() makes all pages of a slab known or none.

namespace slab_allocator {

/// Of `layout` LargeByMap needs the page size alone: slabs of all sizes are found alike.
template <Layout layout, typename Backend>
class SlabLocator {
public:
    /// The SlabInfo of the slab that `object` lies in, or would lie in. Rows with a map or an
    /// array: nullptr where there is none.
    [[nodiscard]] static SlabRecord* find(Backend& backend, const std::byte* object) noexcept {
        if constexpr (layout.row == Row::SmallByMask) {
            return record_in(block_of(object, layout.slab_size));
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return from_backend(
                backend.slab_info_at(align_down(address_of(object), layout.slab_size)));
        } else {
            return from_backend(
                backend.get_slab_info_ptr(align_down(address_of(object), layout.page_size)));
        }
    }

    /// Does each of the slab's first `pages` pages lead to its SlabInfo?
    [[nodiscard]] static bool knows(Backend& backend, const SlabRecord& slab_info,
                                    [[maybe_unused]] std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) {
            for (std::size_t page = 0; page < pages; ++page) {
                if (find(backend, slab_info.slab + page * layout.page_size) != &slab_info)
                    return false;
            }
            return true;
        } else {
            return find(backend, slab_info.slab) == &slab_info;
        }
    }

    /// Does the map or the array know a page of what is to be a new slab?
    [[nodiscard]] static bool in_use([[maybe_unused]] Backend& backend,
                                     [[maybe_unused]] const std::byte* slab,
                                     [[maybe_unused]] std::size_t pages) noexcept {
        if constexpr (layout.uses_map()) {
            for (std::size_t page = 0; page < pages; ++page) {
                if (find(backend, slab + page * layout.page_size) != nullptr) return true;
            }
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            const SlabRecord* const frame = find(backend, slab);
            return frame != nullptr && is_aligned(frame, alignof(SlabInfo)) &&
                   frame->owner != nullptr;
        }
        return false;  // by masking nobody knows: a new slab is not read
    }

    /// Returns: false where the backend refuses, or, `checked`, forgets at once: a defect that
    /// `cache` reports [W1].
    template <bool checked>
    [[nodiscard]] static bool save(Backend& backend, SlabRecord& slab_info, std::size_t pages,
                                   [[maybe_unused]] const void* cache) noexcept
        requires(layout.uses_map())
    {
        for (std::size_t page = 0; page < pages; ++page) {
            std::byte* const start = slab_info.slab + page * layout.page_size;
            if (!save_page(backend, address_of(start), slab_info)) {
                forget(backend, slab_info.slab, page);
                return false;
            }
            if constexpr (checked) {
                if (find(backend, start) != &slab_info) [[unlikely]] {
                    report({.defect = Defect::BackendLostSlab,
                            .pointer = start,
                            .cache = cache,
                            .slab = slab_info.slab});
                    forget(backend, slab_info.slab, page + 1);
                    return false;
                }
            }
        }
        return true;
    }

    static void forget(Backend& backend, const std::byte* slab, std::size_t pages) noexcept
        requires(layout.uses_map())
    {
        for (std::size_t page = pages; page-- > 0;)
            backend.delete_slab_info_ptr(address_of(slab) + page * layout.page_size);
    }

    /// Where the SlabInfo of a Small slab lies in it.
    [[nodiscard]] static SlabRecord* record_in(std::byte* slab) noexcept
        requires(layout.small())
    {
        return object_in<SlabRecord>(slab + layout.info_offset_of(address_of(slab)));
    }

    /// What lies in memory that AddressSanitizer knows for nobody's is no SlabInfo: by masking,
    /// anything is found.
    [[nodiscard]] static bool is_poisoned(const SlabRecord* slab_info) noexcept {
        if constexpr (layout.row != Row::SmallByMask) return false;
        return detail::is_hidden(static_cast<const void*>(&slab_info->owner)) ||
               detail::is_hidden(static_cast<const void*>(&slab_info->slab));
    }

private:
    [[nodiscard]] static bool save_page(Backend& backend, std::uintptr_t page,
                                        SlabRecord& slab_info) noexcept {
        SlabInfo* const saved = for_backend(&slab_info);
        if constexpr (std::is_void_v<decltype(backend.save_slab_info_ptr(page, saved))>) {
            backend.save_slab_info_ptr(page, saved);
            return true;
        } else {
            return backend.save_slab_info_ptr(page, saved);
        }
    }
};

}  // namespace slab_allocator

// slab_store.hpp -- the birth and the death of a slab: its memory, its SlabInfo, its map entries.
//
//      create     alloc_slab --> alloc_slab_info --> save_slab_info_ptr for each page
//      destroy    identity --> delete_slab_info_ptr for each page --> free_slab_info --> free_slab
//
// For the slabs of a cache, of a size class, and for a heap's runs of pages. Where the SlabInfo
// lies in the slab, or in the backend's array of page frames, nobody is asked for it.
//
// What a backend can get wrong is found here, before anything of it is used: a misaligned slab, a
// slab or a SlabInfo where another lies, a misaligned SlabInfo, a map that forgets at once.
//
// Invariants
//   [X1] create() makes a slab known whole or not at all: what the backend refuses, or gets wrong,
//        undoes the rest in reverse order.
//   [X2] destroy() makes it unknown before it can be anybody else's: identity, map, SlabInfo,
//        memory.

namespace slab_allocator {

/// How much memory, where it may start, and how many of its pages the map shall know.
struct SlabRequest {
    std::size_t bytes;
    std::size_t alignment;
    std::size_t known_pages;
};

/// May a SlabInfo lie where the backend says, beside a slab of `size` bytes? Else reports why not.
[[nodiscard]] inline bool is_place_for_slab_info(const void* place, const std::byte* slab,
                                                 std::size_t size, const void* cache) noexcept {
    const std::uintptr_t start = address_of(slab);
    const bool aligned = is_aligned(place, alignof(SlabInfo));
    const bool overlaps =
        address_of(place) < start + size && address_of(place) + sizeof(SlabInfo) > start;
    if (aligned && !overlaps) [[likely]]
        return true;
    report({.defect = aligned ? Defect::MemoryInUse : Defect::MisalignedSlabInfo,
            .pointer = place,
            .cache = cache,
            .slab = slab});
    return false;
}

/// `layout`: as SlabLocator's. `cache`, in all members: who reports.
template <Layout layout, typename Backend, bool checked>
class SlabStore {
    using Locator = SlabLocator<layout, Backend>;

public:
    using Made = std::conditional_t<layout.small(), SlabRecord, SlabInfo>;

    /// A slab with a SlabInfo that knows its address and no more. nullptr: the backend refused, or
    /// its answer was, and everything is as before [X1].
    [[nodiscard]] static Made* create(Backend& backend, const SlabRequest& request,
                                      const void* cache) noexcept {
        auto* const slab =
            static_cast<std::byte*>(backend.alloc_slab(request.bytes, request.alignment));
        if (slab == nullptr) return nullptr;
        if constexpr (checked) {
            if (!is_aligned(slab, request.alignment)) [[unlikely]] {
                raise(Defect::MisalignedSlab, slab, cache);
                backend.free_slab(slab, request.bytes, request.alignment);
                return nullptr;
            }
            if (Locator::in_use(backend, slab, request.known_pages)) [[unlikely]] {
                raise(Defect::MemoryInUse, slab, cache);
                return nullptr;  // not given back: another slab lies there
            }
        }
        detail::reveal(slab, request.bytes);  // a backend may have hidden it
        Made* const slab_info = add_record(backend, slab, request, cache);
        if (slab_info == nullptr) backend.free_slab(slab, request.bytes, request.alignment);
        return slab_info;
    }

    /// Requires: what create() gave for the same request, on no list [X2].
    static void destroy(Backend& backend, Made& slab_info, const SlabRequest& request) noexcept {
        std::byte* const slab = slab_info.slab;
        slab_info.owner = nullptr;
        if constexpr (layout.uses_map()) Locator::forget(backend, slab, request.known_pages);
        free_record(backend, &slab_info);
        backend.free_slab(slab, request.bytes, request.alignment);
    }

private:
    [[nodiscard]] static Made* add_record(Backend& backend, std::byte* slab,
                                          const SlabRequest& request, const void* cache) noexcept {
        Made* const place = place_for_record(backend, slab);
        if (place == nullptr) return nullptr;
        if constexpr (checked && !layout.small()) {
            if (!is_place_for_slab_info(place, slab, request.bytes, cache)) [[unlikely]] {
                free_record(backend, place);
                return nullptr;
            }
        }
        Made* const slab_info = ::new (static_cast<void*>(place)) Made;
        slab_info->slab = slab;
        if constexpr (layout.uses_map()) {
            if (!Locator::template save<checked>(backend, *slab_info, request.known_pages, cache)) {
                free_record(backend, slab_info);
                return nullptr;
            }
        }
        return slab_info;
    }

    [[nodiscard]] static Made* place_for_record(Backend& backend, std::byte* slab) noexcept {
        if constexpr (layout.small()) {
            return Locator::record_in(slab);
        } else if constexpr (layout.row == Row::LargeByPageFrames) {
            return backend.slab_info_at(address_of(slab));
        } else {
            return backend.alloc_slab_info();
        }
    }

    static void free_record([[maybe_unused]] Backend& backend,
                            [[maybe_unused]] Made* slab_info) noexcept {
        if constexpr (layout.row == Row::LargeByMap) backend.free_slab_info(slab_info);
    }

    [[gnu::noinline, gnu::cold]] static void raise(Defect defect, const std::byte* slab,
                                                   const void* cache) noexcept {
        report({.defect = defect, .pointer = slab, .cache = cache, .slab = slab});
    }
};

}  // namespace slab_allocator

// slab_set.hpp -- the slabs of a cache or of a size class: added, listed, checked, removed.
//
//      alloc  <--- words of free slots <-- a slab with room <-- lists <--add---- backend
//      free   ---> slots ----------------> their slab ---> lists --remove--> backend
//
// A front end stands above: it takes words out of slabs, keeps what is in them ready for alloc, and
// decides when a slab is added and how many free ones are kept.
//
// Invariants
//   [I1] before each call of the backend every list, map and counter is in order, and after it they
//        are looked at again: the backend may call the cache.
//   [I2] the owner in a SlabInfo is what identity() says while the slab lives.

namespace slab_allocator {

/// Whose slabs they are, and whom reports name: a cache both times, or a size class and its heap.
struct SlabOwner {
    const void* owner;
    const void* reporter;
};

/// What a slab has free in one word of its map.
struct FreeWord {
    std::size_t number;
    std::byte* start;        // of its first slot's object
    std::uint64_t reserved;  // by the SlabInfo itself
    std::uint64_t bits;
};

template <typename Geometry, typename Backend, typename Guard, Checks checks>
class SlabSet {
    static constexpr bool checked = checks != Checks::none;
    static constexpr Layout located = Geometry::located;
    using Locator = SlabLocator<located, Backend>;
    using Store = SlabStore<located, Backend, checked>;

public:
    using Lists = SlabLists<Geometry::known_objects_per_slab>;

    constexpr SlabSet() noexcept = default;
    constexpr explicit SlabSet(Backend backend) noexcept : backend_(std::move(backend)) {}
    constexpr SlabSet(const Geometry& slots, const Guard& guards, Backend backend) noexcept
        : geometry(slots), backend_(std::move(backend)), guards_(guards) {}

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }
    [[nodiscard]] constexpr Guard& guards() noexcept { return guards_; }
    [[nodiscard]] constexpr const Guard& guards() const noexcept { return guards_; }
    [[nodiscard]] constexpr const Instruments<Guard::active>& instruments() const noexcept {
        return instruments_;
    }
    [[nodiscard]] constexpr Lists& lists() noexcept { return lists_; }
    [[nodiscard]] constexpr const Lists& lists() const noexcept { return lists_; }

    [[no_unique_address]] Geometry geometry{};

    // ---- Birth and death ------------------------------------------------------------------------

    /// A slab from the backend, on its list. Returns: whether.
    [[nodiscard]] bool add(const SlabOwner& by) noexcept {
        auto* const slab_info = Store::create(backend_, request(), by.reporter);
        if (slab_info == nullptr) return false;
        const Layout& layout = geometry.layout;
        slab_info->free_number = static_cast<std::uint16_t>(layout.objects_per_slab);
        slab_info->map.fill(layout.slots_per_slab, geometry.first_reserved(*slab_info),
                            layout.info_slots);
        if constexpr (Guard::active) guards_.secret().seed(backend_, slab_info->slab, by.owner);
        slab_info->owner = identity(by.owner, slab_info);  // [I2]
        instruments_.slab_created(geometry, *slab_info);
        lists_.add(*slab_info);
        return true;
    }

    /// Back to the backend. `unlisted`, called before the backend is [I1].
    template <typename F>
    [[gnu::noinline]] void remove(SlabRecord& slab_info, const SlabOwner& by, F unlisted) noexcept {
        if constexpr (checks == Checks::debug) {
            const DefectReport last = last_look(slab_info, by);
            if (last.defect != Defect::None) report(last);  // never looked at again
        }
        lists_.remove(slab_info);
        unlisted();
        instruments_.slab_destroyed(geometry, slab_info);
        Store::destroy(backend_, static_cast<typename Store::Made&>(slab_info), request());
    }

    // ---- Slots ----------------------------------------------------------------------------------

    [[nodiscard]] FreeWord word_of(SlabRecord& slab_info, std::size_t number) const noexcept {
        const std::uint64_t reserved = geometry.reserved_in(slab_info, number);
        return {.number = number,
                .start = geometry.object_at(slab_info, number * FreeMap::bits_per_word),
                .reserved = reserved,
                .bits = slab_info.map.word_at(number) & ~reserved};
    }

    /// Takes `bits` of a word out of its map; the caller tells the lists. Slots that are taken for
    /// the first time get the guards of free ones [G1]. Requires: bits != 0, not checked.
    void take(SlabRecord& slab_info, const FreeWord& word, std::uint64_t bits) noexcept {
        slab_info.map.take(word.number, bits, word.reserved);
        const std::size_t end = word.number * FreeMap::bits_per_word + highest_bit(bits) + 1;
        if (end > slab_info.untouched) {
            if constexpr (Guard::active) make_fresh(slab_info, slab_info.untouched, end);
            slab_info.untouched = static_cast<std::uint16_t>(end);
        }
    }

    // ---- Objects with guards: no lock is needed -------------------------------------------------

    /// Makes a free object, out of its slab, a live one. Returns: false where it was not as a free
    /// one must be; that is reported, and it is a free one again.
    [[nodiscard]] bool make_live(std::byte* object, const void* by, const void* reporter) noexcept
        requires(Guard::active)
    {
        const bool seen = instruments_.watches();
        if (seen) [[unlikely]]
            instruments_.make_defined(object, geometry.layout.object_size);
        if (!guards_.is_free(object)) [[unlikely]]
            return free_again(object, by, reporter);
        guards_.make_live(object, by);
        if (seen) [[unlikely]]
            instruments_.allocated(object, geometry.layout.object_size, false);
        return true;
    }

    /// Makes a live object, whose guards are sound, a free one.
    void make_free(std::byte* object, const void* by) const noexcept
        requires(Guard::active)
    {
        guards_.make_free(object, by);
        if (instruments_.watches()) [[unlikely]]
            instruments_.freed(object);
    }

    // ---- All objects ----------------------------------------------------------------------------

    /// Calls f(object) for every slot that is out of the slab. `f` may free the visited one.
    template <typename F>
    void visit(const SlabRecord& slab_info, F& f) const {
        const std::size_t slots = geometry.layout.slots_per_slab;
        std::size_t taken = geometry.layout.objects_per_slab - slab_info.free_number;
        // The slab may be gone after its last one.
        for (std::size_t word = 0; taken > 0 && word < FreeMap::words_for(slots); ++word) {
            std::byte* const start = geometry.object_at(slab_info, word * FreeMap::bits_per_word);
            std::uint64_t left = FreeMap::bits_of(0, slots, word) & ~slab_info.map.word_at(word);
            for (; left != 0; left &= left - 1, --taken)
                f(start + geometry.layout.offset_of(lowest_bit(left)));
        }
    }

    /// The same for all slabs, from the emptiest to the full ones: what `f` frees moves a slab to
    /// where the walk has been.
    template <typename F>
    void for_each(F f) {
        for (std::size_t number = Lists::lists_number; number-- > 0;) {
            auto& list = lists_.list(number);
            for (auto slab = list.begin(); slab != list.end();) {
                const SlabRecord& slab_info = *slab;
                ++slab;
                visit(slab_info, f);
            }
        }
    }

    // ---- Whose is a pointer? --------------------------------------------------------------------

    [[nodiscard]] SlabRecord* find(const std::byte* object) noexcept {
        return Locator::find(backend_, object);
    }

    /// What the SlabInfo of a slab says of its owner. Masking leads anywhere, to a stack, too, and
    /// the owner's address lies there often: what no program has is asked for then. [I2]
    [[nodiscard]] const void* identity(const void* owner,
                                       const SlabRecord* slab_info) const noexcept {
        if constexpr (Geometry::disguises_owner && Guard::active) {
            return guards_.identity(owner, slab_info);
        } else if constexpr (Geometry::disguises_owner && located.row == Row::SmallByMask) {
            return disguised(owner, address_of(slab_info));
        } else {
            return owner;
        }
    }

    /// Is `object` a slot of `owner` that is not free in its slab?
    template <auto is_free = &FreeMap::is_free>
    [[nodiscard]] bool is_taken(const void* owner, const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        if (!may_be_record(slab_info)) return false;
        if (slab_info->owner != identity(owner, slab_info)) return false;
        const std::size_t slot = geometry.slot_of(*slab_info, object);
        return slot < geometry.layout.slots_per_slab && !(slab_info->map.*is_free)(slot);
    }

    /// Of what find() answers.
    [[nodiscard]] static bool may_be_record(const SlabRecord* slab_info) noexcept {
        if constexpr (located.row != Row::SmallByMask) {
            if (slab_info == nullptr) return false;
        }
        return !Locator::is_poisoned(slab_info);
    }

    /// What is wrong with the free of `object`, which is known to be wrong.
    [[nodiscard]] DefectReport diagnose(const std::byte* object, const SlabOwner& by,
                                        bool is_cached) noexcept {
        DefectReport result{
            .defect = Defect::ForeignPointer, .pointer = object, .cache = by.reporter};
        const SlabRecord* const slab_info = find(object);
        if (!may_be_record(slab_info)) return result;
        if (slab_info->owner == identity(by.owner, slab_info)) {
            diagnosis(by.reporter).of_free(result, *slab_info, is_cached);
        } else if (slab_info->owner != nullptr) {
            // The mask row may be looking at anything: a SlabInfo at least knows its own slab.
            const bool is_slab_info = located.row != Row::SmallByMask ||
                                      slab_info->slab == block_of(object, located.slab_size);
            if (is_slab_info) result.defect = Defect::OtherCache;
        }
        return result;
    }

    [[nodiscard]] auto diagnosis(const void* reporter) const noexcept {
        return Diagnosis(geometry, guards_, instruments_, reporter);
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// Of a slab: does it agree with itself, with the layout, with the map?
    [[nodiscard]] Defect defect_of(const SlabRecord& slab_info, const void* owner) noexcept {
        const bool sound =
            slab_info.owner == identity(owner, &slab_info) && geometry.is_sound(slab_info);
        if (!sound) return Defect::CorruptedSlabInfo;
        return Locator::knows(backend_, slab_info, geometry.layout.pages_per_slab())
                   ? Defect::None
                   : Defect::BackendLostSlab;
    }

    /// The first inconsistency of the lists and their slabs, or Defect::None.
    [[nodiscard]] DefectReport validate(const SlabOwner& by) noexcept {
        const auto found = lists_.validate(
            [&](const SlabRecord& slab_info) { return defect_of(slab_info, by.owner); });
        if (found.defect == Defect::None) return {};
        return {.defect = found.defect, .pointer = found.where(by.owner), .cache = by.reporter};
    }

    /// The first object of all slabs that is not as it must be: as Diagnosis::of_slab.
    template <typename IsCached>
    [[nodiscard]] DefectReport first_violation(const void* reporter, IsCached is_cached,
                                               bool with_live) noexcept
        requires(Guard::active)
    {
        DefectReport first;
        lists_.for_each([&](const SlabRecord& slab_info) {
            if (first.defect == Defect::None)
                first = diagnosis(reporter).of_slab(slab_info, is_cached, with_live);
        });
        return first;
    }

    /// Of what the lists know; peaks and failures are the front end's. Costs: O(1), or O(slabs)
    /// where the layout is a member.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result{.free_slabs_number = lists_.free_slabs_number(),
                               .full_slabs_number = lists_.full_slabs_number()};
        result.partial_slabs_number =
            lists_.slabs_number() - result.free_slabs_number - result.full_slabs_number;
        if constexpr (Geometry::known_objects_per_slab != 0) {
            result.free_objects_number = lists_.free_objects_number();
        } else {
            lists_.for_each([&](const SlabRecord& slab_info) {
                result.free_objects_number += slab_info.free_number;
            });
        }
        return result;
    }

    /// Completes statistics of which slabs and free objects are known.
    void complete(CacheStatistics& statistics) const noexcept {
        const Layout& layout = geometry.layout;
        const std::size_t slabs = statistics.slabs_number();
        const std::size_t objects = slabs * layout.objects_per_slab;
        const std::size_t outside = layout.row == Row::LargeByMap ? sizeof(SlabInfo) : 0;
        statistics.allocated_objects_number = objects - statistics.free_objects_number;
        statistics.bytes_held = slabs * (layout.slab_size + outside);
        statistics.bytes_lost = statistics.bytes_held - objects * layout.object_size;
    }

private:
    [[nodiscard]] constexpr SlabRequest request() const noexcept {
        return {.bytes = geometry.layout.slab_size,
                .alignment = geometry.layout.slab_alignment,
                .known_pages = geometry.layout.pages_per_slab()};
    }

    [[gnu::noinline, gnu::cold]] bool free_again(std::byte* object, const void* by,
                                                 const void* reporter) noexcept {
        const Violation violation = guards_.violation_of_free(object);
        report(diagnosis(reporter).report_on(violation, *find(object), object));
        guards_.make_free(object, by);
        instruments_.make_nobodys(object, geometry.layout.object_size);
        return false;
    }

    void make_fresh(const SlabRecord& slab_info, std::size_t first, std::size_t end) noexcept {
        for (std::size_t slot = first; slot < end; ++slot) {
            if (!geometry.is_reserved(slab_info, slot))
                guards_.make_fresh(geometry.object_at(slab_info, slot));
        }
    }

    /// Level debug: at a slab that goes back.
    [[nodiscard]] DefectReport last_look(const SlabRecord& slab_info,
                                         const SlabOwner& by) noexcept {
        const Defect defect = defect_of(slab_info, by.owner);
        if (defect != Defect::None) {
            return {.defect = defect,
                    .pointer = slab_info.slab,
                    .cache = by.reporter,
                    .slab = slab_info.slab};
        }
        const auto none_cached = [](const std::byte*) { return false; };
        return diagnosis(by.reporter).of_slab(slab_info, none_cached, false);
    }

    [[no_unique_address]] Backend backend_{};
    [[no_unique_address]] Guard guards_{};
    Lists lists_{geometry.layout.objects_per_slab};
    [[no_unique_address]] Instruments<Guard::active> instruments_;
};

}  // namespace slab_allocator

// slot_exchange.hpp -- what goes on between the cached objects of a cache and its slabs.
//
//      cached  <--refill: words--  slabs with room, the fullest first  <--add_slab--  backend
//      cached  ---flush: groups->  their slabs  ---trim: surplus free ones-->         backend
//
// A slab's free map gives and takes whole words cheaply and single bits dearly: so the cached
// objects are filled from words and flushed into words, and neither alloc nor free touches a slab's
// record more often than it must.
//
// Invariants
//   [C1] a slot is in one of three places: free in its slab's map, cached, or the caller's.
//        taken_objects_number == |cached| + |the caller's|.

namespace slab_allocator {

/// `Cached`: an ObjectStack, or a Quarantine where objects have guards.
template <typename Cached, Layout layout, typename Backend, CacheConfig Config>
class SlotExchange {
public:
    constexpr SlotExchange() noexcept = default;
    constexpr explicit SlotExchange(Backend backend) noexcept : slabs_(std::move(backend)) {}
    SlotExchange(const SlotExchange&) = delete;  // its slabs know its address
    SlotExchange& operator=(const SlotExchange&) = delete;

    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return slabs_.backend(); }

    /// Adds slabs until `objects_number` objects can be allocated, and keeps as many free ones as
    /// that took. Returns: how many objects can be.
    std::size_t reserve(std::size_t objects_number) noexcept {
        while (ready_number() < objects_number && add_slab()) {
        }
        retention_.keep_all(slabs_.lists());
        return ready_number();
    }

    /// Gives at most `most` free slabs back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept {
        retention_.reset();
        flush_all();
        std::size_t given = 0;
        while (given < most && release_one())
            ++given;
        return given;
    }

    /// Gives every slab back. Objects that are live are a Defect::Leak.
    void release_all() noexcept {
        flush_all();
        report_leaks<Config.checks>(
            slabs_.lists().taken_objects_number(), this, [&](auto report_one) {
                slabs_.for_each([&](std::byte* object) { report_one(object, slabs_.guards()); });
            });
        while (SlabRecord* const slab_info = slabs_.lists().any())
            remove_slab(*slab_info);
    }

    [[nodiscard]] CacheStatistics statistics() noexcept {
        flush_all();
        trim();
        flush_all();  // the backend may have called the cache [I1]
        CacheStatistics result = slabs_.statistics();
        slabs_.complete(result);
        result.peak_slabs_number = peak_slabs_number_;
        result.peak_allocated_objects_number = peak_taken_objects_number_;
        result.failures_number = failures_number_;
        return result;
    }

    /// Calls f(object) for every live object; `f` may free it.
    template <typename F>
    void for_each(F f) {
        flush_all();
        slabs_.for_each(f);
    }

    /// Calls f(slab_info) for every slab. `f` must not call the cache.
    template <typename F>
    void for_each_slab(F f) {
        flush_all();
        slabs_.lists().for_each(f);
    }

    // ---- For the check of a pointer -------------------------------------------------------------

    [[nodiscard]] SlabRecord* find(const std::byte* object) noexcept { return slabs_.find(object); }
    [[nodiscard]] bool has_cached() const noexcept { return !cached_.empty(); }
    [[nodiscard]] bool is_cached(const std::byte* object) const noexcept {
        return cached_.contains(object);
    }
    /// Is `object` a slot of this cache that is not free in its slab?
    template <auto is_free = &FreeMap::is_free>
    [[nodiscard]] bool is_taken(const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        return slabs_.template is_taken<is_free>(this, slab_info, object);
    }
    /// What is wrong with the free of `object`, which is known to be wrong.
    [[nodiscard]] DefectReport diagnose(const std::byte* object) noexcept {
        return slabs_.diagnose(object, owner(), is_cached(object));
    }

protected:
    using Geometry = StaticGeometry<layout>;
    using Guard = Guards<KnownShape<layout>, Config.checks>;
    using Slabs = SlabSet<Geometry, Backend, Guard, Config.checks>;
    using Lists = typename Slabs::Lists;
    static constexpr Geometry geometry{};
    static constexpr std::size_t capacity = Cached::capacity;
    static constexpr std::size_t enough_filled = divide_up(capacity, 4);
    static constexpr std::size_t most_filled = capacity > FreeMap::bits_per_word
                                                   ? capacity * 3 / 4
                                                   : divide_up(capacity, 2);

    [[nodiscard]] SlabOwner owner() const noexcept { return {this, this}; }
    [[nodiscard]] bool every_call_is_seen() const noexcept {
        return slabs_.instruments().watches();
    }

    /// Nothing has been written yet, and nothing is [C4].
    [[gnu::noinline, gnu::cold]] void refuse(const std::byte* object) noexcept {
        report(diagnose(object));
    }

    /// The lists, and each cached object.
    [[nodiscard]] DefectReport validate_cached() noexcept {
        const DefectReport of_slabs = slabs_.validate(owner());
        if (of_slabs.defect != Defect::None) return of_slabs;
        const std::span<std::byte* const> all = cached_.all();
        for (std::size_t rank = 0; rank < all.size(); ++rank) {
            bool sound = is_taken(slabs_.find(all[rank]), all[rank]);
            for (std::byte* const other : all.first(rank))
                sound = sound && other != all[rank];
            if (!sound)
                return {.defect = Defect::CorruptedSlabInfo, .pointer = all[rank], .cache = this};
        }
        return {};
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    [[nodiscard]] std::size_t ready_number() const noexcept {
        return cached_.size() + slabs_.lists().free_objects_number();
    }

    [[nodiscard]] bool take_slabs_for(std::size_t objects_number) noexcept {
        while (ready_number() < objects_number) {
            if (!add_slab()) {
                ++failures_number_;
                trim();
                return false;
            }
        }
        return true;
    }

    [[nodiscard, gnu::noinline]] bool add_slab() noexcept {
        if (!slabs_.add(owner())) return false;
        if (slabs_.lists().slabs_number() > peak_slabs_number_)
            peak_slabs_number_ = slabs_.lists().slabs_number();
        update_thresholds();
        return true;
    }

    void remove_slab(SlabRecord& slab_info) noexcept {
        slabs_.remove(slab_info, owner(), [&] { update_thresholds(); });
    }

    bool release_one() noexcept {
        SlabRecord* const slab_info = slabs_.lists().any_free();
        if (slab_info == nullptr) return false;
        remove_slab(*slab_info);
        return true;
    }

    /// Gives back the free slabs that are more than are kept [C2].
    void trim() noexcept {
        const Lists& lists = slabs_.lists();
        const bool none_live = cached_.size() == lists.taken_objects_number();
        if (none_live && retention_.has_surplus(lists.slabs_number())) flush(0);
        while (retention_.has_surplus(lists.free_slabs_number()))
            release_one();
        update_thresholds();
    }

    void update_thresholds() noexcept {
        cached_.set_limit(retention_.update(slabs_.lists(), every_call_is_seen()));
    }

    void note_peak() noexcept {
        if (slabs_.lists().taken_objects_number() > peak_taken_objects_number_)
            peak_taken_objects_number_ = slabs_.lists().taken_objects_number();
    }

    // ---- Refill: out of the slabs ---------------------------------------------------------------

    /// Fills the cached objects, which are none, or guarded and few, with whole words, from one
    /// slab after the other. Returns: whether it could.
    [[nodiscard]] bool refill() noexcept {
        Lists& lists = slabs_.lists();
        SlabRecord* slab_info = lists.any_with_room();
        if (slab_info == nullptr) return false;
        if constexpr (Guard::active) cached_.make_room(most_filled);
        bool more = true;
        do {
            const std::size_t before = cached_.size();
            more = refill_from(*slab_info);
            lists.slots_taken(*slab_info, cached_.size() - before);
            slab_info = lists.fullest_partial();  // a free slab is opened where nothing is cached
        } while (more && slab_info != nullptr);
        if constexpr (Guard::active) cached_.shuffle(slabs_.guards().secret().next());
        note_peak();
        update_thresholds();
        return true;
    }

    /// Takes words of one slab. Returns: whether there should be more, from others.
    [[nodiscard]] bool refill_from(SlabRecord& slab_info) noexcept {
        if (every_call_is_seen()) [[unlikely]]
            return refill_one(slab_info);
        // Slots of one word never collide, nor do those of one slab, if it has few enough.
        const bool slab_fits =
            (Guard::active || cached_.empty()) && Cached::can_index(layout.slots_per_slab);
        for (std::uint64_t words = slab_info.map.nonempty_words(); words != 0; words &= words - 1) {
            const FreeWord word = slabs_.word_of(slab_info, lowest_bit(words));
            const std::size_t room = most_filled - cached_.size();
            // A word fits always or never: above enough_filled nobody fills.
            const bool all_fit = room >= FreeMap::bits_per_word &&  // not reached: the other way
                                 (slab_fits || cached_.empty());
            const std::uint64_t taken =
                all_fit ? word.bits : cached_.indexable(word.start, word.bits, room);
            cached_.push_slots(word.start, taken, &slab_info);
            if (taken != 0) slabs_.take(slab_info, word, taken);
            if (taken != word.bits || cached_.size() >= enough_filled) return false;
        }
        return true;
    }

    /// One object, which alloc is about to give, and nothing stays cached. Returns: as refill_from.
    [[nodiscard, gnu::noinline, gnu::cold]] bool refill_one(SlabRecord& slab_info) noexcept {
        const FreeWord word = slabs_.word_of(slab_info, slab_info.map.first_word());
        const std::size_t slot = lowest_bit(word.bits);
        cached_.push_slots(word.start, std::uint64_t{1} << slot, &slab_info);
        slabs_.take(slab_info, word, std::uint64_t{1} << slot);
        if constexpr (!Guard::active) {
            std::byte* const object = word.start + layout.offset_of(slot);
            slabs_.instruments().allocated(object, layout.object_size, false);
        }
        return false;
    }

    // ---- Flush: back to the slabs ---------------------------------------------------------------

    void flush_all() noexcept {
        flush(0);
        update_thresholds();
    }

    /// Returns cached objects to their slabs until `left` are left. Returns: as free_groups.
    bool flush(std::size_t left) noexcept {
        const std::span<std::byte* const> flushed = cached_.all().subspan(left);
        cached_.drop_to(left);
        return free_groups(flushed, [&](std::size_t index) {
            if constexpr (Cached::has_infos) return cached_.info_at(left + index);
            return slabs_.find(flushed[index]);
        });
    }

    /// Returns objects to their slabs, by groups; nulls are passed over. info_at(index) is asked
    /// for the first object of a group. Returns: shall one of the slabs drain from now on [C5]?
    template <typename Object, typename InfoAt>
    bool free_groups(std::span<Object* const> objects, InfoAt info_at) noexcept {
        bool one_drains = false;
        std::size_t sum = 0;
        for (std::size_t index = 0; index < objects.size();) {
            if (objects[index] == nullptr) {
                ++index;
                continue;
            }
            SlabRecord& slab_info = *info_at(index);
            const SlotGroup group = group_of<layout, false>(slab_info, objects.subspan(index));
            group.free_in(slab_info.map);
            if (slots_freed(slab_info, group.number)) one_drains = true;
            sum += group.number;
            index += group.number;
        }
        slabs_.lists().add_free_count(sum);
        return one_drains;
    }

    /// Returns: shall the slab drain from now on?
    [[nodiscard]] bool slots_freed(SlabRecord& slab_info, std::size_t number) noexcept {
        return slabs_.lists().slots_freed(slab_info, number) && retention_.must_drain(slab_info);
    }

    /// One object goes to its slab, past the cached ones.
    void free_slot(std::byte* object, SlabRecord& slab_info) noexcept {
        const std::size_t slot = geometry.slot_of(slab_info, object);
        slab_info.map.give_back(slot / FreeMap::bits_per_word,
                                std::uint64_t{1} << (slot % FreeMap::bits_per_word));
        Lists& lists = slabs_.lists();
        lists.add_free_count(1);
        // Else no slab becomes free, and the limit stays the highest.
        const bool stays = !lists.would_move(slab_info) && lists.taken_objects_number() > capacity;
        if (!stays) [[unlikely]]
            return relist_and_trim(slab_info);
        ++slab_info.free_number;
    }

    /// free of an object that is checked, where the cached ones are full, or it collides.
    void free_or_cache(std::byte* object, SlabRecord* slab_info) noexcept {
        if (cached_.size() == capacity) {
            if (flush(capacity / 2)) flush(0);  // [C5]
            if (!cached_.collides(object)) {
                cached_.push(object, slab_info);
                return trim();
            }
        }
        if (slab_info == nullptr) slab_info = slabs_.find(object);
        free_slot(object, *slab_info);
    }

    [[gnu::noinline]] void relist_and_trim(SlabRecord& slab_info) noexcept {
        if (slots_freed(slab_info, 1)) flush(0);  // [C5]
        trim();
    }

    Cached cached_;
    [[no_unique_address]] Slabs slabs_;  // what follows lies in its padding
    Retention<Lists, capacity, Config.retained_free_slabs> retention_;
    std::size_t peak_slabs_number_ = 0;
    std::size_t peak_taken_objects_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator

// guarded_front.hpp -- alloc and free at the levels hardened and debug: free objects wait, and what
// stands around and in an object is looked at on both ways.
//
//      alloc  <-- is it as a free one must be?  <-- quarantine: any of them <--refill-- slabs
//      free   --> are its guards sound? is freed --> quarantine: the last   --flush---> slabs
//
// Invariants
//   [C6] what is in the quarantine or free in a slab has the guards of a free one [G1].

namespace slab_allocator {

template <Layout layout>
using QuarantineOf = Quarantine<layout.stride, layout.objects_per_slab, layout.uses_map()>;

template <Layout layout, typename Backend, CacheConfig Config>
class GuardedFront : public SlotExchange<QuarantineOf<layout>, layout, Backend, Config> {
    using Exchange = SlotExchange<QuarantineOf<layout>, layout, Backend, Config>;
    using Exchange::cached_;
    using Exchange::slabs_;
    /// So few returned objects become ready together with others, of slabs.
    static constexpr std::size_t few_returned = Exchange::enough_filled / 2;

public:
    using Exchange::Exchange;

    [[nodiscard, gnu::noinline]] std::byte* alloc() noexcept {
        const void* const by = tag_.or_else(__builtin_return_address(0));
        if (cached_.none_ready()) [[unlikely]]
            return alloc_slowly(nullptr, by);
        std::byte* const object = cached_.pop();
        if (!slabs_.guards().is_free(object)) [[unlikely]]
            return alloc_slowly(object, by);
        slabs_.guards().make_live(object, by);
        return object;
    }

    [[gnu::noinline]] void free(std::byte* object) noexcept {
        if (object == nullptr) return;
        SlabRecord* const slab_info = slabs_.find(object);
        if (!has_live_canary(slab_info, object)) [[unlikely]]
            return Exchange::refuse(object);
        slabs_.guards().make_free(object, tag_.or_else(__builtin_return_address(0)));
        if (cached_.full() || Exchange::retention_.must_drain(*slab_info)) [[unlikely]]
            return free_slowly(object, slab_info);
        cached_.push(object, slab_info);
    }

    /// Fills `objects`, all or none.
    template <typename Object>
    [[nodiscard]] bool alloc_bulk(std::span<Object*> objects) noexcept {
        if (!Exchange::take_slabs_for(objects.size())) return false;
        for (std::size_t done = 0; done < objects.size(); ++done) {
            std::byte* const object = alloc();
            objects[done] = object_in<Object>(object);
            if (object != nullptr) continue;
            while (done-- > 0) {
                free(bytes_of(objects[done]));
                objects[done] = nullptr;
            }
            return false;
        }
        return true;
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one is refused, none.
    template <typename Object>
    [[gnu::noinline]] void free_bulk(std::span<Object* const> objects) noexcept {
        if (!BulkMarks<layout, true, GuardedFront>(*this).mark(objects)) return;
        const void* const by = tag_.or_else(__builtin_return_address(0));
        for (Object* const object : objects) {
            if (object != nullptr) slabs_.make_free(bytes_of(object), by);
        }
        Exchange::free_groups(
            objects, [&](std::size_t index) { return slabs_.find(bytes_of(objects[index])); });
        Exchange::trim();
    }

    [[nodiscard]] bool is_live(const SlabRecord* slab_info, const std::byte* object) noexcept {
        if (!Exchange::is_taken(slab_info, object)) return false;
        return slabs_.guards().is_live(object) || !cached_.contains(object);  // [G2]
    }
    /// Has it sound guards, too?
    [[nodiscard]] bool is_sound(const SlabRecord* slab_info,
                                const std::byte* object) const noexcept {
        return Exchange::is_taken(slab_info, object) && slabs_.guards().is_live(object);
    }

    [[nodiscard]] DefectReport validate() noexcept {
        const DefectReport of_slabs = Exchange::validate_cached();
        if (of_slabs.defect != Defect::None) return of_slabs;
        const auto is_cached = [&](const std::byte* object) { return cached_.contains(object); };
        return slabs_.first_violation(this, is_cached, true);
    }

    /// Level debug: who allocates and frees.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        tag_.set(tag);
    }

private:
    /// `object`: null, or one that is perhaps not as a free one must be. That goes on as a free
    /// one, and another is tried.
    [[nodiscard, gnu::noinline]] std::byte* alloc_slowly(std::byte* object,
                                                         const void* by) noexcept {
        while (object == nullptr || !slabs_.make_live(object, by, this)) {
            if (object != nullptr) Exchange::free_or_cache(object, slabs_.find(object));
            if (!make_some_ready()) {
                ++Exchange::failures_number_;
                return nullptr;
            }
            object = cached_.pop();
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            cached_.wipe_popped();
        return object;
    }

    /// Returns: whether it could.
    [[nodiscard]] bool make_some_ready() noexcept {
        while (cached_.none_ready()) {
            if (cached_.size() <= few_returned && Exchange::refill()) break;
            if (cached_.empty()) {
                if (!Exchange::add_slab()) return false;
            } else {
                cached_.shuffle(slabs_.guards().secret().next());
                Exchange::update_thresholds();
            }
        }
        return true;
    }

    [[gnu::noinline]] void free_slowly(std::byte* object, SlabRecord* slab_info) noexcept {
        if (!Exchange::retention_.must_drain(*slab_info)) {
            Exchange::update_thresholds();  // [X4]
            if (!cached_.full()) return cached_.push(object, slab_info);
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            slabs_.instruments().freed(object);
        Exchange::free_or_cache(object, slab_info);
    }

    /// Is `object` live, with sound guards? Level hardened: its canary says so, as nobody else
    /// knows the secret [G2]; where an object was handed out in this life of its slab.
    [[nodiscard]] bool has_live_canary(const SlabRecord* slab_info,
                                       const std::byte* object) const noexcept {
        if constexpr (Config.checks == Checks::hardened) {
            if (!slabs_.may_be_record(slab_info)) return false;
            const std::size_t slot = Exchange::geometry.slot_of(*slab_info, object);
            return slot < layout.slots_per_slab && slot < slab_info->untouched &&
                   slabs_.guards().is_live(object);
        } else {
            return is_sound(slab_info, object);
        }
    }

    [[no_unique_address]] Tag<Config.checks> tag_;
};

}  // namespace slab_allocator

// handle.hpp -- one owner for one object: destroyed and given back when its handle is.
//
//      OwnedBy<Cache>         | object | cache |     cache.make_unique(...)
//      OwnedByStatic<cache>   | object |             make_unique<cache>(...)
//
// As std::unique_ptr, without <memory>, which kernels do not have. A handle must not outlive its
// cache. Freeing through the handle of a static cache with another cache does not compile.

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

// object_calls.hpp -- create, destroy and make_unique, for every cache that has alloc and free.
//
//      create     alloc --> constructor --throws--> free
//      destroy    owns? --> destructor --> free
//
// No lock is held while a constructor or a destructor of T runs: they may call the cache.

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

// plain_front.hpp -- alloc and free at the levels none and misuse, where nothing is ever written in
// a free object.
//
//      alloc  <-- object stack <--refill-- slabs
//      free   --> object stack --flush---> slabs
//
// The hot path is the stack (object_stack.hpp): alloc pops, free pushes. At level misuse free looks
// at the object's slab first, but where it is the object that alloc gave last.
//
// Invariants
//   [C4] every check of a call stands before its first store.

namespace slab_allocator {

template <Layout layout, CacheConfig Config>
using StackOf = ObjectStack<layout.stride, layout.objects_per_slab, Config.checks != Checks::none,
                            Config.checks != Checks::none && layout.uses_map()>;

template <Layout layout, typename Backend, CacheConfig Config>
class PlainFront : public SlotExchange<StackOf<layout, Config>, layout, Backend, Config> {
    using Exchange = SlotExchange<StackOf<layout, Config>, layout, Backend, Config>;
    static constexpr bool checked = Config.checks != Checks::none;
    using Exchange::cached_;
    using Exchange::slabs_;

public:
    using Exchange::Exchange;

    [[nodiscard]] std::byte* alloc() noexcept {
        if (std::byte* const object = cached_.pop(); object != nullptr) [[likely]] {
            annotate_alloc(object);
            return object;
        }
        return alloc_slowly();
    }

    void free(std::byte* object) noexcept {
        if constexpr (checked) {
            if (cached_.push_again(object)) [[likely]]
                return annotate_free(object);
            free_checked(object);
        } else {
            if (object == nullptr) return;
            annotate_free(object);
            if (cached_.full()) [[unlikely]]
                return free_to_slab(object, nullptr);
            cached_.push(object, nullptr);
        }
    }

    /// Fills `objects`, all or none.
    template <typename Object>
    [[nodiscard]] bool alloc_bulk(std::span<Object*> objects) noexcept {
        if (!Exchange::take_slabs_for(objects.size())) return false;
        std::size_t done = 0;
        while (done < objects.size() && !cached_.empty()) {
            std::byte* const object = cached_.pop();
            annotate_alloc(object);
            objects[done++] = object_in<Object>(object);
        }
        while (done < objects.size())
            done += take_from(*slabs_.lists().any_with_room(), objects.subspan(done));
        Exchange::note_peak();
        Exchange::update_thresholds();
        return true;
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one is refused, none.
    template <typename Object>
    void free_bulk(std::span<Object* const> objects) noexcept {
        if constexpr (checked) {
            if (!BulkMarks<layout, false, PlainFront>(*this).mark(objects)) return;
        }
        slabs_.instruments().annotate_free(objects, layout.object_size);
        cached_.forget_popped();
        Exchange::free_groups(
            objects, [&](std::size_t index) { return slabs_.find(bytes_of(objects[index])); });
        Exchange::trim();
    }

    [[nodiscard]] bool is_live(const SlabRecord* slab_info, const std::byte* object) noexcept {
        return Exchange::is_taken(slab_info, object) && !cached_.contains(object);
    }
    /// Has it sound guards, too? It has none.
    [[nodiscard]] bool is_sound(const SlabRecord* slab_info, const std::byte* object) noexcept {
        return is_live(slab_info, object);
    }

    [[nodiscard]] DefectReport validate() noexcept { return Exchange::validate_cached(); }

private:
    void annotate_alloc(std::byte* object) const noexcept {
        slabs_.instruments().annotate_alloc(object, layout.object_size);
    }
    void annotate_free(std::byte* object) const noexcept {
        slabs_.instruments().annotate_free(object, layout.object_size);
    }

    [[nodiscard, gnu::noinline]] std::byte* alloc_slowly() noexcept {
        while (cached_.empty()) {
            if (!Exchange::refill() && !Exchange::add_slab()) {
                ++Exchange::failures_number_;
                return nullptr;
            }
        }
        std::byte* const object = cached_.pop();
        if (Exchange::every_call_is_seen()) [[unlikely]]
            cached_.wipe_popped();
        annotate_alloc(object);
        return object;
    }

    /// free, where it is not the object that alloc gave last.
    [[gnu::noinline]] void free_checked(std::byte* object) noexcept
        requires checked
    {
        if (object == nullptr) return;
        SlabRecord* const slab_info = slabs_.find(object);
        if (!Exchange::is_taken(slab_info, object)) [[unlikely]]
            return Exchange::refuse(object);
        if (Exchange::retention_.must_drain(*slab_info))
            return free_to_draining_slab(object, *slab_info);
        if (cached_.full() || cached_.collides(object)) return free_to_slab(object, slab_info);
        annotate_free(object);
        cached_.push(object, slab_info);
    }

    [[gnu::noinline]] void free_to_draining_slab(std::byte* object,
                                                 SlabRecord& slab_info) noexcept {
        if (cached_.contains(object)) return Exchange::refuse(object);
        annotate_free(object);
        cached_.forget_popped();
        Exchange::free_slot(object, slab_info);
    }

    /// free, where the stack is full, or another object collides with this one, or the object
    /// itself is there already, and this is a double free.
    [[gnu::noinline]] void free_to_slab(std::byte* object, SlabRecord* slab_info) noexcept {
        if constexpr (checked) {
            if (cached_.contains(object)) return Exchange::refuse(object);
            annotate_free(object);
        }
        if (Exchange::every_call_is_seen()) [[unlikely]]
            slabs_.instruments().freed(object);
        Exchange::free_or_cache(object, slab_info);
    }

    /// Takes as many objects as a slab has, or as are wanted. Returns: how many.
    /// Not inlined: g++ would warn of whole words that a small array of the caller's never sees.
    template <typename Object>
    [[nodiscard, gnu::noinline]] std::size_t take_from(SlabRecord& slab_info,
                                                       std::span<Object*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size() && !slab_info.map.empty()) {
            const FreeWord word = slabs_.word_of(slab_info, slab_info.map.first_word());
            std::uint64_t left = word.bits;
            const std::span<Object*> rest = objects.subspan(done);
            if (word.bits == ~std::uint64_t{0} && rest.size() >= FreeMap::bits_per_word) {
                for_all_of_word([&](std::size_t slot) {
                    rest[slot] = object_in<Object>(word.start + layout.offset_of(slot));
                    return true;
                });
                left = 0;
                done += FreeMap::bits_per_word;
            } else {
                for (; left != 0 && done < objects.size(); left &= left - 1)
                    objects[done++] =
                        object_in<Object>(word.start + layout.offset_of(lowest_bit(left)));
            }
            slabs_.take(slab_info, word, word.bits & ~left);
        }
        slabs_.lists().slots_taken(slab_info, done);
        slabs_.instruments().annotate_alloc(std::span<Object* const>(objects.first(done)),
                                            layout.object_size);
        return done;
    }
};

}  // namespace slab_allocator

// slab_view.hpp -- one slab of a cache, to look at: what for_each_slab() shows.
//
//      slot 0   1   2   3   4   5   6 ...
//      Taken Free Covered Taken Free Untouched Untouched
//
// Valid during the call that shows it, and like everything that looks: it changes nothing.

namespace slab_allocator {

/// What a slot of a slab is.
enum class SlotState : std::uint8_t {
    Taken,      ///< an object's, or in the hands of a layer in front of the cache
    Free,       ///< was an object's
    Untouched,  ///< free, and never taken out of the slab
    Covered,    ///< under the SlabInfo: no object's, ever
};

class SlabView {
public:
    SlabView(const SlabRecord& slab_info, const Layout& layout) noexcept
        : slab_info_(&slab_info), layout_(&layout) {}

    [[nodiscard]] const std::byte* slab() const noexcept { return slab_info_->slab; }
    [[nodiscard]] std::size_t slab_size() const noexcept { return layout_->slab_size; }
    [[nodiscard]] const SlabRecord& slab_info() const noexcept { return *slab_info_; }

    /// Slots, those under the SlabInfo among them, and how many of them objects can have.
    [[nodiscard]] std::size_t slots_number() const noexcept { return layout_->slots_per_slab; }
    [[nodiscard]] std::size_t objects_number() const noexcept { return layout_->objects_per_slab; }
    [[nodiscard]] std::size_t free_objects_number() const noexcept {
        return slab_info_->free_number;
    }
    [[nodiscard]] std::size_t allocated_objects_number() const noexcept {
        return objects_number() - free_objects_number();
    }

    /// Does `pointer` lead into the slab?
    [[nodiscard]] bool contains(const void* pointer) const noexcept {
        return address_of(pointer) - address_of(slab()) < slab_size();  // wraps for those before it
    }

    /// Requires: slot < slots_number(), not checked.
    [[nodiscard]] SlotState state_of(std::size_t slot) const noexcept {
        if (layout_->info_slots > 0) {
            const std::size_t first = layout_->info_slot_of(address_of(slab()));
            if (slot - first < layout_->info_slots) return SlotState::Covered;  // wraps, too
        }
        if (!slab_info_->map.is_free(slot)) return SlotState::Taken;
        return slot < slab_info_->untouched ? SlotState::Free : SlotState::Untouched;
    }

private:
    const SlabRecord* slab_info_;
    const Layout* layout_;
};

}  // namespace slab_allocator

// cache.hpp -- the allocator of objects of one type.
//
//      alloc  <-- cached objects <--words-- slabs with room, the fullest first <-- backend
//      free   --> cached objects --groups--> their slabs --------free ones------> backend
//
// Here are the public calls. What happens per object stands in plain_front.hpp, or, at the levels
// that guard objects, in guarded_front.hpp; between the cached objects and the slabs, in
// slot_exchange.hpp; the slabs are in slab_set.hpp; how much is kept, in retention.hpp.
//
// Nothing is ever written in a free object, but by the levels that guard objects.
//
// Not synchronised: one lock, or one thread, for all members. The address of a cache is written in
// its slabs, so it is neither copied nor moved.

namespace slab_allocator {

template <typename T, typename Backend, CacheConfig Config = CacheConfig{}>
    requires(check_config<T, Config>() && check_memory_backend<Backend, layout_of<T, Config>.row>())
class Cache : public ObjectCalls<Cache<T, Backend, Config>, T, Config.checks != Checks::none> {
    static constexpr Layout layout = layout_of<T, Config>;
    using Front =
        std::conditional_t<guards_objects(Config.checks), GuardedFront<layout, Backend, Config>,
                           PlainFront<layout, Backend, Config>>;

public:
    using value_type = T;
    using backend_type = Backend;

    /// Effects: none outside of the cache; the backend is first called by the first alloc.
    constexpr Cache() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit Cache(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : front_(std::move(backend)) {}
    constexpr explicit Cache(Backend&)  // cannot be moved in: hold it by BackendRef<Backend>
        requires(!std::move_constructible<Backend>)
    = delete;  // (compilers show the first line)

    Cache(const Cache&) = delete;  // its slabs know its address: pass it by reference
    Cache& operator=(const Cache&) = delete;

    /// Gives every slab back. Objects that are live then are a Defect::Leak, with their number.
    constexpr ~Cache()
        requires(!Config.never_destroyed)
    {
        front_.release_all();
    }
    constexpr ~Cache()
        requires(Config.never_destroyed)
    = default;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: uninitialised memory for one T, or nullptr where the backend refuses; everything is
    /// then as before. Costs: O(1); a new slab is not written through.
    [[nodiscard]] T* alloc() noexcept { return object_in<T>(front_.alloc()); }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), and at level misuse one
    /// question to the map, where there is one.
    void free(T* object) noexcept { front_.free(bytes_of(object)); }

    // ---- Many at once ---------------------------------------------------------------------------

    /// Fills `objects`, all or none. Returns: whether; where the backend refuses, everything is as
    /// before.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        return front_.alloc_bulk(objects);
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one of them is refused, none.
    void free_bulk(std::span<T* const> objects) noexcept { front_.free_bulk(objects); }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Takes slabs ahead, so that `objects_number` objects can be allocated without asking the
    /// backend, and keeps as many Free slabs as that took until the next shrink.
    /// Returns: how many objects can be; fewer than asked for only where the backend refused.
    std::size_t reserve(std::size_t objects_number) noexcept {
        return front_.reserve(objects_number);
    }

    /// Gives all Free slabs back, retained ones too. Returns: how many. Costs: O(slabs given back).
    std::size_t shrink_to_fit() noexcept { return shrink(~std::size_t{0}); }

    /// Gives at most `most` Free slabs back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept { return front_.shrink(most); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Calls f(T*) for every live object. `f` may free the visited one, and else must not call the
    /// cache. Costs: O(slots).
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        front_.for_each([&](std::byte* object) { f(object_in<T>(object)); });
    }

    /// Calls f(const SlabView&) for every slab, the full ones first. `f` must not call the cache.
    /// The cached objects go back to their slabs before. Costs: O(slabs).
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        front_.for_each_slab([&](const SlabRecord& slab_info) { f(SlabView(slab_info, layout)); });
    }

    /// Is `pointer` the start of a live object of this cache? Costs: O(1). Faults only where the
    /// row is found by masking, and `pointer` leads to memory that is not mapped.
    [[nodiscard]] bool owns(const T* pointer) noexcept {
        std::byte* const memory = bytes_of(const_cast<T*>(pointer));
        return memory != nullptr && front_.is_live(front_.find(memory), memory);
    }

    /// Is `pointer` the start of a slot that is out of its slab: a live object, or a cached one?
    /// For a layer that keeps freed objects in front of the cache. It reads nothing
    /// of the cache but what stays as it is while a live object lives, so of such a one it may be
    /// asked without the lock that the cache is under, where the backend's look-up may be.
    /// Costs: O(1).
    [[nodiscard]] bool is_out(const T* pointer) noexcept {
        const std::byte* const memory = bytes_of(const_cast<T*>(pointer));
        return front_.template is_taken<&FreeMap::is_free_unlocked>(front_.find(memory), memory);
    }

    /// The same for many. Returns: how many of the first are out of their slabs; null is not.
    /// Costs: one question to the map, where there is one, for neighbours of one slab.
    [[nodiscard]] std::size_t out_number(std::span<T* const> objects) noexcept {
        std::size_t number = 0;
        while (number < objects.size() && objects[number] != nullptr && is_out(objects[number])) {
            const SlabRecord& slab_info = *front_.find(bytes_of(objects[number]));
            const std::uintptr_t start = address_of(slab_info.slab) + layout.front;
            for (++number; number < objects.size(); ++number) {
                const std::size_t slot = layout.slot_at(address_of(objects[number]) - start);
                if (slot >= layout.slots_per_slab || slab_info.map.is_free_unlocked(slot)) break;
            }
        }
        return number;
    }

    /// Costs: O(1): the cached objects go back to their slabs first, so that the numbers are exact,
    /// and so may Free slabs to the backend.
    [[nodiscard]] CacheStatistics statistics() noexcept { return front_.statistics(); }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept { return layout.object_size; }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept { return layout.slab_size; }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept { return layout.page_size; }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return layout.small() ? ObjectSizeType::Small : ObjectSizeType::Large;
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return layout.objects_per_slab;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return front_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return front_.backend(); }

    /// Level debug: who allocates and frees from now on, for its reports; nullptr: the return
    /// address of each call.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        front_.set_tag(tag);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept { return front_.validate(); }

private:
    Front front_;  // first: its address is what slabs and reports know of the cache
};

}  // namespace slab_allocator

// backend_ref.hpp -- a backend that lies elsewhere, held by reference.
//
//      Cache<A, BackendRef<Pages>> --.
//      Cache<B, BackendRef<Pages>> --+--> Pages        one backend, many caches
//      HashMap<BackendRef<Pages>>  --'
//
// A BackendRef has just the functions that its backend has, with the answers that they have there:
// the backend concept sees through it, and what is missing or misspelt stays so.
//
// Invariants
//   [B1] backend_ is never null, and the backend outlives the reference (not checked).

namespace slab_allocator {

template <typename Backend>
class BackendRef {
public:
    using backend_type = Backend;

    /// Not explicit: a Backend& stands for itself where a BackendRef is asked for.
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr BackendRef(Backend& backend) noexcept : backend_(&backend) {}

    [[nodiscard]] constexpr Backend& get() const noexcept { return *backend_; }

    [[nodiscard]] constexpr decltype(auto) alloc_slab(std::size_t slab_size,
                                                      std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        return backend_->alloc_slab(slab_size, slab_alignment);
    }

    constexpr decltype(auto) free_slab(void* slab, std::size_t slab_size,
                                       std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        return backend_->free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] constexpr decltype(auto) resize_slab(void* slab, std::size_t before,
                                                       std::size_t after,
                                                       std::size_t slab_alignment) const noexcept
        requires requires(Backend& backend) {
            backend.resize_slab(slab, before, after, slab_alignment);
        }
    {
        return backend_->resize_slab(slab, before, after, slab_alignment);
    }

    constexpr decltype(auto) discard(void* start, std::size_t bytes) const noexcept
        requires requires(Backend& backend) { backend.discard(start, bytes); }
    {
        return backend_->discard(start, bytes);
    }
    constexpr decltype(auto) advise_huge_pages(void* start, std::size_t bytes,
                                               bool wanted) const noexcept
        requires requires(Backend& backend) { backend.advise_huge_pages(start, bytes, wanted); }
    {
        return backend_->advise_huge_pages(start, bytes, wanted);
    }

    [[nodiscard]] constexpr decltype(auto) alloc_slab_info() const noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        return backend_->alloc_slab_info();
    }

    constexpr decltype(auto) free_slab_info(SlabInfo* slab_info) const noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        return backend_->free_slab_info(slab_info);
    }

    constexpr decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr,
                                                SlabInfo* slab_info) const noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        return backend_->save_slab_info_ptr(page_addr, slab_info);
    }

    [[nodiscard]] constexpr decltype(auto) get_slab_info_ptr(
        std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        return backend_->get_slab_info_ptr(page_addr);
    }

    constexpr decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        return backend_->delete_slab_info_ptr(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) slab_info_at(std::uintptr_t page_addr) const noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        return backend_->slab_info_at(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) secret() const noexcept
        requires requires(Backend& backend) { backend.secret(); }
    {
        return backend_->secret();
    }

private:
    Backend* backend_;  // [B1]
};

template <typename Backend>
inline constexpr bool bears_threads<BackendRef<Backend>> = bears_threads<Backend>;

}  // namespace slab_allocator

// size_classes.hpp -- which sizes a heap has slabs for, and how large their slabs are.
//
//      size    1..16  32  48  64  80  96  112  128 | 144 160 176 192 208 224  256 | 288 ... 32768
//      class     0     1   2   3   4   5   6    7  |  8   9  10  11  12  13   14  | 15  ...  63
//                '-- every 16 bytes                '-- seven for each power of two: eighths, and
//                                                      the last two of them in one
//
// Eighths keep what rounding up costs below an eighth of the block. And they make alignment free:
// of the multiples of a power of two, each is the size of a class or rounds up to one that is a
// multiple of it, too. So a class serves every alignment that its size is a multiple of.
//
// At levels hardened and debug the guards (guards.hpp) take their bytes of the block: a request is
// rounded up with them, classes and alignments are the same.
//
//      hardened   block -> | object .................... | canary |
//      debug               | object .... | zone | allocated by | freed by | zone of the next one |
//
// A debug slab has its first object as far behind its start as the class is aligned, and a zone
// before that.
//
// Invariants
//   [Z1] size <= size_of_class(class_of(size)); what it is above align_up(size, 16) is at most an
//        eighth of it
//   [Z2] size a multiple of a power of two  =>  size_of_class(class_of(size)) is one, too
//   [Z3] the layout of a class is Large, its stride is its size, and its slabs, and the first
//        object of each, are aligned to every power of two that this is a multiple of

namespace slab_allocator {

/// What the user of a heap chose. Members stand in the order in which designated initialisers must
/// name them. Sizes are in bytes.
struct HeapConfig {
    /// The grain of the SlabInfo map, and of the runs of pages; a power of two from 256.
    std::size_t page_size = 4096;
    /// Larger requests are runs of pages. A power of two from 128.
    std::size_t largest_object = std::size_t{32} * 1024;
    /// A power of two, at least largest_object and page_size: slabs are as large only where less
    /// would waste more than a thirty-second.
    std::size_t largest_slab = std::size_t{256} * 1024;
    /// Slabs have any number of pages, not only a power of two of them: for a backend that does not
    /// round up what it is asked for (FirstFitPages).
    bool slabs_of_any_pages = false;
    /// A class begins with small slabs: a program that has a few blocks of each of many sizes pays
    /// a slab for each. Of a MagazineHeap, some; then come those of the usual size.
    bool small_slabs = false;
    /// The backend has resize_slab(slab, before, after, alignment), which makes a run longer or
    /// shorter where it is, or returns false: realloc asks it before it copies.
    bool backend_resizes = false;
    /// Of each class, how many Free slabs are kept beside the one that is allocated from.
    std::size_t retained_free_slabs = 0;
    /// As CacheConfig's.
    Checks checks = Checks::misuse;
    /// For statics that are never torn down, as CacheConfig's.
    bool never_destroyed = false;
    /// Of a MagazineHeap at level debug: its CPU policy has `const void* caller()`, which says who
    /// allocates and frees, in place of the return address of the call. For a malloc, whose callers
    /// do not call the heap.
    bool cpus_know_caller = false;

    friend constexpr bool operator==(const HeapConfig&, const HeapConfig&) noexcept = default;
};

namespace size_classes {

/// What every block is aligned to, as malloc's: enough for every type that asks for nothing.
inline constexpr std::size_t grain = 16;
/// Up to here the classes are a grain apart.
inline constexpr std::size_t largest_by_grains = 8 * grain;
inline constexpr std::size_t per_doubling = 7;

/// The class of a request. Requires: size at most that of the last class.
[[nodiscard]] constexpr std::size_t class_of(std::size_t size) noexcept {
    const std::size_t last = size - (size == 0 ? 0U : 1U);  // the last byte
    const std::size_t shift =
        static_cast<std::size_t>(std::bit_width(last | largest_by_grains)) - 4;
    const std::size_t eighth = last >> shift;  // from 8 on, but below largest_by_grains
    constexpr std::size_t most = 8 + per_doubling - 1;
    return (shift - 4) * per_doubling + (eighth < most ? eighth : most);
}

/// The largest size of a class.
[[nodiscard]] constexpr std::size_t size_of_class(std::size_t number) noexcept {
    if (number < 8) return (number + 1) * grain;
    const std::size_t eighth = (number - 8) % per_doubling;
    const std::size_t eighths = eighth < per_doubling - 1 ? 9 + eighth : 16;
    return eighths << (4 + (number - 8) / per_doubling);
}

/// What a request with an alignment is rounded up to, before its class is looked for [Z2].
/// Requires: a power of two, and a sum that does not overflow.
[[nodiscard]] constexpr std::size_t aligned_size(std::size_t size, std::size_t alignment) noexcept {
    return alignment <= grain ? size : align_up(size == 0 ? 1 : size, alignment);
}

/// What of each block no caller can use.
template <HeapConfig Config>
inline constexpr std::size_t guards_size = slab_allocator::detail::front_of(Config.checks, grain) +
                                           slab_allocator::detail::behind_of(Config.checks);

/// The largest request that has a class.
template <HeapConfig Config>
inline constexpr std::size_t largest_request = Config.largest_object - guards_size<Config>;

/// class_of, with the guards, for each number of grains: an add, a shift and a load, where the bit
/// scan is four times as much. No branch either: a program's sizes are not to be foreseen.
template <HeapConfig Config>
class ClassTable {
public:
    /// Requires: size <= largest_request<Config>.
    [[nodiscard]] static constexpr std::size_t class_of(std::size_t size) noexcept {
        return numbers.of[(size + (guards_size<Config> + grain - 1)) / grain];
    }

private:
    struct Numbers {
        std::uint8_t of[Config.largest_object / grain + 1];
    };
    static constexpr Numbers numbers = [] {
        Numbers result{};
        constexpr std::size_t least = guards_size<Config> + 1;  // a request of 0 bytes is one of 1
        for (std::size_t grains = 0; grains <= Config.largest_object / grain; ++grains) {
            const std::size_t size = grains * grain < least ? least : grains * grain;
            result.of[grains] = static_cast<std::uint8_t>(size_classes::class_of(size));
        }
        return result;
    }();
};

/// The same for a request to a heap: of what size the request without an alignment is that has such
/// a block.
template <HeapConfig Config>
[[nodiscard]] constexpr std::size_t aligned_request(std::size_t size,
                                                    std::size_t alignment) noexcept {
    return aligned_size(size + guards_size<Config>, alignment) - guards_size<Config>;
}

/// Is such a request one for a class, or for whole pages?
template <HeapConfig Config>
[[nodiscard]] constexpr bool is_for_class(std::size_t size, std::size_t alignment) noexcept {
    // largest_object is a power of two: to be rounded up to the alignment leads to it at most.
    return size <= largest_request<Config> && alignment <= Config.largest_object;
}

/// How many objects a slab has at least, where it need not be larger than enough_slab for that, and
/// else two: what a slab's birth costs, it costs for all of them. No more, because what a class has
/// and does not use, no other can: a program with a few blocks of each size pays a slab for each.
inline constexpr std::size_t enough_objects = 8;
inline constexpr std::size_t enough_slab = std::size_t{16} * 1024;

namespace detail {

/// The same in a slab of so many bytes. What a SlabInfo cannot manage of it is left over.
[[nodiscard]] constexpr Layout cut(Layout layout, std::size_t slab_size) noexcept {
    layout.error = ConfigError::None;
    const std::size_t alignment = layout.stride & (~layout.stride + 1);  // [Z3]
    std::size_t room = slab_size;
    if (layout.front != 0) {
        layout.front = alignment;
        room = slab_size + grain < alignment ? 0 : slab_size - (alignment - grain);
    }
    const std::size_t fitting = room / layout.stride;
    layout.slab_size = slab_size;
    layout.slots_per_slab = fitting < SlabInfo::max_slots ? fitting : SlabInfo::max_slots;
    layout.objects_per_slab = layout.slots_per_slab;
    layout.slab_alignment = alignment < layout.page_size ? layout.page_size : alignment;
    return layout;
}

}  // namespace detail

/// The layout of a class: the smallest slab that has enough objects and loses at most a
/// thirty-second, its SlabInfo and its entries in the map counted; else what loses least. Small:
/// the smallest that loses at most a quarter. Guards count as what is used.
[[nodiscard]] constexpr Layout layout_of_blocks(std::size_t number, const HeapConfig& config,
                                                bool small) noexcept {
    const std::size_t size = size_of_class(number);
    const std::size_t one_object = std::bit_ceil(size);
    const std::size_t first = one_object < config.page_size ? config.page_size : one_object;
    Layout layout = layout_for(size, grain,
                               {.slab_size = first,
                                .page_size = config.page_size,
                                .object_size_type = ObjectSizeType::Large});
    layout.front = slab_allocator::detail::front_of(config.checks, grain);
    if (layout.error != ConfigError::None && layout.error != ConfigError::TooManySlotsForLarge)
        return layout;
    Layout best = detail::cut(layout, first);
    for (std::size_t slab = config.page_size; slab <= config.largest_slab;
         slab += config.slabs_of_any_pages ? config.page_size : slab) {
        const Layout candidate = detail::cut(layout, slab);
        if (candidate.objects_per_slab == 0) continue;
        if (slab_allocator::detail::loses_less(candidate, best)) best = candidate;
        const std::size_t enough = small ? 1 : slab < enough_slab ? enough_objects : 2;
        const std::size_t share = small ? 4 : 32;
        const bool many = candidate.objects_per_slab >= enough || slab == config.largest_slab;
        if (many && share * candidate.bytes_lost_per_slab() <= candidate.bytes_per_slab())
            return candidate;
    }
    return best;
}

/// The layout of a class. At level debug its first object is layout.front behind a slab's start. A
/// class that guards leave no room serves nobody.
[[nodiscard]] constexpr Layout layout_of_class(std::size_t number, const HeapConfig& config,
                                               bool small) noexcept {
    Layout layout = layout_of_blocks(number, config, small);
    layout.behind = slab_allocator::detail::behind_of(config.checks);
    const std::size_t guards =
        slab_allocator::detail::front_of(config.checks, grain) + layout.behind;
    layout.object_size = layout.object_size < guards ? 0 : layout.object_size - guards;
    return layout;
}

[[nodiscard]] constexpr Layout layout_of_class(std::size_t number,
                                               const HeapConfig& config) noexcept {
    return layout_of_class(number, config, config.small_slabs);
}

/// Does not compile where a heap cannot work under Config, and says why.
template <HeapConfig Config>
consteval bool check() {
    static_assert(is_power_of_two(Config.page_size) && Config.page_size >= 256,
                  "HeapConfig: page_size must be a power of two, at least 256");
    static_assert(
        is_power_of_two(Config.largest_object) && Config.largest_object >= largest_by_grains,
        "HeapConfig: largest_object must be a power of two, at least 128");
    static_assert(
        is_power_of_two(Config.largest_slab) && Config.largest_slab >= Config.page_size &&
            Config.largest_slab >= Config.largest_object,
        "HeapConfig: largest_slab must be a power of two, at least page_size and at least "
        "largest_object");
    static_assert(
        Config.checks != Checks::debug || Config.largest_slab >= 2 * Config.largest_object,
        "HeapConfig: at level debug, largest_slab must be at least twice largest_object: "
        "a zone stands before the first object of a slab");
    return true;
}

}  // namespace size_classes

}  // namespace slab_allocator

// class_slabs.hpp -- one size class: what Cache is for a type, for a size that is a number.
//
//      alloc  <-- current word: 64 slots of one slab <-- slabs with room, the fullest first
//      free   --> the current word, or the map of the object's slab --------> slabs
//
// A Cache is compiled for its type; 64 of them are half a megabyte of code and 20 seconds of
// compiling, which no kernel wants for its kmalloc. So here stride and slots are members, and one
// piece of code serves all classes. The current word is 64 bits, taken out of a map at once: alloc
// takes the lowest of them, and a free of a slot in that word puts it back there. Nothing is
// written in a free object, and a free slot is found free at once, in the current word or in the
// map.
//
// At levels hardened and debug alloc takes any object of the word, and what is freed waits in a
// quarantine before it goes back there (quarantine.hpp); alloc gives, and free takes, objects with
// the guards of free ones (guards.hpp), and make_live and make_free, which need no lock, stand
// between them and the user.
//
// Invariants
//   [P1] a slot is in one of four places: free in its map, in the current word, in the quarantine,
//        or the caller's.
//   [P2] the slab of the current word is on no list; every other one on the list of its
//        free_number.
//   [P3] what is refused has changed nothing.

namespace slab_allocator {

template <typename Backend, HeapConfig Config>
class alignas(64) ClassSlabs {
    static constexpr bool checked = Config.checks != Checks::none;
    static constexpr bool guarded = guards_objects(Config.checks);
    static constexpr Layout like{.row = Row::LargeByMap,
                                 .front = detail::front_of(Config.checks, size_classes::grain),
                                 .page_size = Config.page_size};
    using Geometry = RuntimeGeometry<like>;
    using Shape = ShapeOfClass<Config.checks, size_classes::grain>;
    using Guard = Guards<Shape, Config.checks>;
    using Slabs = SlabSet<Geometry, Backend, Guard, Config.checks>;
    using Lists = typename Slabs::Lists;
    struct NoQuarantine {
        constexpr explicit NoQuarantine() noexcept = default;
    };
    using Waiting =
        std::conditional_t<guarded, Quarantine<size_classes::grain, 16, false>, NoQuarantine>;

public:
    /// It never has more than `most_slabs`; 0: any number. `heap`: whom reports name.
    constexpr ClassSlabs(std::size_t number, const Layout& layout, std::uint16_t most_slabs,
                         Backend backend, const void* heap) noexcept
        : most_slabs_(most_slabs),
          number_(static_cast<std::uint8_t>(number)),
          slabs_(Geometry(layout), Guard(Shape(layout.object_size)), std::move(backend)),
          heap_(heap) {}
    ClassSlabs(const ClassSlabs&) = delete;  // its slabs know its address
    ClassSlabs& operator=(const ClassSlabs&) = delete;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: nullptr where the backend refuses. Costs: O(1).
    [[nodiscard]] void* alloc() noexcept {
        if (word_ == 0) [[unlikely]]
            return alloc_slowly();
        return take_one();
    }

    /// Takes back an object whose SlabInfo is `slab_info`, of this class. Returns: false where that
    /// is no live object [P3]. Costs: O(1).
    [[nodiscard]] bool free(void* object, SlabRecord& slab_info) noexcept {
        if constexpr (guarded) {
            quarantine(bytes_of(object));
            return true;
        } else {
            return free_slot(object, slab_info);
        }
    }

    /// Takes back what make_free made free.
    void quarantine(std::byte* object) noexcept
        requires guarded
    {
        const std::size_t capacity =
            cached_capacity(slabs_.geometry.layout.stride, slabs_.geometry.layout.objects_per_slab);
        const std::size_t most = capacity < Waiting::capacity ? capacity : Waiting::capacity;
        while (waiting_.size() >= most)
            release_one();  // which may call the heap [I1]
        waiting_.make_room(1);
        waiting_.push(object, nullptr);
    }

    // ---- Its guards, without a lock -------------------------------------------------------------

    /// Makes what alloc gave a live object. Returns: false where it was not as a free one must be;
    /// that is reported, and it is a free one again.
    [[nodiscard]] bool make_live(void* memory, const void* by) noexcept
        requires guarded
    {
        return slabs_.make_live(bytes_of(memory), by, heap_);
    }
    /// Makes a live object what free takes. Returns: false where it is none, or its guards are not
    /// sound [P3].
    [[nodiscard]] bool make_free(void* object, const SlabRecord& slab_info, const void* by) noexcept
        requires guarded
    {
        if (!is_sound(object, slab_info)) [[unlikely]]
            return false;
        slabs_.make_free(bytes_of(object), by);
        return true;
    }
    /// Is it a live object with sound guards?
    [[nodiscard]] bool is_sound(const void* object, const SlabRecord& slab_info) const noexcept
        requires guarded
    {
        return is_out(object, slab_info) &&
               slabs_.guards().is_live(static_cast<const std::byte*>(object));
    }

    // ---- For a layer in front, which holds the lock ---------------------------------------------

    /// Fills `objects` from the start. Returns: how many the backend allowed. Afterwards the
    /// current word is empty, so that what is not free in a map is the caller's.
    [[nodiscard]] std::size_t alloc_bulk(std::span<std::byte*> objects) noexcept {
        std::size_t done = 0;
        while (done < objects.size()) {
            objects[done] = static_cast<std::byte*>(alloc());
            if (objects[done] == nullptr) break;
            ++done;
        }
        flush_current();
        return done;
    }

    /// The current word goes back to its map; its slab stays the current one.
    void flush_current() noexcept {
        if (word_ == 0) return;
        SlabRecord& slab_info = *current_;
        slab_info.map.give_back(word_number_, word_);
        slab_info.free_number =
            static_cast<std::uint16_t>(slab_info.free_number + bits_number(word_));
        word_ = 0;
    }

    /// is_live, where the current word is empty. Reads nothing but what stays as it is while the
    /// object lives, so of a live one it may be asked without the lock.
    [[nodiscard]] bool is_out(const void* object, const SlabRecord& slab_info) const noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        return slot < slabs_.geometry.layout.slots_per_slab &&
               !slab_info.map.is_free_unlocked(slot);
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Gives all Free slabs back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        flush();
        std::size_t given = 0;
        while (SlabRecord* const slab_info = slabs_.lists().any_free()) {
            remove(*slab_info);
            ++given;
        }
        return given;
    }

    /// Every object that is ready or waits goes back to its slab.
    void flush() noexcept {
        if constexpr (guarded) {
            while (!waiting_.empty())
                release_one();
        }
        retire_current();
    }
    void give_back_everything() noexcept {
        flush();
        while (SlabRecord* const slab_info = slabs_.lists().any())
            remove(*slab_info);
    }

    /// Calls f(object) for every live object. Requires: flushed; `f` does not call the heap.
    template <typename F>
    void for_each(F f) noexcept {
        slabs_.for_each(f);
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t number() const noexcept { return number_; }
    [[nodiscard]] constexpr std::size_t object_size() const noexcept {
        return slabs_.geometry.layout.object_size;
    }
    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] const Guard& guards() const noexcept { return slabs_.guards(); }

    /// Of a guarded class: and has it sound guards?
    [[nodiscard]] bool is_live(const void* object, const SlabRecord& slab_info) const noexcept {
        if constexpr (guarded) return is_sound(object, slab_info);
        const std::size_t slot = slot_of(object, slab_info);
        return slot < slabs_.geometry.layout.slots_per_slab && !slab_info.map.is_free(slot) &&
               !is_current(slot, slab_info);
    }

    /// Completes the report on a free of report.pointer, which is not live.
    void diagnose(DefectReport& report, const SlabRecord& slab_info) const noexcept {
        slabs_.diagnosis(heap_).of_free(report, slab_info, false);
    }

    /// Costs: O(slabs). The peak of objects is not known.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics result = slabs_.statistics();
        result.peak_slabs_number = peak_slabs_number_;
        result.failures_number = failures_number_;
        if (current_ != nullptr) {  // on no list [P2]
            const std::size_t free_number = current_->free_number + bits_number(word_);
            const bool is_full = free_number == 0;
            const bool is_free = free_number == slabs_.geometry.layout.objects_per_slab;
            ++(is_full   ? result.full_slabs_number
               : is_free ? result.free_slabs_number
                         : result.partial_slabs_number);
            result.free_objects_number += free_number;
        }
        if constexpr (guarded) result.free_objects_number += waiting_.size();
        slabs_.complete(result);
        return result;
    }

    /// The first thing that is not as it must be, or Defect::None. Of objects that are out of their
    /// slabs only `with_live`: a layer in front may hold them. Costs: O(slots).
    [[nodiscard]] DefectReport validate([[maybe_unused]] bool with_live) noexcept {
        const DefectReport of_lists = slabs_.validate(owner());
        if (of_lists.defect != Defect::None) return of_lists;
        const Defect of_current = defect_of_current();
        if (of_current != Defect::None) {
            const void* const where =
                current_ != nullptr ? static_cast<const void*>(current_) : this;
            return {.defect = of_current, .pointer = where, .cache = heap_};
        }
        if constexpr (guarded) {
            const auto in_word = [&](const std::byte* object) {
                return current_ != nullptr && is_current(slot_of(object, *current_), *current_);
            };
            const DefectReport first = slabs_.first_violation(heap_, in_word, with_live);
            if (first.defect != Defect::None || current_ == nullptr) return first;
            return slabs_.diagnosis(heap_).of_slab(*current_, in_word, with_live);
        }
        return {};
    }

private:
    static constexpr std::uint16_t never_moves = 0xffff;  // of the current slab

    [[nodiscard]] SlabOwner owner() const noexcept { return {this, heap_}; }
    [[nodiscard]] std::size_t slabs_number() const noexcept {  // [P2]
        return slabs_.lists().slabs_number() + (current_ != nullptr ? 1 : 0);
    }
    [[nodiscard]] std::size_t slot_of(const void* object,
                                      const SlabRecord& slab_info) const noexcept {
        return slabs_.geometry.slot_of(slab_info, static_cast<const std::byte*>(object));
    }

    // ---- The current word -----------------------------------------------------------------------

    /// Returns: false where the slot is free already.
    [[nodiscard]] bool free_slot(const void* object, SlabRecord& slab_info) noexcept {
        const std::size_t slot = slot_of(object, slab_info);
        if constexpr (checked) {
            if (slot >= slabs_.geometry.layout.slots_per_slab) [[unlikely]]
                return false;
        }
        const std::size_t word = slot / FreeMap::bits_per_word;
        const std::uint64_t bit = std::uint64_t{1} << (slot % FreeMap::bits_per_word);
        const auto& tools = slabs_.instruments();
        if (&slab_info == current_ && static_cast<std::uint32_t>(word) == word_number_) {
            if constexpr (checked) {
                if ((word_ & bit) != 0) [[unlikely]]
                    return false;
            }
            tools.annotate_free(object, object_size());
            word_ |= bit;
            return true;
        }
        if constexpr (checked) {
            if (!slab_info.map.all_taken(word, bit)) [[unlikely]]
                return false;
        }
        tools.annotate_free(object, object_size());
        slab_info.map.give_back(word, bit);
        if (!guarded && tools.watches()) [[unlikely]]
            return free_watched(slot, slab_info);
        if (Lists::slot_freed(slab_info)) [[unlikely]]
            relist_and_trim(slab_info);
        return true;
    }

    [[gnu::noinline, gnu::cold]] bool free_watched(std::size_t slot,
                                                   SlabRecord& slab_info) noexcept {
        slabs_.instruments().freed(slabs_.geometry.object_at(slab_info, slot));
        if (Lists::slot_freed(slab_info)) relist_and_trim(slab_info);
        return true;
    }

    [[gnu::noinline]] void relist_and_trim(SlabRecord& slab_info) noexcept {
        slabs_.lists().move(slab_info);
        while (slabs_.lists().free_slabs_number() > Config.retained_free_slabs)
            remove(*slabs_.lists().any_free());
    }

    /// The lowest; of a guarded class any.
    [[nodiscard]] void* take_one() noexcept {
        if constexpr (guarded) {
            const std::uint64_t random = slabs_.guards().secret().next();
            const auto turn = static_cast<int>(random % FreeMap::bits_per_word);
            const std::uint64_t one = std::rotr(word_, turn) & -std::rotr(word_, turn);
            const std::uint64_t bit = std::rotl(one, turn);
            word_ &= ~bit;
            return word_start_ + lowest_bit(bit) * slabs_.geometry.layout.stride;
        }
        const std::size_t slot = lowest_bit(word_);
        word_ &= word_ - 1;
        std::byte* const object = word_start_ + slot * slabs_.geometry.layout.stride;
        slabs_.instruments().annotate_alloc(object, object_size());
        return object;
    }

    [[nodiscard]] bool is_current(std::size_t slot, const SlabRecord& slab_info) const noexcept {
        return &slab_info == current_ && slot / FreeMap::bits_per_word == word_number_ &&
               ((word_ >> (slot % FreeMap::bits_per_word)) & 1U) != 0;
    }

    [[nodiscard, gnu::noinline]] void* alloc_slowly() noexcept {
        while (word_ == 0) {
            if (!refill_current() && !add()) {
                ++failures_number_;
                return nullptr;
            }
        }
        void* const object = take_one();
        if (slabs_.instruments().watches()) [[unlikely]] {
            retire_current();  // so that each call takes a slow path, which tells memcheck
            if constexpr (!guarded) slabs_.instruments().allocated(object, object_size(), false);
        }
        return object;
    }

    /// Takes a word of the current slab, or of another one. Returns: false where none has room.
    /// Requires: the current word is empty.
    [[nodiscard]] bool refill_current() noexcept {
        if (current_ == nullptr || current_->map.empty()) {
            SlabRecord* const slab_info = slabs_.lists().any_with_room();
            if (slab_info == nullptr) return false;
            retire_current();
            slabs_.lists().remove(*slab_info);
            slab_info->list_max_free = never_moves;  // [P2]
            current_ = slab_info;
        }
        const FreeWord word = slabs_.word_of(*current_, current_->map.first_word());
        slabs_.take(*current_, word, word.bits);
        current_->free_number =
            static_cast<std::uint16_t>(current_->free_number - bits_number(word.bits));
        word_ = word.bits;
        word_start_ = word.start;
        word_number_ = static_cast<std::uint32_t>(word.number);
        return true;
    }

    /// The current word goes back to its map, and its slab on a list.
    void retire_current() noexcept {
        SlabRecord* const slab_info = current_;
        if (slab_info == nullptr) return;
        flush_current();
        current_ = nullptr;
        slabs_.lists().add(*slab_info);
    }

    [[nodiscard]] Defect defect_of_current() noexcept {
        if (current_ == nullptr) return word_ == 0 ? Defect::None : Defect::CorruptedSlabInfo;
        const bool at_rest = !current_->linked() &&
                             (word_ & current_->map.word_at(word_number_)) == 0 &&
                             current_->list_max_free == never_moves;
        return at_rest ? slabs_.defect_of(*current_, this) : Defect::CorruptedSlabInfo;
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    [[nodiscard]] bool add() noexcept {
        if (most_slabs_ != 0 && slabs_number() >= most_slabs_) return false;
        if (!slabs_.add(owner())) return false;
        if (slabs_number() > peak_slabs_number_) peak_slabs_number_ = slabs_number();
        return true;
    }
    [[gnu::noinline]] void remove(SlabRecord& slab_info) noexcept {
        slabs_.remove(slab_info, owner(), [] {});
    }

    // ---- Objects with guards --------------------------------------------------------------------

    /// Any of those that have been in quarantine for long.
    void release_one() noexcept
        requires guarded
    {
        if (waiting_.none_ready()) waiting_.shuffle(slabs_.guards().secret().next());
        const std::byte* const object = waiting_.pop();
        static_cast<void>(free_slot(object, *slabs_.find(object)));
    }

    std::uint64_t word_ = 0;  // bit i: slot i from word_start_ on is free, and here [P1]
    std::byte* word_start_ = nullptr;
    SlabRecord* current_ = nullptr;
    std::uint32_t word_number_ = 0;
    std::uint16_t most_slabs_;
    std::uint8_t number_;
    Slabs slabs_;
    const void* heap_;
    [[no_unique_address]] Waiting waiting_;
    std::size_t peak_slabs_number_ = 0;
    std::size_t failures_number_ = 0;
};

}  // namespace slab_allocator

// heap_pages.hpp -- how a heap's memory gets its SlabInfo, and how an address leads to it.
//
//      any address --page--> map --> SlabInfo --owner--> ClassSlabs, or PageRuns
//
// SlabStore, for every size that a heap asks for: memory from the backend, a SlabInfo outside of
// it, and the map between them. All blocks are looked up alike, and the answer is good for any
// address.

namespace slab_allocator {

using PagesWanted = SlabRequest;

template <typename Backend, std::size_t page_size, bool checked>
class HeapPages {
    static constexpr Layout layout{.row = Row::LargeByMap, .page_size = page_size};
    using Store = SlabStore<layout, Backend, checked>;

public:
    constexpr HeapPages(Backend backend, const void* heap) noexcept
        : backend_(std::move(backend)), heap_(heap) {}

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const void* heap() const noexcept { return heap_; }

    /// The SlabInfo of the memory that has this page; nullptr where there is none.
    [[nodiscard]] static SlabInfo* find(auto& backend, const void* pointer) noexcept {
        return backend.get_slab_info_ptr(align_down(address_of(pointer), page_size));
    }

    /// Memory with a SlabInfo that knows its address and no more. nullptr: the backend refused, or
    /// its answer was, and everything is as before.
    [[nodiscard]] SlabInfo* take(const PagesWanted& wanted) noexcept {
        return Store::create(backend_, wanted, heap_);
    }

    /// Requires: what take() gave for the same `wanted`, at rest.
    void give(SlabInfo& slab_info, const PagesWanted& wanted) noexcept {
        Store::destroy(backend_, slab_info, wanted);
    }

    /// Does the map lead from each of these pages to the SlabInfo?
    [[nodiscard]] bool knows(const SlabRecord& slab_info, std::size_t known_pages) noexcept {
        return SlabLocator<layout, Backend>::knows(backend_, slab_info, known_pages);
    }

private:
    [[no_unique_address]] Backend backend_;
    const void* heap_;
};

}  // namespace slab_allocator

// heap_statistics.hpp -- what a heap tells of itself.
//
//      allocated   objects in slabs, by the size of their class; runs, by their pages
//      held        slabs and runs, and their SlabInfos

namespace slab_allocator {

struct HeapStatistics {
    std::size_t allocated_objects_number = 0;  ///< in slabs
    std::size_t allocated_bytes = 0;           ///< objects by the size of their class, and runs
    std::size_t runs_number = 0;
    std::size_t run_bytes = 0;
    std::size_t slabs_number = 0;
    std::size_t free_slabs_number = 0;  ///< that shrink_to_fit would give back
    std::size_t bytes_held = 0;
    std::size_t failures_number = 0;  ///< calls that gave nothing because the backend refused

    friend constexpr bool operator==(const HeapStatistics&,
                                     const HeapStatistics&) noexcept = default;
};

}  // namespace slab_allocator

// page_runs.hpp -- what is too large for a class: a run of pages for each request.
//
//      run      |<- whole pages, from the backend ->|      SlabInfo: elsewhere, on the list
//               '-- its first page leads to its SlabInfo
//
// A run is a slab with one object. Its SlabInfo has no slots to keep a map of, so the one word of
// the map says how many pages the run has, and `list` to which power of two it is aligned.
//
// Invariants
//   [R1] every run is live, and on the list; its owner is this.
//   [R2] before each call of the backend the list and the counters are in order.

namespace slab_allocator {

/// Makes a slab larger or smaller where it is. false: it cannot, and nothing has changed.
template <typename Backend>
concept ResizingBackend = requires(Backend& backend, void* slab, std::size_t bytes) {
    { backend.resize_slab(slab, bytes, bytes, bytes) } -> std::same_as<bool>;
};

template <typename Backend, HeapConfig Config>
class PageRuns {
    static_assert(!Config.backend_resizes || ResizingBackend<Backend>,
                  "HeapConfig: backend_resizes needs a backend with "
                  "bool resize_slab(slab, before, after, alignment)");

public:
    static constexpr std::size_t page_size = Config.page_size;
    /// More than any address space has; below it, sizes and alignments can be added.
    static constexpr std::size_t largest = ~std::size_t{0} / 4;
    using Pages = HeapPages<Backend, page_size, Config.checks != Checks::none>;

    constexpr explicit PageRuns(Pages pages) noexcept : pages_(std::move(pages)) {}
    PageRuns(const PageRuns&) = delete;  // its runs know its address
    PageRuns& operator=(const PageRuns&) = delete;

    /// Returns: nullptr where the backend refuses. Requires: alignment is a power of two.
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (size > largest || alignment > largest) return nullptr;
        const std::size_t pages = pages_for(size);
        if (alignment < page_size) alignment = page_size;
        SlabInfo* const run = pages_.take(wanted(pages, alignment));
        if (run == nullptr) return nullptr;
        remember(*run, pages);
        run->list = static_cast<std::uint8_t>(std::countr_zero(alignment));
        run->owner = this;
        runs_.push_front(*run);
        ++number_;
        bytes_ += pages * page_size;
        detail::Memcheck::allocated(run->slab, pages * page_size, false);
        return run->slab;
    }

    /// Requires: a run of this, of which `is_live` says yes.
    void free(SlabInfo& run) noexcept {
        run.unlink();
        --number_;
        bytes_ -= size_of(run);
        detail::Memcheck::freed(run.slab);
        detail::Memcheck::make_defined(run.slab, size_of(run));  // anybody may use it
        pages_.give(run, wanted(pages_of(run), std::size_t{1} << run.list));
    }

    /// As many pages as a request of `size` bytes has, where it is. Returns: false: the backend
    /// cannot, and nothing has changed. Requires: as free.
    [[nodiscard]] bool resize(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        if (size > largest) return false;
        const std::size_t before = size_of(run);
        const std::size_t pages = pages_for(size);
        const std::size_t after = pages * page_size;
        if (!pages_.backend().resize_slab(run.slab, before, after, std::size_t{1} << run.list))
            return false;
        remember(run, pages);
        bytes_ += after - before;  // wraps where it is less
        detail::Memcheck::resized(run.slab, before, after);
        return true;
    }

    void give_back_everything() noexcept {
        while (!runs_.empty())
            free(runs_.front());
    }

    /// Calls f(start) for every run.
    template <typename F>
    void for_each(F f) noexcept {
        for (const SlabInfo& run : runs_)
            f(run.slab);
    }

    [[nodiscard]] static bool is_live(const void* object, const SlabInfo& run) noexcept {
        return run.slab == object;
    }
    [[nodiscard]] static std::size_t size_of(const SlabInfo& run) noexcept {
        return pages_of(run) * page_size;
    }
    /// Would a request of `size` bytes have as many pages?
    [[nodiscard]] static bool fits(std::size_t size, const SlabInfo& run) noexcept {
        return size <= largest && pages_for(size) == pages_of(run);
    }

    /// The run that an address lies in; nullptr: none. Costs: O(runs).
    [[nodiscard]] SlabInfo* run_around(const void* address) noexcept {
        for (SlabInfo& run : runs_) {
            if (address_of(address) - address_of(run.slab) < size_of(run)) return &run;
        }
        return nullptr;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return pages_.backend(); }
    [[nodiscard]] std::size_t number() const noexcept { return number_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// The first run that is not as it must be, or Defect::None. Costs: O(runs).
    [[nodiscard]] DefectReport validate() noexcept {
        std::size_t number = 0;
        std::size_t bytes = 0;
        for (SlabInfo& run : runs_) {
            const bool sound = ++number <= number_ && run.consistent() && run.owner == this &&
                               is_aligned(run.slab, std::size_t{1} << run.list);
            if (!sound) return wrong(Defect::CorruptedSlabInfo, &run);
            if (!pages_.knows(run, 1)) return wrong(Defect::BackendLostSlab, &run);
            bytes += size_of(run);
        }
        if (number == number_ && bytes == bytes_) return {};
        return wrong(Defect::CorruptedSlabInfo, this);
    }

private:
    [[nodiscard]] static std::size_t pages_for(std::size_t size) noexcept {
        return divide_up(size == 0 ? 1 : size, page_size);
    }
    static void remember(SlabInfo& run, std::size_t pages) noexcept {
        run.map.fill(FreeMap::bits_per_word, 0, 0);
        run.map.take(0, ~std::uint64_t{pages}, 0);
    }
    [[nodiscard]] static PagesWanted wanted(std::size_t pages, std::size_t alignment) noexcept {
        return {.bytes = pages * page_size, .alignment = alignment, .known_pages = 1};
    }
    [[nodiscard]] static std::size_t pages_of(const SlabInfo& run) noexcept {
        return static_cast<std::size_t>(run.map.word_at(0));
    }
    [[nodiscard]] DefectReport wrong(Defect defect, const void* where) const noexcept {
        return {.defect = defect, .pointer = where, .cache = pages_.heap()};
    }

    Pages pages_;
    std::size_t number_ = 0;
    std::size_t bytes_ = 0;
    IntrusiveList<SlabInfo> runs_;
};

}  // namespace slab_allocator

// heap_blocks.hpp -- all that a heap gives memory from, and whose a block is.
//
//      SlabInfo --owner--> slabs[0] .. slabs[classes_number - 1], or runs, or somebody else's
//
// What Heap and MagazineHeap have in common. They differ in how their slabs call the backend, which
// is ClassBackend, and in who holds which lock meanwhile.
//
// Invariants
//   [B1] the owner of a SlabInfo is one of `slabs`, or &runs, or the SlabInfo is not of this heap.

namespace slab_allocator {

template <typename ClassBackend, HeapConfig Config, bool two_layouts = false>
class HeapBlocks {
public:
    using Pages = HeapPages<ClassBackend, Config.page_size, Config.checks != Checks::none>;
    using Slabs = ClassSlabs<ClassBackend, Config>;
    using Runs = PageRuns<ClassBackend, Config>;

    static constexpr std::size_t classes_number = size_classes::class_of(Config.largest_object) + 1;
    static_assert(classes_number <= 256, "a class knows its number by a byte");
    static constexpr std::size_t layouts_number = two_layouts ? 2 : 1;

    /// A block, and whether it is one.
    struct Found {
        SlabInfo* slab_info = nullptr;
        Slabs* slabs = nullptr;  ///< nullptr: a run, or no block of this heap
        bool live = false;

        /// Requires: live.
        [[nodiscard]] std::size_t size() const noexcept {
            return slabs != nullptr ? slabs->object_size() : Runs::size_of(*slab_info);
        }
    };

    /// Each class, and the runs, have a backend of their own, made of `reference`.
    template <typename Reference>
    constexpr HeapBlocks(Reference reference, const void* heap) noexcept
        : HeapBlocks(reference, heap, std::make_index_sequence<classes_number * layouts_number>{}) {
    }
    HeapBlocks(const HeapBlocks&) = delete;  // SlabInfos know its address
    HeapBlocks& operator=(const HeapBlocks&) = delete;

    // ---- Which one ------------------------------------------------------------------------------

    /// Is its owner one of the classes [B1]?
    [[nodiscard]] bool is_of_class(const SlabInfo& slab_info) const noexcept {
        return offset_of_owner(slab_info) < sizeof(slabs);
    }
    /// Requires: is_of_class(slab_info).
    [[nodiscard]] Slabs& class_of(const SlabInfo& slab_info) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(slabs));
        return *static_cast<Slabs*>(static_cast<void*>(first + offset_of_owner(slab_info)));
    }
    /// nullptr: there is no SlabInfo, or its owner is none of the classes.
    [[nodiscard]] Slabs* slabs_of(const SlabInfo* slab_info) noexcept {
        return slab_info != nullptr && is_of_class(*slab_info) ? &class_of(*slab_info) : nullptr;
    }

    /// `slab_info` is what the map answered for the block; nullptr: nothing. Is it live? That of a
    /// class is asked of is_live(class).
    template <typename F>
    [[nodiscard]] Found find(const void* block, SlabInfo* slab_info, F is_live) noexcept {
        if (slab_info == nullptr) return {};
        if (Slabs* const of = slabs_of(slab_info)) return {slab_info, of, is_live(*of)};
        return {slab_info, nullptr, slab_info->owner == &runs && runs.is_live(block, *slab_info)};
    }

    /// Would a request of `size` bytes be as large a block as this one?
    [[nodiscard]] bool is_as_large(const Found& found, std::size_t size) noexcept {
        if (size > size_classes::largest_request<Config>)
            return found.slabs == nullptr && Runs::fits(size, *found.slab_info);
        return found.slabs != nullptr &&
               found.slabs->number() == size_classes::ClassTable<Config>::class_of(size);
    }

    /// Is the block, if it is one of this heap, what such a request gives?
    [[nodiscard]] bool has_size(SlabInfo* slab_info, std::size_t size,
                                std::size_t alignment) noexcept {
        if (slab_info == nullptr || !is_power_of_two(alignment)) return false;
        Slabs* const of = slabs_of(slab_info);
        if (size_classes::is_for_class<Config>(size, alignment)) {
            const std::size_t rounded = size_classes::aligned_request<Config>(size, alignment);
            return of != nullptr &&
                   of->number() == size_classes::ClassTable<Config>::class_of(rounded);
        }
        return of == nullptr && slab_info->owner == &runs && Runs::fits(size, *slab_info);
    }

    // ---- All of them ----------------------------------------------------------------------------

    static void add(HeapStatistics& sum, Slabs& of) noexcept {
        const CacheStatistics of_class = of.statistics();
        sum.allocated_objects_number += of_class.allocated_objects_number;
        sum.allocated_bytes += of_class.allocated_objects_number * of.object_size();
        sum.slabs_number += of_class.slabs_number();
        sum.free_slabs_number += of_class.free_slabs_number;
        sum.bytes_held += of_class.bytes_held;
    }
    void add_runs(HeapStatistics& sum) const noexcept {
        sum.runs_number += runs.number();
        sum.run_bytes += runs.bytes();
        sum.allocated_bytes += runs.bytes();
        sum.bytes_held += runs.bytes() + runs.number() * sizeof(SlabInfo);
    }

    /// Blocks that are live are a Defect::Leak of `heap`.
    constexpr void give_back_everything(const void* heap) noexcept {
        std::size_t live = runs.number();
        for (Slabs& of : slabs) {
            of.flush();
            live += of.statistics().allocated_objects_number;
        }
        report_leaks<Config.checks>(live, heap, [&](auto report_one) {
            for (Slabs& of : slabs)
                of.for_each([&](const std::byte* block) { report_one(block, of.guards()); });
            runs.for_each(report_one);
        });
        for (Slabs& of : slabs)
            of.give_back_everything();
        runs.give_back_everything();
    }

    /// What is wrong with the free of a block that is not live.
    [[nodiscard]] DefectReport diagnose(const void* block, SlabInfo* slab_info,
                                        const void* heap) noexcept {
        DefectReport result{.defect = Defect::ForeignPointer, .pointer = block, .cache = heap};
        Slabs* const of = slabs_of(slab_info);
        if (of != nullptr) {
            of->diagnose(result, *slab_info);
        } else if (const SlabInfo* const run = runs.run_around(block)) {
            result.defect = Defect::InteriorPointer;
            result.slab = run->slab;
        } else if (slab_info != nullptr && slab_info->owner != nullptr) {
            result.defect = Defect::OtherCache;
        }
        return result;
    }

    /// With two layouts, first all classes with the small one, then all with the other.
    Slabs slabs[classes_number * layouts_number];
    Runs runs;

private:
    [[nodiscard]] std::size_t offset_of_owner(const SlabInfo& slab_info) const noexcept {
        return address_of(slab_info.owner) - address_of(slabs);
    }

    template <typename Reference, std::size_t... numbers>
    constexpr HeapBlocks(Reference reference, const void* heap,
                         std::index_sequence<numbers...>) noexcept
        : slabs{Slabs(numbers % classes_number, layout_at(numbers), most_slabs_at(numbers),
                      ClassBackend(reference), heap)...},
          runs(Pages(ClassBackend(reference), heap)) {}

    [[nodiscard]] static constexpr Layout layout_at(std::size_t index) noexcept {
        return size_classes::layout_of_class(index % classes_number, Config,
                                             Config.small_slabs && index < classes_number);
    }
    /// Of small slabs, where there are others: more would be births without end.
    [[nodiscard]] static constexpr std::uint16_t most_slabs_at(std::size_t index) noexcept {
        constexpr std::size_t most_bytes = std::size_t{64} * 1024;
        if (!two_layouts || index >= classes_number) return 0;
        return static_cast<std::uint16_t>(divide_up(most_bytes, layout_at(index).slab_size));
    }
};

}  // namespace slab_allocator

// heap_calls.hpp -- what every heap has that can alloc, free, and find a block: sizes, realloc.
//
//      free(p, size)     has it that size?  no: WrongSize, refused   yes: free(p)
//      realloc           find --> is as large, or can be? it stays : alloc, copy, free
//      usable_size       find --> of its class, or its pages
//
// No lock is held while contents are copied.

namespace slab_allocator {

/// A base class of Derived, which has alloc(size), free_found, alloc_run, resize_run,
/// look_up, find, refuse, its blocks_, and, where blocks have guards, take, put, slabs_with.
template <typename Derived, HeapConfig Config>
class HeapCalls {
public:
    /// Aligned. Returns: nullptr, too, where the alignment is no power of two.
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (!is_power_of_two(alignment)) return nullptr;
        if (size_classes::is_for_class<Config>(size, alignment)) [[likely]]
            return derived().alloc(size_classes::aligned_request<Config>(size, alignment));
        return derived().alloc_run(size, alignment);
    }

    /// The same for a caller who knows the size that was asked for: another size, that is not of
    /// the same class or number of pages, is a Defect::WrongSize, and refused.
    void free(void* block, std::size_t size) noexcept { free(block, size, 1); }
    void free(void* block, std::size_t size, std::size_t alignment) noexcept {
        SlabInfo* const slab_info = derived().look_up(block);
        if constexpr (Config.checks != Checks::none) {
            if (block != nullptr && !derived().blocks_.has_size(slab_info, size, alignment))
                [[unlikely]]
                return refuse_size(block);
        }
        derived().free_found(block, slab_info);
    }

    /// A block of another size with the same contents, as far as both go; where it is, if a block
    /// of that size would be as large. Returns: nullptr where the backend, or a Defect, stood in
    /// the way, and the old block is as before. An alignment of more than 16 is not kept.
    [[nodiscard]] void* realloc(void* block, std::size_t size) noexcept {
        if (block == nullptr) return derived().alloc(size);
        const auto found = derived().find(block);
        if (!found.live) [[unlikely]] {
            derived().refuse(block);
            return nullptr;
        }
        if (derived().blocks_.is_as_large(found, size)) return block;
        if constexpr (Config.backend_resizes) {
            const bool both_runs =
                found.slabs == nullptr && size > size_classes::largest_request<Config>;
            if (both_runs && derived().resize_run(*found.slab_info, size)) return block;
        }
        void* const other = derived().alloc(size);
        if (other == nullptr) return nullptr;
        const std::size_t before = found.size();
        __builtin_memcpy(other, block, before < size ? before : size);
        derived().free_found(block, found.slab_info);
        return other;
    }

    /// How many bytes of a live block may be used; 0 of anything else. Costs: O(1).
    [[nodiscard]] std::size_t usable_size(const void* block) noexcept {
        const auto found = derived().find(block);
        return found.live ? found.size() : 0;
    }

    /// Is it the start of a live block of this heap? Costs: O(1).
    [[nodiscard]] bool owns(const void* block) noexcept { return derived().find(block).live; }

    /// As Cache's.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        tag_.set(tag);
    }

private:
    friend Derived;
    constexpr HeapCalls() noexcept = default;

    // ---- Blocks with guards: levels hardened and debug ------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_guarded(std::size_t size) noexcept {
        const void* const by = caller_or(__builtin_return_address(0));
        if (size > size_classes::largest_request<Config>) return derived().alloc_run(size, 1);
        const std::size_t number = size_classes::ClassTable<Config>::class_of(size);
        for (;;) {
            void* const block = derived().take(number);
            if (block == nullptr || derived().slabs_with(block, number).make_live(block, by))
                return block;
            derived().put(block, number);
        }
    }

    [[gnu::noinline]] void free_guarded(void* block, SlabInfo& slab_info, auto& slabs) noexcept {
        const void* const by = caller_or(__builtin_return_address(0));
        if (!slabs.make_free(block, slab_info, by)) [[unlikely]]
            return derived().refuse(block);
        derived().put(block, slabs.number());
    }

    /// Who calls: level debug writes it down.
    [[nodiscard]] const void* caller_or(const void* return_address) noexcept {
        if constexpr (Config.cpus_know_caller) return derived().cpus_.caller();
        return tag_.or_else(return_address);
    }

    [[gnu::noinline, gnu::cold]] void refuse_size(void* block) noexcept {
        const auto found = derived().find(block);
        if (!found.live) return derived().refuse(block);
        report({.defect = Defect::WrongSize,
                .pointer = block,
                .cache = &derived(),
                .slab = found.slab_info->slab});
    }

    [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }

    [[no_unique_address]] Tag<Config.checks> tag_;
};

}  // namespace slab_allocator

// heap.hpp -- memory of any size: a kernel's kmalloc, a program's malloc.
//
//      alloc(size) --class_of--> ClassSlabs [0 .. 63] --lowest free slot-->
//                  '--larger---> PageRuns ----------------whole pages----->
//      free(p) --page--> map --> SlabInfo --owner--> the ClassSlabs, or the PageRuns, that it is of
//
// One look-up finds the SlabInfo of any block, small or large, and its owner is the very place that
// takes the block back. The backend is that of a Large cache: pages, SlabInfos, a map.
//
// Every block is aligned to 16 bytes, and to what alloc is asked for. A request of 0 bytes is one
// of 1. nullptr means that the backend refused, after the heap gave back what it could spare, and
// nothing has changed.
//
// Invariants
//   [H1] every check of a call stands before its first store.
//
// Not synchronised: one lock, or one thread, for all members; LockedHeap and MagazineHeap are for
// several. It is neither copied nor moved.

namespace slab_allocator {

template <typename Backend, HeapConfig Config = HeapConfig{}>
    requires(size_classes::check<Config>() && check_memory_backend<Backend, Row::LargeByMap>())
class Heap : public HeapCalls<Heap<Backend, Config>, Config> {
    using Calls = HeapCalls<Heap, Config>;
    friend Calls;
    static constexpr bool guarded = guards_objects(Config.checks);
    using Blocks = HeapBlocks<BackendRef<Backend>, Config>;
    using Slabs = typename Blocks::Slabs;
    using Found = typename Blocks::Found;

public:
    using backend_type = Backend;
    using Calls::alloc;  // aligned
    using Calls::free;   // of a known size

    static constexpr std::size_t classes_number = Blocks::classes_number;

    /// Effects: none outside of the heap; the backend is first called by the first alloc.
    constexpr Heap() noexcept
        requires std::default_initializable<Backend>
        : blocks_(BackendRef<Backend>(backend_), this) {}
    constexpr explicit Heap(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)), blocks_(BackendRef<Backend>(backend_), this) {}

    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    /// Gives everything back. Blocks that are live then are a Defect::Leak, with their number.
    constexpr ~Heap()
        requires(!Config.never_destroyed)
    {
        blocks_.give_back_everything(this);
    }
    constexpr ~Heap()
        requires(Config.never_destroyed)
    = default;

    // ---- One block ------------------------------------------------------------------------------

    /// Returns: uninitialised memory, or nullptr. Costs: O(1).
    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        if constexpr (guarded) return Calls::alloc_guarded(size);
        if (size > Config.largest_object) [[unlikely]]
            return alloc_run(size, 1);
        return take(size_classes::ClassTable<Config>::class_of(size));
    }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), one question to the map.
    void free(void* block) noexcept { free_found(block, look_up(block)); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Costs: O(slabs).
    [[nodiscard]] HeapStatistics statistics() noexcept {
        HeapStatistics result{.failures_number = failures_number_};
        for (Slabs& slabs : blocks_.slabs)
            Blocks::add(result, slabs);
        blocks_.add_runs(result);
        return result;
    }

    /// What a class came to. Requires: number < classes_number.
    [[nodiscard]] CacheStatistics class_statistics(std::size_t number) noexcept {
        return blocks_.slabs[number].statistics();
    }
    [[nodiscard]] static constexpr Layout class_layout(std::size_t number) noexcept {
        return size_classes::layout_of_class(number, Config);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept {
        for (Slabs& slabs : blocks_.slabs) {
            const DefectReport wrong = slabs.validate(true);
            if (wrong.defect != Defect::None) return wrong;
        }
        return blocks_.runs.validate();
    }

    /// Gives all Free slabs back. Returns: how many. Costs: O(classes + slabs given back).
    std::size_t shrink_to_fit() noexcept {
        std::size_t given = 0;
        for (Slabs& slabs : blocks_.slabs)
            given += slabs.shrink_to_fit();
        return given;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return backend_; }

private:
    [[nodiscard]] SlabInfo* look_up(const void* block) noexcept {
        return Blocks::Pages::find(backend_, block);
    }
    [[nodiscard]] Found find(const void* block) noexcept {
        SlabInfo* const slab_info = look_up(block);
        return blocks_.find(block, slab_info,
                            [&](Slabs& slabs) { return slabs.is_live(block, *slab_info); });
    }

    /// `slab_info` is what the map answers for the block.
    void free_found(void* block, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) [[unlikely]]
            return refuse(block);
        if (!blocks_.is_of_class(*slab_info)) [[unlikely]]
            return free_run(block, *slab_info);
        Slabs& slabs = blocks_.class_of(*slab_info);
        if constexpr (guarded) return Calls::free_guarded(block, *slab_info, slabs);
        if (!slabs.free(block, *slab_info)) [[unlikely]]
            refuse(block);
    }

    /// A block of a class.
    [[nodiscard]] void* take(std::size_t number) noexcept {
        if (void* const block = blocks_.slabs[number].alloc(); block != nullptr) [[likely]]
            return block;
        return alloc_again(number);
    }
    /// One with the guards of a free one goes back to its class.
    void put(void* block, std::size_t number) noexcept
        requires guarded
    {
        blocks_.slabs[number].quarantine(bytes_of(block));
    }
    [[nodiscard]] Slabs& slabs_with(const void*, std::size_t number) noexcept {
        return blocks_.slabs[number];
    }

    // ---- Slow paths -----------------------------------------------------------------------------

    /// Where the backend refused, after all that can be spared went back to it.
    [[nodiscard, gnu::noinline, gnu::cold]] void* alloc_again(std::size_t number) noexcept {
        void* const block = shrink_to_fit() != 0 ? blocks_.slabs[number].alloc() : nullptr;
        if (block == nullptr) ++failures_number_;
        return block;
    }

    [[nodiscard, gnu::noinline]] void* alloc_run(std::size_t size, std::size_t alignment) noexcept {
        void* run = blocks_.runs.alloc(size, alignment);
        if (run == nullptr && shrink_to_fit() != 0) run = blocks_.runs.alloc(size, alignment);
        if (run == nullptr) ++failures_number_;
        return run;
    }

    [[nodiscard]] bool resize_run(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        return blocks_.runs.resize(run, size);
    }
    [[gnu::noinline]] void free_run(void* block, SlabInfo& slab_info) noexcept {
        if (slab_info.owner != &blocks_.runs || !blocks_.runs.is_live(block, slab_info))
            [[unlikely]]
            return refuse(block);
        blocks_.runs.free(slab_info);
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// Nothing has been written yet, and nothing is [H1]. nullptr is no defect.
    [[gnu::noinline, gnu::cold]] void refuse(void* block) noexcept {
        if (block != nullptr) report(blocks_.diagnose(block, look_up(block), this));
    }

    Backend backend_{};
    std::size_t failures_number_ = 0;
    Blocks blocks_;
};

}  // namespace slab_allocator

// lock.hpp -- what a lock must do, and holding or leaving it for a scope.
//
//      LockGuard guard(lock);        ... | locked ...... | ...
//      UnlockGuard guard(lock);      locked ... | unlocked ...... | locked ...
//
// The standard's names without <mutex>, which kernels do not have.

namespace slab_allocator {

/// The standard's BasicLockable: std::mutex is one, and a kernel's spin lock in two lines.
template <typename Lock>
concept BasicLockable = requires(Lock& lock) {
    lock.lock();
    lock.unlock();
};

template <BasicLockable Lock>
class [[nodiscard]] LockGuard {
public:
    explicit LockGuard(Lock& lock) noexcept : lock_(lock) { lock_.lock(); }
    LockGuard(const LockGuard&) = delete;
    LockGuard& operator=(const LockGuard&) = delete;
    ~LockGuard() { lock_.unlock(); }

private:
    Lock& lock_;
};

/// Requires: the lock is held.
template <BasicLockable Lock>
class [[nodiscard]] UnlockGuard {
public:
    explicit UnlockGuard(Lock& lock) noexcept : lock_(lock) { lock_.unlock(); }
    UnlockGuard(const UnlockGuard&) = delete;
    UnlockGuard& operator=(const UnlockGuard&) = delete;
    ~UnlockGuard() { lock_.lock(); }

private:
    Lock& lock_;
};

}  // namespace slab_allocator

// forwarding_backend.hpp -- the functions of a backend, passed on to another one.
//
//      cache --alloc_slab--> Derived: | something | backend.alloc_slab | something |
//
// Who stands in front of a backend says what happens around a call, once for all functions:
//
//      around(call)     call(backend), with whatever Derived does before and after it
//      look_up(call)    the same for the two look-ups, which stand in the middle of each free
//
// Derived has just the functions that Backend has, with the answers that they have there: the
// backend concept sees through it, and what is missing or misspelt stays so.

namespace slab_allocator {

/// A base class of Derived.
template <typename Derived, typename Backend>
class ForwardingBackend {
public:
    using backend_type = Backend;

    [[nodiscard]] decltype(auto) alloc_slab(std::size_t slab_size,
                                            std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.alloc_slab(slab_size, slab_alignment); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.alloc_slab(slab_size, slab_alignment);
        });
    }

    decltype(auto) free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) { backend.free_slab(slab, slab_size, slab_alignment); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.free_slab(slab, slab_size, slab_alignment);
        });
    }

    [[nodiscard]] decltype(auto) resize_slab(void* slab, std::size_t before, std::size_t after,
                                             std::size_t slab_alignment) noexcept
        requires requires(Backend& backend) {
            backend.resize_slab(slab, before, after, slab_alignment);
        }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.resize_slab(slab, before, after, slab_alignment);
        });
    }

    [[nodiscard]] decltype(auto) alloc_slab_info() noexcept
        requires requires(Backend& backend) { backend.alloc_slab_info(); }
    {
        return derived().around(
            [](Backend& backend) -> decltype(auto) { return backend.alloc_slab_info(); });
    }

    decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.free_slab_info(slab_info); }
    {
        return derived().around(
            [&](Backend& backend) -> decltype(auto) { return backend.free_slab_info(slab_info); });
    }

    decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept
        requires requires(Backend& backend) { backend.save_slab_info_ptr(page_addr, slab_info); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.save_slab_info_ptr(page_addr, slab_info);
        });
    }

    decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.delete_slab_info_ptr(page_addr); }
    {
        return derived().around([&](Backend& backend) -> decltype(auto) {
            return backend.delete_slab_info_ptr(page_addr);
        });
    }

    [[nodiscard]] decltype(auto) secret() noexcept
        requires requires(Backend& backend) { backend.secret(); }
    {
        return derived().around(
            [](Backend& backend) -> decltype(auto) { return backend.secret(); });
    }

    // ---- The look-ups ---------------------------------------------------------------------------

    [[nodiscard]] decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.get_slab_info_ptr(page_addr); }
    {
        return derived().look_up([&](Backend& backend) -> decltype(auto) {
            return backend.get_slab_info_ptr(page_addr);
        });
    }

    [[nodiscard]] decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Backend& backend) { backend.slab_info_at(page_addr); }
    {
        return derived().look_up(
            [&](Backend& backend) -> decltype(auto) { return backend.slab_info_at(page_addr); });
    }

private:
    friend Derived;
    constexpr ForwardingBackend() noexcept = default;

    [[nodiscard]] constexpr Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

}  // namespace slab_allocator

// unlocking_backend.hpp -- a lock, and a backend that is called with it released.
//
//      cache, locked --alloc_slab--> unlock | backend.alloc_slab | lock --> cache, locked
//      cache, locked --get_slab_info_ptr--> backend.get_slab_info_ptr ----> cache, locked
//
// A cache calls its backend on slow paths only, with every list in order before the call, and looks
// at them again after it ([I1], slab_set.hpp). So others may have the cache meanwhile: the backend
// itself, which may call the cache that calls it, and other threads. The two look-ups stand in the
// middle of each free, and are as fast as they must be; the lock stays locked around them.
//
// Invariants
//   [U1] a function but the look-ups is called with the lock released, and returns with it held
//   [U2] from no_longer_shared() on, the lock is not touched: the last thread takes the cache apart

namespace slab_allocator {

/// Has the functions that Backend has. A move takes the backend along, not the lock.
template <typename Backend, BasicLockable Lock>
class UnlockingBackend : public ForwardingBackend<UnlockingBackend<Backend, Lock>, Backend> {
    static_assert(bears_threads<Backend>,
                  "several threads call this backend at once, with no lock of the cache or heap "
                  "held, and it bears one: take LockedBackend<Backend, Lock>");

public:
    constexpr UnlockingBackend() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit UnlockingBackend(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}
    constexpr UnlockingBackend(UnlockingBackend&& other) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(other.backend_)) {}

    [[nodiscard]] constexpr Backend& get() noexcept { return backend_; }
    [[nodiscard]] constexpr const Backend& get() const noexcept { return backend_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return lock_; }

    /// For the destructor of what was locked [U2].
    constexpr void no_longer_shared() noexcept { shared_ = false; }

private:
    friend ForwardingBackend<UnlockingBackend, Backend>;

    template <typename Call>
    decltype(auto) around(Call call) noexcept {
        if (!shared_) return call(backend_);   // [U2]
        const UnlockGuard<Lock> guard(lock_);  // [U1]
        return call(backend_);
    }
    template <typename Call>
    decltype(auto) look_up(Call call) noexcept {
        return call(backend_);
    }

    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
    bool shared_ = true;
};

}  // namespace slab_allocator

// locked_heap.hpp -- a Heap and a lock: for several threads, one call at a time.
//
//      thread --> | lock | Heap ............... | unlock |
//                          '--alloc_slab--> unlock | backend | lock
//
// As LockedCache: every member takes the lock for as long as it runs; the backend is called with it
// released, but for its look-up, so it may sleep and call this heap, and several threads may be in
// it at once. The defect handler runs under the lock and must not call this heap.

namespace slab_allocator {

template <typename Backend, BasicLockable Lock, HeapConfig Config = HeapConfig{}>
class LockedHeap {
public:
    using backend_type = Backend;
    using lock_type = Lock;
    using heap_type = Heap<UnlockingBackend<Backend, Lock>, Config>;

    constexpr LockedHeap() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedHeap(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : heap_(UnlockingBackend<Backend, Lock>(std::move(backend))) {}

    LockedHeap(const LockedHeap&) = delete;
    LockedHeap& operator=(const LockedHeap&) = delete;

    /// As Heap's. Requires: no other thread is in a call, or will be. The lock is not taken.
    constexpr ~LockedHeap()
        requires(!Config.never_destroyed)
    {
        heap_.backend().no_longer_shared();
    }
    constexpr ~LockedHeap()
        requires(Config.never_destroyed)
    = default;

    // ---- As Heap's, with the same costs and a lock ----------------------------------------------

    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.alloc(size);
    }
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.alloc(size, alignment);
    }
    void free(void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block);
    }
    void free(void* block, std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block, size);
    }
    void free(void* block, std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(lock());
        heap_.free(block, size, alignment);
    }
    /// The lock is held while the contents are copied.
    [[nodiscard]] void* realloc(void* block, std::size_t size) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.realloc(block, size);
    }
    [[nodiscard]] std::size_t usable_size(const void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.usable_size(block);
    }
    [[nodiscard]] bool owns(const void* block) noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.owns(block);
    }
    [[nodiscard]] HeapStatistics statistics() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.statistics();
    }
    [[nodiscard]] DefectReport validate() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.validate();
    }
    std::size_t shrink_to_fit() noexcept {
        const LockGuard<Lock> guard(lock());
        return heap_.shrink_to_fit();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return heap_.backend().get(); }
    /// What it locks, for callers that hold the lock.
    [[nodiscard]] constexpr heap_type& heap() noexcept { return heap_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return heap_.backend().lock(); }

private:
    heap_type heap_;
};

}  // namespace slab_allocator

// atomics.hpp -- every access to memory that CPUs share without a lock, in one place.
//
//      CpuSlot, Depot, Token, SlotNumbers --> Atomics::load_acquire(word) --> the machine
//                                                      |
//                                                      '--> a scheduler that tries every order
//
// The machine's are the compiler's builtins, since kernels have no <atomic>. A policy, so that a
// test can put itself in their place, run the code as it is, and decide after each of them which
// CPU is next, and whether the others see a store already (tests/interleavings).

namespace slab_allocator {

struct BuiltinAtomics {
    template <typename T>
    [[nodiscard]] static T load_relaxed(const T& word) noexcept {
        return __atomic_load_n(&word, __ATOMIC_RELAXED);
    }
    template <typename T>
    [[nodiscard]] static T load_acquire(const T& word) noexcept {
        return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
    }
    template <typename T>
    static void store_relaxed(T& word, T value) noexcept {
        __atomic_store_n(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static void store_release(T& word, T value) noexcept {
        __atomic_store_n(&word, value, __ATOMIC_RELEASE);
    }

    // ---- Read, modify and write: all return what was there --------------------------------------

    /// A full barrier, too.
    template <typename T>
    static T exchange(T& word, T value) noexcept {
        return __atomic_exchange_n(&word, value, __ATOMIC_SEQ_CST);
    }
    template <typename T>
    static T fetch_add_relaxed(T& word, T value) noexcept {
        return __atomic_fetch_add(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static T fetch_sub_relaxed(T& word, T value) noexcept {
        return __atomic_fetch_sub(&word, value, __ATOMIC_RELAXED);
    }
    template <typename T>
    static T fetch_and_release(T& word, T value) noexcept {
        return __atomic_fetch_and(&word, value, __ATOMIC_RELEASE);
    }
    /// Returns: whether `expected` was there and `value` is; else `expected` is what is there.
    template <typename T>
    [[nodiscard]] static bool compare_exchange_acquire(T& word, T& expected, T value) noexcept {
        return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED);
    }

    /// The same for a word that leads to what the caller made: whoever reads it sees that whole.
    template <typename T>
    [[nodiscard]] static bool compare_exchange_publishing(T& word, T& expected, T value) noexcept {
        return __atomic_compare_exchange_n(&word, &expected, value, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_ACQUIRE);
    }

    // ---- What costs no instruction --------------------------------------------------------------

    /// The compiler moves no access over this. What another CPU sees, a barrier there decides.
    static void compiler_fence() noexcept { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

    /// The caller is about to use what belongs to it alone, or to who holds its lock. For a test
    /// that knows who did so before, and whether it could know.
    static void touch(const void*) noexcept {}

    /// The caller is about to read, or to write, a word that is its own, but for a mistake of the
    /// user's (a second free).
    static void look_at(const void*) noexcept {}
    static void change(const void*) noexcept {}
};

}  // namespace slab_allocator

// cpu_stack.hpp -- a stack of objects that is one CPU's alone, until another claims it.
//
//      | gone | . | . | . |       |      alloc pops, free pushes
//             ^floor       ^top   ^limit
//
//      pop        top = t - 1 ; t > floor?   yes: the object at t - 1 is mine   no: top = t
//      push       t < limit?                 yes: object to t ; top = t + 1     no: go elsewhere
//      claimer    claim ; floor = highest, limit = 0 ; barrier on all CPUs ; what is there is mine
//
// A pop that saw the old floor stored its top before the barrier, so the claimer sees it; one that
// stores its top later sees the new floor. That is how the owner of a stack and its thieves agree
// in Cilk-5 (Frigo, Leiserson and Randall 1998), with the fence on the thief's side only: a CPU
// pays for no atomic read-modify-write, for no fence, and for no store but those of any stack.
//
// Where it starts and ends while it is open, whoever opens it says: the slot of a cache
// (cpu_slot.hpp), or the front of a heap (heap_front.hpp).
//
// Invariants
//   [V1] claimed, or nobody's: floor_ is the highest address and limit_ the lowest
//   [V2] else they are two places of the stack's memory, or limit_ is the lowest
//   [V3] top_ is the CPU's: to a claimer from outside it may look one lower than it is, when a pop
//        is about to fail

namespace slab_allocator {

/// Who has claimed a stack.
enum class Claim : unsigned char {
    nobodys,
    owners,    ///< its CPU's, for a few instructions and a visit to what lies behind it
    outsiders  ///< of one who empties it
};

template <typename Object, typename Atomics = BuiltinAtomics>
class CpuStack {
public:
    using Pointer = Object*;

    constexpr CpuStack() noexcept = default;
    CpuStack(const CpuStack&) = delete;
    CpuStack& operator=(const CpuStack&) = delete;

    // ---- The hot path: by the CPU whose stack it is ---------------------------------------------

    /// false: there is none, or the stack is closed.
    [[nodiscard]] bool pop(Object*& object) noexcept {
        const Address top = Atomics::load_relaxed(top_);
        Atomics::store_relaxed(top_, top - sizeof(Object*));
        Atomics::compiler_fence();  // the claimer's barrier does the rest
        if (top <= Atomics::load_acquire(floor_)) [[unlikely]] {
            Atomics::store_relaxed(top_, top);
            return false;
        }
        touch(place(top) - 1);
        object = place(top)[-1];
        return true;
    }

    /// false: there is no room, or the stack is closed.
    [[nodiscard]] bool push(Object* object) noexcept {
        const Address top = Atomics::load_relaxed(top_);
        if (top >= Atomics::load_acquire(limit_)) [[unlikely]]
            return false;
        touch(place(top));
        *place(top) = object;
        Atomics::store_release(top_, top + sizeof(Object*));
        return true;
    }

    // ---- Claiming -------------------------------------------------------------------------------

    /// From now on nobody pops or pushes who was not about to. Returns: false: it is claimed.
    [[nodiscard]] bool claim(Claim by) noexcept {
        auto expected = number(Claim::nobodys);
        if (!Atomics::compare_exchange_acquire(claim_, expected, number(by))) return false;
        Atomics::store_relaxed(floor_, highest);  // [V1]
        Atomics::store_relaxed(limit_, lowest);
        return true;
    }
    [[nodiscard]] Claim claimed() const noexcept {
        return static_cast<Claim>(Atomics::load_relaxed(claim_));
    }

    /// Before anybody knows of it: it is nobody's, and closed for ever.
    constexpr void close() noexcept {  // [V1]
        floor_ = highest;
        limit_ = lowest;
    }

protected:
    // Compared as numbers: the places of a stack, and what is above and below them all.
    using Address = std::uintptr_t;
    static constexpr Address lowest = 0;
    static constexpr Address highest = ~lowest;
    // Where a stack without memory has its top: a pop that is about to fail can be one lower.
    static constexpr Address nowhere = sizeof(Object*);

    [[nodiscard]] static Address address(Object** place) noexcept {
        return address_of(static_cast<const void*>(place));
    }
    [[nodiscard]] static Object** place(Address address) noexcept {
        return pointer_to<Object*>(address);
    }

    /// Ends a claim.
    void open(Address start, Address end) noexcept {
        Atomics::store_release(floor_, start);  // [V2]
        Atomics::store_release(limit_, end);
        Atomics::store_release(claim_, number(Claim::nobodys));
    }

    /// From `start` on, but one that a call under way may have or bring. Requires: claimed, and a
    /// barrier on all CPUs since then.
    [[nodiscard]] std::span<Object*> objects_from(Address start) const noexcept {
        const Address top = Atomics::load_acquire(top_);
        if (top <= start) return {};
        for (Address each = start; each < top; each += sizeof(Object*))
            touch(place(each));
        return {place(start), static_cast<std::size_t>(place(top) - place(start))};
    }

    /// Requires: claimed, and no call is under way.
    void set_top(Address top) noexcept { Atomics::store_relaxed(top_, top); }

private:
    [[nodiscard]] static unsigned char number(Claim claim) noexcept {
        return static_cast<unsigned char>(claim);
    }
    static void touch(Object** place) noexcept { Atomics::touch(static_cast<const void*>(place)); }

    Address top_ = nowhere;  // these three first, in this order: assembly reads them (rseq.hpp)
    Address floor_ = nowhere;
    Address limit_ = lowest;
    unsigned char claim_ = 0;  // a Claim
};

}  // namespace slab_allocator

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

// cpu_slot.hpp -- one CPU's two magazines: the hot path's whole world.
//
//      loaded     | gone | . | . | . |       |      a CpuStack: alloc pops, free pushes
//                        ^start       ^top    ^limit      open: floor == start
//      previous   | . | . |                   empty or full, for the moment when loaded is
//
// Two magazines, so that a CPU at the border of one does not visit the depot in each call: after a
// visit both a whole magazine of allocs and one of frees are served (Bonwick and Adams 2001).
//
// Invariants
//   [V4] open, the stack is from start_ to end_: two places of loaded_, or end_ is the lowest
//   [V5] what is here and not in the stack is the claimer's

namespace slab_allocator {

/// A policy that remembers where a slot is in the array of slots, in bytes, spares the hot path the
/// multiplication. Alone in its cache lines, and in their neighbours that are prefetched with them.
constexpr std::size_t cpu_slot_size = 128;

template <typename Object, typename Atomics = BuiltinAtomics>
class alignas(cpu_slot_size) CpuSlot : public CpuStack<Object, Atomics> {
    using Stack = CpuStack<Object, Atomics>;

public:
    constexpr CpuSlot() noexcept = default;

    [[nodiscard]] static CpuSlot& at(CpuSlot* slots, std::size_t offset) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(slots));
        return *static_cast<CpuSlot*>(static_cast<void*>(first + offset));
    }

    /// Ends a claim.
    void open() noexcept { Stack::open(start_, end_); }  // [V4]

    /// In the child of a fork, by the only thread: as a new slot. What it had is lost.
    void start_over() noexcept {
        start_ = Stack::nowhere;
        end_ = Stack::lowest;
        loaded_ = nullptr;
        previous_ = nullptr;
        Stack::set_top(start_);
        open();
    }

    // ---- Requires: claimed, and a barrier on all CPUs since then --------------------------------

    /// The objects that are loaded, but one that a call under way may have or bring.
    [[nodiscard]] std::span<Object*> objects() const noexcept {
        Atomics::touch(&start_);
        return Stack::objects_from(start_);
    }
    /// What objects() returned is somewhere else now.
    void forget(std::span<Object*> objects) noexcept { start_ += objects.size_bytes(); }

    [[nodiscard]] Magazine<Object>* take_previous() noexcept {
        Atomics::touch(&start_);
        Magazine<Object>* const magazine = previous_;
        previous_ = nullptr;
        return magazine;
    }

    // ---- Requires: claimed, and no call is under way --------------------------------------------

    /// The loaded magazine comes to rest [M2].
    void put_down() noexcept {
        if (loaded_ == nullptr) return;
        const std::span<Object*> objects = this->objects();
        loaded_->keep(objects);
        forget(objects);
    }
    /// What is at rest becomes loaded, with room up to `rounds`.
    void take_up(std::size_t rounds) noexcept {
        if (loaded_ == nullptr) return;
        Object** const bottom = loaded_->bottom();
        start_ = Stack::address(bottom);
        end_ = Stack::address(bottom + rounds);
        Stack::set_top(Stack::address(bottom + loaded_->number));
    }

    // ---- Requires: and put down -----------------------------------------------------------------

    [[nodiscard]] Magazine<Object>* loaded() const noexcept { return loaded_; }
    [[nodiscard]] Magazine<Object>* previous() const noexcept { return previous_; }

    /// previous becomes loaded, and loaded previous.
    void exchange() noexcept { rotate(previous_); }
    /// `magazine` becomes loaded, and loaded previous. What was previous is the caller's.
    void rotate(Magazine<Object>* magazine) noexcept {
        previous_ = loaded_;
        loaded_ = magazine;
    }

    /// Both magazines, full or empty. The slot has none then.
    void take_all(MagazineStack<Object, Atomics>& to) noexcept {
        if (loaded_ != nullptr) to.push(*loaded_);
        loaded_ = nullptr;
        end_ = Stack::lowest;
        if (Magazine<Object>* const magazine = take_previous()) to.push(*magazine);
    }

private:
    using Address = typename Stack::Address;

    Address start_ = Stack::nowhere;
    Address end_ = Stack::lowest;
    Magazine<Object>* loaded_ = nullptr;
    Magazine<Object>* previous_ = nullptr;
};

}  // namespace slab_allocator

// cpus.hpp -- which slot is mine, and how it stays mine for the length of a pop: the policies.
//
//      pop, push                     alloc and free, while a magazine serves
//      hold ... let_go               slow paths of the slot's own CPU: it has claimed it
//      slot.claim, synchronise       from outside, to empty it
//
//      PinnedCpus     enter ... leave: nobody else enters this slot in between     | kernels,
//                     { pop of the slot's own }                                    | threads
//
// A policy keeps apart those who work in a slot at the same time, because they run on the same CPU
// or are the same thread. One who comes from outside is kept apart by the slot (cpu_slot.hpp).

namespace slab_allocator {

/// What one may have of a slot that one has claimed from outside.
enum class Reach : unsigned char {
    own,       ///< nothing: only one's own slot is in reach
    objects,   ///< what objects() finds, and the previous magazine
    magazines  ///< the loaded magazine, too: no pop and no push is under way that writes, and none
               ///< that begins now does; PinnedCpus' pop does, before it looks
};

template <typename Slot, typename Pin>
struct HeldSlot {
    Slot* slot;
    Pin pin;
};

/// pop and push stand in each alloc and free. The others are for slow paths.
template <typename Cpus>
concept CpuPolicy = requires(Cpus& cpus, CpuSlot<std::byte>* slots, std::byte*& object) {
    /// How many slots there are. Behind them lies one more, closed: that of callers without one.
    { Cpus::slots_number } -> std::convertible_to<std::size_t>;
    /// Of the caller's slot. false: it could not.
    { cpus.pop(slots, object) } -> std::same_as<bool>;
    { cpus.push(slots, object) } -> std::same_as<bool>;
    /// The caller's slot, claimed, and no pop or push of it under way; nullptr: it has none, or it
    /// is claimed by somebody else. When the claim has ended, let_go.
    { cpus.hold(slots).slot } -> std::convertible_to<CpuSlot<std::byte>*>;
    cpus.let_go(cpus.hold(slots));
    /// A caller without a slot may get one here. Called with no slot held and no lock.
    { cpus.join() } -> std::same_as<void>;
    /// A memory barrier on all CPUs: what this caller stored before is seen by whatever pop or push
    /// comes after it, and what those before it stored, by this caller. Called with no lock.
    { cpus.synchronise() } -> std::same_as<Reach>;
    /// Somebody holds the slot that this caller waits for.
    { cpus.wait() } -> std::same_as<void>;
    /// The process is the child of a fork, and this caller its only thread.
    { cpus.after_fork_in_child() } -> std::same_as<void>;
};

/// The base class of a policy by whose enter() the caller is alone in a slot until leave(), at
/// Pin::offset in the array of slots.
template <typename Derived>
// NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility): policies are aggregates
class PinnedCpus {
public:
    template <typename Slot>
    [[nodiscard]] bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        const auto pin = derived().enter();
        const bool done = Slot::at(slots, pin.offset).pop(object);
        derived().leave(pin);
        return done;
    }

    template <typename Slot>
    [[nodiscard]] bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        const auto pin = derived().enter();
        const bool done = Slot::at(slots, pin.offset).push(object);
        derived().leave(pin);
        return done;
    }

    template <typename Slot>
    [[nodiscard]] auto hold(Slot* slots) noexcept {
        const auto pin = derived().enter();
        Slot* slot = nullptr;
        if (pin.offset != Derived::slots_number * cpu_slot_size) {
            slot = &Slot::at(slots, pin.offset);
            if (!slot->claim(Claim::owners)) slot = nullptr;
        }
        return HeldSlot<Slot, std::remove_const_t<decltype(pin)>>{slot, pin};
    }
    template <typename Held>
    void let_go(const Held& held) noexcept {
        derived().leave(held.pin);
    }

    void after_fork_in_child() noexcept {}  // for policies that know of no thread

private:
    [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

/// What a kernel knows of its CPUs. pin() makes the caller stay on its CPU, alone: preemption off,
/// and interrupts, too, where their handlers allocate; what it returns goes back to unpin().
/// barrier_on_all_cpus() is an inter-processor interrupt and the wait for its answers; false where
/// there is none. relax() is the pause of a spin loop.
template <typename Machine>
concept CpuMachine = requires(Machine& machine) {
    machine.unpin(machine.pin());
    { machine.cpu_index() } -> std::convertible_to<std::size_t>;
    { machine.barrier_on_all_cpus() } -> std::same_as<bool>;
    { machine.relax() } -> std::same_as<void>;
};

/// The policy for a kernel: one slot per CPU, held by what the machine's pin() does. A CPU whose
/// index is beyond the slots has none.
template <CpuMachine Machine, std::size_t cpus_number>
class KernelCpus : public PinnedCpus<KernelCpus<Machine, cpus_number>> {
public:
    static constexpr std::size_t slots_number = cpus_number;

    struct Pin {
        decltype(std::declval<Machine&>().pin()) before;
        std::size_t offset;
    };

    constexpr KernelCpus() noexcept = default;
    constexpr explicit KernelCpus(Machine machine) noexcept : machine_(machine) {}

    [[nodiscard]] Pin enter() noexcept {
        auto before = machine_.pin();
        const std::size_t index = machine_.cpu_index();
        return {before, (index < slots_number ? index : slots_number) * cpu_slot_size};
    }
    void leave(const Pin& pin) noexcept { machine_.unpin(pin.before); }
    void join() noexcept {}
    [[nodiscard]] Reach synchronise() noexcept {
        return machine_.barrier_on_all_cpus() ? Reach::objects : Reach::own;
    }
    void wait() noexcept { machine_.relax(); }

private:
    [[no_unique_address]] Machine machine_{};
};

}  // namespace slab_allocator

// locked_cache.hpp -- a Cache and a lock: for several threads, one call at a time.
//
//      thread --.                                      .--> cache.backend().lock()
//      thread --+--> | lock | Cache ............ | unlock |
//      thread --'             '--alloc_slab--> unlock | backend | lock
//
// Who holds what
//   - Every member but the sizes and backend() takes the lock for as long as it runs, and holds no
//     other lock of the library.
//   - The backend is called with the lock released, but for its look-ups, get_slab_info_ptr and
//     slab_info_at. So it may sleep, take locks, and call this cache; and several threads may be in
//     it at the same time, the look-ups beside a save or a delete of other pages. A backend that
//     cannot bear that is put into a LockedBackend.
//   - The defect handler and the function given to for_each run under the lock, and must not call
//     this cache. Constructors and destructors of T run without it.
//
// While one call waits for the backend, others go on. So two threads that find the cache empty may
// each take a slab; what is more than retained_free_slabs of them goes back in a later free.
//
// Invariants
//   [O1] cache_ is touched with the lock held, or by its constructor or destructor alone

namespace slab_allocator {

template <typename T, typename Backend, BasicLockable Lock, CacheConfig Config = CacheConfig{}>
class LockedCache
    : public ObjectCalls<LockedCache<T, Backend, Lock, Config>, T, Config.checks != Checks::none> {
public:
    using value_type = T;
    using backend_type = Backend;
    using lock_type = Lock;
    /// What it locks: a cache whose backend is Backend, called without the lock.
    using cache_type = Cache<T, UnlockingBackend<Backend, Lock>, Config>;

    /// Effects: none outside of the cache.
    constexpr LockedCache() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedCache(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : cache_(UnlockingBackend<Backend, Lock>(std::move(backend))) {}

    LockedCache(const LockedCache&) = delete;  // its slabs know its address: pass it by reference
    LockedCache& operator=(const LockedCache&) = delete;

    /// As Cache's. Requires: no other thread is in a call, or will be. The lock is not taken.
    constexpr ~LockedCache()
        requires(!Config.never_destroyed)
    {
        cache_.backend().no_longer_shared();
    }
    constexpr ~LockedCache()
        requires(Config.never_destroyed)
    = default;

    // ---- As Cache's, with the same costs and a lock ---------------------------------------------

    [[nodiscard]] T* alloc() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.alloc();
    }

    void free(T* object) noexcept {
        const LockGuard<Lock> guard(lock());
        cache_.free(object);
    }

    /// All objects in one go: nobody else gets in between, but where the backend is asked.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.alloc_bulk(objects);
    }

    void free_bulk(std::span<T* const> objects) noexcept {
        const LockGuard<Lock> guard(lock());
        cache_.free_bulk(objects);
    }

    /// Returns: how many objects can be allocated without asking the backend, at this moment.
    std::size_t reserve(std::size_t objects_number) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.reserve(objects_number);
    }

    std::size_t shrink_to_fit() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.shrink_to_fit();
    }

    std::size_t shrink(std::size_t most) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.shrink(most);
    }

    /// Calls f(T*) for every live object, under the lock: `f` must not call the cache, not even to
    /// free the visited one.
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        const LockGuard<Lock> guard(lock());
        cache_.for_each(f);
    }

    /// Calls f(const SlabView&) for every slab, under the lock: `f` must not call the cache.
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        const LockGuard<Lock> guard(lock());
        cache_.for_each_slab(f);
    }

    [[nodiscard]] bool owns(const T* pointer) noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.owns(pointer);
    }

    /// Exact where no other thread is in a call.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.statistics();
    }

    [[nodiscard]] DefectReport validate() noexcept {
        const LockGuard<Lock> guard(lock());
        return cache_.validate();
    }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept {
        return cache_type::object_size();
    }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept {
        return cache_type::slab_size();
    }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept {
        return cache_type::page_size();
    }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return cache_type::object_size_type();
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return cache_type::objects_per_slab();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return cache_.backend().get(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept {
        return cache_.backend().get();
    }

    /// What it locks, for members that need no lock, and for callers that hold it.
    [[nodiscard]] constexpr cache_type& cache() noexcept { return cache_; }
    [[nodiscard]] constexpr Lock& lock() noexcept { return cache_.backend().lock(); }

private:
    cache_type cache_;  // first, so that it and what a DefectReport names have one address
};

}  // namespace slab_allocator

// depot.hpp -- where CPUs exchange full magazines for empty ones, and back.
//
//      CPU that allocates --empty--> | full  : # # #     | <--full-- CPU that frees
//                         <--full--- | empty : . .       | --empty->
//
// One visit moves a whole magazine. How often CPUs meet here is measured: a visit that finds
// another one under way counts as contended. Where an eighth of 64 visits were, magazines grow by
// half; where none was between two ticks, they shrink by a quarter. (Bonwick and Adams 2001 grow
// them by failed tries of the lock; XNU's zalloc shrinks them, too.) What lay here idle from one
// tick to the next is given back: the working set of the same paper.
//
// Invariants
//   [D1] magazines in full_ have objects, those in empty_ have none
//   [D2] everything but rounds_ and inside_ is touched under lock_
//   [D3] under lock_, nothing is called that is not in this file or in magazine.hpp

namespace slab_allocator {

/// What a depot holds, and how busy it was.
struct DepotStatistics {
    std::size_t rounds = 0;  ///< objects to a magazine, at this moment
    std::size_t full_magazines_number = 0;
    std::size_t empty_magazines_number = 0;
    std::uint64_t visits_number = 0;
    std::uint64_t contended_visits_number = 0;
};

/// Keeps `most_full` full magazines; what comes beyond goes to the slabs.
template <typename Object, BasicLockable Lock, std::size_t most_full,
          typename Atomics = BuiltinAtomics>
class Depot {
public:
    using Stack = MagazineStack<Object, Atomics>;
    static constexpr Rounds limits = rounds_for(sizeof(Object), Magazine<Object>::capacity);

    /// How many objects a magazine takes now. Costs: no lock.
    [[nodiscard]] std::size_t rounds() const noexcept { return Atomics::load_relaxed(rounds_); }

    /// Gives `empty` (null: none) for one with objects. nullptr: there is none, nothing was taken.
    [[nodiscard]] Magazine<Object>* trade_empty(Magazine<Object>* empty) noexcept {
        const Visit visit(*this);
        Magazine<Object>* const full = full_.pop();
        if (full != nullptr && empty != nullptr) empty_.push(*empty);
        return full;
    }

    /// Gives `full` (null: none) for an empty one. nullptr: there is none, or no room for `full`,
    /// and nothing was taken.
    [[nodiscard]] Magazine<Object>* trade_full(Magazine<Object>* full) noexcept {
        const Visit visit(*this);
        if (empty_.empty() || (full != nullptr && full_.number() >= most_full)) return nullptr;
        if (full != nullptr) full_.push(*full);
        return empty_.pop();
    }

    [[nodiscard]] Magazine<Object>* take_empty() noexcept {
        const Visit visit(*this);
        return empty_.pop();
    }
    void put_empty(Magazine<Object>& empty) noexcept {
        const Visit visit(*this);
        empty_.push(empty);
    }

    /// Is there no room for a full one?
    [[nodiscard]] bool crowded() noexcept {
        const Visit visit(*this);
        return full_.number() >= most_full;
    }

    void take_all_full(Stack& to) noexcept {
        const Visit visit(*this);
        move(full_, full_.number(), to);
    }
    void take_all_empty(Stack& to) noexcept {
        const Visit visit(*this);
        move(empty_, empty_.number(), to);
    }

    /// Ends an interval: what was idle in it comes out, and magazines shrink if it was quiet.
    void tick(Stack& idle_full, Stack& idle_empty) noexcept {
        const Visit visit(*this);
        move(full_, full_.close_interval(), idle_full);
        move(empty_, empty_.close_interval(), idle_empty);
        static_cast<void>(full_.close_interval());  // what went was not needed, what is left may be
        static_cast<void>(empty_.close_interval());
        if (contended_ == contended_at_tick_) set_rounds(rounds() - rounds() / 4);
        contended_at_tick_ = contended_;
    }

    /// For a fork.
    [[nodiscard]] Lock& lock() noexcept { return lock_; }
    /// In the child of a fork: nobody is here, or waits.
    void forget_visitors() noexcept { Atomics::store_relaxed(inside_, std::size_t{0}); }

    [[nodiscard]] DepotStatistics statistics() noexcept {
        const Visit visit(*this);
        return {.rounds = rounds(),
                .full_magazines_number = full_.number(),
                .empty_magazines_number = empty_.number(),
                .visits_number = visits_,
                .contended_visits_number = contended_};
    }

private:
    static constexpr std::uint64_t interval = 64;  // visits

    /// The lock, and the measuring of it.
    class Visit {
    public:
        explicit Visit(Depot& depot) noexcept : depot_(depot) {
            const bool contended = Atomics::fetch_add_relaxed(depot_.inside_, std::size_t{1}) != 0;
            depot_.lock_.lock();
            depot_.count(contended);
        }
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;
        ~Visit() {
            depot_.lock_.unlock();
            Atomics::fetch_sub_relaxed(depot_.inside_, std::size_t{1});
        }

    private:
        Depot& depot_;
    };

    void count(bool contended) noexcept {
        Atomics::touch(&visits_);
        if (contended) ++contended_;
        if (++visits_ % interval != 0) return;
        if (contended_ - contended_at_interval_ >= interval / 8) {
            set_rounds(rounds() + divide_up(rounds(), 2));
        }
        contended_at_interval_ = contended_;
    }

    void set_rounds(std::size_t rounds) noexcept {
        if (rounds < limits.least) rounds = limits.least;
        if (rounds > limits.most) rounds = limits.most;
        Atomics::store_relaxed(rounds_, rounds);
    }

    static void move(Stack& from, std::size_t number, Stack& to) noexcept {
        for (; number > 0; --number)
            to.push(*from.pop());
    }

    std::size_t inside_ = 0;  // visits that began and did not end
    Lock lock_{};
    Stack full_;
    Stack empty_;
    std::size_t rounds_ = limits.first;
    std::uint64_t visits_ = 0;
    std::uint64_t contended_ = 0;
    std::uint64_t contended_at_interval_ = 0;
    std::uint64_t contended_at_tick_ = 0;
};

}  // namespace slab_allocator

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

// magazine_cache.hpp -- a Cache for many CPUs: what one frees, it allocates again, without a lock.
//
//      CPU 0   loaded, previous  <--.                .--> slabs: a LockedCache --> backend
//      CPU 1   loaded, previous  <--+--> depot  <----'
//      CPU 2   loaded, previous  <--'    full, empty magazines
//              no lock, own line         Lock                Lock, released for the backend
//
// After Bonwick and Adams, "Magazines and Vmem" (2001): see magazine.hpp, depot.hpp, cpu_slot.hpp.
//
// Who holds what
//   - alloc and free, while a magazine serves, execute no atomic read-modify-write, and write the
//     CPU's own slot and the object, no line that CPUs share. At level misuse free reads the
//     object's SlabInfo, and with a map, asks it.
//   - The depot's lock is held for a few pointers, the slabs' lock for one bulk, never both. With
//     either, nothing of the user's is called but the Lock, a look-up of the backend under the
//     slabs' lock, and the defect handler.
//   - The backend is called with no lock held and no slot entered, so it may sleep and call this
//     cache; and by several threads at once (LockedBackend helps). Beside what Config's row asks
//     for, it is asked for slabs of one page, for magazines: by free only.
//   - Cpus::enter ... leave encloses a few instructions, and at most a visit to the depot and, in
//     a bulk, the copying of what two magazines hold.
//
// Wrong frees, at level misuse
//   - Foreign, interior and other caches' pointers, slots that are free in their slab: at the call.
//   - A second free of an object that lies in a magazine, whichever, or at the depot: at the call,
//     where its first 8 bytes were left alone since the first free. Where they were written (a
//     write after free): when the object would be handed out for the second time, or would go to
//     its slab for the second time. It is dropped from the magazine then, and reported as a
//     DoubleFree; so is an object of which nothing is wrong but that write, and its slot is lost
//     until the cache is destroyed.
//   - Two frees of one object at the same instant by two CPUs may both pass; then as above. What
//     lies in two CPUs' magazines, and is taken from both at the same instant, has two owners:
//     nothing that CPUs do to find that out would be free of atomic instructions.
//   - Objects of fewer than 8 bytes take 8.
//   - At level hardened, the guards of an object are looked at on its way to and from its slab; at
//     level debug each alloc and free goes there, under the lock: everything is found at once.
//
// Invariants
//   [Z1] an object is in one of four hands: free in its slab's map, in one magazine (its token on),
//        on its way between these with one caller of a slow path, or the user's
//   [Z2] the core is called by bulks only, so that it caches nothing itself, and what is not
//        free in a slab's map is in a magazine or the user's
//   [Z3] a magazine is allocated with no lock held and no slot entered, and by free only

namespace slab_allocator {

namespace detail {

/// The memory of a T that has room for a token.
template <typename T>
struct alignas(T) WithRoomForToken {
    std::byte bytes[sizeof(Token<>::Word)];
};

template <typename T, bool checked>
using MagazineObject =
    std::conditional_t<checked && sizeof(T) < sizeof(Token<>::Word), WithRoomForToken<T>, T>;

/// Small slabs of a page, or of 4096 bytes, found by masking: every backend can give them.
constexpr CacheConfig config_of_magazines(const CacheConfig& config) noexcept {
    const std::size_t page = config.page_size < 4096 ? 4096 : config.page_size;
    return {.slab_size = page,
            .page_size = page,
            .object_size_type = ObjectSizeType::Small,
            .checks = Checks::none,
            .never_destroyed = config.never_destroyed};
}

}  // namespace detail

template <typename T, typename Backend, CpuPolicy Cpus, BasicLockable Lock,
          CacheConfig Config = CacheConfig{}, typename Atomics = BuiltinAtomics>
class MagazineCache : public ObjectCalls<MagazineCache<T, Backend, Cpus, Lock, Config, Atomics>, T,
                                         Config.checks != Checks::none> {
    static constexpr bool checked = Config.checks != Checks::none;
    static constexpr bool cached =
        Config.checks != Checks::debug;  // as SLUB: debugging comes first
    static constexpr std::size_t slots_number = Cpus::slots_number;
    static constexpr std::size_t most_full_magazines = slots_number < 8 ? 16 : 2 * slots_number;
    static constexpr std::size_t most_at_once = 32;

    using Object = detail::MagazineObject<T, checked>;
    using Slabs = LockedCache<Object, Backend, Lock, Config>;
    using Slot = CpuSlot<Object, Atomics>;
    using Stack = MagazineStack<Object, Atomics>;
    using Magazines = LockedCache<Magazine<Object>, BackendRef<Backend>, Lock,
                                  detail::config_of_magazines(Config)>;

public:
    using value_type = T;
    using backend_type = Backend;
    using lock_type = Lock;
    using cpus_type = Cpus;

    /// Effects: none outside of the cache.
    constexpr MagazineCache() noexcept
        requires std::default_initializable<Backend> && std::default_initializable<Cpus>
        : magazines_(BackendRef<Backend>(slabs_.backend())) {
        slots_[slots_number].close();
    }
    constexpr explicit MagazineCache(Backend backend, Cpus cpus = Cpus{}) noexcept
        requires std::move_constructible<Backend>
        : slabs_(std::move(backend)),
          magazines_(BackendRef<Backend>(slabs_.backend())),
          cpus_(std::move(cpus)) {
        slots_[slots_number].close();
    }

    MagazineCache(const MagazineCache&) = delete;  // its slabs know its address: pass a reference
    MagazineCache& operator=(const MagazineCache&) = delete;

    /// As Cache's. Requires: no other thread is in a call, or will be.
    constexpr ~MagazineCache()
        requires(!Config.never_destroyed)
    {
        Stack all;
        for (Slot& slot : slots_) {
            slot.put_down();
            slot.take_all(all);
        }
        depot_.take_all_full(all);
        depot_.take_all_empty(all);
        give_back(all);
    }
    constexpr ~MagazineCache()
        requires(Config.never_destroyed)
    = default;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: uninitialised memory for one T, or nullptr: the backend refused, and no magazine
    /// that can be reached had an object (another CPU may have taken it meanwhile). Costs: O(1), a
    /// lock once in a magazine; before nullptr, all that is in magazines goes to the slabs.
    [[nodiscard]] T* alloc() noexcept {
        if constexpr (!cached) return outside(slabs_.alloc());
        Object* object = nullptr;
        if (!cpus_.pop(slots_, object)) [[unlikely]]
            return alloc_slowly();
        if constexpr (checked) {
            if (!Token<Atomics>::take_off(object)) [[unlikely]]
                return drop_and_alloc(object);
        }
        return outside(revealed(object));
    }

    /// Takes back what alloc gave, on whichever CPU; nullptr does nothing. Costs: O(1), a lock once
    /// in a magazine.
    void free(T* pointer) noexcept {
        Object* const object = inside(pointer);
        if constexpr (!cached) return slabs_.free(object);
        if constexpr (checked) {
            if (!is_live(object)) [[unlikely]]
                return refuse(object);
            Token<Atomics>::put_on(object);
        } else {
            if (object == nullptr) return;
        }
        hide(object);
        if (!cpus_.push(slots_, object)) [[unlikely]]
            free_slowly(object);
    }

    // ---- Many at once ---------------------------------------------------------------------------

    /// Fills `objects`, all or none. Returns: whether. Costs: the caller's slot and the depot once
    /// for each two magazines; what these do not have comes from the slabs, under their lock once.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        if constexpr (!cached) return fill_from_slabs(objects);
        const std::size_t done = fill_from_magazines(objects);
        if (done == objects.size() || fill_from_slabs(objects.subspan(done))) return true;
        collect();  // the backend refused
        if (fill_from_slabs(objects.subspan(done))) return true;
        Atomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        free_bulk(objects.first(done));
        return false;
    }

    /// Takes back each of `objects` as free does: one that is refused stops no other. Costs: the
    /// caller's slot and the depot once for each two magazines.
    void free_bulk(std::span<T* const> objects) noexcept {
        if constexpr (!cached) {
            for (T* const object : objects)
                free(object);
            return;
        }
        while (!objects.empty()) {
            const std::size_t right = mark(objects);
            for (T* const object : objects.first(right))
                hide(inside(object));
            if (right > 0) give_to_magazines(objects.first(right));
            if (right == objects.size()) return;
            if constexpr (checked) refuse(inside(objects[right]));
            objects = objects.subspan(right + 1);
        }
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Takes slabs ahead, as Cache's. Returns: for how many objects there are slots in slabs.
    std::size_t reserve(std::size_t objects_number) noexcept {
        return slabs_.reserve(objects_number);
    }

    /// Gives all back that is not live: what lies in magazines, of every CPU that the policy can
    /// reach, the magazines, but for one, empty, that each other CPU may keep, and all Free slabs.
    /// Returns: how many slabs of objects. Costs: a barrier on all CPUs, O(objects in magazines +
    /// slabs given back).
    std::size_t shrink_to_fit() noexcept { return shrink(~std::size_t{0}); }

    /// The same, but of the retained slabs, only until `most` were given back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept {
        const std::size_t before = slabs_number();
        collect();
        const std::size_t given = before - smaller(before, slabs_number());
        return given + (given < most ? slabs_.shrink(most - given) : 0);
    }

    /// For a timer, or whenever it suits: gives back the magazines that lay idle at the depot since
    /// the last tick, and lets magazines shrink where there was no contention. Costs: O(objects
    /// given back).
    void tick() noexcept {
        Stack idle;
        depot_.tick(idle, idle);
        give_back(idle);
    }

    // ---- Around a fork --------------------------------------------------------------------------

    /// Calls f(lock) for each lock of the cache. Who forks while other threads are in calls, holds
    /// all of them meanwhile, and lets them go in the parent and in the child. (The backend's are
    /// the backend's.)
    template <typename F>
        requires std::invocable<F&, Lock&>
    void for_each_lock(F&& f) noexcept {
        f(slabs_.lock());
        f(magazines_.lock());
        f(depot_.lock());
    }

    /// In the child of a fork, before it makes a thread. Requires: the caller is in no call of this
    /// cache, and every lock is free. The slots of threads that were on a slow path start over:
    /// what was in these is lost, and counts as live. What is in other slots comes back with
    /// shrink_to_fit. Without this call, that may wait for a thread that is not there, for ever.
    void after_fork_in_child() noexcept {
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (slots_[index].claimed() != Claim::nobodys) slots_[index].start_over();
        }
        depot_.forget_visitors();
        cpus_.after_fork_in_child();
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// Calls f(T*) for every live object, under the slabs' lock: `f` must not call the cache.
    /// Empties the magazines first. Requires: no other thread is in a call.
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        collect();
        slabs_.for_each([&](Object* object) { f(outside(object)); });
    }

    /// Calls f(const SlabView&) for every slab, under the slabs' lock: `f` must not call the cache.
    /// What lies in magazines is taken out of its slab.
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        slabs_.for_each_slab(f);
    }

    /// Is `pointer` the start of a live object of this cache? At level none, one that lies in a
    /// magazine counts as live. Costs: as free, no lock.
    [[nodiscard]] bool owns(const T* pointer) noexcept {
        if constexpr (!cached) return slabs_.owns(inside(const_cast<T*>(pointer)));
        return is_live(inside(const_cast<T*>(pointer)));
    }

    /// Empties the magazines first, so that the numbers are exact where no other thread is in a
    /// call. Peaks count what lay in magazines as allocated; the bytes of the magazines themselves
    /// are not told. Costs: as shrink.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        collect();
        CacheStatistics statistics = slabs_.statistics();
        if constexpr (cached) {
            statistics.failures_number = Atomics::load_relaxed(failures_number_);
        }
        return statistics;
    }

    /// What the depot saw. Costs: a visit to it.
    [[nodiscard]] DepotStatistics depot_statistics() noexcept { return depot_.statistics(); }

    /// As Cache's, of the slabs. Costs: O(slots), under the slabs' lock.
    [[nodiscard]] DefectReport validate() noexcept { return slabs_.validate(); }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept {
        return Slabs::object_size();
    }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept { return Slabs::slab_size(); }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept { return Slabs::page_size(); }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return Slabs::object_size_type();
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return Slabs::objects_per_slab();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr Cpus& cpus() noexcept { return cpus_; }

private:
    /// The caller's slot, its magazines put down, where it has one that nobody else has claimed.
    class Held {
    public:
        explicit Held(MagazineCache& cache) noexcept
            : cache_(cache), held_(cache.cpus_.hold(cache.slots_)) {
            if (held_.slot != nullptr) held_.slot->put_down();
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() {
            if (held_.slot != nullptr) {
                held_.slot->take_up(cache_.depot_.rounds());
                held_.slot->open();
            }
            cache_.cpus_.let_go(held_);
        }
        [[nodiscard]] Slot* slot() const noexcept { return held_.slot; }

    private:
        MagazineCache& cache_;
        decltype(std::declval<Cpus&>().hold(static_cast<Slot*>(nullptr))) held_;
    };

    [[nodiscard]] static T* outside(Object* object) noexcept {
        return static_cast<T*>(static_cast<void*>(object));
    }
    [[nodiscard]] static Object* inside(T* object) noexcept {
        return static_cast<Object*>(static_cast<void*>(object));
    }
    [[nodiscard]] static constexpr std::size_t smaller(std::size_t a, std::size_t b) noexcept {
        return a < b ? a : b;
    }

    /// What lies in a magazine is hidden from AddressSanitizer.
    static void hide(const Object* object) noexcept { detail::hide_alone(object, sizeof(Object)); }
    [[nodiscard]] static Object* revealed(Object* object) noexcept {
        detail::reveal_alone(object, sizeof(Object));
        return object;
    }

    [[nodiscard]] bool is_live(const Object* object) noexcept {
        if (object == nullptr || !slabs_.cache().is_out(object)) return false;  // [Z2]
        if constexpr (checked) return !Token<Atomics>::is_on(object);
        return true;
    }

    // ---- Slow paths of alloc --------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] T* alloc_slowly() noexcept {
        cpus_.join();
        bool stocked = false;
        T* object = nullptr;
        if (take_some(std::span(&object, 1), stocked) != 0) return object;
        if (Object* const one = alloc_from_slabs(stocked)) return outside(one);
        collect();  // the backend refused
        if (Object* const one = alloc_from_slabs(false)) return outside(one);
        Atomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        return nullptr;
    }

    /// `object` came out of a magazine without its token.
    [[nodiscard, gnu::noinline, gnu::cold]] T* drop_and_alloc(Object* object) noexcept {
        drop(object);
        return alloc_slowly();
    }

    /// As many as the caller's slot and the depot have. Returns: how many.
    [[nodiscard]] std::size_t fill_from_magazines(std::span<T*> objects) noexcept {
        cpus_.join();
        std::size_t done = 0;
        bool stocked = false;
        while (done < objects.size()) {
            const std::size_t taken = take_some(objects.subspan(done), stocked);
            if (taken == 0) break;
            done += taken;
        }
        return done;
    }

    /// From the caller's slot, by way of its previous magazine or the depot, with their tokens off.
    /// Returns: how many; 0: there is none. `stocked`: the slot has a magazine.
    [[nodiscard]] std::size_t take_some(std::span<T*> objects, bool& stocked) noexcept {
        for (;;) {
            const std::size_t found = pop_from_magazines(objects, stocked);
            const std::size_t taken = found - drop_without_token(objects.first(found));
            for (T* const object : objects.first(taken))
                static_cast<void>(revealed(inside(object)));
            if (taken != 0 || found == 0) return taken;
        }
    }

    /// Takes the tokens off; those that had one come first then. Returns: how many had none.
    [[nodiscard]] std::size_t drop_without_token(std::span<T*> objects) noexcept {
        if constexpr (!checked) return 0;
        std::size_t kept = 0;
        while (kept < objects.size() && Token<Atomics>::take_off(objects[kept]))
            ++kept;
        for (std::size_t index = kept; index < objects.size(); ++index) {
            if (Token<Atomics>::take_off(objects[index])) {
                objects[kept++] = objects[index];
            } else {
                drop(inside(objects[index]));
            }
        }
        return objects.size() - kept;
    }

    /// What two magazines have at most. Returns: how many.
    [[nodiscard]] std::size_t pop_from_magazines(std::span<T*> objects, bool& stocked) noexcept {
        const Held held(*this);
        Slot* const slot = held.slot();
        if (slot == nullptr) return 0;
        stocked = true;
        std::size_t done = 0;
        if (slot->loaded() != nullptr) done = slot->loaded()->take(objects);
        if (done == objects.size()) return done;  // still, on this CPU
        Magazine<Object>* const previous = slot->previous();
        if (previous != nullptr && previous->number != 0) {
            slot->exchange();
        } else if (Magazine<Object>* const full = depot_.trade_empty(previous)) {
            slot->rotate(full);
        } else {
            if (slot->loaded() == nullptr) slot->rotate(depot_.take_empty());
            stocked = slot->loaded() != nullptr;
            return done;
        }
        return done + slot->loaded()->take(objects.subspan(done));
    }

    /// All or none. Returns: whether.
    [[nodiscard]] bool fill_from_slabs(std::span<T*> objects) noexcept {
        if constexpr (std::is_same_v<T, Object>) {
            if (!slabs_.alloc_bulk(objects)) return false;
        } else {
            Object* batch[most_at_once];
            for (std::size_t done = 0, number = 0; done < objects.size(); done += number) {
                number = smaller(most_at_once, objects.size() - done);
                if (!slabs_.alloc_bulk(std::span<Object*>(batch, number))) {
                    free_to_slabs(std::span<T* const>(objects.first(done)));
                    return false;
                }
                for (std::size_t index = 0; index < number; ++index)
                    objects[done + index] = outside(batch[index]);
            }
        }
        if constexpr (cached && checked) {
            for (T* const object : objects)
                Token<Atomics>::clear(object);  // [K1]
        }
        return true;
    }

    /// Where the slot is stocked, takes some more along for it.
    [[nodiscard]] Object* alloc_from_slabs(bool stocked) noexcept {
        Object* batch[most_at_once];
        std::size_t number = stocked ? smaller(most_at_once, depot_.rounds()) : 1;
        number = smaller(number, objects_per_slab());
        if (!slabs_.alloc_bulk(std::span<Object*>(batch, number))) {
            if (number == 1 || !slabs_.alloc_bulk(std::span<Object*>(batch, 1))) return nullptr;
            number = 1;
        }
        if (number > 1) stock(std::span<Object* const>(batch + 1, number - 1));
        if constexpr (checked) Token<Atomics>::clear(batch[0]);  // [K1]
        return batch[0];
    }

    /// Puts objects into the caller's slot; what finds no room goes back.
    void stock(std::span<Object* const> objects) noexcept {
        if constexpr (checked) {
            for (Object* const object : objects)
                Token<Atomics>::put_on(object);
        }
        for (Object* const object : objects)
            hide(object);
        std::size_t left = objects.size();
        {
            const Held held(*this);
            if (held.slot() != nullptr && held.slot()->loaded() != nullptr) {
                left -= held.slot()->loaded()->put(objects, depot_.rounds());
            }
        }
        if (left > 0) give_to_slabs(objects.last(left));
    }

    // ---- Slow paths of free ---------------------------------------------------------------------

    [[gnu::noinline]] void free_slowly(Object* object) noexcept {
        give_to_magazines(std::span<Object* const>(&object, 1));
    }

    /// Puts the tokens on, up to an object that is not live. Returns: how many are.
    [[nodiscard]] std::size_t mark(std::span<T* const> objects) noexcept {
        std::size_t number = 0;
        if constexpr (!checked) {
            while (number < objects.size() && objects[number] != nullptr)
                ++number;
        } else if constexpr (std::is_same_v<T, Object>) {
            const std::size_t out = slabs_.cache().out_number(objects);
            for (; number < out && !Token<Atomics>::is_on(objects[number]); ++number)
                Token<Atomics>::put_on(objects[number]);
        } else {
            for (; number < objects.size() && is_live(inside(objects[number])); ++number)
                Token<Atomics>::put_on(objects[number]);
        }
        return number;
    }

    /// Objects with their tokens.
    template <typename Pointer>
    void give_to_magazines(std::span<Pointer const> objects) noexcept {
        cpus_.join();
        while (!objects.empty()) {
            Magazine<Object>* surplus = nullptr;
            const std::size_t pushed = push_to_magazines(objects, surplus);
            objects = objects.subspan(pushed);
            if (pushed != 0) continue;
            const bool many = objects.size() >= depot_.rounds();
            if (surplus != nullptr) {
                empty(*surplus);
                depot_.put_empty(*surplus);
                if (many) return give_to_slabs(objects);
            } else if (!has_slot() || !add_magazine()) {
                return give_to_slabs(objects);
            }
        }
    }

    /// By way of the slot's previous magazine or the depot. Returns: how many, of what two
    /// magazines take. `surplus`: there is no room, and this full one has none at the depot.
    template <typename Pointer>
    [[nodiscard]] std::size_t push_to_magazines(std::span<Pointer const> objects,
                                                Magazine<Object>*& surplus) noexcept {
        const Held held(*this);
        Slot* const slot = held.slot();
        if (slot == nullptr) return 0;
        const std::size_t rounds = depot_.rounds();
        std::size_t done = 0;
        if (slot->loaded() != nullptr) done = slot->loaded()->put(objects, rounds);
        if (done == objects.size()) return done;  // still, on this CPU
        Magazine<Object>* const previous = slot->previous();
        if (previous != nullptr && previous->number < rounds) {
            slot->exchange();
        } else if (Magazine<Object>* const empty = depot_.trade_full(previous)) {
            slot->rotate(empty);
        } else {
            if (done == 0 && previous != nullptr && depot_.crowded()) {
                surplus = slot->take_previous();
            }
            return done;
        }
        return done + slot->loaded()->put(objects.subspan(done), rounds);
    }

    [[nodiscard]] bool has_slot() noexcept { return Held(*this).slot() != nullptr; }

    /// [Z3]
    [[nodiscard]] bool add_magazine() noexcept {
        if (detail::memcheck_watches()) return false;  // every call is to be seen by the core
        Magazine<Object>* const magazine = magazines_.create();
        if (magazine != nullptr) depot_.put_empty(*magazine);
        return magazine != nullptr;
    }

    /// Objects with their tokens go back to their slabs, under one lock; one without is dropped.
    template <typename Pointer>
    void give_to_slabs(std::span<Pointer const> objects) noexcept {
        if constexpr (checked) {
            std::size_t right = 0;
            while (right < objects.size()) {
                if (Token<Atomics>::take_off(objects[right])) [[likely]] {
                    ++right;
                    continue;
                }
                free_to_slabs(objects.first(right));
                drop(static_cast<Object*>(static_cast<void*>(objects[right])));
                objects = objects.subspan(right + 1);
                right = 0;
            }
        }
        free_to_slabs(objects);
    }

    /// Objects without tokens. [Z2]
    template <typename Pointer>
    void free_to_slabs(std::span<Pointer const> objects) noexcept {
        if constexpr (std::is_same_v<Pointer, Object*>) {
            slabs_.free_bulk(objects);
        } else {
            Object* batch[most_at_once];
            while (!objects.empty()) {
                const std::size_t number = smaller(most_at_once, objects.size());
                for (std::size_t index = 0; index < number; ++index)
                    batch[index] = inside(objects[index]);
                slabs_.free_bulk(std::span<Object* const>(batch, number));
                objects = objects.subspan(number);
            }
        }
    }

    void empty(Magazine<Object>& magazine) noexcept {
        if (magazine.number == 0) return;
        give_to_slabs(std::span<Object* const>(magazine.objects()));
        magazine.number = 0;
    }

    // ---- All CPUs -------------------------------------------------------------------------------

    /// Everything that lies in a magazine goes to its slab, and the magazines go, too, but those
    /// that other CPUs have loaded where the policy cannot tell whether they are pushing there.
    void collect() noexcept {
        Stack all;
        {
            const Held held(*this);
            if (held.slot() != nullptr) held.slot()->take_all(all);
        }
        empty_others(all);
        depot_.take_all_full(all);
        depot_.take_all_empty(all);
        give_back(all);
        magazines_.shrink_to_fit();
    }

    void empty_others(Stack& to) noexcept {
        bool claimed[slots_number];
        for (std::size_t index = 0; index < slots_number; ++index)
            claimed[index] = claim(slots_[index]);
        const Reach reach = cpus_.synchronise();
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (!claimed[index]) continue;  // somebody else empties it
            Slot& slot = slots_[index];
            if (reach == Reach::magazines) {
                slot.put_down();
                slot.take_all(to);
            } else if (reach == Reach::objects) {
                const std::span<Object*> objects = slot.objects();
                give_to_slabs(std::span<Object* const>(objects));
                slot.forget(objects);
                if (Magazine<Object>* const previous = slot.take_previous()) to.push(*previous);
            }
            slot.open();
        }
    }

    /// Returns: false: somebody else empties the slot.
    [[nodiscard]] bool claim(Slot& slot) noexcept {
        while (!slot.claim(Claim::outsiders)) {
            if (slot.claimed() == Claim::outsiders) return false;
            cpus_.wait();
        }
        return true;
    }

    void give_back(Stack& magazines) noexcept {
        while (Magazine<Object>* const magazine = magazines.pop()) {
            empty(*magazine);
            magazines_.destroy(magazine);
        }
    }

    [[nodiscard]] std::size_t slabs_number() noexcept { return slabs_.statistics().slabs_number(); }

    // ---- Defects --------------------------------------------------------------------------------

    /// free of what is not live; null is no defect. What is wrong with a slot that is no object of
    /// this cache, or that is free, the core knows.
    [[gnu::noinline, gnu::cold]] void refuse(Object* object) noexcept {
        if (object == nullptr) return;
        if (slabs_.cache().is_out(object)) return drop(object);
        slabs_.free_bulk(std::span<Object* const>(&object, 1));
    }

    /// `object` is in a magazine already, or was.
    [[gnu::noinline, gnu::cold]] void drop(Object* object) noexcept {
        report({.defect = Defect::DoubleFree, .pointer = object, .cache = this});
    }

    Slabs slabs_;  // first, so that the cache has one address in every DefectReport
    Magazines magazines_;
    Depot<Object, Lock, most_full_magazines, Atomics> depot_;
    [[no_unique_address]] Cpus cpus_{};
    std::size_t failures_number_ = 0;
    Slot slots_[slots_number + 1];  // the last one is closed: for callers without a slot
};

}  // namespace slab_allocator

// cache_kind.hpp -- for how many threads a pool is, and by which means.
//
//      OneThread             Cache           Heap             one thread, or one lock around all
//      UnderLock<Lock>       LockedCache     LockedHeap       several, one at a time in each
//      PerCpu<Cpus, Lock>    MagazineCache   LockedHeap       several, with magazines of their own
//
// Where there are locks, the backend must bear several threads: a LockedBackend does.

namespace slab_allocator {

namespace detail {

/// What a heap can do of what was chosen for caches.
[[nodiscard]] constexpr HeapConfig heap_config_of(const CacheConfig& config) noexcept {
    return {.page_size = config.page_size,
            .checks = config.checks == Checks::none ? Checks::none : Checks::misuse,
            .never_destroyed = config.never_destroyed};
}

}  // namespace detail

/// A Pool for one thread, or for several that have one lock around all they do with it.
struct OneThread {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = slab_allocator::Cache<T, Backend, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = slab_allocator::Heap<Backend, detail::heap_config_of(Config)>;
};

/// A Pool for several threads, with a Lock in each cache and one in the heap.
template <BasicLockable Lock>
struct UnderLock {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = LockedCache<T, Backend, Lock, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = LockedHeap<Backend, Lock, detail::heap_config_of(Config)>;
};

/// A Pool for several threads or CPUs, whose nodes come from magazines of their own.
template <CpuPolicy Cpus, BasicLockable Lock>
struct PerCpu {
    template <typename T, typename Backend, CacheConfig Config>
    using Cache = MagazineCache<T, Backend, Cpus, Lock, Config>;
    template <typename Backend, CacheConfig Config>
    using Heap = LockedHeap<Backend, Lock, detail::heap_config_of(Config)>;
};

}  // namespace slab_allocator

// node_caches.hpp -- a cache for each size of node, made when the first such node is wanted.
//
//      table   | 8 | 16 | 24 | ... | 40 | ... | 1024 |            one entry for each 8 bytes
//                                    |
//      backend: one page or more <---'--> | calls | Cache of blocks of 40 bytes |
//
// Who asks knows the type of the node, so its entry is found at compile time: a node's way is that
// of a Cache, inlined, and one load more. Containers whose nodes have one size share a cache,
// whatever their types. A block is as aligned as its size allows, which costs nothing, since slots
// stand side by side from the start of a slab: so the size alone names the cache.
//
// Invariants
//   [N1] an entry is null, or leads to the one cache of its size, until the caches are destroyed
//   [N2] an entry is published whole: who reads it sees the cache behind it

namespace slab_allocator {

namespace detail {

/// The memory of a node, aligned as its size allows; where objects are guarded, to 16 at most,
/// since zones are as wide as that.
template <std::size_t size, std::size_t alignment>
struct alignas(alignment) NodeBlock {
    std::byte bytes[size];
};

}  // namespace detail

/// Kind: which cache, and thereby for how many threads (cache_kind.hpp). Config: of every cache.
template <typename Backend, typename Kind, CacheConfig Config>
class NodeCaches {
    static constexpr std::size_t grain = 8;
    static constexpr bool guarded = Config.checks > Checks::misuse;

    [[nodiscard]] static constexpr std::size_t block_size(std::size_t size) noexcept {
        return align_up(size, grain);
    }
    [[nodiscard]] static constexpr std::size_t block_alignment(std::size_t size) noexcept {
        const std::size_t most = block_size(size) & (~block_size(size) + 1);
        return guarded && most > 16 ? 16 : most;
    }

public:
    static constexpr std::size_t largest_size = 1024;

    /// Is there a cache for nodes of that size and alignment? For none of no bytes.
    [[nodiscard]] static constexpr bool serves(std::size_t size, std::size_t alignment) noexcept {
        return size <= largest_size && alignment <= block_alignment(size);
    }

    template <std::size_t size>
    using Block = detail::NodeBlock<block_size(size), block_alignment(size)>;
    template <std::size_t size>
    using CacheFor = typename Kind::template Cache<Block<size>, BackendRef<Backend>, Config>;

    constexpr explicit NodeCaches(Backend& backend) noexcept : backend_(backend) {}
    NodeCaches(const NodeCaches&) = delete;  // their slabs know the caches, the caches the backend
    NodeCaches& operator=(const NodeCaches&) = delete;

    /// As Cache's: nodes that are live then are a Defect::Leak of their cache.
    constexpr ~NodeCaches()
        requires(!Config.never_destroyed)
    {
        for_each_entry([&](Entry& entry) { entry.calls->end(entry, backend_); });
    }
    constexpr ~NodeCaches()
        requires(Config.never_destroyed)
    = default;

    /// Returns: memory for a node, uninitialised; nullptr: the backend refused. Costs: O(1).
    template <std::size_t size>
    [[nodiscard]] void* alloc() noexcept {
        auto* const cache = find<size>();
        if (cache == nullptr) [[unlikely]]
            return alloc_first<size>();
        return cache->alloc();
    }

    /// Takes back what alloc<size>() gave; nullptr does nothing. Costs: O(1).
    template <std::size_t size>
    void free(void* node) noexcept {
        auto* const cache = find<size>();
        if (cache == nullptr) [[unlikely]]
            return free_unknown(node);
        cache->free(static_cast<Block<size>*>(node));
    }

    /// The cache of nodes of `size` bytes, made where there is none; nullptr: the backend refused.
    template <std::size_t size>
    [[nodiscard]] CacheFor<size>* cache() noexcept {
        auto* const known = find<size>();
        return known != nullptr ? known : make<size>();
    }

    /// Gives all Free slabs of all caches back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        std::size_t sum = 0;
        for_each_entry([&](Entry& entry) { sum += entry.calls->shrink_to_fit(entry); });
        return sum;
    }

    /// The sums of all caches, of their peaks, too.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics sum;
        for_each_entry([&](Entry& entry) { sum += entry.calls->statistics(entry); });
        return sum;
    }

private:
    struct Entry;
    struct Calls {
        void (*end)(Entry&, Backend&) noexcept;
        std::size_t (*shrink_to_fit)(Entry&) noexcept;
        CacheStatistics (*statistics)(Entry&) noexcept;
    };
    struct Entry {
        const Calls* calls;
    };

    template <std::size_t size>
    struct EntryOf : Entry {
        static constexpr std::size_t page = Config.page_size;
        static constexpr std::size_t bytes() noexcept {
            return sizeof(EntryOf) < page ? page : std::bit_ceil(sizeof(EntryOf));
        }
        constexpr explicit EntryOf(Backend& backend) noexcept
            : Entry{&calls_of}, cache(BackendRef<Backend>(backend)) {}
        [[nodiscard]] static EntryOf* make(Backend& backend) noexcept {
            void* const memory = backend.alloc_slab(bytes(), bytes());
            return memory == nullptr ? nullptr : ::new (memory) EntryOf(backend);
        }
        static void end(Entry& entry, Backend& backend) noexcept {
            static_cast<EntryOf&>(entry).~EntryOf();
            backend.free_slab(&entry, bytes(), bytes());
        }
        static std::size_t shrink_to_fit(Entry& entry) noexcept {
            return static_cast<EntryOf&>(entry).cache.shrink_to_fit();
        }
        static CacheStatistics statistics(Entry& entry) noexcept {
            return static_cast<EntryOf&>(entry).cache.statistics();
        }
        static constexpr Calls calls_of{&end, &shrink_to_fit, &statistics};

        CacheFor<size> cache;
    };

    [[nodiscard]] static Entry* load(Entry*& place) noexcept {
        return BuiltinAtomics::load_acquire(place);  // [N2]
    }
    template <typename F>
    void for_each_entry(F f) noexcept {
        for (Entry*& place : entries_) {
            if (Entry* const entry = load(place); entry != nullptr) f(*entry);
        }
    }

    template <std::size_t size>
    [[nodiscard]] CacheFor<size>* find() noexcept {
        Entry* const entry = load(entries_[index_of(size)]);
        if (entry == nullptr) return nullptr;
        return &static_cast<EntryOf<block_size(size)>*>(entry)->cache;
    }
    [[nodiscard]] static constexpr std::size_t index_of(std::size_t size) noexcept {
        return block_size(size) / grain - 1;
    }

    template <std::size_t size>
    [[nodiscard, gnu::noinline]] CacheFor<size>* make() noexcept {
        using New = EntryOf<block_size(size)>;
        New* const made = New::make(backend_);
        if (made == nullptr) return nullptr;
        Entry* known = nullptr;
        if (BuiltinAtomics::compare_exchange_publishing(entries_[index_of(size)], known,
                                                        static_cast<Entry*>(made))) {
            return &made->cache;
        }
        New::end(*made, backend_);  // another thread was first [N1]
        return &static_cast<New*>(known)->cache;
    }
    template <std::size_t size>
    [[nodiscard, gnu::noinline]] void* alloc_first() noexcept {
        auto* const cache = make<size>();
        return cache == nullptr ? nullptr : cache->alloc();
    }
    [[gnu::noinline, gnu::cold]] void free_unknown(void* node) noexcept {
        if (node == nullptr) return;
        report({.defect = Defect::ForeignPointer, .pointer = node, .cache = this});
    }

    Backend& backend_;
    Entry* entries_[largest_size / grain] = {};
};

}  // namespace slab_allocator

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

// arena_backend.hpp -- slabs from memory that is already there: a fixed array, or a given region.
//
//      pages    | . | A   A   A   A | . | . | B | C   C | . |      A, B, C: slabs
//      taken    | 0 | 1   1   1   1 | 0 | 0 | 1 | 1   1 | 0 |      one bit a page
//      first    | 0 | 1   0   0   0 | 0 | 0 | 1 | 1   0 | 0 |      one bit a page
//
// First fit by address: slabs of any size and alignment lie side by side, the region drains from
// its end, and nothing is asked of anybody else. A slab ends where the next one starts or a free
// page lies, so a free_slab of anything but a whole slab is found from two bitmaps, and no slab is
// read or written. Costs: O(pages) bits, 64 at a time, per call.
//
// Everything is zero at the start, so that a static ArenaBackend lies in .bss, whatever its size.
//
// Invariants
//   [A1] first has a bit only where taken has it; a taken page that is not first belongs to the
//        slab of the page before it.
//   [A2] no page below hint_ is free.
//   [A3] pages_in_use_ == |bits of taken|

namespace slab_allocator {

namespace detail {

inline constexpr std::size_t region_page_size = 4096;

/// Slabs from the pages of a Region, which says where they and their two bitmaps are.
template <typename Region>
class RegionPages {
public:
    static constexpr std::size_t page_size = region_page_size;

    constexpr RegionPages() noexcept = default;
    RegionPages(const RegionPages&) = delete;  // the slabs have one owner
    RegionPages& operator=(const RegionPages&) = delete;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t pages_number = this->pages_number();
        if (slab_size == 0 || slab_size > pages_number * page_size) return nullptr;
        const std::size_t wanted = divide_up(slab_size, page_size);
        hint_ = next(false, hint_, pages_number);  // [A2]
        std::size_t page = aligned_page(hint_, slab_alignment);
        while (page < pages_number && wanted <= pages_number - page) {
            const std::size_t in_the_way = next(true, page, page + wanted);
            if (in_the_way == page + wanted) return take(page, wanted);
            page = aligned_page(next(false, in_the_way, pages_number), slab_alignment);
        }
        return nullptr;
    }

    /// What is no slab of slab_size bytes is a Defect::ForeignPointer, a free page a DoubleFree.
    void free_slab(void* slab, std::size_t slab_size,
                   [[maybe_unused]] std::size_t slab_alignment) noexcept {
        const std::uintptr_t offset = address_of(slab) - address_of(region_.base());
        const std::size_t page = offset / page_size;
        if (page >= pages_number() || offset % page_size != 0) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (!bit(region_.taken(), page)) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        const std::size_t pages = end_of_slab(page) - page;
        if (!bit(region_.first(), page) || divide_up(slab_size, page_size) != pages) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        flip_slab(page, pages);
        pages_in_use_ -= pages;
        if (page < hint_) hint_ = page;  // [A2]
    }

    [[nodiscard]] constexpr std::size_t pages_number() const noexcept {
        return region_.pages_number();
    }
    [[nodiscard]] constexpr std::size_t pages_in_use() const noexcept { return pages_in_use_; }

    /// Does `pointer` lie in the region?
    [[nodiscard]] bool contains(const void* pointer) noexcept {
        return (address_of(pointer) - address_of(region_.base())) / page_size < pages_number();
    }

protected:
    [[nodiscard]] constexpr Region& region() noexcept { return region_; }

private:
    static constexpr std::size_t bits = 64;

    [[nodiscard]] static bool bit(const std::uint64_t* map, std::size_t page) noexcept {
        return ((map[page / bits] >> (page % bits)) & 1U) != 0;
    }
    static void flip(std::uint64_t* map, std::size_t page) noexcept {
        map[page / bits] ^= std::uint64_t{1} << (page % bits);
    }

    /// Takes a slab in both bitmaps, or gives it back [A1].
    void flip_slab(std::size_t page, std::size_t pages) noexcept {
        flip(region_.first(), page);
        for (const std::size_t end = page + pages; page < end; ++page)
            flip(region_.taken(), page);
    }

    /// The first page from `page` on that is taken, or free; `end` where none below it is.
    [[nodiscard]] std::size_t next(bool taken, std::size_t page, std::size_t end) noexcept {
        while (page < end) {
            const std::uint64_t word = region_.taken()[page / bits];
            const std::uint64_t left = (taken ? word : ~word) >> (page % bits);
            if (left != 0) {
                const std::size_t found = page + lowest_bit(left);
                return found < end ? found : end;
            }
            page = (page / bits + 1) * bits;
        }
        return end;
    }

    /// The first page from `page` on whose real address is aligned; beyond all where none is.
    [[nodiscard]] std::size_t aligned_page(std::size_t page, std::size_t alignment) noexcept {
        if (alignment < page_size) alignment = page_size;
        const std::uintptr_t base = address_of(region_.base());
        return (align_up(base + page * page_size, alignment) - base) / page_size;
    }

    [[nodiscard]] std::size_t end_of_slab(std::size_t page) noexcept {
        do {
            ++page;
        } while (page < pages_number() && bit(region_.taken(), page) &&
                 !bit(region_.first(), page));
        return page;
    }

    [[nodiscard]] void* take(std::size_t page, std::size_t pages) noexcept {
        flip_slab(page, pages);
        pages_in_use_ += pages;
        return region_.base() + page * page_size;
    }

    Region region_;
    std::size_t hint_ = 0;
    std::size_t pages_in_use_ = 0;
};

/// An array and its bitmaps. The array is no active member: it is storage, and is not initialised.
template <std::size_t bytes, std::size_t alignment>
class FixedRegion {
public:
    constexpr FixedRegion() noexcept = default;
    [[nodiscard]] std::byte* base() noexcept {
        return static_cast<std::byte*>(static_cast<void*>(&memory_));
    }
    [[nodiscard]] static constexpr std::size_t pages_number() noexcept {
        return bytes / region_page_size;
    }
    [[nodiscard]] std::uint64_t* taken() noexcept { return taken_; }
    [[nodiscard]] std::uint64_t* first() noexcept { return first_; }

private:
    union alignas(alignment) Memory {
        std::byte nothing{};
        std::byte array[bytes];
    };
    Memory memory_;
    std::uint64_t taken_[divide_up(pages_number(), 64)]{};
    std::uint64_t first_[divide_up(pages_number(), 64)]{};
};

/// A region that is known at run time; the bitmaps lie before its first page that is given away.
class GivenRegion {
public:
    constexpr GivenRegion() noexcept = default;
    [[nodiscard]] std::byte* base() const noexcept { return base_; }
    [[nodiscard]] constexpr std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] std::uint64_t* taken() const noexcept { return taken_; }
    [[nodiscard]] std::uint64_t* first() const noexcept {
        return taken_ + divide_up(pages_number_, 64);
    }

    /// Requires: start and bytes are multiples of a page.
    void reset(std::byte* start, std::size_t bytes) noexcept {
        const std::size_t pages = bytes / region_page_size;
        const std::size_t words = 2 * divide_up(pages, 64);
        const std::size_t bitmap_pages = divide_up(words * sizeof(std::uint64_t), region_page_size);
        taken_ = static_cast<std::uint64_t*>(static_cast<void*>(start));
        for (std::size_t word = 0; word < words; ++word)
            taken_[word] = 0;
        base_ = start + bitmap_pages * region_page_size;
        pages_number_ = pages - bitmap_pages;
    }

private:
    std::byte* base_ = nullptr;
    std::size_t pages_number_ = 0;
    std::uint64_t* taken_ = nullptr;
};

}  // namespace detail

/// The largest alignment that a program's loader can be trusted with, or less for a small array.
[[nodiscard]] constexpr std::size_t arena_alignment(std::size_t bytes) noexcept {
    return bytes < 65536 ? std::bit_floor(bytes) : 65536;
}

/// A fixed array that serves slabs: provably no heap. Larger alignments than `alignment` are
/// served, too, from where the array happens to have them. Trivially destructible and all zero.
template <std::size_t bytes, std::size_t alignment = arena_alignment(bytes)>
class ArenaBackend : public detail::RegionPages<detail::FixedRegion<bytes, alignment>> {
    static_assert(bytes > 0 && bytes % 4096 == 0,
                  "an ArenaBackend consists of pages: bytes must be a multiple of 4096");
    static_assert(is_power_of_two(alignment) && alignment >= 4096,
                  "an ArenaBackend consists of pages: alignment must be a power of two from 4096");
};

/// The same over memory that is known at run time only, as in a kernel that reads its memory map.
/// It keeps one page of each 64 MiB, or less, for itself. The memory is its caller's to give back.
class ArenaBackendOver : public detail::RegionPages<detail::GivenRegion> {
public:
    /// No memory, so every alloc_slab is refused until adopt().
    constexpr ArenaBackendOver() noexcept = default;
    ArenaBackendOver(void* memory, std::size_t bytes) noexcept { adopt(memory, bytes); }

    /// Effects: serves the whole pages of the region. Requires: first call, nobody else uses the
    /// region (not checked).
    void adopt(void* memory, std::size_t bytes) noexcept {
        const std::uintptr_t address = address_of(memory);
        const std::size_t lead = align_up(address, page_size) - address;
        if (bytes < lead) return;
        region().reset(static_cast<std::byte*>(memory) + lead, align_down(bytes - lead, page_size));
    }
};

template <std::size_t bytes, std::size_t alignment>
inline constexpr bool bears_threads<ArenaBackend<bytes, alignment>> = false;
template <>
inline constexpr bool bears_threads<ArenaBackendOver> = false;

}  // namespace slab_allocator

// buddy_region.hpp -- which pages of one run of memory are free: a binary buddy allocator.
//
//      pages    | A   A   A   A | B | . | .   . |      A, B: taken blocks of order 2 and 0
//      frames   | 2t  -   -   - | 0t| 0f| 1f  - |      a head knows its block, - is inside of one
//
// A block of order k is 2^k pages at a multiple of its size. It is split into two buddies, whose
// addresses differ in one bit, and two free buddies are one block again at once. (Knowlton 1965.)
//
// What is known of a page lies in its frame, and frames lie apart from the pages: no page, free or
// taken, is ever read or written here. The lists of free blocks go through the frames.
//
// Invariants
//   [B1] every page is in one block; the frame of its first page has its order and use, all others
//        are Inside.
//   [B2] the free blocks of order k stand on free_[k], and free_blocks_number_[k] is their number;
//        nonempty_ has bit k where there are any.
//   [B3] the buddy of a free block is no free block of its order: the free blocks are the largest
//        aligned runs of free pages, whatever was taken and given back before.

namespace slab_allocator {

/// What is known of one page.
struct PageFrame : ListNode {
    enum class Use : std::uint8_t { Inside, Free, Taken };

    Use use = Use::Inside;   // of the block that starts here
    std::uint8_t order = 0;  // of it
};

/// A buddy allocator over one run of pages, which are numbered from its start.
class BuddyRegion {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t orders_number = 32;

    /// All pages are free. Costs: O(pages).
    BuddyRegion(std::byte* base, std::size_t pages_number, PageFrame* frames) noexcept
        : base_(base), pages_number_(pages_number), frames_(frames) {
        for (std::size_t page = 0; page < pages_number; ++page)
            ::new (static_cast<void*>(frames + page)) PageFrame;
        for (std::size_t page = 0; page < pages_number;) {
            const std::size_t order = largest_order(page);
            enter(page, order);
            page += pages_of(order);
        }
    }

    [[nodiscard]] static constexpr std::size_t pages_of(std::size_t order) noexcept {
        return std::size_t{1} << order;
    }
    [[nodiscard]] std::byte* base() const noexcept { return base_; }
    [[nodiscard]] std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] std::size_t free_blocks_number(std::size_t order) const noexcept {
        return free_blocks_number_[order];
    }

    /// The page that `address` lies in; no number below pages_number() where it lies in none.
    [[nodiscard]] std::size_t page_at(std::uintptr_t address) const noexcept {
        return (address - address_of(base_)) / page_size;  // wraps below the region
    }

    /// The smallest order from `order` on of which a block is free; orders_number where none is.
    [[nodiscard]] std::size_t free_order_from(std::size_t order) const noexcept {
        const std::uint64_t large_enough = nonempty_ >> order << order;
        return large_enough == 0 ? orders_number : lowest_bit(large_enough);
    }

    /// Takes a block of `order` out of a free one of order `from`. Requires: there is one.
    [[nodiscard]] std::byte* take(std::size_t order, std::size_t from) noexcept {
        PageFrame& head = free_[from].front();
        const auto page = static_cast<std::size_t>(&head - frames_);
        leave(page);
        while (from > order) {
            --from;
            enter(page + pages_of(from), from);
        }
        head.use = PageFrame::Use::Taken;
        head.order = static_cast<std::uint8_t>(order);
        return base_ + page * page_size;
    }

    /// What is wrong with giving back a block of `order` that starts at `page`?
    [[nodiscard]] Defect defect_of(std::size_t page, std::size_t order) const noexcept {
        const PageFrame& frame = frames_[page];
        if (frame.use == PageFrame::Use::Taken && frame.order == order) return Defect::None;
        return is_free(page) ? Defect::DoubleFree : Defect::ForeignPointer;
    }

    /// Requires: defect_of(page, order) == Defect::None.
    void give_back(std::size_t page, std::size_t order) noexcept {
        frames_[page].use = PageFrame::Use::Inside;
        for (std::size_t buddy = buddy_of(page, order); is_free_block(buddy, order);
             buddy = buddy_of(page, order)) {  // [B3]
            leave(buddy);
            if (buddy < page) page = buddy;
            ++order;
        }
        enter(page, order);
    }

private:
    [[nodiscard]] std::size_t first_number() const noexcept {
        return address_of(base_) / page_size;
    }

    /// Of the blocks that can start at `page` and end in the region.
    [[nodiscard]] std::size_t largest_order(std::size_t page) const noexcept {
        const auto aligned = static_cast<std::size_t>(std::countr_zero(first_number() + page));
        const std::size_t fitting = highest_bit(pages_number_ - page);
        const std::size_t order = aligned < fitting ? aligned : fitting;
        return order < orders_number ? order : orders_number - 1;  // not reached: 16 TiB
    }

    [[nodiscard]] std::size_t buddy_of(std::size_t page, std::size_t order) const noexcept {
        return ((first_number() + page) ^ pages_of(order)) - first_number();  // wraps below
    }
    [[nodiscard]] bool is_free_block(std::size_t page, std::size_t order) const noexcept {
        return page < pages_number_ && order < orders_number - 1 &&  // not reached: 16 TiB
               frames_[page].use == PageFrame::Use::Free && frames_[page].order == order;
    }

    /// Does `page` lie in a free block? Where the blocks that it could be in start, from the
    /// smallest on, only its own has a head [B1].
    [[nodiscard]] bool is_free(std::size_t page) const noexcept {
        std::size_t head = page;
        for (std::size_t order = 1; frames_[head].use == PageFrame::Use::Inside; ++order)
            head = align_down(first_number() + page, pages_of(order)) - first_number();
        return frames_[head].use == PageFrame::Use::Free;
    }

    void enter(std::size_t page, std::size_t order) noexcept {  // [B1] [B2]
        frames_[page].use = PageFrame::Use::Free;
        frames_[page].order = static_cast<std::uint8_t>(order);
        free_[order].push_front(frames_[page]);
        nonempty_ |= std::uint64_t{1} << order;
        ++free_blocks_number_[order];
    }
    void leave(std::size_t page) noexcept {
        const std::size_t order = frames_[page].order;
        frames_[page].use = PageFrame::Use::Inside;
        frames_[page].unlink();
        if (free_[order].empty()) nonempty_ &= ~(std::uint64_t{1} << order);
        --free_blocks_number_[order];
    }

    std::byte* base_;
    std::size_t pages_number_;
    PageFrame* frames_;
    std::uint64_t nonempty_ = 0;
    IntrusiveList<PageFrame> free_[orders_number];
    std::size_t free_blocks_number_[orders_number] = {};
};

}  // namespace slab_allocator

// buddy_backend.hpp -- slabs from page frames: buddy allocators over what a memory map has.
//
//      memory map    |        usable        |  hole  |             usable             |
//      regions       | frames | pages       |        | frames | pages                 |
//
// Slabs are naturally aligned blocks of 2^k pages, as caches that find SlabInfos by masking want
// them. A frame costs 24 bytes a page. Where SlabInfos lie beside the frames, as in a kernel's
// `struct page`, a cache asks slab_info_at() and needs no map; that is sizeof(SlabInfo) for each
// info_grain bytes, and nothing where info_grain is 0.
//
// Invariants
//   [K1] pages_number_ and free_pages_number_ are the sums over all regions.
//   [K2] regions_ leads to every region, and no page is in two of them (not checked).

namespace slab_allocator {

/// A SlabSource over any number of regions, which are given at run time. With an info_grain, a
/// power of two from 4096, slab_info_at() serves caches of SlabInfoLookup::PageFrames whose slabs
/// have at least that size. Trivially destructible; not synchronised.
template <std::size_t info_grain = 0>
class BuddyBackend {
    struct Region : BuddyRegion {
        Region(std::byte* base, std::size_t pages, PageFrame* frames, SlabInfo* first_info,
               Region* before) noexcept
            : BuddyRegion(base, pages, frames), infos(first_info), next(before) {}
        SlabInfo* infos;  // of the blocks of info_grain bytes that the region touches
        Region* next;
    };

public:
    static constexpr std::size_t page_size = BuddyRegion::page_size;
    static constexpr std::size_t orders_number = BuddyRegion::orders_number;
    static_assert(info_grain == 0 || (is_power_of_two(info_grain) && info_grain >= page_size),
                  "a SlabInfo stands for whole pages: info_grain must be 0 (no SlabInfos) or a "
                  "power of two from 4096");

    /// No memory, so every alloc_slab is refused until adopt().
    constexpr BuddyBackend() noexcept = default;
    BuddyBackend(const BuddyBackend&) = delete;  // the pages have one owner
    BuddyBackend& operator=(const BuddyBackend&) = delete;

    // ---- Regions --------------------------------------------------------------------------------

    /// As many bytes as the frames of so many pages need.
    [[nodiscard]] static constexpr std::size_t storage_size(std::size_t pages) noexcept {
        return storage_fixed + pages * storage_per_page;
    }

    /// Effects: serves the whole pages of a region, but the first ones, in which the frames lie.
    /// Returns: how many it serves; 0, and the region is left alone, where it is too small.
    /// Requires: nobody else uses the region (not checked). Costs: O(pages).
    std::size_t adopt(void* memory, std::size_t bytes) noexcept {
        const Pages all = whole_pages(memory, bytes);
        const std::size_t own =
            divide_up(storage_fixed + all.number * storage_per_page, page_size + storage_per_page);
        if (all.number <= own) return 0;
        return add_region({all.start + own * page_size, all.number - own}, all.start);
    }

    /// The same with the frames elsewhere, in storage_size(pages) bytes. Requires: so large, and
    /// both are there for as long as the backend is used (not checked).
    std::size_t adopt(void* memory, std::size_t bytes, void* storage) noexcept {
        const Pages all = whole_pages(memory, bytes);
        return all.number == 0 ? 0 : add_region(all, storage);
    }

    // ---- Blocks ---------------------------------------------------------------------------------

    /// Returns: 2^order pages at a multiple of their size, or nullptr.
    /// Costs: O(orders + regions), and no page is touched.
    [[nodiscard]] void* alloc_order(std::size_t order) noexcept {
        if (order >= orders_number) return nullptr;
        Region* best = nullptr;
        std::size_t best_order = orders_number;
        for (Region* region = regions_; region != nullptr; region = region->next) {
            const std::size_t from = region->free_order_from(order);
            if (from < best_order) {  // the smallest block is split, wherever it is
                best = region;
                best_order = from;
            }
        }
        if (best == nullptr) return nullptr;
        free_pages_number_ -= Region::pages_of(order);  // [K1]
        return best->take(order, best_order);
    }

    /// Takes back what alloc_order gave. What is no taken block of this order is reported as a
    /// Defect::ForeignPointer, a page that is free as a DoubleFree; nothing changes then.
    void free_order(void* block, std::size_t order) noexcept {
        Region* const region = region_of(address_of(block));
        const std::size_t page = region == nullptr ? 0 : region->page_at(address_of(block));
        const Defect defect = region == nullptr || !is_aligned(block, page_size)
                                  ? Defect::ForeignPointer
                                  : region->defect_of(page, order);
        if (defect != Defect::None) [[unlikely]] {
            return report({.defect = defect, .pointer = block});
        }
        free_pages_number_ += Region::pages_of(order);  // [K1]
        region->give_back(page, order);
    }

    /// The same by size: the smallest block that has it, and the alignment.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        return slab_size == 0 ? nullptr : alloc_order(order_of(slab_size, slab_alignment));
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        free_order(slab, order_of(slab_size, slab_alignment));
    }

    /// The SlabInfo for a slab at page_addr; nullptr where no such slab can be. Of one that no
    /// cache has, the owner is null. Costs: O(regions).
    [[nodiscard]] SlabInfo* slab_info_at(std::uintptr_t page_addr) noexcept
        requires(info_grain != 0)
    {
        const Region* const region = region_of(page_addr);
        if (region == nullptr || page_addr % info_grain != 0) return nullptr;
        return region->infos + (page_addr / info_grain - info_number(region->base()));
    }

    // ---- To look at -----------------------------------------------------------------------------

    [[nodiscard]] constexpr std::size_t pages_number() const noexcept { return pages_number_; }
    [[nodiscard]] constexpr std::size_t free_pages_number() const noexcept {
        return free_pages_number_;
    }
    [[nodiscard]] constexpr std::size_t pages_in_use() const noexcept {
        return pages_number_ - free_pages_number_;
    }

    /// Requires: order < orders_number. Costs: O(regions).
    [[nodiscard]] std::size_t free_blocks_number(std::size_t order) const noexcept {
        std::size_t number = 0;
        for (const Region* region = regions_; region != nullptr; region = region->next)
            number += region->free_blocks_number(order);
        return number;
    }

    /// Does `pointer` lie in a page that is served, taken or not?
    [[nodiscard]] bool contains(const void* pointer) const noexcept {
        return region_of(address_of(pointer)) != nullptr;
    }

private:
    struct Pages {
        std::byte* start;
        std::size_t number;
    };

    // A region may touch one block of info_grain bytes more than it has bytes for.
    static constexpr std::size_t storage_fixed =
        sizeof(Region) + alignof(Region) + (info_grain != 0 ? 2 * sizeof(SlabInfo) : 0);
    static constexpr std::size_t storage_per_page =
        sizeof(PageFrame) +
        (info_grain != 0 ? divide_up(sizeof(SlabInfo) * page_size, info_grain) : 0);

    [[nodiscard]] static Pages whole_pages(void* memory, std::size_t bytes) noexcept {
        const std::uintptr_t address = address_of(memory);
        const std::size_t lead = align_up(address, page_size) - address;
        if (bytes < lead) return {nullptr, 0};
        return {static_cast<std::byte*>(memory) + lead, (bytes - lead) / page_size};
    }

    [[nodiscard]] static std::size_t info_number(const std::byte* address) noexcept {
        return address_of(address) / info_grain;
    }
    [[nodiscard]] static std::size_t infos_of([[maybe_unused]] Pages pages) noexcept {
        if constexpr (info_grain == 0) {
            return 0;
        } else {
            const std::byte* const last = pages.start + (pages.number * page_size - 1);
            return info_number(last) - info_number(pages.start) + 1;
        }
    }

    /// storage: | SlabInfos | region | frames |
    std::size_t add_region(Pages pages, void* storage) noexcept {
        const std::uintptr_t address = address_of(storage);
        std::byte* place =
            static_cast<std::byte*>(storage) + (align_up(address, alignof(Region)) - address);
        auto* const infos = static_cast<SlabInfo*>(static_cast<void*>(place));
        const std::size_t infos_number = infos_of(pages);
        for (std::size_t info = 0; info < infos_number; ++info)
            ::new (static_cast<void*>(infos + info)) SlabInfo;
        place += infos_number * sizeof(SlabInfo);
        auto* const frames = static_cast<PageFrame*>(static_cast<void*>(place + sizeof(Region)));
        regions_ = ::new (static_cast<void*>(place))
            Region(pages.start, pages.number, frames, infos, regions_);
        pages_number_ += pages.number;  // [K1]
        free_pages_number_ += pages.number;
        return pages.number;
    }

    [[nodiscard]] Region* region_of(std::uintptr_t address) const noexcept {
        Region* region = regions_;
        while (region != nullptr && region->page_at(address) >= region->pages_number())
            region = region->next;
        return region;
    }

    /// orders_number and more: no block is so large.
    [[nodiscard]] static std::size_t order_of(std::size_t size, std::size_t alignment) noexcept {
        const std::size_t larger = size > alignment ? size : alignment;
        return larger <= page_size
                   ? 0
                   : static_cast<std::size_t>(std::bit_width((larger - 1) / page_size));
    }

    Region* regions_ = nullptr;
    std::size_t pages_number_ = 0;
    std::size_t free_pages_number_ = 0;
};

template <std::size_t info_grain>
inline constexpr bool bears_threads<BuddyBackend<info_grain>> = false;

}  // namespace slab_allocator

// composed_backend.hpp -- one backend made of three parts, each of which answers one question.
//
//                      .-- Slabs   alloc_slab free_slab, slab_info_at where it has that
//      ComposedBackend +-- Infos   alloc_slab_info free_slab_info
//                      '-- Map     save_ get_ delete_slab_info_ptr
//
//      Pages pages;
//      ComposedBackend<BackendRef<Pages>, SlabInfoCache<BackendRef<Pages>>,
//                      HashMap<BackendRef<Pages>>> backend{pages, pages, pages};
//
// Parts are held by value and empty ones take no room; a part that several share is a BackendRef. A
// part that cannot be moved is made in its place from the argument that stands for it.
//
// Invariants
//   [K1] a function is there if its part has it, and answers what the part answers.
//   [K2] the parts die in the order map, infos, slabs: what takes pages before what gives them.

namespace slab_allocator {

template <typename Slabs, typename Infos, typename Map>
class ComposedBackend {
public:
    constexpr ComposedBackend() noexcept
        requires std::default_initializable<Slabs> && std::default_initializable<Infos> &&
                     std::default_initializable<Map>
    = default;

    /// Each part from one argument, or from a part of its own type.
    template <typename S = Slabs, typename I = Infos, typename M = Map>
        requires std::constructible_from<Slabs, S> && std::constructible_from<Infos, I> &&
                     std::constructible_from<Map, M>
    constexpr ComposedBackend(S&& slabs, I&& infos, M&& map) noexcept
        : slabs_(std::forward<S>(slabs)),
          infos_(std::forward<I>(infos)),
          map_(std::forward<M>(map)) {}

    [[nodiscard]] constexpr Slabs& slabs() noexcept { return slabs_; }
    [[nodiscard]] constexpr Infos& infos() noexcept { return infos_; }
    [[nodiscard]] constexpr Map& map() noexcept { return map_; }

    [[nodiscard]] constexpr decltype(auto) alloc_slab(std::size_t slab_size,
                                                      std::size_t slab_alignment) noexcept
        requires requires(Slabs& slabs) { slabs.alloc_slab(slab_size, slab_alignment); }
    {
        return slabs_.alloc_slab(slab_size, slab_alignment);
    }

    constexpr decltype(auto) free_slab(void* slab, std::size_t slab_size,
                                       std::size_t slab_alignment) noexcept
        requires requires(Slabs& slabs) { slabs.free_slab(slab, slab_size, slab_alignment); }
    {
        return slabs_.free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] constexpr decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Slabs& slabs) { slabs.slab_info_at(page_addr); }
    {
        return slabs_.slab_info_at(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) secret() noexcept
        requires requires(Slabs& slabs) { slabs.secret(); }
    {
        return slabs_.secret();
    }

    [[nodiscard]] constexpr decltype(auto) alloc_slab_info() noexcept
        requires requires(Infos& infos) { infos.alloc_slab_info(); }
    {
        return infos_.alloc_slab_info();
    }

    constexpr decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Infos& infos) { infos.free_slab_info(slab_info); }
    {
        return infos_.free_slab_info(slab_info);
    }

    constexpr decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr,
                                                SlabInfo* slab_info) noexcept
        requires requires(Map& map) { map.save_slab_info_ptr(page_addr, slab_info); }
    {
        return map_.save_slab_info_ptr(page_addr, slab_info);
    }

    [[nodiscard]] constexpr decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Map& map) { map.get_slab_info_ptr(page_addr); }
    {
        return map_.get_slab_info_ptr(page_addr);
    }

    constexpr decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Map& map) { map.delete_slab_info_ptr(page_addr); }
    {
        return map_.delete_slab_info_ptr(page_addr);
    }

private:
    [[no_unique_address]] Slabs slabs_{};
    [[no_unique_address]] Infos infos_{};
    [[no_unique_address]] Map map_{};
};

template <typename Slabs, typename Infos, typename Map>
ComposedBackend(Slabs, Infos, Map) -> ComposedBackend<Slabs, Infos, Map>;

template <typename Slabs, typename Infos, typename Map>
inline constexpr bool bears_threads<ComposedBackend<Slabs, Infos, Map>> =
    bears_threads<Slabs> && bears_threads<Infos> && bears_threads<Map>;

}  // namespace slab_allocator

// first_fit_pages.hpp -- slabs and runs of any number of pages, cut from chunks that all sizes
// share.
//
//      chunk    | A A A A | B | . . . | C C C C C C C C C | . . . . . |     A: 4 pages, C: 9
//      groups   '------- 0 -------' '------- 1 -------' '------- 2 -----'    the longest hole there
//
// SlabRuns keeps sizes apart: no search, but a page that was one size's is not another's, and 9
// pages take 16. Here the lowest pages that are large enough are taken, so what was touched before
// is used again before fresh memory is touched. That is what a heap wants, which asks for all
// sizes: what the system counts as resident is little more than what is live.
//
// Pages that were given back stay resident, as long as they are no more than those that are taken;
// else the highest of them are discarded, until half as many are left. Where more pages would be
// resident than ever before, and a third of them idle, all that are idle are discarded. A slab as
// large as a huge page begins at the border of one and may have them, because its owner asked for
// as much at once; what it gives back is discarded at once. Pages that the source refuses to
// discard (locked ones) stay idle and touched; it is asked again when twice as many are idle.
//
// Invariants
//   [G1] a chunk is aligned to its size; bit p of `taken` is set  <=>  its page p is taken
//   [G2] bit p of `touched` is set where somebody may have written to page p since it was fresh;
//        while it is taken, that is: before that
//   [G3] longest[g] is at least the length of every hole that starts in group g
//   [G4] idle_pages_number_ == |pages that are free and touched|
//   [G5] kept_ is the only chunk without taken pages, or null: the second one is given back
//   [G6] no page from end_of_taken on is taken, and the one before it is, so that no search looks
//        at what lies behind
//   [G7] bit g of `huge` is set where group g may have a huge page: only while all of it is taken

namespace slab_allocator {

/// A SlabSource whose fresh memory is zero, that can make pages fresh again, and be advised where
/// huge pages are wanted: what a first touch of each page would cost, one does for 512.
template <typename Pages>
concept DiscardingSource = SlabSource<Pages> && requires(Pages& pages, void* start) {
    { pages.discard(start, std::size_t{}) } -> std::same_as<bool>;  // false: as they were
    { pages.advise_huge_pages(start, std::size_t{}, bool{}) } -> std::same_as<void>;
};

namespace detail {

/// One bit for each page of a chunk.
template <std::size_t pages_number>
class PageBits {
public:
    /// The first page from `page` on whose bit is as wanted; pages_number where there is none.
    [[nodiscard]] std::size_t first_from(std::size_t page, bool wanted) const noexcept {
        const std::uint64_t flip = wanted ? 0 : ~std::uint64_t{0};
        for (std::size_t word = page / 64; word < words_number; ++word) {
            std::uint64_t bits = words_[word] ^ flip;
            if (word == page / 64) bits &= ~std::uint64_t{0} << (page % 64);
            if (bits != 0) return word * 64 + lowest_bit(bits);
        }
        return pages_number;
    }
    /// Behind the last page before `page` whose bit is set.
    [[nodiscard]] std::size_t end_before(std::size_t page) const noexcept {
        while (page > 0) {
            const std::size_t start = (page - 1) / 64 * 64;
            const std::uint64_t bits = words_[start / 64] & bits_below(page - start);
            if (bits != 0) return start + highest_bit(bits) + 1;
            page = start;
        }
        return 0;
    }
    [[nodiscard]] std::size_t number(std::size_t page, std::size_t pages) const noexcept {
        std::size_t sum = 0;
        for_each_word(page, pages, [&](std::size_t word, std::uint64_t bits) {
            sum += bits_number(words_[word] & bits);
        });
        return sum;
    }
    void set(std::size_t page, std::size_t pages) noexcept {
        for_each_word(page, pages,
                      [&](std::size_t word, std::uint64_t bits) { words_[word] |= bits; });
    }
    void clear(std::size_t page, std::size_t pages) noexcept {
        for_each_word(page, pages,
                      [&](std::size_t word, std::uint64_t bits) { words_[word] &= ~bits; });
    }

private:
    static constexpr std::size_t words_number = pages_number / 64;

    template <typename F>
    static void for_each_word(std::size_t page, std::size_t pages, F f) noexcept {
        for (const std::size_t end = page + pages; page < end;) {
            const std::size_t word = page / 64;
            const std::size_t last = end - word * 64;
            f(word, bits_below(last) & ~bits_below(page % 64));
            page = (word + 1) * 64;
        }
    }

    std::uint64_t words_[words_number] = {};
};

}  // namespace detail

/// A SlabSource over a SlabSource. Chunks, and a page for the record of each, come from Pages and
/// go back there; a slab above largest_slab is Pages' own. Not synchronised.
template <DiscardingSource Pages, std::size_t chunk_size = std::size_t{32} * 1024 * 1024>
class FirstFitPages {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t largest_slab = chunk_size / 2;
    /// As many pages as are taken may lie idle, and this many in any case.
    static constexpr std::size_t least_idle_pages = 512;
    /// This share of those that are taken may even where so many were never resident before.
    static constexpr std::size_t idle_share_at_peak = 2;
    static_assert(is_power_of_two(chunk_size) && chunk_size >= 64 * page_size,
                  "FirstFitPages: chunk_size must be a power of two, at least 64 pages");

    constexpr FirstFitPages() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit FirstFitPages(Pages pages) noexcept : pages_(std::move(pages)) {}
    FirstFitPages(const FirstFitPages&) = delete;  // chunks know its address
    FirstFitPages& operator=(const FirstFitPages&) = delete;

    /// Gives every chunk back, pages that are still taken included.
    ~FirstFitPages() {
        while (first_ != nullptr)
            give_back(*first_);
    }

    /// Is such a slab Pages' own, and not cut from a chunk?
    [[nodiscard]] static constexpr bool is_for_source(std::size_t slab_size,
                                                      std::size_t slab_alignment) noexcept {
        return slab_size > largest_slab || slab_alignment > largest_slab;
    }

    /// Whole pages, and for no bytes one. Costs: O(groups), and O(holes) of one group; once in vain
    /// for each change of a group.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        if (is_for_source(slab_size, slab_alignment))
            return pages_.alloc_slab(slab_size, slab_alignment);
        const Wanted wanted = wanted_for(slab_size, slab_alignment);
        for (Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
            if (void* const slab = take_from(*chunk, wanted)) return slab;
        }
        Chunk* const chunk = new_chunk();
        return chunk == nullptr ? nullptr : take_from(*chunk, wanted);
    }

    /// What is in no chunk is a Defect::ForeignPointer, free pages a DoubleFree. Requires: what
    /// alloc_slab gave for the same size and alignment (not checked further).
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        if (is_for_source(slab_size, slab_alignment))
            return pages_.free_slab(slab, slab_size, slab_alignment);
        Chunk* const chunk = chunk_of(slab);
        const std::size_t pages = wanted_for(slab_size, slab_alignment).pages;
        const std::size_t page = page_of(slab);
        if (chunk == nullptr || !is_aligned(slab, page_size) || page + pages > pages_per_chunk) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (chunk->taken.number(page, pages) != pages) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        give_to(*chunk, page, pages);
        settle();
    }

    /// Makes a slab longer or shorter where it is. Returns: false, and nothing has changed, where
    /// what lies behind it is taken. Requires: a slab of `before` bytes (as free_slab's).
    [[nodiscard]] bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                   std::size_t slab_alignment) noexcept {
        if (is_for_source(before, slab_alignment) || is_for_source(after, slab_alignment))
            return false;
        Chunk* const chunk = chunk_of(slab);
        if (chunk == nullptr) return false;
        const std::size_t has = wanted_for(before, slab_alignment).pages;
        const std::size_t wants = wanted_for(after, slab_alignment).pages;
        const std::size_t page = page_of(slab);
        if (wants > has) {
            const std::size_t end_of_hole = end_of_free(*chunk, page + has);
            if (page + wants > end_of_hole) return false;
            take(*chunk, page + has, wants - has);
            note_hole(*chunk, page + wants, end_of_hole);
        } else if (wants < has) {
            give_to(*chunk, page + wants, has - wants);
            settle();
        }
        return true;
    }

    /// Is all of a slab as the source gave it, and so zero, but for what its owner wrote? Requires:
    /// what alloc_slab gave.
    [[nodiscard]] bool is_fresh(const void* slab, std::size_t slab_size) noexcept {
        const Chunk* const chunk = chunk_of(slab);
        return chunk == nullptr ||
               chunk->touched.number(page_of(slab), divide_up(slab_size, page_size)) == 0;
    }

    /// Gives back what is kept for later. Returns: how many bytes.
    std::size_t trim() noexcept {
        const std::size_t before = bytes_held_ + idle_pages_number_ * page_size;
        if (kept_ != nullptr) give_back(*kept_);
        discard_idle_pages(0);
        return before - bytes_held_;
    }

    /// The bytes of all chunks, taken pages or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return bytes_held_; }
    [[nodiscard]] constexpr std::size_t idle_bytes() const noexcept {
        return idle_pages_number_ * page_size;
    }
    /// The most that was resident at once, as far as it is taken here.
    [[nodiscard]] constexpr std::size_t peak_bytes() const noexcept {
        return peak_pages_number_ * page_size;
    }
    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

private:
    static constexpr std::size_t pages_per_chunk = chunk_size / page_size;
    static constexpr std::size_t pages_per_group = pages_per_chunk < 512 ? pages_per_chunk : 512;
    static constexpr std::size_t groups_number = pages_per_chunk / pages_per_group;

    struct Wanted {
        std::size_t pages;
        std::size_t grain;  // in pages: where it may start
    };

    struct Chunk {
        Chunk* next = nullptr;
        std::byte* start = nullptr;
        std::size_t taken_number = 0;
        std::size_t end_of_taken = 0;               // [G6]
        std::uint64_t huge = 0;                     // [G7]
        std::uint32_t longest[groups_number] = {};  // [G3]
        detail::PageBits<pages_per_chunk> taken;    // [G1]
        detail::PageBits<pages_per_chunk> touched;  // [G2]
    };
    static constexpr std::size_t record_size = align_up(sizeof(Chunk), page_size);

    [[nodiscard]] static constexpr Wanted wanted_for(std::size_t slab_size,
                                                     std::size_t slab_alignment) noexcept {
        const std::size_t pages = divide_up(slab_size == 0 ? 1 : slab_size, page_size);
        const std::size_t grain = divide_up(slab_alignment, page_size);
        return {pages,
                pages >= pages_per_group && grain < pages_per_group ? pages_per_group : grain};
    }
    [[nodiscard]] static std::size_t page_of(const void* slab) noexcept {
        return address_of(slab) % chunk_size / page_size;
    }
    [[nodiscard]] Chunk* chunk_of(const void* slab) noexcept {
        Chunk* chunk = first_;
        while (chunk != nullptr && address_of(slab) - address_of(chunk->start) >= chunk_size)
            chunk = chunk->next;
        return chunk;
    }

    // ---- Pages of a chunk -----------------------------------------------------------------------

    [[nodiscard]] void* take_from(Chunk& chunk, const Wanted& wanted) noexcept {
        for (std::size_t group = 0; group < groups_number; ++group) {
            if (chunk.longest[group] < wanted.pages) continue;
            if (void* const slab = take_from(chunk, group, wanted)) return slab;
        }
        return nullptr;
    }

    /// Out of the first hole that starts in the group and is large enough.
    [[nodiscard]] void* take_from(Chunk& chunk, std::size_t group, const Wanted& wanted) noexcept {
        std::size_t longest = 0;
        const std::size_t end_of_group = (group + 1) * pages_per_group;
        std::size_t page = start_in(chunk, group);
        while (page < end_of_group) {
            const std::size_t end = end_of_free(chunk, page);
            const std::size_t start = align_up(page, wanted.grain);
            if (start + wanted.pages <= end) {
                take(chunk, start, wanted.pages);
                note_hole(chunk, start + wanted.pages, end);
                if (wanted.pages >= pages_per_group) advise_huge_pages(chunk, start, wanted.pages);
                return chunk.start + start * page_size;
            }
            if (end - page > longest) longest = end - page;
            page = end == pages_per_chunk ? end : chunk.taken.first_from(end, false);
        }
        chunk.longest[group] = static_cast<std::uint32_t>(longest);  // [G3]
        return nullptr;
    }

    /// The first page of the first hole that starts in the group.
    [[nodiscard]] static std::size_t start_in(const Chunk& chunk, std::size_t group) noexcept {
        const std::size_t first = group * pages_per_group;
        const std::size_t page = chunk.taken.first_from(first, false);
        if (page != first || chunk.taken.end_before(first) == first) return page;
        const std::size_t end = end_of_free(chunk, first);  // it starts before the group
        return end == pages_per_chunk ? end : chunk.taken.first_from(end, false);
    }

    /// Behind the last page of the hole that `page` lies in.
    [[nodiscard]] static std::size_t end_of_free(const Chunk& chunk, std::size_t page) noexcept {
        return page >= chunk.end_of_taken ? pages_per_chunk : chunk.taken.first_from(page, true);
    }

    void take(Chunk& chunk, std::size_t page, std::size_t pages) noexcept {
        chunk.taken.set(page, pages);
        idle_pages_number_ -= chunk.touched.number(page, pages);  // [G4]
        chunk.taken_number += pages;
        taken_pages_number_ += pages;
        if (page + pages > chunk.end_of_taken) chunk.end_of_taken = page + pages;  // [G6]
        if (&chunk == kept_) kept_ = nullptr;                                      // [G5]
        if (taken_pages_number_ + idle_pages_number_ > peak_pages_number_) new_peak();
    }

    void give_to(Chunk& chunk, std::size_t page, std::size_t pages) noexcept {
        chunk.taken.clear(page, pages);
        chunk.touched.set(page, pages);
        idle_pages_number_ += pages;
        chunk.taken_number -= pages;
        taken_pages_number_ -= pages;
        const std::size_t start_of_hole = chunk.taken.end_before(page);
        if (page + pages == chunk.end_of_taken) chunk.end_of_taken = start_of_hole;  // [G6]
        note_hole(chunk, start_of_hole, end_of_free(chunk, page));
        if (chunk.huge != 0) no_more_huge(chunk, page, pages);
        if (chunk.taken_number != 0) return;
        if (kept_ != nullptr) give_back(*kept_);
        kept_ = &chunk;
    }

    void note_hole(Chunk& chunk, std::size_t page, std::size_t end) noexcept {  // [G3]
        if (page == end) return;
        std::uint32_t& longest = chunk.longest[page / pages_per_group];
        if (end - page > longest) longest = static_cast<std::uint32_t>(end - page);
    }

    void settle() noexcept {
        const std::size_t most =
            taken_pages_number_ < least_idle_pages ? least_idle_pages : taken_pages_number_;
        if (idle_pages_number_ > most && may_discard()) discard_idle_pages(most / 2);
    }
    [[nodiscard]] bool may_discard() const noexcept { return idle_pages_number_ / 2 >= refused_; }

    /// Of what is taken now, all that is fresh will be resident.
    [[gnu::noinline]] void new_peak() noexcept {
        if (idle_pages_number_ > taken_pages_number_ / idle_share_at_peak && may_discard())
            discard_idle_pages(0);
        const std::size_t resident = taken_pages_number_ + idle_pages_number_;
        if (resident > peak_pages_number_) peak_pages_number_ = resident;
    }

    /// But `left` of them, the lowest, which are taken next.
    [[gnu::noinline]] void discard_idle_pages(std::size_t left) noexcept {
        const std::size_t most_left = left;
        for (Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
            for (std::size_t page = 0; page < pages_per_chunk;) {
                const std::size_t start = chunk->taken.first_from(page, false);
                page = chunk->taken.first_from(start, true);
                discard(*chunk, behind_idle(*chunk, start, page, left), page);
            }
        }
        refused_ = idle_pages_number_ - (most_left - left);
    }
    /// Passes over at most `number` idle pages, which it takes off, of the hole from `page` to
    /// `end`. Returns: where it came to.
    [[nodiscard]] static std::size_t behind_idle(const Chunk& chunk, std::size_t page,
                                                 std::size_t end, std::size_t& number) noexcept {
        while (number > 0 && (page = chunk.touched.first_from(page, true)) < end) {
            ++page;
            --number;
        }
        return page;
    }
    /// What is touched of the hole from `page` to `end`.
    void discard(Chunk& chunk, std::size_t page, std::size_t end) noexcept {
        while ((page = chunk.touched.first_from(page, true)) < end) {
            const std::size_t fresh = chunk.touched.first_from(page, false);
            const std::size_t pages = (fresh < end ? fresh : end) - page;
            if (pages_.discard(chunk.start + page * page_size, pages * page_size)) {
                chunk.touched.clear(page, pages);
                idle_pages_number_ -= pages;  // [G4]
            }
            page += pages;
        }
    }

    // ---- Huge pages -----------------------------------------------------------------------------

    static_assert(groups_number <= 64, "FirstFitPages: a chunk has at most 64 groups");

    /// The groups that lie in these pages as a whole.
    [[gnu::noinline]] void advise_huge_pages(Chunk& chunk, std::size_t page,
                                             std::size_t pages) noexcept {
        const std::size_t first = divide_up(page, pages_per_group);
        const std::size_t end = (page + pages) / pages_per_group;
        chunk.huge |= bits_below(end) & ~bits_below(first);
        advise(chunk, first, end - first, true);
    }
    /// Of a group of which a page was given back, or of all of them.
    [[gnu::noinline]] void no_more_huge(Chunk& chunk, std::size_t page,
                                        std::size_t pages) noexcept {
        const std::size_t first = page / pages_per_group;
        const std::size_t end = divide_up(page + pages, pages_per_group);
        const std::uint64_t huge = chunk.huge & bits_below(end) & ~bits_below(first);
        if (huge == 0) return;
        chunk.huge &= ~huge;  // [G7]
        advise(chunk, lowest_bit(huge), highest_bit(huge) + 1 - lowest_bit(huge), false);
        discard(chunk, page, page + pages);
    }
    void advise(Chunk& chunk, std::size_t group, std::size_t groups, bool huge) noexcept {
        constexpr std::size_t group_size = pages_per_group * page_size;
        pages_.advise_huge_pages(chunk.start + group * group_size, groups * group_size, huge);
    }

    // ---- Chunks ---------------------------------------------------------------------------------

    /// Born whole or not at all.
    [[nodiscard, gnu::noinline]] Chunk* new_chunk() noexcept {
        void* const memory = pages_.alloc_slab(chunk_size, chunk_size);
        if (memory == nullptr) return nullptr;
        void* const record = pages_.alloc_slab(record_size, page_size);
        if (record == nullptr) {
            pages_.free_slab(memory, chunk_size, chunk_size);
            return nullptr;
        }
        Chunk& chunk = *::new (record) Chunk;
        chunk.start = static_cast<std::byte*>(memory);
        note_hole(chunk, 0, pages_per_chunk);
        Chunk** last = &first_;  // the older ones are filled first
        while (*last != nullptr)
            last = &(*last)->next;
        *last = &chunk;
        bytes_held_ += chunk_size;
        return &chunk;
    }

    void give_back(Chunk& chunk) noexcept {
        if (&chunk == kept_) kept_ = nullptr;
        void* const memory = chunk.start;
        idle_pages_number_ -= chunk.touched.number(0, pages_per_chunk);  // all of them are free
        Chunk** place = &first_;
        while (*place != &chunk)
            place = &(*place)->next;
        *place = chunk.next;
        pages_.free_slab(&chunk, record_size, page_size);
        bytes_held_ -= chunk_size;
        pages_.free_slab(memory, chunk_size, chunk_size);
    }

    [[no_unique_address]] Pages pages_{};
    Chunk* first_ = nullptr;
    Chunk* kept_ = nullptr;  // [G5]
    std::size_t bytes_held_ = 0;
    std::size_t taken_pages_number_ = 0;
    std::size_t idle_pages_number_ = 0;  // [G4]
    std::size_t peak_pages_number_ = 0;  // of both together
    std::size_t refused_ = 0;            // idle pages that could not be discarded, the last time
};

template <DiscardingSource Pages, std::size_t chunk_size>
inline constexpr bool bears_threads<FirstFitPages<Pages, chunk_size>> = false;

}  // namespace slab_allocator

// slab_info_cache.hpp -- SlabInfos for Large caches, served by a small cache of SlabInfos.
//
//      Cache<T, ComposedBackend<Pages, SlabInfoCache<Pages>, HashMap<Pages>>, Large>
//                                       '-- Cache<SlabInfo, Pages>, Small, one page: needs no map
//
// The recursion ends by construction: the cache of SlabInfos is Small and one page, so it finds its
// own records by masking and asks nothing but pages.

namespace slab_allocator {

/// Serves alloc_slab_info() and free_slab_info(). Not synchronised: whoever holds the lock of the
/// caches that use it. Two SlabInfoCaches may share their Pages through BackendRef.
template <SlabSource Pages, std::size_t page_size = 4096, bool never_destroyed = false>
class SlabInfoCache {
public:
    constexpr SlabInfoCache() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit SlabInfoCache(Pages pages) noexcept : cache_(std::move(pages)) {}

    [[nodiscard]] SlabInfo* alloc_slab_info() noexcept { return cache_.alloc(); }
    void free_slab_info(SlabInfo* slab_info) noexcept { cache_.free(slab_info); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return cache_.backend(); }
    [[nodiscard]] constexpr auto& cache() noexcept { return cache_; }

private:
    Cache<SlabInfo, Pages,
          CacheConfig{.slab_size = page_size,
                      .page_size = page_size,
                      .object_size_type = ObjectSizeType::Small,
                      .never_destroyed = never_destroyed}>
        cache_;
};

template <SlabSource Pages, std::size_t page_size, bool never_destroyed>
inline constexpr bool bears_threads<SlabInfoCache<Pages, page_size, never_destroyed>> = false;

}  // namespace slab_allocator

// hash_map.hpp -- which SlabInfo a page belongs to, in a hash table: for pages from anywhere.
//
//      home(a) == home(b) == 2, home(c) == 3, so c had to move on:
//
//        0   1   2   3   4   5   6   7        an entry is {page_addr, SlabInfo*}, and empty if it
//      |   |   | a | b | c |   |   |   |      has no SlabInfo; after the last one comes the first
//
// get costs one multiplication and, since the table is at most half full, mostly one comparison.
// save and delete cost O(1), and O(saved pages) when the table doubles or halves. A table is a
// power of two of entries, at least page_size bytes, taken from Pages aligned to page_size. While
// Pages refuses a larger one, the old one takes pages until only one entry is empty. A map without
// pages holds no memory.
//
// Every call, get too, needs the caller's lock: nobody else may use the map at that time. Pages
// must not call the map. An address is the one of a page's first byte, a multiple of page_size.
//
// Invariants
//   [H1] at least one entry is empty, so that every search ends.
//   [H2] no entry from the home of a page to the one that it is in is empty: a search may end at an
//        empty one. A delete moves pages back to keep this, and leaves no trace.
//   [H3] |entries that are not empty| == pages_number_, and no page is in two of them.
//   [H4] pages_number_ == 0  <=>  entries_ == no_entries_, and capacity() == 1

namespace slab_allocator {

/// A SlabInfoMap. never_destroyed is for statics of a kernel: the destructor is trivial, and a
/// table that is not empty by then is not given back.
template <SlabSource Pages, std::size_t page_size = 4096, bool never_destroyed = false>
class HashMap {
    struct Entry {
        std::uintptr_t page_addr = 0;
        SlabInfo* slab_info = nullptr;
    };

    static_assert(is_power_of_two(page_size), "page_size must be a power of two");
    static_assert(page_size >= 2 * sizeof(Entry),
                  "page_size must be at least two entries of the table");

public:
    constexpr HashMap() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit HashMap(Pages pages) noexcept : pages_(static_cast<Pages&&>(pages)) {}
    HashMap(const HashMap&) = delete;  // entries_ may point into this map
    HashMap& operator=(const HashMap&) = delete;

    ~HashMap()
        requires never_destroyed
    = default;
    ~HashMap() { give_back(entries_, capacity()); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

    /// Effects: page_addr belongs to slab_info, whatever it belonged to before (nullptr: nothing).
    /// Returns: false if the table is full and Pages refuses a larger one; nothing changed then.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) {
            delete_slab_info_ptr(page_addr);
            return true;
        }
        std::size_t index = find(page_addr);
        if (empty(index)) {
            if (2 * (pages_number_ + 1) > capacity() && move_to(larger())) index = find(page_addr);
            if (pages_number_ + 1 >= capacity()) return false;  // [H1]
            ++pages_number_;
        }
        entries_[index] = Entry{page_addr, slab_info};
        return true;
    }

    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        return entries_[find(page_addr)].slab_info;
    }

    /// Effects: none if the page was not saved.
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        const std::size_t index = find(page_addr);
        if (empty(index)) return;
        entries_[close_up(index)] = Entry{};
        --pages_number_;
        if (pages_number_ == 0) {
            leave_table();
        } else if (8 * pages_number_ < capacity() && capacity() > first_capacity) {
            static_cast<void>(move_to(capacity() / 2));  // refused: stays where it is
        }
    }

private:
    static constexpr int address_width = 8 * int{sizeof(std::uintptr_t)};
    static constexpr int page_bits = std::countr_zero(page_size);
    static constexpr std::size_t first_capacity = page_size / sizeof(Entry);

    // The golden ratio, shifted so that the page offset of an address needs not be shifted out.
    // Odd, so that no two pages have the same product.
    static constexpr std::uintptr_t multiplier =
        static_cast<std::uintptr_t>(0x9E3779B97F4A7C15 >> (64 - address_width) >> page_bits) | 1;

    [[nodiscard]] constexpr std::size_t capacity() const noexcept { return mask_ + 1; }
    [[nodiscard]] bool empty(std::size_t index) const noexcept {
        return entries_[index].slab_info == nullptr;
    }
    [[nodiscard]] std::size_t home(std::uintptr_t page_addr) const noexcept {
        return static_cast<std::size_t>((page_addr * multiplier) >> shift_);
    }
    [[nodiscard]] std::size_t after(std::size_t index) const noexcept {
        return (index + 1) & mask_;
    }
    [[nodiscard]] std::size_t larger() const noexcept {
        return capacity() == 1 ? first_capacity : 2 * capacity();
    }

    /// Returns: the entry that page_addr is in, or else the empty one in which it would be.
    [[nodiscard]] std::size_t find(std::uintptr_t page_addr) const noexcept {
        std::size_t index = home(page_addr);
        while (entries_[index].page_addr != page_addr && !empty(index)) {
            index = after(index);
        }
        return index;
    }

    /// Moves pages back over the one at `hole`, so that [H2] holds without it.
    /// Returns: the entry that is to become empty instead.
    [[nodiscard]] std::size_t close_up(std::size_t hole) noexcept {
        for (std::size_t index = after(hole); !empty(index); index = after(index)) {
            // Distances modulo the width of size_t are in the same order as modulo the capacity.
            if (index - home(entries_[index].page_addr) < index - hole) continue;  // home is after
            entries_[hole] = entries_[index];
            hole = index;
        }
        return hole;
    }

    void enter_table(Entry* entries, std::size_t entries_number) noexcept {
        entries_ = entries;
        mask_ = entries_number - 1;
        shift_ = address_width - (entries_number == 1 ? 1 : std::countr_zero(entries_number));
    }

    /// Returns: false if Pages refuses; nothing has changed then.
    [[nodiscard, gnu::noinline]] bool move_to(std::size_t new_capacity) noexcept {
        void* const memory = pages_.alloc_slab(bytes(new_capacity), page_size);
        if (memory == nullptr) return false;
        Entry* const new_entries = static_cast<Entry*>(memory);
        for (std::size_t index = 0; index < new_capacity; ++index) {
            ::new (new_entries + index) Entry{};
        }

        Entry* const old_entries = entries_;
        const std::size_t old_capacity = capacity();
        enter_table(new_entries, new_capacity);
        for (std::size_t index = 0; index < old_capacity; ++index) {
            const Entry& old = old_entries[index];
            if (old.slab_info != nullptr) entries_[find(old.page_addr)] = old;
        }
        give_back(old_entries, old_capacity);
        return true;
    }

    void leave_table() noexcept {
        Entry* const old_entries = entries_;
        const std::size_t old_capacity = capacity();
        enter_table(no_entries_, 1);
        give_back(old_entries, old_capacity);
    }

    void give_back(Entry* entries, std::size_t entries_number) noexcept {
        if (entries_number == 1) return;  // no_entries_
        pages_.free_slab(entries, bytes(entries_number), page_size);
    }

    [[nodiscard]] static constexpr std::size_t bytes(std::size_t entries_number) noexcept {
        return entries_number * sizeof(Entry);
    }

    Entry* entries_ = no_entries_;
    std::size_t mask_ = 0;
    int shift_ = address_width - 1;
    std::size_t pages_number_ = 0;
    // The table while there is no other. It counts as one entry, so it is full and never written.
    // There are two because a home has at least one bit.
    Entry no_entries_[2]{};
    [[no_unique_address]] Pages pages_{};
};

template <SlabSource Pages, std::size_t page_size, bool never_destroyed>
inline constexpr bool bears_threads<HashMap<Pages, page_size, never_destroyed>> = false;

}  // namespace slab_allocator

// slab_runs.hpp -- slabs cut from runs of 2 MiB, for sources of pages that are dear one by one.
//
//      run     | slab 0 | slab 1 | slab 2 | ... | slab N-1 |       N slots of one stride
//              '-- map: start of the run's block --> SlabInfo of the run: which slabs are free
//
// A run is to its slabs what a slab is to its objects, so a SlabInfo manages it. Slabs of each
// power of two have runs of their own; a slab above run_size is a run by itself. A run is aligned
// to its slabs only, not to run_size: malloc pads a block by its alignment, and where huge pages
// are on, what is padded becomes resident. So a slab's run starts in the slab's block of run_size
// bytes or in the one before it: two questions to a map that answers for any address, and no byte
// of a run is ever read or written here.
//
// Invariants
//   [U1] a run is at least run_size_ bytes long, so at most one run starts in a block.
//   [U2] Partial runs stand on the list of their stride, all others on others_.
//   [U3] kept_ is the only run without taken slabs, or null: the second one is given back.
//   [U4] SlabInfo::list is log2(stride) of the run; owner is this.

namespace slab_allocator {

/// A SlabSource over a SlabSource. Runs, and a few pages for its own records, come from Pages and
/// go back there. Not synchronised.
template <SlabSource Pages>
class SlabRuns {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t largest_run_size = page_size * std::bit_floor(SlabInfo::max_slots);

    constexpr SlabRuns() noexcept
        requires std::default_initializable<Pages>
    {}
    /// run_size is rounded to a power of two from page_size to largest_run_size.
    constexpr explicit SlabRuns(Pages pages, std::size_t run_size = largest_run_size) noexcept
        : pages_(std::move(pages)),
          run_size_(run_size < page_size          ? page_size
                    : run_size > largest_run_size ? largest_run_size
                                                  : std::bit_ceil(run_size)) {}
    SlabRuns(const SlabRuns&) = delete;  // its lists and references know its address
    SlabRuns& operator=(const SlabRuns&) = delete;

    /// Gives every run back, slabs that are still taken included.
    ~SlabRuns() {
        while (!others_.empty())
            give_back(others_.front());
        for (auto& runs : partial_) {
            while (!runs.empty())
                give_back(runs.front());
        }
    }

    /// A slab is aligned to its size rounded up to a power of two, and to slab_alignment.
    /// Costs: O(1), one call of Pages for each run.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t stride = stride_of(slab_size, slab_alignment);
        if (stride == 0) return nullptr;
        SlabInfo* const run = run_with_room(stride);
        return run == nullptr ? nullptr : take_from(*run);
    }

    /// What is no slab of this size is a Defect::ForeignPointer, a free one a DoubleFree.
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t stride = stride_of(slab_size, slab_alignment);
        SlabInfo* const run = stride == 0 ? nullptr : find(slab, stride);
        const std::size_t offset = run == nullptr ? 0 : address_of(slab) - address_of(run->slab);
        if (run == nullptr || offset % stride != 0) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (run->map.is_free(offset / stride)) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        give_to(*run, offset / stride);
    }

    /// Gives back what is kept for later. Returns: how many bytes of runs.
    std::size_t trim() noexcept {
        const std::size_t before = bytes_held_;
        if (kept_ != nullptr) give_back(*std::exchange(kept_, nullptr));
        infos_.cache().shrink_to_fit();
        return before - bytes_held_;
    }

    /// The bytes of all runs, taken slabs or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return bytes_held_; }
    [[nodiscard]] constexpr std::size_t run_size() const noexcept { return run_size_; }
    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

private:
    using Runs = IntrusiveList<SlabInfo>;

    static constexpr int smallest = std::countr_zero(page_size);
    static constexpr int partial_lists = std::countr_zero(largest_run_size) - smallest;

    /// 0 where there is no such power of two.
    [[nodiscard]] static constexpr std::size_t stride_of(std::size_t slab_size,
                                                         std::size_t slab_alignment) noexcept {
        std::size_t stride = slab_size > slab_alignment ? slab_size : slab_alignment;
        if (stride < page_size) stride = page_size;
        return stride > ~std::size_t{0} / 2 ? 0 : std::bit_ceil(stride);
    }

    [[nodiscard]] static constexpr std::size_t stride_of(const SlabInfo& run) noexcept {
        return std::size_t{1} << run.list;  // [U4]
    }
    [[nodiscard]] constexpr std::size_t bytes_of(std::size_t stride) const noexcept {
        return stride < run_size_ ? run_size_ : stride;  // [U1]
    }
    [[nodiscard]] constexpr std::size_t slabs_number(std::size_t stride) const noexcept {
        return bytes_of(stride) / stride;
    }
    [[nodiscard]] std::uintptr_t block_address(const void* pointer) const noexcept {
        return align_down(address_of(pointer), run_size_);
    }

    /// The run of this stride that `slab` lies in; nullptr where none is.
    [[nodiscard]] SlabInfo* find(const void* slab, std::size_t stride) const noexcept {
        const std::uintptr_t block = block_address(slab);
        for (const std::uintptr_t start : {block, block - run_size_}) {  // [U1]
            SlabInfo* const run = map_.get_slab_info_ptr(start);
            if (run != nullptr && stride_of(*run) == stride &&
                address_of(slab) - address_of(run->slab) < bytes_of(stride)) {
                return run;
            }
        }
        return nullptr;
    }

    /// The run that was opened or given to last, so that the others drain.
    [[nodiscard]] SlabInfo* run_with_room(std::size_t stride) noexcept {
        if (stride < run_size_ && !partial_of(stride).empty()) return &partial_of(stride).front();
        if (kept_ != nullptr && stride_of(*kept_) == stride) return kept_;
        SlabInfo* const run = new_run(stride);
        return run == nullptr && trim() != 0 ? new_run(stride) : run;
    }

    [[nodiscard]] void* take_from(SlabInfo& run) noexcept {
        const std::size_t stride = stride_of(run);
        const std::size_t word = run.map.first_word();
        const std::size_t bit = lowest_bit(run.map.word_at(word));
        const bool was_empty = run.free_number == slabs_number(stride);
        run.map.take(word, std::uint64_t{1} << bit, 0);  // no slab is covered
        --run.free_number;
        if (&run == kept_) kept_ = nullptr;
        if (was_empty || run.free_number == 0) relink(run);
        return run.slab + (word * FreeMap::bits_per_word + bit) * stride;
    }

    void give_to(SlabInfo& run, std::size_t slot) noexcept {
        const std::size_t stride = stride_of(run);
        run.map.give_back(slot / FreeMap::bits_per_word,
                          std::uint64_t{1} << (slot % FreeMap::bits_per_word));
        const bool was_full = run.free_number == 0;
        ++run.free_number;
        const bool empty = run.free_number == slabs_number(stride);
        if (was_full || empty) relink(run);
        if (!empty) return;
        if (stride > run_size_) return give_back(run);
        if (kept_ != nullptr) give_back(*kept_);
        kept_ = &run;  // [U3]
    }

    /// Puts a run on the list where it belongs [U2].
    void relink(SlabInfo& run) noexcept {
        const std::size_t stride = stride_of(run);
        const bool partial = run.free_number != 0 && run.free_number != slabs_number(stride);
        if (run.linked()) run.unlink();
        (partial ? partial_of(stride) : others_).push_front(run);
    }

    [[nodiscard]] Runs& partial_of(std::size_t stride) noexcept {
        return partial_[std::countr_zero(stride) - smallest];
    }

    /// A run is born whole or not at all.
    [[nodiscard, gnu::noinline]] SlabInfo* new_run(std::size_t stride) noexcept {
        const std::size_t bytes = bytes_of(stride);
        void* const memory = pages_.alloc_slab(bytes, stride);
        if (memory == nullptr) return nullptr;
        SlabInfo* const slab_info = infos_.alloc_slab_info();
        if (slab_info == nullptr || !map_.save_slab_info_ptr(block_address(memory), slab_info)) {
            infos_.free_slab_info(slab_info);
            pages_.free_slab(memory, bytes, stride);
            return nullptr;
        }
        SlabInfo& run = *::new (slab_info) SlabInfo;
        run.owner = this;
        run.slab = static_cast<std::byte*>(memory);
        run.free_number = static_cast<std::uint16_t>(slabs_number(stride));
        run.list = static_cast<std::uint8_t>(std::countr_zero(stride));
        run.map.fill(slabs_number(stride), 0, 0);
        relink(run);
        bytes_held_ += bytes;
        return &run;
    }

    /// And dies in this order: off its list, unknown to the map, its SlabInfo, its pages.
    void give_back(SlabInfo& run) noexcept {
        std::byte* const memory = run.slab;
        const std::size_t stride = stride_of(run);
        run.unlink();
        run.owner = nullptr;
        map_.delete_slab_info_ptr(block_address(memory));
        infos_.free_slab_info(&run);
        bytes_held_ -= bytes_of(stride);
        pages_.free_slab(memory, bytes_of(stride), stride);
    }

    [[no_unique_address]] Pages pages_{};
    SlabInfoCache<BackendRef<Pages>> infos_{BackendRef<Pages>(pages_)};
    HashMap<BackendRef<Pages>> map_{BackendRef<Pages>(pages_)};
    std::size_t run_size_ = largest_run_size;
    std::size_t bytes_held_ = 0;
    SlabInfo* kept_ = nullptr;  // [U3]
    Runs others_;               // [U2]
    Runs partial_[partial_lists];
};

}  // namespace slab_allocator

// heap_front.hpp -- what one CPU has cached: a short stack of free blocks for each class.
//
//      class 0   | . | . | . |     |         alloc pops, free pushes
//                ^bottom     ^top  ^limit
//      class 1   | . | . |   |               all in one piece of memory, so that a CPU's own pages
//      ...                                   are its own
//
// A magazine for each class would be two lines of 128 bytes and two quarters of a page for each of
// 64 classes and each CPU. A heap's classes are used unevenly, so all of them share one block of a
// few pages, and a stack starts short: it doubles when it was empty or full, up to its capacity,
// which is less for large blocks (front_capacity).
//
// Each is a CpuStack: its CPU pops and pushes, and who is to do more claims it (cpu_stack.hpp).
//
// Invariants
//   [F1] open, a stack is from bottom + gone_ to bottom + rounds_
//   [F2] gone_ <= rounds_ <= capacity of the class

namespace slab_allocator {

/// A CpuPolicy by whose enter() the caller is alone in a slot until leave(): KernelCpus is one.
template <typename Cpus>
concept PinnedCpuPolicy = requires(Cpus& cpus, typename Cpus::Pin& pin) {
    { Cpus::slots_number } -> std::convertible_to<std::size_t>;
    { cpus.enter() } -> std::same_as<typename Cpus::Pin>;
    { pin.offset } -> std::convertible_to<std::size_t>;
    { cpus.leave(pin) } -> std::same_as<void>;
    { cpus.join() } -> std::same_as<void>;
    { cpus.synchronise() } -> std::same_as<Reach>;
    { cpus.wait() } -> std::same_as<void>;
};

/// How many blocks of a class one CPU keeps at most: of large ones few, because each may be all
/// that keeps its slab.
[[nodiscard]] constexpr std::size_t front_capacity(std::size_t number) noexcept {
    constexpr std::size_t kibibyte = 1024;
    constexpr std::size_t most = 500;
    const std::size_t size = size_classes::size_of_class(number);
    const std::size_t bytes = (size <= 128 ? 32 : size <= 512 ? 8 : 4) * kibibyte;
    const std::size_t fitting = bytes / size;
    return fitting == 0 ? 1 : fitting < most ? fitting : most;
}

/// The blocks of one class. `memory` is where they lie, the same in each call.
template <typename Atomics>
class FrontStack : public CpuStack<std::byte, Atomics> {
    using Stack = CpuStack<std::byte, Atomics>;

public:
    using Memory = std::span<std::byte*>;

    /// Empty, and open. Before anybody knows of it, or claimed and no call is under way.
    void open_first(Memory memory, std::size_t rounds) noexcept {
        rounds_ = static_cast<std::uint16_t>(rounds);
        gone_ = 0;
        Stack::set_top(Stack::address(memory.data()));
        open(memory);
    }

    /// Ends a claim.
    void open(Memory memory) noexcept {
        Stack::open(Stack::address(memory.data() + gone_), Stack::address(memory.data() + rounds_));
    }

    // ---- Requires: claimed, and a barrier on all CPUs since then --------------------------------

    /// The blocks that lie here, the one that does so longest first, but one that a call under way
    /// may have or bring.
    [[nodiscard]] Memory blocks(Memory memory) const noexcept {
        return Stack::objects_from(Stack::address(memory.data() + gone_));
    }
    /// The first ones of blocks() are somewhere else now.
    void forget(std::size_t number) noexcept { gone_ = static_cast<std::uint16_t>(gone_ + number); }

    // ---- Requires: claimed, and no call is under way --------------------------------------------

    /// It was empty, or full. Returns: how many it may hold from now on.
    std::size_t grow(Memory memory) noexcept {
        const std::size_t larger = std::size_t{2} * rounds_;
        rounds_ = static_cast<std::uint16_t>(larger < memory.size() ? larger : memory.size());
        return rounds_;
    }

    /// Takes the blocks that lie here longest, as many as fit. Returns: how many.
    std::size_t take_oldest(Memory memory, Memory to) noexcept {
        const Memory all = blocks(memory);
        const std::size_t taken = all.size() < to.size() ? all.size() : to.size();
        for (std::size_t rank = 0; rank < taken; ++rank)
            to[rank] = all[rank];
        move_down(memory, all.subspan(taken));
        return taken;
    }

    /// The same; a stack that is empty then starts short again. While blocks are left it stays as
    /// long as it is [F2]: put() counts the room behind them.
    std::size_t take_to_empty(Memory memory, Memory to, std::size_t rounds) noexcept {
        const std::size_t taken = take_oldest(memory, to);
        if (blocks(memory).empty()) rounds_ = static_cast<std::uint16_t>(rounds);
        return taken;
    }

    /// As many blocks as there is room for, the last ones. Returns: how many.
    std::size_t put(Memory memory, Memory blocks) noexcept {
        const Memory before = this->blocks(memory);
        move_down(memory, before);
        const std::size_t room = rounds_ - before.size();
        const std::size_t put = room < blocks.size() ? room : blocks.size();
        for (std::size_t rank = 0; rank < put; ++rank)
            memory[before.size() + rank] = blocks[blocks.size() - put + rank];
        Stack::set_top(Stack::address(memory.data() + before.size() + put));
        return put;
    }

private:
    void move_down(Memory memory, Memory blocks) noexcept {
        if (!blocks.empty() && blocks.data() != memory.data()) {
            __builtin_memmove(static_cast<void*>(memory.data()),
                              static_cast<const void*>(blocks.data()), blocks.size_bytes());
        }
        gone_ = 0;
        Stack::set_top(Stack::address(memory.data() + blocks.size()));
    }

    std::uint16_t rounds_ = 0;
    std::uint16_t gone_ = 0;
};

template <std::size_t classes_number, typename Atomics = BuiltinAtomics>
class alignas(128) HeapFront {
public:
    using Stack = FrontStack<Atomics>;

    HeapFront() noexcept {
        for (std::size_t number = 0; number < classes_number; ++number)
            stacks_[number].open_first(memory_of(number), first_rounds(number));
    }
    HeapFront(const HeapFront&) = delete;  // the stacks point into it
    HeapFront& operator=(const HeapFront&) = delete;

    [[nodiscard]] Stack& operator[](std::size_t number) noexcept { return stacks_[number]; }

    /// Where the blocks of a class lie.
    [[nodiscard]] std::span<std::byte*> memory_of(std::size_t number) noexcept {
        return {blocks_ + places.of[number], front_capacity(number)};
    }

    /// How many blocks of a class it holds at first.
    [[nodiscard]] static constexpr std::size_t first_rounds(std::size_t number) noexcept {
        return front_capacity(number) < 2 ? front_capacity(number) : 2;
    }

private:
    struct Places {
        std::uint16_t of[classes_number + 1];
    };
    static constexpr Places places = [] {
        Places result{};
        for (std::size_t number = 0; number < classes_number; ++number)
            result.of[number + 1] =
                static_cast<std::uint16_t>(result.of[number] + front_capacity(number));
        return result;
    }();

    Stack stacks_[classes_number];
    std::byte* blocks_[places.of[classes_number]];
};

}  // namespace slab_allocator

// magazine_heap.hpp -- a heap for many CPUs: what one frees, it allocates again, without a lock.
//
//      CPU 0   front: a stack of blocks for each class  <--.
//      CPU 1   front                                    <--+--> ClassSlabs [0 .. 63] --> backend
//      CPU 2   front                                    <--'         a Lock each, released for the
//              no lock, own pages                       runs ------> backend
//
// As MagazineCache, with all classes of a CPU in one front (heap_front.hpp), and half a stack at a
// time between it and the slabs.
//
// Who holds what
//   - alloc and free, while a front serves, execute no atomic read-modify-write, and write the
//     CPU's own front and the block, no line that CPUs share. free asks the backend's map, without
//     a lock: it must bear a look-up beside a save of other pages (RadixMap, FlatMap, or a
//     LockedBackend around them).
//   - A class's lock is held for half a stack of blocks. No two locks are held at once, and with
//     one, nothing of the user's is called but the map's look-up and the defect handler.
//   - The backend is called with no lock held and no front entered, by several threads at once.
//   - Cpus::enter ... leave encloses a few instructions, or the copying of half a stack.
//
// Wrong frees, at level misuse, are found as MagazineCache finds them: a second free of a block
// that lies in a front, by the token in its first 8 bytes, so at the call where they were left
// alone, else before the block would be handed out twice.
//
// At levels hardened and debug a block has the guards of a free one from its free to its next
// alloc, and no token; they are looked at without a lock.
//
// Invariants
//   [M1] a block is in one of four hands: free in its slab's map, in one front (at level misuse its
//        token on), on its way between these with one caller of a slow path, or the user's
//   [M2] ClassSlabs are called by bulks only: what is not free in a map is out of its slab

namespace slab_allocator {

template <typename Backend, PinnedCpuPolicy Cpus, BasicLockable Lock,
          HeapConfig Config = HeapConfig{}>
    requires(size_classes::check<Config>() && check_memory_backend<Backend, Row::LargeByMap>())
class MagazineHeap : public HeapCalls<MagazineHeap<Backend, Cpus, Lock, Config>, Config> {
    using Calls = HeapCalls<MagazineHeap, Config>;
    friend Calls;
    static constexpr bool guarded = guards_objects(Config.checks);
    static constexpr bool has_tokens = Config.checks == Checks::misuse;
    using ClassBackend = UnlockingBackend<BackendRef<Backend>, Lock>;
    using Blocks = HeapBlocks<ClassBackend, Config, Config.small_slabs>;
    using Slabs = typename Blocks::Slabs;
    using Found = typename Blocks::Found;
    static constexpr std::size_t slots_number = Cpus::slots_number;

public:
    using backend_type = Backend;
    using Calls::alloc;  // aligned
    using Calls::free;   // of a known size
    using cpus_type = Cpus;
    using lock_type = Lock;

    static constexpr std::size_t classes_number = Blocks::classes_number;

    /// Effects: none outside of the heap.
    constexpr MagazineHeap() noexcept
        requires std::default_initializable<Backend> && std::default_initializable<Cpus>
        : blocks_(BackendRef<Backend>(backend_), this) {}
    constexpr explicit MagazineHeap(Backend backend, Cpus cpus = Cpus{}) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)),
          cpus_(std::move(cpus)),
          blocks_(BackendRef<Backend>(backend_), this) {}

    MagazineHeap(const MagazineHeap&) = delete;
    MagazineHeap& operator=(const MagazineHeap&) = delete;

    /// As Heap's. Requires: no other thread is in a call, or will be.
    constexpr ~MagazineHeap()
        requires(!Config.never_destroyed)
    {
        give_back_everything();
    }
    constexpr ~MagazineHeap()
        requires(Config.never_destroyed)
    = default;

    // ---- One block: as Heap's -------------------------------------------------------------------

    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        if constexpr (guarded) return Calls::alloc_guarded(size);
        if (size > Config.largest_object) [[unlikely]]
            return alloc_run(size, 1);
        return take(size_classes::ClassTable<Config>::class_of(size));
    }

    void free(void* block) noexcept { free_found(block, look_up(block)); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Empties the fronts first, so that the numbers are exact where no other thread is in a call.
    /// Costs: as shrink_to_fit, and O(slabs).
    [[nodiscard]] HeapStatistics statistics() noexcept {
        collect();
        HeapStatistics result{.failures_number = BuiltinAtomics::load_relaxed(failures_number_)};
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            Blocks::add(result, slabs);
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        blocks_.add_runs(result);
        return result;
    }

    /// As Heap's, of the slabs and the runs, each under its lock.
    [[nodiscard]] DefectReport validate() noexcept {
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            const DefectReport wrong = slabs.validate(false);
            if (wrong.defect != Defect::None) return wrong;
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.validate();
    }

    /// Gives all back that is not live: what lies in fronts, of every CPU that the policy can
    /// reach, and all Free slabs. Returns: how many slabs. Costs: a barrier on all CPUs, O(blocks
    /// in fronts + classes + slabs given back).
    std::size_t shrink_to_fit() noexcept {
        collect();
        return shrink_slabs();
    }

    /// Gives all back that is not live and that the caller reaches without a barrier: what lies in
    /// its own front, and Free slabs. To be called now and then while the heap grows, by the
    /// backend, too. Returns: how many slabs. Costs: O(classes + blocks + slabs given back).
    std::size_t shrink() noexcept {
        collect_own();
        return shrink_slabs();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr Cpus& cpus() noexcept { return cpus_; }

    /// Calls f(lock) for every lock of the heap, in one order: for a fork, which must find all of
    /// them held by the caller.
    template <typename F>
    void for_each_lock(F f) noexcept {
        for (Slabs& slabs : blocks_.slabs)
            f(lock_of(slabs));
        f(blocks_.runs.backend().lock());
    }

    /// In the child of a fork, in which the caller is alone: what the fronts of the other threads
    /// held, in whichever moment they were, is nobody's. Requires: every lock is free.
    void abandon_other_fronts() noexcept {
        auto pin = cpus_.enter();
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (index != index_of(pin)) fronts_[index] = nullptr;
        }
        cpus_.leave(pin);
    }

private:
    using Front = HeapFront<classes_number>;
    static constexpr std::size_t front_bytes = align_up(sizeof(Front), Config.page_size);
    static constexpr std::size_t most_at_once = 127;

    /// How many blocks go between the slabs and a stack of `rounds`: half of it; one where it is
    /// short, because who has asked once may never again.
    [[nodiscard]] static constexpr std::size_t at_once(std::size_t rounds) noexcept {
        const std::size_t half = rounds <= 4 ? 1 : rounds / 2;
        return half < most_at_once ? half : most_at_once;
    }

    /// A block of a class from the caller's front, or a slab. Returns: nullptr where there is none.
    [[nodiscard]] void* take(std::size_t number) noexcept {
        auto pin = cpus_.enter();
        Front* const front = front_of(pin);
        std::byte* block = nullptr;
        const bool done = front != nullptr && (*front)[number].pop(block);
        cpus_.leave(pin);
        if (!done) [[unlikely]]
            return alloc_slowly(number);
        if constexpr (has_tokens) {
            if (!Token<>::take_off(block)) [[unlikely]]
                return drop_and_alloc(block, number);
        }
        if constexpr (!guarded) detail::reveal_alone(block, size_classes::size_of_class(number));
        return block;
    }

    /// `slab_info` is what the map answers for the block.
    void free_found(void* block, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) [[unlikely]]
            return refuse(block);
        if (!blocks_.is_of_class(*slab_info)) [[unlikely]]
            return free_run(block, *slab_info);
        Slabs& slabs = blocks_.class_of(*slab_info);
        if constexpr (guarded) return Calls::free_guarded(block, *slab_info, slabs);
        if constexpr (has_tokens) {
            if (!slabs.is_out(block, *slab_info) || Token<>::is_on(block)) [[unlikely]]
                return refuse(block);
            Token<>::put_on(block);
        }
        detail::hide_alone(block, slabs.object_size());  // from AddressSanitizer
        put(block, slabs.number());
    }

    /// Into the caller's front, or back to its slab.
    void put(void* block, std::size_t number) noexcept {
        auto pin = cpus_.enter();
        Front* const front = front_of(pin);
        const bool done = front != nullptr && (*front)[number].push(static_cast<std::byte*>(block));
        cpus_.leave(pin);
        if (!done) [[unlikely]]
            free_slowly(static_cast<std::byte*>(block), number);
    }

    /// Whose secret the block's guards have.
    [[nodiscard]] Slabs& slabs_with(const void* block, std::size_t number) noexcept {
        return Blocks::layouts_number == 1 ? blocks_.slabs[number]
                                           : blocks_.class_of(*look_up(block));
    }

    // ---- Fronts ---------------------------------------------------------------------------------

    [[nodiscard]] static constexpr std::size_t index_of(const typename Cpus::Pin& pin) noexcept {
        return pin.offset / cpu_slot_size;
    }
    /// nullptr: there is none yet.
    [[nodiscard]] Front* front_at(std::size_t index) noexcept {
        return BuiltinAtomics::load_acquire(fronts_[index]);
    }
    /// The caller's; nullptr: it has none yet, or no slot. front_at(index_of(pin)), but the offset
    /// is scaled in one step: an instruction less in each call.
    [[nodiscard]] Front* front_of(const typename Cpus::Pin& pin) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(fronts_));
        std::byte* const place = first + pin.offset / (cpu_slot_size / sizeof(Front*));
        return BuiltinAtomics::load_acquire(*static_cast<Front**>(static_cast<void*>(place)));
    }

    /// Gives the caller a front where it has a slot without one.
    void add_front() noexcept {
        if (detail::memcheck_watches()) return;  // the slabs are to see every call
        cpus_.join();
        auto pin = cpus_.enter();
        const std::size_t index = index_of(pin);
        cpus_.leave(pin);
        if (index == slots_number || front_at(index) != nullptr) return;
        void* const memory = backend_.alloc_slab(front_bytes, Config.page_size);
        if (memory == nullptr) return;
        Front* const front = ::new (memory) Front;
        Front* expected = nullptr;
        if (!__atomic_compare_exchange_n(&fronts_[index], &expected, front, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED)) {
            backend_.free_slab(memory, front_bytes, Config.page_size);
        }
    }

    /// The caller's stack of a class, claimed, where it has one that nobody else has claimed.
    class Held {
    public:
        Held(MagazineHeap& heap, std::size_t number) noexcept
            : cpus_(heap.cpus_), pin_(cpus_.enter()) {
            Front* const front = heap.front_of(pin_);
            if (front == nullptr || !(*front)[number].claim(Claim::owners)) return;
            stack_ = &(*front)[number];
            memory_ = front->memory_of(number);
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() {
            if (stack_ != nullptr) stack_->open(memory_);
            cpus_.leave(pin_);
        }
        [[nodiscard]] bool claimed() const noexcept { return stack_ != nullptr; }
        [[nodiscard]] std::size_t grow() const noexcept { return stack_->grow(memory_); }
        [[nodiscard]] std::size_t put(std::span<std::byte*> blocks) const noexcept {
            return stack_->put(memory_, blocks);
        }
        [[nodiscard]] std::size_t take_oldest(std::span<std::byte*> to) const noexcept {
            return stack_->take_oldest(memory_, to);
        }
        [[nodiscard]] std::size_t take_to_empty(std::span<std::byte*> to,
                                                std::size_t rounds) const noexcept {
            return stack_->take_to_empty(memory_, to, rounds);
        }

    private:
        Cpus& cpus_;
        typename Cpus::Pin pin_;
        typename Front::Stack* stack_ = nullptr;
        std::span<std::byte*> memory_;
    };

    // ---- Slow paths of alloc --------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_slowly(std::size_t number) noexcept {
        add_front();
        std::size_t wanted = 1;
        {
            const Held held(*this, number);
            if (held.claimed()) wanted = at_once(held.grow());
        }
        std::byte* batch[most_at_once];
        std::size_t got = take_from_slabs(number, std::span(batch).first(wanted));
        if (got == 0) {  // the backend refused
            collect();
            shrink_slabs();
            got = take_from_slabs(number, std::span(batch).first(1));
        }
        if (got == 0) {
            BuiltinAtomics::fetch_add_relaxed(failures_number_, std::size_t{1});
            return nullptr;
        }
        if (got > 1) stock(number, std::span(batch).subspan(1, got - 1));
        if constexpr (has_tokens) Token<>::clear(batch[0]);
        return batch[0];
    }

    [[nodiscard, gnu::noinline, gnu::cold]] void* drop_and_alloc(void* block,
                                                                 std::size_t number) noexcept {
        drop(block);
        return alloc_slowly(number);
    }

    [[nodiscard]] std::size_t take_from_slabs(std::size_t number,
                                              std::span<std::byte*> to) noexcept {
        std::size_t got = 0;
        for (std::size_t index = number;
             got == 0 && index < classes_number * Blocks::layouts_number; index += classes_number) {
            Slabs& slabs = blocks_.slabs[index];
            const LockGuard<Lock> guard(lock_of(slabs));
            got = slabs.alloc_bulk(to);
        }
        return got;
    }

    /// Puts blocks into the caller's front; what finds no room goes back.
    void stock(std::size_t number, std::span<std::byte*> blocks) noexcept {
        if constexpr (has_tokens) {
            for (std::byte* const block : blocks)
                Token<>::put_on(block);
        }
        if constexpr (!guarded) {
            for (std::byte* const block : blocks)
                detail::hide_alone(block, size_classes::size_of_class(number));
        }
        std::size_t put = 0;
        {
            const Held held(*this, number);
            if (held.claimed()) put = held.put(blocks);
        }
        give_to_slabs(number, blocks.first(blocks.size() - put));
    }

    // ---- Slow paths of free ---------------------------------------------------------------------

    /// The older half of the front's blocks make room.
    [[gnu::noinline]] void free_slowly(std::byte* block, std::size_t number) noexcept {
        add_front();
        std::byte* batch[most_at_once];
        std::size_t taken = 0;
        {
            const Held held(*this, number);
            if (held.claimed()) {
                const std::span one(&block, 1);
                if (held.put(one) == 1) return;  // on another CPU by now
                const std::size_t room = held.grow();
                if (held.put(one) == 1) return;
                taken = held.take_oldest(std::span(batch).first(at_once(room)));
                static_cast<void>(held.put(one));  // it was full, so one was taken
            } else {
                batch[taken++] = block;
            }
        }
        give_to_slabs(number, std::span(batch).first(taken));
    }

    /// Blocks with their tokens go back to their slabs; one without is dropped.
    void give_to_slabs(std::size_t number, std::span<std::byte*> blocks) noexcept {
        if (blocks.empty()) return;
        blocks = blocks.first(give_to(blocks_.slabs[number], blocks));
        if constexpr (Blocks::layouts_number > 1) {
            if (!blocks.empty())
                static_cast<void>(give_to(blocks_.slabs[number + classes_number], blocks));
        }
    }
    /// Returns: how many of the blocks, now the first ones, are of the other layout.
    std::size_t give_to(Slabs& slabs, std::span<std::byte*> blocks) noexcept {
        std::size_t others = 0;
        const LockGuard<Lock> guard(lock_of(slabs));
        for (std::byte* const block : blocks) {
            SlabInfo& slab_info = *look_up(block);
            if (Blocks::layouts_number > 1 && slab_info.owner != &slabs) {
                blocks[others++] = block;
                continue;
            }
            if constexpr (has_tokens) {
                if (!Token<>::take_off(block)) [[unlikely]] {
                    drop(block);
                    continue;
                }
            }
            if (!slabs.free(block, slab_info)) [[unlikely]]
                drop(block);
        }
        slabs.flush_current();  // [M2]
        return others;
    }

    // ---- All CPUs -------------------------------------------------------------------------------

    /// Everything that lies in a front goes to its slab. Who needs a claimed stack meanwhile goes
    /// to the slabs.
    void collect() noexcept {
        ClassSet claimed[slots_number] = {};  // a front may be new when they are looked at again
        for_each_stack([&](std::size_t index, std::size_t number, Front& front) {
            if (front[number].claim(Claim::outsiders)) claimed[index].add(number);
        });
        const bool reached = cpus_.synchronise() != Reach::own;
        for_each_stack([&](std::size_t index, std::size_t number, Front& front) {
            if (!claimed[index].has(number)) return;  // somebody else empties it
            if (reached) empty(front, number);
            front[number].open(front.memory_of(number));
        });
        if (!reached) collect_own();
    }

    class ClassSet {
    public:
        void add(std::size_t number) noexcept { words_[number / 64] |= bit(number); }
        [[nodiscard]] bool has(std::size_t number) const noexcept {
            return (words_[number / 64] & bit(number)) != 0;
        }

    private:
        [[nodiscard]] static constexpr std::uint64_t bit(std::size_t number) noexcept {
            return std::uint64_t{1} << (number % 64);
        }
        std::uint64_t words_[divide_up(classes_number, 64)] = {};
    };

    template <typename F>
    void for_each_stack(F f) noexcept {
        for (std::size_t index = 0; index < slots_number; ++index) {
            Front* const front = front_at(index);
            if (front == nullptr) continue;
            for (std::size_t number = 0; number < classes_number; ++number)
                f(index, number, *front);
        }
    }

    void collect_own() noexcept {
        std::byte* batch[most_at_once];
        for (std::size_t number = 0; number < classes_number; ++number) {
            const std::size_t rounds = Front::first_rounds(number);
            std::size_t taken = 0;
            do {
                {
                    const Held held(*this, number);
                    taken = held.claimed() ? held.take_to_empty(batch, rounds) : 0;
                }
                give_to_slabs(number, std::span(batch).first(taken));
            } while (taken != 0);
        }
    }

    /// Requires: claimed from outside, and a barrier; or alone.
    void empty(Front& front, std::size_t number) noexcept {
        const std::span<std::byte*> blocks = front[number].blocks(front.memory_of(number));
        give_to_slabs(number, blocks);
        front[number].forget(blocks.size());
    }

    std::size_t shrink_slabs() noexcept {
        std::size_t given = 0;
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            given += slabs.shrink_to_fit();
        }
        return given;
    }

    constexpr void give_back_everything() noexcept {
        for_each_stack(
            [&](std::size_t, std::size_t number, Front& front) { empty(front, number); });
        for (Front*& front : fronts_) {
            if (front == nullptr) continue;
            backend_.free_slab(front, front_bytes, Config.page_size);
            front = nullptr;
        }
        for (Slabs& slabs : blocks_.slabs)
            slabs.backend().no_longer_shared();
        blocks_.runs.backend().no_longer_shared();
        blocks_.give_back_everything(this);
    }

    // ---- Runs -----------------------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_run(std::size_t size, std::size_t alignment) noexcept {
        void* run = try_run(size, alignment);
        if (run == nullptr && shrink_to_fit() != 0) run = try_run(size, alignment);
        if (run == nullptr) BuiltinAtomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        return run;
    }
    [[nodiscard]] void* try_run(std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.alloc(size, alignment);
    }
    [[nodiscard]] bool resize_run(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.resize(run, size);
    }
    [[gnu::noinline]] void free_run(void* block, SlabInfo& slab_info) noexcept {
        if (slab_info.owner != &blocks_.runs || !blocks_.runs.is_live(block, slab_info))
            [[unlikely]] {
            return refuse(block);
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        blocks_.runs.free(slab_info);
    }

    // ---- Looking --------------------------------------------------------------------------------

    [[nodiscard]] static Lock& lock_of(Slabs& slabs) noexcept { return slabs.backend().lock(); }
    [[nodiscard]] SlabInfo* look_up(const void* block) noexcept {
        return Blocks::Pages::find(backend_, block);
    }
    [[nodiscard]] Found find(const void* block) noexcept {
        SlabInfo* const slab_info = look_up(block);
        return blocks_.find(block, slab_info, [&](Slabs& slabs) {
            if constexpr (guarded) return slabs.is_sound(block, *slab_info);
            const bool out = slabs.is_out(block, *slab_info);
            return has_tokens ? out && !Token<>::is_on(block) : out;
        });
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// nullptr is no defect.
    [[gnu::noinline, gnu::cold]] void refuse(void* block) noexcept {
        if (block == nullptr) return;
        SlabInfo* const slab_info = look_up(block);
        Slabs* const slabs = blocks_.slabs_of(slab_info);
        if (!guarded && slabs != nullptr && slabs->is_out(block, *slab_info)) return drop(block);
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        report(blocks_.diagnose(block, slab_info, this));
    }
    /// The block is in a front already, or was.
    [[gnu::noinline, gnu::cold]] void drop(void* block) noexcept {
        report({.defect = Defect::DoubleFree, .pointer = block, .cache = this});
    }

    Backend backend_{};
    [[no_unique_address]] Cpus cpus_{};
    std::size_t failures_number_ = 0;
    Blocks blocks_;
    Front* fronts_[slots_number + 1] = {};  // the last one: for callers without a slot, none
};

}  // namespace slab_allocator

// locked_backend.hpp -- a backend that several threads may call, made of one that they may not.
//
//      LockedCache --.
//      LockedCache --+--> LockedBackend: | lock | Backend |     one call at a time
//      MagazineCache '
//
// The caches of this floor call their backend from several threads at once. A backend that is not
// made for that gets a lock of its own here, which is held in each call, so such a backend must not
// call a cache that stands on it. Each look-up takes the lock, too: maps whose readers need none
// (FlatMap, RadixMap) do without this room where their writers are kept apart.
//
// Invariants
//   [K1] backend_ is used with lock_ held, but by get()

namespace slab_allocator {

/// Has the functions that Backend has. Caches that share one hold it by BackendRef.
template <typename Backend, BasicLockable Lock>
class LockedBackend : public ForwardingBackend<LockedBackend<Backend, Lock>, Backend> {
public:
    constexpr LockedBackend() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit LockedBackend(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)) {}
    /// Requires: nobody uses `other`.
    constexpr LockedBackend(LockedBackend&& other) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(other.backend_)) {}

    /// The backend itself, without the lock.
    [[nodiscard]] constexpr Backend& get() noexcept { return backend_; }

private:
    friend ForwardingBackend<LockedBackend, Backend>;

    template <typename Call>
    decltype(auto) around(Call call) noexcept {
        const LockGuard<Lock> guard(lock_);  // [K1]
        return call(backend_);
    }
    template <typename Call>
    decltype(auto) look_up(Call call) noexcept {
        return around(call);
    }

    [[no_unique_address]] Backend backend_{};
    Lock lock_{};
};

}  // namespace slab_allocator

// slot_numbers.hpp -- numbers for whoever comes and goes: the lowest that is free, from a bitmap.
//
//      taken    1 1 0 1 0 0 ...
//                   ^ the next
//
// However many come and go, only as many numbers are in use as were held at one time.
//
// Invariants
//   [N1] a bit is set  <=>  somebody holds that number

namespace slab_allocator {

template <std::size_t most, typename Atomics = BuiltinAtomics>
class SlotNumbers {
public:
    /// Returns: `most` where none is free. Costs: one atomic exchange where one is.
    [[nodiscard]] std::size_t take() noexcept {
        for (std::size_t word = 0; word < divide_up(most, bits); ++word) {
            std::uint64_t taken = Atomics::load_relaxed(taken_[word]);
            while (~taken != 0) {
                const std::size_t bit = lowest_bit(~taken);
                if (word * bits + bit >= most) return most;
                // Acquire: what the last holder left behind is the caller's.
                if (Atomics::compare_exchange_acquire(taken_[word], taken,
                                                      taken | (std::uint64_t{1} << bit))) {
                    return word * bits + bit;  // [N1]
                }
            }
        }
        return most;
    }

    /// Requires: the caller holds `number`. What it left behind is the next one's.
    void give_back(std::size_t number) noexcept {
        Atomics::fetch_and_release(taken_[number / bits], ~(std::uint64_t{1} << (number % bits)));
    }

    /// In the child of a fork: nobody is there but the caller, who holds `number` (`most`: none).
    void keep_only(std::size_t number) noexcept {
        for (std::uint64_t& word : taken_)
            Atomics::store_relaxed(word, std::uint64_t{0});
        if (number < most) {
            Atomics::store_relaxed(taken_[number / bits], std::uint64_t{1} << (number % bits));
        }
    }

    /// How many are held at this moment.
    [[nodiscard]] std::size_t taken_number() const noexcept {
        std::size_t sum = 0;
        for (const std::uint64_t& word : taken_)
            sum += bits_number(Atomics::load_relaxed(word));
        return sum;
    }

private:
    static constexpr std::size_t bits = 64;

    std::uint64_t taken_[divide_up(most, bits)] = {};
};

}  // namespace slab_allocator

// flat_map.hpp -- which SlabInfo a page belongs to, in one array: for slabs from one known region.
//
//      region       base      base + page_size                   base + region_size
//                   |  page 0  |  page 1  |  page 2  |    ...    |
//                        |          |          |
//      slab_infos   [   0    ][   1    ][   2    ]   ...          one SlabInfo* for each page
//
// Every call costs O(1): a subtraction, a shift, a comparison and one access. The array is the
// user's: region_size / page_size pointers, all null when it is handed over, 8 bytes for each page
// of the region whether it is used or not. Nothing is ever allocated, so a save fails for nothing
// but an address outside of the region, for which a get answers nullptr and a delete does nothing.
//
// No call needs a lock, except that two for the same page must not both write. A get that runs
// beside a save of its page answers what was there before or after.
//
// Invariants
//   [F1] slab_infos_[i] is what was saved for the page at base + i * page_size, or null.
//   [F2] an address below base wraps around to an index beyond any region: one comparison does.

namespace slab_allocator {

/// A SlabInfoMap. It looks at an array and does not own it: a copy is the same map once more.
template <std::size_t page_size = 4096>
class FlatMap {
    static_assert(is_power_of_two(page_size), "page_size must be a power of two");

public:
    /// A map of no region. A kernel that learns its memory map at boot goes on with reset().
    constexpr FlatMap() noexcept = default;

    /// The region by its address or by a pointer to it, at compile time too; region_size in bytes.
    /// Requires: slab_infos has region_size / page_size pointers, all null (not checked).
    constexpr FlatMap(std::uintptr_t base, std::size_t region_size, SlabInfo** slab_infos) noexcept
        : base_{.address = base}, pages_number_(region_size / page_size), slab_infos_(slab_infos) {}
    template <typename Memory>
    constexpr FlatMap(Memory* base, std::size_t region_size, SlabInfo** slab_infos) noexcept
        : base_{.pointer = base}, pages_number_(region_size / page_size), slab_infos_(slab_infos) {}

    /// Effects: as newly constructed.  Requires: nobody uses the map meanwhile (not checked).
    constexpr void reset(std::uintptr_t base, std::size_t region_size,
                         SlabInfo** slab_infos) noexcept {
        *this = FlatMap(base, region_size, slab_infos);
    }
    template <typename Memory>
    constexpr void reset(Memory* base, std::size_t region_size, SlabInfo** slab_infos) noexcept {
        *this = FlatMap(base, region_size, slab_infos);
    }

    /// Returns: false if the page is not in the region.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const std::size_t index = index_of(page_addr);
        if (index >= pages_number_) return false;
        __atomic_store_n(&slab_infos_[index], slab_info, __ATOMIC_RELEASE);
        return true;
    }

    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        const std::size_t index = index_of(page_addr);
        if (index >= pages_number_) return nullptr;
        return __atomic_load_n(&slab_infos_[index], __ATOMIC_ACQUIRE);
    }

    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        static_cast<void>(save_slab_info_ptr(page_addr, nullptr));
    }

private:
    // A constant expression cannot turn a pointer into a number: that waits until the first call.
    union Base {
        std::uintptr_t address;
        const void* pointer;
    };

    [[nodiscard]] std::size_t index_of(std::uintptr_t page_addr) const noexcept {
        const std::uintptr_t offset = page_addr - std::bit_cast<std::uintptr_t>(base_);  // [F2]
        return static_cast<std::size_t>(offset / page_size);
    }

    Base base_{.address = 0};
    std::size_t pages_number_ = 0;
    SlabInfo** slab_infos_ = nullptr;
};

/// A FlatMap with the array in it, for a region of pages_number pages.
template <std::size_t pages_number, std::size_t page_size = 4096>
class FlatMapOf : public FlatMap<page_size> {
public:
    constexpr explicit FlatMapOf(std::uintptr_t base) noexcept
        : FlatMap<page_size>(base, pages_number * page_size, slab_infos_) {}
    template <typename Memory>
    constexpr explicit FlatMapOf(Memory* base) noexcept
        : FlatMap<page_size>(base, pages_number * page_size, slab_infos_) {}
    FlatMapOf(const FlatMapOf&) = delete;  // the map knows the array by its address
    FlatMapOf& operator=(const FlatMapOf&) = delete;

private:
    SlabInfo* slab_infos_[pages_number]{};
};

}  // namespace slab_allocator

// radix_map.hpp -- which SlabInfo a page belongs to, in a tree: readers need no lock.
//
//      page_addr:     | sign and 12 bits |  12 bits  |  12 bits  | offset in the page |
//                              |               |           |
//      root_ --> node level 2: [*] --> level 1: [*] --> level 0: [SlabInfo*]
//                              null: no page is saved in this part of the addresses
//
// get and delete cost O(1), one load for each level; save may take one new node for each. With the
// defaults that is 128 KiB for the first page, then 32 KiB for each 16 MiB that pages are in. Nodes
// come from Pages: a power of two of at least page_size bytes, aligned to page_size.
//
// get waits for nobody: a node is complete before it is published, and stays until the map dies or
// shrink() is called. save and delete need the caller's lock. Pages must not call the map.
//
// An address is in the lower or in the upper half, as processors with sign-extended addresses have
// them: from bit address_bits on all bits are 0 or all are 1. For another one save answers false
// and get nullptr. Where a pointer has no more than address_bits bits, every address is good.
//
// Invariants
//   [R1] an entry of level 0 is a SlabInfo or null, one of level n a node of level n - 1 or null.
//   [R2] what a reader can reach was written before it could, and is not freed.

namespace slab_allocator {

/// A SlabInfoMap. never_destroyed is for statics of a kernel: the destructor is trivial, and nodes
/// that are there by then are not given back.
template <SlabSource Pages, std::size_t page_size = 4096, std::size_t address_bits = 48,
          bool never_destroyed = false>
class RadixMap {
public:
    constexpr RadixMap() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit RadixMap(Pages pages) noexcept : pages_(static_cast<Pages&&>(pages)) {}
    RadixMap(const RadixMap&) = delete;  // the nodes have one owner
    RadixMap& operator=(const RadixMap&) = delete;

    ~RadixMap()
        requires never_destroyed
    = default;
    ~RadixMap() { give_back<levels>(root_, Keep::Nothing); }

    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

    /// Effects: page_addr belongs to slab_info, whatever it belonged to before (nullptr: nothing).
    /// Returns: false if Pages refuses a node; nothing has changed then.
    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        const std::uintptr_t index = index_of(page_addr);
        if (!in_range(index)) return false;
        const Place place = find(index);
        void* below = slab_info;
        if (place.level != 0 && slab_info != nullptr) {
            below = path_to(slab_info, index, place.level);
            if (below == nullptr) return false;
        }
        store(*place.entry, below);
        return true;
    }

    /// Needs no lock.
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        const std::uintptr_t index = index_of(page_addr);
        if (!in_range(index)) return nullptr;
        return static_cast<SlabInfo*>(descend<levels>(root_, index));
    }

    /// Effects: none if the page was not saved. No node is freed: a reader may be in it.
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        static_cast<void>(save_slab_info_ptr(page_addr, nullptr));
    }

    /// Gives back the nodes that no saved page needs.  Returns: how many.
    /// Requires: nobody uses the map meanwhile, not even for a get (not checked).
    /// Costs: O(entries of all nodes).
    std::size_t shrink() noexcept { return give_back<levels>(root_, Keep::SavedPages); }

private:
    static constexpr std::size_t address_width = 8 * sizeof(std::uintptr_t);
    static constexpr std::size_t page_bits = std::countr_zero(page_size);
    static constexpr std::size_t used_bits =
        address_bits < address_width ? address_bits + 1 : address_width;  // with the sign

    static_assert(is_power_of_two(page_size), "page_size must be a power of two");
    static_assert(page_size >= 16, "page_size must be at least 16");
    static_assert(used_bits >= page_bits + 2, "address_bits must be more than a page has");

    // Nodes of 32 KiB make three levels out of 48 bits. One page for a node, as page tables have
    // it, makes four.
    static constexpr std::size_t most_level_bits = 12;
    static constexpr std::size_t index_bits = used_bits - page_bits;
    static constexpr std::size_t levels = divide_up(index_bits - 1, most_level_bits);
    static constexpr std::size_t level_bits = divide_up(index_bits - 1, levels);
    static constexpr std::size_t root_bits = index_bits - level_bits * (levels - 1);

    struct Entry {
        void* below = nullptr;  // [R1]
    };
    enum class Keep : bool { Nothing, SavedPages };

    /// The entry for a page in the lowest node there is on the way to it. Level 0: the one for its
    /// SlabInfo. Above: null, and the nodes of all lower levels are missing.
    struct Place {
        Entry* entry;
        std::size_t level;
    };

    /// The number of the page, counted from the lowest address of the upper half.
    [[nodiscard]] static std::uintptr_t index_of(std::uintptr_t page_addr) noexcept {
        return (page_addr + (std::uintptr_t{1} << (used_bits - 1))) >> page_bits;
    }
    [[nodiscard]] static bool in_range(std::uintptr_t index) noexcept {
        return (index >> index_bits) == 0;
    }
    [[nodiscard]] static constexpr std::size_t bits_of(std::size_t level) noexcept {
        return level == levels - 1 ? root_bits : level_bits;
    }
    [[nodiscard]] static constexpr std::size_t entries_number(std::size_t level) noexcept {
        return std::size_t{1} << bits_of(level);
    }
    [[nodiscard]] static constexpr std::size_t node_size(std::size_t level) noexcept {
        return align_up(sizeof(Entry) * entries_number(level), page_size);
    }
    [[nodiscard]] static std::size_t position(std::uintptr_t index, std::size_t level) noexcept {
        return (index >> (level * level_bits)) & (entries_number(level) - 1);
    }
    [[nodiscard]] static void* load(const Entry& entry) noexcept {
        return __atomic_load_n(&entry.below, __ATOMIC_ACQUIRE);  // [R2]
    }
    static void store(Entry& entry, void* below) noexcept {
        __atomic_store_n(&entry.below, below, __ATOMIC_RELEASE);  // [R2]
    }

    /// The hot path, a step for each level.
    template <std::size_t level>
    [[nodiscard]] static void* descend(const Entry& entry, std::uintptr_t index) noexcept {
        void* const below = load(entry);
        if constexpr (level == 0) {
            return below;
        } else {
            if (below == nullptr) return nullptr;
            const Entry* const node = static_cast<const Entry*>(below);
            return descend<level - 1>(node[position(index, level - 1)], index);
        }
    }

    /// For a writer: it holds the lock, so nobody else writes what is read here.
    [[nodiscard]] Place find(std::uintptr_t index) noexcept {
        Place place{&root_, levels};
        while (place.level != 0 && place.entry->below != nullptr) {
            --place.level;
            place.entry = static_cast<Entry*>(place.entry->below) + position(index, place.level);
        }
        return place;
    }

    /// Builds the missing nodes of the levels below `level` from the leaf up, so that one store
    /// publishes them all.  Returns: the uppermost, or null with everything undone.
    [[nodiscard, gnu::noinline]] void* path_to(SlabInfo* slab_info, std::uintptr_t index,
                                               std::size_t level) noexcept {
        void* top = slab_info;
        for (std::size_t built = 0; built < level; ++built) {
            Entry* const node = alloc_node(built);
            if (node == nullptr) {
                undo_path(top, index, built);
                return nullptr;
            }
            node[position(index, built)].below = top;
            top = node;
        }
        return top;
    }

    void undo_path(void* top, std::uintptr_t index, std::size_t level) noexcept {
        while (level-- > 0) {
            Entry* const node = static_cast<Entry*>(top);
            top = node[position(index, level)].below;
            pages_.free_slab(node, node_size(level), page_size);
        }
    }

    [[nodiscard]] Entry* alloc_node(std::size_t level) noexcept {
        void* const memory = pages_.alloc_slab(node_size(level), page_size);
        if (memory == nullptr) return nullptr;
        Entry* const node = static_cast<Entry*>(memory);
        for (std::size_t i = 0; i < entries_number(level); ++i) {
            ::new (node + i) Entry{};
        }
        return node;
    }

    /// Gives back the node below `entry`, and all below that; or only those without a saved page.
    /// Returns: how many.
    template <std::size_t level>
    std::size_t give_back(Entry& entry, Keep keep) noexcept {
        if constexpr (level == 0) {
            return 0;  // below is a SlabInfo
        } else {
            if (entry.below == nullptr) return 0;
            Entry* const node = static_cast<Entry*>(entry.below);
            std::size_t nodes_number = 0;
            bool needed = false;
            for (std::size_t i = 0; i < entries_number(level - 1); ++i) {
                nodes_number += give_back<level - 1>(node[i], keep);
                needed |= node[i].below != nullptr;
            }
            if (needed && keep == Keep::SavedPages) return nodes_number;
            pages_.free_slab(node, node_size(level - 1), page_size);
            entry.below = nullptr;
            return nodes_number + 1;
        }
    }

    Entry root_;
    [[no_unique_address]] Pages pages_{};
};

}  // namespace slab_allocator

// report.hpp -- what caches hold, as text: the table of slabinfo, maps of slabs, JSON.
//
//      name   active_objs num_objs objsize objperslab pagesperslab active_slabs num_slabs  held ...
//      dentry        1200     1280      64        128            2           10        10 83200 ...
//
//      ###72.                a slab a character: full, its tenths, free
//      ##i.#,,,              a slot a character: taken, free, never taken, under the SlabInfo
//
// A line is taken from a cache first (summary_of) and written later (report), so that no lock need
// be held while a slow sink writes. The two maps are written while the cache is walked.
//
// The columns are those of Linux' /proc/slabinfo, in their order, and two of bytes: of the slabs
// and the SlabInfos outside of them (held), and of these what no object can ever use (lost).

namespace slab_allocator {

/// A cache's line of a report.
struct CacheSummary {
    const char* name = "";
    std::size_t object_size = 0;
    std::size_t objects_per_slab = 0;
    std::size_t pages_per_slab = 0;
    CacheStatistics statistics = {};
};

/// The line of a Cache, LockedCache or MagazineCache. The name is not copied.
/// Costs: those of statistics().
template <typename AnyCache>
    requires requires(AnyCache& cache) {
        cache.statistics();
        cache.objects_per_slab();
    }
[[nodiscard]] CacheSummary summary_of(const char* name, AnyCache& cache) noexcept {
    return {.name = name,
            .object_size = cache.object_size(),
            .objects_per_slab = cache.objects_per_slab(),
            .pages_per_slab = cache.slab_size() / cache.page_size(),
            .statistics = cache.statistics()};
}

namespace detail {

/// A number of a line, and what it is called in the table and in JSON.
struct ReportColumn {
    using Number = std::size_t (*)(const CacheSummary&) noexcept;

    consteval ReportColumn(const char* a_title, const char* a_key, Number a_number) noexcept
        : title(a_title), key(a_key), of(a_number) {}

    const char* title;
    const char* key;
    Number of;
};

/// The numbers of the statistics themselves.
template <std::size_t CacheStatistics::* number>
constexpr std::size_t statistic(const CacheSummary& cache) noexcept {
    return cache.statistics.*number;
}

inline constexpr ReportColumn report_columns[] = {
    {"active_objs", "allocated_objects_number",
     statistic<&CacheStatistics::allocated_objects_number>},
    {"num_objs", "objects_number",
     [](const CacheSummary& cache) noexcept {
         return cache.statistics.allocated_objects_number + cache.statistics.free_objects_number;
     }},
    {"objsize", "object_size",
     [](const CacheSummary& cache) noexcept { return cache.object_size; }},
    {"objperslab", "objects_per_slab",
     [](const CacheSummary& cache) noexcept { return cache.objects_per_slab; }},
    {"pagesperslab", "pages_per_slab",
     [](const CacheSummary& cache) noexcept { return cache.pages_per_slab; }},
    {"active_slabs", "active_slabs_number",
     [](const CacheSummary& cache) noexcept {
         return cache.statistics.partial_slabs_number + cache.statistics.full_slabs_number;
     }},
    {"num_slabs", "slabs_number",
     [](const CacheSummary& cache) noexcept { return cache.statistics.slabs_number(); }},
    {"held", "bytes_held", statistic<&CacheStatistics::bytes_held>},
    {"lost", "bytes_lost", statistic<&CacheStatistics::bytes_lost>},
};

/// What the table leaves out.
inline constexpr ReportColumn json_columns[] = {
    {"", "full_slabs_number", statistic<&CacheStatistics::full_slabs_number>},
    {"", "partial_slabs_number", statistic<&CacheStatistics::partial_slabs_number>},
    {"", "free_slabs_number", statistic<&CacheStatistics::free_slabs_number>},
    {"", "peak_allocated_objects_number",
     statistic<&CacheStatistics::peak_allocated_objects_number>},
    {"", "peak_slabs_number", statistic<&CacheStatistics::peak_slabs_number>},
    {"", "failures_number", statistic<&CacheStatistics::failures_number>},
};

constexpr std::size_t digits_number(std::size_t number) noexcept {
    std::size_t digits = 1;
    for (; number >= 10; number /= 10)
        ++digits;
    return digits;
}

/// The lines of caches that are there already.
struct SummariesOf {
    std::span<const CacheSummary> caches;

    [[nodiscard]] std::size_t number() const noexcept { return caches.size(); }
    template <typename F>
    void tell(std::size_t index, F f) const {
        f(caches[index]);
    }
};

/// The lines of a heap's classes, each made when it is written: 64 of them would be much for the
/// stack of a kernel. Classes without a slab are left out.
template <typename AnyHeap>
struct SummariesOfClasses {
    AnyHeap& heap;
    const char* name;

    [[nodiscard]] std::size_t number() const noexcept { return AnyHeap::classes_number; }
    template <typename F>
    void tell(std::size_t index, F f) const {
        const CacheStatistics statistics = heap.class_statistics(index);
        if (statistics.slabs_number() == 0) return;
        constexpr std::size_t most = 40;
        char text[most] = {};
        ArraySink sink(std::span<char>(text, most - 1));
        Writer writer(sink);
        writer.text(name);
        writer.character('-');
        const auto layout = heap.class_layout(index);
        writer.number(layout.object_size);
        f(CacheSummary{.name = text,
                       .object_size = layout.object_size,
                       .objects_per_slab = layout.objects_per_slab,
                       .pages_per_slab = layout.pages_per_slab(),
                       .statistics = statistics});
    }
};

template <Sink Out, typename Summaries>
void write_table(Out& sink, const Summaries& summaries) {
    constexpr std::size_t columns = sizeof(report_columns) / sizeof(report_columns[0]);
    std::size_t name_width = length_of("name");
    std::size_t widths[columns] = {};
    for (std::size_t column = 0; column < columns; ++column)
        widths[column] = length_of(report_columns[column].title);
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            if (length_of(cache.name) > name_width) name_width = length_of(cache.name);
            for (std::size_t column = 0; column < columns; ++column) {
                const std::size_t digits = digits_number(report_columns[column].of(cache));
                if (digits > widths[column]) widths[column] = digits;
            }
        });
    }

    Writer writer(sink);
    writer.left("name", name_width);
    for (std::size_t column = 0; column < columns; ++column) {
        writer.character(' ');
        writer.right(report_columns[column].title, widths[column]);
    }
    writer.character('\n');
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            writer.left(cache.name, name_width);
            for (std::size_t column = 0; column < columns; ++column) {
                writer.character(' ');
                writer.number(report_columns[column].of(cache), widths[column]);
            }
            writer.character('\n');
        });
    }
}

template <Sink Out>
void write_json_string(Writer<Out>& writer, const char* text) {
    writer.character('"');
    for (; *text != '\0'; ++text) {
        const auto byte = static_cast<unsigned char>(*text);
        if (byte < 0x20) {
            writer.text("\\u00");
            writer.character("01"[byte / 16]);
            writer.character("0123456789abcdef"[byte % 16]);
            continue;
        }
        if (*text == '"' || *text == '\\') writer.character('\\');
        writer.character(*text);
    }
    writer.character('"');
}

template <Sink Out>
void write_json_members(Writer<Out>& writer, std::span<const ReportColumn> columns,
                        const CacheSummary& cache) {
    for (const ReportColumn& column : columns) {
        writer.text(", \"");
        writer.text(column.key);
        writer.text("\": ");
        writer.number(column.of(cache));
    }
}

template <Sink Out, typename Summaries>
void write_json(Out& sink, const Summaries& summaries) {
    Writer writer(sink);
    writer.character('[');
    const char* between = "\n  ";
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            writer.text(between);
            writer.text("{\"name\": ");
            write_json_string(writer, cache.name);
            write_json_members(writer, report_columns, cache);
            write_json_members(writer, json_columns, cache);
            writer.character('}');
            between = ",\n  ";
        });
    }
    writer.text("\n]\n");
}

/// Has it classes, as a Heap?
template <typename T>
concept HasClasses = requires(T& heap) {
    heap.class_statistics(std::size_t{});
    heap.class_layout(std::size_t{});
};

/// '.' for a slab without objects, '#' for a full one, else its tenths, rounded down, from 0 to 9.
[[nodiscard]] inline char character_of(const SlabView& slab) noexcept {
    if (slab.free_objects_number() == 0) return '#';
    if (slab.allocated_objects_number() == 0) return '.';
    return "0123456789"[slab.allocated_objects_number() * 10 / slab.objects_number()];
}

[[nodiscard]] constexpr char character_of(SlotState state) noexcept {
    switch (state) {
        case SlotState::Taken:
            return '#';
        case SlotState::Free:
            return '.';
        case SlotState::Untouched:
            return ',';
        default:  // Covered
            return 'i';
    }
}

inline constexpr std::size_t characters_a_line = 64;

}  // namespace detail

/// Writes the table: a line a cache.
template <Sink Out>
void report(std::span<const CacheSummary> caches, Out&& sink) {
    detail::write_table(sink, detail::SummariesOf{caches});
}
template <Sink Out>
void report(std::initializer_list<CacheSummary> caches, Out&& sink) {
    report(std::span<const CacheSummary>(caches.begin(), caches.size()), sink);
}
/// The table of one cache.
template <typename AnyCache, Sink Out>
    requires requires(AnyCache& cache) { summary_of("", cache); }
void report(AnyCache& cache, Out&& sink, const char* name = "cache") {
    report({summary_of(name, cache)}, sink);
}
/// The table of a Heap: a line for each class that has slabs, "heap-64" for that of 64 bytes.
template <detail::HasClasses AnyHeap, Sink Out>
void report(AnyHeap& heap, Out&& sink, const char* name = "heap") {
    detail::write_table(sink, detail::SummariesOfClasses<AnyHeap>{heap, name});
}

/// Writes the same and more for tools: an array with an object a cache, whose members are numbers
/// with the names that the library gives them.
template <Sink Out>
void report_json(std::span<const CacheSummary> caches, Out&& sink) {
    detail::write_json(sink, detail::SummariesOf{caches});
}
template <Sink Out>
void report_json(std::initializer_list<CacheSummary> caches, Out&& sink) {
    report_json(std::span<const CacheSummary>(caches.begin(), caches.size()), sink);
}
template <detail::HasClasses AnyHeap, Sink Out>
void report_json(AnyHeap& heap, Out&& sink, const char* name = "heap") {
    detail::write_json(sink, detail::SummariesOfClasses<AnyHeap>{heap, name});
}

/// Writes a character a slab, the full ones first: '#' full, '9' .. '0' its tenths, '.' free. The
/// sink is called under the lock of a LockedCache, and must not call the cache.
template <typename AnyCache, Sink Out>
void report_slabs(AnyCache& cache, Out&& sink) {
    detail::Writer writer(sink);
    std::size_t number = 0;
    cache.for_each_slab([&](const SlabView& slab) {
        writer.character(detail::character_of(slab));
        if (++number % detail::characters_a_line == 0) writer.character('\n');
    });
    if (number % detail::characters_a_line != 0) writer.character('\n');
}

/// Writes a line about the slab that `pointer` leads into, and a character for each of its slots:
/// '#' taken, '.' free, ',' never taken, 'i' the SlabInfo. Any pointer will do. Returns: whether it
/// leads into a slab of the cache; if not, nothing is written.
template <typename AnyCache, Sink Out>
bool report_slots(AnyCache& cache, const void* pointer, Out&& sink) {
    bool found = false;
    cache.for_each_slab([&](const SlabView& slab) {
        if (found || !slab.contains(pointer)) return;
        found = true;
        detail::Writer writer(sink);
        writer.text("slab ");
        writer.address(address_of(slab.slab()));
        writer.text(", ");
        writer.number(slab.allocated_objects_number());
        writer.text(" of ");
        writer.number(slab.objects_number());
        writer.text(" objects\n");
        for (std::size_t slot = 0; slot < slab.slots_number(); ++slot) {
            writer.character(detail::character_of(slab.state_of(slot)));
            const std::size_t next = slot + 1;
            if (next % detail::characters_a_line == 0 || next == slab.slots_number())
                writer.character('\n');
        }
    });
    return found;
}

}  // namespace slab_allocator

// out_of_memory.hpp -- how a standard allocator says that there is no memory. Hosted.
//
// Everywhere else in this library that is a null pointer. Containers ask for an exception; where
// there are none (-fno-exceptions), the program ends, as it does with the standard's own allocator.

namespace slab_allocator::detail {

[[noreturn, gnu::noinline, gnu::cold]] inline void out_of_memory() {
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::terminate();
#endif
}

[[noreturn, gnu::noinline, gnu::cold]] inline void bad_array_length() {
#if defined(__cpp_exceptions)
    throw std::bad_array_new_length();
#else
    std::terminate();
#endif
}

/// Returns: what it is given, which is not null.
[[nodiscard]] inline void* or_out_of_memory(void* memory) {
    if (memory == nullptr) [[unlikely]]
        out_of_memory();
    return memory;
}

/// The bytes of `number` objects of `size` bytes; too many for any array throw.
[[nodiscard]] inline std::size_t array_bytes(std::size_t number, std::size_t size) {
    if (number > std::numeric_limits<std::ptrdiff_t>::max() / size) [[unlikely]]
        bad_array_length();
    return number * size;
}

}  // namespace slab_allocator::detail

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

// memory_resource.hpp -- a heap as a std::pmr::memory_resource. Hosted.
//
//      std::pmr::map --polymorphic_allocator--> MemoryResource: | vtable | heap | --> backend
//
// There is no upstream resource: pages come from the backend, and go back there when they are free,
// not only when the resource ends. No RTTI: a resource is equal to itself alone.

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

// smart_pointers.hpp -- std::unique_ptr and std::shared_ptr in a pool or a cache. Hosted.
//
//      make_unique_in<T>(pool, ...)                  unique_ptr | object | pool |
//      make_unique_in<T>(StaticPool<pool>{}, ...)    unique_ptr | object |
//      make_shared_in<T>(pool, ...)                  shared_ptr | object | * |--> | counts | T |
//
//      unique_ptr<T, Deleter<OwnedByStatic<cache>>> is a Handle where a unique_ptr is asked for.
//
// A Deleter frees what it is given as a T: a unique_ptr to a base class of T is not for it. The
// pool, and the cache, must outlive the pointers.

namespace slab_allocator {

/// What a std::unique_ptr calls. Owner: OwnedBy<Cache>, OwnedByStatic<cache>, PoolRef<Pool> or
/// StaticPool<pool>. As large as that.
template <typename Owner>
struct Deleter {
    template <typename T>
    void operator()(T* object) const noexcept {
        owner.destroy(object);
    }

    [[no_unique_address]] Owner owner;
};

/// What make_unique_in gives: a unique_ptr to a T of that pool.
template <typename T, typename Source>
using UniqueIn = std::unique_ptr<T, Deleter<Source>>;

namespace detail {

template <typename T, typename Source, typename... Arguments>
[[nodiscard]] UniqueIn<T, Source> make_unique_from(Source source, Arguments&&... arguments) {
    T* const object = source.get().template create<T>(std::forward<Arguments>(arguments)...);
    if (object == nullptr) [[unlikely]]
        out_of_memory();
    return UniqueIn<T, Source>(object, {source});
}

}  // namespace detail

/// A T in a pool. Throws: std::bad_alloc, or what the constructor throws; then nothing is lost.
template <typename T, typename Backend, typename Kind, CacheConfig Config, typename... Arguments>
[[nodiscard]] auto make_unique_in(Pool<Backend, Kind, Config>& pool, Arguments&&... arguments) {
    return detail::make_unique_from<T>(PoolRef(pool), std::forward<Arguments>(arguments)...);
}
template <typename T, auto& pool, typename... Arguments>
[[nodiscard]] auto make_unique_in(StaticPool<pool> source, Arguments&&... arguments) {
    return detail::make_unique_from<T>(source, std::forward<Arguments>(arguments)...);
}

/// A T and its counts in one node of a pool. Throws: as make_unique_in.
template <typename T, typename Backend, typename Kind, CacheConfig Config, typename... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared_in(Pool<Backend, Kind, Config>& pool,
                                                Arguments&&... arguments) {
    using Source = PoolRef<Pool<Backend, Kind, Config>>;
    return std::allocate_shared<T>(Allocator<T, Source>(pool),
                                   std::forward<Arguments>(arguments)...);
}
template <typename T, auto& pool, typename... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared_in(StaticPool<pool>, Arguments&&... arguments) {
    return std::allocate_shared<T>(Allocator<T, StaticPool<pool>>(),
                                   std::forward<Arguments>(arguments)...);
}

}  // namespace slab_allocator

// process_secret.hpp -- a number that nobody outside of this process can guess: what the guards of
// levels hardened and debug make their key of. Hosted.
//
//      system's random numbers --once--> process_secret() --> backend.secret() --> each cache's key
//
// From getentropy (POSIX.1-2024). Where the system has none, or refuses, it is made of an address
// and of the time, which is better than what an attacker knows, and worse than what one must hope.

namespace slab_allocator {

namespace detail {

[[nodiscard]] inline std::uint64_t ask_for_secret() noexcept {
    std::uint64_t secret = 0;
#if __has_include(<sys/random.h>)
    if (::getentropy(&secret, sizeof secret) == 0) return secret;
#endif
    return address_of(&secret) ^ static_cast<std::uint64_t>(std::time(nullptr)) << 20U;
}

}  // namespace detail

/// Always the same in a process. Costs: the first call asks the system. Any thread may call it.
[[nodiscard]] inline std::uint64_t process_secret() noexcept {
    static const std::uint64_t secret = detail::ask_for_secret();
    return secret;
}

}  // namespace slab_allocator

// aligned_alloc_backend.hpp -- a whole backend over std::aligned_alloc: serves every configuration
// but PageFrames. Hosted.
//
//      std::aligned_alloc --2 MiB--> SlabRuns --slabs--> caches
//                     |                 '------4 KiB---> SlabInfoCache --SlabInfos--> Large caches
//                     '--tables------> HashMap: page --> SlabInfo
//
// Slabs come in runs because malloc pads each aligned block: slabs of one page, taken one by one,
// cost twice their bytes. Everything is given back: a run when its last slab is (one is kept until
// trim()), the rest when the backend dies. What malloc keeps for itself is not resident any more:
// its free lists may pin a few runs for ever, and it raises its own threshold for giving back.

namespace slab_allocator {

/// A SlabSource: each slab is one block of std::aligned_alloc.
class AlignedAllocPages {
public:
    /// From this size on, what is freed is given back to the system where there is a way.
    static constexpr std::size_t smallest_released = std::size_t{128} * 1024;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        // The size must be a multiple of the alignment, or some libraries refuse it.
        const std::size_t bytes = align_up(slab_size, slab_alignment);
        return bytes < slab_size ? nullptr : std::aligned_alloc(slab_alignment, bytes);
    }
    void free_slab(void* slab, [[maybe_unused]] std::size_t slab_size, std::size_t) noexcept {
#if defined(__linux__)
        // Before the free: afterwards the pages are somebody else's. A refusal changes nothing.
        if (slab_size >= smallest_released) ::madvise(slab, slab_size, MADV_DONTNEED);
#endif
        std::free(slab);
    }
};

/// Needs nothing, so it is the backend of every example. Not synchronised. Caches that share one
/// hold it by BackendRef.
class AlignedAllocBackend {
public:
    constexpr AlignedAllocBackend() noexcept {}
    AlignedAllocBackend(const AlignedAllocBackend&) = delete;  // its parts know its address
    AlignedAllocBackend& operator=(const AlignedAllocBackend&) = delete;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        return runs_.alloc_slab(slab_size, slab_alignment);
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        runs_.free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] SlabInfo* alloc_slab_info() noexcept { return infos_.alloc_slab_info(); }
    void free_slab_info(SlabInfo* slab_info) noexcept { infos_.free_slab_info(slab_info); }

    [[nodiscard]] bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        return map_.save_slab_info_ptr(page_addr, slab_info);
    }
    [[nodiscard]] SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        return map_.get_slab_info_ptr(page_addr);
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        map_.delete_slab_info_ptr(page_addr);
    }

    /// For the guards of levels hardened and debug.
    [[nodiscard]] static std::uint64_t secret() noexcept { return process_secret(); }

    /// Gives back what is kept for later. Returns: how many bytes of runs.
    std::size_t trim() noexcept {
        infos_.cache().shrink_to_fit();
        return runs_.trim();
    }

    /// The bytes of all runs, taken slabs or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return runs_.bytes_held(); }

private:
    using Runs = SlabRuns<AlignedAllocPages>;

    Runs runs_;
    SlabInfoCache<BackendRef<Runs>> infos_{BackendRef<Runs>(runs_)};
    HashMap<AlignedAllocPages> map_;
};

template <>
inline constexpr bool bears_threads<AlignedAllocBackend> = false;

}  // namespace slab_allocator

// mmap_backend.hpp -- slabs straight from the operating system, with huge pages and prefault.
// Hosted, POSIX.
//
//      mmap     |<- size + alignment - page ------------->|
//      trimmed  |.........|<- size, aligned ->|...........|      . is unmapped again
//
// It is a source of slabs and nothing else. A cache that needs a map and SlabInfos composes them:
//
//      MmapBackend pages{{.huge_pages = true}};
//      ComposedBackend<BackendRef<MmapBackend>, SlabInfoCache<BackendRef<MmapBackend>>,
//                      HashMap<BackendRef<MmapBackend>>> backend{pages, pages, pages};
//
// A run of the default run_size is one huge page of x86_64.

namespace slab_allocator {

/// What an MmapBackend asks of the system.
struct MmapOptions {
    /// Runs are aligned to huge pages and advised to be ones (madvise, where the system has that).
    bool huge_pages = false;
    /// Runs are made resident when they are taken, so that no first touch of a slab faults.
    bool prefault = false;
    /// A power of two from 4096 to 2 MiB: how much is asked of the system at once.
    std::size_t run_size = std::size_t{2} * 1024 * 1024;
};

/// A SlabSource: each slab is one mapping.
class MmapPages {
public:
    static constexpr std::size_t huge_page_size = std::size_t{2} * 1024 * 1024;

    constexpr MmapPages() noexcept = default;
    constexpr explicit MmapPages(MmapOptions options) noexcept : options_(options) {}

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const bool huge = options_.huge_pages && slab_size >= huge_page_size;
        if (huge && slab_alignment < huge_page_size) slab_alignment = huge_page_size;
        const std::size_t bytes = mapped_size(slab_size);
        std::byte* const memory = bytes < slab_size ? nullptr : map_aligned(bytes, slab_alignment);
        if (memory == nullptr) return nullptr;
#ifdef MADV_HUGEPAGE
        if (huge) ::madvise(memory, bytes, MADV_HUGEPAGE);  // advice: a refusal changes nothing
#endif
        if (options_.prefault && !make_resident(memory, bytes)) {
            ::munmap(memory, bytes);
            return nullptr;
        }
        return memory;
    }

    /// A system that has as many mappings as it allows may refuse to cut one in two: then the pages
    /// stay mapped, and nobody has them.
    void free_slab(void* slab, std::size_t slab_size, std::size_t) noexcept {
        if (::munmap(slab, mapped_size(slab_size)) != 0) discard(slab, mapped_size(slab_size));
    }

    /// The pages stay mapped, and are zero and not resident until they are touched again. Returns:
    /// false where the system refuses, as for locked pages: they are as they were. Requires: whole
    /// pages of the system, of one mapping.
    static bool discard(void* start, std::size_t bytes) noexcept {
#ifdef MADV_DONTNEED
        return ::madvise(start, bytes, MADV_DONTNEED) == 0;
#else
        __builtin_memset(start, 0, bytes);
        return true;
#endif
    }

    /// Are huge pages wanted there? Advice: a system without them does nothing. Requires: whole
    /// huge pages.
    static void advise_huge_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes,
                                  [[maybe_unused]] bool wanted) noexcept {
#ifdef MADV_HUGEPAGE
        ::madvise(start, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
    }

    [[nodiscard]] constexpr const MmapOptions& options() const noexcept { return options_; }

private:
    [[nodiscard]] static std::size_t system_page_size() noexcept {
        return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    }
    [[nodiscard]] static std::size_t mapped_size(std::size_t slab_size) noexcept {
        return align_up(slab_size, system_page_size());
    }

    [[nodiscard]] static std::byte* map(std::size_t bytes) noexcept {
        void* const memory =
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
    }

    [[nodiscard]] static std::byte* map_aligned(std::size_t bytes, std::size_t alignment) noexcept {
        const std::size_t page = system_page_size();
        if (alignment <= page) return map(bytes);
        const std::size_t surplus = alignment - page;
        if (bytes > ~std::size_t{0} - surplus) return nullptr;
        std::byte* const reserved = map(bytes + surplus);
        if (reserved == nullptr) return nullptr;
        const std::size_t lead = align_up(address_of(reserved), alignment) - address_of(reserved);
        if (lead != 0) ::munmap(reserved, lead);
        if (lead != surplus) ::munmap(reserved + lead + bytes, surplus - lead);
        return reserved + lead;
    }

    /// Not MAP_POPULATE: that would fill what is trimmed, and before huge pages are asked for.
    [[nodiscard]] static bool make_resident(std::byte* memory, std::size_t bytes) noexcept {
#ifdef MADV_POPULATE_WRITE
        if (::madvise(memory, bytes, MADV_POPULATE_WRITE) == 0) return true;
        if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return false;  // else: not known
#endif
        for (std::size_t offset = 0; offset < bytes; offset += system_page_size()) {
            *static_cast<volatile std::byte*>(memory + offset) = std::byte{0};
        }
        return true;
    }

    MmapOptions options_;
};

/// Slabs of any size and alignment. Not synchronised. Caches that share one hold it by BackendRef.
class MmapBackend : public SlabRuns<MmapPages> {
public:
    constexpr MmapBackend() noexcept = default;
    constexpr explicit MmapBackend(MmapOptions options) noexcept
        : SlabRuns(MmapPages(options), options.run_size) {}

    /// For the guards of levels hardened and debug.
    [[nodiscard]] static std::uint64_t secret() noexcept { return process_secret(); }
};

template <>
inline constexpr bool bears_threads<MmapBackend> = false;

}  // namespace slab_allocator

// rseq.hpp -- a pop and a push that the kernel starts over when it takes the CPU away. Hosted.
//
//      area: | cpu_id | table --+--> start 1, end 2, abort 4
//
//      store the table ; 1: cpu_id -> the slot -> top ; compare ; object ; store the new top ; 2:
//
// Linux's restartable sequences: a thread that is preempted, moved, or sent a signal between 1 and
// 2 goes on at 4, which starts over. Until the last store nothing has happened, so whoever runs on
// a CPU is alone in its slot, without an atomic instruction and without being pinned. From outside,
// the membarrier system call starts over whatever is between 1 and 2 on any CPU.
//
// The only assembly of the hosted rooms: x86-64, where the C library registers each thread (glibc
// 2.35; unless GLIBC_TUNABLES=glibc.pthread.rseq=0, and not under Valgrind). ThreadSanitizer does
// not see what a sequence does. There and elsewhere, `Sequences` are NoSequences.
//
// Invariants
//   [Q1] a sequence has one store that others see, and it is the last instruction before 2
//   [Q2] the table is the thread's when it comes to 1: the store of it is the instruction before
//   [Q3] which CPU it is, is read in the sequence: it cannot be another one at the end
//   [Q4] floor or limit is read before top: a slot is opened in the other order, and perhaps from
//        another CPU, to which the slow path was moved that had claimed it on this one
//   [Q5] it starts over inside of the assembly, and leaves nothing where it jumps out: clang 19 at
//        -O0 takes what was on its stack for what a sequence had in its registers then

namespace slab_allocator {

/// Where there are none.
class NoSequences {
public:
    /// Does the C library register its threads?
    [[nodiscard]] static bool registered() noexcept { return false; }
    /// The CPU that the caller is on; a huge number: it is not registered.
    [[nodiscard]] static std::size_t cpu() noexcept { return ~std::size_t{0}; }
    /// Of the slot of the caller's CPU, if that is below `slots_number`; as CpuSlot's.
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool pop(Slot*, typename Slot::Pointer&) noexcept {
        return false;
    }
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool push(Slot*, typename Slot::Pointer) noexcept {
        return false;
    }
    /// What is under way on any CPU starts over. false: that cannot be done.
    [[nodiscard]] static bool restart_all() noexcept { return false; }
};

#if defined(__linux__) && defined(__x86_64__) && __has_include(<sys/rseq.h>)

// NOLINTBEGIN(misc-const-correctness): what assembly writes is no constant.
class RestartableSequences {
public:
    [[nodiscard]] static bool registered() noexcept { return __rseq_size != 0; }

    [[nodiscard]] static std::size_t cpu() noexcept {
        std::uint32_t cpu = 0;
        __asm__ volatile("movl %%fs:4(%[area]), %[cpu]"
                         : [cpu] "=r"(cpu)
                         : [area] "r"(__rseq_offset)
                         : "memory");
        return cpu;
    }

    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        return run<slots_number, false>(slots, object);
    }
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        return run<slots_number, true>(slots, object);
    }

    [[nodiscard]] static bool restart_all() noexcept {
        // Registering again costs little, and after a fork it is needed.
        return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) ==
                   0 &&
               ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
    }

private:
    template <std::size_t slots_number, bool is_push, typename Slot>
    [[nodiscard]] static bool run(Slot* slots, typename Slot::Pointer& object) noexcept {
        std::uintptr_t slot = 0;
        std::uintptr_t top = 0;
        std::uintptr_t border = 0;              // floor or limit
        typename Slot::Pointer moved = object;  // [Q5]
        // clang-format off
        __asm__ goto volatile(
            ".pushsection __rseq_cs, \"aw?\"\n\t"
            ".balign 32\n"
            "3:\n\t"
            ".long 0, 0\n\t"
            ".quad 1f, 2f-1f, 4f\n\t"
            ".popsection\n\t"
            "0:\n\t"
            "leaq 3b(%%rip), %[top]\n\t"
            "movq %[top], %%fs:8(%[area])\n"            // [Q2]
            "1:\n\t"
            "movl %%fs:4(%[area]), %k[slot]\n\t"        // [Q3]
            "cmpl %[slots_number], %k[slot]\n\t"
            "jae %l[none]\n\t"
            "imulq %[slot_size], %[slot], %[slot]\n\t"
            "addq %[slots], %[slot]\n\t"
            "movq %c[border_at](%[slot]), %[border]\n\t"
            "movq (%[slot]), %[top]\n\t"                // [Q4]
            "cmpq %[border], %[top]\n\t"
            ".if %c[is_push]\n\t"
            "jae %l[none]\n\t"
            "movq %[object], (%[top])\n\t"              // nobody looks there yet
            "addq $8, %[top]\n\t"
            ".else\n\t"
            "jbe %l[none]\n\t"
            "movq -8(%[top]), %[object]\n\t"
            "subq $8, %[top]\n\t"
            ".endif\n\t"
            "movq %[top], (%[slot])\n"                  // [Q1]
            "2:\n\t"
            ".pushsection __rseq_failure, \"ax?\"\n\t"
            ".byte 0x0f, 0xb9, 0x3d\n\t"                // ud1: the signature is its operand
            ".long %c[signature]\n"
            "4:\n\t"
            "jmp 0b\n\t"                               // [Q5]
            ".popsection"
            : [object] "+&r"(moved), [slot] "=&r"(slot), [top] "=&r"(top),
              [border] "=&r"(border)
            : [slots] "r"(slots), [area] "r"(__rseq_offset), [slots_number] "i"(slots_number),
              [slot_size] "i"(cpu_slot_size), [signature] "i"(RSEQ_SIG), [is_push] "i"(is_push),
              [border_at] "i"(is_push ? 16 : 8)
            : "memory", "cc"
            : none);
        // clang-format on
        object = moved;
        return true;
    none:
        return false;
    }
};
// NOLINTEND(misc-const-correctness)

#if defined(__SANITIZE_THREAD__)
using Sequences = NoSequences;
#elif !defined(__clang__)
using Sequences = RestartableSequences;
#elif __has_feature(thread_sanitizer)
using Sequences = NoSequences;
#else
using Sequences = RestartableSequences;
#endif

#else
using Sequences = NoSequences;
#endif

}  // namespace slab_allocator

// thread_cpus.hpp -- the policy of a program: a slot for each live thread. Hosted.
//
//      live threads   A     B           C
//      slots        | 0 |   1 |  2 |    3 | ...     the lowest free one (slot_numbers.hpp)
//
// A thread gets its number in its first slow path, and gives it back when it ends, from where the
// next thread takes it, with the magazines that lie in the slot: however many threads come and go,
// only as many slots are in use as threads lived at one time. A thread beyond `most_threads` has
// none, and goes under the lock; so does one that allocates in a destructor of its thread_locals
// that runs after this one's.
//
// On Linux, other threads' slots are reached by the membarrier system call (4.14). Elsewhere they
// are not: what lies in them comes back when the cache is destroyed. In the child of a fork, the
// numbers of the threads that are not there any more stay taken until after_fork_in_child().
//
// Invariants
//   [T1] a number is taken  <=>  a live thread has it, as its offset_
//   [T2] offset_ == none before the first join() and from the end of the thread on

namespace slab_allocator {

/// All policies with the same `most_threads` share the numbers of the threads. Not for signal
/// handlers: one that interrupts an alloc or a free must not call the same cache.
template <std::size_t most_threads = 64>
class ThreadCpus : public PinnedCpus<ThreadCpus<most_threads>> {
public:
    static constexpr std::size_t slots_number = most_threads;

    struct Pin {
        std::size_t offset;
    };

    [[nodiscard]] static Pin enter() noexcept { return {offset_}; }
    static void leave(const Pin&) noexcept {}

    /// Costs: nothing where the thread has a slot, else one atomic exchange where one is free.
    static void join() noexcept {
        if (offset_ != none || ended_) return;
        static thread_local const AtEnd at_end;
        static_cast<void>(&at_end);
        offset_ = numbers_.take() * cpu_slot_size;
    }

    [[nodiscard]] static Reach synchronise() noexcept {
#if defined(__linux__)
        // Registering again costs little, and after a fork it is needed.
        if (::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
            ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) {
            return Reach::objects;
        }
#endif
        return Reach::own;
    }

    static void wait() noexcept { ::sched_yield(); }

    /// New threads take the slots over, with what is in them.
    static void after_fork_in_child() noexcept { numbers_.keep_only(offset_ / cpu_slot_size); }

    /// How many threads have a slot at this moment.
    [[nodiscard]] static std::size_t threads_number() noexcept { return numbers_.taken_number(); }

private:
    static constexpr std::size_t none = most_threads * cpu_slot_size;  // the closed slot

    struct AtEnd {
        AtEnd() noexcept {}
        AtEnd(const AtEnd&) = delete;
        AtEnd& operator=(const AtEnd&) = delete;
        ~AtEnd() {
            const std::size_t offset = offset_;
            ended_ = true;
            offset_ = none;  // [T2]
            if (offset != none) numbers_.give_back(offset / cpu_slot_size);
        }
    };

    // constinit: reached without asking whether they were initialised.
    static inline constinit thread_local std::size_t offset_ = none;
    static inline constinit thread_local bool ended_ = false;
    static inline constinit SlotNumbers<most_threads> numbers_;
};

}  // namespace slab_allocator

// rseq_cpus.hpp -- the policy of a program with many threads: a slot for each CPU. Hosted.
//
//      threads      A  B  C  D  E ...        however many: what one leaves, the next on its CPU has
//      CPUs           0       1
//      slots        | 0 |   | 1 |
//
// pop and push are restartable sequences (rseq.hpp). A slow path claims the slot as one from
// outside does, and then looks again where it runs: it has been on that CPU since the slot was
// closed, so nobody else's sequence of that CPU is under way: the kernel took the CPU from it.
//
// Where there are no such sequences, the slots are those of threads, as ThreadCpus has them.
//
// Invariants
//   [R1] in one process, slots are either those of CPUs or those of threads

namespace slab_allocator {

/// A CPU whose number is `most_cpus` or more has no slot, nor has a thread that the C library knows
/// nothing of. Not for signal handlers, as ThreadCpus.
template <std::size_t most_cpus = 64, typename SequencesOfMachine = Sequences>
class RseqCpus {
    using Threads =
        ThreadCpus<most_cpus>;  // no member: g++ 12 forgets what lies beside an empty one

public:
    static constexpr std::size_t slots_number = most_cpus;

    /// Are the slots those of CPUs?
    [[nodiscard]] static bool per_cpu() noexcept { return SequencesOfMachine::registered(); }

    template <typename Slot>
    [[nodiscard]] bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        if (SequencesOfMachine::template pop<slots_number>(slots, object)) [[likely]]
            return true;
        return !per_cpu() && Threads().pop(slots, object);  // [R1]
    }
    template <typename Slot>
    [[nodiscard]] bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        if (SequencesOfMachine::template push<slots_number>(slots, object)) [[likely]]
            return true;
        return !per_cpu() && Threads().push(slots, object);
    }

    template <typename Slot>
    [[nodiscard]] auto hold(Slot* slots) noexcept {
        using Held = decltype(Threads().hold(slots));
        if (!per_cpu()) return Threads().hold(slots);
        for (;;) {
            const std::size_t cpu = SequencesOfMachine::cpu();
            if (cpu >= slots_number) return Held{};
            Slot& slot = slots[cpu];
            if (!slot.claim(Claim::owners)) return Held{};
            if (SequencesOfMachine::cpu() == cpu) return Held{.slot = &slot, .pin = {}};
            slot.open();
        }
    }
    template <typename Held>
    void let_go(const Held&) noexcept {}

    void join() noexcept {
        if (!per_cpu()) Threads().join();
    }
    [[nodiscard]] Reach synchronise() noexcept {
        if (!per_cpu()) return Threads().synchronise();
        return SequencesOfMachine::restart_all() ? Reach::magazines : Reach::own;
    }
    void wait() noexcept { Threads().wait(); }
    void after_fork_in_child() noexcept {
        if (!per_cpu()) Threads().after_fork_in_child();
    }
};

}  // namespace slab_allocator

#endif
