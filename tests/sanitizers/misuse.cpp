// What AddressSanitizer and Valgrind's memcheck must report, each at the line that does it, and
// what they must not: the program is run once under each, which goes on after a report, and
// expect.py reads what stands behind each "== place: kind".
//
//      misuse [memcheck]

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/first_fit_pages.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <slab_allocator/maps/hash_map.hpp>

using namespace slab_allocator;

namespace {

bool memcheck = false;
Defect refused = Defect::None;  // the last one

template <std::size_t size>
struct Bytes {
    std::byte bytes[size];
};

template <Checks checks, ObjectSizeType type = ObjectSizeType::Small, std::size_t alignment = 0>
constexpr CacheConfig config{
    .slab_size = 8192, .slab_alignment = alignment, .object_size_type = type, .checks = checks};

template <std::size_t size, CacheConfig chosen>
using CacheOf = Cache<Bytes<size>, AlignedAllocBackend, chosen>;

/// It lets AddressSanitizer find who uses its pages, and leaves it to the cache to reveal them.
struct HidingBackend : AlignedAllocBackend {
    void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        void* const slab = AlignedAllocBackend::alloc_slab(size, alignment);
        if (slab != nullptr) detail::hide(slab, size);
        return slab;
    }
    void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        std::memset(slab, 7, size);  // its pages again: nobody has a say in that
        AlignedAllocBackend::free_slab(slab, size, alignment);
    }
};

struct NoLock {  // one thread
    void lock() noexcept {}
    void unlock() noexcept {}
};
using SharedBackend = LockedBackend<AlignedAllocBackend, NoLock>;
template <std::size_t size, Checks checks>
using MagazinesOf =
    MagazineCache<Bytes<size>, SharedBackend, ThreadCpus<4>, NoLock, config<checks>>;

/// A heap's blocks of one size.
template <typename HeapType, std::size_t size>
class BlocksOf {
public:
    using value_type = Bytes<size>;
    [[nodiscard]] Bytes<size>* alloc() { return static_cast<Bytes<size>*>(heap_.alloc(size)); }
    void free(Bytes<size>* block) { heap_.free(block); }
    [[nodiscard]] DefectReport validate() { return heap_.validate(); }
    void shrink_to_fit() { heap_.shrink_to_fit(); }

private:
    HeapType heap_;
};
template <std::size_t size, Checks checks = Checks::misuse>
using HeapOf = BlocksOf<Heap<AlignedAllocBackend, HeapConfig{.checks = checks}>, size>;
template <std::size_t size, Checks checks = Checks::misuse>
using MagazineHeapOf =
    BlocksOf<MagazineHeap<SharedBackend, ThreadCpus<4>, NoLock, HeapConfig{.checks = checks}>,
             size>;

using FirstFit = FirstFitPages<MmapPages>;
using Parts = ComposedBackend<BackendRef<FirstFit>, SlabInfoCache<BackendRef<FirstFit>>,
                              HashMap<BackendRef<FirstFit>>>;
struct ItsPages {
    FirstFit pages;
};
class ResizingBackend : private ItsPages, public Parts {
public:
    ResizingBackend() : Parts(pages, pages, pages) {}
    [[nodiscard]] bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                   std::size_t alignment) noexcept {
        return pages.resize_slab(slab, before, after, alignment);
    }
};
using ResizingHeap =
    Heap<ResizingBackend, HeapConfig{.slabs_of_any_pages = true, .backend_resizes = true}>;

template <typename Place>
constexpr bool has_bulks = requires(Place& place, std::span<typename Place::value_type*> objects) {
    place.alloc_bulk(objects);
};
template <typename Place>
constexpr bool has_slabs = requires(Place& place) { place.for_each_slab([](const SlabView&) {}); };

}  // namespace

// Not inlined, and known by their names: the reports must say these lines.
extern "C" {
[[gnu::noinline]] int read_here(const std::byte* byte) {
    const auto value = static_cast<int>(*byte);  // reads
    asm volatile("" : : "r"(value));
    return value;
}
[[gnu::noinline]] void write_here(std::byte* byte) {
    *byte = std::byte{1};  // writes
    asm volatile("" : : "r"(byte) : "memory");
}
[[gnu::noinline]] bool branch_here(const std::byte* byte) {
    if (*byte == std::byte{7}) return true;  // branches
    asm volatile("");
    return false;
}
}

namespace {

[[gnu::noinline, gnu::no_sanitize_address]] std::byte look_at(const volatile std::byte* byte) {
    return *byte;
}
[[gnu::noinline, gnu::no_sanitize_address]] void put_back(volatile std::byte* to, std::byte value) {
    *to = value;
}

void begin(std::string_view place, std::string_view kind) {
    std::fprintf(stderr, "== %.*s: %.*s\n", static_cast<int>(place.size()), place.data(),
                 static_cast<int>(kind.size()), kind.data());
}

// ---- What must be reported ----------------------------------------------------------------------

template <typename Place>
void after_free(std::string_view name) {
    Place place;
    auto* const other = place.alloc();
    auto* const object = place.alloc();
    place.free(object);
    if (place.validate().defect != Defect::None) std::abort();  // it looks at all of them
    begin(name, "read after free");
    read_here(object->bytes + sizeof(*object) / 2);
    begin(name, "write after free");
    write_here(object->bytes);
    place.free(other);
}

/// The object is not at the hand of the cache any more, but in its slab.
template <typename Place>
void after_it_went_home(std::string_view name) {
    Place place;
    auto* const other = place.alloc();
    auto* const object = place.alloc();
    place.free(object);
    place.shrink_to_fit();
    begin(name, "read after it went home");
    read_here(object->bytes);
    place.free(other);
}

/// The first one that finds no place at the cache's hand, which holds 128.
template <typename Place>
void after_many_frees(std::string_view name) {
    Place place;
    typename Place::value_type* objects[300];
    if (!place.alloc_bulk(objects)) std::abort();
    for (std::size_t freed = 0; freed <= 128; ++freed)
        place.free(objects[freed]);
    begin(name, "read after many frees");
    read_here(objects[128]->bytes);
    for (std::size_t left = 129; left < 300; ++left)
        place.free(objects[left]);
}

template <typename Place>
void after_free_bulk(std::string_view name) {
    Place place;
    auto* const other = place.alloc();
    typename Place::value_type* objects[20];
    if (!place.alloc_bulk(objects)) std::abort();
    place.free_bulk(objects);
    begin(name, "read after free_bulk");
    read_here(objects[11]->bytes + 1);
    place.free(other);
}

/// Many slabs have room: what is freed goes home at once, so that some become Free.
template <typename Place>
void after_it_drained(std::string_view name) {
    using Object = typename Place::value_type;
    Place place;
    std::vector<Object*> objects(10 * Place::objects_per_slab());
    if (!place.alloc_bulk(objects)) std::abort();
    for (std::size_t index = 0; index < objects.size(); index += 2)
        place.free(objects[index]);
    std::size_t last = 1;
    for (; last + 2 < objects.size() / 4 * 3; last += 2)
        place.free(objects[last]);
    place.free(objects[last]);
    begin(name, "read after it drained");
    read_here(objects[last]->bytes);
    for (std::size_t index = last + 2; index < objects.size(); index += 2)
        place.free(objects[index]);
}

template <typename Place>
void around(std::string_view name) {
    Place place;
    auto* const object = place.alloc();
    begin(name, "overrun");
    write_here(object->bytes + sizeof(*object));
    begin(name, "second overrun");  // of another one: whichever is higher has nobody behind it
    auto* const other = place.alloc();
    write_here((other > object ? other : object)->bytes + sizeof(*object));
}

/// The end of a slab of which nobody had an object yet, but one; or what lies before, where the
/// SlabInfo is there.
template <typename Place>
void of_nobody(std::string_view name) {
    Place place;
    auto* const object = place.alloc();
    const std::byte* byte = nullptr;
    place.for_each_slab([&](const SlabView& slab) {
        byte = slab.slab() + slab.slab_size() - 1;
        if (address_of(byte) - address_of(&slab.slab_info()) < 512) byte -= 512;
    });
    begin(name, "read of what nobody has");
    read_here(byte);
    place.free(object);
}

/// The object that stands before the SlabInfo, all of whose neighbours live.
template <typename Place>
void into_slab_info(std::string_view name) {
    Place place;
    std::vector<typename Place::value_type*> objects(2 * Place::objects_per_slab());
    if (!place.alloc_bulk(objects)) std::abort();
    begin(name, "overrun into a SlabInfo");
    bool done = false;
    place.for_each_slab([&](const SlabView& slab) {
        const auto* const info =
            static_cast<const std::byte*>(static_cast<const void*>(&slab.slab_info()));
        for (auto* const object : objects) {
            if (object->bytes + sizeof(*object) != info || done) continue;
            const std::byte before = look_at(info);
            done = true;
            write_here(object->bytes + sizeof(*object));
            put_back(object->bytes + sizeof(*object), before);
        }
    });
    if (!done) std::abort();
    place.free_bulk(objects);
}

/// memcheck's alone.
template <typename Place>
void uninitialised(std::string_view name) {
    Place place;
    auto* const object = place.alloc();
    begin(name, "uninitialised");
    branch_here(object->bytes + sizeof(*object) / 2);
    place.free(object);
}

/// Not the first slot of a slab: the SlabInfo of a Large slab has that address, so memcheck would
/// find the object. (The slot is random at level hardened.)
template <typename Place>
[[gnu::noinline]] void lose_one(Place& place) {
    auto* object = place.alloc();
    if (reinterpret_cast<std::uintptr_t>(object) % 4096 == 0) {
        auto* const first = object;
        object = place.alloc();
        place.free(first);
    }
    asm volatile("" : "+r"(object));
}

/// memcheck's alone, at the end of the program.
template <typename Place>
void leak() {
    alignas(Place) static std::byte memory[sizeof(Place)];
    auto* const place = new (memory) Place;  // never destroyed
    auto* const other = place->alloc();
    lose_one(*place);
    place->free(other);
}

// ---- What must not be ---------------------------------------------------------------------------

/// All calls, and every byte of every live object written and read.
template <typename Place>
void right(std::string_view name) {
    using Object = typename Place::value_type;
    begin(name, "right");
    Place place;
    std::vector<Object*> live;
    const auto write = [](Object* object) {
        std::memset(static_cast<void*>(object), 7, sizeof(Object));
    };
    unsigned random = 1;
    for (std::size_t step = 0; step < 4000; ++step) {
        random = random * 1'664'525U + 1'013'904'223U;
        const unsigned choice = random >> 24;
        if (choice < 120) {
            live.push_back(place.alloc());
            write(live.back());
        } else if (choice < 240 && !live.empty()) {
            std::swap(live[(random >> 8) % live.size()], live.back());
            if (!branch_here(live.back()->bytes + sizeof(Object) - 1)) std::abort();
            place.free(live.back());
            live.pop_back();
        } else if (choice == 242) {
            place.shrink_to_fit();
        } else if (choice == 243 && place.validate().defect != Defect::None) {
            std::abort();
        }
        if constexpr (has_bulks<Place>) {
            if (choice == 240) {
                Object* some[100];
                if (!place.alloc_bulk(some)) std::abort();
                for (Object* const object : some)
                    write(object);
                place.free(std::exchange(some[random % 100], nullptr));  // null is nobody's
                place.free_bulk(some);
            } else if (choice == 241) {
                place.free_bulk(live);
                live.clear();
            }
        }
    }
    for (Object* const object : live)
        place.free(object);
}

/// By masking a SlabInfo is found anywhere: of a stranger's memory no hidden byte is read. Of the
/// cache's own slabs nobody's slots are, and its SlabInfo, when a wrong free leads there.
template <typename Place>
void stranger(std::string_view name) {
    using Object = typename Place::value_type;
    // Aligned to its size, but not by alignas: Valgrind reads no program with such a variable.
    constexpr std::size_t size = 8192;
    static std::byte around[2 * size];
    std::byte* const memory = block_of(around + size - 1, size);
    begin(name, "right");
    std::memset(memory, 1, size);
    Place place;
    auto* const other = place.alloc();
    const auto is_refused = [&](std::size_t offset) {
        auto* const object = static_cast<Object*>(static_cast<void*>(memory + offset));
        refused = Defect::None;
        place.free(object);
        return !place.owns(object) && refused == Defect::ForeignPointer;
    };
    for (std::size_t offset = 0; offset < size; offset += 8) {
        if (!is_refused(offset)) std::abort();
        detail::hide(memory + offset, 8);
        if (!is_refused(1024)) std::abort();
        detail::reveal(memory + offset, 8);
    }
    std::byte* const slab = block_of(other->bytes, size);
    for (std::size_t offset = 0; offset < size; ++offset) {
        auto* const object = static_cast<Object*>(static_cast<void*>(slab + offset));
        if (object == other) continue;
        refused = Defect::None;
        place.free(object);
        if (refused == Defect::None || place.owns(object)) std::abort();
    }
    place.free(other);
}

/// Blocks beyond the size classes, which grow and shrink where they are.
void runs(std::string_view name) {
    ResizingHeap heap;
    begin(name, "right");
    heap.free(heap.alloc(40'000));  // the records that it needs lie behind it
    auto* const run = static_cast<std::byte*>(heap.alloc(100'000));
    for (const std::size_t size : {100'000U, 40'000U, 36'000U, 300'000U}) {
        if (heap.realloc(run, size) != run) std::abort();
        std::memset(run, 7, size < 200'000 ? size : 200'000);
        if (!branch_here(run + size / 2)) std::abort();
    }
    void* const next = heap.alloc(1'000'000);
    std::memset(next, 7, 1'000'000);
    heap.free(next);
    if (memcheck) {
        begin(name, "uninitialised");
        branch_here(run + 250'000);
    }
    begin(name, "right");
    heap.free(run);
}

template <typename Place>
void each_kind(std::string_view name) {
    right<Place>(name);
    after_free<Place>(name);
    after_it_went_home<Place>(name);
    const bool guarded = name.find("hardened") != name.npos || name.find("debug") != name.npos;
    if (!memcheck || !guarded) around<Place>(name);  // what guards find, memcheck does not look for
    if constexpr (has_bulks<Place>) {
        after_free_bulk<Place>(name);
        after_many_frees<Place>(name);
    }
    if constexpr (has_slabs<Place>) after_it_drained<Place>(name);
    if (memcheck) uninitialised<Place>(name);
    if (memcheck) leak<Place>();
}

}  // namespace

int main(int number, char** arguments) {
    memcheck = number > 1 && std::string_view(arguments[1]) == "memcheck";
    set_defect_handler([](const DefectReport& report) noexcept {  // of what was overwritten, too
        refused = report.defect;
    });

    each_kind<CacheOf<64, config<Checks::none>>>("none");
    each_kind<CacheOf<64, config<Checks::misuse>>>("misuse");
    each_kind<CacheOf<64, config<Checks::hardened>>>("hardened");
    each_kind<CacheOf<64, config<Checks::debug>>>("debug");
    each_kind<CacheOf<48, config<Checks::misuse, ObjectSizeType::Small, 4096>>>("small by map");
    each_kind<CacheOf<64, config<Checks::misuse, ObjectSizeType::Large>>>("large");
    each_kind<MagazinesOf<64, Checks::none>>("magazines, none");
    each_kind<MagazinesOf<64, Checks::misuse>>("magazines");
    each_kind<MagazinesOf<64, Checks::hardened>>("magazines, hardened");
    each_kind<Cache<Bytes<64>, MmapBackend, config<Checks::misuse>>>("mmap");
    each_kind<HeapOf<64>>("heap");
    each_kind<MagazineHeapOf<64>>("magazine heap");
    each_kind<HeapOf<56, Checks::hardened>>("heap, hardened");
    each_kind<HeapOf<16, Checks::debug>>("heap, debug");
    each_kind<MagazineHeapOf<56, Checks::hardened>>("magazine heap, hardened");
    each_kind<MagazineHeapOf<16, Checks::debug>>("magazine heap, debug");

    // Neighbours share eight bytes.
    right<CacheOf<13, config<Checks::misuse>>>("13 bytes");
    right<CacheOf<13, config<Checks::hardened>>>("13 bytes, hardened");
    right<CacheOf<3, config<Checks::debug>>>("3 bytes, debug");
    after_it_drained<CacheOf<3, config<Checks::debug>>>("3 bytes, debug");
    right<MagazinesOf<13, Checks::misuse>>("13 bytes, magazines");
    right<Cache<Bytes<64>, HidingBackend, config<Checks::misuse>>>("a backend that hides");
    right<Cache<Bytes<64>, HidingBackend, config<Checks::debug>>>("a backend that hides, debug");
    stranger<CacheOf<64, config<Checks::misuse>>>("a stranger, misuse");
    stranger<CacheOf<13, config<Checks::hardened>>>("a stranger, hardened");
    stranger<CacheOf<13, config<Checks::debug>>>("a stranger, debug");
    of_nobody<CacheOf<64, config<Checks::misuse>>>("misuse");
    of_nobody<CacheOf<64, config<Checks::misuse, ObjectSizeType::Large>>>("large");
    if (!memcheck) into_slab_info<CacheOf<64, config<Checks::misuse>>>("misuse");
    runs("runs of pages");
    begin("the end", "leaks");
}
