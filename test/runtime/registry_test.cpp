// A node's registry and its aggregates, without a node: how they let go of each other when the node drains.
#include "../aggregates/harness.hpp"
#include "../store/forwarding_store.hpp"

#include <maestro/runtime/registry.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace ::test;
using namespace std::chrono_literals;

namespace {

// Stores a snapshot when it leaves memory, which is what a drain waits for.
class keeper : public aggregate<keeper, counter_state> {
 public:
  static constexpr std::string_view type = "keeper";
  static constexpr lifecycle_policy lifecycle{.snapshot_on_passivation = true};
  using commands = maestro::commands<add>;
  using events = maestro::events<added>;
  static auto eval(const counter_state&, const add& command) -> added { return {command.amount}; }
  static void apply(counter_state& state, const added& event) { state.total += event.amount; }
};

// Holds its first commit until it is told to go on.
class held_store final : public maestro::test::forwarding_store {
 public:
  struct hold {
    std::promise<void> reached;
    std::promise<void> released;
  };
  held_store(std::unique_ptr<maestro::store> inner, hold& by) : forwarding_store(std::move(inner)), by_(&by) {}
  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    if (auto* by = std::exchange(by_, nullptr)) {
      by->reached.set_value();
      by->released.get_future().wait();
    }
    return inner().commit_all(requests);
  }

 private:
  hold* by_;
};

template <class Reply>
auto receive(caf::scoped_actor& client) -> std::optional<Reply> {
  std::optional<Reply> got;
  client->receive([&](Reply& reply) { got = std::move(reply); }, caf::after(30s) >> [] {});
  return got;
}

// Stands between aggregates and their registry, passes on what they say, and notes when they have work.
class listener {
 public:
  listener(caf::actor_system& system, const caf::actor& registry)
      : actor_(system.spawn(
            [this](caf::event_based_actor* self, const caf::actor& passed_to) -> caf::behavior {
              return {
                  [this, self, passed_to](const aggregate_retired& notice) {
                    self->send(passed_to, notice);
                    if (notice.done) return;
                    const std::lock_guard lock(mutex_);
                    ++declined_;
                    changed_.notify_all();
                  },
                  [self, passed_to](const aggregate_empty& notice) { self->send(passed_to, notice); },
              };
            },
            registry)) {}
  listener(const listener&) = delete;
  auto operator=(const listener&) -> listener& = delete;

  [[nodiscard]] auto actor() const -> const caf::actor& { return actor_; }
  [[nodiscard]] auto wait_until_declined(int times) -> bool {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return declined_ >= times; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int declined_ = 0;
  const caf::actor actor_;
};

// A registry over one owner's environment. It ends before that does.
struct node_in_parts : stage {
  node_in_parts() { one.environment().registry = between.actor(); }
  ~node_in_parts() {
    release();
    caf::anon_send(gateway, stop_registry{});
    const caf::scoped_actor self(system);
    self->wait_for(gateway);
    caf::anon_send_exit(between.actor(), caf::exit_reason::user_shutdown);
    self->wait_for(between.actor());
  }
  template <class Order>
  auto tell() -> std::future<void> {
    auto done = std::make_shared<std::promise<void>>();
    auto heard = done->get_future();
    caf::anon_send(gateway, Order{std::move(done)});
    return heard;
  }
  void release() {
    if (!std::exchange(is_released, true)) held.released.set_value();
  }
  auto request() -> command_request {
    command_request made;
    made.aggregate_type = "keeper";
    made.aggregate_id = id;
    made.command_id = clock.fresh<command_id>();
    made.command = registered_name<add>();
    made.payload = encode(add{1}).value();
    made.first_send = true;
    return made;
  }

  // Hardly more than what a message has beside its content.
  static constexpr std::size_t longest_message = 4'100;
  held_store::hold held;
  bool is_released = false;
  owner one{system, *store, {}, false, std::make_unique<held_store>(store->open_writer(), held)};
  flight_counter flight{100, 100};
  const caf::actor gateway = caf::actor_cast<caf::actor>(
      system.spawn<registry>(&one.environment(), std::vector{define<keeper>()}, &flight, nullptr, registry_settings{.max_message_bytes = longest_message}));
  listener between{system, gateway};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(a_registry, node_in_parts)

// An aggregate with a commit under way declines to retire. The registry asks again, each time after a pause of 20 ms.
BOOST_AUTO_TEST_CASE(does_not_ask_a_busy_aggregate_without_a_pause_while_it_drains) {
  constexpr auto pause = 20ms;
  constexpr int times = 5;
  caf::scoped_actor client(system);
  client->send(gateway, request());
  BOOST_TEST_REQUIRE((held.reached.get_future().wait_for(30s) == std::future_status::ready));

  BOOST_TEST_REQUIRE((tell<start_draining>().wait_for(30s) == std::future_status::ready));
  const auto began = std::chrono::steady_clock::now();
  const auto retired = tell<retire_with_snapshots>();
  BOOST_TEST(between.wait_until_declined(times));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  BOOST_TEST(took.count() >= (times - 1) * pause.count(),
             "asked " << times << " times within " << took.count() << " ms");
  BOOST_TEST((retired.wait_for(0s) == std::future_status::timeout));

  release();
  BOOST_TEST((retired.wait_for(30s) == std::future_status::ready));
  bool is_answered = false;
  client->receive([&](const command_reply& reply) { is_answered = reply.code == 0; }, caf::after(30s) >> [] {});
  BOOST_TEST(is_answered);
}

// It would end the link between the two nodes, and everything under way there would be in doubt.
BOOST_AUTO_TEST_CASE(answers_another_node_with_no_more_than_that_takes) {
  release();
  caf::scoped_actor client(system);
  for (std::uint8_t hops = 0; hops < 2; ++hops) {
    auto showing = request();
    showing.hops = hops;
    showing.returns = static_cast<std::uint8_t>(return_mode::state);
    client->send(gateway, showing);
    const auto done = receive<command_reply>(client);
    BOOST_TEST_REQUIRE(done.has_value());
    BOOST_TEST(done->code == 0, done->message);
    BOOST_TEST(done->last == hops + 1);
    BOOST_TEST(done->state.empty() == (hops > 0), done->state);

    query_request question;
    question.verb = static_cast<std::uint8_t>(query_verb::get);
    question.aggregate_type = "keeper";
    question.aggregate_id = id;
    question.hops = hops;
    client->send(gateway, question);
    const auto answer = receive<query_reply>(client);
    BOOST_TEST_REQUIRE(answer.has_value());
    BOOST_TEST(answer->state.empty() == (hops > 0), answer->state);
    question.verb = static_cast<std::uint8_t>(query_verb::events);
    question.limit = 10;
    client->send(gateway, question);
    const auto events = receive<query_reply>(client);
    BOOST_TEST_REQUIRE(events.has_value());
    BOOST_TEST(events->events.empty() == (hops > 0));
    if (hops == 0) continue;
    for (const auto& each : {*answer, *events}) {
      BOOST_TEST((static_cast<errc>(each.code) == errc::invalid_argument), each.message);
      BOOST_TEST((each.message.find("node.max-message-bytes") != std::string::npos), each.message);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
