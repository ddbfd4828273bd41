#pragma once

// model.hpp -- what a cache must look like from outside: the live objects and their contents.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include <support/any_cache.hpp>
#include <support/poke.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

namespace support {

/// Every live object carries a pattern of its own from its first byte to its last.
class Model {
public:
    Model(const Configuration& configuration, const TestMemory& memory)
        : configuration_(&configuration), memory_(&memory) {}

    [[nodiscard]] std::size_t size() const noexcept { return live_.size(); }
    [[nodiscard]] bool empty() const noexcept { return live_.empty(); }
    [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
    [[nodiscard]] std::byte* at(std::size_t rank) const noexcept { return live_[rank].object; }
    [[nodiscard]] std::vector<std::byte*> objects() const {
        std::vector<std::byte*> all;
        for (const Live& live : live_)
            all.push_back(live.object);
        return all;
    }
    void shuffle(Random& random) noexcept { random.shuffle(live_); }
    /// By address.
    void sort() noexcept { std::ranges::sort(live_, {}, &Live::object); }

    /// A new object: aligned and in a slab. Contents that two of them share would not survive.
    [[nodiscard]] bool add(std::byte* object) {
        if (object == nullptr) return false;
        const std::size_t size = configuration_->layout.object_size;
        const std::byte* const slab = memory_->slab_of(object);
        const bool right = slab_allocator::is_aligned(object, configuration_->object_alignment) &&
                           slab != nullptr &&
                           object + size <= slab + configuration_->layout.slab_size;
        live_.push_back({object, ++stamp_ * 0x9e37'79b9'7f4a'7c15U});
        write(live_.back());
        peak_ = std::max(peak_, live_.size());
        return right;
    }

    /// Removes the object of a rank, which goes to whoever frees it; nullptr: its contents changed.
    [[nodiscard]] std::byte* remove(std::size_t rank) {
        const Live live = live_[rank];
        live_[rank] = live_.back();
        live_.pop_back();
        return intact(live) ? live.object : nullptr;
    }

    [[nodiscard]] bool all_intact() const {
        return std::all_of(live_.begin(), live_.end(),
                           [this](const Live& live) { return intact(live); });
    }

    /// What the statistics must be, where the memory serves no other cache.
    [[nodiscard]] CacheStatistics expected() const {
        std::map<const std::byte*, std::size_t> live_in;
        for (const Live& live : live_)
            ++live_in[memory_->slab_of(live.object)];
        const Layout& layout = configuration_->layout;
        CacheStatistics expected;
        for (const auto& [slab, number] : live_in) {
            ++(number == layout.objects_per_slab ? expected.full_slabs_number
                                                 : expected.partial_slabs_number);
        }
        const std::size_t slabs = memory_->live_slabs();
        expected.free_slabs_number = slabs - live_in.size();
        expected.allocated_objects_number = live_.size();
        expected.free_objects_number = slabs * layout.objects_per_slab - live_.size();
        expected.peak_slabs_number = memory_->peak_slabs();
        const std::size_t infos = layout.row == Row::LargeByMap ? sizeof(SlabInfo) : 0;
        expected.bytes_held = slabs * (layout.slab_size + infos);
        expected.bytes_lost =
            expected.bytes_held - slabs * layout.objects_per_slab * layout.object_size;
        return expected;
    }

    /// Are the cache's statistics exact? The peak of objects within its documented bound, failures
    /// as given.
    [[nodiscard]] bool agrees(AnyCache& cache, std::size_t failures = 0) const {
        CacheStatistics told = cache.statistics();
        const std::size_t peak = told.peak_allocated_objects_number;
        told.peak_allocated_objects_number = 0;
        CacheStatistics right = expected();
        right.failures_number = failures;
        if (memory_->refusals() > 0) {  // a slab whose SlabInfo is refused is not the cache's
            if (told.peak_slabs_number > right.peak_slabs_number) return false;
            right.peak_slabs_number = told.peak_slabs_number;
        }
        return told == right && peak >= peak_ && peak < peak_ + 128;
    }

private:
    struct Live {
        std::byte* object;
        std::uint64_t stamp;
    };

    // Small objects whole; of larger ones the first and last 16 bytes.
    template <typename Each>
    void for_each_byte(const Live& live, Each&& each) const {
        const std::size_t size = configuration_->layout.object_size;
        const std::size_t head = std::min<std::size_t>(size, 16);
        for (std::size_t byte = 0; byte < head; ++byte)
            each(live.object[byte], pattern(live, byte));
        for (std::size_t byte = size - std::min(size - head, std::size_t{16}); byte < size;
             ++byte) {
            each(live.object[byte], pattern(live, byte));
        }
    }
    [[nodiscard]] static std::byte pattern(const Live& live, std::size_t byte) noexcept {
        return static_cast<std::byte>(live.stamp >> (8 * (byte % 8)));
    }
    void write(const Live& live) const {
        for_each_byte(live, [](std::byte& at, std::byte value) { at = value; });
    }
    [[nodiscard]] bool intact(const Live& live) const {
        bool same = true;
        for_each_byte(live, [&same](const std::byte& at, std::byte value) {  // of a freed one, too
            same = same && (slab_allocator::detail::hides ? peek(&at) : at) == value;
        });
        return same;
    }

    const Configuration* configuration_;
    const TestMemory* memory_;
    std::vector<Live> live_;
    std::uint64_t stamp_ = 0;
    std::size_t peak_ = 0;
};

}  // namespace support
