// pool.cpp -- a pool of nodes of any type in a kernel: what containers of its own ask for memory.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/kernel.hpp>

namespace {

using namespace slab_allocator;

constexpr std::size_t region_size = std::size_t{256} * 4096;
using Arena = ArenaBackend<region_size>;
using Pages = BackendRef<Arena>;
using Backend =
    ComposedBackend<Pages, SlabInfoCache<Pages, 4096, true>, RadixMap<Pages, 4096, 48, true>>;
constexpr CacheConfig config{
    .slab_size = 4096, .object_size_type = ObjectSizeType::Small, .never_destroyed = true};
using KernelPool = Pool<BackendRef<Backend>, OneThread, config>;

constinit Arena arena;
constinit Backend backend{Pages(arena), Pages(arena), Pages(arena)};
constinit KernelPool pool{BackendRef<Backend>(backend)};

struct Task {
    Task* next;
    std::uint64_t number;
};
struct alignas(64) Line {
    std::uint64_t words[8];
};

}  // namespace

int main() {
    auto* const task = pool.create<Task>(nullptr, std::uint64_t{7});
    auto* const line = pool.create<Line>();
    void* const bytes = pool.alloc_bytes(100, 64);
    if (task == nullptr || line == nullptr || bytes == nullptr || task->number != 7) return 1;
    const bool live = pool.statistics().allocated_objects_number == 2;
    Handle<Task, StaticPool<pool>> handle(task, {});
    handle.reset();
    pool.destroy(line);
    pool.free_bytes(bytes, 100, 64);
    pool.shrink_to_fit();
    return live && pool.statistics().bytes_held == 0 ? 0 : 1;
}
