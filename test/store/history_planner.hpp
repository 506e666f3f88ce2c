// What happens in a history: requests by clients whose knowledge may be stale, most of them fit to be committed, and
// some of every kind that is not.
#pragma once

#include "dice.hpp"
#include "history_model.hpp"

#include <maestro/store/store.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace maestro::test {

/// One of those who write: its connections, and what it believes.
struct history_client {
  explicit history_client(database& opened) : writer(opened.open_writer()), reader(opened.open_reader()) {}

  std::unique_ptr<store> writer;
  std::unique_ptr<store> reader;
  std::map<aggregate_id, aggregate_head> known;               ///< The newest events that it has heard of.
  std::map<aggregate_id, std::vector<planned_request>> sent;  ///< Some of what it has submitted, with whatever success.
  std::map<aggregate_id, event> lost;                         ///< The last event of a unit that failed.
};

/// Requests to be committed together.
struct planned_batch {
  std::vector<planned_request> requests;  ///< By aggregate id; one per aggregate.
  bool has_rivals = false;                ///< Two requests want something that only one can have: the order decides.
};

class history_planner {
 public:
  /// `model` is what was committed so far; it must outlive the planner. `partitioned`: no timestamp is given to two aggregates.
  history_planner(dice& chance, const history_model& model, bool partitioned);

  [[nodiscard]] auto batch(const history_client& who) -> planned_batch;
  [[nodiscard]] auto snapshot() -> maestro::snapshot;
  [[nodiscard]] auto aggregate_ids() const -> const std::vector<aggregate_id>& { return ids_; }

 private:
  using plan = planned_request (history_planner::*)(const history_client&, const aggregate_id&);
  struct weighted_plan {
    std::size_t weight;
    plan make;
  };
  static const std::vector<weighted_plan> plans;

  // Requests that can be committed, if nobody was faster.
  auto fitting(const history_client& who, const aggregate_id& id) -> planned_request;
  // Requests that the log refuses (unless it has moved to where they happen to fit).
  auto gap(const history_client& who, const aggregate_id& id) -> planned_request;
  auto wrong_predecessor(const history_client& who, const aggregate_id& id) -> planned_request;
  auto successor_of_lost(const history_client& who, const aggregate_id& id) -> planned_request;
  auto duplicate_timestamp(const history_client& who, const aggregate_id& id) -> planned_request;
  // Requests that are old, or come too late.
  auto resubmission(const history_client& who, const aggregate_id& id) -> planned_request;
  auto expired(const history_client& who, const aggregate_id& id) -> planned_request;
  // Requests that no store may take.
  auto poison(const history_client& who, const aggregate_id& id) -> planned_request;
  auto stray_event(const history_client& who, const aggregate_id& id) -> planned_request;
  auto broken_sequence(const history_client& who, const aggregate_id& id) -> planned_request;
  auto timestamps_going_back(const history_client& who, const aggregate_id& id) -> planned_request;
  auto empty_unit(const history_client& who, const aggregate_id& id) -> planned_request;

  auto request(const history_client& who, const aggregate_id& id) -> planned_request;
  auto request_after(const aggregate_head& head) -> planned_request;
  auto unit_after(aggregate_head& head) -> commit_unit;
  auto event_after(aggregate_head& head) -> event;
  auto event_type() -> std::string;
  auto stored_timestamp() -> timestamp;
  auto stored_timestamp(const aggregate_id& of) -> timestamp;
  auto fresh_timestamp() -> timestamp;
  static auto aggregate_type(const aggregate_id& id) -> std::string {
    return id.bytes[0] % 4 == 0 ? "till" : "account";
  }
  auto make_rivals(planned_batch& batch) -> bool;

  dice& chance_;
  const history_model& model_;
  const bool partitioned_;
  std::vector<aggregate_id> ids_;
  std::uint64_t milliseconds_ = 1'700'000'000'000;
  std::uint64_t names_ = 0;
};

}  // namespace maestro::test
