#pragma once

// smart_pointers.hpp -- std::unique_ptr and std::shared_ptr in a pool or a cache. Hosted.
//
//      make_unique_in<T>(pool, ...)                  unique_ptr | object | pool |
//      make_unique_in<T>(StaticPool<pool>{}, ...)    unique_ptr | object |
//      make_shared_in<T>(pool, ...)                  shared_ptr | object | * |--> | counts | T |
//
//      unique_ptr<T, Deleter<OwnedByStatic<cache>>> is a Handle where a unique_ptr is asked for.
//
// A Deleter frees what it is given as a T: a unique_ptr to a base class of T is not for it. The
// pool, and the cache, must outlive the pointers.

#include <memory>
#include <utility>

#include <slab_allocator/adaptors/allocator.hpp>
#include <slab_allocator/adaptors/out_of_memory.hpp>
#include <slab_allocator/adaptors/pool.hpp>
#include <slab_allocator/core/config.hpp>

namespace slab_allocator {

/// What a std::unique_ptr calls. Owner: OwnedBy<Cache>, OwnedByStatic<cache>, PoolRef<Pool> or
/// StaticPool<pool>. As large as that.
template <typename Owner>
struct Deleter {
    template <typename T>
    void operator()(T* object) const noexcept {
        owner.destroy(object);
    }

    [[no_unique_address]] Owner owner;
};

/// What make_unique_in gives: a unique_ptr to a T of that pool.
template <typename T, typename Source>
using UniqueIn = std::unique_ptr<T, Deleter<Source>>;

namespace detail {

template <typename T, typename Source, typename... Arguments>
[[nodiscard]] UniqueIn<T, Source> make_unique_from(Source source, Arguments&&... arguments) {
    T* const object = source.get().template create<T>(std::forward<Arguments>(arguments)...);
    if (object == nullptr) [[unlikely]]
        out_of_memory();
    return UniqueIn<T, Source>(object, {source});
}

}  // namespace detail

/// A T in a pool. Throws: std::bad_alloc, or what the constructor throws; then nothing is lost.
template <typename T, typename Backend, typename Kind, CacheConfig Config, typename... Arguments>
[[nodiscard]] auto make_unique_in(Pool<Backend, Kind, Config>& pool, Arguments&&... arguments) {
    return detail::make_unique_from<T>(PoolRef(pool), std::forward<Arguments>(arguments)...);
}
template <typename T, auto& pool, typename... Arguments>
[[nodiscard]] auto make_unique_in(StaticPool<pool> source, Arguments&&... arguments) {
    return detail::make_unique_from<T>(source, std::forward<Arguments>(arguments)...);
}

/// A T and its counts in one node of a pool. Throws: as make_unique_in.
template <typename T, typename Backend, typename Kind, CacheConfig Config, typename... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared_in(Pool<Backend, Kind, Config>& pool,
                                                Arguments&&... arguments) {
    using Source = PoolRef<Pool<Backend, Kind, Config>>;
    return std::allocate_shared<T>(Allocator<T, Source>(pool),
                                   std::forward<Arguments>(arguments)...);
}
template <typename T, auto& pool, typename... Arguments>
[[nodiscard]] std::shared_ptr<T> make_shared_in(StaticPool<pool>, Arguments&&... arguments) {
    return std::allocate_shared<T>(Allocator<T, StaticPool<pool>>(),
                                   std::forward<Arguments>(arguments)...);
}

}  // namespace slab_allocator
