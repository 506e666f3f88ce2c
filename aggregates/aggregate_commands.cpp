// The pipeline of one aggregate: commands are evaluated ahead of the commit under way, gathered, sent together, and
// answered when the store has confirmed them; when it has not, what was built on sand is evaluated again, in order.
#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/aggregates/aggregate_tasks.hpp>
#include <maestro/aggregates/recorded_rejection.hpp>
#include <maestro/store/scheduling.hpp>

#include <algorithm>
#include <random>
#include <utility>

namespace maestro {

namespace {

auto position(const hydrated& at) -> hydrated { return {nullptr, at.sequence, at.newest, 0, 0, nullptr}; }

}  // namespace

auto aggregate_actor::pipeline::commands() const -> std::size_t {
  return waiting.size() + gathered.size() + in_flight.size() + looking_up.size() + refreshing.size() +
         refresh_next.size();
}

auto aggregate_actor::pipeline::idle() const -> bool {
  return commands() == 0 && queries.empty() && !commit && !reading && !hold && tasks == 0;
}

// Why a command id is beyond what may be carried out now, if it is. By the store's clock it may be this node whose clock is wrong: then
// others can.
auto aggregate_actor::too_early(const command_id& id) const -> error {
  const auto& clock = *environment_->clock;
  const auto latest = clock.physical_milliseconds() + static_cast<std::uint64_t>(clock.max_drift().count());
  if (id.milliseconds() <= latest) return {};
  const auto behind = static_cast<std::uint64_t>(std::max<std::int64_t>(environment_->clock_behind, 0));
  if (id.milliseconds() <= latest + behind)
    return {errc::not_the_owner, "this node's clock is " + std::to_string(behind) +
                                     " ms behind the store's, so that it takes this command for one from the future; send it to another node"};
  return {errc::command_id_from_the_future,
          "the command id " + id.text() + " is further ahead of this node's clock than clock.max-drift allows"};
}

void aggregate_actor::take(command_job_ptr job) {
  auto& w = work();
  const auto refuse_now = [&](error failure) { job->answer({std::move(failure), 0, 0, false, {}, {}}); };
  if (w.commands() >= environment_->settings.max_commands_in_flight)
    return refuse_now({errc::overloaded, described() + " has " + std::to_string(w.commands()) +
                                             " commands in flight, its limit; try again later"});
  if (expired(*job)) return refuse_now({errc::timed_out, "the command expired before it was evaluated"});

  const auto& clock = *environment_->clock;
  if (auto early = too_early(job->command_id)) return refuse_now(std::move(early));

  auto decoded = type_->decode_command(job->command, job->payload);
  if (!decoded) return refuse_now(decoded.failure());
  auto metadata = check_metadata(job->metadata);
  if (!metadata) return refuse_now(metadata.failure());
  job->metadata = std::move(*metadata);
  auto row_metadata = metadata_with_ids(job->metadata, job->correlation_id, job->causation_id);
  if (!row_metadata) return refuse_now(row_metadata.failure());
  auto print = command_fingerprint(job->command, job->payload);
  if (!print) return refuse_now(print.failure());

  if (join_twin(job, *print)) return;
  w.under_way.emplace(job->command_id, attempts{*print});
  forget_recent();
  pending next{std::move(job), std::move(*decoded), *print, now()};
  next.look_up = !next.job->first_send ||
                 next.job->command_id.milliseconds() + recent_commands::fresh_milliseconds < clock.physical_milliseconds();
  next.row_metadata = std::move(*row_metadata);
  w.waiting.push_back(std::move(next));
  pump();
}

// An attempt at a command that is under way already shares its fate, also when it arrives after a later one. True when `job` was taken
// care of.
auto aggregate_actor::join_twin(const command_job_ptr& job, const fingerprint& print) -> bool {
  auto& under_way = work().under_way;
  const auto found = under_way.find(job->command_id);
  if (found == under_way.end()) return false;
  if (found->second.print == print) found->second.twins.push_back(job);
  else
    job->answer({{errc::command_id_reused, "the command id " + job->command_id.text() +
                                               " is in use for another command; make a new one"},
                 0, 0, false, {}, {}});
  return true;
}

// Null when there are none.
auto aggregate_actor::twins_of(const pending& command) -> std::vector<command_job_ptr>* {
  auto& under_way = work().under_way;
  const auto found = under_way.find(command.job->command_id);
  return found == under_way.end() || found->second.twins.empty() ? nullptr : &found->second.twins;
}

// Evaluates what waits, as far as the bounds allow, and sends what has gathered.
void aggregate_actor::pump() {
  auto& w = work();
  if (!committed_.state) {
    if (w.waiting.empty() && w.queries.empty() && w.refresh_next.empty()) return;
    return start_hydration();
  }
  while (!w.hold && !w.waiting.empty() && w.gathered.size() < environment_->settings.max_commands_ahead) {
    pending next = std::move(w.waiting.front());
    w.waiting.pop_front();
    if (environment_->stopping) refuse(next, {errc::shutting_down, "the node is stopping; send the command to another one"});
    else if (expired(*next.job)) refuse(next, expired_unevaluated());
    else if (next.look_up || may_have_landed(next)) look_up(std::move(next));
    else evaluate(std::move(next));
  }
  send_commit();
}

void aggregate_actor::evaluate(pending command) {
  auto& w = work();
  const hydrated& basis = w.tentative ? *w.tentative : committed_;
  evaluated next;
  next.basis = position(basis);
  auto emitted = evaluate_on(basis, command);
  next.origin = std::move(command);
  if (!emitted && emitted.failure().is_recorded) {
    next.rejection = emitted.failure();
    emitted = record_of(next.rejection, basis);
  }
  if (!emitted) {
    next.rejection = emitted.failure();
    environment_->report_fault(*type_, described(), next.rejection);
    return conclude_without_events(std::move(next));
  }
  if (!emitted->empty())
    if (auto failure = extend_tentative(next, std::move(*emitted))) {
      next.unit = {};
      next.rejection = std::move(failure);
      environment_->report_fault(*type_, described(), next.rejection);
      rebuild_tentative();
      return conclude_without_events(std::move(next));
    }
  next.emitted = !next.unit.events.empty();
  if (next.origin.job->returns == return_mode::state) {
    auto text = type_->encode_state(w.tentative ? w.tentative->state : committed_.state);
    if (text) next.state_after = std::move(*text);
  }
  if (!next.emitted) return conclude_without_events(std::move(next));
  w.gathered.push_back(std::move(next));
}

auto aggregate_actor::evaluate_on(const hydrated& basis, pending& command) -> result<std::vector<emitted_event>> {
  const command_job& job = *command.job;
  if (job.expect_sequence && *job.expect_sequence != basis.sequence)
    return error{errc::wrong_sequence, described() + " is at sequence " + std::to_string(basis.sequence) +
                                           ", the command expects " + std::to_string(*job.expect_sequence)};
  maestro::context with;
  with.aggregate_id = id_;
  with.sequence = basis.sequence;
  with.time = command.time;
  with.command_id = job.command_id;
  with.metadata = job.metadata;
  with.correlation_id = job.correlation_id;
  with.causation_id = job.causation_id;
  give_away_next();
  const auto& settings = environment_->settings;
  auto emitted = type_->eval(basis.state, command.command, with,
                             {settings.max_events_per_command, settings.max_event_bytes_per_command, command.row_metadata.size()});
  if (emitted)
    if (auto no_room = check_room(basis, emitted->size())) return no_room;
  return emitted;
}

auto aggregate_actor::check_room(const hydrated& basis, std::size_t events) const -> error {
  if (events <= static_cast<std::size_t>(max_sequence() - basis.sequence)) return {};
  return {errc::sequence_exhausted, described() + " is at sequence " + std::to_string(basis.sequence) +
                                        " and cannot record " + std::to_string(events) + " more events"};
}

// What stands in the log for a rejection that is final.
auto aggregate_actor::record_of(const error& rejection, const hydrated& basis) const
    -> result<std::vector<emitted_event>> {
  auto row = event_of_rejection(rejection);
  if (!row) return row.failure();
  if (auto no_room = check_room(basis, 1)) return no_room;
  return std::vector<emitted_event>{std::move(*row)};
}

// Stamps the events and applies them to the tentative state. After an error that state is unusable.
auto aggregate_actor::extend_tentative(evaluated& next, std::vector<emitted_event> emitted) -> error {
  auto& w = work();
  if (!w.tentative) {
    auto copy = type_->clone(committed_.state);
    if (!copy) return copy.failure();
    w.tentative = position(committed_);
    w.tentative->state = std::move(*copy);
  }
  hydrated& at = *w.tentative;
  const command_job& job = *next.origin.job;
  const std::size_t count = emitted.size();
  if (!next.rejection) next.unit.projector = type_->projector();
  next.unit.expires_at = job.expires_at;
  next.unit.events.reserve(count);
  for (auto& each : emitted) {
    // A rejection that is recorded has no value, and changes no state.
    const auto applied = each.value ? type_->apply(at.state, each.type, each.value.get()) : result<void>();
    if (!applied)
      return {applied.failure().code, "event \"" + std::string(each.type) + "\": " + applied.failure().message};
    event& row = next.unit.events.emplace_back();
    row.timestamp = environment_->clock->now_above(at.newest);
    row.aggregate_id = id_;
    row.sequence = at.sequence + 1;
    row.aggregate_type = type_->type();
    row.type = each.type;
    row.body = std::move(each.body);
    row.command_id = job.command_id;
    const std::string& kept = next.origin.row_metadata;
    row.metadata = next.unit.events.size() == 1 ? first_event_metadata(kept, count, next.origin.print) : kept;
    row.value = std::move(each.value);
    at.newest = row.timestamp;
    at.sequence = row.sequence;
  }
  return {};
}

// After a failed apply: the tentative state again, from the committed one and what is in flight and gathered.
void aggregate_actor::rebuild_tentative() {
  auto& w = work();
  w.tentative.reset();
  std::vector<const event*> ahead;
  if (w.commit)  // The store reads the request, nobody writes it.
    for (const auto& unit : w.commit->request.units)
      for (const auto& row : unit.events) ahead.push_back(&row);
  for (const auto& each : w.gathered)
    for (const auto& row : each.unit.events) ahead.push_back(&row);
  if (ahead.empty()) return;

  auto copy = type_->clone(committed_.state);
  bool whole = copy.has_value();
  if (whole) {
    w.tentative = position(committed_);
    w.tentative->state = std::move(*copy);
    for (const event* row : ahead)
      if (whole && row->sequence > w.tentative->sequence) whole = enter(*w.tentative, *type_, *row).has_value();
  }
  if (whole) return;
  // An apply that worked before does not any more. Evaluate nothing until the commit under way has returned.
  w.tentative.reset();
  w.hold = true;
}

// A rejection, or a command without events: answered once the state it rests on is confirmed.
void aggregate_actor::conclude_without_events(evaluated outcome) {
  auto& w = work();
  if (w.tentative || w.commit) return w.gathered.push_back(std::move(outcome));
  if (environment_->single_owner) return conclude(outcome, {});
  refresh_for({std::move(outcome), nullptr});
}

void aggregate_actor::send_commit() {
  auto& w = work();
  if (w.commit || w.gathered.empty()) return;
  auto job = std::make_shared<commit_job>();
  job->request.aggregate_id = id_;
  job->request.aggregate_type = type_->type();
  job->request.predecessor = w.gathered.front().basis.newest;
  for (auto& each : w.gathered)
    if (each.emitted) job->request.units.push_back(std::move(each.unit));
  w.in_flight = std::exchange(w.gathered, {});
  w.commit = job;
  const hand_on thread;
  send(writer(), std::move(job));
}

void aggregate_actor::commit_done(const commit_job_ptr& finished) {
  auto& w = work();
  w.commit.reset();
  w.hold = false;
  auto flight = std::exchange(w.in_flight, {});
  auto& units = finished->request.units;
  const auto& outcome = finished->outcome;
  w.store_trouble = outcome.failure ? outcome.trouble : error{};
  error lost;
  auto next = flight.begin();
  try {
    lost = advance_committed(units, outcome.committed);
    for (std::size_t unit = 0; next != flight.end(); ++next) {
      // What emitted nothing was the newest when the unit before it was written, or the one behind it.
      if (unit == outcome.committed && (next->emitted || unit == 0)) break;
      conclude(*next, next->emitted ? std::move(units[unit++].events) : std::vector<event>{});
    }
  } catch (...) {
    note_possible_commit(flight);
    throw;
  }
  if (next != flight.end()) {
    flight.erase(flight.begin(), next);
    roll_back(std::move(flight), outcome.failure);
  } else if (lost) {
    roll_back({}, lost);
  } else if (std::none_of(w.gathered.begin(), w.gathered.end(), [](const evaluated& each) { return each.emitted; })) {
    // They may have been sent after this commit was overtaken by another owner's: it confirms nothing of them.
    w.tentative.reset();
    for (auto& each : std::exchange(w.gathered, {})) conclude_without_events(std::move(each));
  }
  if (lost) lose_state(lost);
  pump();
  take_snapshot_when_due();
}

// Enters the first `count` units into the committed state.
auto aggregate_actor::advance_committed(const std::vector<commit_unit>& units, std::size_t count) -> error {
  auto& w = work();
  if (!committed_.state) return {};
  const bool nothing_ahead =
      std::none_of(w.gathered.begin(), w.gathered.end(), [](const evaluated& each) { return each.emitted; });
  if (count == units.size() && nothing_ahead && w.tentative && w.tentative->sequence > committed_.sequence) {
    w.tentative->snapshot_sequence = committed_.snapshot_sequence;
    w.tentative->recent = std::move(committed_.recent);
    committed_ = std::move(*w.tentative);
    w.tentative.reset();
    return {};
  }
  for (std::size_t i = 0; i < count; ++i)
    for (const event& row : units[i].events)
      if (row.sequence > committed_.sequence)  // A refresh may have brought it already.
        if (auto entered = enter(committed_, *type_, row); !entered) return entered.failure();
  return {};
}

// The first of `failed` that emitted something was refused with `failure`; the rest, like all that is gathered, was built on
// it, or shares its basis.
void aggregate_actor::roll_back(std::deque<evaluated> failed, const error& failure) {
  auto& w = work();
  const bool conflict = failure.code == errc::retry_command;
  const bool no_store = failure.code == errc::store_unavailable || failure.code == errc::in_doubt;
  const error not_sent{errc::store_unavailable, "nothing was written: " + failure.message};
  auto gathered = std::exchange(w.gathered, {});
  w.tentative.reset();
  int conflicts = 0;

  const auto refused = std::find_if(failed.begin(), failed.end(), [](const evaluated& each) { return each.emitted; });
  std::deque<pending> again;
  for (auto each = failed.begin(); each != failed.end(); ++each) {
    if (no_store) {
      refuse(each->origin, failure);
    } else if (each != refused) {
      again.push_back(std::move(each->origin));
    } else if (!conflict) {
      refuse(each->origin, failure);
    } else if ((conflicts = ++each->origin.conflicts) > environment_->settings.max_retries) {
      refuse(each->origin, too_many_conflicts());
    } else {
      again.push_back(std::move(each->origin));
    }
  }
  for (auto& each : gathered) {
    if (no_store) refuse(each.origin, not_sent);
    else again.push_back(std::move(each.origin));
  }
  w.waiting.insert(w.waiting.begin(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));

  // Nobody knows what the log holds now: read it before anything else is evaluated.
  if (failure.code == errc::in_doubt) committed_ = {};
  if (conflict) {
    w.hold = true;
    back_off(conflicts);
  }
}

auto aggregate_actor::too_many_conflicts() const -> error {
  return {errc::too_many_conflicts, described() + ": other writers were faster " +
                                        std::to_string(environment_->settings.max_retries + 1) +
                                        " times in a row; try again later"};
}

// The first retry goes at once; later ones wait, longer each time and never all at the same moment.
void aggregate_actor::back_off(int conflicts) {
  if (conflicts <= 1) return refresh_for({});
  const auto& settings = environment_->settings;
  auto pause = settings.retry_backoff * (1LL << std::min(conflicts - 2, 20));
  pause = std::min<std::chrono::milliseconds>(pause, settings.max_retry_backoff);
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_int_distribution<std::chrono::milliseconds::rep> jitter(pause.count() / 2, pause.count());
  delayed_send(this, std::chrono::milliseconds(jitter(random)), resume_after_backoff{});
}

// Answers a command whose basis is confirmed: accepted with `events`, or rejected, which one of `events` may record.
void aggregate_actor::conclude(evaluated& finished, std::vector<event> events) {
  if (finished.rejection && events.empty()) return refuse(finished.origin, finished.rejection);
  auto& command = finished.origin;
  // Its first attempt may still be on the way.
  const auto* twins = twins_of(command);
  if (!events.empty() && (!command.job->first_send || twins != nullptr)) note_recent(command.job->command_id);
  if (finished.rejection) {
    finished.rejection.is_recorded = false;  // It is done, and the caller is told what a repetition will be told.
    return refuse(command, finished.rejection);
  }
  command_answer accepted;
  if (!events.empty()) {
    accepted.first = events.front().sequence;
    accepted.last = events.back().sequence;
  }
  const auto wants_events = [](const auto& job) { return job->returns == return_mode::events; };
  const bool wanted = wants_events(command.job) || (twins != nullptr && std::any_of(twins->begin(), twins->end(), wants_events));
  if (wanted) accepted.events = std::move(events);
  accepted.state = std::move(finished.state_after);
  answer(command, accepted);
}

auto aggregate_actor::expired_unevaluated() const -> error {
  error why{errc::timed_out, "the command expired before it was evaluated"};
  if (work_ && work_->store_trouble) why.message += "; those before it could not be written: " + work_->store_trouble.message;
  return why;
}

void aggregate_actor::refuse(pending& command, const error& failure) {
  auto* twins = twins_of(command);
  if (failure.code != errc::timed_out || twins == nullptr) return answer(command, {failure, 0, 0, false, {}, {}});
  // One attempt expired, a later one at the same command may not have: it goes on alone.
  command.job->answer({failure, 0, 0, false, {}, {}});
  command.job = std::move(twins->front());
  twins->erase(twins->begin());
  command.time = now();
  command.look_up = true;
  work().waiting.push_front(std::move(command));
}

// Answers every attempt at `command`.
void aggregate_actor::answer(pending& command, const command_answer& answer) {
  auto& w = work();
  const auto all = w.under_way.extract(command.job->command_id);
  auto twins = all.empty() ? std::vector<command_job_ptr>() : std::move(all.mapped().twins);
  for (auto& twin : twins) {
    if (!answer.failure && twin->returns == return_mode::state && answer.state.empty()) {
      pending alone{std::move(twin), command.command, command.print, now()};
      alone.look_up = true;
      alone.row_metadata = command.row_metadata;
      w.under_way.try_emplace(alone.job->command_id, attempts{alone.print});
      w.waiting.push_back(std::move(alone));
      continue;
    }
    command_answer again = answer;
    again.repeated = !answer.failure && answer.last > 0;
    twin->answer(std::move(again));
  }
  command.job->answer(answer);
}

}  // namespace maestro
