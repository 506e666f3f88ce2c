// The embedded adapter: the conformance suite over a file and over memory, and what only a file can do.
#include "conformance.hpp"
#include "counters.hpp"
#include "faulty_file.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>

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
    return value_of(value_of(open_database("sqlite:" + folder_.path("store.db")))->open_reader()->get_events(id)).size();
  }

 private:
  temporary_folder folder_;
};

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
  BOOST_TEST(value_of(again->open_reader()->get_events(request.aggregate_id)).size() == 3U);
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
    BOOST_TEST((outcome.failure.code == (expires ? errc::timed_out : errc::projection_failed)), to_string(outcome.failure));
    BOOST_TEST(crash_image(bench).count(request.aggregate_id) == 0U);
    const auto next = bench.request();
    bench.committed(next);
    BOOST_TEST(crash_image(bench).count(next.aggregate_id) == 1U);
  }
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
  BOOST_TEST((message("sqlite:" + folder.path("text.db"), errc::store_unavailable).find("not a database") !=
              std::string::npos));
  std::filesystem::create_directory(folder.path("folder.db"));
  message("sqlite:" + folder.path("folder.db"), errc::store_unavailable);
  message("sqlite:", errc::invalid_setting);
  message("sqlite://store.db", errc::invalid_setting);
}

BOOST_AUTO_TEST_CASE(the_name_for_people_is_the_uri) {
  BOOST_TEST(value_of(open_database("sqlite::memory:"))->display_name() == "sqlite::memory:");
  BOOST_TEST(value_of(open_database("sqlite::memory:"))->single_owner());
}

BOOST_AUTO_TEST_SUITE_END()
