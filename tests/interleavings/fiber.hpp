#pragma once

// fiber.hpp -- a function with a stack of its own, that runs when it is told to and stops where it
// says so.
//
//      scheduler --resume()--> fiber .... pause() --> scheduler --resume()--> ....
//
// Thousands of times cheaper to start anew than a thread, and nothing runs beside it. The switch is
// ours, for x86_64: glibc's makes two system calls in each, and a checker does little else.

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#define INTERLEAVINGS_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INTERLEAVINGS_ASAN
#endif
#endif
#if defined(INTERLEAVINGS_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

/// Leaves the stack pointer in `from`, with the registers that a callee keeps on the stack, and
/// goes on where `to` was left.
extern "C" void interleavings_switch(void** from, void* to) noexcept;

namespace interleavings {

class Fiber {
public:
    using Body = void (*)(void* argument);

    Fiber() : stack_(new std::byte[stack_size]) {}
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    /// From now on, resume() runs body(argument). What it did before is forgotten, wherever it
    /// stopped.
    void start(Body body, void* argument) noexcept {
#if defined(INTERLEAVINGS_ASAN)
        // A stack without what its last frames hid: open_memory.cpp forbids to reveal that.
        stack_.reset();
        stack_.reset(new std::byte[stack_size]);
#endif
        body_ = body;
        argument_ = argument;
        auto* const top = static_cast<std::uintptr_t*>(
            static_cast<void*>(stack_.get() + stack_size));  // new aligns to 16
        std::uintptr_t* place = top;
        *--place = 0;  // enter() has nobody to return to
        *--place = reinterpret_cast<std::uintptr_t>(&Fiber::enter);  // the switch returns there
        for (int registers = 0; registers < 6; ++registers)
            *--place = 0;
        mine_ = place;
    }

    /// Runs it until its next pause().
    void resume() noexcept {
        starting_ = this;
#if defined(INTERLEAVINGS_ASAN)
        __sanitizer_start_switch_fiber(&fake_of_scheduler_, stack_.get(), stack_size);
#endif
        interleavings_switch(&scheduler_, mine_);
#if defined(INTERLEAVINGS_ASAN)
        __sanitizer_finish_switch_fiber(fake_of_scheduler_, nullptr, nullptr);
#endif
    }

    /// By the fiber itself.
    void pause() noexcept {
#if defined(INTERLEAVINGS_ASAN)
        __sanitizer_start_switch_fiber(&fake_, stack_of_scheduler_, size_of_scheduler_);
#endif
        interleavings_switch(&mine_, scheduler_);
#if defined(INTERLEAVINGS_ASAN)
        __sanitizer_finish_switch_fiber(fake_, &stack_of_scheduler_, &size_of_scheduler_);
#endif
    }

private:
    static constexpr std::size_t stack_size = std::size_t{128} << 10;

    static void enter() noexcept {
        Fiber& self = *starting_;
#if defined(INTERLEAVINGS_ASAN)
        __sanitizer_finish_switch_fiber(nullptr, &self.stack_of_scheduler_,
                                        &self.size_of_scheduler_);
#endif
        self.body_(self.argument_);
        for (;;)
            self.pause();
    }

    static inline Fiber* starting_ = nullptr;

    std::unique_ptr<std::byte[]> stack_;
    void* mine_ = nullptr;
    void* scheduler_ = nullptr;
    Body body_ = nullptr;
    void* argument_ = nullptr;
#if defined(INTERLEAVINGS_ASAN)
    void* fake_ = nullptr;
    void* fake_of_scheduler_ = nullptr;
    const void* stack_of_scheduler_ = nullptr;
    std::size_t size_of_scheduler_ = 0;
#endif
};

}  // namespace interleavings
