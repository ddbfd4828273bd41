// For libFuzzer: see README.md here.

#include <cstddef>
#include <cstdint>

#include <fuzz/run.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::run(data, size);
    return 0;
}
