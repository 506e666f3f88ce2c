// An application of the seed beside ours on one log. It reads an aggregate's events by timestamp.
#include "own_server.hpp"
#include "postgres_server.hpp"
#include "seed_application.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <set>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

auto plain_and_partitioned() -> std::vector<store_under_test> {
  std::vector<store_under_test> some;
  for (auto& each : stores_under_test())
    if (each.name == "postgres" || each.partitioned) some.push_back(each);
  return some;
}

// The seed's clock: the same layout, a node of 27 bits.
auto seed_reading(std::uint64_t milliseconds, std::uint16_t counter) -> timestamp { return timestamp::make(milliseconds, counter, 0x5474ce1); }

auto head_of(store& from, const aggregate_id& id) -> aggregate_head {
  const std::vector<aggregate_id> ids{id};
  const auto heads = value_of(from.get_heads(ids));
  return heads.empty() ? aggregate_head{id, 0, {}} : heads.front();
}

// In the order in which the seed applies them.
void check_order(store& from, const aggregate_id& id) {
  const auto rows = value_of(from.query("SELECT sequence FROM event_log WHERE aggregate_id = $1 ORDER BY timestamp", std::vector<sql_value>{id}));
  for (std::size_t i = 0; i < rows.size(); ++i) BOOST_TEST_REQUIRE(rows[i][0].as<std::int64_t>() == static_cast<std::int64_t>(i) + 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(beside_the_seed)

BOOST_DATA_TEST_CASE(its_event_is_lifted_above_the_one_before_and_keeps_its_place_otherwise, plain_and_partitioned(), store) {
  workbench bench(store);
  seed_application seed(*bench.writer);
  const auto id = bench.fresh_id();
  const std::uint64_t now = 0x0199a0b1c2d4;
  auto request = bench.request(id);
  request.units[0].events[0].timestamp = timestamp::make(now, 0xFFFF, 0xFFFFFFFFFFFFFFFF);
  bench.committed(request);
  value_of(seed.append(id, 2, seed_reading(now, 0xFFFF), "lifted", "{}"));
  value_of(seed.append(id, 3, seed_reading(now - 180'000, 0), "lifted", "{}"));
  value_of(seed.append(id, 4, seed_reading(now + 5, 0), "stays", "{}"));
  check_order(*bench.reader, id);
  const auto events = bench.events(id);
  BOOST_TEST_REQUIRE(events.size() == 4U);
  BOOST_TEST(events[1].timestamp.milliseconds() == now + 1);  // The counter's overflow carries.
  BOOST_TEST(events[2].timestamp.milliseconds() == now + 1);
  BOOST_TEST((events[3].timestamp == seed_reading(now + 5, 0)));
  // Several rows of one statement, and another log than that of the search path.
  const auto schema = bench.query("SELECT current_schema()").at(0).at(0).as<std::string>();
  bench.query("INSERT INTO " + schema + ".event_log (timestamp, aggregate_id, sequence, type, body) VALUES ($1, $3, 5, 'x', '{}'), ($2, $3, 6, 'x', '{}')",
              {seed_reading(now, 7), seed_reading(now, 8), id});
  const auto elsewhere = value_of(open_database(dynamic_cast<postgres_place&>(*bench.where).uri({}, "-csearch_path%3Dpg_catalog")))->open_writer();
  value_of(elsewhere->query("INSERT INTO " + schema + ".event_log (timestamp, aggregate_id, sequence, type, body) VALUES ($1, $2, 7, 'x', '{}')",
                            std::vector<sql_value>{seed_reading(now, 9), id}));
  check_order(*bench.reader, id);
  BOOST_TEST(bench.events(id).size() == 7U);
}

// Both write as fast as they can, in the same milliseconds; one of our nodes has a clock that is 3 minutes ahead.
BOOST_DATA_TEST_CASE(events_of_both_sort_in_their_sequence, plain_and_partitioned(), store) {
  workbench bench(store);
  constexpr int each = 150;
  std::vector<aggregate_id> ids{bench.fresh_id(), bench.fresh_id(), bench.fresh_id()};
  std::vector<std::thread> writers;
  std::vector<std::string> troubles(3);
  for (const bool ahead : {false, true})
    writers.emplace_back([&, ahead] {
      const auto opened = bench.where->open({});
      const auto writer = opened->open_writer();
      hybrid_clock clock(std::chrono::minutes{5}, ahead ? std::chrono::minutes{3} : std::chrono::minutes{0});
      request_maker make;
      for (int done = 0; done < each;) {
        const auto& id = ids[static_cast<std::size_t>(done) % ids.size()];
        const auto head = head_of(*writer, id);
        auto request = make.request(id, 1, 1, head.sequence, head.timestamp);
        request.units[0].events[0].timestamp = clock.now_above(head.timestamp);
        request.units[0].events[0].command_id = clock.fresh<command_id>();
        const std::vector<const commit_request*> requests{&request};
        const auto outcome = writer->commit_all(requests).front();
        if (!outcome.failure) ++done;
        else if (outcome.failure.code != errc::retry_command) { troubles[ahead ? 1 : 0] = to_string(outcome.failure); return; }
      }
    });
  writers.emplace_back([&] {
    const auto opened = bench.where->open({});
    const auto reader = opened->open_reader();
    const auto writer = opened->open_writer();
    seed_application seed(*writer);
    hybrid_clock clock;
    for (int done = 0; done < each;) {
      const auto& id = ids[static_cast<std::size_t>(done) % ids.size()];
      const auto head = head_of(*reader, id);
      // It does not look at what others have written.
      const auto reading = clock.now();
      const auto added = seed.append(id, head.sequence + 1, seed_reading(reading.milliseconds(), 0), "seeds", "{}");
      if (added) ++done;
      else if (added.failure().message.find("duplicate key") == std::string::npos) { troubles[2] = to_string(added.failure()); return; }
    }
  });
  for (auto& writer : writers) writer.join();
  for (const auto& trouble : troubles) BOOST_TEST(trouble == "");
  for (const auto& id : ids) check_order(*bench.reader, id);
  BOOST_TEST(bench.count("event_log") == 3 * each);
}

BOOST_DATA_TEST_CASE(a_lift_that_is_missing_is_put_back, plain_and_partitioned(), store) {
  workbench bench(store);
  bench.query("DROP TRIGGER event_log_lift_timestamp ON event_log");
  succeed(bench.opened->check({}));
  BOOST_TEST_REQUIRE(!bench.opened->warnings().empty());
  const auto said = bench.opened->warnings()[0].message;
  BOOST_TEST((said.find("event_log_lift_timestamp") != std::string::npos), said);
  BOOST_TEST((said.find("Elixir") != std::string::npos), said);
  BOOST_TEST(!value_of(bench.opened->migrate({})).empty());
  BOOST_TEST(bench.opened->warnings().empty());
}

BOOST_AUTO_TEST_SUITE_END()
