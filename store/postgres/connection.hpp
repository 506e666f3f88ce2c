// One connection to PostgreSQL. It does not recover: when it is lost, or was left in a state that nobody wants, its user drops
// it and makes a new one.
#pragma once

#include <maestro/store/postgres/compat.hpp>
#include <maestro/store/postgres/failure.hpp>
#include <maestro/store/postgres/line_cutter.hpp>
#include <maestro/store/postgres/sql.hpp>
#include <maestro/store/store.hpp>

#include <atomic>
#include <memory>
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
  /// and end it (sql::dead_sessions). `lines`, which must outlive it, can cut it off. Behind a pooler it looks whether sessions last
  /// (pooler.hpp), unless `sessions_last` knows so, which is set by that look, and outlives the connection. Throws
  /// `failure`, also where the lines are cut: one `of_setting` for sessions that do not last, and for a server that
  /// `settings.require_durable` refuses.
  connection(const std::string& uri, const store_settings& settings, line_cutter& lines, std::int64_t run = 0,
             std::atomic<bool>* sessions_last = nullptr);

  [[nodiscard]] auto raw() const noexcept -> PGconn* { return raw_; }
  [[nodiscard]] auto is_usable() const noexcept -> bool { return !spoiled_ && PQstatus(raw_) == CONNECTION_OK; }
  /// Nobody is to use it any more.
  void spoil() noexcept { spoiled_ = true; }
  /// Spoils it when `problem` is one that only another connection is rid of. A prepared statement that is not there may
  /// be a pooler's doing, which does otherwise than when it was looked at: the next connection looks again.
  void note(const failure& problem) noexcept {
    if (spoils_connection(problem)) spoil();
    if (problem.sqlstate() == "26000" && sessions_last_ != nullptr) *sessions_last_ = false;
  }
  /// The server process at the other end.
  [[nodiscard]] auto peer() const -> const backend& { return peer_; }

  /// The settings by which this session would lose what was committed when the server crashes, such as "fsync = off". Empty when it
  /// keeps its promise.
  [[nodiscard]] auto weaknesses() const -> const std::string& { return weaknesses_; }

  /// Whether the server is one of several machines (Citus), which calls the loss of one a defect.
  [[nodiscard]] auto is_spread() const noexcept -> bool { return is_spread_; }

  /// The newest warning of the server since `forget_warning`; empty where there was none. A COMMIT that warns is in doubt: it was not
  /// carried out everywhere, or nothing was there to commit.
  [[nodiscard]] auto warning() const -> const std::string& { return *warning_; }
  void forget_warning() { warning_->clear(); }
  /// Commits `transaction`, one of this connection. Throws what libpqxx throws, and `failure` when the transaction was not open any more
  /// or the server warns.
  void commit(pqxx::transaction_base& transaction);
  /// Commits the transaction that a script began. Throws `failure`, also when it was rolled back instead.
  void commit_script();

  /// A transaction of libpqxx, for everything but commits.
  [[nodiscard]] auto pqxx() -> pqxx_connection& { return *pqxx_; }
  /// Runs `statement` in `transaction` of this connection. Throws what libpqxx throws.
  template <class... Parameters>
  auto run(pqxx::transaction_base& transaction, const sql::named& statement, const Parameters&... parameters)
      -> pqxx::result {
    auto [known, is_new] = prepared_.try_emplace(statement.name);
    if (is_new) {
      known->second = own_name(statement.name);
      pqxx_->prepare(known->second, statement.text);
    }
    return run_prepared(transaction, known->second.c_str(), parameters...);
  }

  /// Runs one statement that is not prepared. Throws `failure`.
  auto query(const std::string& sql, std::span<const sql_value> parameters) -> std::vector<sql_row>;
  /// Runs a script of statements without parameters. Throws `failure`.
  void execute_script(const std::string& sql);

  /// What projections have prepared: the statement's name by its text.
  [[nodiscard]] auto projections() -> std::unordered_map<std::string, std::string>& { return projections_; }
  /// A name that no statement has had.
  [[nodiscard]] auto fresh_name() -> std::string { return own_name("projection_" + std::to_string(++names_)); }
  /// Prepares `statement` for libpq, unless that was done before: only then it may be called in pipeline mode. Returns the name, which
  /// lives as long as the connection. Throws `failure`.
  auto prepare(const sql::named& statement) -> const char*;

 private:
  // No other connection has a statement of this name: should a pooler put us into a foreign session, the server knows none.
  [[nodiscard]] auto own_name(const std::string& stem) const -> std::string { return stem + suffix_; }
  void learn_peer();
  void configure(const store_settings& settings);

  PGconn* raw_ = nullptr;
  std::unique_ptr<std::string> warning_ = std::make_unique<std::string>();  // Where libpq finds it.
  std::unique_ptr<pqxx_connection> pqxx_;  // Owns raw_.
  line_cutter::line line_;
  const std::string suffix_;               // Random.
  std::unordered_map<const char*, std::string> prepared_;  // By libpqxx: the names by the statements' own.
  std::unordered_map<const char*, std::string> prepared_raw_;
  std::unordered_map<std::string, std::string> projections_;
  std::uint64_t names_ = 0;
  backend peer_;
  std::string weaknesses_;
  bool spoiled_ = false;
  bool is_spread_ = false;
  std::atomic<bool>* const sessions_last_;
};

}  // namespace maestro::postgres
