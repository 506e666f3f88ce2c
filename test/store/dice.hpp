// The chance in random tests: what a seed makes of it is the same everywhere, unlike the standard distributions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace maestro::test {

class dice {
 public:
  explicit dice(std::uint64_t seed) : random_(seed) {}

  /// 0 ... `bound` - 1; `bound` must not be 0.
  [[nodiscard]] auto below(std::size_t bound) -> std::size_t { return static_cast<std::size_t>(random_() % bound); }
  /// `first` ... `last`.
  [[nodiscard]] auto between(std::size_t first, std::size_t last) -> std::size_t {
    return first + below(last - first + 1);
  }
  [[nodiscard]] auto one_in(std::size_t many) -> bool { return below(many) == 0; }
  /// An element of `all`, which must not be empty.
  template <class Range>
  [[nodiscard]] auto pick(Range& all) -> auto& {
    return all[below(all.size())];
  }

 private:
  std::mt19937_64 random_;
};

/// The seed that MAESTRO_TEST_SEED gives, to replay a run; a new one otherwise. Said as a message of the running test.
[[nodiscard]] auto test_seed() -> std::uint64_t;

}  // namespace maestro::test
