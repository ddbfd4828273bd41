#include <cstddef>
#include <map>
#include <memory_resource>
#include <new>
#include <string>
#include <vector>

#include <slab_allocator/core/align.hpp>

#include <adaptors/conformance.hpp>

using namespace conformance;
using slab_allocator::is_aligned;
using slab_allocator::MemoryResource;

TEST_CASE("a memory resource gives what is asked for, aligned, and takes it back",
          "[memory_resource]") {
    InResource here;
    std::pmr::memory_resource& resource = here.resource;
    for (std::size_t alignment = 1; alignment <= 8192; alignment *= 2) {
        for (const std::size_t size : {std::size_t{1}, std::size_t{24}, std::size_t{700},
                                       std::size_t{5000}, std::size_t{1} << 17}) {
            void* const memory = resource.allocate(size, alignment);
            CHECK(is_aligned(memory, alignment));
            static_cast<std::byte*>(memory)[size - 1] = std::byte{1};
            CHECK(here.live_blocks() == 1);
            resource.deallocate(memory, size, alignment);
        }
    }
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("memory of a resource goes back to the backend while it lives", "[memory_resource]") {
    InResource here;
    {
        std::pmr::vector<std::pmr::string> texts(&here.resource);
        for (int number = 0; number < 2000; ++number)
            texts.emplace_back(100, 'x');
        CHECK(texts[7].get_allocator().resource() == &here.resource);
        CHECK(here.memory.live_slabs() > 30);
    }
    here.resource.heap().shrink_to_fit();
    CHECK(here.memory.live_slabs() == 0);
}

TEST_CASE("a memory resource is equal to itself alone", "[memory_resource]") {
    InResource here;
    InResource there;
    CHECK(here.resource == here.resource);
    CHECK(here.resource != there.resource);
    CHECK(here.resource != *std::pmr::new_delete_resource());
    CHECK(*std::pmr::null_memory_resource() != here.resource);
}

TEST_CASE("a memory resource whose backend refuses throws std::bad_alloc", "[memory_resource]") {
    InResource here;
    here.memory.refuse(1, true);
    CHECK_THROWS_AS(here.resource.allocate(24, 8), std::bad_alloc);
    CHECK_THROWS_AS(here.resource.allocate(std::size_t{1} << 20, 8), std::bad_alloc);
    CHECK_THROWS_AS(here.resource.allocate(std::size_t(-1) / 2, 8), std::bad_alloc);
    here.memory.refuse_nothing();
    std::pmr::map<int, int> map(&here.resource);
    map.emplace(1, 2);
    CHECK(here.live_blocks() == 1);
}

TEST_CASE("a standard pool may stand on a resource of a heap", "[memory_resource]") {
    InResource here;
    {
        std::pmr::unsynchronized_pool_resource pool(&here.resource);
        std::pmr::map<int, std::pmr::string> map(&pool);
        for (int number = 0; number < 500; ++number)
            map.emplace(number, "a text that is too long to be kept in the string itself");
    }
    CHECK(here.live_blocks() == 0);
}
