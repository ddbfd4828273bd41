// forks_check.cpp -- forks under load, beside a library whose handlers were registered before ours:
//
//      forks_check [number of forks] [library for dlopen]
//
// Threads allocate, under that library's mutex and without it, write to files and flush all of
// them, and two threads fork; before that, one fork comes while files are flushed. Each child
// allocates, has a thread of its own, and forks. A deadlock ends the program after a minute without
// a fork.

#include <dlfcn.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "foreign.hpp"

namespace {

void* (*allocate)(std::size_t) = &std::malloc;
void (*release)(void*) = &std::free;
std::atomic<bool> stop{false};
std::atomic<int> failures{0};

void allocate_some(unsigned seed, unsigned rounds) {
    void* blocks[16] = {};
    for (unsigned round = 0; round < rounds; ++round) {
        seed = seed * 1'103'515'245U + 12'345U;
        void*& block = blocks[(seed >> 4) % 16];
        release(block);
        const std::size_t size = 1 + (seed >> 8) % (1U << (seed >> 28));
        block = allocate(size);
        if (block == nullptr) std::abort();
        std::memset(block, 0x5a, size);
    }
    for (void* const block : blocks)
        release(block);
}

/// A file's buffer is allocated while the file is locked.
void write_file() {
    std::FILE* const file = std::fopen("/dev/null", "w");
    if (file == nullptr) std::abort();
    std::fputs("a line\n", file);
    std::fclose(file);
}

/// What a file of ours is written with: it allocates once a fork has begun, and while whoever
/// flushes all files has their list.
ssize_t write_late(void*, const char*, std::size_t size) {
    while (foreign_forks() == 0)
        sched_yield();
    usleep(50'000);  // the fork goes on, as far as it can
    release(allocate(1'000'000));
    return static_cast<ssize_t>(size);
}

bool ends_well(pid_t child) {
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

[[noreturn]] void be_child(unsigned seed) {
    alarm(60);
    allocate_some(seed, 100);
    std::thread(allocate_some, seed + 1, 200U).join();
    foreign_work();
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        allocate_some(seed + 2, 50);
        _exit(0);
    }
    _exit(ends_well(grandchild) ? 0 : 1);
}

void fork_often(unsigned number) {
    for (unsigned done = 0; done < number; ++done) {
        const pid_t child = fork();
        if (child == 0) be_child(done);
        alarm(60);
        allocate_some(done, 20);
        if (!ends_well(child)) ++failures;
    }
}

void fork_while_files_are_flushed() {
    std::FILE* const file = fopencookie(nullptr, "w", {nullptr, &write_late, nullptr, nullptr});
    if (file == nullptr) std::abort();
    std::fputs("a line\n", file);
    std::thread flushing([] { std::fflush(nullptr); });
    usleep(20'000);
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (!ends_well(child)) ++failures;
    flushing.join();
    std::fclose(file);
}

template <typename F>
auto again_and_again(F f) {
    return std::thread([f] {
        for (unsigned round = 0; !stop; ++round)
            f(round);
    });
}

}  // namespace

int main(int arguments_number, char** arguments) {
    if (arguments_number > 1 && std::strcmp(arguments[1], "--help") == 0) {
        std::puts("usage: forks_check [number of forks] [library for dlopen]");
        return 0;
    }
    const auto forks = static_cast<unsigned>(arguments_number > 1 ? std::atoi(arguments[1]) : 40);
#ifndef SLAB_MALLOC_STATIC
    if (arguments_number > 2) {
        void* const library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            std::fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
        allocate = reinterpret_cast<decltype(allocate)>(dlsym(library, "malloc"));
        release = reinterpret_cast<decltype(release)>(dlsym(library, "free"));
        foreign_use(allocate, release);
    }
#endif
    alarm(60);
    fork_while_files_are_flushed();
    foreign_begin();
    std::vector<std::thread> threads;
    threads.push_back(again_and_again([](unsigned round) { allocate_some(round, 100); }));
    threads.push_back(again_and_again([](unsigned) { foreign_work(); }));
    threads.push_back(again_and_again([](unsigned) { write_file(); }));
    threads.push_back(again_and_again([](unsigned) { std::fflush(nullptr); }));
    std::thread other(fork_often, forks / 2);
    fork_often(forks - forks / 2);
    other.join();
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    foreign_end();
    std::printf("%u forks, %d failures\n", forks, failures.load());
    return failures == 0 ? 0 : 1;
}
