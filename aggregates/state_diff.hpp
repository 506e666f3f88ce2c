// What changed in an aggregate's state between two points in its history.
#pragma once

#include <maestro/aggregates/hydrate.hpp>
#include <maestro/store/page_sizer.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace maestro {

struct diff_limits {
  std::size_t page_events = 1000;  ///< Events read at a time.
  std::size_t max_events = 10'000;  ///< A diff follows at most this many events.
  std::size_t max_bytes = 16 * 1024 * 1024;  ///< What a diff tells has at most about this many bytes.
};

/// Follows `id` from the state at `from` to the one at `to`, and returns one JSON object:
/// `{"from":{"sequence":3},"to":{"sequence":5},"changes":[...],"events":[{"sequence":4,"timestamp":...,"type":...,"changes":[...]},...]}`.
/// A change is `{"path":"/balance","from":100,"to":70}`, the path a JSON pointer; without `from` the member is new, without `to`
/// it is gone. In parts, as `hydration`. How many events lie between the points is looked up before anything is hydrated.
class state_diff_walk {
 public:
  /// `type` outlives the walk.
  state_diff_walk(const definition& type, const aggregate_id& id, const moment& from, const moment& to, const diff_limits& limits);
  ~state_diff_walk();
  state_diff_walk(const state_diff_walk&) = delete;
  auto operator=(const state_diff_walk&) -> state_diff_walk& = delete;

  /// Works on until the end, or until `more` says no, which is asked after each event. True at the end: then `text()` is the answer.
  /// Errors: `invalid_argument` (`to` lies before `from`, or one of the limits), and as `hydrate`; nothing may be called after one.
  [[nodiscard]] auto work(store& with, const go_on& more) -> result<bool>;
  /// Errors: `invalid_argument` (it takes more than the limit).
  [[nodiscard]] auto text() const -> result<std::string>;

 private:
  struct documents;

  [[nodiscard]] auto measure(store& with) -> result<void>;
  [[nodiscard]] auto sequence_of(store& with, const moment& point, sequence_number newest) const -> result<sequence_number>;
  [[nodiscard]] auto show_first() -> result<void>;
  [[nodiscard]] auto follow(const event& row) -> result<void>;
  [[nodiscard]] auto show_next(const event& row) -> result<std::string>;
  [[nodiscard]] auto room() const -> std::size_t;  ///< So many bytes may still be told.
  [[nodiscard]] auto too_much() const -> error;

  const definition& type_;
  const aggregate_id id_;
  const moment from_;
  const moment to_;
  const diff_limits limits_;
  bool is_measured_ = false;
  sequence_number first_ = 0;  ///< The sequences of the two points.
  sequence_number last_ = 0;
  std::optional<hydration> hydration_;
  hydrated at_;                     ///< Without a state: `hydration_` is not at the first point yet.
  std::string shown_;               ///< The state at `at_`, as text.
  std::unique_ptr<documents> documents_;  ///< The states at the first point and at `at_`.
  page_sizer pages_;
  std::vector<event> page_;
  std::size_t next_ = 0;  ///< Of `page_`.
  std::string events_;    ///< What is told of each event, as JSON texts with commas.
};

/// A whole walk at once.
[[nodiscard]] auto state_diff(store& with, const definition& type, const aggregate_id& id, const moment& from, const moment& to,
                              const diff_limits& limits = {}) -> result<std::string>;

}  // namespace maestro
