#include "traffic.hpp"

#include "../store/dice.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdlib>
#include <functional>
#include <sstream>

using namespace test;

namespace {

// What happened in the history that is falsified below, by the numbers of its commands and queries. One after the other, so
// that there is one order only.
enum told : std::size_t { added_1, climbed, added_9, too_much, seen_twice, reused, claimed_red, red_is_taken, looked, threw,
                          threw_in_apply, at_six, at_three, expired };
enum asked : std::size_t { got, fetched, called, got_again };

auto true_history(stage& on) -> recorded_history {
  owner one(on.system, *on.store);
  owner two(on.system, *on.store);
  const auto other = on.clock.fresh<aggregate_id>();
  const std::array actors{one.start(*on.type, on.id), two.start(*on.type, on.id), one.start(*on.type, other)};
  recorder notes;
  const auto label = "red of " + on.id.text();
  const auto tell = [&]<class Command>(std::size_t whom, const Command& what, command_id id, return_mode returns,
                                       std::optional<sequence_number> expect = {}, std::uint64_t expires_at = 0) {
    recorded_command next;
    next.owner = whom == 1 ? 2 : 1;
    next.aggregate = whom == 2 ? other : on.id;
    next.id = id ? id : on.clock.fresh<command_id>();
    next.name = registered_name<Command>();
    next.payload = encode(what).value();
    next.expect_sequence = expect;
    next.returns = returns;
    next.expires_at = expires_at;
    notes.send(actors.at(whom), next, !id);
    notes.wait(next.owner, 0);
  };
  const auto ask = [&](std::size_t whom, query_kind kind, std::string name = {}) {
    recorded_query next;
    next.owner = whom == 1 ? 2 : 1;
    next.aggregate = on.id;
    next.kind = kind;
    next.name = std::move(name);
    notes.send(actors.at(whom), next);
    notes.wait(next.owner, 0);
  };
  const auto twice = on.clock.fresh<command_id>();
  tell(0, add{1}, {}, return_mode::state);                // 1
  tell(1, climb{3}, twice, return_mode::events);          // 2 to 4
  ask(0, query_kind::get);                                // Still shows 1.
  const auto newest = on.store->open_reader()->get_events(on.id, {}).value().back().timestamp;
  std::vector<event> foreign(1);
  foreign[0] = {on.clock.now_above(newest), on.id, 5, "counter", "added", R"({"amount":10})", std::nullopt, "", nullptr};
  notes.append(*on.store->open_writer(), std::move(foreign), newest);  // 5
  tell(0, add{9}, {}, return_mode::sequences);            // 6
  tell(0, add_below{5, 20}, {}, return_mode::sequences);  // The total is 26.
  tell(0, climb{3}, twice, return_mode::state);
  tell(0, add{3}, twice, return_mode::sequences);
  tell(1, claim{label}, {}, return_mode::sequences);      // 7
  tell(2, claim{label}, {}, return_mode::sequences);
  tell(1, look{}, {}, return_mode::state);
  tell(0, throw_in_eval{}, {}, return_mode::sequences);
  tell(0, throw_in_apply{}, {}, return_mode::sequences);
  tell(1, add{4}, {}, return_mode::sequences, 7);         // 8
  tell(1, add{5}, {}, return_mode::sequences, 3);
  tell(1, add{6}, {}, return_mode::sequences, std::nullopt, 1);
  ask(0, query_kind::fetch);
  ask(1, query_kind::call, "average");
  ask(0, query_kind::get);
  return notes.history(*on.store->open_reader(), {on.id, other});
}

struct lie {
  const char* name;
  rule broken;  ///< By it.
  std::function<void(recorded_history&, std::vector<event>& log)> tell;
};

auto event_like(event row, sequence_number sequence) -> event {
  row.sequence = sequence;
  row.timestamp.bytes[15] = static_cast<std::uint8_t>(row.timestamp.bytes[15] ^ 1);
  return row;
}

// Puts the sequences of a log right that was cut or mended.
void count_anew(std::vector<event>& log) {
  hybrid_clock clock;
  timestamp last;
  for (std::size_t i = 0; i < log.size(); ++i) {
    log[i].sequence = static_cast<sequence_number>(i + 1);
    if (log[i].timestamp <= last) log[i].timestamp = clock.now_above(last);
    last = log[i].timestamp;
  }
}

void accept(recorded_command& command, sequence_number first, sequence_number last) {
  command.answer = {};
  command.answer.first = first;
  command.answer.last = last;
}

const std::vector<lie> lies = {
    {"an event is lost", rule::the_log_is_whole, [](auto&, auto& log) { log.erase(log.begin() + 4); }},
    {"two events change places", rule::the_log_is_whole, [](auto&, auto& log) { std::swap(log[0], log[5]); }},
    {"two events change sequences", rule::the_log_is_whole, [](auto&, auto& log) { std::swap(log[0].sequence, log[5].sequence); }},
    {"an event goes back in time", rule::the_log_is_whole, [](auto&, auto& log) { log[5].timestamp = log[0].timestamp; }},
    {"an event is another type's", rule::the_log_is_whole, [](auto&, auto& log) { log[7].aggregate_type = "account"; }},
    {"an event is another aggregate's", rule::the_log_is_whole,
     [](auto& all, auto& log) { log[7].aggregate_id = all.commands[red_is_taken].aggregate; }},
    {"an event has no type that is known", rule::the_log_is_whole, [](auto&, auto& log) { log[7].type = "vanished"; }},
    {"the last event is lost", rule::an_accepted_command_is_in_the_log, [](auto&, auto& log) { log.pop_back(); }},
    {"a command is lost and the rest moves up", rule::events_are_what_eval_gives,
     [](auto&, auto& log) {
       log.erase(log.begin() + 6);
       count_anew(log);
     }},
    {"the log is lost", rule::an_accepted_command_is_in_the_log, [](auto&, auto& log) { log.clear(); }},
    {"half a command is lost", rule::events_are_what_eval_gives,
     [](auto&, auto& log) {
       log.erase(log.begin() + 3);
       count_anew(log);
     }},
    {"the first half of a command is lost", rule::a_command_is_in_the_log_once,
     [](auto&, auto& log) {
       log.erase(log.begin() + 1);
       count_anew(log);
     }},
    {"a command's events change places", rule::events_are_what_eval_gives, [](auto&, auto& log) { std::swap(log[2].body, log[3].body); }},
    {"a command is in two pieces", rule::a_command_is_in_the_log_once,
     [](auto&, auto& log) {
       std::swap(log[3], log[4]);
       count_anew(log);
     }},
    {"a command is there twice, together", rule::a_command_is_in_the_log_once,
     [](auto&, auto& log) {
       log.insert(log.begin() + 1, event_like(log[0], 2));
       count_anew(log);
     }},
    {"a command is there twice, later", rule::a_command_is_in_the_log_once,
     [](auto&, auto& log) {
       log.push_back(log[0]);
       count_anew(log);
     }},
    {"a body is changed", rule::events_are_what_eval_gives, [](auto&, auto& log) { log[0].body = R"({"amount":2})"; }},
    {"an event becomes another one", rule::events_are_what_eval_gives,
     [](auto&, auto& log) {
       log[7].type = "claimed";
       log[7].body = R"({"label":"blue"})";
     }},
    {"a body of a stranger's is changed", rule::every_event_was_sent, [](auto&, auto& log) { log[4].body = R"({"amount":11})"; }},
    {"an event comes from nowhere", rule::every_event_was_sent,
     [](auto&, auto& log) {
       auto row = event_like(log[4], 9);
       row.timestamp = hybrid_clock().now_above(log.back().timestamp);
       log.push_back(row);
     }},
    {"a command comes from nowhere", rule::every_event_was_sent,
     [](auto& all, auto&) { all.commands.erase(all.commands.begin() + at_six); }},
    {"a command has another's payload", rule::every_event_was_sent,
     [](auto& all, auto&) { all.commands[added_9].payload = R"({"amount":8})"; }},
    {"what was refused is there", rule::what_was_refused_is_not_in_the_log,
     [](auto& all, auto&) {
       all.commands[added_9].answer = {};
       all.commands[added_9].answer.failure = reject("no");
     }},
    {"what could be sent again is there", rule::what_was_refused_is_not_in_the_log,
     [](auto& all, auto&) {
       all.commands[added_9].answer = {};
       all.commands[added_9].answer.failure = {errc::too_many_conflicts, ""};
     }},
    {"what was refused to a stranger is there", rule::what_was_refused_is_not_in_the_log,
     [](auto& all, auto&) { all.appends[0].failure = {errc::retry_command, ""}; }},
    {"what a stranger wrote is not there", rule::an_accepted_command_is_in_the_log,
     [](auto& all, auto& log) {
       all.appends.push_back(all.appends[0]);
       all.appends[1].events[0] = event_like(log[4], 9);
     }},
    {"what was accepted is not there", rule::an_accepted_command_is_in_the_log,
     [](auto& all, auto&) { accept(all.commands[expired], 9, 9); }},
    {"a rejected command is said to be accepted", rule::an_accepted_command_is_in_the_log,
     [](auto& all, auto&) { accept(all.commands[too_much], 6, 6); }},
    {"an accepted command is told a later sequence", rule::an_accepted_command_is_in_the_log,
     [](auto& all, auto&) { accept(all.commands[added_9], 7, 7); }},
    {"an accepted command is told of a half", rule::an_accepted_command_is_in_the_log,
     [](auto& all, auto&) { all.commands[climbed].answer.last = 3; }},
    {"an accepted command is told of no events", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { accept(all.commands[expired], 0, 0); }},
    {"a state is another one", rule::an_answer_shows_what_is_in_the_log,
     [](auto& all, auto&) { all.commands[added_1].answer.state = R"({"total":2,"amounts":[2]})"; }},
    {"a state is not shown", rule::an_answer_shows_what_is_in_the_log,
     [](auto& all, auto&) { all.commands[added_1].answer.state.clear(); }},
    {"a repeated answer shows a later state", rule::an_answer_shows_what_is_in_the_log,
     [](auto& all, auto&) { all.commands[seen_twice].answer.state = all.queries[fetched].answer.state; }},
    {"an event is not shown", rule::an_answer_shows_what_is_in_the_log,
     [](auto& all, auto&) { all.commands[climbed].answer.events.pop_back(); }},
    {"an event is shown as another", rule::an_answer_shows_what_is_in_the_log,
     [](auto& all, auto&) { all.commands[climbed].answer.events[1].body = R"({"amount":7})"; }},
    {"a command is the first twice", rule::one_attempt_at_a_command_is_the_first,
     [](auto& all, auto&) { all.commands[seen_twice].answer.repeated = false; }},
    {"a command is repeated that was sent once", rule::one_attempt_at_a_command_is_the_first,
     [](auto& all, auto&) { all.commands[added_9].answer.repeated = true; }},
    {"a repeated command is rejected", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) {
       all.commands[seen_twice].expect_sequence = 3;
       all.commands[seen_twice].answer = all.commands[at_three].answer;
       auto& told = all.commands[seen_twice].answer.failure.message;
       told.replace(told.find("sequence 8"), 10, "sequence 6");
     }},
    {"a rejection has a reason that no state gives", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.commands[too_much].answer.failure.message = "the total is 25"; }},
    {"a rejection has another code", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.commands[too_much].answer.failure.code = errc::program_failed; }},
    {"a rejection is stale", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.commands[too_much].answer.failure.message = "the total is 17"; }},
    {"a rejection tells the future", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.commands[too_much].answer.failure.message = "the total is 30"; }},
    {"a rejection rests on half a command", rule::some_state_explains_an_answer,
     [](auto& all, auto&) {
       all.commands[too_much].payload = R"({"amount":5,"limit":0})";
       all.commands[too_much].answer.failure.message = "the total is 4";
     }},
    {"a command is refused at the sequence that it expects", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.commands[at_three].expect_sequence = 8; }},
    {"a wrong sequence is stale", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) {
       auto& told = all.commands[at_three].answer.failure.message;
       told.replace(told.find("sequence 8"), 10, "sequence 7");
     }},
    {"a command is accepted at another sequence than it expects", rule::events_are_what_eval_gives,
     [](auto& all, auto&) { all.commands[at_six].expect_sequence = 6; }},
    {"eval is said to throw where it does not", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.commands[too_much].answer.failure = all.commands[threw].answer.failure; }},
    {"an apply that throws is said to have done nothing", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { accept(all.commands[threw_in_apply], 0, 0); }},
    {"a command without events shows a stale state", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.commands[looked].answer.state = all.commands[added_1].answer.state; }},
    {"a command without events shows the future", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.commands[looked].answer.state = all.queries[fetched].answer.state; }},
    {"a fetch is stale", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) {
       all.queries[fetched].answer.sequence = 1;
       all.queries[fetched].answer.state = all.commands[added_1].answer.state;
     }},
    {"a fetch shows another state than its sequence's", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.queries[fetched].answer.sequence = 7; }},
    {"a fetch shows half a command", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.queries[fetched].answer = {{}, 3, R"({"total":4,"amounts":[1,1,2]})"}; }},
    {"a fetch shows what is not there", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.queries[fetched].answer.sequence = 9; }},
    {"a fetch stops short of what it was to reach", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.queries[fetched].at_least = 9; }},
    {"a call has another answer", rule::some_state_explains_an_answer,
     [](auto& all, auto&) { all.queries[called].answer.state = R"({"value":1.0})"; }},
    {"a call is stale", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.queries[called].answer = {{}, 1, R"({"value":1.0})"}; }},
    {"get shows what is still to be sent", rule::the_state_is_of_the_time_of_asking,
     [](auto& all, auto&) { all.queries[got].answer = all.queries[fetched].answer; }},
    {"get goes back", rule::what_get_shows_never_goes_back,
     [](auto& all, auto&) { all.queries[got_again].answer = all.queries[got].answer; }},
    {"what was sent later is in the log before what was over", rule::what_was_over_comes_first,
     [](auto& all, auto&) {
       all.appends[0].sent = all.commands[added_9].answered;
       all.appends[0].answered = all.commands[too_much].sent;
     }},
    {"a label has two holders", rule::a_label_has_one_holder,
     [](auto& all, auto& log) {
       auto& second = all.commands[red_is_taken];
       auto row = event_like(log[6], 1);
       row.aggregate_id = second.aggregate;
       row.command_id = second.id;
       all.logs[second.aggregate].push_back(row);
       accept(second, 1, 1);
     }},
    {"a label is refused that nobody holds", rule::a_label_is_refused_when_somebody_holds_it,
     [](auto& all, auto&) { all.commands[red_is_taken].payload = R"({"label":"blue"})"; }},
    {"a label is refused before anybody asked for it", rule::a_label_is_refused_when_somebody_holds_it,
     [](auto& all, auto&) {
       all.commands[red_is_taken].sent = 0;
       all.commands[red_is_taken].answered = 1;
     }},
    {"a projection fails that there is not", rule::a_label_is_refused_when_somebody_holds_it,
     [](auto& all, auto&) { all.commands[too_much].answer.failure = all.commands[red_is_taken].answer.failure; }},
    {"an id is said to be used that is not", rule::an_id_is_refused_when_another_command_has_it,
     [](auto& all, auto&) { all.commands[too_much].answer.failure = all.commands[reused].answer.failure; }},
    {"a command is not answered", rule::everybody_is_answered, [](auto& all, auto&) { all.commands[looked].answered = 0; }},
    {"a query is not answered", rule::everybody_is_answered, [](auto& all, auto&) { all.queries[got].answered = 0; }},
    {"the runtime is at fault", rule::everybody_is_answered,
     [](auto& all, auto&) { all.commands[expired].answer.failure = {errc::internal_error, ""}; }},
    {"the runtime lets its own code out", rule::everybody_is_answered,
     [](auto& all, auto&) { all.commands[expired].answer.failure = {errc::retry_command, ""}; }},
};

auto traffic_steps() -> std::size_t {
  const char* given = std::getenv("MAESTRO_TEST_STEPS");
  return given != nullptr && *given != '\0' ? std::stoul(given) : 400;
}

// How often each answer was given.
auto answers_in(const recorded_history& history) -> std::map<std::string, std::size_t> {
  std::map<std::string, std::size_t> answers;
  for (const auto& command : history.commands) {
    const auto& got = command.answer;
    if (got.failure) ++answers[std::string(to_string(got.failure.code))];
    else ++answers[got.repeated ? "repeated" : got.last > 0 ? "accepted" : "without events"];
  }
  return answers;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(serial_order, stage)

BOOST_AUTO_TEST_CASE(a_true_history_is_explained) {
  const auto all = true_history(*this);
  BOOST_TEST_REQUIRE(all.commands.size() == expired + 1U);
  for (const std::size_t number : {added_1, climbed, added_9, seen_twice, claimed_red, looked, at_six})
    BOOST_TEST(!all.commands[number].answer.failure, to_string(all.commands[number].answer.failure));
  BOOST_TEST(all.queries[got].answer.sequence == 1);
  BOOST_TEST(all.logs.at(id).size() == 8U);
  const auto found = find_contradiction(all, *type);
  BOOST_TEST(!found, *found);
}

BOOST_AUTO_TEST_CASE(a_false_history_is_refused_by_name) {
  const auto truth = true_history(*this);
  for (const auto& which : lies) {
    auto all = truth;
    which.tell(all, all.logs.at(id));
    const auto found = find_contradiction(all, *type);
    BOOST_TEST(found.has_value(), which.name << " went unnoticed");
    if (found) BOOST_TEST(found->broken == which.broken, which.name << ": " << *found);
  }
}

// What is not known is no lie.
BOOST_AUTO_TEST_CASE(what_is_in_doubt_is_in_the_log_or_is_not) {
  auto all = true_history(*this);
  for (const std::size_t number : {climbed, added_9, expired}) {
    all.commands[number].answer = {};
    all.commands[number].answer.failure = {errc::in_doubt, "nobody knows"};
  }
  const auto found = find_contradiction(all, *type);
  BOOST_TEST(!found, *found);
}

// What overlaps may have come in either order.
BOOST_AUTO_TEST_CASE(an_older_state_explains_what_was_sent_before_the_newer_one_was_told) {
  auto all = true_history(*this);
  all.commands[too_much].payload = R"({"amount":5,"limit":10})";
  all.commands[too_much].answer.failure.message = "the total is 17";
  BOOST_TEST(find_contradiction(all, *type).has_value());
  std::swap(all.commands[too_much].sent, all.commands[added_9].answered);
  const auto found = find_contradiction(all, *type);
  BOOST_TEST(!found, *found);
}

BOOST_AUTO_TEST_CASE(random_traffic_is_explained_by_a_serial_order) {
  const auto seed = maestro::test::test_seed();
  std::map<std::string, std::size_t> answers;
  for (std::uint64_t round = 0; round < 6; ++round) {
    traffic_plan plan;
    plan.seed = seed + round;
    plan.commands = traffic_steps();
    plan.bad_days = round % 2 == 1;
    const auto report = run_traffic(*this, plan);
    const auto found = find_contradiction(report.history, *type);
    BOOST_TEST_REQUIRE(!found, "round " << round << " with MAESTRO_TEST_SEED=" << seed << ": " << *found);
    std::ostringstream summary;
    for (const auto& [answer, count] : answers_in(report.history)) {
      summary << ", " << count << " " << answer;
      answers[answer] += count;
    }
    answers["conflicts"] += report.conflicts;
    answers["retired"] += report.retired;
    BOOST_TEST_MESSAGE("round " << round << ": " << report.history.commands.size() << " commands, "
                                << report.history.queries.size() << " queries, " << report.history.appends.size()
                                << " appends, " << report.conflicts << " conflicts, " << report.bad_days
                                << " bad days, " << report.retired << " retired" << summary.str());
  }
  for (const auto* often : {"accepted", "repeated", "without events", "rejected", "wrong_sequence", "program_failed",
                            "projection_failed", "command_id_reused", "conflicts", "retired"})
    BOOST_TEST(answers[often] > 0U, often << " never happened");
}

BOOST_AUTO_TEST_SUITE_END()
