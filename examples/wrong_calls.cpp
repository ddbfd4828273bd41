// wrong_calls.cpp -- a program that is told of its mistakes and goes on unharmed.
//
// What a handler is for: the default prints and traps; a kernel that must go on logs, and the cache
// refuses the call.

#include <cstdint>
#include <cstdio>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>

using slab_allocator::AlignedAllocBackend;
using slab_allocator::BackendRef;
using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::ObjectSizeType;

struct Packet {
    std::uint64_t words[4];
};

// [handler]
void log_and_go_on(const slab_allocator::DefectReport& report) noexcept {
    std::printf("%s, %zu object(s)\n", name_of(report.defect), report.objects_number);
}
// [/handler]

// Large: the map answers for any address, be it mapped or not.
using PacketCache = Cache<Packet, BackendRef<AlignedAllocBackend>,
                          CacheConfig{.object_size_type = ObjectSizeType::Large}>;

int main() {
    AlignedAllocBackend backend;
    bool as_before = true;
    {
        // [shared]
        PacketCache packets{backend};  // both: Cache<Packet, BackendRef<AlignedAllocBackend>, ...>
        PacketCache others{backend};
        // [/shared]
        Packet* const packet = packets.alloc();
        Packet* const kept = packets.alloc();
        Packet* const theirs = others.alloc();
        if (packet == nullptr || kept == nullptr || theirs == nullptr) return 1;

        // [wrong calls]
        slab_allocator::set_defect_handler(log_and_go_on);
        packets.free(packet);
        const auto before = packets.statistics();

        packets.free(packet);                                      // again
        packets.free(kept + 64);                                   // nobody has that one yet
        packets.free(reinterpret_cast<Packet*>(&kept->words[1]));  // not where a Packet starts
        packets.free(theirs);                                      // of another cache
        Packet local;
        packets.free(&local);  // of no cache

        as_before = packets.statistics() == before && packets.owns(kept) && !packets.owns(packet);
        // [/wrong calls]
        others.free(theirs);
    }  // and `kept` was never given back
    std::printf(as_before ? "the cache is as it was\n" : "the cache has changed\n");
    return as_before ? 0 : 1;
}
