#include <maestro/aggregates/metadata.hpp>
#include <maestro/store/id.hpp>
#include <maestro/store/json.hpp>
#include <maestro/store/utf8.hpp>

#include <nlohmann/json.hpp>

#include <limits>
#include <utility>

namespace maestro {

namespace {

// Whatever a stranger stored: nothing here goes down into it.
constexpr json_limits of_stored_metadata{std::numeric_limits<std::size_t>::max(),
                                         std::numeric_limits<std::size_t>::max(), false, false};

// The text that a JSON string denotes; empty for any other value.
auto text_of(std::string_view value) -> std::string {
  if (!value.starts_with('"')) return {};
  const auto text = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
  return text.is_string() ? text.get<std::string>() : std::string();
}

}  // namespace

auto check_metadata(std::string_view metadata) -> result<std::string> {
  if (metadata.empty()) return std::string();
  auto compact = json_compact(metadata);
  if (!compact) return error{errc::malformed_payload, "metadata: " + compact.failure().message};
  for (const auto& member : json_members(*compact))
    if (member.name.starts_with('$'))
      return error{errc::malformed_payload,
                   "metadata: the member " + json_quote(member.name) + " begins with $, such names are the runtime's"};
  if (*compact == "{}") return std::string();
  return compact;
}

auto check_ids(std::string_view correlation_id, std::string_view causation_id) -> result<void> {
  for (const auto& [name, id] : {std::pair{"correlation", correlation_id}, std::pair{"causation", causation_id}}) {
    if (id.size() > max_id_bytes)
      return error{errc::malformed_payload, "the " + std::string(name) + " id has " + std::to_string(id.size()) +
                                                " bytes, at most " + std::to_string(max_id_bytes) + " are kept"};
    if (!is_utf8(id))
      return error{errc::malformed_payload,
                   "the " + std::string(name) + " id is no UTF-8, and could not be kept as it is"};
  }
  return {};
}

auto metadata_with_ids(std::string_view callers, std::string_view correlation_id, std::string_view causation_id)
    -> result<std::string> {
  if (auto checked = check_ids(correlation_id, causation_id); !checked) return checked.failure();
  std::string members;
  for (const auto& [name, id] : {std::pair{"correlation", correlation_id}, std::pair{"causation", causation_id}})
    if (!id.empty()) members += std::string(members.empty() ? "" : ",") + "\"$" + name + "_id\":" + json_quote(id);
  if (members.empty()) return std::string(callers);
  auto whole = json_compact("{" + members + (callers.empty() ? "}" : "," + std::string(callers.substr(1))));
  if (!whole) return error{errc::malformed_payload, "the correlation or causation id: " + whole.failure().message};
  return whole;
}

auto read_metadata(std::string_view metadata) -> event_metadata {
  event_metadata said;
  if (!json_check(metadata, of_stored_metadata)) return said;
  for (const auto& [name, value] : json_members(metadata)) {
    if (name == "$correlation_id")
      said.correlation_id = text_of(value);
    else if (name == "$causation_id")
      said.causation_id = text_of(value);
    if (name.starts_with('$')) continue;
    said.callers += (said.callers.empty() ? "{" : ",") + json_quote(name) + ":";
    said.callers += value;
  }
  if (!said.callers.empty()) said.callers += '}';
  return said;
}

auto first_event_metadata(std::string_view callers, std::size_t events, const fingerprint& print) -> std::string {
  std::string text = "{\"$events\":" + std::to_string(events) + ",\"$fingerprint\":\"";
  text += hex({reinterpret_cast<const char*>(print.data()), print.size()});
  text += '"';
  if (callers.empty()) return text += '}';
  text += ',';
  return text += callers.substr(1);
}

auto read_fingerprint(std::string_view metadata) -> std::optional<fingerprint> {
  if (!json_check(metadata, of_stored_metadata)) return std::nullopt;
  std::string print;
  for (const auto& [name, value] : json_members(metadata))
    if (name == "$fingerprint") print = text_of(value);
  const auto id = command_id::parse(print);
  if (!id) return std::nullopt;
  return id->bytes;
}

}  // namespace maestro
