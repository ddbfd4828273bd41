#include "machine.hpp"

#include <algorithm>
#include <cstdlib>

namespace interleavings {

Machine::Machine(std::size_t threads) {
    now_ = this;
    for (std::size_t number = 0; number < threads; ++number)
        threads_.push_back(std::make_unique<Thread>());
}

Machine::~Machine() { now_ = nullptr; }

void Machine::reset() {
    ++resets_;
    next_number_ = most_threads;
    for (Object& object : objects_)
        object.changes.clear();
    objects_.resize(std::max<std::size_t>(objects_.size(), most_threads));
    for (std::size_t number = 0; number < most_threads; ++number) {
        objects_[number].holder = objects_[number].toucher = nobody;
        objects_[number].released = {};
    }
    failure_.clear();
    running_ = nobody;
    steps_ = 0;
    for (auto& thread : threads_) {
        thread->hand.clear();
        thread->buffer.clear();
        thread->flushed.clear();
        thread->first = thread->pushed = thread->waited = 0;
        thread->clock = {};
        thread->ended = false;
    }
}

std::uint32_t Machine::number_of(const void* address) {
    const std::uintptr_t key = slab_allocator::address_of(address);
    std::size_t at = (key * 0x9e37'79b9'7f4a'7c15U >> 40) % places;
    while (numbers_[at].reset == resets_ && numbers_[at].address != key)
        at = (at + 1) % places;
    if (numbers_[at].reset != resets_) {
        if (next_number_ == most_numbers) {
            fail("touches memory without end");
            return next_number_ - 1;
        }
        numbers_[at] = {key, next_number_++, resets_};
        if (objects_.size() < next_number_) objects_.resize(next_number_);
        Object& object = objects_[next_number_ - 1];
        object.holder = object.toucher = nobody;
        object.released = {};
    }
    return numbers_[at].number;
}

void Machine::join(Clock& clock, const Clock& other) const noexcept {
    for (std::size_t thread = 0; thread < most_threads; ++thread)
        clock[thread] = std::max(clock[thread], other[thread]);
}

// ---- The explorer's side ------------------------------------------------------------------------

void Machine::run_body(void* thread) {
    Machine& machine = now();
    (*machine.body_)(machine.running_);
    machine.empty_hand();
    static_cast<Thread*>(thread)->ended = true;
}

Machine::End Machine::run(Explorer& explorer, const std::function<void(std::size_t)>& body) {
    explorer_ = &explorer;
    body_ = &body;
    const auto go_on = [&](std::size_t thread) {
        running_ = thread;
        threads_[thread]->fiber.resume();
        running_ = nobody;
    };
    for (std::size_t number = 0; number < threads_.size(); ++number) {
        Thread& thread = *threads_[number];
        thread.clock[number] = 1;
        thread.fiber.start(&Machine::run_body, &thread);
        go_on(number);  // to its first step
        if (!failure_.empty()) return End::failed;
    }
    for (;;) {
        Mask enabled = 0;
        Mask able = 0;
        Mask late = 0;
        find_enabled(enabled, able, late);
        if (enabled == 0) {
            const bool all_ended = std::all_of(threads_.begin(), threads_.end(),
                                               [](const auto& each) { return each->ended; });
            if (all_ended) return End::complete;
            fail("deadlock");
            return End::failed;
        }
        const Process process = explorer.choose(enabled, able, late, pending_);
        if (process == Explorer::nobody) return End::redundant;
        ++steps_;
        if (process < threads_.size()) {
            Thread& thread = *threads_[process];
            tell(process, thread.what, thread.where);
            thread.waited = thread.buffer.size();
            go_on(process);
        } else {
            flush(process - threads_.size(), explorer.last_event());
        }
        if (!failure_.empty()) return End::failed;
        if (steps_ > 20000) {
            fail("no end");
            return End::failed;
        }
    }
}

bool Machine::is_met(Thread& thread) const noexcept {
    const bool drained = thread.first == thread.buffer.size();
    switch (thread.needs) {
        case Needs::nothing:
            return true;
        case Needs::own_buffer:
            return drained;
        case Needs::lock:
            return drained && (mutation == Mutation::no_lock ||
                               objects_[thread.awaited_object].holder == nobody);
        case Needs::pin:
            return objects_[thread.awaited_object].holder == nobody;
        case Needs::change:
            return objects_[thread.awaited_object].changes.size() > thread.awaited_changes;
        case Needs::barrier:
            for (std::size_t other = 0; other < threads_.size(); ++other) {
                if (threads_[other]->flushed.size() < thread.awaited_pushes[other]) return false;
            }
            return true;
    }
    return false;
}

void Machine::find_enabled(Mask& enabled, Mask& able, Mask& late) {
    const std::size_t number = threads_.size();
    for (std::size_t index = 0; index < number; ++index) {
        Thread& thread = *threads_[index];
        if (thread.first < thread.buffer.size()) {
            const Stored& oldest = thread.buffer[thread.first];
            Step& step = pending_[number + index];
            step.clear();
            step.access(number_of(oldest.address), AccessKind::write);
            step.follows(oldest.event);
            enabled |= bit(number + index);
        }
        if (thread.ended) continue;
        if (thread.first < thread.buffer.size() && thread.waited < thread.buffer.size()) {
            late |= bit(index);
        }
        const bool met = is_met(thread);
        const bool only_flush =
            thread.needs == Needs::own_buffer ||
            (thread.needs == Needs::lock && objects_[thread.awaited_object].holder == nobody);
        if (met || only_flush) able |= bit(index);
        if (!met) continue;
        add_causes(thread);
        pending_[index] = thread.pending;
        enabled |= bit(index);
    }
}

/// The steps that made it possible that `thread` goes on.
void Machine::add_causes(Thread& thread) {
    thread.pending.after_number = 0;
    switch (thread.needs) {
        case Needs::nothing:
        case Needs::pin:
            break;
        case Needs::own_buffer:
        case Needs::lock:
            if (!thread.flushed.empty()) thread.pending.follows(thread.flushed.back());
            break;
        case Needs::change:
            thread.pending.follows(objects_[thread.awaited_object].changes[thread.awaited_changes]);
            break;
        case Needs::barrier:
            for (std::size_t other = 0; other < threads_.size(); ++other) {
                const std::size_t pushes = thread.awaited_pushes[other];
                if (pushes > 0) thread.pending.follows(threads_[other]->flushed[pushes - 1]);
            }
            break;
    }
}

void Machine::flush(std::size_t thread, Event event) {
    Thread& owner = *threads_[thread];
    const Stored& stored = owner.buffer[owner.first++];
    std::memcpy(stored.address, &stored.bits, stored.size);
    Object& object = objects_[number_of(stored.address)];
    object.released = stored.release ? stored.clock : Clock{};
    object.changes.push_back(event);
    owner.flushed.push_back(event);
    tell(thread, "(its store is seen)", stored.address);
}

void Machine::tell(std::size_t thread, const char* what, const void* where) const {
    if (trace == nullptr) return;
    const std::uintptr_t address = slab_allocator::address_of(where);
    std::fprintf(trace, "  thread %zu  %-22s %+td\n", thread, what,
                 static_cast<std::ptrdiff_t>(address - trace_origin));
}

// ---- The threads' side --------------------------------------------------------------------------

Step& Machine::begin_step() noexcept {
    Step& step = me().pending;
    step.clear();
    return step;
}

void Machine::step(Needs needs, const char* what, const void* where) {
    Thread& thread = me();
    thread.needs = needs;
    thread.what = what;
    thread.where = where;
    thread.fiber.pause();
}

void Machine::fail(const char* what) {
    if (failure_.empty()) {
        if (in_thread()) failure_ = "thread " + std::to_string(running_) + ": ";
        failure_ += what;
    }
    while (in_thread())  // and nothing on this stack is ever destroyed
        me().fiber.pause();
}

/// The compiler moves nothing over what comes next.
void Machine::empty_hand() {
    Thread& thread = me();
    while (!thread.hand.empty()) {
        begin_step().access(number_of_buffer(running_), AccessKind::write);
        step(Needs::nothing, "store", thread.hand.front().address);
        Stored stored = thread.hand.front();
        thread.hand.erase(thread.hand.begin());
        stored.event = explorer_->last_event();
        thread.buffer.push_back(stored);
        ++thread.pushed;
    }
}

void Machine::compiler_fence() {
    if (!in_thread() || mutation == Mutation::no_compiler_fence) return;
    empty_hand();
}

void Machine::load_bits(const void* address, std::size_t size, bool acquire, std::uint64_t& bits) {
    const std::uint32_t number = number_of(address);
    begin_step().access(number, AccessKind::read);
    step(Needs::nothing, acquire ? "load, acquire" : "load", address);
    Thread& thread = me();
    if (!thread.tried || thread.awaited_object != number) {
        thread.awaited_object = number;
        thread.awaited_changes = objects_[number].changes.size();
    }
    thread.tried = false;
    const auto of_address = [&](const Stored& each) { return each.address == address; };
    const auto in_hand = std::find_if(thread.hand.rbegin(), thread.hand.rend(), of_address);
    if (in_hand != thread.hand.rend()) {
        bits = in_hand->bits;
        return;
    }
    const auto end = thread.buffer.rend() - static_cast<std::ptrdiff_t>(thread.first);
    const auto in_buffer = std::find_if(thread.buffer.rbegin(), end, of_address);
    if (in_buffer != end) {
        bits = in_buffer->bits;
        return;
    }
    std::memcpy(&bits, address, size);
    if (acquire && mutation != Mutation::acquire_is_relaxed) {
        join(thread.clock, objects_[number].released);
    }
}

void Machine::store_bits(void* address, std::size_t size, std::uint64_t bits, bool release) {
    Thread& thread = me();
    const bool releases = release && mutation != Mutation::release_is_relaxed;
    thread.hand.push_back({address, size, bits, releases, thread.clock, 0});
    if (release) {
        ++thread.clock[running_];
        empty_hand();
    }
}

void Machine::begin_modify(const void* address) {
    empty_hand();
    begin_step().access(number_of(address), AccessKind::write);
    step(Needs::own_buffer, "read-modify-write", address);
}

void Machine::end_modify(const void* address, bool acquire, bool release, bool changed) {
    Object& object = objects_[number_of(address)];
    Thread& thread = me();
    if (acquire && mutation != Mutation::acquire_is_relaxed) join(thread.clock, object.released);
    if (release) {
        join(object.released, thread.clock);
        ++thread.clock[running_];
    }
    if (changed) object.changes.push_back(explorer_->last_event());
    thread.tried = !changed;
    thread.awaited_object = number_of(address);
    thread.awaited_changes = object.changes.size();
}

void Machine::barrier_on_all() {
    if (!in_thread() || mutation == Mutation::no_barrier) return;
    empty_hand();
    Step& begins = begin_step();
    for (std::size_t other = 0; other < threads_.size(); ++other)
        begins.access(number_of_buffer(other), AccessKind::write);
    step(Needs::own_buffer, "barrier begins", nullptr);
    Thread& thread = me();
    for (std::size_t other = 0; other < threads_.size(); ++other) {
        thread.awaited_pushes[other] = threads_[other]->pushed;
        thread.clocks_at_barrier[other] = threads_[other]->clock[other]++;
    }
    begin_step();
    step(Needs::barrier, "barrier ends", nullptr);
    join(thread.clock, thread.clocks_at_barrier);
}

void Machine::wait_for_change() {
    if (!in_thread()) return fail("waits for what nobody will change");
    empty_hand();
    begin_step();
    step(Needs::change, "waits", nullptr);
}

void Machine::lock(const void* lock, bool is_pin) {
    if (!in_thread()) {
        if (!is_pin) ++locks_number_;
        return;
    }
    empty_hand();
    const std::uint32_t number = number_of(lock);
    begin_step().access(number, AccessKind::acquire);
    me().awaited_object = number;
    step(is_pin ? Needs::pin : Needs::lock, is_pin ? "pin" : "lock", lock);
    Object& object = objects_[number];
    if (mutation == Mutation::no_lock && !is_pin) return;
    object.holder = running_;
    join(me().clock, object.released);
}

void Machine::unlock(const void* lock) {
    if (!in_thread()) return;
    empty_hand();
    const std::uint32_t number = number_of(lock);
    if (objects_[number].holder != running_) {
        if (mutation == Mutation::no_lock) return;
        return fail("unlocks what it did not lock");
    }
    begin_step().access(number, AccessKind::release);
    step(Needs::own_buffer, "unlock", lock);
    Object& object = objects_[number];
    object.holder = nobody;
    object.released = me().clock;
    ++me().clock[running_];
}

void Machine::look_at(const void* memory) {
    if (!in_thread()) return;
    begin_step().access(number_of(memory), AccessKind::read);
    step(Needs::nothing, "looks at an object", memory);
}

void Machine::change(const void* memory) {
    if (!in_thread()) return;
    begin_step().access(number_of(memory), AccessKind::write);
    step(Needs::nothing, "changes an object", memory);
}

void Machine::touch(const void* memory) {
    if (!in_thread()) return;
    // A step, since a barrier of another thread may come between this and the last one.
    begin_step().access(number_of_buffer(running_), AccessKind::read);
    step(Needs::nothing, "touches", memory);
    Object& object = objects_[number_of(memory)];
    Thread& thread = me();
    if (object.toucher != nobody && object.toucher != running_ &&
        thread.clock[object.toucher] < object.touched_at) {
        return fail("touches what another touched, and cannot know that it is done");
    }
    object.toucher = running_;
    object.touched_at = thread.clock[running_];
}

}  // namespace interleavings
