// What an aggregate's actor asks of a store connection. Each runs on a store thread, then comes back to the actor and hands
// itself to the member that goes on. Part of aggregate_actor's implementation.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/aggregates/state_diff.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace maestro {

class aggregate_actor::task {
 public:
  virtual ~task() = default;
  virtual void deliver(aggregate_actor& to) = 0;
};

/// A task that needs the connection alone.
class aggregate_actor::plain_task : public store_task, public task {};

/// Reads the whole aggregate.
class aggregate_actor::hydrate_task final : public history_task, public task {
 public:
  hydrate_task(const definition* type, const aggregate_id& of, std::size_t page, const recent_window& window)
      : history_task(of, page), type_(type), window_(window) {}
  void run(store& with) override {
    const auto began = std::chrono::steady_clock::now();
    if (!start) answer = hydrate(with, *type_, id, moment{}, page_events, window_);
    else if (*start) answer = hydrate(with, *type_, id, **start, page_events, window_);
    else answer = start->failure();
    took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  }
  void deliver(aggregate_actor& to) override { to.hydration_done(*this); }

  std::chrono::microseconds took{0};  ///< Besides what was read together with others.
  result<hydrated> answer = error{errc::internal_error, "hydration did not run"};

 private:
  const definition* type_;
  const recent_window window_;
};

/// Reads what follows `base`, and the event at `base` itself, which must still be the one we know.
class aggregate_actor::refresh_task final : public plain_task {
 public:
  refresh_task(const aggregate_id& id, const hydrated& known, std::size_t page_events)
      : base(known.sequence), base_timestamp(known.newest), limit(page_events + 1), id_(id) {}
  void run(store& with) override {
    answer = with.get_events(id_, {base > 0 ? base - 1 : 0, max_sequence(), limit});
  }
  void deliver(aggregate_actor& to) override { to.refresh_done(*this); }

  const sequence_number base;
  const timestamp base_timestamp;
  const std::size_t limit;
  result<std::vector<event>> answer = error{errc::internal_error, "refresh did not run"};

 private:
  aggregate_id id_;
};

/// Searches the log for a command that may have been committed before.
class aggregate_actor::lookup_task final : public plain_task {
 public:
  lookup_task(const definition* type, const command_job_ptr& job, const timestamp& not_before, std::size_t page_events)
      : job_(job), type_(type), not_before_(not_before), page_events_(page_events) {}
  void run(store& with) override {
    rows = with.find_command(job_->aggregate_id, job_->command_id, not_before_);
    if (!rows || rows->empty() || job_->returns != return_mode::state) return;
    auto then = hydrate(with, *type_, job_->aggregate_id, moment{rows->back().sequence}, page_events_);
    auto text = then ? type_->encode_state(then->state) : result<std::string>(then.failure());
    if (text) state_after = std::move(*text);  // Otherwise the command is accepted all the same, and stays so.
  }
  void deliver(aggregate_actor& to) override { to.lookup_done(*this); }
  [[nodiscard]] auto job() const -> const command_job_ptr& { return job_; }
  [[nodiscard]] auto searched_all() const -> bool { return not_before_.milliseconds() == 0; }

  result<std::vector<event>> rows = error{errc::internal_error, "lookup did not run"};
  std::string state_after;

 private:
  command_job_ptr job_;
  const definition* type_;
  timestamp not_before_;
  std::size_t page_events_;
};

/// Answers a question about the past: what the state was at some point, or what changed between two.
class aggregate_actor::past_task final : public plain_task {
 public:
  past_task(const definition* type, query_job_ptr query, std::size_t page_events)
      : query_(std::move(query)), type_(type), page_events_(page_events) {}
  void run(store& with) override {
    query_answer answer;
    auto text = query_->kind == query_kind::diff
                    ? state_diff(with, *type_, query_->aggregate_id, query_->from, query_->up_to, page_events_)
                    : replay(with, answer.sequence);
    if (text) answer.state = std::move(*text);
    else answer.failure = text.failure();
    query_->answer(std::move(answer));
  }
  void deliver(aggregate_actor& to) override { --to.work().tasks; }

 private:
  auto replay(store& with, sequence_number& reached) const -> result<std::string> {
    auto then = hydrate(with, *type_, query_->aggregate_id, query_->up_to, page_events_);
    if (!then) return then.failure();
    auto text = type_->encode_state(then->state);
    if (text) reached = then->sequence;
    return text;
  }

  query_job_ptr query_;
  const definition* type_;
  std::size_t page_events_;
};

/// Stores a snapshot, and answers who asked for it, if anybody did.
class aggregate_actor::snapshot_task final : public plain_task {
 public:
  snapshot_task(query_job_ptr query, snapshot body, std::shared_ptr<spdlog::logger> log)
      : query_(std::move(query)), asked_for_(query_ != nullptr), snapshot_(std::move(body)), log_(std::move(log)) {}
  void run(store& with) override {
    auto stored = with.commit_snapshot(snapshot_);
    is_stored_ = stored.has_value();
    error failure = stored ? error{} : stored.failure();
    if (asked_for_) return query_->answer({std::move(failure), snapshot_.sequence, {}});
    if (!is_stored_)
      log_->warn("aggregate \"{}\" {}: no snapshot was stored at sequence {}: {}", snapshot_.aggregate_type,
                 snapshot_.aggregate_id.text(), snapshot_.sequence, to_string(failure));
  }
  void deliver(aggregate_actor& to) override { to.snapshot_done(*this); }

  [[nodiscard]] auto asked_for() const -> bool { return asked_for_; }
  [[nodiscard]] auto is_stored() const -> bool { return is_stored_; }
  [[nodiscard]] auto sequence() const -> sequence_number { return snapshot_.sequence; }

 private:
  const query_job_ptr query_;
  const bool asked_for_;
  const snapshot snapshot_;
  const std::shared_ptr<spdlog::logger> log_;
  bool is_stored_ = false;
};

}  // namespace maestro
