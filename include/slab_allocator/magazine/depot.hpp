#pragma once

// depot.hpp -- where CPUs exchange full magazines for empty ones, and back.
//
//      CPU that allocates --empty--> | full  : # # #     | <--full-- CPU that frees
//                         <--full--- | empty : . .       | --empty->
//
// One visit moves a whole magazine. How often CPUs meet here is measured: a visit that finds
// another one under way counts as contended. Where an eighth of 64 visits were, magazines grow by
// half; where none was between two ticks, they shrink by a quarter. (Bonwick and Adams 2001 grow
// them by failed tries of the lock; XNU's zalloc shrinks them, too.) What lay here idle from one
// tick to the next is given back: the working set of the same paper.
//
// Invariants
//   [D1] magazines in full_ have objects, those in empty_ have none
//   [D2] everything but rounds_ and inside_ is touched under lock_
//   [D3] under lock_, nothing is called that is not in this file or in magazine.hpp

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/magazine/atomics.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/magazine.hpp>

namespace slab_allocator {

/// What a depot holds, and how busy it was.
struct DepotStatistics {
    std::size_t rounds = 0;  ///< objects to a magazine, at this moment
    std::size_t full_magazines_number = 0;
    std::size_t empty_magazines_number = 0;
    std::uint64_t visits_number = 0;
    std::uint64_t contended_visits_number = 0;
};

/// Keeps `most_full` full magazines; what comes beyond goes to the slabs.
template <typename Object, BasicLockable Lock, std::size_t most_full,
          typename Atomics = BuiltinAtomics>
class Depot {
public:
    using Stack = MagazineStack<Object, Atomics>;
    static constexpr Rounds limits = rounds_for(sizeof(Object), Magazine<Object>::capacity);

    /// How many objects a magazine takes now. Costs: no lock.
    [[nodiscard]] std::size_t rounds() const noexcept { return Atomics::load_relaxed(rounds_); }

    /// Gives `empty` (null: none) for one with objects. nullptr: there is none, nothing was taken.
    [[nodiscard]] Magazine<Object>* trade_empty(Magazine<Object>* empty) noexcept {
        const Visit visit(*this);
        Magazine<Object>* const full = full_.pop();
        if (full != nullptr && empty != nullptr) empty_.push(*empty);
        return full;
    }

    /// Gives `full` (null: none) for an empty one. nullptr: there is none, or no room for `full`,
    /// and nothing was taken.
    [[nodiscard]] Magazine<Object>* trade_full(Magazine<Object>* full) noexcept {
        const Visit visit(*this);
        if (empty_.empty() || (full != nullptr && full_.number() >= most_full)) return nullptr;
        if (full != nullptr) full_.push(*full);
        return empty_.pop();
    }

    [[nodiscard]] Magazine<Object>* take_empty() noexcept {
        const Visit visit(*this);
        return empty_.pop();
    }
    void put_empty(Magazine<Object>& empty) noexcept {
        const Visit visit(*this);
        empty_.push(empty);
    }

    /// Is there no room for a full one?
    [[nodiscard]] bool crowded() noexcept {
        const Visit visit(*this);
        return full_.number() >= most_full;
    }

    void take_all_full(Stack& to) noexcept {
        const Visit visit(*this);
        move(full_, full_.number(), to);
    }
    void take_all_empty(Stack& to) noexcept {
        const Visit visit(*this);
        move(empty_, empty_.number(), to);
    }

    /// Ends an interval: what was idle in it comes out, and magazines shrink if it was quiet.
    void tick(Stack& idle_full, Stack& idle_empty) noexcept {
        const Visit visit(*this);
        move(full_, full_.close_interval(), idle_full);
        move(empty_, empty_.close_interval(), idle_empty);
        static_cast<void>(full_.close_interval());  // what went was not needed, what is left may be
        static_cast<void>(empty_.close_interval());
        if (contended_ == contended_at_tick_) set_rounds(rounds() - rounds() / 4);
        contended_at_tick_ = contended_;
    }

    /// For a fork.
    [[nodiscard]] Lock& lock() noexcept { return lock_; }
    /// In the child of a fork: nobody is here, or waits.
    void forget_visitors() noexcept { Atomics::store_relaxed(inside_, std::size_t{0}); }

    [[nodiscard]] DepotStatistics statistics() noexcept {
        const Visit visit(*this);
        return {.rounds = rounds(),
                .full_magazines_number = full_.number(),
                .empty_magazines_number = empty_.number(),
                .visits_number = visits_,
                .contended_visits_number = contended_};
    }

private:
    static constexpr std::uint64_t interval = 64;  // visits

    /// The lock, and the measuring of it.
    class Visit {
    public:
        explicit Visit(Depot& depot) noexcept : depot_(depot) {
            const bool contended = Atomics::fetch_add_relaxed(depot_.inside_, std::size_t{1}) != 0;
            depot_.lock_.lock();
            depot_.count(contended);
        }
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;
        ~Visit() {
            depot_.lock_.unlock();
            Atomics::fetch_sub_relaxed(depot_.inside_, std::size_t{1});
        }

    private:
        Depot& depot_;
    };

    void count(bool contended) noexcept {
        Atomics::touch(&visits_);
        if (contended) ++contended_;
        if (++visits_ % interval != 0) return;
        if (contended_ - contended_at_interval_ >= interval / 8) {
            set_rounds(rounds() + divide_up(rounds(), 2));
        }
        contended_at_interval_ = contended_;
    }

    void set_rounds(std::size_t rounds) noexcept {
        if (rounds < limits.least) rounds = limits.least;
        if (rounds > limits.most) rounds = limits.most;
        Atomics::store_relaxed(rounds_, rounds);
    }

    static void move(Stack& from, std::size_t number, Stack& to) noexcept {
        for (; number > 0; --number)
            to.push(*from.pop());
    }

    std::size_t inside_ = 0;  // visits that began and did not end
    Lock lock_{};
    Stack full_;
    Stack empty_;
    std::size_t rounds_ = limits.first;
    std::uint64_t visits_ = 0;
    std::uint64_t contended_ = 0;
    std::uint64_t contended_at_interval_ = 0;
    std::uint64_t contended_at_tick_ = 0;
};

}  // namespace slab_allocator
