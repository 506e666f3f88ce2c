// A pooler between a store and its server: PgBouncer, in each of its modes. And what a server does not promise.
#include "commit_stream.hpp"
#include "counters.hpp"
#include "free_port.hpp"
#include "own_server.hpp"
#include "server_process.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <fstream>
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
  explicit pgbouncer(const std::string& mode, int pool_size = 8) : folder_(make_server_folder()), port_(free_port()) {
    const std::string settings = (folder_ / "pgbouncer.ini").string();
    std::ofstream(settings) << "[databases]\n* = host=127.0.0.1 port=" << own_server::get().port() << " user=postgres\n"
                            << "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port_
                            << "\nunix_socket_dir =\nauth_type = any\npool_mode = " << mode << "\ndefault_pool_size = " << pool_size
                            << "\nserver_round_robin = 0\n";
    give_to_server(settings);
    process_ = spawn_server({program, settings}, folder_, (folder_ / "log").string());
  }
  pgbouncer(const pgbouncer&) = delete;
  auto operator=(const pgbouncer&) -> pgbouncer& = delete;
  ~pgbouncer() {
    ::kill(process_, SIGTERM);  // At once.
    ::waitpid(process_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
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
  std::filesystem::path folder_;
  int port_;
  pid_t process_ = 0;
};

// Hands out a database through a pooler in session mode.
class pooled_place final : public own_place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override { return pooler_.open(*this, settings); }

 private:
  pgbouncer pooler_{"session"};
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
