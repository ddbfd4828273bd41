// malloc.cpp -- the malloc of a whole program, to be loaded before it:
//
//      LD_PRELOAD=libslab_malloc.so program
//
// What the standards ask for is done here: errno, overflows, alignments; C++'s operators are in
// operators.cpp, forks in forks.cpp. The memory is a MagazineHeap's, at level SLAB_MALLOC_CHECKS.
// What that finds ends the program, with a line that says what it was: at misuse every wrong free;
// at hardened and debug also what was written behind a block, or after its free.
// Nothing here needs to be constructed, and nothing needs libstdc++: what throws is asked of the
// program, if it is a C++ program.

#include <features.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/sink.hpp>

#include "defect_line.hpp"
#include "forks.hpp"
#include "messages.hpp"
#include "program.hpp"

namespace malloc_example {

constinit PageMap map;
constinit Memory program;
constinit Heap heap{TheMemory{}};

}  // namespace malloc_example

namespace {

using namespace malloc_example;

/// Apart, so that the way on which there is a block calls nothing.
[[nodiscard, gnu::noinline, gnu::cold]] void* fails_with(int error) noexcept {
    errno = error;
    return nullptr;
}
[[nodiscard]] void* or_no_memory(void* block) noexcept {
    if (block == nullptr) [[unlikely]]
        return fails_with(ENOMEM);
    return block;
}

// ---- A defect of the program --------------------------------------------------------------------

/// The live block that an address lies in. Takes no lock.
[[nodiscard]] Block block_around(const void* address, const void* slab) noexcept {
    if (slab != nullptr && heap.owns(slab)) return {.start = slab, .size = heap.usable_size(slab)};
    constexpr std::uintptr_t grain = 16;
    const auto* const first = static_cast<const char*>(address);
    const char* start = first - slab_allocator::address_of(address) % grain;
    for (; start + config.largest_object > first; start -= grain) {
        if (!heap.owns(start)) continue;
        const std::size_t size = heap.usable_size(start);
        return start + size > first ? Block{.start = start, .size = size} : Block{};
    }
    return {};
}

void say_and_abort(const DefectReport& report) noexcept {
    constexpr std::uintptr_t near = std::size_t{256} * 1024;
    const std::uintptr_t frame = slab_allocator::address_of(__builtin_frame_address(0));
    const bool on_stack = slab_allocator::address_of(report.pointer) - frame < near;
    Block around;
    if (report.defect == Defect::InteriorPointer || report.defect == Defect::WrongSize)
        around = block_around(report.pointer, report.slab);
    char line[512];
    slab_allocator::ArraySink sink(line);
    DefectLine(sink).write(report, around, on_stack);
    Messages::write(line, sink.text().size());
    std::abort();
}

__attribute__((constructor(101))) void start() noexcept {
    slab_allocator::set_defect_handler(&say_and_abort);
    Messages::remember();
    ThreadSlots::make_key();
    register_fork_handlers();
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

namespace {

[[nodiscard]] std::size_t page_size() noexcept {
    return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Has a block stayed larger than a realloc asked for?
bool some_are_larger = false;

/// Where a block would shrink and there is no memory, it stays as it is. A size of 0 frees, as the
/// platform's realloc does, and sets errno, as POSIX asks since 2024.
[[nodiscard]] void* resized(void* block, std::size_t size) noexcept {
    if (block != nullptr && size == 0) {
        heap.free(block);
        return fails_with(EINVAL);
    }
    void* const other = heap.realloc(block, size);
    if (other == nullptr && block != nullptr && size <= heap.usable_size(block)) {
        __atomic_store_n(&some_are_larger, true, __ATOMIC_RELAXED);
        return block;
    }
    return or_no_memory(other);
}

/// The next power of two, as the platform's memalign; 0: there is none.
[[nodiscard]] constexpr std::size_t rounded_up(std::size_t alignment) noexcept {
    return alignment > PTRDIFF_MAX / 2 + 1 ? 0 : std::bit_ceil(alignment);
}

[[nodiscard]] void* aligned(std::size_t alignment, std::size_t size) noexcept {
    if (alignment == 0) return fails_with(EINVAL);
    return or_no_memory(heap.alloc(size, alignment));
}

/// What aligned_alloc takes an alignment that is no power of two for: an error since glibc 2.38, as
/// C23 asks, and before that the next one.
[[nodiscard]] constexpr std::size_t alignment_of_c(std::size_t alignment) noexcept {
#if __GLIBC_PREREQ(2, 38)
    return slab_allocator::is_power_of_two(alignment) ? alignment : 0;
#else
    return rounded_up(alignment);
#endif
}

}  // namespace

extern "C" {

EXPORTED IN_ONE_PIECE void* malloc(std::size_t size) noexcept {
    note_caller();
    return or_no_memory(heap.alloc(size));
}

EXPORTED IN_ONE_PIECE void free(void* block) noexcept {
    note_caller();
    heap.free(block);
}

EXPORTED IN_ONE_PIECE void* calloc(std::size_t number, std::size_t size) noexcept {
    note_caller();
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(number, size, &bytes)) return fails_with(ENOMEM);
    void* const block = heap.alloc(bytes);
    if (block == nullptr) [[unlikely]]
        return fails_with(ENOMEM);
    const bool is_run = bytes > slab_allocator::size_classes::largest_request<config>;
    if (!is_run || !program.memory.is_zero(block, bytes)) std::memset(block, 0, bytes);
    return block;
}

EXPORTED IN_ONE_PIECE void* realloc(void* block, std::size_t size) noexcept {
    note_caller();
    return resized(block, size);
}

EXPORTED void* reallocarray(void* block, std::size_t number, std::size_t size) noexcept {
    note_caller();
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(number, size, &bytes)) return fails_with(ENOMEM);
    return resized(block, bytes);
}

EXPORTED void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    note_caller();
    return aligned(alignment_of_c(alignment), size);
}

EXPORTED void* memalign(std::size_t alignment, std::size_t size) noexcept {
    note_caller();
    return aligned(rounded_up(alignment), size);
}

/// Leaves errno alone, and *block where it fails.
EXPORTED int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
    note_caller();
    if (!slab_allocator::is_power_of_two(alignment) || alignment % sizeof(void*) != 0)
        return EINVAL;
    const int before = errno;
    void* const memory = heap.alloc(size, alignment);
    errno = before;
    if (memory == nullptr) return ENOMEM;
    *block = memory;
    return 0;
}

EXPORTED void* valloc(std::size_t size) noexcept {
    note_caller();
    return aligned(page_size(), size);
}

EXPORTED void* pvalloc(std::size_t size) noexcept {
    note_caller();
    const std::size_t page = page_size();
    if (size > PTRDIFF_MAX) return fails_with(ENOMEM);
    return aligned(page, slab_allocator::align_up(size == 0 ? 1 : size, page));
}

/// C23's. Another size than was asked for is a defect; a smaller one is none where a realloc could
/// not make the block smaller.
EXPORTED void free_sized(void* block, std::size_t size) noexcept {
    note_caller();
    if (__atomic_load_n(&some_are_larger, __ATOMIC_RELAXED) && size < heap.usable_size(block))
        return heap.free(block);
    heap.free(block, size);
}
EXPORTED void free_aligned_sized(void* block, std::size_t alignment, std::size_t size) noexcept {
    note_caller();
    heap.free(block, size, alignment_of_c(alignment));
}

/// Of what is no live block, it is the defect that a free of it would be.
EXPORTED std::size_t malloc_usable_size(void* block) noexcept {
    const std::size_t size = heap.usable_size(block);
    if (checks != Checks::none && size == 0) [[unlikely]]
        heap.free(block);
    return size;
}

EXPORTED int malloc_trim(std::size_t) noexcept {
    const std::size_t slabs = heap.shrink_to_fit();
    return slabs + program.memory.trim() != 0 ? 1 : 0;
}

}  // extern "C"
