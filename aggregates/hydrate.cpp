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

auto start_from_nothing(const definition& type, hydrated& at) -> result<void> {
  auto initial = type.initial_state();
  if (!initial) return initial.failure();
  at.state = std::move(*initial);
  return {};
}

// One hydration: what to read, and how far.
struct reading {
  store& from;
  const definition& type;
  const aggregate_id& id;
  moment up_to;
  std::size_t page_events;
  std::optional<recent_window> window;

  [[nodiscard]] auto is_beyond(const event& row) const -> bool {
    return row.sequence > up_to.sequence || (up_to.time && row.timestamp.milliseconds() > *up_to.time);
  }

  // False when `up_to` lies before the last of them.
  auto enter_all(hydrated& at, std::span<const event> rows) const -> result<bool> {
    for (const event& row : rows) {
      if (is_beyond(row)) return false;
      if (auto entered = enter(at, type, row); !entered) return entered.failure();
      ++at.events_read;
      const auto time = row.timestamp.milliseconds();
      if (window && row.command_id && recent_commands::matters(time, window->now, window->drift))
        recent(at).note(*row.command_id, time);
    }
    return true;
  }

  // The events after `at`. False when `more` ended it.
  auto read_on(hydrated& at, const go_on& more) const -> result<bool> {
    bool complete = true;
    const auto take = [&](std::span<event> page) -> result<bool> {
      auto entered = enter_all(at, page);
      if (!entered || !*entered || !more) return entered;
      complete = more();
      return complete;
    };
    auto read = from.scan_events(id, {at.sequence, up_to.sequence, page_events}, take);
    if (!read) return read.failure();
    return complete;
  }

  // The same for a part of the whole, whose pages are as large as those before made them: no page is read before it is wanted.
  auto read_part(hydrated& at, page_sizer& pages, const go_on& more) const -> result<bool> {
    while (at.sequence < up_to.sequence) {
      const auto limit = pages.next();
      const auto page = from.get_events(id, {at.sequence, up_to.sequence, limit});
      if (!page) return page.failure();
      if (page->empty()) break;
      pages.saw(*page);
      const auto entered = enter_all(at, *page);
      if (!entered) return entered.failure();
      if (!*entered || page->size() < limit) break;
      if (more && !more()) return false;
    }
    return true;
  }

  // What `start` holds. True when nothing is left to be read.
  auto begin(hydrated& at, const aggregate_history& start) const -> result<bool> {
    std::span<const event> rows = start.events;
    bool complete = start.complete;
    if (start.snapshot && (rows.empty() || !is_beyond(rows.front())))
      if (auto started = start_from(*start.snapshot, rows.empty() ? nullptr : &rows.front(), type, at); !started)
        return started.failure();
    if (at.state) {
      if (const auto time = rows.front().timestamp.milliseconds(); window && recent_commands::matters(time, window->now, window->drift))
        recent(at).note_unread(time);
      rows = rows.subspan(1);
    } else {
      // The events that came with a snapshot begin with its own; without it they are of no use.
      if (start.snapshot) {
        rows = {};
        complete = false;
      }
      if (auto started = start_from_nothing(type, at); !started) return started.failure();
    }
    auto entered = enter_all(at, rows);
    if (!entered) return entered.failure();
    return !*entered || complete;
  }

  auto run(const aggregate_history& start, const go_on& more) const -> result<hydrated> {
    hydrated at;
    auto complete = begin(at, start);
    if (complete && !*complete) complete = read_on(at, more);
    if (!complete) return complete.failure();
    if (!*complete) return error{errc::shutting_down, "the node is stopping; send the request to another one"};
    return at;
  }

  static auto recent(hydrated& at) -> recent_commands& {
    if (!at.recent) at.recent = std::make_unique<recent_commands>();
    return *at.recent;
  }
};

// The newest snapshot up to `up_to`, and its own event.
auto history_up_to(store& from, const aggregate_id& id, const moment& up_to) -> result<aggregate_history> {
  auto kept = from.get_snapshot(id, 0, up_to.sequence);
  if (!kept) return kept.failure();
  aggregate_history start;
  start.snapshot = std::move(*kept);
  if (start.snapshot) {
    auto last = from.get_events(id, {start.snapshot->sequence - 1, start.snapshot->sequence, 1});
    if (!last) return last.failure();
    start.events = std::move(*last);
  }
  return start;
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

auto hydrate(store& from, const definition& type, const aggregate_id& id, const moment& up_to, std::size_t page_events,
             std::optional<recent_window> window, const go_on& more) -> result<hydrated> {
  const auto start = history_up_to(from, id, up_to);
  if (!start) return start.failure();
  return reading{from, type, id, up_to, page_events, window}.run(*start, more);
}

auto hydrate(store& from, const definition& type, const aggregate_id& id, const aggregate_history& start,
             std::size_t page_events, std::optional<recent_window> window, const go_on& more) -> result<hydrated> {
  return reading{from, type, id, {}, page_events, window}.run(start, more);
}

auto hydration::read(store& from, const go_on& more) -> result<bool> {
  const reading all{from, type_, id_, up_to_, 0, std::nullopt};
  if (!at_.state) {
    const auto start = history_up_to(from, id_, up_to_);
    if (!start) return start.failure();
    auto complete = all.begin(at_, *start);
    if (!complete || *complete) return complete;
  }
  return all.read_part(at_, pages_, more);
}

}  // namespace maestro
