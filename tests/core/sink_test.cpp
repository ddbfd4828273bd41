#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include <slab_allocator/core/sink.hpp>

#include <support/catch.hpp>
#include <support/string_sink.hpp>

using slab_allocator::ArraySink;
using slab_allocator::Sink;
using support::StringSink;

namespace {

struct NoSink {
    void write(const char* text);
};

static_assert(Sink<StringSink> && Sink<ArraySink> && !Sink<NoSink> && !Sink<int>);

std::string_view text_of(const ArraySink& sink) { return {sink.text().data(), sink.text().size()}; }

}  // namespace

TEST_CASE("an array takes what fits and counts what does not", "[sink]") {
    char array[8];
    ArraySink sink(array);
    sink.write("dentry", 6);
    REQUIRE(text_of(sink) == "dentry");
    REQUIRE(sink.dropped_number() == 0);
    sink.write("inode", 5);
    REQUIRE(text_of(sink) == "dentryin");
    REQUIRE(sink.dropped_number() == 3);
}

TEST_CASE("numbers are written in columns, and wider ones whole", "[sink]") {
    StringSink sink;
    slab_allocator::detail::Writer writer(sink);
    writer.number(0);
    writer.number(42, 5);
    writer.number(123'456, 3);
    writer.character(' ');
    writer.number(std::numeric_limits<std::uint64_t>::max());
    writer.character(' ');
    writer.address(0xdead'0000'beef);
    REQUIRE(sink.text == "0   42123456 18446744073709551615 0xdead0000beef");
}

TEST_CASE("text is written on the left or the right of a column", "[sink]") {
    StringSink sink;
    slab_allocator::detail::Writer writer(sink);
    writer.left("ab", 4);
    writer.right("cd", 4);
    writer.left("whole", 2);
    writer.right("whole", 2);
    REQUIRE(sink.text == "ab    cdwholewhole");
}
