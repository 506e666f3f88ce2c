#include <maestro/store/postgres/rebuild_session.hpp>

#include <maestro/store/postgres/values.hpp>

#include <array>
#include <future>
#include <memory>
#include <optional>
#include <poll.h>
#include <thread>

namespace maestro::postgres {

namespace {

constexpr std::chrono::milliseconds between_looks{100};
// How long a server is waited for that was told to cancel.
constexpr std::chrono::milliseconds longest_cancel{1'000};

// Where the server can look by itself whether its client is still there, it does so every two seconds: an index that nobody waits for
// any more is not built to its end.
constexpr const char* watch_client = R"(
  SELECT set_config(name, '2000', false) FROM pg_settings WHERE name = 'client_connection_check_interval' AND setting = '0'
)";

using answer_ptr = std::unique_ptr<PGresult, decltype(&PQclear)>;
using cancel_ptr = std::unique_ptr<PGcancel, decltype(&PQfreeCancel)>;

}  // namespace

rebuild_session::rebuild_session(const source& from, std::function<void()> go_on)
    : go_on_(std::move(go_on)), connection_(from.uri, from.settings, *from.lines, from.run, from.sessions_last.get()) {
  (void)query("SELECT set_config('statement_timeout', '0', false)");
  (void)query(watch_client);
}

auto rebuild_session::filled(std::string text) const -> std::string {
  for (const auto& [place, value] : values_)
    for (auto at = text.find(place); at != text.npos; at = text.find(place, at + value.size()))
      text.replace(at, place.size(), value);
  return text;
}

auto rebuild_session::script(const std::string& text) -> std::vector<sql_row> {
  if (PQsendQuery(connection_.raw(), filled(text).c_str()) != 1) throw failure_from(connection_.raw(), nullptr);
  return take_answers();
}

auto rebuild_session::query(const std::string& text, const std::vector<sql_value>& parameters) -> std::vector<sql_row> {
  const parameter_list list(parameters);
  if (PQsendQueryParams(connection_.raw(), filled(text).c_str(), list.count(), nullptr, list.values(), list.lengths(), list.formats(), 0) != 1)
    throw failure_from(connection_.raw(), nullptr);
  return take_answers();
}

// Reads everything, so that the connection can be used again, and throws the first failure there was.
auto rebuild_session::take_answers() -> std::vector<sql_row> {
  std::vector<sql_row> rows;
  std::optional<failure> problem;
  while (true) {
    await_answer();
    const answer_ptr answer(PQgetResult(connection_.raw()), PQclear);
    if (!answer) break;
    const auto status = PQresultStatus(answer.get());
    if (status == PGRES_TUPLES_OK) rows = rows_from(answer.get());
    else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY && !problem) problem = failure_from(connection_.raw(), answer.get());
    if (PQstatus(connection_.raw()) == CONNECTION_BAD) break;
  }
  if (problem) throw failure(*problem);
  if (PQstatus(connection_.raw()) == CONNECTION_BAD) throw failure_from(connection_.raw(), nullptr);
  return rows;
}

// Returns when the next answer can be read without waiting.
void rebuild_session::await_answer() {
  auto next_look = std::chrono::steady_clock::now() + between_looks;
  while (PQisBusy(connection_.raw()) != 0) {
    pollfd line{PQsocket(connection_.raw()), POLLIN, 0};
    if (::poll(&line, 1, static_cast<int>(between_looks.count())) > 0 && PQconsumeInput(connection_.raw()) != 1) return;
    if (std::chrono::steady_clock::now() < next_look) continue;
    next_look += between_looks;
    try {
      go_on_();
    } catch (...) {
      stopped_ = std::current_exception();
      cancel();
      throw;
    }
  }
}

// libpq connects anew to say so, and waits for that without a bound: a server that stands still is left to itself.
void rebuild_session::cancel() noexcept {
  const auto deadline = std::chrono::steady_clock::now() + longest_cancel;
  try {
    auto said = std::make_shared<std::promise<void>>();
    auto over = said->get_future();
    std::thread([order = cancel_ptr(PQgetCancel(connection_.raw()), PQfreeCancel), said] {
      std::array<char, 256> reason{};
      if (order) PQcancel(order.get(), reason.data(), static_cast<int>(reason.size()));
      said->set_value();
    }).detach();
    over.wait_until(deadline);
  } catch (const std::exception&) {
    return connection_.spoil();
  }
  // Its answer, so that a transaction can be rolled back in order.
  while (true) {
    while (PQisBusy(connection_.raw()) != 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      pollfd line{PQsocket(connection_.raw()), POLLIN, 0};
      if (left <= 0 || ::poll(&line, 1, static_cast<int>(left)) <= 0 || PQconsumeInput(connection_.raw()) != 1) return connection_.spoil();
    }
    const answer_ptr answer(PQgetResult(connection_.raw()), PQclear);
    if (!answer) return;
    if (PQstatus(connection_.raw()) == CONNECTION_BAD) return connection_.spoil();
  }
}

}  // namespace maestro::postgres
