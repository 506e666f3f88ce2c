#include "sample.hpp"

#include <algorithm>

namespace maestro::benchmark {

void sample::set_latencies(std::vector<std::uint32_t> microseconds) {
  if (microseconds.empty()) return;
  const auto at = [&](double share) {
    const auto index = std::min(static_cast<std::size_t>(static_cast<double>(microseconds.size()) * share), microseconds.size() - 1);
    const auto nth = microseconds.begin() + static_cast<std::ptrdiff_t>(index);
    std::nth_element(microseconds.begin(), nth, microseconds.end());
    return *nth / 1000.0;
  };
  p50 = at(0.5);
  p99 = at(0.99);
  p999 = at(0.999);
}

}  // namespace maestro::benchmark
