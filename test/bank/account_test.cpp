// The bank's domain, tested with nothing but itself: given these events, when this command, then those events or that
// rejection. No actor, no database, no node.
#include <account.hpp>

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace bank;

BOOST_AUTO_TEST_SUITE(account_domain)

BOOST_AUTO_TEST_CASE(given_nothing_when_opened_then_it_is_opened) {
  const auto then = account::eval(account::given(), open{"Alice", "al"});
  BOOST_TEST_REQUIRE(then.has_value());
  BOOST_TEST(then->owner == "Alice");
  BOOST_TEST(then->handle == "al");
}

BOOST_AUTO_TEST_CASE(given_an_open_account_when_opened_again_then_it_is_rejected) {
  const auto then = account::eval(account::given(opened{"Alice", "al"}), open{"Bob", "bo"});
  BOOST_TEST((then.failure() == maestro::reject("the account is already open")));
}

BOOST_AUTO_TEST_CASE(given_a_balance_when_more_is_withdrawn_then_it_is_rejected_with_the_balance) {
  const auto state = account::given(opened{"Alice", "al"}, deposited{500}, withdrawn{100});
  BOOST_TEST(account::eval(state, withdraw{401}).failure().message == "insufficient funds: the balance is 400 cents");
  BOOST_TEST(account::eval(state, withdraw{400})->cents == 400);
}

BOOST_AUTO_TEST_CASE(given_a_balance_when_a_deposit_would_overflow_it_then_it_is_rejected) {
  const auto state = account::given(opened{"Alice", "al"}, deposited{1});
  BOOST_TEST(!account::eval(state, deposit{std::numeric_limits<std::int64_t>::max()}).has_value());
  BOOST_TEST(!account::eval(state, deposit{0}).has_value());
  BOOST_TEST(!account::eval(state, withdraw{-1}).has_value());
}

BOOST_AUTO_TEST_CASE(given_a_closed_account_when_anything_but_opening_is_asked_then_it_is_rejected) {
  const auto state = account::given(opened{"Alice", "al"}, closed{});
  BOOST_TEST(!account::eval(state, deposit{1}).has_value());
  BOOST_TEST(!account::eval(state, withdraw{1}).has_value());
  BOOST_TEST(!account::eval(state, bank::close{}).has_value());
  BOOST_TEST(account::eval(state, open{"Alice", "al"}).has_value());
}

BOOST_AUTO_TEST_CASE(given_money_in_it_when_closed_then_it_is_rejected) {
  BOOST_TEST(!account::eval(account::given(opened{"Alice", "al"}, deposited{1}), bank::close{}).has_value());
  BOOST_TEST(account::eval(account::given(opened{"Alice", "al"}), bank::close{}).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
