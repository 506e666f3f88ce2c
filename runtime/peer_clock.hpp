// How far a node's clock is ahead of ours, by what the node says of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace maestro {

/// Translates times of our steady clock into a node's. A reading tells between which bounds the difference lies: the node made it after
/// we asked, and before we heard of it. Bounds of later readings narrow it down; one that contradicts them (a computer was asleep, the
/// clocks have drifted apart) begins anew. Used by one thread at a time.
class peer_clock {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `milliseconds` since the Unix epoch is what the node's clock said between `asked` and `heard`.
  void learn(std::uint64_t milliseconds, time_point asked, time_point heard) {
    const auto reading = static_cast<std::int64_t>(milliseconds);
    const auto lowest = reading - ceiling(heard);
    const auto highest = std::max(lowest, reading + 1 - floor(asked));
    const bool contradicts = !known_ || lowest > highest_ || highest < lowest_;
    lowest_ = contradicts ? lowest : std::max(lowest, lowest_);
    highest_ = contradicts ? highest : std::min(highest, highest_);
    known_ = true;
    heard_ = heard;
  }

  /// What the node's clock says at `when`, at the least: an expiry that is said so is never later than it is meant. Before the first
  /// reading it is useless.
  [[nodiscard]] auto at(time_point when) const -> std::int64_t { return floor(when) + lowest_; }

  /// When the newest reading was heard of.
  [[nodiscard]] auto heard() const -> time_point { return heard_; }

 private:
  static auto floor(time_point when) -> std::int64_t { return std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch()).count(); }
  static auto ceiling(time_point when) -> std::int64_t { return std::chrono::ceil<std::chrono::milliseconds>(when.time_since_epoch()).count(); }

  bool known_ = false;
  std::int64_t lowest_ = 0;   // The node's clock minus ours, in milliseconds.
  std::int64_t highest_ = 0;
  time_point heard_;
};

}  // namespace maestro
