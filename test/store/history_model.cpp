#include "history_model.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace maestro::test {

namespace {

class counting_projector : public projector {
 public:
  void project(transaction& tx, const event& event) const override {
    tx.execute(
        "INSERT INTO history_counts (aggregate_id, events, newest, answer) VALUES ($1, 1, $2, 0) "
        "ON CONFLICT (aggregate_id) DO UPDATE SET events = history_counts.events + 1, newest = $2",
        event.aggregate_id, event.sequence);
    if (event.type.starts_with(event_types::claimed))
      tx.execute("INSERT INTO history_claims (name, aggregate_id) VALUES ($1, $2)", event.type, event.aggregate_id);
    if (event.type == event_types::asked) ask(tx, event);
    if (event.type == event_types::thrown) throw std::runtime_error("no such luck");
    if (event.type == event_types::nulled)
      tx.execute("UPDATE history_counts SET events = NULL WHERE aggregate_id = $1", event.aggregate_id);
    if (event.type == event_types::orphaned)
      tx.execute("INSERT INTO history_children (name, parent) VALUES ($1, 'nobody')", event.timestamp.text());
  }

 private:
  static void ask(transaction& tx, const event& event) {
    const auto rows = tx.query("SELECT events FROM history_counts WHERE aggregate_id = $1", event.aggregate_id);
    tx.execute("UPDATE history_counts SET answer = $2 WHERE aggregate_id = $1", event.aggregate_id,
               rows.at(0).at(0).as<std::int64_t>());
  }
};

auto is_expired(const commit_unit& unit) -> bool {
  return unit.expires_at == long_expired;
}

}  // namespace

auto history_tables() -> std::vector<migration> {
  return {
      {"history", 1,
       "CREATE TABLE history_counts (aggregate_id bytea PRIMARY KEY, events bigint NOT NULL, newest bigint NOT NULL, "
       "answer bigint NOT NULL); "
       "CREATE TABLE history_claims (name text PRIMARY KEY, aggregate_id bytea NOT NULL); "
       "CREATE TABLE history_children (name text PRIMARY KEY, "
       "parent text REFERENCES history_children DEFERRABLE INITIALLY DEFERRED)",
       "CREATE TABLE history_counts (aggregate_id BLOB PRIMARY KEY, events INTEGER NOT NULL, newest INTEGER NOT NULL, "
       "answer INTEGER NOT NULL) STRICT; "
       "CREATE TABLE history_claims (name TEXT PRIMARY KEY, aggregate_id BLOB NOT NULL) STRICT; "
       "CREATE TABLE history_children (name TEXT PRIMARY KEY, "
       "parent TEXT REFERENCES history_children DEFERRABLE INITIALLY DEFERRED) STRICT"}};
}

auto history_projector() -> std::shared_ptr<const projector> {
  static const auto only = std::make_shared<counting_projector>();
  return only;
}

auto history_model::commit(const planned_request& planned) -> verdict {
  verdict so_far;
  bool in_doubt = planned.request.in_doubt;
  for (const auto& unit : planned.request.units) {
    so_far.failure = judge(planned, so_far.committed, in_doubt);
    if (so_far.failure != errc::none) break;
    ++so_far.committed;
    if (is_stored(unit)) continue;
    append(unit);
    in_doubt = false;  // The earlier submission did not get this far.
  }
  return so_far;
}

auto history_model::judge(const planned_request& planned, std::size_t index, bool in_doubt) const -> errc {
  const auto& unit = planned.request.units[index];
  if (index >= planned.sound) return errc::invalid_event;
  if (is_expired(unit) && !in_doubt) return errc::timed_out;
  if (is_stored(unit)) return errc::none;
  if (!fits(planned.request, index)) return errc::retry_command;
  if (is_expired(unit)) return errc::timed_out;
  return judge_projection(unit);
}

auto history_model::is_stored(const commit_unit& unit) const -> bool {
  return std::all_of(unit.events.begin(), unit.events.end(), [this](const event& event) {
    const auto& events = events_of(event.aggregate_id);
    const auto index = static_cast<std::size_t>(event.sequence - 1);
    return index < events.size() && events[index].timestamp == event.timestamp;
  });
}

auto history_model::fits(const commit_request& request, std::size_t index) const -> bool {
  const auto& events = request.units[index].events;
  const auto head = get_head(request.aggregate_id).value_or(aggregate_head{});
  const auto& predecessor = index == 0 ? request.predecessor : request.units[index - 1].events.back().timestamp;
  return events.front().sequence == head.sequence + 1 && predecessor == head.timestamp &&
         std::none_of(events.begin(), events.end(),
                      [this](const event& event) { return timestamps_.contains(event.timestamp); });
}

auto history_model::judge_projection(const commit_unit& unit) const -> errc {
  if (unit.projector == nullptr) return errc::none;
  std::set<std::string_view> claimed_here;
  errc at_commit = errc::none;
  for (const auto& event : unit.events) {
    if (event.type == event_types::thrown) return errc::program_failed;
    if (event.type == event_types::nulled) return errc::projection_failed;
    if (event.type == event_types::orphaned) at_commit = errc::projection_failed;
    if (event.type.starts_with(event_types::claimed) &&
        (claims_.contains(event.type) || !claimed_here.insert(event.type).second))
      return errc::projection_failed;
  }
  return at_commit;
}

void history_model::append(const commit_unit& unit) {
  for (const auto& event : unit.events) {
    log_[event.aggregate_id].push_back(event);
    timestamps_.insert(event.timestamp);
    if (unit.projector == nullptr) continue;
    count& row = counts_[event.aggregate_id];
    ++row.events;
    row.newest = event.sequence;
    if (event.type == event_types::asked) row.answer = row.events;
    if (event.type.starts_with(event_types::claimed)) claims_[event.type] = event.aggregate_id;
  }
}

void history_model::commit_snapshot(const snapshot& snapshot) {
  auto& kept = snapshots_[snapshot.aggregate_id];
  if (snapshot.sequence > kept.sequence || (snapshot.sequence == kept.sequence && snapshot.version != kept.version))
    kept = snapshot;
}

auto history_model::get_events(const aggregate_id& id, const event_range& range) const -> std::vector<event> {
  std::vector<event> found;
  for (const auto& event : events_of(id))
    if (event.sequence > range.after && event.sequence <= range.up_to && found.size() < range.limit)
      found.push_back(event);
  return found;
}

auto history_model::get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to) const
    -> std::optional<snapshot> {
  const auto kept = snapshots_.find(id);
  if (kept == snapshots_.end() || kept->second.sequence <= after || kept->second.sequence > up_to) return std::nullopt;
  return kept->second;
}

auto history_model::get_head(const aggregate_id& id) const -> std::optional<aggregate_head> {
  const auto& events = events_of(id);
  if (events.empty()) return std::nullopt;
  return aggregate_head{id, events.back().sequence, events.back().timestamp};
}

auto history_model::list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit) const
    -> std::vector<aggregate_head> {
  std::vector<aggregate_head> found;
  for (const auto& [id, events] : log_)
    if (id > after && found.size() < limit && events.front().aggregate_type == type) found.push_back(*get_head(id));
  return found;
}

auto history_model::find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before) const
    -> std::vector<event> {
  std::vector<event> found;
  std::copy_if(events_of(id).begin(), events_of(id).end(), std::back_inserter(found),
               [&](const event& event) { return event.command_id == command && event.timestamp >= not_before; });
  return found;
}

auto history_model::newest_timestamp() const -> timestamp {
  return timestamps_.empty() ? timestamp{} : *timestamps_.rbegin();
}

auto history_model::events_of(const aggregate_id& id) const -> const std::vector<event>& {
  static const std::vector<event> none;
  const auto events = log_.find(id);
  return events == log_.end() ? none : events->second;
}

}  // namespace maestro::test
