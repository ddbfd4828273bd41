// first.cpp -- the twenty lines of the README.

// [first]
#include <cstdio>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>

struct Connection {
    int socket;
    const char* peer;
};

int main() {
    slab_allocator::Cache<Connection, slab_allocator::AlignedAllocBackend> connections;

    Connection* first = connections.create(3, "192.0.2.1");
    auto second = connections.make_unique(4, "192.0.2.2");  // destroyed with its handle
    if (first == nullptr || second == nullptr) return 1;    // the backend is out of memory

    std::printf("%s and %s, %zu to a slab of %zu bytes\n", first->peer, second->peer,
                connections.objects_per_slab(), connections.slab_size());
    connections.destroy(first);
}
// [/first]
