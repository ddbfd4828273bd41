// operators.cpp -- C++'s operators new and delete, of every form.
//
//      operator new[](n) -----.                             while nobody replaced any
//      operator new(n) -------+--> heap.alloc(n)            of these, and neither malloc nor free
//
//      operator new[](n) --> operator new(n) --> malloc(n)  else: what the standard says of each
//
// A program may replace some of them, say operator new(n) and operator delete(p), and then the
// others must call these. So each asks first whether all are this library's; that is found out
// once, and a byte.

#include <dlfcn.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include <slab_allocator/core/align.hpp>

#include "own.hpp"
#include "program.hpp"

// libstdc++'s, where the program has it; a C program calls no operator new.
namespace std {
[[gnu::weak]] void __throw_bad_alloc();
[[gnu::weak]] new_handler get_new_handler() noexcept;
}  // namespace std

namespace {

using namespace malloc_example;

[[nodiscard]] constexpr std::size_t number_of(std::align_val_t alignment) noexcept {
    return static_cast<std::size_t>(alignment);
}

// ---- Whose they are -----------------------------------------------------------------------------

using New = void*(std::size_t);
using AlignedNew = void*(std::size_t, std::align_val_t);
using Delete = void(void*) noexcept;
using AlignedDelete = void(void*, std::align_val_t) noexcept;

enum class Owner : unsigned char { unknown, this_library, others };
constinit std::atomic<Owner> owner{Owner::unknown};

[[nodiscard]] bool malloc_is_ours() noexcept {
    return is_own(&::malloc) && is_own(&::free) && is_own(&::aligned_alloc);
}

[[nodiscard, gnu::noinline, gnu::cold]] bool find_owner() noexcept {
    const bool news = is_own<New>(&::operator new) && is_own<New>(&::operator new[]) &&
                      is_own<AlignedNew>(&::operator new) && is_own<AlignedNew>(&::operator new[]);
    const bool deletes =
        is_own<Delete>(&::operator delete) && is_own<Delete>(&::operator delete[]) &&
        is_own<AlignedDelete>(&::operator delete) && is_own<AlignedDelete>(&::operator delete[]);
    const bool ours = news && deletes && malloc_is_ours();
    owner.store(ours ? Owner::this_library : Owner::others, std::memory_order_relaxed);
    return ours;
}

/// Does every form, and malloc, lead to this library?
[[nodiscard, gnu::always_inline]] inline bool all_are_ours() noexcept {
    const Owner found = owner.load(std::memory_order_relaxed);
    if (found == Owner::this_library) [[likely]]
        return true;
    return found == Owner::unknown && find_owner();
}

// ---- Blocks -------------------------------------------------------------------------------------

constexpr std::size_t no_alignment = 1;

/// By way of malloc, where somebody replaced that: their free gets it back.
[[nodiscard]] void* block_of_anybody(std::size_t size, std::size_t alignment) noexcept {
    if (malloc_is_ours()) return heap.alloc(size, alignment);
    if (alignment <= alignof(std::max_align_t)) return ::malloc(size);
    return ::aligned_alloc(alignment, slab_allocator::align_up(size, alignment));
}

[[nodiscard, gnu::noinline, gnu::cold]] void* new_slowly(std::size_t size, std::size_t alignment,
                                                         bool throws) {
    for (;;) {
        void* const block = block_of_anybody(size, alignment);
        if (block != nullptr) return block;
        std::new_handler const handler =
            &std::get_new_handler != nullptr ? std::get_new_handler() : nullptr;
        if (handler != nullptr) {
            handler();
        } else if (!throws) {
            return nullptr;
        } else if (&std::__throw_bad_alloc != nullptr) {
            std::__throw_bad_alloc();
        } else {
            std::abort();
        }
    }
}

[[nodiscard, gnu::always_inline]] inline void* new_block(std::size_t size, std::size_t alignment,
                                                         bool throws) {
    void* const block = alignment == no_alignment ? heap.alloc(size) : heap.alloc(size, alignment);
    if (block == nullptr) [[unlikely]]
        return new_slowly(size, alignment, throws);
    return block;
}

/// Where somebody replaced a form that throws, the one that does not catches: libstdc++'s does, and
/// this library has nothing to catch with.
template <typename Form>
[[nodiscard]] Form* next(const char* name) noexcept {
    return reinterpret_cast<Form*>(::dlsym(RTLD_NEXT, name));
}
using NothrowNew = void*(std::size_t, const std::nothrow_t&);
using AlignedNothrowNew = void*(std::size_t, std::align_val_t, const std::nothrow_t&);

// Apart: what is flattened must not take in the body of one that may be replaced.
[[nodiscard, gnu::noinline, gnu::cold]] void* replaced_new(std::size_t size) {
    return ::operator new(size);
}
[[gnu::noinline, gnu::cold]] void replaced_delete(void* block) noexcept {
    ::operator delete(block);
}

}  // namespace

// ---- new ----------------------------------------------------------------------------------------

EXPORTED IN_ONE_PIECE void* operator new(std::size_t size) {
    note_caller();
    if (!all_are_ours()) [[unlikely]]
        return new_slowly(size, no_alignment, true);
    return new_block(size, no_alignment, true);
}
EXPORTED IN_ONE_PIECE void* operator new[](std::size_t size) {
    if (!all_are_ours()) [[unlikely]]
        return replaced_new(size);
    note_caller();
    return new_block(size, no_alignment, true);
}
EXPORTED void* operator new(std::size_t size, const std::nothrow_t& tag) noexcept {
    if (!all_are_ours()) [[unlikely]] {
        if (auto* const other =
                next<NothrowNew>(sizeof(std::size_t) == sizeof(long) ? "_ZnwmRKSt9nothrow_t"
                                                                     : "_ZnwjRKSt9nothrow_t"))
            return other(size, tag);
        return new_slowly(size, no_alignment, false);
    }
    note_caller();
    return new_block(size, no_alignment, false);
}
EXPORTED void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
    if (!all_are_ours()) [[unlikely]] {
        if (auto* const other =
                next<NothrowNew>(sizeof(std::size_t) == sizeof(long) ? "_ZnamRKSt9nothrow_t"
                                                                     : "_ZnajRKSt9nothrow_t"))
            return other(size, tag);
        return new_slowly(size, no_alignment, false);
    }
    note_caller();
    return new_block(size, no_alignment, false);
}
EXPORTED void* operator new(std::size_t size, std::align_val_t alignment) {
    note_caller();
    if (!all_are_ours()) [[unlikely]]
        return new_slowly(size, number_of(alignment), true);
    return new_block(size, number_of(alignment), true);
}
EXPORTED void* operator new[](std::size_t size, std::align_val_t alignment) {
    if (!all_are_ours()) [[unlikely]]
        return ::operator new(size, alignment);
    note_caller();
    return new_block(size, number_of(alignment), true);
}
EXPORTED void* operator new(std::size_t size, std::align_val_t alignment,
                            const std::nothrow_t& tag) noexcept {
    if (!all_are_ours()) [[unlikely]] {
        if (auto* const other = next<AlignedNothrowNew>(sizeof(std::size_t) == sizeof(long)
                                                            ? "_ZnwmSt11align_val_tRKSt9nothrow_t"
                                                            : "_ZnwjSt11align_val_tRKSt9nothrow_t"))
            return other(size, alignment, tag);
        return new_slowly(size, number_of(alignment), false);
    }
    note_caller();
    return new_block(size, number_of(alignment), false);
}
EXPORTED void* operator new[](std::size_t size, std::align_val_t alignment,
                              const std::nothrow_t& tag) noexcept {
    if (!all_are_ours()) [[unlikely]] {
        if (auto* const other = next<AlignedNothrowNew>(sizeof(std::size_t) == sizeof(long)
                                                            ? "_ZnamSt11align_val_tRKSt9nothrow_t"
                                                            : "_ZnajSt11align_val_tRKSt9nothrow_t"))
            return other(size, alignment, tag);
        return new_slowly(size, number_of(alignment), false);
    }
    note_caller();
    return new_block(size, number_of(alignment), false);
}

// ---- delete -------------------------------------------------------------------------------------

EXPORTED IN_ONE_PIECE void operator delete(void* block) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return ::free(block);
    note_caller();
    heap.free(block);
}
EXPORTED IN_ONE_PIECE void operator delete[](void* block) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return replaced_delete(block);
    note_caller();
    heap.free(block);
}
EXPORTED void operator delete(void* block, const std::nothrow_t&) noexcept {
    ::operator delete(block);
}
EXPORTED void operator delete[](void* block, const std::nothrow_t&) noexcept {
    ::operator delete[](block);
}
EXPORTED void operator delete(void* block, std::align_val_t) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return ::free(block);
    note_caller();
    heap.free(block);
}
EXPORTED void operator delete[](void* block, std::align_val_t alignment) noexcept {
    ::operator delete(block, alignment);
}
EXPORTED void operator delete(void* block, std::align_val_t alignment,
                              const std::nothrow_t&) noexcept {
    ::operator delete(block, alignment);
}
EXPORTED void operator delete[](void* block, std::align_val_t alignment,
                                const std::nothrow_t&) noexcept {
    ::operator delete[](block, alignment);
}
EXPORTED IN_ONE_PIECE void operator delete(void* block, std::size_t size) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return replaced_delete(block);
    note_caller();
    heap.free(block, size);
}
EXPORTED void operator delete[](void* block, std::size_t size) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return ::operator delete[](block);
    note_caller();
    heap.free(block, size);
}
EXPORTED void operator delete(void* block, std::size_t size, std::align_val_t alignment) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return ::operator delete(block, alignment);
    note_caller();
    heap.free(block, size, number_of(alignment));
}
EXPORTED void operator delete[](void* block, std::size_t size,
                                std::align_val_t alignment) noexcept {
    if (!all_are_ours()) [[unlikely]]
        return ::operator delete[](block, alignment);
    note_caller();
    heap.free(block, size, number_of(alignment));
}
