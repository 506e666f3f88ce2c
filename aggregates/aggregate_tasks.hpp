// What an aggregate's actor asks of a store connection. Each runs on a store thread, then comes back to the actor and hands
// itself to the member that goes on. Part of aggregate_actor's implementation.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/aggregates/state_diff.hpp>
#include <maestro/store/page_sizer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
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

/// Reads the whole aggregate, unless `alone`, the question that alone asked for it, is not wanted any more.
class aggregate_actor::hydrate_task final : public history_task, public task {
 public:
  hydrate_task(const aggregate_environment& on, const definition* type, const aggregate_id& of, const recent_window& window,
               query_job_ptr alone)
      : history_task(of, on.settings.page_events), on_(on), type_(type), window_(window), alone_(std::move(alone)) {}
  [[nodiscard]] auto is_wanted() const -> bool override {
    return !alone_ || !on_.gives_up(alone_->expires_at, alone_->caller_is_gone());
  }
  void run(store& with) override {
    const auto began = std::chrono::steady_clock::now();
    const auto more = [this] { return !on_.stopping; };
    if (start && !*start) answer = start->failure();
    else if (start) answer = hydrate(with, *type_, id, **start, page_events, window_, more);
    else if (is_wanted()) answer = hydrate(with, *type_, id, moment{}, page_events, window_, more);
    else was_skipped_ = true;
    took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  }
  void deliver(aggregate_actor& to) override { to.hydration_done(*this); }
  [[nodiscard]] auto was_skipped() const -> bool { return was_skipped_; }

  std::chrono::microseconds took{0};  ///< Besides what was read together with others.
  result<hydrated> answer = error{errc::internal_error, "hydration did not run"};

 private:
  const aggregate_environment& on_;
  const definition* type_;
  const recent_window window_;
  const query_job_ptr alone_;
  bool was_skipped_ = false;
};

/// Reads what follows `base`, a page of it, and the event at `base` itself, which must still be the one we know.
class aggregate_actor::refresh_task final : public plain_task {
 public:
  refresh_task(const aggregate_id& id, const hydrated& known, const page_sizer& of)
      : base(known.sequence), base_timestamp(known.newest), pages(of), limit(pages.next() + 1), id_(id) {}
  void run(store& with) override {
    answer = with.get_events(id_, {base > 0 ? base - 1 : 0, max_sequence(), limit});
  }
  void deliver(aggregate_actor& to) override { to.refresh_done(*this); }

  const sequence_number base;
  const timestamp base_timestamp;
  page_sizer pages;
  const std::size_t limit;
  result<std::vector<event>> answer = error{errc::internal_error, "refresh did not run"};

 private:
  aggregate_id id_;
};

/// Searches the log for a command that may have been committed before.
class aggregate_actor::lookup_task final : public plain_task {
 public:
  lookup_task(const command_job_ptr& job, const timestamp& not_before) : job_(job), not_before_(not_before) {}
  void run(store& with) override { rows = with.find_command(job_->aggregate_id, job_->command_id, not_before_); }
  void deliver(aggregate_actor& to) override { to.lookup_done(*this); }
  [[nodiscard]] auto job() const -> const command_job_ptr& { return job_; }
  [[nodiscard]] auto searched_all() const -> bool { return not_before_.milliseconds() == 0; }

  result<std::vector<event>> rows = error{errc::internal_error, "lookup did not run"};

 private:
  command_job_ptr job_;
  timestamp not_before_;
};

/// Shows the state after a command that the log holds already. Where that cannot be done, or is not wanted any more, the
/// command is accepted all the same, and stays so.
class aggregate_actor::show_task final : public question_task, public task {
 public:
  show_task(const aggregate_environment& on, const definition* type, command_job_ptr job, command_answer known)
      : answer(std::move(known)),
        job_(std::move(job)),
        on_(on),
        type_(type),
        until_(on.clock->expiry_milliseconds() + static_cast<std::uint64_t>(on.settings.max_question_time.count())),
        hydration_(*type, job_->aggregate_id, moment{answer.last}, on.settings.page_events) {
    if (job_->expires_at != 0) until_ = std::min(until_, job_->expires_at);
  }
  auto give_up() -> bool override { return static_cast<bool>(on_.gives_up(until_, job_->caller_is_gone())); }
  auto work(store& with) -> bool override {
    const auto until = std::chrono::steady_clock::now() + question_slice;
    const auto complete = hydration_.read(with, [&] { return std::chrono::steady_clock::now() < until; });
    if (complete && !*complete) return false;
    auto text = complete ? type_->encode_state(hydration_.at().state) : result<std::string>(complete.failure());
    if (text) answer.state = std::move(*text);
    return true;
  }
  [[nodiscard]] auto caller() const -> const void* override { return job_->caller(); }
  void deliver(aggregate_actor& to) override { to.show_done(*this); }
  [[nodiscard]] auto job() const -> const command_job_ptr& { return job_; }

  command_answer answer;

 private:
  command_job_ptr job_;
  const aggregate_environment& on_;
  const definition* type_;
  std::uint64_t until_;
  hydration hydration_;
};

/// Answers a question about the past: what the state was at some point, or what changed between two.
class aggregate_actor::past_task final : public question_task, public task {
 public:
  past_task(const aggregate_environment& on, const definition* type, query_job_ptr query)
      : query_(std::move(query)), on_(on), type_(type) {
    const auto& settings = on.settings;
    if (query_->kind == query_kind::diff)
      diff_.emplace(*type, query_->aggregate_id, query_->from, query_->up_to,
                    diff_limits{settings.page_events, settings.max_diff_events, settings.max_diff_bytes});
    else
      replay_.emplace(*type, query_->aggregate_id, query_->up_to, settings.page_events);
  }
  auto give_up() -> bool override {
    auto why = on_.gives_up(query_->expires_at, query_->caller_is_gone());
    if (!why) return false;
    query_->answer({std::move(why), 0, {}});
    return true;
  }
  auto work(store& with) -> bool override {
    const auto until = std::chrono::steady_clock::now() + question_slice;
    const auto more = [&] { return std::chrono::steady_clock::now() < until; };
    const auto complete = diff_ ? diff_->work(with, more) : replay_->read(with, more);
    if (complete && !*complete) return false;
    query_->answer(complete ? answer() : query_answer{complete.failure(), 0, {}});
    return true;
  }
  [[nodiscard]] auto caller() const -> const void* override { return query_->caller(); }
  [[nodiscard]] auto asker() const -> std::uint64_t override { return query_->asker(); }
  void deliver(aggregate_actor& to) override { --to.work().tasks; }

 private:
  auto answer() -> query_answer {
    auto text = diff_ ? diff_->text() : type_->encode_state(replay_->at().state);
    if (!text) return {text.failure(), 0, {}};
    return {{}, diff_ ? 0 : replay_->at().sequence, std::move(*text)};
  }

  query_job_ptr query_;
  const aggregate_environment& on_;
  const definition* type_;
  std::optional<state_diff_walk> diff_;
  std::optional<hydration> replay_;
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
