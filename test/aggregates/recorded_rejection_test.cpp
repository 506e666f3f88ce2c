// Rejections that are final: the log remembers them, so that every repetition of the command gets the same answer.
#include "harness.hpp"

#include <maestro/aggregates/recorded_rejection.hpp>
#include <maestro/aggregates/state_diff.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <atomic>
#include <string>
#include <vector>

using namespace maestro;
using namespace ::test;

namespace {

struct end {};
struct begin_again {};
/// Refused for good once the offer has ended, with `reason`.
struct take {
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(reason));
  }
};
/// Refused for now.
struct take_softly {};

struct ended {};
struct begun_again {};
struct taken {};

struct offer_state {
  bool is_over = false;
  std::int64_t taken = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    if (Archive::is_saving::value) ++shown;
    archive(CEREAL_NVP(is_over), CEREAL_NVP(taken));
  }
  static inline std::atomic<int> shown{0};  ///< How often a state was encoded.
};

class offer : public maestro::aggregate<offer, offer_state> {
 public:
  static constexpr std::string_view type = "offer";
  using commands = maestro::commands<end, begin_again, take, take_softly>;
  using events = maestro::events<ended, begun_again, taken>;
  static auto eval(const offer_state&, const end&) -> ended { return {}; }
  static auto eval(const offer_state&, const begin_again&) -> begun_again { return {}; }
  static auto eval(const offer_state& state, const take& command) -> result<taken> {
    if (state.is_over) return reject(command.reason).recorded();
    return taken{};
  }
  static auto eval(const offer_state& state, const take_softly&) -> result<taken> {
    if (state.is_over) return reject("not now");
    return taken{};
  }
  static void apply(offer_state& state, const ended&) { state.is_over = true; }
  static void apply(offer_state& state, const begun_again&) { state.is_over = false; }
  static void apply(offer_state& state, const taken&) { ++state.taken; }
};

struct offers : stage {
  auto types() -> std::vector<std::string> {
    std::vector<std::string> found;
    sequence_number sequence = 0;
    const auto rows = store->open_reader()->get_events(id, {}).value();
    for (const auto& row : rows) {
      BOOST_TEST(row.sequence == ++sequence);
      found.push_back(row.type);
    }
    return found;
  }
  template <class Command>
  void accepted(owner& by, const caf::actor& actor, const Command& command) {
    const auto got = by.send(actor, id, command).get();
    BOOST_TEST_REQUIRE(!got.failure, to_string(got.failure));
  }
  static void refused(const command_answer& got, const std::string& reason) {
    BOOST_TEST((got.failure == reject(reason)), to_string(got.failure));
    BOOST_TEST(got.last == 0);
  }

  definition_ptr offers_type = define<offer>();
  maestro::command_id late = clock.fresh<command_id>();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(recorded_rejections, offers)

BOOST_AUTO_TEST_CASE(stay_the_answer_when_the_state_has_changed) {
  const auto other = clock.fresh<command_id>();
  {
    owner one(system, *store);
    const auto actor = one.start(*offers_type, id);
    accepted(one, actor, end{});
    refused(one.send(actor, id, take{"too late"}, late).get(), "too late");
    refused(one.send(actor, id, take_softly{}, other).get(), "not now");
    accepted(one, actor, begin_again{});
    refused(one.send(actor, id, take{"too late"}, late).get(), "too late");
    // Sent as for the first time, as by a caller who has forgotten it.
    refused(one.send(actor, id, take{"too late"}, late, return_mode::sequences, true).get(), "too late");
    BOOST_TEST((one.send(actor, id, take{"another one"}, late).get().failure.code == errc::command_id_reused));
    // The other rejection has left no trace.
    BOOST_TEST(!one.send(actor, id, take_softly{}, other).get().failure);
    accepted(one, actor, take{"too late"});
  }
  const std::vector<std::string> expected{"ended", "$rejected", "begun_again", "taken", "taken"};
  BOOST_TEST(types() == expected, boost::test_tools::per_element());
  // Another owner, which knows the log alone.
  owner two(system, *store);
  const auto actor = two.start(*offers_type, id);
  for (const auto returns : {return_mode::sequences, return_mode::events, return_mode::state})
    refused(two.send(actor, id, take{"too late"}, late, returns).get(), "too late");
  BOOST_TEST((two.send(actor, id, take{"another one"}, late).get().failure.code == errc::command_id_reused));
  BOOST_TEST(two.ask(actor, id, query_kind::fetch).state == R"({"is_over":false,"taken":2})");
  BOOST_TEST(types() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(are_recorded_once_however_many_attempts_come_together) {
  owner one(system, *store);
  const auto actor = one.start(*offers_type, id);
  accepted(one, actor, end{});
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 20; ++i)
    answers.push_back(one.send(actor, id, take{"too late"}, late, return_mode::sequences, i == 0));
  for (auto& each : answers) refused(each.get(), "too late");
  BOOST_TEST(types() == (std::vector<std::string>{"ended", "$rejected"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(share_commits_with_what_is_accepted_in_order) {
  owner one(system, *store);
  const auto actor = one.start(*offers_type, id);
  std::vector<std::future<command_answer>> accepted_ones;
  std::vector<std::future<command_answer>> refused_ones;
  for (int i = 0; i < 20; ++i) {
    accepted_ones.push_back(one.send(actor, id, take{"too late"}));
    accepted_ones.push_back(one.send(actor, id, end{}));
    refused_ones.push_back(one.send(actor, id, take{"too late"}));
    accepted_ones.push_back(one.send(actor, id, begin_again{}));
  }
  for (auto& each : refused_ones) refused(each.get(), "too late");
  sequence_number sequence = 0;
  for (auto& each : accepted_ones) {
    const auto got = each.get();
    BOOST_TEST_REQUIRE(!got.failure, to_string(got.failure));
    BOOST_TEST(got.last > sequence);
    sequence = got.last;
  }
  BOOST_TEST(types().size() == 80U);
  BOOST_TEST(one.ask(actor, id, query_kind::fetch).state == R"({"is_over":false,"taken":20})");
}

// Its owner did not know that the offer has begun again: the log does.
BOOST_AUTO_TEST_CASE(are_not_recorded_on_a_state_that_is_out_of_date) {
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*offers_type, id);
  const auto there = two.start(*offers_type, id);
  accepted(one, here, end{});
  BOOST_TEST(two.ask(there, id, query_kind::fetch).sequence == 1);
  accepted(one, here, begin_again{});
  BOOST_TEST(!two.send(there, id, take{"too late"}, late).get().failure);
  BOOST_TEST(types() == (std::vector<std::string>{"ended", "begun_again", "taken"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(take_a_sequence_and_change_no_state) {
  owner one(system, *store);
  const auto actor = one.start(*offers_type, id);
  accepted(one, actor, end{});
  refused(one.send(actor, id, take{"too late"}, late).get(), "too late");
  BOOST_TEST(one.ask(actor, id, query_kind::snapshot).sequence == 2);
  accepted(one, actor, begin_again{});
  owner two(system, *store);
  const auto from_snapshot = two.start(*offers_type, id);
  const auto got = two.ask(from_snapshot, id, query_kind::fetch);
  BOOST_TEST(got.sequence == 3);
  BOOST_TEST(got.state == R"({"is_over":false,"taken":0})");
  const auto replayed = two.ask(from_snapshot, id, query_kind::replay, 2);
  BOOST_TEST(replayed.sequence == 2);
  BOOST_TEST(replayed.state == R"({"is_over":true,"taken":0})");
  const auto reader = store->open_reader();
  offer_state::shown = 0;
  const auto diff =
      nlohmann::json::parse(state_diff(*reader, *offers_type, id, {1}, {2}, {1000, 1000, 100'000}).value());
  BOOST_TEST(diff["changes"].empty());
  BOOST_TEST(diff["events"][0]["type"] == "$rejected");
  BOOST_TEST(diff["events"][0]["changes"].empty());
  BOOST_TEST(offer_state::shown == 1);  // The first one alone: nothing can have changed.
  refused(two.send(from_snapshot, id, take{"too late"}, late).get(), "too late");
}

BOOST_AUTO_TEST_CASE(have_a_reason_that_can_be_kept) {
  owner one(system, *store);
  const auto actor = one.start(*offers_type, id);
  accepted(one, actor, end{});
  const std::string longest(max_recorded_reason, 'x');
  const auto failure = one.send(actor, id, take{longest + "x"}).get().failure;
  BOOST_TEST((failure.code == errc::invalid_event), to_string(failure));
  BOOST_TEST((failure.message.find("4097 bytes") != std::string::npos), failure.message);
  for (const auto& reason : {std::string("a\0b", 3), std::string("\xC3")})
    BOOST_TEST((event_of_rejection(reject(reason)).failure().code == errc::invalid_event));
  BOOST_TEST(types().size() == 1U);
  refused(one.send(actor, id, take{longest}, late).get(), longest);
  const std::string odd = "\"quoted\"\n\\ \xC3\xA4";
  const auto second = clock.fresh<command_id>();
  refused(one.send(actor, id, take{odd}, second).get(), odd);
  owner two(system, *store);
  const auto there = two.start(*offers_type, id);
  refused(two.send(there, id, take{longest}, late).get(), longest);
  refused(two.send(there, id, take{odd}, second).get(), odd);
}

// Not ours: a row that somebody has spoiled, or that a later version of the runtime writes.
BOOST_AUTO_TEST_CASE(without_a_reason_are_told_as_what_they_are_and_other_reserved_types_are_refused) {
  const auto row = [&](sequence_number sequence, const std::string& row_type,
                       std::optional<maestro::command_id> command) {
    return event{clock.now_above({}), id, sequence, "offer", row_type, "{}", command, "", nullptr};
  };
  const std::vector<event> first{row(1, "$rejected", late)};
  BOOST_TEST_REQUIRE(store->open_writer()->commit_events(first, {}).has_value());
  owner one(system, *store);
  const auto actor = one.start(*offers_type, id);
  const auto got = one.send(actor, id, take{"too late"}, late).get();
  BOOST_TEST((got.failure.code == errc::rejected), to_string(got.failure));
  const std::vector<event> next{row(2, "$unheard_of", std::nullopt)};
  BOOST_TEST_REQUIRE(store->open_writer()->commit_events(next, first[0].timestamp).has_value());
  owner two(system, *store);
  BOOST_TEST((two.ask(two.start(*offers_type, id), id, query_kind::fetch).failure.code == errc::cannot_hydrate));
}

BOOST_AUTO_TEST_SUITE_END()
