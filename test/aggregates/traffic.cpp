#include "traffic.hpp"

#include "../store/dice.hpp"
#include "../store/forwarding_store.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

namespace test {

using maestro::test::dice;
using maestro::test::forwarding_store;

// One of a recorder's commands under way. A job that is dropped stays unanswered in the history.
class recorder::noted_command final : public command_job {
 public:
  noted_command(recorder& to, recorded_command& note, counted& of) : to_(to), note_(note), of_(of) {}
  ~noted_command() override {
    --of_.unanswered;
    of_.unanswered.notify_all();
  }
  void answer(command_answer answer) override {
    note_.answered = to_.tick();
    note_.answer = std::move(answer);
  }

 private:
  recorder& to_;
  recorded_command& note_;
  counted& of_;
};

class recorder::noted_query final : public query_job {
 public:
  noted_query(recorder& to, recorded_query& note, counted& of) : to_(to), note_(note), of_(of) {}
  ~noted_query() override {
    --of_.unanswered;
    of_.unanswered.notify_all();
  }
  void answer(query_answer answer) override {
    note_.answered = to_.tick();
    note_.answer = std::move(answer);
  }

 private:
  recorder& to_;
  recorded_query& note_;
  counted& of_;
};

void recorder::send(const caf::actor& to, recorded_command what, bool first_send) {
  std::shared_ptr<noted_command> job;
  {
    const std::lock_guard lock(mutex_);
    auto& of = owners_[what.owner];
    ++of.unanswered;
    auto& note = commands_.emplace_back(std::move(what));
    job = std::make_shared<noted_command>(*this, note, of);
    job->aggregate_id = note.aggregate;
    job->command_id = note.id;
    job->command = note.name;
    job->payload = note.payload;
    job->first_send = first_send;
    job->expires_at = note.expires_at;
    job->expect_sequence = note.expect_sequence;
    job->returns = note.returns;
    note.sent = tick();
  }
  caf::anon_send(to, command_job_ptr(std::move(job)));
  ++sent_;
  sent_.notify_all();
}

void recorder::send(const caf::actor& to, recorded_query what) {
  std::shared_ptr<noted_query> job;
  {
    const std::lock_guard lock(mutex_);
    auto& of = owners_[what.owner];
    ++of.unanswered;
    auto& note = queries_.emplace_back(std::move(what));
    job = std::make_shared<noted_query>(*this, note, of);
    job->aggregate_id = note.aggregate;
    job->kind = note.kind;
    job->at_least = note.at_least;
    job->name = note.name;
    job->payload = "{}";
    note.sent = tick();
  }
  caf::anon_send(to, query_job_ptr(std::move(job)));
  ++sent_;
  sent_.notify_all();
}

void recorder::append(store& to, std::vector<event> events, const timestamp& predecessor) {
  recorded_append note{events.front().aggregate_id, std::move(events), tick(), 0, {}};
  if (auto committed = to.commit_events(note.events, predecessor); !committed) note.failure = committed.failure();
  note.answered = tick();
  const std::lock_guard lock(mutex_);
  appends_.push_back(std::move(note));
}

void recorder::wait(int owner, std::size_t many) {
  mutex_.lock();
  auto& unanswered = owners_[owner].unanswered;
  mutex_.unlock();
  for (auto there = unanswered.load(); there > many; there = unanswered.load()) unanswered.wait(there);
}

void recorder::wait_for_sent(std::size_t many) {
  for (auto there = sent_.load(); there < many; there = sent_.load()) sent_.wait(there);
}

auto recorder::history(store& from, const std::vector<aggregate_id>& ids) -> recorded_history {
  const std::lock_guard lock(mutex_);
  recorded_history all;
  all.commands.assign(commands_.begin(), commands_.end());
  all.queries.assign(queries_.begin(), queries_.end());
  all.appends.assign(appends_.begin(), appends_.end());
  for (const auto& id : ids) {
    event_range whole;
    whole.limit = 1'000'000;
    all.logs[id] = from.get_events(id, whole).value();
  }
  return all;
}

namespace {

/// Counts conflicts, takes its time over some answers, and on bad days is unavailable, or does not know what it has done.
class moody_store final : public forwarding_store {
 public:
  moody_store(std::unique_ptr<maestro::store> inner, std::uint64_t seed, std::size_t one_in, std::atomic<std::size_t>& conflicts,
              std::atomic<std::size_t>& bad_days)
      : forwarding_store(std::move(inner)), chance_(seed), one_in_(one_in), conflicts_(conflicts), bad_days_(bad_days) {}

  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    const bool bad = is_bad_day();
    const bool in_doubt = std::any_of(requests.begin(), requests.end(), [](auto* each) { return each->in_doubt; });
    if (bad && (in_doubt || chance_.one_in(2))) {
      // Some of it may be there, unknown to anybody.
      if (chance_.one_in(2)) (void)inner().commit_all(requests);
      return {requests.size(), commit_outcome{0, {errc::in_doubt, "a bad day"}}};
    }
    if (bad) return {requests.size(), commit_outcome{0, {errc::store_unavailable, "a bad day"}}};
    auto outcomes = inner().commit_all(requests);
    for (const auto& each : outcomes)
      if (each.failure.code == errc::retry_command) ++conflicts_;
    // What others do between a commit and its answer must not matter.
    if (chance_.one_in(3)) std::this_thread::sleep_for(std::chrono::milliseconds(chance_.between(2, 20)));
    return outcomes;
  }
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    if (is_bad_day()) return error{errc::store_unavailable, "a bad day"};
    return inner().get_events(id, range);
  }
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    if (is_bad_day()) return error{errc::store_unavailable, "a bad day"};
    return inner().get_histories(ids, limit);
  }
  auto find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
      -> result<std::vector<event>> override {
    if (is_bad_day()) return error{errc::store_unavailable, "a bad day"};
    return inner().find_command(id, command, not_before);
  }

 private:
  auto is_bad_day() -> bool {
    if (one_in_ == 0 || !chance_.one_in(one_in_)) return false;
    ++bad_days_;
    return true;
  }

  dice chance_;  // A connection is used by one thread.
  const std::size_t one_in_;
  std::atomic<std::size_t>& conflicts_;
  std::atomic<std::size_t>& bad_days_;
};

/// What the threads of one round share.
struct round_of_traffic {
  stage& on;
  const traffic_plan plan;
  const std::string labels = "label " + std::to_string(plan.seed) + " ";  // Of this round alone.
  std::vector<aggregate_id> ids{};
  recorder notes{};
  std::atomic<std::size_t> conflicts{0};
  std::atomic<std::size_t> bad_days{0};
  std::atomic<std::size_t> retired{0};
  std::mutex mutex{};
  std::deque<recorded_command> recent{};  // Sent not long ago: for others to send again.
};

template <class Command>
void fill(recorded_command& what, const Command& with) {
  what.name = registered_name<Command>();
  what.payload = encode(with).value();
}

// Amounts go both ways, so that what is below a limit changes all the time; labels are few.
void fill_by_chance(recorded_command& what, dice& chance, const std::string& labels) {
  const auto amount = static_cast<std::int64_t>(chance.below(31)) - 15;
  const auto which = chance.below(100);
  if (which < 25) fill(what, add{amount});
  else if (which < 37) fill(what, climb{static_cast<int>(chance.below(5))});
  else if (which < 65) fill(what, add_below{amount, static_cast<std::int64_t>(chance.below(60))});
  else if (which < 73) fill(what, look{});
  else if (which < 77) fill(what, throw_in_eval{});
  else if (which < 82) fill(what, throw_in_apply{});
  else if (which < 99) fill(what, claim{labels + std::to_string(chance.below(60))});
  else fill(what, counter_state{});  // The counter knows no such command.
}

/// One owner and its only sender.
class sender {
 public:
  sender(round_of_traffic& round, int number)
      : round_(round), number_(number), chance_(round.plan.seed * 31 + static_cast<std::uint64_t>(number)),
        self_(round.on.system), owner_(round.on.system, *round.on.store, options()) {
    for (const auto& id : round.ids) actors_.push_back(owner_.start(*round.on.type, id));
  }

  void run() {
    std::size_t outstanding = 20;
    for (std::size_t i = 0; i < round_.plan.commands; ++i) {
      // Mostly one aggregate, so that it is busy.
      const std::size_t which = chance_.one_in(3) ? chance_.below(actors_.size()) : 0;
      if (chance_.one_in(40)) {
        if (chance_.one_in(2)) round_.notes.wait(number_, 0);
        retire(which);
      }
      if (chance_.one_in(5)) ask(which);
      command(which);
      if (chance_.one_in(20)) outstanding = chance_.between(1, 60);
      if (chance_.one_in(4)) round_.notes.wait(number_, outstanding);
      // Bursts fill the queues; only what comes between them meets a commit that others have overtaken.
      if (chance_.one_in(8)) std::this_thread::sleep_for(std::chrono::milliseconds(chance_.between(1, 8)));
    }
    round_.notes.wait(number_, 0);
  }

 private:
  auto options() -> owner_options {
    owner_options with;
    with.settings.max_retries = chance_.one_in(3) ? 1 : 1000;
    with.settings.max_commands_in_flight = chance_.one_in(3) ? 40 : 10'000;
    with.settings.max_commands_ahead = chance_.between(1, 30);
    with.settings.page_events = chance_.one_in(2) ? chance_.between(5, 20) : 1000;
    with.settings.retry_backoff = std::chrono::milliseconds(1);
    with.settings.max_retry_backoff = std::chrono::milliseconds(8);
    with.writer = moody(round_.on.store->open_writer());
    with.reader = moody(round_.on.store->open_reader());
    with.registry = self_;
    with.clock_offset = std::chrono::milliseconds(chance_.below(2000)) - std::chrono::seconds(1);
    return with;
  }

  auto moody(std::unique_ptr<maestro::store> connection) -> std::unique_ptr<maestro::store> {
    return std::make_unique<moody_store>(std::move(connection), chance_.below(1'000'000'000), round_.plan.bad_days ? 60 : 0,
                                         round_.conflicts, round_.bad_days);
  }

  void command(std::size_t which) {
    recorded_command what;
    bool first_send = false;
    if (!chance_.one_in(8) || !repeat(what)) {
      what.aggregate = round_.ids[which];
      what.id = owner_.clock().fresh<command_id>();
      fill_by_chance(what, chance_, round_.labels);
      if (chance_.one_in(12)) what.expect_sequence = newest(which) + static_cast<sequence_number>(chance_.below(3));
      first_send = !chance_.one_in(5);
    }
    what.owner = number_;
    what.returns = static_cast<return_mode>(chance_.below(3));
    const auto at = std::find(round_.ids.begin(), round_.ids.end(), what.aggregate) - round_.ids.begin();
    what.expires_at = chance_.one_in(40) ? owner_.clock().expiry_milliseconds() + chance_.below(5) : 0;
    round_.notes.send(actors_[static_cast<std::size_t>(at)], what, first_send);
    const std::lock_guard lock(round_.mutex);
    round_.recent.push_back(std::move(what));
    if (round_.recent.size() > 40) round_.recent.pop_front();
  }

  // An id that was sent before, mostly with the command that it belongs to.
  auto repeat(recorded_command& what) -> bool {
    const std::lock_guard lock(round_.mutex);
    if (round_.recent.empty()) return false;
    what = chance_.pick(round_.recent);
    if (chance_.one_in(6)) fill(what, add{1000 + static_cast<std::int64_t>(chance_.below(100))});
    return true;
  }

  void ask(std::size_t which) {
    static constexpr std::array kinds{query_kind::get, query_kind::get, query_kind::get, query_kind::fetch,
                                      query_kind::fetch, query_kind::call, query_kind::snapshot};
    recorded_query what;
    what.owner = number_;
    what.aggregate = round_.ids[which];
    what.kind = chance_.pick(kinds);
    if (what.kind == query_kind::call) what.name = registered_name<average>();
    else if (chance_.one_in(6)) what.at_least = newest(which) + static_cast<sequence_number>(chance_.below(3));
    round_.notes.send(actors_[which], std::move(what));
  }

  auto newest(std::size_t which) -> sequence_number {
    const auto heads = reader_->get_heads({&round_.ids[which], 1});
    return heads && !heads->empty() ? heads->front().sequence : 0;
  }

  // As the registry does: nothing is sent until the aggregate has said whether it ended.
  void retire(std::size_t which) {
    caf::anon_send(actors_[which], retire_aggregate{});
    bool answered = false;
    while (!answered)
      self_->receive(
          [&](const aggregate_retired& notice) {
            answered = true;
            if (!notice.done) return;
            actors_[which] = owner_.start(*round_.on.type, round_.ids[which]);
            ++round_.retired;
          },
          [](const aggregate_empty&) {});
  }

  round_of_traffic& round_;
  const int number_;
  dice chance_;
  caf::scoped_actor self_;
  owner owner_;
  const std::unique_ptr<maestro::store> reader_ = round_.on.store->open_reader();
  std::vector<caf::actor> actors_;
};

void append_now_and_then(round_of_traffic& round) {
  dice chance(round.plan.seed * 31);
  hybrid_clock clock;
  const auto connection = round.on.store->open_writer();
  for (std::size_t sent = 10; sent < round.plan.commands * 2; sent += chance.between(5, 40)) {
    round.notes.wait_for_sent(sent);
    const auto& id = chance.one_in(2) ? round.ids[0] : chance.pick(round.ids);
    const auto heads = connection->get_heads({&id, 1});
    aggregate_head at;
    if (heads && !heads->empty()) at = heads->front();
    std::vector<event> events(chance.between(1, 3));
    auto last = at.timestamp;
    for (auto& each : events) {
      last = clock.now_above(last);
      const auto body = encode(added{static_cast<std::int64_t>(chance.below(9)) - 4}).value();
      each = {last, id, ++at.sequence, "counter", "added", body, std::nullopt, "", nullptr};
    }
    round.notes.append(*connection, std::move(events), at.timestamp);
  }
}

}  // namespace

auto run_traffic(stage& on, const traffic_plan& plan) -> traffic_report {
  round_of_traffic round{on, plan};
  for (int i = 0; i < 4; ++i) round.ids.push_back(on.clock.fresh<aggregate_id>());
  {
    sender one(round, 1);
    sender two(round, 2);
    std::thread first([&] { one.run(); });
    std::thread second([&] { two.run(); });
    append_now_and_then(round);
    first.join();
    second.join();
  }
  traffic_report report{round.notes.history(*on.store->open_reader(), round.ids), round.conflicts, round.bad_days, round.retired};
  report.history.bad_days = plan.bad_days;
  return report;
}

}  // namespace test
