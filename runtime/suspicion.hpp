// Who of a cluster's members seems to have stopped, judged from what one observer reads. Its own steady clock alone is asked: what
// the others' clocks show, and the database's, plays no part.
#pragma once

#include <maestro/store/members.hpp>

#include <chrono>
#include <unordered_map>
#include <vector>

namespace maestro {

/// A member is suspected when its heartbeat has stood still through at least `least_reads` reads in a row that span the suspicion
/// time, or through two of them while it refused connections. A failed read, or a pause of the observer, lets everything begin
/// anew: an outage of the database makes nobody suspect. For one thread.
class suspicion {
 public:
  using clock = std::chrono::steady_clock;

  explicit suspicion(std::chrono::milliseconds suspicion_time) : time_(suspicion_time) {}

  static constexpr int least_reads = 3;
  static constexpr int least_refusals = 2;

  /// A read that succeeded: those of `list` that are alive, except `self`, are watched.
  void read(const member_list& list, const incarnation_id& self, clock::time_point now);
  /// A read that failed.
  void start_over() { watched_.clear(); }
  /// `member` refused a connection after the newest read.
  void refused(const incarnation_id& member);

  /// Those whose heartbeat was the same in the two newest reads.
  [[nodiscard]] auto standing_still() const -> std::vector<member>;
  [[nodiscard]] auto suspects() const -> std::vector<member>;

 private:
  struct watched {
    maestro::member member;     ///< As in the newest read.
    clock::time_point since;    ///< Of the first read that showed this heartbeat.
    int reads = 1;              ///< How many have shown it.
    int refusals = 0;           ///< So often it has refused a connection meanwhile.
  };

  const std::chrono::milliseconds time_;
  clock::time_point last_read_;
  std::unordered_map<incarnation_id, watched> watched_;
};

}  // namespace maestro
