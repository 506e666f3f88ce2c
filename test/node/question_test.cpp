// Questions that one node hands on to another: what they cost the other clients of that node, and what becomes of them
// when their client goes. Real processes, on PostgreSQL, whose readers go on when the test lets them.
#include "batch.hpp"
#include "node_process.hpp"
#include "peer.hpp"

#include "../store/own_server.hpp"
#include "../store/postgres_server.hpp"

#include <maestro/aggregates/placement.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

using batch_id = typed_id<::test::batch>;

const std::vector<std::string> north{"--node.name=north"};
const std::vector<std::string> south{"--node.name=south"};

// Keeps all others from reading the log, but for one statement whenever the test says so.
class locked_log {
 public:
  explicit locked_log(const std::string& uri) : watching_(open(uri)), sessions_{open(uri), open(uri)} {
    lock(*sessions_[0]);
  }
  ~locked_log() { (void)sessions_[0]->query("ROLLBACK", {}); }
  locked_log(const locked_log&) = delete;
  auto operator=(const locked_log&) -> locked_log& = delete;

  void await_readers(std::int64_t count) {
    await("readers to wait for the log", [&] { return waiting("AccessShareLock") == count; });
  }
  /// Lets one statement of each of `readers` through, when all of them wait. The lock is back when these are over: the
  /// server grants it in the order in which it was asked for.
  void let_through(std::int64_t readers) {
    await_readers(readers);
    auto next = std::async(std::launch::async, [this] { lock(*sessions_[1]); });
    await("the next lock to wait", [this] { return waiting("AccessExclusiveLock") > 0; });
    value_of(sessions_[0]->query("ROLLBACK", {}));
    next.get();
    std::swap(sessions_[0], sessions_[1]);
  }

 private:
  static auto open(const std::string& uri) -> std::unique_ptr<store> {
    store_settings settings;
    settings.lock_timeout = settings.statement_timeout = 60s;
    return value_of(open_database(uri, settings))->open_writer();
  }
  static void lock(store& by) {
    for (const auto* sql : {"BEGIN", "LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE"}) value_of(by.query(sql, {}));
  }
  auto waiting(const std::string& mode) -> std::int64_t {
    const auto rows = value_of(watching_->query(
        "SELECT count(*) FROM pg_locks WHERE relation = 'event_log'::regclass AND NOT granted AND mode = $1",
        std::array<sql_value, 1>{sql_value(mode)}));
    return rows.at(0).at(0).as<std::int64_t>();
  }

  std::unique_ptr<store> watching_;
  std::array<std::unique_ptr<store>, 2> sessions_;  // The first one has the lock.
};

// A client that stays with one node, whoever owns what it asks for.
class asking_peer {
 public:
  asking_peer(const node_process& node, const aggregate_id& of) : peer_(node.address()), of_(of) {}

  void ask_for_state_at(sequence_number sequence) {
    query_request question;
    question.request = ++last_;
    question.verb = static_cast<std::uint8_t>(query_verb::replay);
    question.aggregate_type = "batch";
    question.aggregate_id = of_;
    question.up_to = sequence;
    self_->send(peer_.gateway(), question);
  }
  /// How many of the questions have been answered by now. None may have failed.
  auto answered() -> std::size_t {
    bool is_there_more = true;
    while (is_there_more)
      self_->receive(
          [this](const query_reply& reply) {
            BOOST_TEST(reply.code == 0, reply.message);
            ++answered_;
          },
          caf::after(0ms) >> [&] { is_there_more = false; });
    return answered_;
  }
  /// Sends a command that the aggregate refuses without its store. When the answer comes, everything that was sent this
  /// way before has reached the aggregate, and questions about the past have reached the reader.
  auto send_nonsense() -> error {
    command_request nonsense;
    nonsense.request = ++last_;
    nonsense.aggregate_type = "batch";
    nonsense.aggregate_id = of_;
    nonsense.command_id = hybrid_clock().fresh<command_id>();
    nonsense.command = "add";
    nonsense.payload = "{";
    self_->send(peer_.gateway(), nonsense);
    error refused;
    self_->receive([&](const command_reply& reply) { refused = {static_cast<errc>(reply.code), reply.message}; },
                   caf::after(patience) >> [] { BOOST_FAIL("the gateway does not answer"); });
    return refused;
  }

 private:
  peer peer_;
  caf::scoped_actor self_{peer_.system()};
  const aggregate_id of_;
  std::uint64_t last_ = 0;
  std::size_t answered_ = 0;
};

struct two_nodes {
  static constexpr sequence_number events = 300;

  two_nodes() { require_server(); }

  // Its questions have a statement for each event.
  auto start(std::vector<std::string> settings, const std::vector<std::string>& more = {})
      -> std::unique_ptr<node_process> {
    settings.insert(settings.end(), more.begin(), more.end());
    for (const auto* each : {"--aggregate.page-events=1", "--store.lock-timeout=60s", "--store.statement-timeout=60s"})
      settings.emplace_back(each);
    return std::make_unique<node_process>(place.uri(), settings);
  }
  void meet() {
    await("the nodes to know each other", [&] {
      for (const auto* each : {owner.get(), other.get()})
        if (each->connect()->greeting().members.size() < 2) return false;
      return true;
    });
  }
  void fill(const batch_id& which) {
    const auto client = owner->connect();
    for (int i = 0; i < 3; ++i) {
      const auto got = client->send(which, ::test::add{100});
      BOOST_TEST_REQUIRE(!got.answer.failure, to_string(got.answer.failure));
    }
  }
  static auto owned_by(const std::string& name) -> batch_id {
    const placement both({"north", "south"});
    for (int i = 0;; ++i) {
      const auto id = batch_id::named("b" + std::to_string(i));
      if (both.names()[both.owner(placement_key("batch", id))] == name) return id;
    }
  }

  postgres_place place;
  const batch_id id = owned_by("south");
  std::unique_ptr<node_process> owner;  // The south.
  std::unique_ptr<node_process> other;  // The north.
};

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

BOOST_FIXTURE_TEST_SUITE(questions_that_are_handed_on, two_nodes)

BOOST_AUTO_TEST_CASE(a_client_with_many_keeps_no_other_client_of_its_node_waiting) {
  constexpr std::size_t many = 20;
  owner = start(south);
  other = start(north);
  meet();
  fill(id);
  asking_peer greedy(*other, id);
  asking_peer modest(*other, id);
  locked_log log(place.uri());
  for (std::size_t i = 0; i < many; ++i) greedy.ask_for_state_at(events);
  BOOST_TEST((greedy.send_nonsense().code == errc::malformed_payload));
  modest.ask_for_state_at(1);
  BOOST_TEST((modest.send_nonsense().code == errc::malformed_payload));
  // One of the many is that long.
  for (sequence_number i = 0; i < events && modest.answered() == 0; ++i) log.let_through(1);
  BOOST_TEST(modest.answered() == 1U);
  (void)greedy.send_nonsense();  // What was answered before has come.
  BOOST_TEST(greedy.answered() == 0U);
}

BOOST_AUTO_TEST_CASE(go_with_their_client) {
  constexpr std::size_t many = 20;
  // Room for those, and for one question of another client at the one node, for two at the other.
  constexpr std::size_t room = many + 1;
  constexpr std::size_t room_at_owner = many + 2;
  const auto says_full = [](const error& said, std::size_t limit) {
    return said.message.find("the node has " + std::to_string(limit) + " requests in flight") == 0;
  };
  owner = start(south, {"--node.max-commands-in-flight=" + std::to_string(room_at_owner)});
  other = start(north, {"--node.max-commands-in-flight=" + std::to_string(room)});
  meet();
  const auto neighbour = owned_by("north");
  fill(id);
  fill(neighbour);
  std::optional<asking_peer> going(std::in_place, *other, id);
  asking_peer bystander(*other, id);
  asking_peer at_other(*other, neighbour);
  asking_peer at_owner(*owner, id);
  locked_log log(place.uri());
  for (std::size_t i = 0; i < many; ++i) going->ask_for_state_at(events);
  BOOST_TEST((going->send_nonsense().code == errc::malformed_payload));
  // The owner has all of them. Both nodes are filled up with questions of other clients, which stay until the end.
  await("the other node to be full", [&] {
    at_other.ask_for_state_at(events);
    return says_full(bystander.send_nonsense(), room);
  });
  await("the owner to be full", [&] {
    at_owner.ask_for_state_at(events);
    return says_full(at_owner.send_nonsense(), room_at_owner);
  });
  log.await_readers(2);

  going.reset();
  error said;
  await("the other node to let go of the questions", [&] {
    said = bystander.send_nonsense();
    return !says_full(said, room);
  });
  // That was passed on behind the withdrawal, and the owner is still full: its reader is in the middle of a question.
  // With the other node's next turn it drops this one and the rest. One question has many times as many statements.
  BOOST_TEST(says_full(said, room_at_owner), to_string(said));
  int statements = 0;
  for (; statements < events / 5 && says_full(said, room_at_owner); ++statements) {
    log.let_through(2);
    log.await_readers(2);
    said = bystander.send_nonsense();
  }
  BOOST_TEST((said.code == errc::malformed_payload), to_string(said));
  BOOST_TEST_MESSAGE("dropped after " << statements << " statements");
}

// Of clients that have gone, and of one that waits: SIGTERM takes node.drain-timeout and a little.
BOOST_AUTO_TEST_CASE(keep_no_node_from_ending) {
  constexpr std::size_t many = 4'000;
  owner = start(south, {"--node.drain-timeout=100ms"});
  fill(id);
  std::optional<asking_peer> going(std::in_place, *owner, id);
  asking_peer staying(*owner, id);
  locked_log log(place.uri());
  for (std::size_t i = 0; i < many; ++i) going->ask_for_state_at(events);
  BOOST_TEST((going->send_nonsense().code == errc::malformed_payload));
  staying.ask_for_state_at(events);
  BOOST_TEST((staying.send_nonsense().code == errc::malformed_payload));
  log.let_through(1);  // One is in the midst of it.
  log.await_readers(1);
  going.reset();
  owner->child().send_signal(SIGTERM);
  const auto status = owner->child().wait(100ms + longest_end);
  BOOST_TEST_REQUIRE(status.has_value(), "the node does not end");
  BOOST_TEST(*status == 0, owner->child().errors());
}

BOOST_AUTO_TEST_SUITE_END()
