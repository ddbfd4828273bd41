#include <slab_allocator/heap/heap_front.hpp>

#include <cstddef>
#include <span>
#include <vector>

#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpu_stack.hpp>

#include <support/catch.hpp>

using slab_allocator::Claim;
using Stack = slab_allocator::FrontStack<slab_allocator::BuiltinAtomics>;

TEST_CASE("a stack that is emptied in parts has room for as many as fit, and is short at the end",
          "[heap][heap_front]") {
    constexpr std::size_t capacity = 500;
    constexpr std::size_t short_rounds = 2;
    std::byte block{};
    std::vector<std::byte*> memory(2 * capacity, nullptr);  // nobody writes in the second half
    const std::span<std::byte*> own = std::span(memory).first(capacity);
    std::vector<std::byte*> many(2 * capacity, &block);
    std::vector<std::byte*> batch(127);

    Stack stack;
    stack.open_first(own, capacity);
    REQUIRE(stack.claim(Claim::owners));
    REQUIRE(stack.put(own, std::span(many).first(300)) == 300);
    REQUIRE(stack.take_to_empty(own, batch, short_rounds) == 127);
    REQUIRE(stack.blocks(own).size() == 173);
    REQUIRE(stack.put(own, many) == capacity - 173);  // between two parts, others come
    REQUIRE(memory[capacity - 1] == &block);
    REQUIRE(memory[capacity] == nullptr);
    for (std::size_t left = capacity; left > 0; left -= left < 127 ? left : 127)
        REQUIRE(stack.take_to_empty(own, batch, short_rounds) == (left < 127 ? left : 127));
    REQUIRE(stack.take_to_empty(own, batch, short_rounds) == 0);
    REQUIRE(stack.put(own, many) == short_rounds);
    REQUIRE(stack.take_to_empty(own, batch, short_rounds) == short_rounds);
    stack.open(own);
    std::byte* popped = nullptr;
    REQUIRE_FALSE(stack.pop(popped));
}
