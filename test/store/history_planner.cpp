#include "history_planner.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace maestro::test {

namespace {

constexpr std::size_t aggregates = 36;
// Of every timestamp but those that are made to lie just before another.
constexpr std::uint16_t counter_of_fresh = 1000;

auto head_known_to(const history_client& who, const aggregate_id& id) -> aggregate_head {
  const auto known = who.known.find(id);
  return known == who.known.end() ? aggregate_head{id, 0, {}} : known->second;
}

auto has_fresh_timestamps(const planned_request& planned) -> bool {
  return planned.request.units.front().events.front().timestamp.counter() == counter_of_fresh;
}

auto last_event(const commit_request& request) -> const event& {
  return request.units.back().events.back();
}

}  // namespace

const std::vector<history_planner::weighted_plan> history_planner::plans = {
    {60, &history_planner::fitting},
    {4, &history_planner::gap},
    {4, &history_planner::wrong_predecessor},
    {4, &history_planner::successor_of_lost},
    {4, &history_planner::duplicate_timestamp},
    {10, &history_planner::resubmission},
    {3, &history_planner::expired},
    {3, &history_planner::poison},
    {2, &history_planner::stray_event},
    {2, &history_planner::broken_sequence},
    {2, &history_planner::timestamps_going_back},
    {1, &history_planner::empty_unit},
};

history_planner::history_planner(dice& chance, const history_model& model, bool partitioned)
    : chance_(chance), model_(model), partitioned_(partitioned) {
  for (std::size_t i = 0; i < aggregates; ++i)
    ids_.push_back(aggregate_id::make(chance_.below(std::size_t{1} << 48), static_cast<std::uint16_t>(i),
                                      chance_.below(SIZE_MAX)));
}

auto history_planner::batch(const history_client& who) -> planned_batch {
  // Mostly a few; at times one, or all.
  const std::size_t size = chance_.one_in(4)   ? 1
                           : chance_.one_in(6) ? chance_.between(1, ids_.size())
                                               : chance_.between(2, 8);
  std::vector<aggregate_id> chosen = ids_;
  for (std::size_t i = 0; i < size; ++i) std::swap(chosen[i], chosen[chance_.between(i, chosen.size() - 1)]);
  chosen.resize(size);
  std::sort(chosen.begin(), chosen.end());

  planned_batch batch;
  for (const auto& id : chosen) batch.requests.push_back(request(who, id));
  batch.has_rivals = chance_.one_in(4) && make_rivals(batch);
  return batch;
}

auto history_planner::snapshot() -> maestro::snapshot {
  const auto& id = chance_.pick(ids_);
  const auto sequence = static_cast<sequence_number>(chance_.between(1, model_.events_of(id).size() / 4 + 2));
  const std::string body = "{\"n\":" + std::to_string(chance_.below(1000)) + "}";
  return {id, sequence, aggregate_type(id), body, static_cast<int>(chance_.below(3)), sequence};
}

auto history_planner::request(const history_client& who, const aggregate_id& id) -> planned_request {
  std::size_t all = 0;
  for (const auto& [weight, make] : plans) all += weight;
  std::size_t drawn = chance_.below(all);
  for (const auto& [weight, make] : plans) {
    if (drawn < weight) return (this->*make)(who, id);
    drawn -= weight;
  }
  return fitting(who, id);
}

// --- plans
// -------------------------------------------------------------------------------------------------------------

auto history_planner::fitting(const history_client& who, const aggregate_id& id) -> planned_request {
  return request_after(head_known_to(who, id));
}

auto history_planner::gap(const history_client& who, const aggregate_id& id) -> planned_request {
  auto head = head_known_to(who, id);
  head.sequence += static_cast<sequence_number>(chance_.between(1, 2));
  return request_after(head);
}

auto history_planner::wrong_predecessor(const history_client& who, const aggregate_id& id) -> planned_request {
  auto head = head_known_to(who, id);
  if (head.sequence == 0) return gap(who, id);
  head.timestamp = chance_.one_in(4) ? timestamp{} : chance_.one_in(3) ? fresh_timestamp() : stored_timestamp();
  return request_after(head);
}

auto history_planner::successor_of_lost(const history_client& who, const aggregate_id& id) -> planned_request {
  const auto lost = who.lost.find(id);
  if (lost == who.lost.end()) return fitting(who, id);
  return request_after({id, lost->second.sequence, lost->second.timestamp});
}

// The whole of the first unit lies before a timestamp that is taken, so that only the log can refuse its last event.
auto history_planner::duplicate_timestamp(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = fitting(who, id);
  const auto taken = partitioned_ ? stored_timestamp(id) : stored_timestamp();
  if (!taken) return planned;
  auto& events = planned.request.units.front().events;
  std::uint16_t counter = taken.counter();
  for (std::size_t i = events.size(); i-- > 0; --counter)
    events[i].timestamp = i + 1 == events.size() ? taken : timestamp::make(taken.milliseconds(), counter, ++names_);
  return planned;
}

auto history_planner::resubmission(const history_client& who, const aggregate_id& id) -> planned_request {
  const auto sent = who.sent.find(id);
  if (sent == who.sent.end()) return fitting(who, id);
  auto planned = chance_.pick(sent->second);
  planned.request.in_doubt = chance_.one_in(2);
  if (planned.sound < planned.request.units.size() || !chance_.one_in(3)) return planned;
  aggregate_head head{id, last_event(planned.request).sequence, last_event(planned.request).timestamp};
  planned.request.units.push_back(unit_after(head));
  return planned;
}

auto history_planner::expired(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = chance_.one_in(2) ? resubmission(who, id) : fitting(who, id);
  chance_.pick(planned.request.units).expires_at = long_expired;
  return planned;
}

auto history_planner::poison(const history_client& who, const aggregate_id& id) -> planned_request {
  static const std::vector<std::string> bodies = {R"({"a":"\u0000"})", "[1]", "", "{", R"({"a":1e999})",
                                                  "{\"a\":\"\xff\"}"};
  auto planned = fitting(who, id);
  planned.sound = chance_.below(planned.request.units.size());
  auto& event = chance_.pick(planned.request.units[planned.sound].events);
  switch (chance_.below(6)) {
    case 0:
      event.type.clear();
      break;
    case 1:
      event.type = std::string(257, 'x');
      break;
    case 2:
      event.metadata = "7";
      break;
    default:
      event.body = chance_.pick(bodies);
  }
  return planned;
}

auto history_planner::stray_event(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = fitting(who, id);
  planned.sound = chance_.below(planned.request.units.size());
  auto& event = chance_.pick(planned.request.units[planned.sound].events);
  if (chance_.one_in(3))
    event.aggregate_type = "stranger";
  else
    event.aggregate_id = aggregate_id::make(1, 2, chance_.below(SIZE_MAX));
  return planned;
}

auto history_planner::broken_sequence(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = fitting(who, id);
  planned.sound = chance_.below(planned.request.units.size());
  auto& events = planned.request.units[planned.sound].events;
  const std::size_t from = chance_.below(events.size());
  // The very first event may say any sequence but one.
  if (planned.sound == 0 && from == 0) events[from].sequence = 0;
  for (std::size_t i = from; i < events.size() && events[from].sequence != 0; ++i) ++events[i].sequence;
  return planned;
}

auto history_planner::timestamps_going_back(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = fitting(who, id);
  auto& units = planned.request.units;
  if (units.size() == 1) {
    aggregate_head head{id, last_event(planned.request).sequence, last_event(planned.request).timestamp};
    units.push_back(unit_after(head));
  }
  planned.sound = chance_.between(1, units.size() - 1);
  const auto& before = units[planned.sound - 1].events.back().timestamp;
  units[planned.sound].events.front().timestamp =
      chance_.one_in(2) ? before : timestamp::make(before.milliseconds() - 1, counter_of_fresh, ++names_);
  return planned;
}

auto history_planner::empty_unit(const history_client& who, const aggregate_id& id) -> planned_request {
  auto planned = fitting(who, id);
  planned.sound = chance_.below(planned.request.units.size());
  planned.request.units[planned.sound].events.clear();
  return planned;
}

// --- parts
// -------------------------------------------------------------------------------------------------------------

auto history_planner::request_after(const aggregate_head& known) -> planned_request {
  auto head = known;
  planned_request planned{
      {head.aggregate_id, aggregate_type(head.aggregate_id), head.timestamp, {}, chance_.one_in(20)}};
  const std::size_t units = chance_.one_in(2) ? 1 : chance_.between(1, 4);
  while (planned.request.units.size() < units) planned.request.units.push_back(unit_after(head));
  return planned;
}

auto history_planner::unit_after(aggregate_head& head) -> commit_unit {
  commit_unit unit;
  const std::size_t size = chance_.one_in(60) ? chance_.between(20, 40) : chance_.one_in(2) ? 1 : chance_.between(1, 4);
  const auto command = command_id::make(milliseconds_, 0, ++names_);
  while (unit.events.size() < size) unit.events.push_back(event_after(head));
  for (auto& event : unit.events) event.command_id = command;
  if (!chance_.one_in(5)) unit.projector = history_projector();
  return unit;
}

auto history_planner::event_after(aggregate_head& head) -> event {
  event made;
  made.timestamp = head.timestamp = fresh_timestamp();
  made.aggregate_id = head.aggregate_id;
  made.sequence = ++head.sequence;
  made.aggregate_type = aggregate_type(head.aggregate_id);
  made.type = event_type();
  // Written as jsonb gives it back, so that it can be compared as it is.
  made.body = "{\"n\":" + std::to_string(chance_.below(1'000'000)) + ",\"text\":\"\xc3\xa4 'quoted' \\\"\\\\ {,}\"}";
  if (chance_.one_in(4)) made.metadata = "{\"$n\":" + std::to_string(chance_.between(2, 9)) + "}";
  return made;
}

auto history_planner::event_type() -> std::string {
  const std::size_t drawn = chance_.below(200);
  if (drawn < 2) return std::string(event_types::thrown);
  if (drawn < 4) return std::string(event_types::nulled);
  if (drawn < 6) return std::string(event_types::orphaned);
  if (drawn < 8 && !model_.claims().empty()) {
    const auto claim = static_cast<std::ptrdiff_t>(chance_.below(model_.claims().size()));
    return std::next(model_.claims().begin(), claim)->first;
  }
  if (drawn < 16) return std::string(event_types::claimed) + std::to_string(++names_);
  if (drawn < 40) return std::string(event_types::asked);
  return std::string(event_types::counted);
}

// Of any event in the log; none while that is empty.
auto history_planner::stored_timestamp() -> timestamp {
  for (std::size_t i = 0; i < 2 * ids_.size() && model_.size() > 0; ++i)
    if (const auto found = stored_timestamp(chance_.pick(ids_))) return found;
  return model_.newest_timestamp();
}

auto history_planner::stored_timestamp(const aggregate_id& of) -> timestamp {
  const auto& events = model_.events_of(of);
  return events.empty() ? timestamp{} : chance_.pick(events).timestamp;
}

auto history_planner::fresh_timestamp() -> timestamp {
  return timestamp::make(++milliseconds_, counter_of_fresh, 7);
}

// At most one pair per batch: then there are only two orders to tell apart.
auto history_planner::make_rivals(planned_batch& batch) -> bool {
  std::vector<planned_request*> sound;
  for (auto& planned : batch.requests)
    if (planned.sound == SIZE_MAX && has_fresh_timestamps(planned)) sound.push_back(&planned);
  if (sound.size() < 2) return false;
  const std::size_t first = chance_.below(sound.size() - 1);
  auto& units = sound[first]->request.units;
  auto& other = sound[chance_.between(first + 1, sound.size() - 1)]->request.units;
  if (chance_.one_in(3) && !partitioned_) {
    units.back().events.back().timestamp = other.back().events.back().timestamp = fresh_timestamp();
    return true;
  }
  const std::string name = std::string(event_types::claimed) + std::to_string(++names_);
  for (auto* unit : {&chance_.pick(units), &chance_.pick(other)}) {
    unit->events.front().type = name;
    unit->projector = history_projector();
    // One that gets it first, and still cannot keep it.
    if (unit->events.size() > 1 && chance_.one_in(2)) unit->events.back().type = event_types::orphaned;
  }
  return true;
}

}  // namespace maestro::test
