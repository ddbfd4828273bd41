#pragma once

// memcheck.hpp -- Valgrind's memcheck is told which bytes of a slab are somebody's, and of leaks.
//
//      slab is born       asked: is memcheck here?  no: never again      its slots: nobody's
//      alloc              a block, with the stack of who called
//      free               no block any more, with the stack of who called
//      slab goes back     its live objects are no blocks any more; all of it may be used
//
// It is on without anybody asking for it, where a hosted program runs under memcheck, and costs the
// hot path no instruction: with memcheck there a cache or a class of a heap keeps nothing cached
// and a CPU has no magazines and no front, so that every call takes the slow path, which tells.
// Without it a slow path looks at one byte, and a slab's birth asks.
//
// What stands around objects at levels hardened and debug is not hidden: their guards find who
// writes there.
//
// A request is what Valgrind knows when it sees it: rotations that together do nothing, and an
// instruction that does nothing, with the address of six words in a register. It needs no header
// of Valgrind's, and on a machine it costs as many instructions as it has. (The Valgrind manual,
// "The Client Request mechanism".)

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/poison.hpp>

namespace slab_allocator::detail {

/// The words of a request: which one, and up to five arguments.
struct ValgrindRequest {
    static constexpr std::uintptr_t block_allocated = 0x1301;  // start, size, guards, zeroed?
    static constexpr std::uintptr_t block_freed = 0x1302;      // start, guards
    static constexpr std::uintptr_t block_resized = 0x130b;    // start, before, after, guards
    static constexpr std::uintptr_t of_memcheck = std::uintptr_t{'M'} << 24 | std::uintptr_t{'C'}
                                                                                  << 16;
    static constexpr std::uintptr_t nobodys = of_memcheck;  // start, size
    static constexpr std::uintptr_t undefined = of_memcheck + 1;
    static constexpr std::uintptr_t defined = of_memcheck + 2;

    std::uintptr_t words[6];
};

#if __STDC_HOSTED__ && defined(__x86_64__) && !defined(__ILP32__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    std::uintptr_t answer = 0;  // NOLINT: Valgrind writes it
    __asm__ volatile(
        "rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
        "xchgq %%rbx, %%rbx"
        : "+d"(answer)
        : "a"(&request)
        : "cc", "memory");
    return answer;
}
#elif __STDC_HOSTED__ && defined(__i386__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    std::uintptr_t answer = 0;
    __asm__ volatile(
        "roll $3, %%edi\n\troll $13, %%edi\n\troll $29, %%edi\n\troll $19, %%edi\n\t"
        "xchgl %%ebx, %%ebx"
        : "+d"(answer)
        : "a"(&request)
        : "cc", "memory");
    return answer;
}
#elif __STDC_HOSTED__ && defined(__aarch64__) && !defined(__ILP32__)
inline constexpr bool valgrind_runs_here = !hides;
inline std::uintptr_t ask_valgrind(const ValgrindRequest& request) noexcept {
    register std::uintptr_t answer __asm__("x3") = 0;
    register const ValgrindRequest* words __asm__("x4") = &request;
    __asm__ volatile(
        "ror x12, x12, #3\n\tror x12, x12, #13\n\tror x12, x12, #51\n\tror x12, x12, #61\n\t"
        "orr x10, x10, x10"
        : "+r"(answer)
        : "r"(words)
        : "cc", "memory");
    return answer;
}
#else
inline constexpr bool valgrind_runs_here = false;
inline std::uintptr_t ask_valgrind(const ValgrindRequest&) noexcept { return 0; }
#endif

/// Where Valgrind cannot run it is empty, and watches() is false when it is compiled.
class Memcheck {
    using Request = ValgrindRequest;

public:
    /// Is memcheck there? Known after the first slab's birth.
    [[nodiscard]] constexpr bool watches() const noexcept { return state_.watches; }

    /// [start, end) is nobody's. Returns: whether memcheck said that it took note.
    bool hide(const void* start, const void* end) noexcept {
        const bool noted = ask(Request::nobodys, start, address_of(end) - address_of(start)) != 0;
        state_.note(noted);
        return noted;
    }

    // ---- Where nobody watches, these do nothing, and cost a few instructions --------------------

    /// `defined`: what is in it was written.
    static void allocated(const void* start, std::size_t size, bool defined) noexcept {
        ask(Request::block_allocated, start, size, 0, defined ? 1 : 0);
    }
    static void freed(const void* start) noexcept { ask(Request::block_freed, start, 0); }
    /// What a smaller one does not have any more, anybody may use.
    static void resized(const std::byte* start, std::size_t before, std::size_t after) noexcept {
        ask(Request::block_resized, start, before, after);
        if (after < before) make_defined(start + after, before - after);
    }
    static void make_undefined(const void* start, std::size_t size) noexcept {
        ask(Request::undefined, start, size);
    }
    static void make_defined(const void* start, std::size_t size) noexcept {
        ask(Request::defined, start, size);
    }
    static void make_nobodys(const void* start, std::size_t size) noexcept {
        ask(Request::nobodys, start, size);
    }

private:
    struct Asked {
        bool watches = false;
        constexpr void note(bool answer) noexcept {
            if (watches != answer) watches = answer;  // who reads it has no lock
        }
    };
    struct NeverThere {
        static constexpr bool watches = false;
        static constexpr void note(bool) noexcept {}
    };

    static std::uintptr_t ask(std::uintptr_t request, const void* start, std::uintptr_t second,
                              std::uintptr_t third = 0, std::uintptr_t fourth = 0) noexcept {
        if constexpr (!valgrind_runs_here) return 0;
        return ask_valgrind({{request, address_of(start), second, third, fourth, 0}});
    }

    [[no_unique_address]] std::conditional_t<valgrind_runs_here, Asked, NeverThere> state_;
};

/// For who keeps nothing: asks each time.
[[nodiscard]] inline bool memcheck_watches() noexcept { return Memcheck().hide(nullptr, nullptr); }

}  // namespace slab_allocator::detail
