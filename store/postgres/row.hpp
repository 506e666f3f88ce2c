// What stands in a column of one of libpqxx's rows, and ids on their way there and back.
#pragma once

#include <maestro/store/id.hpp>
#include <maestro/store/postgres/compat.hpp>
#include <maestro/store/postgres/values.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace maestro::postgres {

/// The first of `rows`. Throws `std::runtime_error` when there is none: `what` names the statement or the table.
[[nodiscard]] inline auto first_row(const pqxx::result& rows, std::string_view what) -> pqxx::row {
  if (rows.empty()) throw std::runtime_error(std::string(what) + " has no row, where one always is");
  return rows[0];
}

/// The column's text, which lives as long as the row; empty for null.
[[nodiscard]] inline auto text_of(const pqxx::row& row, int column) -> std::string_view {
  const auto field = row[static_cast<pqxx::row::size_type>(column)];
  return {field.c_str(), field.size()};
}

/// The id in a column of type `bytea`; none (zero) for what is no id.
template <class Id>
[[nodiscard]] auto id_of(const pqxx::row& row, int column) -> Id {
  const auto text = text_of(row, column);
  return Id::parse(text.substr(text.starts_with("\\x") ? 2 : 0)).value_or(Id{});
}

/// `id` as a parameter of type `bytea`.
template <class Tag>
[[nodiscard]] auto parameter(const id16<Tag>& id) -> std::string {
  return as_bytea(id.view());
}

}  // namespace maestro::postgres
