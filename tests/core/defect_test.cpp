#include <slab_allocator/core/defect.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>

#include <support/catch.hpp>
#include <support/death.hpp>
#include <support/defects.hpp>
#include <support/string_sink.hpp>

using namespace slab_allocator;

namespace {

std::size_t heard = 0;
void hear(const DefectReport&) noexcept { ++heard; }

/// What `call` prints to stderr.
template <typename Call>
[[nodiscard]] std::string printed_by(Call&& call) {
    std::FILE* const file = std::tmpfile();
    const int real = ::dup(STDERR_FILENO);
    ::dup2(::fileno(file), STDERR_FILENO);
    call();
    std::fflush(stderr);
    ::dup2(real, STDERR_FILENO);
    ::close(real);
    std::rewind(file);
    char line[512] = {};
    const std::size_t length = std::fread(line, 1, sizeof(line) - 1, file);
    std::fclose(file);
    return {line, length};
}

}  // namespace

TEST_CASE("every defect has a name and an explanation of its own", "[defect]") {
    std::set<std::string> names;
    std::set<std::string> explanations;
    std::size_t defects = 0;
    for (std::uint8_t defect = 0; name_of(Defect{defect}) != std::string("?"); ++defect) {
        names.insert(name_of(Defect{defect}));
        explanations.insert(explanation_of(Defect{defect}));
        ++defects;
    }
    REQUIRE(defects == static_cast<std::size_t>(Defect::Leak) + 1);
    REQUIRE(names.size() == defects);
    REQUIRE(explanations.size() == defects);
    REQUIRE(explanation_of(Defect::None) == std::string());
    REQUIRE(explanation_of(Defect{200}) == std::string());
    REQUIRE(name_of(Defect::DoubleFree) == std::string("DoubleFree"));
    REQUIRE(name_of(Defect{200}) == std::string("?"));
}

TEST_CASE("the handler that was set is told, and the one before it is handed back", "[defect]") {
    const DefectHandler before = set_defect_handler(&hear);
    heard = 0;
    report({.defect = Defect::Leak});
    const DefectHandler mine = set_defect_handler(before);
    REQUIRE(heard == 1);
    REQUIRE(mine == &hear);
}

TEST_CASE("a null handler stands for the default", "[defect]") {
    const DefectHandler before = set_defect_handler(nullptr);
    const DefectHandler now = set_defect_handler(before);
    REQUIRE(now == &print_and_trap);
}

TEST_CASE("a report arrives as it was sent", "[defect]") {
    const int something = 0;
    const DefectReport sent{.defect = Defect::InteriorPointer,
                            .pointer = &something,
                            .cache = &sent,
                            .slab = &heard,
                            .slot = 7,
                            .objects_number = 3};
    const DefectReport got = support::report_of([&] { report(sent); });
    REQUIRE(got.defect == sent.defect);
    REQUIRE(got.pointer == sent.pointer);
    REQUIRE(got.cache == sent.cache);
    REQUIRE(got.slab == sent.slab);
    REQUIRE(got.slot == 7);
    REQUIRE(got.objects_number == 3);
}

TEST_CASE("the default handler prints one line and traps", "[defect]") {
    bool trapped = false;
    const std::string line = printed_by([&] {
        trapped = support::traps([&] {
            print_and_trap(
                {.defect = Defect::Leak, .slab = &trapped, .slot = 12, .objects_number = 345});
        });
    });
    REQUIRE(trapped);
    REQUIRE(line.find("slab_allocator: Leak: pointer ") == 0);
    REQUIRE(line.find("slot 12, objects 345: objects are live when") != std::string::npos);
    REQUIRE(line.find('\n') == line.size() - 1);
}

TEST_CASE("a report is one line into any sink", "[defect]") {
    const auto line_of = [](const DefectReport& report) {
        support::StringSink sink;
        slab_allocator::print_defect(report, sink);
        return sink.text;
    };
    const auto* const at = reinterpret_cast<const void*>(std::uintptr_t{0xabc0});
    const auto* const cache = reinterpret_cast<const void*>(std::uintptr_t{0x1230});
    REQUIRE(line_of({.defect = Defect::ForeignPointer, .pointer = at, .cache = cache}) ==
            "slab_allocator: ForeignPointer: pointer 0xabc0, cache 0x1230: " +
                std::string(explanation_of(Defect::ForeignPointer)) + "\n");
    REQUIRE(line_of({.defect = Defect::Overflow,
                     .pointer = at,
                     .cache = cache,
                     .slab = at,
                     .slot = 7,
                     .offset = -2,
                     .allocated_by = cache,
                     .freed_by = at}) ==
            "slab_allocator: Overflow: pointer 0xabc0, cache 0x1230, slab 0xabc0, slot 7, byte -2, "
            "allocated by 0x1230, freed by 0xabc0: " +
                std::string(explanation_of(Defect::Overflow)) + "\n");
    for (std::size_t number = 1; number <= static_cast<std::size_t>(Defect::Leak); ++number) {
        // With the widest numbers it fits into the line of the default handler.
        constexpr std::size_t most = ~std::size_t{0};
        const auto* const last = reinterpret_cast<const void*>(most);
        REQUIRE(line_of({.defect = static_cast<Defect>(number),
                         .pointer = last,
                         .cache = last,
                         .slab = last,
                         .slot = most,
                         .objects_number = most,
                         .offset = PTRDIFF_MIN + 1,
                         .allocated_by = last,
                         .freed_by = last})
                    .size() <= 512);
    }
}

TEST_CASE("overwritten metadata traps, though the handler returns", "[defect]") {
    support::DefectCatcher catcher;
    REQUIRE(support::traps([] { report_and_trap({.defect = Defect::CorruptedSlabInfo}); }));
    REQUIRE(catcher.only().defect == Defect::CorruptedSlabInfo);
}

TEST_CASE("the default handler says which byte, who allocated, and who freed", "[defect]") {
    const auto printed = [](const DefectReport& report) {
        return printed_by([&] { REQUIRE(support::traps([&report] { print_and_trap(report); })); });
    };
    REQUIRE(printed({.defect = Defect::WriteAfterFree, .offset = 5}).find(", byte 5: ") !=
            std::string::npos);
    REQUIRE(printed({.defect = Defect::Overflow, .offset = -3}).find(", byte -3: ") !=
            std::string::npos);
    REQUIRE(printed({.defect = Defect::DoubleFree, .offset = 5}).find(", byte") ==
            std::string::npos);
    const std::string both =
        printed({.defect = Defect::DoubleFree, .allocated_by = &heard, .freed_by = &heard});
    REQUIRE(both.find(", allocated by 0x") != std::string::npos);
    REQUIRE(both.find(", freed by 0x") != std::string::npos);
}

TEST_CASE("leaks that are told one by one trap after the last", "[defect]") {
    const std::string lines = printed_by([] {
        print_and_trap({.defect = Defect::Leak, .pointer = &heard, .objects_number = 2});
        REQUIRE(support::traps([] {
            print_and_trap({.defect = Defect::Leak, .pointer = &heard, .objects_number = 1});
        }));
    });
    REQUIRE(std::count(lines.begin(), lines.end(), '\n') == 2);
}
