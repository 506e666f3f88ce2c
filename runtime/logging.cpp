// spdlog, set up our way. Messages may quote what came over the network: line breaks and other control characters in
// them are escaped, so that nobody can forge a line.
#include <maestro/runtime/logging.hpp>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
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

auto make_logger(spdlog::sink_ptr sink, spdlog::level::level_enum level) -> std::shared_ptr<spdlog::logger> {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<one_line_message>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %*");
  auto logger = std::make_shared<spdlog::logger>("maestro", std::move(sink));
  logger->set_formatter(std::move(formatter));
  logger->set_level(level);
  logger->flush_on(level);  // what was logged before a crash is what one wants to read
  return logger;
}

auto current() -> std::shared_ptr<spdlog::logger>& {
  static auto logger = make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), spdlog::level::info);
  return logger;
}

}  // namespace

auto make_log(std::string_view level, const std::string& file) -> result<std::shared_ptr<spdlog::logger>> {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    return error{errc::invalid_setting, "there is no log level " + std::string(level)};
  }
  try {
    if (file.empty()) return make_logger(std::make_shared<spdlog::sinks::stderr_sink_mt>(), parsed);
    return make_logger(std::make_shared<spdlog::sinks::basic_file_sink_mt>(file), parsed);
  } catch (const spdlog::spdlog_ex& problem) {
    return error{errc::invalid_setting, "the log file cannot be written: " + std::string(problem.what())};
  }
}

auto set_up_logging(std::string_view level, const std::string& file) -> result<void> {
  auto made = make_log(level, file);
  if (!made) return std::move(made).failure();
  current() = std::move(made).value();
  return {};
}

auto log() -> spdlog::logger& {
  return *current();
}

auto shared_log() -> std::shared_ptr<spdlog::logger> {
  return current();
}

}  // namespace maestro
