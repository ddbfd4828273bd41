#include <slab_allocator/core/recent_objects.hpp>

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
    using Recent = RecentObjects<stride, checked, with_infos>;
    support::Random random;
    Recent recent;
    std::vector<std::byte*> model;
    std::byte* popped = nullptr;
    const std::size_t slots = sizeof(memory) / stride;
    for (std::size_t step = 0; step < 20'000; ++step) {
        std::byte* const object = memory + random.below(slots) * stride;
        const bool contained = std::find(model.begin(), model.end(), object) != model.end();
        REQUIRE(recent.contains(object) == contained);
        REQUIRE(recent.size() == model.size());
        REQUIRE(recent.empty() == model.empty());
        REQUIRE(recent.full() == (model.size() == Recent::capacity));
        const std::size_t choice = random.below(16);
        if (choice < 7) {
            bool room = !recent.full() && !contained;
            if constexpr (checked) room = room && !recent.occupied(object);
            if (room) {
                recent.push(object, reinterpret_cast<SlabInfo*>(object + 1));
                model.push_back(object);
                popped = nullptr;
            }
        } else if (choice < 13) {
            std::byte* top = nullptr;
            REQUIRE(recent.pop(top) == !model.empty());
            if (!model.empty()) {
                REQUIRE(top == model.back());
                model.pop_back();
                popped = top;
            }
        } else if (choice < 15) {
            if constexpr (checked) {
                const bool again = popped != nullptr && model.size() < Recent::capacity;
                REQUIRE(!recent.push_again(nullptr));
                REQUIRE(recent.push_again(popped) == again);
                if (again) model.push_back(popped);
                popped = nullptr;
                recent.forget_last();
            }
        } else if (!model.empty()) {
            const std::size_t left = random.below(model.size());
            recent.drop_to(left);
            model.resize(left);
            popped = nullptr;
        }
        for (std::size_t rank = 0; rank < model.size(); ++rank) {
            REQUIRE(recent.at(rank) == model[rank]);
            if constexpr (with_infos) {
                REQUIRE(recent.info_at(rank) == reinterpret_cast<SlabInfo*>(model[rank] + 1));
            }
        }
    }
}

}  // namespace

TEST_CASE("recent objects are a stack that knows what is in it", "[recent_objects]") {
    is_a_stack<1, true, false>();
    is_a_stack<16, true, true>();
    is_a_stack<48, true, false>();
    is_a_stack<64, false, false>();
    is_a_stack<100, true, true>();
    is_a_stack<4096, true, true>();
    is_a_stack<65536, true, false>();
    is_a_stack<65536, false, false>();
}

TEST_CASE("the stack holds 64 objects, but no more than 64 KiB, and at least one",
          "[recent_objects]") {
    STATIC_REQUIRE(recent_capacity(1) == 64);
    STATIC_REQUIRE(recent_capacity(1024) == 64);
    STATIC_REQUIRE(recent_capacity(1025) == 32);
    STATIC_REQUIRE(recent_capacity(4096) == 16);
    STATIC_REQUIRE(recent_capacity(65536) == 1);
    STATIC_REQUIRE(recent_capacity(1 << 20) == 1);
}

TEST_CASE("a limit makes the stack full earlier", "[recent_objects]") {
    RecentObjects<64, true, false> recent;
    recent.set_limit(2);
    recent.push(memory, nullptr);
    REQUIRE(!recent.full());
    recent.push(memory + 64, nullptr);
    REQUIRE(recent.full());
    std::byte* object = nullptr;
    REQUIRE(recent.pop(object));
    recent.set_limit(1);
    REQUIRE(!recent.push_again(object));
    recent.set_limit(2);
    REQUIRE(recent.push_again(object));
}

TEST_CASE("only the object that was popped last is pushed again", "[recent_objects]") {
    RecentObjects<64, true, false> recent;
    for (std::size_t slot = 0; slot < 4; ++slot)
        recent.push(memory + slot * 64, nullptr);
    std::byte* first = nullptr;
    std::byte* second = nullptr;
    REQUIRE(recent.pop(first));
    REQUIRE(recent.pop(second));
    REQUIRE(!recent.push_again(first));
    REQUIRE(recent.push_again(second));
    REQUIRE(!recent.push_again(second));  // it is there
    REQUIRE(recent.pop(second));
    recent.forget_last();
    REQUIRE(!recent.push_again(second));
}

TEST_CASE("an object's place is taken by itself and by objects that are many slots away",
          "[recent_objects]") {
    using Recent = RecentObjects<64, true, false>;
    Recent recent;
    recent.push(memory, nullptr);
    REQUIRE(recent.occupied(memory));
    std::size_t neighbours = 0;
    std::size_t taken = 0;
    for (std::size_t slot = 1; slot < sizeof(memory) / 64; ++slot) {
        if (!recent.occupied(memory + slot * 64)) continue;
        if (slot < 512) ++neighbours;
        ++taken;
        REQUIRE(!recent.contains(memory + slot * 64));
    }
    REQUIRE(neighbours == 0);
    REQUIRE(taken > 0);
}

TEST_CASE("slots of a word are pushed with the lowest on top, and told which", "[recent_objects]") {
    support::Random random;
    for (std::size_t round = 0; round < 2000; ++round) {
        RecentObjects<48, true, true> recent;
        std::vector<std::byte*> model;
        auto* const slab_info = reinterpret_cast<SlabInfo*>(memory);
        const std::size_t before = random.below(20);
        for (std::size_t count = 0; count < before; ++count) {
            std::byte* const object = memory + random.below(3000) * 48;
            if (recent.occupied(object)) continue;
            recent.push(object, slab_info);
            model.push_back(object);
        }
        const std::uint64_t wanted = random.one_in(2) ? random.next() & random.next()
                                                      : (~std::uint64_t{0} >> random.below(60))
                                                            << random.below(30);
        if (wanted == 0) continue;
        std::byte* const start = memory + random.below(40) * 64 * 48;
        const std::size_t most = model.empty() ? 64 : 1 + model.size() + random.below(32);
        const std::uint64_t pushed = recent.push_slots(start, wanted, most, slab_info);
        REQUIRE((pushed & ~wanted) == 0);
        REQUIRE(recent.size() == model.size() + bits_number(pushed));
        REQUIRE(recent.size() <= most);
        std::size_t rank = recent.size();
        for (std::uint64_t left = pushed; left != 0; left &= left - 1) {
            std::byte* const object = start + lowest_bit(left) * 48;
            REQUIRE(recent.at(--rank) == object);
            REQUIRE(recent.contains(object));
            REQUIRE(recent.info_at(rank) == slab_info);
        }
        for (std::size_t old = 0; old < model.size(); ++old)
            REQUIRE(recent.contains(model[old]));
        // What was left has no place, or there was no room.
        for (std::uint64_t left = wanted & ~pushed; left != 0; left &= left - 1) {
            REQUIRE((recent.size() == most || recent.occupied(start + lowest_bit(left) * 48)));
        }
    }
}

TEST_CASE("where nothing is looked for, the stack is its objects and two numbers",
          "[recent_objects]") {
    STATIC_REQUIRE(sizeof(RecentObjects<64, false, false>) <= (64 + 2 + 1) * sizeof(void*));
}
