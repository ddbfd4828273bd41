// wrong_programs.cpp -- one wrong call, by its name; lines_check.py looks at what is said of it.

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace {

template <typename T>
T opaque(T value) {
    asm volatile("" : "+r"(value) : : "memory");
    return value;
}

int variable;

}  // namespace

// Functions with names that are found in the program: who allocates, and who frees.
extern "C" {

[[gnu::noinline]] char* allocate_here(std::size_t size) {
    return opaque(static_cast<char*>(malloc(opaque(size))));
}
[[gnu::noinline]] void free_here(void* block) {
    free(opaque(block));
    opaque(0);  // the call returns here
}

[[gnu::noinline]] void* by_malloc() { return opaque(malloc(100)); }
[[gnu::noinline]] void* by_calloc() { return opaque(calloc(10, 10)); }
[[gnu::noinline]] void* by_realloc() { return opaque(realloc(allocate_here(10), 100)); }
[[gnu::noinline]] void* by_reallocarray() {
    return opaque(reallocarray(allocate_here(10), 10, 10));
}
[[gnu::noinline]] void* by_aligned_alloc() { return opaque(aligned_alloc(64, 128)); }
[[gnu::noinline]] void* by_memalign() { return opaque(memalign(64, 100)); }
[[gnu::noinline]] void* by_posix_memalign() {
    void* block = nullptr;
    if (posix_memalign(&block, 64, 100) != 0) std::abort();
    return opaque(block);
}
[[gnu::noinline]] void* by_valloc() { return opaque(valloc(100)); }
[[gnu::noinline]] void* by_pvalloc() { return opaque(pvalloc(100)); }
[[gnu::noinline]] void* by_new() { return opaque(::operator new(100)); }
[[gnu::noinline]] void* by_new_array() { return opaque(::operator new[](100)); }
[[gnu::noinline]] void* by_new_nothrow() { return opaque(::operator new(100, std::nothrow)); }
[[gnu::noinline]] void* by_new_aligned() {
    return opaque(::operator new(100, std::align_val_t{64}));
}
}

namespace {

void free_twice(char* block) {
    free_here(block);
    free(opaque(block));
}

struct Call {
    std::string_view name;
    void (*call)();
};

constexpr Call calls[] = {
    {"double_free", [] { free_twice(allocate_here(40)); }},
    {"double_free_delayed",
     [] {
         char* const block = allocate_here(40);
         free_here(block);
         for (int other = 0; other < 5; ++other)
             free(allocate_here(200));
         free(opaque(block));
     }},
    {"double_free_large", [] { free_twice(allocate_here(100'000)); }},
    {"interior",
     [] {
         char* const block = allocate_here(40);
         std::printf("0x%zx\n", reinterpret_cast<std::size_t>(block));
         std::fflush(stdout);
         free(opaque(block + 16));
     }},
    {"interior_large",
     [] {
         char* const block = allocate_here(100'000);
         std::printf("0x%zx\n", reinterpret_cast<std::size_t>(block));
         std::fflush(stdout);
         free(opaque(block + 50'000));
     }},
    {"never_allocated",
     [] {  // in the same page, so in the same slab, wherever the block lies among its first slots
         char* const block = allocate_here(1);
         const std::size_t offset = reinterpret_cast<std::uintptr_t>(block) % 4'096;
         free(opaque(block + (offset < 800 ? 3'200 : 1'600)));
     }},
    {"stack",
     [] {
         char local[64];
         free(opaque(local + 0));
     }},
    {"variable", [] { free(opaque(&variable)); }},
    {"number", [] { free(opaque(reinterpret_cast<void*>(1))); }},
    {"realloc_freed",
     [] {
         char* const block = allocate_here(40);
         free_here(block);
         opaque(realloc(opaque(block), 400));
     }},
    {"usable_size_freed",
     [] {
         char* const block = allocate_here(40);
         free_here(block);
         opaque(malloc_usable_size(opaque(block)));
     }},
    {"wrong_size",
     [] {
         const auto free_sized =
             reinterpret_cast<void (*)(void*, std::size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
         free_sized(allocate_here(40), 4'000);
     }},
    {"overrun",
     [] {
         char* const block = allocate_here(40);
         block[malloc_usable_size(block)] = 'A';
         free(opaque(block));
     }},
    {"underrun",
     [] {
         char* const block = allocate_here(40);
         block[-1] = 'A';
         free(opaque(block));
     }},
    {"write_after_free",
     [] {
         char* const block = allocate_here(40);
         free_here(block);
         opaque(block)[7] = 'A';
         for (int again = 0; again < 10'000; ++again)
             free(allocate_here(40));
     }},
    {"long_overrun",
     [] {
         char* const block = allocate_here(40);
         std::memset(opaque(block), 'A', malloc_usable_size(block) + 32);
         free(opaque(block));
     }},
};

struct Way {
    std::string_view name;
    void* (*call)();
};
constexpr Way ways[] = {
    {"malloc", &by_malloc},
    {"calloc", &by_calloc},
    {"realloc", &by_realloc},
    {"reallocarray", &by_reallocarray},
    {"aligned_alloc", &by_aligned_alloc},
    {"memalign", &by_memalign},
    {"posix_memalign", &by_posix_memalign},
    {"valloc", &by_valloc},
    {"pvalloc", &by_pvalloc},
    {"new", &by_new},
    {"new_array", &by_new_array},
    {"new_nothrow", &by_new_nothrow},
    {"new_aligned", &by_new_aligned},
};

void change_stderr(std::string_view how, const char* path) {
    if (how == "closed") close(STDERR_FILENO);
    if (how == "data") {
        close(STDERR_FILENO);
        if (open(path, O_WRONLY) != STDERR_FILENO) std::abort();
    }
    if (how == "log") dup2(open(path, O_WRONLY | O_APPEND), STDERR_FILENO);
    if (how == "both") {
        const int log = open(path, O_WRONLY);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    }
}

}  // namespace

int main(int arguments_number, char** arguments) {
    const std::string_view name = arguments_number > 1 ? arguments[1] : "";
    if (name == "--help") std::puts("usage: wrong_programs NAME, one of these:");
    for (const Call& call : calls) {
        if (name == "--help") std::puts(call.name.data());
        if (call.name == name) call.call();
    }
    if (name == "by_way_of" && arguments_number > 2) {
        for (const Way& way : ways) {
            if (way.name == arguments[2]) free_twice(static_cast<char*>(way.call()));
        }
    }
    if (name == "with_stderr" && arguments_number > 3) {
        change_stderr(arguments[2], arguments[3]);
        free_twice(allocate_here(40));
    }
    return 0;
}
