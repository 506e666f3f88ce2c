#include <maestro/store/error.hpp>

namespace maestro {

auto to_string(errc code) noexcept -> std::string_view {
  switch (code) {
    case errc::none: return "none";
    case errc::rejected: return "rejected";
    case errc::unknown_aggregate_type: return "unknown_aggregate_type";
    case errc::unknown_command: return "unknown_command";
    case errc::wrong_aggregate_type: return "wrong_aggregate_type";
    case errc::wrong_sequence: return "wrong_sequence";
    case errc::malformed_payload: return "malformed_payload";
    case errc::projection_failed: return "projection_failed";
    case errc::command_id_reused: return "command_id_reused";
    case errc::command_id_from_the_future: return "command_id_from_the_future";
    case errc::invalid_event: return "invalid_event";
    case errc::sequence_exhausted: return "sequence_exhausted";
    case errc::unknown_call: return "unknown_call";
    case errc::too_many_conflicts: return "too_many_conflicts";
    case errc::overloaded: return "overloaded";
    case errc::store_unavailable: return "store_unavailable";
    case errc::not_the_owner: return "not_the_owner";
    case errc::timed_out: return "timed_out";
    case errc::node_unavailable: return "node_unavailable";
    case errc::shutting_down: return "shutting_down";
    case errc::sequence_not_reached: return "sequence_not_reached";
    case errc::not_served: return "not_served";
    case errc::retry_command: return "retry_command";
    case errc::in_doubt: return "in_doubt";
    case errc::cannot_hydrate: return "cannot_hydrate";
    case errc::internal_error: return "internal_error";
    case errc::protocol_mismatch: return "protocol_mismatch";
    case errc::program_failed: return "program_failed";
    case errc::invalid_argument: return "invalid_argument";
    case errc::invalid_setting: return "invalid_setting";
    case errc::store_in_use: return "store_in_use";
    case errc::address_in_use: return "address_in_use";
    case errc::name_in_use: return "name_in_use";
    case errc::schema_too_new: return "schema_too_new";
  }
  return "unknown_error";
}

auto to_string(error_kind kind) noexcept -> std::string_view {
  switch (kind) {
    case error_kind::rejected: return "rejected";
    case error_kind::retryable: return "retryable";
    case error_kind::in_doubt: return "in_doubt";
    case error_kind::broken: return "broken";
    case error_kind::usage: return "usage";
  }
  return "unknown";
}

auto to_string(const error& failure) -> std::string {
  std::string text{to_string(failure.code)};
  if (!failure.message.empty()) text.append(": ").append(failure.message);
  for (char& character : text)
    if (character == '\n' || character == '\r') character = ' ';
  return text;
}

}  // namespace maestro
