// Requests, and what a store answers, as lines of text: what is expected and what is found are compared, and shown, as
// such.
#pragma once

#include "history_model.hpp"

#include <maestro/store/store.hpp>

#include <string>
#include <vector>

namespace maestro::test {

using lines = std::vector<std::string>;

[[nodiscard]] auto text_of(const event& event) -> std::string;
[[nodiscard]] auto text_of(const aggregate_head& head) -> std::string;
[[nodiscard]] auto text_of(const snapshot& snapshot) -> std::string;
[[nodiscard]] auto text_of(const timestamp& timestamp) -> std::string;
[[nodiscard]] auto text_of(const verdict& verdict) -> std::string;
[[nodiscard]] auto text_of(const sql_row& row) -> std::string;
/// Its aggregate, predecessor and events, with what is said about them.
[[nodiscard]] auto text_of(const planned_request& planned) -> std::string;

template <class Value>
[[nodiscard]] auto lines_of(const std::vector<Value>& values) -> lines {
  lines all;
  for (const auto& value : values) all.push_back(text_of(value));
  return all;
}
template <class Value>
[[nodiscard]] auto lines_of(const std::optional<Value>& value) -> lines {
  return value ? lines{text_of(*value)} : lines{};
}
[[nodiscard]] inline auto lines_of(const timestamp& timestamp) -> lines {
  return {text_of(timestamp)};
}
/// What was found, or the failure.
template <class Value>
[[nodiscard]] auto lines_of(const result<Value>& found) -> lines {
  return found ? lines_of(*found) : lines{"failure: " + to_string(found.failure())};
}

/// Where `found` first differs from `expected`; nothing when it does not.
[[nodiscard]] auto difference(const lines& expected, const lines& found) -> std::optional<std::string>;

}  // namespace maestro::test
