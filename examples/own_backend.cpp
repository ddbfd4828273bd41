// own_backend.cpp -- a first backend: everything that a cache can ask for, from the standard
// library.
//
//      Cache<SomeType, OwnBackend, 8192 bytes, Large>
//        |-- slabs                     alloc_slab       free_slab         std::aligned_alloc
//        |-- a record for each slab    alloc_slab_info  free_slab_info    operator new
//        '-- page -> record            save_, get_, delete_slab_info_ptr  std::unordered_map
//
// Each call is printed, so that a run shows when a cache asks for what. The exit code is 0 only if
// all that was given came back.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unordered_map>

#include <slab_allocator/core/cache.hpp>

using slab_allocator::SlabInfo;

// [backend]
class OwnBackend {
public:
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        std::printf("    alloc_slab(%zu, %zu)\n", slab_size, slab_alignment);
        void* const slab = std::aligned_alloc(slab_alignment, slab_size);
        if (slab != nullptr) ++slabs_number_;
        return slab;  // nullptr: out of memory
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) {
        std::printf("    free_slab(slab, %zu, %zu)\n", slab_size, slab_alignment);
        std::free(slab);
        --slabs_number_;
    }

    SlabInfo* alloc_slab_info() {
        std::printf("    alloc_slab_info()\n");
        auto* const slab_info = new (std::nothrow) SlabInfo;
        if (slab_info != nullptr) ++slab_infos_number_;
        return slab_info;  // nullptr: out of memory
    }
    void free_slab_info(SlabInfo* slab_info) {
        std::printf("    free_slab_info(slab_info)\n");
        delete slab_info;
        --slab_infos_number_;
    }

    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) {
        std::printf("    save_slab_info_ptr(page_addr, slab_info)\n");
        try {
            slab_infos_[page_addr] = slab_info;
            return true;
        } catch (const std::bad_alloc&) {
            return false;  // a backend does not throw: it says so
        }
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) {
        std::printf("    get_slab_info_ptr(page_addr)\n");
        const auto found = slab_infos_.find(page_addr);
        return found == slab_infos_.end() ? nullptr : found->second;  // asked for any page
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) {
        std::printf("    delete_slab_info_ptr(page_addr)\n");
        slab_infos_.erase(page_addr);
    }

    bool has_all_back() const {
        return slabs_number_ == 0 && slab_infos_number_ == 0 && slab_infos_.empty();
    }

private:
    std::size_t slabs_number_ = 0;
    std::size_t slab_infos_number_ = 0;
    std::unordered_map<std::uintptr_t, SlabInfo*> slab_infos_;
};
// [/backend]

struct SomeType {
    std::uint64_t number;
    bool condition;
    std::uint8_t array[4];
};

// [cache]
using SomeCache =
    slab_allocator::Cache<SomeType, OwnBackend,
                          slab_allocator::CacheConfig{
                              .slab_size = 8192,
                              .page_size = 4096,
                              .slab_alignment = 4096,  // all that OwnBackend needs to promise
                              .object_size_type = slab_allocator::ObjectSizeType::Large}>;
// [/cache]

int main() {
    SomeCache cache;
    std::printf("%zu objects of %zu bytes to a slab of %zu bytes\n", cache.objects_per_slab(),
                cache.object_size(), cache.slab_size());

    std::printf("alloc: the first object needs a slab\n");
    SomeType* const first = cache.alloc();
    std::printf("alloc: the second one does not\n");
    SomeType* const second = cache.alloc();
    if (first == nullptr || second == nullptr) {
        std::printf("out of memory\n");
        return 1;
    }
    *first = {1, true, {1, 2, 3, 4}};
    *second = {2, false, {}};

    std::printf("free: in any order\n");
    cache.free(first);
    cache.free(second);

    std::printf("shrink_to_fit: the slab that was kept for the next object goes back\n");
    const std::size_t given_back = cache.shrink_to_fit();

    const bool all = cache.backend().has_all_back() && given_back == 1;
    std::printf(all ? "everything came back\n" : "something is missing\n");
    return all ? 0 : 1;
}
