#pragma once

// conformance.hpp -- what every standard container must do with an allocator of this library,
// written once and asked of all of them.
//
//      containers x { pool, memory resource } x promises      a line of counts for each container
//
// Every promise is looked at through the container's own interface, through the elements (who of
// them lives), and through the memory below: a TestMemory, to which everything must have come back.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <slab_allocator/adaptors/allocator.hpp>
#include <slab_allocator/adaptors/memory_resource.hpp>
#include <slab_allocator/adaptors/pool.hpp>
#include <slab_allocator/core/align.hpp>

#include <support/catch.hpp>
#include <support/defects.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

namespace conformance {

using slab_allocator::Allocator;
using slab_allocator::CacheConfig;
using slab_allocator::Heap;
using slab_allocator::ObjectSizeType;
using slab_allocator::Pool;
using slab_allocator::PoolRef;
using support::InfosBackend;
using support::TestMemory;

/// How many promises were looked at, and how many held; prints both when it ends.
class Tally {
public:
    explicit Tally(std::string what) : what_(std::move(what)) {}
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    ~Tally() {
        std::printf("conformance: %-24s %5zu of %zu\n", what_.c_str(), asked_ - broken_, asked_);
        CAPTURE(what_, first_broken_);
        CHECK(broken_ == 0);
    }

    void check(bool holds, const char* promise) {
        ++asked_;
        if (!holds && broken_++ == 0) first_broken_ = promise;
    }

private:
    std::string what_;
    std::string first_broken_;
    std::size_t asked_ = 0;
    std::size_t broken_ = 0;
};

// ---- Elements -----------------------------------------------------------------------------------

/// A number that knows how many of its kind live, and whose making throws when told to.
class Tracked {
public:
    struct Thrown {};

    // NOLINTNEXTLINE(google-explicit-constructor)
    Tracked(int number) : number_(number) { born(); }
    Tracked(const Tracked& other) : number_(other.number_) { born(); }
    Tracked(Tracked&& other) noexcept(false) : number_(other.number_) { born(); }
    Tracked& operator=(const Tracked& other) {
        may_throw();
        number_ = other.number_;
        return *this;
    }
    Tracked& operator=(Tracked&& other) noexcept(false) {
        may_throw();
        number_ = other.number_;
        return *this;
    }
    ~Tracked() { --live; }

    [[nodiscard]] int number() const noexcept { return number_; }
    friend auto operator<=>(const Tracked&, const Tracked&) = default;

    static inline std::size_t live = 0;
    static inline std::size_t throw_at = 0;  ///< the how many-th making from now on; 0: none

private:
    static void may_throw() {
        if (throw_at != 0 && --throw_at == 0) throw Thrown{};
    }
    static void born() {
        may_throw();
        ++live;
    }
    int number_;
};

/// As wide as a line of the processor's cache, and aligned to it.
struct alignas(64) Wide {
    // NOLINTNEXTLINE(google-explicit-constructor)
    Wide(int initial) : value(initial) {}
    [[nodiscard]] int number() const noexcept { return value; }
    friend auto operator<=>(const Wide&, const Wide&) = default;
    int value;
};

struct Hash {
    std::size_t operator()(const auto& element) const noexcept {
        return static_cast<std::size_t>(element.number()) * 0x9e37'79b9U;
    }
};

[[nodiscard]] int number_of(const auto& element) {
    if constexpr (requires { element.first; }) {
        return element.first.number();
    } else {
        return element.number();
    }
}

// ---- Containers ---------------------------------------------------------------------------------

/// One more element, at the end where there is one.
template <typename Container>
void add(Container& container, int number) {
    if constexpr (requires { typename Container::mapped_type; }) {
        container.emplace(number, number);
    } else if constexpr (requires { typename Container::key_type; }) {
        container.emplace(number);
    } else if constexpr (requires { container.emplace_back(number); }) {
        container.emplace_back(number);
    } else {
        container.emplace_front(number);
    }
}

template <typename Container>
void fill(Container& container, int end) {
    for (int number = 0; number < end; ++number)
        add(container, number);
}

template <typename Container>
[[nodiscard]] std::size_t size_of(const Container& container) {
    return static_cast<std::size_t>(std::distance(container.begin(), container.end()));
}

/// What is in it, as it stands but sorted.
template <typename Container>
[[nodiscard]] std::vector<int> numbers(const Container& container) {
    std::vector<int> result;
    for (const auto& element : container)
        result.push_back(number_of(element));
    std::sort(result.begin(), result.end());
    return result;
}

[[nodiscard]] inline std::vector<int> up_to(int end) {
    std::vector<int> result;
    for (int number = 0; number < end; ++number)
        result.push_back(number);
    return result;
}

/// How many Tracked live for one element.
template <typename Container>
[[nodiscard]] constexpr std::size_t per_element() {
    return requires { typename Container::mapped_type; } ? 2 : 1;
}

/// Where its first element lies: a container that took over memory has the same.
template <typename Container>
[[nodiscard]] const void* place(const Container& container) {
    return static_cast<const void*>(std::addressof(*container.begin()));
}

// ---- Memory -------------------------------------------------------------------------------------

/// Slabs of a page, so that a few hundred nodes need several.
inline constexpr CacheConfig config{.slab_size = 4096, .object_size_type = ObjectSizeType::Small};
using TestPool = Pool<InfosBackend, slab_allocator::OneThread, config>;

[[nodiscard]] inline InfosBackend backend_of(TestMemory& memory) {
    InfosBackend backend;
    backend.memory = &memory;
    return backend;
}

[[nodiscard]] std::size_t blocks_of(auto& heap) {
    const auto statistics = heap.statistics();
    return statistics.allocated_objects_number + statistics.runs_number;
}

/// A pool on a TestMemory.
struct InPool {
    template <typename T>
    using Alloc = Allocator<T, PoolRef<TestPool>>;
    static constexpr bool propagates = true;

    template <typename T>
    [[nodiscard]] Alloc<T> allocator() {
        return Alloc<T>(pool);
    }
    [[nodiscard]] std::size_t live_blocks() {
        return pool.statistics().allocated_objects_number + blocks_of(pool.heap());
    }

    TestMemory memory;
    TestPool pool{backend_of(memory)};
};

/// A memory resource on a TestMemory.
struct InResource {
    template <typename T>
    using Alloc = std::pmr::polymorphic_allocator<T>;
    static constexpr bool propagates = false;

    template <typename T>
    [[nodiscard]] Alloc<T> allocator() {
        return Alloc<T>(&resource);
    }
    [[nodiscard]] std::size_t live_blocks() { return blocks_of(resource.heap()); }

    TestMemory memory;
    slab_allocator::MemoryResource<Heap<InfosBackend>> resource{backend_of(memory)};
};

// ---- Promises -----------------------------------------------------------------------------------

template <typename Container, typename Memory>
void keeps_what_is_put_in(Tally& tally) {
    Memory here;
    {
        Container container(here.template allocator<int>());
        tally.check(container.empty(), "a container starts empty");
        fill(container, 200);
        tally.check(numbers(container) == up_to(200), "what was put in is in");
        tally.check(container.get_allocator() == here.template allocator<int>(),
                    "it has the allocator that it was given");
        container.clear();
        tally.check(container.empty(), "clear empties it");
        fill(container, 100);
        tally.check(numbers(container) == up_to(100), "it can be filled again");
    }
    tally.check(Tracked::live == 0 && here.live_blocks() == 0, "nothing is left of it");
}

template <typename Container, typename Memory>
void copies(Tally& tally) {
    Memory here;
    Memory there;
    {
        Container container(here.template allocator<int>());
        fill(container, 50);
        const Container copy(container);
        tally.check(numbers(copy) == up_to(50), "a copy has the same elements");
        tally.check((copy.get_allocator() == container.get_allocator()) == Memory::propagates,
                    "a copy is where select_on_container_copy_construction says");
        Container elsewhere(container, there.template allocator<int>());
        tally.check(numbers(elsewhere) == up_to(50), "a copy elsewhere has the same elements");
        tally.check(elsewhere.get_allocator() == there.template allocator<int>(),
                    "a copy elsewhere is elsewhere");
        add(elsewhere, 50);
        container = elsewhere;
        tally.check(numbers(container) == up_to(51), "copy assignment copies");
        tally.check(container.get_allocator() == here.template allocator<int>(),
                    "copy assignment leaves the target in its memory");
        Container& itself = container;
        container = itself;
        tally.check(numbers(container) == up_to(51), "assignment to itself changes nothing");
    }
    tally.check(Tracked::live == 0 && here.live_blocks() + there.live_blocks() == 0,
                "nothing is left of copies");
}

template <typename Container, typename Memory>
void moves(Tally& tally) {
    Memory here;
    Memory there;
    {
        Container container(here.template allocator<int>());
        fill(container, 50);
        const void* const first = place(container);
        Container moved(std::move(container));
        tally.check(numbers(moved) == up_to(50) && place(moved) == first,
                    "move construction takes the memory over");
        tally.check(moved.get_allocator() == here.template allocator<int>(),
                    "memory moves with its allocator");
        Container same(std::move(moved), here.template allocator<int>());
        tally.check(numbers(same) == up_to(50) && place(same) == first,
                    "a move to where it is takes the memory over");
        Container elsewhere(std::move(same), there.template allocator<int>());
        tally.check(numbers(elsewhere) == up_to(50) && place(elsewhere) != first,
                    "a move elsewhere moves the elements");
        const void* const second = place(elsewhere);
        Container target(here.template allocator<int>());
        fill(target, 20);
        target = std::move(elsewhere);
        tally.check(numbers(target) == up_to(50), "move assignment moves");
        tally.check((place(target) == second) == Memory::propagates,
                    "... the memory too, where the allocator propagates");
        tally.check(
            (target.get_allocator() == there.template allocator<int>()) == Memory::propagates,
            "... which says so");
        add(target, 50);
        tally.check(numbers(target) == up_to(51), "what was moved can be used");
    }
    tally.check(Tracked::live == 0 && here.live_blocks() + there.live_blocks() == 0,
                "nothing is left of moves");
}

template <typename Container, typename Memory>
void swaps(Tally& tally) {
    Memory here;
    Memory there;
    {
        // Between different resources, std::pmr leaves it undefined.
        Memory& second = Memory::propagates ? there : here;
        Container one(here.template allocator<int>());
        Container other(second.template allocator<int>());
        fill(one, 30);
        fill(other, 60);
        const void* const first_of_one = place(one);
        const void* const first_of_other = place(other);
        using std::swap;
        swap(one, other);
        tally.check(numbers(one) == up_to(60) && numbers(other) == up_to(30), "swap swaps");
        tally.check(place(one) == first_of_other && place(other) == first_of_one,
                    "swap swaps the memory");
        tally.check(one.get_allocator() == second.template allocator<int>() &&
                        other.get_allocator() == here.template allocator<int>(),
                    "swap swaps the allocators");
        add(one, 60);
        add(other, 30);
        tally.check(numbers(one) == up_to(61) && numbers(other) == up_to(31),
                    "what was swapped can be used");
    }
    tally.check(Tracked::live == 0 && here.live_blocks() + there.live_blocks() == 0,
                "nothing is left of swaps");
}

/// One call that makes elements; which throws at every making in turn.
template <typename Container, typename Memory, typename Call>
void throws_and_loses_nothing(Tally& tally, bool strong, const char* promise, Call call) {
    Memory here;
    Memory there;
    bool thrown = true;
    for (std::size_t at = 1; thrown; ++at) {
        {
            Container container(here.template allocator<int>());
            Container other(there.template allocator<int>());
            fill(container, 10);
            fill(other, 12);
            Tracked::throw_at = at;
            try {
                call(container, other);
                thrown = false;
            } catch (const Tracked::Thrown&) {
            }
            Tracked::throw_at = 0;
            const bool counted =
                Tracked::live == per_element<Container>() * (size_of(container) + size_of(other));
            const bool as_before = !thrown || !strong || numbers(container) == up_to(10);
            tally.check(counted && as_before, promise);
            add(container, 100);
            tally.check(numbers(container).back() == 100, "after a throw, it can be used");
        }
        tally.check(Tracked::live == 0 && here.live_blocks() + there.live_blocks() == 0,
                    "a throw loses nothing");
    }
}

template <typename Container>
inline constexpr bool copies_safely = true;

template <typename Container, typename Memory>
void throwing_elements(Tally& tally) {
    throws_and_loses_nothing<Container, Memory>(
        tally, true, "a throwing insertion changes nothing",
        [](Container& container, Container&) { add(container, 20); });
    if constexpr (!copies_safely<Container>) return;
    throws_and_loses_nothing<Container, Memory>(
        tally, true, "a throwing copy construction changes nothing",
        [](Container& container, Container&) { const Container copy(container); });
    throws_and_loses_nothing<Container, Memory>(
        tally, false, "a throwing copy assignment leaves nobody uncounted",
        [](Container& container, Container& other) { container = other; });
    throws_and_loses_nothing<Container, Memory>(
        tally, false, "a throwing move elsewhere leaves nobody uncounted",
        [](Container& container, Container& other) {
            const Container moved(std::move(container), other.get_allocator());
        });
    throws_and_loses_nothing<Container, Memory>(
        tally, false, "a throwing move assignment leaves nobody uncounted",
        [](Container& container, Container& other) { container = std::move(other); });
}

/// Every call of the backend is refused in turn, and those after it, until the container gets on.
template <typename Container, typename Memory>
void refused_memory(Tally& tally) {
    constexpr int wanted = 150;
    bool refused = true;
    for (std::size_t at = 1; refused; ++at) {
        refused = false;
        Memory here;
        here.memory.refuse(at, true);
        std::optional<Container> container;
        for (int number = -1; number < wanted;) {
            try {
                if (number < 0) {
                    container.emplace(here.template allocator<int>());
                } else {
                    add(*container, number);
                }
                ++number;
            } catch (const std::bad_alloc&) {
                refused = true;
                here.memory.refuse_nothing();
                const bool as_before = number < 0 || numbers(*container) == up_to(number);
                tally.check(as_before, "std::bad_alloc leaves everything as it was");
            }
        }
        tally.check(numbers(*container) == up_to(wanted), "after std::bad_alloc it goes on");
    }
}

/// Random insertions and erasures, beside a vector of what must be in.
template <typename Container, typename Memory>
void lives_long(Tally& tally) {
    Memory here;
    support::Random random;
    {
        Container container(here.template allocator<int>());
        std::vector<int> model;
        for (int step = 0; step < 3000; ++step) {
            const bool grows =
                model.size() < 400 && random.below(100) < (step / 500 % 2 ? 65U : 35U);
            if (grows || model.empty()) {
                add(container, step);
                model.push_back(step);
            } else if constexpr (requires { container.erase_after(container.begin()); }) {
                model.erase(std::find(model.begin(), model.end(), container.front().number()));
                container.pop_front();
            } else {
                auto victim = container.begin();
                std::advance(victim, static_cast<std::ptrdiff_t>(random.below(model.size())));
                model.erase(std::find(model.begin(), model.end(), number_of(*victim)));
                container.erase(victim);
            }
            if (step % 250 == 249) {
                std::sort(model.begin(), model.end());
                tally.check(numbers(container) == model, "a long life keeps every element");
            }
        }
    }
    tally.check(Tracked::live == 0 && here.live_blocks() == 0, "nothing is left of a long life");
}

/// Container: of Wide elements.
template <typename Container, typename Memory>
void over_aligned(Tally& tally) {
    Memory here;
    Container container(here.template allocator<int>());
    fill(container, 100);
    bool aligned = true;
    for (const auto& element : container)
        aligned = aligned && slab_allocator::is_aligned(std::addressof(element), alignof(Wide));
    tally.check(aligned && numbers(container) == up_to(100), "over-aligned elements are aligned");
}

/// All of them. Of: the container for an element and an allocator.
template <template <typename, typename> typename Of, typename Memory>
void every_promise(const char* name) {
    using Tracking = Of<Tracked, Memory>;
    Tally tally(name);
    keeps_what_is_put_in<Tracking, Memory>(tally);
    copies<Tracking, Memory>(tally);
    moves<Tracking, Memory>(tally);
    swaps<Tracking, Memory>(tally);
    throwing_elements<Tracking, Memory>(tally);
    refused_memory<Tracking, Memory>(tally);
    lives_long<Tracking, Memory>(tally);
    over_aligned<Of<Wide, Memory>, Memory>(tally);
}

}  // namespace conformance
