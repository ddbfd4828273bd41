#pragma once

// operations.hpp -- a string of bytes as operations on a cache and on a model of it.
//
//      byte 0: which cache        then, for each operation, a byte and its arguments:
//      | alloc | free | bulks | slabs | looks | refusals | re-entry | invalid frees | ...
//
// A cache must do as the model does: no two live objects overlap, none lies outside of the slabs,
// contents stay, statistics and validate() agree; invalid frees are refused, once, and change
// nothing. Whatever is wrong ends the program with a trap, as a fuzzer wants it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <slab_allocator/core/defect.hpp>

#include <fuzz/subjects.hpp>
#include <support/random.hpp>
#include <support/tiny_memory.hpp>

namespace fuzz {

using slab_allocator::Defect;
using slab_allocator::DefectReport;
using support::TinyMemory;

/// The bytes that are left.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

    [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
    /// 0 where there is none.
    [[nodiscard]] std::uint8_t next() noexcept {
        if (left_.empty()) return 0;
        const std::uint8_t byte = left_.front();
        left_ = left_.subspan(1);
        return byte;
    }
    [[nodiscard]] std::size_t below(std::size_t end) noexcept {
        if (end == 0) return 0;
        return end <= 256 ? next() % end : (next() * std::size_t{256} + next()) % end;
    }

private:
    std::span<const std::uint8_t> left_;
};

inline void must(bool holds, const char* what) {
    if (holds) [[likely]]
        return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    __builtin_trap();
}

inline std::size_t reports_number = 0;
inline DefectReport last_report;

/// A cache on a memory of its own, used again and again: memory without slabs is as new.
class Bench {
public:
    explicit Bench(const Subject& subject)
        : subject_(subject),
          memory_(std::make_unique<TinyMemory>(subject.layout,
                                               exhaustive::writes_objects(subject.checks),
                                               TinyMemory::slabs_number)),
          storage_(std::make_unique<Storage[]>(2 * (subject.size / sizeof(Storage) + 1))),
          cache_(storage_.get()),
          neighbour_(storage_.get() + subject.size / sizeof(Storage) + 1),
          live_slots_(TinyMemory::slabs_number * subject.layout.slots_per_slab),
          before_(2 * subject.size + TinyMemory::saved_most),
          after_(before_.size()) {}

    void run(Input input) {
        reports_number = 0;
        memory_->on_call = [this] { intrude(); };
        subject_.construct(cache_, *memory_);
        subject_.construct(neighbour_, *memory_);
        neighbours_ = subject_.alloc(neighbour_);
        while (!input.empty())
            step(input);
        end();
    }

private:
    struct alignas(64) Storage {
        std::byte bytes[64];
    };
    using Buffer = std::vector<std::byte>;

    [[nodiscard]] bool checked() const noexcept { return subject_.checks != Checks::none; }

    void step(Input& input) {
        const std::size_t operation = input.next();
        if (operation < 80) {
            alloc();
        } else if (operation < 150) {
            free(input.below(live_.size()), false);
        } else if (operation < 160) {
            free(input.below(live_.size()), true);
        } else if (operation < 176) {
            alloc_bulk(input.below(100));
        } else if (operation < 192) {
            free_bulk(input.below(100), input.below(live_.size()), input.next() % 4);
        } else if (operation < 198) {
            reserve(input.below(200));
        } else if (operation < 204) {
            shrink(input.below(6));
        } else if (operation < 210) {
            look();
        } else if (operation < 214) {
            free_every_other();
        } else if (operation < 220) {
            const std::size_t number = input.below(16);
            memory_->refuse(number, operation % 2 == 0);
            refusing_ = number > 0;
        } else if (operation < 226) {
            write_after_free(input);
        } else if (operation < 230) {
            intruder_ = support::Random(input.next());
            intrusions_left_ = 1 + operation % 4 * 4;
        } else if (checked()) {
            refuse(input, operation % 4 == 0);
        }
        if (intrusions_left_ == 0) intruded_ = false;
        must(reports_number == 0, "a defect is reported that is none");
        must(memory_->right(), "the backend is called wrongly");
    }

    /// The backend calls the cache that calls it.
    void intrude() {
        if (intrusions_left_ == 0 || within_) return;
        within_ = true;
        --intrusions_left_;
        intruded_ = true;
        if (live_.empty() || intruder_.one_in(2)) {
            alloc();
        } else {
            free(intruder_.below(live_.size()), false);
        }
        within_ = false;
    }

    // ---- Operations -----------------------------------------------------------------------------

    void alloc() {
        const bool full = memory_->live() == all_slabs;
        std::byte* const object = subject_.alloc(cache_);
        must(object != nullptr || full || refusing_ || intruded_, "alloc gives nothing");
        if (object != nullptr) add(object);
    }

    void add(std::byte* object) {
        const auto& layout = subject_.layout;
        const std::size_t number = memory_->number_of(object);
        must(memory_->is_live(number) && number != memory_->number_of(neighbours_),
             "an object lies in no slab");
        const auto offset = static_cast<std::size_t>(object - memory_->slab(number));
        must(offset % layout.stride == layout.front &&
                 offset / layout.stride < layout.slots_per_slab,
             "an object lies in no slot");
        const std::span<std::byte> record = memory_->record_in(number);
        must(record.empty() || object + layout.object_size <= record.data() ||
                 object >= record.data() + record.size(),
             "an object overlaps the SlabInfo");
        const std::size_t slot = slot_of(object);
        must(!live_slots_[slot], "two live objects overlap");
        live_slots_[slot] = true;
        std::memcpy(object, memory_->pattern_of(object), layout.object_size);
        live_.push_back(object);
        peak_ = std::max(peak_, live_.size());
    }

    [[nodiscard]] std::byte* remove(std::size_t rank) {
        std::byte* const object = live_[rank];
        live_[rank] = live_.back();
        live_.pop_back();
        must(memory_->same(object, subject_.layout.object_size), "an object is changed");
        live_slots_[slot_of(object)] = false;
        freed_[freed_number_++ % freed_most] = object;
        return object;
    }

    void free(std::size_t rank, bool destroy) {
        if (live_.empty()) return subject_.free(cache_, nullptr);
        std::byte* const object = remove(rank);
        if (destroy) {
            subject_.destroy(cache_, object);
        } else {
            subject_.free(cache_, object);
        }
    }

    void alloc_bulk(std::size_t number) {
        std::vector<std::byte*> objects(number);
        if (subject_.alloc_bulk(cache_, objects)) {
            for (std::byte* const object : objects)
                add(object);
        } else {
            const std::size_t most =
                (TinyMemory::slabs_number - 1) * subject_.layout.objects_per_slab;
            must(refusing_ || intruded_ || live_.size() + number > most,
                 "alloc_bulk gives nothing");
        }
    }

    void free_bulk(std::size_t number, std::size_t rank, std::size_t nulls) {
        std::vector<std::byte*> objects;
        for (; number > 0 && !live_.empty(); --number) {
            objects.push_back(remove(std::min(rank, live_.size() - 1)));
            if (nulls == 1) objects.push_back(nullptr);
        }
        subject_.free_bulk(cache_, objects);
    }

    void reserve(std::size_t number) {
        const std::uint32_t before = memory_->live();
        const std::size_t can_be = subject_.reserve(cache_, number);
        must(can_be >= number || refusing_ || intruded_ || memory_->live() == all_slabs,
             "reserve takes too little");
        must(memory_->live() == before || intruded_ ||
                 can_be < number + subject_.layout.objects_per_slab,
             "reserve takes too much");
    }

    void shrink(std::size_t most) {
        const std::uint32_t before = memory_->live();
        const std::size_t given = subject_.shrink(cache_, most == 5 ? ~std::size_t{0} : most);
        const int slabs = std::popcount(before) - std::popcount(memory_->live());
        must(given == static_cast<std::size_t>(slabs) || intruded_, "shrink counts wrong");
    }

    void free_every_other() {
        intrusions_left_ = 0;  // who walks must not be disturbed
        for (const std::byte* const object : live_)
            must(memory_->same(object, subject_.layout.object_size), "an object is changed");
        std::vector<std::byte*> freed;
        must(subject_.free_every_other(cache_, freed) == live_.size(),
             "for_each visits others than the live");
        std::sort(freed.begin(), freed.end());
        for (const std::byte* const object : freed)
            live_slots_[slot_of(object)] = false;
        std::erase_if(live_, [&](const std::byte* object) {
            return std::binary_search(freed.begin(), freed.end(), object);
        });
    }

    /// All that can be asked, and what must be answered.
    void look() {
        intrusions_left_ = 0;
        must(subject_.validate(cache_).defect == Defect::None, "validate finds something");
        must(subject_.validate(neighbour_).defect == Defect::None, "... in another cache");
        const exhaustive::CacheStatistics told = subject_.statistics(cache_);
        const auto slabs = static_cast<std::size_t>(std::popcount(memory_->live())) - 1;
        must(
            told.allocated_objects_number == live_.size() && told.slabs_number() == slabs &&
                told.free_objects_number == slabs * subject_.layout.objects_per_slab - live_.size(),
            "the statistics are wrong");
        for (const std::byte* const object : live_) {
            must(subject_.owns(cache_, object), "a live object is not owned");
            must(memory_->same(object, subject_.layout.object_size), "an object is changed");
        }
        std::vector<std::byte*> visited;
        subject_.visit(cache_, visited);
        must(visited.size() == live_.size(), "for_each visits others than the live");
        for (const std::byte* const object : visited)
            must(live_slots_[slot_of(object)], "for_each visits what is not live");
    }

    void write_after_free(Input& input) {
        std::byte* const object = freed_[input.next() % freed_most];
        if (object == nullptr || exhaustive::writes_objects(subject_.checks)) return;
        if (!memory_->is_live(memory_->number_of(object)) || is_taken(object)) return;
        std::memset(object, input.next(), subject_.layout.object_size);
    }

    // ---- Invalid frees --------------------------------------------------------------------------

    void refuse(Input& input, bool in_bulk) {
        std::byte* const object = invalid(input);
        if (object == nullptr || is_live(object)) return;
        must(!subject_.owns(cache_, object), "an invalid pointer is owned");
        const std::size_t size = save(before_);
        const std::size_t calls = memory_->calls();
        if (in_bulk) {
            std::vector<std::byte*> objects(
                live_.begin(),
                live_.begin() + static_cast<std::ptrdiff_t>(input.below(live_.size())));
            objects.insert(
                objects.begin() + static_cast<std::ptrdiff_t>(input.below(objects.size() + 1)),
                object);
            subject_.free_bulk(cache_, objects);
        } else {
            subject_.free(cache_, object);
        }
        must(reports_number == 1 && last_report.pointer == object,
             "an invalid free is not found, or more than it");
        const Defect defect = last_report.defect;
        must(defect == Defect::DoubleFree || defect == Defect::NeverAllocated ||
                 defect == Defect::InteriorPointer || defect == Defect::ForeignPointer ||
                 defect == Defect::OtherCache,
             "an invalid free is called something else");
        reports_number = 0;
        must(save(after_) == size && std::memcmp(before_.data(), after_.data(), size) == 0 &&
                 calls == memory_->calls(),
             "a refusal changes something");
    }

    [[nodiscard]] std::byte* invalid(Input& input) {
        const auto& layout = subject_.layout;
        static std::byte foreign[3 * TinyMemory::largest_slab];
        switch (input.next() % 6) {
            case 0:
                return freed_[input.next() % freed_most];
            case 1:
                return live_.empty()
                           ? nullptr
                           : live_[input.below(live_.size())] + 1 + input.below(layout.stride);
            case 2:
                return neighbours_ + input.below(2);
            case 3:
                return foreign + TinyMemory::largest_slab + input.below(TinyMemory::largest_slab);
            default:  // anywhere in the slabs, live or not
                return memory_->slab(input.below(TinyMemory::slabs_number)) +
                       (input.next() % 2 == 0
                            ? input.below(layout.slots_per_slab) * layout.stride + layout.front
                            : input.below(layout.slab_size));
        }
    }

    // ---- The end --------------------------------------------------------------------------------

    void end() {
        memory_->refuse(0, false);
        refusing_ = false;
        look();
        reports_number = 0;
        subject_.destruct(cache_);
        if (checked()) {
            const bool each = subject_.checks == Checks::debug;  // is reported, and counted down
            const std::size_t reports = each || live_.empty() ? live_.size() : 1;
            must(reports_number == reports, "the leak is reported wrongly");
            must(live_.empty() || (last_report.defect == Defect::Leak &&
                                   last_report.objects_number == (each ? 1 : live_.size())),
                 "the leak is counted wrongly");
        }
        reports_number = 0;
        subject_.free(neighbour_, neighbours_);
        subject_.destruct(neighbour_);
        must(reports_number == 0 && memory_->nothing_but(0) && memory_->right(),
             "something is left");
        for (const std::byte* const object : live_)
            live_slots_[slot_of(object)] = false;
        live_.clear();
        peak_ = 0;
        intruded_ = false;
        memory_->on_call = nullptr;
        std::fill(std::begin(freed_), std::end(freed_), nullptr);
        freed_number_ = 0;
    }

    // ---- Slots and bytes ------------------------------------------------------------------------

    [[nodiscard]] std::size_t slot_of(const std::byte* object) const noexcept {
        const std::size_t number = memory_->number_of(object);
        return number * subject_.layout.slots_per_slab +
               static_cast<std::size_t>(object - memory_->slab(number)) / subject_.layout.stride;
    }
    [[nodiscard]] bool is_live(const std::byte* object) const {
        return std::find(live_.begin(), live_.end(), object) != live_.end();
    }
    /// Does a live object lie there? The slot of the neighbour's object is its own.
    [[nodiscard]] bool is_taken(const std::byte* object) const {
        return live_slots_[slot_of(object)] ||
               memory_->number_of(object) == memory_->number_of(neighbours_) || covered(object);
    }
    [[nodiscard]] bool covered(const std::byte* object) const {
        const std::span<std::byte> record = memory_->record_in(memory_->number_of(object));
        return !record.empty() && object + subject_.layout.stride > record.data() &&
               object < record.data() + record.size();
    }
    /// Returns: how many bytes.
    [[nodiscard]] std::size_t save(Buffer& buffer) {
        std::memcpy(buffer.data(), cache_, subject_.size);
        std::memcpy(buffer.data() + subject_.size, neighbour_, subject_.size);
        const std::byte* const end = memory_->save(buffer.data() + 2 * subject_.size);
        return static_cast<std::size_t>(end - buffer.data());
    }

    static constexpr std::uint32_t all_slabs = (std::uint32_t{1} << TinyMemory::slabs_number) - 1;
    static constexpr std::size_t freed_most = 32;

    const Subject& subject_;
    std::unique_ptr<TinyMemory> memory_;
    std::unique_ptr<Storage[]> storage_;
    void* cache_;
    void* neighbour_;
    std::byte* neighbours_ = nullptr;
    std::vector<std::byte*> live_;
    std::size_t peak_ = 0;  // of live objects
    std::vector<bool> live_slots_;
    std::byte* freed_[freed_most] = {};
    std::size_t freed_number_ = 0;
    bool refusing_ = false;
    support::Random intruder_{0};
    std::size_t intrusions_left_ = 0;
    bool intruded_ = false;  // lately
    bool within_ = false;
    Buffer before_;
    Buffer after_;
};

/// From now on defects are counted, not fatal.
inline void count_reports() {
    slab_allocator::set_defect_handler([](const DefectReport& report) noexcept {
        ++reports_number;
        last_report = report;
    });
}

}  // namespace fuzz
