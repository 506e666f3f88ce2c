#include <maestro/store/clock.hpp>

#include <algorithm>
#include <ctime>
#include <random>

namespace maestro {

namespace {

template <class Id>
auto time_part(const Id& id) -> std::uint64_t {
  return id.milliseconds() << 16 | id.counter();
}

}  // namespace

auto random_node() -> std::uint64_t {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

hybrid_clock::hybrid_clock(std::chrono::milliseconds max_drift, std::chrono::milliseconds offset)
    : node_(random_node()), ahead_node_(random_node()), max_drift_(max_drift), offset_(offset) {}

auto system_milliseconds(std::chrono::milliseconds offset) -> std::uint64_t {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>((std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch) + offset).count());
}

namespace {

auto milliseconds_since_boot() -> std::int64_t {
  timespec now{};
  (void)::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

auto expiry_milliseconds(std::chrono::milliseconds offset) -> std::uint64_t {
  static const std::int64_t boot = static_cast<std::int64_t>(system_milliseconds(std::chrono::milliseconds(0))) - milliseconds_since_boot();
  return static_cast<std::uint64_t>(boot + milliseconds_since_boot() + offset.count());
}

auto hybrid_clock::expiry_milliseconds() const -> std::uint64_t { return maestro::expiry_milliseconds(offset_); }

auto hybrid_clock::physical_milliseconds() const -> std::uint64_t { return system_milliseconds(offset_); }

auto hybrid_clock::now() -> timestamp { return now_above(timestamp{}); }

auto hybrid_clock::now_above(const timestamp& floor) -> timestamp {
  const std::uint64_t physical = physical_milliseconds() << 16;
  const std::uint64_t above_floor = time_part(floor) + 1;
  // A floor beyond the drift limit is met from a line of readings of its own: the clock does not run away with it.
  const bool ahead = above_floor > physical + (static_cast<std::uint64_t>(max_drift_.count()) << 16);
  const std::uint64_t reading = advance(ahead ? ahead_ : latest_, std::max(physical, above_floor));
  return timestamp::make(reading >> 16, static_cast<std::uint16_t>(reading), ahead ? ahead_node_ : node_);
}

auto hybrid_clock::advance(std::atomic<std::uint64_t>& line, std::uint64_t lowest) -> std::uint64_t {
  std::uint64_t seen = line.load(std::memory_order_relaxed);
  std::uint64_t mine = 0;
  do {
    mine = std::max(lowest, seen + 1);
  } while (!line.compare_exchange_weak(seen, mine, std::memory_order_relaxed));
  return mine;
}

auto hybrid_clock::merge(const timestamp& foreign) -> bool {
  if (foreign.milliseconds() > physical_milliseconds() + static_cast<std::uint64_t>(max_drift_.count())) return false;
  const std::uint64_t reading = time_part(foreign);
  std::uint64_t seen = latest_.load(std::memory_order_relaxed);
  while (seen < reading && !latest_.compare_exchange_weak(seen, reading, std::memory_order_relaxed)) {
  }
  return true;
}

}  // namespace maestro
