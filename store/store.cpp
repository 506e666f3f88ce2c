#include <maestro/store/store.hpp>

#include <maestro/store/page_sizer.hpp>
#include <maestro/store/postgres/database.hpp>
#include <maestro/store/redaction.hpp>
#include <maestro/store/sqlite/database.hpp>

#include <algorithm>
#include <cctype>
#include <utility>

namespace maestro {

namespace {

constexpr std::string_view hidden = "***";

auto lower(std::string text) -> std::string {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

auto percent_decoded(std::string_view text) -> std::string {
  auto is_digit = [&](std::size_t at) { return at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at])); };
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && is_digit(i + 1) && is_digit(i + 2)) {
      decoded.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

// What stands before the first ':', when that can be shown: letters and digits, so that no part of a password is.
auto scheme_of(std::string_view uri) -> std::string {
  const auto scheme = uri.substr(0, std::min(uri.find(':'), uri.size()));
  const bool plain = std::all_of(scheme.begin(), scheme.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
  return plain && scheme.size() < uri.size() ? std::string(scheme) : std::string();
}

auto names_a_secret(std::string_view key) -> bool {
  const std::string name = lower(percent_decoded(key));
  return name.find("password") != name.npos || name.find("secret") != name.npos || name.find("scram") != name.npos;
}

// Where the user part ends, as generously as can be: a password may hold an '@', '/' or '?' that should have been encoded.
auto user_part_end(std::string_view rest) -> std::size_t {
  const auto at = rest.find('@');
  if (at == rest.npos) return rest.npos;
  const auto query = rest.find('?', rest.find('/') < at ? 0 : at);
  const auto end = rest.rfind('@', query);
  if (end != rest.npos) return end;
  // Parameters have a '='; an '@' after a '?' without one is part of a password.
  return rest.substr(0, at).find('=') == rest.npos ? at : rest.npos;
}

}  // namespace

auto store::scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void> {
  page_sizer pages(range.limit);
  while (range.after < range.up_to) {
    range.limit = pages.next();
    auto page = get_events(id, range);
    if (!page) return page.failure();
    if (page->empty()) break;
    const bool is_last = page->size() < range.limit;
    pages.saw(*page);
    range.after = page->back().sequence;
    auto more = take(*page);
    if (!more) return more.failure();
    if (!*more || is_last) break;
  }
  return {};
}

auto store::commit_events(std::vector<event> events, const timestamp& predecessor) -> result<void> {
  if (events.empty()) return error{errc::invalid_event, "there are no events to commit"};
  commit_request request;
  request.aggregate_id = events.front().aggregate_id;
  request.aggregate_type = events.front().aggregate_type;
  request.predecessor = predecessor;
  request.units.push_back({std::move(events), nullptr, 0});
  const commit_request* const only = &request;
  auto outcomes = commit_all({&only, 1});
  if (outcomes.front().failure) return std::move(outcomes.front().failure);
  return {};
}

auto open_database(const std::string& uri, const store_settings& settings) -> result<std::shared_ptr<database>> {
  if (uri.starts_with("sqlite:")) return sqlite::open(uri, settings);
  if (uri.starts_with("postgresql://") || uri.starts_with("postgres://")) return postgres::open(uri, settings);
  const std::string scheme = scheme_of(uri);
  return error{errc::invalid_setting,
               (scheme.empty() ? "the store's address is no URI" : "\"" + scheme + ":\" is no kind of store") +
                   std::string("; use sqlite:FILE, sqlite::memory: or postgresql://USER@HOST/DATABASE")};
}

auto redact_uri(std::string_view uri) -> std::string {
  const auto separator = uri.find("://");
  if (separator == uri.npos) return redacted(uri);
  std::string redacted{uri.substr(0, separator + 3)};
  std::string_view rest = uri.substr(separator + 3);

  if (const auto end = user_part_end(rest); end != rest.npos) {
    const auto user = rest.substr(0, end);
    redacted.append(user.substr(0, user.find(':')));
    if (user.find(':') != user.npos) redacted.append(":").append(hidden);
    rest.remove_prefix(end);
  }
  // Where a password that lacks its '@' ends cannot be told.
  const std::size_t hosts = rest.starts_with('@') ? 1 : 0;
  if (const auto secret = false_port(rest.substr(hosts)); secret != rest.npos) return redacted.append(rest.substr(0, hosts + secret)).append(hidden);

  const auto query = std::min(rest.find('?'), rest.size());
  redacted.append(rest.substr(0, query));
  rest.remove_prefix(query);
  while (!rest.empty()) {
    const auto parameter = rest.substr(0, rest.find('&', 1));
    const auto equals = std::min(parameter.find('='), parameter.size());
    redacted.append(parameter.substr(0, equals));
    if (equals < parameter.size())
      redacted.append("=").append(names_a_secret(parameter.substr(1, equals - 1)) ? hidden : parameter.substr(equals + 1));
    rest.remove_prefix(parameter.size());
  }
  return redacted;
}

}  // namespace maestro
