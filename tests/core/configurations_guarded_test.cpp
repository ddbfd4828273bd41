// Levels hardened and debug, each row.

#include <support/configurations.hpp>

void support::add_guarded_rows(std::vector<Configuration>& all) {
    add_rows<Checks::hardened, 3, 64>(all);
    add_rows<Checks::debug, 2, 65>(all);
}
