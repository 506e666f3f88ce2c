#include <maestro/store/projection_tables.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace maestro;

namespace {

auto names(const std::vector<std::string>& scripts) -> std::string {
  std::vector<migration_step> steps;
  for (const auto& script : scripts) steps.push_back({"some", static_cast<int>(steps.size()) + 1, script});
  std::string all;
  for (const auto& table : tables_of(steps)) all += (all.empty() ? "" : " ") + table.name;
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tables_of_projections)

BOOST_AUTO_TEST_CASE(are_those_that_the_steps_leave) {
  BOOST_TEST(names({"CREATE TABLE a (x int)", "create unlogged table if not exists Other.B (x int); CREATE INDEX i ON a (x)"}) == "a other.b");
  BOOST_TEST(names({"CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE TABLE c (x int)", "DROP TABLE IF EXISTS A, c CASCADE"}) == "b");
  BOOST_TEST(names({"CREATE TABLE a (x int)", "ALTER TABLE a RENAME TO b", "ALTER TABLE ONLY b RENAME COLUMN x TO y"}) == "b");
  BOOST_TEST(names({"CREATE TABLE \"A b\" (x text DEFAULT 'CREATE TABLE c')"}) == "\"A b\"");
  BOOST_TEST(names({"-- CREATE TABLE a (x int);\n/* CREATE TABLE b (x int); */ CREATE TABLE c (x int)"}) == "c");
  BOOST_TEST(names({"CREATE TEMP TABLE a (x int); CREATE VIEW v AS TABLE b"}).empty());
  BOOST_TEST(names({"CREATE TABLE a AS SELECT 1 AS x"}) == "a");
}

// What is not understood keeps no node from starting.
BOOST_AUTO_TEST_CASE(are_not_named_where_more_happens_than_can_be_read) {
  for (const char* more : {"DO $$ BEGIN DROP TABLE a; END $$", "SET search_path = other", "ALTER TABLE a SET SCHEMA other", "DROP SCHEMA s CASCADE",
                           "SELECT take_away('a')", "INSERT INTO a VALUES ('it''s'), (E'\\'')", "/* open", "CREATE TABLE x.y.z (i int)"})
    BOOST_TEST(names({"CREATE TABLE a (x int)", more}).empty(), more);
}

BOOST_AUTO_TEST_SUITE_END()
