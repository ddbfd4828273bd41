// cache_debug.cpp -- caches of level debug.

#include "cache.hpp"

// Members that nobody calls are instantiated, too.
template class slab_allocator::Cache<Task, SmallByMask, with(small, Checks::debug, true)>;
template class slab_allocator::Cache<Task, SmallByMap, with(by_map, Checks::debug, true)>;
template class slab_allocator::Cache<Task, LargeByMap, with(large, Checks::debug, false)>;
template class slab_allocator::Cache<Task, LargeByPageFrames, with(by_frames, Checks::debug, true)>;

int main() { return use_every_row<Checks::debug>(); }
