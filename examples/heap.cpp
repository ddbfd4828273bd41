// heap.cpp -- memory of any size from a Heap: what a kernel's kmalloc and a program's malloc are.

#include <cstdio>
#include <cstring>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/heap/heap.hpp>

namespace {

// [heap]
slab_allocator::Heap<slab_allocator::AlignedAllocBackend> heap;
// [/heap]

void log_and_go_on(const slab_allocator::DefectReport& report) noexcept {
    std::printf("refused: %s\n", slab_allocator::name_of(report.defect));
}

}  // namespace

int main() {
    slab_allocator::set_defect_handler(log_and_go_on);

    // [calls]
    auto* name = static_cast<char*>(heap.alloc(20));  // nullptr: out of memory
    if (name == nullptr) return 1;
    std::strcpy(name, "slabs of every size");
    std::printf("%zu bytes may be used\n", heap.usable_size(name));
    name = static_cast<char*>(heap.realloc(name, 100));  // moved, with its contents
    if (name == nullptr) return 1;
    std::printf("%s\n", name);

    void* const page = heap.alloc(4096, 4096);  // aligned as asked for; else to 16 bytes
    heap.free(name, 200);                       // another size than was asked for
    heap.free(name, 100);
    heap.free(name);
    heap.free(page);
    // [/calls]

    std::printf("%zu blocks are live\n", heap.statistics().allocated_objects_number);
    heap.shrink_to_fit();
    std::printf("%zu bytes are held\n", heap.statistics().bytes_held);
}
