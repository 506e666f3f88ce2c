// One connection to PostgreSQL. It does not recover: when it is lost, or was left in a state that nobody wants, its user drops
// it and makes a new one.
#pragma once

#include <maestro/store/postgres/compat.hpp>
#include <maestro/store/postgres/failure.hpp>
#include <maestro/store/postgres/line_cutter.hpp>
#include <maestro/store/postgres/sql.hpp>
#include <maestro/store/store.hpp>

#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace maestro::postgres {

/// A server process, for as long as it lives: process ids are used again.
struct backend {
  int process = 0;
  std::string started;
};

class connection {
 public:
  /// Checks that `uri` is one. Errors: `invalid_setting`; the message does not quote it.
  [[nodiscard]] static auto check_uri(const std::string& uri) -> result<void>;

  /// Connects. `run`, unless 0, marks the connection as one of that run of a node's, so that whoever takes the run for dead can find
  /// and end it (sql::end_sessions). `lines`, which must outlive it, can cut it off. Throws `failure`, also where the lines are cut.
  connection(const std::string& uri, const store_settings& settings, line_cutter& lines, std::int64_t run = 0);

  [[nodiscard]] auto raw() const noexcept -> PGconn* { return raw_; }
  [[nodiscard]] auto is_usable() const noexcept -> bool { return !spoiled_ && PQstatus(raw_) == CONNECTION_OK; }
  /// Nobody is to use it any more.
  void spoil() noexcept { spoiled_ = true; }
  /// Spoils it when `problem` is one that only another connection is rid of.
  void note(const failure& problem) noexcept {
    if (spoils_connection(problem)) spoil();
  }
  /// The server process at the other end.
  [[nodiscard]] auto peer() const -> const backend& { return peer_; }

  /// A transaction of libpqxx, for everything but commits.
  [[nodiscard]] auto pqxx() -> pqxx_connection& { return *pqxx_; }
  /// Runs `statement` in `transaction` of this connection. Throws what libpqxx throws.
  template <class... Parameters>
  auto run(pqxx::transaction_base& transaction, const sql::named& statement, const Parameters&... parameters)
      -> pqxx::result {
    if (!prepared_.contains(statement.name)) pqxx_->prepare(statement.name, statement.text);
    prepared_.insert(statement.name);
    return run_prepared(transaction, statement.name, parameters...);
  }

  /// Runs one statement that is not prepared. Throws `failure`.
  auto query(const std::string& sql, std::span<const sql_value> parameters) -> std::vector<sql_row>;
  /// Runs a script of statements without parameters. Throws `failure`.
  void execute_script(const std::string& sql);

  /// What projections have prepared: the statement's name by its text.
  [[nodiscard]] auto projections() -> std::unordered_map<std::string, std::string>& { return projections_; }
  /// A name that no statement has had.
  [[nodiscard]] auto fresh_name() -> std::string { return "projection_" + std::to_string(++names_); }
  /// Prepares `statement` for libpq, unless that was done before. Throws `failure`.
  void prepare(const sql::named& statement);

 private:
  PGconn* raw_ = nullptr;
  std::unique_ptr<pqxx_connection> pqxx_;  // Owns raw_.
  line_cutter::line line_;
  std::set<const char*> prepared_;  // By libpqxx.
  std::set<const char*> prepared_raw_;
  std::unordered_map<std::string, std::string> projections_;
  std::uint64_t names_ = 0;
  backend peer_;
  bool spoiled_ = false;
};

}  // namespace maestro::postgres
