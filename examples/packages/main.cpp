// Tells the history of a Debian machine to a node: every installation, upgrade, removal and purge in dpkg's log becomes a
// command to the aggregate of its package. Then holds the projection, and each state rebuilt from its events, against dpkg.
// Exit status: 0 everything agrees, 1 something does not, 2 there is nothing to read, or wrong arguments, 4 no store.
#include "comparison.hpp"
#include "dpkg.hpp"
#include "feed.hpp"
#include "package.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>
#include <maestro/runtime/program.hpp>

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace packages;

auto report(const maestro::error& failure) -> int {
  std::cerr << "packages: " << to_string(failure) << std::endl;
  return maestro::exit_status(failure);
}

// A folder that is gone when the program ends.
class temporary_folder {
 public:
  temporary_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "packages-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~temporary_folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  auto operator=(const temporary_folder&) -> temporary_folder& = delete;
  [[nodiscard]] auto path() const -> const std::filesystem::path& { return path_; }

 private:
  std::filesystem::path path_;
};

// A bar on a terminal, nothing elsewhere.
class progress_bar {
 public:
  explicit progress_bar(std::size_t total) : total_(total), shown_(::isatty(STDOUT_FILENO) == 1 && total > 0) {}
  void show(std::size_t done) {
    if (!shown_ || done * 100 / total_ == percent_) return;
    percent_ = done * 100 / total_;
    const auto filled = percent_ * 40 / 100;
    std::cout << "\r[" << std::string(filled, '#') << std::string(40 - filled, '.') << "] " << percent_ << " %" << std::flush;
  }
  void clear() const {
    if (shown_) std::cout << "\r\033[K" << std::flush;
  }

 private:
  std::size_t total_;
  bool shown_;
  std::size_t percent_ = 101;
};

auto projected_versions(maestro::node& node) -> maestro::result<std::map<std::string, std::string>> {
  auto rows = node.open_reader()->query("select name, version from installed_packages", {});
  if (!rows) return rows.failure();
  std::map<std::string, std::string> versions;
  for (const auto& row : *rows) versions[row[0].as<std::string>()] = row[1].as<std::string>();
  return versions;
}

// Prints every difference; the number of those that nothing explains.
auto compare_all(maestro::client& client, const dpkg_log& log, const std::map<std::string, dpkg_record>& database,
                 std::map<std::string, std::string> projected, bool fresh) -> maestro::result<std::size_t> {
  std::size_t differing = 0;
  std::size_t unexplained = 0;
  const auto names = known_from_the_start(log);
  for (const auto& name : names) {
    auto replayed = client.replay(package::id::named(name), maestro::max_sequence());
    if (!replayed) return replayed.failure();
    const auto row = projected.find(name);
    const found here{row == projected.end() ? std::nullopt : std::optional(row->second), replayed->value};
    for (const auto& [text, explanation] : compare(name, here, log, database)) {
      std::cout << "difference: " << text << " (" << (explanation.empty() ? "unexplained" : explanation) << ")\n";
      ++differing;
      if (explanation.empty()) ++unexplained;
    }
  }
  if (fresh) {
    for (const auto& line : log.lines) projected.erase(line.name);
    for (const auto& [name, version] : projected) {
      std::cout << "difference: " << name << " " << version << " is in the projection, never in the log (unexplained)\n";
      ++differing;
      ++unexplained;
    }
  }
  std::cout << "compared with dpkg-query: " << names.size() << " packages, whose first line in the log is their installation\n"
            << "differences: " << differing << ", unexplained: " << unexplained << std::endl;
  return unexplained;
}

void print_fed(const dpkg_log& log, const fed& sent, std::chrono::duration<double> took) {
  std::set<std::string> names;
  for (const auto& line : log.lines) names.insert(line.name);
  std::cout << names.size() << " packages, " << log.lines.size() << " commands, " << sent.events << " events in "
            << std::fixed << std::setprecision(2) << took.count() << " s: " << std::setprecision(0)
            << static_cast<double>(log.lines.size()) / took.count() << " commands/s\n";
  if (sent.repeated > 0) std::cout << sent.repeated << " commands were known from an earlier run: repeated, not doubled\n";
  if (log.unreadable > 0) std::cout << log.unreadable << " lines of the log could not be read\n";
  for (const auto& line : sent.refused) std::cout << "not accepted: " << line << '\n';
}

auto run(const std::string& uri, const std::vector<std::string>& files) -> int {
  // Both at one time: what dpkg does from now on is not looked at.
  auto log = read_logs(files);
  if (!log) return report(log.failure());
  auto database = read_database();
  if (!database) return report(database.failure());
  if (log->lines.empty()) return report({maestro::errc::invalid_argument, files.back() + " tells of no package"});

  if (auto ready = maestro::set_up_logging("warn", ""); !ready) return report(ready.failure());
  maestro::node_settings settings;
  settings.port = 0;
  settings.store_uri = uri;
  auto started = maestro::node::start(settings, {maestro::define<package>()});
  if (!started) return report(started.failure());
  auto& node = **started;
  const auto client = node.local_client();
  std::cout << "reading " << files.size() << (files.size() == 1 ? " log" : " logs") << " into " << node.store_name() << std::endl;

  const auto before = node.open_reader()->list_aggregates(package::type, {}, 1);
  if (!before) return report(before.failure());
  const bool fresh = before->empty();
  if (!fresh) std::cout << "this store already holds packages: the comparison is good only if they came from the same logs\n";

  progress_bar bar(log->lines.size());
  const auto start = std::chrono::steady_clock::now();
  const auto sent = feed(*client, log->lines, [&](std::size_t done) { bar.show(done); });
  const auto took = std::chrono::steady_clock::now() - start;
  bar.clear();
  print_fed(*log, sent, took);

  auto projected = projected_versions(node);
  if (!projected) return report(projected.failure());
  const auto unexplained = compare_all(*client, *log, *database, std::move(*projected), fresh);
  if (!unexplained) return report(unexplained.failure());
  if (auto printed = maestro::flush_output(); !printed) return report(printed.failure());
  return *unexplained == 0 && sent.refused.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  maestro::prepare_program(argc, argv);
  CLI::App app{"Sends what dpkg's log tells to a node, a command for each installation, upgrade, removal and purge, and holds\n"
               "what the store then has against dpkg-query.",
               "packages"};
  std::string uri;
  std::vector<std::string> files;
  app.add_option("--store", uri, "sqlite:FILE or postgresql://...; without it a file that is gone in the end")->type_name("URI");
  app.add_option("--log", files, "Read this log (.gz: compressed); repeat it, oldest first. Default: /var/log/dpkg.log*")
      ->type_name("FILE")
      ->take_all();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) {
      app.exit(problem);
      const auto printed = maestro::flush_output();
      return printed ? 0 : report(printed.failure());
    }
    return report({maestro::errc::invalid_argument, std::string(problem.what()) + "; see packages --help"});
  }

  if (files.empty()) files = find_logs();
  if (files.empty()) {
    return report({maestro::errc::invalid_argument,
                   "there is no /var/log/dpkg.log: this is no Debian machine, or its dpkg keeps no log; see packages --help"});
  }
  const temporary_folder folder;
  if (uri.empty()) {
    if (folder.path().empty()) return report({maestro::errc::store_unavailable, "no temporary folder could be made"});
    uri = "sqlite:" + (folder.path() / "packages.db").string();
  }
  return run(uri, files);
}
