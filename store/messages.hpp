// What is sent to the store's actors and back. Local messages: shared pointers, handed over and handed back, so that nothing
// is copied and the sender finds its own object again.
#pragma once

#include <maestro/store/store.hpp>

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace maestro {

/// A commit request on its way through the store actor. Its sender gets the same pointer back with `outcome` filled in; it
/// may only be touched by whoever holds it last.
struct commit_job {
  commit_request request;
  commit_outcome outcome;
  std::atomic<bool> was_taken_up{false};  ///< Set by the store actor before it commits; nothing was written before.
  /// The sender, as the store actor sees it. Set by nobody else: a sender who keeps the job would keep itself alive.
  caf::actor reply_to;
};
using commit_job_ptr = std::shared_ptr<commit_job>;

/// Any other work on a store connection: hydration, a lookup, a snapshot. `run` is called once on a store thread; then, also
/// when it throws, the sender, unless anonymous, gets the same pointer back.
class store_task {
 public:
  virtual ~store_task() = default;
  virtual void run(store& with) = 0;
  caf::actor reply_to;  ///< As in `commit_job`.
};
using store_task_ptr = std::shared_ptr<store_task>;

/// A task that begins with an aggregate's history. A reader reads those of all that wait for it together, and gives each its own
/// before `run`.
class history_task : public store_task {
 public:
  history_task(const aggregate_id& of, std::size_t page) : id(of), page_events(page) {}
  const aggregate_id id;
  const std::size_t page_events;  ///< How many events it would read at a time, alone.
  /// False: nothing is read for it, and `run` says so. Asked on the store thread, before anything is read.
  [[nodiscard]] virtual auto is_wanted() const -> bool { return true; }
  /// None when it could not be read together with others: `run` reads what it needs.
  std::optional<result<aggregate_history>> start;
};

using history_task_ptr = std::shared_ptr<history_task>;

/// A caller's question to the log, which may take long. A reader works on it for about `question_slice` at a time. Between two slices
/// the reader does what else waits, and the next slice is for another caller's question, if there is one. The askers of
/// a caller take its slices in turn.
class question_task : public store_task {
 public:
  /// Works for about a slice. True when the question is answered.
  [[nodiscard]] virtual auto work(store& with) -> bool = 0;
  /// Answers without reading anything if the answer is not wanted any more; true when that is so. Called before each slice.
  [[nodiscard]] virtual auto give_up() -> bool = 0;
  /// Tells one caller from another; null where the caller is not known.
  [[nodiscard]] virtual auto caller() const -> const void* = 0;
  /// Tells one asker from another where the caller, another node, asks for several. Says nothing across callers.
  [[nodiscard]] virtual auto asker() const -> std::uint64_t { return 0; }
  void run(store& with) final {
    while (!give_up() && !work(with)) {
    }
  }
};
using question_task_ptr = std::shared_ptr<question_task>;

/// How long a reader works on one question before it looks at what else waits.
inline constexpr std::chrono::milliseconds question_slice{10};

/// Tells the store's actors to finish what they hold and end; sent once, at the node's end.
struct store_stop {
  /// Snapshots that are not stored by then never will be: what they save is time.
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};
/// A store actor's note to itself: commit what has gathered.
struct store_flush {};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::commit_job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::store_task_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::store_stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::store_flush)
