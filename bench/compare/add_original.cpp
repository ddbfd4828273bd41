// add_original.cpp -- how far from the design that this library started from?

#include "original.hpp"
#include "rows.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

struct NoMap {};

template <std::size_t slab_size, bool large, typename Map>
using OriginalOf = Original<BENCH_SIZE, slab_size, large, Map>;

[[maybe_unused]] const bool added = [] {
    add_subject<OriginalOf<4096, false, NoMap>>("original");
    add_subject<OriginalOf<16384, false, MapOfOriginal<Hash>>>("original-small-hash");
    add_subject<OriginalOf<8192, true, MapOfOriginal<Flat>>>("original-large-flat");
    add_subject<OriginalOf<8192, true, MapOfOriginal<Hash>>>("original-large-hash");
    return true;
}();

}  // namespace
