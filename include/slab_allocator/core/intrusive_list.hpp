#pragma once

// intrusive_list.hpp -- the doubly-linked list that slabs stand on.
//
// The links are a base class of the element, so the list never allocates, and taking an element off
// needs the element alone, not its list. The list is a ring closed by a sentinel:
//
//      .--> sentinel <--> front <--> ... <--> back <--.
//      '----------------------------------------------'
//
// A ring has no ends, so linking and unlinking have no branches but the checks.
//
// Invariants
//   [L1] on a ring   node.next->previous == &node  and  node.previous->next == &node
//   [L2] at rest     node.next == node.previous == nullptr
//   [L3] a node is at rest or on exactly one ring; link_after() and unlink() are the only doors.
//
// A slab changes lists rarely (a few times in objects_per_slab operations), so every build checks.

#include <slab_allocator/core/defect.hpp>

namespace slab_allocator {

template <typename T>
class IntrusiveList;

/// Base class of everything that can stand on an IntrusiveList.
///
/// In a Small slab AddressSanitizer takes a node for memory that nobody has (instruments.hpp): what
/// reaches into one is not looked at.
class ListNode {
public:
    constexpr ListNode() noexcept = default;
    ListNode(const ListNode&) = delete;  // neighbours know this node by its address
    ListNode& operator=(const ListNode&) = delete;

    [[nodiscard, gnu::no_sanitize_address]] constexpr bool linked() const noexcept {
        return next_ != nullptr;
    }

    /// Takes the node off its ring and lays it to rest. Requires: linked().
    [[gnu::no_sanitize_address]] constexpr void unlink() noexcept {
        check(linked() && consistent());  // [L1]
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = previous_ = nullptr;  // [L2]
    }

    /// Do both neighbours know this node? Requires: linked().
    [[nodiscard, gnu::no_sanitize_address]] constexpr bool consistent() const noexcept {
        return next_ != nullptr && previous_ != nullptr && next_->previous_ == this &&
               previous_->next_ == this;
    }

private:
    template <typename T>
    friend class IntrusiveList;

    struct Sentinel {};
    constexpr explicit ListNode(Sentinel) noexcept : next_(this), previous_(this) {}

    constexpr void check(bool holds) const noexcept {
        if (!holds) [[unlikely]] {
            report_and_trap({.defect = Defect::CorruptedSlabInfo, .pointer = this});
        }
    }

    [[gnu::no_sanitize_address]] constexpr void link_after(ListNode& position) noexcept {
        check(!linked() && position.consistent());  // [L3] [L1]
        previous_ = &position;
        next_ = position.next_;
        next_->previous_ = this;
        position.next_ = this;
    }

    ListNode* next_ = nullptr;
    ListNode* previous_ = nullptr;
};

/// A list of elements that it does not own. It stays where it is: the ring holds its address.
template <typename T>
class IntrusiveList {
public:
    using value_type = T;

    class Iterator {
    public:
        constexpr T& operator*() const noexcept { return static_cast<T&>(*node_); }
        [[gnu::no_sanitize_address]] constexpr Iterator& operator++() noexcept {
            node_ = node_->next_;
            return *this;
        }
        constexpr bool operator==(const Iterator&) const noexcept = default;

    private:
        friend class IntrusiveList;
        constexpr explicit Iterator(ListNode* node) noexcept : node_(node) {}
        ListNode* node_;
    };

    [[nodiscard]] constexpr bool empty() const noexcept { return sentinel_.next_ == &sentinel_; }

    /// Requires: !empty(), not checked.
    [[nodiscard]] constexpr T& front() noexcept { return static_cast<T&>(*sentinel_.next_); }

    /// Requires: element is at rest.
    constexpr void push_front(T& element) noexcept { element.link_after(sentinel_); }

    [[nodiscard]] constexpr Iterator begin() noexcept { return Iterator(sentinel_.next_); }
    [[nodiscard]] constexpr Iterator end() noexcept { return Iterator(&sentinel_); }

private:
    ListNode sentinel_{ListNode::Sentinel{}};
};

}  // namespace slab_allocator
