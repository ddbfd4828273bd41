#include <slab_allocator/core/free_map.hpp>

#include <bit>
#include <bitset>
#include <cstring>
#include <memory>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

/// A free map with as many words as the largest has.
class MapOfAny {
public:
    MapOfAny(std::size_t slots, std::size_t covered, std::size_t covered_number)
        : slots_(slots), covered_(covered), covered_number_(covered_number) {
        map().fill(slots, covered, covered_number);
    }
    [[nodiscard]] FreeMap& map() { return *reinterpret_cast<FreeMap*>(words_.data()); }
    [[nodiscard]] bool usable(std::size_t slot) const {
        return slot < covered_ || slot >= covered_ + covered_number_;
    }
    [[nodiscard]] std::uint64_t covered(std::size_t word) const {
        return FreeMap::bits_of(covered_, covered_number_, word);
    }
    [[nodiscard]] bool consistent(std::size_t free_number) {
        return map().consistent(slots_, covered_, covered_number_, free_number);
    }

private:
    std::vector<std::uint64_t> words_ = std::vector<std::uint64_t>(1 + FreeMap::max_words);
    std::size_t slots_;
    std::size_t covered_;
    std::size_t covered_number_;
};

}  // namespace

TEST_CASE("the lowest and the highest bit, and how many there are", "[free_map]") {
    support::Random random;
    for (std::size_t count = 0; count < 10'000; ++count) {
        std::uint64_t bits = random.next() & random.next() & random.next();
        if (bits == 0) bits = std::uint64_t{1} << random.below(64);
        REQUIRE(lowest_bit(bits) == static_cast<std::size_t>(std::countr_zero(bits)));
        REQUIRE(highest_bit(bits) == static_cast<std::size_t>(63 - std::countl_zero(bits)));
        REQUIRE(bits_number(bits) == static_cast<std::size_t>(std::popcount(bits)));
    }
    REQUIRE(bits_number(0) == 0);
    REQUIRE(bits_number(~std::uint64_t{0}) == 64);
}

TEST_CASE("bits_of are the bits of a run of slots in a word", "[free_map]") {
    STATIC_REQUIRE(FreeMap::bits_of(0, 64, 0) == ~std::uint64_t{0});
    STATIC_REQUIRE(FreeMap::bits_of(0, 64, 1) == 0);
    STATIC_REQUIRE(FreeMap::bits_of(62, 4, 0) == std::uint64_t{3} << 62);
    STATIC_REQUIRE(FreeMap::bits_of(62, 4, 1) == 3);
    STATIC_REQUIRE(FreeMap::bits_of(70, 0, 1) == 0);
    STATIC_REQUIRE(FreeMap::bits_of(0, 4096, 63) == ~std::uint64_t{0});
    STATIC_REQUIRE(FreeMap::words_for(1) == 1);
    STATIC_REQUIRE(FreeMap::words_for(65) == 2);
}

TEST_CASE("a filled map has every slot free, but those that are covered", "[free_map]") {
    for (const std::size_t slots : {1U, 2U, 63U, 64U, 65U, 128U, 640U, 4095U, 4096U}) {
        for (const std::size_t covered_number : {0U, 1U, 3U, 64U}) {
            if (covered_number >= slots) continue;
            for (const std::size_t covered :
                 {std::size_t{0}, (slots - covered_number) / 2, slots - covered_number}) {
                CAPTURE(slots, covered, covered_number);
                MapOfAny any(slots, covered, covered_number);
                REQUIRE(any.consistent(slots - covered_number));
                REQUIRE(!any.map().empty());
                bool all = true;
                for (std::size_t slot = 0; slot < slots; ++slot)
                    all = all && any.map().is_free(slot);
                REQUIRE(all);
            }
        }
    }
}

TEST_CASE("taking and giving back is what a set of slots says", "[free_map]") {
    support::Random random;
    for (const std::size_t slots : {1U, 3U, 64U, 65U, 200U, 4096U}) {
        const std::size_t covered_number = slots > 3 ? 2 : 0;
        const std::size_t covered = slots / 2;
        MapOfAny any(slots, covered, covered_number);
        FreeMap& map = any.map();
        std::vector<bool> is_free(slots, true);
        std::size_t free_number = slots - covered_number;
        for (std::size_t step = 0; step < 5000; ++step) {
            const std::size_t slot = random.below(slots);
            if (!any.usable(slot)) continue;
            const std::size_t word = slot / 64;
            const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
            if (is_free[slot]) {
                map.take(word, bit, any.covered(word));
                --free_number;
            } else {
                map.give_back(word, bit);
                ++free_number;
            }
            is_free[slot] = !is_free[slot];
            REQUIRE(map.is_free(slot) == is_free[slot]);
            REQUIRE(map.empty() == (free_number == 0));
            if (!map.empty()) {
                const std::size_t first = map.first_word();
                REQUIRE((map.word_at(first) & ~any.covered(first)) != 0);
                for (std::size_t before = 0; before < first; ++before) {
                    REQUIRE((map.word_at(before) & ~any.covered(before)) == 0);
                }
            }
            if (step % 50 == 0) REQUIRE(any.consistent(free_number));
        }
    }
}

TEST_CASE("a mark is undone by unmark and completed by give_back", "[free_map]") {
    MapOfAny any(100, 0, 0);
    FreeMap& map = any.map();
    map.take(1, 3, 0);
    map.mark(1, 2);
    REQUIRE(map.is_free(65));
    map.unmark(1, 2);
    REQUIRE(!map.is_free(65));
    REQUIRE(any.consistent(98));
    map.mark(1, 1);
    map.give_back(1, 3);
    REQUIRE(any.consistent(100));
}

TEST_CASE("consistent finds every bit that should not be as it is", "[free_map]") {
    MapOfAny any(100, 70, 3);
    any.map().take(0, 0xff, 0);
    REQUIRE(any.consistent(89));
    REQUIRE(!any.consistent(88));
    for (std::size_t bit = 0; bit < 3 * 64; ++bit) {
        CAPTURE(bit);
        auto* const bytes = reinterpret_cast<unsigned char*>(&any.map());
        bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1U << (bit % 8)));
        REQUIRE(!any.consistent(89));
        bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1U << (bit % 8)));
    }
    REQUIRE(any.consistent(89));
}
