// add_folder.cpp -- and what is not packaged?

#include "folder.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

[[maybe_unused]] const bool added = [] {
#ifdef BENCH_PLF_HIVE
    add_subject<PlfHive<BENCH_SIZE>>("plf-hive");
#endif
#ifdef BENCH_SNMALLOC
    add_subject<Snmalloc<BENCH_SIZE>>("snmalloc");
#endif
#ifdef BENCH_RPMALLOC
    add_subject<Rpmalloc<BENCH_SIZE>>("rpmalloc");
#endif
#ifdef BENCH_MIMALLOC
    add_subject<MimallocOfFolder<BENCH_SIZE>>("mimalloc-src");
#endif
    return true;
}();

}  // namespace
