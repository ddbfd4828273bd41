// Attacks by chance, without libFuzzer.
//
//      random_attacks <how many sequences> [<seed>]

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <fuzz/attack.hpp>
#include <support/random.hpp>

int main(int arguments_number, char** arguments) {
    if (arguments_number < 2) {
        std::fprintf(stderr, "random_attacks <number> [<seed>]\n");
        return 2;
    }
    const std::size_t number = std::strtoull(arguments[1], nullptr, 0);
    support::Random random(arguments_number > 2 ? std::strtoull(arguments[2], nullptr, 0)
                                                : support::seed());
    std::vector<std::uint8_t> bytes;
    std::size_t operations = 0;
    for (std::size_t sequence = 0; sequence < number; ++sequence) {
        bytes.resize(1 + random.below(120));
        for (std::uint8_t& byte : bytes)
            byte = static_cast<std::uint8_t>(random.next());
        fuzz::attack(bytes.data(), bytes.size());
        operations += bytes.size();
    }
    std::printf(
        "%zu sequences of %zu bytes: no two live objects overlap, no pointer outside of the "
        "slabs\n",
        number, operations);
    return 0;
}
