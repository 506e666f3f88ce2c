// The hybrid logical clock that stamps events and makes ids: physical milliseconds where time moves on, a counter where
// it does not, and never backwards.
#pragma once

#include <maestro/store/id.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace maestro {

/// A source of increasing, unique 16-byte readings. Any thread may call any member; readings made by one clock are
/// strictly increasing in the order the calls take effect. The node id is 64 random bits, chosen when the clock is made,
/// so that two processes (or one process before and after a restart) never make the same reading.
class hybrid_clock {
 public:
  /// `max_drift` bounds how far ahead of physical time `merge` follows a foreign reading. `offset` shifts physical time,
  /// for tests of skewed clocks.
  explicit hybrid_clock(std::chrono::milliseconds max_drift = std::chrono::minutes{5},
                        std::chrono::milliseconds offset = std::chrono::milliseconds{0});

  hybrid_clock(const hybrid_clock&) = delete;
  auto operator=(const hybrid_clock&) -> hybrid_clock& = delete;

  /// A new reading, above all earlier ones of this clock and all merged ones.
  [[nodiscard]] auto now() -> timestamp;

  /// A new reading that is also above `floor`, even where `merge` would refuse `floor` for its drift: an aggregate's
  /// timestamps increase whoever wrote its last event.
  [[nodiscard]] auto now_above(const timestamp& floor) -> timestamp;

  /// Follows a reading made elsewhere, so that later readings are above it. Returns false, and follows nothing, when it
  /// is more than `max_drift` ahead of physical time; the caller warns (stored rows) or refuses (clients and peers).
  auto merge(const timestamp& foreign) -> bool;

  /// A fresh id for an aggregate or a command: a reading under the id's own type.
  template <class Id>
  [[nodiscard]] auto fresh() -> Id {
    return Id{now().bytes};
  }

  /// Physical time in milliseconds since the Unix epoch, shifted by this clock's offset.
  [[nodiscard]] auto physical_milliseconds() const -> std::uint64_t;

  /// The time by which this process says when something expires, shifted by this clock's offset.
  [[nodiscard]] auto expiry_milliseconds() const -> std::uint64_t;

  [[nodiscard]] auto max_drift() const noexcept -> std::chrono::milliseconds { return max_drift_; }
  [[nodiscard]] auto node() const noexcept -> std::uint64_t { return node_; }

 private:
  static auto advance(std::atomic<std::uint64_t>& line, std::uint64_t lowest) -> std::uint64_t;

  // The newest reading's time part: milliseconds << 16 | counter. The counter's overflow carries into the milliseconds.
  std::atomic<std::uint64_t> latest_{0};
  // The same for readings above a floor that lies beyond the drift limit.
  std::atomic<std::uint64_t> ahead_{0};
  const std::uint64_t node_;
  const std::uint64_t ahead_node_;  // Its own, since time catches up with them.
  const std::chrono::milliseconds max_drift_;
  const std::chrono::milliseconds offset_;
};

/// Milliseconds since the Unix epoch by the system's clock, shifted by `offset`.
[[nodiscard]] auto system_milliseconds(std::chrono::milliseconds offset) -> std::uint64_t;

/// The time by which a process says and judges when something expires, shifted by `offset`: milliseconds since the Unix epoch as the
/// system's clock had them when the process first asked, and since then by a clock that is never set, and counts the time that the
/// machine sleeps. Any thread.
[[nodiscard]] auto expiry_milliseconds(std::chrono::milliseconds offset) -> std::uint64_t;

/// 64 random bits from the operating system.
[[nodiscard]] auto random_node() -> std::uint64_t;

}  // namespace maestro
