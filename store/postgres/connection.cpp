#include <maestro/store/postgres/connection.hpp>

#include <maestro/store/postgres/connecting.hpp>
#include <maestro/store/postgres/pooler.hpp>
#include <maestro/store/postgres/values.hpp>
#include <maestro/store/redaction.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace maestro::postgres {

namespace {

struct free_options {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using option_list = std::unique_ptr<PQconninfoOption, free_options>;

// libpq's message about a URI that it cannot read quotes the part it stumbled over, which may be the password: it is dropped.
auto parse(const std::string& uri) -> option_list {
  char* message = nullptr;
  option_list options(PQconninfoParse(uri.c_str(), &message));
  PQfreemem(message);
  return options;
}

class parameters {
 public:
  explicit parameters(const std::string& uri) : given_(parse(uri)) {
    bool names_a_service = std::getenv("PGSERVICE") != nullptr;
    for (auto* option = given_.get(); option != nullptr && option->keyword != nullptr; ++option) {
      if (option->val == nullptr) continue;
      set(option->keyword, option->val);
      names_a_service = names_a_service || std::string_view(option->keyword) == "service";
    }
    if (names_a_service) resolve_service();
  }

  void set(const std::string& keyword, std::string value) { values_.emplace_back(keyword, std::move(value)); }

  // Sets what neither the URI nor the environment nor a service file says.
  void set_default(std::string_view keyword, std::string value) {
    for (auto* option = given_.get(); option != nullptr && option->keyword != nullptr; ++option) {
      if (option->keyword != keyword) continue;
      if (option->val == nullptr && (option->envvar == nullptr || std::getenv(option->envvar) == nullptr) &&
          !of_service_.contains(option->keyword))
        set(option->keyword, std::move(value));
      return;
    }
  }

  /// Begins a connection, for PQconnectPoll; to `hosts` instead of those that the URI names, unless there are none.
  [[nodiscard]] auto start(const std::vector<host_choice>& hosts = {}) const -> PGconn* {
    auto list = values_;
    if (!hosts.empty()) {
      std::erase_if(list, [](const auto& each) { return each.first == "host" || each.first == "hostaddr" || each.first == "port"; });
      add_list(list, "host", hosts, &host_choice::host);
      add_list(list, "hostaddr", hosts, &host_choice::address);
      add_list(list, "port", hosts, &host_choice::port);
    }
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : list) {
      keywords.push_back(keyword.c_str());
      values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    return PQconnectStartParams(keywords.data(), values.data(), 0);
  }

  // Whatever a server or a proxy may say back to us, the password is not for logs.
  [[nodiscard]] auto without_secrets(std::string text) const -> std::string {
    for (const auto& [keyword, value] : values_) {
      if (keyword.find("password") == keyword.npos || value.empty()) continue;
      for (auto at = text.find(value); at != text.npos; at = text.find(value, at + 3)) text.replace(at, value.size(), "***");
    }
    return text;
  }

 private:
  // libpq alone knows where service files are. It reads one when a connection begins, and this one ends there: its
  // address is none.
  void resolve_service() {
    auto with_no_address = values_;
    with_no_address.emplace_back("hostaddr", "none");
    std::swap(values_, with_no_address);
    const std::unique_ptr<PGconn, decltype(&PQfinish)> begun(start(), PQfinish);
    std::swap(values_, with_no_address);
    const option_list all(PQconninfo(begun.get()));
    for (auto* option = all.get(); option != nullptr && option->keyword != nullptr; ++option)
      if (option->val != nullptr && (option->compiled == nullptr || std::string_view(option->val) != option->compiled))
        of_service_.insert(option->keyword);
  }

  using value_list = std::vector<std::pair<std::string, std::string>>;

  // libpq wants as many of each, separated by commas, or none.
  static void add_list(value_list& to, const char* keyword, const std::vector<host_choice>& hosts, std::string host_choice::* part) {
    if (std::all_of(hosts.begin(), hosts.end(), [&](const host_choice& each) { return (each.*part).empty(); })) return;
    std::string all;
    for (const auto& each : hosts) all.append(&each == hosts.data() ? "" : ",").append(each.*part);
    to.emplace_back(keyword, std::move(all));
  }

  option_list given_;
  value_list values_;
  std::set<std::string, std::less<>> of_service_;  // What a service file sets, or the URI or the environment.
};

// Whether a '/' or '@' in a password was not written as %XX. libpq ends the user part at the first '@' that comes before any '/', and
// would take the rest of the password for host, port or database, and name it in its messages.
auto splits_password(std::string_view uri) -> bool {
  const auto scheme = uri.find("://");
  if (scheme == uri.npos) return false;
  const auto rest = uri.substr(scheme + 3, uri.find('?', scheme) - scheme - 3);
  const auto at = rest.find('@');
  if (at == rest.npos) return false;
  return rest.find('/') < at || rest.find('@', at + 1) != rest.npos;
}

// Whether all that stands where ports stand are some. Without a '@' the user part is taken for a host and the password for its port,
// which libpq names in its messages.
auto has_ports(const option_list& options) -> bool {
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) != "port" || option->val == nullptr) continue;
    std::string_view all = option->val;
    while (true) {
      if (const auto port = all.substr(0, all.find(',')); !port.empty() && !is_port(port)) return false;
      if (all.find(',') == all.npos) break;
      all.remove_prefix(all.find(',') + 1);
    }
  }
  return true;
}

// Notices ("relation exists, skipping") are not for us, warnings are.
void note_warning(void* to, const PGresult* notice) {
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  if (severity == nullptr || std::string_view(severity) != "WARNING") return;
  *static_cast<std::string*>(to) = message != nullptr ? message : "a warning without a message";
}

auto random_suffix() -> std::string {
  std::random_device random;
  std::string suffix = "_";
  for (int i = 0; i < 16; ++i) suffix += "0123456789abcdef"[random() & 15U];
  return suffix;
}

constexpr std::chrono::milliseconds shortest_idle{5'000};

// How long the look at a pooler may take: it may have no server connection left for it.
constexpr std::chrono::milliseconds longest_look{2'000};

// Where a connection is; only its host and port are for people.
auto place_of(PGconn* connection) -> host_choice {
  const auto text = [](const char* value) { return std::string(value != nullptr ? value : ""); };
  return {text(PQhost(connection)), text(PQhostaddr(connection)), text(PQport(connection))};
}

auto address_of(PGconn* connection) -> std::string {
  const auto place = place_of(connection);
  return place.host + ":" + place.port;
}

auto run_step(PGconn* connection, const char* text, const std::vector<const char*>& values)
    -> std::unique_ptr<PGresult, decltype(&PQclear)> {
  std::unique_ptr<PGresult, decltype(&PQclear)> answer(
      PQexecParams(connection, text, static_cast<int>(values.size()), nullptr, values.data(), nullptr, nullptr, 0), PQclear);
  if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) throw failure_from(connection, answer.get());
  return answer;
}

}  // namespace

auto connection::check_uri(const std::string& uri) -> result<void> {
  const auto options = splits_password(uri) ? nullptr : parse(uri);
  if (options && has_ports(options)) return {};
  if (options)
    return error{errc::invalid_setting,
                 "the store's address has a port that is no number from 1 to 65535; it is written "
                 "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where a password is followed by @HOST"};
  return error{errc::invalid_setting,
               "the store's address is no PostgreSQL URI; it is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and "
               "special characters in it as %XX"};
}

connection::connection(const std::string& uri, const store_settings& settings, line_cutter& lines, std::int64_t run,
                       std::atomic<bool>* sessions_last)
    : suffix_(random_suffix()), sessions_last_(sessions_last) {
  const failure ends("", "", "this program ends, and connects no more", true);
  if (lines.is_cut()) throw failure(ends);
  const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(settings.connect_timeout).count());
  parameters parameters(uri);
  parameters.set("client_encoding", "UTF8");
  parameters.set_default("fallback_application_name", "maestro");
  parameters.set_default("connect_timeout", std::to_string(seconds));
  parameters.set_default("target_session_attrs", "read-write");  // a standby may lag, and cannot be written to
  // A peer that vanished without a word is noticed after some 20 seconds.
  parameters.set_default("keepalives_idle", "10");
  parameters.set_default("keepalives_interval", "5");
  parameters.set_default("keepalives_count", "2");
  parameters.set_default("tcp_user_timeout", "20000");

  auto attempt = connect([&](const std::vector<host_choice>& hosts) { return parameters.start(hosts); }, lines);
  if (attempt.is_cut) throw failure(ends);
  if (PQstatus(attempt.connection.get()) != CONNECTION_OK) {
    std::string said = std::move(attempt.late);
    if (attempt.connection || said.empty())
      said += (said.empty() ? "" : " ") + std::string(failure_from(attempt.connection.get(), nullptr).what());
    throw failure("", "", parameters.without_secrets(std::move(said)), true);
  }
  raw_ = attempt.connection.release();
  pqxx_ = adopt(raw_);
  line_ = line_cutter::line(lines, PQsocket(raw_));
  PQsetNoticeReceiver(raw_, note_warning, warning_.get());

  learn_peer();
  // libpq was told the number of the process that serves it. A pooler makes one up.
  const bool is_pooled = peer_.process != 0 && PQbackendPID(raw_) != peer_.process;
  if (is_pooled && (sessions_last == nullptr || !*sessions_last)) {
    // Before anything is set, which a foreign session would keep.
    const auto deadline = std::chrono::steady_clock::now() + std::min(settings.connect_timeout, longest_look);
    // There, and not from the first host on, which may be silent.
    const auto begin = [&] { return parameters.start({place_of(raw_)}); };
    const auto kind = look_at_sessions(raw_, peer_.process, begin, deadline, lines);
    if (lines.is_cut()) throw failure(ends);
    if (kind == session_kind::shared) throw failure::of_setting(shared_sessions_message(address_of(raw_)));
    if (PQtransactionStatus(raw_) != PQTRANS_IDLE) throw failure("", "", "the pooler at " + address_of(raw_) + " does not answer", true);
    if (kind == session_kind::own && sessions_last != nullptr) *sessions_last = true;
  }
  configure(settings);
  if (run != 0) (void)run_step(raw_, sql::mark_session, {std::to_string(run).c_str()});
}

void connection::learn_peer() {
  const auto answer = run_step(raw_, sql::own_backend, {});
  if (PQntuples(answer.get()) == 1) peer_ = {std::atoi(PQgetvalue(answer.get(), 0, 0)), PQgetvalue(answer.get(), 0, 1)};
}

void connection::configure(const store_settings& settings) {
  const std::string lock = std::to_string(settings.lock_timeout.count());
  const std::string statement = std::to_string(settings.statement_timeout.count());
  // A transaction of ours is idle while a projection computes, or another connection reads for it.
  const std::string idle = std::to_string(std::max<std::int64_t>(shortest_idle.count(), 2 * settings.statement_timeout.count()));
  const auto answer = run_step(raw_, sql::configure, {lock.c_str(), statement.c_str(), idle.c_str()});
  for (int row = 0; row < PQntuples(answer.get()); ++row) {
    const std::string_view name = PQgetvalue(answer.get(), row, 0);
    is_spread_ = is_spread_ || name.starts_with("citus.");
    const bool is_promise = name == "synchronous_commit" || name == "fsync" || name == "full_page_writes";
    if (!is_promise || std::string_view(PQgetvalue(answer.get(), row, 1)) != "off") continue;
    weaknesses_.append(weaknesses_.empty() ? "" : ", ").append(name).append(" = off");
  }
  if (settings.require_durable && !weaknesses_.empty())
    throw failure::of_setting("the server does not keep what was committed when it crashes (" + weaknesses_ +
                              "), and maestro.store.require-durable is set: change the server's settings, or the options in "
                              "maestro.store.uri");
}

auto connection::query(const std::string& sql, std::span<const sql_value> parameters) -> std::vector<sql_row> {
  const parameter_list list(parameters);
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(
      PQexecParams(raw_, sql.c_str(), list.count(), nullptr, list.values(), list.lengths(), list.formats(), 0), PQclear);
  const auto status = PQresultStatus(answer.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) throw failure_from(raw_, answer.get());
  return rows_from(answer.get());
}

void connection::execute_script(const std::string& sql) {
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQexec(raw_, sql.c_str()), PQclear);
  const auto status = PQresultStatus(answer.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) throw failure_from(raw_, answer.get());
}

void connection::commit(pqxx::transaction_base& transaction) {
  // libpqxx does not look whether COMMIT answers ROLLBACK, as it does after a statement that failed.
  if (PQtransactionStatus(raw_) != PQTRANS_INTRANS) throw failure("25P02", "", "the transaction was rolled back", false);
  forget_warning();
  transaction.commit();
  if (!warning().empty()) throw failure("", "", "COMMIT came with a warning: " + warning(), true);
}

void connection::commit_script() {
  forget_warning();
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQexec(raw_, sql::commit), PQclear);
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) throw failure_from(raw_, answer.get());
  if (std::string_view(PQcmdStatus(answer.get())) != "COMMIT") throw failure("25P02", "", "the transaction was rolled back", false);
  if (!warning().empty()) throw failure("", "", "COMMIT came with a warning: " + warning(), true);
}

auto connection::prepare(const sql::named& statement) -> const char* {
  if (const auto known = prepared_raw_.find(statement.name); known != prepared_raw_.end()) return known->second.c_str();
  std::string name = own_name(statement.name);
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQprepare(raw_, name.c_str(), statement.text, 0, nullptr), PQclear);
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) throw failure_from(raw_, answer.get());
  return prepared_raw_.emplace(statement.name, std::move(name)).first->second.c_str();
}

}  // namespace maestro::postgres
