// Clients that try again, over nodes that are killed and frozen at any moment: each command is carried out once, or refused and
// never carried out, and every caller is told which. Real processes on a real store; on PostgreSQL two nodes share it.
//
// MAESTRO_TEST_ROUNDS makes it longer (test/soak does), MAESTRO_TEST_SEED repeats what was chosen.
#include "audit.hpp"
#include "mortal_nodes.hpp"
#include "sender.hpp"

#include "../store/dice.hpp"
#include "../store/test_store.hpp"

#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <deque>
#include <iostream>
#include <memory>
#include <vector>

using namespace maestro;
using namespace maestro::test;

BOOST_AUTO_TEST_SUITE(exactly_once)

BOOST_AUTO_TEST_CASE(each_command_is_carried_out_once_whatever_becomes_of_the_nodes) {
  const auto seed = test_seed();
  const auto rounds = test_rounds(12);
  const test_store fresh;
  mortal_nodes nodes(fresh.uri(), seed);
  std::deque<sent_command> all;
  {
    std::vector<std::unique_ptr<sender>> senders;
    for (std::uint64_t i = 1; i <= 2; ++i) senders.push_back(std::make_unique<sender>(nodes.addresses(), seed + i));
    for (std::uint64_t round = 0; round < rounds; ++round) nodes.harm_one();
    for (auto& each : senders) each->stop();
    for (auto& each : senders) each->settle();
    for (auto& each : senders) all.insert(all.end(), each->commands().begin(), each->commands().end());
  }
  nodes.end();

  const auto where = open_database(fresh.uri()).value();
  const auto reader = where->open_reader();
  audit_counts counts;
  try {
    counts = audit(*reader, all);
  } catch (const audit_fault& fault) {
    BOOST_FAIL(fault.what());
  }
  BOOST_TEST(counts.landed + counts.lost == 0U);
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (const auto& each : all) ++(each.known == verdict::accepted ? accepted : refused);
  std::cout << nodes.kills() << " kills and " << nodes.freezes() << " freezes of " << nodes.addresses().size() << " nodes; "
            << all.size() << " commands, " << accepted << " accepted, " << refused << " refused, " << counts.events
            << " events" << std::endl;
  BOOST_TEST(accepted > 100U);
  BOOST_TEST(refused > 0U);
}

BOOST_AUTO_TEST_SUITE_END()
