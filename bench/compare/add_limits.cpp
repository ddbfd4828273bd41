// add_limits.cpp -- how fast could it be?

#include "limits.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

[[maybe_unused]] const bool added = [] {
    add_subject<Limit<BENCH_SIZE>>("limit");
    add_subject<ArrayLimit<BENCH_SIZE>>("limit2");
    add_subject<Bump<BENCH_SIZE>>("bump");
    return true;
}();

}  // namespace
