// One SQLite connection: prepared statements, parameters by name, transactions.
#pragma once

#include <maestro/store/projection.hpp>
#include <maestro/store/sqlite/failure.hpp>
#include <maestro/store/sqlite/store_file.hpp>
#include <maestro/store/store.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace maestro::sqlite {

/// A prepared statement. Parameters are bound by the number in their name, `$1`, `$2` ..., however often and in whatever
/// order the SQL mentions them. Bound text and bytes must live until the statement has run.
class statement {
 public:
  statement(sqlite3* handle, std::string_view sql);
  statement(const statement&) = delete;
  auto operator=(const statement&) -> statement& = delete;
  ~statement();

  auto bind(int number, std::nullptr_t) -> statement&;
  auto bind(int number, std::int64_t value) -> statement&;
  auto bind(int number, double value) -> statement&;
  auto bind_text(int number, std::string_view text) -> statement&;
  auto bind_bytes(int number, std::string_view bytes) -> statement&;
  /// Null for an empty text.
  auto bind_text_or_null(int number, std::string_view text) -> statement&;
  template <class Tag>
  auto bind(int number, const id16<Tag>& id) -> statement& {
    return bind_bytes(number, id.view());
  }
  /// Whether it changes nothing in the database.
  [[nodiscard]] auto only_reads() const -> bool;
  /// All parameters at once; their number must be the statement's own.
  auto bind(std::span<const sql_value> parameters) -> statement&;

  /// Moves to the next row; false at the end, where the statement is ready to be bound again.
  auto step() -> bool;
  /// Runs to the end, ignoring rows.
  void run();
  /// Runs to the end.
  [[nodiscard]] auto rows() -> std::vector<sql_row>;
  /// Forgets the run and the parameters.
  void reset() noexcept;

  [[nodiscard]] auto is_null(int column) const -> bool;
  [[nodiscard]] auto integer(int column) const -> std::int64_t;
  /// The field's bytes, valid until the next step.
  [[nodiscard]] auto bytes(int column) const -> std::string_view;
  [[nodiscard]] auto value(int column) const -> sql_value;

 private:
  auto index_of(int number) const -> int;
  void check(int code) const;

  sqlite3* const handle_;
  sqlite3_stmt* statement_ = nullptr;
  std::vector<int> indexes_;  // By parameter number - 1.
};

/// A connection to a database file, or to a fresh database in memory when `file` is empty. Not for use by two threads at
/// once: whoever may share it holds `mutex()` for the whole of what must not be torn apart.
class connection {
 public:
  /// Opens and configures: WAL, `synchronous=FULL`, foreign keys, waiting up to `settings.lock_timeout` for another
  /// connection's transaction. Throws `sql_error`.
  connection(const std::string& file, const store_settings& settings);
  connection(const connection&) = delete;
  auto operator=(const connection&) -> connection& = delete;
  ~connection();

  /// From now on waits up to `limit` for another connection's transaction.
  void wait_for_locks(std::chrono::milliseconds limit);

  /// The statement for `sql`, reset. The first `max_prepared_statements` texts stay prepared; any other one is good until
  /// the next call.
  [[nodiscard]] auto prepare(std::string_view sql) -> statement&;
  static constexpr std::size_t max_prepared_statements = 256;

  /// Runs a script of statements without parameters.
  void execute_script(const std::string& sql);

  /// The files beside the database that it was opened with: its write-ahead log, and the index of that.
  [[nodiscard]] auto companions() const -> std::span<const file_place> { return companions_; }

  [[nodiscard]] auto in_transaction() const -> bool;
  void roll_back() noexcept;  ///< The transaction that is open, if one is.
  [[nodiscard]] auto raw() const noexcept -> sqlite3* { return handle_.get(); }
  /// Recursive, so that a projection that reads through another store of a database in memory does not wait for itself.
  [[nodiscard]] auto mutex() -> std::recursive_mutex& { return mutex_; }

 private:
  struct text_hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  struct close_handle {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, close_handle> handle_;
  std::unordered_map<std::string, std::unique_ptr<statement>, text_hash, std::equal_to<>> prepared_;
  std::unique_ptr<statement> unkept_;
  std::vector<file_place> companions_;
  std::recursive_mutex mutex_;
};

/// A transaction that is rolled back unless `commit` succeeded.
class transaction_scope {
 public:
  /// `begin` is `BEGIN IMMEDIATE` to write, `BEGIN` to read.
  transaction_scope(connection& connection, std::string_view begin);
  transaction_scope(const transaction_scope&) = delete;
  auto operator=(const transaction_scope&) -> transaction_scope& = delete;
  ~transaction_scope();
  void commit();

 private:
  connection& connection_;
};

}  // namespace maestro::sqlite
