#pragma once

// machine.hpp -- CPUs, made to order: threads that stop before each access to what they share, and
// stores that other CPUs see late.
//
//      thread 0 --stores--> | hand | buffer 0 | --.
//      thread 1 --stores--> | hand | buffer 1 | --+--> memory
//                 loads: the own buffer, then memory
//
// The memory model is that of x86 (total store order): a store waits in its thread's buffer, and
// each buffer drains by itself, at any time, in order. Read-modify-writes, locks and fences wait
// for the own buffer to be empty; a barrier on all CPUs, for all that was in any when it began. A
// relaxed store is at first in the compiler's hand, which nothing drains but what it may not be
// moved over.
//
// What a weaker machine could do beyond that is found otherwise: each piece of memory that belongs
// to one thread at a time is announced (touch), and two touches of which the later does not follow
// from the earlier by release and acquire, locks, or the start of the threads, are a failure,
// whatever they did. So a missing release or acquire is found in any execution in which both meet.
//
// Outside of the threads, before they start and after they ended, everything happens at once.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <slab_allocator/core/align.hpp>

#include "explorer.hpp"
#include "fiber.hpp"

namespace interleavings {

/// What is wrong with the machine or the code, on purpose: to see that the checker finds it.
enum class Mutation {
    none,
    no_barrier,          ///< synchronise() returns at once
    no_compiler_fence,   ///< the compiler moves the load of a floor before the store of a top
    no_pin,              ///< a thread in a slot may be preempted by another of its CPU
    no_lock,             ///< locks do not exclude
    split_exchange,      ///< exchange is a load and a store
    split_fetch_add,     ///< fetch_add and fetch_sub, too
    split_compare,       ///< compare_exchange, too
    release_is_relaxed,  ///< a store that releases does not
    acquire_is_relaxed,  ///< a load that acquires does not
    give_back_relaxed,   ///< fetch_and_release releases nothing
    floor_stays,         ///< whoever claims a slot from outside leaves its floor
    limit_stays,         ///< and its limit
    stays_claimed,       ///< and does not end the claim
    top_first,           ///< a sequence reads top before the border that it compares it with
    lock_held,           ///< LockedCache holds its lock while its backend runs
};

class Machine {
public:
    static constexpr std::size_t most_threads = most_processes / 2;

    explicit Machine(std::size_t threads);
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    ~Machine();

    /// The one whose threads run at this moment.
    [[nodiscard]] static Machine& now() noexcept { return *now_; }

    // ---- By the explorer's side -----------------------------------------------------------------

    enum class End { complete, redundant, failed };

    /// Everything that was known of memory is forgotten.
    void reset();
    /// One execution: all threads run body(thread) to their ends.
    [[nodiscard]] End run(Explorer& explorer, const std::function<void(std::size_t)>& body);

    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] std::size_t steps() const noexcept { return steps_; }
    [[nodiscard]] std::uint64_t locks_number() const noexcept { return locks_number_; }

    Mutation mutation = Mutation::none;
    std::FILE* trace = nullptr;
    std::uintptr_t trace_origin = 0;

    // ---- By the threads' ------------------------------------------------------------------------

    [[nodiscard]] bool in_thread() const noexcept { return running_ != nobody; }
    [[nodiscard]] std::size_t thread() const noexcept { return running_; }

    template <typename T>
    [[nodiscard]] T load(const T& word, bool acquire) {
        if (!in_thread()) return word;
        std::uint64_t bits = 0;
        load_bits(&word, sizeof(T), acquire, bits);
        return from_bits<T>(bits);
    }
    template <typename T>
    void store(T& word, T value, bool release) {
        if (!in_thread()) {
            word = value;
            return;
        }
        store_bits(&word, sizeof(T), to_bits(value), release);
    }
    template <typename T, typename Change>
    T modify(T& word, bool acquire, bool release, bool split, Change change) {
        if (!in_thread()) {
            const T before = word;
            change(word);
            return before;
        }
        T before = word;
        if (split) {
            before = load(word, acquire);
            T after = before;
            change(after);
            if (after != before) store(word, after, release);
            return before;
        }
        begin_modify(&word);
        before = word;
        change(word);
        end_modify(&word, acquire, release, word != before);
        return before;
    }

    void compiler_fence();
    /// When this returns, everything that any thread stored before it began is in memory, and this
    /// thread may know of all that any did.
    void barrier_on_all();
    /// Until somebody changes what the calling thread loaded last.
    void wait_for_change();

    void lock(const void* lock, bool is_pin);
    void unlock(const void* lock);

    /// A step of its own, at which memory is read or written that is shared for good.
    void look_at(const void* memory);
    void change(const void* memory);
    /// Of what belongs to one thread at a time: see the head.
    void touch(const void* memory);

    /// The execution ends here; called in a thread, it does not return.
    void fail(const char* what);

private:
    static constexpr std::size_t nobody = ~std::size_t{0};
    using Clock = std::array<std::uint32_t, most_threads>;

    struct Stored {
        void* address;
        std::size_t size;
        std::uint64_t bits;
        bool release;
        Clock clock;
        Event event;
    };
    enum class Needs { nothing, own_buffer, lock, pin, change, barrier };
    struct Thread {
        Fiber fiber;
        Step pending;
        Needs needs = Needs::nothing;
        const char* what = "";
        const void* where = nullptr;
        bool ended = true;
        std::vector<Stored> hand;
        std::vector<Stored> buffer;  // from first on
        std::size_t first = 0;
        std::size_t pushed = 0;
        std::size_t waited = 0;  // how many were stored before the thread's last step
        std::vector<Event> flushed;
        Clock clock{};
        std::uint32_t awaited_object = 0;
        std::size_t awaited_changes = 0;
        bool tried = false;  // the last access was a modification that changed nothing
        std::array<std::uint32_t, most_threads> clocks_at_barrier{};
        std::array<std::size_t, most_threads> awaited_pushes{};
    };
    struct Object {
        std::vector<Event> changes;
        Clock released{};
        std::size_t holder = nobody;
        std::size_t toucher = nobody;
        std::uint32_t touched_at = 0;
    };

    template <typename T>
    [[nodiscard]] static std::uint64_t to_bits(const T& value) noexcept {
        static_assert(sizeof(T) <= sizeof(std::uint64_t));
        std::uint64_t bits = 0;
        std::memcpy(&bits, &value, sizeof(T));
        return bits;
    }
    template <typename T>
    [[nodiscard]] static T from_bits(std::uint64_t bits) noexcept {
        T value{};
        std::memcpy(&value, &bits, sizeof(T));
        return value;
    }

    void load_bits(const void* address, std::size_t size, bool acquire, std::uint64_t& bits);
    void store_bits(void* address, std::size_t size, std::uint64_t bits, bool release);
    void begin_modify(const void* address);
    void end_modify(const void* address, bool acquire, bool release, bool changed);

    [[nodiscard]] Thread& me() noexcept { return *threads_[running_]; }
    [[nodiscard]] std::uint32_t number_of(const void* address);
    [[nodiscard]] std::uint32_t number_of_buffer(std::size_t thread) const noexcept {
        return static_cast<std::uint32_t>(thread);
    }
    void join(Clock& clock, const Clock& other) const noexcept;

    /// The running thread stops until the explorer chooses it, with `needs` met.
    void step(Needs needs, const char* what, const void* where);
    Step& begin_step() noexcept;
    void empty_hand();

    [[nodiscard]] bool is_met(Thread& thread) const noexcept;
    void find_enabled(Mask& enabled, Mask& able, Mask& late);
    void add_causes(Thread& thread);
    void flush(std::size_t thread, Event event);
    void tell(std::size_t thread, const char* what, const void* where) const;
    static void run_body(void* thread);

    static inline Machine* now_ = nullptr;

    std::vector<std::unique_ptr<Thread>> threads_;
    std::size_t running_ = nobody;
    const std::function<void(std::size_t)>* body_ = nullptr;
    Explorer* explorer_ = nullptr;
    std::string failure_;
    std::size_t steps_ = 0;
    std::uint64_t locks_number_ = 0;
    std::array<Step, most_processes> pending_;

    // Addresses to numbers: the first `most_threads` numbers are the buffers.
    static constexpr std::size_t places = 4096;
    static constexpr std::uint32_t most_numbers = places / 2;
    struct Place {
        std::uintptr_t address = 0;
        std::uint32_t number = 0;
        std::uint32_t reset = 0;
    };
    std::vector<Place> numbers_ = std::vector<Place>(places);
    std::uint32_t resets_ = 0;
    std::uint32_t next_number_ = 0;
    std::vector<Object> objects_;
};

}  // namespace interleavings
