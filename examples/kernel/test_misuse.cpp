// test_misuse.cpp -- caches under a lock, at each level that checks; and the page frames.

#include <cstddef>

#include "memory.hpp"
#include "misuse.hpp"
#include "serial.hpp"
#include "tests.hpp"

namespace kernel {

namespace {

using slab_allocator::Checks;

template <typename Row, std::size_t size>
constinit SharedCache<Object<size>, typename Row::Backend, Row::config> other_of;

struct UnderALock {
    static constexpr bool looking_changes_nothing = true;

    template <typename Row, std::size_t size>
    [[nodiscard]] static auto& cache() noexcept {
        return cache_of<Row, size>;
    }
    template <typename Row, std::size_t size>
    [[nodiscard]] static auto& other() noexcept {
        return other_of<Row, size>;
    }
};

void misuse_page_frames() noexcept {
    print("  page frames by themselves\n");
    const auto free_wrongly = [](void* block, std::size_t order, Defect expected) {
        const PagesState before = pages_state();
        if (defect_of([&] { page_frames.free_order(block, order); }) != expected ||
            !(pages_state() == before)) {
            panic("a misuse of the page frames");
        }
    };
    static constinit char in_the_image = 0;
    auto* const block = static_cast<char*>(page_frames.alloc_order(3));
    free_wrongly(block, 2, Defect::ForeignPointer);
    free_wrongly(block, 4, Defect::ForeignPointer);
    free_wrongly(block + page_size, 0, Defect::ForeignPointer);
    free_wrongly(block + 1, 3, Defect::ForeignPointer);
    free_wrongly(&in_the_image, 0, Defect::ForeignPointer);
    free_wrongly(nullptr, 0, Defect::ForeignPointer);
    page_frames.free_order(block, 3);
    free_wrongly(block, 3, Defect::DoubleFree);
    free_wrongly(block + page_size, 0, Defect::DoubleFree);
}

}  // namespace

void test_misuse() noexcept {
    for_each_row([]<typename Row>() {
        Misuse<UnderALock, Row>().run();
        Misuse<UnderALock, AtLevel<Row, Checks::hardened>>().run();
        Misuse<UnderALock, AtLevel<Row, Checks::debug>>().run();
    });
    misuse_page_frames();
}

}  // namespace kernel
