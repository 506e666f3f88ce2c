#include "history.hpp"

#include "dice.hpp"
#include "history_model.hpp"
#include "history_planner.hpp"
#include "history_text.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

namespace maestro::test {

namespace {

constexpr std::size_t remembered_per_aggregate = 4;
constexpr std::size_t steps_between_full_looks = 100;

auto verdicts_of(const std::vector<commit_outcome>& outcomes) -> std::vector<verdict> {
  std::vector<verdict> verdicts;
  for (const auto& outcome : outcomes) verdicts.push_back({outcome.committed, outcome.failure.code});
  return verdicts;
}

class history {
 public:
  history(database& opened, std::uint64_t seed, bool partitioned)
      : chance_(seed), planner_(chance_, model_, partitioned), clients_{history_client(opened), history_client(opened)} {}

  auto run(std::size_t steps) -> std::optional<std::string> {
    for (std::size_t step = 1; step <= steps; ++step) {
      take_step();
      if (!disagreement_ && (step % steps_between_full_looks == 0 || step == steps)) look_at_everything();
      if (disagreement_) return "step " + std::to_string(step) + ": " + *disagreement_;
    }
    return std::nullopt;
  }

 private:
  void take_step() {
    auto& who = chance_.pick(clients_);
    commit(who);
    if (chance_.one_in(2)) commit_snapshot(who);
    for (std::size_t reads = chance_.below(4); reads > 0; --reads) read(either_store());
    if (chance_.one_in(3)) refresh(chance_.pick(clients_));
  }

  // --- writes ---

  void commit(history_client& who) {
    const planned_batch batch = planner_.batch(who);
    std::vector<const commit_request*> requests;
    for (const auto& planned : batch.requests) requests.push_back(&planned.request);
    const auto found = verdicts_of(who.writer->commit_all(requests));
    const auto expected = expect(batch, found);
    for (std::size_t i = 0; i < batch.requests.size() && !disagreement_; ++i) {
      const auto& planned = batch.requests[i];
      hold("commit of " + text_of(planned), {text_of(expected[i])},
           {i < found.size() ? text_of(found[i]) : "no outcome"});
      learn(who, planned, expected[i], batch.has_rivals);
    }
    for (const auto& planned : batch.requests) look_at_events(planned);
  }

  // Of two who want the same thing either may have been the first, but nobody else's outcome depends on the order.
  auto expect(const planned_batch& batch, const std::vector<verdict>& found) -> std::vector<verdict> {
    std::vector<verdict> expected(batch.requests.size());
    const auto before = batch.has_rivals ? std::optional(model_) : std::nullopt;
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = model_.commit(batch.requests[i]);
    if (!before || expected == found) return expected;
    model_ = *before;
    for (std::size_t i = expected.size(); i-- > 0;) expected[i] = model_.commit(batch.requests[i]);
    return expected;
  }

  void learn(history_client& who, const planned_request& planned, const verdict& verdict, bool has_rivals) {
    const auto& [request, sound] = planned;
    if (verdict.committed > 0) {
      const auto& last = request.units[verdict.committed - 1].events.back();
      auto& known = who.known[request.aggregate_id];
      if (last.sequence > known.sequence) known = {last.aggregate_id, last.sequence, last.timestamp};
    }
    if (verdict.committed < request.units.size()) lose(who, request.units[verdict.committed]);
    if (verdict.failure == errc::retry_command && !chance_.one_in(3)) refresh(who, {&request.aggregate_id, 1});
    if (has_rivals) return;  // Submitted again, they could meet again, and others with them.
    auto& sent = who.sent[request.aggregate_id];
    if (sent.size() < remembered_per_aggregate)
      sent.push_back(planned);
    else
      chance_.pick(sent) = planned;
  }

  static void lose(history_client& who, const commit_unit& unit) {
    if (unit.events.empty() || unit.events.back().sequence == 0) return;
    who.lost[unit.events.back().aggregate_id] = unit.events.back();
  }

  void commit_snapshot(history_client& who) {
    auto made = planner_.snapshot();
    const bool refused = chance_.one_in(10);
    if (refused) made.body = "[1]";
    const auto done = who.writer->commit_snapshot(made);
    hold("commit_snapshot " + text_of(made), {std::string(to_string(refused ? errc::invalid_argument : errc::none))},
         {std::string(to_string(done ? errc::none : done.failure().code))});
    if (!refused) model_.commit_snapshot(made);
    look_at_snapshot(either_store(), made.aggregate_id);
  }

  // --- reads ---

  void read(store& from) {
    const auto& id = chance_.pick(planner_.aggregate_ids());
    switch (chance_.below(7)) {
      case 0:
        return look_at_range(from, id);
      case 1:
        return look_at_snapshot(from, id);
      case 2:
        return look_at_heads(from);
      case 3:
        return look_at_list(from);
      case 4:
        return look_at_command(from, id);
      case 5:
        return hold("newest_timestamp", lines_of(model_.newest_timestamp()), lines_of(from.newest_timestamp()));
      default:
        return look_at_count(from, id);
    }
  }

  // What a client learns, it learns from the store.
  void refresh(history_client& who) {
    const std::span all = planner_.aggregate_ids();
    refresh(who, all.subspan(chance_.below(all.size())));
  }
  void refresh(history_client& who, std::span<const aggregate_id> ids) {
    const auto heads = who.reader->get_heads(ids);
    hold_heads(ids, heads);
    if (!heads) return;
    for (const auto& head : *heads) who.known[head.aggregate_id] = head;
  }

  void look_at_heads(store& from) {
    const auto& all = planner_.aggregate_ids();
    const std::size_t first = chance_.below(all.size());
    std::vector<aggregate_id> ids(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
    ids.push_back(aggregate_id::make(1, 2, 3));  // Nobody has this one.
    hold_heads(ids, from.get_heads(ids));
  }

  void hold_heads(std::span<const aggregate_id> ids, const result<std::vector<aggregate_head>>& heads) {
    lines expected;
    for (const auto& id : ids)
      if (const auto head = model_.get_head(id)) expected.push_back(text_of(*head));
    lines found = lines_of(heads);
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    hold("get_heads of " + std::to_string(ids.size()) + " aggregates", expected, found);
  }

  // The events that the request could have changed, those just before them, and all after them.
  void look_at_events(const planned_request& planned) {
    sequence_number first = store::max_sequence();
    for (const auto& unit : planned.request.units)
      for (const auto& event : unit.events) first = std::min(first, event.sequence);
    hold_range(either_store(), planned.request.aggregate_id, {std::max(first - 3, 0)},
               "after the commit of " + text_of(planned) + ", ");
  }

  void look_at_range(store& from, const aggregate_id& id) {
    const std::size_t size = model_.events_of(id).size();
    const auto after = static_cast<sequence_number>(chance_.below(size + 2));
    const auto up_to =
        chance_.one_in(2) ? store::max_sequence() : static_cast<sequence_number>(chance_.below(size + 3));
    hold_range(from, id, {after, up_to, chance_.one_in(2) ? 1000 : chance_.below(10)});
  }

  void hold_range(store& from, const aggregate_id& id, const event_range& range, const std::string& when = {}) {
    hold(when + "get_events of " + id.text() + " after " + std::to_string(range.after) + " up to " +
             std::to_string(range.up_to) + ", at most " + std::to_string(range.limit),
         lines_of(model_.get_events(id, range)), lines_of(from.get_events(id, range)));
  }

  void look_at_snapshot(store& from, const aggregate_id& id) {
    const auto after = static_cast<sequence_number>(chance_.one_in(2) ? 0 : chance_.below(20));
    const auto up_to = chance_.one_in(2) ? store::max_sequence() : static_cast<sequence_number>(chance_.below(40));
    hold("get_snapshot of " + id.text() + " after " + std::to_string(after) + " up to " + std::to_string(up_to),
         lines_of(model_.get_snapshot(id, after, up_to)), lines_of(from.get_snapshot(id, after, up_to)));
  }

  void look_at_list(store& from) {
    static const std::vector<std::string> types = {"account", "till", "nothing"};
    const std::string& type = chance_.pick(types);
    const auto after = chance_.one_in(3) ? aggregate_id{} : chance_.pick(planner_.aggregate_ids());
    const std::size_t limit = chance_.below(40);
    hold("list_aggregates of " + type + " after " + after.text() + ", at most " + std::to_string(limit),
         lines_of(model_.list_aggregates(type, after, limit)), lines_of(from.list_aggregates(type, after, limit)));
  }

  void look_at_command(store& from, const aggregate_id& id) {
    const auto& events = model_.events_of(id);
    if (events.empty()) return;
    const auto& event = chance_.pick(events);
    const auto command = chance_.one_in(10) ? command_id::make(1, 2, 3) : *event.command_id;
    const auto not_before = chance_.one_in(3)   ? timestamp{}
                            : chance_.one_in(2) ? event.timestamp
                                                : chance_.pick(events).timestamp;
    hold("find_command " + command.text() + " of " + id.text() + " not before " + not_before.text(),
         lines_of(model_.find_command(id, command, not_before)), lines_of(from.find_command(id, command, not_before)));
  }

  void look_at_count(store& from, const aggregate_id& id) {
    const auto row = model_.counts().find(id);
    lines expected;
    if (row != model_.counts().end()) expected.push_back(text_of(row_of(*row)));
    hold("the projection of " + id.text(), expected,
         lines_of(from.query("SELECT aggregate_id, events, newest, answer FROM history_counts WHERE aggregate_id = $1",
                             std::vector<sql_value>{id})));
  }

  // Everything that is stored, also what no other read would ask for.
  void look_at_everything() {
    store& from = either_store();
    for (const auto& id : planner_.aggregate_ids()) {
      hold_range(from, id, {0, store::max_sequence(), SIZE_MAX / 4});
      hold("get_snapshot of " + id.text(), lines_of(model_.get_snapshot(id, 0, store::max_sequence())),
           lines_of(from.get_snapshot(id)));
    }
    hold("the number of events in the log", {std::to_string(model_.size())},
         lines_of(from.query("SELECT count(*) FROM event_log", {})));
    lines counts;
    for (const auto& row : model_.counts()) counts.push_back(text_of(row_of(row)));
    hold("the projection", counts,
         lines_of(
             from.query("SELECT aggregate_id, events, newest, answer FROM history_counts ORDER BY aggregate_id", {})));
    lines claims;
    for (const auto& [name, id] : model_.claims()) claims.push_back(name + ", " + id.text());
    lines found = lines_of(from.query("SELECT name, aggregate_id FROM history_claims", {}));
    std::sort(found.begin(), found.end());  // Not every server sorts text by its bytes.
    hold("the claims", claims, found);
    hold("the children", {}, lines_of(from.query("SELECT name FROM history_children", {})));
  }

  static auto row_of(const std::pair<const aggregate_id, history_model::count>& row) -> sql_row {
    return {row.first, row.second.events, row.second.newest, row.second.answer};
  }

  // --- the rest ---

  auto either_store() -> store& {
    auto& who = chance_.pick(clients_);
    return chance_.one_in(2) ? *who.writer : *who.reader;
  }

  // Keeps the first disagreement.
  void hold(const std::string& what, const lines& expected, const lines& found) {
    if (disagreement_) return;
    if (const auto differs = difference(expected, found)) disagreement_ = what + ": " + *differs;
  }

  dice chance_;
  history_model model_;
  history_planner planner_;
  std::array<history_client, 2> clients_;
  std::optional<std::string> disagreement_;
};

}  // namespace

auto check_history(database& opened, std::uint64_t seed, std::size_t steps, bool partitioned)
    -> std::optional<std::string> {
  auto found = [&]() -> std::optional<std::string> {
    if (const auto migrated = opened.migrate(history_tables()); !migrated)
      return "migrate: " + to_string(migrated.failure());
    return history(opened, seed, partitioned).run(steps);
  }();
  if (found) *found = "MAESTRO_TEST_SEED=" + std::to_string(seed) + ", " + *found;
  return found;
}

}  // namespace maestro::test
