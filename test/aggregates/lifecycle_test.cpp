#include "harness.hpp"

#include <maestro/aggregates/metadata.hpp>
#include <maestro/aggregates/state_diff.hpp>

#include "../store/forwarding_store.hpp"

#include <boost/test/unit_test.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

using namespace test;

namespace {

auto replayed(stage& on) -> counter_state {
  auto reader = on.store->open_reader();
  auto at = hydrate(*reader, *on.type, on.id);
  return decode<counter_state>(on.type->encode_state(at.value().state).value()).value();
}

auto log_of(stage& on) -> std::vector<event> {
  return on.store->open_reader()->get_events(on.id, {}).value();
}

// An aggregate that notes when it was evaluated, and whose state can become something that has no JSON.
struct note {};
struct spoil {};
struct noted {
  double ratio = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(ratio));
  }
};
struct diary_state {
  double ratio = 1;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(ratio));
  }
};
class diary : public maestro::aggregate<diary, diary_state> {
 public:
  static constexpr std::string_view type = "diary";
  using commands = maestro::commands<note, spoil>;
  using events = maestro::events<noted>;
  static auto eval(const diary_state&, const note&, const context& with) -> noted {
    const std::lock_guard lock(mutex);
    times[with.command_id].push_back(with.time);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    return {1};
  }
  static auto eval(const diary_state&, const spoil&) -> noted { return {0}; }
  static void apply(diary_state& state, const noted& event) { state.ratio = 1 / event.ratio; }

  static inline std::mutex mutex;
  static inline std::map<command_id, std::vector<std::chrono::system_clock::time_point>> times;
};

// A store that lets something happen between a commit and its answer.
class hooked_store final : public maestro::test::forwarding_store {
 public:
  hooked_store(std::unique_ptr<maestro::store> inner, std::function<void(const commit_request&)> after)
      : forwarding_store(std::move(inner)), after_(std::move(after)) {}
  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    auto outcomes = inner().commit_all(requests);
    for (const auto* request : requests) after_(*request);
    return outcomes;
  }

 private:
  std::function<void(const commit_request&)> after_;
};

// A connection on which something happens before an aggregate is read for the first time, or events after `watched`.
class slow_reader final : public maestro::test::forwarding_store {
 public:
  slow_reader(std::unique_ptr<maestro::store> inner, std::function<void()> before, sequence_number watched = -1)
      : forwarding_store(std::move(inner)), before_(std::move(before)), watched_(watched) {}
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    if (watched_ < 0 && before_) std::exchange(before_, nullptr)();
    return inner().get_histories(ids, limit);
  }
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    if (watched_ == range.after && before_) std::exchange(before_, nullptr)();
    return inner().get_events(id, range);
  }

 private:
  std::function<void()> before_;
  const sequence_number watched_;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lifecycle, stage)

// A refresh brings our own commit and, behind it, an event that nobody here knows, before the commit's answer comes.
BOOST_AUTO_TEST_CASE(what_has_gathered_is_answered_when_the_state_is_lost) {
  std::promise<void> committed;
  std::promise<void> go_on;
  auto hook = [&, first = true](const commit_request& request) mutable {
    if (!std::exchange(first, false)) return;
    const auto& last = request.units.back().events.back();
    auto unknown = std::vector<event>(1);
    unknown[0] = {clock.now_above(last.timestamp), id, last.sequence + 1, "counter", "vanished", "{}", std::nullopt, "", nullptr};
    BOOST_TEST(store->open_writer()->commit_events(unknown, last.timestamp).has_value());
    committed.set_value();
    go_on.get_future().wait();
  };
  owner one(system, *store, {}, false, std::make_unique<hooked_store>(store->open_writer(), std::move(hook)));
  const auto actor = one.start(*type, id);
  auto first = one.send(actor, id, add{1});
  committed.get_future().wait();
  auto gathered = one.send(actor, id, add{2});
  BOOST_TEST((one.ask(actor, id, query_kind::fetch).failure.code == errc::cannot_hydrate));
  go_on.set_value();
  BOOST_TEST(!first.get().failure);
  BOOST_TEST((gathered.get().failure.code == errc::cannot_hydrate));
}

BOOST_AUTO_TEST_CASE(a_command_is_told_one_time_however_often_it_is_evaluated) {
  const auto diaries = define<diary>();
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*diaries, id);
  const auto there = two.start(*diaries, id);
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 20; ++i) {
    answers.push_back(one.send(here, id, note{}));
    answers.push_back(two.send(there, id, note{}));
  }
  for (auto& answer : answers) BOOST_TEST(!answer.get().failure);
  std::size_t again = 0;
  for (const auto& [command, times] : diary::times) {
    again += times.size() - 1;
    for (const auto& time : times) BOOST_TEST((time == times.front()));
  }
  BOOST_TEST(again > 0U);
}

BOOST_AUTO_TEST_CASE(a_command_stays_accepted_when_its_state_cannot_be_shown) {
  const auto diaries = define<diary>();
  owner one(system, *store);
  const auto actor = one.start(*diaries, id);
  const auto name = clock.fresh<command_id>();
  for (const bool repeated : {false, true}) {
    const auto got = one.send(actor, id, spoil{}, name, return_mode::state).get();
    BOOST_TEST(!got.failure, to_string(got.failure));
    BOOST_TEST(got.last == 1);
    BOOST_TEST(got.state == "");
    BOOST_TEST(got.repeated == repeated);
  }
  BOOST_TEST((one.ask(actor, id, query_kind::get).failure.code == errc::internal_error));
}

BOOST_AUTO_TEST_CASE(a_command_with_several_events_leaves_the_same_state_alive_and_replayed) {
  owner one(system, *store, {}, true);
  const auto actor = one.start(*type, id);
  auto first = one.send(actor, id, climb{3}).get();
  BOOST_TEST(first.first == 1);
  BOOST_TEST(first.last == 3);
  auto second = one.send(actor, id, add{9}).get();
  BOOST_TEST(second.last == 4);
  const std::vector<std::int64_t> expected{1, 2, 3, 9};
  BOOST_TEST(one.state(actor, id).amounts == expected, boost::test_tools::per_element());
  BOOST_TEST(replayed(*this).amounts == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(many_commands_at_once_go_out_in_order_in_few_commits_and_each_is_answered) {
  owner one(system, *store, {}, true);
  const auto actor = one.start(*type, id);
  std::vector<std::future<command_answer>> answers;
  for (int i = 1; i <= 500; ++i) answers.push_back(one.send(actor, id, add{i}));
  for (int i = 1; i <= 500; ++i) {
    const auto answer = answers[static_cast<std::size_t>(i - 1)].get();
    BOOST_TEST_REQUIRE(!answer.failure, to_string(answer.failure));
    BOOST_TEST(answer.first == i);
  }
  std::vector<std::int64_t> expected(500);
  std::iota(expected.begin(), expected.end(), 1);
  BOOST_TEST(one.state(actor, id).amounts == expected, boost::test_tools::per_element());
  BOOST_TEST(replayed(*this).amounts == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_rejection_on_tentative_state_is_the_answer_of_a_serial_order) {
  owner one(system, *store, {}, true);
  const auto actor = one.start(*type, id);
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(one.send(actor, id, add_below{10, 305}));
  int accepted = 0;
  for (auto& answer : answers) {
    const auto got = answer.get();
    if (!got.failure) ++accepted;
    else BOOST_TEST(got.failure.message == "the total is 300");
  }
  BOOST_TEST(accepted == 30);
  BOOST_TEST(replayed(*this).total == 300);
}

BOOST_AUTO_TEST_CASE(an_eval_or_apply_that_throws_fails_its_command_alone_and_leaves_nothing) {
  owner one(system, *store, {}, true);
  const auto actor = one.start(*type, id);
  auto before = one.send(actor, id, add{1});
  auto bad_eval = one.send(actor, id, throw_in_eval{});
  auto between = one.send(actor, id, add{2});
  auto bad_apply = one.send(actor, id, throw_in_apply{});
  auto after = one.send(actor, id, add{3});
  BOOST_TEST(!before.get().failure);
  BOOST_TEST((bad_eval.get().failure.code == errc::program_failed));
  BOOST_TEST(!between.get().failure);
  const auto refused = bad_apply.get();
  BOOST_TEST((refused.failure.code == errc::program_failed));
  BOOST_TEST(refused.failure.message.find("apply has a bad day") != std::string::npos);
  BOOST_TEST(!after.get().failure);
  const std::vector<std::int64_t> expected{1, 2, 3};
  BOOST_TEST(one.state(actor, id).amounts == expected, boost::test_tools::per_element());
  BOOST_TEST(replayed(*this).amounts == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_failing_projection_rejects_its_command_and_what_was_built_on_it_is_evaluated_again) {
  owner one(system, *store, {}, true);
  const auto actor = one.start(*type, id);
  BOOST_TEST(!one.send(actor, id, claim{"red"}).get().failure);
  std::vector<std::future<command_answer>> good;
  auto first = one.send(actor, id, add{1});
  auto taken = one.send(actor, id, claim{"red"});
  for (int i = 0; i < 20; ++i) good.push_back(one.send(actor, id, add{1}));
  BOOST_TEST(!first.get().failure);
  const auto refused = taken.get();
  BOOST_TEST((refused.failure.code == errc::projection_failed));
  BOOST_TEST(refused.failure.message.find("label") != std::string::npos, refused.failure.message);
  for (auto& answer : good) BOOST_TEST(!answer.get().failure);
  BOOST_TEST(replayed(*this).total == 21);
  BOOST_TEST(log_of(*this).size() == 22U);
}

BOOST_AUTO_TEST_CASE(a_command_without_events_and_an_unused_id_leave_no_trace) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  const auto looked = one.send(actor, id, look{}).get();
  BOOST_TEST(!looked.failure);
  BOOST_TEST(looked.first == 0);
  BOOST_TEST(looked.last == 0);
  const auto got = one.ask(actor, id, query_kind::get);
  BOOST_TEST(got.sequence == 0);
  BOOST_TEST(got.state == R"({"total":0,"amounts":[]})");
  BOOST_TEST(log_of(*this).empty());
}

BOOST_AUTO_TEST_CASE(two_owners_of_one_aggregate_keep_one_history) {
  aggregate_settings patient;
  patient.max_retries = 1000;
  owner one(system, *store, patient);
  owner two(system, *store, patient);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 200; ++i) {
    answers.push_back(one.send(here, id, add_below{1, 350}));
    answers.push_back(two.send(there, id, add_below{1, 350}));
  }
  int accepted = 0;
  std::set<sequence_number> sequences;
  for (auto& answer : answers) {
    const auto got = answer.get();
    if (got.failure) {
      BOOST_TEST(got.failure.message == "the total is 350");
      continue;
    }
    ++accepted;
    sequences.insert(got.first);
  }
  BOOST_TEST(accepted == 350);
  BOOST_TEST(sequences.size() == 350U);
  BOOST_TEST(replayed(*this).total == 350);
  BOOST_TEST(one.state(here, id).total == 350);
  BOOST_TEST(two.state(there, id).total == 350);
  timestamp last{};
  for (const auto& row : log_of(*this)) {
    BOOST_TEST((row.timestamp > last));
    last = row.timestamp;
  }
}

BOOST_AUTO_TEST_CASE(conflicts_beyond_the_limit_are_answered_by_name) {
  aggregate_settings hasty;
  hasty.max_retries = 0;
  owner one(system, *store, hasty);
  owner two(system, *store);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  BOOST_TEST(!one.send(here, id, add{1}).get().failure);
  BOOST_TEST(!two.send(there, id, add{2}).get().failure);
  const auto refused = one.send(here, id, add{3}).get();  // Knows nothing of the 2 yet.
  BOOST_TEST((refused.failure.code == errc::too_many_conflicts));
  BOOST_TEST(!one.send(here, id, add{3}).get().failure);
  BOOST_TEST(replayed(*this).total == 6);
}

BOOST_AUTO_TEST_CASE(a_rejection_from_stale_state_is_evaluated_again_before_it_is_told) {
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  BOOST_TEST(!one.send(here, id, add{10}).get().failure);
  BOOST_TEST(!two.send(there, id, add{-10}).get().failure);
  // To the first owner the total is still 10, and 5 more would be too much.
  const auto answer = one.send(here, id, add_below{5, 12}).get();
  BOOST_TEST(!answer.failure, to_string(answer.failure));
  BOOST_TEST(answer.first == 3);
}

// A commit's answer says nothing of commands that came after it: others may have been faster.
BOOST_AUTO_TEST_CASE(a_rejection_is_evaluated_again_when_the_commit_before_it_was_overtaken) {
  owner two(system, *store);
  std::promise<void> overtaken;
  std::promise<void> go_on;
  auto hook = [&, first = true](const commit_request&) mutable {
    if (!std::exchange(first, false)) return;
    BOOST_TEST(!two.send(two.start(*type, id), id, add{-10}).get().failure);
    overtaken.set_value();
    go_on.get_future().wait();
  };
  owner one(system, *store, {}, false, std::make_unique<hooked_store>(store->open_writer(), std::move(hook)));
  const auto here = one.start(*type, id);
  auto first = one.send(here, id, add{10});
  overtaken.get_future().wait();
  // To the first owner the total is 10 as soon as its commit is answered, and it never is again.
  auto second = one.send(here, id, add_below{5, 12});
  auto third = one.send(here, id, look{}, {}, return_mode::state);
  go_on.set_value();
  BOOST_TEST(first.get().first == 1);
  BOOST_TEST(second.get().first == 3);
  BOOST_TEST(third.get().state == R"({"total":5,"amounts":[10,-10,5]})");
}

BOOST_AUTO_TEST_CASE(get_may_lag_and_fetch_and_at_least_do_not) {
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  BOOST_TEST(!one.send(here, id, add{1}).get().failure);
  BOOST_TEST(!two.send(there, id, add{2}).get().failure);
  BOOST_TEST(one.ask(here, id, query_kind::get).sequence == 1);
  BOOST_TEST(one.ask(here, id, query_kind::get, 2).sequence == 2);
  BOOST_TEST(!two.send(there, id, add{3}).get().failure);
  BOOST_TEST(one.ask(here, id, query_kind::fetch).sequence == 3);
  BOOST_TEST((one.ask(here, id, query_kind::get, 9).failure.code == errc::sequence_not_reached));
}

// A refresh reads pages, and the end of one is not that of a command.
BOOST_AUTO_TEST_CASE(get_shows_no_half_of_a_command) {
  std::promise<void> midway;
  std::promise<void> go_on;
  const auto hold = [&] {
    midway.set_value();
    go_on.get_future().wait();
  };
  aggregate_settings small;
  small.page_events = 2;
  owner one(system, *store, {small, false, nullptr, std::make_unique<slow_reader>(store->open_reader(), hold, 2), {}, {}});
  owner two(system, *store);
  const auto here = one.start(*type, id);
  BOOST_TEST(one.send(here, id, add{9}).get().last == 1);
  BOOST_TEST(two.send(two.start(*type, id), id, climb{4}).get().last == 5);
  auto fetched = one.ask_without_waiting(here, id, query_kind::fetch);
  midway.get_future().wait();
  auto got = one.ask_without_waiting(here, id, query_kind::get);
  go_on.set_value();
  BOOST_TEST(fetched.get().sequence == 5);
  BOOST_TEST(got.get().sequence == 5);
}

BOOST_AUTO_TEST_CASE(a_repeated_command_has_one_effect_wherever_and_however_often_it_is_sent) {
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  const auto name = clock.fresh<command_id>();
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(one.send(here, id, climb{2}, name));
    answers.push_back(two.send(there, id, climb{2}, name));
  }
  int original = 0;
  for (auto& answer : answers) {
    const auto got = answer.get();
    BOOST_TEST_REQUIRE(!got.failure, to_string(got.failure));
    BOOST_TEST(got.first == 1);
    BOOST_TEST(got.last == 2);
    original += got.repeated ? 0 : 1;
  }
  BOOST_TEST(original <= 1);
  BOOST_TEST(log_of(*this).size() == 2U);
  BOOST_TEST((one.send(here, id, climb{3}, name).get().failure.code == errc::command_id_reused));
  const auto again = two.send(there, id, climb{2}, name, return_mode::state).get();
  BOOST_TEST(again.repeated);
  BOOST_TEST(again.state == R"({"total":3,"amounts":[1,2]})");
}

// As store/FORMAT.md has it for personal data: the fingerprint goes, and with it a way to recompute what the command held.
BOOST_AUTO_TEST_CASE(a_command_whose_rows_have_no_fingerprint_any_more_is_recognised_by_its_id_alone) {
  using namespace maestro::test;
  const bool on_postgres = store->sql_dialect() == dialect::postgres;
  for (const std::string without : {on_postgres ? "metadata - '$fingerprint'" : "json_remove(metadata, '$.\"$fingerprint\"')", "NULL"}) {
    const auto which = clock.fresh<aggregate_id>();
    const auto name = clock.fresh<command_id>();
    {
      owner one(system, *store);
      BOOST_TEST(!one.send(one.start(*type, which), which, climb{2}, name).get().failure);
    }
    const auto with = store->open_writer();
    const std::vector<sql_value> named{which};
    value_of(with->query("BEGIN", {}));
    value_of(with->query(allow_rewrite(store->sql_dialect()), {}));
    value_of(with->query("UPDATE event_log SET metadata = " + without + " WHERE aggregate_id = $1", named));
    value_of(with->query(forbid_rewrite(store->sql_dialect()), {}));
    value_of(with->query("COMMIT", {}));
    BOOST_TEST(value_of(with->query("SELECT count(*) FROM event_log WHERE aggregate_id = $1 AND CAST(metadata AS text) LIKE '%fingerprint%'", named))
                   .at(0).at(0).as<std::int64_t>() == 0);

    owner two(system, *store);
    const auto there = two.start(*type, which);
    for (const int steps : {2, 3}) {  // The same, and what can no longer be told from it.
      const auto again = two.send(there, which, climb{steps}, name, return_mode::state).get();
      BOOST_TEST_REQUIRE(!again.failure, to_string(again.failure));
      BOOST_TEST(again.repeated);
      BOOST_TEST(again.first == 1);
      BOOST_TEST(again.last == 2);
      BOOST_TEST(again.state == R"({"total":3,"amounts":[1,2]})");
    }
    BOOST_TEST(!two.send(there, which, climb{1}).get().failure);
  }
}

// A client whose first attempt waits for one owner's hydration asks another owner, who is quicker.
BOOST_AUTO_TEST_CASE(a_command_that_waits_for_hydration_is_not_repeated_when_another_owner_has_committed_it) {
  std::promise<void> asked;
  std::promise<void> go_on;
  const auto hold = [&] {
    asked.set_value();
    go_on.get_future().wait();
  };
  owner one(system, *store, {{}, false, nullptr, std::make_unique<slow_reader>(store->open_reader(), hold), {}, {}});
  owner two(system, *store);
  const auto name = one.clock().fresh<command_id>();
  auto first = one.send(one.start(*type, id), id, add{1}, name, return_mode::sequences, true);
  asked.get_future().wait();
  BOOST_TEST(two.send(two.start(*type, id), id, add{1}, name).get().last == 1);
  go_on.set_value();
  const auto got = first.get();
  BOOST_TEST(got.repeated);
  BOOST_TEST(got.last == 1);
  BOOST_TEST(log_of(*this).size() == 1U);
}

// A first attempt that was long on its way, when a later one has been carried out already.
BOOST_AUTO_TEST_CASE(a_first_attempt_that_comes_late_has_no_second_effect) {
  enum class way { same_owner, refreshed, hydrated, from_snapshot };
  for (const auto how : {way::same_owner, way::refreshed, way::hydrated, way::from_snapshot}) {
    BOOST_TEST_CONTEXT("way " << static_cast<int>(how)) {
      const auto fresh_id = clock.fresh<aggregate_id>();
      owner one(system, *store);
      owner two(system, *store);
      auto actor = one.start(*type, fresh_id);
      BOOST_TEST(one.send(actor, fresh_id, add{1}).get().last == 1);
      const auto name = one.clock().fresh<command_id>();
      if (how == way::same_owner) {
        BOOST_TEST(one.send(actor, fresh_id, add{5}, name).get().last == 2);
      } else {
        const auto other = two.start(*type, fresh_id);
        BOOST_TEST(two.send(other, fresh_id, add{5}, name).get().last == 2);
        if (how == way::from_snapshot) BOOST_TEST(!two.ask(other, fresh_id, query_kind::snapshot).failure);
        if (how == way::refreshed) BOOST_TEST(one.ask(actor, fresh_id, query_kind::fetch).sequence == 2);
        else actor = one.start(*type, fresh_id);
        BOOST_TEST(one.ask(actor, fresh_id, query_kind::get).sequence == 2);
      }
      const auto late = one.send(actor, fresh_id, add{5}, name, return_mode::sequences, true).get();
      BOOST_TEST(!late.failure, to_string(late.failure));
      BOOST_TEST(late.repeated);
      BOOST_TEST(late.last == 2);
      BOOST_TEST(one.state(actor, fresh_id).total == 6);
      // Others need no search, or find nothing.
      BOOST_TEST(one.send(actor, fresh_id, add{1}).get().last == 3);
    }
  }
}

// Another writer's clock may lag far behind: its rows are known by when they were read.
BOOST_AUTO_TEST_CASE(a_command_in_a_row_of_a_lagging_clock_is_found) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  BOOST_TEST(one.send(actor, id, add{1}).get().last == 1);
  const auto name = one.clock().fresh<command_id>();
  const auto now = one.clock().physical_milliseconds();
  std::vector<event> lagging(1);
  lagging[0] = {timestamp::make(now - 7'200'000, 0, 9), id, 2, "counter", "added", R"({"amount":5})", name, "", nullptr};
  BOOST_TEST_REQUIRE(store->open_writer()->commit_events(lagging, log_of(*this).back().timestamp).has_value());
  BOOST_TEST(one.ask(actor, id, query_kind::fetch).sequence == 2);
  const auto late = one.send(actor, id, add{5}, name, return_mode::sequences, true).get();
  BOOST_TEST(!late.failure, to_string(late.failure));
  BOOST_TEST(late.repeated);
  BOOST_TEST(late.last == 2);
  // Our own stamps stay above it, and above our earlier ones.
  BOOST_TEST(one.send(actor, id, add{1}).get().last == 3);
  BOOST_TEST((log_of(*this)[2].timestamp > log_of(*this)[0].timestamp));
}

// Whether an aggregate that is awake meets the rows, or one that is woken; one aggregate or many.
BOOST_AUTO_TEST_CASE(a_writers_clock_far_ahead_is_warned_of_once_a_minute_and_not_with_each_row) {
  owner_options wrong;
  wrong.clock_offset = std::chrono::minutes(10);
  owner ahead(system, *store, std::move(wrong));
  std::ostringstream log;
  std::atomic<std::chrono::steady_clock::time_point> time{std::chrono::steady_clock::now()};
  owner one(system, *store);
  one.environment().log =
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  one.environment().steady_now = [&time] { return time.load(); };
  const auto warnings = [&log] {
    std::size_t count = 0;
    const auto text = log.str();
    for (auto at = text.find("clock.max-drift"); at != std::string::npos; at = text.find("clock.max-drift", at + 1))
      ++count;
    return count;
  };
  struct pair {
    aggregate_id id;
    caf::actor here;
    caf::actor elsewhere;
  };
  std::vector<pair> all;
  for (int i = 0; i < 3; ++i) {
    const auto each = clock.fresh<aggregate_id>();
    all.push_back({each, one.start(*type, each), ahead.start(*type, each)});
    BOOST_TEST(!one.send(all.back().here, each, add{1}).get().failure);
  }
  const auto let_each_meet_rows = [&] {
    for (const auto& each : all) {
      BOOST_TEST(!ahead.send(each.elsewhere, each.id, climb{5}).get().failure);
      BOOST_TEST(!one.ask(each.here, each.id, query_kind::fetch).failure);
    }
  };
  BOOST_TEST(warnings() == 0U);
  let_each_meet_rows();
  BOOST_TEST(warnings() == 1U, log.str());
  const auto told = log.str();
  BOOST_TEST(
      (told.find("aggregate \"counter\" " + all[0].id.text() + ": the event at sequence 2 ") != std::string::npos),
      told);

  time = time.load() + std::chrono::seconds(59);
  let_each_meet_rows();
  BOOST_TEST(!one.ask(one.start(*type, all[0].id), all[0].id, query_kind::get).failure);
  BOOST_TEST(warnings() == 1U, log.str());

  time = time.load() + std::chrono::seconds(1);
  let_each_meet_rows();
  BOOST_TEST(warnings() == 2U, log.str());

  time = time.load() + std::chrono::minutes(1);
  for (const auto& each : all) BOOST_TEST(!one.ask(one.start(*type, each.id), each.id, query_kind::get).failure);
  BOOST_TEST(warnings() == 3U, log.str());
}

BOOST_AUTO_TEST_CASE(what_the_caller_says_of_a_command_is_kept_with_its_events) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  auto job = std::make_shared<waiting_command>();
  job->aggregate_id = id;
  job->command_id = one.clock().fresh<command_id>();
  job->command = "climb";
  job->payload = R"({"count":2})";
  job->metadata = R"({"user":"ann"})";
  job->correlation_id = "order \"7\"";
  job->causation_id = "click";
  auto answer = job->promise.get_future();
  caf::anon_send(actor, command_job_ptr(job));
  BOOST_TEST(answer.get().last == 2);
  for (const auto& row : log_of(*this)) {
    const auto said = read_metadata(row.metadata);
    BOOST_TEST(said.correlation_id == "order \"7\"");
    BOOST_TEST(said.causation_id == "click");
    BOOST_TEST(said.callers == R"({"user":"ann"})");
    BOOST_TEST((row.command_id == job->command_id));
  }

  auto long_winded = std::make_shared<waiting_command>();
  long_winded->aggregate_id = id;
  long_winded->command_id = one.clock().fresh<command_id>();
  long_winded->command = "look";
  long_winded->payload = "{}";
  long_winded->causation_id = std::string(257, 'x');
  auto refused = long_winded->promise.get_future();
  caf::anon_send(actor, command_job_ptr(long_winded));
  const auto failure = refused.get().failure;
  BOOST_TEST((failure.code == errc::malformed_payload));
  BOOST_TEST((failure.message.find("causation") != std::string::npos), failure.message);
}

BOOST_AUTO_TEST_CASE(the_past_can_be_seen_at_a_time_and_compared) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  BOOST_TEST(!one.send(actor, id, climb{2}).get().failure);
  const auto then = log_of(*this).back().timestamp.milliseconds();
  while (one.clock().physical_milliseconds() <= then) std::this_thread::yield();
  BOOST_TEST(!one.ask(actor, id, query_kind::snapshot).failure);
  BOOST_TEST(!one.send(actor, id, add{7}).get().failure);
  auto reader = store->open_reader();
  for (const auto& [time, total] : {std::pair(std::uint64_t{0}, 0), std::pair(then, 3), std::pair(then + 86'400'000, 10)}) {
    const auto at = maestro::test::value_of(hydrate(*reader, *type, id, moment{max_sequence(), time}));
    BOOST_TEST(decode<counter_state>(*type->encode_state(at.state)).value().total == total);
  }
  const auto rows = log_of(*this);
  const auto stamped = [&](std::size_t row) { return "\"timestamp\":\"" + rows[row].timestamp.text() + "\",\"type\":\"added\",\"command_id\":\"" + rows[row].command_id->text() + "\""; };
  const auto changed = maestro::test::value_of(state_diff(*reader, *type, id, moment{1}, moment{}, {.page_events = 1}));
  BOOST_TEST(changed == R"({"from":{"sequence":1},"to":{"sequence":3},"changes":[{"path":"/total","from":1,"to":10},)"
                        R"({"path":"/amounts/-","to":2},{"path":"/amounts/-","to":7}],"events":[{"sequence":2,)" + stamped(1) +
                        R"(,"changes":[{"path":"/total","from":1,"to":3},{"path":"/amounts/-","to":2}]},{"sequence":3,)" + stamped(2) +
                        R"(,"changes":[{"path":"/total","from":3,"to":10},{"path":"/amounts/-","to":7}]}]})");
  const auto backwards = state_diff(*reader, *type, id, moment{3}, moment{1});
  BOOST_TEST_REQUIRE(!backwards);
  BOOST_TEST((backwards.failure().code == errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_command_id_from_the_future_is_refused_by_name) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  const auto far = command_id::make(clock.physical_milliseconds() + 3'600'000, 0, 1);
  BOOST_TEST((one.send(actor, id, add{1}, far).get().failure.code == errc::command_id_from_the_future));
}

BOOST_AUTO_TEST_CASE(more_commands_than_the_bound_are_refused_at_once) {
  aggregate_settings small;
  small.max_commands_in_flight = 5;
  owner one(system, *store, small, true);
  const auto actor = one.start(*type, id);
  std::vector<std::future<command_answer>> answers;
  for (int i = 0; i < 2000; ++i) answers.push_back(one.send(actor, id, add{1}));
  int accepted = 0;
  int overloaded = 0;
  for (auto& answer : answers) {
    const auto got = answer.get();
    if (!got.failure) ++accepted;
    else if (got.failure.code == errc::overloaded) ++overloaded;
  }
  BOOST_TEST(accepted + overloaded == 2000);
  BOOST_TEST(accepted >= 5);
  BOOST_TEST(overloaded > 0);
  BOOST_TEST(replayed(*this).total == accepted);
}

BOOST_AUTO_TEST_CASE(another_types_id_is_refused_and_poisons_nothing) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  auto foreign = std::vector<event>(1);
  foreign[0] = {clock.now(), id, 1, "account", "opened", "{}", std::nullopt, "", nullptr};
  BOOST_TEST_REQUIRE(store->open_writer()->commit_events(foreign, {}).has_value());
  BOOST_TEST((one.send(actor, id, add{1}).get().failure.code == errc::wrong_aggregate_type));
  BOOST_TEST((one.ask(actor, id, query_kind::get).failure.code == errc::wrong_aggregate_type));
  BOOST_TEST(log_of(*this).size() == 1U);
}

BOOST_AUTO_TEST_CASE(an_event_nobody_knows_breaks_this_aggregate_by_name) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  auto unknown = std::vector<event>(1);
  unknown[0] = {clock.now(), id, 1, "counter", "vanished", "{}", std::nullopt, "", nullptr};
  BOOST_TEST_REQUIRE(store->open_writer()->commit_events(unknown, {}).has_value());
  const auto broken = one.send(actor, id, add{1}).get().failure;
  BOOST_TEST((broken.code == errc::cannot_hydrate));
  BOOST_TEST(broken.message.find("vanished") != std::string::npos);
  BOOST_TEST(broken.message.find(id.text()) != std::string::npos);
  BOOST_TEST(broken.message.find("sequence 1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_snapshot_starts_hydration_and_one_of_another_version_is_ignored) {
  {
    owner one(system, *store, {}, true);
    const auto actor = one.start(*type, id);
    BOOST_TEST(!one.send(actor, id, climb{5}).get().failure);
    BOOST_TEST(one.ask(actor, id, query_kind::snapshot).sequence == 5);
    BOOST_TEST(!one.send(actor, id, add{7}).get().failure);
  }
  auto reader = store->open_reader();
  auto at = hydrate(*reader, *type, id);
  BOOST_TEST_REQUIRE(at.has_value());
  BOOST_TEST(at->snapshot_sequence == 5);
  BOOST_TEST(at->events_read == 1U);
  BOOST_TEST(*type->encode_state(at->state) == R"({"total":22,"amounts":[1,2,3,4,5,7]})");

  auto past = hydrate(*reader, *type, id, moment{3});
  BOOST_TEST(past->snapshot_sequence == 0);
  BOOST_TEST(*type->encode_state(past->state) == R"({"total":6,"amounts":[1,2,3]})");

  snapshot other;
  other.aggregate_id = id;
  other.sequence = other.version_sequence = 6;
  other.aggregate_type = "counter";
  other.body = R"({"what":"is this"})";
  other.version = 99;
  BOOST_TEST_REQUIRE(store->open_writer()->commit_snapshot(other).has_value());
  at = hydrate(*reader, *type, id);
  BOOST_TEST_REQUIRE(at.has_value());
  BOOST_TEST(at->snapshot_sequence == 0);
  BOOST_TEST(*type->encode_state(at->state) == R"({"total":22,"amounts":[1,2,3,4,5,7]})");
}

BOOST_AUTO_TEST_CASE(a_call_sees_confirmed_state_and_may_decline) {
  owner one(system, *store);
  owner two(system, *store);
  const auto here = one.start(*type, id);
  const auto there = two.start(*type, id);
  BOOST_TEST((one.ask(here, id, query_kind::call, 0, "average").failure.code == errc::rejected));
  BOOST_TEST(!two.send(there, id, add{4}).get().failure);
  BOOST_TEST(one.ask(here, id, query_kind::call, 0, "average").state == R"({"value":4.0})");
  BOOST_TEST((one.ask(here, id, query_kind::call, 0, "median").failure.code == errc::unknown_call));
}

BOOST_AUTO_TEST_CASE(replay_shows_any_past_sequence_and_the_newest_beyond_it) {
  owner one(system, *store);
  const auto actor = one.start(*type, id);
  BOOST_TEST(!one.send(actor, id, climb{4}).get().failure);
  BOOST_TEST(one.ask(actor, id, query_kind::replay, 2).state == R"({"total":3,"amounts":[1,2]})");
  BOOST_TEST(one.ask(actor, id, query_kind::replay, 99).sequence == 4);
  BOOST_TEST(one.ask(actor, id, query_kind::replay, 0).sequence == 0);
}

BOOST_AUTO_TEST_SUITE_END()
