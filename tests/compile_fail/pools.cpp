// pools.cpp -- an allocator that is not told how it finds its pool.

// CASE SOURCE=Nodes
//      "StaticPool<pool> for a pool with a name, PoolRef<Pool<...>> for one in an object"

#include <slab_allocator/adaptors/allocator.hpp>
#include <slab_allocator/adaptors/pool.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>

#ifndef SOURCE
#define SOURCE StaticPool<nodes>
#endif

using namespace slab_allocator;
using Nodes = Pool<AlignedAllocBackend>;
constinit Nodes nodes;

int* use() { return Allocator<int, SOURCE>().allocate(1); }
