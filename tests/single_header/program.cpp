// program.cpp -- a program that has the single header and nothing else of the library: objects from
// one source are freed by the other, and a wrong call in it reaches the handler.

#include "numbers.hpp"

namespace {

int defects_number = 0;

void count_defect(const slab_allocator::DefectReport& report) noexcept {
    if (report.defect == slab_allocator::Defect::DoubleFree) ++defects_number;
}

}  // namespace

int main() {
    constexpr std::size_t most = 5000;
    Numbers numbers;
    std::size_t sum = 0;
    Number* first = count(numbers, most);
    if (first == nullptr || numbers.statistics().allocated_objects_number != most) return 1;
    if (numbers.validate().defect != slab_allocator::Defect::None) return 1;
    while (first != nullptr) {
        Number* const next = first->next;
        sum += first->value;
        numbers.destroy(first);
        first = next;
    }
    if (sum != most * (most + 1) / 2) return 2;

    slab_allocator::set_defect_handler(count_defect);
    Number* const number = numbers.create(1, nullptr);
    numbers.free(number);
    numbers.free(number);
    if (defects_number != 1) return 3;

    numbers.shrink_to_fit();
    return numbers.statistics().bytes_held == 0 ? 0 : 4;
}
