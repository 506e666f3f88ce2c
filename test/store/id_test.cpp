#include <maestro/store/id.hpp>

#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <string>

using namespace maestro;

BOOST_AUTO_TEST_SUITE(ids)

BOOST_AUTO_TEST_CASE(text_form_is_32_hex_digits_and_reads_back) {
  const auto id = aggregate_id::make(0x01a206ac419a, 7, 0x05474ce1);
  BOOST_TEST(id.text() == "01a206ac419a00070000000005474ce1");
  BOOST_TEST((aggregate_id::parse("01A206ac419a00070000000005474CE1") == id));
  BOOST_TEST(id.milliseconds() == 0x01a206ac419aU);
  BOOST_TEST(id.counter() == 7U);
  BOOST_TEST(id.node() == 0x05474ce1U);
}

BOOST_AUTO_TEST_CASE(text_that_is_no_id_is_refused) {
  for (const char* text : {"", "0", "01a206ac419a00070000000005474ce", "01a206ac419a00070000000005474ce12",
                           "01a206ac419a0007000000000547 ce1", "0xa206ac419a00070000000005474ce1"})
    BOOST_TEST(!aggregate_id::parse(text));
  BOOST_TEST(!parse_aggregate_id("account", "name:"));
}

BOOST_AUTO_TEST_CASE(byte_order_is_time_order) {
  BOOST_TEST((timestamp::make(1, 65535, ~0ULL) < timestamp::make(2, 0, 0)));
  BOOST_TEST((timestamp::make(1, 1, ~0ULL) < timestamp::make(1, 2, 0)));
}

BOOST_AUTO_TEST_CASE(a_named_id_is_sha256_of_type_and_name) {
  // printf 'maestro:name:account\0alice' | sha256sum
  BOOST_TEST(derive_aggregate_id("account", "alice").text() == "1e98c568987a3d6150a5afdceeba5ed8");
  BOOST_TEST((parse_aggregate_id("account", "name:alice") == derive_aggregate_id("account", "alice")));
  BOOST_TEST((derive_aggregate_id("account", "alice") != derive_aggregate_id("handle", "alice")));
}

// The seed formats an id as a date with four digits for the year: 253402300799999 is the last millisecond of 9999.
BOOST_AUTO_TEST_CASE(a_derived_id_reads_as_a_date_that_the_seed_can_format) {
  constexpr std::uint64_t last = 253'402'300'799'999;
  std::uint64_t latest = 0;
  hybrid_clock clock;
  const auto made_now = clock.fresh<command_id>();
  for (int i = 0; i < 10'000; ++i) {
    const auto id = derive_aggregate_id("account", std::to_string(i));
    latest = std::max(latest, id.milliseconds());
    BOOST_TEST(derive_command_id(made_now, std::to_string(i)).milliseconds() == made_now.milliseconds());
  }
  BOOST_TEST(latest <= last);
  BOOST_TEST(latest > 0x7f00'0000'0000U);  // No more than the bit is given up.
  BOOST_TEST(clock.fresh<aggregate_id>().milliseconds() <= last);
  // printf 'maestro:name:account\0a' | sha256sum begins with f613, a date in the year 10543.
  BOOST_TEST(derive_aggregate_id("account", "a").text() == "7613b5aab546de9b7cdedf045b3913b7");
}

BOOST_AUTO_TEST_CASE(a_derived_command_id_keeps_its_parents_time) {
  const auto parent = command_id::make(1234567, 3, 99);
  const auto first = derive_command_id(parent, "withdraw");
  BOOST_TEST(first.milliseconds() == parent.milliseconds());
  BOOST_TEST(first.counter() == parent.counter());
  BOOST_TEST((first == derive_command_id(parent, "withdraw")));
  BOOST_TEST((first != derive_command_id(parent, "deposit")));
}

BOOST_AUTO_TEST_SUITE_END()
