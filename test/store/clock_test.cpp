#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <thread>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(hybrid_logical_clock)

BOOST_AUTO_TEST_CASE(readings_of_many_threads_are_unique_and_increase_within_each) {
  hybrid_clock clock;
  constexpr std::size_t each = 20'000;
  std::vector<std::vector<timestamp>> readings(4);
  std::vector<std::thread> threads;
  for (auto& mine : readings)
    threads.emplace_back([&clock, &mine] {
      for (std::size_t i = 0; i < each; ++i) mine.push_back(clock.now());
    });
  for (auto& thread : threads) thread.join();
  std::vector<timestamp> all;
  for (const auto& mine : readings) {
    BOOST_TEST(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  BOOST_TEST((std::adjacent_find(all.begin(), all.end()) == all.end()));
  BOOST_TEST(all.size() == 4 * each);
}

BOOST_AUTO_TEST_CASE(a_merged_reading_is_surpassed) {
  hybrid_clock clock;
  const auto ahead = timestamp::make(clock.physical_milliseconds() + 60'000, 65535, 1);
  BOOST_TEST(clock.merge(ahead));
  BOOST_TEST((clock.now() > ahead));
}

BOOST_AUTO_TEST_CASE(a_reading_beyond_the_drift_limit_is_not_followed_but_still_surpassed_where_asked) {
  hybrid_clock clock(1s);
  const auto far = timestamp::make(clock.physical_milliseconds() + 3'600'000, 5, 1);
  BOOST_TEST(!clock.merge(far));
  const auto first = clock.now_above(far);
  const auto second = clock.now_above(far);
  BOOST_TEST((first > far));
  BOOST_TEST((second > first));
  BOOST_TEST((clock.now() < far));
}

BOOST_AUTO_TEST_CASE(readings_above_a_far_floor_are_no_other_readings) {
  hybrid_clock clock(20ms);
  const auto floor = timestamp::make(clock.physical_milliseconds() + 40, 0, 1);
  const auto ahead = clock.now_above(floor);
  // Time catches up with the floor: the same milliseconds and counters come again.
  while (clock.physical_milliseconds() < floor.milliseconds()) {
  }
  for (int i = 0; i < 100; ++i) BOOST_TEST((clock.now_above(floor) != ahead));
  BOOST_TEST(ahead.node() != clock.now().node());
}

BOOST_AUTO_TEST_CASE(a_restart_with_an_older_physical_clock_goes_on_above_what_it_reads) {
  hybrid_clock before;
  const auto newest = before.now();
  hybrid_clock after(5min, -60s);
  BOOST_TEST(after.merge(newest));
  BOOST_TEST((after.now() > newest));
}

BOOST_AUTO_TEST_SUITE_END()
