// What the store keeps: events and snapshots, as rows.
#pragma once

#include <maestro/store/id.hpp>

#include <memory>
#include <optional>
#include <string>

namespace maestro {

/// One row of `event_log`: a fact that an aggregate recorded.
struct event {
  maestro::timestamp timestamp;   ///< Unique; increasing within the aggregate.
  maestro::aggregate_id aggregate_id;
  sequence_number sequence = 0;   ///< 1, 2, 3 ... within the aggregate.
  std::string aggregate_type;     ///< Registered name; empty for rows of an application that does not record it.
  std::string type;               ///< Registered name of the event, at most 256 characters.
  std::string body;               ///< One JSON object.
  std::optional<maestro::command_id> command_id;  ///< The command that caused it, where known.
  std::string metadata;           ///< One JSON object, or empty for none. Member names that begin with `$` are the runtime's.

  /// The decoded event, where the writer has it at hand, so that projections need not decode `body` again. Not stored;
  /// its type is known to the aggregate type's own projector only.
  std::shared_ptr<const void> value;
};

/// One row of `snapshots`: an aggregate's state at a sequence, so that hydration can start there.
struct snapshot {
  maestro::aggregate_id aggregate_id;
  sequence_number sequence = 0;
  std::string aggregate_type;  ///< Registered name; empty for rows of an application that does not record it.
  std::string body;            ///< One JSON object.
  int version = 0;             ///< The aggregate type's snapshot version.
  /// The sequence at which `version` was written. Differs from `sequence` when an application that knows nothing of
  /// versions replaced the body: such a snapshot is foreign, and is ignored.
  sequence_number version_sequence = 0;
};

}  // namespace maestro
