// Reads a configuration file in CAF's own format into a flat list of keys and values. CAF's reader (0.17.6) is not
// used: it silently loses the rest of a file that lacks a brace, the second of two groups with the same name, and
// whatever follows the last brace; its comment sign changed between releases; and it cannot say which line a value came
// from.
#pragma once

#include <maestro/store/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// How a value was written.
enum class config_kind {
  text,   ///< In quotes; `config_entry::text` is what they hold, escapes resolved.
  word,   ///< A bare word: a number, a boolean, a duration, or a mistake.
  list,   ///< `[...]`, as it was written.
  group,  ///< `{}` with nothing in it; other groups show as the keys they hold.
};

/// One `key = value`; the key with its groups, separated by dots.
struct config_entry {
  std::string key;
  config_kind kind = config_kind::word;
  std::string text;
  int line = 0;

  friend auto operator==(const config_entry&, const config_entry&) -> bool = default;
};

/// The entries of `text`, in order. `name` is the file's, for messages. Groups are `name { ... }`, `name = { ... }`,
/// `[name]` sections and dotted keys, all alike; `#` and `;` start comments; entries end with their line or a comma. A
/// group may be written in several places, a key only in one. Errors: `invalid_setting`, as `FILE:LINE: what is wrong`;
/// values are not repeated in it, they may be secret.
[[nodiscard]] auto read_config(std::string_view text, std::string_view name) -> result<std::vector<config_entry>>;

/// `read_config` for a file, at most 1 MiB. Errors: also `invalid_argument` when the file cannot be read.
[[nodiscard]] auto read_config_file(const std::string& path) -> result<std::vector<config_entry>>;

}  // namespace maestro
