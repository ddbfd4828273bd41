#pragma once

// report.hpp -- what caches hold, as text: the table of slabinfo, maps of slabs, JSON.
//
//      name   active_objs num_objs objsize objperslab pagesperslab active_slabs num_slabs  held ...
//      dentry        1200     1280      64        128            2           10        10 83200 ...
//
//      ###72.                a slab a character: full, its tenths, free
//      ##i.#,,,              a slot a character: taken, free, never taken, under the SlabInfo
//
// A line is taken from a cache first (summary_of) and written later (report), so that no lock need
// be held while a slow sink writes. The two maps are written while the cache is walked.
//
// The columns are those of Linux' /proc/slabinfo, in their order, and two of bytes: of the slabs
// and the SlabInfos outside of them (held), and of these what no object can ever use (lost).

#include <cstddef>
#include <initializer_list>
#include <span>

#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/sink.hpp>
#include <slab_allocator/core/slab_view.hpp>

namespace slab_allocator {

/// A cache's line of a report.
struct CacheSummary {
    const char* name = "";
    std::size_t object_size = 0;
    std::size_t objects_per_slab = 0;
    std::size_t pages_per_slab = 0;
    CacheStatistics statistics = {};
};

/// The line of a Cache, LockedCache or MagazineCache. The name is not copied.
/// Costs: those of statistics().
template <typename AnyCache>
    requires requires(AnyCache& cache) {
        cache.statistics();
        cache.objects_per_slab();
    }
[[nodiscard]] CacheSummary summary_of(const char* name, AnyCache& cache) noexcept {
    return {.name = name,
            .object_size = cache.object_size(),
            .objects_per_slab = cache.objects_per_slab(),
            .pages_per_slab = cache.slab_size() / cache.page_size(),
            .statistics = cache.statistics()};
}

namespace detail {

/// A number of a line, and what it is called in the table and in JSON.
struct ReportColumn {
    using Number = std::size_t (*)(const CacheSummary&) noexcept;

    consteval ReportColumn(const char* a_title, const char* a_key, Number a_number) noexcept
        : title(a_title), key(a_key), of(a_number) {}

    const char* title;
    const char* key;
    Number of;
};

/// The numbers of the statistics themselves.
template <std::size_t CacheStatistics::* number>
constexpr std::size_t statistic(const CacheSummary& cache) noexcept {
    return cache.statistics.*number;
}

inline constexpr ReportColumn report_columns[] = {
    {"active_objs", "allocated_objects_number",
     statistic<&CacheStatistics::allocated_objects_number>},
    {"num_objs", "objects_number",
     [](const CacheSummary& cache) noexcept {
         return cache.statistics.allocated_objects_number + cache.statistics.free_objects_number;
     }},
    {"objsize", "object_size",
     [](const CacheSummary& cache) noexcept { return cache.object_size; }},
    {"objperslab", "objects_per_slab",
     [](const CacheSummary& cache) noexcept { return cache.objects_per_slab; }},
    {"pagesperslab", "pages_per_slab",
     [](const CacheSummary& cache) noexcept { return cache.pages_per_slab; }},
    {"active_slabs", "active_slabs_number",
     [](const CacheSummary& cache) noexcept {
         return cache.statistics.partial_slabs_number + cache.statistics.full_slabs_number;
     }},
    {"num_slabs", "slabs_number",
     [](const CacheSummary& cache) noexcept { return cache.statistics.slabs_number(); }},
    {"held", "bytes_held", statistic<&CacheStatistics::bytes_held>},
    {"lost", "bytes_lost", statistic<&CacheStatistics::bytes_lost>},
};

/// What the table leaves out.
inline constexpr ReportColumn json_columns[] = {
    {"", "full_slabs_number", statistic<&CacheStatistics::full_slabs_number>},
    {"", "partial_slabs_number", statistic<&CacheStatistics::partial_slabs_number>},
    {"", "free_slabs_number", statistic<&CacheStatistics::free_slabs_number>},
    {"", "peak_allocated_objects_number",
     statistic<&CacheStatistics::peak_allocated_objects_number>},
    {"", "peak_slabs_number", statistic<&CacheStatistics::peak_slabs_number>},
    {"", "failures_number", statistic<&CacheStatistics::failures_number>},
};

constexpr std::size_t digits_number(std::size_t number) noexcept {
    std::size_t digits = 1;
    for (; number >= 10; number /= 10)
        ++digits;
    return digits;
}

/// The lines of caches that are there already.
struct SummariesOf {
    std::span<const CacheSummary> caches;

    [[nodiscard]] std::size_t number() const noexcept { return caches.size(); }
    template <typename F>
    void tell(std::size_t index, F f) const {
        f(caches[index]);
    }
};

/// The lines of a heap's classes, each made when it is written: 64 of them would be much for the
/// stack of a kernel. Classes without a slab are left out.
template <typename AnyHeap>
struct SummariesOfClasses {
    AnyHeap& heap;
    const char* name;

    [[nodiscard]] std::size_t number() const noexcept { return AnyHeap::classes_number; }
    template <typename F>
    void tell(std::size_t index, F f) const {
        const CacheStatistics statistics = heap.class_statistics(index);
        if (statistics.slabs_number() == 0) return;
        constexpr std::size_t most = 40;
        char text[most] = {};
        ArraySink sink(std::span<char>(text, most - 1));
        Writer writer(sink);
        writer.text(name);
        writer.character('-');
        const auto layout = heap.class_layout(index);
        writer.number(layout.object_size);
        f(CacheSummary{.name = text,
                       .object_size = layout.object_size,
                       .objects_per_slab = layout.objects_per_slab,
                       .pages_per_slab = layout.pages_per_slab(),
                       .statistics = statistics});
    }
};

template <Sink Out, typename Summaries>
void write_table(Out& sink, const Summaries& summaries) {
    constexpr std::size_t columns = sizeof(report_columns) / sizeof(report_columns[0]);
    std::size_t name_width = length_of("name");
    std::size_t widths[columns] = {};
    for (std::size_t column = 0; column < columns; ++column)
        widths[column] = length_of(report_columns[column].title);
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            if (length_of(cache.name) > name_width) name_width = length_of(cache.name);
            for (std::size_t column = 0; column < columns; ++column) {
                const std::size_t digits = digits_number(report_columns[column].of(cache));
                if (digits > widths[column]) widths[column] = digits;
            }
        });
    }

    Writer writer(sink);
    writer.left("name", name_width);
    for (std::size_t column = 0; column < columns; ++column) {
        writer.character(' ');
        writer.right(report_columns[column].title, widths[column]);
    }
    writer.character('\n');
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            writer.left(cache.name, name_width);
            for (std::size_t column = 0; column < columns; ++column) {
                writer.character(' ');
                writer.number(report_columns[column].of(cache), widths[column]);
            }
            writer.character('\n');
        });
    }
}

template <Sink Out>
void write_json_string(Writer<Out>& writer, const char* text) {
    writer.character('"');
    for (; *text != '\0'; ++text) {
        const auto byte = static_cast<unsigned char>(*text);
        if (byte < 0x20) {
            writer.text("\\u00");
            writer.character("01"[byte / 16]);
            writer.character("0123456789abcdef"[byte % 16]);
            continue;
        }
        if (*text == '"' || *text == '\\') writer.character('\\');
        writer.character(*text);
    }
    writer.character('"');
}

template <Sink Out>
void write_json_members(Writer<Out>& writer, std::span<const ReportColumn> columns,
                        const CacheSummary& cache) {
    for (const ReportColumn& column : columns) {
        writer.text(", \"");
        writer.text(column.key);
        writer.text("\": ");
        writer.number(column.of(cache));
    }
}

template <Sink Out, typename Summaries>
void write_json(Out& sink, const Summaries& summaries) {
    Writer writer(sink);
    writer.character('[');
    const char* between = "\n  ";
    for (std::size_t index = 0; index < summaries.number(); ++index) {
        summaries.tell(index, [&](const CacheSummary& cache) {
            writer.text(between);
            writer.text("{\"name\": ");
            write_json_string(writer, cache.name);
            write_json_members(writer, report_columns, cache);
            write_json_members(writer, json_columns, cache);
            writer.character('}');
            between = ",\n  ";
        });
    }
    writer.text("\n]\n");
}

/// Has it classes, as a Heap?
template <typename T>
concept HasClasses = requires(T& heap) {
    heap.class_statistics(std::size_t{});
    heap.class_layout(std::size_t{});
};

/// '.' for a slab without objects, '#' for a full one, else its tenths, rounded down, from 0 to 9.
[[nodiscard]] inline char character_of(const SlabView& slab) noexcept {
    if (slab.free_objects_number() == 0) return '#';
    if (slab.allocated_objects_number() == 0) return '.';
    return "0123456789"[slab.allocated_objects_number() * 10 / slab.objects_number()];
}

[[nodiscard]] constexpr char character_of(SlotState state) noexcept {
    switch (state) {
        case SlotState::Taken:
            return '#';
        case SlotState::Free:
            return '.';
        case SlotState::Untouched:
            return ',';
        default:  // Covered
            return 'i';
    }
}

inline constexpr std::size_t characters_a_line = 64;

}  // namespace detail

/// Writes the table: a line a cache.
template <Sink Out>
void report(std::span<const CacheSummary> caches, Out&& sink) {
    detail::write_table(sink, detail::SummariesOf{caches});
}
template <Sink Out>
void report(std::initializer_list<CacheSummary> caches, Out&& sink) {
    report(std::span<const CacheSummary>(caches.begin(), caches.size()), sink);
}
/// The table of one cache.
template <typename AnyCache, Sink Out>
    requires requires(AnyCache& cache) { summary_of("", cache); }
void report(AnyCache& cache, Out&& sink, const char* name = "cache") {
    report({summary_of(name, cache)}, sink);
}
/// The table of a Heap: a line for each class that has slabs, "heap-64" for that of 64 bytes.
template <detail::HasClasses AnyHeap, Sink Out>
void report(AnyHeap& heap, Out&& sink, const char* name = "heap") {
    detail::write_table(sink, detail::SummariesOfClasses<AnyHeap>{heap, name});
}

/// Writes the same and more for tools: an array with an object a cache, whose members are numbers
/// with the names that the library gives them.
template <Sink Out>
void report_json(std::span<const CacheSummary> caches, Out&& sink) {
    detail::write_json(sink, detail::SummariesOf{caches});
}
template <Sink Out>
void report_json(std::initializer_list<CacheSummary> caches, Out&& sink) {
    report_json(std::span<const CacheSummary>(caches.begin(), caches.size()), sink);
}
template <detail::HasClasses AnyHeap, Sink Out>
void report_json(AnyHeap& heap, Out&& sink, const char* name = "heap") {
    detail::write_json(sink, detail::SummariesOfClasses<AnyHeap>{heap, name});
}

/// Writes a character a slab, the full ones first: '#' full, '9' .. '0' its tenths, '.' free. The
/// sink is called under the lock of a LockedCache, and must not call the cache.
template <typename AnyCache, Sink Out>
void report_slabs(AnyCache& cache, Out&& sink) {
    detail::Writer writer(sink);
    std::size_t number = 0;
    cache.for_each_slab([&](const SlabView& slab) {
        writer.character(detail::character_of(slab));
        if (++number % detail::characters_a_line == 0) writer.character('\n');
    });
    if (number % detail::characters_a_line != 0) writer.character('\n');
}

/// Writes a line about the slab that `pointer` leads into, and a character for each of its slots:
/// '#' taken, '.' free, ',' never taken, 'i' the SlabInfo. Any pointer will do. Returns: whether it
/// leads into a slab of the cache; if not, nothing is written.
template <typename AnyCache, Sink Out>
bool report_slots(AnyCache& cache, const void* pointer, Out&& sink) {
    bool found = false;
    cache.for_each_slab([&](const SlabView& slab) {
        if (found || !slab.contains(pointer)) return;
        found = true;
        detail::Writer writer(sink);
        writer.text("slab ");
        writer.address(address_of(slab.slab()));
        writer.text(", ");
        writer.number(slab.allocated_objects_number());
        writer.text(" of ");
        writer.number(slab.objects_number());
        writer.text(" objects\n");
        for (std::size_t slot = 0; slot < slab.slots_number(); ++slot) {
            writer.character(detail::character_of(slab.state_of(slot)));
            const std::size_t next = slot + 1;
            if (next % detail::characters_a_line == 0 || next == slab.slots_number())
                writer.character('\n');
        }
    });
    return found;
}

}  // namespace slab_allocator
