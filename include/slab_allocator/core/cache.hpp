#pragma once

// cache.hpp -- the allocator of objects of one type.
//
//      alloc  <-- cached objects <--words-- slabs with room, the fullest first <-- backend
//      free   --> cached objects --groups--> their slabs --------free ones------> backend
//
// Here are the public calls. What happens per object stands in plain_front.hpp, or, at the levels
// that guard objects, in guarded_front.hpp; between the cached objects and the slabs, in
// slot_exchange.hpp; the slabs are in slab_set.hpp; how much is kept, in retention.hpp.
//
// Nothing is ever written in a free object, but by the levels that guard objects.
//
// Not synchronised: one lock, or one thread, for all members. The address of a cache is written in
// its slabs, so it is neither copied nor moved.

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config_check.hpp>
#include <slab_allocator/core/guarded_front.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/object_calls.hpp>
#include <slab_allocator/core/plain_front.hpp>
#include <slab_allocator/core/slab_view.hpp>

namespace slab_allocator {

template <typename T, typename Backend, CacheConfig Config = CacheConfig{}>
    requires(check_config<T, Config>() && check_memory_backend<Backend, layout_of<T, Config>.row>())
class Cache : public ObjectCalls<Cache<T, Backend, Config>, T, Config.checks != Checks::none> {
    static constexpr Layout layout = layout_of<T, Config>;
    using Front =
        std::conditional_t<guards_objects(Config.checks), GuardedFront<layout, Backend, Config>,
                           PlainFront<layout, Backend, Config>>;

public:
    using value_type = T;
    using backend_type = Backend;

    /// Effects: none outside of the cache; the backend is first called by the first alloc.
    constexpr Cache() noexcept
        requires std::default_initializable<Backend>
    = default;
    constexpr explicit Cache(Backend backend) noexcept
        requires std::move_constructible<Backend>
        : front_(std::move(backend)) {}
    constexpr explicit Cache(Backend&)  // cannot be moved in: hold it by BackendRef<Backend>
        requires(!std::move_constructible<Backend>)
    = delete;  // (compilers show the first line)

    Cache(const Cache&) = delete;  // its slabs know its address: pass it by reference
    Cache& operator=(const Cache&) = delete;

    /// Gives every slab back. Objects that are live then are a Defect::Leak, with their number.
    constexpr ~Cache()
        requires(!Config.never_destroyed)
    {
        front_.release_all();
    }
    constexpr ~Cache()
        requires(Config.never_destroyed)
    = default;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: uninitialised memory for one T, or nullptr where the backend refuses; everything is
    /// then as before. Costs: O(1); a new slab is not written through.
    [[nodiscard]] T* alloc() noexcept { return object_in<T>(front_.alloc()); }

    /// Takes back what alloc gave; nullptr does nothing. Costs: O(1), and at level misuse one
    /// question to the map, where there is one.
    void free(T* object) noexcept { front_.free(bytes_of(object)); }

    // ---- Many at once ---------------------------------------------------------------------------

    /// Fills `objects`, all or none. Returns: whether; where the backend refuses, everything is as
    /// before.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        return front_.alloc_bulk(objects);
    }

    /// Takes back all of `objects` (nullptr does nothing), or, where one of them is refused, none.
    void free_bulk(std::span<T* const> objects) noexcept { front_.free_bulk(objects); }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Takes slabs ahead, so that `objects_number` objects can be allocated without asking the
    /// backend, and keeps as many Free slabs as that took until the next shrink.
    /// Returns: how many objects can be; fewer than asked for only where the backend refused.
    std::size_t reserve(std::size_t objects_number) noexcept {
        return front_.reserve(objects_number);
    }

    /// Gives all Free slabs back, retained ones too. Returns: how many. Costs: O(slabs given back).
    std::size_t shrink_to_fit() noexcept { return shrink(~std::size_t{0}); }

    /// Gives at most `most` Free slabs back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept { return front_.shrink(most); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Calls f(T*) for every live object. `f` may free the visited one, and else must not call the
    /// cache. Costs: O(slots).
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        front_.for_each([&](std::byte* object) { f(object_in<T>(object)); });
    }

    /// Calls f(const SlabView&) for every slab, the full ones first. `f` must not call the cache.
    /// The cached objects go back to their slabs before. Costs: O(slabs).
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        front_.for_each_slab([&](const SlabRecord& slab_info) { f(SlabView(slab_info, layout)); });
    }

    /// Is `pointer` the start of a live object of this cache? Costs: O(1). Faults only where the
    /// row is found by masking, and `pointer` leads to memory that is not mapped.
    [[nodiscard]] bool owns(const T* pointer) noexcept {
        std::byte* const memory = bytes_of(const_cast<T*>(pointer));
        return memory != nullptr && front_.is_live(front_.find(memory), memory);
    }

    /// Is `pointer` the start of a slot that is out of its slab: a live object, or a cached one?
    /// For a layer that keeps freed objects in front of the cache. It reads nothing
    /// of the cache but what stays as it is while a live object lives, so of such a one it may be
    /// asked without the lock that the cache is under, where the backend's look-up may be.
    /// Costs: O(1).
    [[nodiscard]] bool is_out(const T* pointer) noexcept {
        const std::byte* const memory = bytes_of(const_cast<T*>(pointer));
        return front_.template is_taken<&FreeMap::is_free_unlocked>(front_.find(memory), memory);
    }

    /// The same for many. Returns: how many of the first are out of their slabs; null is not.
    /// Costs: one question to the map, where there is one, for neighbours of one slab.
    [[nodiscard]] std::size_t out_number(std::span<T* const> objects) noexcept {
        std::size_t number = 0;
        while (number < objects.size() && objects[number] != nullptr && is_out(objects[number])) {
            const SlabRecord& slab_info = *front_.find(bytes_of(objects[number]));
            const std::uintptr_t start = address_of(slab_info.slab) + layout.front;
            for (++number; number < objects.size(); ++number) {
                const std::size_t slot = layout.slot_at(address_of(objects[number]) - start);
                if (slot >= layout.slots_per_slab || slab_info.map.is_free_unlocked(slot)) break;
            }
        }
        return number;
    }

    /// Costs: O(1): the cached objects go back to their slabs first, so that the numbers are exact,
    /// and so may Free slabs to the backend.
    [[nodiscard]] CacheStatistics statistics() noexcept { return front_.statistics(); }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept { return layout.object_size; }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept { return layout.slab_size; }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept { return layout.page_size; }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return layout.small() ? ObjectSizeType::Small : ObjectSizeType::Large;
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return layout.objects_per_slab;
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return front_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return front_.backend(); }

    /// Level debug: who allocates and frees from now on, for its reports; nullptr: the return
    /// address of each call.
    void set_tag(const void* tag) noexcept
        requires(Config.checks == Checks::debug)
    {
        front_.set_tag(tag);
    }

    /// Walks everything. Returns: the first inconsistency, or Defect::None; tells no handler and
    /// changes nothing. Costs: O(slots).
    [[nodiscard]] DefectReport validate() noexcept { return front_.validate(); }

private:
    Front front_;  // first: its address is what slabs and reports know of the cache
};

}  // namespace slab_allocator
