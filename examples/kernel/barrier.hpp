#pragma once

// barrier.hpp -- a memory barrier on every CPU, at the wish of one: what membarrier is on Linux.
//
//      asker       asked = n, interrupt to all others, wait until every answer is n or more
//      all others  interrupt: barrier, answer = asked
//
// An asker waits for the others, so it must not keep them from answering: with its interrupts off
// it may be in a handler or hold a lock that another CPU waits for, and two of those would wait for
// each other. It is refused then.

namespace kernel {

/// What every other CPU did before its answer is seen by the caller, and what the caller did before
/// it asked by them. Returns: false: interrupts are off, nothing was done.
[[nodiscard]] bool barrier_on_all_cpus() noexcept;

/// By the handler of the interrupt.
void answer_barrier() noexcept;

}  // namespace kernel
