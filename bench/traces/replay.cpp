// replay.cpp -- what do the calls of a real program cost with this malloc?
//
//      replay convert recorded converted      addresses become numbers, foreign frees are left out
//      LD_PRELOAD=... replay run converted     prints: nanoseconds a call, bytes at the peak and
//                                              after everything was freed, beyond those before
//
// Every block is written to: its first 64 bytes, and a byte of each page. One thread.

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "call.hpp"

namespace {

std::span<const Call> map(const char* path) {
    const int file = ::open(path, O_RDONLY);
    struct stat status{};
    if (file < 0 || ::fstat(file, &status) != 0) std::exit(2);
    const auto bytes = static_cast<std::size_t>(status.st_size);
    void* const memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (memory == MAP_FAILED) std::exit(2);
    return {static_cast<const Call*>(memory), bytes / sizeof(Call)};
}

/// Numbers are used again, as addresses are: the table of blocks stays small.
int convert(const char* from, const char* to) {
    std::unordered_map<std::uint64_t, std::uint64_t> numbers;
    std::vector<std::uint64_t> unused;
    std::uint64_t next = 0;
    std::FILE* const file = std::fopen(to, "wb");
    if (file == nullptr) return 2;
    const auto take = [&](std::uint64_t address) {
        std::uint64_t number = next;
        if (unused.empty()) {
            ++next;
        } else {
            number = unused.back();
            unused.pop_back();
        }
        return numbers[address] = number;
    };
    for (Call call : map(from)) {
        if (call.operation == Operation::free) {
            const auto known = numbers.find(call.block);
            if (known == numbers.end()) continue;
            call.block = known->second;
            unused.push_back(known->second);
            numbers.erase(known);
        } else if (call.operation == Operation::realloc) {
            const auto known = numbers.find(call.before);
            if (known == numbers.end()) {
                call.operation = Operation::alloc;
                call.block = take(call.block);
            } else {
                const std::uint64_t number = known->second;
                numbers.erase(known);
                numbers[call.block] = number;
                call.block = call.before = number;
            }
        } else {
            if (numbers.contains(call.block)) continue;
            call.block = take(call.block);
        }
        std::fwrite(&call, sizeof(call), 1, file);
    }
    std::fclose(file);
    return 0;
}

void touch(void* block, std::size_t size) {
    auto* const bytes = static_cast<volatile unsigned char*>(block);
    std::memset(block, 1, size < 64 ? size : 64);
    for (std::size_t offset = 4096; offset < size; offset += 4096)
        bytes[offset] = 1;
}

/// Bytes by a line of the system's account of this process. Not getrusage: its peak is at least
/// what the process had that started this one.
long status(const char* line) {
    char text[4096] = {};
    const int file = ::open("/proc/self/status", O_RDONLY);
    if (::read(file, text, sizeof(text) - 1) < 0) return 0;
    ::close(file);
    const char* const found = std::strstr(text, line);
    return found == nullptr ? 0 : std::atol(found + std::strlen(line)) * 1024;
}
long resident() { return status("\nVmRSS:"); }
long peak() { return status("\nVmHWM:"); }

std::int64_t now() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

int run(const char* path) {
    const std::span<const Call> calls = map(path);
    std::uint64_t blocks_number = 0;
    for (const Call& call : calls)
        blocks_number = std::max(blocks_number, call.block + 1);
    auto** const blocks =
        static_cast<void**>(::mmap(nullptr, blocks_number * sizeof(void*), PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    const long before = resident();
    const std::int64_t start = now();
    for (const Call& call : calls) {
        void*& block = blocks[call.block];
        switch (call.operation) {
            case Operation::alloc:
                block = std::malloc(call.size);
                touch(block, call.size);
                break;
            case Operation::zeroed:
                block = std::calloc(1, call.size);
                touch(block, call.size);
                break;
            case Operation::realloc:
                block = std::realloc(block, call.size == 0 ? 1 : call.size);
                touch(block, call.size);
                break;
            case Operation::free:
                std::free(block);
                block = nullptr;
                break;
        }
    }
    for (std::uint64_t number = 0; number < blocks_number; ++number)
        std::free(blocks[number]);
    const std::int64_t end = now();
    const long after = resident();
    std::printf("%zu %.3f %ld %ld\n", calls.size(),
                static_cast<double>(end - start) / static_cast<double>(calls.size()),
                peak() - before, after - before);
    return 0;
}

}  // namespace

int main(int number, char** words) {
    const std::string_view what = number > 1 ? words[1] : "";
    if (what == "convert" && number == 4) return convert(words[2], words[3]);
    if (what == "run" && number == 3) return run(words[2]);
    std::fprintf(stderr, "replay convert <recorded> <converted> | replay run <converted>\n");
    return 2;
}
