// Runs every file of a directory through the fuzzer's operations, without libFuzzer.
//
//      fuzz_replay <directory> [<how many inputs there are at least>]

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fuzz/run.hpp>

int main(int arguments_number, char** arguments) {
    if (arguments_number < 2) {
        std::fprintf(stderr, "fuzz_replay <directory> [<number>]\n");
        return 2;
    }
    std::size_t number = 0;
    for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        const std::vector<std::uint8_t> bytes(text.begin(), text.end());
        std::fprintf(stderr, "%s\r", entry.path().filename().c_str());
        fuzz::run(bytes.data(), bytes.size());
        ++number;
    }
    std::printf("%zu inputs, nothing found\n", number);
    const std::size_t least = arguments_number > 2 ? std::strtoull(arguments[2], nullptr, 0) : 1;
    return number < least ? 1 : 0;
}
