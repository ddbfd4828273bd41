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
[[gnu::noinline]] Silent* taken_off_and_constructed(void* memory) {
    return Token::take_off(memory) ? ::new (memory) Silent : nullptr;
}
[[gnu::noinline]] void destroyed_and_put_on(Silent* object) {
    object->~Silent();
    Token::put_on(object);
}

}  // namespace

TEST_CASE("a token can be taken off once", "[token]") {
    std::uint64_t object[2] = {};
    REQUIRE(!Token::is_on(&object));
    Token::put_on(&object);
    REQUIRE(Token::is_on(&object));
    REQUIRE(Token::take_off(&object));
    REQUIRE(!Token::is_on(&object));
    REQUIRE(!Token::take_off(&object));
    Token::put_on(&object);
    Token::clear(&object);
    REQUIRE(!Token::is_on(&object));
}

TEST_CASE("a token is of one object, wherever that lies, and neither 0 nor its address",
          "[token]") {
    std::byte memory[64] = {};
    for (std::size_t at = 0; at < 48; ++at) {
        Token::put_on(memory + at);
        REQUIRE(Token::is_on(memory + at));
        std::byte copy[16];
        __builtin_memcpy(copy, memory + at, 8);
        REQUIRE(!Token::is_on(copy));
        Token::Word word = 0;
        __builtin_memcpy(memory + at, &word, sizeof word);
        REQUIRE(!Token::is_on(memory + at));
        word = reinterpret_cast<std::uintptr_t>(memory + at);
        __builtin_memcpy(memory + at, &word, sizeof word);
        REQUIRE(!Token::is_on(memory + at));
        Token::put_on(memory + at);
        REQUIRE(Token::take_off(memory + at));
    }
}

TEST_CASE("what a constructor and a destructor leave alone keeps or loses its token", "[token]") {
    alignas(Silent) std::byte memory[sizeof(Silent)] = {};
    Token::put_on(memory);
    Silent* const object = taken_off_and_constructed(memory);
    REQUIRE(object != nullptr);
    REQUIRE(!Token::is_on(object));
    destroyed_and_put_on(object);
    REQUIRE(Token::is_on(memory));
}
