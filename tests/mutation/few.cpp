// The configurations that the tests of the core meet here: each row and level once or twice.

#include <support/configurations.hpp>

using namespace support;

const std::vector<Configuration>& support::every_configuration() {
    static const std::vector<Configuration> all = [] {
        constexpr auto misuse = Checks::misuse;
        std::vector<Configuration> result;
        add_counts<small_page<misuse>, 3, 65>(result, "Small by mask, one page");
        add_counts<small_pages<misuse>, 64>(result, "Small by mask, several pages");
        add_counts<small_map<misuse>, 2, 63>(result, "Small by map");
        add_counts<large_page<misuse>, 1>(result, "Large by map, one page");
        add_counts<large_pages<misuse>, 64, 512>(result, "Large by map, several pages");
        add_counts<large_frames<misuse>, 65>(result, "Large by page frames");
        add_counts<small_page<Checks::none>, 65>(result, "Small by mask, one page");
        add_counts<large_pages<Checks::none>, 2>(result, "Large by map, several pages");
        add_counts<small_page<Checks::hardened>, 3>(result, "Small by mask, one page");
        add_counts<large_pages<Checks::hardened>, 64>(result, "Large by map, several pages");
        add_counts<small_map<Checks::debug>, 65>(result, "Small by map");
        result.push_back(configuration_of<Object<64>, retaining(small_page<misuse>, 0)>(
            "Small by mask, keeps 0"));
        return result;
    }();
    return all;
}
