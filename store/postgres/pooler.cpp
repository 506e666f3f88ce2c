#include <maestro/store/postgres/pooler.hpp>

#include <maestro/store/postgres/connecting.hpp>

#include <cstdlib>
#include <libpq-fe.h>
#include <memory>
#include <optional>
#include <poll.h>
#include <string_view>

namespace maestro::postgres {

namespace {

using time_point = std::chrono::steady_clock::time_point;
using answer_ptr = std::unique_ptr<PGresult, decltype(&PQclear)>;

// So often the two connections take turns: a pooler with several server connections may hand the same one to each by chance.
constexpr int rounds = 3;

// Until when, and no longer than until the lines are cut.
struct patience {
  time_point deadline;
  const line_cutter& lines;
};

auto is_error(const answer_ptr& answer) -> bool {
  return answer && PQresultErrorField(answer.get(), PG_DIAG_SQLSTATE) != nullptr;
}

// The answer to `sql`; null when there was none in time. An error is kept, also where the other side hangs up after it.
auto ask(PGconn* connection, const char* sql, const patience& until) -> answer_ptr {
  answer_ptr last(nullptr, PQclear);
  if (PQsendQuery(connection, sql) != 1) return last;
  while (true) {
    while (PQisBusy(connection) == 1)
      if (wait_for(connection, POLLIN, until.deadline, until.lines) != wait_end::ready || PQconsumeInput(connection) != 1)
        return is_error(last) ? std::move(last) : answer_ptr(nullptr, PQclear);
    PGresult* const answer = PQgetResult(connection);
    if (answer == nullptr) return last;
    if (is_error(last)) PQclear(answer);
    else last.reset(answer);
  }
}

// That a pool of statements takes no transactions has no SQLSTATE of its own: PgBouncer says it by that of a protocol
// violation, as it says that it has lost its server.
auto refuses_transactions(const answer_ptr& answer) -> bool {
  if (!is_error(answer)) return false;
  const char* const message = PQresultErrorField(answer.get(), PG_DIAG_MESSAGE_PRIMARY);
  return message != nullptr && std::string_view(message).find("statement pooling") != std::string_view::npos;
}

// The process that serves `connection`, and nothing when it is not told. Leaves a connection that did not answer busy.
auto serving_process(PGconn* connection, const patience& until) -> std::optional<int> {
  const auto answer = ask(connection, "SELECT pg_backend_pid()", until);
  if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK || PQntuples(answer.get()) != 1) return std::nullopt;
  return std::atoi(PQgetvalue(answer.get(), 0, 0));
}

}  // namespace

auto look_at_sessions(PGconn* first, int process, const std::function<PGconn*()>& start, time_point deadline,
                      const line_cutter& lines) -> session_kind {
  const patience until{deadline, lines};
  const connection_ptr second(start());
  if (!second || PQstatus(second.get()) == CONNECTION_BAD) return session_kind::unknown;
  if (complete(second.get(), std::nullopt, deadline, lines) != wait_end::ready || PQstatus(second.get()) != CONNECTION_OK)
    return session_kind::unknown;
  for (int round = 0; round < rounds; ++round) {
    const auto other = serving_process(second.get(), until);
    if (!other) return session_kind::unknown;
    if (*other == process) return session_kind::shared;
    // While the second holds a server connection, the first may be given another one. Pooling by statements refuses transactions.
    const auto begun = ask(second.get(), "BEGIN", until);
    if (refuses_transactions(begun)) return session_kind::shared;
    const auto held = serving_process(second.get(), until);
    if (!begun || is_error(begun) || !held) return session_kind::unknown;
    const auto same = serving_process(first, until);
    if (!same) return session_kind::unknown;
    if (*same != process || *held == process) return session_kind::shared;
    if (!ask(second.get(), "ROLLBACK", until)) return session_kind::unknown;
  }
  return session_kind::own;
}

auto shared_sessions_message(const std::string& at) -> std::string {
  return "a pooler at " + at + " hands its server connections on between transactions (PgBouncer: pool_mode = transaction or "
         "statement), so that a connection has no session of its own; a node needs one, for its prepared statements and "
         "locks. Set pool_mode = session for this database, or name the PostgreSQL server itself in maestro.store.uri";
}

}  // namespace maestro::postgres
