#include "scratch_file.hpp"

#include <maestro/runtime/logging.hpp>

#include <boost/test/unit_test.hpp>

#include <regex>

using namespace maestro;

BOOST_AUTO_TEST_SUITE(logging)

BOOST_AUTO_TEST_CASE(a_message_is_one_line_with_its_time_in_utc) {
  const scratch_file file("earlier\n", "node.log");
  auto made = make_log("info", file.path());
  BOOST_TEST_REQUIRE(made.has_value());
  (*made)->info("node {} is ready", "a");
  (*made)->warn("from a client: {}", "x\n2026-01-01T00:00:00.000Z info forged\x1b[31m");
  (*made)->debug("not shown");
  const std::regex expected(
      "earlier\n"
      R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info node a is ready)"
      "\n"
      R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning from a client: )"
      R"(x\\x0a2026-01-01T00:00:00.000Z info forged\\x1b\[31m)"
      "\n");
  const auto text = read_whole_file(file.path());
  BOOST_TEST(std::regex_match(text, expected), text);
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
