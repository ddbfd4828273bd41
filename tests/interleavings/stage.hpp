#pragma once

// stage.hpp -- a cache, the threads that use it, and what must be true whatever their order.
//
//      before | thread 0 ............ | after: every promise, on one CPU
//             | thread 1 ............ |
//             | thread 2 ............ |    once for each order
//
// In each execution, at any time:  no object has two owners, what an owner wrote stays, no slab is
// given back with somebody's object in it, nothing that belongs to one is touched by two.
// After it: the statistics are exact, validate() finds nothing, each CPU has its slot and needs no
// lock, every object can be freed, and then everything comes back to the backend.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include <slab_allocator/core/defect.hpp>

#include "explorer.hpp"
#include "machine.hpp"
#include "policies.hpp"

namespace interleavings {

/// An object so large that magazines hold two of them: their borders are near.
struct Big {
    std::array<std::byte, std::size_t{32} << 10> bytes;
};

struct Outcome {
    std::size_t executions = 0;
    std::size_t redundant = 0;
    std::size_t most_steps = 0;
    double seconds = 0;
    std::string failure;  // of the last execution, with its steps
};

template <typename Cache>
class Stage {
public:
    using Body = std::function<void(Stage&)>;

    Stage() = default;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    // ---- What a scenario is made of -------------------------------------------------------------

    Body before = [](Stage&) {};
    std::vector<Body> threads;
    Body after = [](Stage&) {};
    unsigned most_preemptions = Explorer::unbounded;
    Mutation mutation = Mutation::none;
    std::size_t most_executions = 1'000'000'000;
    bool has_slots = true;  // whose CPUs are looked at in the end
    std::size_t slots_number = 2;
    bool defects_expected = false;

    // ---- What its threads do --------------------------------------------------------------------

    [[nodiscard]] Cache& cache() noexcept {
        return *std::launder(static_cast<Cache*>(static_cast<void*>(storage_)));
    }
    [[nodiscard]] CheckedMemory& memory() noexcept { return memory_; }

    /// Allocates, and owns. Returns: nullptr where there was no memory.
    Big* alloc() {
        Big* const object = cache().alloc();
        if (object == nullptr) {
            ++nulls_;
        } else {
            own(object);
        }
        return object;
    }
    void free(Big* object) {
        if (object == nullptr) return;
        disown(object);
        cache().free(object);
    }
    /// All or none.
    void alloc_bulk(std::size_t number) {
        std::vector<Big*> objects(number);
        if (!cache().alloc_bulk(objects)) {
            ++nulls_;
            return;
        }
        for (Big* const object : objects)
            own(object);
    }
    void free_bulk(const std::vector<Big*>& objects) {
        for (Big* const object : objects)
            disown(object);
        cache().free_bulk(objects);
    }
    /// Objects that go from thread to thread.
    [[nodiscard]] Big*& slot(std::size_t number) { return given_[number]; }

    void own(Big* object) {
        Machine::now().touch(object->bytes.data() + 64);
        for (const Owned& each : owned_) {
            if (each.object == object) return Machine::now().fail("an object has two owners");
        }
        owned_.push_back({object, ++stamp_});
        write(object, stamp_);
    }
    void disown(Big* object) {
        Machine::now().touch(object->bytes.data() + 64);
        for (Owned& each : owned_) {
            if (each.object != object) continue;
            if (!holds(object, each.stamp)) Machine::now().fail("what an owner wrote is gone");
            each = owned_.back();
            owned_.pop_back();
            return;
        }
        Machine::now().fail("frees what it does not own");
    }

    void check(bool right, const char* what) {
        if (!right) Machine::now().fail(what);
    }
    [[nodiscard]] std::size_t defects_number() const noexcept { return defects_; }
    [[nodiscard]] std::size_t nulls() const noexcept { return nulls_; }
    void on_cpu(std::size_t cpu) { Places::mine().cpu = cpu; }

    std::function<void()> reenter;

    // ---- All of it ------------------------------------------------------------------------------

    Outcome explore() {
        const auto start = std::chrono::steady_clock::now();
        const auto handler = slab_allocator::set_defect_handler(&Stage::note_defect);
        Outcome outcome;
        Machine machine(threads.size());
        machine.mutation = mutation;
        machine.trace_origin = slab_allocator::address_of(storage_);
        Explorer explorer(threads.size(), most_preemptions);
        while (outcome.failure.empty() && outcome.executions < most_executions &&
               explorer.begin()) {
            const Machine::End end = execute(machine, explorer);
            if (end == Machine::End::redundant) {
                ++outcome.redundant;
            } else {
                ++outcome.executions;
            }
            if (machine.steps() > outcome.most_steps) outcome.most_steps = machine.steps();
            outcome.failure = machine.failure();
        }
        if (!outcome.failure.empty()) outcome.failure += "\n" + steps_of(machine, explorer);
        slab_allocator::set_defect_handler(handler);
        outcome.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return outcome;
    }

private:
    struct Owned {
        Big* object;
        std::uint64_t stamp;
    };

    Machine::End execute(Machine& machine, Explorer& explorer) {
        machine.reset();
        memory_.reset();
        Places::of = {};
        Places::outside = {};
        owned_.clear();
        given_ = {};
        stamp_ = nulls_ = 0;
        defects_ = 0;
        memory_.on_give = [this](std::byte* slab, std::size_t size) {
            for (const Owned& each : owned_) {
                std::byte* const object = each.object->bytes.data();
                if (object >= slab && object < slab + size) {
                    Machine::now().fail("a slab is given back with somebody's object");
                }
            }
        };
        ::new (static_cast<void*>(storage_)) Cache(CheckedBackend{&memory_, &reenter});
        for (std::size_t thread = 0; thread < threads.size(); ++thread)
            Places::of[thread].cpu = thread;
        before(*this);
        if (!machine.failure().empty()) return Machine::End::failed;
        const Machine::End end =
            machine.run(explorer, [this](std::size_t thread) { threads[thread](*this); });
        if (end == Machine::End::complete) {
            finish(machine);
            if (!machine.failure().empty()) return Machine::End::failed;
        }
        return end;  // a cache that is in the middle of something is left there
    }

    void finish(Machine& machine) {
        after(*this);
        if (!defects_expected) check(defects_ == 0, "a defect was reported");
        memory_.refuses_slabs = memory_.refuses_pages = false;
        const auto statistics = cache().statistics();
        if (!defects_expected) {
            check(statistics.allocated_objects_number == owned_.size(), "not the number of live");
        }
        check(statistics.failures_number == nulls_, "not the number of failures");
        check(cache().validate().defect == slab_allocator::Defect::None,
              "validate finds something");
        while (!owned_.empty())
            free(owned_.back().object);
        for (std::size_t cpu = 0; has_slots && cpu < slots_number; ++cpu) {
            on_cpu(cpu);
            cache().free(cache().alloc());
            const std::uint64_t locks = machine.locks_number();
            cache().free(cache().alloc());
            check(machine.locks_number() == locks, "a CPU has no slot any more");
        }
        for (std::size_t cpu = 0; cpu < slots_number; ++cpu) {
            on_cpu(cpu);
            static_cast<void>(cache().shrink_to_fit());
        }
        if (!defects_expected) {
            check(cache().statistics().allocated_objects_number == 0, "an object is lost");
            check(memory_.live_slabs == 0, "a slab is lost");
        }
        cache().~Cache();
        check(memory_.live_slabs == 0, "the backend did not get everything back");
        if (!defects_expected) check(defects_ == 0, "a defect was reported at the end");
    }

    [[nodiscard]] std::string steps_of(Machine& machine, Explorer& explorer) {
        char* text = nullptr;
        std::size_t size = 0;
        machine.trace = ::open_memstream(&text, &size);
        explorer.repeat();
        static_cast<void>(execute(machine, explorer));
        std::fclose(machine.trace);
        machine.trace = nullptr;
        std::string steps(text, size);
        std::free(text);
        return steps;
    }

    static void note_defect(const slab_allocator::DefectReport&) noexcept { ++defects_; }

    void write(Big* object, std::uint64_t stamp) {
        std::memcpy(object->bytes.data(), &stamp, sizeof(stamp));
        std::memcpy(object->bytes.data() + sizeof(Big) - sizeof(stamp), &stamp, sizeof(stamp));
    }
    [[nodiscard]] bool holds(const Big* object, std::uint64_t stamp) const {
        return std::memcmp(object->bytes.data(), &stamp, sizeof(stamp)) == 0 &&
               std::memcmp(object->bytes.data() + sizeof(Big) - sizeof(stamp), &stamp,
                           sizeof(stamp)) == 0;
    }

    alignas(128) std::byte storage_[sizeof(Cache)];
    CheckedMemory memory_;
    std::vector<Owned> owned_;
    std::array<Big*, 16> given_{};
    std::uint64_t stamp_ = 0;
    std::size_t nulls_ = 0;
    static inline std::size_t defects_ = 0;
};

}  // namespace interleavings
