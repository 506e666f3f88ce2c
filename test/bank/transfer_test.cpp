// The transfer's own rules; that money stays whole while nodes are killed is in test/node/transfer_test.cpp.
#include <transfer.hpp>

#include <maestro/aggregates/test_kit.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

using namespace bank;
using kit = maestro::test_kit<transfer>;

namespace {

const begun alice_to_bob{"alice", "bob", 100};

auto moved(std::string_view stage, const std::string& reason = "") -> transfer_state {
  return {"alice", "bob", 100, std::string(stage), reason};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(transfer_domain)

BOOST_AUTO_TEST_CASE(a_transfer_moves_something_between_two_accounts_and_begins_once) {
  kit::given().when(begin{"alice", "bob", 100}).then(alice_to_bob).then_state(moved(stage::paying));
  kit::given().when(begin{"alice", "alice", 100}).rejected("a transfer needs two different accounts");
  kit::given().when(begin{"", "bob", 100}).rejected("a transfer needs two accounts");
  kit::given().when(begin{"alice", "bob", 0}).rejected("a transfer must be positive");
  kit::given(alice_to_bob).when(begin{"alice", "bob", 100}).rejected("the transfer has begun already");
}

BOOST_AUTO_TEST_CASE(money_leaves_the_first_account_and_enters_the_second) {
  const auto begun_one = kit::given(alice_to_bob);
  begun_one.when(note_payment{}).then(payment_made{}).then_state(moved(stage::delivering));
  kit::given(alice_to_bob, payment_made{}).when(note_delivery{}).then(delivered{}).then_state(moved(stage::done));
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_not_moved) {
  kit::given(alice_to_bob).when(note_refusal{"poor"}).then(declined{"poor"}).then_state(moved(stage::failed, "poor"));
}

BOOST_AUTO_TEST_CASE(what_cannot_enter_goes_back) {
  const auto refused = kit::given(alice_to_bob, payment_made{}, turned_away{"closed"});
  kit::given(alice_to_bob, payment_made{}).when(note_refusal{"closed"}).then(turned_away{"closed"}).then_state(moved(stage::returning, "closed"));
  refused.when(note_return{}).then(returned{}).then_state(moved(stage::failed, "closed"));
}

BOOST_AUTO_TEST_CASE(a_note_that_comes_again_or_too_late_changes_nothing) {
  const auto done = kit::given(alice_to_bob, payment_made{}, delivered{});
  done.when(note_payment{}).then();
  done.when(note_delivery{}).then();
  done.when(note_refusal{"late"}).then();
  done.when(note_return{}).then();
  kit::given(alice_to_bob, declined{"poor"}).when(note_payment{}).then();
}

BOOST_AUTO_TEST_CASE(every_event_survives_the_codec) {
  kit::examples(alice_to_bob, declined{"poor"}, turned_away{"closed"}).survive_the_codec();
}

BOOST_AUTO_TEST_SUITE_END()
