// The connection of a rebuild. Its statements may take hours (an index, a count of the log), so they have no timeout; instead the rebuild
// asks several times a second whether it is to go on, and has the server cancel what runs when it is not.
#pragma once

#include <maestro/store/postgres/commit_transaction.hpp>
#include <maestro/store/postgres/postgres_store.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace maestro::postgres {

/// Used by one thread. Its statements throw `failure`, and what `go_on` throws.
class rebuild_session {
 public:
  /// Connects. `go_on` is called while a statement runs, some ten times a second; it throws to have it cancelled.
  rebuild_session(const source& from, std::function<void()> go_on);

  [[nodiscard]] auto with() -> connection& { return connection_; }

  /// What `go_on` threw when it had a statement cancelled; null before that.
  [[nodiscard]] auto stopped() const noexcept -> const std::exception_ptr& { return stopped_; }

  /// `{name}` in a statement stands for `value` from now on.
  void define(std::string name, std::string value) { values_.emplace_back("{" + std::move(name) + "}", std::move(value)); }
  [[nodiscard]] auto filled(std::string text) const -> std::string;

  /// Runs a script of statements without parameters, filled; one transaction, unless it is part of one. Returns the rows of its last query.
  auto script(const std::string& text) -> std::vector<sql_row>;
  /// Runs one statement, filled.
  auto query(const std::string& text, const std::vector<sql_value>& parameters = {}) -> std::vector<sql_row>;

 private:
  void await_answer();
  auto take_answers() -> std::vector<sql_row>;
  void cancel() noexcept;

  const std::function<void()> go_on_;
  connection connection_;
  std::exception_ptr stopped_;
  std::vector<std::pair<std::string, std::string>> values_;
};

/// A transaction of scripts. Rolled back unless it was committed.
class rebuild_transaction {
 public:
  explicit rebuild_transaction(rebuild_session& in) : in_(in) { (void)in_.script("BEGIN"); }
  rebuild_transaction(const rebuild_transaction&) = delete;
  auto operator=(const rebuild_transaction&) -> rebuild_transaction& = delete;
  ~rebuild_transaction() {
    if (!committed_ && in_.with().is_usable()) PQclear(PQexec(in_.with().raw(), "ROLLBACK"));
  }
  void commit() {
    in_.with().commit_script();
    committed_ = true;
  }

 private:
  rebuild_session& in_;
  bool committed_ = false;
};

}  // namespace maestro::postgres
