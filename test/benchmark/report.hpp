// What came of the workloads: as a table for people and as JSON for programs.
#pragma once

#include "sample.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace maestro::benchmark {

/// The rounds of one contestant, and their medians.
struct contestant_result {
  std::string name;
  std::vector<sample> rounds;
  sample median;
};

/// A ratio of ours to another contestant's: of the rounds that took turns, the median, least and most.
struct ratio {
  double median = 0;
  double least = 0;
  double most = 0;
};

struct workload_result {
  workload what;
  std::vector<contestant_result> contestants;

  [[nodiscard]] auto ratio_to(std::size_t contestant) const -> ratio;
  /// True where there is no goal.
  [[nodiscard]] auto is_met() const -> bool;
};

[[nodiscard]] auto median_of(const std::vector<sample>& rounds) -> sample;

/// A line for each contestant of `result`.
[[nodiscard]] auto as_text(const workload_result& result) -> std::string;
[[nodiscard]] auto as_json(const workload_result& result) -> nlohmann::json;

}  // namespace maestro::benchmark
