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

/// The metadata of a command's first event: `callers` (compact, or empty) with `$events` and `$fingerprint`.
[[nodiscard]] auto first_event_metadata(std::string_view callers, std::size_t events, const fingerprint& print)
    -> std::string;

/// The fingerprint in a first event's metadata, if it has one.
[[nodiscard]] auto read_fingerprint(std::string_view metadata) -> std::optional<fingerprint>;

}  // namespace maestro
