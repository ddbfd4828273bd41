// What kills most mutants in a second: caches of every row and level, walked, fuzzed and attacked.
// Fails by a trap, or says 1.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <exhaustive/tree.hpp>
#include <fuzz/attack.hpp>
#include <fuzz/operations.hpp>
#include <fuzz/subjects.hpp>
#include <support/random.hpp>

namespace {

using exhaustive::CacheConfig;
using exhaustive::Checks;
using exhaustive::ObjectSizeType;
using exhaustive::SlabInfoLookup;

[[nodiscard]] std::vector<fuzz::Subject> some_subjects() {
    constexpr auto misuse = Checks::misuse;
    std::vector<fuzz::Subject> all;
    fuzz::add<CacheConfig{
                  .slab_alignment = 1, .object_size_type = ObjectSizeType::Small, .checks = misuse},
              3>(all, "Small by map");
    fuzz::add<CacheConfig{.object_size_type = ObjectSizeType::Small, .checks = misuse}, 65>(
        all, "Small by mask");
    fuzz::add<CacheConfig{.object_size_type = ObjectSizeType::Large, .checks = misuse}, 64>(
        all, "Large by map");
    fuzz::add<CacheConfig{.object_size_type = ObjectSizeType::Large,
                          .checks = Checks::none,
                          .slab_info_lookup = SlabInfoLookup::PageFrames},
              4>(all, "Large by page frames");
    fuzz::add<CacheConfig{.object_size_type = ObjectSizeType::Small, .checks = Checks::hardened},
              64>(all, "Small by mask");
    fuzz::add<CacheConfig{.slab_alignment = 1,
                          .object_size_type = ObjectSizeType::Large,
                          .checks = Checks::hardened},
              3>(all, "Large by map");
    fuzz::add<CacheConfig{.object_size_type = ObjectSizeType::Large, .checks = Checks::debug}, 3>(
        all, "Large by map");
    return all;
}

}  // namespace

int main() {
    const std::vector<fuzz::Subject> subjects = some_subjects();
    for (const fuzz::Subject& subject : subjects) {
        const exhaustive::Walked walked = exhaustive::Tree(subject).walk(8, 7);
        if (!walked.wrong.empty() || walked.sequences != exhaustive::involutions(8)) {
            std::fprintf(stderr, "%s: %s\n", subject.name.c_str(), walked.wrong.c_str());
            return 1;
        }
    }
    fuzz::count_reports();
    support::Random random;
    for (const fuzz::Subject& subject : subjects) {
        fuzz::Bench bench(subject);
        for (std::size_t round = 0; round < 400; ++round) {
            std::vector<std::uint8_t> bytes(16 + random.below(2000));
            const std::size_t most = round % 2 == 0 ? 256 : 160;  // or allocs and frees alone
            for (std::uint8_t& byte : bytes)
                byte = static_cast<std::uint8_t>(random.below(most));
            bench.run({bytes.data(), bytes.size()});
        }
    }
    for (const fuzz::Subject& subject : subjects) {
        if (subject.checks != Checks::hardened) continue;
        fuzz::Attack attack(subject);
        for (std::size_t round = 0; round < 1500; ++round) {
            std::vector<std::uint8_t> bytes(1 + random.below(100));
            for (std::uint8_t& byte : bytes)
                byte = static_cast<std::uint8_t>(random.next());
            attack.run({bytes.data(), bytes.size()});
        }
    }
    return 0;
}
