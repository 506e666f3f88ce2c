// What the test kit says when something is not as expected: both lists as JSON, one by one, and which members differ.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::detail {

/// One event or row, as it is shown and compared.
struct listed {
  std::string name;  ///< The event's registered name; empty for a row.
  std::string json;  ///< An object, or an array for a row; valid JSON.
};

/// How a difference is told.
struct difference_words {
  std::string_view each = "event";
  std::string_view expected = "expected";
  std::string_view found = "found";
  std::string_view same = "as expected";
};

struct list_difference {
  std::vector<std::size_t> places;  ///< Where the lists differ, counted from 1; empty when they are equal.
  std::string lines;                ///< Both lists, one line for each that is the same; each line begins with `\n`.
};

/// Compares place by place: by name, and by JSON as values, so that the order of members does not matter. The lines are
/// bounded: long texts are shortened, and long lists show their differences first.
[[nodiscard]] auto compare_lists(std::span<const listed> expected, std::span<const listed> found,
                                 const difference_words& words = {}) -> list_difference;

/// `event 2 differs`, `events 2, 3 differ`.
[[nodiscard]] auto places_text(const list_difference& difference, std::string_view each) -> std::string;

/// The members in which two JSON texts differ, each line beginning with `\n` and `indent`: `cents: expected 5, found
/// 6`. Empty when they are equal as values.
[[nodiscard]] auto member_differences(std::string_view expected, std::string_view found, std::string_view indent,
                                      const difference_words& words = {}) -> std::string;

/// The top-level members of `json` (an object) whose value differs from the one in `other`, or is missing there.
[[nodiscard]] auto members_unlike(std::string_view json, std::string_view other) -> std::vector<std::string>;

/// `text`, cut when it is longer than `longest` bytes, with its size.
[[nodiscard]] auto shortened(std::string_view text, std::size_t longest = 1000) -> std::string;

}  // namespace maestro::detail
