#pragma once

// random.hpp -- reproducible chance: one seed for a whole run, printed where a test fails.
//
// SLAB_ALLOCATOR_SEED=<number> in the environment repeats a run.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace support {

/// The seed of this run.
[[nodiscard]] inline std::uint64_t seed() {
    const char* const text = std::getenv("SLAB_ALLOCATOR_SEED");
    return text == nullptr ? 20'241'222 : std::strtoull(text, nullptr, 0);
}

/// Steele, Lea and Flood's splitmix64: small, fast, and good enough to choose operations.
class Random {
public:
    explicit Random(std::uint64_t start = seed()) noexcept : state_(start) {}

    [[nodiscard]] std::uint64_t next() noexcept {
        state_ += 0x9e37'79b9'7f4a'7c15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58'476d'1ce4'e5b9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d0'49bb'1331'11ebU;
        return mixed ^ (mixed >> 31);
    }

    /// A number below `end`.
    [[nodiscard]] std::size_t below(std::size_t end) noexcept {
        return static_cast<std::size_t>((next() >> 32) * std::uint64_t{end} >> 32);
    }

    [[nodiscard]] bool one_in(std::size_t number) noexcept { return below(number) == 0; }

    template <typename Container>
    void shuffle(Container& container) noexcept {
        for (std::size_t left = container.size(); left > 1; --left) {
            using std::swap;
            swap(container[left - 1], container[below(left)]);
        }
    }

private:
    std::uint64_t state_;
};

}  // namespace support
