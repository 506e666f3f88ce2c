// The history check: a long random history of calls, each answer held against a model (history_model.hpp). A store that
// loses, reorders, duplicates or invents something gives itself away (broken_store_test.cpp).
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace maestro::test {

/// Runs `steps` steps on `opened`, which must be an empty store: it is migrated here. In each step one of two clients,
/// each with connections and (possibly stale) knowledge of its own, commits a batch and looks at what became of it. Two
/// runs with the same seed do the same, however many steps the longer one goes on; only who wins where requests of one
/// batch want the same is for the store to choose. Returns the first disagreement: seed, step, what was asked, expected
/// and found; nothing when there is none. In a `partitioned` log no two aggregates are given the same timestamp.
[[nodiscard]] auto check_history(database& opened, std::uint64_t seed, std::size_t steps, bool partitioned = false)
    -> std::optional<std::string>;

}  // namespace maestro::test
