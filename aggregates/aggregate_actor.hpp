// One live aggregate: an actor that owns its state, evaluates commands ahead of the commit that is under way, and answers
// from confirmed state only. The lifecycle, in the order of a command's life:
//   aggregate_actor.cpp     mail, hydration, passivation
//   aggregate_commands.cpp  evaluate, gather, commit, reply, retry
//   aggregate_reads.cpp     refresh, lookup of repeated commands, queries
#pragma once

#include <maestro/aggregates/definition.hpp>
#include <maestro/aggregates/hydrate.hpp>
#include <maestro/aggregates/jobs.hpp>
#include <maestro/aggregates/metadata.hpp>
#include <maestro/store/clock.hpp>
#include <maestro/store/messages.hpp>
#include <maestro/store/now_and_then.hpp>

#include <caf/event_based_actor.hpp>
#include <spdlog/logger.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace maestro {

/// Bounds of every aggregate; each has its name in the configuration file (runtime/setting_table.cpp).
struct aggregate_settings {
  std::size_t max_commands_in_flight = 10'000;  ///< Per aggregate; beyond: `overloaded`.
  std::size_t max_commands_ahead = 256;         ///< Evaluated while a commit is under way.
  int max_retries = 10;                         ///< Of one command, after conflicts; beyond: `too_many_conflicts`.
  std::chrono::milliseconds retry_backoff{5};   ///< Before the second retry; doubles with each.
  std::chrono::milliseconds max_retry_backoff{500};
  std::size_t page_events = 1000;  ///< Events read at a time.
  std::size_t max_events_per_command = event_bounds{}.events;      ///< Beyond: `invalid_event`.
  std::size_t max_event_bytes_per_command = event_bounds{}.bytes;  ///< Bodies and metadata; beyond: `invalid_event`.
  /// A larger snapshot is not stored (`invalid_argument`). What is stored is always read.
  std::size_t max_snapshot_bytes = 8 * 1024 * 1024;
  std::size_t max_diff_events = 10'000;  ///< Events that a `diff` follows at most; beyond: `invalid_argument`.
  std::size_t max_diff_bytes = 16 * 1024 * 1024;  ///< What a `diff` tells at most; beyond: `invalid_argument`.
  std::chrono::milliseconds max_question_time{60'000};  ///< A question that is not answered by then never will be: `timed_out`.
};

/// What the aggregates of a node share. Owned by the node, outlives them; read only once they run, but for the clock.
struct aggregate_environment {
  hybrid_clock* clock = nullptr;
  std::vector<caf::actor> writers;  ///< An aggregate always uses the same one.
  std::vector<caf::actor> readers;
  bool single_owner = false;  ///< No other process writes to the store: nothing needs confirming.
  aggregate_settings settings;
  caf::actor registry;  ///< Hears `aggregate_retired` and `aggregate_empty`; may be empty.
  std::shared_ptr<spdlog::logger> log;
  std::atomic<std::int64_t> clock_behind{0};  ///< By how many milliseconds the store's clock is ahead of `clock`, at the least. Any thread may set it.
  std::atomic<bool> stopping{false};  ///< Set at the node's end, by any thread: what is still being read is given up.

  /// Why a question is not worth any more work, if so: `timed_out`, or `shutting_down`. Any thread may ask.
  [[nodiscard]] auto gives_up(std::uint64_t expires_at, bool caller_is_gone) const -> error;

  /// Logs a `program_failed` of an aggregate, now and then for each type. Any thread may call it.
  void report_fault(const definition& of, const std::string& aggregate, const error& fault) const;

  /// Logs a failure that tells that what the store holds of `aggregate` cannot be read, now and then for each: a client asks again
  /// and again. Any thread may call it.
  void report_unreadable(const std::string& aggregate, const error& failure) const;

  /// Whether to warn that a snapshot of `id`, which no caller asked for, cannot be made: once for each aggregate. Any
  /// thread may call it.
  [[nodiscard]] auto first_without_snapshot(const aggregate_id& id) const -> bool;

  /// Warns that the event of `aggregate` at `sequence` is further ahead than the clock follows: once a minute, for
  /// whichever event is first, since a clock that is wrong is wrong for each of its rows. Any thread may call it.
  void report_clock(const std::string& aggregate, sequence_number sequence) const;

  /// By what `report_clock` tells that a minute has passed; for tests.
  std::function<std::chrono::steady_clock::time_point()> steady_now = std::chrono::steady_clock::now;

 private:
  static constexpr std::size_t max_without_snapshot = 10'000;  ///< So many are remembered.
  mutable std::mutex mutex_;
  mutable now_and_then faults_;
  mutable now_and_then unreadable_;
  mutable now_and_then wrong_clocks_{std::chrono::minutes(1)};
  mutable std::unordered_set<aggregate_id> without_snapshot_;
};

/// To an aggregate: end, unless there is work. Answered with `aggregate_retired`.
struct retire_aggregate {};
/// From an aggregate: whether it ended on `retire_aggregate` (or by itself, on a fault).
struct aggregate_retired {
  const definition* type = nullptr;
  maestro::aggregate_id id;
  bool done = false;
};
/// From an aggregate: it holds nothing worth keeping, the id has no events or could not be hydrated.
struct aggregate_empty {
  const definition* type = nullptr;
  maestro::aggregate_id id;
};
/// An aggregate's note to itself, at the end of a pause before a retry.
struct resume_after_backoff {};

class aggregate_actor : public caf::event_based_actor {
 public:
  aggregate_actor(caf::actor_config& config, const aggregate_environment* environment, const definition* type,
                  const aggregate_id& id);
  ~aggregate_actor() override;
  auto make_behavior() -> caf::behavior override;
  /// Answers all that is under way, also when there is no handle to this actor any more.
  void on_exit() override;

 private:
  /// A command that has not been evaluated, or has to be evaluated again.
  struct pending {
    command_job_ptr job;
    decoded_command command;
    maestro::fingerprint print{};
    std::chrono::system_clock::time_point time;  ///< When this node took the attempt up: what `eval` is told.
    int conflicts = 0;
    bool look_up = false;                 ///< The log must be searched for it before it is evaluated.
    std::uint64_t searched = 0;           ///< What was known when that was done (recent_commands.hpp); 0: it was not.
    std::string row_metadata = {};         ///< What its events keep of the caller's metadata and ids.
  };
  /// The attempts at one command beside the one that is under way.
  struct attempts {
    maestro::fingerprint print{};
    std::vector<command_job_ptr> twins = {};  ///< Answered with it.
  };
  /// A command that was evaluated, on committed or tentative state.
  struct evaluated {
    pending origin;
    commit_unit unit;          ///< Its events, until they are sent.
    bool emitted = false;      ///< False for a command without events, and for a rejection that is not recorded.
    error rejection;
    hydrated basis;            ///< Where it was evaluated; without the state.
    std::string state_after;   ///< As JSON, where the caller wants it.
  };
  /// Who waits for the next refresh.
  struct waiter {
    std::optional<evaluated> unconfirmed;  ///< An answer from committed state that the store must confirm.
    query_job_ptr query;                   ///< A `fetch` or `call`; neither: the pipeline itself, after a conflict.
  };
  /// Everything that only an aggregate with work needs.
  struct pipeline {
    std::deque<pending> waiting;
    std::deque<evaluated> gathered;   ///< To go out with the next request.
    std::deque<evaluated> in_flight;  ///< What the request under way holds, and the answers that wait for it.
    commit_job_ptr commit;            ///< The request under way; read only, until it returns.
    std::optional<hydrated> tentative;  ///< The state after `in_flight` and `gathered`, while they hold events.
    std::vector<pending> looking_up;
    bool reading = false;               ///< A hydration or refresh is under way.
    std::unordered_map<maestro::command_id, attempts> under_way;  ///< Every command that has no answer yet.
    bool hold = false;                  ///< After a conflict: evaluate nothing before the refresh.
    std::vector<waiter> refreshing;     ///< Served by the refresh under way.
    std::vector<waiter> refresh_next;   ///< Came after it began: need another one.
    std::optional<page_sizer> refresh_pages;  ///< While refreshes have not come to the end of the log yet.
    std::vector<query_job_ptr> queries; ///< Wait for hydration.
    error store_trouble;                ///< Why the newest request could not be written; empty when it could.
    std::size_t tasks = 0;              ///< Store tasks under way besides `reading`.
    bool taking_snapshot = false;       ///< One that nobody asked for is under way.

    [[nodiscard]] auto commands() const -> std::size_t;
    [[nodiscard]] auto idle() const -> bool;
  };

  class task;
  class plain_task;
  class hydrate_task;
  class refresh_task;
  class lookup_task;
  class show_task;
  class past_task;
  class snapshot_task;

  // aggregate_actor.cpp
  auto work() -> pipeline&;
  template <class Body>
  void thinking(Body&& body);
  void drop_work();
  void note_possible_commit(const std::deque<evaluated>& flight);
  void rest();
  void retire();
  void start_hydration();
  [[nodiscard]] auto drop_if_unwanted(query_job& query) const -> bool;
  void hydration_done(hydrate_task& finished);
  void lose_state(const error& why);
  void fail_everything(const error& failure);
  void start(store_task_ptr job, const caf::actor& where);
  [[nodiscard]] auto reader() const -> const caf::actor&;
  [[nodiscard]] auto writer() const -> const caf::actor&;
  [[nodiscard]] auto described() const -> std::string;
  [[nodiscard]] auto expired(const command_job& job) const -> bool;
  [[nodiscard]] auto now() const -> std::chrono::system_clock::time_point;

  // aggregate_commands.cpp
  [[nodiscard]] auto too_early(const command_id& id) const -> error;
  void take(command_job_ptr job);
  [[nodiscard]] auto join_twin(const command_job_ptr& job, const fingerprint& print) -> bool;
  [[nodiscard]] auto twins_of(const pending& command) -> std::vector<command_job_ptr>*;
  void pump();
  void evaluate(pending command);
  [[nodiscard]] auto evaluate_on(const hydrated& basis, pending& command) -> result<std::vector<emitted_event>>;
  [[nodiscard]] auto check_room(const hydrated& basis, std::size_t events) const -> error;
  [[nodiscard]] auto record_of(const error& rejection, const hydrated& basis) const
      -> result<std::vector<emitted_event>>;
  [[nodiscard]] auto extend_tentative(evaluated& next, std::vector<emitted_event> emitted) -> error;
  void rebuild_tentative();
  void conclude_without_events(evaluated outcome);
  void send_commit();
  void commit_done(const commit_job_ptr& finished);
  [[nodiscard]] auto advance_committed(const std::vector<commit_unit>& units, std::size_t count) -> error;
  void roll_back(std::deque<evaluated> failed, const error& failure);
  [[nodiscard]] auto too_many_conflicts() const -> error;
  void back_off(int conflicts);
  void conclude(evaluated& finished, std::vector<event> events);
  [[nodiscard]] auto expired_unevaluated() const -> error;
  void refuse(pending& command, const error& failure);
  void answer(pending& command, const command_answer& answer);

  // aggregate_reads.cpp
  void refresh_for(waiter who);
  void start_refresh();
  void refresh_done(refresh_task& finished);
  void serve(waiter& who);
  void note_landed(const event& row);
  void note_recent(const maestro::command_id& command);
  void forget_recent();
  [[nodiscard]] auto may_have_landed(const pending& command) const -> bool;
  [[nodiscard]] auto drift() const -> std::uint64_t;
  void look_up(pending command);
  [[nodiscard]] auto found_before(const pending& command, lookup_task& finished) -> command_answer;
  void lookup_done(lookup_task& finished);
  void show_done(show_task& finished);
  [[nodiscard]] auto looked_up(const command_job_ptr& job) -> std::optional<pending>;
  void take(query_job_ptr query);
  void answer_state(query_job& query);
  void answer_call(query_job& query);
  void take_snapshot(query_job_ptr query);
  void take_snapshot_when_due();
  [[nodiscard]] auto make_snapshot() const -> result<snapshot>;
  [[nodiscard]] auto make_unasked_snapshot() -> std::optional<snapshot>;
  void snapshot_done(const snapshot_task& finished);

  const aggregate_environment* const environment_;
  const definition* const type_;
  const aggregate_id id_;
  hydrated committed_;  ///< Without a state: not hydrated.
  sequence_number snapshot_tried_ = 0;  ///< Where the newest snapshot that nobody asked for was begun.
  bool midway_ = false;  ///< A refresh has more to read: `committed_` may end with a part of a command.
  bool has_failed_ = false;  ///< An exception ends it.
  bool has_left_ = false;    ///< The registry knows of its end.
  std::unique_ptr<pipeline> work_;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::retire_aggregate)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::aggregate_retired)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::aggregate_empty)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::resume_after_backoff)
