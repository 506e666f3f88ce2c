// What an aggregate is asked, and by whom: commands and queries as objects that know how to answer their caller. The
// runtime derives from them; an aggregate sees nothing of wires and clients.
#pragma once

#include <maestro/aggregates/hydrate.hpp>
#include <maestro/store/error.hpp>
#include <maestro/store/event.hpp>

#include <caf/allowed_unsafe_message_type.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace maestro {

/// What a caller wants to see beyond the sequences.
enum class return_mode : std::uint8_t { sequences = 0, events = 1, state = 2 };

/// What became of a command.
struct command_answer {
  error failure;                ///< Empty when the command was accepted.
  sequence_number first = 0;    ///< The sequences of its events; both 0 when it emitted none.
  sequence_number last = 0;
  bool repeated = false;        ///< The command had been accepted before, under the same id.
  std::vector<event> events;    ///< With `return_mode::events`.
  std::string state;  ///< With `return_mode::state`: the state after the command, as JSON; empty when it cannot be shown.
};

/// One attempt at a command, on its way through a node.
class command_job {
 public:
  virtual ~command_job() = default;

  /// Answers the caller. Called at most once, by whoever holds the job; a job that is dropped unanswered answers by itself.
  virtual void answer(command_answer answer) = 0;

  /// Whether the caller does not wait for the answer any more. Any thread may ask.
  [[nodiscard]] virtual auto caller_is_gone() const -> bool { return false; }
  /// Tells one caller from another; null where the caller is not known.
  [[nodiscard]] virtual auto caller() const -> const void* { return nullptr; }

  maestro::aggregate_id aggregate_id;
  maestro::command_id command_id;
  std::string command;   ///< Registered name.
  std::string payload;   ///< One JSON object.
  std::string metadata;  ///< One JSON object, or empty.
  std::string correlation_id;  ///< Of the conversation that the command belongs to; empty for none.
  std::string causation_id;    ///< Of what made the caller send it; empty for none.
  /// The caller made `command_id` just now and has not sent it before: no need to look it up in the log.
  bool first_send = false;
  std::uint64_t expires_at = 0;  ///< By `hybrid_clock::expiry_milliseconds`: after it this attempt must not be carried out; 0 = never.
  std::optional<sequence_number> expect_sequence;  ///< Refuse unless the aggregate is at this sequence.
  return_mode returns = return_mode::sequences;
  /// Its events are with the store, and may be committed whatever becomes of the job. Set by the aggregate that drops a job
  /// unanswered.
  bool may_be_committed = false;
};
using command_job_ptr = std::shared_ptr<command_job>;

enum class query_kind : std::uint8_t {
  get = 0,       ///< The committed state as this node knows it.
  fetch = 1,     ///< The same after asking the store.
  replay = 2,    ///< The state at `up_to`, or the newest one when that is earlier.
  snapshot = 3,  ///< Store a snapshot of the committed state now.
  call = 4,      ///< A message of the aggregate's own.
  diff = 8,      ///< What changed in the state from `from` to `up_to`, and which events did it.
};

struct query_answer {
  error failure;
  sequence_number sequence = 0;
  std::string state;  ///< JSON: the state, the reply to a call, or what changed. Empty for `snapshot`.
};

/// One question to an aggregate.
class query_job {
 public:
  virtual ~query_job() = default;

  /// As `command_job::answer`.
  virtual void answer(query_answer answer) = 0;

  /// Whether the answer reaches nobody any more. Any thread may ask.
  [[nodiscard]] virtual auto caller_is_gone() const -> bool { return false; }
  /// Tells one caller from another; null where the caller is not known.
  [[nodiscard]] virtual auto caller() const -> const void* { return nullptr; }
  /// Tells one asker from another where the caller, another node, asks for several.
  [[nodiscard]] virtual auto asker() const -> std::uint64_t { return 0; }

  std::uint64_t expires_at = 0;  ///< Likewise: after it the caller does not wait for the answer any more; 0 = never.
  query_kind kind = query_kind::get;
  maestro::aggregate_id aggregate_id;
  sequence_number at_least = 0;  ///< For `get`, `fetch` and `call`: answer from this sequence on only.
  moment up_to;                  ///< For `replay` and `diff`.
  moment from;                   ///< For `diff`.
  std::string name;              ///< For `call`: its registered name.
  std::string payload;           ///< For `call`: one JSON object.
};
using query_job_ptr = std::shared_ptr<query_job>;

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::command_job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::query_job_ptr)
