// What lies at the cache's hand: how much is taken there at once, what goes back from there, and
// when [C5]; and that what went past it is known to have gone.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/defect.hpp>

#include <support/catch.hpp>
#include <support/configurations.hpp>
#include <support/defects.hpp>
#include <support/random.hpp>
#include <support/test_memory.hpp>

using namespace support;
using slab_allocator::Defect;

namespace {

// 512 objects in a slab, eight words: 128 at hand, filled to 32 at least.
constexpr std::size_t per_slab = 512;
constexpr std::size_t capacity = 128;
constexpr std::size_t word = 64;

template <Checks checks>
using SizedObject = Object<checks == Checks::hardened ? 8 : 16>;

/// A cache with some full slabs, all of whose objects are live, and nothing at hand.
template <Checks checks>
class Scene {
public:
    using T = SizedObject<checks>;
    using Cache = slab_allocator::Cache<T, InfosBackend, large_pages<checks>>;
    static_assert(Cache::objects_per_slab() == per_slab);

    explicit Scene(std::size_t slabs) : live_(slabs * per_slab) {
        memory_.patterns = false;
        InfosBackend backend;
        backend.memory = &memory_;
        cache_.emplace(backend);
        REQUIRE(cache_->alloc_bulk(live_));
        std::sort(live_.begin(), live_.end());
    }
    Scene(const Scene&) = delete;
    Scene& operator=(const Scene&) = delete;
    ~Scene() {  // a test frees through here, so live_ is right
        std::erase(live_, nullptr);
        cache_->free_bulk(live_);
    }

    [[nodiscard]] auto& cache() { return *cache_; }

    /// Objects of one slab, by rank. The slabs are numbered as their addresses are.
    [[nodiscard]] T* at(std::size_t slab, std::size_t rank) const {
        return live_[slab * per_slab + rank];
    }
    /// Frees to the hand, or wherever the cache thinks best. Returns: it.
    T* free(std::size_t slab, std::size_t rank) {
        T* const object = gone(slab, rank);
        cache_->free(object);
        return object;
    }
    /// Frees straight to the slab. Returns: them.
    std::vector<T*> free_to_slab(std::size_t slab, std::size_t first, std::size_t end,
                                 std::size_t step = 1) {
        std::vector<T*> objects;
        for (std::size_t rank = first; rank < end; rank += step)
            objects.push_back(gone(slab, rank));
        cache_->free_bulk(objects);
        return objects;
    }
    /// Frees one that chance picks. The ranks are lost.
    T* free_one_of(Random& random) {
        std::swap(live_[random.below(live_.size())], live_.back());
        T* const object = live_.back();
        live_.pop_back();
        cache_->free(object);
        return object;
    }
    void take(T* object) { live_.push_back(object); }
    [[nodiscard]] std::size_t live_number() const { return live_.size(); }

    /// How many of these are out of their slabs.
    [[nodiscard]] std::size_t out(std::span<T* const> objects) {
        return static_cast<std::size_t>(std::count_if(
            objects.begin(), objects.end(), [&](T* object) { return cache_->is_out(object); }));
    }

private:
    T* gone(std::size_t slab, std::size_t rank) {
        return std::exchange(live_[slab * per_slab + rank], nullptr);
    }

    TestMemory memory_;
    std::optional<Cache> cache_;
    std::vector<T*> live_;
};

}  // namespace

// ---- To the hand --------------------------------------------------------------------------------

TEMPLATE_TEST_CASE_SIG("alloc fills the hand with whole words until a quarter is full",
                       "[cache][hand]", ((Checks checks), checks), Checks::none, Checks::misuse,
                       Checks::hardened) {
    const auto bits =
        GENERATE(as<std::size_t>{}, 3, 4, 5, 64);  // free in each word of the first slab
    CAPTURE(bits);
    Scene<checks> scene(2);
    std::vector<SizedObject<checks>*> first;
    const std::vector<SizedObject<checks>*> second = scene.free_to_slab(1, 0, per_slab, word / 8);
    for (std::size_t start = 0; start < per_slab / (bits == 64 ? 2 : 1); start += word) {
        for (SizedObject<checks>* const object : scene.free_to_slab(0, start, start + bits))
            first.push_back(object);
    }
    scene.take(scene.cache().alloc());
    switch (bits) {
        case 3:  // all 24 of the fuller slab, and a word of eight of the other one
            REQUIRE(scene.out(first) == 24);
            REQUIRE(scene.out(second) == 8);
            break;
        case 4:  // 32 are a quarter
            REQUIRE(scene.out(first) == 32);
            REQUIRE(scene.out(second) == 0);
            break;
        case 5:  // seven words
            REQUIRE(scene.out(first) == 35);
            REQUIRE(scene.out(second) == 0);
            break;
        default:  // the other slab is fuller: four words of eight
            REQUIRE(scene.out(first) == 0);
            REQUIRE(scene.out(second) == 32);
    }
}

// ---- From the hand ------------------------------------------------------------------------------

TEMPLATE_TEST_CASE_SIG("where the hand is full, the older half of it stays, and the new object",
                       "[cache][hand]", ((Checks checks), checks), Checks::none, Checks::misuse) {
    Scene<checks> scene(4);
    std::vector<SizedObject<checks>*> freed;
    for (std::size_t rank = 0; rank < capacity; ++rank)
        freed.push_back(scene.free(rank % 2, rank));
    REQUIRE(scene.out(freed) == capacity);
    SizedObject<checks>* const last = scene.free(3, 300);
    REQUIRE(scene.out(std::span(freed).first(capacity / 2)) == capacity / 2);
    REQUIRE(scene.out(std::span(freed).last(capacity / 2)) == 0);
    REQUIRE(scene.cache().is_out(last));
}

TEST_CASE("a slab that comes to drain takes all along that lies at the hand", "[cache][hand]") {
    // Four slabs have room; another is one object away from being nearly free.
    const bool drains = GENERATE(true, false);
    CAPTURE(drains);
    Scene<Checks::misuse> scene(8);
    for (std::size_t slab = 0; slab < 4; ++slab)
        scene.free_to_slab(slab, 0, 1);
    scene.free_to_slab(4, 0, per_slab * 7 / 8 - (drains ? 1 : 2));
    std::vector<SizedObject<Checks::misuse>*> freed;
    for (std::size_t rank = 0; rank + 1 < capacity; ++rank)
        freed.push_back(scene.free(6, rank));
    freed.push_back(scene.free(4, per_slab - 1));  // the last one goes first
    REQUIRE(scene.out(freed) == capacity);
    SizedObject<Checks::misuse>* const last = scene.free(5, 300);
    REQUIRE(scene.out(freed) == (drains ? 0 : capacity / 2));
    REQUIRE(scene.cache().is_out(last));
    // From now on, what is freed of it goes there.
    SizedObject<Checks::misuse>* const next = scene.free(4, per_slab - 2);
    REQUIRE(scene.cache().is_out(next) != drains);
}

TEST_CASE(
    "where half of all slots are free, half free slabs drain, and empty the hand when they "
    "come to be emptier",
    "[cache][hand]") {
    Scene<Checks::misuse> scene(5);
    for (std::size_t slab = 0; slab < 4; ++slab)
        scene.free_to_slab(slab, 0, per_slab * 6 / 8 - 1);  // not emptier than 5/8 to 6/8
    std::vector<SizedObject<Checks::misuse>*> freed;
    for (std::size_t rank = 0; rank < 10; ++rank)
        freed.push_back(scene.free(4, rank));
    REQUIRE(scene.out(freed) == freed.size());
    SizedObject<Checks::misuse>* const object = scene.free(1, per_slab - 1);  // it moves
    REQUIRE_FALSE(scene.cache().is_out(object));
    REQUIRE(scene.out(freed) == 0);
    freed.clear();
    for (std::size_t rank = 10; rank < 20; ++rank)
        freed.push_back(scene.free(4, rank));
    SizedObject<Checks::misuse>* const other = scene.free(1, per_slab - 2);  // it does not
    REQUIRE_FALSE(scene.cache().is_out(other));
    REQUIRE(scene.out(freed) == freed.size());
}

TEST_CASE("what is freed is delayed as long as there is room, wherever in the array",
          "[cache][hand]") {
    Scene<Checks::hardened> scene(2);
    for (std::size_t rank = 0; rank < capacity * 3 / 4; ++rank)
        scene.free(0, rank);
    for (std::size_t round = 0; round < capacity; ++round) {
        SizedObject<Checks::hardened>* const object = scene.cache().alloc();
        scene.cache().free(object);
        REQUIRE(scene.cache().is_out(object));
    }
}

TEST_CASE("half of all slots, and not more, are no reason to drain half free slabs",
          "[cache][hand]") {
    const bool drains = GENERATE(false, true);
    CAPTURE(drains);
    Scene<Checks::misuse> scene(4);
    for (std::size_t slab = 0; slab < 4; ++slab)
        scene.free_to_slab(slab, 0, per_slab / 2);
    if (drains) scene.free_to_slab(3, per_slab / 2, per_slab / 2 + 1);
    SizedObject<Checks::misuse>* const object = scene.free(0, per_slab - 1);
    REQUIRE(scene.cache().is_out(object) != drains);
}

TEMPLATE_TEST_CASE_SIG("where all slabs are kept, the last object may lie at the hand",
                       "[cache][hand]", ((Checks checks), checks), Checks::none, Checks::misuse) {
    Scene<checks> scene(0);
    REQUIRE(scene.cache().reserve(1) == per_slab);
    std::vector<SizedObject<checks>*> objects(word);  // what is taken of the slab
    for (auto*& object : objects)
        object = scene.cache().alloc();
    SECTION("freed one by one") {
        for (auto* const object : objects)
            scene.cache().free(object);
        REQUIRE(scene.out(objects) == word);
    }
    SECTION("freed by a bulk, but one") {
        auto* const first = objects.back();
        objects.pop_back();
        scene.cache().free(first);
        scene.cache().free_bulk(objects);
        REQUIRE(scene.cache().is_out(first));
        REQUIRE(scene.out(objects) == 0);
    }
}

TEMPLATE_TEST_CASE_SIG("however objects come and go, no more lie at the hand than it holds",
                       "[cache][hand]", ((Checks checks), checks), Checks::none, Checks::misuse,
                       Checks::hardened) {
    Scene<checks> scene(4);
    auto& cache = scene.cache();
    Random random;
    std::vector<SizedObject<checks>*> freed;
    for (std::size_t burst = 0; burst < 300; ++burst) {
        for (std::size_t number = random.below(200); number > 0 && !freed.empty(); --number) {
            SizedObject<checks>* const object = cache.alloc();
            REQUIRE(std::erase(freed, object) == 1);
            scene.take(object);
        }
        for (std::size_t number = random.below(200); number > 0 && scene.live_number() > 1;
             --number)
            freed.push_back(scene.free_one_of(random));
        REQUIRE(scene.out(freed) <= capacity);
    }
}

// ---- Past the hand ------------------------------------------------------------------------------

TEST_CASE("an object that went to its slab past the hand is not taken for one that alloc gave",
          "[cache][hand][misuse]") {
    // Two objects of a nearly free slab are handed out. Then slabs are reserved, so that it drains,
    // and the first one goes there; what lies above the second one's place is the first one still.
    Scene<Checks::misuse> scene(3);
    auto& cache = scene.cache();
    const std::size_t free_number = scene.free_to_slab(0, 0, per_slab * 7 / 8 + 10).size();
    auto* const second = scene.free(0, per_slab - 2);
    auto* const first = scene.free(0, per_slab - 1);
    REQUIRE(cache.alloc() == first);
    REQUIRE(cache.alloc() == second);
    static_cast<void>(cache.reserve(free_number + 3 * per_slab));
    cache.free(first);
    REQUIRE_FALSE(cache.is_out(first));
    cache.free(second);
    REQUIRE(defect_of([&] { cache.free(first); }) == Defect::DoubleFree);
    REQUIRE(defect_of([&] { cache.free(second); }) == Defect::DoubleFree);
    REQUIRE(cache.validate().defect == Defect::None);
}
