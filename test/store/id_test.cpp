#include <maestro/store/id.hpp>

#include <boost/test/unit_test.hpp>

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

BOOST_AUTO_TEST_CASE(a_derived_command_id_keeps_its_parents_time) {
  const auto parent = command_id::make(1234567, 3, 99);
  const auto first = derive_command_id(parent, "withdraw");
  BOOST_TEST(first.milliseconds() == parent.milliseconds());
  BOOST_TEST(first.counter() == parent.counter());
  BOOST_TEST((first == derive_command_id(parent, "withdraw")));
  BOOST_TEST((first != derive_command_id(parent, "deposit")));
}

BOOST_AUTO_TEST_SUITE_END()
