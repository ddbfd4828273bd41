// magazine_guarded.cpp -- locked caches and caches with magazines: levels that guard objects.

#include "magazine.hpp"

namespace {

constexpr CacheConfig hardened{.checks = Checks::hardened, .never_destroyed = true};
constexpr CacheConfig debug{.checks = Checks::debug, .never_destroyed = true};

}  // namespace

int main() { return use_both<hardened>() && use_both<debug>() ? 0 : 1; }
