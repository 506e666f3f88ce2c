// The life of a node and its aggregates through real processes: draining, leaving memory, starting again, and every verb of
// the maestro command on the way.
#include "batch.hpp"
#include "node_process.hpp"

#include "account.hpp"

#include "../store/test_store.hpp"

#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <maestro/runtime/node.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <semaphore>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using nlohmann::json;

namespace {

using batch_id = ::test::batch::id;

// A store that nodes come and go on, and the command's output as JSON.
struct bench {
  void start(const std::vector<std::string>& more = {}) { node = std::make_unique<node_process>(uri, more); }
  void stop() {
    BOOST_TEST(node->end() == 0);
    BOOST_TEST(node->child().errors() == "");
  }
  auto lines(const std::string& verb, const std::vector<std::string>& arguments) -> std::vector<json> {
    const auto ended = node->maestro(verb, arguments);
    BOOST_TEST(ended.status == 0, verb << ": " << ended.errors);
    BOOST_TEST(ended.errors == "");
    std::vector<json> all;
    std::istringstream text(ended.out);
    for (std::string line; std::getline(text, line);) all.push_back(json::parse(line));
    return all;
  }
  auto line(const std::string& verb, const std::vector<std::string>& arguments) -> json {
    auto all = lines(verb, arguments);
    BOOST_TEST_REQUIRE(all.size() == 1U);
    return all.front();
  }
  auto send(const std::string& name, const std::string& command, const std::string& payload,
            std::vector<std::string> more = {}) -> json {
    more.insert(more.begin(), {"account", "name:" + name, command, payload});
    return line("send", more);
  }
  auto state(const std::string& name) -> json { return line("get", {"account", "name:" + name}); }
  /// Alice with three events: opened, 100 in, 30 out.
  void open_alice() {
    send("alice", "open", R"({"owner":"Alice","handle":"@alice"})");
    send("alice", "deposit", R"({"cents":100})");
    send("alice", "withdraw", R"({"cents":30})");
  }

  const test_store store;
  const std::string uri = store.uri();
  std::unique_ptr<node_process> node;
};

struct running_bench : bench {
  running_bench() { start(); }
  ~running_bench() { stop(); }
};

const auto alice_id = derive_aggregate_id("account", "alice").text();

auto account_at(sequence_number sequence, std::int64_t balance) -> json {
  return {{"aggregate_id", alice_id},
          {"sequence", sequence},
          {"state", {{"owner", "Alice"}, {"handle", "@alice"}, {"balance", balance}, {"open", true}}}};
}

// One attempt, whose answer is told as it is.
const send_options once = [] {
  send_options options;
  options.retry = false;
  return options;
}();

auto without(json from, const std::string& member) -> json {
  from.erase(member);
  return from;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(node_life, bench)

// What is opened first gets the number of what was closed: a database connection, or a file of the store.
BOOST_AUTO_TEST_CASE(a_node_without_descriptors_writes_its_log_into_nothing_of_its_store) {
  node = std::make_unique<node_process>(uri, std::vector<std::string>{"--log.level=trace"},
                                        std::vector<std::string>{"/bin/sh", "-c", "exec \"$@\" 0<&- 2>&-", "node", MAESTRO_TEST_NODE});
  for (const int descriptor : {0, 2}) {
    const auto link = "/proc/" + std::to_string(node->child().pid()) + "/fd/" + std::to_string(descriptor);
    BOOST_TEST(std::filesystem::read_symlink(link).string() == "/dev/null", link);
  }
  open_alice();
  BOOST_TEST(state("alice") == account_at(3, 70));
  stop();
  start();
  BOOST_TEST(state("alice") == account_at(3, 70));
  stop();
}

BOOST_DATA_TEST_CASE(a_node_that_is_told_to_stop_answers_what_is_under_way, boost::unit_test::data::make({SIGTERM, SIGINT}),
                     signal) {
  constexpr int commands = 64;
  start();
  const auto id = batch_id::named("drained");
  {
    const auto client = node->connect();
    std::vector<std::future<receipt>> answers;
    const auto note = [&answers] {
      auto promise = std::make_shared<std::promise<receipt>>();
      answers.push_back(promise->get_future());
      return [promise](receipt got) { promise->set_value(std::move(got)); };
    };
    // The first keeps the aggregate busy, so that the others are still waiting when the signal comes.
    client->send_async(id, ::test::add_slowly{500}, {}, note());
    for (int i = 1; i < commands; ++i) client->send_async(id, ::test::add{1}, {}, note());
    // Answered without the aggregate, and behind the commands: the node has them all.
    BOOST_TEST(client->ask(query_verb::list, "batch", {}).code == 0);
    node->child().send_signal(signal);
    sequence_number expected = 1;
    for (auto& answer : answers) {
      BOOST_TEST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
      const auto got = answer.get();
      BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
      BOOST_TEST(got.answer.last == expected);
      ++expected;
    }
    const auto status = node->child().wait();
    BOOST_TEST((status == 0), node->child().errors());
    const auto after = client->send(id, ::test::add{1}, once);
    BOOST_TEST((after.answer.failure.kind() == error_kind::retryable), to_string(after.answer.failure));
  }
  start();
  BOOST_TEST(line("get", {"batch", "name:drained"})["state"]["items"] == commands);
  stop();
}

BOOST_AUTO_TEST_CASE(a_node_that_runs_out_of_time_to_stop_ends_all_the_same_and_answers_everybody) {
  start({"--node.drain-timeout=20ms"});
  const auto id = batch_id::named("hurried");
  constexpr std::ptrdiff_t commands = 9000;
  std::atomic<std::ptrdiff_t> waiting{commands};
  std::promise<void> last;
  {
    const auto client = node->connect();
    BOOST_TEST(!client->send(id, ::test::add{1}).answer.failure);
    for (std::ptrdiff_t i = 0; i < commands; ++i)
      client->send_async(id, ::test::add{1}, once, [&](const receipt&) {
        if (--waiting == 0) last.set_value();
      });
    stop();
    BOOST_TEST((last.get_future().wait_for(2 * patience) == std::future_status::ready), waiting << " have no answer");
  }
  start();
  stop();
}

BOOST_AUTO_TEST_CASE(a_node_that_stops_stores_the_snapshots_of_those_that_want_one) {
  start();
  constexpr int batches = 50;
  {
    const auto client = node->connect();
    for (int i = 1; i <= batches; ++i) BOOST_TEST(!client->send(batch_id::named(std::to_string(i)), ::test::add{i}).answer.failure);
  }
  send("alice", "open", R"({"owner":"Alice","handle":"@alice"})");
  stop();
  const auto opened = open_database(uri).value();
  const auto reader = opened->open_reader();
  for (int i = 1; i <= batches; ++i) {
    const auto found = reader->get_snapshot(batch_id::named(std::to_string(i))).value();
    BOOST_TEST_REQUIRE(found.has_value(), "batch " << i << " has no snapshot");
    BOOST_TEST(found->sequence == i);
  }
  BOOST_TEST(!reader->get_snapshot(*aggregate_id::parse(alice_id)).value());
}

BOOST_AUTO_TEST_CASE(a_node_that_is_stopping_says_so_to_who_comes_late) {
  start();
  const auto client = node->connect();
  auto slow = std::make_shared<std::promise<receipt>>();
  auto last = slow->get_future();
  client->send_async(batch_id::named("slow"), ::test::add_slowly{1500}, {}, [slow](receipt got) { slow->set_value(std::move(got)); });
  BOOST_TEST(client->ask(query_verb::list, "batch", {}).code == 0);
  node->child().send_signal(SIGTERM);
  error refused;
  while (!refused) refused = client->send(batch_id::named("late"), ::test::add{1}, once).answer.failure;
  BOOST_TEST((refused.code == errc::shutting_down), to_string(refused));
  BOOST_TEST(!last.get().answer.failure);
  BOOST_TEST((node->child().wait() == 0));
}

// Skewed clocks are for tests; what is due is due by the node's own, wherever it is judged.
BOOST_DATA_TEST_CASE(a_node_whose_clock_is_wrong_serves, boost::unit_test::data::make({-20'000, 20'000}), milliseconds) {
  node_settings settings;
  settings.port = 0;
  settings.store_uri = uri;
  settings.clock_offset = std::chrono::milliseconds(milliseconds);
  const auto started = node::start(settings, {define<::test::batch>()});
  BOOST_TEST_REQUIRE(started.has_value());
  const auto here = (*started)->local_client();
  const auto there = client::connect((*started)->address());
  BOOST_TEST_REQUIRE(there.has_value());
  for (auto* client : {here.get(), there->get()}) {
    const auto got = client->send(batch_id::named("skewed"), ::test::add{1});
    BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
    send_options hasty;
    hasty.timeout = std::chrono::milliseconds(200);
    const auto late = client->send(batch_id::named("skewed"), ::test::add_slowly{400}, hasty);
    BOOST_TEST((late.answer.failure.kind() == error_kind::in_doubt || late.answer.failure.code == errc::timed_out));
  }
}

BOOST_AUTO_TEST_CASE(a_projection_is_rebuilt_by_a_node_that_serves) {
  start();
  open_alice();
  {
    const auto client = node->connect();
    for (int i = 0; i < 20; ++i)
      BOOST_TEST(!client->send(batch_id::named("filled " + std::to_string(i)), ::test::add{100}).answer.failure);
  }
  stop();
  const auto ask_store = [this](const std::string& sql) {
    auto rows = open_database(uri).value()->open_writer()->query(sql, {});
    if (!rows) BOOST_FAIL(sql << ": " << to_string(rows.failure()));
    return *rows;
  };
  ask_store("update batch_totals set total = 0, items = 7");
  ask_store("delete from balances");

  start();
  for (const auto& [projection, events] : {std::pair("batch_totals", 2000), std::pair("balances", 3)}) {
    const auto said = lines("rebuild", {projection});
    BOOST_TEST_REQUIRE(!said.empty());
    BOOST_TEST(said.back()["projection"] == projection);
    BOOST_TEST(said.back()["events"] == events);
    BOOST_TEST(said.back()["total"] == events);
    BOOST_TEST(said.back()["running"] == false);
    BOOST_TEST(said.back()["seconds_left"] == 0);
  }
  const auto unknown = node->maestro("rebuild", {"nothing"});
  BOOST_TEST(unknown.status == 2);
  for (const char* part : {"\"nothing\"", "batch_totals", "balances", "handles"})
    BOOST_TEST((unknown.errors.find(part) != std::string::npos), unknown.errors);
  line("send", {"batch", "name:filled 0", "add", R"({"items":1})"});
  stop();
  const auto sums = ask_store("select count(*), cast(sum(items) as bigint), cast(sum(total) as bigint) from batch_totals").at(0);
  BOOST_TEST(sums[0].as<std::int64_t>() == 20);
  BOOST_TEST(sums[1].as<std::int64_t>() == 2001);
  BOOST_TEST(sums[2].as<std::int64_t>() == 20 * 5050 + 101);
  BOOST_TEST(ask_store("select cents from balances").at(0)[0].as<std::int64_t>() == 70);
}

BOOST_AUTO_TEST_CASE(an_aggregate_stays_for_the_command_that_woke_it) {
  start({"--node.max-live-aggregates=1", "--log.level=debug"});
  constexpr int rounds = 10;
  for (int round = 0; round < rounds; ++round)
    for (const auto* name : {"name:a", "name:b", "name:c", "name:d"}) line("send", {"batch", name, "add", R"({"items":1})"});
  BOOST_TEST(node->end() == 0);
  const auto log = node->child().errors();
  int hydrations = 0;
  for (auto at = log.find("hydrated"); at != std::string::npos; at = log.find("hydrated", at + 1)) ++hydrations;
  BOOST_TEST(hydrations == 4 * rounds);
}

BOOST_AUTO_TEST_CASE(commands_that_meet_an_aggregate_on_its_way_out_are_not_lost) {
  constexpr int aggregates = 40;
  constexpr std::size_t outstanding = 64;
  constexpr std::size_t commands = 6000;
  // Nearly every command wakes an aggregate, and asks another one to leave.
  start({"--node.max-live-aggregates=2"});
  std::counting_semaphore<outstanding> free(outstanding);
  std::atomic<std::size_t> accepted{0};
  {
    const auto client = node->connect();
    for (std::size_t i = 0; i < commands; ++i) {
      BOOST_TEST_REQUIRE(free.try_acquire_for(patience), "a command was not answered");
      const auto id = batch_id::named(std::to_string(i * 7 % aggregates));
      client->send_async(id, ::test::add{1}, {}, [&](const receipt& got) {
        if (!got.answer.failure) ++accepted;
        free.release();
      });
    }
    for (std::size_t i = 0; i < outstanding; ++i) BOOST_TEST_REQUIRE(free.try_acquire_for(patience), "a command was not answered");
    BOOST_TEST(accepted == commands);
    std::int64_t items = 0;
    for (int i = 0; i < aggregates; ++i) items += client->get(batch_id::named(std::to_string(i))).value().value.items;
    BOOST_TEST(items == static_cast<std::int64_t>(commands));
  }
  stop();
}

BOOST_AUTO_TEST_CASE(an_idle_aggregate_leaves_memory_and_comes_back_as_it_was) {
  start({"--aggregate.idle-timeout=100ms"});
  {
    const auto client = node->connect();
    const auto id = batch_id::named("idle");
    const auto other = batch_id::named("other");
    const auto states = [&]() -> std::int64_t {
      const auto reply = client->call(other, ::test::count_states{});
      BOOST_TEST_REQUIRE(reply.has_value());
      return reply->value.states;
    };
    for (sequence_number last = 5; last <= 15; last += 5) {
      const auto got = client->send(id, ::test::add{5});
      BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
      BOOST_TEST(got.answer.last == last);
      // The one that is asked has a state itself.
      const auto deadline = std::chrono::steady_clock::now() + patience;
      while (states() > 1) BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline));
      const auto found = client->get(id);
      BOOST_TEST_REQUIRE(found.has_value());
      BOOST_TEST(found->sequence == last);
      BOOST_TEST(found->value.items == last);
    }
  }
  stop();
}

BOOST_AUTO_TEST_CASE(a_node_that_starts_again_has_the_same_states) {
  start();
  open_alice();
  BOOST_TEST(state("alice") == account_at(3, 70));
  stop();
  start();
  BOOST_TEST(state("alice") == account_at(3, 70));
  BOOST_TEST(send("alice", "deposit", R"({"cents":5})")["first"] == 4);
  BOOST_TEST(state("alice") == account_at(4, 75));
  stop();
}

BOOST_AUTO_TEST_CASE(a_snapshot_is_where_the_next_life_begins) {
  start();
  open_alice();
  BOOST_TEST(line("snapshot", {"account", "name:alice"}) == json({{"aggregate_id", alice_id}, {"sequence", 3}}));
  send("alice", "deposit", R"({"cents":5})");
  stop();
  {
    auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(opened.has_value());
    const auto stored = (*opened)->open_reader()->get_snapshot(derive_aggregate_id("account", "alice"));
    BOOST_TEST_REQUIRE(stored.has_value());
    BOOST_TEST_REQUIRE(stored->has_value());
    BOOST_TEST((*stored)->sequence == 3);
  }
  start();
  BOOST_TEST(state("alice") == account_at(4, 75));
  BOOST_TEST(line("replay", {"account", "name:alice", "2"}) == account_at(2, 100));
  stop();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(the_command, running_bench)

BOOST_AUTO_TEST_CASE(new_prints_ids_that_differ) {
  const auto first = run({MAESTRO_COMMAND, "new"});
  const auto second = run({MAESTRO_COMMAND, "new"});
  BOOST_TEST(first.status == 0);
  BOOST_TEST(first.out.size() == 33U);
  BOOST_TEST(aggregate_id::parse(first.out.substr(0, 32)).has_value());
  BOOST_TEST(first.out != second.out);
}

BOOST_AUTO_TEST_CASE(send_answers_with_the_sequences) {
  const auto opened = send("alice", "open", R"({"owner":"Alice","handle":"@alice"})");
  BOOST_TEST(opened["aggregate_id"] == alice_id);
  BOOST_TEST(command_id::parse(opened["command_id"].get<std::string>()).has_value());
  BOOST_TEST(without(opened, "command_id") == json({{"aggregate_id", alice_id}, {"first", 1}, {"last", 1}}));

  const auto many = line("send", {"batch", "name:many", "add", R"({"items":7})"});
  BOOST_TEST(many["first"] == 1);
  BOOST_TEST(many["last"] == 7);
  const auto none = line("send", {"batch", "name:many", "add", R"({"items":0})"});
  BOOST_TEST(none["first"] == 0);
  BOOST_TEST(none["last"] == 0);
}

BOOST_AUTO_TEST_CASE(send_returns_events_and_state_when_asked) {
  open_alice();
  const auto with_state = send("alice", "deposit", R"({"cents":1})", {"--return", "state"});
  BOOST_TEST(with_state["state"] == account_at(4, 71)["state"]);
  const auto with_events = line("send", {"batch", "name:many", "add", R"({"items":2})", "--return", "events"});
  BOOST_TEST_REQUIRE(with_events["events"].size() == 2U);
  BOOST_TEST(with_events["events"][1]["type"] == "added");
  BOOST_TEST(with_events["events"][1]["body"] == json({{"number", 2}}));
}

BOOST_AUTO_TEST_CASE(a_repeated_command_has_no_second_effect) {
  open_alice();
  const auto id = run({MAESTRO_COMMAND, "new"}).out.substr(0, 32);
  const auto first = send("alice", "deposit", R"({"cents":5})", {"--command-id", id});
  BOOST_TEST(!first.contains("repeated"));
  BOOST_TEST(first["command_id"] == id);
  auto repeated = first;
  repeated["repeated"] = true;
  BOOST_TEST(send("alice", "deposit", R"({ "cents": 5 })", {"--command-id", id}) == repeated);
  send("alice", "deposit", R"({"cents":1})");
  stop();
  start();
  BOOST_TEST(send("alice", "deposit", R"({"cents":5})", {"--command-id", id}) == repeated);
  BOOST_TEST(state("alice") == account_at(5, 76));
}

BOOST_AUTO_TEST_CASE(an_expected_sequence_lets_the_first_of_two_through) {
  open_alice();
  const std::vector<std::string> from_three{"account", "name:alice", "deposit", R"({"cents":5})", "--expect-sequence", "3"};
  BOOST_TEST(line("send", from_three)["first"] == 4);
  BOOST_TEST(node->maestro("send", from_three).status == 3);
  BOOST_TEST(state("alice") == account_at(4, 75));
  BOOST_TEST(send("bob", "open", R"({"owner":"Bob","handle":"@bob"})", {"--expect-sequence", "0"})["first"] == 1);
}

BOOST_AUTO_TEST_CASE(get_of_an_id_without_events_is_the_initial_state) {
  const auto id = run({MAESTRO_COMMAND, "new"}).out.substr(0, 32);
  const json initial = {{"owner", ""}, {"handle", ""}, {"balance", 0}, {"open", false}};
  for (const auto& verb : std::vector<std::vector<std::string>>{{"get"}, {"get", "--fetch"}, {"replay", "5"}}) {
    std::vector<std::string> arguments{"account", id};
    arguments.insert(arguments.end(), verb.begin() + 1, verb.end());
    BOOST_TEST(line(verb.front(), arguments) == json({{"aggregate_id", id}, {"sequence", 0}, {"state", initial}}));
  }
  BOOST_TEST(line("snapshot", {"account", id}) == json({{"aggregate_id", id}, {"sequence", 0}}));
  BOOST_TEST(lines("events", {"account", id}).empty());
  BOOST_TEST(lines("list", {"account"}).empty());
}

BOOST_AUTO_TEST_CASE(get_waits_for_no_sequence_that_is_not_there) {
  open_alice();
  BOOST_TEST(line("get", {"account", "name:alice", "--at-least", "3"}) == account_at(3, 70));
  const auto refused = node->maestro("get", {"account", "name:alice", "--at-least", "4"});
  BOOST_TEST(refused.status == 4);
  BOOST_TEST((refused.errors.find("sequence_not_reached") != std::string::npos));
}

BOOST_AUTO_TEST_CASE(replay_shows_each_past_state) {
  open_alice();
  const std::vector<std::int64_t> balances{0, 100, 70};
  for (sequence_number sequence = 1; sequence <= 3; ++sequence)
    BOOST_TEST(line("replay", {"account", "name:alice", std::to_string(sequence)}) ==
               account_at(sequence, balances[static_cast<std::size_t>(sequence - 1)]));
  BOOST_TEST(line("replay", {"account", "name:alice", "99"}) == account_at(3, 70));
  BOOST_TEST(line("replay", {"account", "name:alice", "0"})["sequence"] == 0);
}

BOOST_AUTO_TEST_CASE(replay_and_diff_take_times_and_sequences) {
  open_alice();
  for (const auto& [time, sequence] : {std::pair("2001-02-03T04:05:06Z", 0), std::pair("2999-12-31T23:59:59.999Z", 3)})
    BOOST_TEST(line("replay", {"account", "name:alice", time})["sequence"] == sequence);
  const auto changed = line("diff", {"account", "name:alice", "1", "2999-12-31T23:59:59Z"});
  BOOST_TEST(changed["aggregate_id"] == alice_id);
  BOOST_TEST(changed["from"]["sequence"] == 1);
  BOOST_TEST(changed["to"]["sequence"] == 3);
  BOOST_TEST(changed["changes"] == json::parse(R"([{"path":"/balance","from":0,"to":70}])"));
  BOOST_TEST_REQUIRE(changed["events"].size() == 2U);
  BOOST_TEST(changed["events"][0]["type"] == "deposited");
  BOOST_TEST(changed["events"][0]["changes"] == json::parse(R"([{"path":"/balance","from":0,"to":100}])"));
  BOOST_TEST(changed["events"][1]["changes"] == json::parse(R"([{"path":"/balance","from":100,"to":70}])"));
  for (const auto& [arguments, status, part] :
       {std::tuple(std::vector<std::string>{"replay", "account", "name:alice", "yesterday"}, 2, "\"yesterday\""),
        std::tuple(std::vector<std::string>{"diff", "account", "name:alice", "3", "1"}, 2, "earlier point first")}) {
    const auto ended = node->maestro(arguments.front(), {arguments.begin() + 1, arguments.end()});
    BOOST_TEST(ended.status == status);
    BOOST_TEST((ended.errors.find(part) != std::string::npos), ended.errors);
  }
}

BOOST_AUTO_TEST_CASE(what_is_said_of_a_command_is_shown_with_its_events) {
  open_alice();
  send("alice", "deposit", R"({"cents":1})", {"--metadata", R"({"by":"ann"})", "--correlation-id", "order 7", "--causation-id", "click"});
  const auto shown = lines("events", {"account", "name:alice", "--after", "3"}).at(0);
  BOOST_TEST(shown["correlation_id"] == "order 7");
  BOOST_TEST(shown["causation_id"] == "click");
  BOOST_TEST(shown["metadata"]["by"] == "ann");
  const auto refused = node->maestro("send", {"account", "name:alice", "deposit", R"({"cents":1})", "--metadata", "[]"});
  BOOST_TEST(refused.status == 3);
  BOOST_TEST((refused.errors.find("metadata") != std::string::npos), refused.errors);
}

BOOST_AUTO_TEST_CASE(events_come_in_order_and_in_pages) {
  open_alice();
  const auto all = lines("events", {"account", "name:alice"});
  BOOST_TEST_REQUIRE(all.size() == 3U);
  const std::vector<json> expected{{{"sequence", 1}, {"type", "opened"}, {"body", {{"owner", "Alice"}, {"handle", "@alice"}}}},
                                   {{"sequence", 2}, {"type", "deposited"}, {"body", {{"cents", 100}}}},
                                   {{"sequence", 3}, {"type", "withdrawn"}, {"body", {{"cents", 30}}}}};
  for (std::size_t i = 0; i < 3; ++i)
    for (const auto& [member, value] : expected[i].items()) BOOST_TEST(all[i][member] == value);
  BOOST_TEST((lines("events", {"account", "name:alice", "--after", "1"}) == std::vector(all.begin() + 1, all.end())));
  BOOST_TEST((lines("events", {"account", "name:alice", "--after", "1", "--limit", "1"}) == std::vector{all[1]}));

  // More than one page of the node's own.
  for (int i = 0; i < 11; ++i) line("send", {"batch", "name:many", "add", R"({"items":100})"});
  const auto many = lines("events", {"batch", "name:many"});
  BOOST_TEST_REQUIRE(many.size() == 1100U);
  BOOST_TEST(many.back()["sequence"] == 1100);
}

BOOST_AUTO_TEST_CASE(list_comes_in_pages_by_id) {
  std::set<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    const auto name = "batch " + std::to_string(i);
    ids.insert(line("send", {"batch", "name:" + name, "add", R"({"items":2})"})["aggregate_id"].get<std::string>());
  }
  open_alice();
  std::vector<std::string> found;
  std::string after;
  while (true) {
    std::vector<std::string> arguments{"batch", "--limit", "2"};
    if (!after.empty()) arguments.insert(arguments.end(), {"--after", after});
    const auto page = lines("list", arguments);
    if (page.empty()) break;
    for (const auto& head : page) {
      BOOST_TEST(head["sequence"] == 2);
      found.push_back(head["aggregate_id"].get<std::string>());
    }
    after = found.back();
    BOOST_TEST_REQUIRE(found.size() <= 5U);
  }
  BOOST_TEST((found == std::vector(ids.begin(), ids.end())));
  BOOST_TEST(lines("list", {"batch"}).size() == 5U);
  BOOST_TEST((lines("list", {"account"}) == std::vector{json({{"aggregate_id", alice_id}, {"sequence", 3}})}));
}

BOOST_AUTO_TEST_CASE(migrate_can_be_run_twice) {
  const test_store fresh;
  const auto first = run({MAESTRO_COMMAND, "migrate", "--store", fresh.uri()});
  BOOST_TEST(first.status == 0);
  BOOST_TEST((first.out.find("\"applied\"") != std::string::npos));
  const auto second = run({MAESTRO_COMMAND, "migrate", "--store", fresh.uri()});
  BOOST_TEST(second.status == 0);
  BOOST_TEST(second.out == "");
  BOOST_TEST(second.errors == "");
}

BOOST_AUTO_TEST_CASE(migrate_makes_the_log_in_partitions_and_says_who_makes_the_rest) {
  const test_store fresh;
  const auto help = run({MAESTRO_COMMAND, "migrate", "--help"});
  BOOST_TEST((help.out.find("--migrate") != std::string::npos), help.out);
  if (!fresh.uri().starts_with("postgresql:")) return;
  const auto migrate = [&](const char* partitions) {
    return run({MAESTRO_COMMAND, "migrate", "--store", fresh.uri(), "--partitions", partitions});
  };
  BOOST_TEST(migrate("4").status == 0);
  BOOST_TEST(migrate("4").status == 0);
  const auto other = migrate("8");
  BOOST_TEST(other.status == 2);
  BOOST_TEST((other.errors.find("store.partitions is 8, but event_log") != std::string::npos), other.errors);
  BOOST_TEST(migrate("1025").status == 2);
  node_process serving(fresh.uri(), {"--store.partitions=4"});
  BOOST_TEST(serving.end() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
