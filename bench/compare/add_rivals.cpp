// add_rivals.cpp -- what else could one use?

#include "mallocs.hpp"
#include "pools.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

[[maybe_unused]] const bool added = [] {
#if __has_include(<boost/pool/pool.hpp>)
    add_subject<BoostPool<BENCH_SIZE>>("boost");
#endif
#if __has_include(<foonathan/memory/memory_pool.hpp>)
    add_subject<FoonathanPool<BENCH_SIZE>>("foonathan");
#endif
    add_subject<PmrPool<BENCH_SIZE>>("pmr");
    add_subject<Glibc<BENCH_SIZE>>("malloc");
    add_subject<Loaded<BENCH_SIZE, Mimalloc>>("mimalloc");
    add_subject<Loaded<BENCH_SIZE, Jemalloc>>("jemalloc");
    add_subject<Loaded<BENCH_SIZE, Tcmalloc>>("tcmalloc");
    add_subject<Loaded<BENCH_SIZE, Tbb>>("tbb");
    return true;
}();

}  // namespace
