#include <maestro/aggregates/aggregate_actor.hpp>

#include <maestro/aggregates/aggregate_tasks.hpp>
#include <maestro/store/scheduling.hpp>
#include <maestro/store/watched.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

namespace maestro {

auto aggregate_environment::gives_up(std::uint64_t expires_at, bool caller_is_gone) const -> error {
  if (stopping) return {errc::shutting_down, "the node is stopping; send the request to another one"};
  if (caller_is_gone) return {errc::timed_out, "the caller has gone"};
  if (expires_at != 0 && clock->expiry_milliseconds() > expires_at) return {errc::timed_out, "the question expired before it was answered"};
  return {};
}

void aggregate_environment::report_fault(const definition& of, const std::string& aggregate, const error& fault) const {
  if (fault.code != errc::program_failed || !log) return;
  const std::lock_guard lock(mutex_);
  if (faults_.may_say(std::string(of.type()))) log->error("{}: a fault of the program: {}", aggregate, fault.message);
}

void aggregate_environment::report_unreadable(const std::string& aggregate, const error& failure) const {
  if (!failure.is_damage && failure.kind() != error_kind::broken) return;
  {
    const std::lock_guard lock(mutex_);
    if (!unreadable_.may_say(aggregate)) return;
  }
  if (failure.is_damage) log->error("{} cannot be read: {}", aggregate, failure.message);
  else log->error("{}", to_string(failure));
}

auto aggregate_environment::first_without_snapshot(const aggregate_id& id) const -> bool {
  const std::lock_guard lock(mutex_);
  if (without_snapshot_.size() >= max_without_snapshot) without_snapshot_.clear();
  return without_snapshot_.insert(id).second;
}

void aggregate_environment::report_clock(const std::string& aggregate, sequence_number sequence) const {
  {
    const std::lock_guard lock(mutex_);
    if (!wrong_clocks_.may_say({}, steady_now())) return;
  }
  log->warn(
      "{}: the event at sequence {} has a timestamp further ahead than clock.max-drift: a writer's clock is wrong, "
      "or this machine's. This is said once a minute",
      aggregate, sequence);
}

aggregate_actor::aggregate_actor(caf::actor_config& config, const aggregate_environment* environment,
                                 const definition* type, const aggregate_id& id)
    : caf::event_based_actor(config), environment_(environment), type_(type), id_(id) {}

aggregate_actor::~aggregate_actor() = default;

// Not in the destructor, which may run when the network has ended: no caller waits for the answer then. The registry must know
// of an aggregate that a fault has ended: it would send what comes to an actor that is not there any more.
void aggregate_actor::on_exit() {
  try {
    if (has_failed_ && !has_left_ && environment_->registry)
      caf::anon_send(environment_->registry, aggregate_retired{type_, id_, true});
  } catch (const std::exception& problem) {
    environment_->log->critical("an aggregate that has ended could not say so: {}; the node has to be started anew",
                                problem.what());
  }
  drop_work();
}

// What the actor holds is dropped after a fault, jobs answer for themselves, and the next command starts from the store.
auto aggregate_actor::make_behavior() -> caf::behavior {
  set_exception_handler([this](std::exception_ptr& problem) {
    const auto what = words_of(problem);
    has_failed_ = true;
    try {
      environment_->log->error("{}: ended by a fault in the runtime: {}", described(), what);
    } catch (const std::exception&) {
      environment_->log->error("an aggregate ended by a fault in the runtime: {}", what);
    }
    return caf::make_error(caf::sec::runtime_error);
  });
  return {
      [this](command_job_ptr& job) { thinking([&] { take(std::move(job)); }); },
      [this](query_job_ptr& query) { thinking([&] { take(std::move(query)); }); },
      [this](commit_job_ptr& finished) { thinking([&] { commit_done(finished); }); },
      [this](store_task_ptr& finished) { thinking([&] { dynamic_cast<task&>(*finished).deliver(*this); }); },
      [this](resume_after_backoff) { thinking([&] { refresh_for({}); }); },
      [this](retire_aggregate) { retire(); },
  };
}

auto aggregate_actor::work() -> pipeline& {
  if (!work_) work_ = std::make_unique<pipeline>();
  return *work_;
}

// What the aggregate's own functions do may take long.
template <class Body>
void aggregate_actor::thinking(Body&& body) {
  give_away_next();
  body();
  rest();
}

// Lets go of what is under way. Jobs answer for themselves; only what the store has taken up may have been carried out.
void aggregate_actor::drop_work() {
  if (!work_) return;
  if (work_->commit && work_->commit->was_taken_up) note_possible_commit(work_->in_flight);
  work_.reset();
}

// What of `flight` is dropped unanswered is in doubt.
void aggregate_actor::note_possible_commit(const std::deque<evaluated>& flight) {
  for (const auto& each : flight) {
    if (!each.emitted) continue;
    each.origin.job->may_be_committed = true;
    if (auto* twins = twins_of(each.origin))
      for (const auto& twin : *twins) twin->may_be_committed = true;
  }
}

// Lets go of the pipeline when there is nothing left to do.
void aggregate_actor::rest() {
  if (!work_ || !work_->idle()) return;
  work_.reset();
  if (committed_.state && committed_.sequence > 0) return;
  if (environment_->registry) caf::anon_send(environment_->registry, aggregate_empty{type_, id_});
}

void aggregate_actor::retire() {
  const bool finished = work_ == nullptr;
  const auto newest_snapshot = std::max(committed_.snapshot_sequence, snapshot_tried_);
  if (finished && type_->lifecycle().snapshot_on_passivation && committed_.sequence > newest_snapshot)
    if (auto stored = make_unasked_snapshot())  // Nobody waits for it, and should it fail, the events are still there.
      caf::anon_send(writer(), store_task_ptr(std::make_shared<snapshot_task>(nullptr, std::move(*stored), environment_->log)));
  if (environment_->registry) caf::anon_send(environment_->registry, aggregate_retired{type_, id_, finished});
  has_left_ = finished;
  if (finished) quit();
}

auto aggregate_actor::described() const -> std::string {
  return "aggregate \"" + std::string(type_->type()) + "\" " + id_.text();
}

auto aggregate_actor::expired(const command_job& job) const -> bool {
  return job.expires_at != 0 && environment_->clock->expiry_milliseconds() > job.expires_at;
}

auto aggregate_actor::now() const -> std::chrono::system_clock::time_point {
  return std::chrono::system_clock::time_point(std::chrono::milliseconds(environment_->clock->physical_milliseconds()));
}

auto aggregate_actor::reader() const -> const caf::actor& {
  return environment_->readers[std::hash<aggregate_id>{}(id_) % environment_->readers.size()];
}

auto aggregate_actor::writer() const -> const caf::actor& {
  return environment_->writers[std::hash<aggregate_id>{}(id_) % environment_->writers.size()];
}

void aggregate_actor::start(store_task_ptr job, const caf::actor& where) { send(where, std::move(job)); }

void aggregate_actor::start_hydration() {
  auto& w = work();
  if (std::exchange(w.reading, true)) return;
  const recent_window window{environment_->clock->physical_milliseconds(), drift()};
  // One that a question alone has asked for need not begin once that has expired.
  query_job_ptr alone = w.commands() == 0 && w.queries.size() == 1 ? w.queries.front() : nullptr;
  start(std::make_shared<hydrate_task>(*environment_, type_, id_, window, std::move(alone)), reader());
}

// Answers a question that expired, or whose caller has gone.
auto aggregate_actor::drop_if_unwanted(query_job& query) const -> bool {
  auto why = environment_->gives_up(query.expires_at, query.caller_is_gone());
  if (!why) return false;
  query.answer({std::move(why), 0, {}});
  return true;
}

void aggregate_actor::hydration_done(hydrate_task& finished) {
  auto& w = work();
  w.reading = false;
  if (finished.was_skipped()) {
    std::erase_if(w.queries, [this](const auto& query) { return drop_if_unwanted(*query); });
    if (w.commands() > 0 || !w.queries.empty()) start_hydration();
    return;
  }
  if (!finished.answer) {
    environment_->report_unreadable(described(), finished.answer.failure());
    return fail_everything(finished.answer.failure());
  }
  committed_ = std::move(*finished.answer);
  if (!environment_->clock->merge(committed_.newest)) environment_->report_clock(described(), committed_.sequence);
  environment_->log->debug("{}: hydrated to sequence {} from snapshot {} and {} events in {} us", described(),
                           committed_.sequence, committed_.snapshot_sequence, committed_.events_read, finished.took.count());
  w.hold = false;
  midway_ = false;
  auto queries = std::exchange(w.queries, {});
  for (auto& query : queries) take(std::move(query));
  start_refresh();
  pump();
}

// The state cannot be trusted any more: what was evaluated on it goes back to the queue, and the store is read anew.
void aggregate_actor::lose_state(const error& why) {
  environment_->log->warn("{}: starting over from the store: {}", described(), why.message);
  committed_ = {};
  start_hydration();
}

void aggregate_actor::fail_everything(const error& failure) {
  auto& w = work();
  for (auto& command : std::exchange(w.waiting, {})) refuse(command, failure);
  for (auto* list : {&w.refreshing, &w.refresh_next})
    for (auto& who : std::exchange(*list, {})) {
      if (who.unconfirmed) refuse(who.unconfirmed->origin, failure);
      if (who.query) who.query->answer({failure, 0, {}});
    }
  for (auto& query : std::exchange(w.queries, {})) query->answer({failure, 0, {}});
  w.hold = false;
  if (committed_.state) return;
  // What has gathered was built on a state that is gone, and was not sent.
  for (auto& each : std::exchange(w.gathered, {})) refuse(each.origin, failure);
  w.tentative.reset();
}

}  // namespace maestro
