// What dpkg has to say: its log, which becomes the commands, and its database, which the result is held against.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/id.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace packages {

enum class action { install, upgrade, remove, purge };

/// One line of the log that did something to a package.
struct log_line {
  packages::action action = action::install;
  std::string name;     ///< With its architecture: `bash:amd64`.
  std::string from;     ///< The version that was there; empty for none.
  std::string version;  ///< The version that came; empty for none.
  /// Follows from the line's text, and from how many lines like it came before: the same in every run.
  maestro::command_id command_id;
};

/// What dpkg says of one package.
struct dpkg_record {
  std::string version;
  std::string status;  ///< `installed`, `config-files`, `half-installed` ...
};

struct dpkg_log {
  std::vector<log_line> lines;
  std::map<std::string, dpkg_record> last_status;  ///< The last `status` line of each package.
  std::map<std::string, bool> disappeared;  ///< Packages whose last file another one took over.
  std::size_t unreadable = 0;               ///< Lines that begin like one of ours and do not go on like it.
};

/// This machine's logs, oldest first: `dpkg.log.N.gz` ... `dpkg.log.1`, `dpkg.log`. Empty when there is none.
[[nodiscard]] auto find_logs(const std::string& folder = "/var/log") -> std::vector<std::string>;

/// Reads `files` in this order; those that end in `.gz` through zcat. Errors: `invalid_argument` (cannot be read).
[[nodiscard]] auto read_logs(const std::vector<std::string>& files) -> maestro::result<dpkg_log>;

/// dpkg's database by name and architecture. Errors: `invalid_argument` (no dpkg-query here, or it failed).
[[nodiscard]] auto read_database() -> maestro::result<std::map<std::string, dpkg_record>>;

}  // namespace packages
