#pragma once

// magazine_cache.hpp -- a Cache for many CPUs: what one frees, it allocates again, without a lock.
//
//      CPU 0   loaded, previous  <--.                .--> slabs: a LockedCache --> backend
//      CPU 1   loaded, previous  <--+--> depot  <----'
//      CPU 2   loaded, previous  <--'    full, empty magazines
//              no lock, own line         Lock                Lock, released for the backend
//
// After Bonwick and Adams, "Magazines and Vmem" (2001): see magazine.hpp, depot.hpp, cpu_slot.hpp.
//
// Who holds what
//   - alloc and free, while a magazine serves, execute no atomic read-modify-write, and write the
//     CPU's own slot and the object, no line that CPUs share. At level misuse free reads the
//     object's SlabInfo, and with a map, asks it.
//   - The depot's lock is held for a few pointers, the slabs' lock for one bulk, never both. With
//     either, nothing of the user's is called but the Lock, a look-up of the backend under the
//     slabs' lock, and the defect handler.
//   - The backend is called with no lock held and no slot entered, so it may sleep and call this
//     cache; and by several threads at once (LockedBackend helps). Beside what Config's row asks
//     for, it is asked for slabs of one page, for magazines: by free only.
//   - Cpus::enter ... leave encloses a few instructions, and at most a visit to the depot and, in
//     a bulk, the copying of what two magazines hold.
//
// Wrong frees, at level misuse
//   - Foreign, interior and other caches' pointers, slots that are free in their slab: at the call.
//   - A second free of an object that lies in a magazine, whichever, or at the depot: at the call,
//     where its first 8 bytes were left alone since the first free. Where they were written (a
//     write after free): when the object would be handed out for the second time, or would go to
//     its slab for the second time. It is dropped from the magazine then, and reported as a
//     DoubleFree; so is an object of which nothing is wrong but that write, and its slot is lost
//     until the cache is destroyed.
//   - Two frees of one object at the same instant by two CPUs may both pass; then as above. What
//     lies in two CPUs' magazines, and is taken from both at the same instant, has two owners:
//     nothing that CPUs do to find that out would be free of atomic instructions.
//   - Objects of fewer than 8 bytes take 8.
//   - At level hardened, the guards of an object are looked at on its way to and from its slab; at
//     level debug each alloc and free goes there, under the lock: everything is found at once.
//
// Invariants
//   [Z1] an object is in one of four hands: free in its slab's map, in one magazine (its token on),
//        on its way between these with one caller of a slow path, or the user's
//   [Z2] the core is called by bulks only, so that it caches nothing itself, and what is not
//        free in a slab's map is in a magazine or the user's
//   [Z3] a magazine is allocated with no lock held and no slot entered, and by free only

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/object_calls.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_view.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/cpu_slot.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/depot.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine.hpp>
#include <slab_allocator/magazine/token.hpp>

namespace slab_allocator {

namespace detail {

/// The memory of a T that has room for a token.
template <typename T>
struct alignas(T) WithRoomForToken {
    std::byte bytes[sizeof(Token<>::Word)];
};

template <typename T, bool checked>
using MagazineObject =
    std::conditional_t<checked && sizeof(T) < sizeof(Token<>::Word), WithRoomForToken<T>, T>;

/// Small slabs of a page, or of 4096 bytes, found by masking: every backend can give them.
constexpr CacheConfig config_of_magazines(const CacheConfig& config) noexcept {
    const std::size_t page = config.page_size < 4096 ? 4096 : config.page_size;
    return {.slab_size = page,
            .page_size = page,
            .object_size_type = ObjectSizeType::Small,
            .checks = Checks::none,
            .never_destroyed = config.never_destroyed};
}

}  // namespace detail

template <typename T, typename Backend, CpuPolicy Cpus, BasicLockable Lock,
          CacheConfig Config = CacheConfig{}, typename Atomics = BuiltinAtomics>
class MagazineCache : public ObjectCalls<MagazineCache<T, Backend, Cpus, Lock, Config, Atomics>, T,
                                         Config.checks != Checks::none> {
    static constexpr bool checked = Config.checks != Checks::none;
    static constexpr bool cached =
        Config.checks != Checks::debug;  // as SLUB: debugging comes first
    static constexpr std::size_t slots_number = Cpus::slots_number;
    static constexpr std::size_t most_full_magazines = slots_number < 8 ? 16 : 2 * slots_number;
    static constexpr std::size_t most_at_once = 32;

    using Object = detail::MagazineObject<T, checked>;
    using Slabs = LockedCache<Object, Backend, Lock, Config>;
    using Slot = CpuSlot<Object, Atomics>;
    using Stack = MagazineStack<Object, Atomics>;
    using Magazines = LockedCache<Magazine<Object>, BackendRef<Backend>, Lock,
                                  detail::config_of_magazines(Config)>;

public:
    using value_type = T;
    using backend_type = Backend;
    using lock_type = Lock;
    using cpus_type = Cpus;

    /// Effects: none outside of the cache.
    constexpr MagazineCache() noexcept
        requires std::default_initializable<Backend> && std::default_initializable<Cpus>
        : magazines_(BackendRef<Backend>(slabs_.backend())) {
        slots_[slots_number].close();
    }
    constexpr explicit MagazineCache(Backend backend, Cpus cpus = Cpus{}) noexcept
        requires std::move_constructible<Backend>
        : slabs_(std::move(backend)),
          magazines_(BackendRef<Backend>(slabs_.backend())),
          cpus_(std::move(cpus)) {
        slots_[slots_number].close();
    }

    MagazineCache(const MagazineCache&) = delete;  // its slabs know its address: pass a reference
    MagazineCache& operator=(const MagazineCache&) = delete;

    /// As Cache's. Requires: no other thread is in a call, or will be.
    constexpr ~MagazineCache()
        requires(!Config.never_destroyed)
    {
        Stack all;
        for (Slot& slot : slots_) {
            slot.put_down();
            slot.take_all(all);
        }
        depot_.take_all_full(all);
        depot_.take_all_empty(all);
        give_back(all);
    }
    constexpr ~MagazineCache()
        requires(Config.never_destroyed)
    = default;

    // ---- One object -----------------------------------------------------------------------------

    /// Returns: uninitialised memory for one T, or nullptr: the backend refused, and no magazine
    /// that can be reached had an object (another CPU may have taken it meanwhile). Costs: O(1), a
    /// lock once in a magazine; before nullptr, all that is in magazines goes to the slabs.
    [[nodiscard]] T* alloc() noexcept {
        if constexpr (!cached) return outside(slabs_.alloc());
        Object* object = nullptr;
        if (!cpus_.pop(slots_, object)) [[unlikely]]
            return alloc_slowly();
        if constexpr (checked) {
            if (!Token<Atomics>::take_off(object)) [[unlikely]]
                return drop_and_alloc(object);
        }
        return outside(revealed(object));
    }

    /// Takes back what alloc gave, on whichever CPU; nullptr does nothing. Costs: O(1), a lock once
    /// in a magazine.
    void free(T* pointer) noexcept {
        Object* const object = inside(pointer);
        if constexpr (!cached) return slabs_.free(object);
        if constexpr (checked) {
            if (!is_live(object)) [[unlikely]]
                return refuse(object);
            Token<Atomics>::put_on(object);
        } else {
            if (object == nullptr) return;
        }
        hide(object);
        if (!cpus_.push(slots_, object)) [[unlikely]]
            free_slowly(object);
    }

    // ---- Many at once ---------------------------------------------------------------------------

    /// Fills `objects`, all or none. Returns: whether. Costs: the caller's slot and the depot once
    /// for each two magazines; what these do not have comes from the slabs, under their lock once.
    [[nodiscard]] bool alloc_bulk(std::span<T*> objects) noexcept {
        if constexpr (!cached) return fill_from_slabs(objects);
        const std::size_t done = fill_from_magazines(objects);
        if (done == objects.size() || fill_from_slabs(objects.subspan(done))) return true;
        collect();  // the backend refused
        if (fill_from_slabs(objects.subspan(done))) return true;
        Atomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        free_bulk(objects.first(done));
        return false;
    }

    /// Takes back each of `objects` as free does: one that is refused stops no other. Costs: the
    /// caller's slot and the depot once for each two magazines.
    void free_bulk(std::span<T* const> objects) noexcept {
        if constexpr (!cached) {
            for (T* const object : objects)
                free(object);
            return;
        }
        while (!objects.empty()) {
            const std::size_t right = mark(objects);
            for (T* const object : objects.first(right))
                hide(inside(object));
            if (right > 0) give_to_magazines(objects.first(right));
            if (right == objects.size()) return;
            if constexpr (checked) refuse(inside(objects[right]));
            objects = objects.subspan(right + 1);
        }
    }

    // ---- Slabs ----------------------------------------------------------------------------------

    /// Takes slabs ahead, as Cache's. Returns: for how many objects there are slots in slabs.
    std::size_t reserve(std::size_t objects_number) noexcept {
        return slabs_.reserve(objects_number);
    }

    /// Gives all back that is not live: what lies in magazines, of every CPU that the policy can
    /// reach, the magazines, but for one, empty, that each other CPU may keep, and all Free slabs.
    /// Returns: how many slabs of objects. Costs: a barrier on all CPUs, O(objects in magazines +
    /// slabs given back).
    std::size_t shrink_to_fit() noexcept { return shrink(~std::size_t{0}); }

    /// The same, but of the retained slabs, only until `most` were given back. Returns: how many.
    std::size_t shrink(std::size_t most) noexcept {
        const std::size_t before = slabs_number();
        collect();
        const std::size_t given = before - smaller(before, slabs_number());
        return given + (given < most ? slabs_.shrink(most - given) : 0);
    }

    /// For a timer, or whenever it suits: gives back the magazines that lay idle at the depot since
    /// the last tick, and lets magazines shrink where there was no contention. Costs: O(objects
    /// given back).
    void tick() noexcept {
        Stack idle;
        depot_.tick(idle, idle);
        give_back(idle);
    }

    // ---- Around a fork --------------------------------------------------------------------------

    /// Calls f(lock) for each lock of the cache. Who forks while other threads are in calls, holds
    /// all of them meanwhile, and lets them go in the parent and in the child. (The backend's are
    /// the backend's.)
    template <typename F>
        requires std::invocable<F&, Lock&>
    void for_each_lock(F&& f) noexcept {
        f(slabs_.lock());
        f(magazines_.lock());
        f(depot_.lock());
    }

    /// In the child of a fork, before it makes a thread. Requires: the caller is in no call of this
    /// cache, and every lock is free. The slots of threads that were on a slow path start over:
    /// what was in these is lost, and counts as live. What is in other slots comes back with
    /// shrink_to_fit. Without this call, that may wait for a thread that is not there, for ever.
    void after_fork_in_child() noexcept {
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (slots_[index].claimed() != Claim::nobodys) slots_[index].start_over();
        }
        depot_.forget_visitors();
        cpus_.after_fork_in_child();
    }

    // ---- To look at -----------------------------------------------------------------------------

    /// Calls f(T*) for every live object, under the slabs' lock: `f` must not call the cache.
    /// Empties the magazines first. Requires: no other thread is in a call.
    template <typename F>
        requires std::invocable<F&, T*>
    void for_each(F&& f) {
        collect();
        slabs_.for_each([&](Object* object) { f(outside(object)); });
    }

    /// Calls f(const SlabView&) for every slab, under the slabs' lock: `f` must not call the cache.
    /// What lies in magazines is taken out of its slab.
    template <typename F>
        requires std::invocable<F&, const SlabView&>
    void for_each_slab(F&& f) {
        slabs_.for_each_slab(f);
    }

    /// Is `pointer` the start of a live object of this cache? At level none, one that lies in a
    /// magazine counts as live. Costs: as free, no lock.
    [[nodiscard]] bool owns(const T* pointer) noexcept {
        if constexpr (!cached) return slabs_.owns(inside(const_cast<T*>(pointer)));
        return is_live(inside(const_cast<T*>(pointer)));
    }

    /// Empties the magazines first, so that the numbers are exact where no other thread is in a
    /// call. Peaks count what lay in magazines as allocated; the bytes of the magazines themselves
    /// are not told. Costs: as shrink.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        collect();
        CacheStatistics statistics = slabs_.statistics();
        if constexpr (cached) {
            statistics.failures_number = Atomics::load_relaxed(failures_number_);
        }
        return statistics;
    }

    /// What the depot saw. Costs: a visit to it.
    [[nodiscard]] DepotStatistics depot_statistics() noexcept { return depot_.statistics(); }

    /// As Cache's, of the slabs. Costs: O(slots), under the slabs' lock.
    [[nodiscard]] DefectReport validate() noexcept { return slabs_.validate(); }

    [[nodiscard]] static constexpr std::size_t object_size() noexcept {
        return Slabs::object_size();
    }
    [[nodiscard]] static constexpr std::size_t slab_size() noexcept { return Slabs::slab_size(); }
    [[nodiscard]] static constexpr std::size_t page_size() noexcept { return Slabs::page_size(); }
    [[nodiscard]] static constexpr ObjectSizeType object_size_type() noexcept {
        return Slabs::object_size_type();
    }
    [[nodiscard]] static constexpr std::size_t objects_per_slab() noexcept {
        return Slabs::objects_per_slab();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr const Backend& backend() const noexcept { return slabs_.backend(); }
    [[nodiscard]] constexpr Cpus& cpus() noexcept { return cpus_; }

private:
    /// The caller's slot, its magazines put down, where it has one that nobody else has claimed.
    class Held {
    public:
        explicit Held(MagazineCache& cache) noexcept
            : cache_(cache), held_(cache.cpus_.hold(cache.slots_)) {
            if (held_.slot != nullptr) held_.slot->put_down();
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() {
            if (held_.slot != nullptr) {
                held_.slot->take_up(cache_.depot_.rounds());
                held_.slot->open();
            }
            cache_.cpus_.let_go(held_);
        }
        [[nodiscard]] Slot* slot() const noexcept { return held_.slot; }

    private:
        MagazineCache& cache_;
        decltype(std::declval<Cpus&>().hold(static_cast<Slot*>(nullptr))) held_;
    };

    [[nodiscard]] static T* outside(Object* object) noexcept {
        return static_cast<T*>(static_cast<void*>(object));
    }
    [[nodiscard]] static Object* inside(T* object) noexcept {
        return static_cast<Object*>(static_cast<void*>(object));
    }
    [[nodiscard]] static constexpr std::size_t smaller(std::size_t a, std::size_t b) noexcept {
        return a < b ? a : b;
    }

    /// What lies in a magazine is hidden from AddressSanitizer.
    static void hide(const Object* object) noexcept { detail::hide_alone(object, sizeof(Object)); }
    [[nodiscard]] static Object* revealed(Object* object) noexcept {
        detail::reveal_alone(object, sizeof(Object));
        return object;
    }

    [[nodiscard]] bool is_live(const Object* object) noexcept {
        if (object == nullptr || !slabs_.cache().is_out(object)) return false;  // [Z2]
        if constexpr (checked) return !Token<Atomics>::is_on(object);
        return true;
    }

    // ---- Slow paths of alloc --------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] T* alloc_slowly() noexcept {
        cpus_.join();
        bool stocked = false;
        T* object = nullptr;
        if (take_some(std::span(&object, 1), stocked) != 0) return object;
        if (Object* const one = alloc_from_slabs(stocked)) return outside(one);
        collect();  // the backend refused
        if (Object* const one = alloc_from_slabs(false)) return outside(one);
        Atomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        return nullptr;
    }

    /// `object` came out of a magazine without its token.
    [[nodiscard, gnu::noinline, gnu::cold]] T* drop_and_alloc(Object* object) noexcept {
        drop(object);
        return alloc_slowly();
    }

    /// As many as the caller's slot and the depot have. Returns: how many.
    [[nodiscard]] std::size_t fill_from_magazines(std::span<T*> objects) noexcept {
        cpus_.join();
        std::size_t done = 0;
        bool stocked = false;
        while (done < objects.size()) {
            const std::size_t taken = take_some(objects.subspan(done), stocked);
            if (taken == 0) break;
            done += taken;
        }
        return done;
    }

    /// From the caller's slot, by way of its previous magazine or the depot, with their tokens off.
    /// Returns: how many; 0: there is none. `stocked`: the slot has a magazine.
    [[nodiscard]] std::size_t take_some(std::span<T*> objects, bool& stocked) noexcept {
        for (;;) {
            const std::size_t found = pop_from_magazines(objects, stocked);
            const std::size_t taken = found - drop_without_token(objects.first(found));
            for (T* const object : objects.first(taken))
                static_cast<void>(revealed(inside(object)));
            if (taken != 0 || found == 0) return taken;
        }
    }

    /// Takes the tokens off; those that had one come first then. Returns: how many had none.
    [[nodiscard]] std::size_t drop_without_token(std::span<T*> objects) noexcept {
        if constexpr (!checked) return 0;
        std::size_t kept = 0;
        while (kept < objects.size() && Token<Atomics>::take_off(objects[kept]))
            ++kept;
        for (std::size_t index = kept; index < objects.size(); ++index) {
            if (Token<Atomics>::take_off(objects[index])) {
                objects[kept++] = objects[index];
            } else {
                drop(inside(objects[index]));
            }
        }
        return objects.size() - kept;
    }

    /// What two magazines have at most. Returns: how many.
    [[nodiscard]] std::size_t pop_from_magazines(std::span<T*> objects, bool& stocked) noexcept {
        const Held held(*this);
        Slot* const slot = held.slot();
        if (slot == nullptr) return 0;
        stocked = true;
        std::size_t done = 0;
        if (slot->loaded() != nullptr) done = slot->loaded()->take(objects);
        if (done == objects.size()) return done;  // still, on this CPU
        Magazine<Object>* const previous = slot->previous();
        if (previous != nullptr && previous->number != 0) {
            slot->exchange();
        } else if (Magazine<Object>* const full = depot_.trade_empty(previous)) {
            slot->rotate(full);
        } else {
            if (slot->loaded() == nullptr) slot->rotate(depot_.take_empty());
            stocked = slot->loaded() != nullptr;
            return done;
        }
        return done + slot->loaded()->take(objects.subspan(done));
    }

    /// All or none. Returns: whether.
    [[nodiscard]] bool fill_from_slabs(std::span<T*> objects) noexcept {
        if constexpr (std::is_same_v<T, Object>) {
            if (!slabs_.alloc_bulk(objects)) return false;
        } else {
            Object* batch[most_at_once];
            for (std::size_t done = 0, number = 0; done < objects.size(); done += number) {
                number = smaller(most_at_once, objects.size() - done);
                if (!slabs_.alloc_bulk(std::span<Object*>(batch, number))) {
                    free_to_slabs(std::span<T* const>(objects.first(done)));
                    return false;
                }
                for (std::size_t index = 0; index < number; ++index)
                    objects[done + index] = outside(batch[index]);
            }
        }
        if constexpr (cached && checked) {
            for (T* const object : objects)
                Token<Atomics>::clear(object);  // [K1]
        }
        return true;
    }

    /// Where the slot is stocked, takes some more along for it.
    [[nodiscard]] Object* alloc_from_slabs(bool stocked) noexcept {
        Object* batch[most_at_once];
        std::size_t number = stocked ? smaller(most_at_once, depot_.rounds()) : 1;
        number = smaller(number, objects_per_slab());
        if (!slabs_.alloc_bulk(std::span<Object*>(batch, number))) {
            if (number == 1 || !slabs_.alloc_bulk(std::span<Object*>(batch, 1))) return nullptr;
            number = 1;
        }
        if (number > 1) stock(std::span<Object* const>(batch + 1, number - 1));
        if constexpr (checked) Token<Atomics>::clear(batch[0]);  // [K1]
        return batch[0];
    }

    /// Puts objects into the caller's slot; what finds no room goes back.
    void stock(std::span<Object* const> objects) noexcept {
        if constexpr (checked) {
            for (Object* const object : objects)
                Token<Atomics>::put_on(object);
        }
        for (Object* const object : objects)
            hide(object);
        std::size_t left = objects.size();
        {
            const Held held(*this);
            if (held.slot() != nullptr && held.slot()->loaded() != nullptr) {
                left -= held.slot()->loaded()->put(objects, depot_.rounds());
            }
        }
        if (left > 0) give_to_slabs(objects.last(left));
    }

    // ---- Slow paths of free ---------------------------------------------------------------------

    [[gnu::noinline]] void free_slowly(Object* object) noexcept {
        give_to_magazines(std::span<Object* const>(&object, 1));
    }

    /// Puts the tokens on, up to an object that is not live. Returns: how many are.
    [[nodiscard]] std::size_t mark(std::span<T* const> objects) noexcept {
        std::size_t number = 0;
        if constexpr (!checked) {
            while (number < objects.size() && objects[number] != nullptr)
                ++number;
        } else if constexpr (std::is_same_v<T, Object>) {
            const std::size_t out = slabs_.cache().out_number(objects);
            for (; number < out && !Token<Atomics>::is_on(objects[number]); ++number)
                Token<Atomics>::put_on(objects[number]);
        } else {
            for (; number < objects.size() && is_live(inside(objects[number])); ++number)
                Token<Atomics>::put_on(objects[number]);
        }
        return number;
    }

    /// Objects with their tokens.
    template <typename Pointer>
    void give_to_magazines(std::span<Pointer const> objects) noexcept {
        cpus_.join();
        while (!objects.empty()) {
            Magazine<Object>* surplus = nullptr;
            const std::size_t pushed = push_to_magazines(objects, surplus);
            objects = objects.subspan(pushed);
            if (pushed != 0) continue;
            const bool many = objects.size() >= depot_.rounds();
            if (surplus != nullptr) {
                empty(*surplus);
                depot_.put_empty(*surplus);
                if (many) return give_to_slabs(objects);
            } else if (!has_slot() || !add_magazine()) {
                return give_to_slabs(objects);
            }
        }
    }

    /// By way of the slot's previous magazine or the depot. Returns: how many, of what two
    /// magazines take. `surplus`: there is no room, and this full one has none at the depot.
    template <typename Pointer>
    [[nodiscard]] std::size_t push_to_magazines(std::span<Pointer const> objects,
                                                Magazine<Object>*& surplus) noexcept {
        const Held held(*this);
        Slot* const slot = held.slot();
        if (slot == nullptr) return 0;
        const std::size_t rounds = depot_.rounds();
        std::size_t done = 0;
        if (slot->loaded() != nullptr) done = slot->loaded()->put(objects, rounds);
        if (done == objects.size()) return done;  // still, on this CPU
        Magazine<Object>* const previous = slot->previous();
        if (previous != nullptr && previous->number < rounds) {
            slot->exchange();
        } else if (Magazine<Object>* const empty = depot_.trade_full(previous)) {
            slot->rotate(empty);
        } else {
            if (done == 0 && previous != nullptr && depot_.crowded()) {
                surplus = slot->take_previous();
            }
            return done;
        }
        return done + slot->loaded()->put(objects.subspan(done), rounds);
    }

    [[nodiscard]] bool has_slot() noexcept { return Held(*this).slot() != nullptr; }

    /// [Z3]
    [[nodiscard]] bool add_magazine() noexcept {
        if (detail::memcheck_watches()) return false;  // every call is to be seen by the core
        Magazine<Object>* const magazine = magazines_.create();
        if (magazine != nullptr) depot_.put_empty(*magazine);
        return magazine != nullptr;
    }

    /// Objects with their tokens go back to their slabs, under one lock; one without is dropped.
    template <typename Pointer>
    void give_to_slabs(std::span<Pointer const> objects) noexcept {
        if constexpr (checked) {
            std::size_t right = 0;
            while (right < objects.size()) {
                if (Token<Atomics>::take_off(objects[right])) [[likely]] {
                    ++right;
                    continue;
                }
                free_to_slabs(objects.first(right));
                drop(static_cast<Object*>(static_cast<void*>(objects[right])));
                objects = objects.subspan(right + 1);
                right = 0;
            }
        }
        free_to_slabs(objects);
    }

    /// Objects without tokens. [Z2]
    template <typename Pointer>
    void free_to_slabs(std::span<Pointer const> objects) noexcept {
        if constexpr (std::is_same_v<Pointer, Object*>) {
            slabs_.free_bulk(objects);
        } else {
            Object* batch[most_at_once];
            while (!objects.empty()) {
                const std::size_t number = smaller(most_at_once, objects.size());
                for (std::size_t index = 0; index < number; ++index)
                    batch[index] = inside(objects[index]);
                slabs_.free_bulk(std::span<Object* const>(batch, number));
                objects = objects.subspan(number);
            }
        }
    }

    void empty(Magazine<Object>& magazine) noexcept {
        if (magazine.number == 0) return;
        give_to_slabs(std::span<Object* const>(magazine.objects()));
        magazine.number = 0;
    }

    // ---- All CPUs -------------------------------------------------------------------------------

    /// Everything that lies in a magazine goes to its slab, and the magazines go, too, but those
    /// that other CPUs have loaded where the policy cannot tell whether they are pushing there.
    void collect() noexcept {
        Stack all;
        {
            const Held held(*this);
            if (held.slot() != nullptr) held.slot()->take_all(all);
        }
        empty_others(all);
        depot_.take_all_full(all);
        depot_.take_all_empty(all);
        give_back(all);
        magazines_.shrink_to_fit();
    }

    void empty_others(Stack& to) noexcept {
        bool claimed[slots_number];
        for (std::size_t index = 0; index < slots_number; ++index)
            claimed[index] = claim(slots_[index]);
        const Reach reach = cpus_.synchronise();
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (!claimed[index]) continue;  // somebody else empties it
            Slot& slot = slots_[index];
            if (reach == Reach::magazines) {
                slot.put_down();
                slot.take_all(to);
            } else if (reach == Reach::objects) {
                const std::span<Object*> objects = slot.objects();
                give_to_slabs(std::span<Object* const>(objects));
                slot.forget(objects);
                if (Magazine<Object>* const previous = slot.take_previous()) to.push(*previous);
            }
            slot.open();
        }
    }

    /// Returns: false: somebody else empties the slot.
    [[nodiscard]] bool claim(Slot& slot) noexcept {
        while (!slot.claim(Claim::outsiders)) {
            if (slot.claimed() == Claim::outsiders) return false;
            cpus_.wait();
        }
        return true;
    }

    void give_back(Stack& magazines) noexcept {
        while (Magazine<Object>* const magazine = magazines.pop()) {
            empty(*magazine);
            magazines_.destroy(magazine);
        }
    }

    [[nodiscard]] std::size_t slabs_number() noexcept { return slabs_.statistics().slabs_number(); }

    // ---- Defects --------------------------------------------------------------------------------

    /// free of what is not live; null is no defect. What is wrong with a slot that is no object of
    /// this cache, or that is free, the core knows.
    [[gnu::noinline, gnu::cold]] void refuse(Object* object) noexcept {
        if (object == nullptr) return;
        if (slabs_.cache().is_out(object)) return drop(object);
        slabs_.free_bulk(std::span<Object* const>(&object, 1));
    }

    /// `object` is in a magazine already, or was.
    [[gnu::noinline, gnu::cold]] void drop(Object* object) noexcept {
        report({.defect = Defect::DoubleFree, .pointer = object, .cache = this});
    }

    Slabs slabs_;  // first, so that the cache has one address in every DefectReport
    Magazines magazines_;
    Depot<Object, Lock, most_full_magazines, Atomics> depot_;
    [[no_unique_address]] Cpus cpus_{};
    std::size_t failures_number_ = 0;
    Slot slots_[slots_number + 1];  // the last one is closed: for callers without a slot
};

}  // namespace slab_allocator
