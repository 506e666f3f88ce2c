#include "scratch_file.hpp"

#include <maestro/runtime/logging.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
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

BOOST_AUTO_TEST_SUITE_END()
