#include <maestro/runtime/peer_clock.hpp>
#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

constexpr peer_clock::time_point start{1h};
// What a node's clock says at `when` that is `ahead` of our steady clock.
auto reading(peer_clock::time_point when, std::chrono::milliseconds ahead) -> std::uint64_t {
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch() + ahead).count());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(peer_clocks)

BOOST_AUTO_TEST_CASE(an_expiry_is_never_said_later_than_it_is_meant) {
  peer_clock clock;
  clock.learn(reading(start + 40ms, 5s), start, start + 50ms);
  const auto said = clock.at(start + 1s);
  BOOST_TEST(said <= static_cast<std::int64_t>(reading(start + 1s, 5s)));
  BOOST_TEST(said >= static_cast<std::int64_t>(reading(start + 1s, 5s)) - 51);
}

BOOST_AUTO_TEST_CASE(a_reading_that_came_quickly_counts_more_than_one_that_came_late) {
  peer_clock clock;
  clock.learn(reading(start, 5s), start, start + 2ms);
  const auto said = clock.at(start + 1s);
  clock.learn(reading(start + 1s, 5s), start + 1s, start + 3s);
  BOOST_TEST(clock.at(start + 1s) == said);
  BOOST_TEST((clock.heard() == start + 3s));
}

BOOST_AUTO_TEST_CASE(a_reading_that_contradicts_the_earlier_ones_takes_their_place) {
  for (const auto ahead : {-1h, 1h}) {
    peer_clock clock;
    clock.learn(reading(start, 0s), start, start + 2ms);
    clock.learn(reading(start + 1s, ahead), start + 1s, start + 1'002ms);
    const auto meant = static_cast<std::int64_t>(reading(start + 2s, ahead));
    BOOST_TEST(clock.at(start + 2s) <= meant);
    BOOST_TEST(clock.at(start + 2s) >= meant - 4);
  }
}

BOOST_AUTO_TEST_CASE(expiries_are_said_by_a_clock_that_goes_with_the_steady_one) {
  const auto began = std::chrono::steady_clock::now();
  const auto first = expiry_milliseconds(0ms);
  BOOST_TEST(expiry_milliseconds(5s) >= first + 5'000);
  while (std::chrono::steady_clock::now() < began + 20ms) {
  }
  const auto last = expiry_milliseconds(0ms);
  BOOST_TEST(last - first >= 18U);
  BOOST_TEST(last - first <= static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count()) + 1);
}

BOOST_AUTO_TEST_SUITE_END()
