// What members serve, and where that places the aggregates of each type.
#include "../node/versions.hpp"
#include "../store/dice.hpp"

#include <maestro/runtime/cluster_view.hpp>
#include <maestro/runtime/unserved_requests.hpp>
#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace maestro;

namespace {

using names = std::vector<std::string>;

auto release_one() -> served {
  return served({define<::test::first_release::parcel>()});
}
auto release_two() -> served {
  return served({define<::test::second_release::parcel>(), define<::test::second_release::depot>()});
}

auto one_type(const std::string& commands, const std::string& events) -> served {
  const auto list = [](const std::string& letters) {
    std::string text;
    for (const char each : letters) text += (text.empty() ? "\"" : ",\"") + std::string(1, each) + "\"";
    return "[" + text + "]";
  };
  return served::parse("{\"types\":[{\"type\":\"t\",\"commands\":" + list(commands) + ",\"events\":" + list(events) +
                       ",\"calls\":[]}]}");
}

// A cluster by what its members serve, of which the first is the node itself.
class cluster {
 public:
  auto add(const std::string& name, const served& serves, member_status status = member_status::alive,
           bool is_connected = true) -> cluster& {
    const auto text = serves.text();
    BOOST_TEST_REQUIRE(text.has_value());
    const auto digest = served_digest(*text);
    list_.members.push_back({name, clock_.fresh<incarnation_id>(), name + ":1", status, 0, is_connected, digest});
    auto& known = known_[digest];
    if (!known) known = std::make_shared<const served>(serves);
    return *this;
  }
  auto add_unknown(const std::string& name) -> cluster& {
    list_.members.push_back({name, clock_.fresh<incarnation_id>(), name + ":1"});
    return *this;
  }
  [[nodiscard]] auto view() const -> cluster_view {
    return cluster_view(list_, list_.members.front().incarnation, known_, known_.at(list_.members.front().serves), {});
  }

 private:
  hybrid_clock clock_;
  member_list list_;
  known_served known_;
};

auto live_on(const cluster_view& view, const std::string& type) -> names {
  const auto* placed = view.placement_of(type);
  return placed == nullptr ? view.owners.names() : placed->owners.names();
}

auto able(const cluster_view& view, const service_need& need) -> names {
  names found;
  for (const auto each : view.able(need)) found.push_back(view.alive[each].name);
  return found;
}

const error unknown{errc::unknown_command, "it knows no such command"};
const error unreadable{errc::cannot_hydrate, "it knows no such event"};

}  // namespace

BOOST_AUTO_TEST_SUITE(what_members_serve)

BOOST_AUTO_TEST_CASE(a_program_serves_the_names_that_its_types_list_and_the_forms_they_had) {
  const auto two = release_two();
  BOOST_TEST_REQUIRE(two.find("parcel") != nullptr);
  BOOST_TEST(two.find("parcel")->commands == (names{"accept", "send_off", "weigh"}), boost::test_tools::per_element());
  BOOST_TEST(two.find("parcel")->events == (names{"accepted", "measured", "sent_off", "stamped", "weighed"}),
             boost::test_tools::per_element());
  BOOST_TEST(two.find("parcel")->calls == (names{"where"}), boost::test_tools::per_element());
  BOOST_TEST(two.find("depot") != nullptr);
  BOOST_TEST(two.find("depots") == nullptr);
  BOOST_TEST(release_one().find("parcel")->events == (names{"accepted", "stamped", "weighed"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_text_is_read_as_what_wrote_it_and_goes_by_its_digest) {
  for (const auto& each : {served(), release_one(), release_two()}) {
    const auto text = each.text();
    BOOST_TEST_REQUIRE(text.has_value());
    BOOST_TEST((served::parse(*text) == each));
    BOOST_TEST(served_digest(*text).size() == 16U);
    BOOST_TEST(served_digest(*text) == served_digest(*each.text()));
  }
  BOOST_TEST(served_digest(*release_one().text()) != served_digest(*release_two().text()));
  // Nodes of later releases have to find what is pinned here.
  BOOST_TEST(*one_type("ba", "xx").text() ==
             R"({"types":[{"type":"t","commands":["a","b"],"events":["x"],"calls":[]}]})");
  BOOST_TEST(served_digest("") == "f52a15e9a9b5e89b");
  // What a later release may add is not in the way.
  const auto later =
      served::parse(R"({"more":1,"types":[{"type":"t","commands":["a"],"events":[],"calls":[],"streams":["s"]}]})");
  BOOST_TEST((later == one_type("a", "")));
}

BOOST_AUTO_TEST_CASE(text_that_is_anything_else_serves_nothing) {
  const std::vector<std::string> garbage{
      "",
      "{}",
      "[]",
      "7",
      "null",
      "{\"types\":7}",
      "{\"types\":[7]}",
      "{\"types\":[{}]}",
      "{\"types\":[{\"type\":\"t\"}]}",
      "{\"types\":{\"a\":1}}",
      R"({"types":[{"type":"t","commands":[1],"events":[],"calls":[]}]})",
      R"({"types":[{"type":null,"commands":[],"events":[],"calls":[]}]})",
      R"({"types":[{"type":"t","commands":"a","events":[],"calls":[]}]})",
      std::string("{\0}", 3),
      "{\"types\":[\xff]}",
      std::string(200'000, '['),
      "{\"types\":" + std::string(5'000, '[') + std::string(5'000, ']') + "}",
      R"({"types":[{"type":")" + std::string(max_served_text, 'x') + R"(","commands":[],"events":[],"calls":[]}]})"};
  for (const auto& each : garbage) BOOST_TEST(served::parse(each).types().empty(), each.substr(0, 100));
  // A text with some of its bytes changed is read as something, or as nothing; the process lives.
  maestro::test::dice dice(maestro::test::test_seed());
  const auto whole = *release_two().text();
  for (int i = 0; i < 20'000; ++i) {
    auto text = whole;
    for (auto changes = 1 + dice.below(4); changes > 0; --changes)
      text[dice.below(text.size())] = static_cast<char>(dice.below(256));
    if (dice.one_in(4)) text.resize(dice.below(text.size()));
    (void)served::parse(text);
  }
}

BOOST_AUTO_TEST_CASE(a_program_with_too_many_names_is_refused_by_name) {
  member self{"north", incarnation_id{}, "here:1"};
  self.served = std::string(max_served_text + 1, 'x');
  BOOST_TEST((check_member(self).failure().code == errc::invalid_argument));
  self.served.pop_back();
  BOOST_TEST(check_member(self).has_value());
}

BOOST_AUTO_TEST_CASE(a_member_that_cannot_be_entered_is_told_which_setting_to_change) {
  for (const std::string& text : {std::string(), std::string(257, 'x'), std::string("a\0b", 3)}) {
    const auto name = check_member({text, incarnation_id{}, "here:1"}).failure();
    BOOST_TEST((name.code == errc::invalid_argument));
    BOOST_TEST((name.message.find("node.name") != std::string::npos), name.message);
    const auto address = check_member({"north", incarnation_id{}, text}).failure();
    BOOST_TEST((address.message.find("cluster.advertise") != std::string::npos), address.message);
  }
}

BOOST_AUTO_TEST_CASE(who_reads_more_events_dominates_then_who_knows_more_commands) {
  const auto is_over = [](const served& left, const served& right) {
    return dominates(*left.find("t"), *right.find("t"));
  };
  struct row {
    std::string commands, events, other_commands, other_events;
    bool dominates;
  };
  const std::vector<row> rows{
      {"a", "x", "a", "x", false},     {"a", "xy", "a", "x", true},    {"a", "x", "a", "xy", false},
      {"a", "xy", "abc", "x", true},   {"abc", "x", "a", "xy", false}, {"ab", "x", "a", "x", true},
      {"a", "x", "ab", "x", false},    {"ab", "x", "ac", "x", false},  {"ab", "xy", "ab", "xz", false},
      {"abc", "xy", "a", "xz", false}, {"", "", "", "", false},        {"", "x", "", "", true},
  };
  for (const auto& each : rows)
    BOOST_TEST(is_over(one_type(each.commands, each.events), one_type(each.other_commands, each.other_events)) ==
                   each.dominates,
               each.commands << " " << each.events << " over " << each.other_commands << " " << each.other_events);
}

BOOST_AUTO_TEST_CASE(aggregates_live_on_those_that_serve_their_type_best) {
  const auto same = cluster().add("a", release_two()).add("b", release_two()).view();
  BOOST_TEST(same.placements.empty());
  BOOST_TEST(able(same, {"parcel", "weigh"}) == (names{"a", "b"}), boost::test_tools::per_element());
  BOOST_TEST(able(same, {"parcel", "stamp"}).empty());

  const auto mixed =
      cluster().add("a", release_one()).add("b", release_two()).add("c", release_two()).add_unknown("d").view();
  BOOST_TEST(live_on(mixed, "parcel") == (names{"b", "c"}), boost::test_tools::per_element());
  BOOST_TEST(live_on(mixed, "depot") == (names{"b", "c"}), boost::test_tools::per_element());
  BOOST_TEST(able(mixed, {"parcel", "weigh"}) == (names{"b", "c"}), boost::test_tools::per_element());
  BOOST_TEST(able(mixed, {"parcel", "stamp"}) == (names{"a"}), boost::test_tools::per_element());
  BOOST_TEST(able(mixed, {"parcel", {}, "where"}) == (names{"b", "c"}), boost::test_tools::per_element());
  BOOST_TEST(able(mixed, {"parcels"}).empty());

  // Each knows what the other does not: all of them have their share, and a command goes to one that knows it.
  const auto apart =
      cluster().add("a", one_type("ab", "x")).add("b", one_type("ac", "x")).add("c", one_type("a", "x")).view();
  BOOST_TEST(live_on(apart, "t") == (names{"a", "b"}), boost::test_tools::per_element());
  BOOST_TEST(able(apart, {"t", "c"}) == (names{"b"}), boost::test_tools::per_element());
  BOOST_TEST(able(apart, {"t", "a"}) == (names{"a", "b"}), boost::test_tools::per_element());

  // Of those that are not alive, or may live with another store, none counts.
  const auto gone = cluster()
                        .add("a", release_one())
                        .add("b", release_two(), member_status::left)
                        .add("c", release_two(), member_status::alive, false)
                        .view();
  BOOST_TEST(gone.placements.empty());
  BOOST_TEST(able(gone, {"parcel", "send_off"}).empty());
}

BOOST_AUTO_TEST_CASE(a_view_knows_whether_another_places_the_same) {
  cluster nodes;
  nodes.add("a", release_one()).add("b", release_two());
  const auto before = nodes.view();
  BOOST_TEST(before.places_as(nodes.view()));
  BOOST_TEST(!before.places_as(nodes.add("c", release_two()).view()));
}

BOOST_AUTO_TEST_CASE(what_no_member_serves_is_refused_unless_one_did_or_they_differ) {
  const auto one = release_one();
  const auto judged = [](const cluster_view& view, const service_need& need, const served& own, const error& why) {
    return judge_unserved(view, need, own, why);
  };
  const service_need send_off{"parcel", "send_off"};
  const auto same = cluster().add("a", one).add("b", one).add("c", one, member_status::dead).view();
  BOOST_TEST((judged(same, send_off, one, unknown) == unknown));
  BOOST_TEST((judged(same, {"parcel"}, one, unreadable) == unreadable));
  BOOST_TEST((judged(same, {"depot"}, one, unknown) == unknown));

  for (const auto status : {member_status::left, member_status::dead}) {
    const auto gone = cluster().add("a", one).add("b", release_two(), status).view();
    for (const auto& said : {judged(gone, send_off, one, unknown), judged(gone, {"depot", "fill"}, one, unknown),
                             judged(gone, {"parcel"}, one, unreadable)}) {
      BOOST_TEST((said.code == errc::not_served), to_string(said));
      BOOST_TEST((said.kind() == error_kind::retryable));
      BOOST_TEST(said.message.find("b, which was a member within the last day") != std::string::npos, said.message);
    }
    BOOST_TEST((judged(gone, {"parcel", "typo"}, one, unknown) == unknown));  // All that are alive are the same.
    BOOST_TEST(judged(gone, {"parcel"}, one, unreadable).message.find(unreadable.message) != std::string::npos);
  }

  const auto mixed = cluster().add("a", one).add("b", release_two()).view();
  BOOST_TEST((judged(mixed, {"parcel", "typo"}, one, unknown).code == errc::not_served));
  BOOST_TEST((judged(mixed, {"typo", "typo"}, one, unknown).code == errc::not_served));
  // What is wrong for the one that reads all is wrong.
  const auto newest = cluster().add("a", release_two()).add("b", one).view();
  BOOST_TEST((judged(newest, {"parcel"}, release_two(), unreadable) == unreadable));
  // A type that is the same everywhere is as in a cluster of one release.
  const auto also = served::parse(
      R"({"types":[{"type":"t","commands":["a"],"events":[],"calls":[]},{"type":"u","commands":[],"events":[],"calls":[]}]})");
  const auto other = cluster().add("a", also).add("b", one_type("a", "")).view();
  BOOST_TEST((judged(other, {"t", "typo"}, also, unknown) == unknown));
}

BOOST_AUTO_TEST_SUITE_END()
