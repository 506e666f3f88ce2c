// Points in an aggregate's history as people write them.
#pragma once

#include <maestro/aggregates/hydrate.hpp>
#include <maestro/store/error.hpp>

#include <string_view>

namespace maestro {

/// Reads a sequence (`17`), or a time in ISO 8601: `2026-11-24T20:15:00Z`, with or without a fraction of the second, in UTC (`Z`) or
/// with an offset (`+01:00`). Errors: `invalid_argument`.
[[nodiscard]] auto parse_moment(std::string_view text) -> result<moment>;

}  // namespace maestro
