// hosted.cpp -- instantiates what needs an operating system, for clang-tidy to look at.

#include <slab_allocator/slab_allocator.hpp>

using namespace slab_allocator;

struct Object {
    unsigned char bytes[64];
};

constexpr CacheConfig large{.object_size_type = ObjectSizeType::Large};

template class slab_allocator::Cache<Object, AlignedAllocBackend, large>;
template class slab_allocator::Cache<Object, MmapBackend,
                                     CacheConfig{.object_size_type = ObjectSizeType::Small}>;

namespace {
class Lock {
public:
    void lock() {}
    void unlock() {}
};
}  // namespace

using Backend = LockedBackend<AlignedAllocBackend, Lock>;
template class slab_allocator::LockedCache<Object, Backend, Lock>;
template class slab_allocator::MagazineCache<Object, Backend, ThreadCpus<>, Lock, large>;
