#pragma once

// defects.hpp -- catches what the library reports, so that a test goes on after it.

#include <cstddef>
#include <vector>

#include <slab_allocator/core/defect.hpp>

namespace support {

/// While it lives, defects are recorded and refused instead of trapping.
class DefectCatcher {
public:
    DefectCatcher() : previous_(slab_allocator::set_defect_handler(&record)), outer_(current()) {
        current() = this;
    }
    DefectCatcher(const DefectCatcher&) = delete;
    DefectCatcher& operator=(const DefectCatcher&) = delete;
    ~DefectCatcher() {
        current() = outer_;
        slab_allocator::set_defect_handler(previous_);
    }

    [[nodiscard]] std::size_t number() const noexcept { return reports_.size(); }
    [[nodiscard]] const std::vector<slab_allocator::DefectReport>& reports() const noexcept {
        return reports_;
    }

    /// The only report; a Defect::None report where there is none, or more than one.
    [[nodiscard]] slab_allocator::DefectReport only() const {
        return reports_.size() == 1 ? reports_.front() : slab_allocator::DefectReport{};
    }

private:
    [[nodiscard]] static DefectCatcher*& current() noexcept {
        static DefectCatcher* catcher = nullptr;
        return catcher;
    }
    static void record(const slab_allocator::DefectReport& report) noexcept {
        current()->reports_.push_back(report);
    }

    slab_allocator::DefectHandler previous_;
    DefectCatcher* outer_;
    std::vector<slab_allocator::DefectReport> reports_;
};

/// What `call` reports, all of it.
template <typename Call>
[[nodiscard]] slab_allocator::DefectReport report_of(Call&& call) {
    DefectCatcher catcher;
    call();
    return catcher.only();
}

/// Which defect `call` reports; None where it reports none, or more than one.
template <typename Call>
[[nodiscard]] slab_allocator::Defect defect_of(Call&& call) {
    return report_of(call).defect;
}

}  // namespace support
