// The embedded adapter: the conformance suite over a file and over memory, and what only a file can do.
#include "conformance.hpp"
#include "counters.hpp"
#include "faulty_file.hpp"
#include "temporary_folder.hpp"

#include <maestro/store/store_log.hpp>

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <stdexcept>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace maestro;
using namespace maestro::test;

namespace {

class sqlite_file : public place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    return value_of(open_database(uri(), settings));
  }
  [[nodiscard]] auto is_shared() const -> bool override { return false; }
  [[nodiscard]] auto uri() const -> std::string { return "sqlite:" + folder_.path("store.db"); }

 private:
  temporary_folder folder_;
};

class sqlite_memory : public place {
 public:
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    return value_of(open_database("sqlite::memory:", settings));
  }
  [[nodiscard]] auto is_shared() const -> bool override { return false; }
};

const store_under_test file_store{"sqlite_file", [] { return std::make_unique<sqlite_file>(); }};
// What another process would find in the store's file if this one ended now.
class crash_image {
 public:
  explicit crash_image(workbench& bench) {
    const std::string file = dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7);
    for (const std::string part : {"", "-wal"}) std::filesystem::copy_file(file + part, folder_.path("store.db" + part));
  }
  auto count(const aggregate_id& id) -> std::size_t {
    return value_of(value_of(open_database("sqlite:" + folder_.path("store.db")))->open_reader()->get_events(id, {}))
        .size();
  }

 private:
  temporary_folder folder_;
};

// What the adapter reports while it lives.
class reported {
 public:
  reported() {
    set_store_log([this](const std::string& line) { lines.push_back(line); });
  }
  reported(const reported&) = delete;
  auto operator=(const reported&) -> reported& = delete;
  ~reported() { set_store_log({}); }
  std::vector<std::string> lines;
};

// A store in a folder of a folder, reached through a link to the inner one and a link to the file.
class linked_file : public place {
 public:
  linked_file() {
    std::filesystem::create_directory(outer.path("real"));
    std::filesystem::create_directory_symlink(outer.path("real"), outer.path("way"));
    std::filesystem::create_symlink("store.db", outer.path("real/link.db"));
  }
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    return value_of(open_database("sqlite:" + outer.path("way/link.db"), settings));
  }
  [[nodiscard]] auto is_shared() const -> bool override { return false; }
  [[nodiscard]] auto file(const std::string& name) const -> std::string { return outer.path(name); }

  temporary_folder outer;
};
const store_under_test linked_store{"linked_file", [] { return std::make_unique<linked_file>(); }};

auto impatient() -> store_settings {
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{5};
  return settings;
}

const store_under_test memory_store{"sqlite_memory", [] { return std::make_unique<sqlite_memory>(); }};

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> {
  return {{"sqlite_file", [] { return std::make_unique<sqlite_file>(); }},
          {"sqlite_memory", [] { return std::make_unique<sqlite_memory>(); }}};
}

BOOST_AUTO_TEST_SUITE(sqlite_adapter)

BOOST_AUTO_TEST_CASE(a_link_and_the_file_it_will_lead_to_are_one_store) {
  temporary_folder folder;
  std::filesystem::create_symlink(folder.path("target.db"), folder.path("link.db"));
  const auto by_link = value_of(open_database("sqlite:" + folder.path("link.db")));
  const auto by_name = open_database("sqlite:" + folder.path("target.db"));
  BOOST_TEST_REQUIRE(!by_name.has_value());
  BOOST_TEST((by_name.failure().code == errc::store_in_use));
}

BOOST_AUTO_TEST_CASE(a_file_is_as_durable_as_it_can_be) {
  workbench bench(file_store);
  BOOST_TEST(bench.query("PRAGMA journal_mode").at(0).at(0).as<std::string>() == "wal");
  BOOST_TEST(bench.query("PRAGMA synchronous").at(0).at(0).as<std::int64_t>() == 2);
  BOOST_TEST(bench.query("PRAGMA foreign_keys").at(0).at(0).as<std::int64_t>() == 1);
}

BOOST_AUTO_TEST_CASE(what_was_committed_is_there_when_the_file_is_opened_again) {
  workbench bench(file_store);
  const auto request = bench.request(3);
  bench.committed(request);
  bench.writer.reset();
  bench.reader.reset();
  bench.opened.reset();
  auto again = bench.where->open({});
  succeed(again->check({}));
  BOOST_TEST(value_of(again->open_reader()->get_events(request.aggregate_id, {})).size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_second_opener_is_told_who_uses_the_file) {
  workbench bench(file_store);
  const auto uri = dynamic_cast<sqlite_file&>(*bench.where).uri();
  auto second = open_database(uri);
  BOOST_TEST_REQUIRE(!second);
  BOOST_TEST((second.failure().code == errc::store_in_use));
  BOOST_TEST((second.failure().message.find("store.db.lock") != std::string::npos));
  BOOST_TEST((second.failure().message.find("process " + std::to_string(::getpid())) != std::string::npos));

  // The lock lasts as long as any store does, and goes with the last.
  bench.opened.reset();
  bench.reader.reset();
  BOOST_TEST(!open_database(uri).has_value());
  bench.writer.reset();
  BOOST_TEST(open_database(uri).has_value());
}

BOOST_AUTO_TEST_CASE(another_process_is_told_that_the_file_is_in_use) {
  workbench bench(file_store);
  const auto uri = dynamic_cast<sqlite_file&>(*bench.where).uri();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto second = open_database(uri);
    ::_exit(!second && second.failure().code == errc::store_in_use ? 42 : 1);
  }
  int status = 0;
  BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(WEXITSTATUS(status) == 42);
}

BOOST_AUTO_TEST_CASE(a_link_to_the_file_is_the_same_file) {
  workbench bench(file_store);
  const auto uri = dynamic_cast<sqlite_file&>(*bench.where).uri();
  const std::filesystem::path file = uri.substr(7);
  std::filesystem::create_symlink(file, file.parent_path() / "link.db");
  BOOST_TEST(!open_database("sqlite:" + (file.parent_path() / "link.db").string()).has_value());
}

BOOST_AUTO_TEST_CASE(another_name_of_the_file_is_the_same_file) {
  temporary_folder folder;
  const auto name = folder.path("a.db");
  const auto other = folder.path("b.db");
  {
    const auto first = value_of(open_database("sqlite:" + name));
    std::filesystem::create_hard_link(name, other);
    const auto second = open_database("sqlite:" + other);
    BOOST_TEST_REQUIRE(!second.has_value());
    BOOST_TEST((second.failure().code == errc::store_in_use), to_string(second.failure()));
    // Another process knows the file's lock only.
    const int descriptor = ::open(other.c_str(), O_RDWR | O_CLOEXEC);
    struct flock byte{};
    byte.l_type = F_WRLCK;
    byte.l_start = 0x40000400;
    byte.l_len = 1;
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::fcntl(descriptor, F_OFD_GETLK, &byte) == 0 && byte.l_type == F_WRLCK ? 42 : 1);
    int status = 0;
    BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_TEST(WEXITSTATUS(status) == 42);
    ::close(descriptor);
  }
  // Which of the two has the last commits in a log beside it, nobody knows.
  for (const auto& each : {name, other}) {
    const auto opened = open_database("sqlite:" + each);
    BOOST_TEST_REQUIRE(!opened.has_value());
    BOOST_TEST((opened.failure().message.find("hard links") != std::string::npos), opened.failure().message);
  }
  std::filesystem::remove(other);
  BOOST_TEST(open_database("sqlite:" + name).has_value());
}

// Each way to take the file away from a store that uses it.
BOOST_AUTO_TEST_CASE(a_file_that_was_taken_away_is_not_written_any_more) {
  using std::filesystem::rename;
  const std::vector<std::pair<std::string, std::function<void(const linked_file&)>>> ways = {
      {"removed", [](auto& at) { std::filesystem::remove(at.file("real/store.db")); }},
      {"all of it removed", [](auto& at) {
         for (const std::string end : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(at.file("real/store.db" + end));
       }},
      {"renamed", [](auto& at) { rename(at.file("real/store.db"), at.file("real/other.db")); }},
      {"replaced", [](auto& at) {
         std::filesystem::copy_file(at.file("real/store.db"), at.file("real/copy.db"));
         rename(at.file("real/copy.db"), at.file("real/store.db"));
       }},
      {"its log removed", [](auto& at) { std::filesystem::remove(at.file("real/store.db-wal")); }},
      {"its index replaced", [](auto& at) {
         std::filesystem::remove(at.file("real/store.db-shm"));
         std::ofstream(at.file("real/store.db-shm")) << "x";
       }},
      {"the folder renamed", [](auto& at) { rename(at.file("real"), at.file("elsewhere")); }},
      {"the folder's link", [](auto& at) {
         std::filesystem::create_directory(at.file("new"));
         std::ofstream(at.file("new/link.db")) << "";
         std::filesystem::remove(at.file("way"));
         std::filesystem::create_directory_symlink(at.file("new"), at.file("way"));
       }},
      {"the file's link", [](auto& at) {
         std::ofstream(at.file("real/new.db")) << "";
         std::filesystem::remove(at.file("real/link.db"));
         std::filesystem::create_symlink("new.db", at.file("real/link.db"));
       }},
  };
  for (const auto& [name, take_away] : ways) {
    BOOST_TEST_CONTEXT(name) {
      reported log;
      workbench bench(linked_store, impatient());
      const auto before = bench.request(2);
      bench.committed(before);
      BOOST_TEST(bench.events(before.aggregate_id).size() == 2U);
      take_away(dynamic_cast<linked_file&>(*bench.where));
      for (int attempt = 0; attempt < 3; ++attempt) {
        const auto outcome = bench.commit(bench.request());
        BOOST_TEST(outcome.committed == 0U);
        BOOST_TEST((outcome.failure.code == errc::store_unavailable), to_string(outcome.failure));
      }
      const auto read = bench.reader->get_events(before.aggregate_id, {});
      BOOST_TEST((!read && read.failure().code == errc::store_unavailable));
      snapshot state;
      state.aggregate_id = before.aggregate_id;
      state.sequence = 1;
      state.body = "{}";
      state.aggregate_type = before.aggregate_type;
      const auto kept = bench.writer->commit_snapshot(state);
      BOOST_TEST((!kept && kept.failure().code == errc::store_unavailable));
      BOOST_TEST(!bench.opened->migrate({}).has_value());
      BOOST_TEST(log.lines.size() == 1U);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_comes_back_is_used_again_after_a_restart_only) {
  workbench bench(file_store, impatient());
  const auto before = bench.request(2);
  bench.committed(before);
  const std::string file = dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7);
  std::filesystem::rename(file, file + "-away");
  BOOST_TEST((bench.commit(bench.request()).failure.code == errc::store_unavailable));
  std::filesystem::rename(file + "-away", file);
  BOOST_TEST((bench.commit(bench.request()).failure.code == errc::store_unavailable));
  bench.writer.reset();
  bench.reader.reset();
  bench.opened.reset();
  auto again = bench.where->open({});
  BOOST_TEST(value_of(again->open_reader()->get_events(before.aggregate_id, {})).size() == 2U);
}

// SQLite would remove what it takes for a leftover, and with it what was committed last.
BOOST_AUTO_TEST_CASE(a_write_ahead_log_whose_file_is_away_is_kept) {
  workbench bench(file_store);
  const auto request = bench.request(3);
  bench.committed(request);
  const std::string used = dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7);
  temporary_folder folder;  // As a process that is killed leaves it.
  for (const std::string part : {"", "-wal"}) std::filesystem::copy_file(used + part, folder.path("store.db" + part));
  const auto size = std::filesystem::file_size(folder.path("store.db-wal"));
  BOOST_TEST_REQUIRE(size > 0U);
  std::filesystem::rename(folder.path("store.db"), folder.path("moved.db"));
  for (const bool is_empty : {false, true}) {
    if (is_empty) std::ofstream(folder.path("store.db")).flush();
    const auto refused = open_database("sqlite:" + folder.path("store.db"));
    BOOST_TEST_REQUIRE(!refused.has_value());
    BOOST_TEST((refused.failure().code == errc::store_unavailable), to_string(refused.failure()));
    BOOST_TEST((refused.failure().message.find(folder.path("store.db-wal")) != std::string::npos), refused.failure().message);
    BOOST_TEST(std::filesystem::exists(folder.path("store.db")) == is_empty);
    BOOST_TEST(std::filesystem::file_size(folder.path("store.db-wal")) == size);
  }
  std::filesystem::rename(folder.path("moved.db"), folder.path("store.db"));
  const auto again = value_of(open_database("sqlite:" + folder.path("store.db")));
  BOOST_TEST(value_of(again->open_reader()->get_events(request.aggregate_id, {})).size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_gone_for_good_is_not_waited_for) {
  store_settings patient;
  patient.reconnect_limit = std::chrono::seconds{20};
  workbench bench(file_store, patient);
  bench.committed(bench.request(2));
  std::filesystem::remove(dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7));
  const auto began = std::chrono::steady_clock::now();
  for (int attempt = 0; attempt < 3; ++attempt)
    BOOST_TEST((bench.commit(bench.request()).failure.code == errc::store_unavailable));
  BOOST_TEST((std::chrono::steady_clock::now() - began < patient.reconnect_limit));
}

BOOST_AUTO_TEST_CASE(a_commit_during_which_the_file_was_taken_away_is_in_doubt) {
  workbench bench(file_store, impatient());
  const std::string file = dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7);
  const auto request = with_projection(bench.request(2), [&](transaction&, const event&) { std::filesystem::remove(file); });
  const auto outcome = bench.commit(request);
  BOOST_TEST(outcome.committed == 0U);
  BOOST_TEST((outcome.failure.code == errc::in_doubt), to_string(outcome.failure));
  BOOST_TEST(outcome.is_final);  // Nobody waits for a file that stays away for this program.
  BOOST_TEST((bench.commit(bench.request()).failure.code == errc::store_unavailable));
}

BOOST_AUTO_TEST_CASE(a_reader_does_not_wait_for_a_transaction_that_writes) {
  workbench bench(file_store);
  const auto before = bench.request(2);
  bench.committed(before);
  auto during = bench.request();
  during.units[0].projector = std::make_shared<function_projector>([&](transaction&, const event& event) {
    BOOST_TEST(bench.events(before.aggregate_id).size() == 2U);
    BOOST_TEST(bench.events(event.aggregate_id).empty());
  });
  bench.committed(during);
  BOOST_TEST(bench.events(during.aggregate_id).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_projection_that_reads_through_another_store_of_a_memory_database_does_not_wait_for_itself) {
  workbench bench(memory_store);
  auto request = bench.request();
  std::size_t seen = 0;
  request.units[0].projector = std::make_shared<function_projector>(
      [&](transaction&, const event& event) { seen = bench.events(event.aggregate_id).size(); });
  bench.committed(request);
  BOOST_TEST(seen == 1U);
}

BOOST_AUTO_TEST_CASE(a_lock_of_another_tool_makes_the_store_unavailable_only_while_it_lasts) {
  store_settings settings;
  settings.lock_timeout = std::chrono::milliseconds{1};
  settings.reconnect_limit = std::chrono::milliseconds{20};
  workbench bench(file_store, settings);
  bench.query("BEGIN IMMEDIATE");
  const auto request = bench.request();
  const auto outcome = bench.commit(request);
  BOOST_TEST((outcome.failure.code == errc::store_unavailable));
  BOOST_TEST((outcome.failure.message.find("locked") != std::string::npos), outcome.failure.message);
  bench.query("ROLLBACK");
  bench.committed(request);
}

BOOST_AUTO_TEST_CASE(a_rebuild_waits_longer_than_a_command_for_its_turn) {
  store_settings settings;
  settings.lock_timeout = std::chrono::milliseconds{1};
  workbench bench(file_store, settings, counters);
  const auto request = with_projection(bench.request(), count_up);
  bench.committed(request);
  bench.query("BEGIN IMMEDIATE");
  const rebuild_plan plan{.projection = "counters", .schema = counters, .sources = {{request.aggregate_type, request.units[0].projector}}};
  auto done = std::async(std::launch::async, [&] { return bench.opened->rebuild(plan, {}); });
  BOOST_TEST((done.wait_for(std::chrono::milliseconds{50}) == std::future_status::timeout));
  bench.query("ROLLBACK");
  BOOST_TEST(value_of(done.get()).done == 1U);
}

BOOST_AUTO_TEST_CASE(what_was_put_on_rebuilt_tables_by_hand_stays_or_is_named) {
  workbench bench(file_store, {}, counters);
  const auto request = with_projection(bench.request(), count_up);
  bench.committed(request);
  const rebuild_plan plan{.projection = "counters", .schema = counters, .sources = {{request.aggregate_type, request.units[0].projector}}};
  for (const auto* sql : {"CREATE INDEX by_value ON counters (value)", "CREATE TABLE noted (id BLOB)",
                          "CREATE TRIGGER noting AFTER UPDATE ON counters BEGIN INSERT INTO noted VALUES (NEW.id); END",
                          "CREATE VIEW shown AS SELECT value FROM counters"})
    bench.query(sql);
  for (int i = 0; i < 2; ++i) {
    BOOST_TEST(value_of(bench.opened->rebuild(plan, {})).done == 1U);
    BOOST_TEST(bench.query("SELECT 1 FROM sqlite_master WHERE name IN ('by_value', 'noting') AND tbl_name = 'counters'").size() == 2U);
    BOOST_TEST(bench.query("SELECT value FROM shown").size() == 1U);
    BOOST_TEST(bench.count("noted") == 0);
  }
  const auto names = [&](const std::string& what) {
    const auto refused = bench.opened->rebuild(plan, {});
    BOOST_TEST_REQUIRE(!refused);
    BOOST_TEST((refused.failure().code == errc::invalid_argument), to_string(refused.failure()));
    BOOST_TEST((refused.failure().message.find(what) != std::string::npos), refused.failure().message);
  };
  bench.query("CREATE TABLE notes (id BLOB REFERENCES counters ON DELETE CASCADE)");
  names("notes");
  bench.query("DROP TABLE notes");
  bench.query("ALTER TABLE counters ADD COLUMN extra TEXT");
  names("extra");
}

BOOST_AUTO_TEST_CASE(a_rebuild_stops_within_a_statement) {
  workbench bench(file_store, {}, counters);
  const auto request = bench.request();
  bench.committed(request);
  const auto slow = std::make_shared<function_projector>([](transaction& tx, const event&) {
    tx.execute("WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000000) INSERT INTO counters SELECT x'00', count(*) FROM n");
  });
  const rebuild_plan plan{.projection = "counters", .schema = counters, .sources = {{request.aggregate_type, slow}}};
  int looks = 0;
  const auto stopped = bench.opened->rebuild(plan, [&](const rebuild_progress&) { return ++looks < 5; });
  BOOST_TEST_REQUIRE(!stopped);
  BOOST_TEST((stopped.failure().code == errc::shutting_down), to_string(stopped.failure()));
  BOOST_TEST(bench.count("counters") == 0);
  bench.committed(bench.request());
}

BOOST_AUTO_TEST_CASE(a_full_disk_makes_the_store_unavailable_and_room_makes_it_work_again) {
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{5};
  workbench bench(file_store, settings);
  const std::string limit = "PRAGMA max_page_count = ";
  value_of(bench.writer->query(limit + "1", {}));
  auto request = bench.request(100);
  for (auto& unit : request.units) unit.events[0].body = "{\"a\":\"" + std::string(5000, 'x') + "\"}";
  const auto outcome = bench.commit(request);
  BOOST_TEST((outcome.failure.code == errc::store_unavailable));
  BOOST_TEST((outcome.failure.message.find("full") != std::string::npos), outcome.failure.message);
  BOOST_TEST(bench.count("event_log") == 0);
  value_of(bench.writer->query(limit + "100000", {}));
  bench.committed(request);
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_full_or_fails_at_commit_loses_nothing_and_repeats_nothing) {
  faulty_file disk;
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{5};
  for (const bool full : {true, false}) {
    workbench bench(file_store, impatient, counters);
    bench.committed(with_projection(bench.request(2), count_up));
    auto request = with_projection(bench.request(2), count_up);
    if (full) disk.fill_disk();
    else disk.fail_writes();
    const auto outcome = bench.commit(request);
    BOOST_TEST((outcome.failure.code == (full ? errc::store_unavailable : errc::in_doubt)), to_string(outcome.failure));
    BOOST_TEST(outcome.committed == 0U);
    BOOST_TEST(bench.sequences(request.aggregate_id).empty());
    BOOST_TEST(crash_image(bench).count(request.aggregate_id) == 0U);
    disk.repair();
    request.in_doubt = !full;
    bench.committed(request);
    BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
    BOOST_TEST(bench.query("SELECT sum(value) FROM counters").at(0).at(0).as<std::int64_t>() == 4);
    BOOST_TEST(crash_image(bench).count(request.aggregate_id) == 2U);
  }
}

BOOST_AUTO_TEST_CASE(a_commit_whose_sync_fails_is_settled_and_written_once) {
  faulty_file disk;
  workbench bench(file_store, {}, counters);
  bench.committed(bench.request());
  const auto request = with_projection(bench.request(2), count_up);
  disk.fail_syncs(1);
  bench.committed(request);
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
  BOOST_TEST(bench.query("SELECT value FROM counters").at(0).at(0).as<std::int64_t>() == 2);
  bench.committed(bench.request());
}

BOOST_AUTO_TEST_CASE(a_commit_whose_sync_keeps_failing_is_in_doubt_until_it_is_settled) {
  faulty_file disk;
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{5};
  workbench bench(file_store, impatient, counters);
  bench.committed(bench.request());
  auto request = with_projection(bench.request(2), count_up);
  disk.fail_syncs();
  BOOST_TEST((bench.commit(request).failure.code == errc::in_doubt));
  // Nobody sees it, but should the process end now it may be there, in whole.
  BOOST_TEST(bench.sequences(request.aggregate_id).empty());
  const auto found = crash_image(bench).count(request.aggregate_id);
  BOOST_TEST((found == 0U || found == 2U), found);
  disk.repair();
  request.in_doubt = true;
  bench.committed(request);
  BOOST_TEST(bench.sequences(request.aggregate_id) == numbers(1, 2));
  BOOST_TEST(bench.query("SELECT value FROM counters").at(0).at(0).as<std::int64_t>() == 2);
}

// What is answered "not written" must not come back with the next start.
BOOST_AUTO_TEST_CASE(a_commit_in_doubt_that_is_given_up_does_not_come_back_after_a_crash) {
  faulty_file disk;
  store_settings impatient;
  impatient.reconnect_limit = std::chrono::milliseconds{5};
  for (const bool expires : {true, false}) {
    workbench bench(file_store, impatient, counters);
    bench.committed(bench.request());
    bool luck = true;
    auto request = with_projection(bench.request(), [&](transaction&, const event&) {
      if (!luck) throw std::runtime_error("no such luck");
    });
    disk.fail_syncs();
    BOOST_TEST((bench.commit(request).failure.code == errc::in_doubt));
    request.in_doubt = true;
    BOOST_TEST((bench.commit(request).failure.code == errc::in_doubt));
    disk.repair();
    // Its time is over, or its projection thinks better of it.
    if (expires) request.units[0].expires_at = 1;
    else luck = false;
    const auto outcome = bench.commit(request);
    BOOST_TEST((outcome.failure.code == (expires ? errc::timed_out : errc::program_failed)), to_string(outcome.failure));
    BOOST_TEST(crash_image(bench).count(request.aggregate_id) == 0U);
    const auto next = bench.request();
    bench.committed(next);
    BOOST_TEST(crash_image(bench).count(next.aggregate_id) == 1U);
  }
}

// A page of one aggregate's large event, in the middle of the others that it goes on in.
BOOST_AUTO_TEST_CASE(a_damaged_page_is_told_from_a_store_that_is_away) {
  workbench bench(file_store);
  auto damaged = bench.request();
  const auto other = bench.request();
  const std::string here = "a place in the third page of it";
  damaged.units[0].events[0].body = R"({"text":")" + std::string(10'000, 'x') + here + std::string(10'000, 'x') + R"("})";
  for (const auto& request : {damaged, other}) bench.committed(request);
  const std::string name = dynamic_cast<sqlite_file&>(*bench.where).uri().substr(7);
  const auto page = bench.query("PRAGMA page_size").at(0).at(0).as<std::int64_t>();
  for (auto* connection : {&bench.writer, &bench.reader, &bench.hand}) connection->reset();
  bench.opened.reset();

  std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  const auto at = content.find(here);
  BOOST_TEST_REQUIRE(at != content.npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at) / page * page);
  file.write("\0\0\0\0", 4);  // Where the number of the next one is.
  file.close();

  const auto reader = bench.where->open({})->open_reader();
  const auto together = reader->get_histories(std::vector{damaged.aggregate_id, other.aggregate_id}, 10);
  BOOST_TEST_REQUIRE(!together);
  BOOST_TEST((together.failure().code == errc::store_unavailable), to_string(together.failure()));
  BOOST_TEST(together.failure().is_damage);
  BOOST_TEST(value_of(reader->get_histories(std::vector{other.aggregate_id}, 10)).at(0).events.size() == 1U);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_opened_says_why) {
  temporary_folder folder;
  auto message = [](const std::string& uri, errc code) {
    const auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(!opened);
    BOOST_TEST((opened.failure().code == code), uri << ": " << to_string(opened.failure()));
    return opened.failure().message;
  };
  BOOST_TEST((message("sqlite:" + folder.path("no/such/store.db"), errc::store_unavailable).find("No such file") !=
              std::string::npos));
  std::ofstream(folder.path("text.db")) << std::string(5000, 'x');
  std::ofstream(folder.path("bytes.db")) << std::string(5000, '\1');
  std::ofstream(folder.path("short.db")) << "no";
  ::mkfifo(folder.path("fifo.db").c_str(), 0600);
  sqlite3* other = nullptr;
  BOOST_TEST_REQUIRE(sqlite3_open(folder.path("other.db").c_str(), &other) == SQLITE_OK);
  BOOST_TEST(sqlite3_exec(other, "CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('x')", nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(other);
  std::ifstream before(folder.path("other.db"), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(before), {}};
  BOOST_TEST((message("sqlite:" + folder.path("text.db"), errc::store_unavailable).find("not a database") !=
              std::string::npos));
  std::filesystem::create_directory(folder.path("folder.db"));
  auto says = [&](const std::string& file, std::string_view what) {
    const auto said = message("sqlite:" + folder.path(file), errc::store_unavailable);
    BOOST_TEST((said.find(what) != said.npos), said);
  };
  says("text.db", "holds text");
  says("short.db", "holds text");
  says("bytes.db", "not a database");
  says("folder.db", "a folder");
  says("fifo.db", "a FIFO");
  says("other.db", "another program (its tables: songs)");
  // Nothing of it was touched, and nothing lies beside it.
  std::ifstream after(folder.path("other.db"), std::ios::binary);
  BOOST_TEST((bytes == std::string{std::istreambuf_iterator<char>(after), {}}));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path("")))
    BOOST_TEST((entry.path().extension() == ".db"), entry.path().string());
  message("sqlite:", errc::invalid_setting);
  message("sqlite://store.db", errc::invalid_setting);
}

BOOST_AUTO_TEST_CASE(a_file_says_which_store_it_is_and_what_is_in_memory_does_not) {
  const temporary_folder folder;
  const member self{"north", hybrid_clock().fresh<incarnation_id>(), "north.example:1"};
  const auto identity_of = [&](const std::string& uri) {
    const auto opened = value_of(open_database(uri));
    value_of(opened->migrate({}));
    return value_of(opened->open_members()->join(self)).store;
  };
  const auto one = identity_of("sqlite:" + folder.path("one.db"));
  BOOST_TEST(one.size() == 32U);
  BOOST_TEST(identity_of("sqlite:" + folder.path("one.db")) == one);
  BOOST_TEST(identity_of("sqlite:" + folder.path("other.db")) != one);
  BOOST_TEST(identity_of("sqlite::memory:") == "");
}

BOOST_AUTO_TEST_CASE(the_name_for_people_is_the_uri) {
  BOOST_TEST(value_of(open_database("sqlite::memory:"))->display_name() == "sqlite::memory:");
  BOOST_TEST(value_of(open_database("sqlite::memory:"))->single_owner());
}

BOOST_AUTO_TEST_SUITE_END()
