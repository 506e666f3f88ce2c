// What PostgreSQL said when it said no, and what that means for whoever asked: by SQLSTATE and constraint, in the two tables
// of failure.cpp.
#pragma once

#include <maestro/store/verdict.hpp>

#include <stdexcept>
#include <string>

// libpq's own types.
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;

namespace maestro::postgres {

/// A refused statement, or a lost connection. Thrown within the adapter, and to projections.
class failure : public std::runtime_error {
 public:
  failure(std::string sqlstate, std::string constraint, const std::string& message, bool connection_lost,
          bool plan_outdated = false)
      : std::runtime_error(message),
        sqlstate_(std::move(sqlstate)),
        constraint_(std::move(constraint)),
        connection_lost_(connection_lost),
        plan_outdated_(plan_outdated) {}

  /// No connection, and none before a setting is changed: what `message` says.
  [[nodiscard]] static auto of_setting(const std::string& message) -> failure {
    failure made("", "", message, true);
    made.is_setting_ = true;
    return made;
  }

  [[nodiscard]] auto sqlstate() const noexcept -> const std::string& { return sqlstate_; }  ///< Empty when not the server's.
  [[nodiscard]] auto constraint() const noexcept -> const std::string& { return constraint_; }  ///< Empty when there is none.
  [[nodiscard]] auto connection_lost() const noexcept -> bool { return connection_lost_; }
  /// A prepared statement's columns are not what they were: a table was changed. A new connection prepares it anew.
  [[nodiscard]] auto plan_outdated() const noexcept -> bool { return plan_outdated_; }
  /// It lasts until the store's settings, or those of what stands between, are changed.
  [[nodiscard]] auto is_setting() const noexcept -> bool { return is_setting_; }

 private:
  std::string sqlstate_;
  std::string constraint_;
  bool connection_lost_;
  bool plan_outdated_;
  bool is_setting_ = false;
};

/// The failure that `answer` reports; null stands for a connection that gave none.
[[nodiscard]] auto failure_from(PGconn* connection, const PGresult* answer) -> failure;
/// The failure behind the exception in flight, libpqxx's or our own. Only for use in a `catch` block. `connection` may be null.
[[nodiscard]] auto failure_in_flight(PGconn* connection) -> failure;

/// What `problem` means for the transaction that met it. For the stages up to `commit`. `is_spread`: it was met on a server
/// of several machines, such as Citus, which calls the loss of one an internal error.
[[nodiscard]] auto outcome_of(const failure& problem, stage stage, bool is_spread = false) -> write_outcome;
/// What `problem` means for whoever asked. For any stage.
[[nodiscard]] auto error_of(const failure& problem, stage stage, bool is_spread = false) -> error;
/// Whether only another connection is rid of `problem`.
[[nodiscard]] auto spoils_connection(const failure& problem) -> bool;

}  // namespace maestro::postgres
