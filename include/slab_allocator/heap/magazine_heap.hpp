#pragma once

// magazine_heap.hpp -- a heap for many CPUs: what one frees, it allocates again, without a lock.
//
//      CPU 0   front: a stack of blocks for each class  <--.
//      CPU 1   front                                    <--+--> ClassSlabs [0 .. 63] --> backend
//      CPU 2   front                                    <--'         a Lock each, released for the
//              no lock, own pages                       runs ------> backend
//
// As MagazineCache, with all classes of a CPU in one front (heap_front.hpp), and half a stack at a
// time between it and the slabs.
//
// Who holds what
//   - alloc and free, while a front serves, execute no atomic read-modify-write, and write the
//     CPU's own front and the block, no line that CPUs share. free asks the backend's map, without
//     a lock: it must bear a look-up beside a save of other pages (RadixMap, FlatMap, or a
//     LockedBackend around them).
//   - A class's lock is held for half a stack of blocks. No two locks are held at once, and with
//     one, nothing of the user's is called but the map's look-up and the defect handler.
//   - The backend is called with no lock held and no front entered, by several threads at once.
//   - Cpus::enter ... leave encloses a few instructions, or the copying of half a stack.
//
// Wrong frees, at level misuse, are found as MagazineCache finds them: a second free of a block
// that lies in a front, by the token in its first 8 bytes, so at the call where they were left
// alone, else before the block would be handed out twice.
//
// At levels hardened and debug a block has the guards of a free one from its free to its next
// alloc, and no token; they are looked at without a lock.
//
// Invariants
//   [M1] a block is in one of four hands: free in its slab's map, in one front (at level misuse its
//        token on), on its way between these with one caller of a slow path, or the user's
//   [M2] ClassSlabs are called by bulks only: what is not free in a map is out of its slab

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memcheck.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/poison.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/heap/heap_blocks.hpp>
#include <slab_allocator/heap/heap_calls.hpp>
#include <slab_allocator/heap/heap_front.hpp>
#include <slab_allocator/heap/heap_statistics.hpp>
#include <slab_allocator/heap/size_classes.hpp>
#include <slab_allocator/magazine/cpu_slot.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/token.hpp>
#include <slab_allocator/magazine/unlocking_backend.hpp>

namespace slab_allocator {

template <typename Backend, PinnedCpuPolicy Cpus, BasicLockable Lock,
          HeapConfig Config = HeapConfig{}>
    requires(size_classes::check<Config>() && check_memory_backend<Backend, Row::LargeByMap>())
class MagazineHeap : public HeapCalls<MagazineHeap<Backend, Cpus, Lock, Config>, Config> {
    using Calls = HeapCalls<MagazineHeap, Config>;
    friend Calls;
    static constexpr bool guarded = guards_objects(Config.checks);
    static constexpr bool has_tokens = Config.checks == Checks::misuse;
    using ClassBackend = UnlockingBackend<BackendRef<Backend>, Lock>;
    using Blocks = HeapBlocks<ClassBackend, Config, Config.small_slabs>;
    using Slabs = typename Blocks::Slabs;
    using Found = typename Blocks::Found;
    static constexpr std::size_t slots_number = Cpus::slots_number;

public:
    using backend_type = Backend;
    using Calls::alloc;  // aligned
    using Calls::free;   // of a known size
    using cpus_type = Cpus;
    using lock_type = Lock;

    static constexpr std::size_t classes_number = Blocks::classes_number;

    /// Effects: none outside of the heap.
    constexpr MagazineHeap() noexcept
        requires std::default_initializable<Backend> && std::default_initializable<Cpus>
        : blocks_(BackendRef<Backend>(backend_), this) {}
    constexpr explicit MagazineHeap(Backend backend, Cpus cpus = Cpus{}) noexcept
        requires std::move_constructible<Backend>
        : backend_(std::move(backend)),
          cpus_(std::move(cpus)),
          blocks_(BackendRef<Backend>(backend_), this) {}

    MagazineHeap(const MagazineHeap&) = delete;
    MagazineHeap& operator=(const MagazineHeap&) = delete;

    /// As Heap's. Requires: no other thread is in a call, or will be.
    constexpr ~MagazineHeap()
        requires(!Config.never_destroyed)
    {
        give_back_everything();
    }
    constexpr ~MagazineHeap()
        requires(Config.never_destroyed)
    = default;

    // ---- One block: as Heap's -------------------------------------------------------------------

    [[nodiscard]] void* alloc(std::size_t size) noexcept {
        if constexpr (guarded) return Calls::alloc_guarded(size);
        if (size > Config.largest_object) [[unlikely]]
            return alloc_run(size, 1);
        return take(size_classes::ClassTable<Config>::class_of(size));
    }

    void free(void* block) noexcept { free_found(block, look_up(block)); }

    // ---- To look at -----------------------------------------------------------------------------

    /// Empties the fronts first, so that the numbers are exact where no other thread is in a call.
    /// Costs: as shrink_to_fit, and O(slabs).
    [[nodiscard]] HeapStatistics statistics() noexcept {
        collect();
        HeapStatistics result{.failures_number = BuiltinAtomics::load_relaxed(failures_number_)};
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            Blocks::add(result, slabs);
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        blocks_.add_runs(result);
        return result;
    }

    /// As Heap's, of the slabs and the runs, each under its lock.
    [[nodiscard]] DefectReport validate() noexcept {
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            const DefectReport wrong = slabs.validate(false);
            if (wrong.defect != Defect::None) return wrong;
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.validate();
    }

    /// Gives all back that is not live: what lies in fronts, of every CPU that the policy can
    /// reach, and all Free slabs. Returns: how many slabs. Costs: a barrier on all CPUs, O(blocks
    /// in fronts + classes + slabs given back).
    std::size_t shrink_to_fit() noexcept {
        collect();
        return shrink_slabs();
    }

    /// Gives all back that is not live and that the caller reaches without a barrier: what lies in
    /// its own front, and Free slabs. To be called now and then while the heap grows, by the
    /// backend, too. Returns: how many slabs. Costs: O(classes + blocks + slabs given back).
    std::size_t shrink() noexcept {
        collect_own();
        return shrink_slabs();
    }

    [[nodiscard]] constexpr Backend& backend() noexcept { return backend_; }
    [[nodiscard]] constexpr Cpus& cpus() noexcept { return cpus_; }

    /// Calls f(lock) for every lock of the heap, in one order: for a fork, which must find all of
    /// them held by the caller.
    template <typename F>
    void for_each_lock(F f) noexcept {
        for (Slabs& slabs : blocks_.slabs)
            f(lock_of(slabs));
        f(blocks_.runs.backend().lock());
    }

    /// In the child of a fork, in which the caller is alone: what the fronts of the other threads
    /// held, in whichever moment they were, is nobody's. Requires: every lock is free.
    void abandon_other_fronts() noexcept {
        auto pin = cpus_.enter();
        for (std::size_t index = 0; index < slots_number; ++index) {
            if (index != index_of(pin)) fronts_[index] = nullptr;
        }
        cpus_.leave(pin);
    }

private:
    using Front = HeapFront<classes_number>;
    static constexpr std::size_t front_bytes = align_up(sizeof(Front), Config.page_size);
    static constexpr std::size_t most_at_once = 127;

    /// How many blocks go between the slabs and a stack of `rounds`: half of it; one where it is
    /// short, because who has asked once may never again.
    [[nodiscard]] static constexpr std::size_t at_once(std::size_t rounds) noexcept {
        const std::size_t half = rounds <= 4 ? 1 : rounds / 2;
        return half < most_at_once ? half : most_at_once;
    }

    /// A block of a class from the caller's front, or a slab. Returns: nullptr where there is none.
    [[nodiscard]] void* take(std::size_t number) noexcept {
        auto pin = cpus_.enter();
        Front* const front = front_of(pin);
        std::byte* block = nullptr;
        const bool done = front != nullptr && (*front)[number].pop(block);
        cpus_.leave(pin);
        if (!done) [[unlikely]]
            return alloc_slowly(number);
        if constexpr (has_tokens) {
            if (!Token<>::take_off(block)) [[unlikely]]
                return drop_and_alloc(block, number);
        }
        if constexpr (!guarded) detail::reveal_alone(block, size_classes::size_of_class(number));
        return block;
    }

    /// `slab_info` is what the map answers for the block.
    void free_found(void* block, SlabInfo* slab_info) noexcept {
        if (slab_info == nullptr) [[unlikely]]
            return refuse(block);
        if (!blocks_.is_of_class(*slab_info)) [[unlikely]]
            return free_run(block, *slab_info);
        Slabs& slabs = blocks_.class_of(*slab_info);
        if constexpr (guarded) return Calls::free_guarded(block, *slab_info, slabs);
        if constexpr (has_tokens) {
            if (!slabs.is_out(block, *slab_info) || Token<>::is_on(block)) [[unlikely]]
                return refuse(block);
            Token<>::put_on(block);
        }
        detail::hide_alone(block, slabs.object_size());  // from AddressSanitizer
        put(block, slabs.number());
    }

    /// Into the caller's front, or back to its slab.
    void put(void* block, std::size_t number) noexcept {
        auto pin = cpus_.enter();
        Front* const front = front_of(pin);
        const bool done = front != nullptr && (*front)[number].push(static_cast<std::byte*>(block));
        cpus_.leave(pin);
        if (!done) [[unlikely]]
            free_slowly(static_cast<std::byte*>(block), number);
    }

    /// Whose secret the block's guards have.
    [[nodiscard]] Slabs& slabs_with(const void* block, std::size_t number) noexcept {
        return Blocks::layouts_number == 1 ? blocks_.slabs[number]
                                           : blocks_.class_of(*look_up(block));
    }

    // ---- Fronts ---------------------------------------------------------------------------------

    [[nodiscard]] static constexpr std::size_t index_of(const typename Cpus::Pin& pin) noexcept {
        return pin.offset / cpu_slot_size;
    }
    /// nullptr: there is none yet.
    [[nodiscard]] Front* front_at(std::size_t index) noexcept {
        return BuiltinAtomics::load_acquire(fronts_[index]);
    }
    /// The caller's; nullptr: it has none yet, or no slot. front_at(index_of(pin)), but the offset
    /// is scaled in one step: an instruction less in each call.
    [[nodiscard]] Front* front_of(const typename Cpus::Pin& pin) noexcept {
        auto* const first = static_cast<std::byte*>(static_cast<void*>(fronts_));
        std::byte* const place = first + pin.offset / (cpu_slot_size / sizeof(Front*));
        return BuiltinAtomics::load_acquire(*static_cast<Front**>(static_cast<void*>(place)));
    }

    /// Gives the caller a front where it has a slot without one.
    void add_front() noexcept {
        if (detail::memcheck_watches()) return;  // the slabs are to see every call
        cpus_.join();
        auto pin = cpus_.enter();
        const std::size_t index = index_of(pin);
        cpus_.leave(pin);
        if (index == slots_number || front_at(index) != nullptr) return;
        void* const memory = backend_.alloc_slab(front_bytes, Config.page_size);
        if (memory == nullptr) return;
        Front* const front = ::new (memory) Front;
        Front* expected = nullptr;
        if (!__atomic_compare_exchange_n(&fronts_[index], &expected, front, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED)) {
            backend_.free_slab(memory, front_bytes, Config.page_size);
        }
    }

    /// The caller's stack of a class, claimed, where it has one that nobody else has claimed.
    class Held {
    public:
        Held(MagazineHeap& heap, std::size_t number) noexcept
            : cpus_(heap.cpus_), pin_(cpus_.enter()) {
            Front* const front = heap.front_of(pin_);
            if (front == nullptr || !(*front)[number].claim(Claim::owners)) return;
            stack_ = &(*front)[number];
            memory_ = front->memory_of(number);
        }
        Held(const Held&) = delete;
        Held& operator=(const Held&) = delete;
        ~Held() {
            if (stack_ != nullptr) stack_->open(memory_);
            cpus_.leave(pin_);
        }
        [[nodiscard]] bool claimed() const noexcept { return stack_ != nullptr; }
        [[nodiscard]] std::size_t grow() const noexcept { return stack_->grow(memory_); }
        [[nodiscard]] std::size_t put(std::span<std::byte*> blocks) const noexcept {
            return stack_->put(memory_, blocks);
        }
        [[nodiscard]] std::size_t take_oldest(std::span<std::byte*> to) const noexcept {
            return stack_->take_oldest(memory_, to);
        }
        [[nodiscard]] std::size_t take_to_empty(std::span<std::byte*> to,
                                                std::size_t rounds) const noexcept {
            return stack_->take_to_empty(memory_, to, rounds);
        }

    private:
        Cpus& cpus_;
        typename Cpus::Pin pin_;
        typename Front::Stack* stack_ = nullptr;
        std::span<std::byte*> memory_;
    };

    // ---- Slow paths of alloc --------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_slowly(std::size_t number) noexcept {
        add_front();
        std::size_t wanted = 1;
        {
            const Held held(*this, number);
            if (held.claimed()) wanted = at_once(held.grow());
        }
        std::byte* batch[most_at_once];
        std::size_t got = take_from_slabs(number, std::span(batch).first(wanted));
        if (got == 0) {  // the backend refused
            collect();
            shrink_slabs();
            got = take_from_slabs(number, std::span(batch).first(1));
        }
        if (got == 0) {
            BuiltinAtomics::fetch_add_relaxed(failures_number_, std::size_t{1});
            return nullptr;
        }
        if (got > 1) stock(number, std::span(batch).subspan(1, got - 1));
        if constexpr (has_tokens) Token<>::clear(batch[0]);
        return batch[0];
    }

    [[nodiscard, gnu::noinline, gnu::cold]] void* drop_and_alloc(void* block,
                                                                 std::size_t number) noexcept {
        drop(block);
        return alloc_slowly(number);
    }

    [[nodiscard]] std::size_t take_from_slabs(std::size_t number,
                                              std::span<std::byte*> to) noexcept {
        std::size_t got = 0;
        for (std::size_t index = number;
             got == 0 && index < classes_number * Blocks::layouts_number; index += classes_number) {
            Slabs& slabs = blocks_.slabs[index];
            const LockGuard<Lock> guard(lock_of(slabs));
            got = slabs.alloc_bulk(to);
        }
        return got;
    }

    /// Puts blocks into the caller's front; what finds no room goes back.
    void stock(std::size_t number, std::span<std::byte*> blocks) noexcept {
        if constexpr (has_tokens) {
            for (std::byte* const block : blocks)
                Token<>::put_on(block);
        }
        if constexpr (!guarded) {
            for (std::byte* const block : blocks)
                detail::hide_alone(block, size_classes::size_of_class(number));
        }
        std::size_t put = 0;
        {
            const Held held(*this, number);
            if (held.claimed()) put = held.put(blocks);
        }
        give_to_slabs(number, blocks.first(blocks.size() - put));
    }

    // ---- Slow paths of free ---------------------------------------------------------------------

    /// The older half of the front's blocks make room.
    [[gnu::noinline]] void free_slowly(std::byte* block, std::size_t number) noexcept {
        add_front();
        std::byte* batch[most_at_once];
        std::size_t taken = 0;
        {
            const Held held(*this, number);
            if (held.claimed()) {
                const std::span one(&block, 1);
                if (held.put(one) == 1) return;  // on another CPU by now
                const std::size_t room = held.grow();
                if (held.put(one) == 1) return;
                taken = held.take_oldest(std::span(batch).first(at_once(room)));
                static_cast<void>(held.put(one));  // it was full, so one was taken
            } else {
                batch[taken++] = block;
            }
        }
        give_to_slabs(number, std::span(batch).first(taken));
    }

    /// Blocks with their tokens go back to their slabs; one without is dropped.
    void give_to_slabs(std::size_t number, std::span<std::byte*> blocks) noexcept {
        if (blocks.empty()) return;
        blocks = blocks.first(give_to(blocks_.slabs[number], blocks));
        if constexpr (Blocks::layouts_number > 1) {
            if (!blocks.empty())
                static_cast<void>(give_to(blocks_.slabs[number + classes_number], blocks));
        }
    }
    /// Returns: how many of the blocks, now the first ones, are of the other layout.
    std::size_t give_to(Slabs& slabs, std::span<std::byte*> blocks) noexcept {
        std::size_t others = 0;
        const LockGuard<Lock> guard(lock_of(slabs));
        for (std::byte* const block : blocks) {
            SlabInfo& slab_info = *look_up(block);
            if (Blocks::layouts_number > 1 && slab_info.owner != &slabs) {
                blocks[others++] = block;
                continue;
            }
            if constexpr (has_tokens) {
                if (!Token<>::take_off(block)) [[unlikely]] {
                    drop(block);
                    continue;
                }
            }
            if (!slabs.free(block, slab_info)) [[unlikely]]
                drop(block);
        }
        slabs.flush_current();  // [M2]
        return others;
    }

    // ---- All CPUs -------------------------------------------------------------------------------

    /// Everything that lies in a front goes to its slab. Who needs a claimed stack meanwhile goes
    /// to the slabs.
    void collect() noexcept {
        ClassSet claimed[slots_number] = {};  // a front may be new when they are looked at again
        for_each_stack([&](std::size_t index, std::size_t number, Front& front) {
            if (front[number].claim(Claim::outsiders)) claimed[index].add(number);
        });
        const bool reached = cpus_.synchronise() != Reach::own;
        for_each_stack([&](std::size_t index, std::size_t number, Front& front) {
            if (!claimed[index].has(number)) return;  // somebody else empties it
            if (reached) empty(front, number);
            front[number].open(front.memory_of(number));
        });
        if (!reached) collect_own();
    }

    class ClassSet {
    public:
        void add(std::size_t number) noexcept { words_[number / 64] |= bit(number); }
        [[nodiscard]] bool has(std::size_t number) const noexcept {
            return (words_[number / 64] & bit(number)) != 0;
        }

    private:
        [[nodiscard]] static constexpr std::uint64_t bit(std::size_t number) noexcept {
            return std::uint64_t{1} << (number % 64);
        }
        std::uint64_t words_[divide_up(classes_number, 64)] = {};
    };

    template <typename F>
    void for_each_stack(F f) noexcept {
        for (std::size_t index = 0; index < slots_number; ++index) {
            Front* const front = front_at(index);
            if (front == nullptr) continue;
            for (std::size_t number = 0; number < classes_number; ++number)
                f(index, number, *front);
        }
    }

    void collect_own() noexcept {
        std::byte* batch[most_at_once];
        for (std::size_t number = 0; number < classes_number; ++number) {
            const std::size_t rounds = Front::first_rounds(number);
            std::size_t taken = 0;
            do {
                {
                    const Held held(*this, number);
                    taken = held.claimed() ? held.take_to_empty(batch, rounds) : 0;
                }
                give_to_slabs(number, std::span(batch).first(taken));
            } while (taken != 0);
        }
    }

    /// Requires: claimed from outside, and a barrier; or alone.
    void empty(Front& front, std::size_t number) noexcept {
        const std::span<std::byte*> blocks = front[number].blocks(front.memory_of(number));
        give_to_slabs(number, blocks);
        front[number].forget(blocks.size());
    }

    std::size_t shrink_slabs() noexcept {
        std::size_t given = 0;
        for (Slabs& slabs : blocks_.slabs) {
            const LockGuard<Lock> guard(lock_of(slabs));
            given += slabs.shrink_to_fit();
        }
        return given;
    }

    constexpr void give_back_everything() noexcept {
        for_each_stack(
            [&](std::size_t, std::size_t number, Front& front) { empty(front, number); });
        for (Front*& front : fronts_) {
            if (front == nullptr) continue;
            backend_.free_slab(front, front_bytes, Config.page_size);
            front = nullptr;
        }
        for (Slabs& slabs : blocks_.slabs)
            slabs.backend().no_longer_shared();
        blocks_.runs.backend().no_longer_shared();
        blocks_.give_back_everything(this);
    }

    // ---- Runs -----------------------------------------------------------------------------------

    [[nodiscard, gnu::noinline]] void* alloc_run(std::size_t size, std::size_t alignment) noexcept {
        void* run = try_run(size, alignment);
        if (run == nullptr && shrink_to_fit() != 0) run = try_run(size, alignment);
        if (run == nullptr) BuiltinAtomics::fetch_add_relaxed(failures_number_, std::size_t{1});
        return run;
    }
    [[nodiscard]] void* try_run(std::size_t size, std::size_t alignment) noexcept {
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.alloc(size, alignment);
    }
    [[nodiscard]] bool resize_run(SlabInfo& run, std::size_t size) noexcept
        requires(Config.backend_resizes)
    {
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        return blocks_.runs.resize(run, size);
    }
    [[gnu::noinline]] void free_run(void* block, SlabInfo& slab_info) noexcept {
        if (slab_info.owner != &blocks_.runs || !blocks_.runs.is_live(block, slab_info))
            [[unlikely]] {
            return refuse(block);
        }
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        blocks_.runs.free(slab_info);
    }

    // ---- Looking --------------------------------------------------------------------------------

    [[nodiscard]] static Lock& lock_of(Slabs& slabs) noexcept { return slabs.backend().lock(); }
    [[nodiscard]] SlabInfo* look_up(const void* block) noexcept {
        return Blocks::Pages::find(backend_, block);
    }
    [[nodiscard]] Found find(const void* block) noexcept {
        SlabInfo* const slab_info = look_up(block);
        return blocks_.find(block, slab_info, [&](Slabs& slabs) {
            if constexpr (guarded) return slabs.is_sound(block, *slab_info);
            const bool out = slabs.is_out(block, *slab_info);
            return has_tokens ? out && !Token<>::is_on(block) : out;
        });
    }

    // ---- Defects --------------------------------------------------------------------------------

    /// nullptr is no defect.
    [[gnu::noinline, gnu::cold]] void refuse(void* block) noexcept {
        if (block == nullptr) return;
        SlabInfo* const slab_info = look_up(block);
        Slabs* const slabs = blocks_.slabs_of(slab_info);
        if (!guarded && slabs != nullptr && slabs->is_out(block, *slab_info)) return drop(block);
        const LockGuard<Lock> guard(blocks_.runs.backend().lock());
        report(blocks_.diagnose(block, slab_info, this));
    }
    /// The block is in a front already, or was.
    [[gnu::noinline, gnu::cold]] void drop(void* block) noexcept {
        report({.defect = Defect::DoubleFree, .pointer = block, .cache = this});
    }

    Backend backend_{};
    [[no_unique_address]] Cpus cpus_{};
    std::size_t failures_number_ = 0;
    Blocks blocks_;
    Front* fronts_[slots_number + 1] = {};  // the last one: for callers without a slot, none
};

}  // namespace slab_allocator
