// spdlog, set up our way. Messages may quote what came over the network: line breaks and other control characters in
// them are escaped, so that nobody can forge a line.
#include <maestro/runtime/logging.hpp>

#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <optional>
#include <unistd.h>
#include <utility>

namespace maestro {

namespace {

// The message with its control characters as \xHH.
class one_line_message : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& target) override {
    static constexpr std::string_view digits = "0123456789abcdef";
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte != 0x7f) {
        target.push_back(c);
        continue;
      }
      const std::array escaped{'\\', 'x', digits[byte >> 4], digits[byte & 15]};
      target.append(escaped.data(), escaped.data() + escaped.size());
    }
  }

  [[nodiscard]] auto clone() const -> std::unique_ptr<spdlog::custom_flag_formatter> override {
    return std::make_unique<one_line_message>();
  }
};

using log_file = std::unique_ptr<spdlog::details::file_helper>;

// Appended to; made with its folders where it is not there. Throws `spdlog_ex`.
auto open_file(const std::string& path) -> log_file {
  auto file = std::make_unique<spdlog::details::file_helper>();
  file->open(path);
  return file;
}

// The same, unless it is a pipe that nothing reads: to open that would wait for a reader.
auto open_file_at_once(const std::string& path) -> log_file {
  struct open_meanwhile {
    ~open_meanwhile() {
      if (descriptor >= 0) ::close(descriptor);
    }
    const int descriptor;
  };
  const open_meanwhile probe{::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
  if (probe.descriptor < 0 && errno == ENXIO)
    throw spdlog::spdlog_ex("Failed opening file " + path + ": it is a pipe that no program reads");
  return open_file(path);
}

// Where a log goes: to a file, or to stderr. It can be sent elsewhere while threads log.
class log_target final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// Null: to stderr.
  void send_to(log_file file) {
    const std::lock_guard lock(mutex_);
    std::swap(file_, file);
  }
  /// Opens the file of the same name anew, if it goes to a file. Threads log on meanwhile. Throws `spdlog_ex`, and then
  /// goes on with the one it has.
  void reopen() {
    const auto name = [this] {
      const std::lock_guard lock(mutex_);
      return file_ ? std::optional(file_->filename()) : std::nullopt;
    };
    const auto before = name();
    if (!before) return;
    auto fresh = open_file_at_once(*before);
    const std::lock_guard lock(mutex_);
    // It may have been sent elsewhere meanwhile.
    if (file_ && file_->filename() == *before) std::swap(file_, fresh);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (file_)
      file_->write(line);
    else
      std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void flush_() override {
    if (file_)
      file_->flush();
    else
      std::fflush(stderr);
  }

 private:
  log_file file_;
};

struct log_and_target {
  std::shared_ptr<log_target> target;
  std::shared_ptr<spdlog::logger> logger;
};

void set_level(spdlog::logger& logger, spdlog::level::level_enum level) {
  logger.set_level(level);
  logger.flush_on(level);  // what was logged before a crash is what one wants to read
}

auto new_log(spdlog::level::level_enum level) -> log_and_target {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<one_line_message>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %*");
  auto target = std::make_shared<log_target>();
  auto logger = std::make_shared<spdlog::logger>("maestro", target);
  logger->set_formatter(std::move(formatter));
  set_level(*logger, level);
  return {std::move(target), std::move(logger)};
}

// The program's.
auto current() -> log_and_target& {
  static auto log = new_log(spdlog::level::info);
  return log;
}

// Gives `log` this level and file.
auto set_up(const log_and_target& log, std::string_view level, const std::string& file) -> result<void> {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    return error{errc::invalid_setting, "there is no log level " + std::string(level)};
  }
  if (file.find("://") != file.npos) return error{errc::invalid_setting, "log.file takes the path of a file, not an address"};
  try {
    log.target->send_to(file.empty() ? nullptr : open_file(file));
  } catch (const spdlog::spdlog_ex& problem) {
    return error{errc::invalid_setting, "the log file cannot be written: " + std::string(problem.what())};
  }
  set_level(*log.logger, parsed);
  return {};
}

}  // namespace

auto make_log(std::string_view level, const std::string& file) -> result<std::shared_ptr<spdlog::logger>> {
  auto made = new_log(spdlog::level::info);
  if (auto ready = set_up(made, level, file); !ready) return std::move(ready).failure();
  return std::move(made.logger);
}

auto set_up_logging(std::string_view level, const std::string& file) -> result<void> {
  return set_up(current(), level, file);
}

auto reopen_log() -> result<void> {
  try {
    current().target->reopen();
    return {};
  } catch (const spdlog::spdlog_ex& problem) {
    return error{errc::invalid_setting, "the log file cannot be opened anew: " + std::string(problem.what())};
  }
}

auto log() -> spdlog::logger& {
  return *current().logger;
}

auto shared_log() -> std::shared_ptr<spdlog::logger> {
  return current().logger;
}

}  // namespace maestro
