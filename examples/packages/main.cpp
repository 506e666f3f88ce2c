// Real input that nobody made for us: reads this machine's dpkg logs, sends what they tell as commands to an aggregate per
// package, and holds the projection and the replayed states against what dpkg-query says is installed.
#include "package.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>

#include <CLI/CLI.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace packages;
namespace files = std::filesystem;

struct log_line {
  std::string text;
  std::string action;
  std::string name;  ///< With its architecture: `bash:amd64`.
  std::string version;
};

// The lines that `command` prints; false when it fails.
auto lines_of(const std::string& command, std::vector<std::string>& lines) -> bool {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return false;
  std::string line;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c != '\n') line.push_back(static_cast<char>(c));
    else lines.push_back(std::exchange(line, {}));
  }
  if (!line.empty()) lines.push_back(line);
  return ::pclose(pipe) == 0;
}

auto in_quotes(const std::string& path) -> std::string {
  std::string quoted = "'";
  for (const char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// The machine's logs, oldest first: dpkg.log.12.gz ... dpkg.log.1, dpkg.log.
auto machine_logs() -> std::vector<std::string> {
  std::map<int, std::string, std::greater<>> by_age;
  if (files::exists("/var/log/dpkg.log")) by_age[0] = "/var/log/dpkg.log";
  for (int age = 1; age <= 100; ++age)
    for (const char* ending : {"", ".gz"}) {
      const auto path = "/var/log/dpkg.log." + std::to_string(age) + ending;
      if (files::exists(path)) by_age[age] = path;
    }
  std::vector<std::string> logs;
  for (const auto& [age, path] : by_age) logs.push_back(path);
  return logs;
}

auto read_log(const std::string& path, std::vector<log_line>& into) -> bool {
  std::vector<std::string> lines;
  if (!lines_of((path.ends_with(".gz") ? "gzip -dc " : "cat ") + in_quotes(path), lines)) return false;
  for (const auto& line : lines) {
    std::istringstream words(line);
    std::string date, time, before;
    log_line entry;
    words >> date >> time >> entry.action >> entry.name >> before >> entry.version;
    if (!words || (entry.action != "install" && entry.action != "upgrade" && entry.action != "remove" && entry.action != "purge"))
      continue;
    entry.text = line;
    into.push_back(std::move(entry));
  }
  return true;
}

// The same line of the same log always makes the same command: running twice repeats, and changes nothing.
auto command_id_of(const log_line& line, std::size_t number) -> maestro::command_id {
  const auto digest = maestro::sha256_16(std::to_string(number) + ":" + line.text);
  maestro::command_id id{digest};
  std::fill_n(id.bytes.begin(), 8, std::uint8_t{0});  // Made at no time in particular: looked up in the whole log.
  return id;
}

// Lets `limit` commands be under way at a time, and counts what became of them.
class window {
 public:
  explicit window(std::size_t limit) : limit_(limit) {}
  void enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_ < limit_; });
    ++open_;
  }
  void leave(const maestro::receipt& got, const std::string& line) {
    const std::lock_guard lock(mutex_);
    --open_;
    ++answered;
    if (got.answer.failure) failures.push_back(line + ": " + to_string(got.answer.failure));
    else if (got.answer.last > 0) events += static_cast<std::size_t>(got.answer.last - got.answer.first + 1);
    if (got.answer.repeated) ++repeated;
    changed_.notify_all();
  }
  void wait_for_all() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_ == 0; });
  }
  std::size_t answered = 0;
  std::size_t events = 0;
  std::size_t repeated = 0;
  std::vector<std::string> failures;

 private:
  const std::size_t limit_;
  std::size_t open_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

void show_progress(std::size_t done, std::size_t all) {
  constexpr std::size_t width = 50;
  const std::size_t filled = all == 0 ? width : done * width / all;
  std::cout << "\r[" << std::string(filled, '#') << std::string(width - filled, ' ') << "] " << done << "/" << all
            << std::flush;
}

void send_line(maestro::client& client, const log_line& line, std::size_t number, window& open) {
  const auto id = package::id::named(line.name);
  maestro::send_options options;
  options.command_id = command_id_of(line, number);
  const auto done = [&open, text = line.text](const maestro::receipt& got) { open.leave(got, text); };
  if (line.action == "install") client.send_async(id, install{line.name, line.version}, options, done);
  else if (line.action == "upgrade") client.send_async(id, upgrade{line.name, line.version}, options, done);
  else if (line.action == "remove") client.send_async(id, packages::remove{}, options, done);
  else client.send_async(id, purge{}, options, done);
}

// What dpkg itself says is installed: name with architecture, and version.
auto ask_dpkg(std::map<std::string, std::string>& versions) -> bool {
  std::vector<std::string> lines;
  if (!lines_of("dpkg-query -W -f='${Package}:${Architecture} ${Version} ${db:Status-Status}\\n'", lines)) return false;
  for (const auto& line : lines) {
    std::istringstream words(line);
    std::string name, version, status;
    words >> name >> version >> status;
    if (status != "not-installed" && status != "config-files") versions[name] = version;
  }
  return true;
}

auto fail(int status, const std::string& message) -> int {
  std::cerr << "packages: " << message << std::endl;
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::string uri;
  std::vector<std::string> logs;
  CLI::App app{"Sends this machine's dpkg log through aggregates, and compares the outcome with dpkg's own.", "packages"};
  app.add_option("--store", uri, "sqlite:FILE or postgresql://...; default: a file that is gone afterwards")->type_name("URI");
  app.add_option("--log", logs, "A dpkg log to read, oldest first; default: the machine's, with the rotated ones");
  CLI11_PARSE(app, argc, argv);

  if (logs.empty()) logs = machine_logs();
  if (logs.empty()) return fail(2, "this machine has no /var/log/dpkg.log; name a log with --log");
  std::vector<log_line> lines;
  for (const auto& path : logs)
    if (!read_log(path, lines)) return fail(2, "cannot read " + path);

  std::string scratch;
  if (uri.empty()) {
    scratch = (files::temp_directory_path() / "maestro-packages-XXXXXX").string();
    if (::mkdtemp(scratch.data()) == nullptr) return fail(1, "cannot make a temporary folder");
    uri = "sqlite:" + scratch + "/packages.db";
  }
  struct clean_up {
    std::string path;
    ~clean_up() {
      std::error_code ignored;
      if (!path.empty()) files::remove_all(path, ignored);
    }
  } const cleaning{scratch};

  (void)maestro::set_up_logging("warn", "");
  maestro::node_settings settings;
  settings.port = 0;
  settings.store_uri = uri;
  auto started = maestro::node::start(settings, {maestro::define<package>()});
  if (!started) return fail(maestro::exit_status(started.failure()), to_string(started.failure()));
  auto& node = **started;
  const auto client = node.local_client();

  std::set<std::string> names;
  std::set<std::string> known_from_start;  // Packages whose first line is their installation.
  for (const auto& line : lines)
    if (names.insert(line.name).second && line.action == "install") known_from_start.insert(line.name);

  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  window open(256);
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    open.enter();
    send_line(*client, lines[i], i, open);
    if (terminal && (i % 64 == 0 || i + 1 == lines.size())) show_progress(i + 1, lines.size());
  }
  open.wait_for_all();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (terminal) std::cout << '\n';
  for (const auto& failure : open.failures) std::cout << "not accepted: " << failure << '\n';
  std::cout << names.size() << " packages, " << lines.size() << " commands, " << open.events << " events";
  if (open.repeated > 0) std::cout << " (" << open.repeated << " commands had been sent before)";
  std::cout << ", " << static_cast<long>(static_cast<double>(lines.size()) / took.count()) << " commands/s on "
            << node.store_name() << '\n';

  std::map<std::string, std::string> expected;
  if (!ask_dpkg(expected)) return fail(2, "dpkg-query does not work here");
  auto rows = node.open_reader()->query("select name, version from installed_packages", {});
  if (!rows) return fail(1, to_string(rows.failure()));
  std::map<std::string, std::string> projected;
  for (const auto& row : *rows) projected[row[0].as<std::string>()] = row[1].as<std::string>();

  std::size_t differences = 0;
  const auto version_in = [](const std::map<std::string, std::string>& of, const std::string& name) {
    const auto found = of.find(name);
    return found == of.end() ? std::string() : found->second;
  };
  const auto shown = [](const std::string& version) { return version.empty() ? "not installed" : version; };
  for (const auto& name : known_from_start) {
    const auto dpkg = version_in(expected, name);
    const auto row = version_in(projected, name);
    const auto state = client->replay(package::id::named(name), maestro::max_sequence());
    if (!state) return fail(1, name + ": " + to_string(state.failure()));
    if (row == dpkg && state->value.version == dpkg) continue;
    ++differences;
    std::cout << "differs: " << name << ": dpkg says " << shown(dpkg) << ", the projection " << shown(row)
              << ", the replayed state " << shown(state->value.version) << '\n';
  }
  std::cout << known_from_start.size() << " packages compared with dpkg-query (those whose first line is their installation), "
            << differences << " differences" << std::endl;
  return differences == 0 && open.failures.empty() ? 0 : 1;
}
