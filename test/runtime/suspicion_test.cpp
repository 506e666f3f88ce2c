// When one member takes another for dead: on its own clock, and only from what it has read.
#include <maestro/runtime/suspicion.hpp>
#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

struct observer {
  // The other's heartbeat is `heartbeat` when we read after `pause`.
  void read(std::chrono::milliseconds pause, std::int64_t heartbeat) {
    now += pause;
    other.heartbeat = heartbeat;
    watch.read({1, {}, 0, {self, other}}, self.incarnation, now);
  }
  [[nodiscard]] auto suspects() const -> std::vector<std::string> {
    std::vector<std::string> names;
    for (const auto& each : watch.suspects()) names.push_back(each.name);
    return names;
  }
  [[nodiscard]] auto is_suspected() const -> bool { return suspects() == std::vector<std::string>{"other"}; }

  hybrid_clock clock;
  member self{"self", clock.fresh<incarnation_id>(), "127.0.0.1:1"};
  member other{"other", clock.fresh<incarnation_id>(), "127.0.0.1:2"};
  suspicion::clock::time_point now{1h};
  suspicion watch{1s};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(suspecting, observer)

BOOST_AUTO_TEST_CASE(a_heartbeat_that_stands_still_long_enough_is_suspected) {
  for (int i = 0; i < 4; ++i) {
    read(250ms, 7);
    BOOST_TEST(!is_suspected());
  }
  read(250ms, 7);  // A second after the first of them.
  BOOST_TEST(is_suspected());
}

BOOST_AUTO_TEST_CASE(a_heartbeat_that_moves_never_is) {
  for (int i = 0; i < 20; ++i) {
    read(250ms, i / 3);
    BOOST_TEST(suspects().empty());
  }
}

BOOST_AUTO_TEST_CASE(a_read_that_failed_starts_over) {
  for (int i = 0; i < 4; ++i) read(250ms, 7);
  watch.start_over();
  for (int i = 0; i < 4; ++i) {
    read(250ms, 7);
    BOOST_TEST(!is_suspected());
  }
  read(250ms, 7);
  BOOST_TEST(is_suspected());
}

// It may have been stopped together with all the others.
BOOST_AUTO_TEST_CASE(a_pause_of_the_observer_starts_over) {
  for (int i = 0; i < 4; ++i) read(250ms, 7);
  read(10s, 7);
  BOOST_TEST(!is_suspected());
  for (int i = 0; i < 3; ++i) read(250ms, 7);
  BOOST_TEST(!is_suspected());
  read(250ms, 7);
  BOOST_TEST(is_suspected());
}

BOOST_AUTO_TEST_CASE(few_reads_are_not_enough_however_long_they_span) {
  for (int i = 0; i < 3; ++i) read(500ms, 7);
  BOOST_TEST(!is_suspected());  // A second, but one of the three reads is the first to show it.
  read(500ms, 7);
  BOOST_TEST(is_suspected());
}

BOOST_AUTO_TEST_CASE(who_refuses_connections_and_stands_still_is_suspected_sooner) {
  read(250ms, 7);
  BOOST_TEST(watch.standing_still().empty());
  read(250ms, 7);
  BOOST_TEST(watch.standing_still().size() == 1U);
  watch.refused(other.incarnation);
  BOOST_TEST(!is_suspected());
  read(250ms, 7);
  watch.refused(other.incarnation);
  BOOST_TEST(is_suspected());
}

// Behind a firewall, say: it lives, and others may reach it.
BOOST_AUTO_TEST_CASE(who_refuses_connections_and_lives_is_not) {
  for (int i = 0; i < 20; ++i) {
    read(250ms, i);
    watch.refused(other.incarnation);
    BOOST_TEST(suspects().empty());
  }
}

BOOST_AUTO_TEST_CASE(neither_oneself_nor_who_has_ended_is_watched) {
  other.status = member_status::left;
  for (int i = 0; i < 20; ++i) read(250ms, 7);
  BOOST_TEST(suspects().empty());
  BOOST_TEST(watch.standing_still().empty());
}

BOOST_AUTO_TEST_SUITE_END()
