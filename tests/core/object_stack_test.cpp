#include <slab_allocator/core/object_stack.hpp>

#include <algorithm>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_allocator;

namespace {

alignas(65536) std::byte memory[std::size_t{4} << 20];

/// Each operation of the stack beside a vector that does the same.
template <std::size_t stride, bool checked, bool with_infos>
void is_a_stack() {
    CAPTURE(stride, checked, with_infos);
    using Recent = ObjectStack<stride, 4096, checked, with_infos>;
    support::Random random;
    Recent recent;
    std::vector<std::byte*> model;
    std::vector<std::byte*>
        popped;  // since something came in or went elsewhere, the last at the end
    const std::size_t slots = sizeof(memory) / stride;
    for (std::size_t step = 0; step < 20'000; ++step) {
        std::byte* const object = memory + random.below(slots) * stride;
        const bool contained = std::find(model.begin(), model.end(), object) != model.end();
        REQUIRE(recent.contains(object) == contained);
        REQUIRE(recent.size() == model.size());
        REQUIRE(recent.empty() == model.empty());
        REQUIRE(recent.full() == (model.size() == Recent::capacity));
        const std::size_t choice = random.below(16);
        if (choice < 6) {
            bool room = !recent.full() && !contained;
            if constexpr (checked) room = room && !recent.collides(object);
            if (room) {
                recent.push(object, reinterpret_cast<SlabRecord*>(object + 1));
                model.push_back(object);
                popped.clear();
            }
        } else if (choice < 12) {
            std::byte* const top = recent.pop();
            REQUIRE(top == (model.empty() ? nullptr : model.back()));
            if (!model.empty()) {
                model.pop_back();
                popped.push_back(top);
            }
        } else if (choice < 14) {
            if constexpr (checked) {
                REQUIRE(!recent.push_again(nullptr));
                if (!model.empty()) REQUIRE(!recent.push_again(model.back()));
                for (std::size_t i = 0; i + 1 < popped.size(); ++i)
                    REQUIRE(!recent.push_again(popped[i]));
                if (!popped.empty()) {
                    REQUIRE(recent.push_again(popped.back()));
                    model.push_back(popped.back());
                    popped.pop_back();
                }
            }
        } else if (choice == 14) {
            if (random.one_in(4)) {
                recent.forget_popped();
                popped.clear();
            }
        } else if (!model.empty() && random.one_in(4)) {
            const std::size_t left = random.below(model.size());
            recent.drop_to(left);
            model.resize(left);
            popped.clear();
        }
        REQUIRE(std::ranges::equal(recent.all(), model));
        for (std::size_t rank = 0; rank < model.size(); ++rank) {
            if constexpr (with_infos) {
                REQUIRE(recent.info_at(rank) == reinterpret_cast<SlabRecord*>(model[rank] + 1));
            }
        }
    }
}

}  // namespace

TEST_CASE("recent objects are a stack that knows what is in it", "[object_stack]") {
    is_a_stack<1, true, false>();
    is_a_stack<16, true, true>();
    is_a_stack<48, true, false>();
    is_a_stack<64, false, false>();
    is_a_stack<100, true, true>();
    is_a_stack<4096, true, true>();
    is_a_stack<65536, true, false>();
    is_a_stack<65536, false, false>();
}

TEST_CASE(
    "the stack holds 128 objects, but no more than 128 KiB and four slabs do, and at least one",
    "[object_stack]") {
    STATIC_REQUIRE(cached_capacity(1, 4096) == 128);
    STATIC_REQUIRE(cached_capacity(1024, 64) == 128);
    STATIC_REQUIRE(cached_capacity(1025, 64) == 64);
    STATIC_REQUIRE(cached_capacity(4096, 16) == 32);
    STATIC_REQUIRE(cached_capacity(65536, 16) == 2);
    STATIC_REQUIRE(cached_capacity(65537, 16) == 1);
    STATIC_REQUIRE(cached_capacity(1 << 20, 1) == 1);
    STATIC_REQUIRE(cached_capacity(64, 32) == 128);
    STATIC_REQUIRE(cached_capacity(64, 31) == 64);
    STATIC_REQUIRE(cached_capacity(64, 1) == 4);
}

TEST_CASE("a limit makes the stack full earlier", "[object_stack]") {
    ObjectStack<64, 4096, true, false> recent;
    recent.set_limit(2);
    recent.push(memory, nullptr);
    REQUIRE(!recent.full());
    recent.push(memory + 64, nullptr);
    REQUIRE(recent.full());
    std::byte* const object = recent.pop();
    REQUIRE(object == memory + 64);
    recent.set_limit(1);
    REQUIRE(!recent.push_again(object));
    recent.set_limit(2);
    REQUIRE(!recent.push_again(object));  // a limit that was lowered forgets what was popped
    recent.push(object, nullptr);
    REQUIRE(recent.pop() == object);
    recent.set_limit(2);
    REQUIRE(recent.push_again(object));
}

TEST_CASE("objects are pushed again in the order that undoes their pops, and in no other",
          "[object_stack]") {
    ObjectStack<64, 4096, true, false> recent;
    for (std::size_t slot = 0; slot < 4; ++slot)
        recent.push(memory + slot * 64, nullptr);
    std::byte* const first = recent.pop();
    std::byte* const second = recent.pop();
    REQUIRE(!recent.push_again(first));
    REQUIRE(recent.push_again(second));
    REQUIRE(!recent.push_again(second));  // it is there
    REQUIRE(recent.push_again(first));
    REQUIRE(recent.pop() == first);
    REQUIRE(recent.pop() == second);
    recent.push(first, nullptr);  // stands where the second stood
    REQUIRE(!recent.push_again(first));
    REQUIRE(!recent.push_again(second));
    REQUIRE(recent.pop() == first);
    recent.forget_popped();
    REQUIRE(!recent.push_again(first));
    recent.push_slots(memory + 64 * 64, 1, nullptr);
    REQUIRE(recent.pop() == memory + 64 * 64);
    REQUIRE(!recent.push_again(first));
    recent.push_slots(memory + 64 * 64, ~std::uint64_t{0}, nullptr);
    REQUIRE(!recent.push_again(memory + 64 * 64));
}

TEST_CASE("an object's place is taken by itself and by objects that are many slots away",
          "[object_stack]") {
    using Recent = ObjectStack<64, 4096, true, false>;
    Recent recent;
    recent.push(memory, nullptr);
    REQUIRE(recent.collides(memory));
    std::size_t neighbours = 0;
    std::size_t taken = 0;
    for (std::size_t slot = 1; slot < sizeof(memory) / 64; ++slot) {
        if (!recent.collides(memory + slot * 64)) continue;
        if (slot < 512) ++neighbours;
        ++taken;
        REQUIRE(!recent.contains(memory + slot * 64));
    }
    REQUIRE(neighbours == 0);
    REQUIRE(taken > 0);
}

namespace {

/// The slots of a word beside objects that were pushed before.
template <std::size_t stride>
void words_are_pushed() {
    CAPTURE(stride);
    support::Random random;
    for (std::size_t round = 0; round < 2000; ++round) {
        ObjectStack<stride, 4096, true, true> recent;
        std::vector<std::byte*> model;
        auto* const slab_info = reinterpret_cast<SlabRecord*>(memory);
        const std::size_t before = random.below(20);
        for (std::size_t count = 0; count < before; ++count) {
            std::byte* const object = memory + random.below(3000) * stride;
            if (recent.collides(object)) continue;
            recent.push(object, slab_info);
            model.push_back(object);
        }
        const std::uint64_t given[] = {random.next() & random.next(), ~std::uint64_t{0},
                                       (~std::uint64_t{0} >> random.below(60)) << random.below(30)};
        const std::uint64_t wanted = given[random.below(3)];
        std::byte* const start = memory + random.below(1000) * 8 * stride;
        const std::size_t most = random.one_in(2) ? 64 : random.below(64);
        const std::uint64_t bits = recent.indexable(start, wanted, most);
        REQUIRE((bits & ~wanted) == 0);
        REQUIRE(bits_number(bits) <= most);
        for (std::uint64_t left = wanted & ~bits; left != 0; left &= left - 1) {
            REQUIRE(
                (bits_number(bits) == most || recent.collides(start + lowest_bit(left) * stride)));
        }
        recent.push_slots(start, bits, slab_info);
        REQUIRE(recent.size() == model.size() + bits_number(bits));
        std::size_t rank = recent.size();
        for (std::uint64_t left = bits; left != 0; left &= left - 1) {
            std::byte* const object = start + lowest_bit(left) * stride;
            REQUIRE(recent.all()[--rank] == object);
            REQUIRE(recent.contains(object));
            REQUIRE(recent.info_at(rank) == slab_info);
        }
        for (std::byte* const old : model)
            REQUIRE(recent.contains(old));
    }
}

}  // namespace

TEST_CASE("slots of a word are pushed with the lowest on top", "[object_stack]") {
    words_are_pushed<48>();
    words_are_pushed<64>();  // places side by side, now and then around the end of all places
    words_are_pushed<256>();
    STATIC_REQUIRE(ObjectStack<64, 4096, true, false>::can_index(1024));
    STATIC_REQUIRE(!ObjectStack<64, 4096, true, false>::can_index(1025));
    STATIC_REQUIRE(ObjectStack<64, 4096, false, false>::can_index(4096));
}

TEST_CASE("after slots of a word came in, what was popped before is not pushed again",
          "[object_stack]") {
    constexpr std::size_t stride = 64;
    using Recent = ObjectStack<stride, 4096, true, false>;
    constexpr std::size_t classes = 8 * Recent::capacity;
    const std::uint64_t bits = GENERATE(std::uint64_t{1}, ~std::uint64_t{0});
    const std::size_t slots = bits_number(bits);
    Recent recent;
    for (std::size_t slot = 0; slot <= slots; ++slot)
        recent.push(memory + slot * stride, nullptr);
    std::byte* const first = recent.pop();  // one lies higher than all that come in
    while (recent.pop() != nullptr) {
    }
    // Of these, the last has the first one's place: what has none of its own cannot be asked for.
    std::byte* const start = first + (classes - (slots - 1)) * stride;
    recent.push_slots(start, bits, nullptr);
    REQUIRE(recent.size() == slots);
    REQUIRE(recent.collides(first));
    REQUIRE(!recent.push_again(first));
}

TEST_CASE("where nothing is looked for, the stack is its objects, a null and two pointers",
          "[object_stack]") {
    STATIC_REQUIRE(sizeof(ObjectStack<64, 4096, false, false>) == (128 + 1 + 2) * sizeof(void*));
}
