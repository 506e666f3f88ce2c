// Snapshots that nobody asks for: every so many events, and when an aggregate leaves memory.
#include "harness.hpp"

#include "../store/forwarding_store.hpp"

#include <maestro/aggregates/hydrate.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <memory>
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

BOOST_AUTO_TEST_SUITE_END()
