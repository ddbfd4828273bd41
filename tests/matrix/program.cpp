// A program that tests the library by itself: no test framework, no exceptions, no RTTI, nothing
// of the standard library that must be instrumented, so that it is built and run everywhere: with
// each compiler and level of optimisation, under sanitizers, for 32 bits, for aarch64.
//
// Every row at every level is used at random against a model; then one defect of each kind is made.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/maps/hash_map.hpp>
#include <slab_allocator/maps/radix_map.hpp>

namespace {

using namespace slab_allocator;

int failures = 0;

void expect(bool holds, const char* row, const char* what) {
    if (holds) return;
    ++failures;
    std::printf("%s: %s\n", row, what);
}

std::size_t reports = 0;
Defect last = Defect::None;

void note(const DefectReport& report) noexcept {
    ++reports;
    last = report.defect;
}

template <typename Call>
[[nodiscard]] Defect defect_of(Call call) {
    reports = 0;
    last = Defect::None;
    call();
    return reports == 1 ? last : Defect::None;
}

/// On purpose: AddressSanitizer does not look.
[[gnu::noinline, gnu::no_sanitize_address]] void flip(volatile unsigned char* byte) {
    *byte = static_cast<unsigned char>(~*byte);
}

struct Random {
    std::uint64_t state = 1;
    [[nodiscard]] std::size_t below(std::size_t end) noexcept {
        state = state * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
        return static_cast<std::size_t>((state >> 33) % end);
    }
};

template <std::size_t size>
struct Object {
    unsigned char bytes[size];
};

// ---- The backends -------------------------------------------------------------------------------

constexpr std::size_t arena_size = std::size_t{1} << 20;
alignas(65536) std::byte pages[arena_size];  // for page frames

template <typename Pages>
struct InfosFrom {
    Pages slabs;
    SlabInfo* alloc_slab_info() noexcept {
        return static_cast<SlabInfo*>(slabs.alloc_slab(4096, 4096));
    }
    void free_slab_info(SlabInfo* slab_info) noexcept { slabs.free_slab(slab_info, 4096, 4096); }
};

/// One SlabInfo for each slab of an array, as a kernel's page frames.
struct Frames {
    static inline bool taken[arena_size / 4096];

    void* alloc_slab(std::size_t size, std::size_t) noexcept {
        for (std::size_t slab = 0; slab < arena_size / size; ++slab) {
            if (taken[slab]) continue;
            taken[slab] = true;
            return pages + slab * size;
        }
        return nullptr;
    }
    void free_slab(void* slab, std::size_t size, std::size_t) noexcept {
        taken[static_cast<std::size_t>(static_cast<std::byte*>(slab) - pages) / size] = false;
    }
    SlabInfo* slab_info_at(std::uintptr_t page) noexcept {
        const std::uintptr_t offset = page - address_of(pages);
        if (offset >= arena_size) return nullptr;
        alignas(SlabInfo) static std::byte all[arena_size / 4096 * sizeof(SlabInfo)];
        return static_cast<SlabInfo*>(static_cast<void*>(all)) + offset / 4096;
    }
};

// ---- The model ----------------------------------------------------------------------------------

template <typename T, typename Backend, CacheConfig config>
void use(const char* row) {
    constexpr std::size_t most = 600;
    static T* live[most];
    static unsigned char marks[most];
    std::size_t number = 0;
    Random random;
    reports = 0;
    {
        Cache<T, Backend, config> cache;
        bool right = true;
        for (std::size_t step = 0; step < 6000; ++step) {
            const bool grows = random.below(100) < (step / 1500 % 2 == 0 ? 65U : 35U);
            if (grows && number < most) {
                T* const object = cache.alloc();
                if (object == nullptr) continue;
                marks[number] = static_cast<unsigned char>(step);
                std::memset(object->bytes, marks[number], sizeof(T));
                live[number++] = object;
            } else if (number > 0) {
                const std::size_t rank = random.below(number);
                for (const unsigned char byte : live[rank]->bytes)
                    right = right && byte == marks[rank];
                cache.free(live[rank]);
                --number;
                live[rank] = live[number];
                marks[rank] = marks[number];
            }
            if (step % 512 == 0) {
                right = right && cache.validate().defect == Defect::None;
                right = right && cache.statistics().allocated_objects_number == number;
            }
        }
        std::size_t visited = 0;
        cache.for_each([&](T*) { ++visited; });
        expect(right && visited == number, row, "the model says otherwise");
        T* many[100] = {};
        expect(cache.alloc_bulk(many), row, "alloc_bulk refuses");
        cache.free_bulk(many);
        for (std::size_t rank = 0; rank < number; ++rank)
            cache.free(live[rank]);
        expect(cache.statistics().allocated_objects_number == 0, row, "something is left");
        cache.shrink_to_fit();
        expect(cache.statistics().bytes_held == 0, row, "slabs are left");
    }
    expect(reports == 0, row, "a defect is reported that is none");
}

template <typename T, typename Backend, CacheConfig config>
void misuse(const char* row) {
    alignas(65536) static T foreign;
    Cache<T, Backend, config> cache;
    Cache<T, Backend, config> other;
    T* const object = cache.alloc();
    T* const theirs = other.alloc();
    const auto freed = [&](T* pointer) { return defect_of([&] { cache.free(pointer); }); };
    const Defect of_theirs = freed(theirs);
    expect(of_theirs == Defect::OtherCache || of_theirs == Defect::ForeignPointer, row,
           "another cache's object");
    const Defect inside = freed(static_cast<T*>(static_cast<void*>(object->bytes + 1)));
    expect(inside == Defect::InteriorPointer, row, "a pointer into an object");
    if constexpr (config.slab_info_lookup == SlabInfoLookup::PageFrames ||
                  config.object_size_type == ObjectSizeType::Large) {
        expect(freed(&foreign) == Defect::ForeignPointer, row, "a foreign pointer");
    }
    if constexpr (config.checks == Checks::hardened || config.checks == Checks::debug) {
        object->bytes[0] = 1;
        flip(object->bytes + sizeof(T));
        expect(freed(object) == Defect::Overflow, row, "an overflow");
        flip(object->bytes + sizeof(T));
    }
    cache.free(object);
    expect(freed(object) == Defect::DoubleFree, row, "a double free");
    expect(defect_of([&] { other.~Cache(); }) == Defect::Leak, row, "a leak");
    ::new (static_cast<void*>(&other)) Cache<T, Backend, config>;
}

template <typename T, typename Backend, CacheConfig config>
void level(const char* row) {
    use<T, Backend, config>(row);
    if constexpr (config.checks != Checks::none) misuse<T, Backend, config>(row);
}

constexpr CacheConfig with(CacheConfig config, Checks checks) {
    config.checks = checks;
    return config;
}

template <typename T, typename Backend, CacheConfig config>
void every_level(const char* row) {
    level<T, Backend, with(config, Checks::none)>(row);
    level<T, Backend, with(config, Checks::misuse)>(row);
    level<T, Backend, with(config, Checks::hardened)>(row);
    level<T, Backend, with(config, Checks::debug)>(row);
}

}  // namespace

int main() {
    set_defect_handler(&note);
    constexpr auto small = ObjectSizeType::Small;
    constexpr auto large = ObjectSizeType::Large;
    using Own = AlignedAllocPages;
    constexpr std::size_t address_bits = sizeof(void*) == 4 ? 32 : 48;
    using Hashed = ComposedBackend<AlignedAllocPages, InfosFrom<AlignedAllocPages>, HashMap<Own>>;
    using Mapped =
        ComposedBackend<MmapPages, InfosFrom<MmapPages>, RadixMap<MmapPages, 4096, address_bits>>;
    every_level<Object<24>, AlignedAllocBackend, CacheConfig{.object_size_type = small}>(
        "Small by mask, aligned_alloc");
    every_level<Object<700>, MmapBackend,
                CacheConfig{.slab_size = 16384, .object_size_type = small}>("Small by mask, mmap");
    every_level<Object<100>, Hashed,
                CacheConfig{.slab_size = 16384, .slab_alignment = 4096, .object_size_type = small}>(
        "Small by map, hash map");
    every_level<Object<64>, Mapped, CacheConfig{.slab_size = 8192, .object_size_type = large}>(
        "Large by map, radix map");
    every_level<Object<200>, Frames,
                CacheConfig{.slab_size = 4096,
                            .object_size_type = large,
                            .slab_info_lookup = SlabInfoLookup::PageFrames}>(
        "Large by page frames");
    std::printf("%d failures, pointers of %zu bits\n", failures, 8 * sizeof(void*));
    return failures == 0 ? 0 : 1;
}
