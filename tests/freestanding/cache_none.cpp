// cache_none.cpp -- caches of level none.

#include "cache.hpp"

// Members that nobody calls are instantiated, too.
template class slab_allocator::Cache<Task, SmallByMask, with(small, Checks::none, true)>;
template class slab_allocator::Cache<Task, SmallByMap, with(by_map, Checks::none, true)>;
template class slab_allocator::Cache<Task, LargeByMap, with(large, Checks::none, false)>;
template class slab_allocator::Cache<Task, LargeByPageFrames, with(by_frames, Checks::none, true)>;

int main() { return use_every_row<Checks::none>(); }
