#include "broken_store.hpp"

#include "conformance.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <type_traits>

namespace maestro::test {

namespace {

using request_list = std::span<const commit_request* const>;
using outcome_list = std::vector<commit_outcome>;

// A fault that did not come about must not look like one that was noticed.
template <class Value>
auto must(result<Value> done) -> Value {
  if (!done) throw std::logic_error("the fault failed: " + to_string(done.failure()));
  return std::move(*done);
}

auto failed(const commit_request& request, const commit_outcome& outcome) -> const commit_unit* {
  return outcome.committed < request.units.size() ? &request.units[outcome.committed] : nullptr;
}

auto predecessor_of(const commit_request& request, std::size_t unit) -> timestamp {
  return unit == 0 ? request.predecessor : request.units[unit - 1].events.back().timestamp;
}

// A store whose fault strikes at times. `inner` is sound.
class broken_store : public forwarding_store {
 public:
  broken_store(std::unique_ptr<store> inner, std::shared_ptr<mischief> mischief)
      : forwarding_store(std::move(inner)), mischief_(std::move(mischief)) {}

 protected:
  auto strikes_now() -> bool { return mischief_->strikes_now(); }

  void run(std::string_view sql, std::vector<sql_value> parameters) { (void)must(inner().query(sql, parameters)); }

  auto head_of(const aggregate_id& id) -> aggregate_head {
    const auto heads = must(inner().get_heads({&id, 1}));
    return heads.empty() ? aggregate_head{id, 0, {}} : heads.front();
  }

 private:
  const std::shared_ptr<mischief> mischief_;
};

// --- what is done to units that were committed ---

class tampering_store : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    auto outcomes = inner().commit_all(requests);
    for (std::size_t i = 0; i < requests.size(); ++i)
      for (std::size_t unit = 0; unit < outcomes[i].committed; ++unit)
        if (const auto& events = requests[i]->units[unit].events; events.size() > 1 && strikes_now()) tamper(events);
    return outcomes;
  }

 private:
  virtual void tamper(const std::vector<event>& events) = 0;
};

class dropping_store final : public tampering_store {
 public:
  using tampering_store::tampering_store;

 private:
  void tamper(const std::vector<event>& events) override {
    run("DELETE FROM event_log WHERE timestamp = $1", {events.back().timestamp});
  }
};

class swapping_store final : public tampering_store {
 public:
  using tampering_store::tampering_store;

 private:
  void tamper(const std::vector<event>& events) override {
    move(events[0], store::max_sequence());
    move(events[1], events[0].sequence);
    move(events[0], events[1].sequence);
  }
  void move(const event& event, sequence_number to) {
    run("UPDATE event_log SET sequence = $2 WHERE timestamp = $1", {event.timestamp, to});
  }
};

// --- what is accepted that should not be ---

class gap_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    auto outcomes = inner().commit_all(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (outcomes[i].failure.code != errc::retry_command) continue;
      const auto* unit = failed(*requests[i], outcomes[i]);
      if (!is_behind_a_gap(*unit) || !strikes_now()) continue;
      for (const auto& event : unit->events) insert(event);
      if (++outcomes[i].committed == requests[i]->units.size()) outcomes[i].failure = {};
    }
    return outcomes;
  }

 private:
  // And nothing else is wrong with it.
  auto is_behind_a_gap(const commit_unit& unit) -> bool {
    const auto& first = unit.events.front();
    return first.sequence > head_of(first.aggregate_id).sequence + 1 &&
           std::none_of(unit.events.begin(), unit.events.end(), [this](const event& event) {
             return !must(inner().query("SELECT 1 FROM event_log WHERE timestamp = $1",
                                        std::vector<sql_value>{event.timestamp}))
                         .empty();
           });
  }
  void insert(const event& event) {
    run("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type) VALUES ($1, $2, $3, $4, "
        "$5, $6)",
        {event.timestamp, event.aggregate_id, event.sequence, event.type, event.body, event.aggregate_type});
  }
};

class any_predecessor_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    auto outcomes = inner().commit_all(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (outcomes[i].failure.code != errc::retry_command || outcomes[i].committed > 0) continue;
      const auto head = head_of(requests[i]->aggregate_id);
      if (requests[i]->units.front().events.front().sequence != head.sequence + 1 ||
          requests[i]->predecessor == head.timestamp || !strikes_now())
        continue;
      auto corrected = *requests[i];
      corrected.predecessor = head.timestamp;
      const commit_request* const only = &corrected;
      outcomes[i] = inner().commit_all({&only, 1}).front();
    }
    return outcomes;
  }
};

class half_writing_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    auto outcomes = inner().commit_all(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto* unit = failed(*requests[i], outcomes[i]);
      if (unit == nullptr || (outcomes[i].failure.code != errc::projection_failed && outcomes[i].failure.code != errc::program_failed) || unit->events.size() < 2 ||
          !strikes_now())
        continue;
      if (auto done =
              inner().commit_events({unit->events.front()}, predecessor_of(*requests[i], outcomes[i].committed));
          !done)
        throw std::logic_error("the fault failed: " + to_string(done.failure()));
    }
    return outcomes;
  }
};

// --- what projections leave behind ---

class forgetful_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    std::vector<commit_request> changed;
    for (const auto* request : requests)
      for (auto& unit : changed.emplace_back(*request).units)
        if (unit.projector != nullptr && strikes_now()) unit.projector = nullptr;
    std::vector<const commit_request*> batch;
    for (const auto& request : changed) batch.push_back(&request);
    return inner().commit_all(batch);
  }
};

// Knows the tables of histories.
class overprojecting_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    auto outcomes = inner().commit_all(requests);
    for (std::size_t i = 0; i < requests.size(); ++i)
      if (outcomes[i].failure && head_of(requests[i]->aggregate_id).sequence > 0 && strikes_now())
        run("INSERT INTO history_counts (aggregate_id, events, newest, answer) VALUES ($1, 1, 1, 0) "
            "ON CONFLICT (aggregate_id) DO UPDATE SET events = history_counts.events + 1",
            {requests[i]->aggregate_id});
    return outcomes;
  }
};

// --- wrong answers ---

// Answers some requests by itself, and hands on the others.
class answering_store : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_all(request_list requests) -> outcome_list override {
    std::vector<const commit_request*> others;
    std::vector<std::size_t> positions;
    outcome_list outcomes(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (auto answered = answer(*requests[i])) {
        outcomes[i] = *answered;
      } else {
        others.push_back(requests[i]);
        positions.push_back(i);
      }
    }
    auto found = inner().commit_all(others);
    for (std::size_t i = 0; i < found.size(); ++i) {
      note(*others[i], found[i]);
      outcomes[positions[i]] = std::move(found[i]);
    }
    return outcomes;
  }

 private:
  virtual auto answer(const commit_request& request) -> std::optional<commit_outcome> = 0;
  virtual void note(const commit_request&, commit_outcome&) {}
};

class never_writing_store final : public answering_store {
 public:
  using answering_store::answering_store;

 private:
  auto answer(const commit_request& request) -> std::optional<commit_outcome> override {
    if (!strikes_now()) return std::nullopt;
    return commit_outcome{request.units.size(), {}};
  }
};

class late_store final : public answering_store {
 public:
  using answering_store::answering_store;

  auto commit_all(request_list requests) -> outcome_list override {
    for (const auto& request : std::exchange(late_, {})) {
      const commit_request* const only = &request;
      (void)inner().commit_all({&only, 1});
    }
    return answering_store::commit_all(requests);
  }

 private:
  auto answer(const commit_request& request) -> std::optional<commit_outcome> override {
    if (!strikes_now()) return std::nullopt;
    late_.push_back(request);
    return commit_outcome{request.units.size(), {}};
  }

  std::vector<commit_request> late_;
};

class belying_store final : public answering_store {
 public:
  using answering_store::answering_store;

 private:
  auto answer(const commit_request&) -> std::optional<commit_outcome> override { return std::nullopt; }
  void note(const commit_request&, commit_outcome& outcome) override {
    if (outcome.committed > 0 && strikes_now()) outcome = {0, {errc::retry_command, "not the truth"}};
  }
};

class unknowing_store final : public answering_store {
 public:
  using answering_store::answering_store;

 private:
  auto answer(const commit_request& request) -> std::optional<commit_outcome> override {
    if (request.units.empty() || request.units.front().events.empty()) return std::nullopt;
    if (!committed_.contains(request.units.front().events.front().timestamp) || !strikes_now()) return std::nullopt;
    return commit_outcome{0, {errc::retry_command, "it is there already"}};
  }
  void note(const commit_request& request, commit_outcome& outcome) override {
    if (outcome.committed > 0) committed_.insert(request.units.front().events.front().timestamp);
  }

  std::set<timestamp> committed_;
};

// --- wrong reads, and snapshots ---

class disorderly_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    auto events = inner().get_events(id, range);
    if (events && events->size() > 1 && strikes_now()) std::swap((*events)[0], (*events)[1]);
    return events;
  }
};

class stale_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> override {
    auto heads = must(inner().get_heads(ids));
    for (auto& head : heads) {
      if (head.sequence == 1 || !strikes_now()) continue;
      --head.sequence;
      head.timestamp = must(inner().get_events(head.aggregate_id, {head.sequence - 1, head.sequence})).at(0).timestamp;
    }
    return heads;
  }
};

class backward_store final : public broken_store {
 public:
  using broken_store::broken_store;

  auto commit_snapshot(const snapshot& snapshot) -> result<void> override {
    if (snapshot.body.starts_with('{') && must(inner().get_snapshot(snapshot.aggregate_id, snapshot.sequence)) &&
        strikes_now())
      run("DELETE FROM snapshots WHERE aggregate_id = $1", {snapshot.aggregate_id});
    return inner().commit_snapshot(snapshot);
  }
};

auto wrap(fault fault, std::unique_ptr<store> inner, std::shared_ptr<mischief> mischief) -> std::unique_ptr<store> {
  auto make = [&]<class Store>(std::type_identity<Store>) -> std::unique_ptr<store> {
    return std::make_unique<Store>(std::move(inner), std::move(mischief));
  };
  switch (fault) {
    case fault::none:
    case fault::accepts_a_taken_sequence:
      return make(std::type_identity<broken_store>());
    case fault::drops_an_event:
      return make(std::type_identity<dropping_store>());
    case fault::swaps_stored_events:
      return make(std::type_identity<swapping_store>());
    case fault::returns_events_out_of_order:
      return make(std::type_identity<disorderly_store>());
    case fault::accepts_a_gap:
      return make(std::type_identity<gap_store>());
    case fault::accepts_any_predecessor:
      return make(std::type_identity<any_predecessor_store>());
    case fault::forgets_a_projection:
      return make(std::type_identity<forgetful_store>());
    case fault::projects_a_refused_unit:
      return make(std::type_identity<overprojecting_store>());
    case fault::reports_what_it_never_writes:
      return make(std::type_identity<never_writing_store>());
    case fault::answers_before_it_writes:
      return make(std::type_identity<late_store>());
    case fault::reports_a_failure_after_writing:
      return make(std::type_identity<belying_store>());
    case fault::writes_half_a_unit:
      return make(std::type_identity<half_writing_store>());
    case fault::does_not_know_its_own_commit:
      return make(std::type_identity<unknowing_store>());
    case fault::lets_snapshots_go_back:
      return make(std::type_identity<backward_store>());
    case fault::returns_stale_heads:
      return make(std::type_identity<stale_store>());
  }
  throw std::logic_error("there is no such fault");
}

}  // namespace

auto to_string(fault fault) -> std::string_view {
  switch (fault) {
    case fault::none:
      return "none";
    case fault::drops_an_event:
      return "drops_an_event";
    case fault::swaps_stored_events:
      return "swaps_stored_events";
    case fault::returns_events_out_of_order:
      return "returns_events_out_of_order";
    case fault::accepts_a_taken_sequence:
      return "accepts_a_taken_sequence";
    case fault::accepts_a_gap:
      return "accepts_a_gap";
    case fault::accepts_any_predecessor:
      return "accepts_any_predecessor";
    case fault::forgets_a_projection:
      return "forgets_a_projection";
    case fault::projects_a_refused_unit:
      return "projects_a_refused_unit";
    case fault::reports_what_it_never_writes:
      return "reports_what_it_never_writes";
    case fault::answers_before_it_writes:
      return "answers_before_it_writes";
    case fault::reports_a_failure_after_writing:
      return "reports_a_failure_after_writing";
    case fault::writes_half_a_unit:
      return "writes_half_a_unit";
    case fault::does_not_know_its_own_commit:
      return "does_not_know_its_own_commit";
    case fault::lets_snapshots_go_back:
      return "lets_snapshots_go_back";
    case fault::returns_stale_heads:
      return "returns_stale_heads";
  }
  return {};
}

auto all_faults() -> std::vector<fault> {
  std::vector<fault> all;
  for (std::uint8_t number = 1; !to_string(static_cast<fault>(number)).empty(); ++number)
    all.push_back(static_cast<fault>(number));
  return all;
}

auto broken_database::open_writer() -> std::unique_ptr<store> {
  return wrap(fault_, inner().open_writer(), mischief_);
}
auto broken_database::open_reader() -> std::unique_ptr<store> {
  return wrap(fault_, inner().open_reader(), mischief_);
}

auto broken_database::migrate(std::span<const migration> components) -> result<std::vector<std::string>> {
  auto applied = inner().migrate(components);
  // What keeps events from being changed is in the way of most faults.
  (void)must(inner().open_writer()->query(allow_rewrite(inner().sql_dialect()), {}));
  if (fault_ == fault::accepts_a_taken_sequence)
    (void)must(inner().open_writer()->query("DROP INDEX aggregate_sequence_index", {}));
  return applied;
}

}  // namespace maestro::test
