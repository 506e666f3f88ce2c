// The tables themselves, byte for byte (store/FORMAT.md): others read and write them too.
#include "conformance.hpp"
#include "seed_application.hpp"

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// The rows of store/FORMAT.md's example.
const auto account = *aggregate_id::parse("0199a0b1c2d300001122334455667788");
const auto first_command = *command_id::parse("0199a0b1c2d30001aabbccddeeff0011");
const auto first_timestamp = *timestamp::parse("0199a0b1c2d400021122334455667788");
const auto second_timestamp = *timestamp::parse("0199a0b1c2d400031122334455667788");
constexpr const char* first_metadata = R"({"$events":2,"$fingerprint":"5bf38fb3b9f8f4a4d5c0bf0f5d2a8c11","user":"ann"})";

auto golden_unit() -> commit_unit {
  commit_unit unit;
  unit.events.resize(2);
  for (auto& event : unit.events) {
    event.aggregate_id = account;
    event.aggregate_type = "account";
    event.command_id = first_command;
  }
  unit.events[0].timestamp = first_timestamp;
  unit.events[0].sequence = 1;
  unit.events[0].type = "opened";
  unit.events[0].body = R"({"owner":"Ann"})";
  unit.events[0].metadata = first_metadata;
  unit.events[1].timestamp = second_timestamp;
  unit.events[1].sequence = 2;
  unit.events[1].type = "deposited";
  unit.events[1].body = R"({"cents":500})";
  unit.events[1].metadata = R"({"user":"ann"})";
  return unit;
}

auto bytes_of(const sql_value& value) -> std::string { return hex(value.as<sql_bytes>().bytes); }

// Which column of a text `value` is JSON in: without the spaces that jsonb adds.
auto json_of(const sql_value& value) -> std::string {
  std::string text;
  for (const char letter : value.as<std::string>())
    if (letter != ' ') text += letter;
  return text;
}

auto is_refused(workbench& bench, const std::string& sql) -> bool {
  const auto done = bench.writer->query(sql, {});
  if (done) return false;
  BOOST_TEST((done.failure().message.find("never changed or removed") != std::string::npos), done.failure().message);
  return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_format)

BOOST_DATA_TEST_CASE(golden_rows_are_written_byte_for_byte, data::make(stores_under_test()), store) {
  workbench bench(store);
  bench.committed({account, "account", {}, {golden_unit()}, false});
  snapshot taken;
  taken.aggregate_id = account;
  taken.sequence = taken.version_sequence = 2;
  taken.aggregate_type = "account";
  taken.body = R"({"balance":500})";
  taken.version = 3;
  succeed(bench.writer->commit_snapshot(taken));

  const std::string text = bench.opened->sql_dialect() == dialect::postgres ? "::text" : "";
  const auto rows = bench.query("SELECT timestamp, aggregate_id, sequence, type, body" + text + ", aggregate_type, command_id, metadata" +
                                text + " FROM event_log ORDER BY timestamp");
  BOOST_TEST_REQUIRE(rows.size() == 2U);
  BOOST_TEST(bytes_of(rows[0][0]) == "0199a0b1c2d400021122334455667788");
  BOOST_TEST(bytes_of(rows[0][1]) == "0199a0b1c2d300001122334455667788");
  BOOST_TEST(rows[0][2].as<std::int64_t>() == 1);
  BOOST_TEST(rows[0][3].as<std::string>() == "opened");
  BOOST_TEST(json_of(rows[0][4]) == R"({"owner":"Ann"})");
  BOOST_TEST(rows[0][5].as<std::string>() == "account");
  BOOST_TEST(bytes_of(rows[0][6]) == "0199a0b1c2d30001aabbccddeeff0011");
  for (const char* member : {R"("$events":2)", R"("$fingerprint":"5bf38fb3b9f8f4a4d5c0bf0f5d2a8c11")", R"("user":"ann")"})
    BOOST_TEST((json_of(rows[0][7]).find(member) != std::string::npos), json_of(rows[0][7]));
  BOOST_TEST(bytes_of(rows[1][0]) == "0199a0b1c2d400031122334455667788");
  BOOST_TEST(rows[1][2].as<std::int64_t>() == 2);
  BOOST_TEST(json_of(rows[1][4]) == R"({"cents":500})");
  BOOST_TEST(bytes_of(rows[1][6]) == "0199a0b1c2d30001aabbccddeeff0011");
  BOOST_TEST(json_of(rows[1][7]) == R"({"user":"ann"})");

  const auto kept = bench.query("SELECT aggregate_id, sequence, body" + text + ", aggregate_type, version, version_sequence FROM snapshots");
  BOOST_TEST_REQUIRE(kept.size() == 1U);
  BOOST_TEST(bytes_of(kept[0][0]) == "0199a0b1c2d300001122334455667788");
  BOOST_TEST(kept[0][1].as<std::int64_t>() == 2);
  BOOST_TEST(json_of(kept[0][2]) == R"({"balance":500})");
  BOOST_TEST(kept[0][3].as<std::string>() == "account");
  BOOST_TEST(kept[0][4].as<std::int64_t>() == 3);
  BOOST_TEST(kept[0][5].as<std::int64_t>() == 2);
}

BOOST_DATA_TEST_CASE(golden_rows_are_read_as_what_they_say, data::make(stores_under_test()), store) {
  workbench bench(store);
  bench.query("INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id, metadata) "
              "VALUES ($1, $2, 1, 'opened', '{\"owner\": \"Ann\"}', 'account', $3, $4)",
              {first_timestamp, account, first_command, first_metadata});
  bench.query("INSERT INTO snapshots (aggregate_id, sequence, body, aggregate_type, version, version_sequence) "
              "VALUES ($1, 1, '{\"balance\":0}', 'account', 3, 1)", {account});
  const auto events = bench.events(account);
  BOOST_TEST_REQUIRE(events.size() == 1U);
  BOOST_TEST((events[0].timestamp == first_timestamp));
  BOOST_TEST(events[0].timestamp.milliseconds() == 0x0199a0b1c2d4U);
  BOOST_TEST(events[0].timestamp.counter() == 2);
  BOOST_TEST(events[0].timestamp.node() == 0x1122334455667788U);
  BOOST_TEST((events[0].command_id == first_command));
  BOOST_TEST(events[0].type == "opened");
  BOOST_TEST(events[0].aggregate_type == "account");
  const auto kept = value_of(bench.reader->get_snapshot(account));
  BOOST_TEST_REQUIRE(kept.has_value());
  BOOST_TEST(kept->version == 3);
  BOOST_TEST(kept->version_sequence == 1);
}

BOOST_DATA_TEST_CASE(events_are_not_changed_or_removed_by_accident_and_can_be_on_purpose, data::make(stores_under_test()),
                     store) {
  workbench bench(store);
  const auto request = bench.request(1, 2);
  bench.committed(request);
  BOOST_TEST(is_refused(bench, "UPDATE event_log SET type = 'other' WHERE sequence = 2"));
  BOOST_TEST(is_refused(bench, "DELETE FROM event_log WHERE sequence = 2"));
  BOOST_TEST(is_refused(bench, "DELETE FROM event_log"));
  if (bench.opened->sql_dialect() == dialect::postgres) BOOST_TEST(is_refused(bench, "TRUNCATE event_log"));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));

  for (const auto& sql : {std::string("BEGIN"), allow_rewrite(bench.opened->sql_dialect()),
                          std::string("DELETE FROM event_log WHERE sequence = 2"), forbid_rewrite(bench.opened->sql_dialect()),
                          std::string("COMMIT")})
    value_of(bench.writer->query(sql, {}));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 1));
  BOOST_TEST(is_refused(bench, "DELETE FROM event_log"));
}

BOOST_DATA_TEST_CASE(a_projection_that_touches_the_log_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request();
  bench.committed(request);
  auto next = bench.request(request.aggregate_id, 1, 1, 1, request.units[0].events[0].timestamp);
  next.units[0].projector = std::make_shared<function_projector>([](transaction& tx, const event&) { tx.execute("DELETE FROM event_log"); });
  const auto outcome = bench.commit(next);
  BOOST_TEST((outcome.failure.code == errc::projection_failed), to_string(outcome.failure));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 1));
}

BOOST_DATA_TEST_CASE(an_application_of_the_seed_appends_and_reads_beside_us, data::make(stores_under_test()), store) {
  workbench bench(store);
  seed_application seed(*bench.writer);
  hybrid_clock clock;
  const auto id = bench.fresh_id();
  const auto ahead = timestamp::make(clock.now().milliseconds() + 10'000, 0, 7);
  value_of(seed.append(id, 1, ahead, "first", "{}"));
  // Ours goes above the last one's time, so that the seed's order is the sequence's.
  auto ours = bench.request(id, 1, 2, 1, ahead);
  for (auto& event : ours.units[0].events) event.timestamp = clock.now_above(ahead);
  ours.units[0].events[0].type = "second";
  ours.units[0].events[1].type = "third";
  bench.committed(ours);
  BOOST_TEST(seed.types_of(id) == (std::vector<std::string>{"first", "second", "third"}), boost::test_tools::per_element());

  // One sequence, one event, whoever comes first.
  BOOST_TEST(!seed.append(id, 3, clock.now_above(ahead), "late", "{}"));
  value_of(seed.append(id, 4, clock.now_above(ahead), "fourth", R"({"message":"increment"})"));
  BOOST_TEST((bench.commit(bench.request(id, 1, 1, 3, ours.units[0].events[1].timestamp)).failure.code == errc::retry_command));

  // Its clock may lag: the sequence is what counts.
  value_of(seed.append(id, 5, timestamp::make(1, 0, 7), "fifth", "{}"));
  const auto read = bench.events(id);
  BOOST_TEST(bench.sequences(id) == numbers(1, 5));
  BOOST_TEST(read.at(3).body == R"({"message":"increment"})");
  BOOST_TEST(read.at(3).aggregate_type.empty());
  // On a server it is lifted: its application reads by timestamp.
  const bool is_lifted = bench.opened->sql_dialect() == dialect::postgres;
  BOOST_TEST((read.at(3).timestamp < read.at(4).timestamp) == is_lifted);
}

BOOST_DATA_TEST_CASE(a_snapshot_that_the_seed_wrote_over_ours_shows_as_foreign, data::make(stores_under_test()), store) {
  workbench bench(store);
  seed_application seed(*bench.writer);
  snapshot ours;
  ours.aggregate_id = bench.fresh_id();
  ours.aggregate_type = "account";
  ours.body = R"({"balance":1})";
  ours.sequence = 2;
  ours.version = 1;
  succeed(bench.writer->commit_snapshot(ours));
  BOOST_TEST(seed.snapshot_of(ours.aggregate_id) == 2);

  seed.take_snapshot(ours.aggregate_id, 1, "{}");  // Older: ours stays.
  BOOST_TEST(value_of(bench.reader->get_snapshot(ours.aggregate_id))->sequence == 2);
  seed.take_snapshot(ours.aggregate_id, 5, R"({"value":5})");
  auto found = value_of(bench.reader->get_snapshot(ours.aggregate_id));
  BOOST_TEST(found->sequence == 5);
  BOOST_TEST(found->version_sequence == 2);  // Not its sequence: foreign.

  ours.sequence = 5;
  succeed(bench.writer->commit_snapshot(ours));
  found = value_of(bench.reader->get_snapshot(ours.aggregate_id));
  BOOST_TEST(found->body == ours.body);
  BOOST_TEST(found->version_sequence == 5);
}

BOOST_AUTO_TEST_SUITE_END()
