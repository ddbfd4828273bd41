// beginner.cpp -- what one gets wrong on the first day.

// CASE STANDARD=c++17
//      "slab_allocator is a C++20 library: compile with -std=c++20, or a later standard"
// CASE BACKEND=Backend&|const Backend
//      "a cache holds its backend by value" "BackendRef<Backend> holds one by reference"
// CASE BACKEND=Unmovable
//      "deleted" "Cache"
// CASE TYPE=Incomplete
//      "T must be complete here" "define it above"
// CASE MISTAKE=static_cast<void>(Right(std::move(cache)))|static_cast<void>(Right(cache))
//      "deleted" "Cache"
// CASE MISTAKE=static_cast<void>(std::as_const(cache).alloc())
//      "const" "alloc"
// CASE MISTAKE=cache.free(&local)
//      "Object" "Local"
// CASE MISTAKE=cache.free(static_cast<void*>(cache.alloc()))
//      "void" "Object"
// CASE MISTAKE=cache.destroy(cache.create(1))
//      "create"

#include "functions.hpp"

#include <utility>

#ifndef BACKEND
#define BACKEND Backend
#endif
#ifndef TYPE
#define TYPE Object
#endif
#ifndef MISTAKE
#define MISTAKE cache.free(cache.alloc())
#endif

struct Backend : AllocSlab<right>, FreeSlab<right> {};
struct Unmovable : Backend {
    Unmovable() = default;
    Unmovable(Unmovable&&) = delete;
};

struct Incomplete;
using Right = Cache<TYPE, BACKEND, CacheConfig{.object_size_type = ObjectSizeType::Small}>;

void use(BACKEND& backend) {
    Right cache(backend);
    [[maybe_unused]] struct Local {
    } local;
    MISTAKE;
}
