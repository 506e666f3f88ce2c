#include <maestro/store/postgres/values.hpp>

#include <maestro/store/id.hpp>
#include <maestro/store/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <type_traits>

namespace maestro::postgres {

namespace {

// Oids of the built-in types, which never change.
enum : Oid { bool_type = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, oid = 26, float4 = 700, float8 = 701 };

auto text_of(double number) -> std::string {
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return {digits.data(), end};
}

template <class Number>
auto number_from(std::string_view text) -> Number {
  Number number{};  // "Infinity" and "NaN" are numbers to from_chars, too
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

auto value_from(Oid type, std::string_view text) -> sql_value {
  switch (type) {
    case bool_type: return text == "t";
    case int2:
    case int4:
    case int8:
    case oid: return number_from<std::int64_t>(text);
    case float4:
    case float8: return number_from<double>(text);
    case bytea: return sql_bytes{unhex(text)};
    default: return text;
  }
}

auto digit(char character) -> int {
  if (character >= '0' && character <= '9') return character - '0';
  return character >= 'a' && character <= 'f' ? character - 'a' + 10 : 0;
}

}  // namespace

parameter_list::parameter_list(std::span<const sql_value> parameters) {
  check_parameters(parameters);
  texts_.reserve(parameters.size());  // so that no pointer into it moves
  for (const auto& parameter : parameters)
    std::visit(
        [this]<class T>(const T& value) {
          const std::string* text = nullptr;
          int format = 0;
          if constexpr (std::is_same_v<T, std::string>) {
            text = &value;
          } else if constexpr (std::is_same_v<T, sql_bytes>) {
            text = &value.bytes;
            format = 1;
          } else if constexpr (std::is_same_v<T, double>) {
            text = &texts_.emplace_back(text_of(value));
          } else if constexpr (std::is_same_v<T, bool>) {
            text = &texts_.emplace_back(value ? "true" : "false");
          } else if constexpr (std::is_same_v<T, std::int64_t>) {
            text = &texts_.emplace_back(std::to_string(value));
          }
          values_.push_back(text != nullptr ? text->c_str() : nullptr);
          lengths_.push_back(text != nullptr ? static_cast<int>(text->size()) : 0);
          formats_.push_back(format);
        },
        parameter.get());
}

auto rows_from(const PGresult* answer) -> std::vector<sql_row> {
  std::vector<sql_row> rows(static_cast<std::size_t>(PQntuples(answer)));
  const int columns = PQnfields(answer);
  int row = 0;
  for (auto& fields : rows) {
    fields.reserve(static_cast<std::size_t>(columns));
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(answer, row, column) != 0) {
        fields.emplace_back();
        continue;
      }
      const std::string_view text(PQgetvalue(answer, row, column),
                                  static_cast<std::size_t>(PQgetlength(answer, row, column)));
      fields.push_back(value_from(PQftype(answer, column), text));
    }
    ++row;
  }
  return rows;
}

auto unhex(std::string_view text) -> std::string {
  std::string bytes;
  if (!text.starts_with("\\x")) return bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 2; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
  return bytes;
}

auto json_from_jsonb(std::string_view text) -> std::string {
  auto compact = json_compact(text, json_limits::of_stored());
  return compact ? std::move(*compact) : std::string(text);
}

auto as_limit(std::size_t limit) -> std::int64_t {
  return static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max()));
}

auto as_bytea(std::string_view bytes) -> std::string { return "\\x" + hex(bytes); }

}  // namespace maestro::postgres
