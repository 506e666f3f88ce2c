#include <maestro/store/sqlite/projection_transaction.hpp>

namespace maestro::sqlite {

auto projection_transaction::query(std::string_view sql, std::span<const sql_value> parameters) -> std::vector<sql_row> {
  check_projection_statement(sql);
  try {
    return connection_.prepare(sql).bind(parameters).rows();
  } catch (const sql_error& problem) {
    if (!first_error_) {
      first_error_ = problem;
      refused_ = at_work_;
      statement_ = sql;
    }
    throw;
  }
}

void projection_transaction::with_native(const std::function<void(const native_handle&)>& use) {
  use({.postgres = nullptr, .sqlite = connection_.raw()});
}

void projection_transaction::rethrow_first_error() const {
  if (first_error_) throw sql_error(*first_error_);
}

}  // namespace maestro::sqlite
