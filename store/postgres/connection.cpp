#include <maestro/store/postgres/connection.hpp>

#include <maestro/store/postgres/values.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
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
    for (auto* option = given_.get(); option != nullptr && option->keyword != nullptr; ++option)
      if (option->val != nullptr) set(option->keyword, option->val);
  }

  void set(const std::string& keyword, std::string value) { values_.emplace_back(keyword, std::move(value)); }

  // Sets what neither the URI nor the environment says.
  void set_default(std::string_view keyword, std::string value) {
    for (auto* option = given_.get(); option != nullptr && option->keyword != nullptr; ++option) {
      if (option->keyword != keyword) continue;
      if (option->val == nullptr && (option->envvar == nullptr || std::getenv(option->envvar) == nullptr))
        set(option->keyword, std::move(value));
      return;
    }
  }

  [[nodiscard]] auto connect() const -> PGconn* {
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : values_) {
      keywords.push_back(keyword.c_str());
      values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    return PQconnectdbParams(keywords.data(), values.data(), 0);
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
  option_list given_;
  std::vector<std::pair<std::string, std::string>> values_;
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

void ignore_notice(void*, const PGresult*) {}

}  // namespace

auto connection::check_uri(const std::string& uri) -> result<void> {
  if (!splits_password(uri) && parse(uri)) return {};
  return error{errc::invalid_setting,
               "the store's address is no PostgreSQL URI; it is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and "
               "special characters in it as %XX"};
}

connection::connection(const std::string& uri, const store_settings& settings, line_cutter& lines, std::int64_t run) {
  if (lines.is_cut()) throw failure("", "", "this program ends, and connects no more", true);
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

  PGconn* raw = parameters.connect();
  if (PQstatus(raw) != CONNECTION_OK) {
    const failure problem = failure_from(raw, nullptr);
    PQfinish(raw);
    throw failure("", "", parameters.without_secrets(problem.what()), true);
  }
  raw_ = raw;
  pqxx_ = adopt(raw);
  line_ = line_cutter::line(lines, PQsocket(raw_));
  PQsetNoticeReceiver(raw_, ignore_notice, nullptr);  // "relation exists, skipping" and its like

  const std::string lock = std::to_string(settings.lock_timeout.count());
  const std::string statement = std::to_string(settings.statement_timeout.count());
  const std::string mark = std::to_string(run);
  struct step {
    const char* text;
    std::vector<const char*> values;
  };
  std::vector<step> steps{{sql::configure, {lock.c_str(), statement.c_str()}}, {sql::own_backend, {}}};
  if (run != 0) steps.push_back({sql::mark_session, {mark.c_str()}});
  for (const auto& [text, values] : steps) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> answer(
        PQexecParams(raw_, text, static_cast<int>(values.size()), nullptr, values.data(), nullptr, nullptr, 0), PQclear);
    if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) throw failure_from(raw_, answer.get());
    if (text == sql::own_backend && PQntuples(answer.get()) == 1)
      peer_ = {std::atoi(PQgetvalue(answer.get(), 0, 0)), PQgetvalue(answer.get(), 0, 1)};
  }
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

void connection::prepare(const sql::named& statement) {
  if (prepared_raw_.contains(statement.name)) return;
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQprepare(raw_, statement.name, statement.text, 0, nullptr), PQclear);
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) throw failure_from(raw_, answer.get());
  prepared_raw_.insert(statement.name);
}

}  // namespace maestro::postgres
