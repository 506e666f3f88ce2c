// The last look at what is about to be stored: a value that a database would refuse, or store wrongly, must cost only the
// unit it belongs to, so it is found before the unit joins a batch.
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>

namespace maestro {

/// Checks that `unit` can be written as the unit of `request` that starts at sequence `first` (0: wherever it says): at least
/// one event, all of the request's aggregate and type, sequences positive and consecutive, timestamps above `above` and
/// increasing, no predecessor named before sequence 1, type names of 1 to 256 characters, bodies and metadata JSON objects of at most `max_bytes`.
/// Errors: `invalid_event`, naming the event.
[[nodiscard]] auto check_unit(const commit_request& request, const commit_unit& unit, sequence_number first,
                              const timestamp& above, std::size_t max_bytes) -> result<void>;

/// Checks that `snapshot` can be written. Errors: `invalid_argument`.
[[nodiscard]] auto check_snapshot(const snapshot& snapshot) -> result<void>;

}  // namespace maestro
