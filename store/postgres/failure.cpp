#include <maestro/store/postgres/failure.hpp>

#include <maestro/store/postgres/compat.hpp>

#include <array>
#include <string_view>

namespace maestro::postgres {

namespace {

auto field(const PGresult* answer, int code) -> std::string {
  const char* text = PQresultErrorField(answer, code);
  return text != nullptr ? text : "";
}

// libpq's messages end in a newline and may have several lines.
auto one_line(std::string text) -> std::string {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& character : text)
    if (character == '\n' || character == '\t') character = ' ';
  return text;
}

auto is_one_of(std::string_view sqlstate, std::initializer_list<std::string_view> prefixes) -> bool {
  for (const auto prefix : prefixes)
    if (sqlstate.starts_with(prefix)) return true;
  return false;
}

// The server or its machine is in trouble, it is going away, or it lets nobody write; not so a malformed message (08P01).
auto is_trouble(std::string_view sqlstate) -> bool {
  return sqlstate != "08P01" &&
         is_one_of(sqlstate, {"08", "53", "57P", "58", "25006", "26000", "28", "3D000", "42P01", "42501", "F0", "XX"});
}

auto is_contention(std::string_view sqlstate) -> bool {
  return is_one_of(sqlstate, {"40", "55P03", "57014"});
}

// The log's primary key and its sequence index, or a partition's.
auto is_of_the_log(std::string_view constraint) -> bool {
  return constraint == "event_log_pkey" || constraint == "aggregate_sequence_index" || constraint.ends_with("_pkey") ||
         constraint.ends_with("_aggregate_id_sequence_idx") || constraint.ends_with("_timestamp_idx");
}

auto explained(const failure& problem) -> std::string {
  std::string text = problem.what();
  if (!problem.constraint().empty() && text.find(problem.constraint()) == text.npos)
    text += " (constraint \"" + problem.constraint() + "\")";
  if (problem.sqlstate() == "42P01") text += "; if it is a table of the store, run `maestro migrate`";
  return text;
}

}  // namespace

auto failure_from(PGconn* connection, const PGresult* answer) -> failure {
  const bool lost = connection == nullptr || PQstatus(connection) == CONNECTION_BAD;
  if (answer == nullptr || PQresultErrorField(answer, PG_DIAG_SQLSTATE) == nullptr) {
    std::string message = one_line(answer != nullptr ? PQresultErrorMessage(answer) : "");
    if (message.empty() && connection != nullptr) message = one_line(PQerrorMessage(connection));
    return {"", "", message.empty() ? "the server gave no answer" : message, lost};
  }
  // SQLSTATE 0A000 says only that something is not supported; the server's function tells what.
  return {field(answer, PG_DIAG_SQLSTATE), field(answer, PG_DIAG_CONSTRAINT_NAME),
          one_line(field(answer, PG_DIAG_MESSAGE_PRIMARY)), lost,
          field(answer, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery"};
}

auto failure_in_flight(PGconn* connection) -> failure {
  const bool lost = connection == nullptr || PQstatus(connection) == CONNECTION_BAD;
  try {
    throw;
  } catch (const failure& problem) {
    return problem;
  } catch (const pqxx::serialization_failure& problem) {  // libpqxx 6 tells these by type only
    return {"40001", "", one_line(problem.what()), lost};
  } catch (const pqxx::deadlock_detected& problem) {
    return {"40P01", "", one_line(problem.what()), lost};
  } catch (const pqxx::transaction_rollback& problem) {
    return {"40000", "", one_line(problem.what()), lost};
  } catch (const pqxx::sql_error& problem) {
    return {problem.sqlstate(), "", one_line(problem.what()), lost};
  } catch (const pqxx::broken_connection& problem) {
    return {"", "", one_line(problem.what()), true};
  } catch (const pqxx::in_doubt_error& problem) {
    return {"", "", one_line(problem.what()), true};
  } catch (const std::exception& problem) {
    return {"", "", one_line(problem.what()), lost};
  }
}

auto error_of(const failure& problem, errc otherwise) -> error {
  const bool away = problem.connection_lost() || is_trouble(problem.sqlstate()) || is_contention(problem.sqlstate());
  // What a tool asks for may fail for reasons of its own: a table it names is not there.
  const bool asked_wrong = otherwise == errc::invalid_argument && is_one_of(problem.sqlstate(), {"42"});
  return {away && !asked_wrong ? errc::store_unavailable : otherwise, "PostgreSQL: " + explained(problem)};
}

auto outcome_of(const failure& problem, stage stage) -> write_outcome {
  const std::string& sqlstate = problem.sqlstate();
  if (problem.connection_lost())
    return {stage == stage::commit ? write_status::in_doubt : write_status::unavailable,
            error_of(problem, errc::store_unavailable), {}};
  if (problem.plan_outdated()) return {write_status::unavailable, error_of(problem, errc::store_unavailable), {}};
  // A lock that is not free ends a statement sooner (lock_timeout): this one is slow by itself, and would be again at once.
  if (sqlstate == "57014" && stage == stage::projection)
    return {write_status::failed,
            {errc::store_unavailable, "a projection took longer than store.statement-timeout; nothing was written: " + explained(problem)},
            {}};
  if (is_contention(sqlstate)) return {write_status::contention, {errc::store_unavailable, explained(problem)}, {}};

  // What is checked at COMMIT is what projections left behind: the events were checked by their insert.
  if (stage == stage::projection || stage == stage::commit) {
    if (is_trouble(sqlstate) && !is_one_of(sqlstate, {"42", "XX"}))
      return {write_status::unavailable, error_of(problem, errc::store_unavailable), {}};
    return {write_status::failed, {errc::projection_failed, "projection failed: " + explained(problem)}, {}};
  }
  if (is_trouble(sqlstate)) return {write_status::unavailable, error_of(problem, errc::store_unavailable), {}};
  if (sqlstate == "23505" && is_of_the_log(problem.constraint())) return {write_status::conflict, {}, {}};
  const bool refused = is_one_of(sqlstate, {"22", "23"});
  return {write_status::failed, error_of(problem, refused ? errc::invalid_event : errc::internal_error), {}};
}

}  // namespace maestro::postgres
