// slab_runs_test.cpp -- the promises of slab_runs.hpp.

#include <cstddef>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/slab_runs.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>

using namespace slab_promises;

namespace {

using Runs = SlabRuns<BackendRef<CountingPages>>;

constexpr std::size_t run_size = Runs::largest_run_size;

/// Frees what it was given, in this order.
void free_all(Runs& runs, const std::vector<void*>& slabs, std::size_t size) {
    for (void* slab : slabs)
        runs.free_slab(slab, size, size);
}

std::vector<void*> alloc_many(Runs& runs, std::size_t number, std::size_t size) {
    std::vector<void*> slabs;
    for (std::size_t done = 0; done < number; ++done)
        slabs.push_back(runs.alloc_slab(size, size));
    return slabs;
}

TEST_CASE("runs are a source of slabs and nothing else", "[slab_runs]") {
    STATIC_REQUIRE(SlabSource<Runs>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<Runs>);
    STATIC_REQUIRE_FALSE(backend_has::get_slab_info_ptr<Runs>);
}

TEST_CASE("slabs of every size and alignment are aligned, disjoint and writable", "[slab_runs]") {
    const std::size_t size = GENERATE(as<std::size_t>{}, run_size, 65536, 4096);
    CAPTURE(size);
    CountingPages pages;
    {
        Runs runs(pages, size);
        serve_every_size_and_alignment(runs, 4 * mebibyte, 4 * mebibyte);
    }
    REQUIRE(pages.live_number() == 0);
    REQUIRE(pages.mistakes_number == 0);
}

TEST_CASE("slabs of all sizes in random order are disjoint, and all runs go back", "[slab_runs]") {
    const unsigned seed = GENERATE(1U, 2U, 3U);
    CountingPages pages;
    {
        Runs runs(pages);
        serve_at_random(runs, seed, 11, 8, 120, false);
        REQUIRE(runs.bytes_held() <= run_size);
        runs.trim();
        REQUIRE(runs.bytes_held() == 0);
        REQUIRE(pages.live_number() == 0);
    }
    REQUIRE(pages.mistakes_number == 0);
}

TEST_CASE("a run is filled with slabs to its last byte before the next one is taken",
          "[slab_runs]") {
    const std::size_t size = GENERATE(as<std::size_t>{}, 4096, 65536, mebibyte);
    CountingPages pages;
    Runs runs(pages);
    const std::size_t per_run = run_size / size;
    auto slabs = alloc_many(runs, 3 * per_run, size);
    REQUIRE(pages.live_number(run_size) == 3);
    REQUIRE(runs.bytes_held() == 3 * run_size);
    free_all(runs, slabs, size);
}

TEST_CASE("records cost less than a hundredth of what they are for", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    auto slabs = alloc_many(runs, 8192, 4096);
    REQUIRE(pages.bytes <= 8192 * 4096 + 8192 * 4096 / 100);
    free_all(runs, slabs, 4096);
}

TEST_CASE("a run goes back as soon as it is free, and one is kept until trim", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    auto first = alloc_many(runs, 32, 65536);
    auto second = alloc_many(runs, 32, 65536);
    auto third = alloc_many(runs, 512, 4096);
    REQUIRE(pages.live_number(run_size) == 3);
    free_all(runs, first, 65536);
    REQUIRE(pages.live_number(run_size) == 3);
    free_all(runs, second, 65536);
    REQUIRE(pages.live_number(run_size) == 2);
    free_all(runs, third, 4096);
    REQUIRE(pages.live_number(run_size) == 1);
    REQUIRE(runs.bytes_held() == run_size);
    REQUIRE(runs.trim() == run_size);
    REQUIRE(pages.live_number() == 0);
    REQUIRE(runs.trim() == 0);
}

TEST_CASE("one slab to and fro at the border of a run asks for nothing", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    auto slabs = alloc_many(runs, 33, 65536);
    const std::size_t before = pages.requests_number;
    for (int repeated = 0; repeated < 100; ++repeated) {
        runs.free_slab(slabs.back(), 65536, 65536);
        slabs.back() = runs.alloc_slab(65536, 65536);
    }
    REQUIRE(pages.requests_number == before);
    free_all(runs, slabs, 65536);
}

TEST_CASE("a slab larger than a run goes back at once", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    void* const slab = runs.alloc_slab(2 * run_size, 4096);
    REQUIRE(runs.bytes_held() == 2 * run_size);
    runs.free_slab(slab, 2 * run_size, 4096);
    REQUIRE(runs.bytes_held() == 0);
}

TEST_CASE("slabs come from the run that was given to last, so that the others drain",
          "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    auto first = alloc_many(runs, 32, 65536);
    auto second = alloc_many(runs, 32, 65536);
    free_all(runs, {first[3], first[4], first[5]}, 65536);
    free_all(runs, {second[7]}, 65536);
    REQUIRE(runs.alloc_slab(65536, 65536) == second[7]);
    REQUIRE(runs.alloc_slab(65536, 65536) == first[3]);  // the lowest address first
    REQUIRE(runs.alloc_slab(65536, 65536) == first[4]);
}

TEST_CASE("whatever call the source refuses, nothing is lost and a later call succeeds",
          "[slab_runs]") {
    const std::size_t size = GENERATE(as<std::size_t>{}, 4096, 65536, 4 * mebibyte);
    std::size_t refusals = 0;
    for (std::size_t refused = 0;; ++refused) {
        CAPTURE(size, refused);
        CountingPages pages;
        Runs runs(pages);
        pages.refused_request = refused;
        void* slab = runs.alloc_slab(size, size);
        if (pages.requests_number <= refused) {
            REQUIRE(slab != nullptr);
            runs.free_slab(slab, size, size);
            break;
        }
        ++refusals;
        REQUIRE(slab == nullptr);
        REQUIRE(runs.bytes_held() == 0);
        runs.trim();
        REQUIRE(pages.live_number() == 0);
        slab = runs.alloc_slab(size, size);
        REQUIRE(slab != nullptr);
        runs.free_slab(slab, size, size);
        REQUIRE(pages.mistakes_number == 0);
    }
    REQUIRE(refusals == 3);  // the run, its record, the map
}

TEST_CASE("a refusal in the middle leaves every other slab as it was", "[slab_runs]") {
    CountingPages pages;
    {
        Runs runs(pages, 65536);
        Model<Runs> model(runs);
        std::size_t refused = 0;
        for (int slab = 0; slab < 2000; ++slab) {
            if (slab % 7 == 0) pages.refused_request = pages.requests_number;
            if (!model.alloc(4096, 4096)) ++refused;
        }
        REQUIRE(refused > 0);
        REQUIRE(model.size() + refused == 2000);
        model.free_all();
    }
    REQUIRE(pages.live_number() == 0);
    REQUIRE(pages.mistakes_number == 0);
}

TEST_CASE("a kept run is given back before a slab of another size is refused", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    runs.free_slab(runs.alloc_slab(4096, 4096), 4096, 4096);
    REQUIRE(runs.bytes_held() == run_size);
    pages.refused_request = pages.requests_number;
    void* const slab = runs.alloc_slab(65536, 65536);
    REQUIRE(slab != nullptr);
    REQUIRE(runs.bytes_held() == run_size);
    runs.free_slab(slab, 65536, 65536);
}

TEST_CASE("a free of what is no taken slab is reported, refused and changes nothing",
          "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    auto slabs = alloc_many(runs, 40, 65536);
    auto* const slab = static_cast<std::byte*>(slabs[1]);
    auto* const last = static_cast<std::byte*>(slabs[39]);
    runs.free_slab(slabs[2], 65536, 65536);
    static std::byte elsewhere[16];
    const std::size_t requests = pages.requests_number;
    const std::size_t live = pages.live_number();

    CHECK(defect_of([&] { runs.free_slab(slabs[2], 65536, 65536); }) == Defect::DoubleFree);
    // cut from its run, never handed out
    CHECK(defect_of([&] { runs.free_slab(last + 65536, 65536, 65536); }) == Defect::DoubleFree);
    for (void* wrong : {static_cast<void*>(slab + 4096), static_cast<void*>(slab + 1),
                        static_cast<void*>(elsewhere), static_cast<void*>(nullptr)}) {
        CHECK(defect_of([&] { runs.free_slab(wrong, 65536, 65536); }) == Defect::ForeignPointer);
    }
    for (std::size_t wrong_size : {std::size_t{4096}, std::size_t{32768}, 2 * std::size_t{65536},
                                   4 * mebibyte, ~std::size_t{0}}) {
        CHECK(defect_of([&] { runs.free_slab(slab, wrong_size, 4096); }) == Defect::ForeignPointer);
    }
    REQUIRE(pages.requests_number == requests);
    REQUIRE(pages.live_number() == live);
    REQUIRE(runs.alloc_slab(65536, 65536) == slabs[2]);
    CHECK(defect_of([&] { free_all(runs, slabs, 65536); }) == Defect::None);

    // its run is kept
    CHECK(defect_of([&] { runs.free_slab(slabs[39], 65536, 65536); }) == Defect::DoubleFree);
    runs.trim();
    // its run is gone
    CHECK(defect_of([&] { runs.free_slab(slabs[39], 65536, 65536); }) == Defect::ForeignPointer);
    void* const large = runs.alloc_slab(4 * mebibyte, 4096);
    CHECK(defect_of([&] {
              runs.free_slab(static_cast<std::byte*>(large) + 4096, 4 * mebibyte, 4096);
          }) == Defect::ForeignPointer);
    CHECK(defect_of([&] { runs.free_slab(large, 4 * mebibyte, 4096); }) == Defect::None);
}

TEST_CASE("slabs that are still taken go back with their source", "[slab_runs]") {
    CountingPages pages;
    {
        Runs runs(pages);
        for (std::size_t size = 4096; size <= 4 * mebibyte; size *= 2)
            REQUIRE(runs.alloc_slab(size, 4096) != nullptr);
    }
    REQUIRE(pages.live_number() == 0);
    REQUIRE(pages.mistakes_number == 0);
}

TEST_CASE("a size that no address space has is refused", "[slab_runs]") {
    CountingPages pages;
    Runs runs(pages);
    REQUIRE(runs.alloc_slab(~std::size_t{0}, 4096) == nullptr);
    REQUIRE(runs.alloc_slab((~std::size_t{0} >> 1) + 1, 4096) == nullptr);
    REQUIRE(runs.alloc_slab(4096, (~std::size_t{0} >> 1) + 1) == nullptr);
    REQUIRE(pages.requests_number == 0);
}

TEST_CASE("the run size is a power of two from a page to 2 MiB", "[slab_runs]") {
    CountingPages pages;
    REQUIRE(Runs(pages).run_size() == 2 * mebibyte);
    REQUIRE(Runs(pages, 1).run_size() == 4096);
    REQUIRE(Runs(pages, 100000).run_size() == 131072);
    REQUIRE(Runs(pages, 64 * mebibyte).run_size() == 2 * mebibyte);
}

}  // namespace

TEST_CASE("a slab smaller than a page has a page", "[slab_runs]") {
    slab_allocator::AlignedAllocBackend backend;
    void* const one = backend.alloc_slab(512, 512);
    void* const other = backend.alloc_slab(512, 256);
    REQUIRE(is_aligned(one, page));
    REQUIRE(is_aligned(other, page));
    REQUIRE(one != other);
    backend.free_slab(one, 512, 512);
    backend.free_slab(other, 512, 256);
}
