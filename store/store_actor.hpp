// The store's actors: each owns one connection, and a thread for as long as it waits for the database. The writer gathers commits while
// a transaction runs and commits them together; readers serve everything else, and never wait behind a commit.
#pragma once

#include <maestro/store/messages.hpp>
#include <maestro/store/now_and_then.hpp>
#include <maestro/store/scheduling.hpp>
#include <maestro/store/store_trouble.hpp>
#include <maestro/store/turns.hpp>

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace maestro {

/// What a store's actor tells the node, on its own thread; none of them has to be there.
struct store_actor_hooks {
  std::function<void(const std::string& line)> warn = {};   ///< Commits begin to fail, and go on.
  /// A projection's program is at fault, or what the store holds is damaged; not with each command.
  std::function<void(const std::string& line)> fault = {};
  std::function<void(const std::string& what)> died = {};   ///< It has ended by a fault of its own, which the text names.
};

struct store_actor_settings {
  std::size_t max_batch_commands = 256;  ///< At most this many units go into one `commit_all`.
  /// How long the writer waits before it submits commits again whose outcome is in doubt.
  std::chrono::milliseconds settle_interval{500};
  std::size_t max_concurrent_hydrations = 64;  ///< On one connection; they are read together.
  /// On one connection: so many questions have begun, and hold what they have read so far; others begin when one of these ends.
  /// A caller that has none open begins one in any case.
  std::size_t max_open_questions = 16;
  store_actor_hooks hooks = {};
};

/// Commits what `commit_job`s bring, in batches; answers every job exactly once. A job whose outcome is in doubt stays here and
/// is submitted again, before anything else of its aggregate, until the store says what became of it, or that it never will:
/// only the store ends a commit. However long that takes, those behind it wait, and their callers give up by their own
/// clocks. Also runs `store_task`s (snapshots), behind the commits, a few at a time. On `store_stop` it commits what is
/// pending, answers what is still in doubt as in doubt, and ends. While no commit succeeds, what expired in its mailbox is told why.
/// A fault of its own ends it, and answers what it holds: what it has taken up is in doubt.
class store_writer : public caf::event_based_actor, public goes_first {
 public:
  store_writer(caf::actor_config& config, std::unique_ptr<store> connection, store_actor_settings settings);
  auto make_behavior() -> caf::behavior override;
  void on_exit() override;

 private:
  void flush();
  void commit();
  void note();
  void run_tasks(std::size_t limit);
  void request_flush();
  void stop(const store_stop& order);

  const std::unique_ptr<store> connection_;
  const store_actor_settings settings_;
  std::deque<commit_job_ptr> pending_;
  std::vector<commit_job_ptr> doubtful_;
  std::vector<commit_job_ptr> at_work_;  // What is being committed, or handed back.
  std::deque<store_task_ptr> tasks_;
  bool flush_sent_ = false;
  store_trouble trouble_;
  now_and_then faults_;  // By aggregate type, what is damaged by aggregate.
};

/// Runs `store_task`s. Hydrations (`history_task`) that wait together are read together, as many at a time as is set; all other tasks
/// come before the next of them, so that a storm of hydrations does not hold up who lives already. Questions (`question_task`) come last:
/// one slice of one question after each round, the callers in turn, and the askers of each caller in turn, among those
/// whose question has begun or may (`max_open_questions`, and one of each caller). A question that is not wanted any more costs nothing but its answer.
class store_reader : public caf::event_based_actor, public goes_first {
 public:
  store_reader(caf::actor_config& config, std::unique_ptr<store> connection, store_actor_settings settings);
  auto make_behavior() -> caf::behavior override;
  void on_exit() override;

 private:
  void take(store_task_ptr& task);
  void request_flush();
  void flush();
  void hydrate_some();
  void run_what_is_at_work();
  void work_on_a_question();
  [[nodiscard]] auto work_on_next(std::deque<question_task_ptr>& of_asker) -> bool;
  [[nodiscard]] auto may_begin(const question_task& next) const -> bool;

  const std::unique_ptr<store> connection_;
  const store_actor_settings settings_;
  std::vector<store_task_ptr> pending_;
  std::vector<store_task_ptr> at_work_;  // What is being run, or handed back.
  std::deque<history_task_ptr> hydrations_;
  /// By caller, and by asker.
  turns<const void*, turns<std::uint64_t, std::deque<question_task_ptr>>> questions_;
  std::unordered_set<const question_task*> open_questions_;  // Of these, those that have begun.
  bool flush_sent_ = false;
};

/// Starts a writer, on its own thread where the system does not schedule by handing on.
[[nodiscard]] auto spawn_store_writer(caf::actor_system& system, std::unique_ptr<store> connection,
                                      store_actor_settings settings = {}) -> caf::actor;
/// Starts a reader, in the same way.
[[nodiscard]] auto spawn_store_reader(caf::actor_system& system, std::unique_ptr<store> connection,
                                      store_actor_settings settings = {}) -> caf::actor;

}  // namespace maestro
