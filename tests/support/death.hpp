#pragma once

// death.hpp -- catches the trap that a call ends with, so that a test goes on after it.

#include <csetjmp>
#include <csignal>

namespace support {

namespace detail {
inline sigjmp_buf after_the_trap;
}

/// Does `call` end with a trap? What it leaves behind is not destroyed: it must own nothing.
template <typename Call>
[[nodiscard]] bool traps(Call&& call) {
    struct sigaction jump{};
    struct sigaction before[2];
    jump.sa_handler = [](int) { siglongjmp(detail::after_the_trap, 1); };
    sigaction(SIGILL, &jump, &before[0]);
    sigaction(SIGTRAP, &jump, &before[1]);
    bool volatile trapped = true;
    if (sigsetjmp(detail::after_the_trap, 1) == 0) {
        call();
        trapped = false;
    }
    sigaction(SIGILL, &before[0], nullptr);
    sigaction(SIGTRAP, &before[1], nullptr);
    return trapped;
}

}  // namespace support
