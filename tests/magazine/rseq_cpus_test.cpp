#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/rseq.hpp>
#include <slab_allocator/magazine/rseq_cpus.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::CpuPolicy;
using slab_allocator::Defect;
using slab_allocator::MagazineCache;
using slab_allocator::NoSequences;
using slab_allocator::RseqCpus;
using slab_allocator::Sequences;

namespace {

using Unchecked = MaskRow<64, Checks::none>;
using Checked = MaskRow<64>;

template <typename Row, typename Cpus>
using CacheOn =
    MagazineCache<typename Row::Type, typename Row::Backend, Cpus, std::mutex, Row::config>;

using Here = RseqCpus<>;                       // CPUs, where the kernel and the C library can
using OldLibrary = RseqCpus<64, NoSequences>;  // threads
using TooFewSlots = RseqCpus<1>;               // of which one CPU, or one thread, has one
using Combinations = std::tuple<CacheOn<Unchecked, Here>, CacheOn<Checked, Here>,
                                CacheOn<Checked, OldLibrary>, CacheOn<Unchecked, TooFewSlots>>;

static_assert(CpuPolicy<Here> && CpuPolicy<OldLibrary>);

/// Moves the calling thread to another CPU now and then, where there is one.
void wander(Random& random) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(random.below(2), &set);
    static_cast<void>(::sched_setaffinity(0, sizeof set, &set));
}

}  // namespace

TEST_CASE("slots are those of CPUs where the C library registers its threads", "[rseq]") {
    const char* const tunables = std::getenv("GLIBC_TUNABLES");
    if (tunables != nullptr &&
        std::string_view(tunables).find("rseq=0") != std::string_view::npos) {
        REQUIRE(!Here::per_cpu());
    }
    if (std::getenv("SLAB_ALLOCATOR_TEST_NO_RSEQ") != nullptr) REQUIRE(!Here::per_cpu());
    if (Here::per_cpu()) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(0, &set);
        REQUIRE(::sched_setaffinity(0, sizeof set, &set) == 0);
        REQUIRE(Sequences::cpu() == 0);
        CPU_SET(1, &set);
        static_cast<void>(::sched_setaffinity(0, sizeof set, &set));
    }
    REQUIRE(!OldLibrary::per_cpu());
}

TEMPLATE_LIST_TEST_CASE("threads that wander from CPU to CPU never share an object",
                        "[rseq][threads]", Combinations) {
    DefectCatcher catcher;
    TestMemory memory;
    {
        TestType cache(Checked::backend(memory));
        Exchange exchange(cache, 150);
        std::atomic<std::size_t> running = 6;
        in_threads(8, [&](std::size_t thread) {
            Random random(seed() + 100 + thread);
            if (thread < 6) {
                for (std::size_t round = 0; round < 20; ++round) {
                    wander(random);
                    exchange.run(thread, 1000);
                }
                --running;
                return;
            }
            while (running > 0) {  // empties the slots of all CPUs meanwhile
                wander(random);
                static_cast<void>(cache.shrink_to_fit());
                std::this_thread::yield();
            }
        });
        REQUIRE(exchange.end());
        REQUIRE(cache.validate().defect == Defect::None);
        REQUIRE(cache.statistics().allocated_objects_number == 0);
        static_cast<void>(cache.shrink_to_fit());
        REQUIRE(cache.statistics().slabs_number() == 0);
        if (Here::per_cpu() && std::is_same_v<typename TestType::cpus_type, Here>) {
            REQUIRE(memory.live_slabs() == 0);  // no magazine is left behind
        }
    }
    REQUIRE(catcher.number() == 0);
}

TEST_CASE("however many threads there are, CPUs have the magazines", "[rseq][threads]") {
    if (!Here::per_cpu()) return;
    TestMemory memory;
    CacheOn<Checked, Here> cache(Checked::backend(memory));
    for (std::size_t round = 0; round < 20; ++round) {
        in_threads(100, [&](std::size_t) {
            Checked::Type* objects[10];
            if (!cache.alloc_bulk(objects)) return;
            cache.free_bulk(objects);
        });
    }
    // Two magazines of each CPU, and what the depot keeps: not what 100 threads would hold.
    REQUIRE(memory.live_slabs() < 60);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("on a CPU, what one thread freed the next one has", "[rseq][threads]") {
    if (!Here::per_cpu()) return;
    TestMemory memory;
    CacheOn<Checked, Here> cache(Checked::backend(memory));
    const auto on_cpu_0 = [](auto body) {
        in_another_thread([&] {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(0, &set);
            static_cast<void>(::sched_setaffinity(0, sizeof set, &set));
            body();
        });
    };
    Checked::Type* freed = nullptr;
    Checked::Type* found = nullptr;
    on_cpu_0([&] { cache.free(cache.alloc()); });
    on_cpu_0([&] { cache.free(freed = cache.alloc()); });
    on_cpu_0([&] { cache.free(found = cache.alloc()); });
    REQUIRE(freed != nullptr);
    REQUIRE(found == freed);
}
