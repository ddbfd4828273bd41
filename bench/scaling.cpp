// scaling.cpp -- how often do CPUs meet, as a function of their number and the magazines' size?
//
// Simulated: one thread plays all CPUs, in random order, and counts what they write into lines that
// another wrote last (tests/support/simulated_cpus.hpp). So the figures are the same on every
// machine, and say nothing of time.

#include <cstddef>
#include <cstdio>

#include <support/simulated_cpus.hpp>

namespace {

using namespace support;

template <std::size_t cpus>
void row(Load load, bool crowded) {
    constexpr std::size_t calls_per_cpu = 20'000;
    const Scaling scaling = simulate<cpus>(load, crowded, calls_per_cpu);
    std::printf("| %4zu | %3zu | %12.0f | %12.0f |\n", cpus, scaling.rounds, scaling.depot_visits,
                scaling.shared_lines);
    std::fflush(stdout);
}

}  // namespace

int main() {
    struct Named {
        Load load;
        const char* name;
    };
    std::printf("simulated, per million calls of alloc and free, objects of 64 bytes\n");
    for (const Named& each : {Named{Load::own, "each CPU frees its own"},
                              Named{Load::pipeline, "CPU 2n allocates, CPU 2n + 1 frees"},
                              Named{Load::exchange, "each CPU frees any one's"}}) {
        std::printf(
            "\n%s\n\n| CPUs | magazine | depot visits | shared lines written |\n"
            "| ---: | ---: | ---: | ---: |\n",
            each.name);
        for (const bool crowded : {false, true}) {
            row<2>(each.load, crowded);
            row<4>(each.load, crowded);
            row<16>(each.load, crowded);
            row<64>(each.load, crowded);
            row<256>(each.load, crowded);
        }
    }
}
