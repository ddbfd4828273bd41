#pragma once

// own.hpp -- does a name lead to this library, or to whoever replaced it?
//
//      &::malloc  --by way of the program-->  [__ehdr_start .. _end)  ours
//                                             anywhere else           replaced
//
// The dynamic linker leads a name to its first definition: the program's own comes before ours.

#include <slab_allocator/core/align.hpp>

namespace malloc_example {

// The first byte of this library and the last, as the linker says.
extern "C" {
extern const char __ehdr_start __attribute__((visibility("hidden")));
extern const char _end __attribute__((visibility("hidden")));
}

template <typename Function>
[[nodiscard]] bool is_own(Function* function) noexcept {
    const std::uintptr_t begin = slab_allocator::address_of(&__ehdr_start);
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(function);
    return address - begin < slab_allocator::address_of(&_end) - begin;
}

}  // namespace malloc_example
