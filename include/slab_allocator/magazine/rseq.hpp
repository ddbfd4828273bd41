#pragma once

// rseq.hpp -- a pop and a push that the kernel starts over when it takes the CPU away. Hosted.
//
//      area: | cpu_id | table --+--> start 1, end 2, abort 4
//
//      store the table ; 1: cpu_id -> the slot -> top ; compare ; object ; store the new top ; 2:
//
// Linux's restartable sequences: a thread that is preempted, moved, or sent a signal between 1 and
// 2 goes on at 4, which starts over. Until the last store nothing has happened, so whoever runs on
// a CPU is alone in its slot, without an atomic instruction and without being pinned. From outside,
// the membarrier system call starts over whatever is between 1 and 2 on any CPU.
//
// The only assembly of the hosted rooms: x86-64, where the C library registers each thread (glibc
// 2.35; unless GLIBC_TUNABLES=glibc.pthread.rseq=0, and not under Valgrind). ThreadSanitizer does
// not see what a sequence does. There and elsewhere, `Sequences` are NoSequences.
//
// Invariants
//   [Q1] a sequence has one store that others see, and it is the last instruction before 2
//   [Q2] the table is the thread's when it comes to 1: the store of it is the instruction before
//   [Q3] which CPU it is, is read in the sequence: it cannot be another one at the end
//   [Q4] floor or limit is read before top: a slot is opened in the other order, and perhaps from
//        another CPU, to which the slow path was moved that had claimed it on this one
//   [Q5] it starts over inside of the assembly, and leaves nothing where it jumps out: clang 19 at
//        -O0 takes what was on its stack for what a sequence had in its registers then

#if defined(__linux__) && defined(__x86_64__) && __has_include(<sys/rseq.h>)
#include <linux/membarrier.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/magazine/cpu_slot.hpp>

namespace slab_allocator {

/// Where there are none.
class NoSequences {
public:
    /// Does the C library register its threads?
    [[nodiscard]] static bool registered() noexcept { return false; }
    /// The CPU that the caller is on; a huge number: it is not registered.
    [[nodiscard]] static std::size_t cpu() noexcept { return ~std::size_t{0}; }
    /// Of the slot of the caller's CPU, if that is below `slots_number`; as CpuSlot's.
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool pop(Slot*, typename Slot::Pointer&) noexcept {
        return false;
    }
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool push(Slot*, typename Slot::Pointer) noexcept {
        return false;
    }
    /// What is under way on any CPU starts over. false: that cannot be done.
    [[nodiscard]] static bool restart_all() noexcept { return false; }
};

#if defined(__linux__) && defined(__x86_64__) && __has_include(<sys/rseq.h>)

// NOLINTBEGIN(misc-const-correctness): what assembly writes is no constant.
class RestartableSequences {
public:
    [[nodiscard]] static bool registered() noexcept { return __rseq_size != 0; }

    [[nodiscard]] static std::size_t cpu() noexcept {
        std::uint32_t cpu = 0;
        __asm__ volatile("movl %%fs:4(%[area]), %[cpu]"
                         : [cpu] "=r"(cpu)
                         : [area] "r"(__rseq_offset)
                         : "memory");
        return cpu;
    }

    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool pop(Slot* slots, typename Slot::Pointer& object) noexcept {
        return run<slots_number, false>(slots, object);
    }
    template <std::size_t slots_number, typename Slot>
    [[nodiscard]] static bool push(Slot* slots, typename Slot::Pointer object) noexcept {
        return run<slots_number, true>(slots, object);
    }

    [[nodiscard]] static bool restart_all() noexcept {
        // Registering again costs little, and after a fork it is needed.
        return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) ==
                   0 &&
               ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
    }

private:
    template <std::size_t slots_number, bool is_push, typename Slot>
    [[nodiscard]] static bool run(Slot* slots, typename Slot::Pointer& object) noexcept {
        std::uintptr_t slot = 0;
        std::uintptr_t top = 0;
        std::uintptr_t border = 0;              // floor or limit
        typename Slot::Pointer moved = object;  // [Q5]
        // clang-format off
        __asm__ goto volatile(
            ".pushsection __rseq_cs, \"aw?\"\n\t"
            ".balign 32\n"
            "3:\n\t"
            ".long 0, 0\n\t"
            ".quad 1f, 2f-1f, 4f\n\t"
            ".popsection\n\t"
            "0:\n\t"
            "leaq 3b(%%rip), %[top]\n\t"
            "movq %[top], %%fs:8(%[area])\n"            // [Q2]
            "1:\n\t"
            "movl %%fs:4(%[area]), %k[slot]\n\t"        // [Q3]
            "cmpl %[slots_number], %k[slot]\n\t"
            "jae %l[none]\n\t"
            "imulq %[slot_size], %[slot], %[slot]\n\t"
            "addq %[slots], %[slot]\n\t"
            "movq %c[border_at](%[slot]), %[border]\n\t"
            "movq (%[slot]), %[top]\n\t"                // [Q4]
            "cmpq %[border], %[top]\n\t"
            ".if %c[is_push]\n\t"
            "jae %l[none]\n\t"
            "movq %[object], (%[top])\n\t"              // nobody looks there yet
            "addq $8, %[top]\n\t"
            ".else\n\t"
            "jbe %l[none]\n\t"
            "movq -8(%[top]), %[object]\n\t"
            "subq $8, %[top]\n\t"
            ".endif\n\t"
            "movq %[top], (%[slot])\n"                  // [Q1]
            "2:\n\t"
            ".pushsection __rseq_failure, \"ax?\"\n\t"
            ".byte 0x0f, 0xb9, 0x3d\n\t"                // ud1: the signature is its operand
            ".long %c[signature]\n"
            "4:\n\t"
            "jmp 0b\n\t"                               // [Q5]
            ".popsection"
            : [object] "+&r"(moved), [slot] "=&r"(slot), [top] "=&r"(top),
              [border] "=&r"(border)
            : [slots] "r"(slots), [area] "r"(__rseq_offset), [slots_number] "i"(slots_number),
              [slot_size] "i"(cpu_slot_size), [signature] "i"(RSEQ_SIG), [is_push] "i"(is_push),
              [border_at] "i"(is_push ? 16 : 8)
            : "memory", "cc"
            : none);
        // clang-format on
        object = moved;
        return true;
    none:
        return false;
    }
};
// NOLINTEND(misc-const-correctness)

#if defined(__SANITIZE_THREAD__)
using Sequences = NoSequences;
#elif !defined(__clang__)
using Sequences = RestartableSequences;
#elif __has_feature(thread_sanitizer)
using Sequences = NoSequences;
#else
using Sequences = RestartableSequences;
#endif

#else
using Sequences = NoSequences;
#endif

}  // namespace slab_allocator
