// The metadata column: a JSON object whose `$` members are the runtime's and the rest the caller's. A command's first event
// also tells how many events the command had and which payload, so that a repeated command is recognised.
#pragma once

#include <maestro/store/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace maestro {

using fingerprint = std::array<std::uint8_t, 16>;

/// Checks the caller's metadata and returns it compact; empty stays empty. Errors: `malformed_payload`, for what is no JSON
/// object or has a member whose name begins with `$`.
[[nodiscard]] auto check_metadata(std::string_view metadata) -> result<std::string>;

inline constexpr std::size_t max_id_bytes = 256;

/// Checks the ids that a caller gives; empty is none. Errors: `malformed_payload`, for an id that is longer than `max_id_bytes`, or
/// no UTF-8.
[[nodiscard]] auto check_ids(std::string_view correlation_id, std::string_view causation_id) -> result<void>;

/// `callers` (compact, or empty) with `$correlation_id` and `$causation_id`, where they are given: what every event of a command
/// keeps. Errors: as `check_ids`; `malformed_payload` for an id with a NUL character.
[[nodiscard]] auto metadata_with_ids(std::string_view callers, std::string_view correlation_id, std::string_view causation_id)
    -> result<std::string>;

/// What an event's metadata says.
struct event_metadata {
  std::string correlation_id;  ///< Empty for none.
  std::string causation_id;    ///< Empty for none.
  std::string callers;         ///< The caller's own members, as one JSON object; empty for none.
};
/// Reads `event::metadata`, in a projection for instance, however large or deep it is. The caller's members are as they
/// are stored. What is no JSON object says nothing.
[[nodiscard]] auto read_metadata(std::string_view metadata) -> event_metadata;

/// The metadata of a command's first event: `callers` (compact, or empty) with `$events` and `$fingerprint`.
[[nodiscard]] auto first_event_metadata(std::string_view callers, std::size_t events, const fingerprint& print)
    -> std::string;

/// The fingerprint in a first event's metadata, if it has one.
[[nodiscard]] auto read_fingerprint(std::string_view metadata) -> std::optional<fingerprint>;

}  // namespace maestro
