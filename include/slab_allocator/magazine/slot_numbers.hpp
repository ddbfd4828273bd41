#pragma once

// slot_numbers.hpp -- numbers for whoever comes and goes: the lowest that is free, from a bitmap.
//
//      taken    1 1 0 1 0 0 ...
//                   ^ the next
//
// However many come and go, only as many numbers are in use as were held at one time.
//
// Invariants
//   [N1] a bit is set  <=>  somebody holds that number

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/magazine/atomics.hpp>

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
