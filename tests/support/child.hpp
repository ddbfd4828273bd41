#pragma once

// child.hpp -- runs a part of a test in its own process, from which the system is further away.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>

extern "C" [[gnu::weak]] int __llvm_profile_write_file();  // where coverage is counted

namespace support {

/// Is `call` true in a child process?
template <typename Call>
[[nodiscard]] bool in_child(Call&& call) {
    const pid_t child = ::fork();
    if (child == 0) {
        const bool right = call();
        if (&__llvm_profile_write_file != nullptr) __llvm_profile_write_file();
        ::_exit(right ? 0 : 1);
    }
    int status = -1;
    return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

/// How a child process ends that makes `call`: 0, what it exits with, or the negative signal.
template <typename Call>
[[nodiscard]] int end_of(Call&& call) {
    const pid_t child = ::fork();
    if (child == 0) {
        for (const int number : {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS})
            std::signal(number, SIG_DFL);
        std::set_terminate([] { std::abort(); });
        call();
        ::_exit(0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return 1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// From now on the system refuses `call` with `error`, where its argument `argument` (from 0) is
/// `value`. For good: for a child. Returns: false where this system cannot.
[[nodiscard]] inline bool refuse_system_call(long call, std::size_t argument, std::uint32_t value,
                                             std::uint32_t error) {
    const auto offset =
        static_cast<std::uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
    sock_filter program[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, static_cast<std::uint32_t>(call)},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offset},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const sock_fprog all{sizeof(program) / sizeof(program[0]), program};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0;
}

}  // namespace support
