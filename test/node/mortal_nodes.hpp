// Nodes on one store that meet with accidents: killed and started again, or frozen for a while.
#pragma once

#include "node_process.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace maestro::test {

/// How many accidents a test has: as many as MAESTRO_TEST_ROUNDS says.
[[nodiscard]] auto test_rounds(std::uint64_t otherwise) -> std::uint64_t;

/// As many nodes as the store at `uri` takes: two, or one on an embedded store. Their addresses stay the same. For one thread.
class mortal_nodes {
 public:
  mortal_nodes(std::string uri, std::uint64_t seed, std::string program = MAESTRO_TEST_NODE);

  [[nodiscard]] auto addresses() const -> const std::vector<node_address>& { return addresses_; }
  [[nodiscard]] auto kills() const -> int { return kills_; }
  [[nodiscard]] auto freezes() const -> int { return freezes_; }

  /// Lets some time pass, and then kills one of them and starts it again, or freezes it for up to `longest_freeze`. One that the
  /// others have taken for dead meanwhile ends by itself, and is started again too.
  void harm_one();
  /// Ends all as SIGTERM does.
  void end();

  static constexpr std::chrono::milliseconds longest_peace{400};
  static constexpr std::chrono::milliseconds longest_freeze{4'000};

 private:
  [[nodiscard]] auto pick(std::int64_t low, std::int64_t high) -> std::int64_t {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  void start(std::size_t index);
  [[nodiscard]] auto was_taken_for_dead(std::size_t index, std::optional<int> status) -> bool;
  void start_again_who_was_taken_for_dead();

  const std::string uri_;
  const std::string program_;
  std::mt19937_64 random_;
  std::vector<node_address> addresses_;
  std::vector<std::unique_ptr<process>> nodes_;
  int kills_ = 0;
  int freezes_ = 0;
};

}  // namespace maestro::test
