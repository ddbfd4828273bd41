// report.cpp -- every report, as a kernel writes them: over a serial line, without a buffer.

#include <cstddef>
#include <span>

#include <slab_allocator/kernel.hpp>

namespace {

using namespace slab_allocator;

struct Task {
    unsigned char state[72];
};

constexpr std::size_t region_size = std::size_t{64} * 4096;

constinit Cache<Task, ArenaBackend<region_size>, CacheConfig{.never_destroyed = true}> tasks;

struct Serial {
    void write(const char* text, std::size_t size) noexcept {
        for (std::size_t index = 0; index < size; ++index)
            __asm__ volatile("outb %b0, %w1" : : "a"(text[index]), "Nd"(0x3f8));
    }
};

char log_of_last_minute[1024];

}  // namespace

extern "C" int use_reports() {
    Serial serial;
    Task* const task = tasks.alloc();
    const CacheSummary summaries[] = {summary_of("task", tasks)};
    report(summaries, serial);
    report({summary_of("task", tasks)}, serial);
    report(tasks, serial, "task");
    report_json(summaries, ArraySink(log_of_last_minute));
    report_slabs(tasks, serial);
    const bool found = report_slots(tasks, task, serial);
    tasks.free(task);
    return found ? 0 : 1;
}
