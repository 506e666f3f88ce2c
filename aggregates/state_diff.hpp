// What changed in an aggregate's state between two points in its history.
#pragma once

#include <maestro/aggregates/hydrate.hpp>

#include <cstddef>
#include <string>

namespace maestro {

/// How many events a diff follows at most.
inline constexpr sequence_number max_diff_events = 10'000;

/// Follows `id` from the state at `from` to the one at `to`, and returns one JSON object:
/// `{"from":{"sequence":3},"to":{"sequence":5},"changes":[...],"events":[{"sequence":4,"timestamp":...,"type":...,"changes":[...]},...]}`.
/// A change is `{"path":"/balance","from":100,"to":70}`, the path a JSON pointer; without `from` the member is new, without `to`
/// it is gone. Errors: `invalid_argument` (`to` lies before `from`, or more than `max_diff_events` events after it), and as `hydrate`.
[[nodiscard]] auto state_diff(store& with, const definition& type, const aggregate_id& id, const moment& from, const moment& to,
                              std::size_t page_events = 1000) -> result<std::string>;

}  // namespace maestro
