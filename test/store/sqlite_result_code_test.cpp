// What SQLite's errors mean: each result code that is told apart, at each stage.
#include <maestro/store/sqlite/failure.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <initializer_list>
#include <sqlite3.h>
#include <utility>

using namespace maestro;
using namespace maestro::sqlite;

namespace {

// For each stage a word: the status of the outcome, and where that is `failed` the error's code instead; for stages without
// an outcome the code.
struct expectation {
  std::string begin, events, projection, commit, call, query, migration;
};

auto word_for(const sql_error& problem, stage at) -> std::string {
  const auto outcome = outcome_of(problem, at);
  switch (outcome.status) {
    case write_status::failed: return std::string(to_string(outcome.failure.code));
    case write_status::conflict: return "conflict";
    case write_status::unavailable: return "unavailable";
    case write_status::in_doubt: return "in_doubt";
    default: return "another status";
  }
}

void check(std::initializer_list<int> codes, const expectation& expected) {
  const std::array<std::pair<stage, std::string>, 4> outcomes{{{stage::begin, expected.begin},
                                                               {stage::events, expected.events},
                                                               {stage::projection, expected.projection},
                                                               {stage::commit, expected.commit}}};
  const std::array<std::pair<stage, std::string>, 3> others{
      {{stage::call, expected.call}, {stage::query, expected.query}, {stage::migration, expected.migration}}};
  for (const int code : codes) {
    const sql_error problem(code, "the message");
    for (const auto& [at, word] : outcomes)
      BOOST_TEST(word_for(problem, at) == word, code << " at stage " << static_cast<int>(at) << ": " << word_for(problem, at)
                                                     << ", not " << word);
    for (const auto& [at, word] : others)
      BOOST_TEST(to_string(error_of(problem, at).code) == word, code << " at stage " << static_cast<int>(at) << ": "
                                                                     << to_string(error_of(problem, at).code) << ", not " << word);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sqlite_result_codes)

BOOST_AUTO_TEST_CASE(a_file_in_trouble_has_taken_nothing_and_may_recover) {
  check({SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_LOCKED, SQLITE_FULL, SQLITE_READONLY, SQLITE_READONLY_DBMOVED, SQLITE_CANTOPEN,
         SQLITE_NOMEM, SQLITE_NOTADB, SQLITE_PERM, SQLITE_PROTOCOL, SQLITE_INTERRUPT},
        {"unavailable", "unavailable", "unavailable", "unavailable", "store_unavailable", "store_unavailable",
         "store_unavailable"});
}

BOOST_AUTO_TEST_CASE(a_damaged_page_is_the_matter_of_what_is_read_or_written_there) {
  check({SQLITE_CORRUPT, SQLITE_CORRUPT_INDEX},
        {"unavailable", "store_unavailable", "program_failed", "unavailable", "store_unavailable", "store_unavailable",
         "store_unavailable"});
  const sql_error problem(SQLITE_CORRUPT, "the message");
  for (const stage at : {stage::begin, stage::commit, stage::query}) BOOST_TEST(!error_of(problem, at).is_damage);
  for (const stage at : {stage::events, stage::call}) BOOST_TEST(error_of(problem, at).is_damage);
}

BOOST_AUTO_TEST_CASE(a_write_or_sync_that_fails_leaves_only_a_commit_in_doubt) {
  check({SQLITE_IOERR, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC},
        {"unavailable", "unavailable", "unavailable", "in_doubt", "store_unavailable", "store_unavailable", "store_unavailable"});
}

BOOST_AUTO_TEST_CASE(a_key_of_the_log_that_is_taken_is_a_conflict) {
  check({SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY},
        {"internal_error", "conflict", "projection_failed", "projection_failed", "internal_error", "invalid_argument",
         "internal_error"});
}

BOOST_AUTO_TEST_CASE(a_row_that_is_refused_is_the_events_or_the_projections_fault) {
  check({SQLITE_CONSTRAINT, SQLITE_CONSTRAINT_CHECK, SQLITE_CONSTRAINT_NOTNULL, SQLITE_CONSTRAINT_FOREIGNKEY,
         SQLITE_CONSTRAINT_TRIGGER},
        {"internal_error", "invalid_event", "projection_failed", "projection_failed", "internal_error", "invalid_argument",
         "internal_error"});
}

BOOST_AUTO_TEST_CASE(a_value_that_no_table_takes_is_the_programs_fault) {
  check({SQLITE_TOOBIG, SQLITE_MISMATCH, SQLITE_CONSTRAINT_DATATYPE},
        {"internal_error", "invalid_event", "program_failed", "program_failed", "internal_error", "invalid_argument",
         "internal_error"});
}

BOOST_AUTO_TEST_CASE(a_statement_of_the_store_that_does_not_fit_misses_a_migration) {
  check({SQLITE_ERROR}, {"internal_error", "unavailable", "program_failed", "internal_error", "store_unavailable",
                         "invalid_argument", "internal_error"});
  const sql_error problem(SQLITE_ERROR, "no such table");
  BOOST_TEST((error_of(problem, stage::events).message.find("`maestro migrate`") != std::string::npos));
  BOOST_TEST(error_of(problem, stage::projection).message == "projection failed: no such table");
}

BOOST_AUTO_TEST_CASE(what_is_not_named_is_a_defect_or_the_projections_fault) {
  check({SQLITE_MISUSE, SQLITE_RANGE, SQLITE_AUTH, SQLITE_ABORT, SQLITE_INTERNAL},
        {"internal_error", "internal_error", "program_failed", "internal_error", "internal_error", "invalid_argument",
         "internal_error"});
}

BOOST_AUTO_TEST_SUITE_END()
