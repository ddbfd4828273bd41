// own_malloc_check.cpp -- a program that has a malloc of its own, and leaves C++'s operators alone:
// those of ours, which is loaded before it, take memory from that malloc, and give it back there.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace {

/// Memory that is given once.
alignas(4096) char pool[std::size_t{16} << 20];
std::size_t used = 0;
std::size_t mallocs = 0;
std::size_t frees = 0;

void* take(std::size_t size, std::size_t alignment) {
    const std::size_t start = (used + sizeof size + alignment - 1) / alignment * alignment;
    if (start + size > sizeof pool) return nullptr;
    used = start + size;
    std::memcpy(pool + start - sizeof size, &size, sizeof size);
    ++mallocs;
    return pool + start;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept { return take(size, 16); }
void* calloc(std::size_t number, std::size_t size) noexcept { return take(number * size, 16); }
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return take(size, alignment < 16 ? 16 : alignment);
}
void free(void* block) noexcept {
    if (block == nullptr) return;
    auto* const start = static_cast<char*>(block);
    if (start < pool || start >= pool + sizeof pool) std::abort();
    ++frees;
}
void* realloc(void* block, std::size_t size) noexcept {
    void* const other = take(size, 16);
    if (block == nullptr || other == nullptr) return other;
    std::size_t before = 0;
    std::memcpy(&before, static_cast<char*>(block) - sizeof before, sizeof before);
    std::memcpy(other, block, before < size ? before : size);
    free(block);
    return other;
}
}

int main() {
    const std::size_t mallocs_before = mallocs;
    const std::size_t frees_before = frees;
    {
        const std::vector<std::string> words(100, std::string(100, 'x'));
        if (words.back().size() != 100) return 1;
        constexpr std::align_val_t wide{256};
        ::operator delete(::operator new(300, wide), wide);
        ::operator delete[](::operator new[](300));
        ::operator delete(::operator new(300, std::nothrow), std::size_t{300});
    }
    const std::size_t new_mallocs = mallocs - mallocs_before;
    const std::size_t new_frees = frees - frees_before;
    std::printf("%zu blocks taken, %zu given back\n", new_mallocs, new_frees);
    return new_mallocs == 105 && new_frees == 105 ? 0 : 1;
}
