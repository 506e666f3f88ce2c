// Long random histories, one call after the other and many at a time: what no example thinks of.
#include "conformance.hpp"
#include "dice.hpp"
#include "history.hpp"
#include "race.hpp"

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// MAESTRO_TEST_STEPS makes it longer, to search for what is rare.
auto history_steps() -> std::size_t {
  const char* given = std::getenv("MAESTRO_TEST_STEPS");
  return given != nullptr && *given != '\0' ? std::stoul(given) : 300;
}

void check_history_of(const store_under_test& store, const store_settings& settings, std::size_t steps) {
  const auto seed = test_seed();
  const auto where = store.make();
  const auto opened = where->open(settings);
  const auto disagreement = check_history(*opened, seed, steps, store.partitioned);
  BOOST_TEST(!disagreement, *disagreement);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_history)

BOOST_DATA_TEST_CASE(a_random_history_leaves_what_a_simple_model_says, data::make(stores_under_test()), store) {
  check_history_of(store, {}, history_steps());
}

BOOST_DATA_TEST_CASE(a_random_history_in_small_transactions_leaves_the_same, data::make(stores_under_test()), store) {
  store_settings settings;
  settings.max_batch_events = 5;
  check_history_of(store, settings, history_steps() / 2);
}

BOOST_DATA_TEST_CASE(racing_writers_leave_exactly_what_they_were_told, data::make(stores_under_test()), store) {
  const auto seed = test_seed();
  const auto where = store.make();
  std::vector<std::shared_ptr<database>> opened{where->open({})};
  while (opened.size() < 4) opened.push_back(where->is_shared() ? where->open({}) : opened.front());
  const auto disagreement = check_race(opened, seed, 30);
  BOOST_TEST(!disagreement, *disagreement);
}

BOOST_AUTO_TEST_SUITE_END()
