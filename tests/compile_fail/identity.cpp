// identity.cpp -- a cache stays where it is: its slabs hold its address.

// CASE COPY
//      "deleted" "Cache"
// CASE MOVE
//      "deleted" "Cache"
// CASE COPY_ASSIGNMENT
//      "deleted" "operator"
// CASE MOVE_ASSIGNMENT
//      "deleted" "operator"

#include <utility>

#include "functions.hpp"

struct Backend : AllocSlab<right>, FreeSlab<right> {};

using One = Cache<Object, Backend, CacheConfig{.object_size_type = ObjectSizeType::Small}>;

void use(One& one, One& other) {
#if defined(COPY)
    One copy = one;
#elif defined(MOVE)
    One moved = std::move(one);
#elif defined(COPY_ASSIGNMENT)
    other = one;
#elif defined(MOVE_ASSIGNMENT)
    other = std::move(one);
#endif
    one.free(one.alloc());
    other.free(other.alloc());
}
