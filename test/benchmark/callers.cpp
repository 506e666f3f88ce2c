#include "callers.hpp"

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

namespace maestro::benchmark {

namespace {

using steady = std::chrono::steady_clock;

// One round: lives until the last caller is done.
class loop {
 public:
  loop(std::size_t callers, std::size_t total, const next_request& ask)
      : ask_(ask), left_(total), latencies_(callers), busy_(static_cast<std::ptrdiff_t>(callers)) {}

  void start() {
    for (std::size_t caller = 0; caller < latencies_.size(); ++caller) call(caller);
  }
  void stop() { over_ = true; }
  void wait() { busy_.wait(); }
  [[nodiscard]] auto failed() const -> bool { return failed_; }

  // The answers so far: exact once everybody is done, otherwise a moment old.
  [[nodiscard]] auto count() const -> std::size_t { return count_; }

  auto latencies() -> std::vector<std::uint32_t> {
    std::vector<std::uint32_t> all;
    for (const auto& each : latencies_) all.insert(all.end(), each.begin(), each.end());
    return all;
  }

 private:
  void call(std::size_t caller) {
    if (over_ || failed_ || !take_one()) return busy_.count_down();
    const auto asked = steady::now();
    ask_(caller, [this, caller, asked](bool good) {
      const auto took = std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - asked).count();
      if (!good) failed_ = true;
      if (!over_) {
        ++count_;
        latencies_[caller].push_back(static_cast<std::uint32_t>(took));
      }
      call(caller);
    });
  }

  auto take_one() -> bool {
    auto left = left_.load();
    while (left > 0)
      if (left_.compare_exchange_weak(left, left - 1)) return true;
    return false;
  }

  const next_request& ask_;
  std::atomic<std::size_t> left_;
  std::vector<std::vector<std::uint32_t>> latencies_;
  std::latch busy_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> over_{false};
  std::atomic<bool> failed_{false};
};

auto outcome(loop& calls, std::size_t count, steady::duration took) -> sample {
  if (calls.failed()) throw std::runtime_error("a request was not answered as expected");
  sample taken;
  taken.value = static_cast<double>(count) / std::chrono::duration<double>(took).count();
  taken.set_latencies(calls.latencies());
  return taken;
}

}  // namespace

auto let_call(std::size_t callers, std::chrono::milliseconds length, const next_request& ask) -> sample {
  loop calls(callers, SIZE_MAX, ask);
  const auto began = steady::now();
  calls.start();
  std::this_thread::sleep_until(began + length);
  const auto count = calls.count();
  const auto took = steady::now() - began;
  calls.stop();
  calls.wait();
  return outcome(calls, count, took);
}

auto let_call_times(std::size_t callers, std::size_t total, const next_request& ask) -> sample {
  loop calls(callers, total, ask);
  const auto began = steady::now();
  calls.start();
  calls.wait();
  return outcome(calls, total, steady::now() - began);
}

}  // namespace maestro::benchmark
