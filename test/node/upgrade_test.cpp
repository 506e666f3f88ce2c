// Nodes of two releases of one program that share a store: what only some of them serve is carried out by those, a
// rolling upgrade fails no command, and what nobody serves any more, or not yet, can be sent again. Real processes, on
// PostgreSQL.
#include "../store/own_server.hpp"
#include "../store/postgres_server.hpp"
#include "node_process.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

enum class release { first, second };

auto program(release which) -> std::vector<std::string> {
  return {which == release::first ? MAESTRO_FIRST_RELEASE : MAESTRO_SECOND_RELEASE};
}

// Nodes by number; a node keeps its name and address from one release to the next.
class cluster {
 public:
  cluster() { require_server(); }

  auto start(release which) -> node_process& {
    const auto number = nodes_.size();
    nodes_.push_back(std::make_unique<node_process>(place_.uri(), settings(number), program(which)));
    return *nodes_.back();
  }
  /// Starts node `index`, which has ended, as `which`.
  void start_again(std::size_t index, release which) {
    auto all = settings(index);
    all.push_back("--port=" + std::to_string(nodes_.at(index)->address().port));
    nodes_.at(index) = std::make_unique<node_process>(place_.uri(), all, program(which));
  }
  auto operator[](std::size_t index) -> node_process& { return *nodes_.at(index); }
  [[nodiscard]] auto size() const -> std::size_t { return nodes_.size(); }
  [[nodiscard]] auto addresses() const -> std::vector<node_address> {
    std::vector<node_address> all;
    for (const auto& each : nodes_) all.push_back(each->address());
    return all;
  }

  auto members(std::size_t asked) -> std::vector<json> {
    const auto listed = nodes_.at(asked)->maestro("members", {});
    BOOST_TEST_REQUIRE(listed.status == 0, listed.errors);
    std::vector<json> rows;
    std::istringstream text(listed.out);
    for (std::string line; std::getline(text, line);) rows.push_back(json::parse(line));
    return rows;
  }
  /// Waits until node `asked` knows exactly so many members that are alive.
  void await_alive(std::size_t asked, std::size_t count) {
    await("the members to be known", [&] {
      std::size_t alive = 0;
      for (const auto& each : members(asked)) alive += each["status"] == "alive" ? 1 : 0;
      return alive == count;
    });
  }
  auto digest_of(std::size_t node, std::size_t asked) -> std::string {
    for (const auto& each : members(asked))
      if (each["name"] == "node" + std::to_string(node) && each["status"] == "alive") return each.value("serves", "");
    return "";
  }
  auto reader() -> std::unique_ptr<store> { return value_of(open_database(place_.uri()))->open_reader(); }
  auto writer() -> std::unique_ptr<store> { return value_of(open_database(place_.uri()))->open_writer(); }

 private:
  static auto settings(std::size_t number) -> std::vector<std::string> {
    return {"--node.name=node" + std::to_string(number), "--log.level=info"};
  }

  postgres_place place_;
  std::vector<std::unique_ptr<node_process>> nodes_;
};

// What is sent, by the types' and commands' names: a client program is of one release, too, but the wire knows names
// only.
struct order {
  std::string type, command, payload = "{}";
};
const order accept{"parcel", "accept"};
const order weigh{"parcel", "weigh", R"({"grams":7})"};
const order stamp{"parcel", "stamp"};        // Of the first release only.
const order send_off{"parcel", "send_off"};  // Of the second release only, as are all depots.
const order fill{"depot", "fill"};

auto id_of(const std::string& type, int number) -> aggregate_id {
  return derive_aggregate_id(type, std::to_string(number));
}

auto send(client& by, const order& what, const aggregate_id& id, std::chrono::milliseconds timeout = patience)
    -> error {
  send_options options;
  options.timeout = timeout;
  options.retry = timeout == patience;  // A single attempt is answered with what the cluster knows by then.
  return by.send_json(what.type, id, what.command, what.payload, options).answer.failure;
}

void accepted(const error& failure) {
  BOOST_TEST(!failure, to_string(failure));
}

// Long enough for several views of the table, short enough to wait for.
constexpr auto short_patience = 10s;
constexpr auto time_to_ask = 3s;  // A question is asked again until then.

// Retryable, with a reason that names all of `words`.
void not_served(const error& failure, const std::vector<std::string>& words) {
  BOOST_TEST(to_string(failure.code) == "not_served", to_string(failure));
  BOOST_TEST((failure.kind() == error_kind::retryable));
  for (const auto& word : words) BOOST_TEST(failure.message.find(word) != std::string::npos, failure.message);
}

auto get(client& by, const std::string& type, const aggregate_id& id, std::chrono::milliseconds timeout = patience)
    -> query_reply {
  return by.ask(query_verb::get, type, id, {}, timeout);
}
// The same, without waiting.
auto sent_by(client& by, const order& what, const aggregate_id& id) -> std::future<error> {
  return std::async(std::launch::async, [&by, &what, id] { return send(by, what, id); });
}
auto asked_by(client& by, const std::string& type, const aggregate_id& id) -> std::future<error> {
  return std::async(std::launch::async, [&by, type, id] { return client::failure_of(get(by, type, id)); });
}
auto state_of(client& by, const std::string& type, const aggregate_id& id) -> json {
  const auto reply = get(by, type, id);
  BOOST_TEST_REQUIRE(reply.code == 0, reply.message);
  return json::parse(reply.state);
}

// A caller that sends one command after another to one parcel after another, and notes what was acknowledged.
class caller {
 public:
  caller(const std::vector<node_address>& addresses, order what, int parcels)
      : what_(std::move(what)), parcels_(parcels) {
    auto connected = client::connect(addresses, {patience});
    BOOST_TEST_REQUIRE(connected.has_value());
    client_ = std::move(*connected);
    thread_ = std::thread([this] { run(); });
  }
  ~caller() { stop(); }
  void stop() {
    enough_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void await_more(std::size_t count) {
    const auto goal = count_ + count;
    await("commands to be accepted", [&] { return count_ >= goal || failed_; });
  }
  [[nodiscard]] auto failure() const -> std::string { return failed_ ? to_string(failure_) : ""; }
  [[nodiscard]] auto count() const -> std::size_t { return count_; }
  [[nodiscard]] auto longest() const -> std::chrono::milliseconds { return longest_; }
  /// The ids of what was acknowledged, by the parcel. After `stop`.
  [[nodiscard]] auto acknowledged() const -> const std::map<aggregate_id, std::set<command_id>>& {
    return acknowledged_;
  }

 private:
  void run() {
    for (int i = 0; !enough_ && !failed_; ++i) {
      const auto id = id_of("parcel", i % parcels_);
      const auto begin = std::chrono::steady_clock::now();
      const auto got = client_->send_json(what_.type, id, what_.command, what_.payload);
      longest_ =
          std::max(longest_, std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin));
      if (got.answer.failure) {
        failure_ = got.answer.failure;
        failed_ = true;
        return;
      }
      acknowledged_[id].insert(got.command_id);
      ++count_;
    }
  }

  const order what_;
  const int parcels_;
  std::unique_ptr<client> client_;
  std::atomic<bool> enough_{false};
  std::atomic<bool> failed_{false};
  error failure_;
  std::atomic<std::size_t> count_{0};
  std::chrono::milliseconds longest_{0};
  std::map<aggregate_id, std::set<command_id>> acknowledged_;
  std::thread thread_;
};

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> {
  return {};
}

BOOST_FIXTURE_TEST_SUITE(nodes_of_two_releases, cluster)

BOOST_AUTO_TEST_CASE(what_only_a_new_node_serves_is_carried_out_whichever_node_is_asked) {
  start(release::first);
  start(release::first);
  await_alive(0, 2);
  await_alive(1, 2);
  start(release::second);
  // Right after it is ready: the old nodes may not have heard of it.
  for (int i = 0; i < 16; ++i) {
    const auto by = (*this)[static_cast<std::size_t>(i) % 3].connect();
    accepted(send(*by, send_off, id_of("parcel", i)));
    accepted(send(*by, fill, id_of("depot", i)));
  }
  // Old and new questions, by nodes that do not have the type.
  const auto by = (*this)[0].connect();
  BOOST_TEST(state_of(*by, "parcel", id_of("parcel", 3))["sent"] == true);
  BOOST_TEST(state_of(*by, "depot", id_of("depot", 3))["filled"] == 1);
  const auto called = by->ask(query_verb::call, "parcel", id_of("parcel", 3), [](query_request& request) {
    request.name = "where";
    request.payload = "{}";
  });
  BOOST_TEST(called.code == 0, called.message);
  BOOST_TEST(called.state == R"({"sent":true})");
  const auto events =
      by->ask(query_verb::events, "depot", id_of("depot", 3), [](query_request& request) { request.limit = 10; });
  BOOST_TEST(events.code == 0, events.message);
  BOOST_TEST(events.events.size() == 1U);
  const auto heads = by->ask(query_verb::list, "depot", {}, [](query_request& request) { request.limit = 100; });
  BOOST_TEST(heads.code == 0, heads.message);
  BOOST_TEST(heads.heads.size() == 16U);
  // A client learns of all types that the cluster serves.
  const auto known = by->greeting().aggregate_types;
  BOOST_TEST((std::find(known.begin(), known.end(), "depot") != known.end()));
}

BOOST_AUTO_TEST_CASE(a_command_that_the_new_release_has_dropped_is_carried_out_by_an_old_node_while_there_is_one) {
  start(release::first);
  start(release::second);
  await_alive(0, 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto by = (*this)[i].connect();
    for (int number = 0; number < 8; ++number) accepted(send(*by, stamp, id_of("parcel", number)));
  }
  const auto by = (*this)[1].connect();
  for (int number = 0; number < 8; ++number)
    BOOST_TEST(state_of(*by, "parcel", id_of("parcel", number))["stamps"] == 2);
  // The old node cannot read an event of the new one, and the new one does not know the command.
  accepted(send(*by, send_off, id_of("parcel", 0)));
  not_served(send(*by, stamp, id_of("parcel", 0), short_patience), {"parcel", "stamp", "sent_off"});
  BOOST_TEST((*this)[0].end() == 0);
  await_alive(1, 1);
  not_served(send(*by, stamp, id_of("parcel", 1), short_patience), {"parcel", "stamp", "node0"});
}

BOOST_DATA_TEST_CASE(what_nobody_serves_any_more_can_be_sent_again_and_succeeds_once_a_new_node_is_there,
                     boost::unit_test::data::make({SIGKILL, SIGTERM}), signal) {
  start(release::first);
  start(release::first);
  start(release::second);
  await_alive(0, 3);
  const auto by = (*this)[0].connect();
  for (int number = 0; number < 8; ++number) accepted(send(*by, weigh, id_of("parcel", number)));  // As milligrams.
  (*this)[2].end(signal);
  await_alive(0, 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto asked = (*this)[i].connect();
    not_served(send(*asked, send_off, id_of("parcel", 9), short_patience), {"parcel", "send_off", "node2"});
    not_served(send(*asked, weigh, id_of("parcel", 1), short_patience), {"parcel", "measured", "node2"});
    not_served(send(*asked, fill, id_of("depot", 1), short_patience), {"depot", "node2"});
    const auto reply = get(*asked, "parcel", id_of("parcel", 1), time_to_ask);
    not_served(client::failure_of(reply), {"parcel", "measured", "node2"});
    not_served(client::failure_of(get(*asked, "depot", id_of("depot", 1), time_to_ask)), {"depot", "node2"});
    accepted(send(*asked, weigh, id_of("parcel", 20 + static_cast<int>(i))));  // Nothing new in its log.
  }
  const auto once =
      (*this)[1].maestro("send", {"parcel", id_of("parcel", 9).text(), "send_off", "{}", "--timeout", "3000"});
  BOOST_TEST(once.status == 4, once.errors);
  BOOST_TEST(once.errors.find("not_served") != std::string::npos, once.errors);

  std::vector<std::future<error>> waiting;
  waiting.push_back(sent_by(*by, send_off, id_of("parcel", 9)));
  waiting.push_back(sent_by(*by, weigh, id_of("parcel", 1)));
  waiting.push_back(sent_by(*by, fill, id_of("depot", 1)));
  waiting.push_back(asked_by(*by, "parcel", id_of("parcel", 2)));
  start(release::second);
  for (auto& each : waiting) accepted(each.get());
}

BOOST_AUTO_TEST_CASE(a_rolling_upgrade_under_load_rejects_breaks_and_loses_no_command) {
  constexpr int parcels = 40;
  for (int i = 0; i < 3; ++i) start(release::first);
  for (std::size_t i = 0; i < 3; ++i) await_alive(i, 3);
  std::vector<std::unique_ptr<caller>> callers;
  const auto add = [&](const std::vector<node_address>& addresses, const order& what) {
    callers.push_back(std::make_unique<caller>(addresses, what, parcels));
  };
  add(addresses(), weigh);
  for (const auto& each : addresses()) add({each}, weigh);
  const auto await_more = [&] {
    for (auto& each : callers) each->await_more(40);
  };
  for (std::size_t i = 0; i < 3; ++i) {
    await_more();
    BOOST_TEST(((*this)[i].end() == 0), (*this)[i].child().errors());
    start_again(i, release::second);
    if (i == 0)
      for (const auto& each : addresses()) add({each}, send_off);
    await_more();
    await_alive((i + 1) % 3, 3);
  }
  await_more();
  std::map<aggregate_id, std::set<command_id>> acknowledged;
  std::size_t count = 0;
  std::chrono::milliseconds longest{0};
  for (auto& each : callers) {
    each->stop();
    BOOST_TEST(each->failure() == "");
    count += each->count();
    longest = std::max(longest, each->longest());
    for (const auto& [id, commands] : each->acknowledged()) acknowledged[id].insert(commands.begin(), commands.end());
  }
  const auto from = reader();
  std::size_t found = 0;
  std::set<std::string> types;
  for (const auto& [id, commands] : acknowledged) {
    std::set<command_id> in_log;
    for (const auto& each : value_of(from->get_events(id, {0, max_sequence(), 1'000'000}))) {
      BOOST_TEST(in_log.insert(*each.command_id).second, "a command was carried out twice");
      types.insert(each.type);
    }
    BOOST_TEST((in_log == commands), "the log of " << id.text() << " is not what was acknowledged");
    found += in_log.size();
  }
  BOOST_TEST(found == count);
  BOOST_TEST(types == (std::set<std::string>{"measured", "sent_off", "weighed"}), boost::test_tools::per_element());
  BOOST_TEST_MESSAGE(count << " commands during the upgrade of three nodes, the longest took " << longest.count()
                           << " ms");
}

BOOST_AUTO_TEST_CASE(an_operator_sees_that_members_are_of_several_releases) {
  start(release::first);
  start(release::first);
  await_alive(0, 2);
  const auto first = digest_of(0, 0);
  BOOST_TEST(first.size() == 16U);
  BOOST_TEST(digest_of(1, 0) == first);
  BOOST_TEST((*this)[0].child().errors().find("different releases") == std::string::npos);
  start(release::second);
  await_alive(0, 3);
  BOOST_TEST(digest_of(2, 0).size() == 16U);
  BOOST_TEST(digest_of(2, 0) != first);
  BOOST_TEST((*this)[0].child().errors().find("depot on node2; parcel on node2") != std::string::npos,
             (*this)[0].child().errors());
  BOOST_TEST((*this)[2].end() == 0);
  await_alive(0, 2);
  BOOST_TEST(((*this)[0].child().errors().find("all members of the cluster serve the same") != std::string::npos),
             (*this)[0].child().errors());
}

// A member whose row says nothing that can be read is passed over where another serves the type, and goes on.
BOOST_AUTO_TEST_CASE(garbage_in_what_members_say_that_they_serve_stops_no_command) {
  start(release::first);
  start(release::second);
  await_alive(0, 2);
  await_alive(1, 2);
  const auto hand = writer();
  const std::vector<std::pair<std::string, std::string>> garbage{
      {"garbage", "NULL"},
      {"", "NULL"},
      {"0000000000000000", "repeat('[', 100000)"},
      {"1111111111111111", "repeat('x', 2000000)"},
      {"2222222222222222", R"('{"types":[{"type":"parcel","commands":[],"events":[],"calls":[]}]}')"}};
  int number = 0;
  for (const auto& [digest, text] : garbage) {
    value_of(hand->query("UPDATE maestro_members SET served_digest = '" + digest + "', served = " + text, {}));
    for (std::size_t i = 0; i < 2; ++i) {
      await("the garbage to be read", [&] { return digest_of(1 - i, i) == digest; });
      const auto by = (*this)[i].connect();
      for (int count = 0; count < 4; ++count) accepted(send(*by, accept, id_of("parcel", ++number)));
    }
  }
  // One that joins says what it serves, and carries out what the others are not known to serve.
  start(release::second);
  await_alive(0, 3);
  for (std::size_t i = 0; i < 3; ++i) accepted(send(*(*this)[i].connect(), fill, id_of("depot", static_cast<int>(i))));
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(((*this)[i].end() == 0), (*this)[i].child().errors());
}

BOOST_AUTO_TEST_CASE(what_no_release_serves_is_refused_as_before_where_all_members_are_the_same) {
  start(release::second);
  start(release::second);
  await_alive(0, 2);
  await_alive(1, 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto by = (*this)[i].connect();
    for (int number = 0; number < 4; ++number) {
      const auto command = send(*by, {"parcel", "send_of"}, id_of("parcel", number));
      BOOST_TEST((command.code == errc::unknown_command), to_string(command));
      const auto type = send(*by, {"parcels", "send_off"}, id_of("parcel", number));
      BOOST_TEST((type.code == errc::unknown_aggregate_type), to_string(type));
      const auto call = by->ask(query_verb::call, "parcel", id_of("parcel", number), [](query_request& request) {
        request.name = "were";
        request.payload = "{}";
      });
      BOOST_TEST((static_cast<errc>(call.code) == errc::unknown_call), call.message);
      BOOST_TEST((static_cast<errc>(by->ask(query_verb::list, "parcels", {}).code) == errc::unknown_aggregate_type));
    }
  }
}

// It may be served by one that this node does not know of yet.
BOOST_AUTO_TEST_CASE(what_nobody_serves_can_be_sent_again_while_the_members_cannot_be_read) {
  start(release::second);
  start(release::second);
  await_alive(0, 2);
  const auto by = (*this)[0].connect();
  const auto holder = writer();
  for (const auto* sql : {"BEGIN", "LOCK TABLE maestro_members IN ACCESS EXCLUSIVE MODE"}) value_of(holder->query(sql, {}));
  not_served(send(*by, {"parcel", "send_of"}, id_of("parcel", 1), short_patience), {"send_of", "members"});
  value_of(holder->query("ROLLBACK", {}));
  const auto refused = send(*by, {"parcel", "send_of"}, id_of("parcel", 1));
  BOOST_TEST((refused.code == errc::unknown_command), to_string(refused));
}

BOOST_AUTO_TEST_SUITE_END()
