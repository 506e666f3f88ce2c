// Snapshots that nobody asks for: every so many events, and when an aggregate leaves memory.
#include "../store/forwarding_store.hpp"
#include "harness.hpp"

#include <maestro/aggregates/hydrate.hpp>

#include <boost/test/unit_test.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

using namespace maestro;
using namespace ::test;
using maestro::test::forwarding_store;
using maestro::test::value_of;

namespace {

// Counts; two versions of the same type keep different snapshots.
template <int Version, class Keeping>
class tally : public aggregate<tally<Version, Keeping>, counter_state> {
 public:
  static constexpr std::string_view type = "tally";
  static constexpr int snapshot_version = Version;
  static constexpr lifecycle_policy lifecycle = Keeping::policy;
  using commands = maestro::commands<add>;
  using events = maestro::events<added>;
  static auto eval(const counter_state&, const add& command) -> added { return {command.amount}; }
  static void apply(counter_state& state, const added& event) { state.total += event.amount; }
};
struct every_ten {
  static constexpr lifecycle_policy policy{.snapshot_every = 10};
};
struct when_leaving {
  static constexpr lifecycle_policy policy{.snapshot_on_passivation = true};
};

// Grows by ten bytes with each event.
struct heap {
  std::string text;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(text));
  }
};
std::atomic<int> encoded{0};
template <class Keeping>
class hoarder : public aggregate<hoarder<Keeping>, heap> {
 public:
  static constexpr std::string_view type = "hoarder";
  static constexpr lifecycle_policy lifecycle = Keeping::policy;
  using commands = maestro::commands<add>;
  using events = maestro::events<added>;
  static auto eval(const heap&, const add& command) -> added { return {command.amount}; }
  static void apply(heap& state, const added&) { state.text += "0123456789"; }
  static auto prepare_snapshot(const heap& state) -> heap {
    ++encoded;
    return state;
  }
};

// Refuses snapshots.
class store_without_snapshots final : public forwarding_store {
 public:
  store_without_snapshots(std::unique_ptr<maestro::store> inner, std::atomic<int>& refused)
      : forwarding_store(std::move(inner)), refused_(refused) {}
  auto commit_snapshot(const snapshot&) -> result<void> override {
    ++refused_;
    return error{errc::store_unavailable, "no snapshots today"};
  }

 private:
  std::atomic<int>& refused_;
};

struct snapshot_stage : stage {
  auto snapshot_sequence() -> sequence_number {
    const auto found = value_of(reader->get_snapshot(id));
    return found ? found->sequence : 0;
  }
  template <class Condition>
  void await(const char* what, Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "waited in vain for " << what);
      std::this_thread::yield();
    }
  }
  void add_each(owner& node, const caf::actor& to, int count) {
    for (int i = 0; i < count; ++i) BOOST_TEST(!node.send(to, id, add{1}).get().failure);
  }

  std::unique_ptr<maestro::store> reader = store->open_reader();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(snapshots, snapshot_stage)

BOOST_AUTO_TEST_CASE(every_so_many_events_a_snapshot_follows_the_commit) {
  const auto keen = define<tally<1, every_ten>>();
  owner node(system, *store);
  const auto actor = node.start(*keen, id);
  add_each(node, actor, 9);
  BOOST_TEST(snapshot_sequence() == 0);
  add_each(node, actor, 1);
  await("the first snapshot", [this] { return snapshot_sequence() == 10; });
  add_each(node, actor, 15);
  await("the second snapshot", [this] { return snapshot_sequence() == 20; });
  const auto read = value_of(hydrate(*reader, *keen, id));
  BOOST_TEST(read.snapshot_sequence == 20);
  BOOST_TEST(read.events_read == 5U);
  BOOST_TEST(keen->encode_state(read.state).value() == R"({"total":25,"amounts":[]})");
}

BOOST_AUTO_TEST_CASE(an_aggregate_that_leaves_memory_leaves_a_snapshot_of_its_newest_event) {
  const auto keen = define<tally<1, when_leaving>>();
  owner node(system, *store);
  for (const int total : {3, 5}) {
    const auto actor = node.start(*keen, id);
    add_each(node, actor, total == 3 ? 3 : 2);
    caf::anon_send(actor, retire_aggregate{});
    await("the snapshot", [&] { return snapshot_sequence() == total; });
  }
  BOOST_TEST(value_of(hydrate(*reader, *keen, id)).events_read == 0U);
}

BOOST_AUTO_TEST_CASE(an_aggregate_that_has_done_nothing_stores_nothing) {
  const auto keen = define<tally<1, when_leaving>>();
  std::atomic<int> stored{0};
  {
    owner node(system, *store, {}, false, std::make_unique<store_without_snapshots>(store->open_writer(), stored));
    const auto actor = node.start(*keen, id);
    BOOST_TEST(!node.ask(actor, id, query_kind::fetch).failure);
    caf::anon_send(actor, retire_aggregate{});
  }
  BOOST_TEST(stored == 0);
}

BOOST_AUTO_TEST_CASE(a_snapshot_of_another_version_is_ignored_and_replaced_at_the_same_sequence) {
  const auto first = define<tally<1, when_leaving>>();
  const auto second = define<tally<2, when_leaving>>();
  owner node(system, *store);
  const auto old = node.start(*first, id);
  add_each(node, old, 4);
  caf::anon_send(old, retire_aggregate{});
  await("the old snapshot", [this] { return snapshot_sequence() == 4; });

  BOOST_TEST(value_of(hydrate(*reader, *second, id)).events_read == 4U);
  const auto renewed = node.start(*second, id);
  BOOST_TEST(node.ask(renewed, id, query_kind::fetch).sequence == 4);
  caf::anon_send(renewed, retire_aggregate{});
  await("the new snapshot", [this] { return value_of(reader->get_snapshot(id))->version == 2; });
  BOOST_TEST(value_of(hydrate(*reader, *second, id)).events_read == 0U);
}

BOOST_AUTO_TEST_CASE(a_snapshot_that_cannot_be_stored_costs_nobody_anything_and_is_tried_again) {
  const auto keen = define<tally<1, every_ten>>();
  std::atomic<int> refused{0};
  owner node(system, *store, {}, false, std::make_unique<store_without_snapshots>(store->open_writer(), refused));
  const auto actor = node.start(*keen, id);
  add_each(node, actor, 12);
  await("the refusals", [&] { return refused >= 1; });
  add_each(node, actor, 12);
  await("more refusals", [&] { return refused >= 2; });
  BOOST_TEST(node.state(actor, id).total == 24);
}

BOOST_AUTO_TEST_CASE(a_snapshot_beyond_its_limit_is_tried_every_so_many_events_and_told_once) {
  aggregate_settings small;
  small.max_snapshot_bytes = 50;
  const auto keen = define<hoarder<every_ten>>();
  owner node(system, *store, small);
  std::ostringstream log;
  node.environment().log =
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  const auto actor = node.start(*keen, id);
  encoded = 0;
  add_each(node, actor, 35);
  (void)node.ask(actor, id, query_kind::fetch);  // Behind the last commit, and what followed it.
  BOOST_TEST(encoded == 3);
  const auto text = log.str();
  BOOST_TEST(snapshot_sequence() == 0);
  const auto told =
      text.find("at sequence 10 it would have 111 bytes, the limit of aggregate.max-snapshot-bytes is 50");
  BOOST_TEST((told != std::string::npos), text);
  BOOST_TEST((text.find("no snapshot can be made", told) == std::string::npos), text);

  const auto asked = node.ask(actor, id, query_kind::snapshot);
  BOOST_TEST((asked.failure.code == errc::invalid_argument));
  BOOST_TEST((asked.failure.message.find(
                  "at sequence 35 it would have 361 bytes, the limit of aggregate.max-snapshot-bytes is 50") !=
              std::string::npos),
             asked.failure.message);
}

BOOST_AUTO_TEST_CASE(an_aggregate_that_leaves_memory_tells_once_that_its_snapshot_is_too_large) {
  aggregate_settings small;
  small.max_snapshot_bytes = 50;
  const auto keen = define<hoarder<when_leaving>>();
  std::ostringstream log;
  {
    owner node(system, *store, small);
    node.environment().log =
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
    for (int life = 0; life < 3; ++life) {
      const auto actor = node.start(*keen, id);
      add_each(node, actor, 10);
      caf::anon_send(actor, retire_aggregate{});
      caf::scoped_actor(system)->wait_for(actor);
    }
  }
  const auto text = log.str();
  const auto told = text.find("no snapshot can be made");
  BOOST_TEST((told != std::string::npos), text);
  BOOST_TEST((text.find("no snapshot can be made", told + 1) == std::string::npos), text);
  BOOST_TEST(snapshot_sequence() == 0);
}

BOOST_AUTO_TEST_CASE(a_snapshot_larger_than_an_event_may_be_is_stored_and_read) {
  const auto keen = define<hoarder<every_ten>>();
  owner node(system, *store);
  const auto large = clock.fresh<aggregate_id>();
  snapshot kept;
  kept.aggregate_id = large;
  kept.sequence = kept.version_sequence = 1;
  kept.aggregate_type = "hoarder";
  kept.version = 1;
  kept.body = R"({"text":")" + std::string(3'000'000, 'x') + "\"}";
  const auto actor = node.start(*keen, large);
  BOOST_TEST(!node.send(actor, large, add{1}).get().failure);
  caf::anon_send(actor, retire_aggregate{});
  caf::scoped_actor(system)->wait_for(actor);
  maestro::test::succeed(store->open_writer()->commit_snapshot(kept));

  const auto again = node.start(*keen, large);
  BOOST_TEST(!node.ask(again, large, query_kind::snapshot).failure);
  for (int i = 0; i < 9; ++i) BOOST_TEST(!node.send(again, large, add{1}).get().failure);
  BOOST_TEST(!node.ask(again, large, query_kind::snapshot).failure);
  const auto read = value_of(hydrate(*reader, *keen, large));
  BOOST_TEST(read.snapshot_sequence == 10);
  BOOST_TEST(keen->encode_state(read.state).value().size() == 3'000'000 + 90 + 11);
}

BOOST_AUTO_TEST_SUITE_END()
