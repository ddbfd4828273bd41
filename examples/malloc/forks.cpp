// forks.cpp -- the fork handlers of malloc, and __register_atfork, by which libraries register
// theirs: forks.hpp says why.

#include "forks.hpp"

#include <dlfcn.h>
#include <sys/single_threaded.h>

#include "own.hpp"

namespace malloc_example {
namespace {

using Handler = void (*)();
using Register = int (*)(Handler prepare, Handler parent, Handler child, void* library);

/// Does every library register by way of ours? Else others may have before us.
bool is_first = false;
bool has_files = false;  // read and written by who holds every lock

void before_fork() noexcept {
    if (!is_first) {
        ForkGate::close();
        wait_for_everybody();
        return;
    }
    const bool alone = __libc_single_threaded != 0;  // then the child does not free the list
    if (!alone) FileList::lock();
    lock_everything();
    has_files = !alone;
}
void after_fork() noexcept {
    if (!is_first) return ForkGate::open();
    const bool with_files = has_files;
    unlock_everything();
    if (with_files) FileList::unlock();
}
void after_fork_in_child() noexcept {
    ForkGate::open_wide();
    forget_other_threads();
}

}  // namespace

#ifdef SLAB_MALLOC_STATIC  // part of a program: constructors of later priority come after ours

extern "C" int __register_atfork(Handler prepare, Handler parent, Handler child, void* library);

namespace {
[[nodiscard]] Register registration() noexcept { return &__register_atfork; }
[[nodiscard]] bool all_register_here() noexcept { return true; }
}  // namespace

#else

namespace {

[[nodiscard]] Register registration() noexcept {
    static constinit Register real = nullptr;
    Register found = __atomic_load_n(&real, __ATOMIC_RELAXED);
    if (found == nullptr) {
        found = reinterpret_cast<Register>(::dlsym(RTLD_NEXT, "__register_atfork"));
        __atomic_store_n(&real, found, __ATOMIC_RELAXED);
    }
    return found;
}

}  // namespace

/// Every library calls it by way of pthread_atfork. Ours come first.
extern "C" __attribute__((visibility("default"))) int __register_atfork(Handler prepare,
                                                                        Handler parent,
                                                                        Handler child,
                                                                        void* library) {
    register_fork_handlers();
    return registration()(prepare, parent, child, library);
}

namespace {
[[nodiscard]] bool all_register_here() noexcept { return is_own(&__register_atfork); }
}  // namespace

#endif

void register_fork_handlers() noexcept {
    static constinit bool is_done = false;
    if (__atomic_exchange_n(&is_done, true, __ATOMIC_RELAXED)) return;
    is_first = all_register_here();
    // Of no library: to be there while the destructors of others fork.
    registration()(&before_fork, &after_fork, &after_fork_in_child, nullptr);
}

}  // namespace malloc_example
