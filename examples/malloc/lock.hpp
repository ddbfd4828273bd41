#pragma once

// lock.hpp -- a mutex of the C library, which costs nothing while there is one thread.
//
//      one thread    nobody else can hold it, and none is born while a lock of malloc is held
//      more          a mutex: std::mutex throws where it fails, and is libstdc++'s
//
// Whether the mutex was taken, the lock remembers: the child of a fork has one thread, and unlocks
// what several had locked. While the gate is closed (forks.hpp) a lock is taken inside of the C
// library's list of files, which a fork takes just before it copies the process.

#include <pthread.h>
#include <sys/single_threaded.h>

#include "forks.hpp"

namespace malloc_example {

class Lock {
public:
    void lock() noexcept {
        if (__libc_single_threaded != 0) return;
        if (!ForkGate::is_closed()) [[likely]] {
            pthread_mutex_lock(&mutex_);
            taken_ = true;
            if (!ForkGate::is_closed()) [[likely]]
                return;
            unlock();
        }
        FileList::lock();
        pthread_mutex_lock(&mutex_);
        with_files_ = true;
        taken_ = true;
    }
    void unlock() noexcept {
        if (!taken_) return;
        taken_ = false;
        const bool with_files = with_files_;
        with_files_ = false;
        pthread_mutex_unlock(&mutex_);
        if (with_files) [[unlikely]]
            FileList::unlock();
    }

    /// Waits until nobody holds it who took it before the gate was closed.
    void wait() noexcept {
        pthread_mutex_lock(&mutex_);
        pthread_mutex_unlock(&mutex_);
    }

    /// In the child of a fork: free, whoever was about to take it.
    void reset() noexcept {
        mutex_ = PTHREAD_MUTEX_INITIALIZER;
        taken_ = with_files_ = false;
    }

private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
    bool taken_ = false;  // these two are read and written by who has it
    bool with_files_ = false;
};

}  // namespace malloc_example
