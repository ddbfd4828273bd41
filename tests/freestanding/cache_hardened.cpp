// cache_hardened.cpp -- caches of level hardened.

#include "cache.hpp"

// Members that nobody calls are instantiated, too.
template class slab_allocator::Cache<Task, SmallByMask, with(small, Checks::hardened, true)>;
template class slab_allocator::Cache<Task, SmallByMap, with(by_map, Checks::hardened, true)>;
template class slab_allocator::Cache<Task, LargeByMap, with(large, Checks::hardened, false)>;
template class slab_allocator::Cache<Task, LargeByPageFrames,
                                     with(by_frames, Checks::hardened, true)>;

int main() { return use_every_row<Checks::hardened>(); }
