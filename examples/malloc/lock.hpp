#pragma once

// lock.hpp -- a mutex of the C library, which costs nothing while there is one thread.
//
//      one thread    nobody else can hold it, and none is born while a lock of malloc is held
//      more          a mutex: std::mutex throws where it fails, and is libstdc++'s
//
// Whether the mutex was taken, the lock remembers: the child of a fork has one thread, and unlocks
// what several had locked.

#include <pthread.h>
#include <sys/single_threaded.h>

namespace malloc_example {

class Lock {
public:
    void lock() noexcept {
        if (__libc_single_threaded != 0) return;
        pthread_mutex_lock(&mutex_);
        taken_ = true;
    }
    void unlock() noexcept {
        if (!taken_) return;
        taken_ = false;
        pthread_mutex_unlock(&mutex_);
    }

private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
    bool taken_ = false;  // read and written by who has it
};

}  // namespace malloc_example
