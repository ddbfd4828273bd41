// threads.cpp -- one cache for several threads: what one allocates, another frees.

#include <cstddef>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

namespace {

using namespace slab_allocator;

struct Message {
    std::size_t number;
    char text[56];
};

// [cache]
using Backend = LockedBackend<AlignedAllocBackend, std::mutex>;  // called by several threads
constinit MagazineCache<Message, Backend, ThreadCpus<>, std::mutex> messages;
// [/cache]

std::mutex mutex;
std::vector<Message*> queue;
constexpr std::size_t messages_number = 100'000;

void send() {
    for (std::size_t number = 1; number <= messages_number; ++number) {
        Message* const message = messages.create(number);
        const std::lock_guard guard(mutex);
        queue.push_back(message);
    }
}

std::size_t receive() {
    std::size_t sum = 0;
    for (std::size_t received = 0; received < messages_number;) {
        std::vector<Message*> arrived;
        {
            const std::lock_guard guard(mutex);
            arrived.swap(queue);
        }
        for (Message* const message : arrived) {
            if (message != nullptr) sum += message->number;
            messages.destroy(message);
        }
        received += arrived.size();
    }
    return sum;
}

}  // namespace

int main() {
    std::thread sender(send);
    const std::size_t sum = receive();
    sender.join();
    const bool right = sum == messages_number * (messages_number + 1) / 2;
    messages.shrink_to_fit();  // what lies in magazines, too, whoever put it there
    const std::size_t left = messages.statistics().slabs_number();
    std::printf("%zu messages %s, %zu slabs left\n", messages_number,
                right ? "arrived" : "did not arrive", left);
    return right && left == 0 ? 0 : 1;
}
