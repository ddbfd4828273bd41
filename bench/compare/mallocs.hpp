#pragma once

// mallocs.hpp -- general-purpose allocators as subjects, each by its own name.
//
// Those that replace malloc when they are linked are loaded at run time, with their symbols kept to
// themselves: all of them live in one process, and the process keeps glibc's.

#include <cstddef>
#include <cstdlib>

#include <malloc.h>

namespace bench {

/// The functions of one library; null where it is not installed.
struct MallocFunctions {
    void* (*alloc)(std::size_t) = nullptr;
    void (*free)(void*) = nullptr;
};

/// Starts this program again, once, with room for the thread-local variables of libraries that are
/// loaded later: jemalloc has more than glibc keeps free. To be called first in main().
void make_room_for_tls(char** arguments);

/// Known by now, or loaded. Returns: what `library` calls `alloc` and `free`.
[[nodiscard]] MallocFunctions load(const char* library, const char* alloc, const char* free);

template <std::size_t Size>
struct Glibc {
    static constexpr std::size_t object_size = Size;
    explicit Glibc(std::size_t) {}
    [[nodiscard]] void* alloc() { return std::malloc(Size); }
    void free(void* object) { std::free(object); }
    void trim() { ::malloc_trim(0); }
};

/// Which: a type with library, alloc_name and free_name.
template <std::size_t Size, typename Which>
class Loaded {
public:
    static constexpr std::size_t object_size = Size;
    explicit Loaded(std::size_t) {}
    [[nodiscard]] void* alloc() { return functions.alloc(Size); }
    void free(void* object) { functions.free(object); }

    [[nodiscard]] static bool available() {
        functions = load(Which::library, Which::alloc_name, Which::free_name);
        return functions.alloc != nullptr;
    }

private:
    static inline MallocFunctions functions;
};

struct Mimalloc {
    static constexpr const char* library = "libmimalloc.so.2";
    static constexpr const char* alloc_name = "mi_malloc";
    static constexpr const char* free_name = "mi_free";
};
struct Jemalloc {
    static constexpr const char* library = "libjemalloc.so.2";
    static constexpr const char* alloc_name = "malloc";
    static constexpr const char* free_name = "free";
};
struct Tcmalloc {
    static constexpr const char* library = "libtcmalloc_minimal.so.4";
    static constexpr const char* alloc_name = "tc_malloc";
    static constexpr const char* free_name = "tc_free";
};
struct Tbb {
    static constexpr const char* library = "libtbbmalloc.so.2";
    static constexpr const char* alloc_name = "scalable_malloc";
    static constexpr const char* free_name = "scalable_free";
};

}  // namespace bench
