#pragma once

// original.hpp -- the design that this library started from, as a subject: a model of its hot path,
// written from its description.
//
//      Small   | object 0 | object 1 | ... | object N-1 | rest | SlabInfo, 56 bytes |
//      Large   | object 0 | object 1 | ... | object N-1 | rest |      SlabInfo: the backend's
//
// What it does per object, and this library does not: free objects are on a doubly linked list
// through themselves; a new slab is linked up as a whole; a slab larger than a page is saved in the
// map on every alloc, and asked for on every free; partial slabs stand on two lists, above and
// below 75 %; a slab is given back the moment it is empty. Its checks are kept: they ran in its
// release builds, too.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "region.hpp"

namespace bench {

struct OriginalLink {
    OriginalLink* next = nullptr;
    OriginalLink* prev = nullptr;
};

class OriginalList {
public:
    [[nodiscard]] bool empty() const { return head_ == nullptr; }
    [[nodiscard]] OriginalLink* front() const { return head_; }

    void push_front(OriginalLink* link) {
        link->prev = nullptr;
        link->next = head_;
        (head_ != nullptr ? head_->prev : tail_) = link;
        head_ = link;
    }
    void push_back(OriginalLink* link) {
        link->next = nullptr;
        link->prev = tail_;
        (tail_ != nullptr ? tail_->next : head_) = link;
        tail_ = link;
    }
    OriginalLink* pop_back() {
        OriginalLink* const link = tail_;
        remove(link);
        return link;
    }
    void remove(OriginalLink* link) {
        (link->prev != nullptr ? link->prev->next : head_) = link->next;
        (link->next != nullptr ? link->next->prev : tail_) = link->prev;
    }

private:
    OriginalLink* head_ = nullptr;
    OriginalLink* tail_ = nullptr;
};

struct OriginalSlabInfo : OriginalLink {
    OriginalList free_objects;
    const void* cache;
    std::size_t free_objects_number;
    std::byte* slab;
};
static_assert(sizeof(OriginalSlabInfo) == 56);

/// Map: save(page, info), get(page), forget(page), alloc_info(), free_info(info).
template <std::size_t Size, std::size_t slab_size, bool large, typename Map>
class Original {
    static_assert(Size >= sizeof(OriginalLink));
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t info_size = sizeof(OriginalSlabInfo);

public:
    static constexpr std::size_t object_size = Size;
    static constexpr std::size_t objects_per_slab = (slab_size - (large ? 0 : info_size)) / Size;

    explicit Original(std::size_t) {}

    [[nodiscard]] void* alloc() {
        if (less_used_.empty() && more_used_.empty() && !add_slab()) return nullptr;
        auto* const info = static_cast<OriginalSlabInfo*>(!more_used_.empty() ? more_used_.front()
                                                                              : less_used_.front());
        OriginalLink* const object = info->free_objects.pop_back();
        --info->free_objects_number;
        --free_objects_number_;
        if constexpr (uses_map) {
            constexpr bool once = large && slab_size == page_size && objects_per_slab >= 2;
            if (!once || info->free_objects_number == objects_per_slab - 1) {
                map_.save(page_of(object), info);
            }
        }
        const std::size_t taken = objects_per_slab - info->free_objects_number;
        if (taken == threshold) {
            less_used_.remove(info);
            more_used_.push_front(info);
        }
        if (taken == objects_per_slab) {
            more_used_.remove(info);
            full_.push_back(info);
            --free_slabs_number_;
            ++full_slabs_number_;
        }
        ++allocated_objects_number_;
        return object;
    }

    void free(void* object) {
        require(object != nullptr);
        OriginalSlabInfo* const info = info_of(object);
        require(info != nullptr && info->slab != nullptr);
        auto* const link = ::new (object) OriginalLink;
        require(info->cache == this);
        require(info->free_objects_number != objects_per_slab);
        info->free_objects.push_back(link);
        ++info->free_objects_number;
        ++free_objects_number_;
        --allocated_objects_number_;
        if (info->free_objects_number == 1) {
            full_.remove(info);
            more_used_.push_front(info);
            --full_slabs_number_;
            ++free_slabs_number_;
        }
        const std::size_t taken = objects_per_slab - info->free_objects_number;
        if (taken + 1 == threshold) {
            more_used_.remove(info);
            less_used_.push_front(info);
        }
        if (taken == 0) remove_slab(info);
    }

private:
    static constexpr std::size_t threshold = 75 * objects_per_slab / 100;
    static_assert(threshold > 0);
    static constexpr bool uses_map = large || slab_size > page_size;

    static void require(bool condition) {
        if (!condition) [[unlikely]]
            std::abort();
    }
    [[nodiscard]] static std::uintptr_t page_of(const void* address) {
        return reinterpret_cast<std::uintptr_t>(address) & ~(page_size - 1);
    }
    [[nodiscard]] static OriginalSlabInfo* info_in(std::byte* slab) {
        return static_cast<OriginalSlabInfo*>(static_cast<void*>(slab + slab_size - info_size));
    }
    [[nodiscard]] OriginalSlabInfo* info_of(void* object) {
        if constexpr (uses_map) {
            return map_.get(page_of(object));
        } else {
            return info_in(static_cast<std::byte*>(object) -
                           (reinterpret_cast<std::uintptr_t>(object) & (slab_size - 1)));
        }
    }

    [[gnu::noinline]] bool add_slab() {
        auto* const slab = static_cast<std::byte*>(Region::instance().take(slab_size, page_size));
        if (slab == nullptr) return false;
        OriginalSlabInfo* info = nullptr;
        if constexpr (large) {
            info = map_.alloc_info();
        } else {
            info = info_in(slab);
        }
        ::new (info) OriginalSlabInfo;
        info->cache = this;
        info->slab = slab;
        info->free_objects_number = objects_per_slab;
        for (std::size_t i = 0; i < objects_per_slab; ++i)
            info->free_objects.push_back(::new (slab + i * Size) OriginalLink);
        less_used_.push_back(info);
        ++free_slabs_number_;
        free_objects_number_ += objects_per_slab;
        return true;
    }

    [[gnu::noinline]] void remove_slab(OriginalSlabInfo* info) {
        less_used_.remove(info);
        --free_slabs_number_;
        free_objects_number_ -= objects_per_slab;
        std::byte* const slab = info->slab;
        Region::instance().give(slab, slab_size);
        if constexpr (large) map_.free_info(info);
        if constexpr (uses_map) {
            const std::uintptr_t start = page_of(slab);
            for (std::uintptr_t page = start; page < start + slab_size; page += page_size)
                map_.forget(page);
        }
    }

    OriginalList less_used_;  // partial, less than 75 % taken
    OriginalList more_used_;  // partial, 75 % or more
    OriginalList full_;
    std::size_t free_slabs_number_ = 0;
    std::size_t full_slabs_number_ = 0;
    std::size_t free_objects_number_ = 0;
    std::size_t allocated_objects_number_ = 0;
    [[no_unique_address]] Map map_;
};

}  // namespace bench
