#include "explorer.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace interleavings {

namespace {

[[nodiscard]] bool dependent(const Step& one, const Step& other) noexcept {
    for (std::size_t i = 0; i < one.accesses_number; ++i) {
        for (std::size_t j = 0; j < other.accesses_number; ++j) {
            const Step::Access& a = one.accesses[i];
            const Step::Access& b = other.accesses[j];
            if (a.object != b.object) continue;
            if (a.kind != AccessKind::read || b.kind != AccessKind::read) return true;
        }
    }
    return false;
}

}  // namespace

void Explorer::start() noexcept {
    depth_ = 0;
    sleep_ = 0;
    current_ = nobody;
    preemptions_ = 0;
    events_.clear();
    clocks_ = {};
    objects_.clear();
}

bool Explorer::begin() {
    if (!begun_) {
        begun_ = true;
        start();
        return true;
    }
    while (!nodes_.empty()) {
        Node& node = nodes_.back();
        node.done |= bit(node.chosen);
        if (const Mask mask = open(node); mask != 0) {
            node.chosen = preferred(node, mask);
            break;
        }
        nodes_.pop_back();
    }
    replayed_ = nodes_.size();
    start();
    return !nodes_.empty();
}

/// What is to be tried at `node`, and can be.
Mask Explorer::open(const Node& node) const noexcept {
    Mask mask = node.backtrack & ~node.done & ~node.sleep;
    if (!bounded()) return mask;
    for (Process process = 0; process < most_processes; ++process) {
        if (preemptions_with(node, process) > most_preemptions_) mask &= ~bit(process);
    }
    return mask;
}

unsigned Explorer::preemptions_with(const Node& node, Process process) const noexcept {
    const bool preempts = process < threads_ && node.current != nobody && process != node.current &&
                          (node.able & bit(node.current)) != 0;
    return node.preemptions + (preempts ? 1 : 0) + ((node.late & bit(process)) != 0 ? 1 : 0);
}

/// The thread that is running and what the machine has to do for it, then the others.
Process Explorer::preferred(const Node& node, Mask mask) const noexcept {
    if (node.current != nobody) {
        const Process own = node.current + threads_;
        if (bounded() && (mask & bit(own)) != 0) return own;
        if ((mask & bit(node.current)) != 0) return node.current;
        if ((mask & bit(own)) != 0) return own;
    }
    return lowest(mask);
}

Process Explorer::choose(Mask enabled, Mask able, Mask late, std::span<const Step> pending) {
    if (depth_ == nodes_.size()) {
        Node node{.enabled = enabled,
                  .able = able,
                  .late = late,
                  .sleep = sleep_,
                  .current = current_,
                  .preemptions = preemptions_};
        Mask awake = enabled & ~sleep_;
        if (bounded()) {
            Mask cheap = 0;
            for (Process process = 0; process < most_processes; ++process) {
                if (preemptions_with(node, process) <= most_preemptions_) cheap |= bit(process);
            }
            awake &= cheap;
        }
        if (awake == 0) return nobody;
        node.chosen = preferred(node, awake);
        node.backtrack = bit(node.chosen);
        nodes_.push_back(node);
    }
    Node& node = nodes_[depth_];
    if (node.enabled != enabled) {
        std::fprintf(stderr, "interleavings: an execution does not repeat itself\n");
        std::abort();
    }
    const Process process = node.chosen;
    const Step& step = pending[process];
    const Clock clock = clock_before(process, step);
    if (depth_ + 1 >= replayed_ && !repeats_) find_races(process, step, clock);
    sleep_ = still_asleep(nodes_[depth_], pending);
    preemptions_ = preemptions_with(nodes_[depth_], process);
    if (process < threads_) current_ = process;
    record(process, step, clock);
    ++depth_;
    return process;
}

Mask Explorer::still_asleep(const Node& node, std::span<const Step> pending) const noexcept {
    if (bounded()) return 0;
    Mask asleep = (node.sleep | node.done) & ~bit(node.chosen);
    for (Mask rest = asleep; rest != 0; rest &= rest - 1) {
        const Process process = lowest(rest);
        if (dependent(pending[process], pending[node.chosen])) asleep &= ~bit(process);
    }
    return asleep;
}

Explorer::Clock Explorer::clock_before(Process process, const Step& step) const noexcept {
    Clock clock = clocks_[process];
    for (std::size_t index = 0; index < step.after_number; ++index)
        join(clock, events_[step.after[index]].clock);
    return clock;
}

/// Is `event` before whatever has `clock`, in every order of independent steps?
bool Explorer::before(std::int64_t event, const Clock& clock) const noexcept {
    const Happened& happened = events_[static_cast<std::size_t>(event)];
    return happened.clock[happened.process] <= clock[happened.process];
}

Explorer::Object& Explorer::object(std::uint32_t number) {
    if (number >= objects_.size()) objects_.resize(number + 1);
    return objects_[number];
}

/// The last events that `step` depends on.
template <typename F>
void Explorer::for_each_cause(const Step& step, F f) {
    const auto call = [&](std::int64_t event) {
        if (event != Object::none) f(event);
    };
    for (std::size_t index = 0; index < step.accesses_number; ++index) {
        const Object touched = object(step.accesses[index].object);
        switch (step.accesses[index].kind) {
            case AccessKind::write:
                for (const std::int64_t event : touched.reads)
                    call(event);
                [[fallthrough]];
            case AccessKind::read:
                call(touched.write);
                break;
            case AccessKind::acquire:
                call(touched.release);
                break;
            case AccessKind::release:
                break;
        }
    }
}

/// Events that could have been after this step instead of before it, with nothing between.
void Explorer::find_races(Process process, const Step& step, const Clock& clock) {
    for (std::size_t index = 0; index < step.accesses_number; ++index) {
        const Object touched = object(step.accesses[index].object);
        const auto consider = [&](std::int64_t event) {
            if (event == Object::none || before(event, clock)) return false;
            const auto at = static_cast<std::size_t>(event);
            if (bounded()) {
                backtrack_within_bound(at, process);
            } else {
                backtrack(at, process, step, clock);
            }
            return true;
        };
        switch (step.accesses[index].kind) {
            case AccessKind::write: {
                bool read = false;
                for (const std::int64_t event : touched.reads)
                    read = consider(event) || read;
                if (!read) consider(touched.write);
                break;
            }
            case AccessKind::read:
                consider(touched.write);
                break;
            case AccessKind::acquire:
                consider(touched.acquire);
                break;
            case AccessKind::release:
                break;
        }
    }
}

void Explorer::backtrack_within_bound(std::size_t index, Process process) {
    const auto add = [&](Node& at) {
        Mask wanted = bit(process);
        if ((at.late & wanted) != 0) wanted |= bit(process + threads_);
        at.backtrack |= (at.enabled & bit(process)) != 0 ? at.enabled & wanted : at.enabled;
    };
    add(nodes_[index]);
    std::size_t block = index;  // where the thread of `index` came to run
    while (block > 0 &&
           (nodes_[block].chosen >= threads_ || nodes_[block].chosen == nodes_[block].current)) {
        --block;
    }
    add(nodes_[block]);
}

/// What did not follow from the event `index`, and then `step`, is to be tried before it: by one
/// of the processes that can begin that.
void Explorer::backtrack(std::size_t index, Process process, const Step& step, const Clock& clock) {
    constexpr std::uint32_t never = ~std::uint32_t{0};
    const Happened& event = events_[index];
    const auto follows = [&](const Clock& other) {
        return other[event.process] >= event.clock[event.process];
    };
    std::array<std::uint32_t, most_processes> first;  // of each process in what did not follow
    first.fill(never);
    const auto begins = [&](const Clock& other, Process own) {
        for (Process each = 0; each < most_processes; ++each) {
            if (each != own && other[each] >= first[each]) return false;
        }
        return true;
    };
    Mask beginning = 0;
    for (std::size_t later = index + 1; later < depth_; ++later) {
        const Happened& other = events_[later];
        if (follows(other.clock) || first[other.process] != never) continue;
        if (begins(other.clock, other.process)) beginning |= bit(other.process);
        first[other.process] = other.clock[other.process];
    }
    if (first[process] == never) {
        Clock mine = clock;
        for_each_cause(step, [&](std::int64_t cause) {
            const Clock& other = events_[static_cast<std::size_t>(cause)].clock;
            if (!follows(other)) join(mine, other);
        });
        if (begins(mine, process)) beginning |= bit(process);
    }
    Node& node = nodes_[index];
    if ((beginning & (node.backtrack | node.sleep)) != 0) return;
    beginning &= node.enabled;
    if (beginning == 0) {
        node.backtrack |= node.enabled;
    } else {
        node.backtrack |= (beginning & bit(process)) != 0 ? bit(process) : bit(lowest(beginning));
    }
}

void Explorer::join(Clock& clock, const Clock& other) noexcept {
    for (Process each = 0; each < most_processes; ++each)
        clock[each] = std::max(clock[each], other[each]);
}

void Explorer::record(Process process, const Step& step, Clock clock) {
    for_each_cause(step, [&](std::int64_t event) {
        join(clock, events_[static_cast<std::size_t>(event)].clock);
    });
    ++clock[process];
    const auto event = static_cast<std::int64_t>(events_.size());
    for (std::size_t index = 0; index < step.accesses_number; ++index) {
        Object& touched = object(step.accesses[index].object);
        switch (step.accesses[index].kind) {
            case AccessKind::write:
                touched.write = event;
                touched.reads.fill(Object::none);
                break;
            case AccessKind::read:
                touched.reads[process] = event;
                break;
            case AccessKind::acquire:
                touched.acquire = event;
                break;
            case AccessKind::release:
                touched.release = event;
                break;
        }
    }
    clocks_[process] = clock;
    events_.push_back({process, clock});
}

}  // namespace interleavings
