// record.cpp -- which memory does a program ask for, and when does it give it back?
//
//      TRACE_FOLDER=/tmp/traces LD_PRELOAD=libtrace_record.so program
//
// Each process writes its calls, in their order, to a file of its own: Call after Call. The memory
// is glibc's. A child of fork that does not exec is not recorded.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "call.hpp"

extern "C" {
void* __libc_malloc(std::size_t);
void __libc_free(void*);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

constinit pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
constinit Call buffer[4096] = {};
constinit std::size_t filled = 0;
constinit bool recording = true;
constinit int file = -1;

void flush() {
    const char* from = reinterpret_cast<const char*>(buffer);
    std::size_t left = filled * sizeof(Call);
    while (file >= 0 && left > 0) {
        const ssize_t written = ::write(file, from, left);
        if (written <= 0) break;
        from += written;
        left -= static_cast<std::size_t>(written);
    }
    filled = 0;
}

/// Requires: the lock is held.
void note(Operation operation, const void* block, const void* before, std::size_t size) {
    if (!recording) return;
    const int error = errno;
    if (filled == sizeof(buffer) / sizeof(Call)) flush();
    buffer[filled++] = {reinterpret_cast<std::uint64_t>(block),
                        reinterpret_cast<std::uint64_t>(before), size, operation};
    errno = error;
}

class Held {
public:
    Held() { pthread_mutex_lock(&lock); }
    ~Held() { pthread_mutex_unlock(&lock); }
};

void* noted(Operation operation, void* block, std::size_t size) {
    const Held held;
    if (block != nullptr) note(operation, block, nullptr, size);
    return block;
}

__attribute__((constructor)) void start() {
    char path[512];
    const char* const folder = std::getenv("TRACE_FOLDER");
    std::snprintf(path, sizeof(path), "%s/%d", folder == nullptr ? "/tmp" : folder, getpid());
    file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    pthread_atfork([] { pthread_mutex_lock(&lock); }, [] { pthread_mutex_unlock(&lock); },
                   [] {
                       recording = false;
                       pthread_mutex_unlock(&lock);
                   });
}
__attribute__((destructor)) void stop() {
    const Held held;
    if (recording) flush();
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) { return noted(Operation::alloc, __libc_malloc(size), size); }

void* calloc(std::size_t number, std::size_t size) {
    return noted(Operation::zeroed, __libc_calloc(number, size), number * size);
}

/// Noted before: nobody has the block by then. Both ends of a realloc under one lock.
void free(void* block) {
    if (block == nullptr) return;
    {
        const Held held;
        note(Operation::free, block, nullptr, 0);
    }
    __libc_free(block);
}

void* realloc(void* block, std::size_t size) {
    if (block == nullptr) return malloc(size);
    const Held held;
    void* const other = __libc_realloc(block, size);
    if (other != nullptr) {
        note(Operation::realloc, other, block, size);
    } else if (size == 0) {
        note(Operation::free, block, nullptr, 0);
    }
    return other;
}

void* memalign(std::size_t alignment, std::size_t size) {
    return noted(Operation::alloc, __libc_memalign(alignment, size), size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
    void* const memory = memalign(alignment, size);
    if (memory == nullptr) return ENOMEM;
    *block = memory;
    return 0;
}

/// A program may be linked with another malloc, whose answer would be about a block of its own.
std::size_t malloc_usable_size(void* block) {
    using Function = std::size_t (*)(void*);
    static const auto glibc = reinterpret_cast<Function>(
        dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "malloc_usable_size"));
    return glibc(block);
}

}  // extern "C"
