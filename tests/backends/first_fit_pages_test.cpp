// first_fit_pages_test.cpp -- the promises of first_fit_pages.hpp.

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/first_fit_pages.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/random.hpp>

using namespace slab_promises;

namespace {

/// Fresh memory is zero, and what is discarded becomes fresh.
class ZeroPages : public CountingPages {
public:
    [[nodiscard]] void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        void* const slab = CountingPages::alloc_slab(slab_size, slab_alignment);
        if (slab != nullptr) std::memset(slab, 0, slab_size);
        return slab;
    }
    /// Where `refusals` has a bit for this call, the pages stay as they are.
    bool discard(void* start, std::size_t size) noexcept {
        const bool refused = (refusals & 1) != 0;
        refusals = refusals >> 1 | (refuses_always ? 1 : 0);
        ++discards_number;
        if (refused) return false;
        std::memset(start, 0, size);
        discarded_bytes += size;
        return true;
    }

    /// Not advised twice, and taken back where it was given.
    void advise_huge_pages(void* start, std::size_t size, bool wanted) noexcept {
        if (!is_aligned(start, 512 * page) || size == 0 || size % (512 * page) != 0)
            ++mistakes_number;
        huge_bytes += wanted ? size : 0 - size;
    }

    std::size_t discarded_bytes = 0;
    std::size_t huge_bytes = 0;
    std::size_t discards_number = 0;
    std::uint64_t refusals = 0;
    bool refuses_always = false;
};

constexpr std::size_t chunk_size = 4 * mebibyte;
using Pages = FirstFitPages<BackendRef<ZeroPages>, chunk_size>;

struct Piece {
    std::byte* start;
    std::size_t pages;
};

bool all_are(const Piece& piece, std::byte value) {
    const std::size_t bytes = piece.pages * page;
    return piece.start[0] == value && std::memcmp(piece.start, piece.start + 1, bytes - 1) == 0;
}

}  // namespace

TEST_CASE("first fit: a source of slabs that resizes, and nothing else", "[first_fit_pages]") {
    STATIC_REQUIRE(SlabSource<Pages>);
    STATIC_REQUIRE(DiscardingSource<MmapPages>);
    STATIC_REQUIRE_FALSE(DiscardingSource<CountingPages>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<Pages>);
    STATIC_REQUIRE_FALSE(backend_has::get_slab_info_ptr<Pages>);
}

TEST_CASE("first fit: slabs of every size and alignment are aligned, disjoint and writable",
          "[first_fit_pages]") {
    ZeroPages source;
    {
        Pages pages{source};
        serve_every_size_and_alignment(pages, 4 * mebibyte, 4 * mebibyte);
    }
    REQUIRE(source.live_number() == 0);
    REQUIRE(source.mistakes_number == 0);
}

TEST_CASE("first fit: slabs of all sizes in random order are disjoint, and all chunks go back",
          "[first_fit_pages]") {
    const unsigned seed = GENERATE(1U, 2U, 3U);
    ZeroPages source;
    {
        Pages pages{source};
        serve_at_random(pages, seed, 11, 8, 120, false);
        REQUIRE(pages.bytes_held() <= chunk_size);
        pages.trim();
        REQUIRE(pages.bytes_held() == 0);
        REQUIRE(source.live_number() == 0);
    }
    REQUIRE(source.mistakes_number == 0);
}

TEST_CASE("first fit: any number of pages, and the lowest that are large enough",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    const auto take = [&](std::size_t number, std::size_t alignment = page) {
        return static_cast<std::byte*>(pages.alloc_slab(number * page, alignment));
    };
    std::byte* const first = take(3);
    REQUIRE(take(9) == first + 3 * page);
    REQUIRE(take(1) == first + 12 * page);
    REQUIRE(take(2, 4 * page) == first + 16 * page);  // three are left before it
    REQUIRE(take(4) == first + 18 * page);
    REQUIRE(take(3) == first + 13 * page);
    pages.free_slab(first + 3 * page, 9 * page, page);
    REQUIRE(take(10) == first + 22 * page);
    REQUIRE(take(4, 4 * page) == first + 4 * page);
    REQUIRE(take(1) == first + 3 * page);
    REQUIRE(take(4) == first + 8 * page);
    REQUIRE(take(500) == first + 32 * page);  // over the border of a group, and of words
    REQUIRE(source.live_number(chunk_size) == 1);
    REQUIRE(take(493) != nullptr);  // no room
    REQUIRE(source.live_number(chunk_size) == 2);
    REQUIRE(take(490) == first + 532 * page);
    REQUIRE(take(2) == first + 1022 * page);  // to the last page
}

TEST_CASE("first fit: a slab grows into what is free behind it, and shrinks", "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(10 * page, page));
    auto* const next = static_cast<std::byte*>(pages.alloc_slab(page, page));
    REQUIRE(next == slab + 10 * page);
    REQUIRE_FALSE(pages.resize_slab(slab, 10 * page, 11 * page, page));
    REQUIRE(pages.resize_slab(slab, 10 * page, 9 * page + 1, page));
    REQUIRE(pages.resize_slab(slab, 10 * page, 4 * page, page));
    auto* const between = static_cast<std::byte*>(pages.alloc_slab(2 * page, page));
    REQUIRE(between == slab + 4 * page);
    REQUIRE_FALSE(pages.resize_slab(slab, 4 * page, 5 * page, page));
    pages.free_slab(between, 2 * page, page);
    pages.free_slab(next, page, page);
    REQUIRE(pages.resize_slab(slab, 4 * page, 500 * page, page));
    auto* const behind = static_cast<std::byte*>(pages.alloc_slab(page, page));
    REQUIRE(behind == slab + 500 * page);
    REQUIRE_FALSE(pages.resize_slab(slab, 500 * page, 8 * chunk_size, page));
    pages.free_slab(behind, page, page);
    pages.free_slab(slab, 500 * page, page);
    REQUIRE(defect_of([&] { pages.free_slab(slab, page, page); }) == Defect::DoubleFree);
}

TEST_CASE("first fit: what is the source's own is not resized, nor is what nobody knows",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    void* const large = pages.alloc_slab(chunk_size, page);
    REQUIRE(source.live_number() == 1);
    REQUIRE_FALSE(pages.resize_slab(large, chunk_size, page, page));
    REQUIRE(pages.is_fresh(large, chunk_size));  // by the source, all that it gives is
    std::byte foreign[16];
    REQUIRE_FALSE(pages.resize_slab(foreign, page, 2 * page, page));
    pages.free_slab(large, chunk_size, page);
    REQUIRE(source.live_number() == 0);
}

TEST_CASE("first fit: a slab of no bytes has a page, and is freed like any other",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(0, page));
    REQUIRE(slab != nullptr);
    REQUIRE(pages.alloc_slab(page, page) == slab + page);
    pages.free_slab(slab, 0, page);
    REQUIRE(pages.alloc_slab(page, page) == slab);
}

TEST_CASE("first fit: a hole at the end of a chunk in which no slab of that alignment starts",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    constexpr std::size_t chunk_pages = chunk_size / page;
    auto* const first = static_cast<std::byte*>(pages.alloc_slab(500 * page, page));
    REQUIRE(pages.alloc_slab(300 * page, page) == first + 500 * page);
    constexpr std::size_t rest = (chunk_pages - 811) * page;
    REQUIRE(pages.alloc_slab(rest, page) == first + 800 * page);  // 11 pages are left at the end
    auto* const aligned = static_cast<std::byte*>(pages.alloc_slab(9 * page, 8 * page));
    REQUIRE(source.live_number(chunk_size) == 2);
    REQUIRE((aligned < first || aligned >= first + chunk_size));
    REQUIRE(pages.alloc_slab(11 * page, page) == first + (chunk_pages - 11) * page);
}

TEST_CASE("first fit: a hole that has grown down into the group before is found there alone",
          "[first_fit_pages]") {
    constexpr std::size_t size = 16 * mebibyte;  // eight groups of 512 pages
    ZeroPages source;
    FirstFitPages<BackendRef<ZeroPages>, size> pages{source};
    std::vector<std::byte*> slabs;
    for (std::size_t number = 0; number < 8; ++number)
        slabs.push_back(static_cast<std::byte*>(pages.alloc_slab(450 * page, page)));
    REQUIRE(slabs[7] == slabs[0] + 7 * 450 * page);  // a hole from page 3600 on, in the last group
    pages.free_slab(slabs[7], 450 * page, page);     // and now from page 3150, to the end
    auto* const aligned = static_cast<std::byte*>(pages.alloc_slab(page, size / 2));
    REQUIRE((aligned < slabs[0] || aligned >= slabs[0] + size));
    REQUIRE(pages.alloc_slab(450 * page, page) == slabs[7]);
    REQUIRE(pages.alloc_slab(450 * page, page) == slabs[7] + 450 * page);
}

TEST_CASE("first fit: what is fresh is zero, whatever was taken, resized and given back before",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    support::Random random(7);
    std::vector<Piece> live;
    std::size_t fresh = 0;
    for (std::size_t round = 0; round < 6'000; ++round) {
        const std::size_t wanted = 1 + random.below(random.one_in(20) ? 400 : 12);
        if (live.size() < 90 && random.below(100) < 52) {
            const Piece piece{static_cast<std::byte*>(pages.alloc_slab(wanted * page, page)),
                              wanted};
            REQUIRE(piece.start != nullptr);
            if (pages.is_fresh(piece.start, wanted * page)) {
                ++fresh;
                REQUIRE(all_are(piece, std::byte{0}));
            }
            std::memset(piece.start, 1 + static_cast<int>(wanted % 255), wanted * page);
            live.push_back(piece);
        } else if (!live.empty()) {
            const std::size_t rank = random.below(live.size());
            Piece& piece = live[rank];
            REQUIRE(all_are(piece, static_cast<std::byte>(1 + piece.pages % 255)));
            if (random.one_in(3) &&
                pages.resize_slab(piece.start, piece.pages * page, wanted * page, page)) {
                piece.pages = wanted;
                std::memset(piece.start, 1 + static_cast<int>(wanted % 255), wanted * page);
            } else {
                pages.free_slab(piece.start, piece.pages * page, page);
                live[rank] = live.back();
                live.pop_back();
            }
        }
    }
    REQUIRE(fresh > 50);
    REQUIRE(source.discarded_bytes > 0);
    for (const Piece& piece : live)
        pages.free_slab(piece.start, piece.pages * page, page);
    pages.trim();
    REQUIRE(source.live_number() == 0);
    REQUIRE(source.mistakes_number == 0);
}

TEST_CASE("first fit: idle pages are few, or no more than are taken, or the higher ones go",
          "[first_fit_pages]") {
    constexpr std::size_t slabs_number = 2'000;
    ZeroPages source;
    Pages pages{source};
    std::vector<unsigned char*> slabs;
    for (std::size_t number = 0; number < slabs_number; ++number) {
        slabs.push_back(static_cast<unsigned char*>(pages.alloc_slab(page, page)));
        *slabs.back() = 1;
    }
    const auto idle = [&] { return pages.idle_bytes() / page; };
    std::size_t freed = 0;
    const auto free_one = [&] {  // the even ones from the middle on, then the others
        pages.free_slab(slabs[(slabs_number / 2 + 2 * freed) % slabs_number], page, page);
        ++freed;
    };
    while (freed < slabs_number / 2) {
        free_one();
        REQUIRE(idle() == freed);
    }
    REQUIRE(source.discarded_bytes == 0);
    pages.free_slab(slabs[1], page, page);
    const std::size_t left = (slabs_number / 2 - 1) / 2;
    REQUIRE(idle() == left);
    REQUIRE(source.discarded_bytes == (slabs_number / 2 + 1 - left) * page);
    REQUIRE(*slabs[2 * (left - 2)] == 1);  // one odd one is before it
    REQUIRE(*slabs[2 * (left - 1)] == 0);
    for (std::size_t number = 3; number < slabs_number; number += 2) {
        pages.free_slab(slabs[number], page, page);
        const std::size_t taken = (slabs_number - 1 - number) / 2;
        REQUIRE((idle() <= Pages::least_idle_pages || idle() <= taken));
    }
    const std::size_t before = idle();
    REQUIRE(before > 0);
    REQUIRE(pages.trim() >= before * page);
    REQUIRE(idle() == 0);
}

TEST_CASE("first fit: where more pages would be resident than ever, few of them lie idle",
          "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    std::vector<void*> slabs;
    for (std::size_t number = 0; number < 400; ++number)
        slabs.push_back(pages.alloc_slab(page, page));
    for (std::size_t number = 0; number < slabs.size(); number += 2)
        pages.free_slab(slabs[number], page, page);
    REQUIRE(pages.idle_bytes() == 200 * page);
    REQUIRE(pages.peak_bytes() == 400 * page);
    void* const small = pages.alloc_slab(page, page);  // one that lies idle: no more than ever
    REQUIRE(pages.idle_bytes() == 199 * page);
    REQUIRE(source.discarded_bytes == 0);
    void* const fresh = pages.alloc_slab(2 * page, page);  // no hole is as large
    REQUIRE(pages.idle_bytes() == 0);
    REQUIRE(source.discarded_bytes == 199 * page);
    REQUIRE(pages.peak_bytes() == 400 * page);
    void* const more = pages.alloc_slab(300 * page, page);
    REQUIRE(pages.peak_bytes() == 503 * page);
    pages.free_slab(more, 150 * page, page);  // a part of it
    void* const other = pages.alloc_slab(151 * page, page);
    REQUIRE(source.discarded_bytes == 199 * page);  // fewer than half of those that are taken
    REQUIRE(pages.peak_bytes() == 654 * page);
    pages.free_slab(other, 151 * page, page);
    static_cast<void>(pages.alloc_slab(402 * page, page));
    pages.free_slab(fresh, 2 * page, page);
    pages.free_slab(small, page, page);
}

TEST_CASE("first fit: a slab as large as a huge page has its whole ones, until it gives one back",
          "[first_fit_pages]") {
    constexpr std::size_t huge = 512;  // pages
    ZeroPages source;
    FirstFitPages<BackendRef<ZeroPages>, 2 * chunk_size> pages{source};
    void* const small = pages.alloc_slab(511 * page, page);
    REQUIRE(source.huge_bytes == 0);
    pages.free_slab(small, 511 * page, page);
    void* const first = pages.alloc_slab(page, page);
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(huge * page, page));
    REQUIRE(is_aligned(slab, huge * page));
    REQUIRE(source.huge_bytes == huge * page);
    pages.trim();
    source.discarded_bytes = 0;
    pages.free_slab(slab, huge * page, page);
    REQUIRE(source.huge_bytes == 0);
    REQUIRE(source.discarded_bytes == huge * page);  // at once
    REQUIRE(pages.idle_bytes() == 0);

    REQUIRE(pages.alloc_slab((huge + 1) * page, page) == slab);
    REQUIRE(source.huge_bytes == huge * page);  // the last page is none of a huge one
    REQUIRE(pages.resize_slab(slab, (huge + 1) * page, huge * page, page));
    REQUIRE(source.huge_bytes == huge * page);
    REQUIRE(pages.resize_slab(slab, huge * page, (huge - 1) * page, page));
    REQUIRE(source.huge_bytes == 0);
    REQUIRE(pages.is_fresh(slab + (huge - 1) * page, page));
    pages.free_slab(slab, (huge - 1) * page, page);
    REQUIRE(source.huge_bytes == 0);  // not taken back twice
    pages.free_slab(first, page, page);
    REQUIRE(source.mistakes_number == 0);
}

TEST_CASE("first fit: what is none of its slabs is refused", "[first_fit_pages]") {
    ZeroPages source;
    Pages pages{source};
    static std::byte foreign[16];
    auto* const slab = static_cast<std::byte*>(pages.alloc_slab(8 * page, page));
    const auto of_free = [&](std::byte* start, std::size_t bytes) {
        return defect_of([&] { pages.free_slab(start, bytes, page); });
    };
    REQUIRE(of_free(foreign, page) == Defect::ForeignPointer);
    REQUIRE(of_free(slab + 16, page) == Defect::ForeignPointer);
    REQUIRE(of_free(slab + 9 * page, page) == Defect::DoubleFree);
    REQUIRE(of_free(slab, 9 * page) == Defect::DoubleFree);
    REQUIRE(of_free(slab + chunk_size - page, 2 * page) == Defect::ForeignPointer);  // over its end
    REQUIRE(of_free(slab, 8 * page) == Defect::None);
    REQUIRE(of_free(slab, 8 * page) == Defect::DoubleFree);
}

TEST_CASE("first fit: whatever call the source refuses, nothing is lost", "[first_fit_pages]") {
    const std::size_t size = GENERATE(as<std::size_t>{}, 4096, 65536, 4 * mebibyte);
    std::size_t refusals = 0;
    for (std::size_t refused = 0;; ++refused) {
        CAPTURE(size, refused);
        ZeroPages source;
        Pages pages{source};
        source.refused_request = refused;
        void* slab = pages.alloc_slab(size, page);
        if (source.requests_number <= refused) {
            REQUIRE(slab != nullptr);
            pages.free_slab(slab, size, page);
            break;
        }
        ++refusals;
        REQUIRE(slab == nullptr);
        REQUIRE(source.live_number() == 0);
        slab = pages.alloc_slab(size, page);
        REQUIRE(slab != nullptr);
        pages.free_slab(slab, size, page);
        pages.trim();
        REQUIRE(source.live_number() == 0);
    }
    REQUIRE(refusals > 0);
}

namespace {

/// Takes and gives back pieces, and looks at every byte that must be as it was, or zero.
template <typename Source>
class Pieces {
public:
    explicit Pieces(Source& source) : source_(source) {}

    /// Returns: false where a fresh page is not zero.
    bool take(std::size_t number) {
        auto* const start = static_cast<std::byte*>(source_.alloc_slab(number * page, page));
        if (start == nullptr) return true;
        const bool fresh = source_.is_fresh(start, number * page);
        const bool right = !fresh || all_are({start, number}, std::byte{0});
        std::memset(start, static_cast<int>(++last_value_ % 255 + 1), number * page);
        pieces_.push_back({start, number});
        return right;
    }
    /// Returns: false where a taken page is not as its owner left it.
    bool give(std::size_t index) {
        if (pieces_.empty()) return true;
        const Piece piece = pieces_[index % pieces_.size()];
        pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(index % pieces_.size()));
        const bool right = all_are(piece, piece.start[0]) && piece.start[0] != std::byte{0};
        source_.free_slab(piece.start, piece.pages * page, page);
        return right;
    }
    void give_all() {
        while (!pieces_.empty())
            REQUIRE(give(0));
    }

private:
    Source& source_;
    std::vector<Piece> pieces_;
    unsigned last_value_ = 0;
};

}  // namespace

TEST_CASE("first fit: whichever discard the source refuses, what is fresh is zero",
          "[first_fit_pages]") {
    constexpr unsigned calls = 5;
    constexpr unsigned kinds = 6;
    constexpr unsigned sequences = 7776;  // all of that length
    STATIC_REQUIRE(sequences == kinds * kinds * kinds * kinds * kinds);
    std::size_t refused = 0;
    for (unsigned sequence = 0; sequence < sequences; ++sequence) {
        for (const unsigned refusals : {0b1U, 0b10U, 0b101U, 0b111U}) {
            ZeroPages source;
            source.refusals = refusals;
            {
                FirstFitPages<BackendRef<ZeroPages>, 64 * page> pages{source};
                Pieces pieces(pages);
                bool right = true;
                for (unsigned call = 0, rest = sequence; call < calls; ++call, rest /= kinds) {
                    switch (rest % kinds) {
                        case 0:
                            right = right && pieces.take(1);
                            break;
                        case 1:
                            right = right && pieces.take(3);
                            break;
                        case 2:
                            right = right && pieces.take(20);
                            break;
                        case 3:
                            right = right && pieces.give(0);
                            break;
                        case 4:
                            right = right && pieces.give(1);
                            break;
                        default:
                            pages.trim();
                            break;
                    }
                }
                CAPTURE(sequence, refusals);
                REQUIRE(right);
                pieces.give_all();
                refused += source.refusals < refusals ? 1 : 0;
            }
            REQUIRE(source.live_number() == 0);
            REQUIRE(source.mistakes_number == 0);
        }
    }
    REQUIRE(refused > 1000);
}

TEST_CASE("first fit: a source that refuses all discards is not asked at every free",
          "[first_fit_pages]") {
    ZeroPages source;
    source.refusals = 1;
    source.refuses_always = true;
    Pages pages{source};
    Pieces pieces(pages);
    support::Random random(1);
    for (int step = 0; step < 3000; ++step) {
        const std::size_t number = random.below(40) + 1;
        REQUIRE((random.below(2) == 0 ? pieces.take(number) : pieces.give(number)));
    }
    pieces.give_all();
    REQUIRE(source.discards_number > 0);
    REQUIRE(source.discarded_bytes == 0);
    REQUIRE(source.discards_number < 1000);
    REQUIRE(pages.idle_bytes() > 0);

    source.refusals = 0;
    source.refuses_always = false;
    pages.trim();
    REQUIRE(pages.idle_bytes() == 0);
    REQUIRE(pieces.take(100));
    pieces.give_all();
}

namespace {

/// Random pieces of real memory, trimmed now and then. Returns: whether all was as it must be.
bool real_pages_are_right() {
    using Mapped = FirstFitPages<MmapPages, 4 * mebibyte>;
    Mapped pages;
    Pieces<Mapped> pieces(pages);
    support::Random random(2);
    for (int step = 0; step < 2000; ++step) {
        if (step % 100 == 99) pages.trim();
        const std::size_t number = random.below(40) + 1;
        if (!(random.below(2) == 0 ? pieces.take(number) : pieces.give(number))) return false;
    }
    pieces.give_all();
    return true;
}

}  // namespace

TEST_CASE("first fit: whatever error the system answers a discard with, what is fresh is zero",
          "[first_fit_pages]") {
    REQUIRE(real_pages_are_right());
    for (const int error : {EINVAL, EPERM, ENOSYS, ENOMEM, EAGAIN, EACCES, EBADF, EFAULT, EIO}) {
        CAPTURE(error);
        REQUIRE(support::in_child([&] {
            return support::refuse_system_call(SYS_madvise, 2, MADV_DONTNEED,
                                               static_cast<std::uint32_t>(error)) &&
                   real_pages_are_right();
        }));
    }
}

TEST_CASE(
    "first fit: pages that the system may not take back, since they are locked, are not fresh",
    "[first_fit_pages]") {
    // A page is locked for as long as it is mapped: its next owner knows nothing of that.
    FirstFitPages<MmapPages, 4 * mebibyte> pages;
    void* const other = pages.alloc_slab(page, page);
    void* const slab = pages.alloc_slab(4 * page, page);
    REQUIRE(slab != nullptr);
    if (::mlock(slab, page) != 0) {
        WARN("this user may lock no memory: not tested");
        return;
    }
    std::memset(slab, 7, 4 * page);
    pages.free_slab(slab, 4 * page, page);
    pages.trim();
    REQUIRE(pages.alloc_slab(4 * page, page) == slab);
    REQUIRE((!pages.is_fresh(slab, 4 * page) || all_are({static_cast<std::byte*>(slab), 4}, {})));
    pages.free_slab(slab, 4 * page, page);
    pages.free_slab(other, page, page);

    REQUIRE(support::in_child([] {  // all of the future, too, where that is allowed
        ::mlockall(MCL_CURRENT | MCL_FUTURE);
        return real_pages_are_right();
    }));
}
