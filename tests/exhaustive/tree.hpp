#pragma once

// tree.hpp -- every sequence of {alloc, free any live object} up to a length, at one cache.
//
//      start --alloc--> state --alloc--> state        a state: every byte of the cache and of its
//                          '---free----> state <--.   records, which objects are live, and which
//                                          '------'   slots were ever handed out
//
// Equal bytes have equal futures, so a state that was seen is not walked again, but the sequences
// that lead to it are counted: their number must come to that of the involutions of as many things
// (each free is matched with the alloc of what it frees). States are reached by walking the way to
// them again from a saved start, and left by restoring what was saved.
//
// Slabs of many objects start with all but three of the first slab's live, so that the sequences
// cross the border between two slabs.

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/defect.hpp>

#include <exhaustive/subject.hpp>
#include <support/tiny_memory.hpp>

namespace exhaustive {

using slab_allocator::Defect;

/// The misuses of a state: the invalid frees, and the writes to what is not the caller's.
enum class Kind {
    double_free_at_once,
    double_free_later,
    double_free_of_last,  // the slab is Free since
    interior_aligned,
    interior_misaligned,
    record_or_rest,
    never_allocated,
    other_cache,
    other_backend,
    foreign,
    released_slab,
    null,
    write_after_free,         // in the first 32 bytes
    write_after_free_at_end,  // in the last word
    overflow,                 // of one byte, of eight
    underflow,                // of eight bytes
};
inline constexpr std::size_t kinds_number = 16;

/// What a level must find at every state where it can be done.
[[nodiscard]] constexpr bool must_find(slab_allocator::Checks checks, Kind kind) noexcept {
    using slab_allocator::Checks;
    if (kind == Kind::underflow) return checks == Checks::debug;
    if (kind > Kind::null) return checks == Checks::hardened || checks == Checks::debug;
    return checks != Checks::none;
}

/// What is known of a walk when it is done.
struct Walked {
    std::uint64_t sequences = 0;  // of the full length
    std::uint64_t states = 0;
    std::uint64_t transitions = 0;
    std::uint64_t deep_states = 0;  // where everything was tried
    std::array<std::uint64_t, kinds_number> refused{};
    std::string wrong;  // the first thing, and the sequence to it; empty: nothing
};

/// The defects that are reported while it lives.
class Reports {
public:
    Reports() : previous_(slab_allocator::set_defect_handler(&record)) { number() = 0; }
    Reports(const Reports&) = delete;
    Reports& operator=(const Reports&) = delete;
    ~Reports() { slab_allocator::set_defect_handler(previous_); }

    [[nodiscard]] static std::size_t& number() noexcept {
        static std::size_t number = 0;
        return number;
    }
    [[nodiscard]] static DefectReport& last() noexcept {
        static DefectReport last;
        return last;
    }

private:
    static void record(const DefectReport& report) noexcept {
        ++number();
        last() = report;
    }
    slab_allocator::DefectHandler previous_;
};

/// The number of sequences of a length: T(n) = T(n - 1) + (n - 1) T(n - 2).
[[nodiscard]] constexpr std::uint64_t involutions(std::size_t length) noexcept {
    std::uint64_t before = 1;
    std::uint64_t result = 1;
    for (std::size_t number = 2; number <= length; ++number) {
        const std::uint64_t next = result + (number - 1) * before;
        before = result;
        result = next;
    }
    return result;
}
static_assert(involutions(10) == 9'496 && involutions(14) == 2'390'480);
static_assert(involutions(16) == 46'206'736);

class Tree {
public:
    static constexpr std::size_t longest = 20;

    explicit Tree(const Subject& subject)
        : subject_(subject),
          memory_(std::make_unique<TinyMemory>(subject.layout, writes_objects(subject.checks))),
          other_memory_(
              std::make_unique<TinyMemory>(subject.layout, writes_objects(subject.checks))),
          cache_(subject, *memory_),
          neighbour_(subject, *memory_),
          stranger_(subject, *other_memory_),
          start_(most_bytes()),
          parent_(most_bytes()),
          here_(most_bytes()),
          now_(most_bytes()) {
        for (Hands* const others : {&neighbour_, &stranger_})
            others->live.push_back(subject.alloc(others->memory()));
        neighbours_ = memory_->live();
        const std::size_t in_a_slab = subject.layout.objects_per_slab;
        while (in_a_slab > 8 && background_ + 3 < in_a_slab) {
            take();
            cache_.live.clear();
            ++background_;
        }
        others_ = bytes_of_others();
        start_live_ = live_;
        start_handed_ = handed_;
        save(start_);
    }
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;
    ~Tree() {
        restore(start_);
        subject_.destruct(cache_.memory());
        subject_.destruct(neighbour_.memory());
        subject_.destruct(stranger_.memory());
    }

    /// Walks all sequences of up to `length` operations; to `deep` of them, tries everything at
    /// every state.
    [[nodiscard]] Walked walk(std::size_t length, std::size_t deep) {
        deep_ = deep;
        depth_ = 0;
        discover({}, 0);
        for (std::size_t number = 0; number < nodes_.size() && walked_.wrong.empty(); ++number) {
            if (nodes_[number].depth < length) expand(number);
        }
        if (walked_.wrong.empty()) count_sequences(length);
        walked_.states = nodes_.size();
        walked_.transitions = successors_.size();
        return walked_;
    }

private:
    static constexpr std::size_t most_slots = 512;
    using Slots = std::bitset<most_slots>;
    using Buffer = std::vector<std::byte>;

    struct Key {
        std::uint64_t low;
        std::uint64_t high;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Node {
        std::array<std::uint8_t, longest> way;  // 0: alloc; n: free of the nth live object
        std::uint8_t depth;
        std::size_t first_successor;
    };

    /// A cache, and what its caller holds, the newest last.
    struct Hands {
        Hands(const Subject& subject, TinyMemory& memory)
            : bytes(std::make_unique<Storage[]>(subject.size / sizeof(Storage) + 1)) {
            std::memset(bytes.get(), 0, subject.size);
            subject.construct(bytes.get(), memory);
        }
        [[nodiscard]] void* memory() const noexcept { return bytes.get(); }

        struct alignas(64) Storage {
            std::byte bytes[64];
        };
        std::unique_ptr<Storage[]> bytes;
        std::vector<std::byte*> live;
    };

    // ---- The walk -------------------------------------------------------------------------------

    void expand(std::size_t number) {
        nodes_[number].first_successor = successors_.size();
        const Node node = nodes_[number];
        go_to(node);
        save(parent_);
        const std::vector<std::byte*> live = cache_.live;
        const Slots live_slots = live_;
        const Slots handed = handed_;
        for (std::size_t operation = 0; operation <= live.size(); ++operation) {
            if (operation > 0) {
                restore(parent_);
                cache_.live = live;
                live_ = live_slots;
                handed_ = handed;
            }
            depth_ = node.depth + 1U;
            way_ = node.way;
            way_[node.depth] = static_cast<std::uint8_t>(operation);
            step(operation);
            discover(live, operation);
            if (!walked_.wrong.empty()) return;
        }
    }

    void go_to(const Node& node) {
        restore(start_);
        cache_.live.clear();
        live_ = start_live_;
        handed_ = start_handed_;
        way_ = node.way;
        for (depth_ = 0; depth_ < node.depth; ++depth_)
            step(node.way[depth_]);
    }

    void step(std::size_t operation) {
        if (operation == 0) return take();
        std::byte* const object = cache_.live[operation - 1];
        cache_.live[operation - 1] = cache_.live.back();
        cache_.live.pop_back();
        give(object);
    }

    void take() {
        std::byte* const object = subject_.alloc(cache_.memory());
        const std::size_t number = memory_->number_of(object);
        expect(object != nullptr && memory_->is_live(number) && ((neighbours_ >> number) & 1U) == 0,
               "alloc gives no memory of a slab");
        if (!walked_.wrong.empty()) return;
        const Layout& layout = subject_.layout;
        const auto offset = static_cast<std::size_t>(object - memory_->slab(number)) - layout.front;
        const std::size_t slot = slot_of(object);
        const std::span<std::byte> record = memory_->record_in(number);
        expect(offset % layout.stride == 0 && offset / layout.stride < layout.slots_per_slab,
               "alloc gives no slot");
        expect(record.empty() || object + layout.object_size + layout.behind <= record.data() ||
                   object - layout.front >= record.data() + record.size(),
               "alloc gives the SlabInfo");
        expect(!live_[slot], "alloc gives a live object");
        std::memcpy(object, memory_->pattern_of(object), layout.object_size);
        live_[slot] = true;
        handed_[slot] = true;
        cache_.live.push_back(object);
    }

    void give(std::byte* object) {
        live_[slot_of(object)] = false;
        const std::uint32_t before = memory_->live();
        subject_.free(cache_.memory(), object);
        for (std::uint32_t gone = before & ~memory_->live(); gone != 0; gone &= gone - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(gone));
            for (std::size_t slot = 0; slot < subject_.layout.slots_per_slab; ++slot)
                handed_[number * subject_.layout.slots_per_slab + slot] = false;
        }
    }

    /// The state that was just reached, by `operation` on `before`, is a node, new or old.
    void discover(const std::vector<std::byte*>& before, std::size_t operation) {
        const std::size_t size = save(here_);
        const Key key = key_of(here_, size);
        const auto [place, is_new] = seen_.insert(key, nodes_.size());
        if (depth_ > 0) successors_.push_back(static_cast<std::uint32_t>(place));
        if (!is_new) return;
        nodes_.push_back({way_, static_cast<std::uint8_t>(depth_), 0});
        check();
        if (depth_ <= deep_ && walked_.wrong.empty()) {
            check_deeply(operation > 0 ? before[operation - 1] : nullptr);
            ++walked_.deep_states;
        }
    }

    void count_sequences(std::size_t length) {
        std::vector<std::uint64_t> counts(nodes_.size());
        counts[0] = 1;
        for (std::size_t step = 0; step < length; ++step) {
            std::vector<std::uint64_t> next(nodes_.size());
            for (std::size_t number = 0; number < nodes_.size(); ++number) {
                if (counts[number] == 0) continue;
                const std::size_t end = end_of_successors(number);
                for (std::size_t at = nodes_[number].first_successor; at < end; ++at)
                    next[successors_[at]] += counts[number];
            }
            counts = std::move(next);
        }
        for (const std::uint64_t count : counts)
            walked_.sequences += count;
    }

    // As many as live objects, and one.
    [[nodiscard]] std::size_t end_of_successors(std::size_t number) const noexcept {
        const bool last = number + 1 == nodes_.size() || nodes_[number + 1].first_successor == 0;
        return last ? successors_.size() : nodes_[number + 1].first_successor;
    }

    // ---- What must be true at every state -------------------------------------------------------

    void check() {
        expect(subject_.validate(cache_.memory()).defect == Defect::None,
               "validate finds something");
        expect(Reports::number() == 0, "a defect is reported");
        expect(memory_->right(), "the backend is called wrongly");
        for (std::uint32_t left = memory_->live() & ~neighbours_; left != 0; left &= left - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(left));
            if (!writes_objects(subject_.checks)) {
                expect(memory_->intact(number), "bytes outside of the records are changed");
            }
        }
        for (std::byte* const object : cache_.live) {
            expect(memory_->same(object, subject_.layout.object_size), "an object is changed");
        }
        const auto slabs = static_cast<std::size_t>(std::popcount(memory_->live() & ~neighbours_));
        expect(live_.any() || slabs <= subject_.retained_free_slabs, "empty slabs are kept");
    }

    /// What changes the state and is undone.
    void check_deeply(const std::byte* freed) {
        const std::size_t live = live_.count();
        if (subject_.checks != Checks::none) refuse_everything(freed);
        if (writes_objects(subject_.checks)) find_writes();
        if (!walked_.wrong.empty()) return;

        const CacheStatistics told = subject_.statistics(cache_.memory());
        check_statistics(told, live);
        expect(subject_.validate(cache_.memory()).defect == Defect::None,
               "statistics() breaks something");
        restore(here_);

        std::vector<std::byte*> visited;
        subject_.visit(cache_.memory(), visited);
        Slots slots;
        for (const std::byte* const object : visited)
            slots[slot_of(object)] = true;
        expect(visited.size() == live && slots == live_, "for_each visits others than the live");
        restore(here_);

        subject_.destruct(cache_.memory());
        const bool leak = live > 0 && subject_.checks != Checks::none;
        const std::size_t reports =
            subject_.checks == slab_allocator::Checks::debug ? live : std::size_t{1};
        expect(Reports::number() == (leak ? reports : 0U),
               "the leak is not reported, or a wrong one");
        if (leak) {
            const bool one_by_one = subject_.checks == slab_allocator::Checks::debug;
            expect(Reports::last().defect == Defect::Leak &&
                       Reports::last().objects_number == (one_by_one ? 1 : live) &&
                       Reports::last().cache == cache_.memory(),
                   "the leak is reported wrongly");
        }
        Reports::number() = 0;
        expect(memory_->nothing_but(neighbours_) && memory_->right(),
               "the destructor leaves something");
        restore(here_);
    }

    void check_statistics(const CacheStatistics& told, std::size_t live) {
        const Layout& layout = subject_.layout;
        CacheStatistics right;
        for (std::uint32_t left = memory_->live() & ~neighbours_; left != 0; left &= left - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(left));
            std::size_t in_slab = 0;
            for (std::size_t slot = 0; slot < layout.slots_per_slab; ++slot)
                in_slab += live_[number * layout.slots_per_slab + slot] ? 1U : 0U;
            ++(in_slab == 0                         ? right.free_slabs_number
               : in_slab == layout.objects_per_slab ? right.full_slabs_number
                                                    : right.partial_slabs_number);
        }
        expect(
            told.free_slabs_number == right.free_slabs_number &&
                told.partial_slabs_number == right.partial_slabs_number &&
                told.full_slabs_number == right.full_slabs_number &&
                told.allocated_objects_number == live &&
                told.free_objects_number == told.slabs_number() * layout.objects_per_slab - live &&
                told.peak_allocated_objects_number >= live &&
                told.peak_slabs_number >= told.slabs_number() && told.failures_number == 0,
            "the statistics are wrong");
    }

    // ---- Every invalid free ---------------------------------------------------------------------

    void refuse_everything(const std::byte* freed) {
        const Layout& layout = subject_.layout;
        for (std::size_t number = 0; number < memory_->slabs_most(); ++number) {
            if (((neighbours_ >> number) & 1U) != 0) continue;
            refuse_slots(number, freed);
        }
        for (std::byte* const object : cache_.live) {
            expect(subject_.owns(cache_.memory(), object), "a live object is not owned");
            const std::size_t end = layout.stride - layout.front;  // of the slot
            for (std::size_t offset = 8; offset < end; offset += layout.stride / 2 + 5)
                refuse(Kind::interior_aligned, object + offset, Defect::InteriorPointer);
            for (const std::size_t offset : {std::size_t{1}, end - 1}) {
                refuse(Kind::interior_misaligned, object + offset, Defect::InteriorPointer);
            }
        }
        const bool by_mask = layout.row == Row::SmallByMask;
        refuse(Kind::other_cache, neighbour_.live.front(), Defect::OtherCache);
        refuse(Kind::other_backend, stranger_.live.front(),
               by_mask ? Defect::OtherCache : Defect::ForeignPointer);
        alignas(TinyMemory::largest_slab) static std::byte memory[3 * TinyMemory::largest_slab];
        alignas(TinyMemory::largest_slab) std::byte on_the_stack[TinyMemory::largest_slab];
        std::memset(on_the_stack, 0x41, sizeof(on_the_stack));
        refuse(Kind::foreign, memory + TinyMemory::largest_slab + 64, Defect::ForeignPointer);
        refuse(Kind::foreign, on_the_stack + 64, Defect::ForeignPointer);
        refuse_null();
        expect(bytes_of_others() == others_, "a refusal changes another cache");
        for (std::uint32_t left = memory_->live() & ~neighbours_; left != 0; left &= left - 1) {
            const auto number = static_cast<std::size_t>(std::countr_zero(left));
            if (!writes_objects(subject_.checks))
                expect(memory_->intact(number), "a refusal changes an object");
        }
    }

    /// The slots of a slab that are not live, the record, the rest.
    void refuse_slots(std::size_t number, const std::byte* freed) {
        const Layout& layout = subject_.layout;
        std::byte* const slab = memory_->slab(number);
        const std::span<std::byte> record = memory_->record_in(number);
        bool is_free = true;
        for (std::size_t slot = 0; slot < layout.slots_per_slab; ++slot)
            is_free = is_free && !live_[number * layout.slots_per_slab + slot];
        for (std::size_t slot = 0; slot < layout.slots_per_slab; ++slot) {
            std::byte* const object = slab + layout.front + slot * layout.stride;
            const std::size_t id = number * layout.slots_per_slab + slot;
            if (live_[id]) continue;
            if (!memory_->is_live(number)) {
                // All of them where the last operation gave the slab back, some else.
                if (memory_->number_of(freed) == number || slot % 32 == 0)
                    refuse(Kind::released_slab, object, Defect::ForeignPointer);
            } else if (!record.empty() && object - layout.front + layout.stride > record.data() &&
                       object - layout.front < record.data() + record.size()) {
                refuse(Kind::record_or_rest, object, Defect::InteriorPointer);
            } else if (!handed_[id]) {
                refuse(Kind::never_allocated, object, Defect::NeverAllocated);
            } else {
                const Kind kind = object != freed ? Kind::double_free_later
                                  : is_free       ? Kind::double_free_of_last
                                                  : Kind::double_free_at_once;
                refuse(kind, object, Defect::DoubleFree);
            }
        }
        if (!memory_->is_live(number)) return;
        if (!record.empty()) {
            refuse(Kind::record_or_rest, record.data() + 8, Defect::InteriorPointer);
            // Where the slot behind the last one would be, but for its front zone.
            if (record.data() == slab + layout.slots_per_slab * layout.stride)
                refuse(Kind::record_or_rest, record.data(), Defect::InteriorPointer);
        }
        if (layout.slots_per_slab * layout.stride < layout.slab_size) {
            refuse(Kind::record_or_rest, slab + layout.slab_size - 1, Defect::InteriorPointer);
        }
    }

    /// `object` is refused as `defect`, and not one byte is changed.
    void refuse(Kind kind, std::byte* object, Defect defect) {
        if (!walked_.wrong.empty()) return;  // there is no telling what the cache would do
        expect(!subject_.owns(cache_.memory(), object), "an invalid pointer is owned");
        const std::size_t calls = memory_->calls();
        subject_.free(cache_.memory(), object);
        // A slot that only the recent objects had was taken out of its slab, but handed to nobody.
        const bool right =
            Reports::last().defect == defect ||
            (kind == Kind::never_allocated && Reports::last().defect == Defect::DoubleFree);
        expect(Reports::number() == 1 && right, "an invalid free is not found, or called wrong");
        expect(Reports::last().pointer == object && Reports::last().cache == cache_.memory(),
               "an invalid free is reported with a wrong pointer or cache");
        Reports::number() = 0;
        nothing_changed(calls);
        ++walked_.refused[static_cast<std::size_t>(kind)];
    }

    void refuse_null() {
        const std::size_t calls = memory_->calls();
        subject_.free(cache_.memory(), nullptr);
        expect(Reports::number() == 0, "the free of null is reported");
        nothing_changed(calls);
        ++walked_.refused[static_cast<std::size_t>(Kind::null)];
    }

    // ---- Every write to what is not the caller's ------------------------------------------------

    void find_writes() {
        const Layout& layout = subject_.layout;
        const auto size = static_cast<std::ptrdiff_t>(layout.object_size);
        std::size_t most = 2;  // the first two that were freed
        for (std::size_t id = 0; id < most_slots && most > 0; ++id) {
            const std::size_t number = id / layout.slots_per_slab;
            if (!handed_[id] || live_[id] || !memory_->is_live(number)) continue;
            --most;
            std::byte* const object =
                memory_->slab(number) + layout.front + id % layout.slots_per_slab * layout.stride;
            find_in_free(Kind::write_after_free, object, 0);
            find_in_free(Kind::write_after_free, object, std::min<std::ptrdiff_t>(31, size - 1));
            find_in_free(Kind::write_after_free_at_end, object, size - 1);
        }
        for (std::byte* const object : cache_.live) {
            find_in_live(Kind::overflow, object, size, size + 1);
            find_in_live(Kind::overflow, object, size, size + 8);
            if (must_find(subject_.checks, Kind::underflow))
                find_in_live(Kind::underflow, object, -8, 0);
        }
    }

    static void flip(std::byte* from, std::byte* end) {
        for (; from != end; ++from)
            *from = static_cast<std::byte>(~std::to_integer<unsigned>(*from) & 0xffU);
    }

    /// A byte of a free object is written.
    void find_in_free(Kind kind, std::byte* object, std::ptrdiff_t offset) {
        flip(object + offset, object + offset + 1);
        const DefectReport report = subject_.validate(cache_.memory());
        flip(object + offset, object + offset + 1);
        expect(report.defect == Defect::WriteAfterFree && report.pointer == object &&
                   report.offset == offset,
               "a write after free is not found, or called wrong");
        nothing_changed(memory_->calls());
        ++walked_.refused[static_cast<std::size_t>(kind)];
    }

    /// Bytes beside a live object are written: its free is refused.
    void find_in_live(Kind kind, std::byte* object, std::ptrdiff_t from, std::ptrdiff_t end) {
        const std::size_t calls = memory_->calls();
        flip(object + from, object + end);
        subject_.free(cache_.memory(), object);
        flip(object + from, object + end);
        expect(Reports::number() == 1 && Reports::last().defect == Defect::Overflow &&
                   Reports::last().pointer == object && Reports::last().offset == from,
               "an overflow is not found, or called wrong");
        Reports::number() = 0;
        nothing_changed(calls);
        ++walked_.refused[static_cast<std::size_t>(kind)];
    }

    void nothing_changed(std::size_t calls) {
        const std::size_t size = save(now_);
        expect(std::memcmp(now_.data(), here_.data(), size) == 0 && calls == memory_->calls(),
               "a refused free changes something");
    }

    // ---- Bytes ----------------------------------------------------------------------------------

    [[nodiscard]] std::size_t most_bytes() const noexcept {
        return subject_.size + TinyMemory::saved_most;
    }
    /// Returns: how many bytes.
    std::size_t save(Buffer& buffer) {
        std::memcpy(buffer.data(), cache_.memory(), subject_.size);
        const std::byte* const end = memory_->save(buffer.data() + subject_.size);
        return static_cast<std::size_t>(end - buffer.data());
    }
    [[nodiscard]] Buffer bytes_of_others() const {
        Buffer bytes(2 * subject_.size);
        std::memcpy(bytes.data(), neighbour_.memory(), subject_.size);
        std::memcpy(bytes.data() + subject_.size, stranger_.memory(), subject_.size);
        return bytes;
    }
    void restore(const Buffer& buffer) {
        std::memcpy(cache_.memory(), buffer.data(), subject_.size);
        static_cast<void>(memory_->restore(buffer.data() + subject_.size));
    }

    [[nodiscard]] Key key_of(const Buffer& buffer, std::size_t size) const noexcept {
        std::uint64_t lanes[4] = {1, 2, 3, 4};
        const auto mix = [&lanes](std::size_t lane, std::uint64_t word) {
            lanes[lane] = (lanes[lane] ^ word) * 0x9e37'79b9'7f4a'7c15U;
            lanes[lane] ^= lanes[lane] >> 29;
        };
        for (std::size_t at = 0; at + 8 <= size; at += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, buffer.data() + at, 8);
            mix(at / 8 % 4, word);
        }
        const std::hash<Slots> hash;
        mix(0, hash(live_));
        mix(1, hash(handed_));
        mix(2, hash(live_ ^ handed_));
        mix(0, lanes[2]);
        mix(1, lanes[3]);
        mix(0, lanes[3]);
        mix(1, lanes[2]);
        return {lanes[0], lanes[1]};
    }

    [[nodiscard]] std::size_t slot_of(const std::byte* object) const noexcept {
        const std::size_t number = memory_->number_of(object);
        const auto offset = static_cast<std::size_t>(object - memory_->slab(number));
        return number * subject_.layout.slots_per_slab + offset / subject_.layout.stride;
    }

    /// Remembers the first thing that is wrong, with the way to it.
    void expect(bool holds, const char* what) {
        if (holds || !walked_.wrong.empty()) return;
        walked_.wrong = std::string(what) + ", after:";
        for (std::size_t at = 0; at < depth_; ++at) {
            walked_.wrong += way_[at] == 0 ? " alloc" : " free(" + std::to_string(way_[at]) + ")";
        }
        if (Reports::number() > 0) {
            walked_.wrong +=
                std::string("; reported last: ") + slab_allocator::name_of(Reports::last().defect);
        }
    }

    /// Keys in the order of their numbers; open addressing, at most half full.
    class Seen {
    public:
        struct Answer {
            std::size_t number;
            bool is_new;
        };
        Answer insert(const Key& key, std::size_t number) {
            if (2 * (number + 1) > places_.size()) grow();
            for (std::size_t at = key.low & last();; at = (at + 1) & last()) {
                Place& place = places_[at];
                if (place.number == none) {
                    place = {key, static_cast<std::uint32_t>(number)};
                    return {number, true};
                }
                if (place.key == key) return {place.number, false};
            }
        }

    private:
        static constexpr std::uint32_t none = ~std::uint32_t{0};
        struct Place {
            Key key;
            std::uint32_t number;
        };
        void grow() {
            std::vector<Place> old(std::max<std::size_t>(1024, 2 * places_.size()),
                                   Place{{0, 0}, none});
            old.swap(places_);
            for (const Place& place : old) {
                if (place.number == none) continue;
                std::size_t at = place.key.low & last();
                while (places_[at].number != none)
                    at = (at + 1) & last();
                places_[at] = place;
            }
        }
        [[nodiscard]] std::size_t last() const noexcept { return places_.size() - 1; }

        std::vector<Place> places_;  // as many as a power of two
    };

    const Subject& subject_;
    std::unique_ptr<TinyMemory> memory_;
    std::unique_ptr<TinyMemory> other_memory_;
    Reports reports_;
    Hands cache_;
    Hands neighbour_;
    Hands stranger_;
    std::uint32_t neighbours_ = 0;  // their slabs
    std::size_t background_ = 0;    // objects that stay live
    Slots live_;
    Slots handed_;  // in this life of their slab
    Slots start_live_;
    Slots start_handed_;
    Buffer others_;
    Buffer start_;
    Buffer parent_;
    Buffer here_;
    Buffer now_;
    std::size_t deep_ = 0;
    std::size_t depth_ = 0;
    std::array<std::uint8_t, longest> way_{};
    std::vector<Node> nodes_;
    std::vector<std::uint32_t> successors_;
    Seen seen_;
    Walked walked_;
};

}  // namespace exhaustive
