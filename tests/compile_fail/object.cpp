// object.cpp -- what is not an object cannot be cached, and a destructor must not throw.

// CASE OBJECT=Object&
//      "T must be an object type without const or volatile"
// CASE OBJECT=void
//      "T must be an object type without const or volatile"
// CASE OBJECT=void()
//      "T must be an object type without const or volatile"
// CASE OBJECT=const Object
//      "T must be an object type without const or volatile"
// CASE OBJECT=volatile Object
//      "T must be an object type without const or volatile"
// CASE OBJECT=Throwing
//      "destroy" "is_nothrow_destructible"

#include "functions.hpp"

#ifndef OBJECT
#define OBJECT Object
#endif

struct Throwing {
    ~Throwing() noexcept(false) {}
};

struct Backend : AllocSlab<right>, FreeSlab<right> {};

using Refused = Cache<OBJECT, Backend, CacheConfig{.object_size_type = ObjectSizeType::Small}>;
void use(Refused& cache) { cache.destroy(cache.alloc()); }
