#include <maestro/store/json.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

using namespace maestro;

BOOST_AUTO_TEST_SUITE(json_guard)

BOOST_AUTO_TEST_CASE(whitespace_between_tokens_goes_and_nothing_else_changes) {
  auto compact = json_compact("  { \"a b\" : [ 1 , -2.5e+3 , \"x \\n y\" , { } , [ ] , true , null ] ,\n\"c\":\"\\ud83d\\ude00\"}\t");
  BOOST_TEST_REQUIRE(compact.has_value());
  BOOST_TEST(*compact == R"({"a b":[1,-2.5e+3,"x \n y",{},[],true,null],"c":"\ud83d\ude00"})");
}

BOOST_AUTO_TEST_CASE(what_is_no_json_object_is_refused) {
  for (const char* text : {"", " ", "[]", "1", "\"a\"", "null", "{", "}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
                           "{,\"a\":1}", "{\"a\":1}x", "{\"a\":1 \"b\":2}", "{a:1}", "{\"a\":01}", "{\"a\":1.}",
                           "{\"a\":.5}", "{\"a\":+1}", "{\"a\":1e}", "{\"a\":-}", "{\"a\":NaN}", "{\"a\":Infinity}",
                           "{\"a\":-Infinity}", "{\"a\":1e400}", "{\"a\":tru}", "{\"a\":[1,]}", "{\"a\":[1 2]}",
                           "{\"a\":\"", "{\"a\":\"\\", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\n\"}"})
    BOOST_TEST(!json_check(text).has_value(), "accepted: " << text);
}

BOOST_AUTO_TEST_CASE(what_jsonb_cannot_hold_is_refused) {
  for (const char* text : {"{\"a\":\"\\u0000\"}", "{\"\\u0000\":1}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}",
                           "{\"a\":\"\\ud800x\"}", "{\"a\":\"\\ud800\\u0041\"}"})
    BOOST_TEST(!json_check(text).has_value(), "accepted: " << text);
  for (const char* bytes : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                            "\xf4\x90\x80\x80", "\xff"})
    BOOST_TEST(!json_check(std::string("{\"a\":\"") + bytes + "\"}").has_value());
  BOOST_TEST(json_check("{\"a\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}").has_value());
}

// jsonb writes numbers out: a few bytes of exponent would come back as thousands of digits.
BOOST_AUTO_TEST_CASE(an_exponent_beyond_any_double_is_refused_in_either_direction) {
  for (const char* number : {"1e-401", "1E-16000", "0e-16000", "0e401", "1e+401", "1e-99999999999999999999"})
    BOOST_TEST(!json_check("{\"a\":" + std::string(number) + "}").has_value(), "accepted: " << number);
  for (const char* number : {"5e-324", "1.7976931348623157e308", "1e-400", "0e00000000000000001", "-0.0e-5"})
    BOOST_TEST(json_check("{\"a\":" + std::string(number) + "}").has_value(), "refused: " << number);
}

BOOST_AUTO_TEST_CASE(two_members_of_one_name_are_refused_at_any_depth) {
  for (const char* text : {R"({"a":1,"a":2})", R"({"b":[{"a":1,"c":2,"\u0061":3}]})", R"({"b":{"c":[[{"a":{},"a":{}}]]}})"}) {
    const auto refused = json_check(text);
    BOOST_TEST_REQUIRE(!refused.has_value(), "accepted: " << text);
    BOOST_TEST((refused.failure().message.find("\"a\" is there twice") != std::string::npos), refused.failure().message);
  }
  BOOST_TEST(json_check(R"({"a":{"a":1},"b":[{"a":1},{"a":2}],"":1," ":2})").has_value());
  for (const int members : {23, 24, 25, 26, 200, 40'000}) {
    std::string text = "{";
    for (int i = 0; i < members; ++i) text += "\"m" + std::to_string(i) + "\":{\"m0\":1},";
    BOOST_TEST(json_check(text + "\"last\":0}").has_value());
    BOOST_TEST(!json_check(text + "\"m0\":0}").has_value());
    BOOST_TEST(!json_check(text + "\"m" + std::to_string(members - 1) + "\":0}").has_value());
  }
}

BOOST_AUTO_TEST_CASE(negative_zero_becomes_zero_where_jsonb_makes_it_so) {
  BOOST_TEST(*json_compact(R"({"a":[-0.0,-0.00e5,-0.5,-10.0,-0,-0e1,-0.1]})") ==
             R"({"a":[0.0,0.00e5,-0.5,-10.0,0,0e1,-0.1]})");
}

BOOST_AUTO_TEST_CASE(the_stored_order_is_that_of_jsonb) {
  BOOST_TEST(json_in_stored_order(R"({"bb":{"zz":1,"y":2},"c":[{"xx":1,"a":2}],"B":1e2})") ==
             R"({"B":100.0,"c":[{"a":2,"xx":1}],"bb":{"y":2,"zz":1}})");
}

BOOST_AUTO_TEST_CASE(size_and_depth_have_limits) {
  std::string deep = "{\"a\":" + std::string(63, '[') + std::string(63, ']') + "}";
  BOOST_TEST(json_check(deep).has_value());
  deep = "{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}";
  BOOST_TEST(!json_check(deep).has_value());
  const std::string abyss = "{\"a\":" + std::string(500'000, '[');
  BOOST_TEST(!json_check(abyss).has_value());
  const std::string big = "{\"a\":\"" + std::string(1024 * 1024, 'x') + "\"}";
  auto refused = json_check(big);
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST(refused.failure().message.find("1048576") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_error_says_where) {
  auto refused = json_check("{\"a\":1,\"b\":x}");
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST((refused.failure().code == errc::malformed_payload));
  BOOST_TEST(refused.failure().message == "JSON is wrong at byte 11: a value expected");
}

BOOST_AUTO_TEST_CASE(the_canonical_form_does_not_depend_on_order_or_spacing) {
  auto one = command_fingerprint("deposit", R"({"cents":5,"note":{"b":1,"a":"\u0041"}})");
  auto two = command_fingerprint("deposit", R"({ "note" : {"a":"A", "b":1}, "cents" : 5 })");
  BOOST_TEST_REQUIRE((one.has_value() && two.has_value()));
  BOOST_TEST((*one == *two));
  BOOST_TEST((*command_fingerprint("deposit", R"({"cents":6})") != *command_fingerprint("deposit", R"({"cents":5})")));
  BOOST_TEST((*command_fingerprint("withdraw", R"({"cents":5})") != *command_fingerprint("deposit", R"({"cents":5})")));
}

namespace {

// Objects of all kinds, with names and numbers in all the ways in which they can be written.
class any_object {
 public:
  explicit any_object(std::uint32_t seed) : random_(seed) {}
  auto text() -> std::string { return object(4); }

 private:
  auto pick(const std::vector<std::string>& from) -> const std::string& { return from[random_() % from.size()]; }
  auto space() -> std::string { return pick({"", "", "", " ", "\n\t"}); }
  auto value(int depth) -> std::string {
    if (depth > 0 && random_() % 4 == 0) return object(depth - 1);
    if (depth > 0 && random_() % 4 == 0) return array(depth - 1);
    return pick({"0", "-0", "1", "-1", "100", "100.0", "1e2", "-1.5E-7", "999999999999999999", "1000000000000000000", "-9223372036854775808",
                 "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e300", "0.1", "true", "false", "null", "\"\"", "\"text\"",
                 "\"\\u00e9\\/\\n\\\\\"", "\"\\ud83d\\ude00\"", "\"\\u001f\\u007f\"", "\"\x7f\xc3\xa9 ,:]}\""});
  }
  auto array(int depth) -> std::string {
    std::string all = "[" + space();
    for (auto count = random_() % 4; count > 0; --count) all += value(depth) + space() + (count > 1 ? "," + space() : "");
    return all + "]";
  }
  auto object(int depth) -> std::string {
    std::vector<std::string> names{"a", "b", "ab", "B", "", "z\\n", "\xc3\xa9", "\\u0041", "\\\"", "10", "9"};
    std::shuffle(names.begin(), names.end(), random_);
    std::string all = space() + "{" + space();
    for (auto count = random_() % names.size(); count > 0; --count)
      all += "\"" + names[count] + "\"" + space() + ":" + space() + value(depth) + space() + (count > 1 ? "," + space() : "");
    return all + "}" + space();
  }

  std::minstd_rand random_;
};

}  // namespace

// Fingerprints are stored: they must stay as nlohmann's library has written them from the first.
BOOST_AUTO_TEST_CASE(the_canonical_form_is_that_of_a_parser) {
  for (std::uint32_t seed = 1; seed <= 20'000; ++seed) {
    const auto text = any_object(seed).text();
    BOOST_TEST_REQUIRE(json_check(text).has_value(), text);
    const auto canonical = json_canonical(text);
    const auto expected = nlohmann::json::parse(text).dump(-1, ' ', false);
    BOOST_TEST_REQUIRE(canonical.has_value(), text);
    BOOST_TEST_REQUIRE(*canonical == expected, text);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_object_has_no_canonical_form) {
  for (const char* text : {"", " ", "[]", "1", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1}x", "{\"a\":tru}", "{\"a\":\"", "{\"a\":\"\\",
                           "{\"a\":\"\\x\"}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":1 \"b\":2}", "{1:2}", "{\"a\":01}"})
    BOOST_TEST(!json_canonical(text).has_value(), "accepted: " << text);
}

// One reader takes the first of them, another one the last.
BOOST_AUTO_TEST_CASE(a_member_that_is_there_twice_has_no_fingerprint) {
  for (const char* text : {R"({"cents":5,"cents":6})", R"({"a":{"b":1,"c":2,"b":1}})", R"({"a":[{},{"b":1,"b":2}]})"}) {
    const auto refused = command_fingerprint("deposit", text);
    BOOST_TEST_REQUIRE(!refused.has_value());
    BOOST_TEST((refused.failure().code == errc::malformed_payload));
    BOOST_TEST((refused.failure().message.find("twice") != std::string::npos));
  }
  BOOST_TEST(command_fingerprint("deposit", R"({"a":{"b":1},"b":[{"a":1},{"a":2}]})").has_value());
}

BOOST_AUTO_TEST_CASE(quoting_makes_any_bytes_a_json_string) {
  BOOST_TEST(json_quote("a\"b\\c\n") == R"("a\"b\\c\n")");
  BOOST_TEST(json_quote("\xff") == "\"\xef\xbf\xbd\"");
}

BOOST_AUTO_TEST_CASE(the_members_of_an_object_are_what_stands_between_its_commas) {
  const std::string text = R"( { "a" : { "x" : [ 1 , "}" ] , "y" : "\"," } , "b\u0041\"" : -1.5e3 ,"c":[],"":null } )";
  const auto members = json_members(text);
  BOOST_TEST_REQUIRE(members.size() == 4U);
  BOOST_TEST(members[0].name == "a");
  BOOST_TEST(members[0].value == R"({ "x" : [ 1 , "}" ] , "y" : "\"," })");
  BOOST_TEST(members[1].name == "bA\"");
  BOOST_TEST(members[1].value == "-1.5e3");
  BOOST_TEST(members[2].value == "[]");
  BOOST_TEST(members[3].name == "");
  BOOST_TEST(members[3].value == "null");
  BOOST_TEST(json_members(" { } ").empty());
}

BOOST_AUTO_TEST_SUITE_END()
