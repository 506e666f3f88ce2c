#include <maestro/store/projection.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

namespace maestro {

void check_projection_statement(std::string_view sql) {
  sql.remove_prefix(std::min(sql.find_first_not_of(" \t\r\n"), sql.size()));
  const auto end = std::find_if(sql.begin(), sql.end(), [](unsigned char c) { return std::isalpha(c) == 0; });
  std::string word(sql.begin(), end);
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::string_view, 7> allowed = {"select", "insert", "update", "delete", "merge", "with", "values"};
  if (std::find(allowed.begin(), allowed.end(), word) == allowed.end())
    throw std::runtime_error("a projection's statement begins with SELECT, INSERT, UPDATE, DELETE, MERGE, WITH or VALUES, not with \"" +
                             std::string(sql.substr(0, 20)) + "\"");
}

void check_parameters(std::span<const sql_value> parameters) {
  for (const auto& parameter : parameters) {
    const auto* text = std::get_if<std::string>(&parameter.get());
    if (text != nullptr && text->find('\0') != text->npos)
      throw std::runtime_error("a text parameter holds the character NUL, which cannot be stored");
    const auto* number = std::get_if<double>(&parameter.get());
    if (number != nullptr && std::isnan(*number))
      throw std::runtime_error("a parameter is not a number (NaN)");
  }
}

auto projection_fault(std::string_view projection, std::string_view aggregate_type, std::string_view statement, std::string_view why)
    -> error {
  constexpr std::size_t longest_statement = 300;
  std::string text = projection.empty() ? "a projection" : "projection \"" + std::string(projection) + "\"";
  text.append(" of aggregate type \"").append(aggregate_type).append("\" failed: ").append(why);
  if (!statement.empty()) {
    text.append(" (statement: ").append(statement.substr(0, longest_statement));
    text.append(statement.size() > longest_statement ? "...)" : ")");
  }
  text += "; nothing was stored: mend the projection, or, where its table is not there or another one than it was made as, fill it anew";
  if (!projection.empty()) text.append(" with `maestro rebuild ").append(projection).append("`");
  return {errc::program_failed, std::move(text)};
}

}  // namespace maestro
