// The test kit as an installed header, which needs no other before it.
#define BOOST_TEST_MODULE consumer
#include <maestro/aggregates/test_kit.hpp>

#include "counter.hpp"

#include <boost/test/unit_test.hpp>

using kit = maestro::test_kit<counter>;

BOOST_AUTO_TEST_CASE(it_counts_up_only) {
  kit::given(added{{2}}).when(add{3}).then(added{{3}}).then_state({5});
  kit::given().when(add{-1}).rejected("only up");
  kit::examples(added{{1}}).survive_the_codec();
}

BOOST_AUTO_TEST_CASE(it_counts_in_a_store) {
  maestro::test_tables<counter> tables;
  tables.when("visits", add{1}).committed();
  tables.query("select type, body from event_log").then({{"added", R"({"amount":1})"}});
}
