#pragma once

// tiny_memory.hpp -- a backend so small that all of it is saved and restored millions of times.
//
//      slabs     | 0 | 1 | 2 | ...      side by side, the lowest free one is given first
//      pattern   | 0 | 1 | 2 | ...      what must stand in them: a function of the address
//
// Who owns an object writes the pattern to it, so the pattern stands everywhere but where a cache
// keeps its own records, whatever was allocated and freed: contents are compared, never restored.
// A released slab is filled with the pattern again. What a cache does in a wrong order, or twice,
// makes right() false.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace support {

class TinyMemory {
public:
    using Layout = slab_allocator::Layout;
    using SlabInfo = slab_allocator::SlabInfo;

    static constexpr std::size_t slabs_number = 24;
    static constexpr std::size_t most_pages = 2;  // in a slab
    static constexpr std::size_t largest_slab = 4096;
    static constexpr std::size_t saved_most = slabs_number * (largest_slab + 256);  // by save()

    /// `whole_slabs`: the cache writes to its objects, too, so that they are saved and restored.
    TinyMemory(const Layout& layout, bool whole_slabs)
        : TinyMemory(layout, whole_slabs,
                     std::min(slabs_number, 4 + 20 / layout.objects_per_slab)) {}

    TinyMemory(const Layout& layout, bool whole_slabs, std::size_t slabs_most)
        : layout_(layout),
          whole_(whole_slabs),
          slabs_most_(slabs_most),
          pages_(layout.uses_map() ? slabs_most_ * layout.pages_per_slab() : 0),
          frames_(layout.row == slab_allocator::Row::LargeByPageFrames ? slabs_most_ : 0) {
        // The slabs of rows that promise no more than pages start at odd pages.
        start_ = slabs_ + (layout.slab_alignment < layout.slab_size ? layout.page_size : 0);
        std::uint64_t value = 0x9e37'79b9'7f4a'7c15U;
        for (std::byte& byte : pattern_) {
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
            byte = static_cast<std::byte>(value >> 32 | 1);
        }
        std::memcpy(slabs_, pattern_, sizeof(slabs_));
    }
    TinyMemory(const TinyMemory&) = delete;
    TinyMemory& operator=(const TinyMemory&) = delete;

    // ---- What a backend does --------------------------------------------------------------------

    void* alloc_slab(std::size_t size, std::size_t alignment) noexcept {
        called();
        const auto number = static_cast<std::size_t>(std::countr_one(state_.live));
        expect(size == layout_.slab_size && alignment == layout_.slab_alignment);
        if (number >= slabs_most_ || refuses()) return nullptr;
        state_.live |= std::uint32_t{1} << number;
        return slab(number);
    }

    void free_slab(void* memory, std::size_t size, std::size_t alignment) noexcept {
        called();
        const std::size_t number = number_of(memory);
        if (!expect(is_live(number) && memory == slab(number) && size == layout_.slab_size &&
                    alignment == layout_.slab_alignment)) {
            return;
        }
        for (std::size_t page = 0; page < layout_.pages_per_slab(); ++page)
            expect(saved_at(number, page) == nullptr);
        state_.live &= ~(std::uint32_t{1} << number);
        fill(number);
    }

    SlabInfo* alloc_slab_info() noexcept {
        called();
        const auto number = static_cast<std::size_t>(std::countr_one(state_.live_infos));
        if (number >= slabs_most_ || refuses()) return nullptr;
        state_.live_infos |= std::uint32_t{1} << number;
        return info(number);
    }

    void free_slab_info(SlabInfo* slab_info) noexcept {
        called();
        const auto number = static_cast<std::size_t>(slab_info - info(0));
        if (!expect(number < slabs_most_ && ((state_.live_infos >> number) & 1U) != 0)) return;
        for (const SlabInfo* const saved : state_.saved)
            expect(saved != slab_info);
        state_.live_infos &= ~(std::uint32_t{1} << number);
        forget_info(number);
    }

    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        called();
        if (refuses()) return false;
        if (SlabInfo** const place = place_of(page_addr)) {
            expect(*place == nullptr && slab_info != nullptr);
            *place = slab_info;
        }
        return true;
    }

    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        const std::uintptr_t offset = page_addr - slab_allocator::address_of(start_);
        expect(page_addr % layout_.page_size == 0);
        return offset < slabs_most_ * layout_.slab_size ? state_.saved[offset / layout_.page_size]
                                                        : nullptr;
    }

    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        called();
        if (SlabInfo** const place = place_of(page_addr)) {
            expect(*place != nullptr && (*place)->owner == nullptr);
            *place = nullptr;
        }
    }

    SlabInfo* slab_info_at(std::uintptr_t page_addr) noexcept {
        const std::uintptr_t offset = page_addr - slab_allocator::address_of(start_);
        return offset < frames_ * layout_.slab_size ? info(offset / layout_.slab_size) : nullptr;
    }

    // ---- What a test asks of it -----------------------------------------------------------------

    [[nodiscard]] bool right() const noexcept { return right_; }
    /// Refuses the `number`th request from now on, and those after it where it is for ever; 0:
    /// none.
    void refuse(std::size_t number, bool for_ever) noexcept {
        refused_ = number;
        for_ever_ = for_ever;
    }
    [[nodiscard]] std::size_t calls() const noexcept { return calls_; }
    [[nodiscard]] std::byte* slab(std::size_t number) noexcept {
        return start_ + number * layout_.slab_size;
    }
    [[nodiscard]] std::uint32_t live() const noexcept { return state_.live; }
    [[nodiscard]] bool is_live(std::size_t number) const noexcept {
        return number < slabs_most_ && ((state_.live >> number) & 1U) != 0;
    }
    [[nodiscard]] bool nothing_but(std::uint32_t live) const noexcept {
        std::size_t pages = 0;
        for (const SlabInfo* const saved : state_.saved)
            pages += saved == nullptr ? 0U : 1U;
        const auto slabs = static_cast<std::size_t>(std::popcount(live));
        const bool infos = layout_.row == slab_allocator::Row::LargeByMap;
        return state_.live == live && (!infos || state_.live_infos == live) &&
               pages == (layout_.uses_map() ? slabs * layout_.pages_per_slab() : 0);
    }
    /// As many slabs as there can be at one time.
    [[nodiscard]] std::size_t slabs_most() const noexcept { return slabs_most_; }
    /// The slab that `memory` lies in, live or not; slabs_most(): in none.
    [[nodiscard]] std::size_t number_of(const void* memory) const noexcept {
        const std::uintptr_t offset =
            slab_allocator::address_of(memory) - slab_allocator::address_of(start_);
        return offset < slabs_most_ * layout_.slab_size ? offset / layout_.slab_size : slabs_most_;
    }
    /// What must stand at `memory`, which lies in a slab.
    [[nodiscard]] const std::byte* pattern_of(const std::byte* memory) const noexcept {
        return pattern_ + (memory - slabs_);
    }
    /// The record that a cache keeps in slab `number`: empty where it keeps none there.
    [[nodiscard]] std::span<std::byte> record_in(std::size_t number) noexcept {
        if (!layout_.small()) return {};
        return {slab(number) + layout_.info_offset_of(slab_allocator::address_of(slab(number))),
                slab_allocator::small_slab_info_size(layout_.slots_per_slab)};
    }
    /// Does the pattern stand in all of slab `number` but the record?
    [[nodiscard]] bool intact(std::size_t number) noexcept {
        std::byte* const start = slab(number);
        const std::span<std::byte> record = record_in(number);
        if (record.empty() || !is_live(number)) return same(start, layout_.slab_size);
        std::byte* const end = record.data() + record.size();
        return same(start, static_cast<std::size_t>(record.data() - start)) &&
               same(end, static_cast<std::size_t>(start + layout_.slab_size - end));
    }
    [[nodiscard]] bool same(const std::byte* memory, std::size_t size) const noexcept {
        return std::memcmp(memory, pattern_of(memory), size) == 0;
    }

    // ---- All that a cache can have changed, but the count of calls ------------------------------

    /// Returns: the end of what was written to `to`, a multiple of 8 bytes from there.
    [[nodiscard]] std::byte* save(std::byte* to) noexcept {
        to = put(to, &state_, offsetof(State, saved) + pages_ * sizeof(SlabInfo*));
        for_each_kept(state_,
                      [&to](std::byte* memory, std::size_t size) { to = put(to, memory, size); });
        return to;
    }

    [[nodiscard]] const std::byte* restore(const std::byte* from) noexcept {
        const State now = state_;
        from = get(from, &state_, offsetof(State, saved) + pages_ * sizeof(SlabInfo*));
        for (std::uint32_t gone = now.live & ~state_.live; gone != 0; gone &= gone - 1)
            fill(static_cast<std::size_t>(std::countr_zero(gone)));
        for (std::uint32_t gone = now.live_infos & ~state_.live_infos; gone != 0; gone &= gone - 1)
            forget_info(static_cast<std::size_t>(std::countr_zero(gone)));
        for_each_kept(state_, [&from](std::byte* memory, std::size_t size) {
            from = get(from, memory, size);
        });
        return from;
    }

    std::function<void()> on_call;  ///< called first in each call but get and slab_info_at

private:
    struct State {
        std::uint32_t live = 0;        // bit n: slab n
        std::uint32_t live_infos = 0;  // Large by map: infos_[n]
        SlabInfo* saved[slabs_number * most_pages] = {};
    };

    template <typename Each>
    void for_each_kept(const State& state, Each&& each) noexcept {
        for (std::uint32_t left = state.live; left != 0; left &= left - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(left));
            if (whole_) {
                each(slab(number), layout_.slab_size);
            } else if (layout_.small()) {
                const std::span<std::byte> record = record_in(number);
                each(record.data(), record.size());
            }
        }
        for (std::uint32_t left = state.live_infos; left != 0; left &= left - 1) {
            each(infos_ + static_cast<std::size_t>(std::countr_zero(left)) * sizeof(SlabInfo),
                 sizeof(SlabInfo));
        }
        each(infos_, frames_ * sizeof(SlabInfo));  // frames outlive their slabs
    }

    [[nodiscard]] static std::byte* put(std::byte* to, const void* from,
                                        std::size_t size) noexcept {
        std::memcpy(to, from, size);
        return to + size;
    }
    [[nodiscard]] static const std::byte* get(const std::byte* from, void* to,
                                              std::size_t size) noexcept {
        std::memcpy(to, from, size);
        return from + size;
    }

    [[nodiscard]] bool refuses() noexcept {
        if (refused_ == 0 || --refused_ > 0) return false;
        if (for_ever_) refused_ = 1;
        return true;
    }
    void called() noexcept {
        ++calls_;
        if (on_call) on_call();
    }
    bool expect(bool holds) noexcept {
        right_ = right_ && holds;
        return holds;
    }
    void fill(std::size_t number) noexcept {
        std::memcpy(slab(number), pattern_of(slab(number)), layout_.slab_size);
    }
    void forget_info(std::size_t number) noexcept {
        std::memset(infos_ + number * sizeof(SlabInfo), 0xdd, sizeof(SlabInfo));
    }
    [[nodiscard]] SlabInfo* info(std::size_t number) noexcept {
        return static_cast<SlabInfo*>(static_cast<void*>(infos_)) + number;
    }
    [[nodiscard]] SlabInfo* saved_at(std::size_t number, std::size_t page) const noexcept {
        return state_.saved[number * layout_.pages_per_slab() + page];
    }
    [[nodiscard]] SlabInfo** place_of(std::uintptr_t page_addr) noexcept {
        const std::uintptr_t offset = page_addr - slab_allocator::address_of(start_);
        const bool in_live_slab = page_addr % layout_.page_size == 0 &&
                                  offset < slabs_most_ * layout_.slab_size &&
                                  is_live(offset / layout_.slab_size);
        return expect(in_live_slab) ? &state_.saved[offset / layout_.page_size] : nullptr;
    }

    Layout layout_;
    bool whole_;
    std::size_t slabs_most_;
    std::size_t pages_;   // with an entry in the map
    std::size_t frames_;  // with a SlabInfo for ever
    bool right_ = true;
    std::byte* start_;
    std::size_t calls_ = 0;
    std::size_t refused_ = 0;
    bool for_ever_ = false;
    State state_;
    alignas(SlabInfo) std::byte infos_[slabs_number * sizeof(SlabInfo)] = {};
    alignas(largest_slab) std::byte slabs_[(slabs_number + 1) * largest_slab];
    std::byte pattern_[sizeof(slabs_)];
};

// ---- One backend for each row, with just its functions ------------------------------------------

struct TinySlabs {
    TinyMemory* memory;
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) const noexcept {
        return memory->alloc_slab(slab_size, slab_alignment);
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) const noexcept {
        memory->free_slab(slab, slab_size, slab_alignment);
    }
};

struct TinyMap : TinySlabs {
    using SlabInfo = slab_allocator::SlabInfo;
    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) const noexcept {
        return memory->save_slab_info_ptr(page_addr, slab_info);
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        return memory->get_slab_info_ptr(page_addr);
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) const noexcept {
        memory->delete_slab_info_ptr(page_addr);
    }
};

struct TinyInfos : TinyMap {
    SlabInfo* alloc_slab_info() const noexcept { return memory->alloc_slab_info(); }
    void free_slab_info(SlabInfo* slab_info) const noexcept { memory->free_slab_info(slab_info); }
};

struct TinyFrames : TinySlabs {
    slab_allocator::SlabInfo* slab_info_at(std::uintptr_t page_addr) const noexcept {
        return memory->slab_info_at(page_addr);
    }
};

template <slab_allocator::Row row>
struct TinyBackend;
template <>
struct TinyBackend<slab_allocator::Row::SmallByMask> {
    using type = TinySlabs;
};
template <>
struct TinyBackend<slab_allocator::Row::SmallByMap> {
    using type = TinyMap;
};
template <>
struct TinyBackend<slab_allocator::Row::LargeByMap> {
    using type = TinyInfos;
};
template <>
struct TinyBackend<slab_allocator::Row::LargeByPageFrames> {
    using type = TinyFrames;
};

}  // namespace support
