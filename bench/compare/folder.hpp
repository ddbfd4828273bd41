#pragma once

// folder.hpp -- rivals that no package brings, from the folder SLAB_ALLOCATOR_RIVALS_DIR: each is
// there if its header is.

#include <cstddef>

#ifdef BENCH_PLF_HIVE
#include <plf_hive.h>
#endif
#ifdef BENCH_SNMALLOC
#include <snmalloc/snmalloc.h>
#endif
#ifdef BENCH_RPMALLOC
#include <rpmalloc.h>
#endif
#ifdef BENCH_MIMALLOC
#include <mimalloc.h>
#endif

namespace bench {

#ifdef BENCH_PLF_HIVE
template <std::size_t Size>
class PlfHive {
    struct Object {
        Object() {}  // NOLINT: the bytes are left alone, as the others leave them
        alignas(Size % 16 == 0 ? 16 : 1) std::byte bytes[Size];
    };

public:
    static constexpr std::size_t object_size = Size;
    explicit PlfHive(std::size_t) {}
    [[nodiscard]] void* alloc() { return &*hive_.emplace(); }
    void free(void* object) { hive_.erase(hive_.get_iterator(static_cast<Object*>(object))); }

private:
    plf::hive<Object> hive_;
};
#endif

#ifdef BENCH_SNMALLOC
template <std::size_t Size>
struct Snmalloc {
    static constexpr std::size_t object_size = Size;
    explicit Snmalloc(std::size_t) {}
    [[nodiscard]] void* alloc() { return snmalloc::alloc<Size>(); }
    void free(void* object) { snmalloc::dealloc(object); }
};
#endif

#ifdef BENCH_RPMALLOC
template <std::size_t Size>
struct Rpmalloc {
    static constexpr std::size_t object_size = Size;
    explicit Rpmalloc(std::size_t) {
        static const int initialized = ::rpmalloc_initialize(nullptr);
        static_cast<void>(initialized);
    }
    [[nodiscard]] void* alloc() { return ::rpmalloc(Size); }
    void free(void* object) { ::rpfree(object); }
};
#endif

#ifdef BENCH_MIMALLOC
template <std::size_t Size>
struct MimallocOfFolder {
    static constexpr std::size_t object_size = Size;
    explicit MimallocOfFolder(std::size_t) {}
    [[nodiscard]] void* alloc() { return ::mi_malloc(Size); }
    void free(void* object) { ::mi_free(object); }
};
#endif

}  // namespace bench
