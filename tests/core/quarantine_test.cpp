#include <slab_allocator/core/quarantine.hpp>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

constexpr std::size_t stride = 24;
using Delayed = Quarantine<stride, 4096, true>;
alignas(4096) std::byte memory[4096 * stride];

[[nodiscard]] std::byte* slot(std::size_t number) { return memory + number * stride; }

/// Stands for the SlabInfo of an object; never looked at.
[[nodiscard]] SlabRecord* info_for(std::byte* object) {
    return static_cast<SlabRecord*>(static_cast<void*>(object + 8));
}

}  // namespace

TEST_CASE("delayed objects: what came in comes out, the ready ones first, then any of the returned",
          "[quarantine]") {
    support::Random random;
    Delayed delayed;
    std::vector<std::byte*> model;  // the ready ones, then the returned ones
    std::size_t ready = 0;
    std::size_t limit = Delayed::capacity;
    const auto is_the_model = [&] {
        const auto all = delayed.all();
        for (std::size_t rank = 0; rank < all.size(); ++rank) {
            if (delayed.info_at(rank) != info_for(all[rank])) return false;
        }
        return std::equal(all.begin(), all.end(), model.begin(), model.end());
    };
    for (std::size_t step = 0; step < 50'000; ++step) {
        REQUIRE(delayed.size() == model.size());
        REQUIRE(delayed.empty() == model.empty());
        REQUIRE(delayed.none_ready() == (ready == 0));
        const std::size_t choice = random.below(20);
        std::byte* const object = slot(random.below(4096));
        const bool contained = std::find(model.begin(), model.end(), object) != model.end();
        REQUIRE(delayed.contains(object) == contained);
        if (choice < 9 && !contained) {
            if (delayed.full()) {
                delayed.set_limit(limit);
                REQUIRE(delayed.full() == (model.size() >= limit));
            }
            if (delayed.full()) continue;
            delayed.push(object, info_for(object));
            model.push_back(object);
        } else if (choice < 17 && ready > 0) {
            REQUIRE(delayed.pop() == model.front());
            model.erase(model.begin());
            --ready;
        } else if (choice == 17) {
            delayed.shuffle(random.next());
            delayed.set_limit(limit);
            std::vector<std::byte*> now(delayed.all().begin(), delayed.all().end());
            REQUIRE(std::is_permutation(now.begin(), now.end(), model.begin(), model.end()));
            model = now;
            ready = model.size();
        } else if (choice == 18) {
            limit = random.one_in(2) ? Delayed::capacity : random.below(Delayed::capacity);
            delayed.make_room(Delayed::capacity);
            delayed.set_limit(limit);
        } else if (choice == 19 && random.one_in(4)) {
            const std::size_t left = random.below(model.size() + 1);
            delayed.drop_to(left);
            model.resize(left);
            ready = std::min(ready, left);
        }
        REQUIRE(is_the_model());
    }
}

TEST_CASE("delayed objects: slots of a word come behind all others, the lowest first",
          "[quarantine]") {
    Delayed delayed;
    delayed.push(slot(1000), nullptr);
    constexpr std::uint64_t bits = 0x8000'0000'0000'0015U;
    REQUIRE(Delayed::indexable(slot(64), bits, 2) == 5);
    REQUIRE(Delayed::indexable(slot(64), bits, 64) == bits);
    delayed.push_slots(slot(64), bits, nullptr);
    const std::vector<std::byte*> all(delayed.all().begin(), delayed.all().end());
    REQUIRE(all == std::vector<std::byte*>{slot(1000), slot(64), slot(66), slot(68), slot(127)});
    REQUIRE(delayed.none_ready());
}

TEST_CASE("delayed objects: each order is as likely as another", "[quarantine]") {
    support::Random random;
    std::vector<std::size_t> counts(24);
    constexpr std::size_t rounds = 24'000;
    for (std::size_t round = 0; round < rounds; ++round) {
        Delayed delayed;
        for (std::size_t number = 0; number < 4; ++number)
            delayed.push(slot(number), nullptr);
        delayed.shuffle(random.next());
        std::size_t order = 0;  // in the mixed radix of permutations
        std::vector<std::byte*> left{slot(0), slot(1), slot(2), slot(3)};
        while (!delayed.none_ready()) {
            const auto found = std::find(left.begin(), left.end(), delayed.pop());
            order = order * left.size() + static_cast<std::size_t>(found - left.begin());
            left.erase(found);
        }
        ++counts[order];
    }
    for (const std::size_t count : counts) {  // 1000 each; 200 is more than six deviations
        REQUIRE(count > 800);
        REQUIRE(count < 1200);
    }
}

TEST_CASE("delayed objects: of what was taken out or dropped no address stays, of the rest each",
          "[quarantine]") {
    const auto addresses_in = [](const Delayed& delayed) {  // anywhere in it, as a leak check looks
        std::vector<std::byte*> words(sizeof delayed / sizeof(std::byte*));
        std::memcpy(words.data(), &delayed, words.size() * sizeof(std::byte*));
        std::set<std::size_t> found;
        for (std::size_t number = 0; number < 10; ++number) {
            if (std::find(words.begin(), words.end(), slot(number)) != words.end())
                found.insert(number);
        }
        return found;
    };
    Delayed delayed;
    for (std::size_t number = 0; number < 10; ++number)
        delayed.push(slot(number), nullptr);
    delayed.shuffle(7);
    for (std::size_t number = 0; number < 3; ++number)
        static_cast<void>(delayed.pop());
    delayed.drop_to(5);
    std::set<std::size_t> left;
    for (const std::byte* const object : delayed.all())
        left.insert(static_cast<std::size_t>(object - memory) / stride);
    REQUIRE(addresses_in(delayed).size() == 10);
    delayed.wipe_popped();
    REQUIRE(left.size() == 5);
    REQUIRE(addresses_in(delayed) == left);
}

TEST_CASE("delayed objects: slots need no places of their own", "[quarantine]") {
    REQUIRE(Delayed::can_index(1));
    REQUIRE(Delayed::can_index(4096));
}
