// Level hardened: a level needs no more than such a file.

#include <exhaustive/sequences.hpp>

using namespace exhaustive;

TEST_CASE("every sequence of allocs and frees leaves a Small cache right, level hardened",
          "[exhaustive]") {
    walk_all(small_subjects<Checks::hardened>());
}

TEST_CASE("every sequence of allocs and frees leaves a Large cache right, level hardened",
          "[exhaustive]") {
    walk_all(large_subjects<Checks::hardened>());
}
