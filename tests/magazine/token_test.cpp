#include <cstddef>
#include <cstdint>
#include <new>

#include <slab_allocator/magazine/token.hpp>

#include <support/catch.hpp>

using Token = slab_allocator::Token<>;

namespace {

/// Leaves its memory as it is.
struct Silent {
    Silent() noexcept {}
    ~Silent() {}
    std::uint64_t words[4];
};

// As a cache does it, with nothing between that would keep the compiler from seeing it all.
[[gnu::noinline]] Silent* taken_off_and_constructed(Token token, void* memory) {
    return token.take_off(memory) ? ::new (memory) Silent : nullptr;
}
[[gnu::noinline]] void destroyed_and_put_on(Token token, Silent* object) {
    object->~Silent();
    token.put_on(object);
}

}  // namespace

TEST_CASE("a token can be taken off once", "[token]") {
    std::uint64_t object[2] = {};
    const Token token(&object);
    REQUIRE(!token.is_on(&object));
    token.put_on(&object);
    REQUIRE(token.is_on(&object));
    REQUIRE(token.take_off(&object));
    REQUIRE(!token.is_on(&object));
    REQUIRE(!token.take_off(&object));
    token.put_on(&object);
    Token::clear(&object);
    REQUIRE(!token.is_on(&object));
}

TEST_CASE("a token is of one object and one cache, wherever the object lies", "[token]") {
    std::byte memory[64] = {};
    const Token token(memory);
    const Token of_another(memory + 1);
    for (std::size_t at = 0; at < 48; ++at) {
        token.put_on(memory + at);
        REQUIRE(token.is_on(memory + at));
        REQUIRE(!of_another.is_on(memory + at));
        std::byte copy[16];
        __builtin_memcpy(copy, memory + at, 8);
        REQUIRE(!token.is_on(copy));
        token.put_on(memory + at);
        REQUIRE(token.take_off(memory + at));
    }
}

TEST_CASE("what a constructor and a destructor leave alone keeps or loses its token", "[token]") {
    alignas(Silent) std::byte memory[sizeof(Silent)] = {};
    const int cache = 0;
    const Token token(&cache);
    token.put_on(memory);
    Silent* const object = taken_off_and_constructed(token, memory);
    REQUIRE(object != nullptr);
    REQUIRE(!token.is_on(object));
    destroyed_and_put_on(token, object);
    REQUIRE(token.is_on(memory));
}
