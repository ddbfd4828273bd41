#pragma once

// string_sink.hpp -- a sink into a string.

#include <cstddef>
#include <string>

namespace support {

struct StringSink {
    void write(const char* characters, std::size_t size) { text.append(characters, size); }
    std::string text;
};

}  // namespace support
