#include <maestro/runtime/moment_text.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

using namespace maestro;

BOOST_AUTO_TEST_SUITE(moment_texts)

BOOST_AUTO_TEST_CASE(a_number_is_a_sequence) {
  for (const auto& [text, sequence] : {std::pair("0", 0), std::pair("17", 17), std::pair("2147483647", 2147483647)}) {
    const auto read = parse_moment(text);
    BOOST_TEST_REQUIRE(read.has_value(), text);
    BOOST_TEST(read->sequence == sequence);
    BOOST_TEST(!read->time.has_value());
  }
}

BOOST_AUTO_TEST_CASE(a_time_may_have_a_fraction_and_an_offset) {
  for (const auto& [text, milliseconds] :
       {std::pair("1970-01-01T00:00:00Z", 0ULL), std::pair("2026-11-24T20:15:00Z", 1795551300000ULL),
        std::pair("2026-11-24T20:15:00.5Z", 1795551300500ULL), std::pair("2026-11-24T20:15:00.123456Z", 1795551300123ULL),
        std::pair("2026-11-24T21:15:00+01:00", 1795551300000ULL), std::pair("2026-11-24T14:45:00-05:30", 1795551300000ULL),
        std::pair("2024-02-29T00:00:00Z", 1709164800000ULL), std::pair("1969-01-01T00:00:00Z", 0ULL)}) {
    const auto read = parse_moment(text);
    BOOST_TEST_REQUIRE(read.has_value(), text);
    BOOST_TEST(read->sequence == max_sequence());
    BOOST_TEST_REQUIRE(read->time.has_value(), text);
    BOOST_TEST(*read->time == milliseconds, text);
  }
}

BOOST_AUTO_TEST_CASE(what_is_neither_is_refused_and_named) {
  for (const std::string text :
       {"", "-1", "2147483648", "x", "1x", "2026-11-24", "2026-11-24T20:15:00", "2026-11-24 20:15:00Z", "2026-11-24T20:15Z",
        "2026-02-30T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T20:60:00Z", "2026-11-24T20:15:00.Z", "2026-11-24T20:15:00Zx",
        "2026-11-24T20:15:00+1:00", "2026-11-24T20:15:00+99:99", "2026-11-24T20:15:00+24:00", "2026-11-24T20:15:00-01:60", "2026-11-24T23:59:60Z",
        "2026-11-24T20:15:-1Z", "26-11-24T20:15:00Z"}) {
    const auto read = parse_moment(text);
    BOOST_TEST_REQUIRE(!read.has_value(), text);
    BOOST_TEST((read.failure().code == errc::invalid_argument));
    BOOST_TEST((read.failure().message.find("\"" + text + "\"") != std::string::npos), read.failure().message);
  }
}

BOOST_AUTO_TEST_SUITE_END()
