// The bank's domain, tested with nothing but itself: given these events, when this command, then those events or that
// rejection. No actor and no node; the projections run on a store in memory.
#include <account.hpp>

#include <maestro/aggregates/test_kit.hpp>

#include <boost/test/unit_test.hpp>

// POSIX's functions open and close, which Boost.Test brings where it is used as a header alone: the bank has commands of these names.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <limits>

using namespace bank;
using kit = maestro::test_kit<account>;

namespace {

const opened alice{"Alice", "al"};

}  // namespace

BOOST_AUTO_TEST_SUITE(account_domain)

BOOST_AUTO_TEST_CASE(given_nothing_when_opened_then_it_is_opened) {
  kit::given().when(bank::open{"Alice", "al"}).then(alice).then_state({"Alice", "al", 0, true});
  kit::given().when(bank::open{"", "al"}).rejected("an account needs an owner");
  kit::given().when(bank::open{"Alice", ""}).rejected("an account needs a handle");
}

BOOST_AUTO_TEST_CASE(given_an_open_account_when_opened_again_then_it_is_rejected) {
  kit::given(alice).when(bank::open{"Bob", "bo"}).rejected("the account is already open");
}

BOOST_AUTO_TEST_CASE(given_a_balance_when_more_is_withdrawn_then_it_is_rejected_with_the_balance) {
  const auto rich = kit::given(alice, deposited{500}, withdrawn{100});
  rich.when(withdraw{401}).rejected("insufficient funds: the balance is 400 cents");
  rich.when(withdraw{400}).then(withdrawn{400}).then_state({"Alice", "al", 0, true});
}

BOOST_AUTO_TEST_CASE(given_a_balance_when_a_deposit_would_overflow_it_then_it_is_rejected) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const auto account = kit::given(alice, deposited{1});
  account.when(deposit{most}).rejected("the balance would be too large");
  account.when(deposit{most - 1}).then(deposited{most - 1});
  account.when(deposit{0}).rejected("a deposit must be positive");
  account.when(withdraw{-1}).rejected("a withdrawal must be positive");
}

BOOST_AUTO_TEST_CASE(given_a_closed_account_when_anything_but_opening_is_asked_then_it_is_rejected) {
  const auto gone = kit::given(alice, closed{});
  gone.when(deposit{1}).rejected("the account is not open");
  gone.when(withdraw{1}).rejected("the account is not open");
  gone.when(bank::close{}).rejected("the account is not open");
  gone.when(bank::open{"Alice", "al"}).then(alice);
}

BOOST_AUTO_TEST_CASE(given_money_in_it_when_closed_then_it_is_rejected) {
  kit::given(alice, deposited{1}).when(bank::close{}).rejected("the balance must be zero, it is 1 cents");
  kit::given(alice).when(bank::close{}).then(closed{}).then_state({"Alice", "al", 0, false});
}

BOOST_AUTO_TEST_CASE(given_a_balance_when_a_transfer_asks_for_it_then_the_answer_is_an_event_in_any_case) {
  const auto account = kit::given(alice, deposited{5});
  account.when(pay{"t", 5}).then(paid{"t", 5}).then_state({"Alice", "al", 0, true});
  account.when(pay{"t", 6}).then(payment_refused{"t", "insufficient funds: the balance is 5 cents"});
  for (const std::int64_t cents : {std::int64_t{0}, std::int64_t{-5}})
    kit::given(alice, deposited{5}).when(pay{"t", cents}).then(payment_refused{"t", "a payment must be positive"});
  kit::given().when(pay{"t", 1}).then(payment_refused{"t", "the paying account is not open"});
}

BOOST_AUTO_TEST_CASE(given_an_account_when_a_transfer_brings_money_then_it_is_taken_where_it_can_be) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  kit::given(alice).when(collect{"t", 5}).then(collected{"t", 5}).then_state({"Alice", "al", 5, true});
  kit::given(alice, closed{}).when(collect{"t", 5}).then(collection_refused{"t", "the account that is to be paid is not open"});
  kit::given(alice, deposited{1}).when(collect{"t", most}).then(collection_refused{"t", "the balance would be too large"});
  for (const std::int64_t cents : {std::int64_t{0}, -most}) {
    kit::given(alice, deposited{1}).when(collect{"t", cents}).then(collection_refused{"t", "a payment must be positive"});
    kit::given(alice, deposited{1}).when(take_back{"t", cents}).rejected("a payment must be positive");
  }
  kit::given(alice, deposited{1}).when(take_back{"t", most}).rejected("the balance would be too large");
  kit::given(alice, closed{}).when(take_back{"t", 5}).then(collected{"t", 5}).then_state({"Alice", "al", 5, false});
}

BOOST_AUTO_TEST_CASE(every_event_survives_the_codec) {
  kit::examples(alice, deposited{5}, withdrawn{5}, paid{"t", 5}, payment_refused{"t", "why"}, collected{"t", 5},
                collection_refused{"t", "why"})
      .survive_the_codec();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(account_projections)

BOOST_AUTO_TEST_CASE(balances_holds_what_every_open_account_has) {
  maestro::test_tables<account> tables;
  tables.given("alice", alice, deposited{500}, withdrawn{100})
      .given("bob", opened{"Bob", "bo"})
      .given("carol", opened{"Carol", "ca"}, closed{});
  tables.query("select owner, cents from balances order by owner").then({{"Alice", 400}, {"Bob", 0}});
  tables.query("select cents from balances where account = $1", account::id::named("alice").value).then({{400}});
  tables.survive_a_rebuild();
}

BOOST_AUTO_TEST_CASE(balances_holds_what_transfers_moved_and_what_a_closed_account_got_back) {
  maestro::test_tables<account> tables;
  tables.given("alice", alice, deposited{500}, paid{"t", 200}).given("bob", opened{"Bob", "bo"}, collected{"t", 200});
  tables.given("carol", opened{"Carol", "ca"}, closed{}, collected{"u", 7});
  tables.query("select owner, cents from balances order by cents").then({{"", 7}, {"Bob", 200}, {"Alice", 300}});
  tables.when("carol", bank::open{"Carol", "ca"}).committed();
  tables.query("select cents from balances where owner = 'Carol'").then({{7}});
  tables.survive_a_rebuild();
}

BOOST_AUTO_TEST_CASE(a_handle_belongs_to_one_open_account) {
  maestro::test_tables<account> tables;
  tables.given("alice", alice);
  tables.when("bob", bank::open{"Bob", "al"}).refused_by("handles.handle");
  tables.query("select owner from balances").then({{"Alice"}});
  tables.when("alice", bank::close{}).committed();
  tables.when("bob", bank::open{"Bob", "al"}).committed();
  tables.query("select account from handles where handle = 'al'").then({{account::id::named("bob").value}});
}

BOOST_AUTO_TEST_SUITE_END()
