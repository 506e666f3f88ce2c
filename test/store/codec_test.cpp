#include <maestro/store/codec.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

struct item {
  std::string name;
  int count = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(count));
  }
};

struct order {
  std::int64_t cents = 0;
  double rate = 0.5;
  std::vector<item> items;
  std::string note = "none";
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents), CEREAL_NVP(rate), CEREAL_NVP(items));
    maestro::optional_member(archive, "note", note);
  }
};

struct nothing {};

struct optional_only {
  int count = 7;
  item part{"default", 1};
  template <class Archive>
  void serialize(Archive& archive) {
    maestro::optional_member(archive, "count", count);
    maestro::optional_member(archive, "part", part);
  }
};

static_assert(maestro::serializable<order> && maestro::serializable<nothing>);

}  // namespace

using namespace maestro;

BOOST_AUTO_TEST_SUITE(codec)

BOOST_AUTO_TEST_CASE(a_struct_is_one_compact_object_without_a_wrapper) {
  auto text = encode(order{5, 0.25, {{"a", 1}, {"b c", 2}}, "x"});
  BOOST_TEST_REQUIRE(text.has_value());
  BOOST_TEST(*text == R"({"cents":5,"rate":0.25,"items":[{"name":"a","count":1},{"name":"b c","count":2}],"note":"x"})");
  auto back = decode<order>(*text);
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->items.at(1).name == "b c");
  BOOST_TEST(back->note == "x");
}

BOOST_AUTO_TEST_CASE(a_struct_without_members_is_an_empty_object) {
  BOOST_TEST(*encode(nothing{}) == "{}");
  BOOST_TEST(decode<nothing>("{}").has_value());
  BOOST_TEST(decode<nothing>("{\"ignored\":1}").has_value());
  BOOST_TEST(!decode<nothing>("[]").has_value());
}

BOOST_AUTO_TEST_CASE(unknown_members_and_order_do_not_matter) {
  auto back = decode<item>(R"({"more":{"x":[1]},"count":3,"name":"a"})");
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->count == 3);
}

BOOST_AUTO_TEST_CASE(a_missing_member_is_named) {
  auto back = decode<item>(R"({"name":"a"})");
  BOOST_TEST_REQUIRE(!back.has_value());
  BOOST_TEST(back.failure().message == "member \"count\" is missing");
}

BOOST_AUTO_TEST_CASE(wrong_types_and_overflow_are_refused) {
  for (const char* text : {R"({"name":1,"count":1})", R"({"name":"a","count":"1"})", R"({"name":"a","count":1.5})",
                           R"({"name":"a","count":3000000000})", R"({"name":null,"count":1})", R"({"name":[],"count":1})",
                           R"({"name":{},"count":1})"}) {
    auto back = decode<item>(text);
    BOOST_TEST_REQUIRE(!back.has_value(), "accepted: " << text);
    BOOST_TEST((back.failure().code == errc::malformed_payload));
    BOOST_TEST(back.failure().message == "a member has the wrong type or is out of range", back.failure().message);
  }
  BOOST_TEST(!decode<order>(R"({"cents":1,"rate":1.0,"items":[1,2]})").has_value());
  BOOST_TEST(!decode<order>(R"({"cents":1,"rate":1.0,"items":{}})").has_value());
}

BOOST_AUTO_TEST_CASE(an_optional_member_may_be_missing_but_not_mistyped) {
  auto back = decode<optional_only>("{}");
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->count == 7);
  BOOST_TEST(back->part.name == "default");
  back = decode<optional_only>(R"({"part":{"name":"x","count":2},"count":9})");
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->count == 9);
  BOOST_TEST(back->part.count == 2);
  BOOST_TEST(!decode<optional_only>(R"({"count":"9"})").has_value());
  BOOST_TEST(!decode<optional_only>(R"({"part":{"name":"x"}})").has_value());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_stored_is_refused_on_writing) {
  order bad;
  bad.rate = std::numeric_limits<double>::quiet_NaN();
  BOOST_TEST(!encode(bad).has_value());
  bad.rate = std::numeric_limits<double>::infinity();
  BOOST_TEST(!encode(bad).has_value());
  BOOST_TEST(!encode(item{std::string("a\0b", 3), 1}).has_value());
  BOOST_TEST(!encode(item{"\xff", 1}).has_value());
  BOOST_TEST(!encode(item{std::string(1024 * 1024, 'x'), 1}).has_value());
}

BOOST_AUTO_TEST_CASE(extreme_numbers_read_back_exactly) {
  for (double rate : {0.1, 1e-300, 1.7976931348623157e308, -0.0, 5e-324}) {
    order value;
    value.rate = rate;
    value.cents = std::numeric_limits<std::int64_t>::min();
    auto text = encode(value);
    BOOST_TEST_REQUIRE(text.has_value());
    auto back = decode<order>(*text);
    BOOST_TEST_REQUIRE(back.has_value());
    BOOST_TEST(back->rate == rate);
    BOOST_TEST(std::signbit(back->rate) == std::signbit(rate));
    BOOST_TEST(back->cents == value.cents);
  }
}

BOOST_AUTO_TEST_SUITE_END()
