#include "scratch_file.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <stdlib.h>
#include <string>

using namespace maestro;

namespace {

// `text` with each digit as 0: what is left is the form.
auto with_zeros(std::string text) -> std::string {
  for (char& c : text)
    if (c >= '1' && c <= '9') c = '0';
  return text;
}

// To the second, as the log writes it, and by its clock: time() may be some milliseconds behind.
auto utc_now() -> std::string {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  char text[20];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &parts));
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(logging)

BOOST_AUTO_TEST_CASE(a_message_is_one_line_with_its_time_in_utc) {
  const scratch_file file("earlier\n", "node.log");
  auto made = make_log("info", file.path());
  BOOST_TEST_REQUIRE(made.has_value());
  setenv("TZ", "XXX-10", 1);  // ten hours from UTC
  tzset();
  const auto before = utc_now();
  (*made)->info("node {} is ready", "a");
  const auto after = utc_now();
  (*made)->warn("from a client: {}", "x\n2026-01-01T00:00:00.000Z info forged\x1b[31m");
  (*made)->debug("not shown");
  const auto text = read_whole_file(file.path());
  BOOST_TEST(with_zeros(text) ==
             "earlier\n"
             "0000-00-00T00:00:00.000Z info node a is ready\n"
             "0000-00-00T00:00:00.000Z warning from a client: x\\x0a0000-00-00T00:00:00.000Z info forged\\x0b[00m\n");
  const auto logged = text.substr(std::string("earlier\n").size(), before.size());
  BOOST_TEST(before <= logged);
  BOOST_TEST(logged <= after);
}

BOOST_AUTO_TEST_CASE(the_level_off_logs_nothing) {
  const scratch_file file("", "node.log");
  auto made = make_log("off", file.path());
  BOOST_TEST_REQUIRE(made.has_value());
  (*made)->critical("nothing");
  BOOST_TEST(read_whole_file(file.path()).empty());
}

BOOST_AUTO_TEST_CASE(a_log_file_that_cannot_be_written_is_an_error) {
  const scratch_file file("");
  const auto made = make_log("info", file.path() + "/node.log");
  BOOST_TEST_REQUIRE(!made.has_value());
  BOOST_TEST((made.failure().code == errc::invalid_setting));
  BOOST_TEST(made.failure().message.find(file.path() + "/node.log") != std::string::npos, made.failure().message);
  BOOST_TEST(!make_log("loud", "").has_value());
}

BOOST_AUTO_TEST_CASE(the_shared_log_is_the_one_that_was_set_up) {
  const scratch_file file("", "node.log");
  BOOST_TEST_REQUIRE(set_up_logging("warn", file.path()).has_value());
  log().warn("once");
  shared_log()->error("twice");
  BOOST_TEST_REQUIRE(set_up_logging("info", "").has_value());
  const auto text = read_whole_file(file.path());
  BOOST_TEST(text.find("warning once\n") != std::string::npos);
  BOOST_TEST(text.find("error twice\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_was_handed_out_earlier_follows_the_log) {
  const scratch_file first("", "first.log");
  const scratch_file second("", "second.log");
  const auto handed_out = shared_log();
  BOOST_TEST_REQUIRE(set_up_logging("info", first.path()).has_value());
  handed_out->info("one");
  BOOST_TEST_REQUIRE(set_up_logging("error", second.path()).has_value());
  handed_out->info("not shown");
  handed_out->error("two");
  // A level or file that cannot be changes nothing.
  BOOST_TEST(!set_up_logging("loud", first.path()).has_value());
  BOOST_TEST(!set_up_logging("info", second.path() + "/x").has_value());
  handed_out->info("not shown");
  handed_out->error("three");
  BOOST_TEST_REQUIRE(set_up_logging("info", "").has_value());
  BOOST_TEST((read_whole_file(first.path()).ends_with("info one\n")));
  const auto text = read_whole_file(second.path());
  BOOST_TEST((text.find("error two\n") != std::string::npos && text.ends_with("error three\n")), text);
  BOOST_TEST(text.find("not shown") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_file_that_was_moved_away_is_opened_anew) {
  const scratch_file file("", "node.log");
  BOOST_TEST_REQUIRE(set_up_logging("info", file.path()).has_value());
  log().info("before");
  const auto moved = file.path() + ".1";
  BOOST_TEST_REQUIRE(std::rename(file.path().c_str(), moved.c_str()) == 0);
  log().info("meanwhile");
  BOOST_TEST(reopen_log().has_value());
  log().info("after");
  BOOST_TEST_REQUIRE(set_up_logging("info", "").has_value());
  BOOST_TEST((read_whole_file(moved).ends_with("info meanwhile\n")));
  BOOST_TEST((read_whole_file(file.path()).ends_with("info after\n")));
  BOOST_TEST((read_whole_file(file.path()).find("meanwhile") == std::string::npos));
  BOOST_TEST(reopen_log().has_value());  // To stderr: there is nothing to open.
  std::remove(moved.c_str());
}

BOOST_AUTO_TEST_CASE(an_embedded_node_logs_as_its_settings_say) {
  const scratch_file file("", "node.log");
  node_settings settings;
  settings.store_uri = "sqlite::memory:";
  settings.port = 0;
  settings.log_file = file.path();
  {
    const auto node = node::start(settings, {});
    BOOST_TEST_REQUIRE(node.has_value(), (node ? "" : to_string(node.failure())));
    BOOST_TEST((read_whole_file(file.path()).find("applied migration") != std::string::npos));
    // By default the program's log stays as the program has set it up.
    settings.log_file.clear();
    const auto another = node::start(settings, {});
    BOOST_TEST_REQUIRE(another.has_value());
    log().info("still here");
    BOOST_TEST((read_whole_file(file.path()).find("still here") != std::string::npos));
    settings.log_level = "loud";
    const auto refused = node::start(settings, {});
    BOOST_TEST_REQUIRE(!refused.has_value());
    BOOST_TEST((refused.failure().code == errc::invalid_setting));
  }
  BOOST_TEST_REQUIRE(set_up_logging("info", "").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
