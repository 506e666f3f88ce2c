#include <maestro/store/codec.hpp>

#include <boost/test/unit_test.hpp>
#include <cereal/types/base_class.hpp>
#include <cereal/types/bitset.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/complex.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdint>
#include <deque>
#include <limits>
#include <locale>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
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

// Members without a name beside named ones: cereal reads the first by their place.
struct swapped {
  std::int64_t amount = 0;
  std::int64_t x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(amount, CEREAL_NVP(x));
  }
};

struct within {
  std::vector<swapped> list;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(list));
  }
};

struct derived : item {
  int z = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<item>(this), CEREAL_NVP(z));
  }
};

struct derived_by_name : item {
  int z = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::make_nvp("base", cereal::base_class<item>(this)), CEREAL_NVP(z));
  }
};

// Its author's own names look like those that cereal gives.
struct numbered {
  int first = 1;
  int second = 2;
  int y = 3;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::make_nvp("value0", first), cereal::make_nvp("value1", second), CEREAL_NVP(y));
  }
};

struct unnamed {
  std::array<int, 12> list{};
  int a = 0, b = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(list, a, b);
  }
};

struct all_kinds {
  std::array<int, 12> array{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
  std::array<item, 2> items{item{"a", 1}, item{"b", 2}};
  std::map<std::string, int> map{{"zz", 1}, {"a", 2}};
  std::pair<int, std::string> pair{1, "one"};
  std::tuple<int, std::string, double> tuple{1, "one", 1.5};
  std::optional<item> some = item{"c", 3}, none;
  std::variant<int, item> variant = item{"d", 4};
  std::bitset<12> bits{5};
  std::bitset<80> many_bits = std::bitset<80>{1} << 79;
  std::chrono::milliseconds duration{7};
  std::complex<double> complex{1, 2};
  std::unique_ptr<int> never;
  std::deque<std::vector<bool>> deque{{true, false}};
  std::unordered_map<int, std::set<int>> sets{{1, {2, 3}}};
  all_kinds() = default;
  all_kinds(const all_kinds& other) { *this = other; }
  auto operator=(const all_kinds& o) -> all_kinds& {
    std::tie(array, items, map, pair, tuple, some, none, variant, bits, many_bits, duration, complex, deque, sets) =
        std::tie(o.array, o.items, o.map, o.pair, o.tuple, o.some, o.none, o.variant, o.bits, o.many_bits, o.duration, o.complex,
                 o.deque, o.sets);
    return *this;
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(array), CEREAL_NVP(items), CEREAL_NVP(map), CEREAL_NVP(pair), CEREAL_NVP(tuple), CEREAL_NVP(some),
            CEREAL_NVP(none), CEREAL_NVP(variant), CEREAL_NVP(bits), CEREAL_NVP(many_bits), CEREAL_NVP(duration), CEREAL_NVP(complex),
            CEREAL_NVP(never), CEREAL_NVP(deque), CEREAL_NVP(sets));
  }
};

struct copied_name {
  int place = 1;
  int other = 2;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(place), cereal::make_nvp("place", other));
  }
};

struct with_opinion {
  template <class Archive>
  void serialize(Archive&) {
    throw std::runtime_error("Is the assertion about flags and rapidjson true?");
  }
  int member = 0;
};

// An author's own words, which look like cereal's.
struct with_cereals_words {
  template <class Archive>
  void serialize(Archive&) {
    throw std::runtime_error("JSON Parsing failed - provided NVP (member) not found");
  }
  int member = 0;
};

enum class size : std::uint8_t { small, large };
constexpr auto defined_values(size) {
  return std::array{size::small, size::large};
}
struct shirt {
  enum class cut { slim = -1, wide = 1 };
  friend constexpr auto defined_values(cut) { return std::array{cut::slim, cut::wide}; }
  enum class id : std::int64_t {};
  size of = size::small;
  cut as = cut::slim;
  id number{};
  std::vector<size> others;
  std::optional<size> next;
  std::map<std::string, size> by_name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(of), CEREAL_NVP(as), CEREAL_NVP(number), CEREAL_NVP(others), CEREAL_NVP(next),
            CEREAL_NVP(by_name));
  }
};

struct narrow {
  std::int8_t i8 = 0;
  std::uint8_t u8 = 0;
  std::int16_t i16 = 0;
  std::uint16_t u16 = 0;
  char c = 0;
  char16_t c16 = 0;
  std::int32_t i32 = 0;
  std::uint32_t u32 = 0;
  std::uint64_t u64 = 0;
  bool yes = false;
  float rate = 0;
  std::bitset<12> bits;
  std::vector<std::int8_t> list;
  std::array<std::uint8_t, 3> fixed{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(i8), CEREAL_NVP(u8), CEREAL_NVP(i16), CEREAL_NVP(u16), CEREAL_NVP(c), CEREAL_NVP(c16),
            CEREAL_NVP(i32), CEREAL_NVP(u32), CEREAL_NVP(u64), CEREAL_NVP(yes), CEREAL_NVP(rate), CEREAL_NVP(bits),
            CEREAL_NVP(list), CEREAL_NVP(fixed));
  }
};

// The forms that cereal takes.
struct by_a_free_function {
  int x = 0;
};
template <class Archive>
void serialize(Archive& archive, by_a_free_function& value) {
  archive(cereal::make_nvp("x", value.x));
}
struct in_two {
  int x = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(CEREAL_NVP(x));
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(CEREAL_NVP(x));
  }
};
struct in_two_free {
  int x = 0;
};
template <class Archive>
void save(Archive& archive, const in_two_free& value) {
  archive(cereal::make_nvp("x", value.x));
}
template <class Archive>
void load(Archive& archive, in_two_free& value) {
  archive(cereal::make_nvp("x", value.x));
}
class in_private {
  friend class cereal::access;
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(x));
  }
};
class without_a_friend {
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(x));
  }
};
static_assert(!maestro::serializable<without_a_friend> && !maestro::serializable<std::vector<int>> &&
              !maestro::serializable<std::string> && !maestro::serializable<std::map<std::string, int>> &&
              !maestro::serializable<int>);

// `text` with `from` replaced by `to`.
auto with(std::string text, const std::string& from, const std::string& to) -> std::string {
  const auto at = text.find(from);
  BOOST_TEST_REQUIRE((at != std::string::npos), text << " has no " << from);
  return text.replace(at, from.size(), to);
}

struct german_digits : std::numpunct<char> {
  auto do_thousands_sep() const -> char override { return '.'; }
  auto do_decimal_point() const -> char override { return ','; }
  auto do_grouping() const -> std::string override { return "\3"; }
};

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

BOOST_AUTO_TEST_CASE(members_without_a_name_beside_named_ones_are_refused_by_name) {
  for (const auto& refused : {encode(swapped{100, 7}), encode(within{{{100, 7}}})}) {
    BOOST_TEST_REQUIRE(!refused.has_value());
    BOOST_TEST((refused.failure().message.find("\"x\" stands beside members without a name") != std::string::npos),
               refused.failure().message);
  }
  derived based;
  based.name = "a";
  const auto refused = encode(based);
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST((refused.failure().message.find("\"z\"") != std::string::npos), refused.failure().message);
}

BOOST_AUTO_TEST_CASE(a_base_class_with_a_name_reads_back_in_any_order) {
  derived_by_name value;
  value.name = "a";
  value.z = 5;
  const auto text = encode(value);
  BOOST_TEST_REQUIRE(text.has_value());
  const auto stored = json_in_stored_order(*text);
  BOOST_TEST(stored == R"({"z":5,"base":{"name":"a","count":0}})");
  const auto back = decode<derived_by_name>(stored);
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->name == "a");
  BOOST_TEST(back->z == 5);
}

BOOST_AUTO_TEST_CASE(names_that_look_like_cereals_own_are_names) {
  const auto text = encode(numbered{});
  BOOST_TEST_REQUIRE(text.has_value());
  BOOST_TEST(decode<numbered>(json_in_stored_order(*text))->second == 2);
}

BOOST_AUTO_TEST_CASE(what_cereal_knows_reads_back_in_jsonbs_order) {
  const auto text = encode(all_kinds{});
  BOOST_TEST_REQUIRE(text.has_value());
  const auto back = decode<all_kinds>(json_in_stored_order(*text));
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(*encode(*back) == *text);
  unnamed value;
  for (int i = 0; i < 12; ++i) value.list[static_cast<std::size_t>(i)] = i;
  value.a = 1;
  value.b = 2;
  const auto plain = encode(value);
  BOOST_TEST_REQUIRE(plain.has_value());
  BOOST_TEST(*encode(*decode<unnamed>(json_in_stored_order(*plain))) == *plain);
}

BOOST_AUTO_TEST_CASE(two_members_of_one_name_are_refused_on_writing) {
  const auto refused = encode(copied_name{});
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST((refused.failure().message.find("\"place\" is there twice") != std::string::npos), refused.failure().message);
}

BOOST_AUTO_TEST_CASE(an_authors_own_exception_is_told_as_it_is) {
  const auto back = decode<with_opinion>("{}");
  BOOST_TEST_REQUIRE(!back.has_value());
  BOOST_TEST(back.failure().message == "Is the assertion about flags and rapidjson true?");
}

BOOST_AUTO_TEST_CASE(an_authors_words_that_look_like_cereals_are_told_as_they_are) {
  BOOST_TEST(decode<with_cereals_words>("{}").failure().message ==
             "JSON Parsing failed - provided NVP (member) not found");
  BOOST_TEST(encode(with_cereals_words{}).failure().message ==
             "cannot be written as JSON: JSON Parsing failed - provided NVP (member) not found");
}

BOOST_AUTO_TEST_CASE(a_number_beyond_its_members_range_is_refused_by_name) {
  const auto right = encode(narrow{}).value();
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"i8", "128"},         {"i8", "-129"},    {"u8", "256"},         {"u8", "-1"},
      {"i16", "32768"},      {"i16", "-32769"}, {"u16", "65536"},      {"u16", "-1"},
      {"c", "300"},          {"c16", "65536"},  {"i32", "2147483648"}, {"u32", "-1"},
      {"u32", "4294967296"}, {"u64", "-1"},     {"yes", "2"},          {"yes", "1"},
      {"i8", "1.5"},         {"i8", "\"1\""},   {"i8", "4294967297"},  {"u8", "18446744073709551617"}};
  for (const auto& [name, number] : wrong) {
    const std::string before = name == "yes" ? "false" : "0";
    const auto refused = decode<narrow>(with(right, "\"" + name + "\":" + before, "\"" + name + "\":" + number));
    BOOST_TEST_REQUIRE(!refused.has_value(), name << " took " << number);
    BOOST_TEST(refused.failure().message == "member \"" + name + "\" has the wrong type or is out of range");
  }
  for (const char* number : {"1e300", "-1e300", "3.5e38"})
    BOOST_TEST(decode<narrow>(with(right, R"("rate":0.0)", R"("rate":)" + std::string(number))).failure().message ==
               "member \"rate\" has the wrong type or is out of range");
  BOOST_TEST(decode<narrow>(with(right, R"("list":[])", R"("list":[1,-200])")).failure().message ==
             "an element of member \"list\" has the wrong type or is out of range");
  BOOST_TEST(decode<narrow>(with(right, R"("value1":0)", R"("value1":256)")).failure().message ==
             "an element of member \"fixed\" has the wrong type or is out of range");
  BOOST_TEST(decode<narrow>(with(right, R"("bits":{"type":0,"data":0})", R"("bits":{"type":0,"data":4096})"))
                 .failure()
                 .message == "member \"bits\" has the wrong type or is out of range");
  narrow most;
  most.i8 = -128;
  most.u8 = 255;
  most.i16 = -32768;
  most.u16 = 65535;
  most.c = 127;
  most.c16 = 65535;
  most.rate = -std::numeric_limits<float>::max();
  most.bits = std::bitset<12>(4095);
  most.list = {127, -128};
  most.fixed = {255, 0, 255};
  const auto text = encode(most);
  BOOST_TEST_REQUIRE(text.has_value());
  BOOST_TEST(*encode(*decode<narrow>(*text)) == *text);
}

BOOST_AUTO_TEST_CASE(a_value_that_an_enum_does_not_define_is_refused_by_name) {
  const auto right = encode(shirt{}).value();
  const auto refusal = [&](const std::string& from, const std::string& to) {
    const auto refused = decode<shirt>(with(right, from, to));
    return refused ? std::string("taken") : refused.failure().message;
  };
  const std::string undefined = ", which its enum does not define";
  BOOST_TEST(refusal(R"("of":0)", R"("of":7)") == "member \"of\" has the value 7" + undefined);
  BOOST_TEST(refusal(R"("of":0)", R"("of":256)") == "member \"of\" has the wrong type or is out of range");
  BOOST_TEST(refusal(R"("as":-1)", R"("as":0)") == "member \"as\" has the value 0" + undefined);
  BOOST_TEST(refusal(R"("others":[])", R"("others":[1,2])") ==
             "an element of member \"others\" has the value 2" + undefined);
  BOOST_TEST(refusal(R"("next":{"nullopt":true})", R"("next":{"nullopt":false,"data":3})") ==
             "member \"data\" has the value 3" + undefined);
  BOOST_TEST(refusal(R"("by_name":[])", R"("by_name":[{"key":"a","value":9}])") ==
             "member \"value\" has the value 9" + undefined);
  // One that says nothing of its values has all of them.
  BOOST_TEST(refusal(R"("number":0)", R"("number":9007199254740993)") == "taken");
  BOOST_TEST((decode<shirt>(with(right, R"("of":0)", R"("of":1)"))->of == size::large));

  shirt odd;
  odd.of = static_cast<size>(5);
  BOOST_TEST(encode(odd).failure().message == "cannot be written as JSON: member \"of\" has the value 5" + undefined);
  odd = {};
  odd.others = {static_cast<size>(6)};
  BOOST_TEST(encode(odd).failure().message ==
             "cannot be written as JSON: an element of member \"others\" has the value 6" + undefined);
  // What is stored already is read.
  const auto old = decode<shirt>(with(right, R"("of":0)", R"("of":7)"), json_limits::of_stored());
  BOOST_TEST_REQUIRE(old.has_value());
  BOOST_TEST(static_cast<int>(old->of) == 7);
  BOOST_TEST(!decode<shirt>(with(right, R"("of":0)", R"("of":7)")).has_value());
}

BOOST_AUTO_TEST_CASE(each_form_that_cereal_takes_is_stored_and_read) {
  const auto survives = []<class T>(T) {
    const auto back = decode<T>(R"({"x":7})");
    return back && encode(*back).value() == R"({"x":7})";
  };
  BOOST_TEST(survives(by_a_free_function{}));
  BOOST_TEST(survives(in_two{}));
  BOOST_TEST(survives(in_two_free{}));
  BOOST_TEST(survives(in_private{}));
}

BOOST_AUTO_TEST_CASE(too_few_elements_are_told_in_words) {
  struct pair {
    std::array<int, 2> two{};
    void serialize(cereal::JSONInputArchive& archive) { archive(CEREAL_NVP(two)); }
    void serialize(cereal::JSONOutputArchive& archive) { archive(CEREAL_NVP(two)); }
  };
  BOOST_TEST(decode<pair>(R"({"two":[1]})").failure().message == "an element, or a member without a name, is missing");
}

BOOST_AUTO_TEST_CASE(a_mistyped_member_is_named) {
  BOOST_TEST(decode<item>(R"({"name":"a","count":"1"})").failure().message ==
             "member \"count\" has the wrong type or is out of range");
  BOOST_TEST(decode<order>(R"({"cents":1,"rate":1.0,"items":[{"name":3}]})").failure().message ==
             "member \"name\" has the wrong type or is out of range");
}

BOOST_AUTO_TEST_CASE(what_is_stored_is_read_at_any_size) {
  std::string text = R"({"cents":1,"rate":0.5,"items":[],"more":[)";
  for (int i = 0; i < 4'000; ++i) text += "1" + std::string(300, '0') + ",";
  text += "0]}";
  BOOST_TEST(!decode<order>(text).has_value());
  BOOST_TEST(decode<order>(text, json_limits::of_stored()).has_value());
  BOOST_TEST(decode<item>(R"({"name":"a","count":1,"m":1,"m":2})", json_limits::of_stored()).has_value());
  const auto nested = [](std::size_t depth) {
    return R"({"name":"a","count":1,"m":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  BOOST_TEST(decode<item>(nested(900), json_limits::of_stored()).has_value());
  BOOST_TEST(!decode<item>(nested(1'000'000), json_limits::of_stored()).has_value());
}

BOOST_AUTO_TEST_CASE(negative_zero_is_written_as_zero) {
  order value;
  value.rate = -0.0;
  BOOST_TEST((encode(value)->find(R"("rate":0.0)") != std::string::npos));
  BOOST_TEST(encode_noting(value)->lost_a_sign);
  value.rate = 0.0;
  BOOST_TEST(!encode_noting(value)->lost_a_sign);
}

BOOST_AUTO_TEST_CASE(negative_zero_is_read_as_zero) {
  for (const char* zero : {"-0.0", "-0", "-0e0", "-0.00E-7"}) {
    const auto back = decode<order>(R"({"cents":1,"items":[],"rate":)" + std::string(zero) + "}");
    BOOST_TEST_REQUIRE(back.has_value());
    BOOST_TEST(!std::signbit(back->rate), zero);
  }
}

BOOST_AUTO_TEST_CASE(the_global_locale_does_not_matter) {
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new german_digits));
  order value;
  value.cents = 9'007'199'254'740'993;
  value.rate = 12345.5;
  const auto text = encode(value);
  const auto back = text ? decode<order>(*text) : text.failure();
  std::locale::global(before);
  BOOST_TEST_REQUIRE(back.has_value());
  BOOST_TEST(back->cents == value.cents);
  BOOST_TEST(back->rate == value.rate);
  BOOST_TEST((text->find("9007199254740993") != std::string::npos));
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
    BOOST_TEST((back.failure().message.ends_with("has the wrong type or is out of range")), back.failure().message);
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
    BOOST_TEST(back->cents == value.cents);
  }
}

BOOST_AUTO_TEST_SUITE_END()
