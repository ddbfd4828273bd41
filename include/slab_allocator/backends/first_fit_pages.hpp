#pragma once

// first_fit_pages.hpp -- slabs and runs of any number of pages, cut from chunks that all sizes
// share.
//
//      chunk    | A A A A | B | . . . | C C C C C C C C C | . . . . . |     A: 4 pages, C: 9
//      groups   '------- 0 -------' '------- 1 -------' '------- 2 -----'    the longest hole there
//
// SlabRuns keeps sizes apart: no search, but a page that was one size's is not another's, and 9
// pages take 16. Here the lowest pages that are large enough are taken, so what was touched before
// is used again before fresh memory is touched. That is what a heap wants, which asks for all
// sizes: what the system counts as resident is little more than what is live.
//
// Pages that were given back stay resident, as long as they are no more than those that are taken;
// else the highest of them are discarded, until half as many are left. Where more pages would be
// resident than ever before, and a third of them idle, all that are idle are discarded. A slab as
// large as a huge page begins at the border of one and may have them, because its owner asked for
// as much at once; what it gives back is discarded at once. Pages that the source refuses to
// discard (locked ones) stay idle and touched; it is asked again when twice as many are idle.
//
// Invariants
//   [G1] a chunk is aligned to its size; bit p of `taken` is set  <=>  its page p is taken
//   [G2] bit p of `touched` is set where somebody may have written to page p since it was fresh;
//        while it is taken, that is: before that
//   [G3] longest[g] is at least the length of every hole that starts in group g
//   [G4] idle_pages_number_ == |pages that are free and touched|
//   [G5] kept_ is the only chunk without taken pages, or null: the second one is given back
//   [G6] no page from end_of_taken on is taken, and the one before it is, so that no search looks
//        at what lies behind
//   [G7] bit g of `huge` is set where group g may have a huge page: only while all of it is taken

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/memory_backend.hpp>

namespace slab_allocator {

/// A SlabSource whose fresh memory is zero, that can make pages fresh again, and be advised where
/// huge pages are wanted: what a first touch of each page would cost, one does for 512.
template <typename Pages>
concept DiscardingSource = SlabSource<Pages> && requires(Pages& pages, void* start) {
    { pages.discard(start, std::size_t{}) } -> std::same_as<bool>;  // false: as they were
    { pages.advise_huge_pages(start, std::size_t{}, bool{}) } -> std::same_as<void>;
};

namespace detail {

/// One bit for each page of a chunk.
template <std::size_t pages_number>
class PageBits {
public:
    /// The first page from `page` on whose bit is as wanted; pages_number where there is none.
    [[nodiscard]] std::size_t first_from(std::size_t page, bool wanted) const noexcept {
        const std::uint64_t flip = wanted ? 0 : ~std::uint64_t{0};
        for (std::size_t word = page / 64; word < words_number; ++word) {
            std::uint64_t bits = words_[word] ^ flip;
            if (word == page / 64) bits &= ~std::uint64_t{0} << (page % 64);
            if (bits != 0) return word * 64 + lowest_bit(bits);
        }
        return pages_number;
    }
    /// Behind the last page before `page` whose bit is set.
    [[nodiscard]] std::size_t end_before(std::size_t page) const noexcept {
        while (page > 0) {
            const std::size_t start = (page - 1) / 64 * 64;
            const std::uint64_t bits = words_[start / 64] & bits_below(page - start);
            if (bits != 0) return start + highest_bit(bits) + 1;
            page = start;
        }
        return 0;
    }
    [[nodiscard]] std::size_t number(std::size_t page, std::size_t pages) const noexcept {
        std::size_t sum = 0;
        for_each_word(page, pages, [&](std::size_t word, std::uint64_t bits) {
            sum += bits_number(words_[word] & bits);
        });
        return sum;
    }
    void set(std::size_t page, std::size_t pages) noexcept {
        for_each_word(page, pages,
                      [&](std::size_t word, std::uint64_t bits) { words_[word] |= bits; });
    }
    void clear(std::size_t page, std::size_t pages) noexcept {
        for_each_word(page, pages,
                      [&](std::size_t word, std::uint64_t bits) { words_[word] &= ~bits; });
    }

private:
    static constexpr std::size_t words_number = pages_number / 64;

    template <typename F>
    static void for_each_word(std::size_t page, std::size_t pages, F f) noexcept {
        for (const std::size_t end = page + pages; page < end;) {
            const std::size_t word = page / 64;
            const std::size_t last = end - word * 64;
            f(word, bits_below(last) & ~bits_below(page % 64));
            page = (word + 1) * 64;
        }
    }

    std::uint64_t words_[words_number] = {};
};

}  // namespace detail

/// A SlabSource over a SlabSource. Chunks, and a page for the record of each, come from Pages and
/// go back there; a slab above largest_slab is Pages' own. Not synchronised.
template <DiscardingSource Pages, std::size_t chunk_size = std::size_t{32} * 1024 * 1024>
class FirstFitPages {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t largest_slab = chunk_size / 2;
    /// As many pages as are taken may lie idle, and this many in any case.
    static constexpr std::size_t least_idle_pages = 512;
    /// This share of those that are taken may even where so many were never resident before.
    static constexpr std::size_t idle_share_at_peak = 2;
    static_assert(is_power_of_two(chunk_size) && chunk_size >= 64 * page_size,
                  "FirstFitPages: chunk_size must be a power of two, at least 64 pages");

    constexpr FirstFitPages() noexcept
        requires std::default_initializable<Pages>
    = default;
    constexpr explicit FirstFitPages(Pages pages) noexcept : pages_(std::move(pages)) {}
    FirstFitPages(const FirstFitPages&) = delete;  // chunks know its address
    FirstFitPages& operator=(const FirstFitPages&) = delete;

    /// Gives every chunk back, pages that are still taken included.
    ~FirstFitPages() {
        while (first_ != nullptr)
            give_back(*first_);
    }

    /// Is such a slab Pages' own, and not cut from a chunk?
    [[nodiscard]] static constexpr bool is_for_source(std::size_t slab_size,
                                                      std::size_t slab_alignment) noexcept {
        return slab_size > largest_slab || slab_alignment > largest_slab;
    }

    /// Whole pages, and for no bytes one. Costs: O(groups), and O(holes) of one group; once in vain
    /// for each change of a group.
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        if (is_for_source(slab_size, slab_alignment))
            return pages_.alloc_slab(slab_size, slab_alignment);
        const Wanted wanted = wanted_for(slab_size, slab_alignment);
        for (Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
            if (void* const slab = take_from(*chunk, wanted)) return slab;
        }
        Chunk* const chunk = new_chunk();
        return chunk == nullptr ? nullptr : take_from(*chunk, wanted);
    }

    /// What is in no chunk is a Defect::ForeignPointer, free pages a DoubleFree. Requires: what
    /// alloc_slab gave for the same size and alignment (not checked further).
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) noexcept {
        if (is_for_source(slab_size, slab_alignment))
            return pages_.free_slab(slab, slab_size, slab_alignment);
        Chunk* const chunk = chunk_of(slab);
        const std::size_t pages = wanted_for(slab_size, slab_alignment).pages;
        const std::size_t page = page_of(slab);
        if (chunk == nullptr || !is_aligned(slab, page_size) || page + pages > pages_per_chunk) {
            return report({.defect = Defect::ForeignPointer, .pointer = slab});
        }
        if (chunk->taken.number(page, pages) != pages) {
            return report({.defect = Defect::DoubleFree, .pointer = slab, .slab = slab});
        }
        give_to(*chunk, page, pages);
        settle();
    }

    /// Makes a slab longer or shorter where it is. Returns: false, and nothing has changed, where
    /// what lies behind it is taken. Requires: a slab of `before` bytes (as free_slab's).
    [[nodiscard]] bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                   std::size_t slab_alignment) noexcept {
        if (is_for_source(before, slab_alignment) || is_for_source(after, slab_alignment))
            return false;
        Chunk* const chunk = chunk_of(slab);
        if (chunk == nullptr) return false;
        const std::size_t has = wanted_for(before, slab_alignment).pages;
        const std::size_t wants = wanted_for(after, slab_alignment).pages;
        const std::size_t page = page_of(slab);
        if (wants > has) {
            const std::size_t end_of_hole = end_of_free(*chunk, page + has);
            if (page + wants > end_of_hole) return false;
            take(*chunk, page + has, wants - has);
            note_hole(*chunk, page + wants, end_of_hole);
        } else if (wants < has) {
            give_to(*chunk, page + wants, has - wants);
            settle();
        }
        return true;
    }

    /// Is all of a slab as the source gave it, and so zero, but for what its owner wrote? Requires:
    /// what alloc_slab gave.
    [[nodiscard]] bool is_fresh(const void* slab, std::size_t slab_size) noexcept {
        const Chunk* const chunk = chunk_of(slab);
        return chunk == nullptr ||
               chunk->touched.number(page_of(slab), divide_up(slab_size, page_size)) == 0;
    }

    /// Gives back what is kept for later. Returns: how many bytes.
    std::size_t trim() noexcept {
        const std::size_t before = bytes_held_ + idle_pages_number_ * page_size;
        if (kept_ != nullptr) give_back(*kept_);
        discard_idle_pages(0);
        return before - bytes_held_;
    }

    /// The bytes of all chunks, taken pages or not.
    [[nodiscard]] constexpr std::size_t bytes_held() const noexcept { return bytes_held_; }
    [[nodiscard]] constexpr std::size_t idle_bytes() const noexcept {
        return idle_pages_number_ * page_size;
    }
    /// The most that was resident at once, as far as it is taken here.
    [[nodiscard]] constexpr std::size_t peak_bytes() const noexcept {
        return peak_pages_number_ * page_size;
    }
    [[nodiscard]] constexpr Pages& pages() noexcept { return pages_; }

private:
    static constexpr std::size_t pages_per_chunk = chunk_size / page_size;
    static constexpr std::size_t pages_per_group = pages_per_chunk < 512 ? pages_per_chunk : 512;
    static constexpr std::size_t groups_number = pages_per_chunk / pages_per_group;

    struct Wanted {
        std::size_t pages;
        std::size_t grain;  // in pages: where it may start
    };

    struct Chunk {
        Chunk* next = nullptr;
        std::byte* start = nullptr;
        std::size_t taken_number = 0;
        std::size_t end_of_taken = 0;               // [G6]
        std::uint64_t huge = 0;                     // [G7]
        std::uint32_t longest[groups_number] = {};  // [G3]
        detail::PageBits<pages_per_chunk> taken;    // [G1]
        detail::PageBits<pages_per_chunk> touched;  // [G2]
    };
    static constexpr std::size_t record_size = align_up(sizeof(Chunk), page_size);

    [[nodiscard]] static constexpr Wanted wanted_for(std::size_t slab_size,
                                                     std::size_t slab_alignment) noexcept {
        const std::size_t pages = divide_up(slab_size == 0 ? 1 : slab_size, page_size);
        const std::size_t grain = divide_up(slab_alignment, page_size);
        return {pages,
                pages >= pages_per_group && grain < pages_per_group ? pages_per_group : grain};
    }
    [[nodiscard]] static std::size_t page_of(const void* slab) noexcept {
        return address_of(slab) % chunk_size / page_size;
    }
    [[nodiscard]] Chunk* chunk_of(const void* slab) noexcept {
        Chunk* chunk = first_;
        while (chunk != nullptr && address_of(slab) - address_of(chunk->start) >= chunk_size)
            chunk = chunk->next;
        return chunk;
    }

    // ---- Pages of a chunk -----------------------------------------------------------------------

    [[nodiscard]] void* take_from(Chunk& chunk, const Wanted& wanted) noexcept {
        for (std::size_t group = 0; group < groups_number; ++group) {
            if (chunk.longest[group] < wanted.pages) continue;
            if (void* const slab = take_from(chunk, group, wanted)) return slab;
        }
        return nullptr;
    }

    /// Out of the first hole that starts in the group and is large enough.
    [[nodiscard]] void* take_from(Chunk& chunk, std::size_t group, const Wanted& wanted) noexcept {
        std::size_t longest = 0;
        const std::size_t end_of_group = (group + 1) * pages_per_group;
        std::size_t page = start_in(chunk, group);
        while (page < end_of_group) {
            const std::size_t end = end_of_free(chunk, page);
            const std::size_t start = align_up(page, wanted.grain);
            if (start + wanted.pages <= end) {
                take(chunk, start, wanted.pages);
                note_hole(chunk, start + wanted.pages, end);
                if (wanted.pages >= pages_per_group) advise_huge_pages(chunk, start, wanted.pages);
                return chunk.start + start * page_size;
            }
            if (end - page > longest) longest = end - page;
            page = end == pages_per_chunk ? end : chunk.taken.first_from(end, false);
        }
        chunk.longest[group] = static_cast<std::uint32_t>(longest);  // [G3]
        return nullptr;
    }

    /// The first page of the first hole that starts in the group.
    [[nodiscard]] static std::size_t start_in(const Chunk& chunk, std::size_t group) noexcept {
        const std::size_t first = group * pages_per_group;
        const std::size_t page = chunk.taken.first_from(first, false);
        if (page != first || chunk.taken.end_before(first) == first) return page;
        const std::size_t end = end_of_free(chunk, first);  // it starts before the group
        return end == pages_per_chunk ? end : chunk.taken.first_from(end, false);
    }

    /// Behind the last page of the hole that `page` lies in.
    [[nodiscard]] static std::size_t end_of_free(const Chunk& chunk, std::size_t page) noexcept {
        return page >= chunk.end_of_taken ? pages_per_chunk : chunk.taken.first_from(page, true);
    }

    void take(Chunk& chunk, std::size_t page, std::size_t pages) noexcept {
        chunk.taken.set(page, pages);
        idle_pages_number_ -= chunk.touched.number(page, pages);  // [G4]
        chunk.taken_number += pages;
        taken_pages_number_ += pages;
        if (page + pages > chunk.end_of_taken) chunk.end_of_taken = page + pages;  // [G6]
        if (&chunk == kept_) kept_ = nullptr;                                      // [G5]
        if (taken_pages_number_ + idle_pages_number_ > peak_pages_number_) new_peak();
    }

    void give_to(Chunk& chunk, std::size_t page, std::size_t pages) noexcept {
        chunk.taken.clear(page, pages);
        chunk.touched.set(page, pages);
        idle_pages_number_ += pages;
        chunk.taken_number -= pages;
        taken_pages_number_ -= pages;
        const std::size_t start_of_hole = chunk.taken.end_before(page);
        if (page + pages == chunk.end_of_taken) chunk.end_of_taken = start_of_hole;  // [G6]
        note_hole(chunk, start_of_hole, end_of_free(chunk, page));
        if (chunk.huge != 0) no_more_huge(chunk, page, pages);
        if (chunk.taken_number != 0) return;
        if (kept_ != nullptr) give_back(*kept_);
        kept_ = &chunk;
    }

    void note_hole(Chunk& chunk, std::size_t page, std::size_t end) noexcept {  // [G3]
        if (page == end) return;
        std::uint32_t& longest = chunk.longest[page / pages_per_group];
        if (end - page > longest) longest = static_cast<std::uint32_t>(end - page);
    }

    void settle() noexcept {
        const std::size_t most =
            taken_pages_number_ < least_idle_pages ? least_idle_pages : taken_pages_number_;
        if (idle_pages_number_ > most && may_discard()) discard_idle_pages(most / 2);
    }
    [[nodiscard]] bool may_discard() const noexcept { return idle_pages_number_ / 2 >= refused_; }

    /// Of what is taken now, all that is fresh will be resident.
    [[gnu::noinline]] void new_peak() noexcept {
        if (idle_pages_number_ > taken_pages_number_ / idle_share_at_peak && may_discard())
            discard_idle_pages(0);
        const std::size_t resident = taken_pages_number_ + idle_pages_number_;
        if (resident > peak_pages_number_) peak_pages_number_ = resident;
    }

    /// But `left` of them, the lowest, which are taken next.
    [[gnu::noinline]] void discard_idle_pages(std::size_t left) noexcept {
        const std::size_t most_left = left;
        for (Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
            for (std::size_t page = 0; page < pages_per_chunk;) {
                const std::size_t start = chunk->taken.first_from(page, false);
                page = chunk->taken.first_from(start, true);
                discard(*chunk, behind_idle(*chunk, start, page, left), page);
            }
        }
        refused_ = idle_pages_number_ - (most_left - left);
    }
    /// Passes over at most `number` idle pages, which it takes off, of the hole from `page` to
    /// `end`. Returns: where it came to.
    [[nodiscard]] static std::size_t behind_idle(const Chunk& chunk, std::size_t page,
                                                 std::size_t end, std::size_t& number) noexcept {
        while (number > 0 && (page = chunk.touched.first_from(page, true)) < end) {
            ++page;
            --number;
        }
        return page;
    }
    /// What is touched of the hole from `page` to `end`.
    void discard(Chunk& chunk, std::size_t page, std::size_t end) noexcept {
        while ((page = chunk.touched.first_from(page, true)) < end) {
            const std::size_t fresh = chunk.touched.first_from(page, false);
            const std::size_t pages = (fresh < end ? fresh : end) - page;
            if (pages_.discard(chunk.start + page * page_size, pages * page_size)) {
                chunk.touched.clear(page, pages);
                idle_pages_number_ -= pages;  // [G4]
            }
            page += pages;
        }
    }

    // ---- Huge pages -----------------------------------------------------------------------------

    static_assert(groups_number <= 64, "FirstFitPages: a chunk has at most 64 groups");

    /// The groups that lie in these pages as a whole.
    [[gnu::noinline]] void advise_huge_pages(Chunk& chunk, std::size_t page,
                                             std::size_t pages) noexcept {
        const std::size_t first = divide_up(page, pages_per_group);
        const std::size_t end = (page + pages) / pages_per_group;
        chunk.huge |= bits_below(end) & ~bits_below(first);
        advise(chunk, first, end - first, true);
    }
    /// Of a group of which a page was given back, or of all of them.
    [[gnu::noinline]] void no_more_huge(Chunk& chunk, std::size_t page,
                                        std::size_t pages) noexcept {
        const std::size_t first = page / pages_per_group;
        const std::size_t end = divide_up(page + pages, pages_per_group);
        const std::uint64_t huge = chunk.huge & bits_below(end) & ~bits_below(first);
        if (huge == 0) return;
        chunk.huge &= ~huge;  // [G7]
        advise(chunk, lowest_bit(huge), highest_bit(huge) + 1 - lowest_bit(huge), false);
        discard(chunk, page, page + pages);
    }
    void advise(Chunk& chunk, std::size_t group, std::size_t groups, bool huge) noexcept {
        constexpr std::size_t group_size = pages_per_group * page_size;
        pages_.advise_huge_pages(chunk.start + group * group_size, groups * group_size, huge);
    }

    // ---- Chunks ---------------------------------------------------------------------------------

    /// Born whole or not at all.
    [[nodiscard, gnu::noinline]] Chunk* new_chunk() noexcept {
        void* const memory = pages_.alloc_slab(chunk_size, chunk_size);
        if (memory == nullptr) return nullptr;
        void* const record = pages_.alloc_slab(record_size, page_size);
        if (record == nullptr) {
            pages_.free_slab(memory, chunk_size, chunk_size);
            return nullptr;
        }
        Chunk& chunk = *::new (record) Chunk;
        chunk.start = static_cast<std::byte*>(memory);
        note_hole(chunk, 0, pages_per_chunk);
        Chunk** last = &first_;  // the older ones are filled first
        while (*last != nullptr)
            last = &(*last)->next;
        *last = &chunk;
        bytes_held_ += chunk_size;
        return &chunk;
    }

    void give_back(Chunk& chunk) noexcept {
        if (&chunk == kept_) kept_ = nullptr;
        void* const memory = chunk.start;
        idle_pages_number_ -= chunk.touched.number(0, pages_per_chunk);  // all of them are free
        Chunk** place = &first_;
        while (*place != &chunk)
            place = &(*place)->next;
        *place = chunk.next;
        pages_.free_slab(&chunk, record_size, page_size);
        bytes_held_ -= chunk_size;
        pages_.free_slab(memory, chunk_size, chunk_size);
    }

    [[no_unique_address]] Pages pages_{};
    Chunk* first_ = nullptr;
    Chunk* kept_ = nullptr;  // [G5]
    std::size_t bytes_held_ = 0;
    std::size_t taken_pages_number_ = 0;
    std::size_t idle_pages_number_ = 0;  // [G4]
    std::size_t peak_pages_number_ = 0;  // of both together
    std::size_t refused_ = 0;            // idle pages that could not be discarded, the last time
};

template <DiscardingSource Pages, std::size_t chunk_size>
inline constexpr bool bears_threads<FirstFitPages<Pages, chunk_size>> = false;

}  // namespace slab_allocator
