#include <maestro/aggregates/metadata.hpp>

#include <maestro/store/id.hpp>
#include <maestro/store/json.hpp>

#include <nlohmann/json.hpp>

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
