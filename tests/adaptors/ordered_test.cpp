#include <functional>
#include <map>
#include <set>

#include <adaptors/conformance.hpp>

using namespace conformance;

namespace {

template <typename T, typename Memory>
using Set = std::set<T, std::less<T>, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using Multiset = std::multiset<T, std::less<T>, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using Map = std::map<T, T, std::less<T>, typename Memory::template Alloc<std::pair<const T, T>>>;
template <typename T, typename Memory>
using Multimap =
    std::multimap<T, T, std::less<T>, typename Memory::template Alloc<std::pair<const T, T>>>;

}  // namespace

TEST_CASE("ordered containers keep every promise in a pool", "[allocator]") {
    every_promise<Set, InPool>("set, pool");
    every_promise<Multiset, InPool>("multiset, pool");
    every_promise<Map, InPool>("map, pool");
    every_promise<Multimap, InPool>("multimap, pool");
}

TEST_CASE("ordered containers keep every promise in a memory resource", "[memory_resource]") {
    every_promise<Set, InResource>("set, resource");
    every_promise<Map, InResource>("map, resource");
}
