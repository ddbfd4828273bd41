#pragma once

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

#include <bit>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>

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
