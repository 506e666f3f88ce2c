// A system clock that tests set, for this process or for another one: its programs link stepped_clock.cpp, which takes the place of the
// C library's clock_gettime. The steady clocks stay as they are.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace maestro::test {

/// By how many seconds the system's clock is shifted. Shared by the processes that have the same MAESTRO_TEST_CLOCK_FILE in their
/// environment; a process without has its own.
class stepped_clock {
 public:
  /// That of this process.
  static auto own() -> stepped_clock&;
  /// That of processes which are started with `file`, which is made.
  explicit stepped_clock(const std::string& file);
  stepped_clock(const stepped_clock&) = delete;
  auto operator=(const stepped_clock&) -> stepped_clock& = delete;

  /// What the processes share.
  struct shift {
    std::atomic<std::int64_t> ahead;
    std::atomic<std::int64_t> shown;
  };

  void set(std::chrono::seconds ahead) { shift_->ahead = ahead.count(); }
  /// The shift that was newest when one of the processes last asked for the time.
  [[nodiscard]] auto shown() const -> std::int64_t { return shift_->shown; }
  /// For the clock itself.
  [[nodiscard]] auto show() const -> std::int64_t { return shift_->shown = shift_->ahead.load(); }

 private:
  shift* shift_;
};

}  // namespace maestro::test
