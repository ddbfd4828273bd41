#include <slab_allocator/core/slot_group.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/layout.hpp>

#include <support/catch.hpp>
#include <support/random.hpp>

using slab_allocator::address_of;
using slab_allocator::CacheConfig;
using slab_allocator::FreeMap;
using slab_allocator::Layout;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlotGroup;
using support::Random;

namespace {

constexpr std::size_t word = FreeMap::bits_per_word;

template <std::size_t size>
constexpr Layout layout = slab_allocator::layout_for(
    size, 1, CacheConfig{.slab_size = 8192, .object_size_type = ObjectSizeType::Large});

/// The slots of a group, in the order of their bits.
[[nodiscard]] std::vector<std::size_t> slots_of(const SlotGroup& group) {
    std::vector<std::size_t> slots;
    for (std::size_t bit = 0; bit < 2 * word; ++bit) {
        const std::uint64_t bits = bit < word ? group.bits : group.bits_after;
        if (((bits >> (bit % word)) & 1U) != 0) slots.push_back(group.word * word + bit);
    }
    return slots;
}

/// A slab's memory, and groups of objects in it, which are given by their slots.
template <std::size_t size>
class Slab {
public:
    [[nodiscard]] std::byte* at(std::size_t slot) const {
        return start() + slot * layout<size>.stride;
    }
    [[nodiscard]] std::vector<std::byte*> objects(const std::vector<std::size_t>& slots) const {
        std::vector<std::byte*> result;
        for (const std::size_t slot : slots)
            result.push_back(at(slot));
        return result;
    }
    template <bool suspect>
    [[nodiscard]] SlotGroup group(const std::vector<std::byte*>& objects) const {
        return slab_allocator::first_group<layout<size>, suspect>(
            address_of(start()), std::span<std::byte* const>(objects));
    }

private:
    [[nodiscard]] std::byte* start() const { return memory_.get() + 8192; }

    std::unique_ptr<std::byte[]> memory_ = std::make_unique<std::byte[]>(std::size_t{3} * 8192);
};

/// Is it the first of these slots, and has it all that it can?
template <std::size_t size>
void require_group(const SlotGroup& group, const std::vector<std::size_t>& slots) {
    REQUIRE(group.number >= 1);
    REQUIRE(group.number <= slots.size());
    const auto end = slots.begin() + static_cast<std::ptrdiff_t>(group.number);
    std::vector<std::size_t> first(slots.begin(), end);
    std::sort(first.begin(), first.end());
    REQUIRE(slots_of(group) == first);
    const bool more = end != slots.end() && *end / word == slots.front() / word;
    REQUIRE((!more || group.number == word));
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("a group is all of the first objects that stand in one word", "[slot_group]",
                       ((std::size_t size), size), 16, 48, 100, 1000) {
    const Slab<size> slab;
    const std::size_t slots_number = layout<size>.slots_per_slab;
    Random random;
    std::vector<std::size_t> all(slots_number);
    std::iota(all.begin(), all.end(), std::size_t{0});
    for (std::size_t round = 0; round < 300; ++round) {
        // A few long runs of one word each, in random order within them.
        std::vector<std::size_t> slots = all;
        std::vector<std::size_t> ranks = all;
        random.shuffle(ranks);
        std::sort(slots.begin(), slots.end(), [&](std::size_t a, std::size_t b) {
            return std::pair(a / word, ranks[a]) < std::pair(b / word, ranks[b]);
        });
        const std::size_t first = random.below(slots.size());
        slots.erase(slots.begin(), slots.begin() + static_cast<std::ptrdiff_t>(first));
        slots.resize(1 + random.below(slots.size()));
        require_group<size>(slab.template group<false>(slab.objects(slots)), slots);
        require_group<size>(slab.template group<true>(slab.objects(slots)), slots);
    }
}

TEST_CASE("64 neighbours are a group wherever they begin, up and down", "[slot_group]") {
    const Slab<16> slab;
    const std::size_t slots_number = layout<16>.slots_per_slab;
    for (std::size_t low = 0; low < slots_number; ++low) {
        CAPTURE(low);
        std::vector<std::size_t> slots(std::min<std::size_t>(slots_number - low, 70));
        std::iota(slots.begin(), slots.end(), low);
        const bool whole = slots.size() >= word;
        const std::size_t in_word = std::min(slots.size(), word - low % word);
        const SlotGroup up = slab.group<true>(slab.objects(slots));
        REQUIRE(up.number == (whole ? word : in_word));
        require_group<16>(up, slots);
        std::reverse(slots.begin(), slots.end());
        const std::size_t high = slots.front();
        const SlotGroup down = slab.group<true>(slab.objects(slots));
        REQUIRE(down.number == (whole ? word : std::min(slots.size(), high % word + 1)));
        require_group<16>(down, slots);
    }
}

TEST_CASE("neighbours that leave the slab are a group no further than it goes", "[slot_group]") {
    const Slab<16> slab;
    const std::size_t slots_number = layout<16>.slots_per_slab;
    std::vector<std::size_t> beyond(word);
    std::iota(beyond.begin(), beyond.end(), slots_number - 10);
    REQUIRE(slab.group<true>(slab.objects(beyond)).number == 10);
    std::vector<std::byte*> before;
    for (std::size_t down = 0; down < word; ++down)
        before.push_back(slab.at(10) - down * layout<16>.stride);
    REQUIRE(slab.group<true>(before).number == 11);
}

TEST_CASE("what nobody checked ends a group: another object's middle, and the same one again",
          "[slot_group]") {
    const Slab<48> slab;
    std::vector<std::byte*> objects = slab.objects({5, 9, 7, 9, 8});
    REQUIRE(slab.group<true>(objects).number == 3);
    objects = slab.objects({5, 9, 7, 8});
    objects[2] += 16;
    REQUIRE(slab.group<true>(objects).number == 2);
    objects = slab.objects({5, 9, 5});
    REQUIRE(slab.group<true>(objects).number == 2);
    objects = slab.objects({1, word, 2});
    REQUIRE(slab.group<true>(objects).number == 1);
}

TEST_CASE("a group is taken, marked and given back in both of its words", "[slot_group]") {
    struct Maps {
        FreeMap map;
        std::uint64_t more[3] = {};
    } maps;
    FreeMap& map = maps.map;
    constexpr std::size_t slots = 4 * word;
    map.fill(slots, 0, 0);
    for (std::size_t number = 0; number < 4; ++number)
        map.take(number, ~std::uint64_t{0}, 0);
    const SlotGroup group{
        .number = word, .word = 1, .bits = ~std::uint64_t{0} << 10, .bits_after = 0x3ff};
    const SlotGroup single{.number = 1, .word = 3, .bits = 2, .bits_after = 0};
    for (const SlotGroup& some : {group, single}) {
        REQUIRE(some.all_taken_in(map));
        some.mark_in(map);
        REQUIRE_FALSE(some.all_taken_in(map));
        for (std::size_t slot = 0; slot < slots; ++slot) {
            const std::vector<std::size_t> marked = slots_of(some);
            const bool is_marked = std::find(marked.begin(), marked.end(), slot) != marked.end();
            REQUIRE(map.is_free(slot) == is_marked);
        }
        REQUIRE(map.empty());
        some.unmark_in(map);
        REQUIRE(some.all_taken_in(map));
    }
    group.free_in(map);
    REQUIRE(map.nonempty_words() == 0b0110);
    REQUIRE_FALSE(group.all_taken_in(map));
    REQUIRE(single.all_taken_in(map));
    map.take(1, map.word_at(1), 0);  // now only its second word is free
    REQUIRE_FALSE(group.all_taken_in(map));
    single.free_in(map);
    REQUIRE(map.nonempty_words() == 0b1100);
}
