// add_caches.cpp -- how fast is a cache, with its checks and without?

#include "caches.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;

template <Checks checks, std::size_t slab_size>
using MaskRow = CacheSubject<BENCH_SIZE, RegionSlabs,
                             CacheConfig{.slab_size = slab_size,
                                         .object_size_type = ObjectSizeType::Small,
                                         .checks = checks}>;

[[maybe_unused]] const bool added = [] {
    add_subject<MaskRow<Checks::none, 0>>("none");
    add_subject<MaskRow<Checks::misuse, 0>>("misuse");
    return true;
}();

}  // namespace
