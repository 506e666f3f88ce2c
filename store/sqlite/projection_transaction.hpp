// What a projection sees of a SQLite connection.
#pragma once

#include <maestro/store/projection.hpp>
#include <maestro/store/sqlite/connection.hpp>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::sqlite {

/// Remembers its first error, so that a projection that catches it is refused all the same: on PostgreSQL the transaction would be
/// lost. Throws `sql_error` for what SQLite refuses.
class projection_transaction final : public transaction {
 public:
  explicit projection_transaction(connection& with) : connection_(with) {}
  using transaction::execute;
  using transaction::query;

  void execute(std::string_view sql, std::span<const sql_value> parameters) override { (void)query(sql, parameters); }
  auto query(std::string_view sql, std::span<const sql_value> parameters) -> std::vector<sql_row> override;
  void with_native(const std::function<void(const native_handle&)>& use) override;
  [[nodiscard]] auto sql_dialect() const noexcept -> dialect override { return dialect::sqlite; }

  void enter_projection(std::string_view name) override { at_work_ = name; }

  void rethrow_first_error() const;
  /// The projection whose statement was refused first, or else the one that was at work last; empty where nobody has named one.
  [[nodiscard]] auto culprit() const -> std::string_view { return first_error_ ? refused_ : at_work_; }
  /// The statement that was refused first, or none.
  [[nodiscard]] auto refused_statement() const -> const std::string& { return statement_; }

 private:
  connection& connection_;
  std::optional<sql_error> first_error_;
  std::string_view at_work_;
  std::string_view refused_;
  std::string statement_;
};

}  // namespace maestro::sqlite
