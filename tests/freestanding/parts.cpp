// parts.cpp -- the parts of a backend that a kernel can use, put together as static objects that
// are never destroyed.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/kernel.hpp>

namespace {

using namespace slab_allocator;

struct Object {
    std::uint64_t words[8];
};

constexpr std::size_t region_size = std::size_t{64} * 4096;
using Arena = ArenaBackend<region_size>;
using Pages = BackendRef<Arena>;
using Infos = SlabInfoCache<Pages, 4096, true>;

constinit Arena arena;

constexpr CacheConfig large{
    .slab_size = 8192, .object_size_type = ObjectSizeType::Large, .never_destroyed = true};
constexpr CacheConfig page_aligned{.slab_size = 8192,
                                   .slab_alignment = 4096,
                                   .object_size_type = ObjectSizeType::Small,
                                   .never_destroyed = true};

using ByHash = ComposedBackend<Pages, Infos, HashMap<Pages, 4096, true>>;
using ByRadix = ComposedBackend<Pages, Infos, RadixMap<Pages, 4096, 48, true>>;
using ByArray = ComposedBackend<Pages, Infos, FlatMapOf<region_size / 4096>>;

constinit ByHash by_hash{Pages(arena), Pages(arena), Pages(arena)};
constinit ByRadix by_radix{Pages(arena), Pages(arena), Pages(arena)};
constinit ByArray by_array{Pages(arena), Pages(arena), &arena};

template <auto& backend, CacheConfig config>
bool use() {
    using Backend = std::remove_reference_t<decltype(backend)>;
    static constinit Cache<Object, BackendRef<Backend>, config> cache{BackendRef<Backend>(backend)};
    Object* const object = cache.create();
    const bool owned = cache.owns(object);
    cache.destroy(object);
    return owned && cache.shrink_to_fit() == 1;
}

bool use_runs() {
    alignas(4096) static std::byte memory[region_size];
    static constinit ArenaBackendOver found_at_boot;
    found_at_boot.adopt(memory, sizeof(memory));
    SlabRuns<BackendRef<ArenaBackendOver>> runs{BackendRef<ArenaBackendOver>(found_at_boot), 65536};
    void* const slab = runs.alloc_slab(4096, 4096);
    if (slab != nullptr) runs.free_slab(slab, 4096, 4096);
    return runs.trim() != 0 && runs.bytes_held() == 0;
}

bool use_page_frames() {
    alignas(4096) static std::byte memory[region_size];
    static constinit BuddyBackend<4096> found_at_boot;
    static constinit BuddyBackend<> elsewhere;
    alignas(16) static std::byte storage[BuddyBackend<>::storage_size(1)];
    found_at_boot.adopt(memory, sizeof(memory) / 2);
    elsewhere.adopt(memory + sizeof(memory) / 2, 4096, storage);
    constexpr CacheConfig by_frames{.object_size_type = ObjectSizeType::Large,
                                    .slab_info_lookup = SlabInfoLookup::PageFrames,
                                    .never_destroyed = true};
    void* const page = elsewhere.alloc_order(0);
    if (page != nullptr) elsewhere.free_order(page, 0);
    return use<found_at_boot, by_frames>() && found_at_boot.pages_in_use() == 0 &&
           found_at_boot.contains(memory) == elsewhere.contains(memory) &&
           elsewhere.free_blocks_number(0) == elsewhere.pages_number();
}

}  // namespace

template class slab_allocator::HashMap<Pages, 4096, true>;
template class slab_allocator::RadixMap<Pages, 4096, 48, true>;
template class slab_allocator::SlabInfoCache<Pages, 4096, true>;

int main() {
    return use<by_hash, large>() && use<by_hash, page_aligned>() && use<by_radix, large>() &&
                   use<by_array, large>() && use<arena, CacheConfig{.never_destroyed = true}>() &&
                   use_runs() && use_page_frames()
               ? 0
               : 1;
}
