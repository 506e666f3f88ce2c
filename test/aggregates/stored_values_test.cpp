// What aggregates make of values that do not survive the store as they are, and of what others have stored.
#include "../store/forwarding_store.hpp"
#include "harness.hpp"

#include <maestro/aggregates/hydrate.hpp>
#include <maestro/aggregates/metadata.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace ::test;
using maestro::test::value_of;

namespace {

enum class color : std::uint8_t { red, green };
constexpr auto defined_values(color) {
  return std::array{color::red, color::green};
}

struct paint {
  color with = color::red;
  double width = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(with), CEREAL_NVP(width));
  }
};
/// Records the color behind the last one.
struct paint_anything {};
struct painted {
  color with = color::red;
  double width = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(with), CEREAL_NVP(width));
  }
};
struct wall {
  color with = color::red;
  bool was_negative = false;
  std::int64_t bytes = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(with), CEREAL_NVP(was_negative), CEREAL_NVP(bytes));
  }
};

class painter : public aggregate<painter, wall> {
 public:
  static constexpr std::string_view type = "painter";
  using commands = maestro::commands<paint, paint_anything>;
  using events = maestro::events<painted>;
  static auto eval(const wall&, const paint& command) -> painted { return {command.with, -command.width}; }
  static auto eval(const wall&, const paint_anything&) -> painted { return {static_cast<color>(2), 0}; }
  static void apply(wall& state, const painted& event) {
    state.with = event.with;
    state.was_negative = std::signbit(event.width);
  }
};

/// Records `count` numbers that JSON writes in five characters and a database may write out in 301 digits.
struct measure {
  int count = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count));
  }
};
struct measured {
  std::vector<double> values;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(values));
  }
};
struct measurements {
  std::uint64_t count = 0;
  double last = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count), CEREAL_NVP(last));
  }
};

class meter : public aggregate<meter, measurements> {
 public:
  static constexpr std::string_view type = "meter";
  using commands = maestro::commands<measure>;
  using events = maestro::events<measured>;
  static auto eval(const measurements&, const measure& command) -> measured {
    return {std::vector<double>(static_cast<std::size_t>(command.count), 1e300)};
  }
  static void apply(measurements& state, const measured& event) {
    state.count += event.values.size();
    if (!event.values.empty()) state.last = event.values.back();
  }
};

struct painter_stage : stage {
  definition_ptr kind = define<painter>();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(stored_values, painter_stage)

BOOST_AUTO_TEST_CASE(an_event_is_applied_as_it_will_be_read_back) {
  owner node(system, *store);
  const auto actor = node.start(*kind, id);
  BOOST_TEST(!node.send(actor, id, paint{color::green, 0.0}).get().failure);  // The event holds -0.0.
  const auto live = node.ask(actor, id, query_kind::fetch).state;
  const auto read = value_of(hydrate(*store->open_reader(), *kind, id));
  BOOST_TEST(live == kind->encode_state(read.state).value());
  BOOST_TEST(live == R"({"with":1,"was_negative":false,"bytes":0})");
}

BOOST_AUTO_TEST_CASE(values_that_an_enum_does_not_define_are_not_recorded_but_read) {
  owner node(system, *store);
  const auto actor = node.start(*kind, id);
  const auto decoded = kind->decode_command("paint", R"({"with":2,"width":0.0})");
  BOOST_TEST_REQUIRE(!decoded.has_value());
  BOOST_TEST(decoded.failure().message ==
             "command \"paint\": member \"with\" has the value 2, which its enum does not define");
  const auto refused = node.send(actor, id, paint_anything{}).get();
  BOOST_TEST((refused.failure.code == errc::invalid_event));
  BOOST_TEST((refused.failure.message.find("event \"painted\"") != std::string::npos), refused.failure.message);
  BOOST_TEST((refused.failure.message.find("member \"with\" has the value 2") != std::string::npos),
             refused.failure.message);

  // Written when the enum had one more.
  const auto old = clock.fresh<aggregate_id>();
  event row;
  row.timestamp = clock.now();
  row.aggregate_id = old;
  row.sequence = 1;
  row.aggregate_type = "painter";
  row.type = "painted";
  row.body = R"({"with":2,"width":1.0})";
  BOOST_TEST(store->open_writer()->commit_events({row}, {}).has_value());
  const auto from_old = node.start(*kind, old);
  BOOST_TEST(node.ask(from_old, old, query_kind::fetch).state == R"({"with":2,"was_negative":false,"bytes":0})");
  BOOST_TEST(!node.ask(from_old, old, query_kind::snapshot).failure);
  BOOST_TEST(value_of(hydrate(*store->open_reader(), *kind, old)).snapshot_sequence == 1);
}

// jsonb gives 1.2 MB back for 24 kB, and what is written has at most 1 MiB.
BOOST_AUTO_TEST_CASE(an_event_is_read_however_large_a_database_writes_it_out) {
  const auto metering = define<meter>();
  owner node(system, *store);
  const auto answer = node.send(node.start(*metering, id), id, measure{4'000}).get();
  BOOST_TEST_REQUIRE(!answer.failure, to_string(answer.failure));
  // An actor of its own reads it from the store.
  const auto read = node.ask(node.start(*metering, id), id, query_kind::fetch);
  BOOST_TEST(!read.failure, to_string(read.failure));
  BOOST_TEST(read.state == R"({"count":4000,"last":1e300})");
}

// PostgreSQL would keep the last of them.
BOOST_AUTO_TEST_CASE(metadata_with_two_members_of_one_name_is_refused) {
  for (const char* twice : {R"({"a":1,"a":2})", R"({"a":{"b":1,"b":1}})", R"({"a":1,"\u0061":2})"}) {
    const auto checked = check_metadata(twice);
    BOOST_TEST_REQUIRE(!checked, twice);
    BOOST_TEST((checked.failure().code == errc::malformed_payload), to_string(checked.failure()));
  }
  BOOST_TEST(check_metadata(R"({"a":1,"b":{"a":1}})").has_value());
}

BOOST_AUTO_TEST_CASE(metadata_is_read_however_deep_and_large_it_is) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const std::string print(32, 'a');
  const auto said = read_metadata(R"({"$correlation_id":"c","deep":)" + deep + R"(,"$fingerprint":")" + print +
                                  R"(","big":"}{\"]","$causation_id":"caus\u00e9"})");
  BOOST_TEST(said.correlation_id == "c");
  BOOST_TEST(said.causation_id == "caus\u00e9");
  BOOST_TEST((said.callers == R"({"deep":)" + deep + R"(,"big":"}{\"]"})"));
  BOOST_TEST(read_fingerprint(R"({"deep":)" + deep + R"(,"$fingerprint":")" + print + R"("})").has_value());
  BOOST_TEST(!read_fingerprint(R"({"deep":)" + deep).has_value());
  BOOST_TEST(read_metadata("{").callers == "");
  BOOST_TEST(read_metadata(R"({"$events":1})").callers == "");
  BOOST_TEST(read_metadata(R"( { "a" : { "b" : [ 1, 2 ] } , "c" : null } )").callers ==
             R"({"a":{ "b" : [ 1, 2 ] },"c":null})");
}

BOOST_AUTO_TEST_SUITE_END()
