// What a projection works with: one transaction of the store, in SQL that both adapters understand.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/event.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

struct pg_conn;  // PGconn, of libpq-fe.h
struct sqlite3;

namespace maestro {

/// Which SQL an adapter speaks.
enum class dialect : std::uint8_t { sqlite, postgres };

/// The 16 bytes of an id in a statement; stored as `bytea` or `blob`.
struct sql_bytes {
  std::string bytes;
  friend auto operator==(const sql_bytes&, const sql_bytes&) -> bool = default;
};

/// One parameter of a statement, or one field of a row.
class sql_value {
 public:
  using content = std::variant<std::monostate, std::int64_t, double, bool, std::string, sql_bytes>;

  sql_value() = default;
  sql_value(std::nullptr_t) {}
  sql_value(bool value) : content_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool> && (sizeof(T) < 8 || std::is_signed_v<T>))
  sql_value(T value) : content_(static_cast<std::int64_t>(value)) {}
  template <std::floating_point T>
  sql_value(T value) : content_(static_cast<double>(value)) {}
  sql_value(std::string value) : content_(std::move(value)) {}
  sql_value(std::string_view value) : content_(std::string(value)) {}
  sql_value(const char* value) : content_(std::string(value)) {}
  sql_value(sql_bytes value) : content_(std::move(value)) {}
  template <class Tag>
  sql_value(const id16<Tag>& id) : content_(sql_bytes{std::string(id.view())}) {}

  [[nodiscard]] auto get() const noexcept -> const content& { return content_; }
  [[nodiscard]] auto is_null() const noexcept -> bool { return content_.index() == 0; }

  /// The field as `T`: `std::int64_t`, `double`, `bool`, `std::string` or `sql_bytes`. An integer also reads as a `double`,
  /// and as a `bool` (SQLite has none of its own). Throws `std::runtime_error` when it is null or something else.
  template <class T>
  [[nodiscard]] auto as() const -> T {
    if (const auto* exact = std::get_if<T>(&content_)) return *exact;
    if (const auto* whole = std::get_if<std::int64_t>(&content_)) {
      if constexpr (std::same_as<T, double>) return static_cast<double>(*whole);
      if constexpr (std::same_as<T, bool>) return *whole != 0;
    }
    throw std::runtime_error(is_null() ? "a field is null" : "a field has another type than asked for");
  }

 private:
  content content_;
};

using sql_row = std::vector<sql_value>;

/// The database's own handle of a connection: one of the two.
struct native_handle {
  pg_conn* postgres = nullptr;
  sqlite3* sqlite = nullptr;
};

/// The transaction that a commit runs in, as a projection sees it. Valid only during the call it is handed to, on that
/// thread. Statements use `$1`, `$2` ... for parameters in both dialects; on PostgreSQL each parameter gets its type from
/// where it stands. A statement is one query or change of rows (`check_projection_statement`). Failures are
/// thrown. A violated constraint rejects the command whose event is being projected, and is named; anything else is a fault of the
/// program (`program_failed`), which the node's log says, too.
class transaction {
 public:
  virtual ~transaction() = default;

  /// Runs `sql` for its effect. May be sent later, together with the statements that follow; an error then surfaces later
  /// but is still attributed to the event being projected now.
  virtual void execute(std::string_view sql, std::span<const sql_value> parameters) = 0;

  /// Runs `sql` and returns its rows, after everything executed before it.
  [[nodiscard]] virtual auto query(std::string_view sql, std::span<const sql_value> parameters)
      -> std::vector<sql_row> = 0;

  /// Calls `use` with the connection, after everything executed before it and within the same transaction: for what
  /// statements with parameters cannot do (COPY, a blob, an extension of SQLite). Waits for the server, as `query` does. `use` must
  /// leave the connection as it found it, with nothing half read and the transaction open. It throws to give the commit up, which is then
  /// `program_failed`; a statement that fails on PostgreSQL ends it in any case.
  virtual void with_native(const std::function<void(const native_handle&)>& use) = 0;

  /// The SQL that this store speaks, for statements that have to differ.
  [[nodiscard]] virtual auto sql_dialect() const noexcept -> dialect = 0;

  /// What is executed from now on is the work of the projection `name`, which messages tell. The name outlives the transaction. For
  /// those who call projections.
  virtual void enter_projection(std::string_view name) { (void)name; }

  template <class... Ts>
    requires(std::constructible_from<sql_value, const Ts&> && ...)
  void execute(std::string_view sql, const Ts&... parameters) {
    const std::initializer_list<sql_value> list{sql_value(parameters)...};
    execute(sql, std::span<const sql_value>(list.begin(), list.size()));
  }

  template <class... Ts>
    requires(std::constructible_from<sql_value, const Ts&> && ...)
  [[nodiscard]] auto query(std::string_view sql, const Ts&... parameters) -> std::vector<sql_row> {
    const std::initializer_list<sql_value> list{sql_value(parameters)...};
    return query(sql, std::span<const sql_value>(list.begin(), list.size()));
  }
};

/// What both adapters refuse before they send anything, by throwing `std::runtime_error`: statements that do not begin with
/// SELECT, INSERT, UPDATE, DELETE, MERGE, WITH or VALUES, since the transaction and the session belong to the store; text with
/// the character NUL and numbers that are none, which only one of the databases would refuse by itself.
void check_projection_statement(std::string_view sql);
void check_parameters(std::span<const sql_value> parameters);

/// That the projection `projection` (may be empty) of an aggregate type failed otherwise than by a constraint: `program_failed`, with its
/// statement (may be empty), why, and what can be done.
[[nodiscard]] auto projection_fault(std::string_view projection, std::string_view aggregate_type, std::string_view statement,
                                    std::string_view why) -> error;

/// Writes the rows of an aggregate type's projections. Implemented by the aggregate layer; called by the store with each
/// event of a commit in sequence order, on the store's thread. An exception fails the command that emitted the event.
class projector {
 public:
  virtual ~projector() = default;
  virtual void project(transaction& tx, const event& event) const = 0;
};

/// One step of a schema: numbered within its component, applied once, in order. The SQL may hold several statements.
struct migration {
  std::string component;  ///< `"maestro"` for the store's own tables, otherwise the projection's name.
  int number = 0;         ///< 1, 2, 3 ... within the component.
  std::string postgres;
  std::string sqlite;  ///< Tables `STRICT`, so that a test sees what PostgreSQL would refuse.
  friend auto operator==(const migration&, const migration&) -> bool = default;
};

}  // namespace maestro
