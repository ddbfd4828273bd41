#include <deque>
#include <forward_list>
#include <list>
#include <vector>

#include <adaptors/conformance.hpp>

using namespace conformance;

namespace {

template <typename T, typename Memory>
using Vector = std::vector<T, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using Deque = std::deque<T, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using List = std::list<T, typename Memory::template Alloc<T>>;
template <typename T, typename Memory>
using ForwardList = std::forward_list<T, typename Memory::template Alloc<T>>;

}  // namespace

#if defined(_LIBCPP_VERSION)
/// The copy constructor of its deque keeps elements that it made before one threw, with
/// std::allocator, too (libc++ 19).
template <typename T, typename A>
inline constexpr bool conformance::copies_safely<std::deque<T, A>> = false;
#endif

TEST_CASE("sequences keep every promise in a pool", "[allocator]") {
    every_promise<Vector, InPool>("vector, pool");
    every_promise<Deque, InPool>("deque, pool");
    every_promise<List, InPool>("list, pool");
    every_promise<ForwardList, InPool>("forward_list, pool");
}

TEST_CASE("sequences keep every promise in a memory resource", "[memory_resource]") {
    every_promise<Vector, InResource>("vector, resource");
    every_promise<List, InResource>("list, resource");
}
