#pragma once

// attack.hpp -- a caller that does all it can to be given one piece of memory twice.
//
// A string of bytes is a sequence of allocs and frees among double frees, frees of anything, writes
// to what was freed, writes beyond what is live, and records forged from copies of real ones. At
// level hardened, whatever the sequence:
//
//      alloc gives a slot of a slab of the backend, and no byte of a live object or of a record
//
// An object is live from the alloc that gave it to the free of it that was not refused. The
// attacker reaches no record: where these lie in their slabs (Small), a write that runs on into one
// is cut before it. Whoever can write there needs no allocator (docs/reliability.md).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <fuzz/operations.hpp>
#include <fuzz/subjects.hpp>
#include <support/tiny_memory.hpp>

namespace fuzz {

class Attack {
public:
    explicit Attack(const Subject& subject)
        : subject_(subject),
          memory_(std::make_unique<TinyMemory>(subject.layout, true, TinyMemory::slabs_number)),
          storage_(std::make_unique<Storage[]>(subject.size / sizeof(Storage) + 1)),
          cache_(storage_.get()) {}

    void run(Input input) {
        subject_.construct(cache_, *memory_);
        while (!input.empty())
            step(input);
        subject_.destruct(cache_);
        must(memory_->nothing_but(0) && memory_->right(), "the backend is called wrongly");
        live_.clear();
        gone_.clear();
    }

private:
    struct alignas(64) Storage {
        std::byte bytes[64];
    };
    void step(Input& input) {
        const std::size_t operation = input.next() % 16;
        if (operation < 5) {
            alloc();
        } else if (operation < 8) {
            free_live(input);
        } else if (operation == 8) {
            free_at(gone(input));
        } else if (operation == 9) {
            free_at(anywhere(input));
        } else if (operation == 10) {
            free_at(fake_ + TinyMemory::largest_slab + input.below(TinyMemory::largest_slab));
        } else if (operation == 11) {
            forge(input);
        } else if (operation == 12) {
            write(gone(input), input);
        } else if (operation < 15) {
            if (!live_.empty()) {
                const std::byte* const object = live_[input.below(live_.size())];
                write(object + input.below(2 * subject_.layout.stride), input);
            }
        } else {
            bulk(input);
        }
    }

    void alloc() {
        std::byte* const object = subject_.alloc(cache_);
        must(object != nullptr || memory_->live() == all_slabs, "alloc gives nothing");
        if (object != nullptr) add(object);
    }

    /// What must be true of what alloc gives.
    void add(std::byte* object) {
        const auto& layout = subject_.layout;
        const std::size_t number = memory_->number_of(object);
        must(memory_->is_live(number), "a pointer outside of the slabs");
        const auto offset = static_cast<std::size_t>(object - memory_->slab(number));
        must(offset % layout.stride == layout.front &&
                 offset + layout.object_size <= layout.slab_size,
             "an object in no slot");
        const std::span<std::byte> record = memory_->record_in(number);
        must(record.empty() || object + layout.object_size <= record.data() ||
                 object >= record.data() + record.size(),
             "an object overlaps a record");
        const auto after = std::lower_bound(live_.begin(), live_.end(), object);
        must(after == live_.end() || *after >= object + layout.object_size,
             "two live objects overlap");
        must(after == live_.begin() || *(after - 1) + layout.object_size <= object,
             "two live objects overlap");
        live_.insert(after, object);
    }

    void free_live(Input& input) {
        if (live_.empty()) return;
        free_at(live_[input.below(live_.size())]);
    }

    /// Any pointer: the model believes what the library reports.
    void free_at(std::byte* pointer) {
        if (pointer == nullptr) return;
        reports_number = 0;
        subject_.free(cache_, pointer);
        note_freed(pointer, reports_number == 0);
    }

    void note_freed(std::byte* pointer, bool done) {
        const auto found = std::lower_bound(live_.begin(), live_.end(), pointer);
        const bool was_live = found != live_.end() && *found == pointer;
        must(was_live || !done, "an invalid free is not found");
        if (!was_live || !done) return;
        live_.erase(found);
        gone_.push_back(pointer);
    }

    /// Live ones, gone ones and any, all at once: all are freed or none.
    void bulk(Input& input) {
        std::vector<std::byte*> objects;
        for (std::size_t number = input.below(8); number > 0; --number) {
            std::byte* const object = input.next() % 4 == 0 ? gone(input)
                                      : live_.empty()       ? nullptr
                                                            : live_[input.below(live_.size())];
            if (object != nullptr) objects.push_back(object);
        }
        reports_number = 0;
        subject_.free_bulk(cache_, objects);
        if (reports_number == 0) {
            for (std::byte* const object : objects)
                note_freed(object, true);
        }
    }

    /// A copy of a real record where the record of a fake slab would be, at an attacker's own
    /// memory; and a pointer into it is freed.
    void forge(Input& input) {
        const std::size_t number = input.below(TinyMemory::slabs_number);
        const std::span<std::byte> record = memory_->record_in(number);
        if (!memory_->is_live(number) || record.empty()) return;
        std::byte* const slab = fake_ + TinyMemory::largest_slab;
        const auto place = static_cast<std::size_t>(
            subject_.layout.info_offset_of(slab_allocator::address_of(slab)));
        std::memcpy(slab + place, record.data(), record.size());
        free_at(slab + input.below(subject_.layout.slots_per_slab) * subject_.layout.stride +
                subject_.layout.front);
    }

    void write(const std::byte* from, Input& input) {
        if (from == nullptr) return;
        const std::size_t number = memory_->number_of(from);
        if (!memory_->is_live(number)) return;
        std::byte* const start = memory_->slab(number) + (from - memory_->slab(number));
        std::byte* end = start + 1 + input.below(64);
        end = std::min(end, memory_->slab(number) + subject_.layout.slab_size);
        const std::span<std::byte> record = memory_->record_in(number);
        if (!record.empty() && start < record.data() + record.size() && end > record.data()) {
            if (start >= record.data()) return;
            end = record.data();
        }
        const std::uint8_t value = input.next();
        for (std::byte* at = start; at < end; ++at)
            *at ^= std::byte{value};
    }

    [[nodiscard]] std::byte* gone(Input& input) {
        return gone_.empty() ? nullptr : gone_[input.below(gone_.size())];
    }
    [[nodiscard]] std::byte* anywhere(Input& input) {
        return memory_->slab(input.below(TinyMemory::slabs_number)) +
               input.below(subject_.layout.slab_size);
    }

    static constexpr std::uint32_t all_slabs = (std::uint32_t{1} << TinyMemory::slabs_number) - 1;

    const Subject& subject_;
    std::unique_ptr<TinyMemory> memory_;
    std::unique_ptr<Storage[]> storage_;
    void* cache_;
    std::vector<std::byte*> live_;  // by address
    std::vector<std::byte*> gone_;
    alignas(TinyMemory::largest_slab) std::byte fake_[2 * TinyMemory::largest_slab] = {};
};

/// Every row at level hardened, with few and with many objects in a slab.
inline void attack(const std::uint8_t* data, std::size_t size) {
    static const std::vector<Subject> subjects = [] {
        std::vector<Subject> all;
        add_rows<Checks::hardened, 1, 3, 64>(all);
        return all;
    }();
    static const std::vector<std::unique_ptr<Attack>> attacks = [] {
        count_reports();
        std::vector<std::unique_ptr<Attack>> all;
        for (const Subject& subject : subjects)
            all.push_back(std::make_unique<Attack>(subject));
        return all;
    }();
    if (size > 0) attacks[data[0] % attacks.size()]->run(Input(data + 1, size - 1));
}

}  // namespace fuzz
