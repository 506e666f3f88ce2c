#include <maestro/store/postgres/pooler.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <libpq-fe.h>
#include <memory>
#include <poll.h>

namespace maestro::postgres {

namespace {

using time_point = std::chrono::steady_clock::time_point;
using answer_ptr = std::unique_ptr<PGresult, decltype(&PQclear)>;
using connection_ptr = std::unique_ptr<PGconn, decltype(&PQfinish)>;

// So often the two connections take turns: a pooler with several server connections may hand the same one to each by chance.
constexpr int rounds = 3;

auto wait_for(PGconn* connection, short events, time_point deadline) -> bool {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd socket{PQsocket(connection), events, 0};
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

auto complete(PGconn* connection, time_point deadline) -> bool {
  auto next = PGRES_POLLING_WRITING;
  while (next != PGRES_POLLING_OK) {
    if (next == PGRES_POLLING_FAILED) return false;
    if (!wait_for(connection, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) return false;
    next = PQconnectPoll(connection);
  }
  return true;
}

// The answer to `sql`; null when there was none in time.
auto ask(PGconn* connection, const char* sql, time_point deadline) -> answer_ptr {
  answer_ptr last(nullptr, PQclear);
  if (PQsendQuery(connection, sql) != 1) return last;
  while (true) {
    while (PQisBusy(connection) == 1)
      if (!wait_for(connection, POLLIN, deadline) || PQconsumeInput(connection) != 1) return {nullptr, PQclear};
    PGresult* const answer = PQgetResult(connection);
    if (answer == nullptr) return last;
    last.reset(answer);
  }
}

auto is_refusal(PGconn* connection, const answer_ptr& answer) -> bool {
  return PQstatus(connection) == CONNECTION_BAD || (answer && PQresultStatus(answer.get()) == PGRES_FATAL_ERROR);
}

}  // namespace

auto serving_process(PGconn* connection, time_point deadline) -> std::optional<int> {
  const auto answer = ask(connection, "SELECT pg_backend_pid()", deadline);
  if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK || PQntuples(answer.get()) != 1) return std::nullopt;
  return std::atoi(PQgetvalue(answer.get(), 0, 0));
}

auto look_at_sessions(PGconn* first, int process, const std::function<PGconn*()>& start, time_point deadline) -> session_kind {
  const connection_ptr second(start(), PQfinish);
  if (!second || PQstatus(second.get()) == CONNECTION_BAD || !complete(second.get(), deadline)) return session_kind::unknown;
  for (int round = 0; round < rounds; ++round) {
    const auto other = serving_process(second.get(), deadline);
    if (!other) return session_kind::unknown;
    if (*other == process) return session_kind::shared;
    // While the second holds a server connection, the first may be given another one. Pooling by statements refuses transactions.
    const auto begun = ask(second.get(), "BEGIN", deadline);
    if (is_refusal(second.get(), begun)) return session_kind::shared;
    const auto held = serving_process(second.get(), deadline);
    if (!begun || !held) return session_kind::unknown;
    const auto same = serving_process(first, deadline);
    if (!same) return session_kind::unknown;
    if (*same != process || *held == process) return session_kind::shared;
    if (!ask(second.get(), "ROLLBACK", deadline)) return session_kind::unknown;
  }
  return session_kind::own;
}

auto shared_sessions_message(const std::string& at) -> std::string {
  return "a pooler at " + at + " hands its server connections on between transactions (PgBouncer: pool_mode = transaction or "
         "statement), so that a connection has no session of its own; a node needs one, for its prepared statements and "
         "locks. Set pool_mode = session for this database, or name the PostgreSQL server itself in maestro.store.uri";
}

}  // namespace maestro::postgres
