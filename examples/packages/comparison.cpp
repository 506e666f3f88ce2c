#include "comparison.hpp"

#include <algorithm>
#include <set>

namespace packages {

namespace {

auto is_present(const dpkg_record& record) -> bool {
  return record.status != "config-files" && record.status != "not-installed";
}

auto described(const dpkg_record* record) -> std::string {
  if (record == nullptr) return "not known";
  return record->version.empty() ? record->status : record->status + " " + record->version;
}

// Another architecture of the same package that the log upgraded and dpkg has now.
auto successor(const std::string& name, const dpkg_log& log, const std::map<std::string, dpkg_record>& database)
    -> std::string {
  const auto stem = name.substr(0, name.find(':') + 1);
  for (const auto& line : log.lines) {
    if (line.action != action::upgrade || line.name == name || !line.name.starts_with(stem)) continue;
    const auto other = database.find(line.name);
    if (other != database.end() && is_present(other->second)) return line.name;
  }
  return "";
}

auto explain(const std::string& name, const dpkg_record* said, const dpkg_log& log,
             const std::map<std::string, dpkg_record>& database) -> std::string {
  if (log.disappeared.contains(name)) return "it disappeared: other packages took over all of its files";
  if (said == nullptr) {
    if (auto other = successor(name, log, database); !other.empty()) return "its architecture changed: it is " + other + " now";
  }
  const auto last = log.last_status.find(name);
  if (last == log.last_status.end()) return "";
  // dpkg's own last word in the log is what its database says, so that its last action did not come through.
  const auto& record = last->second;
  const bool same = said == nullptr ? record.status == "not-installed"
                                    : record.status == said->status && record.version == said->version;
  return same ? "dpkg gave up its last attempt: the log ends with status " + described(&record) : "";
}

}  // namespace

auto compare(const std::string& name, const found& here, const dpkg_log& log,
             const std::map<std::string, dpkg_record>& database) -> std::vector<difference> {
  const auto at = database.find(name);
  const dpkg_record* said = at == database.end() ? nullptr : &at->second;
  const bool present = said != nullptr && is_present(*said);

  const auto& state = here.replayed;
  bool projection_agrees = false;
  bool state_agrees = false;
  if (present) {
    projection_agrees = here.projected == said->version;
    state_agrees = state.status == "installed" && state.version == said->version;
  } else {
    projection_agrees = !here.projected;
    state_agrees = state.status == "removed" || (state.status == "purged" && (said == nullptr || said->status == "not-installed"));
  }
  if (projection_agrees && state_agrees) return {};

  // The log can explain why the events differ from dpkg, never why the projection differs from the events.
  const bool consistent = here.projected == (state.status == "installed" ? std::optional(state.version) : std::nullopt);
  const auto why = consistent ? explain(name, said, log, database) : "";
  std::vector<difference> differences;
  if (!projection_agrees)
    differences.push_back({name + ": dpkg says " + described(said) + ", the projection " + here.projected.value_or("nothing"), why});
  if (!state_agrees)
    differences.push_back({name + ": dpkg says " + described(said) + ", its events " + state.status + " " + state.version, why});
  return differences;
}

auto known_from_the_start(const dpkg_log& log) -> std::vector<std::string> {
  std::set<std::string> seen;
  std::vector<std::string> known;
  for (const auto& line : log.lines)
    if (seen.insert(line.name).second && line.action == action::install) known.push_back(line.name);
  return known;
}

}  // namespace packages
