#include "dpkg.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

namespace packages {

namespace {

using maestro::errc;
using maestro::error;

// Runs `command` and hands over its output line by line.
auto read_command(const std::string& command, const std::function<void(const std::string&)>& each) -> bool {
  auto* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return false;
  char* line = nullptr;
  std::size_t capacity = 0;
  for (auto size = ::getline(&line, &capacity, pipe); size > 0; size = ::getline(&line, &capacity, pipe)) {
    std::string text(line, static_cast<std::size_t>(size));
    if (text.back() == '\n') text.pop_back();
    each(text);
  }
  std::free(line);
  return ::pclose(pipe) == 0;
}

auto shell_quoted(const std::string& text) -> std::string {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

auto read_lines(const std::string& file, const std::function<void(const std::string&)>& each) -> bool {
  if (file.ends_with(".gz")) return read_command("zcat -- " + shell_quoted(file), each);
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) each(line);
  return in.eof() && !in.bad();
}

auto action_of(std::string_view word) -> std::optional<action> {
  if (word == "install") return action::install;
  if (word == "upgrade") return action::upgrade;
  if (word == "remove") return action::remove;
  if (word == "purge") return action::purge;
  return std::nullopt;
}

// Milliseconds since the Unix epoch of the line's date, read as UTC, and none when it is no date.
auto date_of(const std::string& date) -> std::optional<std::uint64_t> {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (std::sscanf(date.c_str(), "%4d-%2u-%2u", &year, &month, &day) != 3) return std::nullopt;
  const std::chrono::year_month_day value{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!value.ok() || year < 1971) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::sys_days(value).time_since_epoch()).count();
}

// A command id carries a time that must not lie in the future. The log's is local time; the day before its date is past
// everywhere.
auto command_id_of(std::uint64_t date, const std::string& line, int repetition) -> maestro::command_id {
  constexpr std::uint64_t one_day = 86'400'000;
  const auto parent = maestro::command_id::make(date - one_day, 0, 0);
  return maestro::derive_command_id(parent, line + "\n" + std::to_string(repetition));
}

class log_reader {
 public:
  void read(const std::string& line) {
    std::istringstream words(line);
    std::string date, time, verb;
    words >> date >> time >> verb;
    if (verb == "status") {
      std::string status, name, version;
      if (words >> status >> name >> version) log_.last_status[name] = {without_none(version), status};
    } else if (verb == "disappear") {
      if (std::string name; words >> name) log_.disappeared[name] = true;
    } else if (const auto what = action_of(verb)) {
      log_line read;
      read.action = *what;
      const auto day = date_of(date);
      if (!day || !(words >> read.name >> read.from >> read.version)) {
        ++log_.unreadable;
        return;
      }
      read.from = without_none(read.from);
      read.version = without_none(read.version);
      read.command_id = command_id_of(*day, line, ++seen_[line]);
      if (*what == action::install || *what == action::upgrade) log_.disappeared.erase(read.name);
      log_.lines.push_back(std::move(read));
    }
  }

  auto take() -> dpkg_log { return std::move(log_); }

 private:
  static auto without_none(const std::string& version) -> std::string { return version == "<none>" ? "" : version; }

  dpkg_log log_;
  std::map<std::string, int> seen_;
};

}  // namespace

auto find_logs(const std::string& folder) -> std::vector<std::string> {
  std::map<int, std::string, std::greater<>> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    if (name == "dpkg.log") {
      found[0] = entry.path();
    } else if (name.starts_with("dpkg.log.")) {
      auto number = name.substr(9);
      if (number.ends_with(".gz")) number.resize(number.size() - 3);
      const bool digits = !number.empty() && number.size() < 6 && number.find_first_not_of("0123456789") == std::string::npos;
      if (digits) found[std::stoi(number)] = entry.path();
    }
  }
  std::vector<std::string> files;
  for (auto& [number, file] : found) files.push_back(std::move(file));
  return files;
}

auto read_logs(const std::vector<std::string>& files) -> maestro::result<dpkg_log> {
  log_reader reader;
  for (const auto& file : files) {
    if (!std::filesystem::is_regular_file(file) ||
        !read_lines(file, [&](const std::string& line) { reader.read(line); }))
      return error{errc::invalid_argument, file + " is no log that can be read"};
  }
  return reader.take();
}

auto read_database() -> maestro::result<std::map<std::string, dpkg_record>> {
  std::map<std::string, dpkg_record> records;
  const bool done = read_command(
      "dpkg-query -W -f='${Package}:${Architecture} ${db:Status-Status} ${Version}\\n'", [&](const std::string& line) {
        std::istringstream words(line);
        std::string name;
        dpkg_record record;
        words >> name >> record.status >> record.version;
        records[name] = std::move(record);
      });
  if (!done) return error{errc::invalid_argument, "dpkg-query failed, or this is no Debian machine"};
  return records;
}

}  // namespace packages
