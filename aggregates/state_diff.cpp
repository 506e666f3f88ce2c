#include <maestro/aggregates/state_diff.hpp>

#include <nlohmann/json.hpp>

#include <utility>

namespace maestro {

namespace {

using json = nlohmann::ordered_json;

// The state as a document.
auto shown(const definition& type, const hydrated& at) -> result<json> {
  auto text = type.encode_state(at.state);
  if (!text) return text.failure();
  return json::parse(*text);
}

auto changes(const json& before, const json& after) -> json {
  auto list = json::array();
  for (const auto& step : json::diff(before, after)) {
    const json::json_pointer path(step.at("path").get<std::string>());
    json change{{"path", path.to_string()}};
    if (before.contains(path)) change["from"] = before.at(path);
    if (step.at("op") != "remove") change["to"] = step.at("value");
    list.push_back(std::move(change));
  }
  return list;
}

}  // namespace

auto state_diff(store& with, const definition& type, const aggregate_id& id, const moment& from, const moment& to,
                std::size_t page_events) -> result<std::string> {
  auto at = hydrate(with, type, id, from, page_events);
  if (!at) return at.failure();
  const auto end = hydrate(with, type, id, to, page_events);
  if (!end) return end.failure();
  if (end->sequence < at->sequence)
    return error{errc::invalid_argument, "sequence " + std::to_string(end->sequence) + " lies before sequence " +
                                             std::to_string(at->sequence) + "; name the earlier point first"};
  if (end->sequence - at->sequence > max_diff_events)
    return error{errc::invalid_argument, std::to_string(end->sequence - at->sequence) + " events lie between the two points, at most " +
                                             std::to_string(max_diff_events) + " are followed; choose points that are nearer"};
  const auto first = shown(type, *at);
  if (!first) return first.failure();
  json last = *first;
  json whole{{"from", {{"sequence", at->sequence}}}, {"to", {{"sequence", end->sequence}}}};
  auto events = json::array();
  while (at->sequence < end->sequence) {
    auto page = with.get_events(id, {at->sequence, end->sequence, page_events});
    if (!page) return page.failure();
    if (page->empty()) break;
    for (const auto& row : *page) {
      if (auto entered = enter(*at, type, row); !entered) return entered.failure();
      auto next = shown(type, *at);
      if (!next) return next.failure();
      json step{{"sequence", row.sequence}, {"timestamp", row.timestamp.text()}, {"type", row.type}};
      if (row.command_id) step["command_id"] = row.command_id->text();
      step["changes"] = changes(last, *next);
      events.push_back(std::move(step));
      last = std::move(*next);
    }
  }
  whole["changes"] = changes(*first, last);
  whole["events"] = std::move(events);
  return whole.dump();
}

}  // namespace maestro
