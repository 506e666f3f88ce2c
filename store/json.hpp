// The guard between JSON and everything else. Every body that is written and every payload that arrives passes here once:
// grammar, size, depth, UTF-8, and the values that jsonb cannot hold.
#pragma once

#include <maestro/store/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace maestro {

/// What a JSON text may be.
struct json_limits {
  std::size_t bytes = 1024 * 1024;  ///< Size of the text.
  std::size_t depth = 64;           ///< Nesting of objects and arrays.
};

/// Checks `text` and returns it without the whitespace between its tokens; nothing else changes. The text must be one JSON
/// object within `limits`: valid UTF-8, RFC 8259 grammar, no NUL character (jsonb refuses `\u0000`), no lone surrogate,
/// and no number beyond the range of a double (NaN and Infinity are no JSON at all), of more than 1000 characters or with an
/// exponent beyond 400 either way (jsonb would write it out). Runs in one pass, in constant stack.
/// Errors: `malformed_payload`, saying what is wrong and at which byte.
[[nodiscard]] auto json_compact(std::string_view text, json_limits limits = {}) -> result<std::string>;

/// `json_compact` without the copy: checks only.
[[nodiscard]] auto json_check(std::string_view text, json_limits limits = {}) -> result<void>;

/// `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] auto json_quote(std::string_view text) -> std::string;

/// The JSON object that `text` denotes with its members sorted by name at every level and without whitespace. A number keeps
/// its kind: `100` and `100.0` differ, `1e2` and `100.0` do not. `text` must have passed `json_check`. Errors:
/// `malformed_payload` when an object has two members of one name.
[[nodiscard]] auto json_canonical(std::string_view text) -> result<std::string>;

/// Tells two uses of one command id apart: the first 16 bytes of SHA-256 over the command's name, one NUL byte, and the
/// canonical form of its payload. `payload` must have passed `json_check`.
[[nodiscard]] auto command_fingerprint(std::string_view command, std::string_view payload)
    -> result<std::array<std::uint8_t, 16>>;

}  // namespace maestro
