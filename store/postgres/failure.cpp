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

// What a failure is about.
enum class meaning : std::uint8_t {
  lost,         // The connection is gone.
  unknown,      // The server itself does not know what became of the transaction, perhaps since another one has it.
  trouble,      // The server or its machine is in trouble, is going away, or lets nobody in.
  read_only,    // This session may not write, another one may: a standby that was promoted, a setting that was taken back.
  outdated,     // What is prepared on this connection is of another time.
  defect,       // The server's own defect, or damaged data, which may be those of one aggregate.
  machine,      // The same where there are several machines: perhaps one of them was lost, also in the middle of COMMIT.
  unmigrated,   // A table or column of the store is not there.
  forbidden,    // The role lacks a right.
  contention,   // Another transaction was in the way; the same may succeed at once.
  cancelled,    // The statement timeout, or somebody who ended the statement.
  over_limit,   // A statement used up what the server grants each.
  taken,        // A key of the log exists already.
  refused,      // A row that violates a constraint.
  raised,       // A trigger says no, in PL/pgSQL's words.
  unfit,        // A value that the database does not take.
  wrong,        // The statement is at fault. Everything that is not named.
};

struct sqlstate_row {
  std::string_view prefix;
  meaning means;
};

// The longest prefix that fits counts.
constexpr std::array sqlstates{
    sqlstate_row{"08", meaning::unknown},        // connection exception: a pooler or a coordinator has lost its own server
    sqlstate_row{"08P01", meaning::wrong},       // protocol violation: a statement with another number of parameters
    sqlstate_row{"22", meaning::unfit},          // data exception
    sqlstate_row{"23", meaning::refused},        // integrity constraint violation
    sqlstate_row{"23505", meaning::taken},       // unique violation
    sqlstate_row{"25006", meaning::read_only},   // read only SQL transaction
    sqlstate_row{"26000", meaning::outdated},    // a prepared statement that is not there
    sqlstate_row{"28", meaning::trouble},        // invalid authorization
    sqlstate_row{"3D000", meaning::trouble},     // no such database
    sqlstate_row{"40", meaning::contention},     // serialization failure, deadlock
    sqlstate_row{"40003", meaning::unknown},     // statement completion unknown
    sqlstate_row{"42", meaning::wrong},          // syntax error or access rule violation
    sqlstate_row{"42501", meaning::forbidden},   // insufficient privilege
    sqlstate_row{"42703", meaning::unmigrated},  // undefined column
    sqlstate_row{"42P01", meaning::unmigrated},  // undefined table
    sqlstate_row{"53", meaning::trouble},        // insufficient resources: disk, memory, connections
    sqlstate_row{"53400", meaning::over_limit},  // configuration limit exceeded: temp_file_limit
    sqlstate_row{"54", meaning::unfit},          // program limit exceeded: too large for an index, too deep
    sqlstate_row{"55P03", meaning::contention},  // lock not available
    sqlstate_row{"57014", meaning::cancelled},   // query canceled
    sqlstate_row{"57P", meaning::unknown},       // shutdown, crash, starting up; without an end of this connection, of another server
    sqlstate_row{"58", meaning::trouble},        // system error: input and output
    sqlstate_row{"72000", meaning::contention},  // snapshot too old
    sqlstate_row{"F0", meaning::trouble},        // configuration file error
    sqlstate_row{"P0001", meaning::raised},      // raise exception
    sqlstate_row{"XX", meaning::defect},         // internal error, data corrupted
};

struct meaning_row {
  meaning means;
  verdict events, projection, commit, call, query, migration;
};

// What is checked at COMMIT is what projections left behind: the events were checked by their insert. A projection's statement
// is not the store's own, nor is a tool's: what is missing there, forbidden or defective says nothing of the store. Only a
// constraint of a projection's table is an answer to a command. All else there is the program's fault, which no caller can help.
constexpr auto verdicts = [] {
  using enum verdict;
  constexpr auto projection = projection_failed, program = program_failed, internal = internal_error;
  constexpr auto argument = invalid_argument, setting = invalid_setting;
  return std::array{
      //          meaning              events          projection   commit       call         query        migration
      meaning_row{meaning::lost,       unavailable,    unavailable, in_doubt,    unavailable, unavailable, unavailable},
      meaning_row{meaning::unknown,    unavailable,    unavailable, in_doubt,    unavailable, unavailable, unavailable},
      meaning_row{meaning::trouble,    unavailable,    unavailable, unavailable, unavailable, unavailable, unavailable},
      meaning_row{meaning::read_only,  unavailable,    unavailable, unavailable, unavailable, unavailable, unavailable},
      meaning_row{meaning::outdated,   unavailable,    unavailable, unavailable, unavailable, unavailable, internal},
      meaning_row{meaning::defect,     damaged,        program,     in_doubt,    damaged,     unavailable, unavailable},
      meaning_row{meaning::machine,    unavailable,    program,     in_doubt,    unavailable, unavailable, unavailable},
      meaning_row{meaning::unmigrated, unavailable,    program,     program,     unavailable, argument,    internal},
      meaning_row{meaning::forbidden,  unavailable,    program,     program,     unavailable, argument,    setting},
      meaning_row{meaning::contention, contention,     contention,  contention,  unavailable, unavailable, unavailable},
      meaning_row{meaning::cancelled,  contention,     too_slow,    contention,  unavailable, unavailable, unavailable},
      meaning_row{meaning::over_limit, unavailable,    too_slow,    unavailable, unavailable, unavailable, unavailable},
      meaning_row{meaning::taken,      conflict,       projection,  projection,  internal,    argument,    internal},
      meaning_row{meaning::refused,    invalid_event,  projection,  projection,  internal,    argument,    internal},
      meaning_row{meaning::raised,     internal,       projection,  projection,  internal,    argument,    internal},
      meaning_row{meaning::unfit,      invalid_event,  program,     program,     internal,    argument,    internal},
      meaning_row{meaning::wrong,      internal,       program,     program,     internal,    argument,    internal},
  };
}();

static_assert([] {
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].means != static_cast<meaning>(i)) return false;
  return verdicts.size() == static_cast<std::size_t>(meaning::wrong) + 1;
}(), "a row for each meaning, in their order");

// The log's primary key and its sequence index, or a partition's. On Citus the name is a shard's, which ends in its number, or is missing.
auto is_of_the_log(std::string_view constraint) -> bool {
  if (const auto last = constraint.find_last_not_of("0123456789"); last + 1 < constraint.size() && constraint[last] == '_')
    constraint.remove_suffix(constraint.size() - last);
  return constraint.empty() || constraint == "event_log_pkey" || constraint == "aggregate_sequence_index" ||
         constraint.ends_with("_pkey") ||
         constraint.ends_with("_aggregate_id_sequence_idx") || constraint.ends_with("_timestamp_idx");
}

auto meaning_of(const failure& problem) -> meaning {
  if (problem.connection_lost()) return meaning::lost;
  if (problem.plan_outdated()) return meaning::outdated;
  const sqlstate_row* found = nullptr;
  for (const auto& row : sqlstates) {
    const bool is_longer = found == nullptr || row.prefix.size() > found->prefix.size();
    if (is_longer && problem.sqlstate().starts_with(row.prefix)) found = &row;
  }
  if (found == nullptr) return meaning::wrong;
  return found->means == meaning::taken && !is_of_the_log(problem.constraint()) ? meaning::refused : found->means;
}

// One machine alone has rolled back what ends in an error, until its connection is lost.
auto is_in_doubt_at_insert(const meaning_row& row) -> bool {
  return row.commit == verdict::in_doubt && row.means != meaning::defect;
}

auto verdict_on(const failure& problem, stage stage, bool is_spread = false) -> verdict {
  auto means = meaning_of(problem);
  if (is_spread && means == meaning::defect) means = meaning::machine;
  const auto& row = verdicts.at(static_cast<std::size_t>(means));
  switch (stage) {
    case stage::begin: return row.events == verdict::damaged ? verdict::unavailable : row.events;
    case stage::events: return row.events;
    case stage::insert: return is_in_doubt_at_insert(row) ? verdict::in_doubt : row.events;
    case stage::projection: return row.projection;
    case stage::commit: return row.commit;
    case stage::call: return row.call;
    case stage::query: return row.query;
    case stage::migration: return row.migration;
  }
  return verdict::internal_error;
}

// libpqxx shows the place in the statement, which says nothing where a right is missing.
auto without_place(std::string text) -> std::string {
  for (auto at = text.find(" LINE "); at != text.npos; at = text.find(" LINE ", at + 1))
    if (const auto end = text.find_first_not_of("0123456789", at + 6);
        end != at + 6 && end != text.npos && text[end] == ':')
      return text.substr(0, at);
  return text;
}

auto explained(const failure& problem) -> std::string {
  std::string text = problem.what();
  if (meaning_of(problem) == meaning::forbidden) text = without_place(std::move(text));
  if (!problem.constraint().empty() && text.find(problem.constraint()) == text.npos)
    text += " (constraint \"" + problem.constraint() + "\")";
  return text;
}

}  // namespace

auto failure_from(PGconn* connection, const PGresult* answer) -> failure {
  const std::string severity = field(answer, PG_DIAG_SEVERITY_NONLOCALIZED);
  // What is fatal ends the connection, also where the end of it has not been read yet.
  const bool lost = connection == nullptr || PQstatus(connection) == CONNECTION_BAD || severity == "FATAL" || severity == "PANIC";
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
  // Over a connection that was lost libpqxx speaks of whatever it could not do; libpq knows why it was lost.
  const auto text_of = [&](const std::exception& problem) {
    if (connection == nullptr || !lost) return one_line(problem.what());
    auto text = one_line(PQerrorMessage(connection));
    return text.empty() ? std::string("the connection to the server was lost") : text;
  };
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
  } catch (const pqxx::insufficient_privilege& problem) {
    return {"42501", "", one_line(problem.what()), lost};
  } catch (const pqxx::sql_error& problem) {
    // libpqxx does not tell the server's function; nothing that the store itself asks for is unsupported.
    return {problem.sqlstate(), "", one_line(problem.what()), lost, problem.sqlstate() == "0A000"};
  } catch (const pqxx::broken_connection& problem) {
    return {"", "", text_of(problem), true};
  } catch (const pqxx::in_doubt_error& problem) {
    return {"", "", text_of(problem), true};
  } catch (const std::exception& problem) {
    return {"", "", text_of(problem), lost};
  }
}

namespace {

auto error_of(const failure& problem, verdict said) -> error {
  const auto text_after = [&problem](const char* words) { return words + explained(problem); };
  switch (said) {
    case verdict::projection_failed:
    case verdict::program_failed: return error_from(said, text_after("projection failed: "));
    case verdict::too_slow:
      return error_from(said, text_after("a projection asked for more than store.statement-timeout or the server grant it; "
                                         "nothing was written: "));
    case verdict::contention: return error_from(said, text_after(""));
    default: break;
  }
  const bool misses_a_step = meaning_of(problem) == meaning::unmigrated;
  return error_from(said, text_after("PostgreSQL: ") + (misses_a_step ? "; if it is a table of the store, run `maestro migrate`" : ""));
}

}  // namespace

auto error_of(const failure& problem, stage stage, bool is_spread) -> error {
  return error_of(problem, verdict_on(problem, stage, is_spread));
}

auto outcome_of(const failure& problem, stage stage, bool is_spread) -> write_outcome {
  const verdict said = verdict_on(problem, stage, is_spread);
  return {status_of(said), error_of(problem, said), {}};
}

auto spoils_connection(const failure& problem) -> bool {
  const meaning means = meaning_of(problem);
  return means == meaning::lost || means == meaning::unknown || means == meaning::outdated || means == meaning::read_only;
}

}  // namespace maestro::postgres
