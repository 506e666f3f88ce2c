// What a server can do to a store: end, recover, run out, forbid, lock. Whatever it is, nothing is lost that was reported
// committed, nothing is written twice, nothing is stored that was reported not written, and the next command succeeds.
#include "commit_stream.hpp"
#include "counters.hpp"
#include "own_server.hpp"

#include <boost/algorithm/string/join.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <future>
#include <random>
#include <thread>
#include <utility>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

const store_under_test postgres{"own_postgres", [] { return std::make_unique<own_place>(); }};

auto server() -> own_server& { return own_server::get(); }
auto place_of(workbench& bench) -> own_place& { return dynamic_cast<own_place&>(*bench.where); }

auto impatient() -> store_settings {
  store_settings settings;
  settings.reconnect_limit = 50ms;
  return settings;
}

auto own_process(store& store) -> std::int64_t {
  return value_of(store.query("SELECT pg_backend_pid()", {})).at(0).at(0).as<std::int64_t>();
}

// Two streams, with projections and without.
struct streams {
  explicit streams(workbench& bench) : plain(*bench.opened, false), projecting(*bench.opened, true) {}
  void await_commits() {
    plain.await_commits(50);
    projecting.await_commits(50);
  }
  void await_failures() {
    plain.await_failure();
    projecting.await_failure();
  }
  commit_stream plain;
  commit_stream projecting;
};

// Hurts the server under load, `times`, and sees the load go on.
void hurt_under_load(const std::string& what, int times, const store_settings& settings,
                     const std::function<void(workbench&, streams&)>& hurt) {
  workbench bench(postgres, settings, counters);
  streams load(bench);
  for (int time = 0; time < times; ++time) {
    load.await_commits();
    hurt(bench, load);
  }
  load.await_commits();
  load.plain.audit(bench);
  load.projecting.audit(bench);
  BOOST_TEST_MESSAGE(what << ": the longest commit took " << std::max(load.plain.longest(), load.projecting.longest()) << " ms, "
                          << load.plain.failures() + load.projecting.failures() << " were answered with a failure");
}

// A connection that stands in the way of others until it is told not to.
class obstacle {
 public:
  obstacle(workbench& bench, const std::string& sql) : connection_(bench.opened->open_writer()) {
    value_of(connection_->query("BEGIN", {}));
    value_of(connection_->query(sql, {}));
  }
  void remove() { value_of(connection_->query("ROLLBACK", {})); }

 private:
  std::unique_ptr<store> connection_;
};

// `request` is answered `store_unavailable` now, for a reason that the message tells; nothing of it is stored.
void is_refused_for(workbench& bench, store& writer, const commit_request& request, const std::string& reason) {
  const auto outcome = writer.commit_all(std::vector{&request}).at(0);
  BOOST_TEST((outcome.failure.code == errc::store_unavailable), to_string(outcome.failure));
  BOOST_TEST((outcome.failure.message.find(reason) != std::string::npos), outcome.failure.message);
  BOOST_TEST(outcome.committed == 0U);
  BOOST_TEST(bench.sequences(request.aggregate_id).empty());
}

void succeeds(workbench& bench, store& writer, const commit_request& request) {
  const auto outcome = writer.commit_all(std::vector{&request}).at(0);
  BOOST_TEST(!outcome.failure, to_string(outcome.failure));
  BOOST_TEST(bench.sequences(request.aggregate_id).size() == request.units.size());
}

// Two nodes whose projections change the same eight rows, batch after batch, one up and one down.
class opposing_nodes {
 public:
  static constexpr int rows = 8;
  static constexpr int batches = 40;

  explicit opposing_nodes(workbench& bench) : bench_(bench) {
    bench.query("CREATE TABLE shared (id integer PRIMARY KEY, value bigint NOT NULL)");
    for (int row = 0; row < rows; ++row) bench.query("INSERT INTO shared VALUES ($1, 0)", {row});
  }

  void run() {
    std::vector<std::thread> threads;
    for (node& each : nodes_) threads.emplace_back([this, &each] { run(each); });
    for (auto& thread : threads) thread.join();
  }

  void report_and_check(const std::string& what) {
    std::int64_t committed = 0;
    std::size_t refused = 0;
    steady_clock::duration longest{0};
    for (const node& each : nodes_) {
      BOOST_TEST(each.problem.empty(), each.problem);
      committed += each.committed;
      refused += each.refused;
      longest = std::max(longest, each.longest);
    }
    BOOST_TEST_MESSAGE(what << ": the longest commit took " << in_milliseconds(longest) << " ms; of " << committed << " commands "
                            << refused << " were refused");
    BOOST_TEST(refused == 0U);
    BOOST_TEST(committed == 2 * batches * rows);
    BOOST_TEST(bench_.query("SELECT sum(value)::bigint FROM shared").at(0).at(0).as<std::int64_t>() == committed);
    BOOST_TEST(bench_.count("event_log") == committed);
  }

 private:
  struct node {
    bool upwards = true;
    std::int64_t committed = 0;
    std::size_t refused = 0;
    steady_clock::duration longest{0};
    std::string problem = {};
  };

  void run(node& as) {
    const auto writer = bench_.opened->open_writer();
    request_maker make;
    for (int batch = 0; batch < batches && as.problem.empty(); ++batch) {
      std::vector<commit_request> requests;
      std::vector<const commit_request*> pointers;
      for (int i = 0; i < rows; ++i)
        requests.push_back(with_projection(make.request(), [row = as.upwards ? i : rows - 1 - i](transaction& tx, const event&) {
          // Its answer is waited for, so that each row is held for a while before the next is asked for.
          (void)tx.query("UPDATE shared SET value = value + 1 WHERE id = $1 RETURNING value", row);
        }));
      for (const auto& request : requests) pointers.push_back(&request);
      const auto start = steady_clock::now();
      const auto outcomes = writer->commit_all(pointers);
      as.longest = std::max(as.longest, steady_clock::now() - start);
      for (const auto& outcome : outcomes) {
        as.committed += static_cast<std::int64_t>(outcome.committed);
        if (outcome.failure.code == errc::store_unavailable) ++as.refused;
        else if (outcome.failure) as.problem = to_string(outcome.failure);
      }
    }
  }

  workbench& bench_;
  std::vector<node> nodes_{{.upwards = true}, {.upwards = false}};
};

// What the bench itself looks with connects when it is first used; a server in trouble would not let it.
void connect(workbench& bench) {
  (void)bench.query("SELECT 1");
  (void)bench.events(bench.fresh_id());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(postgres_failures)

BOOST_AUTO_TEST_CASE(backends_that_are_ended_again_and_again_cost_and_repeat_nothing) {
  hurt_under_load("backends ended", 15, {}, [](workbench& bench, streams&) {
    bench.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()");
  });
}

BOOST_AUTO_TEST_CASE(a_backend_that_is_killed_costs_and_repeats_nothing) {
  hurt_under_load("backend killed", 1, {}, [](workbench& bench, streams&) {
    // Whoever serves a stream; the recovery that follows ends all others.
    const auto backends = server().backends(place_of(bench).name());
    BOOST_TEST_REQUIRE(!backends.empty());
    own_server::kill_backend(backends.front());
  });
}

BOOST_AUTO_TEST_CASE(a_server_that_is_killed_and_stays_away_is_honestly_reported) {
  hurt_under_load("server killed", 1, impatient(), [](workbench&, streams& load) {
    server().kill();
    load.await_failures();
    server().start();
  });
}

BOOST_AUTO_TEST_CASE(a_server_that_is_stopped_at_once_costs_and_repeats_nothing) {
  hurt_under_load("immediate stop", 1, {}, [](workbench&, streams&) {
    server().stop_immediately();
    server().start();
  });
}

BOOST_AUTO_TEST_CASE(a_server_that_is_restarted_costs_and_repeats_nothing) {
  hurt_under_load("fast restart", 2, {}, [](workbench&, streams&) {
    server().stop_fast();
    server().start();
  });
}

BOOST_AUTO_TEST_CASE(a_server_that_is_starting_up_is_asked_again_at_growing_intervals) {
  store_settings patient;
  patient.reconnect_limit = 1min;
  workbench bench(postgres, patient, counters);
  const auto request = with_projection(bench.request(2), count_up);
  const auto brief = value_of(open_database(place_of(bench).uri(), impatient()))->open_writer();
  server().stop_fast();
  server().start_in_recovery();
  const auto refused = brief->commit_all(std::vector{&request}).at(0);
  BOOST_TEST((refused.failure.code == errc::store_unavailable), to_string(refused.failure));

  const auto before = server().reported("57P03");
  const auto start = steady_clock::now();
  commit_outcome outcome;
  std::jthread committing([&] { outcome = bench.commit(request); });
  await("some attempts", [&] { return server().reported("57P03") >= before + 10; });
  server().promote();
  committing.join();
  const auto took = in_milliseconds(steady_clock::now() - start);
  BOOST_TEST(outcome.committed == 2U, to_string(outcome.failure));
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
  const auto attempts = static_cast<std::int64_t>(server().reported("57P03") - before);
  // From the eighth on there are 64 ms between two, at least.
  BOOST_TEST(attempts <= 9 + took / 64, attempts << " attempts in " << took << " ms");
  bench.committed(bench.request());
}

BOOST_AUTO_TEST_CASE(connections_that_ran_out_stop_only_who_has_none) {
  workbench bench(postgres, {}, counters);
  connect(bench);
  const auto opened = value_of(open_database(place_of(bench).uri(), impatient()));
  const auto writer = opened->open_writer();
  succeeds(bench, *writer, bench.request());
  std::vector<std::unique_ptr<store>> crowd;
  const auto fill = [&] {
    do crowd.push_back(opened->open_reader());
    while (crowd.back()->query("SELECT 1", {}).has_value());
  };
  fill();
  succeeds(bench, *writer, with_projection(bench.request(), count_up));

  const auto process = own_process(*writer);
  bench.query("SELECT pg_terminate_backend($1)", {process});
  await("the end of a backend", [&] { return bench.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", {process}).empty(); });
  fill();
  const auto before = server().reported("53300");
  const auto request = with_projection(bench.request(), count_up);
  is_refused_for(bench, *writer, request, "too many clients");
  BOOST_TEST(server().reported("53300") > before);
  crowd.clear();
  await("room", [&] {
    return bench.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").at(0).at(0).as<std::int64_t>() < 4;
  });
  succeeds(bench, *writer, request);
}

BOOST_AUTO_TEST_CASE(a_database_that_is_read_only_for_new_connections_is_unavailable_only_while_it_is) {
  workbench bench(postgres, {}, counters);
  connect(bench);
  const auto writer = value_of(open_database(place_of(bench).uri(), impatient()))->open_writer();
  const std::string alter = "ALTER DATABASE " + place_of(bench).name();
  server().run(alter + " SET default_transaction_read_only = on");
  const auto request = with_projection(bench.request(), count_up);
  is_refused_for(bench, *writer, request, "read-only");
  server().run(alter + " RESET default_transaction_read_only");
  succeeds(bench, *writer, request);
}

BOOST_AUTO_TEST_CASE(a_server_that_turns_read_only_under_a_connection_is_unavailable_only_while_it_is) {
  workbench bench(postgres, {}, counters);
  connect(bench);
  const auto writer = value_of(open_database(place_of(bench).uri(), impatient()))->open_writer();
  const auto set = [&](const std::string& value) {
    server().run("ALTER SYSTEM SET default_transaction_read_only = " + value);
    server().run("SELECT pg_reload_conf()");
    await("the setting", [&] {
      return bench.query("SHOW default_transaction_read_only").at(0).at(0).as<std::string>() == value &&
             server().run("SHOW default_transaction_read_only").at(0).at(0).as<std::string>() == value;
    });
  };
  for (const bool projecting : {false, true}) {
    succeeds(bench, *writer, bench.request());
    set("on");
    auto request = bench.request();
    if (projecting) request = with_projection(std::move(request), count_up);
    is_refused_for(bench, *writer, request, "read-only");
    set("off");
    succeeds(bench, *writer, request);
  }
}

// What a balancer does that still leads to a primary of yesterday: the connection is fine, and never writes again.
BOOST_AUTO_TEST_CASE(a_connection_that_stays_read_only_is_given_up_for_one_that_is_not) {
  workbench bench(postgres, {}, counters);
  const auto anything = value_of(open_database(place_of(bench).uri("target_session_attrs=any")));
  for (const bool projecting : {false, true}) {
    const auto writer = anything->open_writer();
    value_of(writer->query("SET default_transaction_read_only = on", {}));
    auto request = bench.request();
    if (projecting) request = with_projection(std::move(request), count_up);
    succeeds(bench, *writer, request);
  }
  const auto writer = anything->open_writer();
  value_of(writer->query("SET default_transaction_read_only = on", {}));
  succeed(writer->commit_snapshot({bench.fresh_id(), 1, "account", "{}", 1, 1}));
}

BOOST_AUTO_TEST_CASE(a_lock_on_the_log_makes_the_store_unavailable_only_while_it_lasts) {
  store_settings settings;
  settings.lock_timeout = 20ms;
  settings.max_retries = 2;
  workbench bench(postgres, settings, counters);
  const auto patient = value_of(open_database(place_of(bench).uri()))->open_writer();
  for (const bool projecting : {false, true}) {
    auto request = bench.request();
    auto other = bench.request();
    if (projecting) request = with_projection(std::move(request), count_up);
    if (projecting) other = with_projection(std::move(other), count_up);
    obstacle lock(bench, "LOCK TABLE event_log IN EXCLUSIVE MODE");
    is_refused_for(bench, *bench.writer, request, "lock timeout");
    commit_outcome outcome;
    const auto before = server().reported("55P03");
    std::jthread waiting([&] { outcome = patient->commit_all(std::vector<const commit_request*>{&other}).at(0); });
    await("a lock timeout", [&] { return server().reported("55P03") > before; });
    lock.remove();
    waiting.join();
    BOOST_TEST(outcome.committed == 1U, to_string(outcome.failure));
    succeeds(bench, *bench.writer, request);
  }
}

BOOST_AUTO_TEST_CASE(a_row_that_is_locked_makes_its_command_wait_and_nobody_else) {
  store_settings settings;
  settings.lock_timeout = 20ms;
  settings.max_retries = 3;
  workbench bench(postgres, settings, counters);
  bench.query("INSERT INTO counters VALUES ('\\x00', 0)");
  obstacle lock(bench, "UPDATE counters SET value = 10 WHERE id = '\\x00'");
  std::vector<std::string> waits;
  const auto blocked = with_projection(bench.request(), [&waits](transaction& tx, const event&) {
    waits.push_back(tx.query("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'").at(0).at(0).as<std::string>());
    tx.execute("UPDATE counters SET value = value + 1 WHERE id = '\\x00'");
  });
  const auto free = with_projection(bench.request(), count_up);
  const auto outcomes = bench.commit({&blocked, &free});
  BOOST_TEST((outcomes[0].failure.code == errc::store_unavailable), to_string(outcomes[0].failure));
  BOOST_TEST(outcomes[1].committed == 1U, to_string(outcomes[1].failure));
  BOOST_TEST(bench.sequences(blocked.aggregate_id).empty());
  // Others wait for the answers to this batch: less and less time is spent on the lock.
  BOOST_TEST((waits == std::vector<std::string>{"20", "10", "5", "2"}), boost::algorithm::join(waits, ", "));
  lock.remove();
  bench.committed(blocked);
  BOOST_TEST(bench.query("SELECT value FROM counters WHERE id = '\\x00'").at(0).at(0).as<std::int64_t>() == 1);
}

BOOST_AUTO_TEST_CASE(events_whose_insert_takes_too_long_are_given_up_and_can_be_written_later) {
  store_settings settings;
  settings.statement_timeout = 30ms;
  settings.max_retries = 1;
  workbench bench(postgres, {}, counters);
  const auto writer = value_of(open_database(place_of(bench).uri("options=-clock_timeout%3D0"), settings))->open_writer();
  for (const bool projecting : {false, true}) {
    auto request = bench.request();
    if (projecting) request = with_projection(std::move(request), count_up);
    obstacle lock(bench, "LOCK TABLE event_log IN EXCLUSIVE MODE");
    is_refused_for(bench, *writer, request, "statement timeout");
    lock.remove();
    succeeds(bench, *writer, request);
  }
}

// PostgreSQL gives a transaction up at its insert, in its projection, or at COMMIT.
BOOST_AUTO_TEST_CASE(a_transaction_that_the_server_gives_up_is_repeated_and_at_last_reported) {
  store_settings settings;
  settings.max_retries = 5;
  workbench bench(postgres, settings, counters);
  bench.query("CREATE SEQUENCE attempts");
  bench.query("CREATE TABLE asked (limit_of_attempts bigint, sqlstate text)");
  bench.query("CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE now_asked record; BEGIN "
              "SELECT * INTO now_asked FROM asked; IF nextval('attempts') <= now_asked.limit_of_attempts "
              "THEN RAISE EXCEPTION 'given up' USING ERRCODE = now_asked.sqlstate; END IF; RETURN NULL; END $$");
  const std::vector<std::string> places = {
      "CREATE TRIGGER giving_up AFTER INSERT ON event_log FOR EACH ROW EXECUTE FUNCTION give_up()",
      "CREATE TRIGGER giving_up AFTER INSERT ON counters FOR EACH ROW EXECUTE FUNCTION give_up()",
      "CREATE CONSTRAINT TRIGGER giving_up AFTER INSERT ON counters DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
      "EXECUTE FUNCTION give_up()"};
  for (const auto& trigger : places)
    for (const std::string sqlstate : {"40001", "40P01"}) {
      bench.query(trigger);
      const auto attempts = [&](std::int64_t limit) {
        bench.query("ALTER SEQUENCE attempts RESTART");
        bench.query("DELETE FROM asked");
        bench.query("INSERT INTO asked VALUES ($1, $2)", {limit, sqlstate});
      };
      attempts(3);
      succeeds(bench, *bench.writer, with_projection(bench.request(), count_up));
      attempts(1'000'000);
      const auto request = with_projection(bench.request(), count_up);
      is_refused_for(bench, *bench.writer, request, "given up");
      const auto made = bench.query("SELECT last_value FROM attempts").at(0).at(0).as<std::int64_t>();
      BOOST_TEST((made > 5 && made < 15), made << " attempts");
      attempts(0);
      succeeds(bench, *bench.writer, request);
      bench.query("DROP TRIGGER giving_up ON " + std::string(trigger.find("event_log") != trigger.npos ? "event_log" : "counters"));
    }
}

// A server that waits for a standby has committed for itself only: what it shows may be lost with it.
BOOST_AUTO_TEST_CASE(a_doubt_is_settled_only_when_the_standbys_have_the_commit) {
  workbench bench(postgres);
  std::atomic<bool> answered{false};
  const auto waiting = [&answered](const std::string& which, const std::string& other_than = "0") {
    const auto sql = "SELECT count(*), min(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%" + which +
                     "%' AND extract(epoch FROM query_start)::text <> '" + other_than + "'";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < deadline && !answered) {
      const auto row = server().run(sql).at(0);
      if (row[0].as<std::int64_t>() > 0) return row[1].as<std::int64_t>();
    }
    return std::int64_t{0};
  };
  const struct standbys {
    standbys() { set("'nobody'"); }
    ~standbys() { set("''"); }
    static void set(const std::string& names) {
      server().run("ALTER SYSTEM SET synchronous_standby_names = " + names);
      server().run("SELECT pg_reload_conf()");
    }
  } none;
  // The server takes a moment to follow its new setting: until then commits go through.
  std::atomic<bool> waits{false};
  commit_outcome outcome;
  std::thread committing([&] {
    while (!waits) outcome = bench.commit(bench.request());
    answered = true;
  });
  const auto process = waiting("INSERT INTO event_log");
  BOOST_TEST(process != 0);
  waits = true;
  server().run("SELECT pg_terminate_backend(" + std::to_string(process) + ")");
  const auto waiter = waiting("pg_logical_emit_message");
  BOOST_TEST(waiter != 0);
  BOOST_TEST(!answered);
  // An operator ends this wait as well: the doubt stays, and the wait begins anew.
  const auto of_waiter = " FROM pg_stat_activity WHERE pid = " + std::to_string(waiter);
  const auto began = server().run("SELECT extract(epoch FROM query_start)::text" + of_waiter).at(0).at(0).as<std::string>();
  server().run("SELECT pg_cancel_backend(pid)" + of_waiter);
  const bool waits_again = waiting("pg_logical_emit_message", began) != 0;
  BOOST_TEST(waits_again);
  BOOST_TEST(!answered);
  standbys::set("''");
  committing.join();
  BOOST_TEST(outcome.committed == 1U, to_string(outcome.failure));
}

// Until a session is gone, an open transaction of its node may still commit. One that stands still makes the difference to be seen.
BOOST_AUTO_TEST_CASE(who_declares_a_node_dead_beats_on_while_its_sessions_end) {
  workbench bench(postgres);
  hybrid_clock clock;
  const auto stopped = bench.where->open({});
  const auto members = stopped->open_members();
  const member first{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  value_of(members->join(first));
  const auto session = stopped->open_writer();
  const auto process = own_process(*session);
  const auto others = bench.opened->open_members();
  const member second{"south", clock.fresh<incarnation_id>(), "somewhere:2"};
  const auto version = value_of(others->join(second)).version;
  const auto held = [&] { return bench.query("SELECT FROM pg_locks WHERE pid = $1", {process}).size(); };

  ::kill(static_cast<pid_t>(process), SIGSTOP);
  const auto began = std::chrono::steady_clock::now();
  const bool declared = value_of(others->declare_dead(first, version));
  std::int64_t beats = 0;
  for (const auto& each : value_of(others->beat(second.incarnation)).members)
    if (each.incarnation == second.incarnation) beats = each.heartbeat;
  const auto took = std::chrono::steady_clock::now() - began;
  const auto held_by_the_stopped = held();
  // A session that the node makes late is ended, too, by a beat.
  const auto late = stopped->open_reader();
  const auto late_process = own_process(*late);
  value_of(others->beat(second.incarnation));
  const auto late_held = [&] { return bench.query("SELECT FROM pg_locks WHERE pid = $1", {late_process}).size(); };
  const bool late_ended = [&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (late_held() != 0U)
      if (std::chrono::steady_clock::now() > deadline) return false;
    return true;
  }();
  ::kill(static_cast<pid_t>(process), SIGCONT);
  BOOST_TEST(declared);
  BOOST_TEST(beats > 0);
  BOOST_TEST((took < 5s));  // It once waited for 10 s.
  BOOST_TEST(held_by_the_stopped > 0U);
  BOOST_TEST(late_ended);
  await("the session that was told to end to go", [&] { return held() == 0U; });
}

// On a connection that has just been made: an old one is tried again. What is asked waits for a lock when its session
// ends.
BOOST_AUTO_TEST_CASE(a_server_that_is_lost_while_members_are_read_or_changed_is_told_by_its_own_words) {
  store_settings settings;
  settings.lock_timeout = settings.statement_timeout = 1min;
  workbench bench(postgres, settings);
  hybrid_clock clock;
  const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  const auto version = value_of(bench.opened->open_members()->join(self)).version;
  struct way {
    std::string name;
    std::function<error(member_table&)> ask;
  };
  const auto failure_of = [](const auto& answer) { return answer ? error{} : answer.failure(); };
  const std::vector<way> ways{
      {"list", [&](member_table& of) { return failure_of(of.list()); }},
      {"beat", [&](member_table& of) { return failure_of(of.beat(self.incarnation)); }},
      {"served_text", [&](member_table& of) { return failure_of(of.served_text("0123456789abcdef")); }},
      {"join",
       [&](member_table& of) {
         return failure_of(of.join({"south", clock.fresh<incarnation_id>(), "somewhere:2"}));
       }},
      {"declare_dead", [&](member_table& of) { return failure_of(of.declare_dead(self, version)); }},
      {"leave", [&](member_table& of) { return failure_of(of.leave(self.incarnation)); }},
  };
  const auto waiting = [&] {
    return server().run("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '" +
                        place_of(bench).name() + "'");
  };
  const auto lost = [&](const way& each, const std::function<void(std::int64_t)>& end) {
    obstacle lock(bench, "LOCK TABLE maestro_members IN ACCESS EXCLUSIVE MODE");
    error failure;
    std::jthread asking([&] { failure = each.ask(*bench.opened->open_members()); });
    await("a session that waits", [&] { return !waiting().empty(); });
    end(waiting().at(0).at(0).as<std::int64_t>());
    asking.join();
    BOOST_TEST((failure.code == errc::store_unavailable), each.name << ": " << to_string(failure));
    return failure.message;
  };
  const auto says = [](const way& each, const std::string& message, const std::string& words) {
    BOOST_TEST((message.find(words) != std::string::npos), each.name << ": " << message);
  };
  for (const auto& each : ways)
    says(each,
         lost(each, [](auto process) { server().run("SELECT pg_terminate_backend(" + std::to_string(process) + ")"); }),
         "terminating connection due to administrator command");
  says(ways.front(), lost(ways.front(), [](auto process) { own_server::kill_backend(process); }),
       "server closed the connection unexpectedly");
}

// As of a dump that is read in elsewhere, all rows are the same.
BOOST_AUTO_TEST_CASE(a_copy_that_the_server_makes_of_a_database_is_another_store) {
  own_place place;
  hybrid_clock clock;
  std::string original;
  {
    const auto opened = place.open({});
    value_of(opened->migrate({}));
    original = value_of(opened->open_members()->join({"north", clock.fresh<incarnation_id>(), "somewhere:1"})).store;
  }
  await("the connections to end", [&] { return server().backends(place.name()).empty(); });
  const auto name = place.name() + "_copy";
  server().run("CREATE DATABASE " + name + " TEMPLATE " + place.name());
  std::string copy;
  {
    const auto opened = value_of(open_database(server().uri(name)));
    succeed(opened->check({}));
    copy = value_of(opened->open_members()->join({"south", clock.fresh<incarnation_id>(), "somewhere:2"})).store;
  }
  server().run("DROP DATABASE " + name + " WITH (FORCE)");
  BOOST_TEST(original != "");
  BOOST_TEST(copy != "");
  BOOST_TEST(copy != original);
}

// A page that only the large events of one aggregate are in.
BOOST_AUTO_TEST_CASE(a_damaged_page_is_told_from_a_store_that_is_away) {
  workbench bench(postgres, impatient());
  auto damaged = bench.request();
  const auto other = bench.request();
  std::mt19937 random{1};  // What can be compressed may stay in its row.
  std::string body(20'000, ' ');
  for (char& each : body) each = static_cast<char>('A' + random() % 26);
  damaged.units[0].events[0].body = R"({"text":")" + body + R"("})";
  for (const auto& request : {damaged, other}) bench.committed(request);
  const auto page = bench.query("SELECT current_setting('data_directory') || '/' || pg_relation_filepath(reltoastrelid) "
                                "FROM pg_class WHERE oid = 'event_log'::regclass").at(0).at(0).as<std::string>();
  server().stop_fast();
  {
    std::fstream file(page, std::ios::in | std::ios::out | std::ios::binary);
    file.write(std::string(64, '\xff').data(), 64);
    BOOST_TEST_REQUIRE(file.good());
  }
  server().start();
  const auto reader = bench.opened->open_reader();
  const auto together = reader->get_histories(std::vector{damaged.aggregate_id, other.aggregate_id}, 10);
  BOOST_TEST_REQUIRE(!together);
  BOOST_TEST((together.failure().code == errc::store_unavailable), to_string(together.failure()));
  BOOST_TEST(together.failure().is_damage, to_string(together.failure()));
  BOOST_TEST(value_of(reader->get_histories(std::vector{other.aggregate_id}, 10)).at(0).events.size() == 1U);
}

BOOST_AUTO_TEST_CASE(two_nodes_that_want_the_same_rows_in_opposite_order_both_get_on) {
  for (const std::string deadlock_timeout : {"1s", "10ms"}) {
    workbench bench(postgres);
    server().run("ALTER SYSTEM SET deadlock_timeout = '" + deadlock_timeout + "'");
    server().run("SELECT pg_reload_conf()");
    await("the setting", [&] { return server().run("SHOW deadlock_timeout").at(0).at(0).as<std::string>() == deadlock_timeout; });
    const auto timeouts = server().reported("55P03");
    const auto deadlocks = server().reported("40P01");
    opposing_nodes nodes(bench);
    nodes.run();
    nodes.report_and_check("opposite order, deadlocks noticed after " + deadlock_timeout);
    const auto given_up = server().reported("55P03") - timeouts + server().reported("40P01") - deadlocks;
    BOOST_TEST_MESSAGE("  " << server().reported("55P03") - timeouts << " lock timeouts, "
                            << server().reported("40P01") - deadlocks << " deadlocks");
    BOOST_TEST((given_up > 0 && given_up < opposing_nodes::batches * opposing_nodes::rows), given_up << " transactions were given up");
  }
}

// What it waits for stands still, and does not hear that it is to be cancelled.
BOOST_AUTO_TEST_CASE(a_rebuild_that_is_told_to_stop_while_the_server_stands_still_says_that_it_was_stopped) {
  for (const bool ordered : {false, true}) {
    store_settings settings;
    settings.lock_timeout = 60s;
    workbench bench(postgres, settings, counters);
    bench.committed(bench.request());
    const auto other = bench.opened->open_writer();
    auto plan = counting();
    plan.ordered_between_aggregates = ordered;
    std::atomic<bool> stop{false};
    bool held = false;
    auto rebuilt = std::async(std::launch::async, [&] {
      return bench.opened->rebuild(plan, [&](const rebuild_progress& progress) {
        if (progress.total > 0 && !std::exchange(held, true)) {
          value_of(other->query("BEGIN", {}));
          value_of(other->query("LOCK TABLE event_log IN ROW EXCLUSIVE MODE", {}));
        }
        return !stop;
      });
    });
    await("the lock of the last step", [&] {
      return !bench.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE event_log%'").empty();
    });
    server().freeze();
    stop = true;
    const bool is_over = rebuilt.wait_for(30s) == std::future_status::ready;
    server().thaw();
    BOOST_TEST(is_over);
    const auto done = rebuilt.get();
    BOOST_TEST_REQUIRE(!done);
    BOOST_TEST((done.failure().code == errc::shutting_down), to_string(done.failure()));
    value_of(other->query("ROLLBACK", {}));
  }
}

BOOST_AUTO_TEST_SUITE_END()
