// add_rows.cpp -- what does it cost when the SlabInfo is not found by masking?

#include "caches.hpp"
#include "rows.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfoLookup;

template <Checks checks, typename Map>
using SmallByMap = CacheSubject<BENCH_SIZE, RowByMap<Map>,
                                CacheConfig{.slab_size = 16384,
                                            .slab_alignment = 4096,
                                            .object_size_type = ObjectSizeType::Small,
                                            .checks = checks}>;
template <Checks checks, typename Map>
using LargeByMap = CacheSubject<BENCH_SIZE, RowByMap<Map>,
                                CacheConfig{.slab_alignment = 4096,
                                            .object_size_type = ObjectSizeType::Large,
                                            .checks = checks}>;
template <Checks checks>
using PageFrames = CacheSubject<BENCH_SIZE, RowByPageFrames,
                                CacheConfig{.object_size_type = ObjectSizeType::Large,
                                            .checks = checks,
                                            .slab_info_lookup = SlabInfoLookup::PageFrames}>;

template <Checks checks>
void add_rows(const std::string& level) {
    add_subject<SmallByMap<checks, Flat>>(level + "-small-flat");
    add_subject<SmallByMap<checks, Radix>>(level + "-small-radix");
    add_subject<SmallByMap<checks, Hash>>(level + "-small-hash");
    add_subject<LargeByMap<checks, Flat>>(level + "-large-flat");
    add_subject<LargeByMap<checks, Radix>>(level + "-large-radix");
    add_subject<LargeByMap<checks, Hash>>(level + "-large-hash");
    add_subject<PageFrames<checks>>(level + "-frames");
}

[[maybe_unused]] const bool added = [] {
    add_rows<Checks::none>("none");
    add_rows<Checks::misuse>("misuse");
    return true;
}();

}  // namespace
