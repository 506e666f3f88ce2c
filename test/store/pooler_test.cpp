// A pooler between a store and its server: PgBouncer, in each of its modes. And what a server does not promise.
#include "commit_stream.hpp"
#include "counters.hpp"
#include "faulty_proxy.hpp"
#include "free_port.hpp"
#include "mute_server.hpp"
#include "own_server.hpp"
#include "server_process.hpp"

#include <maestro/store/postgres/line_cutter.hpp>
#include <maestro/store/postgres/pooler.hpp>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <libpq-fe.h>
#include <set>

#include <sys/wait.h>
#include <unistd.h>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* program = "/usr/sbin/pgbouncer";

auto has_pgbouncer(boost::unit_test::test_unit_id) -> boost::test_tools::assertion_result {
  boost::test_tools::assertion_result there(::access(program, X_OK) == 0);
  if (!there) there.message() << program << " is not installed";
  return there;
}

// Passes on to the own server, for as long as it lives.
class pgbouncer {
 public:
  explicit pgbouncer(const std::string& mode, int pool_size = 8)
      : folder_(make_server_folder()), port_(free_port()), pool_size_(pool_size) {
    write_settings(mode);
    process_ = spawn_server({program, settings()}, folder_, (folder_ / "log").string());
  }
  pgbouncer(const pgbouncer&) = delete;
  auto operator=(const pgbouncer&) -> pgbouncer& = delete;
  ~pgbouncer() {
    ::kill(process_, SIGTERM);  // At once.
    ::waitpid(process_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // As an operator who edits its settings. It follows in a moment.
  void change_to(const std::string& mode) const {
    write_settings(mode);
    ::kill(process_, SIGHUP);
  }

  // The database of `where`, reached through it, once that can be.
  [[nodiscard]] auto open(const own_place& where, const store_settings& settings = {}) const -> std::shared_ptr<database> {
    auto opened = value_of(open_database(where.uri({}, port_), settings));
    const auto is_listening = [&] {
      const auto checked = opened->check({});
      return checked || checked.failure().message.find("refused") == std::string::npos;
    };
    await("the pooler", is_listening);
    return opened;
  }
  [[nodiscard]] auto port() const noexcept -> int { return port_; }

 private:
  [[nodiscard]] auto settings() const -> std::string { return (folder_ / "pgbouncer.ini").string(); }
  void write_settings(const std::string& mode) const {
    std::ofstream(settings()) << "[databases]\n* = host=127.0.0.1 port=" << own_server::get().port()
                              << " user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_
                              << "\nunix_socket_dir =\nauth_type = any\npool_mode = " << mode
                              << "\ndefault_pool_size = " << pool_size_ << "\nserver_round_robin = 0\n";
    give_to_server(settings());
  }

  std::filesystem::path folder_;
  int port_;
  int pool_size_;
  pid_t process_ = 0;
};

// Hands out a database through a pooler in session mode.
class pooled_place final : public own_place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override { return pooler_.open(*this, settings); }

 private:
  pgbouncer pooler_{"session"};
};

using raw_connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;

auto raw(const std::string& uri) -> raw_connection {
  raw_connection made(PQconnectdb(uri.c_str()), PQfinish);
  BOOST_TEST_REQUIRE((PQstatus(made.get()) == CONNECTION_OK), PQerrorMessage(made.get()));
  return made;
}

auto process_of(PGconn* connection) -> int {
  const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQexec(connection, "SELECT pg_backend_pid()"), PQclear);
  BOOST_TEST_REQUIRE((PQresultStatus(answer.get()) == PGRES_TUPLES_OK));
  return std::atoi(PQgetvalue(answer.get(), 0, 0));
}

// Transactions that keep server connections of the pooler's from all others.
class holders {
 public:
  explicit holders(std::string uri) : uri_(std::move(uri)) {}
  void hold(std::set<std::int64_t> processes) {
    while (!processes.empty()) {
      BOOST_TEST_REQUIRE(held_.size() < 7U);
      const auto& next = held_.emplace_back(raw(uri_));
      PQclear(PQexec(next.get(), "BEGIN"));
      processes.erase(process_of(next.get()));
    }
  }

 private:
  std::string uri_;
  std::vector<raw_connection> held_;
};

auto shown(database& opened, const std::string& name) -> std::string {
  return value_of(opened.open_reader()->query("SHOW " + name, {})).at(0).at(0).as<std::string>();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_server_behind_a_pooler)

BOOST_AUTO_TEST_CASE(is_a_server_as_any_where_sessions_are_pooled, *boost::unit_test::precondition(has_pgbouncer)) {
  workbench bench({"pooled", [] { return std::make_unique<pooled_place>(); }}, {}, counters);
  for (int i = 0; i < 20; ++i) bench.committed(with_projection(bench.request(2), count_up));
  bench.committed(bench.request(1, 3));
  BOOST_TEST(bench.count("counters") == 20);
  hybrid_clock clock;
  const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
  BOOST_TEST(value_of(bench.opened->open_members()->join(self)).members.size() == 1U);
  // A connection that is lost is made again.
  bench.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'maestro'");
  bench.committed(with_projection(bench.request(2), count_up));
}

// The look needs a second server connection: that there is none keeps no node from starting.
BOOST_AUTO_TEST_CASE(may_have_no_connection_to_spare, *boost::unit_test::precondition(has_pgbouncer)) {
  own_place where;
  value_of(where.open({})->migrate({}));
  const pgbouncer pooler("session", 1);
  store_settings settings;
  settings.connect_timeout = 1s;
  // The look at the schema keeps the only connection, for the first store.
  value_of(pooler.open(where, settings)->open_reader()->newest_timestamp());
}

BOOST_AUTO_TEST_CASE(is_refused_where_sessions_are_not_ours, *boost::unit_test::precondition(has_pgbouncer)) {
  own_place where;
  value_of(where.open({})->migrate(counters));
  for (const char* mode : {"transaction", "statement"})
    for (const int pool_size : {1, 8}) {
      const pgbouncer pooler(mode, pool_size);
      store_settings impatient;
      impatient.reconnect_limit = 50ms;
      const auto opened = pooler.open(where, impatient);
      for (const auto& refused : {opened->check(counters).failure(), opened->migrate(counters).failure()}) {
        BOOST_TEST((refused.code == errc::invalid_setting), mode << ": " << to_string(refused));
        BOOST_TEST((refused.message.find("127.0.0.1:" + std::to_string(pooler.port())) != std::string::npos), refused.message);
        BOOST_TEST((refused.message.find("pool_mode = session") != std::string::npos), refused.message);
      }
      // Not that anything else gets through.
      BOOST_TEST(!opened->open_reader()->newest_timestamp());
      request_maker make;
      const auto request = make.request();
      const auto committed = opened->open_writer()->commit_events(request.units[0].events, {});
      BOOST_TEST_REQUIRE(!committed);
      BOOST_TEST((committed.failure().code == errc::store_unavailable), to_string(committed.failure()));
      BOOST_TEST((committed.failure().message.find("pool_mode") != std::string::npos), committed.failure().message);
    }
  BOOST_TEST(value_of(where.open({})->open_reader()->query("SELECT count(*) FROM event_log", {})).at(0).at(0).as<std::int64_t>() == 0);
}

// The look has little time, and would spend it on a host that says nothing.
BOOST_AUTO_TEST_CASE(is_looked_at_where_it_is_and_not_from_the_first_host_on, *boost::unit_test::precondition(has_pgbouncer)) {
  own_place where;
  value_of(where.open({})->migrate({}));
  const pgbouncer pooler("transaction");
  (void)pooler.open(where);
  const mute_server silent;
  auto uri = where.uri({}, pooler.port());
  const std::string there = "127.0.0.1:" + std::to_string(pooler.port());
  uri.insert(uri.find(there), silent.at() + ",");
  store_settings settings;
  settings.connect_timeout = 3s;
  const auto checked = value_of(open_database(uri, settings))->check({});
  BOOST_TEST_REQUIRE(!checked, uri);
  BOOST_TEST((checked.failure().message.find("a pooler at " + there + " hands its server connections on") != std::string::npos),
             to_string(checked.failure()));
}

// Its operator changes the mode under connections that were found to have sessions.
BOOST_AUTO_TEST_CASE(is_looked_at_again_once_a_prepared_statement_is_not_there,
                     *boost::unit_test::precondition(has_pgbouncer)) {
  own_place where;
  value_of(where.open({})->migrate(counters));
  const auto names_the_mode = [](const error& problem) { return problem.message.find("pool_mode") != std::string::npos; };
  request_maker make;
  hybrid_clock clock;
  for (const std::string purpose : {"plain", "projecting", "members"}) {
    const pgbouncer pooler("session");
    store_settings impatient;
    impatient.reconnect_limit = 50ms;
    const auto opened = pooler.open(where, impatient);
    const auto writer = opened->open_writer();
    const auto members = opened->open_members();
    const member self{"north", clock.fresh<incarnation_id>(), "somewhere:1"};
    value_of(members->join(self));
    // The error of whatever it is that the connection is used for.
    const auto use = [&]() -> error {
      if (purpose == "members") {
        const auto seen = members->beat(self.incarnation);
        return seen ? error{} : seen.failure();
      }
      const auto request = purpose == "plain" ? make.request() : with_projection(make.request(), count_up);
      return writer->commit_all(std::vector{&request}).at(0).failure;
    };
    BOOST_TEST(!use());
    pooler.change_to("transaction");
    await("the other mode", [&] {
      const auto checked = value_of(open_database(where.uri({}, pooler.port())))->check({});
      return !checked && names_the_mode(checked.failure());
    });
    // Both where they were, and the last time: from now on those server connections are anyone's.
    value_of(writer->query("SELECT 1", {}));
    value_of(members->list());
    std::set<std::int64_t> processes;
    for (const auto process : own_server::get().backends(where.name())) processes.insert(process);
    holders others(where.uri({}, pooler.port()));
    others.hold(processes);
    // A member's call is not repeated.
    const auto first = use();
    const auto told = purpose == "members" ? use() : first;
    BOOST_TEST(names_the_mode(told), purpose << ": " << to_string(told));
  }
}

// A wire that breaks during the look says nothing of the pooler, nor does a server that ends.
BOOST_AUTO_TEST_CASE(is_not_blamed_for_a_connection_that_breaks_while_it_is_looked_at) {
  using namespace std::string_literals;
  using postgres::session_kind;
  auto& server = own_server::get();
  const auto said = [](const std::string& sqlstate, const std::string& message) {
    const auto fields = "SFATAL\0VFATAL\0C"s + sqlstate + "\0M"s + message + "\0\0"s;
    return "E\0\0\0"s + static_cast<char>(fields.size() + 4) + fields;
  };
  faulty_proxy proxy({"127.0.0.1", std::to_string(server.port())});
  const auto first = raw(server.uri());
  const auto deadline = steady_clock::now() + 30s;
  const auto process = process_of(first.get());
  postgres::line_cutter lines;
  const auto look = [&] {
    const auto through = server.uri("postgres", "sslmode=disable&gssencmode=disable", proxy.port());
    const char* const keywords[] = {"dbname", nullptr};
    const char* const values[] = {through.c_str(), nullptr};
    return postgres::look_at_sessions(first.get(), process, [&] { return PQconnectStartParams(keywords, values, 1); }, deadline, lines);
  };
  BOOST_TEST((look() == session_kind::own));
  proxy.lose_request("BEGIN");
  BOOST_TEST((look() == session_kind::unknown));
  proxy.lose_answer_to("BEGIN");
  BOOST_TEST((look() == session_kind::unknown));
  for (const auto& goodbye : {said("57P01", "terminating connection due to administrator command"),
                              said("08P01", "server conn crashed?")}) {
    proxy.replace_answer_to("BEGIN", goodbye);
    BOOST_TEST((look() == session_kind::unknown));
  }
  proxy.replace_answer_to("BEGIN", said("08P01", "transaction blocks not allowed in statement pooling mode"));
  BOOST_TEST((look() == session_kind::shared));
}

// Behind a pooler that changed its mind, a statement may be sent to a foreign session: it has to be unknown there.
BOOST_AUTO_TEST_CASE(never_finds_a_statement_of_one_connection_on_another) {
  workbench bench({"own_postgres", [] { return std::make_unique<own_place>(); }}, {}, counters);
  const auto used = [&](store& by) {
    const auto request = with_projection(bench.request(1, 2), count_up);
    BOOST_TEST(!by.commit_all(std::vector<const commit_request*>{&request}).at(0).failure);
    const auto plain = bench.request();
    BOOST_TEST(!by.commit_all(std::vector<const commit_request*>{&plain}).at(0).failure);
    value_of(by.newest_timestamp());
    value_of(by.get_histories(std::vector{plain.aggregate_id}, 10));
    succeed(by.scan_events(plain.aggregate_id, {}, [](std::span<event>) -> result<bool> { return true; }));
    std::set<std::string> names;
    for (const auto& row : value_of(by.query("SELECT name FROM pg_prepared_statements", {}))) names.insert(row.at(0).as<std::string>());
    return names;
  };
  const auto first = used(*bench.writer);
  const auto other = bench.opened->open_writer();
  const auto second = used(*other);
  BOOST_TEST(first.size() >= 6U);
  for (const auto& name : first) BOOST_TEST(!second.contains(name), name);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_server_that_promises_less)

BOOST_AUTO_TEST_CASE(is_asked_to_keep_commits_unless_the_uri_says_otherwise) {
  own_place where;
  auto& server = own_server::get();
  const auto set = [&](const std::string& value) { server.run("ALTER DATABASE " + where.name() + " SET synchronous_commit = " + value); };
  for (const char* less : {"off", "local", "remote_write"}) {
    set(less);
    const auto opened = where.open({});
    value_of(opened->migrate({}));
    BOOST_TEST(shown(*opened, "synchronous_commit") == "on");
    BOOST_TEST(opened->warnings().empty());
  }
  // For the role, which counts before the database.
  struct role_setting {
    explicit role_setting(own_server& of) : server(of) { server.run("ALTER ROLE CURRENT_USER SET synchronous_commit = off"); }
    ~role_setting() { server.run("ALTER ROLE CURRENT_USER RESET synchronous_commit"); }
    own_server& server;
  };
  {
    const role_setting off(server);
    BOOST_TEST(shown(*where.open({}), "synchronous_commit") == "on");
  }
  set("remote_apply");
  BOOST_TEST(shown(*where.open({}), "synchronous_commit") == "remote_apply");

  const auto said = value_of(open_database(where.uri("options=-csynchronous_commit%3Doff")));
  succeed(said->check({}));
  BOOST_TEST(shown(*said, "synchronous_commit") == "off");
  BOOST_TEST_REQUIRE(said->warnings().size() == 1U);
  BOOST_TEST(said->warnings()[0].is_critical);
  BOOST_TEST((said->warnings()[0].message.find("synchronous_commit = off") != std::string::npos), said->warnings()[0].message);
  store_settings strict;
  strict.require_durable = true;
  succeed(where.open(strict)->check({}));
  const auto refused = value_of(open_database(where.uri("options=-csynchronous_commit%3Doff"), strict))->check({});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.failure().code == errc::invalid_setting), to_string(refused.failure()));
  BOOST_TEST((refused.failure().message.find("store.require-durable") != std::string::npos), refused.failure().message);
}

BOOST_AUTO_TEST_CASE(is_reported_at_each_start_and_can_be_refused) {
  own_place where;
  auto& server = own_server::get();
  value_of(where.open({})->migrate({}));
  for (const std::string setting : {"fsync", "full_page_writes"}) {
    server.run("ALTER SYSTEM SET " + setting + " = off");
    server.run("SELECT pg_reload_conf()");
    await(setting + " = off", [&] { return shown(*where.open({}), setting) == "off"; });
    for (int start = 0; start < 2; ++start) {
      const auto opened = where.open({});
      if (start == 0) succeed(opened->check({}));
      else value_of(opened->migrate({}));
      BOOST_TEST_REQUIRE(opened->warnings().size() == 1U);
      BOOST_TEST(opened->warnings()[0].is_critical);
      BOOST_TEST((opened->warnings()[0].message.find(setting + " = off") != std::string::npos), opened->warnings()[0].message);
    }
    store_settings strict;
    strict.require_durable = true;
    const auto opened = where.open(strict);
    for (const auto& refused : {opened->check({}).failure(), opened->migrate({}).failure()}) {
      BOOST_TEST((refused.code == errc::invalid_setting), to_string(refused));
      BOOST_TEST((refused.message.find(setting + " = off") != std::string::npos), refused.message);
    }
    server.run("ALTER SYSTEM RESET " + setting);
    server.run("SELECT pg_reload_conf()");
    await(setting + " = on", [&] { return shown(*where.open({}), setting) == "on"; });
  }
  store_settings strict;
  strict.require_durable = true;
  succeed(where.open(strict)->check({}));
  const auto in_memory = open_database("sqlite::memory:", strict);
  BOOST_TEST_REQUIRE(!in_memory);
  BOOST_TEST((in_memory.failure().code == errc::invalid_setting));
}

BOOST_AUTO_TEST_SUITE_END()
