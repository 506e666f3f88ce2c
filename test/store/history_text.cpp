#include "history_text.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

namespace maestro::test {

namespace {

auto field_text(const sql_value& value) -> std::string {
  return std::visit(
      []<class T>(const T& field) -> std::string {
        if constexpr (std::is_same_v<T, std::monostate>)
          return "null";
        else if constexpr (std::is_same_v<T, std::string>)
          return field;
        else if constexpr (std::is_same_v<T, sql_bytes>)
          return hex(field.bytes);
        else
          return std::to_string(field);
      },
      value.get());
}

auto unit_text(const commit_unit& unit) -> std::string {
  std::string text = unit.projector != nullptr ? " [projected" : " [plain";
  if (unit.expires_at != 0) text += ", expired";
  for (const auto& event : unit.events) text += "; " + text_of(event);
  return text + "]";
}

}  // namespace

auto text_of(const event& event) -> std::string {
  return std::to_string(event.sequence) + " of " + event.aggregate_type + " " + event.aggregate_id.text() + " at " +
         event.timestamp.text() + ": " + event.type + " " + event.body + " by " +
         (event.command_id ? event.command_id->text() : "nobody") + " " + event.metadata;
}

auto text_of(const aggregate_head& head) -> std::string {
  return std::to_string(head.sequence) + " of " + head.aggregate_id.text() + " at " + head.timestamp.text();
}

auto text_of(const snapshot& snapshot) -> std::string {
  return std::to_string(snapshot.sequence) + " of " + snapshot.aggregate_type + " " + snapshot.aggregate_id.text() +
         ": " + snapshot.body + ", version " + std::to_string(snapshot.version) + " at " +
         std::to_string(snapshot.version_sequence);
}

auto text_of(const timestamp& timestamp) -> std::string {
  return timestamp.text();
}

auto text_of(const verdict& verdict) -> std::string {
  return std::to_string(verdict.committed) + " committed, then " + std::string(to_string(verdict.failure));
}

auto text_of(const sql_row& row) -> std::string {
  std::string text;
  for (const auto& field : row) text += (text.empty() ? "" : ", ") + field_text(field);
  return text;
}

auto text_of(const planned_request& planned) -> std::string {
  const auto& request = planned.request;
  std::string text = "aggregate " + request.aggregate_id.text() + " after " + request.predecessor.text();
  if (request.in_doubt) text += ", in doubt";
  if (planned.sound < request.units.size()) text += ", unit " + std::to_string(planned.sound) + " is unsound";
  for (const auto& unit : request.units) text += unit_text(unit);
  return text;
}

auto difference(const lines& expected, const lines& found) -> std::optional<std::string> {
  if (expected == found) return std::nullopt;
  const auto [wanted, seen] = std::mismatch(expected.begin(), expected.end(), found.begin(), found.end());
  return "line " + std::to_string(wanted - expected.begin() + 1) + ": expected " +
         (wanted != expected.end() ? *wanted : "nothing") + ", found " + (seen != found.end() ? *seen : "nothing");
}

}  // namespace maestro::test
