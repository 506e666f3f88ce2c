#include <maestro/store/redaction.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <system_error>

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

// Hides what stands for a port and is none: without a '@' that is a password. Where a password ends cannot be told: it may hold any character.
auto without_false_port(std::string text) -> std::string {
  const auto scheme = text.find("://");
  if (scheme == text.npos) return text;
  const auto user_end = text.rfind('@');
  const auto start = user_end != text.npos && user_end > scheme ? user_end + 1 : scheme + 3;
  if (const auto secret = false_port(std::string_view(text).substr(start)); secret != text.npos)
    text.replace(start + secret, text.npos, hidden);
  return text;
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

auto is_port(std::string_view text) -> bool {
  unsigned port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  return problem == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65'535;
}

auto false_port(std::string_view hosts) -> std::size_t {
  std::size_t at = 0;
  while (true) {
    if (at < hosts.size() && hosts[at] == '[') at = std::min(hosts.find(']', at), hosts.size());
    at = hosts.find_first_of(":,/?", at);
    if (at == hosts.npos || hosts[at] == '/' || hosts[at] == '?') return hosts.npos;
    if (hosts[at++] == ',') continue;
    const auto end = std::min(hosts.find_first_of(",/?", at), hosts.size());
    if (const auto port = hosts.substr(at, end - at); !port.empty() && !is_port(port)) return at;
    at = end;
  }
}

auto redacted_in(std::string message, std::string_view argument) -> std::string {
  const auto shown = redacted(argument);
  if (shown == argument) return message;
  for (auto at = message.find(argument); at != message.npos; at = message.find(argument, at + shown.size()))
    message.replace(at, argument.size(), shown);
  return message;
}

auto redacted(std::string_view text) -> std::string {
  auto shown = without_false_port(without_user_part(text));
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
