// An event log in memory that fails on demand: what group_commit is tested against.
#pragma once

#include <maestro/store/group_commit.hpp>
#include <maestro/store/verdict.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace maestro::test {

/// What happens to one write.
enum class fault { none, unavailable, lost_before_commit, lost_after_commit, reasonless_conflict };

class fake_log : public batch_writer {
 public:
  // What the test sets.
  std::deque<fault> faults;                                          ///< One per write, from the front.
  fault always = fault::none;                                        ///< When `faults` is empty.
  std::function<bool(const write_unit&)> poison = [](auto&) { return false; };  ///< Fails in its projection.
  std::function<bool(const write_unit&)> locked = [](auto&) { return false; };  ///< Meets a lock.
  bool poison_comes_first = false;  ///< It is refused before the log is looked at, as by a trigger or a damaged page.
  bool names_culprit = true;
  bool can_be_read = true;
  std::function<void()> before_look = [] {};
  std::function<bool(const write_unit&)> damaged = [](auto&) { return false; };  ///< Cannot be looked up.
  bool cut_off = false;
  bool isolates = false;  ///< Commits what is good beside the poison.

  // What the test looks at.
  std::map<aggregate_id, std::vector<event>> events;
  std::vector<std::vector<aggregate_id>> attempts;  ///< The aggregates of each write's units.
  std::chrono::milliseconds waited{0};              ///< For locks, in all.
  std::size_t looks_in_vain = 0;                    ///< While it could not be read.

  auto write(std::span<const write_unit> units, std::chrono::milliseconds lock_wait) -> write_outcome override {
    auto& attempt = attempts.emplace_back();
    for (const auto& unit : units) attempt.push_back(unit.request->aggregate_id);
    const fault now = next_fault();
    if (now == fault::unavailable) return {write_status::unavailable, {errc::store_unavailable, "it is down"}, {}};
    if (now == fault::lost_before_commit) return {write_status::in_doubt, {errc::store_unavailable, "it is gone"}, {}};
    if (now == fault::reasonless_conflict) return {write_status::conflict, {}, {}};
    if (const auto at = std::find_if(units.begin(), units.end(), locked); at != units.end()) {
      waited += lock_wait;
      write_outcome outcome{write_status::contention, {errc::none, "a lock"}, {}};
      if (names_culprit) outcome.culprit = static_cast<std::size_t>(at - units.begin());
      return outcome;
    }

    if (poison_comes_first && std::any_of(units.begin(), units.end(), poison))
      return {write_status::failed, {errc::internal_error, "poison"}, {}};

    auto copy = events;
    std::vector<refusal> refused;
    const commit_request* cut = nullptr;
    for (std::size_t i = 0; i < units.size(); ++i) {
      if (units[i].request == cut) continue;
      if (isolates && poison(units[i])) {
        refused.push_back({i, {errc::projection_failed, "poison"}});
        cut = units[i].request;
      } else if (!append(copy, units[i])) {
        return {write_status::conflict, {}, {}};
      }
    }
    for (std::size_t i = 0; i < units.size() && !isolates; ++i) {
      if (!poison(units[i])) continue;
      write_outcome outcome{write_status::failed, {errc::projection_failed, "poison"}, {}};
      if (names_culprit) outcome.culprit = i;
      return outcome;
    }
    events = std::move(copy);
    if (now == fault::lost_after_commit) return {write_status::in_doubt, {errc::store_unavailable, "it is gone"}, {}};
    return {write_status::committed, {}, {}, std::move(refused)};
  }

  [[nodiscard]] auto is_cut_off() const noexcept -> bool override { return cut_off; }

  auto inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> override {
    before_look();
    if (!can_be_read) {
      ++looks_in_vain;
      return error{errc::store_unavailable, "it cannot be read"};
    }
    if (std::any_of(units.begin(), units.end(), damaged)) return error_from(verdict::damaged, "invalid page");
    std::vector<unit_status> statuses;
    for (const auto& unit : units) {
      unit_status& status = statuses.emplace_back();
      const auto& rows = events[unit.request->aggregate_id];
      auto is_stored = [&](const event& event) {
        const auto index = static_cast<std::size_t>(event.sequence - 1);
        return index < rows.size() && rows[index].timestamp == event.timestamp;
      };
      const auto& wanted = unit.unit->events;
      status.stored = std::all_of(wanted.begin(), wanted.end(), is_stored);
      status.timestamp_taken = std::any_of(wanted.begin(), wanted.end(), [&](const event& event) {
        return !is_stored(event) && taken(events, event.timestamp);
      });
      if (rows.empty()) continue;
      status.newest = rows.back().timestamp;
      status.newest_sequence = rows.back().sequence;
    }
    return statuses;
  }

 private:
  using log = std::map<aggregate_id, std::vector<event>>;

  auto next_fault() -> fault {
    if (faults.empty()) return always;
    const fault now = faults.front();
    faults.pop_front();
    return now;
  }

  static auto taken(const log& log, const timestamp& timestamp) -> bool {
    for (const auto& [id, rows] : log)
      for (const auto& row : rows)
        if (row.timestamp == timestamp) return true;
    return false;
  }

  static auto append(log& log, const write_unit& unit) -> bool {
    auto& rows = log[unit.request->aggregate_id];
    if ((rows.empty() ? timestamp{} : rows.back().timestamp) != unit.predecessor) return false;
    for (const auto& event : unit.unit->events) {
      if (event.sequence != static_cast<sequence_number>(rows.size()) + 1 || taken(log, event.timestamp)) return false;
      rows.push_back(event);
    }
    return true;
  }
};

}  // namespace maestro::test
