#include <functional>
#include <unordered_map>
#include <unordered_set>

#include <adaptors/conformance.hpp>

using namespace conformance;

namespace {

template <typename T, typename Memory>
using Set = std::unordered_set<T, Hash, std::equal_to<T>, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using Multiset =
    std::unordered_multiset<T, Hash, std::equal_to<T>, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using Map = std::unordered_map<T, T, Hash, std::equal_to<T>,
                               typename Memory::template Alloc<std::pair<const T, T>>>;
template <typename T, typename Memory>
using Multimap = std::unordered_multimap<T, T, Hash, std::equal_to<T>,
                                         typename Memory::template Alloc<std::pair<const T, T>>>;

}  // namespace

TEST_CASE("unordered containers keep every promise in a pool", "[allocator]") {
    every_promise<Set, InPool>("unordered_set, pool");
    every_promise<Multiset, InPool>("unordered_multiset, pool");
    every_promise<Map, InPool>("unordered_map, pool");
    every_promise<Multimap, InPool>("unordered_multimap, pool");
}

TEST_CASE("unordered containers keep every promise in a memory resource", "[memory_resource]") {
    every_promise<Map, InResource>("unordered_map, resource");
}
