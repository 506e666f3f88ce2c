// The strategy of group commit, against a log in memory whose faults are scripted.
#include "fake_log.hpp"
#include "request_maker.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <limits>
#include <random>
#include <set>
#include <string>

using namespace maestro;
using namespace maestro::test;

namespace {

struct group_commit_fixture {
  fake_log log;
  request_maker make;
  store_settings settings;
  std::uint64_t now = 1'000;

  group_commit_fixture() {
    settings.max_retries = 5;
    settings.reconnect_limit = std::chrono::milliseconds{50};
  }

  auto commit(const std::vector<const commit_request*>& requests) -> std::vector<commit_outcome> {
    return group_commit(log, requests, settings, [this] { return now; });
  }
  auto commit_each(const std::vector<commit_request>& requests) -> std::vector<commit_outcome> {
    std::vector<const commit_request*> pointers;
    for (const auto& request : requests) pointers.push_back(&request);
    return commit(pointers);
  }
  auto commit(const commit_request& request) -> commit_outcome { return commit(std::vector{&request}).front(); }

  auto stored(const commit_request& request) -> std::size_t { return log.events[request.aggregate_id].size(); }
};

auto is(const write_unit& unit, const commit_request& request, std::size_t index = 0) -> bool {
  return unit.request->aggregate_id == request.aggregate_id && unit.unit == &unit.request->units[index];
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(group_commits, group_commit_fixture)

BOOST_AUTO_TEST_CASE(requests_of_many_aggregates_go_in_one_transaction_ordered_by_id) {
  auto requests = make.requests(50);
  std::reverse(requests.begin(), requests.end());
  for (const auto& outcome : commit_each(requests)) {
    BOOST_TEST(outcome.committed == 1U);
    BOOST_TEST(!outcome.failure);
  }
  BOOST_TEST_REQUIRE(log.attempts.size() == 1U);
  BOOST_TEST(std::is_sorted(log.attempts[0].begin(), log.attempts[0].end()));
}

BOOST_AUTO_TEST_CASE(nothing_to_commit_is_answered_without_the_store) {
  BOOST_TEST(commit_each({}).empty());
  const auto outcome = commit(make.request(0));
  BOOST_TEST(outcome.committed == 0U);
  BOOST_TEST(!outcome.failure);
  BOOST_TEST(log.attempts.empty());
}

BOOST_AUTO_TEST_CASE(a_batch_is_cut_at_its_bounds_and_a_larger_unit_goes_alone) {
  settings.max_batch_events = 4;
  const auto large = make.request(1, 9);
  const auto pairs = make.request(3, 2);
  const auto outcomes = commit({&large, &pairs});
  BOOST_TEST(outcomes[0].committed == 1U);
  BOOST_TEST(outcomes[1].committed == 3U);
  BOOST_TEST_REQUIRE(log.attempts.size() == 3U);
  BOOST_TEST(log.attempts[0].size() == 1U);
  BOOST_TEST(log.attempts[1].size() == 2U);

  settings.max_batch_bytes = 100;
  auto heavy = make.request(4);
  for (auto& unit : heavy.units) unit.events[0].body = "{\"a\":\"" + std::string(40, 'x') + "\"}";
  log.attempts.clear();
  BOOST_TEST(commit(heavy).committed == 4U);
  BOOST_TEST(log.attempts.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_named_culprit_costs_its_unit_and_the_later_ones_of_its_request_alone) {
  const auto before = make.request();
  const auto bad = make.request(4);
  const auto after = make.request(2);
  log.poison = [&](const write_unit& unit) { return is(unit, bad, 2); };
  const auto outcomes = commit({&before, &bad, &after});
  BOOST_TEST(outcomes[0].committed == 1U);
  BOOST_TEST(outcomes[1].committed == 2U);
  BOOST_TEST((outcomes[1].failure.code == errc::projection_failed));
  BOOST_TEST(outcomes[1].failure.message == "poison");
  BOOST_TEST(outcomes[2].committed == 2U);
  BOOST_TEST(stored(bad) == 2U);
  BOOST_TEST(log.attempts.size() == 2U);
}

BOOST_AUTO_TEST_CASE(many_failures_in_one_batch_are_isolated_in_halves) {
  const auto requests = make.requests(256);
  std::set<aggregate_id> bad;
  for (std::size_t i = 7; i < requests.size(); i += 20) bad.insert(requests[i].aggregate_id);
  log.poison = [&](const write_unit& unit) { return bad.contains(unit.request->aggregate_id); };
  const auto outcomes = commit_each(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    BOOST_TEST(outcomes[i].committed == (bad.contains(requests[i].aggregate_id) ? 0U : 1U));
  BOOST_TEST(log.attempts.size() < 40U);
}

BOOST_AUTO_TEST_CASE(a_culprit_that_nobody_names_is_found_by_halving) {
  const auto requests = make.requests(64);
  log.names_culprit = false;
  log.poison = [&](const write_unit& unit) { return is(unit, requests[41]); };
  const auto outcomes = commit_each(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) BOOST_TEST(outcomes[i].committed == (i == 41 ? 0U : 1U));
  BOOST_TEST((outcomes[41].failure.code == errc::projection_failed));
  BOOST_TEST(log.attempts.size() <= 13U);
}

BOOST_AUTO_TEST_CASE(what_a_transaction_did_without_is_answered_and_not_sent_again) {
  const auto good = make.request(2);
  const auto bad = make.request(4);
  log.isolates = true;
  log.poison = [&](const write_unit& unit) { return is(unit, bad, 1); };
  const auto outcomes = commit({&good, &bad});
  BOOST_TEST(outcomes[0].committed == 2U);
  BOOST_TEST(outcomes[1].committed == 1U);
  BOOST_TEST((outcomes[1].failure.code == errc::projection_failed));
  BOOST_TEST(stored(bad) == 1U);
  BOOST_TEST(log.attempts.size() == 1U);
}

BOOST_AUTO_TEST_CASE(an_event_that_cannot_be_stored_never_reaches_the_store) {
  const auto good = make.request(2);
  auto spoiled = [&](auto spoil) {
    auto request = make.request(3, 2);
    spoil(request.units[1].events[1]);
    const auto outcomes = commit({&good, &request});
    BOOST_TEST((outcomes[1].failure.code == errc::invalid_event), to_string(outcomes[1].failure));
    return outcomes[1].committed;
  };
  BOOST_TEST(spoiled([&](event& event) { event.aggregate_id = make.fresh_id(); }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.sequence += 1; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.sequence = 0; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.timestamp = {}; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.type.clear(); }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.type = std::string(257, 'x'); }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.type = "\xff"; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.aggregate_type = "other"; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.body = "[]"; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.body = "{\"a\":NaN}"; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.body = R"({"a":"\u0000"})"; }) == 1U);
  BOOST_TEST(spoiled([](event& event) { event.metadata = "1"; }) == 1U);
  BOOST_TEST(stored(good) == 2U);

  auto umlauts = make.request();
  umlauts.units[0].events[0].type.clear();
  for (int i = 0; i < 256; ++i) umlauts.units[0].events[0].type += "\xc3\xa4";
  BOOST_TEST(commit(umlauts).committed == 1U);
  auto first = make.request();
  first.predecessor = make.next_event({}, 1).timestamp;
  BOOST_TEST((commit(first).failure.code == errc::invalid_event));
  auto empty = make.request();
  empty.units[0].events.clear();
  BOOST_TEST((commit(empty).failure.code == errc::invalid_event));
}

BOOST_AUTO_TEST_CASE(no_sequence_follows_the_largest) {
  const auto request = make.request(make.fresh_id(), 1, 1, max_sequence() - 1, make.next_event({}, 1).timestamp);
  BOOST_TEST((commit(request).failure.code == errc::retry_command));
  auto two = request;
  two.units.push_back({{make.next_event(two.aggregate_id, 1)}, nullptr, 0});
  two.units[1].events[0].sequence = std::numeric_limits<sequence_number>::min();
  BOOST_TEST((commit(two).failure.code == errc::retry_command));
  BOOST_TEST(stored(two) == 0U);
}

BOOST_AUTO_TEST_CASE(who_lost_a_race_is_told_to_retry_and_the_rest_is_committed) {
  const auto first = make.request();
  BOOST_TEST(commit(first).committed == 1U);
  const auto late = make.request(first.aggregate_id, 3);
  const auto others = make.request(2);
  const auto outcomes = commit({&late, &others});
  BOOST_TEST(outcomes[0].committed == 0U);
  BOOST_TEST((outcomes[0].failure.code == errc::retry_command));
  BOOST_TEST(outcomes[1].committed == 2U);
  BOOST_TEST(stored(first) == 1U);
}

BOOST_AUTO_TEST_CASE(a_gap_and_a_successor_of_a_lost_event_are_refused) {
  const auto gap = make.request(make.fresh_id(), 1, 1, 5, make.next_event({}, 1).timestamp);
  const auto first = make.request();
  BOOST_TEST(commit(first).committed == 1U);
  const auto orphan = make.request(first.aggregate_id, 1, 1, 1, make.next_event({}, 1).timestamp);
  for (const auto& outcome : commit({&gap, &orphan})) BOOST_TEST((outcome.failure.code == errc::retry_command));
  const auto heir = make.request(first.aggregate_id, 1, 1, 1, first.units[0].events[0].timestamp);
  BOOST_TEST(commit(heir).committed == 1U);
}

BOOST_AUTO_TEST_CASE(a_timestamp_that_exists_is_answered_with_retry) {
  const auto first = make.request();
  BOOST_TEST(commit(first).committed == 1U);
  auto copy = make.request();
  copy.units[0].events[0].timestamp = first.units[0].events[0].timestamp;
  BOOST_TEST((commit(copy).failure.code == errc::retry_command));

  auto twins = make.requests(2);
  twins[1].units[0].events[0].timestamp = twins[0].units[0].events[0].timestamp;
  const auto outcomes = commit_each(twins);
  BOOST_TEST(outcomes[0].committed + outcomes[1].committed == 1U);
  BOOST_TEST((outcomes[1].failure.code == errc::retry_command));
}

BOOST_AUTO_TEST_CASE(units_submitted_again_count_as_committed_and_are_not_written_twice) {
  auto request = make.request(2, 2);
  BOOST_TEST(commit(request).committed == 2U);
  const auto last = request.units[1].events[1];
  request.units.push_back({{make.next_event(request.aggregate_id, last.sequence + 1)}, nullptr, 0});
  const auto outcome = commit(request);
  BOOST_TEST(outcome.committed == 3U);
  BOOST_TEST(!outcome.failure);
  BOOST_TEST(stored(request) == 5U);
}

BOOST_AUTO_TEST_CASE(a_conflict_that_the_log_does_not_explain_ends_in_retry) {
  log.always = fault::reasonless_conflict;
  for (const auto& outcome : commit_each(make.requests(3))) BOOST_TEST((outcome.failure.code == errc::retry_command));
}

BOOST_AUTO_TEST_CASE(a_lock_costs_only_who_meets_it_and_only_while_it_is_held) {
  for (const bool named : {false, true}) {
    log.names_culprit = named;
    const auto requests = make.requests(64);
    const auto before = make.request(2);
    int held = named ? settings.max_retries : 9;
    log.locked = [&](const write_unit& unit) { return is(unit, requests[3]) && held-- > 0; };
    std::vector<const commit_request*> all{&before};
    for (const auto& request : requests) all.push_back(&request);
    for (const auto& outcome : commit(all)) BOOST_TEST(!outcome.failure, to_string(outcome.failure));

    const auto stuck = make.request(3);
    const auto free = make.requests(20);
    log.locked = [&](const write_unit& unit) { return is(unit, stuck, 1); };
    all = {&stuck};
    for (const auto& request : free) all.push_back(&request);
    const auto outcomes = commit(all);
    BOOST_TEST(outcomes[0].committed == 1U);
    BOOST_TEST((outcomes[0].failure.code == errc::store_unavailable));
    for (std::size_t i = 1; i < outcomes.size(); ++i) BOOST_TEST(outcomes[i].committed == 1U);
  }
}

BOOST_AUTO_TEST_CASE(rows_that_strangers_hold_are_waited_for_no_longer_than_two_lock_timeouts_in_all) {
  const auto requests = make.requests(64);
  log.locked = [&](const write_unit& unit) {
    return std::any_of(requests.begin(), requests.begin() + 8, [&](const auto& held) { return is(unit, held); });
  };
  const auto outcomes = commit_each(requests);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    BOOST_TEST(outcomes[i].committed == (i < 8 ? 0U : 1U));
    if (i < 8) BOOST_TEST((outcomes[i].failure.code == errc::store_unavailable));
  }
  BOOST_TEST(log.waited.count() >= settings.lock_timeout.count());
  // Each further try takes a millisecond.
  BOOST_TEST(log.waited.count() <= 2 * settings.lock_timeout.count() + static_cast<int>(log.attempts.size()));
}

BOOST_AUTO_TEST_CASE(a_lock_on_everything_is_given_up_after_few_attempts) {
  log.locked = [](const write_unit&) { return true; };
  for (const auto& outcome : commit_each(make.requests(256))) BOOST_TEST((outcome.failure.code == errc::store_unavailable));
  BOOST_TEST(log.attempts.size() <= 16U);
}

BOOST_AUTO_TEST_CASE(a_store_that_comes_back_in_time_costs_nothing) {
  settings.reconnect_limit = std::chrono::hours{1};
  log.faults = {fault::unavailable, fault::unavailable, fault::lost_before_commit, fault::unavailable};
  for (const auto& outcome : commit_each(make.requests(5))) BOOST_TEST(outcome.committed == 1U);
}

BOOST_AUTO_TEST_CASE(a_store_that_stays_away_is_unavailable_for_what_was_certainly_not_written) {
  log.always = fault::unavailable;
  for (const auto& outcome : commit_each(make.requests(5))) {
    BOOST_TEST((outcome.failure.code == errc::store_unavailable));
    BOOST_TEST(outcome.failure.message == "it is down");
  }
}

BOOST_AUTO_TEST_CASE(a_commit_in_doubt_is_settled_by_the_log) {
  settings.reconnect_limit = std::chrono::hours{1};
  for (const fault how : {fault::lost_before_commit, fault::lost_after_commit}) {
    const auto request = make.request(3, 2);
    log.faults = {how, fault::unavailable};
    const auto outcome = commit(request);
    BOOST_TEST(outcome.committed == 3U);
    BOOST_TEST(!outcome.failure);
    BOOST_TEST(stored(request) == 6U);
  }
}

BOOST_AUTO_TEST_CASE(a_commit_that_stays_in_doubt_says_so) {
  log.faults = {fault::lost_after_commit};
  log.always = fault::unavailable;
  auto request = make.request(2);
  BOOST_TEST((commit(request).failure.code == errc::in_doubt));

  // Submitted again while the store is still away: what was in doubt stays in doubt.
  request.in_doubt = true;
  BOOST_TEST((commit(request).failure.code == errc::in_doubt));
  log.always = fault::none;
  BOOST_TEST(commit(request).committed == 2U);
  BOOST_TEST(stored(request) == 2U);
}

// A refusal that does not look at the keys says nothing of an earlier attempt.
BOOST_AUTO_TEST_CASE(what_is_in_doubt_is_looked_up_when_it_is_refused) {
  log.poison_comes_first = true;
  auto stored_before = make.request(2);
  auto lost_before = make.request();
  BOOST_TEST(commit(stored_before).committed == 2U);
  for (auto* request : {&stored_before, &lost_before}) request->in_doubt = true;
  log.poison = [](const write_unit&) { return true; };
  const auto outcomes = commit({&stored_before, &lost_before});
  BOOST_TEST(outcomes[0].committed == 2U, to_string(outcomes[0].failure));
  BOOST_TEST(!outcomes[0].failure);
  BOOST_TEST((outcomes[1].failure.code == errc::internal_error), to_string(outcomes[1].failure));

  // While that cannot be done it stays in doubt, and the time for it is bounded.
  log.can_be_read = false;
  BOOST_TEST((commit(stored_before).failure.code == errc::in_doubt));
}

// The others of its batch are settled, and the aggregate is told at once: the log tells no more later.
BOOST_AUTO_TEST_CASE(what_is_in_doubt_where_the_log_is_damaged_holds_up_nobody) {
  settings.reconnect_limit = std::chrono::hours{1};
  log.faults = {fault::lost_after_commit};
  const auto requests = make.requests(9);
  const auto& damaged = requests[5];
  log.damaged = [&](const write_unit& unit) { return is(unit, damaged); };
  const auto outcomes = commit_each(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (&requests[i] == &damaged) continue;
    BOOST_TEST(outcomes[i].committed == 1U, to_string(outcomes[i].failure));
    BOOST_TEST(!outcomes[i].is_final);
  }
  BOOST_TEST((outcomes[5].failure.code == errc::in_doubt), to_string(outcomes[5].failure));
  BOOST_TEST((outcomes[5].failure.message.find("invalid page") != std::string::npos), outcomes[5].failure.message);
  BOOST_TEST((outcomes[5].trouble.code == errc::store_unavailable));
  BOOST_TEST(outcomes[5].is_final);
}

BOOST_AUTO_TEST_CASE(what_was_overtaken_where_the_log_is_damaged_is_told_so_and_holds_up_nobody) {
  settings.reconnect_limit = std::chrono::hours{1};
  auto requests = make.requests(9);
  auto& overtaken = requests[5];
  log.damaged = [&](const write_unit& unit) { return is(unit, overtaken); };
  auto other = overtaken;
  other.units[0].events[0].timestamp = make.request().units[0].events[0].timestamp;
  log.events[overtaken.aggregate_id] = other.units[0].events;
  const auto outcomes = commit_each(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    if (&requests[i] != &overtaken) BOOST_TEST(outcomes[i].committed == 1U, to_string(outcomes[i].failure));
  BOOST_TEST((outcomes[5].failure.code == errc::store_unavailable), to_string(outcomes[5].failure));
  BOOST_TEST(!outcomes[5].is_final);
}

// What came before it in the same request is not damaged: it is there, which leaves the rest in doubt, or it is written now.
BOOST_AUTO_TEST_CASE(a_request_is_cut_at_the_unit_whose_place_in_the_log_is_damaged) {
  settings.reconnect_limit = std::chrono::hours{1};
  for (const bool was_written : {true, false}) {
    log.faults = {was_written ? fault::lost_after_commit : fault::lost_before_commit, fault::reasonless_conflict};
    const auto request = make.request(3);
    log.damaged = [&](const write_unit& unit) { return is(unit, request, 1); };
    const auto outcome = commit(request);
    BOOST_TEST(outcome.committed == 1U);
    BOOST_TEST(stored(request) == (was_written ? 3U : 1U));
    BOOST_TEST((outcome.failure.code == (was_written ? errc::in_doubt : errc::store_unavailable)), to_string(outcome.failure));
    BOOST_TEST(outcome.is_final == was_written);
  }
}

// The halves that are left are not looked at, each for as long as a connection takes.
BOOST_AUTO_TEST_CASE(a_log_that_goes_away_while_damage_is_looked_for_is_waited_for_once) {
  log.faults = {fault::lost_after_commit};
  const auto requests = make.requests(16);
  log.damaged = [&](const write_unit& unit) { return is(unit, requests[0]); };
  int looks = 0;
  log.before_look = [&] { log.can_be_read = ++looks < 2; };
  for (const auto& outcome : commit_each(requests)) BOOST_TEST((outcome.failure.code == errc::in_doubt), to_string(outcome.failure));
  BOOST_TEST(log.looks_in_vain == log.attempts.size() - 1);  // All but the first attempt are followed by one.
}

BOOST_AUTO_TEST_CASE(a_doubt_is_final_when_the_log_will_never_be_read_again) {
  log.faults = {fault::lost_after_commit};
  log.always = fault::unavailable;
  auto request = make.request();
  auto outcome = commit(request);
  BOOST_TEST((outcome.failure.code == errc::in_doubt));
  BOOST_TEST(!outcome.is_final);
  log.cut_off = true;
  request.in_doubt = true;
  const auto other = make.request();
  const auto outcomes = commit({&request, &other});
  BOOST_TEST((outcomes[0].failure.code == errc::in_doubt));
  BOOST_TEST(outcomes[0].is_final);
  BOOST_TEST((outcomes[1].failure.code == errc::store_unavailable));
  BOOST_TEST(!outcomes[1].is_final);
}

BOOST_AUTO_TEST_CASE(what_expired_is_not_sent_and_takes_the_later_units_along) {
  auto request = make.request(3);
  request.units[1].expires_at = now - 1;
  request.units[2].expires_at = now;
  const auto outcome = commit(request);
  BOOST_TEST(outcome.committed == 1U);
  BOOST_TEST((outcome.failure.code == errc::timed_out));
  BOOST_TEST(stored(request) == 1U);
}

BOOST_AUTO_TEST_CASE(expiry_is_checked_before_every_attempt_but_not_while_in_doubt) {
  auto request = make.request();
  request.units[0].expires_at = now + 10;
  log.faults = {fault::unavailable};
  log.locked = [&](const write_unit&) { return now += 20, false; };
  BOOST_TEST(commit(request).committed == 1U);

  auto late = make.request();
  late.units[0].expires_at = now + 10;
  int attempts = 0;
  log.locked = [&](const write_unit&) { return now += 20, ++attempts == 1; };
  BOOST_TEST((commit(late).failure.code == errc::timed_out));

  // What may be there is looked for, whatever the time.
  log.locked = [](const write_unit&) { return false; };
  auto doubtful = make.request();
  BOOST_TEST(commit(doubtful).committed == 1U);
  doubtful.units[0].expires_at = now - 1;
  doubtful.in_doubt = true;
  BOOST_TEST(commit(doubtful).committed == 1U);
  BOOST_TEST(stored(doubtful) == 1U);
}

BOOST_AUTO_TEST_CASE(what_expires_while_nothing_can_be_written_is_told_why) {
  auto request = make.request();
  request.units[0].expires_at = now + 10;
  log.always = fault::unavailable;
  const commit_request* const only = &request;
  const auto outcome = group_commit(log, {&only, 1}, settings, [this] { return now += 4; }).front();
  BOOST_TEST(log.attempts.size() > 0U);
  BOOST_TEST((outcome.failure.code == errc::timed_out), to_string(outcome.failure));
  BOOST_TEST(outcome.failure.message == "the command expired before it could be written: it is down");
  BOOST_TEST((outcome.trouble.code == errc::store_unavailable));

  log.always = fault::none;
  request.units[0].expires_at = now;
  const auto late = commit(request);
  BOOST_TEST((late.failure.code == errc::none));
}

// The others of the batch go on.
BOOST_AUTO_TEST_CASE(what_expires_in_doubt_while_nothing_can_be_read_is_told_so) {
  settings.reconnect_limit = std::chrono::hours{1};
  auto request = make.request();
  request.units[0].expires_at = now + 10;
  const auto patient = make.request();
  log.faults = {fault::lost_before_commit};
  log.can_be_read = false;
  const std::vector<const commit_request*> both{&request, &patient};
  const auto outcomes = group_commit(log, both, settings, [this] { return now += 4; });
  BOOST_TEST((outcomes[0].failure.code == errc::in_doubt), to_string(outcomes[0].failure));
  BOOST_TEST((outcomes[0].failure.message.find("it cannot be read") != std::string::npos), outcomes[0].failure.message);
  BOOST_TEST((outcomes[0].trouble.code == errc::store_unavailable));
  BOOST_TEST(outcomes[1].committed == 1U);
  BOOST_TEST(stored(request) == 0U);
}

BOOST_AUTO_TEST_CASE(a_doubt_does_not_let_expired_units_through) {
  // Neither the unit that was lost nor the one that was never sent may be written when their time is over.
  auto lost = make.request(2);
  lost.in_doubt = true;
  for (auto& unit : lost.units) unit.expires_at = now - 1;
  BOOST_TEST((commit(lost).failure.code == errc::timed_out));
  BOOST_TEST(stored(lost) == 0U);

  // The first one is written in time, and with that nothing of the second is in doubt.
  auto half = make.request(2);
  half.in_doubt = true;
  half.units[0].expires_at = now + 10;
  half.units[1].expires_at = now + 10;
  settings.max_batch_events = 1;
  log.locked = [&](const write_unit&) { return now += 20, false; };
  const auto outcome = commit(half);
  BOOST_TEST(outcome.committed == 1U);
  BOOST_TEST((outcome.failure.code == errc::timed_out));
  BOOST_TEST(stored(half) == 1U);
}

BOOST_AUTO_TEST_CASE(a_unit_that_is_named_as_meeting_a_lock_is_put_aside_and_the_others_go_one_by_one) {
  std::vector<commit_request> requests;
  for (int i = 0; i < 64; ++i) requests.push_back(make.request());
  std::vector<const commit_request*> batch;
  for (const auto& request : requests) batch.push_back(&request);
  int met = 0;
  log.locked = [&](const write_unit& unit) { return is(unit, requests[40], 0) && met < 2 && ++met > 0; };
  const auto outcomes = group_commit(log, batch, settings, [this] { return now; });
  for (const auto& outcome : outcomes) BOOST_TEST(outcome.committed == 1U);
  // All, each of the others, and that one until it is let through: together they might meet the next lock.
  BOOST_TEST_REQUIRE(log.attempts.size() == 1U + 63U + 2U);
  BOOST_TEST(log.attempts[0].size() == 64U);
  for (std::size_t i = 1; i < log.attempts.size(); ++i) BOOST_TEST(log.attempts[i].size() == 1U);
  BOOST_TEST((log.attempts.back().front() == requests[40].aggregate_id));
}

// Whatever happens: what is reported committed is there once, in order; what is reported otherwise is not there, unless it
// is in doubt; and the others do not suffer.
BOOST_AUTO_TEST_CASE(outcomes_agree_with_the_log_under_random_faults) {
  const char* given = std::getenv("MAESTRO_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
  BOOST_TEST_MESSAGE("MAESTRO_TEST_SEED=" << seed);
  std::mt19937 random{seed};
  auto chance = [&](unsigned percent) { return random() % 100 < percent; };
  settings.reconnect_limit = std::chrono::milliseconds{5};
  settings.max_retries = 2;

  for (int round = 0; round < 60; ++round) {
    settings.max_batch_events = 1 + random() % 40;
    log.names_culprit = chance(50);
    log.isolates = chance(30);
    std::vector<commit_request> requests;
    for (std::size_t i = 0, count = 1 + random() % 40; i < count; ++i)
      requests.push_back(make.request(make.fresh_id(), 1 + random() % 3, 1 + random() % 3));
    std::set<const commit_unit*> bad;
    std::set<const commit_unit*> locked;
    for (auto& request : requests)
      for (auto& unit : request.units) {
        if (chance(3)) bad.insert(&unit);
        if (chance(3)) locked.insert(&unit);
        if (chance(3)) unit.expires_at = now - 1;
      }
    log.poison = [&](const write_unit& unit) { return bad.contains(unit.unit); };
    log.locked = [&](const write_unit& unit) { return locked.contains(unit.unit) && chance(80); };
    log.faults.clear();
    for (int i = 0; i < 30; ++i)
      log.faults.push_back(chance(70) ? fault::none : static_cast<fault>(random() % 4));

    const auto outcomes = commit_each(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      std::vector<event> expected;
      for (std::size_t unit = 0; unit < outcomes[i].committed; ++unit)
        for (const auto& event : requests[i].units[unit].events) expected.push_back(event);
      const auto& rows = log.events[requests[i].aggregate_id];
      const bool in_doubt = outcomes[i].failure.code == errc::in_doubt;
      BOOST_TEST((in_doubt ? rows.size() >= expected.size() : rows.size() == expected.size()));
      for (std::size_t at = 0; at < std::min(rows.size(), expected.size()); ++at)
        BOOST_TEST((rows[at].timestamp == expected[at].timestamp));
      BOOST_TEST((outcomes[i].committed == requests[i].units.size()) == !outcomes[i].failure);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
