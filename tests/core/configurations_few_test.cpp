// Level misuse, each row, with few objects in a slab.

#include <support/configurations.hpp>

void support::add_checked_rows(std::vector<Configuration>& all) {
    add_rows<Checks::misuse, 1, 2, 3>(all);
}

TEST_CASE("the configurations of few objects have as many in a slab as they say",
          "[configurations]") {
    std::vector<support::Configuration> all;
    support::add_checked_rows(all);
    REQUIRE(all.size() == 7 * 3);
    for (std::size_t number = 0; number < all.size(); ++number) {
        REQUIRE(all[number].objects_per_slab() == number % 3 + 1);
    }
}
