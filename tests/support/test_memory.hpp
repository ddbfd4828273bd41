#pragma once

// test_memory.hpp -- the memory behind every test: it gives, takes, counts, refuses, and complains.
//
//      region   | hole | slab | hole | slab (released, poisoned) | ...        one entry a page:
//      pages    |      | i  i |      | -- -                      |            who was saved
//
// Slabs are cut from one region that stays mapped, so that a stale pointer can be followed, with
// holes between them, so that they have every address that their alignment allows. Fresh slabs are
// filled with one pattern and released ones with another, which must be intact when they are given
// out again. What a cache does in a wrong order, or twice, or not at all, becomes a complaint.

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/slab_info.hpp>

#include <support/catch.hpp>
#include <support/poke.hpp>
#include <support/random.hpp>

namespace support {

using slab_allocator::SlabInfo;

/// All bytes that a call could have changed. Compared at once, which vectors of std::byte are not:
/// one byte after the other of megabytes.
using Snapshot = std::vector<unsigned char>;

/// The calls of a backend.
enum class Call { alloc_slab, free_slab, alloc_slab_info, free_slab_info, save, get, remove };

/// Zeroed pages, aligned to 1 MiB; untouched ones cost nothing.
class Pages {
public:
    static constexpr std::size_t alignment = std::size_t{1} << 20;

    explicit Pages(std::size_t bytes) : bytes_(bytes + alignment) {
        mapping_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(mapping_ != MAP_FAILED);
    }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages() { ::munmap(mapping_, bytes_); }

    [[nodiscard]] std::byte* start() const noexcept {
        const std::uintptr_t address = slab_allocator::address_of(mapping_);
        return static_cast<std::byte*>(mapping_) +
               (slab_allocator::align_up(address, alignment) - address);
    }

private:
    std::size_t bytes_;
    void* mapping_;
};

class TestMemory {
public:
    static constexpr std::size_t page_size = 4096;
    static constexpr std::size_t region_size = std::size_t{256} << 20;
    static constexpr std::size_t pages_number = region_size / page_size;
    static constexpr auto fresh = std::byte{0xa5};
    static constexpr auto released = std::byte{0xdd};

    struct Event {
        Call call;
        std::uintptr_t address;
        const SlabInfo* slab_info;
        friend bool operator==(const Event&, const Event&) = default;
    };

    explicit TestMemory(std::uint64_t start = seed()) : random_(start), next_(region_.start()) {}
    TestMemory(const TestMemory&) = delete;
    TestMemory& operator=(const TestMemory&) = delete;
    ~TestMemory() {
        CHECK(complaint() == "");
        CHECK(live_slabs() == 0);
        CHECK(live_infos() == 0);
        CHECK(saved_pages() == 0);
        CHECK(untouched_since_release());
    }

    // ---- What a backend does --------------------------------------------------------------------

    void* alloc_slab(std::size_t size, std::size_t alignment) {
        called(Call::alloc_slab);
        if (slab_instead) return slab_instead();
        if (refuses()) return nullptr;
        if (size < page_size || alignment < page_size) complain("a slab is no whole pages");
        Slab& slab = take_slab(size, alignment);
        slab.live = true;
        if (++live_slabs_ > peak_slabs_) peak_slabs_ = live_slabs_;
        if (patterns) fill_raw(slab.start, fresh, size);  // a cache may have it
        note(Call::alloc_slab, slab.start);
        std::byte* const answer = slab.start + misalign;
        misaligned_ = misalign;
        misalign = 0;
        return answer;
    }

    void free_slab(void* memory, std::size_t size, std::size_t alignment) {
        called(Call::free_slab);
        auto* const start = static_cast<std::byte*>(memory) - misaligned_;
        misaligned_ = 0;
        note(Call::free_slab, start);
        const std::size_t number = contains(start) ? page_of(start).slab : 0;
        if (number == 0 || !slabs_[number - 1].live) return complain("free_slab: not a live slab");
        Slab& slab = slabs_[number - 1];
        if (slab.start != start || slab.size != size || slab.alignment != alignment) {
            complain("free_slab: not the numbers of its alloc_slab");
        }
        for (std::size_t page = 0; page < size / page_size; ++page) {
            if (pages()[index_of(start) + page].saved != nullptr) {
                complain("free_slab: the map still leads to the slab");
            }
        }
        if (slab.info != nullptr && slab.info->live && slab.info->slab == number) {
            complain("free_slab: before free_slab_info");
        }
        slab.live = false;
        slab.info = nullptr;
        --live_slabs_;
        if (patterns && poison) fill_raw(slab.start, released, size);
        released_.push_back(number - 1);
    }

    SlabInfo* alloc_slab_info() {
        called(Call::alloc_slab_info);
        if (info_instead) return info_instead();
        if (refuses()) return nullptr;
        std::size_t number = infos_used_;
        if (released_infos_.size() > quarantine) {
            number = released_infos_.front();
            released_infos_.pop_front();
            if (!all_are(info_at(number), sizeof(SlabInfo), released)) {
                complain("a released SlabInfo was written to");
            }
        } else {
            ++infos_used_;
        }
        info_places()[number].live = true;
        info_places()[number].slab = 0;
        ++live_infos_;
        std::memset(info_at(number), static_cast<int>(fresh), sizeof(SlabInfo));
        auto* const place = static_cast<std::byte*>(info_at(number));
        note(Call::alloc_slab_info, place);
        misaligned_info_ = misalign_info;
        misalign_info = 0;
        return static_cast<SlabInfo*>(static_cast<void*>(place + misaligned_info_));
    }

    void free_slab_info(SlabInfo* slab_info) {
        called(Call::free_slab_info);
        void* const memory =
            static_cast<std::byte*>(static_cast<void*>(slab_info)) - misaligned_info_;
        note(Call::free_slab_info, memory);
        InfoPlace* const place = place_of(memory);
        if (place == nullptr || !place->live) return complain("free_slab_info: not a live one");
        if (place->pages != 0) complain("free_slab_info: the map still leads to it");
        if (misaligned_info_ == 0 && place->slab != 0 && slab_info->linked()) {
            complain("free_slab_info: it still stands on a list");
        }
        misaligned_info_ = 0;
        place->live = false;
        --live_infos_;
        std::memset(memory, static_cast<int>(released), sizeof(SlabInfo));
        released_infos_.push_back(static_cast<std::size_t>(place - info_places()));
    }

    bool save(std::uintptr_t page_addr, SlabInfo* slab_info) {
        called(Call::save);
        if (refuses()) return false;
        if (forgets) return true;
        note(Call::save, page_addr, slab_info);
        if (page_addr % page_size != 0 || !contains(page_addr)) {
            complain("save: not a page of a slab");
            return true;
        }
        Page& page = pages()[index_of(page_addr)];
        if (page.slab == 0 || !slabs_[page.slab - 1].live) complain("save: not a live slab");
        if (page.saved != nullptr) complain("save: twice in the life of a slab");
        if (slab_info == nullptr) complain("save: no SlabInfo");
        page.saved = slab_info;
        ++saved_pages_;
        if (InfoPlace* const place = place_of(slab_info)) {
            if (!place->live) complain("save: the SlabInfo is not alive");
            place->slab = page.slab;
            ++place->pages;
            slabs_[page.slab - 1].info = place;
        }
        return true;
    }

    SlabInfo* get(std::uintptr_t page_addr) {
        ++gets;
        if (page_addr % page_size != 0) complain("get: not a page");
        if (page_instead) return page_instead(page_addr);
        return contains(page_addr) ? pages()[index_of(page_addr)].saved : nullptr;
    }

    void remove(std::uintptr_t page_addr) {
        called(Call::remove);
        note(Call::remove, page_addr);
        if (page_addr % page_size != 0 || !contains(page_addr)) {
            return complain("delete: not a page of a slab");
        }
        Page& page = pages()[index_of(page_addr)];
        if (page.saved == nullptr) return complain("delete: not saved");
        if (page.saved->owner != nullptr) complain("delete: the SlabInfo still has an owner");
        if (InfoPlace* const place = place_of(page.saved)) --place->pages;
        page.saved = nullptr;
        --saved_pages_;
    }

    SlabInfo* frame(std::uintptr_t page_addr) {
        ++gets;
        if (page_instead) return page_instead(page_addr);
        if (!contains(page_addr)) return nullptr;
        return static_cast<SlabInfo*>(static_cast<void*>(frames_.start())) + index_of(page_addr);
    }

    // ---- What a test asks of it -----------------------------------------------------------------

    /// The `number`th call that can be refused, counted from now on, is; and those after it, too,
    /// where it is for ever.
    void refuse(std::size_t number, bool for_ever) {
        refused_ = requests_ + number;
        for_ever_ = for_ever;
    }
    void refuse_nothing() { refused_ = 0; }

    [[nodiscard]] std::size_t requests() const noexcept { return requests_; }
    [[nodiscard]] std::size_t refusals() const noexcept { return refusals_; }
    /// All calls but get and slab_info_at.
    [[nodiscard]] std::size_t calls() const noexcept { return calls_; }
    [[nodiscard]] std::size_t calls(Call call) const noexcept {
        return calls_of_[static_cast<std::size_t>(call)];
    }
    [[nodiscard]] std::size_t live_slabs() const noexcept { return live_slabs_; }
    [[nodiscard]] std::size_t peak_slabs() const noexcept { return peak_slabs_; }
    [[nodiscard]] std::size_t live_infos() const noexcept { return live_infos_; }
    [[nodiscard]] std::size_t saved_pages() const noexcept { return saved_pages_; }
    [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }
    void forgive() { complaint_.clear(); }

    [[nodiscard]] bool contains(const void* memory) const noexcept {
        return contains(slab_allocator::address_of(memory));
    }
    /// The start of the live slab that `memory` lies in; nullptr: in none.
    [[nodiscard]] std::byte* slab_of(const void* memory) const noexcept {
        const std::size_t number = number_of(memory);
        return number == 0 || !slabs_[number - 1].live ? nullptr : slabs_[number - 1].start;
    }
    /// Counts slabs from 1 in the order of their first birth; 0: never one.
    [[nodiscard]] std::size_t number_of(const void* memory) const noexcept {
        return contains(memory) ? page_of(memory).slab : 0;
    }
    [[nodiscard]] std::vector<std::byte*> live_slab_starts() const {
        std::vector<std::byte*> starts;
        for (const Slab& slab : slabs_) {
            if (slab.live) starts.push_back(slab.start);
        }
        return starts;
    }
    /// From now on it does what it should.
    void be_honest() {
        slab_instead = nullptr;
        info_instead = nullptr;
        page_instead = nullptr;
        forgets = false;
        ++refusals_;  // what it answered was refused
    }
    /// Memory of the region in which there never is a slab.
    [[nodiscard]] std::byte* no_mans_land() const noexcept {
        return region_.start() + region_size - Pages::alignment;
    }
    [[nodiscard]] bool untouched_since_release() const {
        if (!patterns || !poison) return true;
        for (const Slab& slab : slabs_) {
            if (!slab.live && !all_are(slab.start, slab.size, released)) return false;
        }
        return true;
    }

    /// The slab that has the highest address: new ones do.
    [[nodiscard]] std::byte* last_slab() const noexcept { return slabs_.back().start; }
    /// What was saved for the page of an address.
    [[nodiscard]] SlabInfo* saved_for(const void* memory) const noexcept {
        return contains(memory) ? page_of(memory).saved : nullptr;
    }
    /// A page whose entry was overwritten was deleted without being counted.
    void forget_one_saved_page() noexcept { --saved_pages_; }
    /// Overwrites what the map answers for a page, as a broken backend would.
    SlabInfo* exchange_saved(std::uintptr_t page_addr, SlabInfo* slab_info) noexcept {
        return std::exchange(pages()[index_of(page_addr)].saved, slab_info);
    }

    /// Everything that a cache could have changed, byte for byte, but how often the map was asked.
    void append_to(Snapshot& bytes) const {
        const auto append = [&bytes](const void* memory, std::size_t size) {
            bytes.resize(bytes.size() + size);
            copy_raw(bytes.data() + bytes.size() - size, memory, size);  // free objects, too
        };
        const auto* const frames =
            static_cast<const SlabInfo*>(static_cast<const void*>(frames_.start()));
        for (const Slab& slab : slabs_) {
            append(slab.start, slab.size);
            append(pages() + index_of(slab.start), slab.size / page_size * sizeof(Page));
            append(frames + index_of(slab.start), slab.size / page_size * sizeof(SlabInfo));
            append(&slab.live, sizeof(slab.live));
        }
        append(infos_.start(), infos_used_ * sizeof(SlabInfo));
        append(info_places(), infos_used_ * sizeof(InfoPlace));
        append(&calls_, sizeof(calls_));
    }

    bool patterns = true;        ///< fill fresh and released slabs
    bool poison = true;          ///< ... the released ones
    bool record = false;         ///< keep `events`
    std::size_t quarantine = 4;  ///< how many released slabs wait before the oldest is used again
    std::size_t misalign = 0;    ///< bytes to add to the next slab's address
    std::size_t misalign_info = 0;  ///< ... and to the next SlabInfo's
    std::size_t gets = 0;           ///< how often the map or the array was asked
    std::vector<Event> events;
    std::function<void(Call)> on_call;  ///< called first in each call but get and slab_info_at

    // Lies: what is answered without doing anything.
    std::function<void*()> slab_instead;
    std::function<SlabInfo*()> info_instead;
    std::function<SlabInfo*(std::uintptr_t)> page_instead;  ///< by get and slab_info_at
    bool forgets = false;                                   ///< save remembers nothing

private:
    struct InfoPlace {
        bool live;
        std::size_t slab;   // that it was saved for
        std::size_t pages;  // that lead to it
    };
    struct Slab {
        std::byte* start;
        std::size_t size;
        std::size_t alignment;
        bool live;
        InfoPlace* info;  // of the SlabInfo that was saved for it
    };
    struct Page {
        SlabInfo* saved;
        std::size_t slab;  // its number in slabs_, from 1
    };

    [[nodiscard]] static bool all_are(const void* memory, std::size_t size, std::byte value) {
        const auto* const start = static_cast<const std::byte*>(memory);
        return start[0] == value && std::memcmp(start, start + 1, size - 1) == 0;
    }

    void called(Call call) {
        ++calls_;
        ++calls_of_[static_cast<std::size_t>(call)];
        if (on_call) on_call(call);
    }
    [[nodiscard]] bool refuses() noexcept {
        ++requests_;
        if (refused_ == 0 || requests_ < refused_) return false;
        if (!for_ever_) refused_ = 0;
        ++refusals_;
        return true;
    }
    void note(Call call, const void* memory) { note(call, slab_allocator::address_of(memory)); }
    void note(Call call, std::uintptr_t address, const SlabInfo* slab_info = nullptr) {
        if (record) events.push_back({call, address, slab_info});
    }
    void complain(const char* about) {
        if (complaint_.empty()) complaint_ = about;
    }

    [[nodiscard]] Slab& take_slab(std::size_t size, std::size_t alignment) {
        for (auto number = released_.begin(); released_.size() > quarantine; ++number) {
            if (number == released_.end()) break;
            Slab& slab = slabs_[*number];
            if (slab.size != size || slab.alignment != alignment) continue;
            if (patterns && poison && !all_are(slab.start, size, released)) {
                complain("a released slab was written to");
            }
            released_.erase(number);
            return slab;
        }
        std::byte* start = next_ + random_.below(3) * alignment;
        start += slab_allocator::align_up(slab_allocator::address_of(start), alignment) -
                 slab_allocator::address_of(start);
        REQUIRE(start + size <= no_mans_land());
        next_ = start + size;
        slabs_.push_back({start, size, alignment, false, nullptr});
        for (std::size_t page = 0; page < size / page_size; ++page) {
            pages()[index_of(start) + page].slab = slabs_.size();
        }
        return slabs_.back();
    }

    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
        return address - slab_allocator::address_of(region_.start()) < region_size;
    }
    [[nodiscard]] std::size_t index_of(std::uintptr_t address) const noexcept {
        return (address - slab_allocator::address_of(region_.start())) / page_size;
    }
    [[nodiscard]] std::size_t index_of(const void* memory) const noexcept {
        return index_of(slab_allocator::address_of(memory));
    }
    [[nodiscard]] Page* pages() const noexcept {
        return static_cast<Page*>(static_cast<void*>(page_entries_.start()));
    }
    [[nodiscard]] Page& page_of(const void* memory) const noexcept {
        return pages()[index_of(memory)];
    }
    [[nodiscard]] InfoPlace* info_places() const noexcept {
        return static_cast<InfoPlace*>(static_cast<void*>(info_entries_.start()));
    }
    [[nodiscard]] void* info_at(std::size_t number) const noexcept {
        return infos_.start() + number * sizeof(SlabInfo);
    }
    [[nodiscard]] InfoPlace* place_of(const void* slab_info) const noexcept {
        const std::size_t offset =
            slab_allocator::address_of(slab_info) - slab_allocator::address_of(infos_.start());
        return offset < infos_used_ * sizeof(SlabInfo) ? info_places() + offset / sizeof(SlabInfo)
                                                       : nullptr;
    }

    Random random_;
    Pages region_{region_size};
    Pages page_entries_{pages_number * sizeof(Page)};
    Pages frames_{pages_number * sizeof(SlabInfo)};
    Pages infos_{pages_number * sizeof(SlabInfo)};
    Pages info_entries_{pages_number * sizeof(InfoPlace)};
    std::byte* next_;
    std::vector<Slab> slabs_;
    std::deque<std::size_t> released_;
    std::deque<std::size_t> released_infos_;
    std::size_t infos_used_ = 0;
    std::size_t misaligned_ = 0;
    std::size_t misaligned_info_ = 0;
    std::size_t requests_ = 0;
    std::size_t refused_ = 0;
    std::size_t refusals_ = 0;
    bool for_ever_ = false;
    std::size_t calls_ = 0;
    std::size_t calls_of_[7] = {};
    std::size_t live_slabs_ = 0;
    std::size_t peak_slabs_ = 0;
    std::size_t live_infos_ = 0;
    std::size_t saved_pages_ = 0;
    std::string complaint_;
};

// ---- One backend for each row, with just its functions ------------------------------------------

struct SlabsBackend {
    TestMemory* memory = nullptr;

    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) {
        return memory->alloc_slab(slab_size, slab_alignment);
    }
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment) {
        memory->free_slab(slab, slab_size, slab_alignment);
    }
};

struct MapBackend : SlabsBackend {
    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info) {
        return memory->save(page_addr, slab_info);
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) { return memory->get(page_addr); }
    void delete_slab_info_ptr(std::uintptr_t page_addr) { memory->remove(page_addr); }
};

struct InfosBackend : MapBackend {
    SlabInfo* alloc_slab_info() { return memory->alloc_slab_info(); }
    void free_slab_info(SlabInfo* slab_info) { memory->free_slab_info(slab_info); }
};

struct FramesBackend : SlabsBackend {
    SlabInfo* slab_info_at(std::uintptr_t page_addr) { return memory->frame(page_addr); }
};

}  // namespace support
