// foreign.cpp -- a library of somebody else's, as many programs have one: its constructor registers
// handlers for forks before anybody's. They lock its mutex, allocate, and wait until another thread
// has allocated, before a fork and after it.

#include "foreign.hpp"

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
std::atomic<void* (*)(std::size_t)> allocate{&std::malloc};
std::atomic<void (*)(void*)> release{&std::free};
std::atomic<unsigned> forks{0};
std::atomic<unsigned> asked{0};
std::atomic<unsigned> done{0};
std::atomic<bool> has_thread{false};
std::atomic<bool> stop{false};
pthread_t thread;

/// Blocks of every class and runs of pages, more than a thread has at hand: locks are taken.
void allocate_much() {
    void* blocks[60] = {};
    std::size_t size = 1;
    for (void*& block : blocks) {
        size = size < 100'000 ? size + size / 4 + 1 : 1;
        block = allocate.load()(size);
        if (block == nullptr) std::abort();
        std::memset(block, 1, size < 1'000 ? size : 1'000);
    }
    for (void* const block : blocks)
        release.load()(block);
}

void* answer(void*) {
    while (!stop) {
        if (asked == done) {
            sched_yield();
            continue;
        }
        allocate_much();
        ++done;
    }
    return nullptr;
}

/// Until the other thread has allocated what it is asked for from now on.
void ask_and_wait() {
    if (!has_thread) return;
    const unsigned wanted = ++asked;
    while (done < wanted)
        sched_yield();
}

void before() {
    ++forks;
    pthread_mutex_lock(&mutex);
    allocate_much();
    ask_and_wait();
}
void after() {
    ask_and_wait();
    allocate_much();
    pthread_mutex_unlock(&mutex);
}
void after_in_child() {
    has_thread = false;
    allocate_much();
    pthread_mutex_unlock(&mutex);
}

__attribute__((constructor)) void start() { pthread_atfork(&before, &after, &after_in_child); }

}  // namespace

void foreign_use(void* (*malloc_function)(std::size_t), void (*free_function)(void*)) {
    allocate = malloc_function;
    release = free_function;
}
void foreign_begin() {
    if (pthread_create(&thread, nullptr, &answer, nullptr) != 0) std::abort();
    has_thread = true;
}
void foreign_end() {
    stop = true;
    has_thread = false;
    pthread_join(thread, nullptr);
}
void foreign_work() {
    pthread_mutex_lock(&mutex);
    allocate_much();
    pthread_mutex_unlock(&mutex);
}
unsigned foreign_forks() { return forks; }
