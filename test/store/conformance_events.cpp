// What is committed is read back, whole and in order; what does not fit is refused, and costs nobody else.
#include "conformance.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

BOOST_AUTO_TEST_SUITE(conformance_events)

BOOST_DATA_TEST_CASE(events_are_read_back_as_they_were_committed, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request(1, 2);
  event& rich = request.units[0].events[0];
  rich.type = "\xc3\xa4 type with 'quotes' \\and\\ slashes, {braces} NULL";
  rich.body = R"({"text":"it's \"quoted\" \\ \n \u00e4 {,}","list":[1,-2.5,true,null,{"a":[]}],"big":9007199254740993})";
  rich.command_id = command_id::make(1, 2, 3);
  rich.metadata = R"({"$n":1})";
  bench.committed(request);

  const auto events = bench.events(request.aggregate_id);
  BOOST_TEST_REQUIRE(events.size() == 2U);
  BOOST_TEST((events[0].timestamp == rich.timestamp));
  BOOST_TEST((events[0].aggregate_id == request.aggregate_id));
  BOOST_TEST(events[0].sequence == 1);
  BOOST_TEST(events[0].aggregate_type == "account");
  BOOST_TEST(events[0].type == rich.type);
  BOOST_TEST((events[0].command_id == rich.command_id));
  BOOST_TEST(events[0].metadata == rich.metadata);
  // jsonb sorts members and decodes escapes, so the body is compared by what it says.
  for (const char* part : {R"("big":9007199254740993)", R"([1,-2.5,true,null,{"a":[]}])", R"("it's \"quoted\" \\ \n )"})
    BOOST_TEST((events[0].body.find(part) != std::string::npos), events[0].body);
  BOOST_TEST(events[1].body == "{}");
  BOOST_TEST(!events[1].command_id);
  BOOST_TEST(events[1].metadata.empty());
}

BOOST_DATA_TEST_CASE(an_event_of_an_application_without_aggregate_types_has_none, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request();
  request.aggregate_type.clear();
  request.units[0].events[0].aggregate_type.clear();
  bench.committed(request);
  BOOST_TEST(bench.events(request.aggregate_id).at(0).aggregate_type.empty());
  BOOST_TEST(bench.query("SELECT aggregate_type FROM event_log").at(0).at(0).is_null());
}

BOOST_DATA_TEST_CASE(a_range_excludes_its_lower_end_includes_its_upper_end_and_has_a_limit, data::make(stores_under_test()),
                     store) {
  workbench bench(store);
  const auto request = bench.request(4, 5);
  bench.committed(request);
  const auto& id = request.aggregate_id;
  BOOST_TEST(bench.sequences(id) == numbers(1, 20));
  BOOST_TEST(bench.sequences(id, {5}) == numbers(6, 20));
  BOOST_TEST(bench.sequences(id, {5, 9}) == numbers(6, 9));
  BOOST_TEST(bench.sequences(id, {5, 20, 3}) == numbers(6, 8));
  BOOST_TEST(bench.sequences(id, {20}).empty());
  BOOST_TEST(bench.sequences(id, {9, 9}).empty());
  BOOST_TEST(bench.sequences(bench.fresh_id()).empty());
}

BOOST_DATA_TEST_CASE(a_scan_hands_out_the_same_events_in_pages, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request(4, 5);
  event& rich = request.units[1].events[2];
  rich.body = R"({"list":[1,null],"text":"it's"})";
  rich.command_id = command_id::make(1, 2, 3);
  rich.metadata = R"({"$n":1})";
  bench.committed(request);
  const auto& id = request.aggregate_id;
  const auto pages_of = [&](event_range range) {
    std::vector<std::size_t> sizes;
    std::vector<event> all;
    const auto scanned = bench.reader->scan_events(id, range, [&](std::span<event> page) -> result<bool> {
      sizes.push_back(page.size());
      all.insert(all.end(), page.begin(), page.end());
      return true;
    });
    BOOST_TEST(scanned.has_value());
    range.limit = 1000;
    const auto expected = value_of(bench.reader->get_events(id, range));
    BOOST_TEST_REQUIRE(all.size() == expected.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      BOOST_TEST((all[i].timestamp == expected[i].timestamp));
      BOOST_TEST((all[i].aggregate_id == id));
      BOOST_TEST(all[i].sequence == expected[i].sequence);
      BOOST_TEST(all[i].aggregate_type == expected[i].aggregate_type);
      BOOST_TEST(all[i].type == expected[i].type);
      BOOST_TEST(all[i].body == expected[i].body);
      BOOST_TEST((all[i].command_id == expected[i].command_id));
      BOOST_TEST(all[i].metadata == expected[i].metadata);
    }
    return sizes;
  };
  using sizes = std::vector<std::size_t>;
  BOOST_TEST((pages_of({0, max_sequence(), 8}) == sizes{8, 8, 4}));
  BOOST_TEST((pages_of({0, max_sequence(), 10}) == sizes{10, 10}));
  BOOST_TEST((pages_of({3, 12, 7}) == sizes{7, 2}));
  BOOST_TEST((pages_of({3, 12, 9}) == sizes{9}));
  BOOST_TEST((pages_of({12, 12, 9}) == sizes{}));
  BOOST_TEST((pages_of({20, max_sequence(), 1}) == sizes{}));
}

BOOST_DATA_TEST_CASE(the_pages_of_a_scan_fit_the_size_of_the_events, data::make(stores_under_test()), store) {
  workbench bench(store);
  using sizes = std::vector<std::size_t>;
  const auto pages_of = [&](int events, std::size_t bytes, std::size_t limit) {
    auto request = bench.request(1, events);
    for (auto& event : request.units[0].events) event.body = R"({"x":")" + std::string(bytes, 'x') + "\"}";
    bench.committed(request);
    sizes found;
    sequence_number last = 0;
    succeed(bench.reader->scan_events(request.aggregate_id, {0, max_sequence(), limit}, [&](std::span<event> page) -> result<bool> {
      found.push_back(page.size());
      for (const auto& row : page) BOOST_TEST(row.sequence == ++last);
      return true;
    }));
    return found;
  };
  BOOST_TEST(pages_of(700, 10, 1000) == (sizes{32, 128, 512, 28}), boost::test_tools::per_element());
  BOOST_TEST(pages_of(200, 10, 50) == (sizes{32, 50, 50, 50, 18}), boost::test_tools::per_element());
  // Eight take about 8 MiB.
  BOOST_TEST(pages_of(50, 1'000'000, 1000) == (sizes{32, 8, 8, 2}), boost::test_tools::per_element());
}

BOOST_DATA_TEST_CASE(a_scan_ends_where_its_taker_says_so, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto request = bench.request(4, 5);
  bench.committed(request);
  const auto& id = request.aggregate_id;
  int pages = 0;
  const auto stopped = bench.reader->scan_events(id, {0, max_sequence(), 4}, [&](std::span<event>) -> result<bool> { return ++pages < 2; });
  BOOST_TEST(stopped.has_value());
  BOOST_TEST(pages == 2);
  const auto failed = bench.reader->scan_events(id, {0, max_sequence(), 4}, [](std::span<event>) -> result<bool> {
    return error{errc::cannot_hydrate, "not this one"};
  });
  BOOST_TEST_REQUIRE(!failed.has_value());
  BOOST_TEST((failed.failure().code == errc::cannot_hydrate));
  BOOST_TEST(failed.failure().message == "not this one");
  // What was asked for and not taken is in nobody's way.
  BOOST_TEST(bench.sequences(id) == numbers(1, 20));
}

BOOST_DATA_TEST_CASE(a_sequence_that_is_taken_asks_for_a_retry_and_changes_nothing, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto first = bench.request(1, 2);
  bench.committed(first);
  const auto& events = first.units[0].events;
  for (const auto& late : {bench.request(first.aggregate_id, 1, 1),
                           bench.request(first.aggregate_id, 1, 3, 1, events[0].timestamp)}) {
    const auto outcome = bench.commit(late);
    BOOST_TEST(outcome.committed == 0U);
    BOOST_TEST((outcome.failure.code == errc::retry_command));
  }
  BOOST_TEST(bench.count("event_log") == 2);
}

BOOST_DATA_TEST_CASE(gaps_and_successors_of_what_is_not_there_are_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto first = bench.request();
  bench.committed(first);
  const auto known = first.units[0].events[0].timestamp;
  const auto other = bench.request();
  bench.committed(other);

  const auto gap = bench.request(first.aggregate_id, 1, 1, 2, known);
  BOOST_TEST((bench.commit(gap).failure.code == errc::retry_command));
  const auto unfounded = bench.request(bench.fresh_id(), 1, 1, 1, known);
  BOOST_TEST((bench.commit(unfounded).failure.code == errc::retry_command));
  const auto nameless = bench.request(first.aggregate_id, 1, 1, 1);
  BOOST_TEST((bench.commit(nameless).failure.code == errc::retry_command));
  const auto orphan = bench.request(first.aggregate_id, 1, 1, 1, other.units[0].events[0].timestamp);
  BOOST_TEST((bench.commit(orphan).failure.code == errc::retry_command));
  BOOST_TEST(bench.count("event_log") == 2);

  bench.committed(bench.request(first.aggregate_id, 2, 2, 1, known));
  BOOST_TEST(bench.sequences(first.aggregate_id) == numbers(1, 5));
}

BOOST_DATA_TEST_CASE(the_events_of_a_unit_are_written_all_or_none, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto first = bench.request();
  bench.committed(first);
  const auto taken = first.units[0].events[0].timestamp;
  auto unit = bench.request(first.aggregate_id, 1, 3, 1, taken);
  unit.units[0].events[2].timestamp = taken;
  for (auto& event : unit.units[0].events) {  // below the one that is taken, so that only the log can refuse them
    event.command_id = command_id::make(1, 0, 1);  // Without one PostgreSQL lifts it above, as an event of the seed's.
    if (event.sequence < 4) event.timestamp = timestamp::make(1, static_cast<std::uint16_t>(event.sequence), 1);
  }
  const auto outcome = bench.commit(unit);
  BOOST_TEST(outcome.committed == 0U);
  BOOST_TEST((outcome.failure.code == errc::retry_command));
  BOOST_TEST(bench.sequences(first.aggregate_id) == numbers(1, 1));
}

BOOST_DATA_TEST_CASE(in_a_batch_only_the_loser_of_a_race_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto taken = bench.request();
  bench.committed(taken);
  std::vector<commit_request> requests;
  for (int i = 0; i < 20; ++i) requests.push_back(bench.request(2, 2));
  requests.push_back(bench.request(taken.aggregate_id, 3));
  std::vector<const commit_request*> batch;
  for (const auto& request : requests) batch.push_back(&request);
  const auto outcomes = bench.commit(batch);
  for (std::size_t i = 0; i < 20; ++i) {
    BOOST_TEST(outcomes[i].committed == 2U);
    BOOST_TEST(bench.sequences(requests[i].aggregate_id) == numbers(1, 4));
  }
  BOOST_TEST((outcomes[20].failure.code == errc::retry_command));
  BOOST_TEST(bench.sequences(taken.aggregate_id) == numbers(1, 1));
}

BOOST_DATA_TEST_CASE(in_a_batch_only_the_unit_with_a_poison_body_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto good = bench.request(2);
  auto bad = bench.request(3);
  bad.units[1].events[0].body = R"({"a":"\u0000"})";
  const auto outcomes = bench.commit({&good, &bad});
  BOOST_TEST(outcomes[0].committed == 2U);
  BOOST_TEST(outcomes[1].committed == 1U);
  BOOST_TEST((outcomes[1].failure.code == errc::invalid_event));
  BOOST_TEST(bench.sequences(bad.aggregate_id) == numbers(1, 1));
}

BOOST_DATA_TEST_CASE(the_same_rows_submitted_again_count_as_committed_and_are_there_once, data::make(stores_under_test()),
                     store) {
  workbench bench(store);
  auto request = bench.request(2, 2);
  bench.committed(request);
  bench.committed(request);
  const auto& last = request.units[1].events[1];
  request.units.push_back({{bench.next_event(request.aggregate_id, last.sequence + 1)}, nullptr, 0});
  request.in_doubt = true;
  bench.committed(request);
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 5));
  BOOST_TEST(bench.count("event_log") == 5);
}

BOOST_DATA_TEST_CASE(a_unit_that_expired_is_not_written, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request(2);
  request.units[1].expires_at = 1;
  const auto outcome = bench.commit(request);
  BOOST_TEST(outcome.committed == 1U);
  BOOST_TEST((outcome.failure.code == errc::timed_out));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 1));
}

BOOST_DATA_TEST_CASE(commit_events_commits_one_unit, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto request = bench.request(1, 3);
  succeed(bench.writer->commit_events(request.units[0].events, {}));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 3));
  auto again = bench.writer->commit_events({bench.next_event(request.aggregate_id, 2)}, {});
  BOOST_TEST_REQUIRE(!again);
  BOOST_TEST((again.failure().code == errc::retry_command));
  BOOST_TEST((bench.writer->commit_events({}, {}).failure().code == errc::invalid_event));
}

BOOST_DATA_TEST_CASE(a_large_batch_and_a_large_body_arrive_whole, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto request = bench.request(1, 3000);
  request.units[0].events[1500].body = "{\"text\":\"" + std::string(1'000'000, 'x') + "\"}";
  bench.committed(request);
  const auto events = bench.events(request.aggregate_id, {0, max_sequence(), 5000});
  BOOST_TEST(events.size() == 3000U);
  BOOST_TEST((events[1500].body == request.units[0].events[1500].body));
}

BOOST_DATA_TEST_CASE(heads_are_the_newest_events_of_those_that_have_any, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto one = bench.request();
  const auto many = bench.request(2, 2);
  bench.committed(one);
  bench.committed(many);
  const std::vector<aggregate_id> ids{many.aggregate_id, bench.fresh_id(), one.aggregate_id};
  auto heads = value_of(bench.reader->get_heads(ids));
  BOOST_TEST_REQUIRE(heads.size() == 2U);
  std::sort(heads.begin(), heads.end(), [](auto& left, auto& right) { return left.sequence < right.sequence; });
  BOOST_TEST((heads[0].aggregate_id == one.aggregate_id));
  BOOST_TEST((heads[0].timestamp == one.units[0].events[0].timestamp));
  BOOST_TEST((heads[1].aggregate_id == many.aggregate_id));
  BOOST_TEST(heads[1].sequence == 4);
  BOOST_TEST((heads[1].timestamp == many.units[1].events[1].timestamp));
  BOOST_TEST(value_of(bench.reader->get_heads({})).empty());
}

BOOST_DATA_TEST_CASE(aggregates_are_listed_by_type_and_id_with_their_heads, data::make(stores_under_test()), store) {
  workbench bench(store);
  std::vector<aggregate_id> ids;
  for (int i = 0; i < 7; ++i) {
    const auto request = bench.request(1, 2);
    bench.committed(request);
    ids.push_back(request.aggregate_id);
  }
  auto other = bench.request();
  other.aggregate_type = other.units[0].events[0].aggregate_type = "other";
  bench.committed(other);
  std::sort(ids.begin(), ids.end());

  const auto first = value_of(bench.reader->list_aggregates("account", {}, 4));
  BOOST_TEST_REQUIRE(first.size() == 4U);
  const auto rest = value_of(bench.reader->list_aggregates("account", first.back().aggregate_id, 100));
  BOOST_TEST_REQUIRE(rest.size() == 3U);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto& head = i < 4 ? first[i] : rest[i - 4];
    BOOST_TEST((head.aggregate_id == ids[i]));
    BOOST_TEST(head.sequence == 2);
    BOOST_TEST((head.timestamp == bench.events(ids[i]).at(1).timestamp));
  }
  BOOST_TEST(value_of(bench.reader->list_aggregates("nothing", {}, 4)).empty());
}

BOOST_DATA_TEST_CASE(a_command_is_found_by_the_events_it_caused, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto command = command_id::make(5, 6, 7);
  auto request = bench.request(5, 2);
  for (auto& unit : request.units)
    for (auto& event : unit.events) event.command_id = command_id{event.timestamp.bytes};
  for (auto& event : request.units[3].events) event.command_id = command;
  bench.committed(request);
  auto stranger = bench.request();
  stranger.units[0].events[0].command_id = command;
  bench.committed(stranger);

  auto found = [&](const timestamp& not_before) {
    std::vector<sequence_number> sequences;
    for (const auto& event : value_of(bench.reader->find_command(request.aggregate_id, command, not_before)))
      sequences.push_back(event.sequence);
    return sequences;
  };
  const auto& caused = request.units[3].events;
  BOOST_TEST(found({}) == numbers(7, 8));
  BOOST_TEST(found(caused[0].timestamp) == numbers(7, 8));
  BOOST_TEST(found(caused[1].timestamp) == numbers(8, 8));
  BOOST_TEST(found(request.units[4].events[0].timestamp).empty());
  BOOST_TEST(value_of(bench.reader->find_command(request.aggregate_id, command_id::make(5, 6, 8), {})).empty());
}

BOOST_DATA_TEST_CASE(the_newest_timestamp_is_that_of_the_whole_log, data::make(stores_under_test()), store) {
  workbench bench(store);
  BOOST_TEST(!value_of(bench.reader->newest_timestamp()));
  const auto older = bench.request();
  const auto newer = bench.request();
  bench.committed(newer);
  bench.committed(older);
  BOOST_TEST((value_of(bench.reader->newest_timestamp()) == newer.units[0].events[0].timestamp));
}

BOOST_DATA_TEST_CASE(reads_go_on_in_another_thread_while_commits_run, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto id = bench.fresh_id();
  bool in_order = true;
  std::atomic<bool> done{false};
  std::thread reading([&] {
    while (!done) {
      auto events = bench.reader->get_events(id, {});
      if (!events) in_order = false;
      for (std::size_t i = 0; events && i < events->size(); ++i)
        if ((*events)[i].sequence != static_cast<sequence_number>(i) + 1) in_order = false;
    }
  });
  timestamp last;
  bool committed = true;
  for (sequence_number after = 0; after < 100; ++after) {
    const auto request = bench.request(id, 1, 1, after, last);
    last = request.units[0].events[0].timestamp;
    committed = committed && bench.commit(request).committed == 1;
  }
  done = true;
  reading.join();
  BOOST_TEST(committed);
  BOOST_TEST(in_order);
}

BOOST_AUTO_TEST_SUITE_END()
