#pragma once

// map_promises.hpp -- what the tests of all maps share: Pages with a ledger, and the comparison
// with a map that is known to be right.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <unordered_map>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator::test {

/// What a map has taken and not given back, and which of its requests are refused.
struct Ledger {
    struct Run {
        std::size_t size;
        std::size_t alignment;
    };

    std::unordered_map<void*, Run> runs;
    std::size_t requests_number = 0;
    std::size_t bytes = 0;
    std::size_t peak_bytes = 0;
    std::size_t errors_number = 0;  ///< odd sizes, or freed otherwise than allocated
    std::size_t first_refused = std::numeric_limits<std::size_t>::max();
    std::size_t last_refused = 0;

    /// The nth request from now on is refused, n from 1, and `more` after it.
    void refuse(std::size_t nth, std::size_t more = 0) {
        first_refused = requests_number + nth;
        last_refused = first_refused + more;
    }
    void refuse_all() { refuse(1, std::numeric_limits<std::size_t>::max() / 2); }
    void refuse_none() { first_refused = std::numeric_limits<std::size_t>::max(); }

    [[nodiscard]] bool balanced() const { return runs.empty() && bytes == 0 && errors_number == 0; }
};

/// Pages from the program's heap, full of garbage, as the ledger allows.
class LedgerPages {
public:
    explicit LedgerPages(Ledger& ledger) : ledger_(&ledger) {}

    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        ++ledger_->requests_number;
        const bool odd = !is_power_of_two(slab_size) || slab_size < slab_alignment;
        ledger_->errors_number += odd ? 1 : 0;
        if (ledger_->requests_number >= ledger_->first_refused &&
            ledger_->requests_number <= ledger_->last_refused) {
            return nullptr;
        }
        void* const slab = std::aligned_alloc(slab_alignment, slab_size);
        std::memset(slab, 0xA5, slab_size);
        ledger_->runs[slab] = {slab_size, slab_alignment};
        ledger_->bytes += slab_size;
        if (ledger_->bytes > ledger_->peak_bytes) ledger_->peak_bytes = ledger_->bytes;
        return slab;
    }

    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) {
        const auto run = ledger_->runs.find(slab);
        if (run == ledger_->runs.end() || run->second.size != slab_size ||
            run->second.alignment != slab_alignment) {
            ++ledger_->errors_number;
            return;
        }
        ledger_->runs.erase(run);
        ledger_->bytes -= slab_size;
        std::free(slab);
    }

private:
    Ledger* ledger_;
};

/// Pages for statics: they need nothing at run time.
class HeapPages {
public:
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        return std::aligned_alloc(slab_alignment, slab_size);
    }
    void free_slab(void* slab, std::size_t, std::size_t) { std::free(slab); }
};

/// SlabInfos to save; a map never looks into one.
inline SlabInfo* some_slab_info(std::size_t number) {
    static std::array<SlabInfo, 256> slab_infos;
    return &slab_infos[number % slab_infos.size()];
}

/// number pages from first on, `stride` pages apart.
inline std::vector<std::uintptr_t> pages_from(std::uintptr_t first, std::size_t number,
                                              std::size_t page_size = 4096,
                                              std::size_t stride = 1) {
    std::vector<std::uintptr_t> pages;
    for (std::size_t i = 0; i < number; ++i)
        pages.push_back(first + i * stride * page_size);
    return pages;
}

inline void append(std::vector<std::uintptr_t>& pages, const std::vector<std::uintptr_t>& more) {
    pages.insert(pages.end(), more.begin(), more.end());
}

/// The map beside a std::unordered_map: each call goes to both.
template <typename Map>
class MapAndModel {
public:
    explicit MapAndModel(Map& map) : map_(map) {}

    /// Returns: what the map answered; false changes nothing.
    bool save(std::uintptr_t page_addr, SlabInfo* slab_info) {
        if (!map_.save_slab_info_ptr(page_addr, slab_info)) return false;
        model_[page_addr] = slab_info;
        return true;
    }
    void erase(std::uintptr_t page_addr) {
        map_.delete_slab_info_ptr(page_addr);
        model_.erase(page_addr);
    }
    [[nodiscard]] bool agree(std::uintptr_t page_addr) const {
        const auto found = model_.find(page_addr);
        SlabInfo* const expected = found == model_.end() ? nullptr : found->second;
        return map_.get_slab_info_ptr(page_addr) == expected;
    }
    [[nodiscard]] bool agree(const std::vector<std::uintptr_t>& pages) const {
        for (const std::uintptr_t page_addr : pages) {
            if (!agree(page_addr)) return false;
        }
        return true;
    }
    [[nodiscard]] bool has(std::uintptr_t page_addr) const { return model_.count(page_addr) != 0; }
    [[nodiscard]] std::size_t size() const { return model_.size(); }

private:
    Map& map_;
    std::unordered_map<std::uintptr_t, SlabInfo*> model_;
};

/// A random walk over `pages`, which fills the map and drains it in turn, and drains it at the end.
/// Returns: the number of the first operation after which map and model differ, 0 if none.
template <typename Map>
std::size_t first_difference(Map& map, const std::vector<std::uintptr_t>& pages, std::uint64_t seed,
                             std::size_t operations_number = 1'000'000) {
    std::mt19937_64 random(seed);
    MapAndModel<Map> both(map);
    for (std::size_t operation = 1; operation <= operations_number; ++operation) {
        const std::uintptr_t page_addr = pages[random() % pages.size()];
        const std::uint64_t dice = random() % 8;
        const bool filling = (operation >> 17) % 2 == 0;
        if (dice < (filling ? 4U : 1U)) {
            if (!both.save(page_addr, some_slab_info(random()))) return operation;
        } else if (dice < 5) {
            both.erase(page_addr);
        }
        if (!both.agree(page_addr) || !both.agree(pages[random() % pages.size()])) return operation;
    }
    if (!both.agree(pages)) return operations_number;
    for (const std::uintptr_t page_addr : pages) {
        both.erase(page_addr);
        if (!both.agree(page_addr)) return operations_number + 1;
    }
    return both.agree(pages) ? 0 : operations_number + 2;
}

}  // namespace slab_allocator::test
