// slot_numbers_test.cpp -- the promises of slot_numbers.hpp.

#include <slab_allocator/magazine/slot_numbers.hpp>

#include <set>

#include <support/catch.hpp>

using slab_allocator::BuiltinAtomics;
using slab_allocator::SlotNumbers;

namespace {

/// Another thread takes the lowest number just before each exchange of the first `intrusions`.
struct Crowded : BuiltinAtomics {
    static inline std::size_t intrusions = 0;

    template <typename T>
    [[nodiscard]] static bool compare_exchange_acquire(T& word, T& expected, T value) noexcept {
        if (intrusions > 0) {
            --intrusions;
            word |= ~word & (word + 1);
        }
        return BuiltinAtomics::compare_exchange_acquire(word, expected, value);
    }
};

}  // namespace

TEMPLATE_TEST_CASE_SIG("every number is given once, then none until one comes back",
                       "[slot_numbers]", ((std::size_t most), most), 1, 63, 64, 65, 128, 130) {
    SlotNumbers<most> numbers;
    std::set<std::size_t> taken;
    for (std::size_t count = 0; count < most; ++count) {
        const std::size_t number = numbers.take();
        REQUIRE(number == count);
        taken.insert(number);
    }
    REQUIRE(taken.size() == most);
    REQUIRE(numbers.taken_number() == most);
    REQUIRE(numbers.take() == most);
    numbers.give_back(most / 2);
    REQUIRE(numbers.taken_number() == most - 1);
    REQUIRE(numbers.take() == most / 2);
    REQUIRE(numbers.take() == most);
}

TEST_CASE("after a fork, the caller's number is taken, and no other", "[slot_numbers]") {
    SlotNumbers<130> numbers;
    while (numbers.take() != 130) {
    }
    numbers.keep_only(70);
    REQUIRE(numbers.taken_number() == 1);
    for (std::size_t number = 0; number < 129; ++number)
        REQUIRE(numbers.take() == number + (number < 70 ? 0 : 1));
    REQUIRE(numbers.take() == 130);
    numbers.keep_only(130);  // a caller without one
    REQUIRE(numbers.taken_number() == 0);
}

TEST_CASE("who comes second to a number takes the next one", "[slot_numbers]") {
    SlotNumbers<128, Crowded> numbers;
    Crowded::intrusions = 3;
    REQUIRE(numbers.take() == 3);
    Crowded::intrusions = 62;  // the last exchange fails on the last number of the word
    REQUIRE(numbers.take() == 66);
    REQUIRE(numbers.taken_number() == 67);
}
