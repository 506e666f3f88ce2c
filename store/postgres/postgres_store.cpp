#include <maestro/store/event_check.hpp>
#include <maestro/store/postgres/event_insert.hpp>
#include <maestro/store/postgres/event_scan.hpp>
#include <maestro/store/postgres/postgres_store.hpp>
#include <maestro/store/postgres/projected_batch.hpp>
#include <maestro/store/postgres/row.hpp>
#include <maestro/store/postgres/values.hpp>
#include <maestro/store/read_only.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

namespace maestro::postgres {

namespace {

constexpr const char* read_only_transaction = "25006";

auto sequence_of(const pqxx::row& row, int column) -> sequence_number {
  return row[static_cast<pqxx::row::size_type>(column)].as<sequence_number>();
}

auto json_of(const pqxx::row& row, int column) -> std::string { return json_from_jsonb(text_of(row, column)); }

// The first columns of sql::get_events, sql::get_histories and sql::find_command.
auto event_from(const pqxx::row& row, const aggregate_id& id) -> event {
  event read;
  read.timestamp = id_of<timestamp>(row, 0);
  read.aggregate_id = id;
  read.sequence = sequence_of(row, 1);
  read.type = text_of(row, 2);
  read.body = json_of(row, 3);
  read.aggregate_type = text_of(row, 4);
  if (!row[5].is_null()) read.command_id = id_of<command_id>(row, 5);
  if (!row[6].is_null()) read.metadata = json_of(row, 6);
  return read;
}

auto events_from(const pqxx::result& rows, const aggregate_id& id) -> std::vector<event> {
  std::vector<event> events;
  events.reserve(static_cast<std::size_t>(rows.size()));
  for (const auto& row : rows) events.push_back(event_from(row, id));
  return events;
}

// Five columns of `row`, of which the first is at `column`: sequence, aggregate type, version, version_sequence, body.
auto snapshot_from(const pqxx::row& row, int column, const aggregate_id& id) -> snapshot {
  snapshot found;
  found.aggregate_id = id;
  found.sequence = sequence_of(row, column);
  found.aggregate_type = text_of(row, column + 1);
  found.version = row[static_cast<pqxx::row::size_type>(column + 2)].as<int>();
  found.version_sequence = sequence_of(row, column + 3);
  found.body = json_of(row, column + 4);
  return found;
}

// The rows of sql::get_histories.
auto histories_from(const pqxx::result& rows, std::span<const aggregate_id> ids, std::size_t limit)
    -> std::vector<aggregate_history> {
  std::vector<aggregate_history> histories(ids.size());
  for (const auto& row : rows) {
    const auto index = row[7].as<std::size_t>() - 1;
    auto& of = histories.at(index);
    if (!row[8].is_null() && !of.snapshot) of.snapshot = snapshot_from(row, 8, ids[index]);
    if (!row[1].is_null()) of.events.push_back(event_from(row, ids[index]));
  }
  for (auto& history : histories) history.complete = history.events.size() < limit;
  return histories;
}

auto heads_from(const pqxx::result& rows) -> std::vector<aggregate_head> {
  std::vector<aggregate_head> heads;
  for (const auto& row : rows)
    heads.push_back({id_of<aggregate_id>(row, 0), sequence_of(row, 1), id_of<timestamp>(row, 2)});
  return heads;
}

// An array of bytea, or of numbers, in text form.
class text_array {
 public:
  void add(std::string_view element) {
    text_.append(text_.size() == 1 ? "" : ",").append(element);
  }
  template <class Tag>
  void add(const id16<Tag>& id) {
    add("\"\\\\x" + id.text() + "\"");
  }
  [[nodiscard]] auto text() const -> std::string { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

}  // namespace

// --- commits -----------------------------------------------------------------------------------------------------------

auto postgres_store::commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> {
  if (purpose_ == purpose::only_reads) return only_reads(requests.size());
  auto outcomes = group_commit(*this, requests, source_->settings);
  for (auto& outcome : outcomes)
    if (outcome.failure.code == errc::store_unavailable) outcome.failure = named(std::move(outcome.failure));
  return outcomes;
}

auto postgres_store::write(std::span<const write_unit> units, std::chrono::milliseconds lock_wait) -> write_outcome {
  const bool projects = std::any_of(units.begin(), units.end(), [](auto& unit) { return unit.unit->projector != nullptr; });
  std::optional<event_insert> alone;
  try {
    // The parts of a careful batch may use any of them, and in a pipeline none can be prepared.
    if (projects)
      for (const auto* statement : {&sql::insert_first_event, &sql::insert_event, &sql::insert_events})
        connected().prepare(*statement);
    else
      connected().prepare(alone.emplace(units).statement());
  } catch (...) {
    return outcome_of(noted_failure(), stage::begin);
  }
  // A full wait is what the connection has anyway.
  const auto shorter_wait = lock_wait < source_->settings.lock_timeout ? std::optional(lock_wait) : std::nullopt;
  auto outcome = projects ? write_with_projections(*connection_, units, shorter_wait, careful_) : insert_alone(*alone);
  if (outcome.status == write_status::in_doubt) {
    doubtful_ = connection_->peer();
    connection_->spoil();  // The doubtful process is to be ended over another one.
  }
  return outcome;
}

// Without projections one statement is the whole transaction, and takes one round trip.
auto postgres_store::insert_alone(const event_insert& insert) -> write_outcome {
  connection_->forget_warning();
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(
      PQexecPrepared(connection_->raw(), connection_->prepare(insert.statement()), insert.count(), insert.values(), insert.lengths(), insert.formats(), 0),
      PQclear);
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) {
    const failure problem = failure_from(connection_->raw(), answer.get());
    connection_->note(problem);
    return outcome_of(problem, stage::insert, connection_->is_spread());
  }
  // The statement is the commit: one that warns has perhaps not reached all that it should have.
  if (!connection_->warning().empty())
    return outcome_of(failure("", "", "the commit came with a warning: " + connection_->warning(), true), stage::insert);
  const auto inserted = std::strtoull(PQcmdTuples(answer.get()), nullptr, 10);
  if (inserted == insert.rows()) return {};
  if (inserted == 0) return {write_status::conflict, {}, {}};
  return {write_status::failed,
          {errc::internal_error, "event_log took " + std::to_string(inserted) + " of " + std::to_string(insert.rows()) +
                                     " events: a trigger or rule interferes"},
          {}};
}

auto postgres_store::inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> {
  text_array timestamps;
  text_array ids;
  text_array sequences;
  for (const auto& unit : units)
    for (const auto& event : unit.unit->events) {
      timestamps.add(event.timestamp);
      ids.add(event.aggregate_id);
      sequences.add(std::to_string(event.sequence));
    }
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    const auto rows = with.run(transaction, sql::inspect, timestamps.text(), ids.text(), sequences.text());
    std::vector<unit_status> statuses;
    auto row = rows.begin();
    for (const auto& unit : units) {
      unit_status& status = statuses.emplace_back();
      status.stored = true;
      for (std::size_t i = 0; i < unit.unit->events.size(); ++i, ++row) {
        status.stored = status.stored && row[0].as<bool>();
        status.timestamp_taken = status.timestamp_taken || row[1].as<bool>();
        status.newest_sequence = sequence_of(row, 2);
        status.newest = id_of<timestamp>(row, 3);
      }
    }
    return statuses;
  });
}

// --- reads and snapshots -----------------------------------------------------------------------------------------------

auto postgres_store::commit_snapshot(const snapshot& snapshot) -> result<void> {
  if (purpose_ == purpose::only_reads) return only_reads("a snapshot");
  if (auto checked = check_snapshot(snapshot); !checked) return checked.failure();
  // Safe to run again on another connection: it never goes back.
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    with.run(transaction, sql::commit_snapshot, parameter(snapshot.aggregate_id), snapshot.sequence, snapshot.body,
             snapshot.aggregate_type, snapshot.version);
  });
}

auto postgres_store::get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return events_from(
        with.run(transaction, sql::get_events, parameter(id), range.after, range.up_to, as_limit(range.limit)), id);
  });
}

auto postgres_store::scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void> {
  result<bool> more = true;
  auto scanned = use([&](connection& with) {
    // After a loss it goes on where it was.
    more = true;
    event_scan scan(with, id, range);
    while (more && *more)
      if (const auto page = scan.next_page(); page.empty()) break;
      else more = take(page);
  });
  if (!more) return more.failure();
  return scanned;
}

auto postgres_store::get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to)
    -> result<std::optional<snapshot>> {
  return use([&](connection& with) -> std::optional<snapshot> {
    pqxx::nontransaction transaction(with.pqxx());
    const auto rows = with.run(transaction, sql::get_snapshot, parameter(id), after, up_to);
    if (rows.empty()) return std::nullopt;
    return snapshot_from(rows[0], 0, id);
  });
}

auto postgres_store::get_histories(std::span<const aggregate_id> ids, std::size_t limit)
    -> result<std::vector<aggregate_history>> {
  text_array wanted;
  for (const auto& id : ids) wanted.add(id);
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return histories_from(with.run(transaction, sql::get_histories, wanted.text(), as_limit(limit)), ids, limit);
  });
}

auto postgres_store::get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> {
  text_array wanted;
  for (const auto& id : ids) wanted.add(id);
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return heads_from(with.run(transaction, sql::get_heads, wanted.text()));
  });
}

auto postgres_store::list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit)
    -> result<std::vector<aggregate_head>> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return heads_from(with.run(transaction, sql::list_aggregates, std::string(type), parameter(after),
                               as_limit(limit)));
  });
}

auto postgres_store::find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
    -> result<std::vector<event>> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return events_from(with.run(transaction, sql::find_command, parameter(id), parameter(command), parameter(not_before)), id);
  });
}

auto postgres_store::newest_timestamp() -> result<timestamp> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    const auto rows = with.run(transaction, sql::newest_timestamp);
    return rows.empty() ? timestamp{} : id_of<timestamp>(rows[0], 0);
  });
}

auto postgres_store::query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>> {
  return use([&](connection& with) { return with.query(std::string(sql), parameters); }, stage::query);
}

// --- the connection ----------------------------------------------------------------------------------------------------

template <class Work>
auto postgres_store::use(Work work, stage of) -> result<std::invoke_result_t<Work, connection&>> {
  for (bool again = false;; again = true) {
    const bool is_old = connection_ && connection_->is_usable();
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Work, connection&>>) {
        work(connected());
        return {};
      } else {
        return work(connected());
      }
    } catch (...) {
      // Statements that are not prepared any more, or for a table that was changed: a new connection prepares them anew.
      if (const failure problem = failure_in_flight(connection_ ? connection_->raw() : nullptr);
          purpose_ == purpose::only_reads && is_read_only_ && problem.sqlstate() == read_only_transaction)
        return only_reads(problem.what());
      const failure problem = noted_failure();
      if (spoils_connection(problem) && is_old && !again) continue;
      error said = error_of(problem, of, connection_ && connection_->is_spread());
      if (doubtful_) said.is_damage = false;  // That transaction is not over.
      return named(std::move(said));
    }
  }
}

auto postgres_store::noted_failure() -> failure {
  failure problem = failure_in_flight(connection_ ? connection_->raw() : nullptr);
  if (connection_) connection_->note(problem);
  return problem;
}

auto postgres_store::connected() -> connection& {
  if (!connection_ || !connection_->is_usable()) {
    connection_.reset();
    is_read_only_ = false;
    connection_ = source_->connect();
  }
  if (purpose_ == purpose::only_reads && !is_read_only_) {
    connection_->execute_script(sql::only_read);
    is_read_only_ = true;
  }
  if (doubtful_) end_doubtful_backend();
  return *connection_;
}

void postgres_store::end_doubtful_backend() {
  const auto deadline = std::chrono::steady_clock::now() + source_->settings.reconnect_limit;
  pqxx::nontransaction transaction(connection_->pqxx());
  while (!connection_->run(transaction, sql::terminate_backend, doubtful_->process, doubtful_->started).empty()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw failure("58000", "", "the server process of a commit in doubt does not end", false);
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  // Its commit may have been waiting for a standby when it was ended, and can be seen now all the same. So may this wait be
  // ended, which the server tells by a warning alone.
  connection_->forget_warning();
  transaction.exec(sql::wait_for_standbys);
  if (!connection_->warning().empty())
    throw failure("58000", "", "a commit in doubt has perhaps not reached the standbys: " + connection_->warning(),
                  false);
  doubtful_.reset();
}

auto postgres_store::named(error failure) const -> error {
  if (failure.code == errc::store_unavailable) failure.message = "store " + source_->display_name + ": " + failure.message;
  return failure;
}

}  // namespace maestro::postgres
