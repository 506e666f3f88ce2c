// Holds what the store has of each package against what dpkg says.
#pragma once

#include "dpkg.hpp"
#include "package.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace packages {

/// What the store has of one package.
struct found {
  std::optional<std::string> projected;  ///< The version in `installed_packages`, if the package is there.
  package_state replayed;                ///< Rebuilt from its events.
};

struct difference {
  std::string text;
  std::string explanation;  ///< Empty: there is none.
};

/// What is to be found of `name`, and is not. `database` is dpkg's, `log` what the commands came from. The rules:
/// - dpkg has it (also unpacked, half configured, waiting for triggers): in the projection, installed, with that version;
/// - dpkg has its configuration files only: not in the projection, removed;
/// - dpkg does not know it: not in the projection, removed (it had no configuration files) or purged.
/// A difference is explained when the log itself tells of it: an attempt that dpkg gave up, a package that disappeared
/// because another one took over its files, an architecture that changed.
[[nodiscard]] auto compare(const std::string& name, const found& here, const dpkg_log& log,
                           const std::map<std::string, dpkg_record>& database) -> std::vector<difference>;

/// The packages whose first line in the log is their installation: of the others, the log does not know the beginning.
[[nodiscard]] auto known_from_the_start(const dpkg_log& log) -> std::vector<std::string>;

}  // namespace packages
