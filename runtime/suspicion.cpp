#include <maestro/runtime/suspicion.hpp>

#include <utility>

namespace maestro {

void suspicion::read(const member_list& list, const incarnation_id& self, clock::time_point now) {
  // An observer that was away cannot tell who has stopped from who was away with it.
  if (now - last_read_ > time_ / 2) start_over();
  last_read_ = now;
  std::unordered_map<incarnation_id, watched> next;
  for (const auto& each : list.members) {
    if (each.status != member_status::alive || each.incarnation == self) continue;
    watched fresh{each, now};
    if (const auto before = watched_.find(each.incarnation);
        before != watched_.end() && before->second.member.heartbeat == each.heartbeat) {
      fresh.since = before->second.since;
      fresh.reads = before->second.reads + 1;
      fresh.refusals = before->second.refusals;
    }
    next.emplace(each.incarnation, std::move(fresh));
  }
  watched_ = std::move(next);
}

void suspicion::refused(const incarnation_id& member) {
  if (const auto found = watched_.find(member); found != watched_.end()) ++found->second.refusals;
}

auto suspicion::standing_still() const -> std::vector<member> {
  std::vector<member> still;
  for (const auto& [incarnation, each] : watched_)
    if (each.reads > 1) still.push_back(each.member);
  return still;
}

auto suspicion::suspects() const -> std::vector<member> {
  std::vector<member> suspected;
  for (const auto& [incarnation, each] : watched_) {
    const bool silent = each.reads > least_reads && last_read_ - each.since >= time_;
    if (silent || each.refusals >= least_refusals) suspected.push_back(each.member);
  }
  return suspected;
}

}  // namespace maestro
