#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include <slab_allocator/adaptors/pooled_object.hpp>
#include <slab_allocator/core/align.hpp>

#include <adaptors/conformance.hpp>

using namespace conformance;
using slab_allocator::is_aligned;
using slab_allocator::PooledObject;

namespace {

constinit TestPool pool{InfosBackend{}};

struct Shape : PooledObject<Shape, pool> {
    explicit Shape(int corner = 0, bool throws = false) : corners(corner) {
        if (throws) throw std::runtime_error("no such shape");
        ++live;
    }
    Shape(const Shape&) = delete;
    Shape& operator=(const Shape&) = delete;
    virtual ~Shape() { --live; }
    int corners;
    static inline int live = 0;
};

struct Square final : Shape {  // another size, by another way
    explicit Square(bool throws = false) : Shape(4) {
        if (throws) throw std::runtime_error("no such square");
    }
    std::byte more[100] = {};
};

struct Renamed final : Shape {  // of the same size
    using Shape::Shape;
};

struct alignas(256) Aligned : PooledObject<Aligned, pool> {
    std::byte bytes[256] = {};
};
struct alignas(512) AlignedMore final : Aligned {};
struct alignas(4096) Page final : PooledObject<Page, pool> {
    std::byte bytes[4096] = {};
};

template <std::size_t alignment>
struct alignas(alignment) Throwing final : PooledObject<Throwing<alignment>, pool> {
    Throwing() { throw std::runtime_error("none is ever made"); }
    std::byte bytes[alignment];
};

struct Loose : PooledObject<Loose, pool> {
    std::byte bytes[128] = {};
};
struct alignas(128) Strict final : Loose {};
static_assert(sizeof(Strict) == sizeof(Loose));

struct Plain : PooledObject<Plain, pool> {
    long value = 7;
};
static_assert(sizeof(Plain) == sizeof(long));

[[nodiscard]] std::size_t nodes() { return pool.statistics().allocated_objects_number; }
[[nodiscard]] std::size_t blocks() { return blocks_of(pool.heap()); }

/// The pool is one for all tests, so is its memory.
TestMemory& memory() {
    static auto* const forever = new TestMemory;
    pool.backend().memory = forever;
    return *forever;
}

}  // namespace

TEST_CASE("new and delete of a class go to the cache of its size", "[pooled_object]") {
    memory();
    const auto* const shape = new Shape(3);
    const Plain* const plain = new Plain;
    CHECK((nodes() == 2 && blocks() == 0));
    CHECK((memory().contains(shape) && memory().contains(plain)));
    CHECK(plain->value == 7);
    delete shape;
    delete plain;
    const std::unique_ptr<Shape> derived = std::make_unique<Renamed>(5);
    CHECK((nodes() == 1 && blocks() == 0));
}

TEST_CASE("a derived class of another size is told apart, deleted as its base, too",
          "[pooled_object]") {
    memory();
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int number = 0; number < 100; ++number) {
        shapes.push_back(std::make_unique<Shape>(number));
        shapes.push_back(std::make_unique<Square>());
    }
    CHECK((nodes() == 100 && blocks() == 100));
    shapes.clear();
    CHECK((nodes() == 0 && blocks() == 0 && Shape::live == 0));
}

TEST_CASE("arrays of a class come from the heap", "[pooled_object]") {
    memory();
    const Shape* const shapes = new Shape[10];
    const auto* const aligned = new Aligned[3];
    CHECK(is_aligned(aligned, 256));
    CHECK((nodes() == 0 && blocks() == 2));
    delete[] shapes;
    delete[] aligned;
    CHECK((blocks() == 0 && Shape::live == 0));
}

TEST_CASE("an over-aligned class is aligned, from a cache or the heap", "[pooled_object]") {
    memory();
    for (int number = 0; number < 20; ++number) {
        const auto aligned = std::make_unique<Aligned>();
        const auto more = std::make_unique<Aligned>();
        CHECK((is_aligned(aligned.get(), 256) && is_aligned(more.get(), 256)));
        CHECK((nodes() == 2 && blocks() == 0));
        const auto page = std::make_unique<Page>();
        CHECK((is_aligned(page.get(), 4096) && blocks() == 1));
    }
    CHECK((nodes() == 0 && blocks() == 0));
}

TEST_CASE("a constructor that throws gives the memory back to where it was from",
          "[pooled_object]") {
    memory();
    CHECK_THROWS_AS(new Shape(1, true), std::runtime_error);
    CHECK_THROWS_AS(new Square(true), std::runtime_error);
    CHECK_THROWS_AS(new (std::nothrow) Shape(1, true), std::runtime_error);
    CHECK_THROWS_AS(new (std::nothrow) Square(true), std::runtime_error);
    CHECK((nodes() == 0 && blocks() == 0 && Shape::live == 0));
}

TEST_CASE("an over-aligned object whose constructor throws gives its memory back, too",
          "[pooled_object]") {
    memory();
    CHECK_THROWS_AS(new Throwing<256>, std::runtime_error);
    CHECK_THROWS_AS(new Throwing<4096>, std::runtime_error);
    CHECK_THROWS_AS(new (std::nothrow) Throwing<256>, std::runtime_error);   // from a cache
    CHECK_THROWS_AS(new (std::nothrow) Throwing<4096>, std::runtime_error);  // from the heap
    CHECK_THROWS_AS(new Throwing<256>[3], std::runtime_error);
    CHECK((nodes() == 0 && blocks() == 0));
}

TEST_CASE("a derived class of the same size that is aligned more comes from the heap",
          "[pooled_object]") {
    memory();
    for (int number = 0; number < 20; ++number) {
        const auto strict = std::make_unique<Strict>();
        const auto more = std::make_unique<Strict>();
        CHECK((is_aligned(strict.get(), 128) && is_aligned(more.get(), 128)));
        CHECK((nodes() == 0 && blocks() == 2));
        const auto loose = std::make_unique<Loose>();
        CHECK((nodes() == 1 && blocks() == 2));
        const auto larger = std::make_unique<AlignedMore>();
        CHECK((is_aligned(larger.get(), 512) && nodes() == 1 && blocks() == 3));
    }
    CHECK((nodes() == 0 && blocks() == 0));
}

TEST_CASE("a refusal is std::bad_alloc, or null for nothrow", "[pooled_object]") {
    memory();
    pool.shrink_to_fit();
    memory().refuse(1, true);
    CHECK_THROWS_AS(new Shape, std::bad_alloc);
    CHECK_THROWS_AS(new Square, std::bad_alloc);
    CHECK_THROWS_AS(new Shape[100], std::bad_alloc);
    CHECK_THROWS_AS(new Page, std::bad_alloc);
    CHECK(new (std::nothrow) Shape == nullptr);
    CHECK(new (std::nothrow) Square == nullptr);
    CHECK(new (std::nothrow) Page == nullptr);
    memory().refuse_nothing();
    delete new (std::nothrow) Shape;
    CHECK((nodes() == 0 && blocks() == 0));
}

TEST_CASE("placement new is not hidden", "[pooled_object]") {
    alignas(Shape) std::byte place[sizeof(Shape)];
    Shape* const shape = new (static_cast<void*>(place)) Shape(6);
    CHECK((static_cast<void*>(shape) == place && shape->corners == 6 && nodes() == 0));
    shape->~Shape();
    alignas(Plain) std::byte places[4 * sizeof(Plain)];  // their number is before them
    const auto* const plains = new (static_cast<void*>(places)) Plain[3];
    CHECK((plains[2].value == 7 && nodes() == 0 && blocks() == 0));
}

TEST_CASE("in place, a constructor that throws gives nothing back: it is nobody's",
          "[pooled_object]") {
    memory();
    alignas(256) std::byte place[4 * 256];
    CHECK_THROWS_AS(new (static_cast<void*>(place)) Throwing<256>, std::runtime_error);
    CHECK_THROWS_AS(new (static_cast<void*>(place)) Throwing<256>[3], std::runtime_error);
    CHECK((nodes() == 0 && blocks() == 0));
}
