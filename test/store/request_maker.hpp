// Commit requests for tests.
#pragma once

#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <cstddef>
#include <vector>

namespace maestro::test {

/// Makes commit requests of a number of units of a number of events, with timestamps from one clock.
class request_maker {
 public:
  [[nodiscard]] auto next_event(const aggregate_id& id, sequence_number sequence) -> event {
    event made;
    made.timestamp = clock_.now();
    made.aggregate_id = id;
    made.sequence = sequence;
    made.aggregate_type = "account";
    made.type = "deposited";
    made.body = "{}";
    return made;
  }

  /// `units` units of `size` events each for `id`, after an event with `predecessor` at `after`.
  [[nodiscard]] auto request(const aggregate_id& id, std::size_t units = 1, std::size_t size = 1,
                             sequence_number after = 0, const timestamp& predecessor = {}) -> commit_request {
    commit_request made{id, "account", predecessor, {}, false};
    for (std::size_t unit = 0; unit < units; ++unit) {
      auto& events = made.units.emplace_back().events;
      for (std::size_t i = 0; i < size; ++i) events.push_back(next_event(id, ++after));
    }
    return made;
  }

  [[nodiscard]] auto fresh_id() -> aggregate_id { return clock_.fresh<aggregate_id>(); }
  /// A request for a fresh aggregate.
  [[nodiscard]] auto request(std::size_t units = 1, std::size_t size = 1) -> commit_request {
    return request(fresh_id(), units, size);
  }
  [[nodiscard]] auto requests(std::size_t count) -> std::vector<commit_request> {
    std::vector<commit_request> made;
    for (std::size_t i = 0; i < count; ++i) made.push_back(request());
    return made;
  }

 private:
  hybrid_clock clock_;
};

}  // namespace maestro::test
