// add_caches.cpp -- how fast is a cache, with its checks and without, in slabs of one page and of
// many?

#include "caches.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;

/// slab_size 0: the layout chooses.
template <Checks checks, std::size_t slab_size = 0>
using MaskRow = CacheSubject<BENCH_SIZE, RegionSlabs,
                             CacheConfig{.slab_size = slab_size,
                                         .object_size_type = ObjectSizeType::Small,
                                         .checks = checks}>;

[[maybe_unused]] const bool added = [] {
    add_subject<MaskRow<Checks::none>>("none");
    add_subject<MaskRow<Checks::misuse>>("misuse");
    add_subject<MaskRow<Checks::hardened>>("hardened");
    add_subject<MaskRow<Checks::debug>>("debug");
    if constexpr (BENCH_SIZE < 2048) {
        add_subject<MaskRow<Checks::none, 4096>>("none-4k");
        add_subject<MaskRow<Checks::misuse, 4096>>("misuse-4k");
    }
    add_subject<MaskRow<Checks::none, 65536>>("none-64k");
    add_subject<MaskRow<Checks::misuse, 65536>>("misuse-64k");
    return true;
}();

}  // namespace
