#pragma once

// slab_runs.hpp -- slabs cut from runs of 2 MiB, for sources of pages that are dear one by one.
//
//      run     | slab 0 | slab 1 | slab 2 | ... | slab N-1 |       N slots of one stride
//              '-- map: start of the run's block --> SlabInfo of the run: which slabs are free
//
// A run is to its slabs what a slab is to its objects, so a SlabInfo manages it. Slabs of each
// power of two have runs of their own; a slab above run_size is a run by itself. A run is aligned
// to its slabs only, not to run_size: malloc pads a block by its alignment, and where huge pages
// are on, what is padded becomes resident. So a slab's run starts in the slab's block of run_size
// bytes or in the one before it: two questions to a map that answers for any address, and no byte
// of a run is ever read or written here.
//
// Invariants
//   [U1] a run is at least run_size_ bytes long, so at most one run starts in a block.
//   [U2] Partial runs stand on the list of their stride, all others on others_.
//   [U3] kept_ is the only run without taken slabs, or null: the second one is given back.
//   [U4] SlabInfo::list is log2(stride) of the run; owner is this.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/maps/hash_map.hpp>

namespace slab_allocator {

/// A SlabSource over a SlabSource. Runs, and a few pages for its own records, come from Pages and
/// go back there. Not synchronised.
template <SlabSource Pages>
class SlabRuns {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t largest_run_size = page_size * std::bit_floor(SlabInfo::max_slots);

    constexpr SlabRuns() noexcept
        requires std::default_initializable<Pages>
    {}
    /// run_size is rounded to a power of two from page_size to largest_run_size.
    constexpr explicit SlabRuns(Pages pages, std::size_t run_size = largest_run_size) noexcept
        : pages_(std::move(pages)),
          run_size_(run_size < page_size          ? page_size
                    : run_size > largest_run_size ? largest_run_size
                                                  : std::bit_ceil(run_size)) {}
    SlabRuns(const SlabRuns&) = delete;  // its lists and references know its address
    SlabRuns& operator=(const SlabRuns&) = delete;

    /// Gives every run back, slabs that are still taken included.
    ~SlabRuns() {
        while (!others_.empty())
            give_back(others_.front());
        for (auto& runs : partial_) {
            while (!runs.empty())
                give_back(runs.front());
        }
    }

    /// A slab is aligned to its size rounded up to a power of two, and to slab_alignment.
    /// Costs: O(1), one call of Pages for each run.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t stride = stride_of(slab_size, slab_alignment);
        if (stride == 0) return nullptr;
        SlabInfo* const run = run_with_room(stride);
        return run == nullptr ? nullptr : take_from(*run);
    }

    /// What is no slab of this size is a Defect::ForeignPointer, a free one a DoubleFree.
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        const std::size_t stride = stride_of(slab_size, slab_alignment);
        SlabInfo* const run = stride == 0 ? nullptr : find(slab, stride);
        const std::size_t offset = run == nullptr ? 0 : address_of(slab) - address_of(run->slab);
        if (run == nullptr || offset % stride != 0) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (run->map.is_free(offset / stride)) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        give_to(*run, offset / stride);
    }

    /// Gives back what is kept for later. Returns: how many bytes of runs.
    std::size_t trim() noexcept {
        const std::size_t before = bytes_held_;
        if (kept_ != nullptr) give_back(*std::exchange(kept_, nullptr));
        infos_.cache().shrink_to_fit();
        return before - bytes_held_;
    }

    /// The bytes of all runs, taken slabs or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return bytes_held_; }
    [[nodiscard]] constexpr std::size_t run_size() const noexcept { return run_size_; }
    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

private:
    using Runs = IntrusiveList<SlabInfo>;

    static constexpr int smallest = std::countr_zero(page_size);
    static constexpr int partial_lists = std::countr_zero(largest_run_size) - smallest;

    /// 0 where there is no such power of two.
    [[nodiscard]] static constexpr std::size_t stride_of(std::size_t slab_size,
                                                         std::size_t slab_alignment) noexcept {
        std::size_t stride = slab_size > slab_alignment ? slab_size : slab_alignment;
        if (stride < page_size) stride = page_size;
        return stride > ~std::size_t{0} / 2 ? 0 : std::bit_ceil(stride);
    }

    [[nodiscard]] static constexpr std::size_t stride_of(const SlabInfo& run) noexcept {
        return std::size_t{1} << run.list;  // [U4]
    }
    [[nodiscard]] constexpr std::size_t bytes_of(std::size_t stride) const noexcept {
        return stride < run_size_ ? run_size_ : stride;  // [U1]
    }
    [[nodiscard]] constexpr std::size_t slabs_number(std::size_t stride) const noexcept {
        return bytes_of(stride) / stride;
    }
    [[nodiscard]] std::uintptr_t block_address(const void* pointer) const noexcept {
        return align_down(address_of(pointer), run_size_);
    }

    /// The run of this stride that `slab` lies in; nullptr where none is.
    [[nodiscard]] SlabInfo* find(const void* slab, std::size_t stride) const noexcept {
        const std::uintptr_t block = block_address(slab);
        for (const std::uintptr_t start : {block, block - run_size_}) {  // [U1]
            SlabInfo* const run = map_.get_slab_info_ptr(start);
            if (run != nullptr && stride_of(*run) == stride &&
                address_of(slab) - address_of(run->slab) < bytes_of(stride)) {
                return run;
            }
        }
        return nullptr;
    }

    /// The run that was opened or given to last, so that the others drain.
    [[nodiscard]] SlabInfo* run_with_room(std::size_t stride) noexcept {
        if (stride < run_size_ && !partial_of(stride).empty()) return &partial_of(stride).front();
        if (kept_ != nullptr && stride_of(*kept_) == stride) return kept_;
        SlabInfo* const run = new_run(stride);
        return run == nullptr && trim() != 0 ? new_run(stride) : run;
    }

    [[nodiscard]] void* take_from(SlabInfo& run) noexcept {
        const std::size_t stride = stride_of(run);
        const std::size_t word = run.map.first_word();
        const std::size_t bit = lowest_bit(run.map.word_at(word));
        const bool was_empty = run.free_number == slabs_number(stride);
        run.map.take(word, std::uint64_t{1} << bit, 0);  // no slab is covered
        --run.free_number;
        if (&run == kept_) kept_ = nullptr;
        if (was_empty || run.free_number == 0) relink(run);
        return run.slab + (word * FreeMap::bits_per_word + bit) * stride;
    }

    void give_to(SlabInfo& run, std::size_t slot) noexcept {
        const std::size_t stride = stride_of(run);
        run.map.give_back(slot / FreeMap::bits_per_word,
                          std::uint64_t{1} << (slot % FreeMap::bits_per_word));
        const bool was_full = run.free_number == 0;
        ++run.free_number;
        const bool empty = run.free_number == slabs_number(stride);
        if (was_full || empty) relink(run);
        if (!empty) return;
        if (stride > run_size_) return give_back(run);
        if (kept_ != nullptr) give_back(*kept_);
        kept_ = &run;  // [U3]
    }

    /// Puts a run on the list where it belongs [U2].
    void relink(SlabInfo& run) noexcept {
        const std::size_t stride = stride_of(run);
        const bool partial = run.free_number != 0 && run.free_number != slabs_number(stride);
        if (run.linked()) run.unlink();
        (partial ? partial_of(stride) : others_).push_front(run);
    }

    [[nodiscard]] Runs& partial_of(std::size_t stride) noexcept {
        return partial_[std::countr_zero(stride) - smallest];
    }

    /// A run is born whole or not at all.
    [[nodiscard, gnu::noinline]] SlabInfo* new_run(std::size_t stride) noexcept {
        const std::size_t bytes = bytes_of(stride);
        void* const memory = pages_.alloc_slab(bytes, stride);
        if (memory == nullptr) return nullptr;
        SlabInfo* const slab_info = infos_.alloc_slab_info();
        if (slab_info == nullptr || !map_.save_slab_info_ptr(block_address(memory), slab_info)) {
            infos_.free_slab_info(slab_info);
            pages_.free_slab(memory, bytes, stride);
            return nullptr;
        }
        SlabInfo& run = *::new (slab_info) SlabInfo;
        run.owner = this;
        run.slab = static_cast<std::byte*>(memory);
        run.free_number = static_cast<std::uint16_t>(slabs_number(stride));
        run.list = static_cast<std::uint8_t>(std::countr_zero(stride));
        run.map.fill(slabs_number(stride), 0, 0);
        relink(run);
        bytes_held_ += bytes;
        return &run;
    }

    /// And dies in this order: off its list, unknown to the map, its SlabInfo, its pages.
    void give_back(SlabInfo& run) noexcept {
        std::byte* const memory = run.slab;
        const std::size_t stride = stride_of(run);
        run.unlink();
        run.owner = nullptr;
        map_.delete_slab_info_ptr(block_address(memory));
        infos_.free_slab_info(&run);
        bytes_held_ -= bytes_of(stride);
        pages_.free_slab(memory, bytes_of(stride), stride);
    }

    [[no_unique_address]] Pages pages_{};
    SlabInfoCache<BackendRef<Pages>> infos_{BackendRef<Pages>(pages_)};
    HashMap<BackendRef<Pages>> map_{BackendRef<Pages>(pages_)};
    std::size_t run_size_ = largest_run_size;
    std::size_t bytes_held_ = 0;
    SlabInfo* kept_ = nullptr;  // [U3]
    Runs others_;               // [U2]
    Runs partial_[partial_lists];
};

}  // namespace slab_allocator
