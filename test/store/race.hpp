// The race check: many writers on few aggregates at the same time. Whoever wins, the log must be what they were told.
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace maestro::test {

/// Lets one thread for each of `opened`, which all lead to one empty store (migrated here), commit `units` units to
/// each of a few aggregates, in batches, with projections, and with connections of its own. Afterwards each aggregate's
/// log must hold exactly the units that were reported committed, without gaps, the events of each unit together and in
/// order, and the projection must agree with it. Returns the first disagreement; nothing when there is none. The seed
/// decides what the threads try, not who wins.
[[nodiscard]] auto check_race(std::span<const std::shared_ptr<database>> opened, std::uint64_t seed, std::size_t units)
    -> std::optional<std::string>;

}  // namespace maestro::test
