// shrinker.cpp -- the list of shrinkers, and who may ask them.

#include "shrinker.hpp"

#include <cstddef>

#include "cpu.hpp"
#include "lock.hpp"
#include "machine.hpp"

namespace kernel {

namespace {

constinit SpinLock shrinkers_lock;  // of those who add; the list only grows, so readers need none
constinit Shrinker* shrinkers = nullptr;

/// Is this CPU in a shrinker? This kernel does not take a CPU away from what runs on it.
struct alignas(64) Asking {
    bool now = false;
};
constinit Asking asking[most_cpus] = {};

}  // namespace

void add_shrinker(Shrinker& shrinker) noexcept {
    const Guard guard(shrinkers_lock);
    shrinker.next = shrinkers;
    __atomic_store_n(&shrinkers, &shrinker, __ATOMIC_RELEASE);
}

std::size_t relieve(Pressure pressure) noexcept {
    if (pressure == Pressure::NoMemory && !interrupts_are_enabled()) return 0;
    bool& inside = asking[this_cpu()].now;
    if (inside) return 0;
    inside = true;
    std::size_t given = 0;
    for (const Shrinker* shrinker = __atomic_load_n(&shrinkers, __ATOMIC_ACQUIRE);
         shrinker != nullptr; shrinker = shrinker->next) {
        given += shrinker->give_back(pressure);
    }
    inside = false;
    return given;
}

}  // namespace kernel
