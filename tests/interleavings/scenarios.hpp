#pragma once

// scenarios.hpp -- what is common to the scenarios: how a CPU comes to have full magazines, or
// none, and how an outcome is told and judged.

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include <slab_allocator/core/config.hpp>

#include <support/catch.hpp>

#include "stage.hpp"

namespace interleavings {

inline constexpr slab_allocator::CacheConfig by_mask{
    .slab_size = CheckedMemory::slab, .object_size_type = slab_allocator::ObjectSizeType::Small};

inline constexpr slab_allocator::CacheConfig unchecked{
    .slab_size = CheckedMemory::slab,
    .object_size_type = slab_allocator::ObjectSizeType::Small,
    .checks = slab_allocator::Checks::none};

/// How many objects a magazine of Big takes: two of them are full with twice that.
inline constexpr std::size_t rounds = 2;

/// Leaves `number` objects in the magazines of `cpu`.
template <typename S>
void stock(S& stage, std::size_t cpu, std::size_t number) {
    stage.on_cpu(cpu);
    std::vector<Big*> objects;
    while (objects.size() < number)
        objects.push_back(stage.alloc());
    for (Big* const object : objects)
        stage.free(object);
}

/// Leaves `cpu` with two full magazines and one object more, in slot `cpu`.
template <typename S>
void fill(S& stage, std::size_t cpu) {
    stage.on_cpu(cpu);
    std::vector<Big*> objects;
    while (objects.size() < 2 * rounds + 1)
        objects.push_back(stage.alloc());
    stage.slot(cpu) = objects.back();
    objects.pop_back();
    for (Big* const object : objects)
        stage.free(object);
}

/// Leaves `cpu` with magazines that are empty.
template <typename S>
void empty(S& stage, std::size_t cpu) {
    stock(stage, cpu, 2 * rounds);
    for (std::size_t number = 0; number < 2 * rounds; ++number)
        stage.slot(8 + number) = stage.alloc();
}

template <typename S>
void pair(S& stage) {
    stage.free(stage.alloc());
}
template <typename S>
void alloc_one(S& stage) {
    stage.alloc();
}
template <typename S>
void free_own(S& stage) {
    stage.free(stage.slot(Machine::now().thread()));
}
template <typename S>
void drain(S& stage) {
    static_cast<void>(stage.cache().shrink_to_fit());
}

inline void tell(const char* name, std::size_t threads, unsigned most_preemptions,
                 const Outcome& outcome, const char* note) {
    char bound[32] = "all";
    if (most_preemptions != Explorer::unbounded) {
        std::snprintf(bound, sizeof(bound), "%u preemptions", most_preemptions);
    }
    std::printf("%-58s %zu threads, %-13s %9zu schedules, %3zu steps, %6.2f s%s\n", name, threads,
                bound, outcome.executions, outcome.most_steps, outcome.seconds, note);
    std::fflush(stdout);
}

/// Under a sanitizer and for coverage each execution is ten times as slow: not all are run.
inline constexpr std::size_t most_executions =
#if defined(INTERLEAVINGS_ASAN) || !defined(__OPTIMIZE__)
    5000;
#else
    ~std::size_t{0};
#endif

/// Runs all schedules, and finds nothing.
template <typename S>
Outcome right(const char* name, S& stage) {
    if (most_executions < stage.most_executions) stage.most_executions = most_executions;
    const Outcome outcome = stage.explore();
    const bool all = outcome.executions < stage.most_executions;
    tell(name, stage.threads.size(), stage.most_preemptions, outcome, all ? "" : ", not all");
    INFO(name);
    REQUIRE(outcome.failure == "");
    return outcome;
}

/// Finds the mutation: a failure that says `what`.
template <typename S>
void wrong(const char* name, S& stage, Mutation mutation, const char* what) {
    stage.mutation = mutation;
    stage.most_executions = 2'000'000;
    const Outcome outcome = stage.explore();
    const std::string first = outcome.failure.substr(0, outcome.failure.find('\n'));
    tell(name, stage.threads.size(), stage.most_preemptions, outcome, "");
    std::printf("    found: %s\n", first.c_str());
    INFO(name);
    INFO(outcome.failure);
    REQUIRE(first != "");
    REQUIRE(first.find(what) != std::string::npos);
}

}  // namespace interleavings
