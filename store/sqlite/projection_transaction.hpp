// What a projection sees of a SQLite connection.
#pragma once

#include <maestro/store/projection.hpp>
#include <maestro/store/sqlite/connection.hpp>

#include <functional>
#include <optional>
#include <span>
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

  void rethrow_first_error() const;

 private:
  connection& connection_;
  std::optional<sql_error> first_error_;
};

}  // namespace maestro::sqlite
