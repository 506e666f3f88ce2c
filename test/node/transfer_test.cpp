// Money is moved between accounts while the nodes that do it are killed and frozen: in the end each transfer has gone one way, and
// the sum is what it was.
//
// MAESTRO_TEST_ROUNDS makes it longer (test/soak does), MAESTRO_TEST_SEED repeats what was chosen.
#include "customers.hpp"
#include "mortal_nodes.hpp"
#include "transfer_audit.hpp"

#include "../store/dice.hpp"
#include "../store/test_store.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>

using namespace maestro;
using namespace maestro::test;

BOOST_AUTO_TEST_SUITE(transfers)

BOOST_AUTO_TEST_CASE(no_money_is_lost_or_made_whatever_becomes_of_the_nodes) {
  const auto seed = test_seed();
  const auto rounds = test_rounds(8);
  const test_store fresh;
  mortal_nodes nodes(fresh.uri(), seed, MAESTRO_BANK_NODE);
  std::size_t begun = 0;
  {
    customers busy(nodes.addresses(), seed + 1, patience);
    for (std::uint64_t round = 0; round < rounds; ++round) nodes.harm_one();
    busy.stop();
    busy.wait_until_over();
    begun = static_cast<std::size_t>(std::count_if(busy.commands().begin(), busy.commands().end(), [](const sent_command& each) {
      return each.name == "begin" && each.known == verdict::accepted;
    }));
  }
  nodes.end();

  const auto opened = open_database(fresh.uri()).value();
  const auto log = opened->open_reader();
  transfer_counts counts;
  try {
    counts = audit_transfers(*log);
  } catch (const audit_fault& fault) {
    BOOST_FAIL(fault.what());
  }
  const auto sum = value_of(log->query("select cast(sum(cents) as bigint) from balances", {})).at(0).at(0).as<std::int64_t>();
  BOOST_TEST(sum == customers::accounts * customers::each_begins_with);
  std::cout << nodes.kills() << " kills and " << nodes.freezes() << " freezes of " << nodes.addresses().size() << " nodes; " << begun
            << " transfers: " << counts.delivered << " delivered, " << counts.declined << " declined, " << counts.returned << " returned"
            << std::endl;
  BOOST_TEST(counts.delivered > 0U);
  BOOST_TEST(counts.declined > 0U);
  BOOST_TEST(counts.returned > 0U);
  BOOST_TEST(counts.all() == begun);
}

BOOST_AUTO_TEST_SUITE_END()
