#pragma once

// messages.hpp -- where the line about a defect goes: to standard error, if that is what file
// descriptor 2 is, else to the terminal.
//
//      2 is what it was at the start, a terminal, appended to, or the same as 1     --> 2
//      else: it was closed, and the number is now a file or socket of the program's --> /dev/tty
//
// A program that sends its messages elsewhere opens a log to append to it, or has 1 and 2 lead to
// the same; what it opened as data must not be written into.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>

namespace malloc_example {

/// Which file an open number leads to.
struct OpenFile {
    bool is_open = false;
    dev_t device = 0;
    ino_t number = 0;

    [[nodiscard]] bool is(const OpenFile& other) const noexcept {
        return is_open && other.is_open && device == other.device && number == other.number;
    }
};

class Messages {
public:
    /// At the start of the program.
    static void remember() noexcept { at_start_ = of(STDERR_FILENO); }

    /// By write alone: the locks of stdio and of the heap may be held.
    static void write(const char* text, std::size_t size) noexcept {
        const int file =
            is_for_messages() ? STDERR_FILENO : ::open("/dev/tty", O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (file >= 0) static_cast<void>(::write(file, text, size) == 0);
    }

private:
    [[nodiscard]] static OpenFile of(int descriptor) noexcept {
        struct stat status{};
        if (::fstat(descriptor, &status) != 0) return {};
        return {.is_open = true, .device = status.st_dev, .number = status.st_ino};
    }

    [[nodiscard]] static bool is_for_messages() noexcept {
        const OpenFile now = of(STDERR_FILENO);
        if (now.is(at_start_) || now.is(of(STDOUT_FILENO))) return true;
        const int flags = ::fcntl(STDERR_FILENO, F_GETFL);
        return flags >= 0 && ((flags & O_APPEND) != 0 || ::isatty(STDERR_FILENO) == 1);
    }

    static inline constinit OpenFile at_start_;
};

}  // namespace malloc_example
