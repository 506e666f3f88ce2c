// Group commit: how a batch of requests from many aggregates becomes as few transactions as possible, and how one bad
// command in it costs nobody else. The strategy is here once; an adapter only knows how to write one transaction.
#pragma once

#include <maestro/store/store.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace maestro {

/// A unit on its way into a transaction.
struct write_unit {
  const commit_request* request = nullptr;
  const commit_unit* unit = nullptr;
  timestamp predecessor;  ///< Of this unit's first event; none (zero) when that is sequence 1.
};

/// How one transaction ended.
enum class write_status : std::uint8_t {
  committed,    ///< Everything was written and is durable.
  conflict,     ///< A sequence or timestamp was taken, or a predecessor was not there. Nothing was written.
  failed,       ///< A unit was refused, by a projection or by the database. Nothing was written.
  contention,   ///< The database gave the transaction up for a lock, a deadlock or serialization. Nothing was written.
  unavailable,  ///< There is no connection, and nothing was written.
  in_doubt,     ///< The connection was lost while committing: written or not, nobody knows.
};

/// A unit that a transaction did without.
struct refusal {
  std::size_t index = 0;  ///< Of the unit.
  error failure;
};

struct write_outcome {
  write_status status = write_status::committed;
  error failure;                       ///< What to answer, for `failed`, `contention` and `unavailable`.
  std::optional<std::size_t> culprit;  ///< The index of the unit that failed or met the lock, where the adapter can tell.
  /// With `committed`: units that were refused, each with the later ones of its request, and left out. All others are durable.
  std::vector<refusal> refused = {};
};

/// What the log says about one unit.
struct unit_status {
  bool stored = false;           ///< Every event of the unit is there, with its timestamp.
  bool timestamp_taken = false;  ///< A timestamp of the unit is on another event.
  timestamp newest;              ///< The aggregate's newest event; none (zero) when it has none.
  sequence_number newest_sequence = 0;
};

/// What an adapter provides: one transaction, and a look at what is there. No member throws.
class batch_writer {
 public:
  virtual ~batch_writer() = default;

  /// Writes all units and their projections in one transaction, in the order given: aggregates by id, the units of one
  /// aggregate together and in sequence. Checks the predecessor of each aggregate's first unit: it must be there (and, by the
  /// sequence index, be the newest). Writes nothing unless it can write every row. Events go before projections, but
  /// `failed` does not tell that none of them was there: the database may refuse one before it looks for the others.
  /// After an answer of `in_doubt` every later answer other than `in_doubt` and `unavailable` tells that the doubtful
  /// transaction is over, one way or the other.
  /// An adapter that has just seen a projection fail may expect more of it, write with savepoints, and commit what is good.
  /// A projection's statement waits for a lock no longer than `lock_wait`, at most the settings' `lock_timeout`.
  [[nodiscard]] virtual auto write(std::span<const write_unit> units, std::chrono::milliseconds lock_wait) -> write_outcome = 0;

  /// Looks each unit up, all at one moment. Must see everything that was committed before the call.
  [[nodiscard]] virtual auto inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> = 0;

  /// Whether it will never write again (`database::cut_off`, a file that was taken away): then nothing is tried again.
  [[nodiscard]] virtual auto is_cut_off() const noexcept -> bool { return false; }
};

/// Commits `requests` through `writer` and answers each, as `store::commit_all` promises. `expiry_clock` gives milliseconds
/// since the Unix epoch, for expiry; none: `expiry_milliseconds(settings.clock_offset)`. Blocks; called on the
/// store's thread.
[[nodiscard]] auto group_commit(batch_writer& writer, std::span<const commit_request* const> requests,
                                const store_settings& settings, const std::function<std::uint64_t()>& expiry_clock = {})
    -> std::vector<commit_outcome>;

}  // namespace maestro
