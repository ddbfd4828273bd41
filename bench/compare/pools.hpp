#pragma once

// pools.hpp -- pools of other C++ libraries as subjects, on the same resident memory as the caches.
// One that is not installed is left out.

#include <cstddef>
#include <memory_resource>
#include <type_traits>

#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>
#endif
#if __has_include(<foonathan/memory/memory_pool.hpp>)
#include <foonathan/memory/memory_pool.hpp>
#endif

#include "region.hpp"

namespace bench {

#if __has_include(<boost/pool/pool.hpp>)
/// As Boost.Pool wants its memory; it gives it back all at once.
struct RegionForBoost {
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    [[nodiscard]] static char* malloc(size_type bytes) {
        return static_cast<char*>(Region::instance().take(bytes, Region::page_size));
    }
    static void free(char*) {}
};

template <std::size_t Size>
class BoostPool {
public:
    static constexpr std::size_t object_size = Size;
    explicit BoostPool(std::size_t) {}
    [[nodiscard]] void* alloc() { return pool_.malloc(); }
    void free(void* object) { pool_.free(object); }

private:
    boost::pool<RegionForBoost> pool_{Size};
};
#endif

#if __has_include(<foonathan/memory/memory_pool.hpp>)
struct RegionForFoonathan {
    using is_stateful = std::false_type;
    [[nodiscard]] static void* allocate_node(std::size_t bytes, std::size_t) {
        return Region::instance().take(bytes, Region::page_size);
    }
    static void deallocate_node(void* memory, std::size_t bytes, std::size_t) noexcept {
        Region::instance().give(memory, bytes);
    }
};

template <std::size_t Size>
class FoonathanPool {
    using Pool = foonathan::memory::memory_pool<foonathan::memory::node_pool, RegionForFoonathan>;

public:
    static constexpr std::size_t object_size = Size;
    explicit FoonathanPool(std::size_t) {}
    [[nodiscard]] void* alloc() { return pool_.allocate_node(); }
    void free(void* object) { pool_.deallocate_node(object); }

private:
    Pool pool_{Size, Pool::min_block_size(Size, 1'000)};
};
#endif

class RegionResource : public std::pmr::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        return Region::instance().take(bytes, alignment);
    }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override {
        return this == &other;
    }
};

template <std::size_t Size>
class PmrPool {
public:
    static constexpr std::size_t object_size = Size;
    explicit PmrPool(std::size_t) {}
    [[nodiscard]] void* alloc() { return pool_.allocate(Size, alignof(std::max_align_t)); }
    void free(void* object) { pool_.deallocate(object, Size, alignof(std::max_align_t)); }

private:
    RegionResource region_;
    std::pmr::unsynchronized_pool_resource pool_{
        {.max_blocks_per_chunk = 0, .largest_required_pool_block = 4096}, &region_};
};

}  // namespace bench
