// doors.cpp -- the ways in: one type, pages of one's own, any size, containers.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory_resource>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include <slab_allocator/slab_allocator.hpp>

using namespace slab_allocator;

namespace {

struct Connection {
    int socket;
    const char* peer;
};

bool cache_door() {
    // [cache]
    Cache<Connection, AlignedAllocBackend> connections;
    Connection* connection = connections.create(3, "192.0.2.1");  // nullptr: out of memory
    connections.destroy(connection);
    // [/cache]
    return connections.statistics().allocated_objects_number == 0;
}

// [backend]
struct YourPages {
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        return std::aligned_alloc(slab_alignment, slab_size);  // or wherever your pages are
    }
    void free_slab(void* slab, std::size_t, std::size_t) { std::free(slab); }
};
using YourCache = Cache<Connection, YourPages,
                        CacheConfig{.slab_size = 4096, .object_size_type = ObjectSizeType::Small}>;
// [/backend]

bool backend_door() {
    YourCache connections;
    const auto connection = connections.make_unique(3, "192.0.2.1");
    return connection != nullptr && connections.owns(connection.get());
}

bool heap_door() {
    // [heap]
    Heap<AlignedAllocBackend> heap;
    void* packet = heap.alloc(1500);      // nullptr: out of memory
    packet = heap.realloc(packet, 9000);  // as the C library's
    void* page = heap.alloc(4096, 4096);  // aligned
    heap.free(page, 4096);                // the size, where it is known, is checked
    heap.free(packet);
    // [/heap]
    return heap.statistics().allocated_bytes == 0;
}

// [containers]
constinit Pool<AlignedAllocBackend> pool;  // a cache for each size of node, a heap for the rest

template <typename Key, typename Value>
using Map =
    std::map<Key, Value, std::less<>, Allocator<std::pair<const Key, Value>, StaticPool<pool>>>;

struct Node : PooledObject<Node, pool> {  // new and delete of this class
    int value = 0;
};
// [/containers]

bool container_door() {
    bool right = false;
    {
        Map<int, int> squares;
        for (int number = 0; number < 1000; ++number)
            squares.emplace(number, number * number);
        const Node* const node = new Node;
        const auto shared = make_shared_in<std::string>(pool, "one node: the counts and the text");
        right = squares.at(30) == 900 && pool.statistics().allocated_objects_number == 1002;
        delete node;
    }
    return right && pool.statistics().allocated_objects_number == 0;
}

bool resource_door() {
    // [resource]
    MemoryResource<Heap<AlignedAllocBackend>> resource;
    std::pmr::map<std::pmr::string, int> ages(&resource);
    ages.emplace("a name of more than fifteen letters", 42);
    // [/resource]
    return resource.heap().statistics().allocated_objects_number == 2;
}

}  // namespace

int main() {
    const bool right =
        cache_door() && backend_door() && heap_door() && container_door() && resource_door();
    std::printf("%s\n", right ? "every door leads in, and out again" : "a door is shut");
    return right ? 0 : 1;
}
