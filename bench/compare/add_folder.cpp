// add_folder.cpp -- and what is not packaged?

#include "folder.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

[[maybe_unused]] const bool added = [] {
#if __has_include(<plf_hive.h>)
    add_subject<PlfHive<BENCH_SIZE>>("plf-hive");
#endif
#if __has_include(<snmalloc/snmalloc.h>)
    add_subject<Snmalloc<BENCH_SIZE>>("snmalloc");
#endif
#if __has_include(<rpmalloc.h>)
    add_subject<Rpmalloc<BENCH_SIZE>>("rpmalloc");
#endif
#if __has_include(<mimalloc.h>)
    add_subject<MimallocOfFolder<BENCH_SIZE>>("mimalloc-src");
#endif
    return true;
}();

}  // namespace
