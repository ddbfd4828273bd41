#pragma once

// run.hpp -- which caches are fuzzed, and one input on one of them.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <fuzz/operations.hpp>
#include <fuzz/subjects.hpp>

namespace fuzz {

/// One line a level.
[[nodiscard]] inline std::vector<Subject> every_subject() {
    std::vector<Subject> all;
    add_rows<Checks::misuse, 1, 3, 64>(all);
    add_rows<Checks::none, 3>(all);
    add_rows<Checks::hardened, 3, 64>(all);
    add_rows<Checks::debug, 1, 3>(all);
    return all;
}

/// Runs one input, from its first byte to its last.
inline void run(const std::uint8_t* data, std::size_t size) {
    static const std::vector<Subject> subjects = every_subject();
    static std::vector<Bench> benches = [] {
        count_reports();
        std::vector<Bench> all;
        all.reserve(subjects.size());
        for (const Subject& subject : subjects)
            all.emplace_back(subject);
        return all;
    }();
    if (size == 0) return;
    benches[data[0] % benches.size()].run(Input(data + 1, size - 1));
}

}  // namespace fuzz
