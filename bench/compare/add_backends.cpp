// add_backends.cpp -- and with a backend that a program would use, not memory that is just there?

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>

#include "caches.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::ObjectSizeType;

template <typename Backend>
using Default = CacheSubject<BENCH_SIZE, Backend, CacheConfig{}>;
template <typename Backend>
using Mask =
    CacheSubject<BENCH_SIZE, Backend, CacheConfig{.object_size_type = ObjectSizeType::Small}>;

[[maybe_unused]] const bool added = [] {
    add_subject<Default<slab_allocator::AlignedAllocBackend>>("on-aligned_alloc");
    add_subject<Mask<slab_allocator::AlignedAllocBackend>>("on-aligned_alloc-small");
    add_subject<Mask<slab_allocator::MmapBackend>>("on-mmap-small");
    return true;
}();

}  // namespace
