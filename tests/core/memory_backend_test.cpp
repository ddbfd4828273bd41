#include <slab_allocator/core/memory_backend.hpp>

#include <support/any_cache.hpp>
#include <support/catch.hpp>
#include <support/test_memory.hpp>

using namespace support;
using slab_allocator::MemoryBackend;
namespace backend_has = slab_allocator::backend_has;

namespace {

constexpr CacheConfig by_mask{.slab_size = 8192, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig by_map{
    .slab_size = 8192, .slab_alignment = 4096, .object_size_type = ObjectSizeType::Small};
constexpr CacheConfig large{.slab_size = 8192, .object_size_type = ObjectSizeType::Large};
constexpr CacheConfig frames{.slab_size = 8192,
                             .object_size_type = ObjectSizeType::Large,
                             .slab_info_lookup = SlabInfoLookup::PageFrames};

struct SaveCannotFail : SlabsBackend {
    void save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) {
        static_cast<void>(memory->save(page_addr, slab_info));
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) { return memory->get(page_addr); }
    void delete_slab_info_ptr(std::uintptr_t page_addr) { memory->remove(page_addr); }
};

struct Wrong {
    std::byte* alloc_slab(std::size_t, std::size_t);
    void free_slab(void*, std::size_t);
    void alloc_slab_info();
    void free_slab_info(int);
    int save_slab_info_ptr(std::uintptr_t, SlabInfo*);
    void* get_slab_info_ptr(std::uintptr_t);
    bool delete_slab_info_ptr(std::uintptr_t);
    SlabInfo slab_info_at(std::uintptr_t);
};

}  // namespace

TEST_CASE("each row is served by a backend with just its functions", "[memory_backend]") {
    STATIC_REQUIRE(MemoryBackend<SlabsBackend, by_mask>);
    STATIC_REQUIRE(!MemoryBackend<SlabsBackend, by_map>);
    STATIC_REQUIRE(!MemoryBackend<SlabsBackend, large>);
    STATIC_REQUIRE(!MemoryBackend<SlabsBackend, frames>);
    STATIC_REQUIRE(MemoryBackend<MapBackend, by_mask>);
    STATIC_REQUIRE(MemoryBackend<MapBackend, by_map>);
    STATIC_REQUIRE(!MemoryBackend<MapBackend, large>);
    STATIC_REQUIRE(MemoryBackend<InfosBackend, large>);
    STATIC_REQUIRE(!MemoryBackend<InfosBackend, frames>);
    STATIC_REQUIRE(MemoryBackend<FramesBackend, frames>);
    STATIC_REQUIRE(!MemoryBackend<FramesBackend, large>);
    // Where Small or Large is left open, whatever it comes to.
    STATIC_REQUIRE(MemoryBackend<InfosBackend>);
    STATIC_REQUIRE(!MemoryBackend<MapBackend>);
}

TEST_CASE("a function with another signature is not that function", "[memory_backend]") {
    STATIC_REQUIRE(!backend_has::alloc_slab<Wrong>);
    STATIC_REQUIRE(!backend_has::free_slab<Wrong>);
    STATIC_REQUIRE(!backend_has::alloc_slab_info<Wrong>);
    STATIC_REQUIRE(!backend_has::free_slab_info<Wrong>);
    STATIC_REQUIRE(!backend_has::save_slab_info_ptr<Wrong>);
    STATIC_REQUIRE(!backend_has::get_slab_info_ptr<Wrong>);
    STATIC_REQUIRE(!backend_has::delete_slab_info_ptr<Wrong>);
    STATIC_REQUIRE(!backend_has::slab_info_at<Wrong>);
}

TEST_CASE("a save that cannot fail may return nothing", "[memory_backend]") {
    STATIC_REQUIRE(MemoryBackend<SaveCannotFail, by_map>);
    TestMemory memory;
    SaveCannotFail backend;
    backend.memory = &memory;
    slab_allocator::Cache<int, SaveCannotFail, by_map> cache{backend};
    int* const number = cache.create(1);
    REQUIRE(memory.saved_pages() == 2);
    REQUIRE(cache.owns(number));
    cache.destroy(number);
}
