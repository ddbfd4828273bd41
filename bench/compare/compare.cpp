// compare.cpp -- how many nanoseconds does an alloc or a free take, in every workload, with every
// allocator?
//
//      for each size, for each workload:   repetitions times:   every allocator, in random order
//
// so that what the machine does meanwhile is done to all. A figure is the median of the
// repetitions; a ratio is the median of the ratios to `limit` in the same repetition.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fnmatch.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mallocs.hpp"
#include "region.hpp"
#include "subject.hpp"
#include "workloads.hpp"

namespace {

using namespace bench;

struct Options {
    std::vector<std::string> sizes{"16", "64", "256", "1024"};
    std::vector<std::string> workloads{"*"};
    std::vector<std::string> allocators{"*"};
    int repetitions = 9;
    bool lowest = false;
    std::string json;
    bool list = false;
};

constexpr const char* usage = R"(usage: compare [options]
  --sizes=64,256            bytes an object                  (16,64,256,1024)
  --workloads=pair,lifo     workloads or metrics, or globs   (*)
  --allocators=none,mi*     allocators, or globs             (*)
  --reps=5                  repetitions, of each the median  (9)
  --lowest                  print the lowest, not the median: for a machine with other work
  --json=FILE               write all figures there
  --list                    print what there is
)";

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        parts.emplace_back(list.substr(0, comma));
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return parts;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        const auto value_of = [&](std::string_view name) -> const char* {
            return argument.starts_with(name) ? argv[i] + name.size() : nullptr;
        };
        if (const char* sizes = value_of("--sizes=")) {
            options.sizes = split(sizes);
        } else if (const char* names = value_of("--workloads=")) {
            options.workloads = split(names);
        } else if (const char* allocators = value_of("--allocators=")) {
            options.allocators = split(allocators);
        } else if (const char* repetitions = value_of("--reps=")) {
            options.repetitions = std::max(1, std::atoi(repetitions));
        } else if (const char* file = value_of("--json=")) {
            options.json = file;
        } else if (argument == "--lowest") {
            options.lowest = true;
        } else if (argument == "--list") {
            options.list = true;
        } else {
            std::fputs(usage, stderr);
            std::exit(argument == "--help" ? 0 : 2);
        }
    }
    return options;
}

bool matches(std::string_view name, const std::vector<std::string>& patterns) {
    const std::string text{name};
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
    });
}

using Entries = std::vector<Recorder::Entry>;

Entries run_here(Run run) {
    Recorder recorder;
    Region::instance().reset();
    run(recorder);
    return recorder.entries();
}

/// The same in a process that ends with it. The names of metrics are the same pointers in both.
Entries run_in_child(Run run) {
    int ends[2];
    if (::pipe(ends) != 0) return {};
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        const Entries entries = run_here(run);
        const std::size_t bytes = entries.size() * sizeof(Recorder::Entry);
        ::_exit(::write(ends[1], entries.data(), bytes) == static_cast<ssize_t>(bytes) ? 0 : 1);
    }
    ::close(ends[1]);
    Entries entries;
    Recorder::Entry entry{};
    while (::read(ends[0], &entry, sizeof entry) == static_cast<ssize_t>(sizeof entry))
        entries.push_back(entry);
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    return entries;
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

struct Figure {
    double nanoseconds = 0;
    double lowest = 0;
    double highest = 0;
    double ratio = 0;  // to limit; 0: it did not run
};

using Samples = std::map<std::string_view, std::vector<double>>;  // by metric, one a repetition

Figure figure_of(const std::vector<double>& samples, const std::vector<double>& limit) {
    Figure figure;
    figure.nanoseconds = median(samples);
    figure.lowest = *std::min_element(samples.begin(), samples.end());
    figure.highest = *std::max_element(samples.begin(), samples.end());
    if (limit.size() == samples.size()) {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < samples.size(); ++i)
            ratios.push_back(samples[i] / limit[i]);
        figure.ratio = median(ratios);
    }
    return figure;
}

class Comparison {
public:
    explicit Comparison(Options options) : options_(std::move(options)) {
        for (const std::string& size : options_.sizes)
            sizes_.push_back(static_cast<std::size_t>(std::atol(size.c_str())));
    }

    void run() {
        for (const bool in_child : {true, false}) {  // children want that nothing is touched yet
            for (const std::size_t size : sizes_) {
                for (std::size_t workload = 0; workload < workloads.size(); ++workload) {
                    if (workloads[workload].in_child == in_child) run(size, workload);
                }
            }
        }
    }

    void print() const {
        for (const std::size_t size : sizes_) {
            std::printf("\n%zu bytes: nanoseconds an operation, and (x) the ratio to limit\n",
                        size);
            for (const Workload& workload : workloads)
                print(size, workload);
        }
    }

    void write_json() const {
        if (options_.json.empty()) return;
        std::ofstream file{options_.json};
        file << "{\n  \"compiler\": \"" << BENCH_COMPILER << "\",\n  \"processor\": \""
             << processor() << "\",\n  \"repetitions\": " << options_.repetitions
             << ",\n  \"figures\": [";
        const char* separator = "\n";
        for (const auto& [key, figure] : figures_) {
            const auto& [size, metric, allocator] = key;
            file << separator << "    {\"size\": " << size << ", \"metric\": \"" << metric
                 << "\", \"allocator\": \"" << allocator << "\", \"ns\": " << figure.nanoseconds
                 << ", \"lowest\": " << figure.lowest << ", \"highest\": " << figure.highest
                 << ", \"ratio\": " << figure.ratio << "}";
            separator = ",\n";
        }
        file << "\n  ],\n  \"allocators\": [";
        separator = "";
        for (const std::string& name : allocator_names()) {
            file << separator << '"' << name << '"';
            separator = ", ";
        }
        file << "],\n  \"metrics\": [";
        separator = "";
        for (const Workload& workload : workloads) {
            for (const std::string_view metric : workload.metrics) {
                file << separator << '"' << metric << '"';
                separator = ", ";
            }
        }
        file << "]\n}\n";
    }

    void list() const {
        std::printf("workload: metrics\n");
        for (const Workload& workload : workloads) {
            std::printf("  %s:", std::string{workload.name}.c_str());
            for (const std::string_view metric : workload.metrics)
                std::printf(" %s", std::string{metric}.c_str());
            std::printf("\n");
        }
        std::printf("allocators\n ");
        for (const std::string& name : allocator_names())
            std::printf(" %s", name.c_str());
        std::printf("\n");
    }

private:
    using Key = std::tuple<std::size_t, std::string_view, std::string>;  // size, metric, allocator

    [[nodiscard]] bool wanted(const Workload& workload, std::string_view metric) const {
        return matches(workload.name, options_.workloads) || matches(metric, options_.workloads);
    }
    [[nodiscard]] bool wanted(const Workload& workload) const {
        return std::any_of(workload.metrics.begin(), workload.metrics.end(),
                           [&](std::string_view metric) { return wanted(workload, metric); });
    }

    void run(std::size_t size, std::size_t workload_number) {
        const Workload& workload = workloads[workload_number];
        if (!wanted(workload)) return;
        std::fprintf(stderr, "%zu bytes, %s\n", size, std::string{workload.name}.c_str());
        std::vector<const Subject*> order;
        for (const Subject& subject : subjects()) {
            if (subject.object_size == size && matches(subject.name, options_.allocators) &&
                subject.available()) {
                order.push_back(&subject);
            }
        }
        std::map<std::string, Samples> samples;
        std::mt19937 random{1};
        for (int repetition = 0; repetition < options_.repetitions; ++repetition) {
            std::shuffle(order.begin(), order.end(), random);
            for (const Subject* subject : order) {
                const Run one = subject->runs[workload_number];
                for (const auto& entry : workload.in_child ? run_in_child(one) : run_here(one)) {
                    samples[subject->name][entry.metric].push_back(entry.nanoseconds);
                }
            }
        }
        Samples limit = samples["limit"];  // empty where it does not run
        for (const auto& [name, by_metric] : samples) {
            for (const auto& [metric, values] : by_metric) {
                figures_[{size, metric, name}] = figure_of(values, limit[metric]);
            }
        }
    }

    void print(std::size_t size, const Workload& workload) const {
        if (!wanted(workload)) return;
        std::printf("\n%-18s", "");
        for (const std::string_view metric : workload.metrics) {
            if (wanted(workload, metric)) std::printf("%19s", std::string{metric}.c_str());
        }
        std::printf("\n");
        for (const std::string& name : allocator_names()) {
            std::string line;
            for (const std::string_view metric : workload.metrics) {
                if (!wanted(workload, metric)) continue;
                const auto found = figures_.find({size, metric, name});
                char cell[64] = "                  -";
                if (found != figures_.end()) {
                    const auto [nanoseconds, ratio] = printed(found->second, size, metric);
                    std::snprintf(cell, sizeof cell, "%10.2f x%-7.2f", nanoseconds, ratio);
                }
                line += cell;
            }
            if (line.find('.') != std::string::npos) {
                std::printf("%-18s%s\n", name.c_str(), line.c_str());
            }
        }
    }

    [[nodiscard]] std::pair<double, double> printed(const Figure& figure, std::size_t size,
                                                    std::string_view metric) const {
        if (!options_.lowest) return {figure.nanoseconds, figure.ratio};
        const auto limit = figures_.find({size, metric, "limit"});
        const bool known = limit != figures_.end();
        return {figure.lowest, known ? figure.lowest / limit->second.lowest : 0.0};
    }

    [[nodiscard]] static std::vector<std::string> allocator_names() {
        std::vector<std::string> names;
        for (const Subject& subject : subjects()) {
            if (std::find(names.begin(), names.end(), subject.name) == names.end()) {
                names.push_back(subject.name);
            }
        }
        return names;
    }

    [[nodiscard]] static std::string processor() {
        std::ifstream file{"/proc/cpuinfo"};
        for (std::string line; std::getline(file, line);) {
            if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
        }
        return "unknown";
    }

    Options options_;
    std::vector<std::size_t> sizes_;
    std::map<Key, Figure> figures_;
};

}  // namespace

int main(int argc, char** argv) {
    make_room_for_tls(argv);
    const Options options = parse(argc, argv);
    Comparison comparison{options};
    if (options.list) {
        comparison.list();
        return 0;
    }
    comparison.run();
    comparison.print();
    comparison.write_json();
}
