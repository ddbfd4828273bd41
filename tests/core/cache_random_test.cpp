#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <support/effort.hpp>
#include <support/scenes.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

constexpr std::size_t slower = address_sanitizer || !optimised ? 20 : 1;

/// How many operations each row gets; SLAB_ALLOCATOR_OPERATIONS in the environment says otherwise.
[[nodiscard]] std::size_t operations(std::size_t number) {
    const char* const text = std::getenv("SLAB_ALLOCATOR_OPERATIONS");
    return text == nullptr ? number / slower : std::strtoull(text, nullptr, 0);
}

/// Every member of a cache, in an order that chance chooses, beside a model of it.
class Walk {
public:
    Walk(const Configuration& configuration, TestMemory& memory, AnyCache& cache,
         std::uint64_t start)
        : configuration_(configuration),
          memory_(memory),
          cache_(cache),
          random_(start),
          model_(configuration, memory),
          most_(std::clamp<std::size_t>(6 * configuration.objects_per_slab(), 60, 9000)) {}

    /// Runs `number` operations; an object of a bulk counts as one. Returns: whether all was right.
    [[nodiscard]] bool run(std::size_t number) {
        while (done_ < number && right_) {
            if (left_in_phase_ == 0) next_phase();
            --left_in_phase_;
            step();
        }
        check_all();
        return right_;
    }

    [[nodiscard]] bool end() {
        while (!model_.empty())
            free_one();
        static_cast<void>(cache_.shrink(0));
        cache_.free(cache_.alloc());
        right_ = right_ && model_agrees() &&
                 cache_.statistics().free_slabs_number <=
                     std::max<std::size_t>(configuration_.config.retained_free_slabs, 1);
        return right_;
    }

    [[nodiscard]] std::size_t done() const noexcept { return done_; }
    [[nodiscard]] const std::array<std::size_t, 14>& counts() const noexcept { return counts_; }

private:
    void next_phase() {
        // Towards a new number of objects, in more or less of a zigzag.
        target_ = random_.one_in(8) ? 0 : random_.below(most_);
        zigzag_ = random_.below(45);
        left_in_phase_ = 1 + random_.below(4 * most_);
    }

    void step() {
        const std::size_t chance = random_.below(65536);
        if (chance < 64000) {
            const std::size_t growing = model_.size() < target_ ? 95 - zigzag_ : 5 + zigzag_;
            if (random_.below(100) < growing) {
                alloc_one();
            } else {
                free_one();
            }
        } else if (chance < 64500) {
            hot_pairs();
        } else if (chance < 64800) {
            alloc_bulk();
        } else if (chance < 65100) {
            free_bulk();
        } else if (chance < 65300) {
            owns();
        } else if (chance < 65400) {
            count(4);
            const std::size_t can_be = cache_.reserve(random_.below(most_));
            expect(can_be >=
                   memory_.live_slabs() * configuration_.objects_per_slab() - model_.size());
        } else if (chance < 65450) {
            count(5);
            const std::size_t before = memory_.live_slabs();
            const std::size_t most = random_.below(4);
            const std::size_t given = cache_.shrink(most);
            expect(given <= most && memory_.live_slabs() == before - given);
        } else if (chance < 65480) {
            count(6);
            static_cast<void>(cache_.shrink_to_fit());
            expect(cache_.statistics().free_slabs_number == 0);
        } else if (chance < 65500) {
            check_all();
        } else if (chance < 65510) {
            for_each();
        } else if (chance < 65515) {
            free_in_for_each();
        } else {
            count(7);
            cache_.free(nullptr);
            expect(!cache_.owns(nullptr));
        }
    }

    void alloc_one() {
        const bool create = random_.one_in(8);
        count(create ? 0 : 1);
        expect(model_.add(create ? cache_.create() : cache_.alloc()));
    }
    void free_one() {
        if (model_.empty()) return;
        const bool newest = random_.one_in(4);
        std::byte* const object =
            model_.remove(newest ? model_.size() - 1 : random_.below(model_.size()));
        expect(object != nullptr);
        if (object == nullptr) return;
        if (random_.one_in(8)) {
            count(2);
            cache_.destroy(object);
        } else {
            count(3);
            cache_.free(object);
        }
    }
    void hot_pairs() {
        for (std::size_t pair = 1 + random_.below(20); pair > 0; --pair) {
            count(8);
            std::byte* const object = cache_.alloc();
            expect(object != nullptr && !memory_.slab_of(object) == false);
            cache_.free(object);
        }
    }
    void alloc_bulk() {
        std::vector<std::byte*> objects(random_.below(std::min<std::size_t>(most_, 300)));
        count(9, objects.size());
        expect(cache_.alloc_bulk(objects));
        for (std::byte* const object : objects)
            expect(model_.add(object));
    }
    void free_bulk() {
        std::vector<std::byte*> objects;
        std::size_t number = std::min(random_.below(300), model_.size());
        count(10, number);
        const bool neighbours = random_.one_in(2);
        for (; number > 0; --number) {
            objects.push_back(
                model_.remove(neighbours ? model_.size() - 1 : random_.below(model_.size())));
            expect(objects.back() != nullptr);
            if (random_.one_in(20)) objects.push_back(nullptr);
        }
        cache_.free_bulk(objects);
    }
    void owns() {
        count(11);
        if (!model_.empty()) expect(cache_.owns(model_.at(random_.below(model_.size()))));
        std::byte* const object = cache_.alloc();
        expect(cache_.owns(object));
        cache_.free(object);
        expect(!cache_.owns(object));
    }
    void for_each() {
        count(12);
        std::vector<std::byte*> visited;
        cache_.for_each([&visited](std::byte* object) { visited.push_back(object); });
        std::vector<std::byte*> live = model_.objects();
        std::sort(visited.begin(), visited.end());
        std::sort(live.begin(), live.end());
        expect(visited == live);
    }
    void free_in_for_each() {
        count(13);
        expect(model_.all_intact());  // before: the slabs of what is freed may be given back
        std::vector<std::byte*> freed;
        cache_.for_each([&](std::byte* object) {
            if (random_.one_in(3)) {
                freed.push_back(object);
                cache_.free(object);
            }
        });
        std::sort(freed.begin(), freed.end());
        for (std::size_t rank = model_.size(); rank-- > 0;) {
            if (std::binary_search(freed.begin(), freed.end(), model_.at(rank))) {
                static_cast<void>(model_.remove(rank));
            }
        }
    }

    void check_all() {
        expect(cache_.validate().defect == Defect::None);
        expect(model_agrees());
        expect(model_.all_intact());
        expect(memory_.complaint().empty());
    }
    [[nodiscard]] bool model_agrees() { return model_.agrees(cache_); }

    void expect(bool holds) { right_ = right_ && holds; }
    void count(std::size_t operation, std::size_t number = 1) {
        done_ += number;
        counts_[operation] += number;
    }

    const Configuration& configuration_;
    TestMemory& memory_;
    AnyCache& cache_;
    Random random_;
    Model model_;
    std::size_t most_;
    std::size_t target_ = 0;
    std::size_t zigzag_ = 0;
    std::size_t left_in_phase_ = 0;
    std::size_t done_ = 0;
    std::array<std::size_t, 14> counts_{};
    bool right_ = true;
};

/// What makes a row: who finds the SlabInfo, in slabs of one page or of several.
[[nodiscard]] std::string row_of(const Configuration& configuration) {
    const Layout& layout = configuration.layout;
    const char* const rows[] = {"Small by mask", "Small by map", "Large by map",
                                "Large by page frames"};
    std::string row = rows[static_cast<std::size_t>(layout.row)];
    row += layout.pages_per_slab() == 1 ? ", one page" : ", several pages";
    if (layout.row == Row::LargeByMap && layout.slab_alignment < layout.slab_size) {
        row += ", unaligned slabs";
    }
    return row;
}

void walk_all_rows(bool checked, std::size_t number) {
    std::map<std::string, std::vector<const Configuration*>> rows;
    for (const Configuration& configuration : every_configuration()) {
        if (configuration.checked() == checked)
            rows[row_of(configuration)].push_back(&configuration);
    }
    REQUIRE(rows.size() == 7);
    for (const auto& [row, configurations] : rows) {
        std::size_t done = 0;
        std::array<std::size_t, 14> counts{};
        for (const Configuration* const configuration : configurations) {
            CAPTURE(row, configuration->name, seed());
            DefectCatcher catcher;
            TestMemory memory;
            memory.patterns = false;
            const auto cache = configuration->make(memory);
            Walk walk(*configuration, memory, *cache, seed() + done);
            const bool right = walk.run(number / configurations.size() + 1);
            REQUIRE(right);
            REQUIRE(walk.end());
            REQUIRE(catcher.number() == 0);
            done += walk.done();
            for (std::size_t operation = 0; operation < counts.size(); ++operation) {
                counts[operation] += walk.counts()[operation];
            }
        }
        CAPTURE(row);
        REQUIRE(done >= number);
        for (const std::size_t times : counts)
            REQUIRE(times > 0);
    }
}

}  // namespace

TEST_CASE("random operations leave every cache what the model says", "[cache][random][long]") {
    walk_all_rows(true, operations(10'000'000));
}

TEST_CASE("random operations do, where nothing is checked", "[cache][random]") {
    walk_all_rows(false, operations(1'000'000));
}

TEST_CASE("random operations leave the backend's memory as it must be", "[cache][random]") {
    in_every_configuration(
        [](const Configuration& configuration, TestMemory& memory, AnyCache& cache) {
            Walk walk(configuration, memory, cache, seed());
            const bool right = walk.run(operations(20'000));
            REQUIRE(right);
            REQUIRE(walk.end());
        });
}
