// Tests of a domain with Boost.Test: given events, when command, then events or a rejection; rows of projections on a
// store in memory. No actor, no node. Nothing of the library includes this header, and the library does not link
// Boost.Test; with another framework use <maestro/aggregates/test_kit/basic_test_kit.hpp> and a report of your own.
// Where a file defines BOOST_TEST_MODULE, it does so before this header too.
//
//     using kit = maestro::test_kit<account>;
//     kit::given(opened{"Alice", "al"}, deposited{5}).when(withdraw{3}).then(withdrawn{3});
//     kit::given(opened{"Alice", "al"}).when(withdraw{3}).rejected("insufficient funds: the balance is 0 cents");
//     kit::examples(opened{"Alice", "al"}, deposited{5}, withdrawn{3}).survive_the_codec();
//
//     maestro::test_tables<account> tables;
//     tables.given("alice", opened{"Alice", "al"}, deposited{5});
//     tables.query("select owner, cents from balances").then({{"Alice", 5}});
//     tables.when("bob", open{"Bob", "al"}).refused_by("handles.handle");
#pragma once

#include <maestro/aggregates/test_kit/basic_test_kit.hpp>
#include <maestro/aggregates/test_kit/basic_test_tables.hpp>

#include <boost/test/framework.hpp>
#include <boost/test/unit_test_log.hpp>

#include <source_location>
#include <string>

namespace maestro {

/// Counts each check as an assertion of the running test case. A failure is an error like that of BOOST_TEST: reported
/// at the author's own line, and the test case goes on. To be called within a test case, or a fixture of one.
struct boost_report {
  static void passed() { boost::unit_test::framework::assertion_result(boost::unit_test::AR_PASSED); }

  static void failed(const std::string& text, const std::source_location& where) {
    namespace unit_test = boost::unit_test;
    unit_test::unit_test_log << unit_test::log::begin(where.file_name(), where.line()) << unit_test::log_all_errors
                             << text << unit_test::log::end();
    unit_test::framework::assertion_result(unit_test::AR_FAILED);
  }
};

/// The kit for one aggregate class: see `basic_test_kit` for what it offers.
template <class Aggregate>
using test_kit = basic_test_kit<Aggregate, boost_report>;

/// A store in memory for the projections of one or several aggregate classes: see `basic_test_tables`.
template <class... Aggregates>
using test_tables = basic_test_tables<boost_report, Aggregates...>;

}  // namespace maestro
