#include <slab_allocator/core/intrusive_list.hpp>

#include <vector>

#include <support/catch.hpp>
#include <support/death.hpp>
#include <support/defects.hpp>

using namespace slab_allocator;

namespace {

struct Digit : ListNode {
    explicit Digit(int number) : value(number) {}
    int value;
};

[[nodiscard]] std::vector<int> values(IntrusiveList<Digit>& list) {
    std::vector<int> result;
    for (const Digit& digit : list)
        result.push_back(digit.value);
    return result;
}

/// Does `call` report a corrupted list and trap, though the handler returns?
template <typename Call>
[[nodiscard]] bool dies(Call&& call) {
    support::DefectCatcher catcher;
    return support::traps(call) && catcher.only().defect == Defect::CorruptedSlabInfo;
}

}  // namespace

TEST_CASE("what was pushed last is in front", "[intrusive_list]") {
    IntrusiveList<Digit> list;
    REQUIRE(list.empty());
    Digit one{1};
    Digit two{2};
    Digit three{3};
    list.push_front(one);
    list.push_front(two);
    list.push_front(three);
    REQUIRE(!list.empty());
    REQUIRE(list.front().value == 3);
    REQUIRE(values(list) == std::vector{3, 2, 1});
}

TEST_CASE("an element leaves its list wherever it stands, and can come back", "[intrusive_list]") {
    Digit digits[]{Digit{0}, Digit{1}, Digit{2}, Digit{3}};
    IntrusiveList<Digit> list;
    for (Digit& digit : digits)
        list.push_front(digit);
    digits[1].unlink();
    REQUIRE(values(list) == std::vector{3, 2, 0});
    REQUIRE(!digits[1].linked());
    digits[3].unlink();
    digits[0].unlink();
    REQUIRE(values(list) == std::vector{2});
    list.push_front(digits[0]);
    REQUIRE(values(list) == std::vector{0, 2});
    digits[0].unlink();
    digits[2].unlink();
    REQUIRE(list.empty());
}

TEST_CASE("an element knows whether its neighbours know it", "[intrusive_list]") {
    IntrusiveList<Digit> list;
    Digit one{1};
    REQUIRE(!one.linked());
    list.push_front(one);
    REQUIRE(one.linked());
    REQUIRE(one.consistent());
    one.unlink();
    REQUIRE(!one.linked());
}

TEST_CASE("an element that stands on a list is not linked again", "[intrusive_list]") {
    REQUIRE(dies([] {
        IntrusiveList<Digit> list;
        IntrusiveList<Digit> other;
        Digit one{1};
        list.push_front(one);
        other.push_front(one);
    }));
}

TEST_CASE("an element that stands on no list is not unlinked", "[intrusive_list]") {
    REQUIRE(dies([] {
        Digit one{1};
        one.unlink();
    }));
}

TEST_CASE("an element whose neighbours do not know it is not unlinked", "[intrusive_list]") {
    REQUIRE(dies([] {
        IntrusiveList<Digit> list;
        Digit one{1};
        Digit two{2};
        list.push_front(one);
        list.push_front(two);
        ListNode* nobody[2] = {&two, &two};
        __builtin_memcpy(static_cast<void*>(static_cast<ListNode*>(&one)), nobody, sizeof(nobody));
        one.unlink();
    }));
}

TEST_CASE("a neighbour that is nowhere is no neighbour", "[intrusive_list]") {
    IntrusiveList<Digit> list;
    Digit one{1};
    list.push_front(one);
    ListNode* links[2];
    ListNode* nowhere[2] = {nullptr, nullptr};
    void* const node = static_cast<ListNode*>(&one);
    __builtin_memcpy(static_cast<void*>(links), node, sizeof(links));
    for (const std::size_t link : {0U, 1U}) {
        nowhere[link] = nullptr;
        nowhere[1 - link] = links[1 - link];
        __builtin_memcpy(node, static_cast<void*>(nowhere), sizeof(nowhere));
        REQUIRE(!one.consistent());
        nowhere[link] = &one;
        __builtin_memcpy(node, static_cast<void*>(nowhere), sizeof(nowhere));
        REQUIRE(!one.consistent());
    }
    __builtin_memcpy(node, static_cast<void*>(links), sizeof(links));
    REQUIRE(one.consistent());
}

TEST_CASE("nothing is linked beside an element that its neighbours do not know",
          "[intrusive_list]") {
    REQUIRE(dies([] {
        IntrusiveList<Digit> list;
        Digit one{1};
        Digit two{2};
        list.push_front(one);
        ListNode* nobody[2] = {nullptr, nullptr};
        __builtin_memcpy(static_cast<void*>(static_cast<ListNode*>(&one)), nobody, sizeof(nobody));
        list.push_front(two);
    }));
}
