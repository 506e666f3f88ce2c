// The store's actors, apart from any database's way of failing: what they do with what waits for them.
#include "conformance.hpp"
#include "forwarding_store.hpp"

#include <maestro/store/store_actor.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <future>
#include <map>
#include <mutex>

using namespace maestro;
using namespace maestro::test;

namespace {

class reading_store final : public forwarding_store {
 public:
  explicit reading_store(std::unique_ptr<store> inner) : forwarding_store(std::move(inner)) {}
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    together.push_back(ids.size());
    limits.push_back(limit);
    if (failure) return failure;
    return inner().get_histories(ids, limit);
  }
  std::vector<std::size_t> together;  ///< How many were read by each call.
  std::vector<std::size_t> limits;
  error failure;
};

// Keeps its reader busy until it is told to go on.
class holding_task final : public store_task {
 public:
  void run(store&) override { released.get_future().wait(); }
  std::promise<void> released;
};

class noting_task final : public history_task {
 public:
  noting_task(const aggregate_id& of, std::size_t page) : history_task(of, page) {}
  void run(store&) override { ran = true; }
  bool ran = false;
};

struct bench {
  bench() {
    value_of(opened->migrate({}));
    auto made = std::make_unique<reading_store>(opened->open_reader());
    reads = made.get();
    reader = spawn_store_reader(system, std::move(made));
  }
  ~bench() {
    caf::anon_send(reader, store_stop{});
    self->wait_for(reader);
  }

  // `count` aggregates of `events` events each, all asked for while the reader is busy.
  auto ask_for(std::size_t count, std::size_t events, std::size_t page) -> std::vector<std::shared_ptr<noting_task>> {
    auto writer = opened->open_writer();
    auto holding = std::make_shared<holding_task>();
    self->send(reader, store_task_ptr(holding));
    std::vector<std::shared_ptr<noting_task>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
      const auto request = make.request(1, events);
      succeed(writer->commit_events(request.units[0].events, {}));
      tasks.push_back(std::make_shared<noting_task>(request.aggregate_id, page));
      self->send(reader, store_task_ptr(tasks.back()));
    }
    holding->released.set_value();
    std::size_t back = 0;
    while (back < count + 1) self->receive([&back](const store_task_ptr&) { ++back; });
    return tasks;
  }

  caf::actor_system_config configuration;
  caf::actor_system system{configuration};
  caf::scoped_actor self{system};
  std::shared_ptr<database> opened = value_of(open_database("sqlite::memory:"));
  request_maker make;
  reading_store* reads = nullptr;
  caf::actor reader;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(store_reader_actor, bench)

BOOST_AUTO_TEST_CASE(histories_that_wait_together_are_read_together_and_about_a_page_in_all) {
  const auto tasks = ask_for(100, 30, 640);
  // The one that held the reader may have been alone, or have had company already.
  std::size_t asked = 0;
  for (const auto count : reads->together) asked += count;
  BOOST_TEST(asked == 100U);
  BOOST_TEST(reads->together.size() <= 3U);
  for (std::size_t i = 0; i < reads->together.size(); ++i) {
    BOOST_TEST(reads->together[i] <= 64U);
    BOOST_TEST(reads->limits[i] == 640 / reads->together[i]);
  }
  for (const auto& task : tasks) {
    BOOST_TEST(task->ran);
    BOOST_TEST_REQUIRE(task->start.has_value());
    const auto& history = value_of(*task->start);
    BOOST_TEST_REQUIRE(!history.events.empty());
    BOOST_TEST((history.events.front().aggregate_id == task->id));
    BOOST_TEST(history.complete == (history.events.size() == 30 && reads->limits.front() > 30));
  }
}

BOOST_AUTO_TEST_CASE(a_store_that_is_away_is_asked_once_for_all) {
  reads->failure = {errc::store_unavailable, "gone"};
  for (const auto& task : ask_for(10, 1, 100)) {
    BOOST_TEST(task->ran);
    BOOST_TEST_REQUIRE(task->start.has_value());
    BOOST_TEST((task->start->failure().code == errc::store_unavailable));
  }
  BOOST_TEST(reads->together.size() <= 2U);
}

BOOST_AUTO_TEST_CASE(what_fails_together_is_left_to_each_alone) {
  reads->failure = {errc::internal_error, "one of them is odd"};
  for (const auto& task : ask_for(10, 1, 100)) {
    BOOST_TEST(task->ran);
    BOOST_TEST(!task->start.has_value());
  }
}

BOOST_AUTO_TEST_SUITE_END()
