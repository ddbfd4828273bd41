#pragma once

// policies.hpp -- what the caches of magazine/ are given in place of a machine: each access, lock,
// barrier and call of the backend is a step of Machine.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/magazine/cpus.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/slot_numbers.hpp>

#include "machine.hpp"

namespace interleavings {

struct Place {
    std::size_t cpu = 0;
    std::size_t entered = 0;  // how many slots it is in
    bool ended = false;
};

/// Where each thread of an execution runs. Outside of the threads, `outside` counts.
struct Places {
    [[nodiscard]] static Place& mine() noexcept {
        Machine& machine = Machine::now();
        return machine.in_thread() ? of[machine.thread()] : outside;
    }

    static inline std::array<Place, Machine::most_threads> of{};
    static inline Place outside{};
};

struct CheckedAtomics {
    template <typename T>
    [[nodiscard]] static T load_relaxed(const T& word) noexcept {
        return Machine::now().load(word, false);
    }
    template <typename T>
    [[nodiscard]] static T load_acquire(const T& word) noexcept {
        return Machine::now().load(word, true);
    }
    template <typename T>
    static void store_relaxed(T& word, T value) noexcept {
        if (value == T{} - T{1} && outside_of_slot(Mutation::floor_stays)) return;
        if (value == T{} && outside_of_slot(Mutation::limit_stays)) return;
        Machine::now().store(word, value, false);
    }
    template <typename T>
    static void store_release(T& word, T value) noexcept {
        if (sizeof(T) == 1 && outside_of_slot(Mutation::stays_claimed)) return;
        Machine::now().store(word, value, true);
    }

    template <typename T>
    static T exchange(T& word, T value) noexcept {
        return modify(word, true, true, Mutation::split_exchange, [&](T& now) { now = value; });
    }
    template <typename T>
    static T fetch_add_relaxed(T& word, T value) noexcept {
        return modify(word, false, false, Mutation::split_fetch_add, [&](T& now) { now += value; });
    }
    template <typename T>
    static T fetch_sub_relaxed(T& word, T value) noexcept {
        return modify(word, false, false, Mutation::split_fetch_add, [&](T& now) { now -= value; });
    }
    template <typename T>
    static T fetch_and_release(T& word, T value) noexcept {
        const bool releases = Machine::now().mutation != Mutation::give_back_relaxed;
        return modify(word, false, releases, Mutation::none, [&](T& now) { now &= value; });
    }
    template <typename T>
    [[nodiscard]] static bool compare_exchange_acquire(T& word, T& expected, T value) noexcept {
        const T before = modify(word, true, false, Mutation::split_compare, [&](T& now) {
            if (now == expected) now = value;
        });
        const bool done = before == expected;
        expected = before;
        return done;
    }

    static void compiler_fence() noexcept { Machine::now().compiler_fence(); }
    static void touch(const void* memory) noexcept { Machine::now().touch(memory); }
    static void look_at(const void* memory) noexcept { Machine::now().look_at(memory); }
    static void change(const void* memory) noexcept { Machine::now().change(memory); }

private:
    /// Only who claims slots from outside closes and opens one without having entered it.
    [[nodiscard]] static bool outside_of_slot(Mutation mutation) noexcept {
        return Machine::now().mutation == mutation && Machine::now().in_thread() &&
               Places::mine().entered == 0;
    }
    template <typename T, typename Change>
    static T modify(T& word, bool acquire, bool release, Mutation splits, Change change) {
        const bool split = splits != Mutation::none && Machine::now().mutation == splits;
        return Machine::now().modify(word, acquire, release, split, change);
    }
};

class CheckedLock {
public:
    void lock() noexcept { Machine::now().lock(this, false); }
    void unlock() noexcept { Machine::now().unlock(this); }

private:
    [[maybe_unused]] char address_ = 0;  // two locks are two
};

/// Threads that stay on their CPU for the length of a call at most: more than one may be on it.
struct CheckedMachine {
    [[nodiscard]] std::size_t pin() noexcept {
        Place& place = Places::mine();
        if (Machine::now().mutation != Mutation::no_pin) {
            Machine::now().lock(&cpus()[place.cpu], true);
        }
        ++place.entered;
        return place.cpu;
    }
    void unpin(std::size_t cpu) noexcept {
        --Places::mine().entered;
        if (Machine::now().mutation != Mutation::no_pin) Machine::now().unlock(&cpus()[cpu]);
    }
    [[nodiscard]] std::size_t cpu_index() noexcept { return Places::mine().cpu; }
    [[nodiscard]] bool barrier_on_all_cpus() noexcept {
        Machine::now().barrier_on_all();
        return true;
    }
    void relax() noexcept { Machine::now().wait_for_change(); }

private:
    [[nodiscard]] static std::array<char, 8>& cpus() noexcept {
        static std::array<char, 8> cpus{};
        return cpus;
    }
};

/// As ThreadCpus: a number that a thread takes in its first slow path and gives back at its end.
template <std::size_t most>
class CheckedThreads : public slab_allocator::PinnedCpus<CheckedThreads<most>> {
public:
    static constexpr std::size_t slots_number = most;
    struct Pin {
        std::size_t offset;
    };

    [[nodiscard]] Pin enter() noexcept {
        ++Places::mine().entered;
        return {Places::mine().cpu * slab_allocator::cpu_slot_size};
    }
    void leave(const Pin&) noexcept { --Places::mine().entered; }
    void join() noexcept {
        Place& place = Places::mine();
        if (place.cpu == most && !place.ended) place.cpu = numbers_.take();
    }
    [[nodiscard]] slab_allocator::Reach synchronise() noexcept {
        Machine::now().barrier_on_all();
        return slab_allocator::Reach::objects;
    }
    void wait() noexcept { Machine::now().wait_for_change(); }

    /// The calling thread ends.
    void end() noexcept {
        Place& place = Places::mine();
        const std::size_t number = place.cpu;
        place.ended = true;
        place.cpu = most;
        if (number != most) numbers_.give_back(number);
    }
    [[nodiscard]] std::size_t taken_number() const noexcept { return numbers_.taken_number(); }

private:
    slab_allocator::SlotNumbers<most, CheckedAtomics> numbers_;
};

/// As RseqCpus: pop and push look before they store, are alone on their CPU, and store once, in the
/// end; none is under way on any CPU after synchronise(). (There the kernel starts over what is in
/// the way, here it waits for that: what was started over has done nothing.) A slow path stays on
/// no CPU.
template <std::size_t cpus_number>
class SequenceCpus {
public:
    static constexpr std::size_t slots_number = cpus_number;
    struct NoPin {};

    template <typename Slot>
    [[nodiscard]] bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        return sequence(
            slots, 1, [&](std::uintptr_t& top_word, std::uintptr_t top, std::uintptr_t floor) {
                if (top <= floor) return false;
                auto* const place = slab_allocator::pointer_to<typename Slot::Pointer>(top) - 1;
                CheckedAtomics::touch(place);
                object = *place;
                CheckedAtomics::store_release(top_word, top - sizeof(object));
                return true;
            });
    }
    template <typename Slot>
    [[nodiscard]] bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        return sequence(
            slots, 2, [&](std::uintptr_t& top_word, std::uintptr_t top, std::uintptr_t limit) {
                if (top >= limit) return false;
                auto* const place = slab_allocator::pointer_to<typename Slot::Pointer>(top);
                CheckedAtomics::touch(place);
                *place = object;
                CheckedAtomics::store_release(top_word, top + sizeof(object));
                return true;
            });
    }
    template <typename Slot>
    [[nodiscard]] auto hold(Slot* slots) noexcept {
        const std::size_t cpu = machine_.pin();
        Slot* const slot = slots[cpu].claim(slab_allocator::Claim::owners) ? &slots[cpu] : nullptr;
        machine_.unpin(cpu);
        return slab_allocator::HeldSlot<Slot, NoPin>{slot, {}};
    }
    template <typename Held>
    void let_go(const Held&) noexcept {}

    void join() noexcept {}
    [[nodiscard]] slab_allocator::Reach synchronise() noexcept {
        const std::size_t own = Places::mine().cpu;
        for (std::size_t cpu = 0; cpu < cpus_number; ++cpu) {
            Places::mine().cpu = cpu;
            machine_.unpin(machine_.pin());
        }
        Places::mine().cpu = own;
        return slab_allocator::Reach::magazines;
    }
    void wait() noexcept { machine_.relax(); }
    void after_fork_in_child() noexcept {}

private:
    /// The words are where the assembly, too, finds them: top, floor and limit.
    template <typename Slot, typename Body>
    [[nodiscard]] bool sequence(Slot* slots, std::size_t border_at, Body body) noexcept {
        const std::size_t cpu = machine_.pin();
        auto* const words = static_cast<std::uintptr_t*>(static_cast<void*>(&slots[cpu]));
        std::uintptr_t top = 0;
        if (Machine::now().mutation == Mutation::top_first) {
            top = CheckedAtomics::load_acquire(words[0]);
        }
        const std::uintptr_t border = CheckedAtomics::load_acquire(words[border_at]);
        if (Machine::now().mutation != Mutation::top_first) {
            top = CheckedAtomics::load_acquire(words[0]);
        }
        const bool done = body(words[0], top, border);
        machine_.unpin(cpu);
        return done;
    }

    CheckedMachine machine_;
};

/// Slabs of two sizes, always at the same addresses, the last one given back first.
class CheckedMemory {
public:
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t slab = std::size_t{128} << 10;
    static constexpr std::size_t most_slabs = 16;
    static constexpr std::size_t most_pages = 32;

    CheckedMemory() : bytes_(new std::byte[(most_slabs + 2) * slab]) {}

    void reset() {
        const std::uintptr_t address = slab_allocator::address_of(bytes_.get());
        std::byte* const start = bytes_.get() + (slab_allocator::align_up(address, slab) - address);
        slabs_.clear();
        pages_.clear();
        for (std::size_t number = most_slabs; number-- > 0;)
            slabs_.push_back(start + number * slab);
        for (std::size_t number = most_pages; number-- > 0;)
            pages_.push_back(start + most_slabs * slab + number * page);
        refuses_slabs = refuses_pages = false;
        map_.fill(nullptr);
        live_slabs = 0;
    }

    [[nodiscard]] void* take(std::size_t size) {
        Machine::now().change(this);
        std::vector<std::byte*>& from = size == page ? pages_ : slabs_;
        if (from.empty() || (size == page ? refuses_pages : refuses_slabs)) return nullptr;
        std::byte* const memory = from.back();
        from.pop_back();
        ++live_slabs;
        return memory;
    }
    void give(void* memory, std::size_t size) {
        Machine::now().change(this);
        (size == page ? pages_ : slabs_).push_back(static_cast<std::byte*>(memory));
        --live_slabs;
        if (on_give) on_give(static_cast<std::byte*>(memory), size);
    }
    [[nodiscard]] slab_allocator::SlabInfo*& entry(std::uintptr_t page_addr) {
        return map_[(page_addr / page) % map_.size()];
    }

    bool refuses_slabs = false;
    bool refuses_pages = false;
    std::size_t live_slabs = 0;
    std::function<void(std::byte*, std::size_t)> on_give;

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::vector<std::byte*> slabs_;
    std::vector<std::byte*> pages_;
    std::array<slab_allocator::SlabInfo*, 1024> map_{};
};

struct CheckedBackend {
    [[nodiscard]] void* alloc_slab(std::size_t size, std::size_t) noexcept {
        if (reenter != nullptr && *reenter) (*reenter)();
        return memory->take(size);
    }
    void free_slab(void* slab, std::size_t size, std::size_t) noexcept { memory->give(slab, size); }
    bool save_slab_info_ptr(std::uintptr_t page_addr, slab_allocator::SlabInfo* info) noexcept {
        Machine::now().change(&memory->entry(page_addr));
        memory->entry(page_addr) = info;
        return true;
    }
    [[nodiscard]] slab_allocator::SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        Machine::now().look_at(&memory->entry(page_addr));
        return memory->entry(page_addr);
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        Machine::now().change(&memory->entry(page_addr));
        memory->entry(page_addr) = nullptr;
    }

    CheckedMemory* memory = nullptr;
    std::function<void()>* reenter = nullptr;
};

static_assert(slab_allocator::CpuPolicy<CheckedThreads<2>>);
static_assert(slab_allocator::CpuPolicy<slab_allocator::KernelCpus<CheckedMachine, 2>>);
static_assert(slab_allocator::CpuPolicy<SequenceCpus<2>>);
static_assert(slab_allocator::BasicLockable<CheckedLock>);

}  // namespace interleavings
