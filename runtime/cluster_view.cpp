#include <maestro/runtime/cluster_view.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace maestro {

namespace {

const served_ptr serves_nothing = std::make_shared<const served>();

// The members in `of` that no other one there dominates, all of which serve `type`.
auto undominated(const cluster_view& view, std::string_view type, const std::vector<std::size_t>& of)
    -> std::vector<std::size_t> {
  std::vector<std::size_t> left;
  for (const auto each : of) {
    const auto& own = *view.alive_serve[each]->find(type);
    if (std::none_of(of.begin(), of.end(),
                     [&](std::size_t other) { return dominates(*view.alive_serve[other]->find(type), own); }))
      left.push_back(each);
  }
  return left;
}

auto those_who_serve(const cluster_view& view, std::string_view type) -> std::vector<std::size_t> {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < view.alive.size(); ++i)
    if (view.alive_serve[i]->find(type) != nullptr) all.push_back(i);
  return all;
}

auto placement_over(const cluster_view& view, std::vector<std::size_t> members) -> type_placement {
  std::vector<std::string> names;
  for (const auto each : members) names.push_back(view.alive[each].name);
  return {std::move(members), placement(std::move(names))};
}

// Of which types not all serve the same.
auto mixed_types(const std::vector<served_ptr>& all) -> std::set<std::string> {
  std::set<const served*> different;
  for (const auto& each : all) different.insert(each.get());
  std::set<std::string> mixed;
  if (different.size() < 2) return mixed;
  const served& first = **different.begin();
  for (const auto* each : different)
    for (const auto& [type, names] : each->types()) {
      const auto* there = first.find(type);
      if (there == nullptr || *there != names) mixed.insert(type);
    }
  for (const auto& [type, names] : first.types())
    if (std::any_of(different.begin(), different.end(),
                    [&wanted = type](const served* each) { return each->find(wanted) == nullptr; }))
      mixed.insert(type);
  return mixed;
}

}  // namespace

auto service_need::is_met_by(const served& by) const -> bool {
  const auto* names = by.find(type);
  return names != nullptr && (command.empty() || holds(names->commands, command)) &&
         (call.empty() || holds(names->calls, call));
}

cluster_view::cluster_view(member_list read, const incarnation_id& own, const known_served& known,
                           const served_ptr& serves, clock::time_point began)
    : list(std::move(read)), self(own), read_at(began) {
  std::vector<std::string> names;
  for (const auto& each : list.members) {
    const auto found = known.find(each.serves);
    served_by.push_back(each.incarnation == self && serves ? serves
                        : found == known.end()             ? serves_nothing
                                                           : found->second);
    if (each.status != member_status::alive || (!each.is_connected && each.incarnation != self)) continue;
    alive.push_back(each);
    alive_serve.push_back(served_by.back());
    names.push_back(each.name);
  }
  owners = placement(std::move(names));
  for (const auto& type : mixed_types(alive_serve))
    placements.emplace(type, placement_over(*this, undominated(*this, type, those_who_serve(*this, type))));
}

auto cluster_view::placement_of(std::string_view type) const -> const type_placement* {
  const auto found = placements.find(type);
  return found == placements.end() ? nullptr : &found->second;
}

auto cluster_view::able(const service_need& need, const std::function<bool(std::size_t)>& admits) const
    -> std::vector<std::size_t> {
  const auto fit = [&](const std::vector<std::size_t>& from) {
    std::vector<std::size_t> found;
    for (const auto each : from)
      if (need.is_met_by(*alive_serve[each]) && (!admits || admits(each))) found.push_back(each);
    return found;
  };
  if (const auto* placed = placement_of(need.type))
    if (auto found = fit(placed->members); !found.empty()) return found;
  return undominated(*this, need.type, fit(those_who_serve(*this, need.type)));
}

auto cluster_view::places_as(const cluster_view& other) const -> bool {
  return std::equal(alive.begin(), alive.end(), other.alive.begin(), other.alive.end(),
                    [](const member& left, const member& right) { return left.incarnation == right.incarnation; }) &&
         alive_serve == other.alive_serve;
}

}  // namespace maestro
