#pragma once

// sequences.hpp -- walks the trees of many caches and says what was seen.
//
//      SLAB_ALLOCATOR_LENGTH=16 exhaustive_test      longer sequences, and a table of what was seen

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <exhaustive/tree.hpp>
#include <support/catch.hpp>
#include <support/effort.hpp>

namespace exhaustive {

// g++'s optimised code walks the whole length; clang's, and any that is not optimised, less.
inline constexpr std::size_t usual_length = !support::optimised ? 9 : support::clang ? 12 : 14;
inline constexpr std::size_t deep_length = 10;

/// All sequences of the length leave each of the caches right, and every misuse is found at every
/// state of the first ten operations.
inline void walk_all(const std::vector<Subject>& subjects) {
    const char* const text = std::getenv("SLAB_ALLOCATOR_LENGTH");
    const std::size_t length =
        text == nullptr ? usual_length
                        : std::min<std::size_t>(std::strtoull(text, nullptr, 0), Tree::longest);
    std::array<std::uint64_t, kinds_number> refused{};
    for (const Subject& subject : subjects) {
        CAPTURE(subject.name, length);
        const Walked walked = Tree(subject).walk(length, std::min(length, deep_length));
        REQUIRE(walked.wrong == "");
        REQUIRE(walked.sequences == involutions(length));
        for (std::size_t kind = 0; kind < kinds_number; ++kind)
            refused[kind] += walked.refused[kind];
        if (text == nullptr) continue;
        std::printf("%-40s %12llu sequences %9llu states %6llu deep\n", subject.name.c_str(),
                    static_cast<unsigned long long>(walked.sequences),
                    static_cast<unsigned long long>(walked.states),
                    static_cast<unsigned long long>(walked.deep_states));
    }
    for (std::size_t kind = 0; kind < kinds_number; ++kind) {
        CAPTURE(kind);
        const bool found = must_find(subjects.front().checks, static_cast<Kind>(kind));
        REQUIRE((refused[kind] > 0) == found);
        if (text != nullptr && found) {
            std::printf("misuses of kind %2zu found: %llu\n", kind + 1,
                        static_cast<unsigned long long>(refused[kind]));
        }
    }
}

}  // namespace exhaustive
