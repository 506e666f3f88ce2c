// The test kit, held against what it has to notice: what is as expected passes, and what is not is told in words. The
// kit's report is captured here; how Boost.Test shows it is looked at by test_kit_report_test.
#include <maestro/aggregates/test_kit.hpp>

#include "box.hpp"
#include "profile.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <limits>
#include <string>
#include <vector>

using namespace test;

namespace {

struct capture {
  static inline int passes = 0;
  static inline std::vector<std::string> failures;
  static inline std::vector<unsigned> lines;

  static void passed() { ++passes; }
  static void failed(const std::string& text, const std::source_location& where) {
    failures.push_back(text);
    lines.push_back(where.line());
  }
};

struct fresh_capture {
  fresh_capture() {
    capture::passes = 0;
    capture::failures.clear();
    capture::lines.clear();
  }
};

// Its event loses a member, and apply does not care.
struct leaky_state {};
class leaky : public maestro::aggregate<leaky, leaky_state> {
 public:
  static constexpr std::string_view type = "leaky";
  using commands = maestro::commands<>;
  using events = maestro::events<forgotten>;
  static void apply(leaky_state&, const forgotten&) {}
};

using kit = maestro::basic_test_kit<box, capture>;
using box_tables = maestro::basic_test_tables<capture, box>;

void all_passed(int checks) {
  for (const auto& text : capture::failures) BOOST_ERROR(text);
  BOOST_TEST(capture::passes == checks);
}

// That one check failed, with exactly this text.
void failed_with(const std::string& text) {
  BOOST_TEST_REQUIRE(capture::failures.size() == 1U);
  BOOST_TEST(capture::failures.front() == text);
  BOOST_TEST(capture::passes == 0);
}

// That one check failed, with a text that has this in it.
void failed_saying(const std::string& part) {
  BOOST_TEST_REQUIRE(capture::failures.size() == 1U);
  BOOST_TEST((capture::failures.front().find(part) != std::string::npos), capture::failures.front());
  BOOST_TEST(capture::passes == 0);
}

const std::string empty_box = R"({"count":0,"grams":0.0,"sticker":{"text":"","colours":[]},"closed":false})";

}  // namespace

BOOST_FIXTURE_TEST_SUITE(scenarios, fresh_capture)

BOOST_AUTO_TEST_CASE(what_is_as_expected_passes_once_for_each_check) {
  kit::given().when(put{3, "al"}).then(has_been_put{3, "al"});
  kit::given(has_been_put{8}).when(put{2}).then(has_been_put{2}, sealed{}).then_state({10, 0, {}, true});
  kit::given(has_been_put{8}, sealed{}).when(put{2}).rejected("the box is closed").then_state({8, 0, {}, true});
  kit::given(sealed{}).when(put{2}).rejected();
  kit::given(has_been_put{8}).then_state({8, 0, {}, false});
  kit::given_state({9, 0, {}, false}).when(put{1}).then(has_been_put{1}, sealed{});
  all_passed(8);
}

BOOST_AUTO_TEST_CASE(a_command_without_events_is_expected_by_nothing) {
  kit::given().when(look_inside{}).then().then_state({});
  kit::given().when(look_inside{}).then(maestro::nothing);
  all_passed(3);
}

BOOST_AUTO_TEST_CASE(events_are_given_and_expected_in_lists_as_eval_returns_them) {
  const std::vector<has_been_put> many(3, has_been_put{2});
  kit::given(many, has_been_put{3}).when(put{1}).then(maestro::emits<has_been_put, sealed>{has_been_put{1}, sealed{}});
  all_passed(1);
}

BOOST_AUTO_TEST_CASE(one_scenario_serves_several_commands_and_one_command_follows_another) {
  const auto half_full = kit::given(has_been_put{5});
  half_full.when(put{1}).then(has_been_put{1});
  half_full.when(put{5}).then(has_been_put{5}, sealed{}).when(put{1}).rejected("the box is closed");
  auto after = half_full.when(put{2});
  BOOST_TEST(after.state().count == 7);
  BOOST_TEST(half_full.state().count == 5);
  all_passed(3);
}

BOOST_AUTO_TEST_CASE(a_rejection_can_be_expected_to_be_recorded) {
  const auto half_full = kit::given(has_been_put{5});
  half_full.when(burn{"it is needed"}).rejected("it is needed").recorded().then_state({5, 0, {}, false});
  half_full.when(burn{"it is needed"}).recorded();
  all_passed(4);
  // It takes a sequence, and what the log holds of it can be given.
  half_full.when(burn{"it is needed"})
      .when(describe_context{})
      .then(looked{maestro::derive_aggregate_id("box", "test").text(),
                   maestro::derive_command_id(maestro::command_id::make(946'684'800'000, 0, 1), "next").text(), "", 2,
                   946'684'800});
  kit::given(has_been_put{5}, maestro::stored_event{"$rejected", R"({"reason":"it is needed"})"})
      .when(put{1})
      .then(has_been_put{1});
  all_passed(6);
  half_full.when(burn{std::string(5'000, 'x')}).rejected();
  BOOST_TEST((capture::failures.back().find("the rejection cannot be recorded: its reason has 5000 bytes") !=
              std::string::npos),
             capture::failures.back());
  kit::given(sealed{}).when(put{1}).rejected("the box is closed").recorded();
  BOOST_TEST((capture::failures.back().find(
                  R"(expected a recorded rejection, found the rejection "the box is closed")") != std::string::npos),
             capture::failures.back());
}

BOOST_AUTO_TEST_CASE(the_context_is_what_the_scenario_says) {
  const auto id = maestro::derive_aggregate_id("box", "mine");
  const auto command = maestro::command_id::make(5, 0, 7);
  const std::chrono::system_clock::time_point noon{std::chrono::hours(12)};
  kit::given(has_been_put{1}, has_been_put{1})
      .named("mine").at(noon).command_id(command).metadata(R"({"by": "al"})")
      .when(describe_context{})
      .then(looked{id.text(), command.text(), R"({"by":"al"})", 2, 12 * 60 * 60});
  kit::given_state({}, 40).id(id).command_id(command).at(noon)
      .when(describe_context{}).then(looked{id.text(), command.text(), "", 40, 12 * 60 * 60})
      .when(describe_context{})
      .then(looked{id.text(), maestro::derive_command_id(command, "next").text(), "", 41, 12 * 60 * 60});
  all_passed(3);
}

BOOST_AUTO_TEST_CASE(the_context_is_the_same_in_every_run_by_default) {
  const auto id = maestro::derive_aggregate_id("box", "test");
  kit::given().when(describe_context{}).then(
      looked{id.text(), maestro::command_id::make(946'684'800'000, 0, 1).text(), "", 0, 946'684'800});
  all_passed(1);
}

BOOST_AUTO_TEST_CASE(another_event_is_told_with_its_member) {
  kit::given().when(put{3, "al"}).then(has_been_put{4, "al"});
  failed_with(R"(box: put {"count":3,"owner":"al"}: event 1 differs
  event 1, expected: put in {"count":4,"owner":"al"}
  event 1, found:    put in {"count":3,"owner":"al"}
    count: expected 4, found 3
  state before: )" + empty_box);
}

BOOST_AUTO_TEST_CASE(each_event_has_its_place) {
  kit::given(has_been_put{9}).when(put{3}).then(has_been_put{3}, weighed{1}, sealed{});
  failed_with(R"(box: put {"count":3,"owner":"nobody"}: events 2, 3 differ
  event 1, as expected: put in {"count":3,"owner":"nobody"}
  event 2, expected: weighed {"grams":1.0}
  event 2, found:    sealed {}
  event 3, expected: sealed {}
  event 3, found:    nothing
  state before: {"count":9,"grams":0.0,"sticker":{"text":"","colours":[]},"closed":false})");
}

BOOST_AUTO_TEST_CASE(a_member_deep_inside_is_told_by_its_path) {
  kit::given().when(stick({"top", {"red", "blue"}})).then(stuck{{"top", {"red", "green", "blue"}}});
  failed_saying(R"(
    what.colours[1]: expected "green", found "blue"
    what.colours[2]: expected "blue", found nothing
)");
}

BOOST_AUTO_TEST_CASE(of_long_values_the_part_is_told_where_they_begin_to_differ) {
  const std::string same(5000, '-');
  kit::given().when(stick{{same + "left", {}}}).then(stuck{{same + "right", {}}});
  failed_saying(R"(
    what.text from byte 4981 on: expected ...--------------------right", found ...--------------------left")");
  BOOST_TEST(capture::failures.front().size() < 3'000U);
}

BOOST_AUTO_TEST_CASE(events_where_none_are_expected_are_told) {
  kit::given().when(put{3, "al"}).then();
  failed_saying(R"(: event 1 differs
  event 1, expected: nothing
  event 1, found:    put in {"count":3,"owner":"al"}
)");
}

BOOST_AUTO_TEST_CASE(a_rejection_where_events_are_expected_is_told) {
  kit::given(sealed{}).when(put{3, "al"}).then(has_been_put{3, "al"});
  failed_with(R"(box: put {"count":3,"owner":"al"}: expected 1 event, found the rejection "the box is closed"
  event 1, expected: put in {"count":3,"owner":"al"}
  state before: {"count":0,"grams":0.0,"sticker":{"text":"","colours":[]},"closed":true})");
}

BOOST_AUTO_TEST_CASE(events_where_a_rejection_is_expected_are_told) {
  kit::given().when(put{3, "al"}).rejected("the box is closed");
  failed_with(R"(box: put {"count":3,"owner":"al"}: expected the rejection "the box is closed", found 1 event
  event 1, found: put in {"count":3,"owner":"al"}
  state before: )" + empty_box);
}

BOOST_AUTO_TEST_CASE(another_reason_is_told) {
  kit::given(sealed{}).when(put{3}).rejected("the box");
  failed_saying(R"(: expected the rejection "the box", found the rejection "the box is closed")");
}

BOOST_AUTO_TEST_CASE(no_events_are_no_rejection) {
  kit::given().when(look_inside{}).rejected();
  failed_with("box: look_inside {}: expected a rejection, found no events\n  state before: " + empty_box);
}

BOOST_AUTO_TEST_CASE(an_eval_that_throws_is_no_rejection) {
  kit::given().when(explode{}).rejected();
  failed_saying(": expected a rejection, found program_failed: eval threw: boom");
}

BOOST_AUTO_TEST_CASE(another_state_is_told_with_its_member) {
  kit::given().when(put{3}).then_state({4, 0, {}, false});
  failed_with(R"(box: put {"count":3,"owner":"nobody"}: the state differs
  state, expected: {"count":4,"grams":0.0,"sticker":{"text":"","colours":[]},"closed":false}
  state, found:    {"count":3,"grams":0.0,"sticker":{"text":"","colours":[]},"closed":false}
    count: expected 4, found 3)");
}

BOOST_AUTO_TEST_CASE(a_failure_is_reported_once_for_its_chain_and_at_the_line_of_when) {
  const unsigned line = __LINE__ + 2;
  kit::given()
      .when(put{3})
      .then(has_been_put{4})
      .then_state({4, 0, {}, false});
  BOOST_TEST_REQUIRE(capture::failures.size() == 1U);
  BOOST_TEST(capture::lines.front() == line);
  kit::given().then_state({4, 0, {}, false});
  BOOST_TEST(capture::lines.back() == __LINE__ - 1U);
}

BOOST_AUTO_TEST_CASE(an_eval_that_answers_differently_when_asked_again_fails_whatever_is_expected) {
  box::tosses = 0;
  kit::given().when(toss{}).then(has_been_put{1, "chance"});
  failed_with(R"(box: toss {}: eval answers differently when it is asked again, and the runtime may ask several times
  event 1, first: put in {"count":1,"owner":"chance"}
  event 1, again: put in {"count":2,"owner":"chance"}
    count: first 1, again 2)");
}

BOOST_AUTO_TEST_CASE(an_eval_that_is_refused_when_asked_again_fails_as_well) {
  box::tosses = 0;
  kit::given().when(waver{}).then(sealed{});
  failed_saying("\n  first: 1 event\n  again: the rejection \"not now\"");
}

BOOST_AUTO_TEST_CASE(an_apply_that_throws_fails_whatever_is_expected) {
  kit::given().when(crush{}).then(crushed{});
  failed_with("box: crush {}: crushed {}: apply threw: nothing is left");
  BOOST_TEST(kit::given(has_been_put{1}).when(crush{}).state().count == 1);
  BOOST_TEST(kit::given(has_been_put{1}, crushed{}).state().count == 1);
  BOOST_TEST(capture::failures.size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_given_event_whose_apply_throws_fails_what_follows) {
  kit::given(has_been_put{1}, crushed{}).when(put{1}).then(has_been_put{1});
  failed_with("box: what is given is wrong: crushed {}: apply, or an upcast, threw: nothing is left");
}

BOOST_AUTO_TEST_CASE(an_event_that_loses_a_member_leads_to_another_state_later_and_fails) {
  kit::given().when(forget{}).then(forgotten{1, 2});
  failed_saying(": the same events lead to another state when they are read back from the log: is a member missing in "
                "serialize?\n  state, from eval: {\"count\":3,");
  BOOST_TEST(capture::failures.front().ends_with("\n    count: from eval 3, read back 1"));
}

BOOST_AUTO_TEST_CASE(an_event_that_does_not_survive_the_codec_fails_wherever_it_occurs) {
  kit::given().when(garble{}).then(garbled{7});
  failed_with(R"(box: garble {}: garbled {"number":7} is another event when it is read back
    number: written 7, read back 0)");
  kit::given(garbled{7}).then_state({});
  BOOST_TEST(capture::failures.back().starts_with("box: what is given is wrong: garbled {\"number\":7} is another event"));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_stored_or_sent_is_told) {
  constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
  kit::given().when(weigh{no_number}).then();
  failed_saying("box: weigh: the command cannot be sent: ");
  kit::given(weighed{no_number}).when(look_inside{}).then();
  BOOST_TEST(capture::failures.back().starts_with("box: what is given is wrong: event \"weighed\": "));
  kit::given().when(look_inside{}).then(weighed{no_number});
  BOOST_TEST(capture::failures.back().starts_with("box: look_inside {}: what is expected is wrong: event \"weighed\": "));
  kit::given().when(weigh{0}).then(weighed{0});
  BOOST_TEST(capture::failures.back().starts_with("box: weigh {\"grams\":0.0}: the state after it cannot be shown: "));
  kit::given().metadata(R"({"$events": 1})").when(look_inside{}).then();
  BOOST_TEST(capture::failures.back() ==
             "box: look_inside {}: the metadata cannot be sent: metadata: the member \"$events\" begins with $, such names are "
             "the runtime's");
  BOOST_TEST(capture::failures.size() == 5U);
}

BOOST_AUTO_TEST_CASE(what_former_versions_of_the_domain_wrote_is_given_as_the_log_holds_it) {
  using profile_kit = maestro::basic_test_kit<profile, capture>;
  using maestro::stored_event;
  profile_kit::given(stored_event{"registered", R"({"name": "Ada"})"}, stored_event{"moved", R"({"address": "Row 1, York"})"})
      .then_state({"Ada", "en", "Row 1", "York", 3});
  profile_kit::given(registered{"Ada"}, relocated{"Row 1, York"}, nickname_set{R"({"nickname":"Ada L"})"})
      .when(change_street{"Row 2"})
      .then(street_changed{"Row 2"})
      .then_state({"Ada L", "en", "Row 2", "York", 5});
  profile_kit::given(registered{}, teleported{7}).then_state({"", "en", "Row 2", "Place 7", 3});
  all_passed(4);
}

BOOST_AUTO_TEST_CASE(a_row_that_cannot_be_read_fails_what_follows) {
  using profile_kit = maestro::basic_test_kit<profile, capture>;
  using maestro::stored_event;
  profile_kit::given(stored_event{"vanished", "{}"}).then_state({});
  failed_saying("profile: what is given is wrong: vanished {}: aggregate type \"profile\" has no event \"vanished\"");
  profile_kit::given(stored_event{"registered", "{}"}).then_state({});
  BOOST_TEST(capture::failures.back() == "profile: what is given is wrong: registered {}: member \"name\" is missing");
  profile_kit::given(stored_event{"registered", "{"}).then_state({});
  BOOST_TEST(capture::failures.back().starts_with("profile: what is given is wrong: event \"registered\": JSON is wrong"));
  profile_kit::given(teleported{0}).then_state({});
  BOOST_TEST(capture::failures.back().ends_with("place 0 was never given a name"));
  BOOST_TEST(capture::failures.size() == 4U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(examples, fresh_capture)

BOOST_AUTO_TEST_CASE(events_with_telling_examples_survive) {
  maestro::basic_test_kit<crate, capture>::examples(has_been_put{2, "al"}).survive_the_codec();
  maestro::basic_test_kit<crate, capture>::examples(has_been_put{2}, has_been_put{0, "al"}).survive_the_codec();
  all_passed(2);
}

BOOST_AUTO_TEST_CASE(a_type_without_example_and_a_member_that_is_never_set_are_told) {
  maestro::basic_test_kit<crate, capture>::examples().survive_the_codec();
  failed_with("crate: the events do not all survive the codec, as far as the examples tell\n"
              "  put in: no example was given");
  maestro::basic_test_kit<crate, capture>::examples(has_been_put{2}).survive_the_codec();
  BOOST_TEST(capture::failures.back() ==
             "crate: the events do not all survive the codec, as far as the examples tell\n"
             "  put in: no example has another `owner` than its default value");
}

BOOST_AUTO_TEST_CASE(an_event_that_does_not_come_back_is_told) {
  kit::examples(has_been_put{1, "al"}, weighed{1}, stuck{{"a", {"b"}}}, looked{"a", "b", "c", 1, 2}, forgotten{1, 0},
                garbled{7})
      .survive_the_codec();
  failed_with("box: the events do not all survive the codec, as far as the examples tell\n"
              "  garbled: {\"number\":7} is another event when it is read back\n"
              "    number: written 7, read back 0");
}

// JSON alone cannot show it.
BOOST_AUTO_TEST_CASE(a_member_that_serialize_leaves_out_is_told_where_values_can_be_compared) {
  maestro::basic_test_kit<leaky, capture>::examples(forgotten{1, 2}).survive_the_codec();
  failed_with(R"(leaky: forgotten {"kept":1} is another value when it is read back, with the same JSON: is a member )"
              "missing in serialize?");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(tables, fresh_capture)

BOOST_AUTO_TEST_CASE(rows_of_several_aggregates_are_as_expected) {
  box_tables tables;
  tables.given("one", has_been_put{3, "al"}, weighed{1}).given("two", has_been_put{4, "bo"});
  tables.query("select owner, count from owners order by owner").then({{"al", 3}, {"bo", 4}});
  tables.query("select owner from owners where count > $1", 3).then({{"bo"}});
  tables.query("select labelled, 1.5, x'00ff', $1 from owners limit 1", true)
      .then({{nullptr, 1.5, maestro::sql_bytes{std::string("\0\xff", 2)}, true}});
  tables.query("select 1 from owners where count > 100").then({});
  tables.query("select aggregate_id, sequence from event_log where sequence = 2")
      .then({{box::id::named("one").value, 2}});
  all_passed(5);
}

BOOST_AUTO_TEST_CASE(aggregates_of_several_types_share_a_store) {
  maestro::basic_test_tables<capture, box, crate> tables;
  tables.given(box::id::named("one"), has_been_put{3, "al"}).given(crate::id::named("one"), has_been_put{500, "bo"});
  tables.when(crate::id::named("two"), fill{"al"}).refused_by("owners.owner");
  tables.when(crate::id::named("two"), fill{"carol"}).committed();
  tables.query("select owner, count from owners order by owner").then({{"al", 3}, {"bo", 500}, {"carol", 1000}});
  tables.survive_a_rebuild();
  all_passed(4);
}

BOOST_AUTO_TEST_CASE(a_command_is_evaluated_on_what_was_committed) {
  box_tables tables;
  tables.given("one", has_been_put{9, "al"});
  tables.when("one", put{1, "bo"}).committed();
  tables.query("select type, sequence from event_log order by sequence")
      .then({{"put in", 1}, {"put in", 2}, {"sealed", 3}});
  tables.when("one", look_inside{}).committed();
  all_passed(3);
  tables.when("one", put{1, "carol"}).committed();
  BOOST_TEST(capture::failures.back() ==
             R"(box "one": put {"count":1,"owner":"carol"}: expected to be committed, found the rejection "the box is closed")");
}

BOOST_AUTO_TEST_CASE(a_rejection_that_is_recorded_is_in_the_log_and_in_no_table) {
  box_tables tables;
  tables.given("one", has_been_put{3, "al"});
  tables.when("one", burn{"it is needed"}).committed();
  BOOST_TEST((capture::failures.back().find(R"(found the recorded rejection "it is needed")") != std::string::npos),
             capture::failures.back());
  capture::failures.clear();
  tables.when("one", put{1, "bo"}).committed();
  tables.query("select type, sequence from event_log order by sequence")
      .then({{"put in", 1}, {"$rejected", 2}, {"put in", 3}});
  tables.query("select owner from owners order by owner").then({{"al"}, {"bo"}});
  tables.survive_a_rebuild();
  BOOST_TEST(capture::failures.empty());
}

BOOST_AUTO_TEST_CASE(a_constraint_refuses_a_commands_events_as_a_whole) {
  box_tables tables;
  tables.given("one", has_been_put{3, "al"});
  tables.when("two", put{20, "al"}).refused_by("owners.owner");
  tables.query("select count(*) from event_log").then({{1}});
  all_passed(2);
  tables.when("two", put{20, "al"}).refused_by("owners.count");
  BOOST_TEST(capture::failures.back() == R"(box "two": put {"count":20,"owner":"al"}: expected to be refused by owners.count, )"
                                         "found projection_failed: projection failed: UNIQUE constraint failed: owners.owner");
  tables.when("two", put{20, "bo"}).refused_by("owners.owner");
  BOOST_TEST(capture::failures.back() ==
             R"(box "two": put {"count":20,"owner":"bo"}: expected to be refused by owners.owner, found a commit of 2 events)");
}

BOOST_AUTO_TEST_CASE(other_rows_are_told_with_their_field) {
  box_tables tables;
  tables.given("one", has_been_put{3, "al"}).given("two", has_been_put{4, "bo"});
  tables.query("select owner, count from owners order by owner").then({{"al", 3}, {"bo", 5}, {"carol", nullptr}});
  failed_with(R"(select owner, count from owners order by owner: rows 2, 3 differ
  row 1, as expected: ["al",3]
  row 2, expected: ["bo",5]
  row 2, found:    ["bo",4]
    field 2: expected 5, found 4
  row 3, expected: ["carol",null]
  row 3, found:    nothing)");
}

BOOST_AUTO_TEST_CASE(a_query_that_fails_and_a_history_that_is_refused_are_told_at_their_lines) {
  box_tables tables;
  tables.query("select owner from nowhere").then({});
  failed_saying("select owner from nowhere: SQLite: no such table: nowhere");
  const unsigned line = __LINE__ + 2;
  tables.given("one", has_been_put{3, "al"})
        .given("two", has_been_put{4, "al"});
  const std::string refused = R"(box "two": what is given cannot be committed: projection_failed: projection failed: UNIQUE )"
                              "constraint failed: owners.owner";
  BOOST_TEST(capture::failures.at(1) == refused);
  BOOST_TEST(capture::lines.at(1) == line);
  tables.query("select owner from owners").then({{"al"}});
  tables.when("three", put{}).committed();
  BOOST_TEST(capture::failures.at(2) == refused);
  BOOST_TEST(capture::failures.at(3) == refused);
  BOOST_TEST(capture::lines.at(3) == __LINE__ - 3U);
}

BOOST_AUTO_TEST_CASE(rows_of_former_versions_are_projected_as_what_has_become_of_them) {
  maestro::basic_test_tables<capture, profile> tables;
  tables.given("ada", registered{"Ada"}, relocated{"Row 1, York"})
      .given("bob", maestro::stored_event{"town_changed", R"({"city":"Leeds"})"});
  tables.query("select city, sequence from cities order by city").then({{"Leeds", 1}, {"York", 2}});
  tables.when("ada", change_street{"Row 2"}).committed();
  tables.survive_a_rebuild();
  all_passed(3);
}

BOOST_AUTO_TEST_CASE(a_projection_that_comes_out_differently_from_the_log_is_told) {
  owners::calls = 0;
  box_tables tables;
  tables.given("one", has_been_put{3, "al"}, stuck{});
  tables.survive_a_rebuild();
  failed_with(R"("owners": a rebuild makes other rows: row 1 differs
  row 1, committed: ["al",3,1]
  row 1, rebuilt:   ["al",3,2]
    field 3: committed 1, rebuilt 2)");
}

BOOST_AUTO_TEST_SUITE_END()
