// instructions.cpp -- how many instructions does a call take?
//
// Runs under callgrind, and asks it to write down the count of each probe by name; count.py reads
// those. Every probe runs twice, with 8 and with 16 calls, so that what lies around them cancels
// out; `nothing` is what the loop itself takes.

#include <cstddef>
#include <string>

#include <valgrind/callgrind.h>

#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include "../compare/caches.hpp"
#include "../compare/limits.hpp"
#include "../compare/rows.hpp"

namespace {

using namespace bench;
using slab_allocator::CacheConfig;
using slab_allocator::Checks;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfoLookup;

constexpr std::size_t object_size = 64;
constexpr std::size_t few = 8;
constexpr std::size_t many = 16;

template <typename T>
void keep(T& value) {
    asm volatile("" : "+r"(value) : : "memory");
}

/// The loop around the calls, and no calls.
struct Nothing {
    explicit Nothing(std::size_t) {}
    [[nodiscard]] void* alloc() { return this; }
    void free(void*) {}
};

template <typename A>
class Probes {
public:
    explicit Probes(const char* name) : name_(name) {
        asm volatile("" : : "r"(&allocator_) : "memory");
        for (void*& object : others_)
            object = get(allocator_);
        allocs(allocator_, objects_, many);  // warm-up: that many lie at the cache's hand now
        frees(allocator_, objects_, many);
    }
    Probes(const Probes&) = delete;
    Probes& operator=(const Probes&) = delete;
    ~Probes() {
        for (void* const object : others_)
            allocator_.free(object);
    }

    void run() {
        for (const std::size_t calls : {few, many}) {
            count("pair", calls, [&] { pairs(allocator_, calls); });
            count("alloc", calls, [&] { allocs(allocator_, objects_, calls); });
            count("free", calls, [&] { frees(allocator_, objects_, calls); });
        }
    }

private:
    template <typename F>
    void count(const char* what, std::size_t calls, F&& f) {
        const std::string title = std::string{name_} + " " + what + " " + std::to_string(calls);
        CALLGRIND_ZERO_STATS;
        f();
        CALLGRIND_DUMP_STATS_AT(title.c_str());
    }

    [[gnu::always_inline]] static void* get(A& allocator) {
        void* object = allocator.alloc();
        keep(object);
        return object;
    }
    [[gnu::noinline]] static void pairs(A& allocator, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i)
            allocator.free(get(allocator));
    }
    [[gnu::noinline]] static void allocs(A& allocator, void** objects, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i)
            objects[i] = get(allocator);
    }
    [[gnu::noinline]] static void frees(A& allocator, void** objects, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i) {
            void* object = objects[i];
            keep(object);
            allocator.free(object);
        }
    }

    const char* name_;
    A allocator_{200};
    void* others_[100];
    void* objects_[many];
};

template <typename A>
void probe(const std::string& name) {
    Region::instance().reset();
    Probes<A>{name.c_str()}.run();
}

struct NoLock {
    void lock() noexcept {}
    void unlock() noexcept {}
};

/// While a magazine serves: the slot of a thread. (One of a CPU is not: there are no restartable
/// sequences under callgrind.)
template <Checks checks>
class MagazineSubject {
public:
    explicit MagazineSubject(std::size_t) {}
    [[nodiscard]] void* alloc() { return cache_.alloc(); }
    void free(void* object) { cache_.free(static_cast<Object<object_size>*>(object)); }

    void alloc_bulk(void** objects, std::size_t number) {
        static_cast<void>(cache_.alloc_bulk({typed(objects), number}));
    }
    void free_bulk(void** objects, std::size_t number) {
        cache_.free_bulk({typed(objects), number});
    }

private:
    [[nodiscard]] static Object<object_size>** typed(void** objects) {
        return reinterpret_cast<Object<object_size>**>(objects);
    }

    slab_allocator::MagazineCache<Object<object_size>, RegionSlabs, slab_allocator::ThreadCpus<>,
                                  NoLock, CacheConfig{.checks = checks}>
        cache_;
};

/// A block of a size that the compiler does not see.
template <typename Heap>
class HeapSubject {
public:
    explicit HeapSubject(std::size_t) {}
    [[nodiscard]] void* alloc() {
        keep(size_);
        return heap_.alloc(size_);
    }
    void free(void* block) { heap_.free(block); }

private:
    std::size_t size_ = object_size;
    Heap heap_;
};

/// A map for one heap alone: a look-up that others call, too, the compiler may leave a function.
template <Checks checks, bool magazines>
struct SlabsOfHeap : RegionSlabs {};

template <Checks checks>
void probe_heaps(const std::string& level) {
    using slab_allocator::HeapConfig;
    using slab_allocator::RadixMap;
    using Backend = RowByMap<RadixMap<SlabsOfHeap<checks, false>>>;
    using SharedBackend =
        slab_allocator::LockedBackend<RowByMap<RadixMap<SlabsOfHeap<checks, true>>>, NoLock>;
    constexpr HeapConfig config{.checks = checks};
    probe<HeapSubject<slab_allocator::Heap<Backend, config>>>(level + "-heap");
    probe<HeapSubject<
        slab_allocator::MagazineHeap<SharedBackend, slab_allocator::ThreadCpus<>, NoLock, config>>>(
        level + "-heap-magazines");
}

/// 64 objects at a time, in place of one: shown, and not compared, since what the C library's
/// memcpy takes depends on the processor.
template <typename A>
class Bulks {
public:
    explicit Bulks(std::size_t) {
        for (Bulk& bulk : bulks_)
            unused_[unused_number_++] = &bulk;
    }
    [[nodiscard]] void* alloc() {
        Bulk* const bulk = unused_[--unused_number_];
        allocator_.alloc_bulk(bulk->objects, bulk_size);
        return bulk;
    }
    void free(void* bulk) {
        unused_[unused_number_++] = static_cast<Bulk*>(bulk);
        allocator_.free_bulk(static_cast<Bulk*>(bulk)->objects, bulk_size);
    }

private:
    static constexpr std::size_t bulk_size = 64;
    struct Bulk {
        void* objects[bulk_size];
    };

    A allocator_{200};
    Bulk bulks_[128];
    Bulk* unused_[128];
    std::size_t unused_number_ = 0;
};

template <Checks checks>
void probe_rows(const std::string& level) {
    constexpr auto small = ObjectSizeType::Small;
    constexpr auto large = ObjectSizeType::Large;
    constexpr CacheConfig mask{.object_size_type = small, .checks = checks};
    constexpr CacheConfig page{.slab_size = 4096, .object_size_type = small, .checks = checks};
    constexpr CacheConfig small_by_map{
        .slab_size = 16384, .slab_alignment = 4096, .object_size_type = small, .checks = checks};
    constexpr CacheConfig large_by_map{
        .slab_alignment = 4096, .object_size_type = large, .checks = checks};
    constexpr CacheConfig frames{.object_size_type = large,
                                 .checks = checks,
                                 .slab_info_lookup = SlabInfoLookup::PageFrames};
    probe<CacheSubject<object_size, RegionSlabs, mask>>(level);
    probe<CacheSubject<object_size, RegionSlabs, page>>(level + "-4k");
    probe<CacheSubject<object_size, RowByMap<Flat>, small_by_map>>(level + "-small-flat");
    probe<CacheSubject<object_size, RowByMap<Radix>, small_by_map>>(level + "-small-radix");
    probe<CacheSubject<object_size, RowByMap<Hash>, small_by_map>>(level + "-small-hash");
    probe<CacheSubject<object_size, RowByMap<Flat>, large_by_map>>(level + "-large-flat");
    probe<CacheSubject<object_size, RowByMap<Radix>, large_by_map>>(level + "-large-radix");
    probe<CacheSubject<object_size, RowByMap<Hash>, large_by_map>>(level + "-large-hash");
    probe<CacheSubject<object_size, RowByPageFrames, frames>>(level + "-frames");
}

template <Checks checks>
void probe_bulks(const std::string& level) {
    constexpr CacheConfig mask{.object_size_type = ObjectSizeType::Small, .checks = checks};
    probe<Bulks<CacheSubject<object_size, RegionSlabs, mask>>>(level + "-bulk");
    probe<Bulks<MagazineSubject<checks>>>(level + "-bulk-magazines");
}

}  // namespace

int main() {
    probe<Nothing>("nothing");
    probe<Limit<object_size>>("limit");
    probe_rows<Checks::none>("none");
    probe_rows<Checks::misuse>("misuse");
    probe<MagazineSubject<Checks::none>>("none-magazines");
    probe<MagazineSubject<Checks::misuse>>("misuse-magazines");
    probe_heaps<Checks::none>("none");
    probe_heaps<Checks::misuse>("misuse");
    probe_bulks<Checks::none>("none");
    probe_bulks<Checks::misuse>("misuse");
}
