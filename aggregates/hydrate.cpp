#include <maestro/aggregates/hydrate.hpp>

#include <span>
#include <utility>

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

// Starts `at` from `stored`, whose own event is `last`, if this program can use it. The events are the truth: a snapshot counts
// only if its own event is there, which also tells the timestamp.
auto start_from(const snapshot& stored, const event* last, const definition& type, hydrated& at) -> result<void> {
  if (!stored.aggregate_type.empty() && stored.aggregate_type != type.type())
    return wrong_type(type, stored.aggregate_id, stored.aggregate_type);
  if (stored.version != type.snapshot_version() || stored.version_sequence != stored.sequence) return {};
  if (last == nullptr || last->sequence != stored.sequence) return {};
  auto state = type.use_snapshot(stored.body);
  if (!state) return {};
  at.state = std::move(*state);
  at.sequence = at.snapshot_sequence = stored.sequence;
  at.newest = last->timestamp;
  return {};
}

auto enter_all(hydrated& at, const definition& type, std::span<const event> rows) -> result<void> {
  for (const event& row : rows)
    if (auto entered = enter(at, type, row); !entered) return entered.failure();
  at.events_read += rows.size();
  return {};
}

auto start_from_nothing(const definition& type, hydrated& at) -> result<void> {
  auto initial = type.initial_state();
  if (!initial) return initial.failure();
  at.state = std::move(*initial);
  return {};
}

// The events after `at`, page by page.
auto read_on(store& from, const definition& type, const aggregate_id& id, sequence_number up_to, std::size_t page_events,
             hydrated& at) -> result<void> {
  while (at.sequence < up_to) {
    auto page = from.get_events(id, {at.sequence, up_to, page_events});
    if (!page) return page.failure();
    if (auto entered = enter_all(at, type, *page); !entered) return entered;
    if (page->size() < page_events) break;
  }
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
  if (auto entered = type.enter(at.state, row); !entered) return problem(entered.failure());
  at.sequence = row.sequence;
  at.newest = row.timestamp;
  return {};
}

namespace {

auto hydrate_from(store& from, const definition& type, const aggregate_id& id, sequence_number up_to,
                  std::size_t page_events, const aggregate_history& start) -> result<hydrated> {
  hydrated at;
  std::span<const event> rows = start.events;
  bool complete = start.complete;
  if (start.snapshot) {
    if (auto started = start_from(*start.snapshot, rows.empty() ? nullptr : &rows.front(), type, at); !started)
      return started.failure();
    // The events that came with the snapshot begin with its own; without it they are of no use.
    if (at.state) rows = rows.subspan(1);
    else rows = {};
    complete = complete && at.state != nullptr;
  }
  if (!at.state)
    if (auto started = start_from_nothing(type, at); !started) return started.failure();
  if (auto entered = enter_all(at, type, rows); !entered) return entered.failure();
  if (!complete)
    if (auto read = read_on(from, type, id, up_to, page_events, at); !read) return read.failure();
  return at;
}

}  // namespace

auto hydrate(store& from, const definition& type, const aggregate_id& id, sequence_number up_to,
             std::size_t page_events) -> result<hydrated> {
  auto kept = from.get_snapshot(id, 0, up_to);
  if (!kept) return kept.failure();
  aggregate_history start;
  start.snapshot = std::move(*kept);
  if (start.snapshot) {
    auto last = from.get_events(id, {start.snapshot->sequence - 1, start.snapshot->sequence, 1});
    if (!last) return last.failure();
    start.events = std::move(*last);
  }
  return hydrate_from(from, type, id, up_to, page_events, start);
}

auto hydrate(store& from, const definition& type, const aggregate_id& id, const aggregate_history& start,
             std::size_t page_events) -> result<hydrated> {
  return hydrate_from(from, type, id, max_sequence(), page_events, start);
}

}  // namespace maestro
