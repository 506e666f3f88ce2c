#include <maestro/store/event_check.hpp>

#include <maestro/store/json.hpp>

#include <string>
#include <string_view>

namespace maestro {

namespace {

constexpr std::size_t max_name_characters = 256;

// A name is put in quotes and checked as JSON, so that there is one judge of what is UTF-8. Refuses control characters too.
auto check_name(std::string_view name) -> result<void> {
  std::size_t characters = 0;
  std::string quoted = "{\"";
  for (const char byte : name) {
    if ((static_cast<unsigned char>(byte) & 0xC0) != 0x80) ++characters;
    if (byte == '"' || byte == '\\') quoted.push_back('\\');
    quoted.push_back(byte);
  }
  quoted.append("\":0}");
  if (characters > max_name_characters)
    return error{errc::invalid_event, std::to_string(characters) + " characters, the limit is " +
                                          std::to_string(max_name_characters)};
  if (!json_check(quoted)) return error{errc::invalid_event, "not plain UTF-8 text"};
  return {};
}

auto describe(const event& event) -> std::string {
  return "event " + std::to_string(event.sequence) + " of aggregate " + event.aggregate_id.text();
}

auto check_event(const event& event, std::size_t max_bytes) -> result<void> {
  auto refuse = [&](std::string_view what, const error& why) {
    return error{errc::invalid_event, describe(event) + ": " + std::string(what) + ": " + why.message};
  };
  if (event.type.empty()) return error{errc::invalid_event, describe(event) + " has no type"};
  if (auto checked = check_name(event.type); !checked) return refuse("its type", checked.failure());
  if (auto checked = check_name(event.aggregate_type); !checked) return refuse("its aggregate type", checked.failure());
  if (auto checked = json_check(event.body, {.bytes = max_bytes}); !checked) return refuse("its body", checked.failure());
  if (event.metadata.empty()) return {};
  if (auto checked = json_check(event.metadata, {.bytes = max_bytes}); !checked)
    return refuse("its metadata", checked.failure());
  return {};
}

}  // namespace

auto check_unit(const commit_request& request, const commit_unit& unit, sequence_number first, const timestamp& above,
                std::size_t max_bytes) -> result<void> {
  if (unit.events.empty()) return error{errc::invalid_event, "a unit without events"};
  std::int64_t expected = first == 0 ? unit.events.front().sequence : first;
  timestamp last = above;
  for (const auto& event : unit.events) {
    if (event.aggregate_id != request.aggregate_id)
      return error{errc::invalid_event, describe(event) + " in a commit of aggregate " + request.aggregate_id.text()};
    if (event.aggregate_type != request.aggregate_type)
      return error{errc::invalid_event, describe(event) + " is of aggregate type '" + event.aggregate_type +
                                            "', the commit of '" + request.aggregate_type + "'"};
    if (event.sequence <= 0 || event.sequence != expected)
      return error{errc::invalid_event, describe(event) + ": sequence " + std::to_string(expected) + " must come here"};
    if (event.sequence == 1 && request.predecessor)
      return error{errc::invalid_event, describe(event) + ": there is none before it, yet a predecessor is named"};
    if (event.timestamp <= last)
      return error{errc::invalid_event, describe(event) + ": its timestamp is not above that of the event before it"};
    if (auto checked = check_event(event, max_bytes); !checked) return checked.failure();
    ++expected;
    last = event.timestamp;
  }
  return {};
}

auto check_snapshot(const snapshot& snapshot) -> result<void> {
  auto refuse = [&](const std::string& why) {
    return error{errc::invalid_argument, "snapshot of aggregate " + snapshot.aggregate_id.text() + ": " + why};
  };
  if (snapshot.sequence <= 0) return refuse("its sequence is " + std::to_string(snapshot.sequence));
  if (auto checked = check_name(snapshot.aggregate_type); !checked) return refuse(checked.failure().message);
  // A state may be larger than an event; what is too large for the database is refused there.
  if (auto checked = json_check(snapshot.body, {.bytes = snapshot.body.size()}); !checked)
    return refuse(checked.failure().message);
  return {};
}

}  // namespace maestro
