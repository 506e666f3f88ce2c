// The table behind the settings: one row per key. Inside runtime/ only; programs use <maestro/runtime/settings.hpp>.
#pragma once

#include <maestro/runtime/settings.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace maestro {

/// Where a setting is kept; the pointer's type is the setting's.
using setting_target =
    std::variant<std::string*, bool*, std::uint16_t*, int*, std::size_t*, std::chrono::milliseconds*>;

/// One row. Bounds are inclusive; a duration's are in milliseconds, a text's are ignored.
struct setting {
  std::string_view key;
  std::string_view value_name;  ///< Stands for the value in the help text.
  setting_target (*target)(node_settings&);
  std::string_view meaning;
  std::int64_t minimum = 0;
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();
  std::string_view choices = {};  ///< What a text may be, separated by spaces; empty = anything.
  std::string_view alias = {};    ///< The command line's short name.

  /// The key without `maestro.`: the name of the command line's option.
  [[nodiscard]] auto option() const -> std::string_view;
};

/// All rows, those of one group together.
[[nodiscard]] auto setting_table() -> std::span<const setting>;

/// The row of `key`, or null. CAF's own keys may have the prefix `caf.` that its later releases give them.
[[nodiscard]] auto find_setting(std::string_view key) -> const setting*;

/// The key that `key` was probably meant to be, if one is close.
[[nodiscard]] auto nearest_key(std::string_view key) -> std::optional<std::string_view>;

/// Stores `text` as the setting's value. Returns what is wrong with it, to be put after the key, or nothing. `quoted`
/// says that the value was written as a text; without it, a text is taken as it stands (the command line has no
/// quotes).
[[nodiscard]] auto assign(const setting& row, node_settings& settings, std::string_view text, bool quoted)
    -> std::optional<std::string>;

/// What is wrong with the characters of `text` as the setting's value, to be put after the key, or nothing. Settings are printed, in
/// lines that programs read.
[[nodiscard]] auto wrong_text(const setting& row, std::string_view text) -> std::optional<std::string>;

/// `[::1]` is `::1`: the brackets keep an IPv6 address and a port apart, where both stand together.
[[nodiscard]] auto without_brackets(std::string_view host) -> std::string_view;

/// `text` for the end of a sentence about a value of the wrong type: "the integer 5".
[[nodiscard]] auto describe_word(std::string_view text) -> std::string;

/// "a text", "an integer", "true or false", "a duration such as 500ms", or the choices.
[[nodiscard]] auto expected_type(const setting& row) -> std::string;

/// The value as the configuration file writes it. A password in a store's URI is left out.
[[nodiscard]] auto render_value(const setting& row, const node_settings& settings) -> std::string;

}  // namespace maestro
