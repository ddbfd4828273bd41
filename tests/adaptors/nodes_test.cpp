#include <functional>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include <adaptors/conformance.hpp>

using namespace conformance;

namespace {

template <typename T>
using Held = Allocator<T, PoolRef<TestPool>>;
using List = std::list<Tracked, Held<Tracked>>;
using Map = std::map<Tracked, Tracked, std::less<>, Held<std::pair<const Tracked, Tracked>>>;
using Set = std::multiset<Tracked, std::less<>, Held<Tracked>>;
using Hashed = std::unordered_map<Tracked, Tracked, Hash, std::equal_to<>,
                                  Held<std::pair<const Tracked, Tracked>>>;

/// `end` elements from `start` on, every second number.
template <typename Container>
Container every_second(InPool& here, int start, int end) {
    Container container(here.pool);
    for (int number = start; number < 2 * end; number += 2)
        add(container, number);
    return container;
}

}  // namespace

TEST_CASE("nodes change lists without a copy, and without a call of the pool", "[allocator]") {
    InPool here;
    {
        List even = every_second<List>(here, 0, 100);
        List odd = every_second<List>(here, 1, 100);
        const std::size_t made = Tracked::live;
        const void* const first = place(odd);
        even.splice(even.end(), odd, odd.begin());
        CHECK(static_cast<const void*>(&even.back()) == first);
        even.splice(even.begin(), odd);
        CHECK((odd.empty() && even.size() == 200));
        even.sort();
        CHECK(numbers(even) == up_to(200));
        List later = every_second<List>(here, 200, 150);
        even.merge(later);
        CHECK(even.size() == 250);
        even.remove_if([](const Tracked& element) { return element.number() >= 200; });
        even.reverse();
        even.unique();
        CHECK(numbers(even) == up_to(200));
        CHECK(Tracked::live == made);
        CHECK(here.pool.statistics().allocated_objects_number == 200);
    }
    CHECK(Tracked::live == 0);
    CHECK(here.live_blocks() == 0);
}

TEMPLATE_TEST_CASE("nodes change trees and tables by their handles", "[allocator]", Map, Set,
                   Hashed) {
    InPool here;
    {
        TestType even = every_second<TestType>(here, 0, 50);
        TestType odd = every_second<TestType>(here, 1, 50);
        const std::size_t made = Tracked::live;
        auto node = odd.extract(odd.begin());
        CHECK(node.get_allocator() == here.allocator<int>());
        even.insert(std::move(node));
        even.merge(odd);
        CHECK(odd.empty());
        CHECK(numbers(even) == up_to(100));
        CHECK(Tracked::live == made);
        auto kept = even.extract(even.begin());
        even.clear();
        odd.insert(std::move(kept));  // a handle outlives what was around it
        CHECK(odd.size() == 1);
        auto dropped = odd.extract(odd.begin());
        CHECK(here.pool.statistics().allocated_objects_number == 1);
    }
    CHECK(Tracked::live == 0);
    CHECK(here.live_blocks() == 0);
}
