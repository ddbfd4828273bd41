// For libFuzzer: see README.md here.

#include <cstddef>
#include <cstdint>

#include <fuzz/attack.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::attack(data, size);
    return 0;
}
