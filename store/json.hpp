// The guard between JSON and everything else. Every body that is written and every payload that arrives passes here once:
// grammar, size, depth, UTF-8, and the values that jsonb cannot hold.
#pragma once

#include <maestro/store/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// What a JSON text may be.
struct json_limits {
  std::size_t bytes = 1024 * 1024;  ///< Size of the text.
  std::size_t depth = 64;           ///< Nesting of objects and arrays.
  bool names_differ = true;         ///< Whether an object with two members of one name is refused.
  bool values_defined = true;       ///< Whether an enum's value must be one of its `defined_values` (codec.hpp).

  /// For what a store holds already: it was judged when it was written, perhaps by another program, and a database may write a
  /// number out in more digits. The depth is what can be read without exhausting a thread's stack.
  [[nodiscard]] static constexpr auto of_stored() -> json_limits {
    return {std::numeric_limits<std::size_t>::max(), 1000, false, false};
  }
};

/// Checks `text` and returns it without the whitespace between its tokens, and with -0.0 (any zero with a sign) as 0.0;
/// nothing else changes. The text must be one JSON object within `limits`: valid UTF-8, RFC 8259 grammar, no NUL
/// character (jsonb refuses `\u0000`), no lone surrogate, and no number beyond the range of a double (NaN and Infinity
/// are no JSON at all), of more than 1000 characters or with an exponent beyond 400 either way (jsonb would write it
/// out), and no two members of one name in an object (jsonb keeps the last, other readers the first). Runs in one pass,
/// in constant stack, whatever the locale. Errors: `malformed_payload`, saying what is wrong and at which byte.
[[nodiscard]] auto json_compact(std::string_view text, json_limits limits = {}) -> result<std::string>;

/// A text as `json_compact` returns it.
struct compact_json {
  std::string text;
  bool lost_a_sign = false;  ///< It held a zero with a sign.
};
/// `json_compact`, and whether a number was changed.
[[nodiscard]] auto json_compact_noting(std::string_view text, json_limits limits = {}) -> result<compact_json>;

/// `json_compact` without the copy: checks only.
[[nodiscard]] auto json_check(std::string_view text, json_limits limits = {}) -> result<void>;
/// `json_check`, and whether `json_compact` would change a number.
[[nodiscard]] auto json_has_signed_zero(std::string_view text, json_limits limits = {}) -> result<bool>;

/// A member of an object: its name, and its value as it is written.
struct json_member {
  std::string name;
  std::string_view value;
};
/// The members of the object `text`, in their order; those inside of other members are not looked at. `text` must have
/// passed `json_check`, with any limits. Runs in constant stack.
[[nodiscard]] auto json_members(std::string_view text) -> std::vector<json_member>;

/// `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] auto json_quote(std::string_view text) -> std::string;

/// The JSON object that `text` denotes with its members sorted by name at every level and without whitespace. A number keeps
/// its kind: `100` and `100.0` differ, `1e2` and `100.0` do not. `text` must have passed `json_check`. Errors:
/// `malformed_payload` when an object has two members of one name.
[[nodiscard]] auto json_canonical(std::string_view text) -> result<std::string>;

/// `text`, which must have passed `json_check`, with the members of each object in the order in which jsonb keeps them: shorter
/// names first, those of one length by their bytes.
[[nodiscard]] auto json_in_stored_order(std::string_view text) -> std::string;

/// The name of the first member beside which the same object has members called value0, value1 ... in this order, as cereal
/// calls those without a name; none when no object mixes them. `text` must have passed `json_check`.
[[nodiscard]] auto json_mixed_member(std::string_view text) -> std::optional<std::string>;

/// Tells two uses of one command id apart: the first 16 bytes of SHA-256 over the command's name, one NUL byte, and the
/// canonical form of its payload. `payload` must have passed `json_check`.
[[nodiscard]] auto command_fingerprint(std::string_view command, std::string_view payload)
    -> result<std::array<std::uint8_t, 16>>;

}  // namespace maestro
