// Stores that are broken on purpose, each in one way: what the random checks of the conformance suite must
// not let pass.
#pragma once

#include "forwarding_store.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

namespace maestro::test {

/// What is wrong with a store.
enum class fault : std::uint8_t {
  none,                             ///< Nothing, though everything passes through the same wrapper.
  drops_an_event,                   ///< The last event of a unit is not there.
  swaps_stored_events,              ///< Two events of a unit are stored in each other's place.
  returns_events_out_of_order,      ///< `get_events` exchanges two events.
  accepts_a_taken_sequence,         ///< There is no unique index: a sequence that is taken is written once more.
  accepts_a_gap,                    ///< Events are written though there is none just before them.
  accepts_any_predecessor,          ///< Events are written though the one before them is another than they say.
  forgets_a_projection,             ///< Events are there, the rows of their projections are not.
  projects_a_refused_unit,          ///< The other way round: rows of a unit stay, although it was refused.
  reports_what_it_never_writes,     ///< A request is answered as committed, and that is all.
  answers_before_it_writes,         ///< A request is answered as committed, and written with the next batch only.
  reports_a_failure_after_writing,  ///< A request is answered as failed, and written.
  writes_half_a_unit,               ///< The first event of a unit that failed stays.
  does_not_know_its_own_commit,     ///< What is there already is answered as a conflict when it is submitted again.
  lets_snapshots_go_back,           ///< An older snapshot replaces a newer one.
  returns_stale_heads,              ///< `get_heads` lags one event behind.
};

/// Its name; empty for a number that is none.
[[nodiscard]] auto to_string(fault fault) -> std::string_view;
inline auto operator<<(std::ostream& out, fault fault) -> std::ostream& {
  return out << to_string(fault);
}

/// Every fault but `none`.
[[nodiscard]] auto all_faults() -> std::vector<fault>;

/// When a fault strikes: every few times that it could, so that what is rare has to be noticed too. Any thread may ask.
class mischief {
 public:
  [[nodiscard]] auto strikes_now() -> bool {
    const bool strikes = ++chances_ % chances_per_strike == 0;
    if (strikes) ++strikes_;
    return strikes;
  }
  [[nodiscard]] auto strikes() const -> int { return strikes_; }

 private:
  static constexpr int chances_per_strike = 4;
  std::atomic<int> chances_{0};
  std::atomic<int> strikes_{0};
};

/// A sound store behind wrappers with a fault.
class broken_database final : public forwarding_database {
 public:
  broken_database(std::shared_ptr<database> inner, fault fault)
      : forwarding_database(std::move(inner)), fault_(fault) {}

  auto open_writer() -> std::unique_ptr<store> override;
  auto open_reader() -> std::unique_ptr<store> override;
  auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> override;

  /// How often the fault has struck. Where the index is missing, nobody counts: 0.
  [[nodiscard]] auto strikes() const -> int { return mischief_->strikes(); }

 private:
  const fault fault_;
  const std::shared_ptr<mischief> mischief_ = std::make_shared<mischief>();
};

}  // namespace maestro::test
