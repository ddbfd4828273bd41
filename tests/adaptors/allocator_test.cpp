#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <scoped_allocator>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>

#include <adaptors/conformance.hpp>

using namespace conformance;
using slab_allocator::AlignedAllocBackend;
using slab_allocator::Defect;
using slab_allocator::is_aligned;
using slab_allocator::StaticPool;
using support::defect_of;

namespace {

constinit Pool<AlignedAllocBackend> static_pool;

template <typename T>
using Held = Allocator<T, PoolRef<TestPool>>;
template <typename T>
using Static = Allocator<T, StaticPool<static_pool>>;

// ---- Cpp17Allocator, [allocator.requirements], line for line ------------------------------------

template <typename A, typename U>
concept Rebinds =
    std::same_as<typename std::allocator_traits<A>::template rebind_alloc<U>::value_type, U> &&
    std::same_as<typename std::allocator_traits<typename std::allocator_traits<
                     A>::template rebind_alloc<U>>::template rebind_alloc<typename A::value_type>,
                 A>;

template <typename A, typename U = char[24]>
concept Cpp17Allocator = requires(
    A a, const A b, typename std::allocator_traits<A>::template rebind_alloc<U> other,
    typename std::allocator_traits<A>::pointer p, typename std::allocator_traits<A>::size_type n) {
    typename A::value_type;
    requires Rebinds<A, U>;
    { *p } -> std::same_as<typename A::value_type&>;
    { a.allocate(n) } -> std::same_as<typename A::value_type*>;
    { a.deallocate(p, n) } noexcept;
    { a == b } noexcept -> std::same_as<bool>;
    { a != b } noexcept -> std::same_as<bool>;
    { a == other } -> std::same_as<bool>;
    { A(b) } noexcept;
    { A(std::move(a)) } noexcept;
    { A(other) } noexcept;
    { A(std::move(other)) } noexcept;
    requires std::is_nothrow_copy_assignable_v<A> && std::is_nothrow_move_assignable_v<A>;
    requires std::is_nothrow_swappable_v<A>;
    requires std::same_as<typename std::allocator_traits<A>::pointer, typename A::value_type*>;
    requires std::same_as<typename std::allocator_traits<A>::size_type, std::size_t>;
    requires std::same_as<typename std::allocator_traits<A>::difference_type, std::ptrdiff_t>;
    { std::allocator_traits<A>::select_on_container_copy_construction(b) } -> std::same_as<A>;
};

static_assert(Cpp17Allocator<Held<int>> && Cpp17Allocator<Static<int>>);
static_assert(Cpp17Allocator<Held<Wide>> && Cpp17Allocator<Static<Wide>>);
static_assert(Cpp17Allocator<Held<std::string>> && Cpp17Allocator<Held<std::pair<const int, int>>>);

template <typename A, bool equal>
concept PropagatesAsDecided =
    !std::allocator_traits<A>::propagate_on_container_copy_assignment::value &&
    std::allocator_traits<A>::propagate_on_container_move_assignment::value &&
    std::allocator_traits<A>::propagate_on_container_swap::value &&
    std::allocator_traits<A>::is_always_equal::value == equal;
static_assert(PropagatesAsDecided<Held<int>, false> && PropagatesAsDecided<Static<int>, true>);

// One pointer, or nothing; a default only where there is one pool.
static_assert(sizeof(Held<int>) == sizeof(void*) && std::is_empty_v<Static<int>>);
static_assert(std::default_initializable<Static<int>> && !std::default_initializable<Held<int>>);
static_assert(std::convertible_to<TestPool&, Held<int>> && !std::convertible_to<int&, Held<int>>);
static_assert(!std::convertible_to<TestPool&, Static<int>>);
static_assert(sizeof(std::vector<int, Static<int>>) == sizeof(std::vector<int>));
static_assert(!std::copyable<TestPool> && !std::movable<TestPool>);

// Moves and swaps hand the memory over, so they cannot fail.
template <typename Container>
concept MovesAndSwapsWithoutThrowing =
    std::is_nothrow_move_constructible_v<Container> &&
    std::is_nothrow_move_assignable_v<Container> && std::is_nothrow_swappable_v<Container>;
static_assert(
    MovesAndSwapsWithoutThrowing<std::vector<int, Held<int>>> &&
    MovesAndSwapsWithoutThrowing<std::list<int, Held<int>>> &&
    MovesAndSwapsWithoutThrowing<std::map<int, int, std::less<>, Held<std::pair<const int, int>>>>);

}  // namespace

TEST_CASE("one object comes from the cache of its size, whatever its type", "[allocator]") {
    InPool here;
    auto ints = here.allocator<std::pair<int, int>>();
    auto doubles = here.allocator<double>();
    auto* const one = ints.allocate(1);
    double* const other = doubles.allocate(1);
    CHECK(here.memory.slab_of(one) == here.memory.slab_of(other));
    CHECK(here.pool.nodes().cache<sizeof(double)>()->statistics().allocated_objects_number == 2);
    ints.deallocate(one, 1);
    doubles.deallocate(other, 1);
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("a size has a cache where its alignment does not need another size", "[allocator]") {
    using Nodes = TestPool::nodes_type;
    using Guarded = Pool<InfosBackend, slab_allocator::OneThread,
                         CacheConfig{.slab_size = std::size_t{16} * 1024,
                                     .object_size_type = ObjectSizeType::Small,
                                     .checks = slab_allocator::Checks::hardened}>::nodes_type;
    std::size_t served = 0;
    for (std::size_t size = 0; size <= 2 * Nodes::largest_size; ++size) {
        for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
            CAPTURE(size, alignment);
            const std::size_t block = (size + 7) / 8 * 8;
            const bool serves = size > 0 && size <= Nodes::largest_size && block % alignment == 0;
            REQUIRE(Nodes::serves(size, alignment) == serves);
            REQUIRE(Guarded::serves(size, alignment) == (serves && alignment <= 16));
            served += serves ? 1 : 0;
        }
    }
    REQUIRE(served > 4 * Nodes::largest_size);
    struct Large {
        std::byte bytes[Nodes::largest_size + 1];
    };
    REQUIRE(TestPool::has_cache_for<int>());
    REQUIRE_FALSE(TestPool::has_cache_for<Large>());
}

TEST_CASE("the cache of a size is made when it is asked for, or is not where memory is refused",
          "[allocator]") {
    InPool here;
    here.memory.refuse(1, false);
    REQUIRE(here.pool.nodes().cache<24>() == nullptr);
    auto* const cache = here.pool.nodes().cache<24>();
    REQUIRE(cache != nullptr);
    REQUIRE(here.pool.nodes().cache<17>() == cache);
    REQUIRE(cache->statistics().slabs_number() == 0);
    REQUIRE(here.pool.nodes().cache<16>() != static_cast<void*>(cache));
}

TEST_CASE("null is no node, whether there is a cache or not, and a stranger is one of no cache",
          "[allocator]") {
    InPool here;
    long stranger = 7;
    for (int round = 0; round < 2; ++round) {  // without the cache of that size, and with it
        REQUIRE(defect_of([&] { here.pool.free(static_cast<long*>(nullptr)); }) == Defect::None);
        REQUIRE(defect_of([&] { here.pool.destroy(static_cast<long*>(nullptr)); }) == Defect::None);
        REQUIRE(defect_of([&] { here.pool.free(&stranger); }) == Defect::ForeignPointer);
        REQUIRE(here.pool.nodes().cache<sizeof(long)>() != nullptr);
    }
}

TEST_CASE("a pool's heap is of the level and the pages that its caches are of", "[allocator]") {
    using slab_allocator::Checks;
    for (const Checks checks : {Checks::none, Checks::misuse, Checks::hardened, Checks::debug}) {
        for (const bool never_destroyed : {false, true}) {
            const auto of_heap = slab_allocator::detail::heap_config_of(
                {.page_size = 16384, .checks = checks, .never_destroyed = never_destroyed});
            REQUIRE((of_heap.checks == Checks::none) == (checks == Checks::none));
            REQUIRE(of_heap.page_size == 16384);
            REQUIRE(of_heap.never_destroyed == never_destroyed);
        }
    }
}

TEST_CASE("who comes second with a cache of nodes takes the first one's", "[allocator]") {
    InPool here;
    auto allocator = here.allocator<double>();
    double* first = nullptr;
    bool meanwhile = true;
    here.memory.on_call = [&](support::Call) {  // another thread would come between like this
        if (std::exchange(meanwhile, false)) first = allocator.allocate(1);
    };
    double* const second = allocator.allocate(1);
    REQUIRE((first != nullptr && second != first));
    CHECK(here.memory.slab_of(first) == here.memory.slab_of(second));
    CHECK(here.pool.statistics().allocated_objects_number == 2);
    allocator.deallocate(first, 1);
    allocator.deallocate(second, 1);
    here.memory.on_call = nullptr;
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("arrays and what is too large for a cache come from the heap", "[allocator]") {
    InPool here;
    struct Large {
        std::byte bytes[TestPool::nodes_type::largest_size + 1];
    };
    auto chars = here.allocator<char>();
    auto large = here.allocator<Large>();
    for (const std::size_t number :
         {std::size_t{0}, std::size_t{2}, std::size_t{100}, std::size_t{1} << 20}) {
        char* const array = chars.allocate(number);
        REQUIRE(array != nullptr);
        if (number > 0) array[number - 1] = 'x';
        CHECK(here.pool.statistics().allocated_objects_number == 0);
        CHECK(blocks_of(here.pool.heap()) == 1);
        chars.deallocate(array, number);
    }
    Large* const one = large.allocate(1);
    CHECK(blocks_of(here.pool.heap()) == 1);
    large.deallocate(one, 1);
    CHECK(here.live_blocks() == 0);
}

TEMPLATE_TEST_CASE_SIG("alone and in arrays, every alignment is kept", "[allocator]",
                       ((std::size_t alignment), alignment), 1, 2, 8, 16, 64, 1024, 4096) {
    struct alignas(alignment) Aligned {
        std::byte bytes[alignment];
    };
    InPool here;
    auto allocator = here.allocator<Aligned>();
    for (const std::size_t number : {1U, 1U, 1U, 2U, 3U, 7U, 100U}) {
        Aligned* const memory = allocator.allocate(number);
        Aligned* const next = allocator.allocate(number);
        CHECK(is_aligned(memory, alignment));
        CHECK(is_aligned(next, alignment));
        allocator.deallocate(memory, number);
        allocator.deallocate(next, number);
    }
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("a refusal is std::bad_alloc, an impossible length is its own", "[allocator]") {
    InPool here;
    auto allocator = here.allocator<long>();
    here.memory.refuse(1, true);
    CHECK_THROWS_AS(allocator.allocate(1), std::bad_alloc);
    CHECK_THROWS_AS(allocator.allocate(2), std::bad_alloc);
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    for (const std::size_t number : {most, most / sizeof(long), most / sizeof(long) + 2, most / 2})
        CHECK_THROWS_AS(allocator.allocate(number), std::bad_array_new_length);
    CHECK_THROWS_AS(allocator.allocate(most / 4 / sizeof(long)), std::bad_alloc);
    here.memory.refuse_nothing();
    allocator.deallocate(allocator.allocate(1), 1);
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("allocators are equal when they have one pool", "[allocator]") {
    InPool here;
    InPool there;
    CHECK(here.allocator<int>() == here.allocator<std::string>());
    CHECK(here.allocator<int>() != there.allocator<int>());
    CHECK(Static<int>() == Static<std::string>());
    Held<int> moved = there.allocator<int>();
    moved = here.allocator<int>();
    CHECK(moved == here.allocator<int>());
    CHECK(&moved.pool() == &here.pool);
}

TEST_CASE("what goes back wrongly is a defect, and nothing is changed", "[allocator]") {
    InPool here;
    InPool there;
    auto allocator = here.allocator<long>();
    auto elsewhere = there.allocator<long>();
    long* const one = allocator.allocate(1);
    long* const array = allocator.allocate(100);
    CHECK(defect_of([&] { elsewhere.deallocate(one, 1); }) != Defect::None);
    CHECK(defect_of([&] { elsewhere.deallocate(array, 100); }) != Defect::None);
    CHECK(defect_of([&] { allocator.deallocate(array, 20); }) != Defect::None);
    CHECK(defect_of([&] { allocator.deallocate(one, 100); }) != Defect::None);
    CHECK(here.live_blocks() == 2);
    allocator.deallocate(one, 1);
    CHECK(defect_of([&] { allocator.deallocate(one, 1); }) == Defect::DoubleFree);
    allocator.deallocate(array, 100);
    CHECK(defect_of([&] { allocator.deallocate(array, 100); }) != Defect::None);
    allocator.deallocate(nullptr, 1);
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("a pool that ends with live nodes reports the leak", "[allocator]") {
    TestMemory memory;
    support::DefectCatcher catcher;
    {
        TestPool pool{backend_of(memory)};
        static_cast<void>(Held<int>(pool).allocate(1));
        static_cast<void>(Held<int>(pool).allocate(50));
    }
    CHECK(catcher.number() == 2);
    CHECK(catcher.reports()[0].defect == Defect::Leak);
    CHECK(memory.live_slabs() == 0);
}

TEST_CASE("shrink_to_fit gives the slabs of all sizes back", "[allocator]") {
    InPool here;
    {
        std::list<int, Held<int>> list(here.pool);
        std::map<int, int, std::less<>, Held<std::pair<const int, int>>> map(here.pool);
        for (int number = 0; number < 1000; ++number) {
            list.push_back(number);
            map.emplace(number, number);
        }
    }
    CHECK(here.pool.shrink_to_fit() >= 2);
    CHECK(here.pool.statistics().slabs_number() == 0);
}

TEST_CASE("allocators of containers in containers are handed down", "[allocator]") {
    InPool here;
    using Text = std::basic_string<char, std::char_traits<char>, Held<char>>;
    using Texts = std::vector<Text, std::scoped_allocator_adaptor<Held<Text>>>;
    {
        Texts texts{Held<Text>(here.pool)};
        for (int number = 0; number < 100; ++number)
            texts.emplace_back(static_cast<std::size_t>(number), 'x');
        CHECK(texts.back().get_allocator() == here.allocator<char>());
        CHECK(texts[99].size() == 99);
        CHECK(blocks_of(here.pool.heap()) > 50);
        std::vector<bool, Held<bool>> bits(1000, true, here.pool);
        CHECK(bits[999]);
    }
    CHECK(here.live_blocks() == 0);
}

TEST_CASE("containers of a static pool need not be told of it", "[allocator]") {
    {
        std::map<int, int, std::less<>, Static<std::pair<const int, int>>> map;
        for (int number = 0; number < 1000; ++number)
            map.emplace(number, number);
        auto copy = map;
        copy.merge(map);
        auto node = copy.extract(7);
        CHECK(node.mapped() == 7);
        map.insert(std::move(node));
        CHECK((copy.size() == 999 && map.size() == 1000));
        CHECK(static_pool.statistics().allocated_objects_number == 1999);
    }
    CHECK(static_pool.statistics().allocated_objects_number == 0);
}
