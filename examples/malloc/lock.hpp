#pragma once

// lock.hpp -- a mutex of the C library: std::mutex throws where it fails, and is libstdc++'s.

#include <pthread.h>

namespace malloc_example {

class Lock {
public:
    void lock() noexcept { pthread_mutex_lock(&mutex_); }
    void unlock() noexcept { pthread_mutex_unlock(&mutex_); }

private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

}  // namespace malloc_example
