// The explorer itself, against trying every order there is: small random programs must come to the
// same ends.

#include <array>
#include <cstddef>
#include <set>
#include <vector>

#include <support/catch.hpp>
#include <support/random.hpp>

#include "explorer.hpp"

using namespace interleavings;

namespace {

/// Threads that add to, and copy, a few words; a lock, too.
struct Program {
    enum class Kind { load, store, lock, unlock };
    struct Instruction {
        Kind kind;
        std::uint32_t word;
    };
    std::vector<std::vector<Instruction>> threads;
};

/// What it comes to: every word, and what each thread has read.
struct State {
    std::array<std::uint64_t, 3> words{};
    std::array<std::uint64_t, 3> read{};
    std::array<std::size_t, 3> at{};
    std::size_t holder = Explorer::nobody;
    friend auto operator<=>(const State&, const State&) = default;
};

constexpr std::uint32_t the_lock = 3;

bool can_run(const Program& program, const State& state, std::size_t thread) {
    if (state.at[thread] == program.threads[thread].size()) return false;
    const auto& next = program.threads[thread][state.at[thread]];
    return next.kind != Program::Kind::lock || state.holder == Explorer::nobody;
}

void run(const Program& program, State& state, std::size_t thread) {
    const auto& next = program.threads[thread][state.at[thread]++];
    switch (next.kind) {
        case Program::Kind::load:
            state.read[thread] = state.read[thread] * 31 + state.words[next.word];
            break;
        case Program::Kind::store:
            state.words[next.word] = state.words[next.word] * 7 + state.read[thread] + thread + 1;
            break;
        case Program::Kind::lock:
            state.holder = thread;
            break;
        case Program::Kind::unlock:
            state.holder = Explorer::nobody;
            break;
    }
}

void every_order(const Program& program, const State& state, std::size_t current,
                 unsigned preemptions, std::set<State>& ends, std::set<State>& seen) {
    if (preemptions > 8) {
        if (!seen.insert(state).second) return;  // the bound is out of reach
    }
    bool over = true;
    for (std::size_t thread = 0; thread < program.threads.size(); ++thread) {
        if (!can_run(program, state, thread)) continue;
        over = false;
        const bool preempts =
            current != Explorer::nobody && thread != current && can_run(program, state, current);
        if (preempts && preemptions == 0) continue;
        State next = state;
        run(program, next, thread);
        every_order(program, next, thread, preemptions - (preempts ? 1 : 0), ends, seen);
    }
    if (over) ends.insert(state);
}

std::set<State> explored(const Program& program, unsigned most_preemptions,
                         std::size_t& executions) {
    std::set<State> ends;
    Explorer explorer(program.threads.size(), most_preemptions);
    std::array<Step, most_processes> pending;
    while (explorer.begin()) {
        State state;
        for (;;) {
            Mask enabled = 0;
            for (std::size_t thread = 0; thread < program.threads.size(); ++thread) {
                if (!can_run(program, state, thread)) continue;
                enabled |= bit(thread);
                const auto& next = program.threads[thread][state.at[thread]];
                pending[thread].clear();
                switch (next.kind) {
                    case Program::Kind::load:
                        pending[thread].access(next.word, AccessKind::read);
                        break;
                    case Program::Kind::store:
                        pending[thread].access(next.word, AccessKind::write);
                        break;
                    case Program::Kind::lock:
                        pending[thread].access(the_lock, AccessKind::acquire);
                        break;
                    case Program::Kind::unlock:
                        pending[thread].access(the_lock, AccessKind::release);
                        break;
                }
            }
            if (enabled == 0) {
                ends.insert(state);
                ++executions;
                break;
            }
            const Process process = explorer.choose(enabled, enabled, 0, pending);
            if (process == Explorer::nobody) break;
            run(program, state, process);
        }
    }
    return ends;
}

Program random_program(support::Random& random, std::size_t threads, std::size_t length) {
    Program program;
    for (std::size_t thread = 0; thread < threads; ++thread) {
        std::vector<Program::Instruction> instructions;
        const bool locks = random.one_in(2);
        for (std::size_t number = 0; number < length; ++number) {
            const auto kind = random.one_in(2) ? Program::Kind::load : Program::Kind::store;
            instructions.push_back({kind, static_cast<std::uint32_t>(random.below(3))});
        }
        if (locks) {
            const std::size_t from = random.below(length);
            instructions.insert(instructions.begin() + static_cast<std::ptrdiff_t>(from),
                                {Program::Kind::lock, 0});
            instructions.push_back({Program::Kind::unlock, 0});
        }
        program.threads.push_back(instructions);
    }
    return program;
}

}  // namespace

TEST_CASE("the explorer comes to every end that any order comes to", "[explorer]") {
    support::Random random;
    std::size_t executions = 0;
    for (std::size_t round = 0; round < 400; ++round) {
        const Program program = random_program(random, 2 + round % 2, 2 + random.below(3));
        std::set<State> ends;
        std::set<State> seen;
        every_order(program, {}, Explorer::nobody, 1000, ends, seen);
        REQUIRE(explored(program, Explorer::unbounded, executions) == ends);
    }
    REQUIRE(executions > 400);
}

TEST_CASE("with a bound, the explorer comes to every end within it", "[explorer]") {
    support::Random random;
    std::size_t executions = 0;
    for (std::size_t round = 0; round < 300; ++round) {
        const Program program = random_program(random, 2 + round % 2, 2 + random.below(3));
        const auto bound = static_cast<unsigned>(round % 4);
        std::set<State> ends;
        std::set<State> seen;
        every_order(program, {}, Explorer::nobody, bound, ends, seen);
        REQUIRE(explored(program, bound, executions) == ends);
    }
}

TEST_CASE("what has nothing in common is run in one order", "[explorer]") {
    using enum Program::Kind;
    std::size_t executions = 0;
    static_cast<void>(explored({{{{store, 0}, {load, 0}, {store, 0}},
                                 {{store, 1}, {load, 2}, {store, 1}},
                                 {{load, 2}, {load, 2}}}},
                               Explorer::unbounded, executions));
    REQUIRE(executions == 1);
    executions = 0;
    static_cast<void>(
        explored({{{{store, 0}}, {{store, 0}}, {{store, 0}}}}, Explorer::unbounded, executions));
    REQUIRE(executions == 6);
}
