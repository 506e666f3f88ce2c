// Tests that fail, for test_kit_report_test: each line that says `fails:` is one that Boost.Test has to name, with that
// text.
#include <maestro/aggregates/test_kit.hpp>

#include "box.hpp"

#include <boost/test/unit_test.hpp>

using namespace test;
using kit = maestro::test_kit<box>;

BOOST_AUTO_TEST_CASE(goes_on_after_a_failure) {
  kit::given().when(put{3}).then(has_been_put{4});  // fails: box: put {"count":3,"owner":"nobody"}: event 1 differs
  kit::given(has_been_put{3})
      .when(put{3})  // fails: box: put {"count":3,"owner":"nobody"}: expected a rejection, found 1 event
      .rejected();
  kit::given().then_state({1, 0, {}, false});  // fails: box: the state differs
  kit::examples().survive_the_codec();  // fails: box: the events do not all survive the codec
}

BOOST_AUTO_TEST_CASE(names_the_line_of_a_commit) {
  maestro::test_tables<box> tables;
  tables.given("one", has_been_put{3, "al"});
  tables.query("select owner from owners")
      .then({{"bo"}});  // fails: select owner from owners: row 1 differs
  tables.when("two", put{4, "al"}).committed();  // fails: box "two": put {"count":4,"owner":"al"}: expected to be committed
  tables.given("two", has_been_put{4, "al"});  // fails: box "two": what is given cannot be committed
}

BOOST_AUTO_TEST_CASE(counts_what_passes) {
  kit::given().when(put{3}).then(has_been_put{3});
}
