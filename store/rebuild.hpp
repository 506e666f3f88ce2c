// Filling a projection's tables anew from the log: for one that was added later, or whose rules have changed.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/projection.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// Whose events the projection takes, and what it makes of them.
struct rebuild_source {
  std::string aggregate_type;
  std::shared_ptr<const maestro::projector> projector;  ///< Writes the rows of this projection alone.
};

/// What to do with what an earlier attempt has left behind.
enum class rebuild_mode : std::uint8_t {
  resume,   ///< Go on where it was.
  restart,  ///< Throw it away, and begin anew.
  abandon,  ///< Throw it away, and do nothing else: the old tables stay.
};

struct rebuild_plan {
  std::string projection;                ///< Its registered name, as in `schema`.
  std::vector<migration> schema;         ///< Makes its tables. At least one step; nothing but tables, their indexes and views.
  std::vector<rebuild_source> sources;   ///< At least one.
  bool ordered_between_aggregates = false;  ///< Its rows depend on which of two aggregates was first.
  rebuild_mode mode = rebuild_mode::resume;
};

struct rebuild_progress {
  std::uint64_t done = 0;    ///< Events projected and committed, those of earlier attempts included.
  std::uint64_t total = 0;   ///< Events there are to project; grows while commands keep arriving.
  std::uint64_t resumed = 0; ///< How many of `done` were there when this attempt began.
  bool paused = false;       ///< Commands wait: the last step has begun. It is taken back where others hold what it needs.
};

/// Hears how far it has come, after each transaction and several times a second within a long one, also while a statement runs. Returns
/// false to stop: what runs is cancelled. Does not use the database itself where that is one in memory.
using rebuild_watch = std::function<bool(const rebuild_progress&)>;

// --- for adapters ---

/// Ends a rebuild with an error. Thrown and caught within an adapter.
struct rebuild_stopped {
  error why;
};

/// Hands `progress` to `watch`, if there is one. Throws `rebuild_stopped` when that says stop.
void tell_rebuild(const rebuild_plan& plan, const rebuild_watch& watch, const rebuild_progress& progress);

/// That a step of the projection's own schema cannot be run.
[[nodiscard]] auto rebuild_step_failed(const migration& step, std::string_view why) -> error;
/// That the projection fails at an event.
[[nodiscard]] auto rebuild_event_failed(const rebuild_plan& plan, const aggregate_id& id, sequence_number sequence,
                                        std::string_view type, std::string_view why) -> error;

}  // namespace maestro
