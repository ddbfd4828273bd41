// cache_misuse.cpp -- caches of level misuse.

#include "cache.hpp"

// Members that nobody calls are instantiated, too.
template class slab_allocator::Cache<Task, SmallByMask, with(small, Checks::misuse, true)>;
template class slab_allocator::Cache<Task, SmallByMap, with(by_map, Checks::misuse, true)>;
template class slab_allocator::Cache<Task, LargeByMap, with(large, Checks::misuse, false)>;
template class slab_allocator::Cache<Task, LargeByPageFrames,
                                     with(by_frames, Checks::misuse, true)>;

int main() { return use_every_row<Checks::misuse>(); }
