#include <maestro/store/sqlite/connection.hpp>

#include <maestro/store/sqlite/sql.hpp>

#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <type_traits>
#include <utility>

namespace maestro::sqlite {

namespace {

[[noreturn]] void fail(sqlite3* handle, int code) {
  throw sql_error(handle != nullptr ? sqlite3_extended_errcode(handle) : code,
                  handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
}

}  // namespace

// --- statement ---------------------------------------------------------------------------------------------------------

statement::statement(sqlite3* handle, std::string_view sql) : handle_(handle) {
  const char* rest = nullptr;
  check(sqlite3_prepare_v3(handle, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement_, &rest));
  const auto tail = sql.substr(static_cast<std::size_t>(rest - sql.data()));
  std::string problem;
  if (statement_ == nullptr) problem = "there is no statement";
  else if (tail.find_first_not_of(" \t\r\n;") != tail.npos) problem = "one statement at a time";
  const int count = sqlite3_bind_parameter_count(statement_);
  for (int index = 1; index <= count && problem.empty(); ++index) {
    const char* name = sqlite3_bind_parameter_name(statement_, index);
    const std::string_view digits = name == nullptr ? "" : name + 1;
    int number = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (name == nullptr || *name != '$' || status != std::errc{} || end != digits.data() + digits.size() || number < 1 ||
        number > count) {
      problem = "parameters are written $1, $2 ... without gaps";
      break;
    }
    indexes_.resize(std::max(indexes_.size(), static_cast<std::size_t>(number)));
    indexes_[static_cast<std::size_t>(number - 1)] = index;
  }
  if (problem.empty()) return;
  sqlite3_finalize(statement_);
  throw sql_error(SQLITE_ERROR, problem + ": " + std::string(sql));
}

statement::~statement() { sqlite3_finalize(statement_); }

void statement::check(int code) const {
  if (code != SQLITE_OK) fail(handle_, code);
}

auto statement::index_of(int number) const -> int { return indexes_.at(static_cast<std::size_t>(number - 1)); }

auto statement::bind(int number, std::nullptr_t) -> statement& {
  check(sqlite3_bind_null(statement_, index_of(number)));
  return *this;
}

auto statement::bind(int number, std::int64_t value) -> statement& {
  check(sqlite3_bind_int64(statement_, index_of(number), value));
  return *this;
}

auto statement::bind(int number, double value) -> statement& {
  check(sqlite3_bind_double(statement_, index_of(number), value));
  return *this;
}

auto statement::bind_text(int number, std::string_view text) -> statement& {
  check(sqlite3_bind_text64(statement_, index_of(number), text.data() != nullptr ? text.data() : "", text.size(),
                            SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

auto statement::bind_bytes(int number, std::string_view bytes) -> statement& {
  check(sqlite3_bind_blob64(statement_, index_of(number), bytes.data() != nullptr ? bytes.data() : "", bytes.size(),
                            SQLITE_STATIC));
  return *this;
}

auto statement::bind_text_or_null(int number, std::string_view text) -> statement& {
  return text.empty() ? bind(number, nullptr) : bind_text(number, text);
}

auto statement::bind(std::span<const sql_value> parameters) -> statement& {
  if (parameters.size() != indexes_.size())
    throw sql_error(SQLITE_RANGE, "the statement has " + std::to_string(indexes_.size()) + " parameters, " +
                                      std::to_string(parameters.size()) + " were given");
  check_parameters(parameters);
  int number = 0;
  for (const auto& parameter : parameters) {
    ++number;
    std::visit(
        [&]<class T>(const T& value) {
          if constexpr (std::is_same_v<T, std::monostate>) bind(number, nullptr);
          else if constexpr (std::is_same_v<T, std::string>) bind_text(number, value);
          else if constexpr (std::is_same_v<T, sql_bytes>) bind_bytes(number, value.bytes);
          else if constexpr (std::is_same_v<T, double>) bind(number, value);
          else bind(number, static_cast<std::int64_t>(value));
        },
        parameter.get());
  }
  return *this;
}

auto statement::step() -> bool {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  // The error's text must be taken before the reset, which would repeat only the code.
  const sql_error problem(sqlite3_extended_errcode(handle_), sqlite3_errmsg(handle_));
  reset();
  throw problem;
}

void statement::run() {
  while (step()) {
  }
}

auto statement::rows() -> std::vector<sql_row> {
  std::vector<sql_row> rows;
  const int columns = sqlite3_column_count(statement_);
  while (step()) {
    auto& row = rows.emplace_back();
    for (int column = 0; column < columns; ++column) row.push_back(value(column));
  }
  return rows;
}

void statement::reset() noexcept {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

auto statement::only_reads() const -> bool {
  return sqlite3_stmt_readonly(statement_) != 0;
}

auto statement::is_null(int column) const -> bool { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

auto statement::integer(int column) const -> std::int64_t { return sqlite3_column_int64(statement_, column); }

auto statement::bytes(int column) const -> std::string_view {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data != nullptr ? data : "", static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

auto statement::value(int column) const -> sql_value {
  switch (sqlite3_column_type(statement_, column)) {
    case SQLITE_INTEGER: return integer(column);
    case SQLITE_FLOAT: return sqlite3_column_double(statement_, column);
    case SQLITE_TEXT: return std::string(bytes(column));
    case SQLITE_BLOB: return sql_bytes{std::string(bytes(column))};
    default: return nullptr;
  }
}

// --- connection --------------------------------------------------------------------------------------------------------

void connection::close_handle::operator()(sqlite3* handle) const { sqlite3_close(handle); }

connection::connection(const std::string& file, const store_settings& settings) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(file.empty() ? ":memory:" : file.c_str(), &handle,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) fail(handle, code);
  sqlite3_extended_result_codes(handle, 1);
  wait_for_locks(settings.lock_timeout);
  execute_script(sql::configure);
  if (file.empty()) return;
  for (const char* end : {"-wal", "-shm"}) add_place(companions_, file + end);
}

connection::~connection() = default;

void connection::wait_for_locks(std::chrono::milliseconds limit) {
  sqlite3_busy_timeout(handle_.get(), static_cast<int>(limit.count()));
}

auto connection::prepare(std::string_view sql) -> statement& {
  if (const auto found = prepared_.find(sql); found != prepared_.end()) {
    found->second->reset();
    return *found->second;
  }
  auto made = std::make_unique<statement>(handle_.get(), sql);
  if (prepared_.size() < max_prepared_statements) return *(prepared_[std::string(sql)] = std::move(made));
  unkept_ = std::move(made);
  return *unkept_;
}

void connection::execute_script(const std::string& sql) {
  if (const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr); code != SQLITE_OK)
    fail(handle_.get(), code);
}

void connection::roll_back() noexcept {
  if (in_transaction()) (void)sqlite3_exec(handle_.get(), sql::rollback, nullptr, nullptr, nullptr);
}

auto connection::in_transaction() const -> bool { return sqlite3_get_autocommit(handle_.get()) == 0; }

// --- transaction_scope -------------------------------------------------------------------------------------------------

transaction_scope::transaction_scope(connection& connection, std::string_view begin) : connection_(connection) {
  connection_.prepare(begin).run();
}

// Needs no memory of ours, which may be what is missing. Where SQLite has ended the transaction itself, all is as it should be.
transaction_scope::~transaction_scope() { connection_.roll_back(); }

void transaction_scope::commit() { connection_.prepare(sql::commit).run(); }

}  // namespace maestro::sqlite
