#pragma once

// cache.hpp -- every member of Cache, for each row, as a kernel uses it: static, without a
// destructor that somebody would have to be told of. A source for each level of checks includes it.

#include <cstddef>
#include <cstdint>
#include <span>

#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>

namespace {

using namespace slab_allocator;

constexpr std::size_t page_size = 4096;
constexpr std::size_t pages_number = 64;

alignas(pages_number* page_size) std::byte memory[pages_number * page_size];
std::size_t used = 0;
SlabInfo* map[pages_number];
std::byte infos[pages_number * sizeof(SlabInfo)];
std::size_t used_infos = 0;

std::size_t index_of(std::uintptr_t page_addr) {
    return (page_addr - address_of(memory)) / page_size;
}

struct SmallByMask {
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        const std::size_t start = align_up(used, slab_alignment);
        if (slab_size > sizeof(memory) - start) return nullptr;
        used = start + slab_size;
        return memory + start;
    }
    void free_slab(void*, std::size_t slab_size, std::size_t) { used -= slab_size; }
};

struct SmallByMap : SmallByMask {
    void save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) {
        map[index_of(page_addr)] = slab_info;
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) {
        return index_of(page_addr) < pages_number ? map[index_of(page_addr)] : nullptr;
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) { map[index_of(page_addr)] = nullptr; }
};

struct LargeByMap : SmallByMap {
    SlabInfo* alloc_slab_info() {
        if (used_infos == pages_number) return nullptr;
        return static_cast<SlabInfo*>(static_cast<void*>(infos + used_infos++ * sizeof(SlabInfo)));
    }
    void free_slab_info(SlabInfo*) { --used_infos; }
};

struct LargeByPageFrames : SmallByMask {
    SlabInfo* slab_info_at(std::uintptr_t page_addr) {
        const std::size_t index = index_of(page_addr);
        if (index >= pages_number) return nullptr;
        return static_cast<SlabInfo*>(static_cast<void*>(infos + index * sizeof(SlabInfo)));
    }
};

struct Task {
    explicit Task(int number) noexcept : id(number) {}
    ~Task() { id = -1; }

    int id;
    unsigned char state[60];
};

constexpr CacheConfig with(CacheConfig config, Checks checks, bool never_destroyed) {
    config.checks = checks;
    config.never_destroyed = never_destroyed;
    return config;
}

template <typename Backend, CacheConfig config>
int use() {
    static constinit Cache<Task, Backend, config> cache;

    Task* const raw = cache.alloc();
    cache.free(raw);
    Task* const task = cache.create(1);
    std::size_t seen = cache.owns(task) ? 1 : 0;
    cache.for_each([&](Task* live) { seen += static_cast<std::size_t>(live->id); });
    cache.destroy(task);
    {
        auto handle = cache.make_unique(2);
        auto narrow = make_unique<cache>(3);
        seen += static_cast<std::size_t>(handle->id) + static_cast<std::size_t>(narrow->id);
    }
    Task* many[8];
    if (cache.alloc_bulk(many)) cache.free_bulk(many);
    seen += cache.reserve(100) + cache.shrink(1) + cache.shrink_to_fit();
    seen += cache.statistics().allocated_objects_number;
    seen += cache.validate().defect == Defect::None ? 1 : 0;
    seen += cache.object_size() + cache.slab_size() + cache.page_size() + cache.objects_per_slab();
    seen += cache.object_size_type() == ObjectSizeType::Small ? 1 : 0;
    static_cast<void>(cache.backend());

    using Destroyed = Cache<Task, Backend, with(config, config.checks, false)>;
    Destroyed local;
    Task* const other = local.create(4);
    if (other != nullptr) local.destroy(other);
    return static_cast<int>(seen);
}

constexpr CacheConfig small{.slab_size = 8192, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig by_map{
    .slab_size = 8192, .slab_alignment = page_size, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig large{.slab_size = 8192, .object_size_type = ObjectSizeType::Large};
constexpr CacheConfig by_frames{.slab_size = 8192,
                                .object_size_type = ObjectSizeType::Large,
                                .slab_info_lookup = SlabInfoLookup::PageFrames};

template <Checks checks>
int use_every_row() {
    return use<SmallByMask, with(small, checks, true)>() +
           use<SmallByMap, with(by_map, checks, true)>() +
           use<LargeByMap, with(large, checks, true)>() +
           use<LargeByPageFrames, with(by_frames, checks, true)>();
}

}  // namespace
