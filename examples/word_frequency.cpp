// word_frequency.cpp -- the most frequent words of any text, counted in a tree whose nodes come
// from a cache.
//
//      bytes --WordReader--> words --WordTree--> nodes <--create, destroy--> Cache<Node, ...>
//
// A word is as long as it goes of ASCII letters, of which the large ones become small, and of
// characters beyond ASCII, in UTF-8, each of which counts as a letter. All else separates. Bytes
// that are not UTF-8 separate, too, and are counted. In a text that is UTF-8,
//
//      LC_ALL=C tr -cs 'A-Za-z\200-\377' '[\n*]' | LC_ALL=C tr A-Z a-z | sort | uniq -c
//
// finds the same words the same number of times. Words and their numbers go to standard output, all
// that is said about them to standard error.

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/core/cache.hpp>

namespace {

// ---- The tree -----------------------------------------------------------------------------------

/// Words and how often each was counted: an AA tree (Andersson 1993), which is balanced whatever
/// order the words come in.
class WordTree {
public:
    struct Node {
        explicit Node(std::string word) noexcept : spelling(std::move(word)) {}

        const std::string spelling;
        std::size_t number = 1;
        unsigned level = 1;
        Node* left = nullptr;
        Node* right = nullptr;
    };

    using NodeCache = slab_allocator::Cache<Node, slab_allocator::AlignedAllocBackend>;

    WordTree() = default;
    WordTree(const WordTree&) = delete;
    WordTree& operator=(const WordTree&) = delete;
    ~WordTree() { clear(); }

    /// Counts a word. Returns: false where it is new and there is no memory for it.
    [[nodiscard]] bool count(const std::string& word) {
        if (Node* const known = find(word)) {
            ++known->number;
            return true;
        }
        Node* const node = nodes_.create(word);
        if (node == nullptr) return false;
        root_ = insert(root_, node);
        return true;
    }

    /// The words that were counted most, at most `most` of them, most frequent first; words that
    /// are as frequent in the order of their bytes.
    [[nodiscard]] std::vector<const Node*> most_frequent(std::size_t most) {
        std::vector<const Node*> result;
        nodes_.for_each([&](Node* node) { result.push_back(node); });
        most = std::min(most, result.size());
        std::partial_sort(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(most),
                          result.end(), [](const Node* a, const Node* b) {
                              return a->number != b->number ? a->number > b->number
                                                            : a->spelling < b->spelling;
                          });
        result.resize(most);
        return result;
    }

    void clear() noexcept {
        root_ = nullptr;
        nodes_.for_each([this](Node* node) { nodes_.destroy(node); });
    }

    [[nodiscard]] NodeCache& nodes() noexcept { return nodes_; }

private:
    [[nodiscard]] Node* find(std::string_view word) const noexcept {
        Node* node = root_;
        while (node != nullptr) {
            const int order = word.compare(node->spelling);
            if (order == 0) return node;
            node = order < 0 ? node->left : node->right;
        }
        return nullptr;
    }

    /// Requires: the node's spelling is not in the tree. Returns: the new root.
    [[nodiscard]] static Node* insert(Node* root, Node* node) noexcept {
        if (root == nullptr) return node;
        Node*& side = node->spelling < root->spelling ? root->left : root->right;
        side = insert(side, node);
        return split(skew(root));
    }

    /// A left child on its parent's level goes up and becomes its parent.
    [[nodiscard]] static Node* skew(Node* node) noexcept {
        Node* const left = node->left;
        if (left == nullptr || left->level != node->level) return node;
        node->left = left->right;
        left->right = node;
        return left;
    }

    /// Of three on one level, the middle one goes up to the next.
    [[nodiscard]] static Node* split(Node* node) noexcept {
        Node* const right = node->right;
        if (right == nullptr || right->right == nullptr || right->right->level != node->level) {
            return node;
        }
        node->right = right->left;
        right->left = node;
        ++right->level;
        return right;
    }

    NodeCache nodes_;
    Node* root_ = nullptr;
};

// ---- The words ----------------------------------------------------------------------------------

/// Finds the words in bytes that come in pieces of any size.
class WordReader {
public:
    explicit WordReader(WordTree& tree) noexcept : tree_(tree) {}

    [[nodiscard]] std::size_t words_number() const noexcept { return words_number_; }
    [[nodiscard]] std::size_t bytes_number() const noexcept { return bytes_number_; }
    [[nodiscard]] std::size_t invalid_number() const noexcept { return invalid_number_; }

    /// Throws: std::bad_alloc where there is no memory for a word.
    void read(std::string_view bytes) {
        bytes_number_ += bytes.size();
        for (const char byte : bytes)
            read(byte);
    }

    /// A word does not go on in the next text.
    void end_of_text() {
        drop_unfinished();
        end_of_word();
    }

private:
    void read(char byte) {
        if (is_next(byte)) {
            unfinished_[unfinished_length_++] = byte;
            if (unfinished_length_ == length_) finish_character();
            return;
        }
        drop_unfinished();
        const auto value = static_cast<unsigned char>(byte);
        if (value >= 'a' && value <= 'z') {
            word_.push_back(byte);
        } else if (value >= 'A' && value <= 'Z') {
            word_.push_back(static_cast<char>(value - 'A' + 'a'));
        } else if (value < 0x80) {
            end_of_word();
        } else {
            start_character(value);
        }
    }

    // What may follow the first byte of a character: neither longer forms than needed, nor
    // surrogates, nor anything beyond U+10FFFF (The Unicode Standard, table 3-7).
    void start_character(unsigned char first) {
        low_ = 0x80;
        high_ = 0xBF;
        if (first >= 0xC2 && first <= 0xDF) {
            length_ = 2;
        } else if (first >= 0xE0 && first <= 0xEF) {
            length_ = 3;
            if (first == 0xE0) low_ = 0xA0;
            if (first == 0xED) high_ = 0x9F;
        } else if (first >= 0xF0 && first <= 0xF4) {
            length_ = 4;
            if (first == 0xF0) low_ = 0x90;
            if (first == 0xF4) high_ = 0x8F;
        } else {
            ++invalid_number_;
            end_of_word();
            return;
        }
        unfinished_[0] = static_cast<char>(first);
        unfinished_length_ = 1;
    }

    [[nodiscard]] bool is_next(char byte) const noexcept {
        if (unfinished_length_ == 0) return false;
        const auto value = static_cast<unsigned char>(byte);
        return unfinished_length_ == 1 ? value >= low_ && value <= high_
                                       : value >= 0x80 && value <= 0xBF;
    }

    void finish_character() {
        word_.append(unfinished_.data(), unfinished_length_);
        unfinished_length_ = 0;
    }

    void drop_unfinished() {
        if (unfinished_length_ == 0) return;
        invalid_number_ += unfinished_length_;
        unfinished_length_ = 0;
        end_of_word();
    }

    void end_of_word() {
        if (word_.empty()) return;
        ++words_number_;
        if (!tree_.count(word_)) throw std::bad_alloc();
        word_.clear();
    }

    WordTree& tree_;
    std::string word_;
    std::array<char, 4> unfinished_{};
    std::size_t unfinished_length_ = 0;
    std::size_t length_ = 0;
    unsigned char low_ = 0;
    unsigned char high_ = 0;
    std::size_t words_number_ = 0;
    std::size_t bytes_number_ = 0;
    std::size_t invalid_number_ = 0;
};

// ---- The program --------------------------------------------------------------------------------

enum ExitCode { all_read = 0, not_all_read = 1, failed = 2 };

struct Arguments {
    std::size_t most = 10;
    std::vector<const char*> names;
};

constexpr const char* usage =
    "usage: word_frequency [-n NUMBER] [FILE...]\n"
    "Prints the NUMBER (10) most frequent words of all FILEs, or of standard input\n"
    "where there is none or for a FILE that is called -.\n";

[[nodiscard]] bool parse(int count, char** values, Arguments& arguments) {
    bool options = true;
    for (int index = 1; index < count; ++index) {
        const std::string_view value = values[index];
        if (options && value == "--") {
            options = false;
        } else if (options && value.starts_with("-n")) {
            const bool apart = value.size() == 2;
            if (apart && ++index == count) return false;
            const std::string_view number = apart ? values[index] : value.substr(2);
            const char* const end = number.data() + number.size();
            const auto [stop, error] = std::from_chars(number.data(), end, arguments.most);
            if (error != std::errc{} || stop != end) return false;
        } else if (options && value.size() > 1 && value.front() == '-') {
            return false;
        } else {
            arguments.names.push_back(values[index]);
        }
    }
    if (arguments.names.empty()) arguments.names.push_back("-");
    return true;
}

/// Returns: whether all of it could be read; else the reason has been told.
[[nodiscard]] bool read_text(const char* name, WordReader& reader) {
    const bool standard_input = std::string_view(name) == "-";
    std::FILE* const file = standard_input ? stdin : std::fopen(name, "rb");
    if (file == nullptr) {
        std::fprintf(stderr, "word_frequency: %s: %s\n", name, std::strerror(errno));
        return false;
    }
    struct Close {
        void operator()(std::FILE* open) const noexcept {
            if (open != stdin) std::fclose(open);
        }
    };
    const std::unique_ptr<std::FILE, Close> closed_at_the_end(file);
    std::array<char, 65536> buffer;
    while (const std::size_t length = std::fread(buffer.data(), 1, buffer.size(), file)) {
        reader.read({buffer.data(), length});
    }
    reader.end_of_text();
    if (std::ferror(file) != 0) {
        std::fprintf(stderr, "word_frequency: %s: %s\n", name, std::strerror(errno));
        return false;
    }
    return true;
}

void tell_of_text(const WordReader& reader, bool all) {
    if (reader.invalid_number() > 0) {
        std::fprintf(stderr, "word_frequency: bytes that are not UTF-8: %zu; they separate words\n",
                     reader.invalid_number());
    }
    if (reader.bytes_number() == 0) {
        if (all) std::fprintf(stderr, "word_frequency: the input is empty\n");
    } else if (reader.words_number() == 0) {
        std::fprintf(stderr, "word_frequency: there is no word in the input\n");
    }
}

void tell_of_cache(WordTree& tree) {
    using NodeCache = WordTree::NodeCache;
    using slab_allocator::ObjectSizeType;
    NodeCache& nodes = tree.nodes();
    const slab_allocator::CacheStatistics of = nodes.statistics();
    const std::size_t room = std::string().capacity();
    std::size_t longer = 0;
    nodes.for_each([&](const WordTree::Node* node) {
        if (node->spelling.capacity() > room) longer += node->spelling.capacity() + 1;
    });
    const double percent_lost = of.bytes_held == 0 ? 0.0
                                                   : 100.0 * static_cast<double>(of.bytes_lost) /
                                                         static_cast<double>(of.bytes_held);
    std::fprintf(stderr, "node     %zu bytes, %zu to a slab of %zu, whose SlabInfo is %s it\n",
                 nodes.object_size(), nodes.objects_per_slab(), nodes.slab_size(),
                 nodes.object_size_type() == ObjectSizeType::Small ? "in" : "outside of");
    std::fprintf(stderr, "nodes    %zu allocated, %zu free\n", of.allocated_objects_number,
                 of.free_objects_number);
    std::fprintf(stderr, "slabs    %zu full, %zu partial, %zu free\n", of.full_slabs_number,
                 of.partial_slabs_number, of.free_slabs_number);
    std::fprintf(stderr, "bytes    %zu held, %zu of them (%.2f %%) lost to the layout\n",
                 of.bytes_held, of.bytes_lost, percent_lost);
    std::fprintf(stderr, "besides  %zu bytes in the backend, for the next slabs\n",
                 nodes.backend().bytes_held() - of.bytes_held);
    std::fprintf(stderr,
                 "         %zu bytes of spellings beyond the %zu that a node has room for\n",
                 longer, room);
}

/// Destroys all nodes. Returns: whether nothing is held then.
[[nodiscard]] bool give_all_back(WordTree& tree) {
    WordTree::NodeCache& nodes = tree.nodes();
    tree.clear();
    nodes.shrink_to_fit();
    nodes.backend().trim();
    const std::size_t allocated = nodes.statistics().allocated_objects_number;
    const std::size_t held = nodes.backend().bytes_held();
    std::fprintf(stderr, "at exit  %zu nodes, %zu bytes held\n", allocated, held);
    return allocated == 0 && held == 0;
}

[[nodiscard]] int run(const Arguments& arguments) {
    WordTree tree;
    WordReader reader(tree);
    bool all = true;
    for (const char* const name : arguments.names) {
        if (!read_text(name, reader)) all = false;
    }
    tell_of_text(reader, all);
    for (const WordTree::Node* const node : tree.most_frequent(arguments.most)) {
        std::printf("%7zu ", node->number);
        std::fwrite(node->spelling.data(), 1, node->spelling.size(), stdout);
        std::putchar('\n');
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        std::fprintf(stderr, "word_frequency: standard output: %s\n", std::strerror(errno));
        return failed;
    }
    std::fprintf(stderr, "\ntext     %zu bytes, %zu words\n", reader.bytes_number(),
                 reader.words_number());
    tell_of_cache(tree);
    if (!give_all_back(tree)) return failed;
    return all ? all_read : not_all_read;
}

}  // namespace

int main(int count, char** values) {
    try {
        Arguments arguments;
        if (count == 2 && std::string_view(values[1]) == "--help") {
            std::fputs(usage, stdout);
            return 0;
        }
        if (parse(count, values, arguments)) return run(arguments);
        std::fputs(usage, stderr);
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "word_frequency: out of memory\n");
    }
    return failed;
}
