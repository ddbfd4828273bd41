// How often CPUs meet does not grow with their number: counted, not timed. bench/scaling.cpp prints
// the table.

#include <cstddef>

#include <support/catch.hpp>
#include <support/simulated_cpus.hpp>

using namespace support;

namespace {

constexpr std::size_t calls_per_cpu = 10'000;

}  // namespace

TEST_CASE("CPUs that free their own do not meet, however many they are", "[scaling]") {
    for (const Scaling& scaling : {simulate<4>(Load::own, false, calls_per_cpu),
                                   simulate<64>(Load::own, false, calls_per_cpu)}) {
        REQUIRE(scaling.depot_visits < 100);  // of a million calls
        REQUIRE(scaling.shared_lines < 500);
    }
}

TEST_CASE("CPUs that free what others allocated meet once in a magazine, however many they are",
          "[scaling]") {
    for (const Load load : {Load::pipeline, Load::exchange}) {
        const Scaling few = simulate<16>(load, false, calls_per_cpu);
        const Scaling many = simulate<64>(load, false, calls_per_cpu);
        REQUIRE(many.depot_visits < 1.25 * few.depot_visits);
        REQUIRE(many.shared_lines < 1.25 * few.shared_lines);
        REQUIRE(many.depot_visits * static_cast<double>(many.rounds) < 1.1e6);
        // Larger magazines: less often, in proportion.
        const Scaling large = simulate<64>(load, true, calls_per_cpu);
        REQUIRE(large.rounds > 3 * many.rounds);
        REQUIRE(large.depot_visits < many.depot_visits / 3);
        REQUIRE(large.shared_lines < many.shared_lines / 3);
    }
}
