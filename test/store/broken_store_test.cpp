// The tests of the tests: a store that is broken on purpose must be found out, and the same store unbroken must not.
#include "broken_store.hpp"

#include "dice.hpp"
#include "history.hpp"
#include "race.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <memory>
#include <vector>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

constexpr std::size_t steps = 1000;
constexpr std::size_t units = 40;

auto make_broken(fault fault) -> std::shared_ptr<broken_database> {
  auto sound = open_database("sqlite::memory:");
  if (!sound) BOOST_FAIL(to_string(sound.failure()));
  return std::make_shared<broken_database>(*sound, fault);
}

auto race_on(const std::shared_ptr<broken_database>& broken, std::uint64_t seed) -> std::optional<std::string> {
  return check_race(std::vector<std::shared_ptr<database>>(3, broken), seed, units);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(broken_stores)

BOOST_DATA_TEST_CASE(the_history_check_finds_out_a_store_that_is_broken, data::make(all_faults()), fault) {
  const auto seed = test_seed();
  const auto broken = make_broken(fault);
  const auto disagreement = check_history(*broken, seed, steps);
  BOOST_TEST_REQUIRE(disagreement.has_value(), fault << " went unnoticed with MAESTRO_TEST_SEED=" << seed);
  // Within the history, and not on the way there.
  BOOST_TEST(disagreement->find(", step ") != disagreement->npos, *disagreement);
  BOOST_TEST((broken->strikes() > 0 || fault == fault::accepts_a_taken_sequence));
  BOOST_TEST_MESSAGE(*disagreement);
}

BOOST_AUTO_TEST_CASE(the_history_check_has_nothing_against_the_same_store_unbroken) {
  const auto disagreement = check_history(*make_broken(fault::none), test_seed(), steps);
  BOOST_TEST(!disagreement, *disagreement);
}

// Those that harm what nobody contests, so that it does not take luck to see them.
const std::vector<fault> seen_in_a_race = {fault::drops_an_event, fault::returns_events_out_of_order,
                                           fault::forgets_a_projection, fault::reports_what_it_never_writes,
                                           fault::reports_a_failure_after_writing};

BOOST_DATA_TEST_CASE(the_race_check_finds_out_a_store_that_is_broken, data::make(seen_in_a_race), fault) {
  const auto seed = test_seed();
  const auto broken = make_broken(fault);
  const auto disagreement = race_on(broken, seed);
  BOOST_TEST_REQUIRE(disagreement.has_value(), fault << " went unnoticed with MAESTRO_TEST_SEED=" << seed);
  BOOST_TEST(disagreement->find("aggregate ") != disagreement->npos, *disagreement);
  BOOST_TEST(broken->strikes() > 0);
  BOOST_TEST_MESSAGE(*disagreement);
}

BOOST_AUTO_TEST_CASE(the_race_check_has_nothing_against_the_same_store_unbroken) {
  const auto disagreement = race_on(make_broken(fault::none), test_seed());
  BOOST_TEST(!disagreement, *disagreement);
}

BOOST_AUTO_TEST_SUITE_END()
