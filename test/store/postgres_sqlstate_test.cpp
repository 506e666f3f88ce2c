// What PostgreSQL's failures mean: each SQLSTATE that is told apart, at each stage.
#include <maestro/store/postgres/failure.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::postgres;

namespace {

constexpr bool is_lost = true;
constexpr bool is_outdated = true;

// For each stage a word: the status of the outcome, and where that is `failed` the error's code instead; for stages without
// an outcome the code.
struct expectation {
  failure problem;
  std::string events, insert, projection, commit, call, query, migration;
};

auto with(const std::string& sqlstate, const std::string& constraint = {}) -> failure {
  return {sqlstate, constraint, "the message", !is_lost};
}

auto word_for(const failure& problem, stage at, bool is_spread = false) -> std::string {
  const auto outcome = outcome_of(problem, at, is_spread);
  switch (outcome.status) {
    case write_status::failed: return std::string(to_string(outcome.failure.code));
    case write_status::conflict: return "conflict";
    case write_status::contention: return "contention";
    case write_status::unavailable: return "unavailable";
    case write_status::in_doubt: return "in_doubt";
    case write_status::committed: break;
  }
  return "committed";
}

auto code_for(const failure& problem, stage at) -> std::string { return std::string(to_string(error_of(problem, at).code)); }

void check(const expectation& expected) {
  const failure& problem = expected.problem;
  const std::array<std::pair<stage, std::string>, 5> outcomes{{{stage::begin, expected.events},
                                                               {stage::events, expected.events},
                                                               {stage::insert, expected.insert},
                                                               {stage::projection, expected.projection},
                                                               {stage::commit, expected.commit}}};
  for (const auto& [at, word] : outcomes)
    BOOST_TEST(word_for(problem, at) == word, problem.sqlstate() << " at stage " << static_cast<int>(at) << ": "
                                                                 << word_for(problem, at) << ", not " << word);
  const std::array<std::pair<stage, std::string>, 3> codes{
      {{stage::call, expected.call}, {stage::query, expected.query}, {stage::migration, expected.migration}}};
  for (const auto& [at, word] : codes)
    BOOST_TEST(code_for(problem, at) == word, problem.sqlstate() << " at stage " << static_cast<int>(at) << ": "
                                                                 << code_for(problem, at) << ", not " << word);
}

// `problem` at the four stages of a transaction, and away for every other call.
auto away(failure problem, std::string events, std::string insert, std::string projection, std::string commit) -> expectation {
  return {std::move(problem),  std::move(events),   std::move(insert),  std::move(projection),
          std::move(commit),   "store_unavailable", "store_unavailable", "store_unavailable"};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(postgres_sqlstates)

BOOST_AUTO_TEST_CASE(a_lost_connection_leaves_only_a_commit_in_doubt_whatever_was_said_last) {
  for (const char* sqlstate : {"", "08P01", "23505", "57P01", "57P02", "25P03"})
    check(away({sqlstate, "", "the message", is_lost}, "unavailable", "in_doubt", "unavailable", "in_doubt"));
}

BOOST_AUTO_TEST_CASE(a_server_that_does_not_know_the_outcome_leaves_it_in_doubt) {
  for (const char* sqlstate : {"08000", "08006", "08007", "40003", "57P01", "57P02", "57P03", "57P04"})
    check(away(with(sqlstate), "unavailable", "in_doubt", "unavailable", "in_doubt"));
}

BOOST_AUTO_TEST_CASE(a_server_in_trouble_has_written_nothing_and_may_recover) {
  for (const char* sqlstate : {"25006", "28P01", "3D000", "53100", "53200", "53300", "58000", "58030", "F0000"})
    check(away(with(sqlstate), "unavailable", "unavailable", "unavailable", "unavailable"));
}

BOOST_AUTO_TEST_CASE(a_transaction_that_met_another_is_contention) {
  for (const char* sqlstate : {"40001", "40P01", "40000", "55P03", "72000"})
    check(away(with(sqlstate), "contention", "contention", "contention", "contention"));
}

BOOST_AUTO_TEST_CASE(a_projection_that_asks_for_too_much_costs_itself_alone) {
  check(away(with("57014"), "contention", "contention", "store_unavailable", "contention"));
  check(away(with("53400"), "unavailable", "unavailable", "store_unavailable", "unavailable"));
}

BOOST_AUTO_TEST_CASE(a_key_of_the_log_that_is_taken_is_a_conflict_and_any_other_a_refused_row) {
  for (const char* constraint :
       {"event_log_pkey", "aggregate_sequence_index", "event_log_1_pkey", "event_log_1_aggregate_id_sequence_idx",
        "event_log_pkey_102009", "aggregate_sequence_index_102010", ""})
    check({with("23505", constraint), "conflict", "conflict", "projection_failed", "projection_failed", "internal_error",
           "invalid_argument", "internal_error"});
  for (const failure& problem : {with("23505", "my_index"), with("23505", "my_index_102009"), with("23505", "102009"), with("23514"), with("23502", "event_log_pkey")})
    check({problem, "invalid_event", "invalid_event", "projection_failed", "projection_failed", "internal_error",
           "invalid_argument", "internal_error"});
}

BOOST_AUTO_TEST_CASE(only_a_constraint_or_a_trigger_of_a_projection_answers_a_command) {
  check({with("P0001"), "internal_error", "internal_error", "projection_failed", "projection_failed", "internal_error",
         "invalid_argument", "internal_error"});
  for (const failure& problem : {with("22P02"), with("22021"), with("54000"), with("54001")})
    check({problem, "invalid_event", "invalid_event", "program_failed", "program_failed", "internal_error",
           "invalid_argument", "internal_error"});
}

BOOST_AUTO_TEST_CASE(what_is_missing_forbidden_or_defective_is_the_stores_matter_only_in_its_own_statements) {
  for (const char* sqlstate : {"42P01", "42703"})
    check({with(sqlstate), "unavailable", "unavailable", "program_failed", "program_failed", "store_unavailable",
           "invalid_argument", "internal_error"});
  check({with("42501"), "unavailable", "unavailable", "program_failed", "program_failed", "store_unavailable",
         "invalid_argument", "invalid_setting"});
}

// A single server has rolled back what ends in an error; of several one may have committed.
BOOST_AUTO_TEST_CASE(a_defect_costs_the_unit_that_meets_it_and_leaves_a_commit_in_doubt) {
  for (const char* sqlstate : {"XX000", "XX001", "XX002"}) {
    const auto problem = with(sqlstate);
    BOOST_TEST(word_for(problem, stage::begin) == "unavailable");
    for (const stage at : {stage::events, stage::insert}) BOOST_TEST(word_for(problem, at) == "store_unavailable");
    BOOST_TEST(word_for(problem, stage::events, true) == "unavailable");
    BOOST_TEST(word_for(problem, stage::insert, true) == "in_doubt");
    for (const bool is_spread : {false, true}) {
      BOOST_TEST(word_for(problem, stage::projection, is_spread) == "program_failed");
      BOOST_TEST(word_for(problem, stage::commit, is_spread) == "in_doubt");
    }
    for (const stage at : {stage::call, stage::query, stage::migration}) BOOST_TEST(code_for(problem, at) == "store_unavailable");
    // Nor does the loss of a machine damage what it holds.
    BOOST_TEST(error_of(problem, stage::call).is_damage);
    BOOST_TEST(!error_of(problem, stage::call, true).is_damage);
  }
}

BOOST_AUTO_TEST_CASE(a_statement_that_is_prepared_no_more_is_tried_on_another_connection) {
  for (const failure& problem : {with("26000"), failure("0A000", "", "the message", !is_lost, is_outdated)})
    check({problem, "unavailable", "unavailable", "unavailable", "unavailable", "store_unavailable", "store_unavailable",
           "internal_error"});
}

BOOST_AUTO_TEST_CASE(what_is_not_named_is_the_statements_fault) {
  for (const char* sqlstate : {"", "08P01", "0A000", "25P02", "42601", "42883", "ZZZZZ"})
    check({with(sqlstate), "internal_error", "internal_error", "program_failed", "program_failed", "internal_error",
           "invalid_argument", "internal_error"});
}

BOOST_AUTO_TEST_CASE(only_what_another_connection_is_rid_of_costs_the_connection) {
  for (const char* sqlstate : {"08006", "08007", "25006", "26000", "40003", "57P01"}) BOOST_TEST(spoils_connection(with(sqlstate)), sqlstate);
  BOOST_TEST(spoils_connection({"", "", "the message", is_lost}));
  BOOST_TEST(spoils_connection({"0A000", "", "the message", !is_lost, is_outdated}));
  for (const char* sqlstate : {"", "0A000", "22P02", "23505", "40001", "42P01", "53100", "55P03", "57014", "XX000"})
    BOOST_TEST(!spoils_connection(with(sqlstate)), sqlstate);
}

BOOST_AUTO_TEST_CASE(a_failure_says_what_was_violated_and_what_to_do) {
  const auto message = [](const failure& problem, stage at) { return error_of(problem, at).message; };
  BOOST_TEST(message(with("23514", "small"), stage::projection) == "projection failed: the message (constraint \"small\")");
  BOOST_TEST((message(with("42P01"), stage::events).find("`maestro migrate`") != std::string::npos));
  BOOST_TEST((message(with("42703"), stage::call).find("`maestro migrate`") != std::string::npos));
  BOOST_TEST((message(with("57014"), stage::projection).find("store.statement-timeout") != std::string::npos));
}

BOOST_AUTO_TEST_SUITE_END()
