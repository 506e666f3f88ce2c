// Rejections that are final: a row of the log stands where the command's events would, under a type that is the
// runtime's own. It is found when the command comes again, and passed over by all that reads events.
#pragma once

#include <maestro/aggregates/definition.hpp>
#include <maestro/store/error.hpp>
#include <maestro/store/event.hpp>

#include <cstddef>
#include <string_view>

namespace maestro {

/// In bytes.
inline constexpr std::size_t max_recorded_reason = 4'096;

/// The event that records `rejection`. Errors: `invalid_event`, for a reason that is too long, or no text that can be
/// stored.
[[nodiscard]] auto event_of_rejection(const error& rejection) -> result<emitted_event>;

/// Whether a row of this type records a rejection.
[[nodiscard]] constexpr auto records_rejection(std::string_view type) -> bool {
  return type == recorded_rejection_type;
}

/// The rejection that `row` records.
[[nodiscard]] auto rejection_in(const event& row) -> error;

}  // namespace maestro
