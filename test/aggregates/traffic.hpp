// Random traffic: two owners of the same counters and a stranger who appends to them, all at once, over a store that has bad
// days. The seed says what is sent; threads decide the rest.
#pragma once

#include "harness.hpp"
#include "serial_order.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

namespace test {

/// Takes notes of what is sent and answered. Any thread may call any member.
class recorder {
 public:
  /// Sends, and notes the answer when it comes. The aggregate has to be named in what is sent.
  void send(const caf::actor& to, recorded_command what, bool first_send);
  void send(const caf::actor& to, recorded_query what);
  /// Appends past all owners.
  void append(store& to, std::vector<event> events, const timestamp& predecessor);

  /// Waits until at most `many` of what `owner` was sent are unanswered.
  void wait(int owner, std::size_t many);
  /// Waits until `many` commands and queries were sent.
  void wait_for_sent(std::size_t many);

  /// When all is answered: the whole history, with the logs of `ids`.
  [[nodiscard]] auto history(store& from, const std::vector<aggregate_id>& ids) -> recorded_history;

 private:
  class noted_command;
  class noted_query;
  struct counted {
    std::atomic<std::size_t> unanswered{0};
  };
  [[nodiscard]] auto tick() -> moment { return ++now_; }

  std::atomic<moment> now_{0};
  std::atomic<std::size_t> sent_{0};
  std::map<int, counted> owners_;
  std::mutex mutex_;  // Of what follows, and of `owners_`; an element is its job's until it is answered.
  std::deque<recorded_command> commands_;
  std::deque<recorded_query> queries_;
  std::deque<recorded_append> appends_;
};

struct traffic_plan {
  std::uint64_t seed = 0;
  std::size_t commands = 300;  ///< Of each owner; queries come on top.
  bool bad_days = false;       ///< The store is unavailable now and then, or in doubt.
};

struct traffic_report {
  recorded_history history;
  std::size_t conflicts = 0;  ///< Units that came too late and were evaluated again.
  std::size_t bad_days = 0;
  std::size_t retired = 0;    ///< Actors that ended, and were followed by new ones.
};

[[nodiscard]] auto run_traffic(stage& on, const traffic_plan& plan) -> traffic_report;

}  // namespace test
