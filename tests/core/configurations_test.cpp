// All configurations, and level none.

#include <support/configurations.hpp>

using namespace support;

void support::add_unchecked(std::vector<Configuration>& all) {
    constexpr auto none = Checks::none;
    add_rows<none, 1, 2, 65>(all);
    all.push_back(configuration_of<Object<3>, small_map<none>>("Small by map, 4096 in a slab"));
    all.push_back(
        configuration_of<Object<64>, retaining(small_page<none>, 0)>("Small by mask, keeps 0"));
    all.push_back(
        configuration_of<Object<64>, retaining(large_page<none>, 3)>("Large by map, keeps 3"));
}

const std::vector<Configuration>& support::every_configuration() {
    static const std::vector<Configuration> all = [] {
        std::vector<Configuration> result;
        add_checked_rows(result);
        add_checked_rows_of_many(result);
        add_checked_oddities(result);
        add_unchecked(result);
        add_guarded_rows(result);
        return result;
    }();
    return all;
}

TEST_CASE("every row is tested at every level", "[configurations]") {
    for (const Row row :
         {Row::SmallByMask, Row::SmallByMap, Row::LargeByMap, Row::LargeByPageFrames}) {
        for (const Checks checks :
             {Checks::none, Checks::misuse, Checks::hardened, Checks::debug}) {
            std::size_t one_page = 0;
            std::size_t several_pages = 0;
            for (const Configuration& configuration : every_configuration()) {
                if (configuration.layout.row != row || configuration.config.checks != checks)
                    continue;
                ++(configuration.layout.pages_per_slab() == 1 ? one_page : several_pages);
            }
            REQUIRE(several_pages > 0);
            if (row == Row::SmallByMask || row == Row::LargeByMap) REQUIRE(one_page > 0);
        }
    }
}

TEST_CASE("no two configurations have the same name", "[configurations]") {
    const std::vector<Configuration>& all = every_configuration();
    for (std::size_t one = 0; one < all.size(); ++one) {
        for (std::size_t other = 0; other < one; ++other) {
            REQUIRE(all[one].name != all[other].name);
        }
    }
}
