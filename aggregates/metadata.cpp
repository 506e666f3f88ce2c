#include <maestro/aggregates/metadata.hpp>
#include <maestro/store/id.hpp>
#include <maestro/store/json.hpp>
#include <maestro/store/utf8.hpp>

#include <nlohmann/json.hpp>

#include <utility>

namespace maestro {

auto check_metadata(std::string_view metadata) -> result<std::string> {
  if (metadata.empty()) return std::string();
  auto compact = json_compact(metadata);
  if (!compact) return error{errc::malformed_payload, "metadata: " + compact.failure().message};
  const auto document = nlohmann::json::parse(*compact, nullptr, false);
  for (const auto& member : document.items())
    if (member.key().starts_with('$'))
      return error{errc::malformed_payload,
                   "metadata: the member \"" + member.key() + "\" begins with $, such names are the runtime's"};
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
  auto document = nlohmann::json::parse(metadata, nullptr, false);
  if (!document.is_object()) return said;
  const auto id = [&](const char* name) {
    const auto found = document.find(name);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  said.correlation_id = id("$correlation_id");
  said.causation_id = id("$causation_id");
  auto callers = nlohmann::json::object();
  for (const auto& [name, value] : document.items())
    if (!name.starts_with('$')) callers[name] = value;
  if (!callers.empty()) said.callers = callers.dump();
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
  const auto document = nlohmann::json::parse(metadata, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  const auto member = document.find("$fingerprint");
  if (member == document.end() || !member->is_string()) return std::nullopt;
  const auto id = command_id::parse(member->get_ref<const std::string&>());
  if (!id) return std::nullopt;
  return id->bytes;
}

}  // namespace maestro
