// Hydration: from the store's rows to an aggregate's state. Plain functions over the store contract, used by the
// aggregate's actor (on a reader's thread), by replay and by tools.
#pragma once

#include <maestro/aggregates/definition.hpp>
#include <maestro/aggregates/recent_commands.hpp>
#include <maestro/store/page_sizer.hpp>
#include <maestro/store/store.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace maestro {

/// An aggregate's state at a sequence.
struct hydrated {
  state_ptr state;
  sequence_number sequence = 0;
  timestamp newest;  ///< Of the event at `sequence`; none (zero) at 0.
  sequence_number snapshot_sequence = 0;  ///< Of the newest snapshot that this program can use; 0 = none is known.
  std::size_t events_read = 0;
  std::unique_ptr<recent_commands> recent = nullptr;  ///< Null: none that matters.
};

/// A point in an aggregate's history.
struct moment {
  sequence_number sequence = max_sequence();  ///< Not beyond this one,
  /// and not beyond the last event before the first whose timestamp is later than this, in milliseconds since the Unix epoch.
  std::optional<std::uint64_t> time = std::nullopt;
};

/// Which rows a hydration remembers by their commands (recent_commands.hpp): those that matter to commands that come `now`.
struct recent_window {
  std::uint64_t now = 0;
  std::uint64_t drift = 0;
};

/// Asked after each page of a hydration; false ends it there.
using go_on = std::function<bool()>;

/// The state of `id` at `up_to`, or at its newest event when that is earlier: the newest usable snapshot not beyond, then the
/// events after it, read in pages of `page_events`. An id without events has sequence 0 and the initial state. A snapshot
/// of another version, a foreign one, or one that does not decode is ignored. Errors: `wrong_aggregate_type`,
/// `cannot_hydrate` (naming aggregate, sequence and event type), `store_unavailable`, `shutting_down` (`more` said no).
[[nodiscard]] auto hydrate(store& from, const definition& type, const aggregate_id& id,
                           const moment& up_to = {}, std::size_t page_events = 1000, std::optional<recent_window> window = {},
                           const go_on& more = {}) -> result<hydrated>;

/// The same, up to the newest event, from what `store::get_histories` has read of `id` already.
[[nodiscard]] auto hydrate(store& from, const definition& type, const aggregate_id& id,
                           const aggregate_history& start, std::size_t page_events = 1000, std::optional<recent_window> window = {},
                           const go_on& more = {}) -> result<hydrated>;

/// A hydration in parts, for questions that must not hold a connection until they are answered.
class hydration {
 public:
  /// As the first `hydrate`. `type` outlives the hydration.
  hydration(const definition& type, const aggregate_id& id, const moment& up_to, std::size_t page_events)
      : type_(type), id_(id), up_to_(up_to), pages_(page_events) {}

  /// Reads on until the state is complete, or until `more` says no, which is asked after each page. True when it is complete: then
  /// `at()` is the answer. Errors: as `hydrate`; nothing may be called after one.
  [[nodiscard]] auto read(store& from, const go_on& more) -> result<bool>;
  [[nodiscard]] auto at() -> hydrated& { return at_; }

 private:
  const definition& type_;
  const aggregate_id id_;
  const moment up_to_;
  page_sizer pages_;
  hydrated at_;  ///< Without a state: not begun.
};

/// Applies the stored `row` to `at`, which must be at the sequence just before. Errors: `wrong_aggregate_type`,
/// `cannot_hydrate`; the state is unusable after one.
[[nodiscard]] auto enter(hydrated& at, const definition& type, const event& row) -> result<void>;

}  // namespace maestro
