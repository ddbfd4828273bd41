// malloc.cpp -- the malloc of a whole program, to be loaded before it:
//
//      LD_PRELOAD=libslab_malloc.so program
//
// What the standards ask for is done here: errno, overflows, alignments, forks, C++'s operators.
// The memory is a MagazineHeap's, at level SLAB_MALLOC_CHECKS. What that finds ends the program,
// with a line that says what it was: at misuse every wrong free; at hardened and debug also what
// was written behind a block, or after its free.
// Nothing here needs to be constructed, and nothing needs libstdc++: what throws is asked of the
// program, if it is a C++ program.

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/sink.hpp>
#include <slab_allocator/heap/magazine_heap.hpp>

#include "backend.hpp"
#include "forks.hpp"
#include "lock.hpp"
#include "thread_slots.hpp"

#ifndef SLAB_MALLOC_CHECKS
#define SLAB_MALLOC_CHECKS misuse
#endif

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define IN_ONE_PIECE __attribute__((flatten))  // no call where a front serves

namespace {

using namespace malloc_example;
using slab_allocator::DefectReport;

// Above 16 KiB a block has pages of its own: a class of which few are live keeps a slab for each.
constexpr slab_allocator::HeapConfig config{.largest_object = std::size_t{16} * 1024,
                                            .slabs_of_any_pages = true,
                                            .small_slabs = true,
                                            .backend_resizes = true,
                                            .checks = slab_allocator::Checks::SLAB_MALLOC_CHECKS,
                                            .never_destroyed = true};

constinit PageMap map;

// A union: its destructor runs at the end, and destroys nothing.
union Memory {
    constexpr Memory() noexcept : memory(map) {}
    ~Memory() {}
    ProgramMemory memory;
};
constinit Memory program;

/// Where everything is, the compiler knows: a look-up begins in the map, and not with a pointer.
struct TheMemory {
    [[nodiscard]] static void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        void* const slab = program.memory.alloc_slab(size, alignment);
        if (program.memory.has_grown()) shrink();
        return slab;
    }
    static void shrink() noexcept;
    static void free_slab(void* slab, std::size_t size, std::size_t alignment) noexcept {
        program.memory.free_slab(slab, size, alignment);
    }
    [[nodiscard]] static bool resize_slab(void* slab, std::size_t before, std::size_t after,
                                          std::size_t alignment) noexcept {
        return program.memory.resize_slab(slab, before, after, alignment);
    }
    [[nodiscard]] static SlabInfo* alloc_slab_info() noexcept {
        return program.memory.alloc_slab_info();
    }
    static void free_slab_info(SlabInfo* slab_info) noexcept {
        program.memory.free_slab_info(slab_info);
    }
    [[nodiscard]] static bool save_slab_info_ptr(std::uintptr_t page, SlabInfo* info) noexcept {
        return program.memory.save_slab_info_ptr(page, info);
    }
    static void delete_slab_info_ptr(std::uintptr_t page) noexcept {
        program.memory.delete_slab_info_ptr(page);
    }
    /// Without a lock: readers of the tree need none.
    [[nodiscard]] static SlabInfo* get_slab_info_ptr(std::uintptr_t page) noexcept {
        return map.get_slab_info_ptr(page);
    }
};

using Heap = slab_allocator::MagazineHeap<TheMemory, ThreadSlots, Lock, config>;
constinit Heap heap{TheMemory{}};

void TheMemory::shrink() noexcept { heap.shrink(); }

/// Apart, so that the way on which there is a block calls nothing.
[[nodiscard, gnu::noinline, gnu::cold]] void* no_memory() noexcept {
    errno = ENOMEM;
    return nullptr;
}
[[nodiscard]] void* or_no_memory(void* block) noexcept {
    if (block == nullptr) [[unlikely]]
        return no_memory();
    return block;
}

// ---- A defect of the program --------------------------------------------------------------------

/// By write alone: the locks of stdio and of the heap may be held.
void say_and_abort(const DefectReport& report) noexcept {
    char line[512];
    slab_allocator::ArraySink sink(line);
    slab_allocator::print_defect(report, sink);
    static_cast<void>(::write(STDERR_FILENO, line, sink.text().size()) == 0);
    std::abort();
}

__attribute__((constructor(101))) void start() noexcept {
    slab_allocator::set_defect_handler(&say_and_abort);
    ThreadSlots::make_key();
    register_fork_handlers();
}

[[nodiscard]] std::size_t page_size() noexcept {
    return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

// ---- Forks: forks.cpp calls these ---------------------------------------------------------------

void malloc_example::lock_everything() noexcept {
    heap.for_each_lock([](Lock& lock) { lock.lock(); });
    program.memory.lock().lock();
}
void malloc_example::unlock_everything() noexcept {
    program.memory.lock().unlock();
    heap.for_each_lock([](Lock& lock) { lock.unlock(); });
}
void malloc_example::wait_for_everybody() noexcept {
    heap.for_each_lock([](Lock& lock) { lock.wait(); });
    program.memory.lock().wait();
}
/// The caller keeps its front, those of the others are in whichever moment they were.
void malloc_example::forget_other_threads() noexcept {
    heap.for_each_lock([](Lock& lock) { lock.reset(); });
    program.memory.lock().reset();
    heap.abandon_other_fronts();
    ThreadSlots::forget_others();
}

// ---- C ------------------------------------------------------------------------------------------

EXPORTED IN_ONE_PIECE void* malloc(std::size_t size) noexcept {
    return or_no_memory(heap.alloc(size));
}

EXPORTED IN_ONE_PIECE void free(void* block) noexcept { heap.free(block); }

EXPORTED IN_ONE_PIECE void* calloc(std::size_t number, std::size_t size) noexcept {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(number, size, &bytes)) return no_memory();
    void* const block = heap.alloc(bytes);
    if (block == nullptr) [[unlikely]]
        return no_memory();
    const bool is_run = bytes > slab_allocator::size_classes::largest_request<config>;
    if (!is_run || !program.memory.is_zero(block, bytes)) std::memset(block, 0, bytes);
    return block;
}

/// Where a block would shrink and there is no memory, it stays as it is. realloc(p, 0) frees, as
/// the platform's does.
EXPORTED void* realloc(void* block, std::size_t size) noexcept {
    if (block != nullptr && size == 0) {
        free(block);
        return nullptr;
    }
    void* const other = heap.realloc(block, size);
    if (other == nullptr && block != nullptr && size <= heap.usable_size(block)) return block;
    return or_no_memory(other);
}

EXPORTED void* reallocarray(void* block, std::size_t number, std::size_t size) noexcept {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(number, size, &bytes)) return no_memory();
    return realloc(block, bytes);
}

EXPORTED void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    if (!slab_allocator::is_power_of_two(alignment)) {
        errno = EINVAL;
        return nullptr;
    }
    return or_no_memory(heap.alloc(size, alignment));
}

EXPORTED void* memalign(std::size_t alignment, std::size_t size) noexcept {
    return aligned_alloc(alignment, size);
}

/// Leaves errno alone, and *block where it fails.
EXPORTED int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
    if (!slab_allocator::is_power_of_two(alignment) || alignment % sizeof(void*) != 0)
        return EINVAL;
    const int before = errno;
    void* const memory = heap.alloc(size, alignment);
    errno = before;
    if (memory == nullptr) return ENOMEM;
    *block = memory;
    return 0;
}

EXPORTED void* valloc(std::size_t size) noexcept { return aligned_alloc(page_size(), size); }

EXPORTED void* pvalloc(std::size_t size) noexcept {
    const std::size_t page = page_size();
    if (size > PTRDIFF_MAX) return no_memory();
    return aligned_alloc(page, slab_allocator::align_up(size == 0 ? 1 : size, page));
}

EXPORTED std::size_t malloc_usable_size(void* block) noexcept { return heap.usable_size(block); }

EXPORTED int malloc_trim(std::size_t) noexcept {
    const std::size_t slabs = heap.shrink_to_fit();
    return slabs + program.memory.trim() != 0 ? 1 : 0;
}

// ---- C++ ----------------------------------------------------------------------------------------

// libstdc++'s, where the program has it; a C program calls no operator new.
namespace std {
[[gnu::weak]] void __throw_bad_alloc();
[[gnu::weak]] new_handler get_new_handler() noexcept;
}  // namespace std

namespace {

[[nodiscard]] constexpr std::size_t number_of(std::align_val_t alignment) noexcept {
    return static_cast<std::size_t>(alignment);
}

[[nodiscard]] void* new_block(std::size_t size, std::size_t alignment, bool throws) {
    for (;;) {
        void* const block = alignment == 1 ? heap.alloc(size) : heap.alloc(size, alignment);
        if (block != nullptr) [[likely]]
            return block;
        std::new_handler const handler =
            &std::get_new_handler != nullptr ? std::get_new_handler() : nullptr;
        if (handler != nullptr) {
            handler();
        } else if (!throws) {
            return nullptr;
        } else if (&std::__throw_bad_alloc != nullptr) {
            std::__throw_bad_alloc();
        } else {
            std::abort();
        }
    }
}

}  // namespace

#define OPERATOR __attribute__((visibility("default")))
OPERATOR void* operator new(std::size_t size) { return new_block(size, 1, true); }
OPERATOR void* operator new[](std::size_t size) { return new_block(size, 1, true); }
OPERATOR void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return new_block(size, 1, false);
}
OPERATOR void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return new_block(size, 1, false);
}
OPERATOR void* operator new(std::size_t size, std::align_val_t alignment) {
    return new_block(size, number_of(alignment), true);
}
OPERATOR void* operator new[](std::size_t size, std::align_val_t alignment) {
    return new_block(size, number_of(alignment), true);
}
OPERATOR void* operator new(std::size_t size, std::align_val_t alignment,
                            const std::nothrow_t&) noexcept {
    return new_block(size, number_of(alignment), false);
}
OPERATOR void* operator new[](std::size_t size, std::align_val_t alignment,
                              const std::nothrow_t&) noexcept {
    return new_block(size, number_of(alignment), false);
}
OPERATOR void operator delete(void* block) noexcept { ::free(block); }
OPERATOR void operator delete[](void* block) noexcept { ::free(block); }
OPERATOR void operator delete(void* block, const std::nothrow_t&) noexcept { ::free(block); }
OPERATOR void operator delete[](void* block, const std::nothrow_t&) noexcept { ::free(block); }
OPERATOR void operator delete(void* block, std::align_val_t) noexcept { ::free(block); }
OPERATOR void operator delete[](void* block, std::align_val_t) noexcept { ::free(block); }
OPERATOR void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
    ::free(block);
}
OPERATOR void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
    ::free(block);
}
OPERATOR void operator delete(void* block, std::size_t size) noexcept { heap.free(block, size); }
OPERATOR void operator delete[](void* block, std::size_t size) noexcept { heap.free(block, size); }
OPERATOR void operator delete(void* block, std::size_t size, std::align_val_t alignment) noexcept {
    heap.free(block, size, number_of(alignment));
}
OPERATOR void operator delete[](void* block, std::size_t size,
                                std::align_val_t alignment) noexcept {
    heap.free(block, size, number_of(alignment));
}
