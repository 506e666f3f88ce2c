// Which questions a withdrawal reaches.
#include <maestro/runtime/handed_on_questions.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <array>
#include <vector>

using namespace maestro;

namespace {

struct two_senders {
  two_senders() {
    const auto act = [](caf::event_based_actor*, int) -> caf::behavior { return {[](int) {}}; };
    for (auto& each : senders) each = system.spawn(act, 0);
  }
  ~two_senders() {
    for (const auto& each : senders) caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
  }

  caf::actor_system_config config;
  caf::actor_system system{config};
  std::array<caf::actor, 2> senders;
  handed_on_questions questions;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(questions_handed_on, two_senders)

BOOST_AUTO_TEST_CASE(a_sender_withdraws_its_own_and_no_others) {
  const auto mine = questions.note(senders[0], 7);
  const auto also_mine = questions.note(senders[0], 8);
  const auto other = questions.note(senders[1], 7);
  questions.withdraw(senders[0], std::vector<std::uint64_t>{1, 7, 7, UINT64_MAX});
  questions.withdraw(nullptr, std::vector<std::uint64_t>{7, 8});
  BOOST_TEST(*mine);
  BOOST_TEST(!*also_mine);
  BOOST_TEST(!*other);
}

BOOST_AUTO_TEST_CASE(of_two_with_the_same_number_the_later_one_is_withdrawn) {
  const auto first = questions.note(senders[0], 7);
  const auto second = questions.note(senders[0], 7);
  questions.withdraw(senders[0], std::vector<std::uint64_t>{7});
  BOOST_TEST(!*first);
  BOOST_TEST(*second);
}

BOOST_AUTO_TEST_CASE(those_that_are_over_are_forgotten) {
  const auto lasting = questions.note(senders[0], 0);
  for (std::uint64_t i = 1; i < 10'000; ++i) (void)questions.note(senders[0], i);
  BOOST_TEST(questions.size() <= 1'024U);
  std::vector<withdrawn_flag> held;
  for (std::uint64_t i = 0; i < 5'000; ++i) held.push_back(questions.note(senders[1], i));
  held.clear();
  for (std::uint64_t i = 1; i < 10'000; ++i) (void)questions.note(senders[0], i);
  BOOST_TEST(questions.size() <= 1'024U);
  questions.withdraw(senders[0], std::vector<std::uint64_t>{0});
  BOOST_TEST(*lasting);
}

BOOST_AUTO_TEST_SUITE_END()
