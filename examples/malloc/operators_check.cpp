// operators_check.cpp -- a program that replaces operator new(size_t) and operator delete(void*),
// and nothing else: every other form calls these, as the standard says, under our malloc as
// elsewhere. Those for aligned memory it leaves alone.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

std::size_t news = 0;
std::size_t deletes = 0;
bool refuses = false;
int failures = 0;

// A mark stands before each block, so that a block that comes from elsewhere is found out.
constexpr std::size_t mark_size = 2 * alignof(std::max_align_t);
constexpr unsigned char mark = 0xa7;

void check(bool right, const char* what, int line) {
    if (right) return;
    std::fprintf(stderr, "operators_check.cpp:%d: %s\n", line, what);
    ++failures;
}
#define CHECK(condition) check(condition, #condition, __LINE__)

template <typename T>
T opaque(T value) {
    asm volatile("" : "+r"(value) : : "memory");
    return value;
}

/// Do these two call the replaced ones once each?
template <typename New, typename Delete>
bool is_forwarded(New call_new, Delete call_delete) {
    const std::size_t news_before = news;
    const std::size_t deletes_before = deletes;
    void* const block = opaque(call_new());
    if (block == nullptr || news != news_before + 1) return false;
    std::memset(block, 1, 40);
    call_delete(block);
    return news == news_before + 1 && deletes == deletes_before + 1;
}

}  // namespace

void* operator new(std::size_t size) {
    ++news;
    auto* const memory =
        refuses ? nullptr : static_cast<unsigned char*>(std::malloc(size + mark_size));
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, mark, mark_size);
    return memory + mark_size;
}
void operator delete(void* block) noexcept {
    if (block == nullptr) return;
    ++deletes;
    auto* const memory = static_cast<unsigned char*>(block) - mark_size;
    if (memory[0] != mark || memory[mark_size - 1] != mark) std::abort();
    std::free(memory);
}

int main() {
    const auto new_plain = [] { return ::operator new(40); };
    const auto new_array = [] { return ::operator new[](40); };
    const auto new_nothrow = [] { return ::operator new(40, std::nothrow); };
    const auto new_array_nothrow = [] { return ::operator new[](40, std::nothrow); };
    const auto delete_plain = [](void* block) { ::operator delete(block); };
    const auto delete_array = [](void* block) { ::operator delete[](block); };
    const auto delete_sized = [](void* block) { ::operator delete(block, std::size_t{40}); };
    const auto delete_array_sized = [](void* block) {
        ::operator delete[](block, std::size_t{40});
    };
    const auto delete_nothrow = [](void* block) { ::operator delete(block, std::nothrow); };
    const auto delete_array_nothrow = [](void* block) { ::operator delete[](block, std::nothrow); };
    CHECK(is_forwarded(new_plain, delete_plain));
    CHECK(is_forwarded(new_plain, delete_sized));
    CHECK(is_forwarded(new_plain, delete_nothrow));
    CHECK(is_forwarded(new_nothrow, delete_plain));
    CHECK(is_forwarded(new_nothrow, delete_sized));
    CHECK(is_forwarded(new_array, delete_array));
    CHECK(is_forwarded(new_array, delete_array_sized));
    CHECK(is_forwarded(new_array, delete_array_nothrow));
    CHECK(is_forwarded(new_array_nothrow, delete_array));
    CHECK(is_forwarded(new_array_nothrow, delete_array_sized));

    refuses = true;  // the forms that do not throw catch what the replaced one throws
    CHECK(opaque(::operator new(40, std::nothrow)) == nullptr);
    CHECK(opaque(::operator new[](40, std::nothrow)) == nullptr);
    bool thrown = false;
    try {
        ::operator delete[](opaque(::operator new[](40)));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
    refuses = false;

    constexpr std::align_val_t wide{256};  // of their own
    const std::size_t news_before = news;
    ::operator delete(opaque(::operator new(300, wide)), wide);
    ::operator delete[](opaque(::operator new[](300, wide)), wide);
    ::operator delete(opaque(::operator new(300, wide)), std::size_t{300}, wide);
    ::operator delete[](opaque(::operator new[](300, wide)), std::size_t{300}, wide);
    ::operator delete[](opaque(::operator new[](300, wide, std::nothrow)), wide, std::nothrow);
    CHECK(news == news_before);

    {  // what libstdc++ was compiled with calls them, too
        std::vector<std::string> words(100, std::string(100, 'x'));
        words.erase(words.begin() + 10, words.end());
        const auto shared = std::make_shared<std::string>(words.front() + words.back());
        CHECK(shared->size() == 200);
    }
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
