#include <maestro/store/redaction.hpp>

#include <algorithm>
#include <cctype>
#include <initializer_list>

namespace maestro {

namespace {

constexpr std::string_view hidden = "***";

// Hides the user part of whatever looks like an address. A password may hold any character, so the last '@' ends it.
auto without_user_part(std::string_view text) -> std::string {
  const auto last = text.rfind('@');
  if (last == text.npos) return std::string(text);
  const auto scheme = text.find("://");
  const auto start = scheme == text.npos || scheme > last ? 0 : scheme + 3;
  const auto colon = text.find(':', start);
  if (colon == text.npos || colon > last) return std::string(text);
  return std::string(text.substr(0, colon + 1)).append(hidden).append(text.substr(last));
}

auto is_blank(char c) -> bool { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Where the value that begins at `at` ends.
auto value_end(std::string_view text, std::size_t at) -> std::size_t {
  if (at < text.size() && text[at] == '\'') {
    for (++at; at < text.size() && text[at] != '\''; ++at)
      if (text[at] == '\\') ++at;
    return std::min(at + 1, text.size());
  }
  while (at < text.size() && !is_blank(text[at]) && text[at] != '&') at += text[at] == '\\' ? 2 : 1;
  return std::min(at, text.size());
}

}  // namespace

auto redacted(std::string_view text) -> std::string {
  auto shown = without_user_part(text);
  for (const std::string_view word : {"password", "passwd", "secret"}) {
    std::size_t at = 0;
    while (true) {
      const auto found = std::search(shown.begin() + static_cast<std::ptrdiff_t>(at), shown.end(), word.begin(), word.end(), [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
      });
      if (found == shown.end()) break;
      at = static_cast<std::size_t>(found - shown.begin()) + word.size();
      auto value = at;
      while (value < shown.size() && is_blank(shown[value])) ++value;
      if (value >= shown.size() || shown[value] != '=') continue;
      ++value;
      while (value < shown.size() && is_blank(shown[value])) ++value;
      shown.replace(value, value_end(shown, value) - value, hidden);
      at = value + hidden.size();
    }
  }
  return shown;
}

}  // namespace maestro
