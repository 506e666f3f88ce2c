// The log: one line per message, on stderr or appended to a file, in UTC with milliseconds.
#pragma once

#include <maestro/store/error.hpp>

#include <spdlog/logger.h>

#include <memory>
#include <string>
#include <string_view>

namespace maestro {

/// Sends the log to the file `file` (appended to; made with its folders when it is not there), or to stderr when it is
/// empty; `level` is `off`, `error`, `warn`, `info`, `debug` or `trace`. Any thread may call it, also while others log: what
/// `shared_log` has handed out goes to the new file, too. Errors: `invalid_setting`, the file cannot be written or there is no
/// such level; then nothing has changed.
[[nodiscard]] auto set_up_logging(std::string_view level, const std::string& file) -> result<void>;

/// Opens the log's file anew under its name, for programs such as logrotate that have moved it away; nothing where the log goes to
/// stderr. Any thread may call it. Errors: `invalid_setting`, the file cannot be opened; then the log goes on to the one it has.
[[nodiscard]] auto reopen_log() -> result<void>;

/// The log; on stderr, level `info`, until it is set up. Any thread may log.
[[nodiscard]] auto log() -> spdlog::logger&;

/// The same, for those who keep it.
[[nodiscard]] auto shared_log() -> std::shared_ptr<spdlog::logger>;

/// A log of its own for `level` and `file`, as `set_up_logging` would make it.
[[nodiscard]] auto make_log(std::string_view level, const std::string& file) -> result<std::shared_ptr<spdlog::logger>>;

}  // namespace maestro
