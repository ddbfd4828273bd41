#pragma once

// explorer.hpp -- who is next: every order of the steps of some processes that makes a difference.
//
//      execution 1    a1 a2 b1 b2           of two steps that touch the same object, and of which
//      execution 2    a1 b1 a2 b2           none had to be before the other, the second is tried
//      ...                ^ first           first, from the point where the first was chosen
//
// Dynamic partial-order reduction (Flanagan and Godefroid 2005) with source sets (Abdulla, Aronis,
// Jonsson and Sagonas 2014) and sleep sets (Godefroid 1996): two executions that differ only in the
// order of independent steps count as one, and of each such class at least one is run. With a bound
// on preemptions, the reduction of Coons, Musuvathi and McKinley (2013): backtracking also at the
// beginning of the block that a step is in, and no sleep sets. What a machine does on its own is
// done at once then, and leaving it for later counts as a preemption. The explorer knows nothing of
// what a step does, but which objects it touches.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace interleavings {

/// A process is a number. The first ones are threads, the others what a machine does on its own.
using Process = std::size_t;
inline constexpr std::size_t most_processes = 8;
using Mask = std::uint32_t;

[[nodiscard]] constexpr Mask bit(Process process) noexcept { return Mask{1} << process; }
[[nodiscard]] constexpr Process lowest(Mask mask) noexcept {
    return static_cast<Process>(__builtin_ctz(mask));
}

/// The number of a step in its execution.
using Event = std::uint32_t;

/// acquire and release are those of a lock: two acquires can be exchanged, all else about one lock
/// follows from who acquired it.
enum class AccessKind : std::uint8_t { read, write, acquire, release };

/// What a process is about to do.
struct Step {
    struct Access {
        std::uint32_t object;
        AccessKind kind;
    };

    void access(std::uint32_t object, AccessKind kind) noexcept {
        accesses[accesses_number++] = {object, kind};
    }
    /// It could not be done before `event` was.
    void follows(Event event) noexcept { after[after_number++] = event; }
    void clear() noexcept { accesses_number = after_number = 0; }

    std::array<Access, 6> accesses;
    std::array<Event, 12> after;
    std::uint8_t accesses_number = 0;
    std::uint8_t after_number = 0;
};

class Explorer {
public:
    static constexpr unsigned unbounded = ~0U;
    static constexpr Process nobody = most_processes;

    /// `threads`: how many processes there are whose change can be a preemption.
    Explorer(std::size_t threads, unsigned most_preemptions)
        : threads_(threads), most_preemptions_(most_preemptions) {}

    /// Before each execution. Returns: false: all were run.
    [[nodiscard]] bool begin();

    /// The next process, of those that are `enabled`; `pending` says what each of these would do.
    /// `able`: threads of which it is a preemption when another thread goes on in their place.
    /// `late`: those of which it counts as much when they go on, since what the machine has to do
    /// for them was not done at once.
    /// Returns: nobody: what could follow from here was run already.
    [[nodiscard]] Process choose(Mask enabled, Mask able, Mask late, std::span<const Step> pending);

    /// The event of the last choose().
    [[nodiscard]] Event last_event() const noexcept { return static_cast<Event>(depth_ - 1); }

    /// The next execution is the last one again.
    void repeat() noexcept {
        start();
        repeats_ = true;
    }

private:
    using Clock = std::array<std::uint32_t, most_processes>;  // how many steps of each came before

    struct Node {
        Mask enabled = 0;
        Mask able = 0;
        Mask late = 0;
        Mask backtrack = 0;
        Mask done = 0;
        Mask sleep = 0;
        Process chosen = 0;
        Process current = nobody;  // the thread that ran before
        unsigned preemptions = 0;  // before
    };
    struct Happened {
        Process process;
        Clock clock;
    };
    struct Object {
        static constexpr std::int64_t none = -1;
        std::int64_t write = none;
        std::int64_t acquire = none;
        std::int64_t release = none;
        std::array<std::int64_t, most_processes> reads{none, none, none, none,
                                                       none, none, none, none};
    };

    void start() noexcept;
    [[nodiscard]] bool bounded() const noexcept { return most_preemptions_ != unbounded; }
    [[nodiscard]] unsigned preemptions_with(const Node& node, Process process) const noexcept;
    [[nodiscard]] Process preferred(const Node& node, Mask mask) const noexcept;
    [[nodiscard]] Mask open(const Node& node) const noexcept;
    [[nodiscard]] Clock clock_before(Process process, const Step& step) const noexcept;
    [[nodiscard]] bool before(std::int64_t event, const Clock& clock) const noexcept;
    [[nodiscard]] Object& object(std::uint32_t number);
    static void join(Clock& clock, const Clock& other) noexcept;
    template <typename F>
    void for_each_cause(const Step& step, F f);
    void find_races(Process process, const Step& step, const Clock& clock);
    void backtrack(std::size_t index, Process process, const Step& step, const Clock& clock);
    void backtrack_within_bound(std::size_t index, Process process);
    void record(Process process, const Step& step, Clock clock);
    [[nodiscard]] Mask still_asleep(const Node& node, std::span<const Step> pending) const noexcept;

    std::size_t threads_;
    unsigned most_preemptions_;
    bool begun_ = false;
    bool repeats_ = false;
    std::vector<Node> nodes_;
    std::size_t replayed_ = 0;  // how many nodes this execution found
    // Of this execution:
    std::size_t depth_ = 0;
    Mask sleep_ = 0;
    Process current_ = nobody;
    unsigned preemptions_ = 0;
    std::vector<Happened> events_;
    std::array<Clock, most_processes> clocks_{};
    std::vector<Object> objects_;
};

}  // namespace interleavings
