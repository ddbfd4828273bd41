#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/heap/heap.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
#include <slab_allocator/report/report.hpp>

#include <support/catch.hpp>
#include <support/random.hpp>
#include <support/string_sink.hpp>

using namespace slab_allocator;
using support::StringSink;

namespace {

struct Object {
    std::byte bytes[64];
};

/// Slabs of 63 objects: 64 slots, one of them under the SlabInfo.
constexpr CacheConfig small{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
/// Slabs of 128 objects, with nothing in the slab but these.
constexpr CacheConfig large{.slab_size = 8192, .object_size_type = ObjectSizeType::Large};

template <CacheConfig config>
using CacheOf = Cache<Object, AlignedAllocBackend, config>;

template <typename AnyCache>
std::vector<Object*> take(AnyCache& cache, std::size_t number) {
    std::vector<Object*> objects(number);
    REQUIRE(cache.alloc_bulk(objects));
    return objects;
}

template <typename AnyCache>
std::string slabs_of(AnyCache& cache) {
    StringSink sink;
    report_slabs(cache, sink);
    return sink.text;
}

std::size_t count(const std::string& text, char character) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), character));
}

}  // namespace

TEST_CASE("the table has a line a cache, and columns as wide as their widest number", "[report]") {
    CacheSummary huge{.name = "a name that is longer than the others", .object_size = 24};
    huge.statistics.bytes_held = 12'345'678'901;
    CacheOf<small> inodes;
    CacheOf<large> dentries;
    const auto some = take(inodes, 64);
    const auto more = take(dentries, 300);
    StringSink sink;
    report({summary_of("inode", inodes), summary_of("dentry", dentries), huge}, sink);
    REQUIRE(sink.text ==
            "name                                  active_objs num_objs objsize objperslab"
            " pagesperslab active_slabs num_slabs        held lost\n"
            "inode                                          64      126      64         63"
            "            1            2         2        8192  128\n"
            "dentry                                        300      384      64        128"
            "            2            3         3       24960  384\n"
            "a name that is longer than the others           0        0      24          0"
            "            0            0         0 12345678901    0\n");
    inodes.free_bulk(some);
    dentries.free_bulk(more);
}

TEST_CASE("one cache is reported by itself", "[report]") {
    CacheOf<small> cache;
    StringSink sink;
    StringSink as_row;
    report(cache, sink, "inode");
    report({summary_of("inode", cache)}, as_row);
    REQUIRE(sink.text == as_row.text);
    report(cache, sink);
    REQUIRE(sink.text.find("\ncache ") != std::string::npos);
}

TEST_CASE("a report for tools is JSON, whatever the names are", "[report]") {
    CacheOf<large> cache;
    const auto objects = take(cache, 130);
    StringSink sink;
    report_json({summary_of("a\"b\\c\n", cache), CacheSummary{.name = "empty"}}, sink);
    REQUIRE(sink.text ==
            "[\n"
            "  {\"name\": \"a\\\"b\\\\c\\u000a\", \"allocated_objects_number\": 130,"
            " \"objects_number\": 256, \"object_size\": 64, \"objects_per_slab\": 128,"
            " \"pages_per_slab\": 2, \"active_slabs_number\": 2, \"slabs_number\": 2,"
            " \"bytes_held\": 16640, \"bytes_lost\": 256, \"full_slabs_number\": 1,"
            " \"partial_slabs_number\": 1, \"free_slabs_number\": 0,"
            " \"peak_allocated_objects_number\": 130, \"peak_slabs_number\": 2,"
            " \"failures_number\": 0},\n"
            "  {\"name\": \"empty\", \"allocated_objects_number\": 0, \"objects_number\": 0,"
            " \"object_size\": 0, \"objects_per_slab\": 0, \"pages_per_slab\": 0,"
            " \"active_slabs_number\": 0, \"slabs_number\": 0, \"bytes_held\": 0,"
            " \"bytes_lost\": 0, \"full_slabs_number\": 0, \"partial_slabs_number\": 0,"
            " \"free_slabs_number\": 0, \"peak_allocated_objects_number\": 0,"
            " \"peak_slabs_number\": 0, \"failures_number\": 0}\n"
            "]\n");
    StringSink none;
    report_json({}, none);
    REQUIRE(none.text == "[\n]\n");
    cache.free_bulk(objects);
}

TEST_CASE("a map of slabs has a character a slab, the fullest first", "[report]") {
    CacheOf<large> cache;
    REQUIRE(slabs_of(cache).empty());
    REQUIRE(cache.reserve(4 * 128) == 4 * 128);
    REQUIRE(slabs_of(cache) == "....\n");
    const auto objects = take(cache, 128 + 70);
    REQUIRE(slabs_of(cache) == "#5..\n");
    cache.free(objects.back());
    REQUIRE(slabs_of(cache) == "#5..\n");
    const auto rest = take(cache, 2 * 128 - 70 - 1);
    REQUIRE(slabs_of(cache) == "##9.\n");
    cache.free(objects.front());
    REQUIRE(count(slabs_of(cache), '9') == 2);
    cache.free_bulk(std::span(objects).subspan(1, 128 + 68));
    cache.free_bulk(rest);
}

TEST_CASE("a map of many slabs has lines of 64", "[report]") {
    CacheOf<large> cache;
    const auto objects = take(cache, 65 * 128);
    REQUIRE(slabs_of(cache) == std::string(64, '#').append("\n#\n"));
    cache.free_bulk(objects);
}

TEST_CASE("a map of slots shows where the objects and the SlabInfo are", "[report]") {
    CacheOf<small> cache;
    const auto objects = take(cache, 3);
    cache.free(objects[1]);
    StringSink sink;
    REQUIRE(report_slots(cache, &objects[2]->bytes[5], sink));
    std::ostringstream head;
    head << "slab 0x" << std::hex << align_down(address_of(objects[0]), 4096) << std::dec
         << ", 2 of 63 objects\n";
    REQUIRE(sink.text.starts_with(head.str()));
    const std::string slots = sink.text.substr(head.str().size());
    REQUIRE(slots.size() == 65);
    REQUIRE(count(slots, '#') == 2);
    REQUIRE(count(slots, '.') == 1);
    REQUIRE(count(slots, 'i') == 1);
    REQUIRE(count(slots, ',') == 60);
    for (const Object* object : objects) {
        const std::size_t slot = (address_of(object) % 4096) / 64;
        REQUIRE(slots[slot] == (object == objects[1] ? '.' : '#'));
    }

    StringSink nothing;
    const Object local{};
    REQUIRE_FALSE(report_slots(cache, &local, nothing));
    REQUIRE_FALSE(report_slots(cache, nullptr, nothing));
    REQUIRE(nothing.text.empty());
    cache.free(objects[0]);
    cache.free(objects[2]);
}

TEST_CASE("a map of slots has lines of 64, and the last one ends, however long it is", "[report]") {
    struct Odd {
        std::byte bytes[48];
    };
    Cache<Odd, AlignedAllocBackend, large> cache;  // 170 slots a slab
    Odd* const object = cache.alloc();
    StringSink sink;
    REQUIRE(report_slots(cache, object, sink));
    const std::string slots = sink.text.substr(sink.text.find('\n') + 1);
    REQUIRE(slots.size() == 170 + 3);
    REQUIRE((slots[64] == '\n' && slots[65 + 64] == '\n' && slots.back() == '\n'));
    REQUIRE(count(slots, '\n') == 3);
    REQUIRE(count(slots, '#') == 1);
    cache.free(object);
}

TEST_CASE("a name shorter than its column is filled up", "[report]") {
    StringSink sink;
    report({CacheSummary{.name = "fs"}}, sink);
    REQUIRE(sink.text.find("\nfs             0 ") != std::string::npos);
}

TEMPLATE_TEST_CASE("what is shown is what is live, and showing changes nothing", "[report]",
                   CacheOf<small>, CacheOf<large>, (CacheOf<CacheConfig{.checks = Checks::none}>),
                   (CacheOf<CacheConfig{.checks = Checks::hardened}>),
                   (CacheOf<CacheConfig{.checks = Checks::debug}>)) {
    TestType cache;
    support::Random random;
    std::vector<Object*> live;
    for (int step = 0; step < 200; ++step) {
        for (std::size_t number = random.below(60); number > 0; --number) {
            live.push_back(cache.alloc());
            REQUIRE(live.back() != nullptr);
        }
        random.shuffle(live);
        for (std::size_t number = random.below(60); number > 0 && !live.empty(); --number) {
            cache.free(live.back());
            live.pop_back();
        }
        const CacheStatistics before = cache.statistics();
        std::size_t taken = 0;
        std::size_t sum = 0;
        std::size_t slabs = 0;
        std::size_t last_free = 0;
        cache.for_each_slab([&](const SlabView& slab) {
            ++slabs;
            sum += slab.allocated_objects_number();
            last_free = slab.free_objects_number();
            std::size_t free = 0;
            for (std::size_t slot = 0; slot < slab.slots_number(); ++slot) {
                const SlotState state = slab.state_of(slot);
                if (state == SlotState::Taken) ++taken;
                if (state == SlotState::Free || state == SlotState::Untouched) ++free;
            }
            REQUIRE(free == slab.free_objects_number());
        });
        REQUIRE(taken == live.size());
        REQUIRE(sum == live.size());
        REQUIRE(slabs == before.slabs_number());
        if (before.free_slabs_number > 0) REQUIRE(last_free == cache.objects_per_slab());
        REQUIRE(cache.statistics() == before);
        REQUIRE(cache.validate().defect == Defect::None);
    }
    for (Object* const object : live)
        cache.free(object);
}

TEST_CASE("the caches of several threads are reported, too", "[report]") {
    using Backend = LockedBackend<AlignedAllocBackend, std::mutex>;
    using Locked = LockedCache<Object, Backend, std::mutex, large>;
    using Magazines = MagazineCache<Object, Backend, ThreadCpus<>, std::mutex, large>;
    Locked locked;
    Magazines magazines;
    const auto some = take(locked, 128);
    const auto more = take(magazines, 200);
    StringSink sink;
    report({summary_of("locked", locked), summary_of("magazines", magazines)}, sink);
    REQUIRE(sink.text.find("\nlocked            128      128 ") != std::string::npos);
    REQUIRE(sink.text.find("\nmagazines         200      256 ") != std::string::npos);
    REQUIRE(slabs_of(locked) == "#\n");
    REQUIRE(slabs_of(magazines) == "#5\n");
    REQUIRE(report_slots(magazines, more[7], sink));
    locked.free_bulk(some);
    magazines.free_bulk(more);
}

TEST_CASE("a heap is reported with a line for each class that has slabs", "[report]") {
    Heap<AlignedAllocBackend> heap;
    StringSink empty;
    report(heap, empty);
    REQUIRE(count(empty.text, '\n') == 1);
    void* const small_block = heap.alloc(60);
    void* const large_block = heap.alloc(1000);
    StringSink sink;
    report(heap, sink);
    REQUIRE(count(sink.text, '\n') == 3);
    const std::size_t objects = heap.class_layout(size_classes::class_of(60)).objects_per_slab;
    std::ostringstream line;
    line << "\nheap-64             1 " << std::setw(8) << objects << "      64 ";
    CAPTURE(sink.text, line.str());
    REQUIRE(sink.text.find(line.str()) != std::string::npos);
    REQUIRE(sink.text.find("\nheap-1024") != std::string::npos);
    StringSink json;
    report_json(heap, json, "kmalloc");
    REQUIRE(count(json.text, '{') == 2);
    REQUIRE(json.text.find("{\"name\": \"kmalloc-64\", \"allocated_objects_number\": 1, ") !=
            std::string::npos);
    heap.free(small_block);
    heap.free(large_block);
}
