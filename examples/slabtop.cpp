// slabtop.cpp -- what the caches of a small server hold, under load and after it.
//
//      slabtop             tables and maps
//      slabtop --json      the last table, for tools
//
// Connections come, each with a request and a buffer; nine of ten leave, in any order; then as many
// come as go. The tables say what that costs, and how the caches become dense again: what comes
// is put into the fuller slabs, and the emptier ones drain.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/arena_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/report/report.hpp>

namespace {

using namespace slab_allocator;

struct Buffer {
    std::byte bytes[2048];
};
struct Request {
    std::byte header[64];
};
struct Connection {
    Request* request;
    Buffer* buffer;
    std::byte state[200] = {};
};

/// Slabs of one page, as a kernel would take them.
constexpr CacheConfig pages{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};

using Backend = AlignedAllocBackend;
Cache<Connection, Backend> connections;
Cache<Buffer, Backend> buffers;
/// In memory of its own, so that the map below is the same each time it is drawn.
alignas(1 << 20) Cache<Request, ArenaBackend<1 << 19>, pages> requests;

Connection* connect() {
    Connection* const connection = connections.create(requests.alloc(), buffers.alloc());
    if (connection != nullptr && connection->request != nullptr && connection->buffer != nullptr)
        return connection;
    std::fputs("slabtop: out of memory\n", stderr);
    std::exit(1);
}

void disconnect(Connection* connection) {
    requests.free(connection->request);
    buffers.free(connection->buffer);
    connections.destroy(connection);
}

// [sink]
struct StandardOutput {
    void write(const char* text, std::size_t size) { std::fwrite(text, 1, size, stdout); }
};
// [/sink]

void print_table() {
    // [report]
    report({summary_of("connection", connections), summary_of("request", requests),
            summary_of("buffer", buffers)},
           StandardOutput{});
    // [/report]
}

void print_maps(const Request* request) {
    // [maps]
    report_slabs(requests, StandardOutput{});
    std::putchar('\n');
    report_slots(requests, request, StandardOutput{});
    // [/maps]
}

}  // namespace

int main(int count, char** arguments) {
    const bool json = count == 2 && std::strcmp(arguments[1], "--json") == 0;
    if (count > 1 && !json) {
        const bool asked = std::strcmp(arguments[1], "--help") == 0;
        std::fputs("usage: slabtop [--json]\n", asked ? stdout : stderr);
        return asked ? 0 : 2;
    }
    std::vector<Connection*> open(5000);
    for (Connection*& connection : open)
        connection = connect();
    if (!json) {
        std::puts("5000 connections");
        print_table();
    }

    std::minstd_rand random(1);
    for (std::size_t left = open.size(); left > 500; --left) {
        std::swap(open[random() % left], open[left - 1]);
        disconnect(open[left - 1]);
        open.pop_back();
    }
    if (!json) {
        std::puts("\n500 of them");
        print_table();
        std::puts("\nthe slabs of requests");
        print_maps(open[0]->request);
    }

    for (int turn = 0; turn < 5000; ++turn) {
        Connection*& connection = open[random() % open.size()];
        disconnect(connection);
        connection = connect();
    }
    if (json) {
        // [json]
        report_json({summary_of("connection", connections), summary_of("request", requests),
                     summary_of("buffer", buffers)},
                    StandardOutput{});
        // [/json]
    } else {
        std::puts("\n500 others, one by one");
        print_table();
        std::puts("\nthe slabs of requests");
        print_maps(open[0]->request);
    }
    for (Connection* const connection : open)
        disconnect(connection);
}
