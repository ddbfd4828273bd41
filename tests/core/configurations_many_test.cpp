// Level misuse, each row, with about a word of objects in a slab.

#include <support/configurations.hpp>

void support::add_checked_rows_of_many(std::vector<Configuration>& all) {
    add_rows<Checks::misuse, 63, 64, 65>(all);
}

TEST_CASE("the configurations around 64 objects have as many in a slab as they say",
          "[configurations]") {
    std::vector<support::Configuration> all;
    support::add_checked_rows_of_many(all);
    REQUIRE(all.size() == 7 * 3);
    for (std::size_t number = 0; number < all.size(); ++number) {
        REQUIRE(all[number].objects_per_slab() == number % 3 + 63);
    }
}
