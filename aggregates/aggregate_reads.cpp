// What one aggregate reads while it lives: refreshes by events, lookups of commands that may be in the log already, and the
// questions of callers.
#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/aggregates/aggregate_tasks.hpp>
#include <maestro/aggregates/recorded_rejection.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace maestro {

void aggregate_actor::refresh_for(waiter who) {
  work().refresh_next.push_back(std::move(who));
  start_refresh();
}

void aggregate_actor::start_refresh() {
  auto& w = work();
  if (w.reading || w.refresh_next.empty()) return;
  if (!committed_.state) return start_hydration();
  w.reading = true;
  w.refreshing = std::exchange(w.refresh_next, {});
  const auto pages = w.refresh_pages.value_or(page_sizer(environment_->settings.page_events));
  start(std::make_shared<refresh_task>(id_, committed_, pages), reader());
}

void aggregate_actor::refresh_done(refresh_task& finished) {
  auto& w = work();
  w.reading = false;
  const auto ask_again = [&w] {
    w.refresh_next.insert(w.refresh_next.begin(), std::make_move_iterator(w.refreshing.begin()),
                          std::make_move_iterator(w.refreshing.end()));
    w.refreshing.clear();
  };
  if (!finished.answer) {
    fail_everything(finished.answer.failure());
    return pump();
  }
  if (!committed_.state) {
    ask_again();
    return start_refresh();
  }
  const auto& rows = *finished.answer;
  if (finished.base > 0 && (rows.empty() || rows.front().timestamp != finished.base_timestamp)) {
    ask_again();
    return lose_state({errc::internal_error, "the log no longer holds the event at sequence " +
                                                 std::to_string(finished.base) + " that this node committed or read"});
  }
  for (const event& row : rows) {
    if (row.sequence <= finished.base) continue;
    if (!environment_->clock->merge(row.timestamp)) environment_->report_clock(described(), row.sequence);
    note_landed(row);
    if (row.sequence <= committed_.sequence) continue;
    if (auto entered = enter(committed_, *type_, row); !entered) {
      environment_->log->error("{}", to_string(entered.failure()));
      committed_ = {};
      return fail_everything(entered.failure());
    }
  }
  midway_ = rows.size() >= finished.limit;
  w.refresh_pages.reset();
  if (midway_) {
    finished.pages.saw(rows);
    w.refresh_pages = finished.pages;
    ask_again();
  } else {
    auto served = std::exchange(w.refreshing, {});
    // From the back: what has to be evaluated again goes to the front of the queue, in the old order.
    for (auto who = served.rbegin(); who != served.rend(); ++who) serve(*who);
  }
  start_refresh();
  pump();
}

void aggregate_actor::serve(waiter& who) {
  if (who.query && drop_if_unwanted(*who.query)) return;
  if (who.query && who.query->kind == query_kind::call) return answer_call(*who.query);
  if (who.query) return answer_state(*who.query);
  if (!who.unconfirmed) {
    work().hold = false;
    return;
  }
  pending& command = who.unconfirmed->origin;
  const auto& basis = who.unconfirmed->basis;
  if (basis.sequence == committed_.sequence && basis.newest == committed_.newest && !may_have_landed(command))
    return conclude(*who.unconfirmed, {});
  if (++command.conflicts > environment_->settings.max_retries) return refuse(command, too_many_conflicts());
  work().waiting.push_front(std::move(command));
}

// A row that this aggregate has not written itself: the answer to its command, should that come here as well.
void aggregate_actor::note_landed(const event& row) {
  auto& w = work();
  if (w.commit)
    for (const auto& unit : w.commit->request.units)
      for (const auto& mine : unit.events)
        if (mine.timestamp == row.timestamp) return;
  if (row.command_id) note_recent(*row.command_id);
}

// The log holds `command` since now, or since our last look: whatever the clock says of whoever wrote it.
void aggregate_actor::note_recent(const maestro::command_id& command) {
  if (!committed_.recent) committed_.recent = std::make_unique<recent_commands>();
  committed_.recent->note(command, environment_->clock->physical_milliseconds());
}

void aggregate_actor::forget_recent() {
  if (committed_.recent && committed_.recent->is_past(environment_->clock->physical_milliseconds(), drift()))
    committed_.recent.reset();
}

auto aggregate_actor::may_have_landed(const pending& command) const -> bool {
  return committed_.recent && committed_.recent->may_hold(command.job->command_id, command.searched, drift());
}

auto aggregate_actor::drift() const -> std::uint64_t {
  return static_cast<std::uint64_t>(environment_->clock->max_drift().count());
}

void aggregate_actor::look_up(pending command) {
  auto& w = work();
  const auto created = command.job->command_id.milliseconds();
  const bool is_there = committed_.recent && committed_.recent->holds(command.job->command_id);
  const auto not_before = timestamp::make(created > drift() && !is_there ? created - drift() : 0, 0, 0);
  command.searched = committed_.recent ? committed_.recent->epoch() : 0;
  // Where nobody else writes, an aggregate whose newest event is older than that cannot hold the command.
  if (environment_->single_owner && committed_.newest < not_before) {
    command.look_up = false;
    w.waiting.push_front(std::move(command));
    return;
  }
  ++w.tasks;
  start(std::make_shared<lookup_task>(command.job, not_before), reader());
  w.looking_up.push_back(std::move(command));
}

// The command whose lookup is over.
auto aggregate_actor::looked_up(const command_job_ptr& job) -> std::optional<pending> {
  auto& all = work().looking_up;
  const auto found = std::find_if(all.begin(), all.end(), [&job](const pending& each) { return each.job == job; });
  if (found == all.end()) return std::nullopt;
  pending command = std::move(*found);
  all.erase(found);
  return command;
}

void aggregate_actor::lookup_done(lookup_task& finished) {
  auto& w = work();
  --w.tasks;
  auto of = looked_up(finished.job());
  if (!of) return;
  pending& command = *of;
  if (!finished.rows) {
    refuse(command, finished.rows.failure());
  } else if (finished.rows->empty()) {
    command.look_up = false;
    // Read from the log since: searched for once more. Read before and not found: the log has lost it.
    if (committed_.recent && finished.searched_all()) committed_.recent->forget(command.job->command_id);
    w.waiting.push_front(std::move(command));
  } else {
    auto known = found_before(command, finished);
    if (known.failure) {
      refuse(command, known.failure);
    } else if (command.job->returns == return_mode::state) {
      ++w.tasks;
      start(std::make_shared<show_task>(*environment_, type_, command.job, std::move(known)), reader());
      w.looking_up.push_back(std::move(command));
    } else {
      answer(command, known);
    }
  }
  pump();
}

void aggregate_actor::show_done(show_task& finished) {
  --work().tasks;
  if (auto of = looked_up(finished.job())) answer(*of, finished.answer);
  pump();
}

// The answer to a command that the log holds already.
auto aggregate_actor::found_before(const pending& command, lookup_task& finished) -> command_answer {
  command_answer known;
  auto& rows = *finished.rows;
  const auto print = read_fingerprint(rows.front().metadata);
  if (print && *print != command.print) {
    known.failure = {errc::command_id_reused, "the command id " + command.job->command_id.text() +
                                                  " was used for another command at sequence " +
                                                  std::to_string(rows.front().sequence) + "; make a new one"};
    return known;
  }
  if (records_rejection(rows.front().type)) {
    known.failure = rejection_in(rows.front());
    return known;
  }
  known.first = rows.front().sequence;
  known.last = rows.back().sequence;
  known.repeated = true;
  known.events = std::move(rows);
  return known;
}

void aggregate_actor::take(query_job_ptr query) {
  auto& w = work();
  if (drop_if_unwanted(*query)) return;
  if (query->kind == query_kind::replay || query->kind == query_kind::diff) {
    ++w.tasks;
    return start(std::make_shared<past_task>(*environment_, type_, std::move(query)), reader());
  }
  if (!committed_.state) {
    w.queries.push_back(std::move(query));
    return start_hydration();
  }
  const bool current = environment_->single_owner;
  const bool far_enough = committed_.sequence >= query->at_least;
  switch (query->kind) {
    case query_kind::snapshot: return take_snapshot(std::move(query));
    case query_kind::call: return current ? answer_call(*query) : refresh_for({std::nullopt, std::move(query)});
    case query_kind::get:
      if (current || (far_enough && !midway_)) return answer_state(*query);
      return refresh_for({std::nullopt, std::move(query)});
    default: return current ? answer_state(*query) : refresh_for({std::nullopt, std::move(query)});
  }
}

void aggregate_actor::answer_state(query_job& query) {
  query_answer answer;
  answer.sequence = committed_.sequence;
  if (committed_.sequence < query.at_least) {
    answer.failure = {errc::sequence_not_reached, described() + " is at sequence " +
                                                      std::to_string(committed_.sequence) + ", not yet at " +
                                                      std::to_string(query.at_least)};
  } else {
    auto text = type_->encode_state(committed_.state);
    if (text) answer.state = std::move(*text);
    else answer.failure = {errc::internal_error, described() + ": the state cannot be shown: " + text.failure().message};
  }
  query.answer(std::move(answer));
}

void aggregate_actor::answer_call(query_job& query) {
  if (committed_.sequence < query.at_least) return answer_state(query);
  query_answer answer;
  answer.sequence = committed_.sequence;
  auto reply = type_->call(committed_.state, query.name, query.payload);
  if (reply) answer.state = std::move(*reply);
  else answer.failure = reply.failure();
  query.answer(std::move(answer));
}

void aggregate_actor::take_snapshot(query_job_ptr query) {
  if (committed_.sequence == 0) return query->answer({});
  auto made = make_snapshot();
  if (!made) return query->answer({made.failure(), committed_.sequence, {}});
  ++work().tasks;
  start(std::make_shared<snapshot_task>(std::move(query), std::move(*made), environment_->log), writer());
}

// Behind the commit that made it due, which has been answered already. After one that failed the next is due as late.
void aggregate_actor::take_snapshot_when_due() {
  auto& w = work();
  const auto every = type_->lifecycle().snapshot_every;
  if (every == 0 || w.taking_snapshot || !committed_.state) return;
  if (committed_.sequence - std::max(committed_.snapshot_sequence, snapshot_tried_) < every) return;
  auto made = make_unasked_snapshot();
  if (!made) return;
  w.taking_snapshot = true;
  ++w.tasks;
  start(std::make_shared<snapshot_task>(nullptr, std::move(*made), environment_->log), writer());
}

auto aggregate_actor::make_unasked_snapshot() -> std::optional<snapshot> {
  snapshot_tried_ = committed_.sequence;
  auto made = make_snapshot();
  if (made) return std::move(*made);
  if (environment_->first_without_snapshot(id_))
    environment_->log->warn("{}; until then it is read from its events, and this is not said of it again",
                            made.failure().message);
  return std::nullopt;
}

auto aggregate_actor::make_snapshot() const -> result<snapshot> {
  auto body = type_->prepare_snapshot(committed_.state);
  if (!body) return error{errc::internal_error, described() + ": no snapshot can be made: " + body.failure().message};
  if (const auto most = environment_->settings.max_snapshot_bytes; body->size() > most)
    return error{errc::invalid_argument,
                 described() + ": no snapshot can be made: at sequence " + std::to_string(committed_.sequence) +
                     " it would have " + std::to_string(body->size()) +
                     " bytes, the limit of aggregate.max-snapshot-bytes is " + std::to_string(most) +
                     "; raise the limit, or let prepare_snapshot keep less"};
  snapshot made;
  made.aggregate_id = id_;
  made.sequence = made.version_sequence = committed_.sequence;
  made.aggregate_type = type_->type();
  made.body = std::move(*body);
  made.version = type_->snapshot_version();
  return made;
}

void aggregate_actor::snapshot_done(const snapshot_task& finished) {
  auto& w = work();
  --w.tasks;
  if (!finished.asked_for()) w.taking_snapshot = false;
  if (finished.is_stored()) committed_.snapshot_sequence = std::max(committed_.snapshot_sequence, finished.sequence());
}

}  // namespace maestro
