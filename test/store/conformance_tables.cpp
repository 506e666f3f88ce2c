// Snapshots, projections and migrations: the tables beside the log.
#include "conformance.hpp"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <random>
#include <stdexcept>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// A projection with a unique column, as an author would write it.
auto handles() -> std::vector<migration> {
  return {{"handles", 1,
           "CREATE TABLE handles (aggregate_id bytea PRIMARY KEY, handle text NOT NULL UNIQUE, events bigint NOT NULL)",
           "CREATE TABLE handles (aggregate_id BLOB PRIMARY KEY, handle TEXT NOT NULL UNIQUE, events INTEGER NOT NULL) STRICT"}};
}

// Every event of an aggregate counts; its handle is the event's type.
void project_handle(transaction& tx, const event& event) {
  tx.execute("INSERT INTO handles (aggregate_id, handle, events) VALUES ($1, $2, 1) "
             "ON CONFLICT (aggregate_id) DO UPDATE SET handle = $2, events = handles.events + 1",
             event.aggregate_id, event.type);
}

auto with_handle(commit_request request, const std::string& handle) -> commit_request {
  for (auto& unit : request.units)
    for (auto& event : unit.events) event.type = handle;
  return with_projection(std::move(request), project_handle);
}

// Through the database's own library; errors are left to the transaction to notice. Returns the first field.
auto native_run(const native_handle& handle, const char* sql) -> std::string {
  std::string first;
  if (handle.postgres != nullptr) {
    PGresult* answer = PQexec(handle.postgres, sql);
    if (PQntuples(answer) > 0) first = PQgetvalue(answer, 0, 0);
    PQclear(answer);
  } else {
    const auto note = [](void* to, int, char** fields, char**) {
      *static_cast<std::string*>(to) = fields[0] != nullptr ? fields[0] : "";
      return 0;
    };
    (void)sqlite3_exec(handle.sqlite, sql, note, &first, nullptr);
  }
  return first;
}

auto snapshot_of(const aggregate_id& id, sequence_number sequence, int version, std::string body) -> snapshot {
  return {id, sequence, "account", std::move(body), version, sequence};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_snapshots)

BOOST_DATA_TEST_CASE(the_newest_snapshot_wins, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto id = bench.fresh_id();
  BOOST_TEST(!value_of(bench.reader->get_snapshot(id)));
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 5, 1, R"({"a":5})")));
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 3, 1, R"({"a":3})")));
  auto found = value_of(bench.reader->get_snapshot(id));
  BOOST_TEST_REQUIRE(found.has_value());
  BOOST_TEST((found->aggregate_id == id));
  BOOST_TEST(found->sequence == 5);
  BOOST_TEST(found->aggregate_type == "account");
  BOOST_TEST(found->body == R"({"a":5})");
  BOOST_TEST(found->version == 1);
  BOOST_TEST(found->version_sequence == 5);
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 6, 1, R"({"a":6})")));
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->body == R"({"a":6})");
}

BOOST_DATA_TEST_CASE(at_the_same_sequence_only_another_version_or_a_foreign_snapshot_is_replaced,
                     data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto id = bench.fresh_id();
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 5, 1, R"({"a":1})")));
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 5, 1, R"({"a":2})")));
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->body == R"({"a":1})");
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 5, 2, R"({"a":3})")));
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->version == 2);
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->body == R"({"a":3})");

  // What an application does that knows nothing of versions.
  bench.query("UPDATE snapshots SET sequence = 7, body = '{\"a\": 4}' WHERE aggregate_id = $1", {id});
  auto foreign = value_of(bench.reader->get_snapshot(id));
  BOOST_TEST(foreign->sequence == 7);
  BOOST_TEST(foreign->version_sequence == 5);
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 7, 2, R"({"a":5})")));
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->body == R"({"a":5})");
  BOOST_TEST(value_of(bench.reader->get_snapshot(id))->version_sequence == 7);
}

BOOST_DATA_TEST_CASE(a_snapshot_is_found_within_its_range_only, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto id = bench.fresh_id();
  succeed(bench.writer->commit_snapshot(snapshot_of(id, 5, 1, "{}")));
  BOOST_TEST(value_of(bench.reader->get_snapshot(id, 4)).has_value());
  BOOST_TEST(!value_of(bench.reader->get_snapshot(id, 5)).has_value());
  BOOST_TEST(value_of(bench.reader->get_snapshot(id, 0, 5)).has_value());
  BOOST_TEST(!value_of(bench.reader->get_snapshot(id, 0, 4)).has_value());
}

BOOST_DATA_TEST_CASE(histories_begin_at_the_snapshot_or_at_the_first_event, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto whole = bench.request(1, 3);
  const auto kept = bench.request(1, 5);
  const auto lost = bench.request(1, 2);
  const auto unknown = bench.fresh_id();
  for (const auto* request : {&whole, &kept, &lost}) bench.committed(*request);
  succeed(bench.writer->commit_snapshot(snapshot_of(kept.aggregate_id, 3, 7, R"({"a":3})")));
  succeed(bench.writer->commit_snapshot(snapshot_of(lost.aggregate_id, 9, 7, "{}")));  // Of another log, it seems.

  const std::vector<aggregate_id> ids = {kept.aggregate_id, unknown, whole.aggregate_id, lost.aggregate_id, kept.aggregate_id};
  const auto all = value_of(bench.reader->get_histories(ids, 100));
  BOOST_TEST_REQUIRE(all.size() == 5U);
  const auto sequences = [](const aggregate_history& history) {
    std::vector<sequence_number> found;
    for (const auto& event : history.events) found.push_back(event.sequence);
    return found;
  };
  for (const std::size_t i : {0, 4}) {
    BOOST_TEST_REQUIRE(all[i].snapshot.has_value());
    const auto alone = value_of(bench.reader->get_snapshot(kept.aggregate_id));
    BOOST_TEST(all[i].snapshot->sequence == 3);
    BOOST_TEST(all[i].snapshot->body == alone->body);
    BOOST_TEST(all[i].snapshot->version == 7);
    BOOST_TEST(all[i].snapshot->version_sequence == 3);
    BOOST_TEST(all[i].snapshot->aggregate_type == alone->aggregate_type);
    BOOST_TEST((all[i].snapshot->aggregate_id == kept.aggregate_id));
    BOOST_TEST(sequences(all[i]) == numbers(3, 5));
    BOOST_TEST((all[i].events.front().aggregate_id == kept.aggregate_id));
    BOOST_TEST((all[i].events.front().timestamp == kept.units[0].events[2].timestamp));
  }
  BOOST_TEST(!all[1].snapshot.has_value());
  BOOST_TEST(all[1].events.empty());
  BOOST_TEST(all[1].complete);
  BOOST_TEST(!all[2].snapshot.has_value());
  BOOST_TEST(sequences(all[2]) == numbers(1, 3));
  BOOST_TEST(all[2].complete);
  BOOST_TEST(all[3].events.empty());
  BOOST_TEST(all[3].snapshot.has_value());

  const auto some = value_of(bench.reader->get_histories(ids, 2));
  BOOST_TEST(sequences(some[0]) == numbers(3, 4));
  BOOST_TEST(!some[0].complete);
  BOOST_TEST(sequences(some[2]) == numbers(1, 2));
  BOOST_TEST(some[1].complete);
  BOOST_TEST(value_of(bench.reader->get_histories({}, 2)).empty());
}

BOOST_DATA_TEST_CASE(a_snapshot_that_is_no_object_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto refused = bench.writer->commit_snapshot(snapshot_of(bench.fresh_id(), 5, 1, "[1]"));
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::invalid_argument));
}

BOOST_DATA_TEST_CASE(a_store_without_tables_says_what_to_do_and_works_once_that_is_done, data::make(stores_under_test()), store) {
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{5};
  const auto where = store.make();
  const auto opened = where->open(impatient);
  const auto writer = opened->open_writer();
  request_maker make;
  const auto request = make.request();
  for (const auto& problem : {writer->commit_events(request.units[0].events, {}).failure(),
                              writer->get_events(request.aggregate_id, {}).failure()}) {
    BOOST_TEST((problem.code == errc::store_unavailable), to_string(problem));
    BOOST_TEST((problem.message.find("maestro migrate") != std::string::npos), problem.message);
  }
  value_of(opened->migrate({}));
  succeed(writer->commit_events(request.units[0].events, {}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(conformance_projections)

BOOST_DATA_TEST_CASE(projections_are_written_with_their_events_in_order, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  std::vector<sequence_number> seen;
  auto request = with_projection(bench.request(3, 2), [&](transaction& tx, const event& event) {
    seen.push_back(event.sequence);
    tx.execute("INSERT INTO handles VALUES ($1, $2, $3) ON CONFLICT (aggregate_id) DO UPDATE SET events = $3",
               event.aggregate_id, event.type, event.sequence);
  });
  bench.committed(request);
  BOOST_TEST(seen == numbers(1, 6));
  const auto rows = bench.query("SELECT aggregate_id, handle, events FROM handles");
  BOOST_TEST_REQUIRE(rows.size() == 1U);
  BOOST_TEST(rows[0][0].as<sql_bytes>().bytes == request.aggregate_id.view());
  BOOST_TEST(rows[0][1].as<std::string>() == "deposited");
  BOOST_TEST(rows[0][2].as<std::int64_t>() == 6);
}

BOOST_DATA_TEST_CASE(a_query_in_a_projection_sees_what_was_executed_before_it, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  std::vector<std::int64_t> seen;
  auto count = [&](transaction& tx, const event& event) {
    project_handle(tx, event);
    for (const auto& row : tx.query("SELECT events FROM handles WHERE aggregate_id = $1", event.aggregate_id))
      seen.push_back(row.at(0).as<std::int64_t>());
    project_handle(tx, event);
  };
  const auto one = with_projection(bench.request(2, 2), count);
  bench.committed(one);
  BOOST_TEST(seen == (std::vector<std::int64_t>{1, 3, 5, 7}));
  BOOST_TEST(bench.query("SELECT events FROM handles").at(0).at(0).as<std::int64_t>() == 8);
}

BOOST_DATA_TEST_CASE(a_violated_constraint_rejects_its_command_alone_and_is_named, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const auto alice = with_handle(bench.request(), "alice");
  bench.committed(alice);
  std::vector<commit_request> requests;
  for (int i = 0; i < 30; ++i)
    requests.push_back(with_handle(bench.request(2), i % 10 == 5 ? "alice" : "user" + std::to_string(i)));
  std::vector<const commit_request*> batch;
  for (const auto& request : requests) batch.push_back(&request);
  const auto outcomes = bench.commit(batch);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (i % 10 != 5) {
      BOOST_TEST(outcomes[i].committed == 2U);
      continue;
    }
    BOOST_TEST(outcomes[i].committed == 0U);
    BOOST_TEST((outcomes[i].failure.code == errc::projection_failed));
    BOOST_TEST(outcomes[i].failure.message.starts_with("projection failed: "));
    BOOST_TEST((outcomes[i].failure.message.find("handles") != std::string::npos), outcomes[i].failure.message);
    BOOST_TEST((outcomes[i].failure.message.find("handle", outcomes[i].failure.message.find("handles") + 1) !=
                std::string::npos),
               outcomes[i].failure.message);
    BOOST_TEST(bench.sequences(requests[i].aggregate_id).empty());
  }
  BOOST_TEST(bench.count("handles") == 28);
}

// Enough failures, batch after batch, that an adapter may change its ways.
BOOST_DATA_TEST_CASE(projections_agree_with_the_log_however_many_fail, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  auto projector = std::make_shared<function_projector>([](transaction& tx, const event& event) {
    project_handle(tx, event);
    if (event.type.starts_with("query")) (void)tx.query("SELECT events FROM handles WHERE aggregate_id = $1", event.aggregate_id);
    if (event.type.starts_with("throw")) throw std::runtime_error("no such luck");
    if (event.type.starts_with("null")) tx.execute("UPDATE handles SET handle = NULL WHERE aggregate_id = $1", event.aggregate_id);
  });
  std::mt19937 random{42};
  std::vector<std::pair<aggregate_id, std::size_t>> expected;
  for (int round = 0; round < 12; ++round) {
    std::vector<commit_request> requests;
    std::vector<const commit_request*> batch;
    for (int i = 0; i < 50; ++i) {
      auto& request = requests.emplace_back(bench.request(1 + random() % 4, 1 + random() % 2));
      for (auto& unit : request.units) {
        unit.projector = projector;
        const auto draw = random() % 40;
        const std::string kind = draw == 0 ? "throw" : draw == 1 ? "null" : draw == 2 ? "query" : "plain";
        for (auto& event : unit.events) event.type = kind + event.aggregate_id.text();
      }
    }
    for (const auto& request : requests) batch.push_back(&request);
    const auto outcomes = bench.commit(batch);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      std::size_t good = 0;
      std::size_t events = 0;
      errc failure = errc::none;
      for (const auto& unit : requests[i].units) {
        const auto& type = unit.events[0].type;
        if (type.starts_with("throw")) failure = errc::program_failed;
        if (type.starts_with("null")) failure = errc::projection_failed;
        if (failure != errc::none) break;
        ++good;
        events += unit.events.size();
      }
      BOOST_TEST(outcomes[i].committed == good);
      BOOST_TEST((outcomes[i].failure.code == failure));
      if (good > 0) expected.emplace_back(requests[i].aggregate_id, events);
    }
  }
  BOOST_TEST(bench.count("handles") == static_cast<std::int64_t>(expected.size()));
  for (const auto& [id, events] : expected) {
    BOOST_TEST(bench.sequences(id).size() == events);
    const sql_row row = bench.query("SELECT events FROM handles WHERE aggregate_id = $1", {id}).at(0);
    BOOST_TEST(row[0].as<std::int64_t>() == static_cast<std::int64_t>(events));
  }
}

// A projection runs before the database has said what it thinks of the events. Where they do not fit, that is the answer:
// the projection saw a state that is not the log's.
BOOST_DATA_TEST_CASE(events_that_do_not_fit_are_the_answer_whatever_the_projection_says, data::make(stores_under_test()), store) {
  const auto failing = [](transaction&, const event&) { throw std::runtime_error("no such luck"); };
  const auto wrong = [](transaction& tx, const event&) { tx.execute("INSERT INTO nowhere VALUES (1)"); };
  for (const auto& projection : std::vector<function_projector::function>{failing, wrong}) {
    workbench bench(store, {}, handles());
    const auto first = bench.request();
    bench.committed(first);
    const auto taken = with_projection(bench.request(first.aggregate_id), projection);
    BOOST_TEST((bench.commit(taken).failure.code == errc::retry_command), to_string(bench.commit(taken).failure));
  }
  for (const auto& projection : std::vector<function_projector::function>{failing, wrong}) {
    workbench bench(store, {}, handles());
    const auto other = bench.request();
    const auto orphan =
        with_projection(bench.request(bench.fresh_id(), 1, 1, 3, other.units[0].events[0].timestamp), projection);
    const auto good = with_projection(bench.request(), [](transaction& tx, const event& event) {
      if (tx.query("SELECT 1 FROM event_log WHERE timestamp = $1", event.timestamp).empty())
        throw std::runtime_error("its event is not there");
      project_handle(tx, event);
    });
    const auto outcomes = bench.commit({&orphan, &good});
    BOOST_TEST((outcomes[0].failure.code == errc::retry_command), to_string(outcomes[0].failure));
    BOOST_TEST(outcomes[1].committed == 1U, to_string(outcomes[1].failure));
    BOOST_TEST(bench.count("handles") == 1);
  }
}

BOOST_DATA_TEST_CASE(two_of_one_batch_that_want_the_same_handle_do_not_both_get_it, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const auto one = with_handle(bench.request(), "bob");
  const auto two = with_handle(bench.request(), "bob");
  const auto outcomes = bench.commit({&one, &two});
  BOOST_TEST(outcomes[0].committed + outcomes[1].committed == 1U);
  BOOST_TEST(bench.count("handles") == 1);
  BOOST_TEST(bench.count("event_log") == 1);
}

// Both are in one transaction at first: the one is refused there because the other has the handle, and only then it turns out,
// at COMMIT, that the other will not keep it.
BOOST_DATA_TEST_CASE(a_handle_that_its_taker_cannot_keep_is_refused_to_nobody, data::make(stores_under_test()), store) {
  auto tables = handles();
  tables.push_back({"families", 1, "CREATE TABLE families (name text PRIMARY KEY, parent text REFERENCES families DEFERRABLE INITIALLY DEFERRED)",
                    "CREATE TABLE families (name TEXT PRIMARY KEY, parent TEXT REFERENCES families DEFERRABLE INITIALLY DEFERRED) STRICT"});
  workbench bench(store, {}, tables);
  auto orphan = with_handle(bench.request(), "bob");
  orphan = with_projection(orphan, [](transaction& tx, const event& event) {
    project_handle(tx, event);
    tx.execute("INSERT INTO families VALUES ('oliver', 'nobody')");
  });
  auto other = with_handle(bench.request(2), "bob");
  other.units[1].events[0].body = "[1]";
  const auto stranger = with_handle(bench.request(), "carol");
  const auto outcomes = bench.commit({&orphan, &other, &stranger});
  BOOST_TEST((outcomes[0].failure.code == errc::projection_failed), to_string(outcomes[0].failure));
  BOOST_TEST(outcomes[1].committed == 1U, to_string(outcomes[1].failure));
  BOOST_TEST((outcomes[1].failure.code == errc::invalid_event), to_string(outcomes[1].failure));
  BOOST_TEST(outcomes[2].committed == 1U, to_string(outcomes[2].failure));
  BOOST_TEST(bench.count("handles") == 2);
}

BOOST_DATA_TEST_CASE(a_projection_that_throws_fails_its_command_alone, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const auto good = with_handle(bench.request(2), "good");
  const auto bad = with_projection(bench.request(), [](transaction& tx, const event& event) {
    project_handle(tx, event);
    throw std::runtime_error("no such luck");
  });
  const auto worse = with_projection(bench.request(), [](transaction&, const event&) { throw 42; });
  const auto outcomes = bench.commit({&good, &bad, &worse});
  BOOST_TEST(outcomes[0].committed == 2U);
  BOOST_TEST((outcomes[1].failure.code == errc::program_failed));
  BOOST_TEST(outcomes[1].failure.message.starts_with("a projection of aggregate type \"" + bad.aggregate_type + "\" failed: no such luck; "),
             outcomes[1].failure.message);
  BOOST_TEST((outcomes[2].failure.code == errc::program_failed));
  BOOST_TEST(bench.count("event_log") == 2);
  BOOST_TEST(bench.count("handles") == 1);
}

BOOST_DATA_TEST_CASE(a_statement_that_fails_fails_its_command_even_when_the_projection_ignores_it,
                     data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const auto ignorant = with_projection(bench.request(), [](transaction& tx, const event& event) {
    project_handle(tx, event);
    try {
      (void)tx.query("SELECT nonsense FROM nowhere");
    } catch (const std::exception&) {
    }
  });
  const auto good = with_handle(bench.request(), "good");
  const auto outcomes = bench.commit({&ignorant, &good});
  BOOST_TEST((outcomes[0].failure.code == errc::program_failed));
  BOOST_TEST((outcomes[0].failure.message.find("(statement: SELECT nonsense FROM nowhere)") != std::string::npos), outcomes[0].failure.message);
  BOOST_TEST((outcomes[0].failure.message.find("nowhere") != std::string::npos), outcomes[0].failure.message);
  BOOST_TEST(outcomes[1].committed == 1U);
  BOOST_TEST(bench.count("handles") == 1);
}

BOOST_DATA_TEST_CASE(wrong_statements_and_parameters_fail_their_command_as_the_programs_fault, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const std::vector<function_projector::function> wrong = {
      [](transaction& tx, const event&) { tx.execute("INSERT INTO nowhere VALUES (1)"); },
      [](transaction& tx, const event&) { tx.execute("this is no SQL"); },
      [](transaction& tx, const event&) { tx.execute(""); },
      [](transaction& tx, const event&) { tx.execute("DELETE FROM handles; DELETE FROM handles"); },
      [](transaction& tx, const event&) { tx.execute("DELETE FROM handles WHERE handle = $1"); },
      [](transaction& tx, const event&) { tx.execute("DELETE FROM handles WHERE handle = $1", "a", "b"); },
      [](transaction& tx, const event&) { tx.execute("DELETE FROM handles WHERE handle = $1", std::string("a\0b", 3)); },
      [](transaction& tx, const event& event) {
        tx.execute("INSERT INTO handles VALUES ($1, $2, $3)", event.aggregate_id, nullptr, 1);
      },
      [](transaction& tx, const event& event) {
        tx.execute("INSERT INTO handles VALUES ($1, $2, $3)", event.aggregate_id, "a", "no number");
      },
      [](transaction& tx, const event&) { tx.execute("COMMIT"); },
      [](transaction& tx, const event&) { tx.execute("  rollback;"); },
      [](transaction& tx, const event&) { tx.execute("SAVEPOINT here"); },
      [](transaction& tx, const event&) { tx.execute("/* x */ COMMIT"); },
      [](transaction& tx, const event&) { tx.execute("-- x\nCOMMIT"); },
      [](transaction& tx, const event&) { tx.execute("\fCOMMIT"); },
      [](transaction& tx, const event&) { tx.execute("SET synchronous_commit = off"); },
      [](transaction& tx, const event&) { tx.execute("PRAGMA synchronous = off"); },
  };
  constexpr std::size_t null_where_none_is_allowed = 7;
  std::int64_t mates = 0;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const auto request = with_projection(bench.request(), [&](transaction& tx, const event& event) {
      wrong[i](tx, event);
      tx.execute("INSERT INTO nowhere VALUES (1)");
    });
    const auto mate = with_handle(bench.request(), "mate " + std::to_string(i));
    const auto outcomes = bench.commit({&mate, &request});
    BOOST_TEST(outcomes[0].committed == 1U);
    BOOST_TEST(bench.count("handles") == ++mates);
    const auto& outcome = outcomes[1];
    const bool is_a_constraint = i == null_where_none_is_allowed;
    BOOST_TEST((outcome.failure.code == (is_a_constraint ? errc::projection_failed : errc::program_failed)), i << ": " << to_string(outcome.failure));
    BOOST_TEST((outcome.failure.message.find("failed: ") != std::string::npos), outcome.failure.message);
  }
  BOOST_TEST(bench.count("event_log") == mates);
  bench.committed(with_handle(bench.request(), "still working"));
}

BOOST_DATA_TEST_CASE(a_reference_that_is_checked_at_commit_rejects_its_command_alone, data::make(stores_under_test()), store) {
  const std::vector<migration> families = {
      {"families", 1, "CREATE TABLE families (name text PRIMARY KEY, parent text REFERENCES families DEFERRABLE INITIALLY DEFERRED)",
       "CREATE TABLE families (name TEXT PRIMARY KEY, parent TEXT REFERENCES families DEFERRABLE INITIALLY DEFERRED) STRICT"}};
  workbench bench(store, {}, families);
  const auto child_of = [&](const std::string& name, const std::string& parent) {
    return with_projection(bench.request(), [=](transaction& tx, const event&) {
      tx.execute("INSERT INTO families VALUES ($1, $2)", name, parent);
    });
  };
  const auto own = child_of("adam", "adam");
  const auto orphan = child_of("oliver", "nobody");
  const auto outcomes = bench.commit({&own, &orphan});
  BOOST_TEST(outcomes[0].committed == 1U);
  BOOST_TEST((outcomes[1].failure.code == errc::projection_failed), to_string(outcomes[1].failure));
  BOOST_TEST(bench.count("families") == 1);
}

BOOST_DATA_TEST_CASE(the_native_handle_works_within_the_transaction, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  std::int64_t seen = 0;
  const auto good = with_projection(bench.request(), [&](transaction& tx, const event& event) {
    tx.execute("INSERT INTO handles (aggregate_id, handle, events) VALUES ($1, 'before', 1)", event.aggregate_id);
    tx.with_native([&](const native_handle& handle) {
      BOOST_TEST((handle.postgres != nullptr) == (tx.sql_dialect() == dialect::postgres));
      BOOST_TEST((handle.sqlite != nullptr) == (tx.sql_dialect() == dialect::sqlite));
      seen = std::stoll(native_run(handle, "SELECT count(*) FROM handles"));
      native_run(handle, "UPDATE handles SET handle = 'native'");
    });
    tx.execute("UPDATE handles SET events = 2 WHERE handle = 'native'");
  });
  bench.committed(good);
  BOOST_TEST(seen == 1);
  BOOST_TEST(bench.query("SELECT events FROM handles WHERE handle = 'native'").at(0).at(0).as<std::int64_t>() == 2);

  const auto wrong = with_projection(bench.request(), [](transaction& tx, const event&) {
    tx.with_native([](const native_handle& handle) {
      native_run(handle, "DELETE FROM handles");
      native_run(handle, "SELECT * FROM nowhere");
    });
  });
  const auto thrown = with_projection(bench.request(), [](transaction& tx, const event&) {
    tx.with_native([](const native_handle&) { throw std::runtime_error("not today"); });
  });
  const auto plain = bench.request();
  const auto outcomes = bench.commit({&wrong, &thrown, &plain});
  BOOST_TEST((outcomes[1].failure.message.find("not today") != std::string::npos), to_string(outcomes[1].failure));
  BOOST_TEST((outcomes[1].failure.code == errc::program_failed));
  BOOST_TEST(outcomes[2].committed == 1U);
  if (bench.opened->sql_dialect() == dialect::postgres) {
    BOOST_TEST((outcomes[0].failure.code == errc::program_failed), to_string(outcomes[0].failure));
    BOOST_TEST(bench.count("handles") == 1);
  }
}

BOOST_DATA_TEST_CASE(a_projection_that_ends_the_transaction_by_its_native_handle_does_not_tear_a_command,
                     data::make(stores_under_test()), store) {
  workbench bench(store);
  for (const char* end : {"COMMIT", "ROLLBACK"}) {
    const auto ending = with_projection(bench.request(1, 2), [end](transaction& tx, const event&) {
      tx.with_native([end](const native_handle& handle) { native_run(handle, end); });
    });
    const auto outcome = bench.commit(ending);
    const auto stored = bench.sequences(ending.aggregate_id);
    BOOST_TEST(stored.size() == (outcome.committed == 1 ? 2U : 0U), end << ": " << to_string(outcome.failure));
  }
  bench.committed(bench.request());
}

BOOST_DATA_TEST_CASE(values_of_every_type_come_back, data::make(stores_under_test()), store) {
  const std::vector<migration> samples = {
      {"samples", 1,
       "CREATE TABLE samples (number bigint, ratio double precision, flag boolean, note text, raw bytea, missing text, small integer)",
       "CREATE TABLE samples (number INTEGER, ratio REAL, flag INTEGER, note TEXT, raw BLOB, missing TEXT, small INTEGER) STRICT"}};
  workbench bench(store, {}, samples);
  const std::string note = "it's \\ \"quoted\" {\xc3\xa4} $1";
  const sql_bytes raw{std::string("\0\xff\\x'", 5)};
  std::vector<sql_row> seen;
  bench.committed(with_projection(bench.request(), [&](transaction& tx, const event&) {
    tx.execute("INSERT INTO samples (small, missing, raw, note, flag, ratio, number) VALUES ($7, $6, $5, $4, $3, $2, $1)",
               std::int64_t{-9'000'000'000'000'000'000}, 0.1, true, note, raw, nullptr, 7);
    tx.execute("INSERT INTO samples (number, ratio, flag, note, raw) VALUES ($1, $2, $3, $4, $5)", 0, -1e300, false, "",
               sql_bytes{});
    // One parameter in several places.
    tx.execute("INSERT INTO samples (number, small) SELECT $1, small FROM samples WHERE number < $1 AND small IS NOT NULL",
               std::int64_t{1});
    seen = tx.query("SELECT number, ratio, flag, note, raw, missing, small FROM samples ORDER BY number");
  }));
  BOOST_TEST_REQUIRE(seen.size() == 3U);
  for (const std::vector<sql_row>& rows : {seen, bench.query("SELECT number, ratio, flag, note, raw, missing, small FROM samples ORDER BY number")}) {
    BOOST_TEST(rows[0][0].as<std::int64_t>() == -9'000'000'000'000'000'000);
    BOOST_TEST(rows[0][1].as<double>() == 0.1);
    BOOST_TEST(rows[0][2].as<bool>() == true);
    BOOST_TEST(rows[0][3].as<std::string>() == note);
    BOOST_TEST((rows[0][4].as<sql_bytes>() == raw));
    BOOST_TEST(rows[0][5].is_null());
    BOOST_TEST(rows[0][6].as<std::int64_t>() == 7);
    BOOST_TEST(rows[1][1].as<double>() == -1e300);
    BOOST_TEST(rows[1][2].as<bool>() == false);
    BOOST_TEST(rows[1][3].as<std::string>().empty());
    BOOST_TEST(rows[1][4].as<sql_bytes>().bytes.empty());
    BOOST_TEST(rows[2][0].as<std::int64_t>() == 1);
    BOOST_TEST(rows[2][6].as<std::int64_t>() == 7);
  }
  BOOST_TEST(bench.query("SELECT note FROM samples WHERE raw = $1 AND number = $2", {raw, std::int64_t{-9'000'000'000'000'000'000}})
                 .size() == 1U);
}

BOOST_DATA_TEST_CASE(more_different_statements_than_are_kept_prepared_still_work, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  bench.committed(with_projection(bench.request(), [](transaction& tx, const event& event) {
    for (int i = 0; i < 600; ++i) {
      const std::string handle = "'handle " + std::to_string(i) + "'";
      tx.execute("INSERT INTO handles VALUES ($1, " + handle + ", 1) ON CONFLICT (aggregate_id) DO UPDATE SET handle = " + handle,
                 event.aggregate_id);
    }
  }));
  BOOST_TEST(bench.query("SELECT handle FROM handles").at(0).at(0).as<std::string>() == "handle 599");
}

BOOST_DATA_TEST_CASE(a_query_for_tools_says_what_is_wrong, data::make(stores_under_test()), store) {
  workbench bench(store);
  const auto wrong = bench.reader->query("SELECT nonsense", {});
  BOOST_TEST_REQUIRE(!wrong);
  BOOST_TEST((wrong.failure().code == errc::invalid_argument));
  BOOST_TEST((wrong.failure().message.find("nonsense") != std::string::npos));
}

BOOST_DATA_TEST_CASE(a_reader_writes_nothing, data::make(stores_under_test()), store) {
  workbench bench(store, {}, handles());
  const auto request = bench.request(2);
  bench.committed(request);
  const auto refused = [](const error& failure) {
    BOOST_TEST((failure.code == errc::invalid_argument), to_string(failure));
  };
  const bool is_server = bench.opened->sql_dialect() == dialect::postgres;
  for (const std::string sql :
       {"INSERT INTO handles SELECT aggregate_id, 'a', 1 FROM event_log WHERE sequence = 1", "DELETE FROM snapshots",
        "CREATE TABLE made (id integer)", "UPDATE maestro_schema SET minimum = 99", "DROP TABLE handles"}) {
    const auto done = bench.reader->query(sql, {});
    BOOST_TEST_REQUIRE(!done, sql);
    refused(done.failure());
  }
  const auto more = bench.request();
  const auto* one = &more;
  const auto outcome = bench.reader->commit_all({&one, 1}).at(0);
  BOOST_TEST(outcome.committed == 0U);
  refused(outcome.failure);
  const auto kept = bench.reader->commit_snapshot({request.aggregate_id, 2, "account", "{}", 1, 2});
  BOOST_TEST(!kept);
  if (!kept) refused(kept.failure());

  // It reads on, and writers write.
  BOOST_TEST(bench.events(request.aggregate_id).size() == 2U);
  BOOST_TEST(bench.count("handles") == 0);
  BOOST_TEST(!value_of(bench.reader->get_snapshot(request.aggregate_id)));
  bench.committed(more);
  if (!is_server) return;
  // Also after its connection was lost, and over the connection that has migrated.
  bench.query("SELECT pg_terminate_backend($1::integer)",
              bench.reader->query("SELECT pg_backend_pid()", {}).value().at(0));
  BOOST_TEST(bench.events(request.aggregate_id).size() == 2U);
  const auto writes_nothing = [&](maestro::store& reader) {
    const auto done = reader.query("DELETE FROM snapshots", {});
    BOOST_TEST(!done);
    if (!done) refused(done.failure());
  };
  writes_nothing(*bench.reader);
  value_of(bench.opened->migrate({}));
  writes_nothing(*bench.opened->open_reader());
  value_of(bench.opened->migrate({}));
  value_of(bench.opened->open_writer()->query("DELETE FROM snapshots", {}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(conformance_migrations)

BOOST_DATA_TEST_CASE(tables_are_missing_until_migrate_and_migrate_is_safe_to_run_twice, data::make(stores_under_test()),
                     store) {
  auto where = store.make();
  auto opened = where->open({});
  auto missing = opened->check({});
  BOOST_TEST_REQUIRE(!missing);
  BOOST_TEST((missing.failure().code == errc::store_unavailable));
  BOOST_TEST((missing.failure().message.find("maestro migrate") != std::string::npos));

  const auto applied = value_of(opened->migrate({}));
  BOOST_TEST_REQUIRE(!applied.empty());
  for (std::size_t i = 0; i < applied.size(); ++i) BOOST_TEST(applied[i] == "maestro " + std::to_string(i + 1));
  succeed(opened->check({}));
  BOOST_TEST(value_of(opened->migrate({})).empty());
  missing = opened->check(handles());
  BOOST_TEST_REQUIRE(!missing);
  BOOST_TEST((missing.failure().code == errc::store_unavailable));
  BOOST_TEST((missing.failure().message.find("handles 1") != std::string::npos));
  BOOST_TEST(value_of(opened->migrate(handles())) == std::vector<std::string>{"handles 1"}, boost::test_tools::per_element());

  auto more = handles();
  more.push_back({"handles", 2, "ALTER TABLE handles ADD COLUMN note text; CREATE INDEX notes ON handles (note)",
                  "ALTER TABLE handles ADD COLUMN note TEXT; CREATE INDEX notes ON handles (note)"});
  succeed(opened->check(handles()));
  BOOST_TEST(!opened->check(more));
  BOOST_TEST(value_of(opened->migrate(more)) == std::vector<std::string>{"handles 2"}, boost::test_tools::per_element());
  BOOST_TEST(value_of(opened->migrate(handles())).empty());
  BOOST_TEST(value_of(opened->open_reader()->query("SELECT note FROM handles", {})).empty());
}

BOOST_DATA_TEST_CASE(a_step_that_fails_leaves_nothing_and_those_before_it_stay, data::make(stores_under_test()), store) {
  workbench bench(store);
  auto steps = handles();
  steps.push_back({"handles", 2, "CREATE TABLE half (id bigint); INSERT INTO nowhere VALUES (1)",
                   "CREATE TABLE half (id INTEGER) STRICT; INSERT INTO nowhere VALUES (1)"});
  const auto failed = bench.opened->migrate(steps);
  BOOST_TEST_REQUIRE(!failed);
  BOOST_TEST((failed.failure().message.find("handles 2") != std::string::npos), failed.failure().message);
  BOOST_TEST(!bench.reader->query("SELECT * FROM half", {}).has_value());
  BOOST_TEST(bench.count("handles") == 0);
  BOOST_TEST(value_of(bench.opened->migrate(handles())).empty());
}

BOOST_DATA_TEST_CASE(migrations_that_make_no_sense_are_refused_before_anything_is_applied, data::make(stores_under_test()),
                     store) {
  workbench bench(store);
  const std::vector<std::vector<migration>> senseless = {
      {{"", 1, "SELECT 1", "SELECT 1"}},
      {{"maestro", 1, "SELECT 1", "SELECT 1"}},
      {{"handles", 2, "SELECT 1", "SELECT 1"}},
      {{"handles", 1, "SELECT 1", "SELECT 1"}, {"handles", 1, "SELECT 1", "SELECT 1"}},
      {{"fine", 1, "CREATE TABLE fine (id bigint)", "CREATE TABLE fine (id INTEGER)"}, {"handles", 1, " ", ";"}},
  };
  for (const auto& steps : senseless) {
    const auto refused = bench.opened->migrate(steps);
    BOOST_TEST_REQUIRE(!refused);
    BOOST_TEST((refused.failure().code == errc::invalid_argument));
  }
  BOOST_TEST(!bench.reader->query("SELECT * FROM fine", {}).has_value());
}

BOOST_DATA_TEST_CASE(a_schema_that_asks_for_a_newer_program_is_refused, data::make(stores_under_test()), store) {
  workbench bench(store);
  bench.query("INSERT INTO maestro_migrations (component, number) VALUES ('maestro', 99)");
  succeed(bench.opened->check({}));
  bench.query("UPDATE maestro_schema SET minimum = 99");
  auto refused = bench.opened->check({});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::schema_too_new));
  BOOST_TEST((bench.opened->migrate({}).failure().code == errc::schema_too_new));
}

BOOST_AUTO_TEST_SUITE_END()
