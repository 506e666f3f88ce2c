// A client that keeps many commands outstanding over a few aggregates, and remembers what it was told of each.
#pragma once

#include <maestro/runtime/client.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <semaphore>
#include <string>

namespace maestro::test {

enum class verdict : std::uint8_t {
  in_doubt,  ///< Nobody said what became of it.
  accepted,
  refused,   ///< Rejected, or put off: either way nothing of it may be stored.
};

/// A command, and what its sender knows.
struct sent_command {
  std::string aggregate_type;
  maestro::aggregate_id aggregate_id;
  std::string name;
  std::string payload;
  maestro::command_id command_id;
  verdict known = verdict::in_doubt;
  sequence_number first = 0;
  sequence_number last = 0;
};

class load {
 public:
  static constexpr std::ptrdiff_t outstanding = 32;
  static constexpr std::size_t accounts = 20;
  static constexpr std::size_t batches = 4;

  /// Whether the client makes further attempts by itself.
  enum class attempts : std::uint8_t { one, many };

  explicit load(std::uint64_t seed, attempts each = attempts::one) : random_(seed), retry_(each == attempts::many) {}

  /// Sends to `node` until `answers` have come: first what is in doubt, under its old id, then ever new commands.
  void send(client& node, std::size_t answers);
  /// Waits until every command has its answer, which the client also gives when the node is gone. False if one has none.
  [[nodiscard]] auto settle() -> bool;

  /// Everything ever sent; to be read between `settle` and `send` only.
  [[nodiscard]] auto commands() const -> const std::deque<sent_command>& { return commands_; }
  [[nodiscard]] auto in_doubt() const -> std::size_t;
  /// How many answers have come so far; for any thread.
  [[nodiscard]] auto answered() const -> std::size_t { return answered_; }
  /// How many of them left their command in doubt.
  [[nodiscard]] auto doubts() const -> std::size_t { return doubts_; }
  /// How long it took to answer the command that took longest.
  [[nodiscard]] auto longest() const -> std::chrono::milliseconds { return std::chrono::milliseconds(longest_); }
  [[nodiscard]] auto pick(std::int64_t low, std::int64_t high) -> std::int64_t {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }

 private:
  auto make_command() -> sent_command;
  void send_one(client& node, sent_command& command, bool again);

  std::mt19937_64 random_;
  const bool retry_;
  std::deque<sent_command> commands_;
  std::counting_semaphore<outstanding> free_{outstanding};
  std::atomic<std::size_t> answered_{0};
  std::atomic<std::size_t> doubts_{0};
  std::atomic<std::int64_t> longest_{0};  // In milliseconds.
};

}  // namespace maestro::test
