// check.cpp -- what the standards promise of malloc and its family, checked from a program that is
// linked with nothing of ours and runs with libslab_malloc.so loaded before it.

#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

namespace {

int failures = 0;

void check(bool right, const char* what, int line) {
    if (right) return;
    std::fprintf(stderr, "check.cpp:%d: %s\n", line, what);
    ++failures;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

/// Hides a number from the compiler, which knows malloc and would warn, or leave the call out.
template <typename T>
T opaque(T value) {
    asm volatile("" : "+r"(value));
    return value;
}

bool aligned(const void* block, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

bool fails_with(int expected, void* block) {
    const bool right = block == nullptr && errno == expected;
    errno = 0;
    return right;
}

void sizes_and_alignments() {
    for (std::size_t size = 0; size < 200'000; size += 1 + size / 16) {
        auto* block = static_cast<unsigned char*>(malloc(size));
        CHECK(block != nullptr && aligned(block, 16) && malloc_usable_size(block) >= size);
        std::memset(block, 0x5a, malloc_usable_size(block));
        block = static_cast<unsigned char*>(realloc(block, 2 * size + 1));
        CHECK(block != nullptr && (size == 0 || (block[0] == 0x5a && block[size - 1] == 0x5a)));
        free(block);
        auto* const zeros = static_cast<unsigned char*>(calloc(size + 1, 3));
        bool zero = true;
        for (std::size_t byte = 0; byte < 3 * (size + 1); ++byte)
            zero = zero && zeros[byte] == 0;
        CHECK(zero);
        std::memset(zeros, 0xff, 3 * (size + 1));
        free(zeros);
    }
    for (std::size_t alignment = 8; alignment <= (std::size_t{4} << 20); alignment *= 2) {
        for (const std::size_t size : {std::size_t{1}, alignment - 1, alignment, 3 * alignment}) {
            void* block = nullptr;
            CHECK(posix_memalign(&block, alignment, size) == 0 && aligned(block, alignment));
            std::memset(block, 1, size);
            free(block);
            block = aligned_alloc(alignment, size);
            CHECK(block != nullptr && aligned(block, alignment));
            free(block);
            block = memalign(alignment, size);
            CHECK(block != nullptr && aligned(block, alignment));
            free(block);
        }
    }
    void* const page = valloc(10);
    CHECK(aligned(page, 4096));
    free(page);
    void* const pages = pvalloc(4097);
    CHECK(aligned(pages, 4096) && malloc_usable_size(pages) >= 8192);
    free(pages);
}

void errors() {
    errno = 0;
    const std::size_t half = opaque(SIZE_MAX / 2 + 2);
    CHECK(fails_with(ENOMEM, malloc(opaque(SIZE_MAX))));
    CHECK(fails_with(ENOMEM, malloc(half)));
    CHECK(fails_with(ENOMEM, calloc(half, 2)));
    CHECK(fails_with(ENOMEM, calloc(opaque(std::size_t{1} << 33), opaque(std::size_t{1} << 33))));
    void* const block = malloc(10);  // opaque below: the compiler takes it for freed by a realloc
    CHECK(fails_with(ENOMEM, realloc(opaque(block), opaque(SIZE_MAX - 4096))));
    CHECK(fails_with(ENOMEM, reallocarray(opaque(block), half, 2)));
    CHECK(malloc_usable_size(block) >= 10);  // still there
    CHECK(fails_with(ENOMEM, pvalloc(opaque(SIZE_MAX))));
    void* untouched = block;
    CHECK(posix_memalign(&untouched, opaque(std::size_t{4}), 10) == EINVAL);
    CHECK(posix_memalign(&untouched, opaque(std::size_t{48}), 10) == EINVAL);
    CHECK(posix_memalign(&untouched, 64, opaque(SIZE_MAX - 100)) == ENOMEM);
    CHECK(untouched == block && errno == 0);
    errno = 77;
    free(block);
    free(nullptr);
    CHECK(errno == 77);
    CHECK(fails_with(EINVAL, realloc(opaque(malloc(5)), opaque(std::size_t{0}))));
    CHECK(fails_with(EINVAL, reallocarray(opaque(malloc(5)), 7, opaque(std::size_t{0}))));
    CHECK(malloc_usable_size(nullptr) == 0);
    bool thrown = false;
    try {
        operator delete(operator new(opaque(SIZE_MAX)));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(operator new(opaque(SIZE_MAX), std::nothrow) == nullptr);
    static int asked = 0;
    std::set_new_handler([] {
        if (++asked == 3) std::set_new_handler(nullptr);
    });
    CHECK(operator new(opaque(SIZE_MAX), std::nothrow) == nullptr&& asked == 3);
    struct alignas(256) Wide {
        char bytes[300];
    };
    for (int round = 0; round < 100; ++round) {
        auto* const wide = opaque(new Wide);
        CHECK(aligned(wide, 256));
        delete wide;
        delete[] opaque(new Wide[3]);
        delete[] opaque(new int[1'000]);
    }
}

/// As glibc: an alignment is rounded up to a power of two, where the standard has no error for it.
void odd_alignments() {
    for (const std::size_t alignment :
         {std::size_t{0}, std::size_t{1}, std::size_t{24}, std::size_t{48}, std::size_t{4097}}) {
        void* block = memalign(opaque(alignment), 100);
        CHECK(block != nullptr && aligned(block, std::bit_ceil(alignment)));
        free(block);
        if (std::has_single_bit(alignment)) continue;
        block = aligned_alloc(opaque(alignment), 100);
#if __GLIBC_PREREQ(2, 38)
        CHECK(fails_with(EINVAL, block));
#else
        CHECK(block != nullptr && aligned(block, std::bit_ceil(alignment)));
        free(block);
#endif
    }
    errno = 0;
    CHECK(fails_with(EINVAL, memalign(opaque(SIZE_MAX / 2 + 2), 1)));
}

/// Of C23, which this C library does not have yet.
extern "C" {
using FreeSized = void (*)(void*, std::size_t);
using FreeAlignedSized = void (*)(void*, std::size_t, std::size_t);
}
template <typename Function>
Function found(const char* name) {
    const auto function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    if (function == nullptr) {
        std::fprintf(stderr, "there is no %s\n", name);
        std::exit(2);
    }
    return function;
}

void sized_frees() {
    const auto free_sized = found<FreeSized>("free_sized");
    const auto free_aligned_sized = found<FreeAlignedSized>("free_aligned_sized");
    free_sized(nullptr, 7);
    free_aligned_sized(nullptr, 64, 7);
    for (std::size_t size = 0; size < 200'000; size += 1 + size / 4) {
        free_sized(opaque(malloc(size)), size);
        free_sized(opaque(calloc(size, 3)), 3 * size);
        free_sized(opaque(realloc(opaque(malloc(2 * size)), size + 1)), size + 1);
        for (std::size_t alignment = 1; alignment <= 65'536; alignment *= 4)
            free_aligned_sized(opaque(aligned_alloc(alignment, size)), alignment, size);
    }
}

/// Threads that allocate, free what others allocated, come and go, while the first one forks.
void threads_and_forks() {
    std::atomic<bool> stop{false};
    std::atomic<void*> shared[64] = {};
    const auto work = [&](unsigned seed, unsigned rounds) {
        for (unsigned round = 0; round < rounds && !stop; ++round) {
            seed = seed * 1'103'515'245U + 12'345U;
            const std::size_t size = 1 + (seed >> 8) % (1U << (seed >> 28));
            auto* const block = static_cast<unsigned char*>(malloc(size));
            block[0] = block[size - 1] = static_cast<unsigned char>(size);
            auto* const old = static_cast<unsigned char*>(shared[(seed >> 4) % 64].exchange(block));
            free(old);
        }
    };
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < 4; ++thread)
        threads.emplace_back(work, thread + 1, ~0U);
    for (int fork_number = 0; fork_number < 60; ++fork_number) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            for (int round = 0; round < 3; ++round) {
                std::thread(work, 99U + static_cast<unsigned>(round), 2'000U).join();
                work(7, 2'000);
            }
            if (malloc_trim(0) > 1) _exit(3);
            _exit(failures == 0 ? 0 : 1);
        }
        std::thread(work, 1'000U + static_cast<unsigned>(fork_number), 2'000U).join();
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    for (auto& block : shared)
        free(block.exchange(nullptr));
    malloc_trim(0);
}

/// Ends with SIGABRT in a child?
template <typename Call>
bool aborts(Call call) {
    const pid_t child = fork();
    if (child == 0) {
        if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(2);
        call();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

void wrong_frees() {
    static int variable;
    CHECK(aborts([] {
        void* const block = opaque(malloc(40));
        free(block);
        free(opaque(block));
    }));
    CHECK(aborts([] { free(opaque(static_cast<void*>(&variable))); }));
    CHECK(aborts([] { free(opaque(static_cast<char*>(malloc(40)) + 16)); }));
    CHECK(aborts([] { free(opaque(static_cast<char*>(malloc(100'000)) + 16)); }));
    CHECK(aborts([] { operator delete(opaque(operator new(40)), opaque(std::size_t{400})); }));
    CHECK(!aborts([] { operator delete(opaque(operator new(40)), opaque(std::size_t{40})); }));
    static const auto free_sized = found<FreeSized>("free_sized");
    static const auto free_aligned_sized = found<FreeAlignedSized>("free_aligned_sized");
    CHECK(aborts([] { free_sized(opaque(malloc(40)), 400); }));
    CHECK(aborts([] { free_sized(opaque(malloc(100'000)), 40); }));
    CHECK(aborts([] { free_aligned_sized(opaque(aligned_alloc(64, 640)), 64, 64); }));
    CHECK(aborts([] { malloc_usable_size(opaque(static_cast<void*>(&variable))); }));
    CHECK(aborts([] { malloc_usable_size(opaque(static_cast<char*>(malloc(40)) + 16)); }));
    for (const std::size_t size : {std::size_t{40}, std::size_t{100'000}}) {
        CHECK(aborts([&] {
            void* const block = opaque(malloc(size));
            free(block);
            malloc_usable_size(opaque(block));
        }));
    }
}

/// What levels with guards find besides.
void wrong_writes() {
    const auto block_of = [](std::size_t size) { return opaque(static_cast<char*>(malloc(size))); };
    for (const std::size_t size : {std::size_t{1}, std::size_t{40}, std::size_t{10'000}}) {
        CHECK(aborts([&] {
            char* const block = block_of(size);
            char& behind = block[malloc_usable_size(block)];
            behind = static_cast<char>(~behind);
            free(block);
        }));
        CHECK(aborts([&] {
            char* const block = block_of(size);
            free(block);
            opaque(block)[size / 2] = 7;
            for (int again = 0; again < 10'000; ++again)  // it comes back late
                free(block_of(size));
        }));
        CHECK(!aborts([&] {
            char* const block = block_of(size);
            std::memset(block, 7, malloc_usable_size(block));
            free(block);
        }));
    }
}

/// Of locked pages the system takes none back: what calloc gives is zero all the same.
void locked_memory() {
    CHECK(!aborts([] {
        ::mlockall(MCL_CURRENT | MCL_FUTURE);  // where that is allowed
        std::vector<unsigned char*> blocks(100);
        for (int round = 0; round < 40; ++round) {
            for (std::size_t index = 0; index < blocks.size(); ++index) {
                const std::size_t size =
                    20'000 + (index * 7919 + static_cast<std::size_t>(round) * 104'729) % 60'000;
                auto* const block = static_cast<unsigned char*>(calloc(size, 1));
                if (block == nullptr) continue;  // as much as may be locked
                for (std::size_t byte = 0; byte < size; ++byte) {
                    if (block[byte] != 0) std::abort();
                }
                std::memset(block, 0xff, size);
                blocks[index] = block;
            }
            for (unsigned char*& block : blocks) {
                free(block);
                block = nullptr;
            }
        }
    }));
}

}  // namespace

/// check LEVEL: that of the library that is loaded.
int main(int arguments_number, char** arguments) {
    const std::string_view level = arguments_number > 1 ? arguments[1] : "misuse";
    if (level == "--help") {
        std::puts("usage: malloc_check [none | misuse | hardened | debug], with that malloc");
        return 0;
    }
    sizes_and_alignments();
    errors();
    odd_alignments();
    sized_frees();
    threads_and_forks();
    locked_memory();
    if (level != "none") wrong_frees();
    if (level == "hardened" || level == "debug") wrong_writes();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
