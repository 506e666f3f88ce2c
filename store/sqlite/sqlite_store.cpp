#include <maestro/store/event_check.hpp>
#include <maestro/store/read_only.hpp>
#include <maestro/store/sqlite/projection_transaction.hpp>
#include <maestro/store/sqlite/sql.hpp>
#include <maestro/store/sqlite/sqlite_store.hpp>

#include <algorithm>
#include <exception>
#include <type_traits>
#include <utility>

namespace maestro::sqlite {

namespace {

template <class Id>
auto id_from(std::string_view bytes) -> Id {
  return Id::from_bytes(bytes).value_or(Id{});
}

// The columns of sql::get_events and sql::find_command.
auto read_events(statement& rows, const aggregate_id& id) -> std::vector<event> {
  std::vector<event> events;
  while (rows.step()) {
    event& read = events.emplace_back();
    read.timestamp = id_from<timestamp>(rows.bytes(0));
    read.aggregate_id = id;
    read.sequence = static_cast<sequence_number>(rows.integer(1));
    read.type = rows.bytes(2);
    read.body = rows.bytes(3);
    read.aggregate_type = rows.bytes(4);
    if (!rows.is_null(5)) read.command_id = id_from<command_id>(rows.bytes(5));
    read.metadata = rows.bytes(6);
  }
  return events;
}

auto events_in(connection& with, const aggregate_id& id, const event_range& range) -> std::vector<event> {
  auto& rows = with.prepare(sql::get_events);
  rows.bind(1, id).bind(2, std::int64_t{range.after}).bind(3, std::int64_t{range.up_to});
  return read_events(rows.bind(4, static_cast<std::int64_t>(range.limit)), id);
}

auto snapshot_of(connection& with, const aggregate_id& id, sequence_number after, sequence_number up_to)
    -> std::optional<snapshot> {
  auto& row = with.prepare(sql::get_snapshot);
  row.bind(1, id).bind(2, std::int64_t{after}).bind(3, std::int64_t{up_to});
  if (!row.step()) return std::nullopt;
  snapshot found;
  found.aggregate_id = id;
  found.sequence = static_cast<sequence_number>(row.integer(0));
  found.body = row.bytes(1);
  found.aggregate_type = row.bytes(2);
  found.version = static_cast<int>(row.integer(3));
  found.version_sequence = static_cast<sequence_number>(row.integer(4));
  row.reset();
  return found;
}

auto newest_of(connection& with, const aggregate_id& id) -> std::optional<aggregate_head> {
  auto& head = with.prepare(sql::get_head).bind(1, id);
  if (!head.step()) return std::nullopt;
  aggregate_head found{id, static_cast<sequence_number>(head.integer(0)), id_from<timestamp>(head.bytes(1))};
  head.reset();
  return found;
}

auto timestamp_at(connection& with, const aggregate_id& id, sequence_number sequence) -> timestamp {
  auto& row = with.prepare(sql::get_timestamp).bind(1, id).bind(2, std::int64_t{sequence});
  if (!row.step()) return {};
  auto found = id_from<timestamp>(row.bytes(0));
  row.reset();
  return found;
}

auto has_timestamp(connection& with, const timestamp& timestamp) -> bool {
  auto& row = with.prepare(sql::has_timestamp).bind(1, timestamp);
  const bool found = row.step();
  row.reset();
  return found;
}

// False when a predecessor is not there.
auto insert_events(connection& with, std::span<const write_unit> units) -> bool {
  const commit_request* previous = nullptr;
  for (const auto& unit : units) {
    const sequence_number before = unit.unit->events.front().sequence - 1;
    const bool first_of_aggregate = std::exchange(previous, unit.request) != unit.request;
    if (first_of_aggregate && before > 0 &&
        (!unit.predecessor || timestamp_at(with, unit.request->aggregate_id, before) != unit.predecessor))
      return false;
    for (const auto& event : unit.unit->events) {
      auto& insert = with.prepare(sql::insert_event);
      insert.bind(1, event.timestamp).bind(2, event.aggregate_id).bind(3, std::int64_t{event.sequence});
      insert.bind_text(4, event.type).bind_text(5, event.body).bind_text_or_null(6, event.aggregate_type);
      if (event.command_id) insert.bind(7, *event.command_id);
      insert.bind_text_or_null(8, event.metadata).run();
    }
  }
  return true;
}

auto run_projections(connection& with, const commit_unit& unit) -> std::optional<write_outcome> {
  projection_transaction transaction(with);
  auto failed = [&](std::string_view why) -> write_outcome {
    return {write_status::failed,
            projection_fault(transaction.culprit(), unit.events.front().aggregate_type, transaction.refused_statement(), why),
            {}};
  };
  try {
    for (const auto& event : unit.events) unit.projector->project(transaction, event);
    transaction.rethrow_first_error();
    return std::nullopt;
  } catch (const sql_error& problem) {
    auto outcome = outcome_of(problem, stage::projection);
    return outcome.failure.code == errc::program_failed ? failed(problem.what()) : outcome;
  } catch (const std::exception& problem) {
    return failed(problem.what());
  } catch (...) {
    return failed("an exception of unknown type");
  }
}

// Empty when the unit's projections went through, or there are none.
auto project(connection& with, const commit_unit& unit) -> std::optional<write_outcome> {
  if (unit.projector == nullptr) return std::nullopt;
  auto failed = run_projections(with, unit);
  if (failed || with.in_transaction()) return failed;
  // What has become of the transaction is for the log to say.
  return write_outcome{write_status::in_doubt,
                       {errc::store_unavailable, "a projection ended the store's transaction through with_native"}, {}};
}

}  // namespace

auto source::connect() const -> std::shared_ptr<connection> {
  return in_memory ? in_memory : std::make_shared<connection>(file, settings);
}

// A commit whose sync failed is in the log of the file, whole, and would be found there after a crash. Only what is written
// next takes its place, and until then nobody may be told that it was not written.
void sqlite_store::overwrite_doubtful() {
  if (!doubtful_) return;
  transaction_scope transaction(*connection_, sql::begin_write);
  connection_->execute_script(sql::overwrite);
  transaction.commit();
  doubtful_ = false;
}

template <class Work>
auto sqlite_store::use(Work work, stage of) -> result<std::invoke_result_t<Work, connection&>> {
  try {
    if (!connection_) connection_ = source_->connect();
    const std::lock_guard lock(connection_->mutex());
    source_->look(*connection_);
    if constexpr (std::is_void_v<std::invoke_result_t<Work, connection&>>) {
      work(*connection_);
      return {};
    } else {
      return work(*connection_);
    }
  } catch (const sql_error& problem) {
    error said = error_of(problem, of);
    if (doubtful_) said.is_damage = false;  // That transaction is not over.
    return said;
  } catch (const std::exception& problem) {
    return error{of == stage::query ? errc::invalid_argument : errc::internal_error, problem.what()};
  }
}

auto sqlite_store::commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> {
  if (only_reads_) return maestro::only_reads(requests.size());
  return group_commit(*this, requests, source_->settings);
}

// A file has one lock, and nobody else's projections hold it: there is nothing to wait for by row.
auto sqlite_store::write(std::span<const write_unit> units, std::chrono::milliseconds) -> write_outcome {
  stage at = stage::begin;
  try {
    if (!connection_) connection_ = source_->connect();
    const std::lock_guard lock(connection_->mutex());
    source_->look(*connection_);
    overwrite_doubtful();
    transaction_scope transaction(*connection_, sql::begin_write);
    at = stage::events;
    write_outcome outcome;
    auto ended = careful_.begin_batch() ? write_one_by_one(units, outcome.refused) : write_at_once(units);
    if (ended) {
      if (ended->status == write_status::failed) careful_.saw_failure();
      return *std::move(ended);
    }
    at = stage::commit;
    transaction.commit();
    if (auto lost = lost_in_commit()) return *std::move(lost);
    if (!outcome.refused.empty()) careful_.saw_failure();
    return outcome;
  } catch (const sql_error& problem) {
    auto outcome = outcome_of(problem, at);
    doubtful_ = doubtful_ || outcome.status == write_status::in_doubt;
    return outcome;
  } catch (const std::exception& problem) {
    const bool may_be_written = at == stage::commit;
    doubtful_ = doubtful_ || may_be_written;
    return {may_be_written ? write_status::in_doubt : write_status::failed, {errc::internal_error, problem.what()}, {}};
  }
}

// What was committed lies in a file that is not the store any more. It may come back, so nothing can be said of it.
auto sqlite_store::lost_in_commit() const -> std::optional<write_outcome> {
  try {
    source_->look(*connection_);
    return std::nullopt;
  } catch (const sql_error& problem) {
    return write_outcome{write_status::in_doubt, error_of(problem, stage::commit), {}};
  }
}

auto sqlite_store::write_at_once(std::span<const write_unit> units) -> std::optional<write_outcome> {
  if (!insert_events(*connection_, units)) return write_outcome{write_status::conflict, {}, {}};
  for (std::size_t i = 0; i < units.size(); ++i) {
    auto failed = project(*connection_, *units[i].unit);
    if (!failed) continue;
    if (failed->status == write_status::failed) failed->culprit = i;
    return failed;
  }
  return std::nullopt;
}

auto sqlite_store::write_one_by_one(std::span<const write_unit> units, std::vector<refusal>& refused)
    -> std::optional<write_outcome> {
  const commit_request* cut = nullptr;  // What follows a refused unit of the same request is left out with it.
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (units[i].request == cut) continue;
    connection_->prepare(sql::begin_unit).run();
    if (!insert_events(*connection_, units.subspan(i, 1))) return write_outcome{write_status::conflict, {}, {}};
    if (auto failed = project(*connection_, *units[i].unit)) {
      failed->culprit = i;
      // Some errors end the whole transaction.
      if (failed->status != write_status::failed || !connection_->in_transaction()) return failed;
      connection_->prepare(sql::drop_unit).run();
      refused.push_back({i, std::move(failed->failure)});
      cut = units[i].request;
    }
    connection_->prepare(sql::keep_unit).run();
  }
  return std::nullopt;
}

auto sqlite_store::inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> {
  return use([&](connection& with) {
    overwrite_doubtful();
    transaction_scope transaction(with, sql::begin_read);
    std::vector<unit_status> statuses;
    for (const auto& unit : units) {
      unit_status& status = statuses.emplace_back();
      const auto& events = unit.unit->events;
      auto is_stored = [&](const event& event) {
        return timestamp_at(with, event.aggregate_id, event.sequence) == event.timestamp;
      };
      status.stored = std::all_of(events.begin(), events.end(), is_stored);
      status.timestamp_taken = std::any_of(events.begin(), events.end(), [&](const event& event) {
        return !is_stored(event) && has_timestamp(with, event.timestamp);
      });
      if (const auto newest = newest_of(with, unit.request->aggregate_id)) {
        status.newest = newest->timestamp;
        status.newest_sequence = newest->sequence;
      }
    }
    return statuses;
  });
}

auto sqlite_store::commit_snapshot(const snapshot& snapshot) -> result<void> {
  if (only_reads_) return maestro::only_reads("a snapshot");
  if (auto checked = check_snapshot(snapshot); !checked) return checked.failure();
  return use([&](connection& with) {
    auto& upsert = with.prepare(sql::commit_snapshot);
    upsert.bind(1, snapshot.aggregate_id).bind(2, std::int64_t{snapshot.sequence}).bind_text(3, snapshot.body);
    upsert.bind_text_or_null(4, snapshot.aggregate_type).bind(5, std::int64_t{snapshot.version}).run();
  });
}

auto sqlite_store::get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> {
  return use([&](connection& with) { return events_in(with, id, range); });
}

auto sqlite_store::get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to)
    -> result<std::optional<snapshot>> {
  return use([&](connection& with) { return snapshot_of(with, id, after, up_to); });
}

auto sqlite_store::get_histories(std::span<const aggregate_id> ids, std::size_t limit)
    -> result<std::vector<aggregate_history>> {
  return use([&](connection& with) {
    transaction_scope transaction(with, sql::begin_read);
    std::vector<aggregate_history> histories;
    for (const auto& id : ids) {
      auto& history = histories.emplace_back();
      history.snapshot = snapshot_of(with, id, 0, max_sequence());
      const sequence_number after = history.snapshot ? history.snapshot->sequence - 1 : 0;
      history.events = events_in(with, id, {after, max_sequence(), limit});
      history.complete = history.events.size() < limit;
    }
    return histories;
  });
}

auto sqlite_store::get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> {
  return use([&](connection& with) {
    transaction_scope transaction(with, sql::begin_read);
    std::vector<aggregate_head> heads;
    for (const auto& id : ids)
      if (const auto newest = newest_of(with, id)) heads.push_back(*newest);
    return heads;
  });
}

auto sqlite_store::list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit)
    -> result<std::vector<aggregate_head>> {
  return use([&](connection& with) {
    auto& rows = with.prepare(sql::list_aggregates);
    rows.bind_text(1, type).bind(2, after).bind(3, static_cast<std::int64_t>(limit));
    std::vector<aggregate_head> heads;
    while (rows.step())
      heads.push_back({id_from<aggregate_id>(rows.bytes(0)), static_cast<sequence_number>(rows.integer(1)),
                       id_from<timestamp>(rows.bytes(2))});
    return heads;
  });
}

auto sqlite_store::find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
    -> result<std::vector<event>> {
  return use([&](connection& with) {
    return read_events(with.prepare(sql::find_command).bind(1, id).bind(2, command).bind(3, not_before), id);
  });
}

auto sqlite_store::newest_timestamp() -> result<timestamp> {
  return use([&](connection& with) {
    auto& row = with.prepare(sql::newest_timestamp);
    timestamp newest;
    if (row.step()) newest = id_from<timestamp>(row.bytes(0));
    row.reset();
    return newest;
  });
}

auto sqlite_store::query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>> {
  error refused;
  auto answer = use(
      [&](connection& with) -> std::vector<sql_row> {
        auto& prepared = with.prepare(sql);
        if (!only_reads_ || prepared.only_reads()) return prepared.bind(parameters).rows();
        refused = maestro::only_reads(std::string(sql));
        return {};
      },
      stage::query);
  if (refused) return refused;
  return answer;
}

}  // namespace maestro::sqlite
