#pragma once

// memory_backend.hpp -- what the user's backend must do, and the compiler's words where it does
// not.
//
//      SlabInfo is found by            holds when                          the backend must have
//      masking the object's address    Small, slab_alignment >= slab_size  alloc_slab free_slab
//      asking the map                  Small, slabs only page-aligned      + the map:
//      save_slab_info_ptr
//                                                     get_slab_info_ptr delete_slab_info_ptr
//      asking the map                  Large                               + alloc_slab_info
//                                                     free_slab_info and the map
//      asking the backend's own array  Large, SlabInfoLookup::PageFrames   alloc_slab free_slab
//                                                     slab_info_at
//
// A backend has just the functions of its row. Beside the concept, which answers yes or no, stands
// check_memory_backend(), which says the same in a sentence per function. Backends do not throw: a
// cache's members are noexcept, so a backend that throws ends the program.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/layout.hpp>

namespace slab_allocator {

namespace detail {
template <typename Answer>
concept SavedOrVoid = std::is_same_v<Answer, bool> || std::is_void_v<Answer>;
}

/// The functions, each by itself. Sizes and alignments are in bytes; every page_addr is a multiple
/// of page_size.
namespace backend_has {

/// Memory for one slab, aligned to slab_alignment; nullptr: out of memory.
template <typename Backend>
concept alloc_slab = requires(Backend& backend, std::size_t slab_size, std::size_t slab_alignment) {
    { backend.alloc_slab(slab_size, slab_alignment) } -> std::same_as<void*>;
};

/// Takes back what alloc_slab() gave, with the same two numbers.
template <typename Backend>
concept free_slab =
    requires(Backend& backend, void* slab, std::size_t slab_size, std::size_t slab_alignment) {
        { backend.free_slab(slab, slab_size, slab_alignment) } -> std::same_as<void>;
    };

/// Memory for one SlabInfo (size, alignment: the type's); nullptr: out of memory.
template <typename Backend>
concept alloc_slab_info = requires(Backend& backend) {
    { backend.alloc_slab_info() } -> std::same_as<SlabInfo*>;
};

template <typename Backend>
concept free_slab_info = requires(Backend& backend, SlabInfo* slab_info) {
    { backend.free_slab_info(slab_info) } -> std::same_as<void>;
};

/// Remembers which SlabInfo a page belongs to: once for each page when a slab is born. false: out
/// of memory, nothing remembered; a save that cannot fail may return void.
template <typename Backend>
concept save_slab_info_ptr =
    requires(Backend& backend, std::uintptr_t page_addr, SlabInfo* slab_info) {
        { backend.save_slab_info_ptr(page_addr, slab_info) } -> detail::SavedOrVoid;
    };

/// nullptr: no such page. Asked up to once per free, so make the asking fast; for any address.
template <typename Backend>
concept get_slab_info_ptr = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.get_slab_info_ptr(page_addr) } -> std::same_as<SlabInfo*>;
};

/// Forgets a page: once for each page when a slab dies.
template <typename Backend>
concept delete_slab_info_ptr = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.delete_slab_info_ptr(page_addr) } -> std::same_as<void>;
};

/// The SlabInfo that the backend keeps for the page frame at page_addr, which need not be one of
/// this cache: always the same for the same frame, zeroed or a SlabInfo{} before its first use;
/// nullptr: no such frame.
template <typename Backend>
concept slab_info_at = requires(Backend& backend, std::uintptr_t page_addr) {
    { backend.slab_info_at(page_addr) } -> std::same_as<SlabInfo*>;
};

/// May be there; asked once by a cache that guards its objects (levels hardened and debug): a
/// number that nobody can guess.
template <typename Backend>
concept secret = requires(Backend& backend) {
    { backend.secret() } -> std::same_as<std::uint64_t>;
};

}  // namespace backend_has

/// Gives slabs, and takes them back: in every row.
template <typename Backend>
concept SlabSource = backend_has::alloc_slab<Backend> && backend_has::free_slab<Backend>;

/// Gives memory for SlabInfos: where these lie outside of their slabs.
template <typename Backend>
concept SlabInfoSource =
    backend_has::alloc_slab_info<Backend> && backend_has::free_slab_info<Backend>;

/// Knows the SlabInfo of a page: where the address of an object does not lead there.
template <typename Backend>
concept SlabInfoMap =
    backend_has::save_slab_info_ptr<Backend> && backend_has::get_slab_info_ptr<Backend> &&
    backend_has::delete_slab_info_ptr<Backend>;

namespace detail {

constexpr bool needs_map(Row row) noexcept {
    return row == Row::SmallByMap || row == Row::LargeByMap;
}

template <typename Backend, Row row>
inline constexpr bool serves =
    SlabSource<Backend> && (!needs_map(row) || SlabInfoMap<Backend>) &&
    (row != Row::LargeByMap || SlabInfoSource<Backend>) &&
    (row != Row::LargeByPageFrames || backend_has::slab_info_at<Backend>);

/// The row of a configuration. Where Small or Large is left open, the larger set of functions.
constexpr Row row_of(const CacheConfig& config) noexcept {
    if (config.slab_info_lookup == SlabInfoLookup::PageFrames) return Row::LargeByPageFrames;
    if (config.object_size_type != ObjectSizeType::Small) return Row::LargeByMap;
    const bool natural = config.slab_alignment == 0 ||
                         (config.slab_size != 0 && config.slab_alignment >= config.slab_size);
    return natural ? Row::SmallByMask : Row::SmallByMap;
}

template <typename Backend, bool every, bool map, bool info, bool frames>
consteval bool check_functions() {
    static_assert(std::is_object_v<Backend> && !std::is_const_v<Backend>,
                  "a cache holds its backend by value and calls it: Backend must be an object type "
                  "without const; BackendRef<Backend> holds one by reference");
    static_assert(!every || backend_has::alloc_slab<Backend>,
                  "the backend needs `void* alloc_slab(std::size_t slab_size, std::size_t "
                  "slab_alignment)`: every configuration takes its slabs from it");
    static_assert(
        !every || backend_has::free_slab<Backend>,
        "the backend needs `void free_slab(void* slab, std::size_t slab_size, std::size_t "
        "slab_alignment)`: every configuration gives its slabs back to it");
    static_assert(
        !info || backend_has::alloc_slab_info<Backend>,
        "the backend needs `SlabInfo* alloc_slab_info()`: object_size_type Large (or what "
        "Auto chose for this object) keeps each SlabInfo outside of its slab");
    static_assert(!info || backend_has::free_slab_info<Backend>,
                  "the backend needs `void free_slab_info(SlabInfo* slab_info)`: object_size_type "
                  "Large (or what Auto chose for this object) keeps each SlabInfo outside of its "
                  "slab");
    static_assert(!map || backend_has::save_slab_info_ptr<Backend>,
                  "the backend needs `bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* "
                  "slab_info)`: object_size_type Large, or a slab_alignment below slab_size, finds "
                  "a SlabInfo through the backend's map");
    static_assert(!map || backend_has::get_slab_info_ptr<Backend>,
                  "the backend needs `SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr)`: "
                  "object_size_type Large, or a slab_alignment below slab_size, finds a SlabInfo "
                  "through the backend's map");
    static_assert(!map || backend_has::delete_slab_info_ptr<Backend>,
                  "the backend needs `void delete_slab_info_ptr(std::uintptr_t page_addr)`: "
                  "object_size_type Large, or a slab_alignment below slab_size, finds a SlabInfo "
                  "through the backend's map");
    static_assert(!frames || backend_has::slab_info_at<Backend>,
                  "the backend needs `SlabInfo* slab_info_at(std::uintptr_t page_addr)`: "
                  "slab_info_lookup PageFrames asks the backend's own array for each SlabInfo");
    return (!every || SlabSource<Backend>) && (!info || SlabInfoSource<Backend>) &&
           (!map || SlabInfoMap<Backend>) && (!frames || backend_has::slab_info_at<Backend>);
}

}  // namespace detail

/// Can Backend serve a cache under Config?
template <typename Backend, CacheConfig Config = CacheConfig{}>
concept MemoryBackend = detail::serves<Backend, detail::row_of(Config)>;

/// May several threads call a Backend at once, as caches for several threads do? Of a backend of
/// yours that cannot bear it, say so, and it is refused there:
///     template <> inline constexpr bool slab_allocator::bears_threads<YourBackend> = false;
template <typename Backend>
inline constexpr bool bears_threads = true;

/// Does not compile where Backend lacks a function that `row` needs, and says which and why.
template <typename Backend, Row row>
consteval bool check_memory_backend() {
    return detail::check_functions<Backend, true, detail::needs_map(row), row == Row::LargeByMap,
                                   row == Row::LargeByPageFrames>();
}

}  // namespace slab_allocator
