#pragma once

// slab_promises.hpp -- what every source of slabs promises, and what the tests of backends share.
//
//      Promises: a slab is aligned, overlaps no other, and keeps what is written in it.
//
// A slab is stamped in each of its pages, first and last word, and read again before it is freed.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/effort.hpp>

namespace slab_promises {

using namespace slab_allocator;
using support::defect_of;

inline constexpr std::size_t page = 4096;
inline constexpr std::size_t mebibyte = std::size_t{1024} * 1024;

/// Under AddressSanitizer freed memory stays resident: numbers of bytes mean nothing there.
inline constexpr bool sanitized = support::address_sanitizer;

/// A SlabSource that counts, refuses on demand, and notices what is given back wrongly.
class CountingPages {
public:
    CountingPages() = default;
    CountingPages(const CountingPages&) = delete;
    CountingPages& operator=(const CountingPages&) = delete;

    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        if (requests_number++ == refused_request) return nullptr;
        void* const slab = std::aligned_alloc(slab_alignment, align_up(slab_size, slab_alignment));
        live_[slab] = {slab_size, slab_alignment};
        bytes += slab_size;
        return slab;
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const auto found = live_.find(slab);
        if (found == live_.end() || found->second != std::pair{slab_size, slab_alignment}) {
            ++mistakes_number;
            return;
        }
        live_.erase(found);
        bytes -= slab_size;
        std::free(slab);
    }

    [[nodiscard]] std::size_t live_number() const { return live_.size(); }
    /// How many live blocks are at least this large?
    [[nodiscard]] std::size_t live_number(std::size_t smallest) const {
        std::size_t number = 0;
        for (const auto& [slab, numbers] : live_)
            number += numbers.first >= smallest ? 1 : 0;
        return number;
    }

    std::size_t requests_number = 0;
    std::size_t refused_request = ~std::size_t{0};
    std::size_t mistakes_number = 0;
    std::size_t bytes = 0;

private:
    std::map<void*, std::pair<std::size_t, std::size_t>> live_;
};

/// The slabs of a source, as they should be.
template <typename Source>
class Model {
public:
    explicit Model(Source& source) : source_(source) {}

    /// Returns: whether the source gave one; checks it where it did.
    bool alloc(std::size_t size, std::size_t alignment) {
        void* const memory = source_.alloc_slab(size, alignment);
        if (memory == nullptr) return false;
        CAPTURE(size, alignment, memory);
        const std::uintptr_t start = address_of(memory);
        REQUIRE(start % alignment == 0);
        const auto next = slabs_.lower_bound(start);
        if (next != slabs_.end()) REQUIRE(start + size <= next->first);
        if (next != slabs_.begin()) {
            const auto before = std::prev(next);
            REQUIRE(before->first + before->second.size <= start);
        }
        const Slab slab{static_cast<std::byte*>(memory), size, alignment, ++stamps_number_};
        for_each_stamp(slab, [&](std::uint64_t& word) { word = slab.stamp; });
        slabs_.emplace(start, slab);
        return true;
    }

    /// Frees the slab with this number, counted by address.
    void free(std::size_t number) {
        const auto found = std::next(slabs_.begin(), static_cast<std::ptrdiff_t>(number));
        const Slab slab = found->second;
        std::size_t wrong = 0;
        for_each_stamp(slab, [&](std::uint64_t& word) { wrong += word == slab.stamp ? 0 : 1; });
        REQUIRE(wrong == 0);
        slabs_.erase(found);
        source_.free_slab(slab.memory, slab.size, slab.alignment);
    }

    void free_all() {
        while (!slabs_.empty())
            free(slabs_.size() / 2);
    }
    [[nodiscard]] std::size_t size() const { return slabs_.size(); }

private:
    struct Slab {
        std::byte* memory;
        std::size_t size;
        std::size_t alignment;
        std::uint64_t stamp;
    };

    template <typename F>
    static void for_each_stamp(const Slab& slab, F f) {
        for (std::size_t offset = 0; offset < slab.size; offset += page) {
            auto* const words =
                static_cast<std::uint64_t*>(static_cast<void*>(slab.memory + offset));
            f(words[0]);
            f(words[page / sizeof(std::uint64_t) - 1]);
        }
    }

    Source& source_;
    std::map<std::uintptr_t, Slab> slabs_;
    std::uint64_t stamps_number_ = 0;
};

/// Three slabs of each size with each alignment, all live at once where the source has as much.
template <typename Source>
void serve_every_size_and_alignment(Source& source, std::size_t largest_size,
                                    std::size_t largest_alignment) {
    Model<Source> model(source);
    for (std::size_t size = page; size <= largest_size; size *= 2) {
        for (std::size_t alignment = page; alignment <= largest_alignment; alignment *= 2) {
            CAPTURE(size, alignment);
            for (int repeated = 0; repeated < 3; ++repeated)
                REQUIRE(model.alloc(size, alignment));
        }
        if (size >= mebibyte) model.free_all();
    }
    model.free_all();
}

/// Grows, shrinks and grows again, with all sizes mixed. Refusals are allowed where `may_refuse`.
template <typename Source>
void serve_at_random(Source& source, unsigned seed, unsigned sizes, unsigned alignments,
                     std::size_t most_slabs, bool may_refuse) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Model<Source> model(source);
    std::size_t refused = 0;
    std::size_t served = 0;
    for (std::size_t target : {most_slabs, most_slabs / 10, most_slabs, std::size_t{0}}) {
        for (int step = 0; step < 1500; ++step) {
            const bool grows = random() % 8 < (model.size() < target ? 6U : 2U);
            if (grows) {
                const std::size_t size = page << random() % sizes;
                const std::size_t alignment = page << random() % alignments;
                ++(model.alloc(size, alignment) ? served : refused);
            } else if (model.size() > 0) {
                model.free(random() % model.size());
            }
        }
    }
    model.free_all();
    REQUIRE(served > 2000);
    if (!may_refuse) REQUIRE(refused == 0);
}

}  // namespace slab_promises
