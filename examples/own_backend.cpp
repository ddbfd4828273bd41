// own_backend.cpp -- a first backend: all that a cache can ask for, from the standard library.
//
//      Cache<SomeType, OwnBackend, 8192 bytes, Large>
//        |-- slabs                     alloc_slab       free_slab         std::aligned_alloc
//        |-- a record for each slab    alloc_slab_info  free_slab_info    new
//        '-- page -> record            save_, get_, delete_slab_info_ptr  std::unordered_map
//
// What the backend holds is printed after each step. The exit code is 0 only if all came back.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unordered_map>

#include <slab_allocator/core/cache.hpp>

using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfo;

// [backend]
struct OwnBackend {
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        void* const slab = std::aligned_alloc(slab_alignment, slab_size);
        if (slab != nullptr) ++slabs_number;
        return slab;  // nullptr: out of memory
    }
    void free_slab(void* slab, std::size_t, std::size_t) {
        std::free(slab);
        --slabs_number;
    }

    SlabInfo* alloc_slab_info() {
        auto* const slab_info = new (std::nothrow) SlabInfo;
        if (slab_info != nullptr) ++slab_infos_number;
        return slab_info;  // nullptr: out of memory
    }
    void free_slab_info(SlabInfo* slab_info) {
        delete slab_info;
        --slab_infos_number;
    }

    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) {
        try {
            map[page_addr] = slab_info;
            return true;
        } catch (const std::bad_alloc&) {
            return false;  // a backend does not throw, it refuses
        }
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) {
        const auto found = map.find(page_addr);
        return found == map.end() ? nullptr : found->second;  // asked for any page, ours or not
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) { map.erase(page_addr); }

    std::size_t slabs_number = 0;
    std::size_t slab_infos_number = 0;
    std::unordered_map<std::uintptr_t, SlabInfo*> map;
};

struct SomeType {
    std::uint64_t number;
    bool condition;
    std::uint8_t array[4];
};

using SomeCache = Cache<SomeType, OwnBackend,
                        CacheConfig{.slab_size = 8192,
                                    .page_size = 4096,
                                    .slab_alignment = 4096,  // so much OwnBackend promises
                                    .object_size_type = ObjectSizeType::Large}>;
// [/backend]

void print_held(const char* after, const OwnBackend& backend) {
    std::printf("%-28s %zu slabs, %zu SlabInfos, %zu pages in the map\n", after,
                backend.slabs_number, backend.slab_infos_number, backend.map.size());
}

int main() {
    SomeCache cache;
    const OwnBackend& backend = cache.backend();
    std::printf("%zu objects to a slab\n", cache.objects_per_slab());
    print_held("at first", backend);

    std::array<SomeType*, 1000> objects{};
    for (std::size_t number = 0; number < objects.size(); ++number) {
        objects[number] = cache.create(SomeType{number, number % 2 == 0, {}});
        if (objects[number] == nullptr) {
            std::printf("out of memory\n");
            return 1;
        }
        if (number == 0) print_held("after 1 create", backend);
    }
    print_held("after 1000", backend);

    for (SomeType* const object : objects)
        cache.destroy(object);
    print_held("after 1000 destroy", backend);  // one slab is kept for the next object
    cache.shrink_to_fit();
    print_held("after shrink_to_fit", backend);

    const bool all_back =
        backend.slabs_number == 0 && backend.slab_infos_number == 0 && backend.map.empty();
    std::printf(all_back ? "everything came back\n" : "something is missing\n");
    return all_back ? 0 : 1;
}
