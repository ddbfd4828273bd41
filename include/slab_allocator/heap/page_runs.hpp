#pragma once

// page_runs.hpp -- what is too large for a class: a run of pages for each request.
//
//      run      |<- whole pages, from the backend ->|      SlabInfo: elsewhere, on the list
//               '-- its first page leads to its SlabInfo
//
// A run is a slab with one object. Its SlabInfo has no slots to keep a map of, so the one word of
// the map says how many pages the run has, and `list` to which power of two it is aligned.
//
// Invariants
//   [R1] every run is live, and on the list; its owner is this.
//   [R2] before each call of the backend the list and the counters are in order.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/heap_pages.hpp>
#include <slab_allocator/heap/size_classes.hpp>

namespace slab_allocator {

/// Makes a slab larger or smaller where it is. false: it cannot, and nothing has changed.
template <typename Backend>
concept ResizingBackend = requires(Backend& backend, void* slab, std::size_t bytes) {
    { backend.resize_slab(slab, bytes, bytes, bytes) } -> std::same_as<bool>;
};

template <typename Backend, HeapConfig Config>
class PageRuns {
    static_assert(!Config.backend_resizes || ResizingBackend<Backend>,
                  "HeapConfig: backend_resizes needs a backend with "
                  "bool resize_slab(slab, before, after, alignment)");

public:
    static constexpr std::size_t page_size = Config.page_size;
    /// More than any address space has; below it, sizes and alignments can be added.
    static constexpr std::size_t largest = ~std::size_t{0} / 4;
    using Pages = HeapPages<Backend, page_size, Config.checks != Checks::none>;

    constexpr explicit PageRuns(Pages pages) noexcept : pages_(std::move(pages)) {}
    PageRuns(const PageRuns&) = delete;  // its runs know its address
    PageRuns& operator=(const PageRuns&) = delete;

    /// Returns: nullptr where the backend refuses. Requires: alignment is a power of two.
    [[nodiscard]] void* alloc(std::size_t size, std::size_t alignment) noexcept {
        if (size > largest || alignment > largest) return nullptr;
        const std::size_t pages = pages_for(size);
        if (alignment < page_size) alignment = page_size;
        SlabInfo* const run = pages_.take(wanted(pages, alignment));
        if (run == nullptr) return nullptr;
        remember(*run, pages);
        run->list = static_cast<std::uint8_t>(std::countr_zero(alignment));
        run->owner = this;
        runs_.push_front(*run);
        ++number_;
        bytes_ += pages * page_size;
        detail::Memcheck::allocated(run->slab, pages * page_size, false);
        return run->slab;
    }

    /// Requires: a run of this, of which `is_live` says yes.
    void free(SlabInfo& run) noexcept {
        run.unlink();
        --number_;
        bytes_ -= size_of(run);
        detail::Memcheck::freed(run.slab);
        detail::Memcheck::make_defined(run.slab, size_of(run));  // anybody may use it
        pages_.give(run, wanted(pages_of(run), std::size_t{1} << run.list));
    }

    /// As many pages as a request of `size` bytes has, where it is. Returns: false: the backend
    /// cannot, and nothing has changed. Requires: as free.
    [[nodiscard]] bool resize(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        if (size > largest) return false;
        const std::size_t before = size_of(run);
        const std::size_t pages = pages_for(size);
        const std::size_t after = pages * page_size;
        if (!pages_.backend().resize_slab(run.slab, before, after, std::size_t{1} << run.list))
            return false;
        remember(run, pages);
        bytes_ += after - before;  // wraps where it is less
        detail::Memcheck::resized(run.slab, before, after);
        return true;
    }

    void give_back_everything() noexcept {
        while (!runs_.empty())
            free(runs_.front());
    }

    /// Calls f(start) for every run.
    template <typename F>
    void for_each(F f) noexcept {
        for (const SlabInfo& run : runs_)
            f(run.slab);
    }

    [[nodiscard]] static bool is_live(const void* object, const SlabInfo& run) noexcept {
        return run.slab == object;
    }
    [[nodiscard]] static std::size_t size_of(const SlabInfo& run) noexcept {
        return pages_of(run) * page_size;
    }
    /// Would a request of `size` bytes have as many pages?
    [[nodiscard]] static bool fits(std::size_t size, const SlabInfo& run) noexcept {
        return size <= largest && pages_for(size) == pages_of(run);
    }

    /// The run that an address lies in; nullptr: none. Costs: O(runs).
    [[nodiscard]] SlabInfo* run_around(const void* address) noexcept {
        for (SlabInfo& run : runs_) {
            if (address_of(address) - address_of(run.slab) < size_of(run)) return &run;
        }
        return nullptr;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return pages_.backend(); }
    [[nodiscard]] std::size_t number() const noexcept { return number_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// The first run that is not as it must be, or Defect::None. Costs: O(runs).
    [[nodiscard]] DefectReport validate() noexcept {
        std::size_t number = 0;
        std::size_t bytes = 0;
        for (SlabInfo& run : runs_) {
            const bool sound = ++number <= number_ && run.consistent() && run.owner == this &&
                               is_aligned(run.slab, std::size_t{1} << run.list);
            if (!sound) return wrong(Defect::CorruptedSlabInfo, &run);
            if (!pages_.knows(run, 1)) return wrong(Defect::BackendLostSlab, &run);
            bytes += size_of(run);
        }
        if (number == number_ && bytes == bytes_) return {};
        return wrong(Defect::CorruptedSlabInfo, this);
    }

private:
    [[nodiscard]] static std::size_t pages_for(std::size_t size) noexcept {
        return divide_up(size == 0 ? 1 : size, page_size);
    }
    static void remember(SlabInfo& run, std::size_t pages) noexcept {
        run.map.fill(FreeMap::bits_per_word, 0, 0);
        run.map.take(0, ~std::uint64_t{pages}, 0);
    }
    [[nodiscard]] static PagesWanted wanted(std::size_t pages, std::size_t alignment) noexcept {
        return {.bytes = pages * page_size, .alignment = alignment, .known_pages = 1};
    }
    [[nodiscard]] static std::size_t pages_of(const SlabInfo& run) noexcept {
        return static_cast<std::size_t>(run.map.word_at(0));
    }
    [[nodiscard]] DefectReport wrong(Defect defect, const void* where) const noexcept {
        return {.defect = defect, .pointer = where, .cache = pages_.heap()};
    }

    Pages pages_;
    std::size_t number_ = 0;
    std::size_t bytes_ = 0;
    IntrusiveList<SlabInfo> runs_;
};

}  // namespace slab_allocator
