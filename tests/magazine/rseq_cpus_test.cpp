#include <sched.h>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif

#include <atomic>
#include <barrier>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/rseq.hpp>
#include <slab_allocator/magazine/rseq_cpus.hpp>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/defects.hpp>
#include <support/threads.hpp>

using namespace support;
using slab_allocator::CpuPolicy;
using slab_allocator::Defect;
using slab_allocator::MagazineCache;
using slab_allocator::NoSequences;
using slab_allocator::Reach;
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

/// Where there is no such CPU, the caller stays.
void run_on(std::size_t cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    static_cast<void>(::sched_setaffinity(0, sizeof set, &set));
}

/// Moves the calling thread to another CPU now and then, where there is one.
void wander(Random& random) { run_on(random.below(2)); }

/// What a sequence knows of a slot.
struct alignas(slab_allocator::cpu_slot_size) SlotOfTest {
    using Pointer = std::byte*;
    std::byte** top;
    std::byte** floor;
    std::byte** limit;
};

/// So that nothing that is left there passes for what it should be.
[[gnu::noinline]] void litter_the_stack() {
    volatile std::byte litter[256];
    for (volatile std::byte& byte : litter)
        byte = std::byte{0xa5};
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

TEST_CASE("a sequence that starts over takes and gives what it should", "[rseq][threads]") {
    if (!Here::per_cpu() || !Sequences::restart_all()) return;
    static std::byte* memory[4];
    static SlotOfTest slots[1];
    slots[0] = {.top = memory, .floor = memory, .limit = memory + 4};
    std::atomic<bool> ended = false;
    std::size_t wrong = 0;
    in_threads(2, [&](std::size_t thread) {
        run_on(thread);
        while (thread == 1 && !ended)  // where one is under way, it starts over
            static_cast<void>(Sequences::restart_all());
        if (thread == 1) return;
        static std::byte objects[4];
        for (std::size_t round = 0; round < 100'000; ++round) {
            for (std::byte& object : objects) {
                litter_the_stack();
                if (!Sequences::push<1>(slots, &object)) ++wrong;
            }
            for (std::size_t number = 4; number-- > 0;) {
                litter_the_stack();
                std::byte* object = nullptr;
                if (!Sequences::pop<1>(slots, object) || object != objects + number) ++wrong;
            }
        }
        ended = true;
    });
    REQUIRE(wrong == 0);
}

TEST_CASE("however many threads there are, CPUs have the magazines", "[rseq][threads]") {
    if (!Here::per_cpu()) return;
    TestMemory memory;
    CacheOn<Checked, Here> cache(Checked::backend(memory));
    std::mutex turn;  // else the objects of those that wait for a CPU in their turn count, too
    std::barrier all_are_there(100);
    in_threads(100, [&](std::size_t) {
        for (std::size_t round = 0; round < 20; ++round) {
            const std::lock_guard guard(turn);
            Checked::Type* objects[10];
            if (!cache.alloc_bulk(objects)) break;
            cache.free_bulk(objects);
        }
        all_are_there.arrive_and_wait();
    });
    // What the magazines of the CPUs hold, and the depot; those of threads would hold 27 slabs.
    REQUIRE(memory.live_slabs() <= 2 + 2 * std::thread::hardware_concurrency());
    REQUIRE(cache.statistics().allocated_objects_number == 0);
}

TEST_CASE("on a CPU, what one thread freed the next one has", "[rseq][threads]") {
    if (!Here::per_cpu()) return;
    TestMemory memory;
    CacheOn<Checked, Here> cache(Checked::backend(memory));
    const auto on_cpu_0 = [](auto body) {
        in_another_thread([&] {
            run_on(0);
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

// ---- A machine that the test plays --------------------------------------------------------------

namespace {

/// Sequences that never succeed, so that each call takes the slow path.
struct PlayedSequences {
    [[nodiscard]] static bool registered() noexcept { return is_registered; }
    [[nodiscard]] static std::size_t cpu() noexcept {
        ++asked;
        if (asked == moves_at) now = moves_to;
        return now;
    }
    template <std::size_t, typename Slot>
    [[nodiscard]] static bool pop(Slot*, typename Slot::Pointer&) noexcept {
        return false;
    }
    template <std::size_t, typename Slot>
    [[nodiscard]] static bool push(Slot*, typename Slot::Pointer) noexcept {
        return false;
    }
    [[nodiscard]] static bool restart_all() noexcept { return can_restart; }

    static void play(bool registers) {
        is_registered = registers;
        now = asked = moves_at = moves_to = 0;
        can_restart = true;
    }

    static inline bool is_registered = true;
    static inline bool can_restart = true;
    static inline std::size_t now = 0;
    static inline std::size_t asked = 0;
    static inline std::size_t moves_at = 0;  // at which question the thread is moved; 0: it is not
    static inline std::size_t moves_to = 0;
};

using PlayedMachine = RseqCpus<2, PlayedSequences>;
using OnPlayed = CacheOn<Checked, PlayedMachine>;

}  // namespace

TEST_CASE("where there are no sequences, none is run, and no CPU has a slot by them", "[rseq]") {
    REQUIRE_FALSE(NoSequences::registered());
    REQUIRE_FALSE(NoSequences::restart_all());
    REQUIRE(NoSequences::cpu() >= OldLibrary::slots_number);
}

TEST_CASE("a thread that is moved while it claims a slot leaves it open, and claims its CPU's",
          "[rseq]") {
    PlayedSequences::play(true);
    TestMemory memory;
    OnPlayed cache(Checked::backend(memory));
    cache.free(cache.alloc());  // CPU 0 has a magazine
    Checked::Type* const object = cache.alloc();
    PlayedSequences::asked = 0;
    PlayedSequences::moves_at = 2;  // CPU 0 is claimed, and the thread is on CPU 1 by now
    PlayedSequences::moves_to = 1;
    cache.free(object);
    REQUIRE(PlayedSequences::asked >= 4);
    Checked::Type* const on_1 = cache.alloc();
    REQUIRE(on_1 == object);  // it was CPU 1's
    PlayedSequences::play(true);
    for (int round = 0; round < 3; ++round)  // CPU 0's slot serves as before
        cache.free(cache.alloc());
    cache.free(on_1);
    REQUIRE(cache.statistics().allocated_objects_number == 0);
    REQUIRE(cache.validate().defect == Defect::None);
}

TEST_CASE("slots are those of threads as long as the C library has not registered the caller",
          "[rseq]") {
    const bool registers = GENERATE(false, true);
    PlayedSequences::play(registers);
    TestMemory memory;
    OnPlayed cache(Checked::backend(memory));
    Checked::Type* const object = cache.alloc();
    cache.free(object);
    PlayedSequences::asked = 0;
    REQUIRE(cache.alloc() == object);
    cache.free(object);
    // With slots of threads nobody asks on which CPU it is; with those of CPUs whose sequences
    // never succeed, each call does.
    REQUIRE((PlayedSequences::asked > 0) == registers);
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE(cache.statistics().slabs_number() == 0);
}

TEST_CASE("a CPU beyond the slots has none, and its objects go by way of the slabs", "[rseq]") {
    PlayedSequences::play(true);
    PlayedSequences::now = 2;
    TestMemory memory;
    OnPlayed cache(Checked::backend(memory));
    Checked::Type* const object = cache.alloc();
    cache.free(object);
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE(cache.statistics().slabs_number() == 0);
    REQUIRE(memory.live_slabs() == 0);  // no magazine was made
    PlayedSequences::play(true);
}

TEST_CASE("where sequences cannot be restarted, the slots of other CPUs are left alone",
          "[rseq][kept]") {
    PlayedSequences::play(true);
    TestMemory memory;
    OnPlayed cache(Checked::backend(memory));
    cache.free(cache.alloc());
    PlayedSequences::now = 1;
    PlayedSequences::can_restart = false;
    REQUIRE(cache.cpus().synchronise() == Reach::own);
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE(cache.statistics().slabs_number() == 1);  // for CPU 0's object
    PlayedSequences::can_restart = true;
    REQUIRE(cache.cpus().synchronise() == Reach::magazines);
    static_cast<void>(cache.shrink_to_fit());
    REQUIRE(cache.statistics().slabs_number() == 0);
}

#if defined(__linux__)
TEST_CASE("where the system refuses a barrier, sequences cannot be restarted", "[rseq]") {
    if (!Here::per_cpu()) return;
    for (const int command :
         {MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ}) {
        REQUIRE(in_child([&] {
            return refuse_system_call(SYS_membarrier, 0, static_cast<std::uint32_t>(command),
                                      EPERM) &&
                   !Sequences::restart_all() && Here().synchronise() == Reach::own;
        }));
    }
    REQUIRE(Here().synchronise() == Reach::magazines);
}
#endif
