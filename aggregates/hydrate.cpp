#include <maestro/aggregates/hydrate.hpp>

#include <algorithm>

namespace maestro {

namespace {

auto described(const definition& type, const aggregate_id& id) -> std::string {
  return "aggregate \"" + std::string(type.type()) + "\" " + id.text();
}

auto wrong_type(const definition& type, const aggregate_id& id, std::string_view found) -> error {
  return {errc::wrong_aggregate_type,
          "id " + id.text() + " belongs to aggregate type \"" + std::string(found) + "\", not \"" +
              std::string(type.type()) + "\""};
}

// Starts `at` from the newest snapshot that this program can use, if there is one.
auto start_from_snapshot(store& from, const definition& type, const aggregate_id& id, sequence_number up_to,
                         hydrated& at) -> result<void> {
  auto found = from.get_snapshot(id, 0, up_to);
  if (!found) return found.failure();
  if (!found->has_value()) return {};
  const snapshot& stored = **found;
  if (!stored.aggregate_type.empty() && stored.aggregate_type != type.type())
    return wrong_type(type, id, stored.aggregate_type);
  if (stored.version != type.snapshot_version() || stored.version_sequence != stored.sequence) return {};
  // The events are the truth: a snapshot counts only if its own event is there, which also tells the timestamp.
  auto last = from.get_events(id, {stored.sequence - 1, stored.sequence, 1});
  if (!last) return last.failure();
  if (last->empty()) return {};
  auto state = type.use_snapshot(stored.body);
  if (!state) return {};
  at.state = std::move(*state);
  at.sequence = at.snapshot_sequence = stored.sequence;
  at.newest = last->front().timestamp;
  return {};
}

}  // namespace

auto enter(hydrated& at, const definition& type, const event& row) -> result<void> {
  if (!row.aggregate_type.empty() && row.aggregate_type != type.type())
    return wrong_type(type, row.aggregate_id, row.aggregate_type);
  const auto problem = [&](const error& failure) {
    return error{errc::cannot_hydrate, described(type, row.aggregate_id) + " at sequence " +
                                           std::to_string(row.sequence) + ", event \"" + row.type +
                                           "\": " + failure.message};
  };
  if (row.sequence != at.sequence + 1)
    return problem({errc::cannot_hydrate, "sequence " + std::to_string(at.sequence + 1) + " is missing"});
  auto value = row.value ? result<std::shared_ptr<const void>>(row.value) : type.decode_event(row.type, row.body);
  if (!value) return problem(value.failure());
  if (auto applied = type.apply(at.state, row.type, value->get()); !applied) return problem(applied.failure());
  at.sequence = row.sequence;
  at.newest = row.timestamp;
  return {};
}

auto hydrate(store& from, const definition& type, const aggregate_id& id, sequence_number up_to,
             std::size_t page_events) -> result<hydrated> {
  hydrated at;
  if (auto started = start_from_snapshot(from, type, id, up_to, at); !started) return started.failure();
  if (!at.state) {
    auto initial = type.initial_state();
    if (!initial) return initial.failure();
    at.state = std::move(*initial);
  }
  while (at.sequence < up_to) {
    auto page = from.get_events(id, {at.sequence, up_to, page_events});
    if (!page) return page.failure();
    for (const event& row : *page)
      if (auto entered = enter(at, type, row); !entered) return entered.failure();
    at.events_read += page->size();
    if (page->size() < page_events) break;
  }
  return at;
}

}  // namespace maestro
