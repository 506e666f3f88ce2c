// Whoever can connect to a node's port, with whatever bytes: it is hung up, the node lives, and nobody else notices. And clients that
// ask too much.
#include "account.hpp"
#include "node_process.hpp"
#include "raw_connection.hpp"
#include "relay.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/io/middleman.hpp>
#include <caf/message.hpp>
#include <caf/node_id.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

const auto alice = derive_aggregate_id("account", "alice");

// A node, and a client of it whose connection must outlast everything that strangers do.
struct node_with_client {
  explicit node_with_client(const std::vector<std::string>& more = {})
      : node("sqlite::memory:", with_warnings(more)), bystander(node.connect()) {
    must_be_answered("open", R"({"owner":"Alice","handle":"@alice"})");
  }
  ~node_with_client() {
    if (!has_ended_) (void)output();
  }
  // Ends the node, and returns all that it has written on stdout.
  auto output() -> std::string {
    deposit();
    has_ended_ = true;
    BOOST_TEST(node.end() == 0);
    return node.child().out();
  }

  static auto with_warnings(std::vector<std::string> more) -> std::vector<std::string> {
    more.emplace_back("--log.level=warn");
    return more;
  }
  // Without further attempts: a connection that was lost shows.
  void must_be_answered(const std::string& command, const std::string& payload) {
    send_options once;
    once.retry = false;
    const auto got = bystander->send_json("account", alice, command, payload, once);
    BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
  }
  void deposit() { must_be_answered("deposit", R"({"cents":1})"); }

  void hangs_up(std::string_view bytes) {
    raw_connection stranger(node.address());
    stranger.send(bytes);
    BOOST_TEST(stranger.is_hung_up());
    deposit();
  }
  // The log comes from another thread of another process.
  [[nodiscard]] auto has_logged(std::string_view text) -> bool {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (node.child().errors().find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  node_process node;
  std::unique_ptr<client> bystander;

 private:
  bool has_ended_ = false;
};

// A command whose event is larger than its payload, by as much.
void send_with_note(client& to, const std::string& command, const std::string& payload, std::size_t bytes) {
  send_options more;
  more.metadata = "{\"note\":\"" + std::string(bytes, 'x') + "\"}";
  const auto got = to.send_json("account", alice, command, payload, more);
  BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
}

// A megabyte of it.
void make_history(client& to) {
  for (int i = 0; i < 5; ++i) send_with_note(to, "deposit", R"({"cents":1})", 200'000);
}
void ask_for_history(client& asked, std::chrono::milliseconds timeout, std::function<void(query_reply)> done) {
  query_request question;
  question.verb = static_cast<std::uint8_t>(query_verb::events);
  question.aggregate_type = "account";
  question.aggregate_id = alice;
  question.limit = 1000;
  asked.ask_async(std::move(question), timeout, std::move(done));
}

constexpr std::uint8_t server_handshake = 0, client_handshake = 1, direct_message = 2, routed_message = 3, monitor_message = 4,
                       down_message = 5, heartbeat = 6;
constexpr std::uint8_t named_receiver = 1;
constexpr std::uint64_t protocol = 4;  // The version that CAF 0.17.6 puts into a server's handshake; any but 0 will do.

// What a peer of CAF's own kind would send, byte by byte.
class forger {
 public:
  [[nodiscard]] auto system() -> caf::actor_system& { return system_; }
  template <class... Ts>
  auto bytes(const Ts&... values) -> std::string {
    std::vector<char> text;
    caf::binary_serializer to(system_, text);
    BOOST_TEST_REQUIRE(!to(values...));
    return {text.begin(), text.end()};
  }
  static auto node(std::uint32_t process) -> caf::node_id {
    return caf::make_node_id(process, caf::node_id::default_data::host_id_type{7});
  }
  auto introduction(std::uint32_t process) -> std::string {
    const auto name = bytes(node(process));
    return basp_header(client_handshake, static_cast<std::uint32_t>(name.size())) + name;
  }
  auto message(std::uint64_t destination, std::uint8_t flags, const caf::message& content, std::uint64_t source = 1) -> std::string {
    const auto payload = bytes(std::vector<caf::strong_actor_ptr>{}, content);
    return basp_header(direct_message, static_cast<std::uint32_t>(payload.size()), 0, source, destination, flags) + payload;
  }

 private:
  struct configuration : caf::actor_system_config {
    configuration() { add_message_types<caf::id_block::maestro>(); }
  };
  configuration configuration_;
  caf::actor_system system_{configuration_};
};

constexpr std::uint64_t no_actor = 1'000'000'000'000;

// The memory that the node has at the moment.
auto resident_bytes(node_process& node) -> std::size_t {
  std::ifstream statm("/proc/" + std::to_string(node.child().pid()) + "/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  BOOST_TEST_REQUIRE(resident > 0);
  return resident * 4096;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(strangers)

// CAF's server that spawns actors prints what it does not know, its configuration server keeps what it is given.
BOOST_AUTO_TEST_CASE(nothing_reaches_the_servers_that_caf_brings_along) {
  node_with_client all;
  forger from;
  raw_connection peer(all.node.address());
  std::string bytes = from.introduction(1);
  // What is none of our messages, and what is one.
  for (const auto& planted : {caf::make_message(std::string("planted")), caf::make_message(hello{})}) {
    for (const auto server : {caf::atom("SpawnServ"), caf::atom("ConfigServ"), caf::atom("StreamServ")})
      bytes += from.message(static_cast<std::uint64_t>(server), named_receiver, planted);
    for (std::uint64_t actor = 1; actor < 200; ++actor) bytes += from.message(actor, 0, planted);
  }
  peer.send(bytes);
  all.deposit();
  peer.send("this ends the connection, when all before it has been taken");
  BOOST_TEST(peer.is_hung_up());
  BOOST_TEST(all.has_logged("a message of"));
  // CAF's printer keeps lines back; at the latest they come with the end.
  const auto printed = all.output();
  BOOST_TEST(std::count(printed.begin(), printed.end(), '\n') == 1, printed);
}

// A process that could say of another one that an actor there has ended would cut off who asks it.
BOOST_AUTO_TEST_CASE(who_speaks_for_another_process_is_hung_up) {
  node_with_client all;
  forger from;
  const auto down = from.bytes(forger::node(2), forger::node(3), caf::error{});
  const auto monitor = from.bytes(forger::node(2), forger::node(3));
  all.hangs_up(from.introduction(1) + basp_header(down_message, static_cast<std::uint32_t>(down.size()), 0, 5) + down);
  all.hangs_up(from.introduction(1) + basp_header(monitor_message, static_cast<std::uint32_t>(monitor.size()), 0, 0, no_actor) + monitor);
  BOOST_TEST(all.has_logged("it speaks for another process than its own"));
}

// Each would stay in CAF's tables for as long as the connection.
BOOST_AUTO_TEST_CASE(a_peer_with_ever_new_actors_is_hung_up) {
  node_with_client all;
  forger from;
  std::string bytes = from.introduction(1);
  for (std::uint64_t source = 1; source <= 1'001; ++source) bytes += from.message(no_actor, 0, caf::make_message(hello{}), source);
  all.hangs_up(bytes);
  BOOST_TEST(all.has_logged("its messages come from more actors at a time than a program of ours has"));
}

// The memory of a message follows what has come of it.
BOOST_AUTO_TEST_CASE(a_message_that_was_only_announced_costs_nothing) {
  node_with_client all;
  forger from;
  const auto before = resident_bytes(all.node);
  std::deque<raw_connection> peers;
  for (std::uint32_t i = 0; i < 40; ++i) {
    peers.emplace_back(all.node.address());
    peers.back().send(from.introduction(i + 1) + basp_header(direct_message, 60'000'000, 0, 1, no_actor) + "x");
    all.deposit();
  }
  const auto more = resident_bytes(all.node) - std::min(before, resident_bytes(all.node));
  BOOST_TEST(more < 50'000'000U);
}

BOOST_AUTO_TEST_CASE(there_is_a_bound_on_what_has_come_in_part) {
  node_with_client all({"--node.max-message-bytes=2000000", "--node.max-receiving-bytes=2000000"});
  forger from;
  const auto part = [&](std::uint32_t process) {
    return from.introduction(process) + basp_header(direct_message, 1'900'000, 0, 1, no_actor) + std::string(1'500'000, 'x');
  };
  raw_connection first(all.node.address());
  first.send(part(1));
  all.deposit();
  raw_connection second(all.node.address());
  second.send(part(2));
  BOOST_TEST(all.has_logged("node.max-receiving-bytes"));
  // What the connections held that have gone is free again.
  const auto until = std::chrono::steady_clock::now() + patience;
  BOOST_TEST(first.is_hung_up());  // CAF takes it for silent.
  send_with_note(*all.bystander, "deposit", R"({"cents":1})", 900'000);
  BOOST_TEST((std::chrono::steady_clock::now() < until));
}

// CAF would take a peer for silent whose message is still on its way.
BOOST_AUTO_TEST_CASE(a_message_over_a_slow_link_arrives) {
  node_with_client all({"--middleman.connection-timeout=1s", "--middleman.heartbeat-interval=200ms"});
  relay between(all.node.address());
  const auto far = client::connect(between.address());
  BOOST_TEST_REQUIRE(far.has_value());
  between.slow_down(20'000, std::chrono::milliseconds(50));  // At most 400 kB a second.
  send_options once;
  once.retry = false;
  once.metadata = "{\"note\":\"" + std::string(900'000, 'x') + "\"}";
  const auto got = (*far)->send_json("account", alice, "deposit", R"({"cents":1})", once);
  BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
}

// Nor does the client: a second question would only add a second answer to what is on its way.
BOOST_AUTO_TEST_CASE(an_answer_over_a_slow_link_arrives) {
  node_with_client all;
  make_history(*all.bystander);
  relay between(all.node.address());
  client_settings hasty;
  hasty.timeout = patience;
  hasty.attempt_timeout = std::chrono::milliseconds(300);
  const auto far = client::connect(between.address(), hasty);
  BOOST_TEST_REQUIRE(far.has_value());
  between.slow_down(20'000, std::chrono::milliseconds(50));  // A megabyte takes 2.5 s at least.
  std::promise<query_reply> answer;
  ask_for_history(**far, {}, [&answer](const query_reply& reply) { answer.set_value(reply); });
  auto answered = answer.get_future();
  BOOST_TEST_REQUIRE((answered.wait_for(patience) == std::future_status::ready));
  const auto reply = answered.get();
  BOOST_TEST(reply.code == 0, reply.message);
  BOOST_TEST(reply.events.size() == 6U);
  BOOST_TEST(between.taken() == 1);
}

BOOST_AUTO_TEST_CASE(a_message_that_does_not_end_is_given_up) {
  node_with_client all({"--node.receive-timeout=500ms"});
  forger from;
  raw_connection stranger(all.node.address());
  stranger.send(from.introduction(1) + basp_header(direct_message, 1'900'000, 0, 1, no_actor));
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!stranger.is_hung_up(std::chrono::milliseconds(20)) && std::chrono::steady_clock::now() < until) stranger.send("x");
  BOOST_TEST(all.has_logged("node.receive-timeout"));
}

// Nothing more is heard of it, not even that it is gone.
BOOST_AUTO_TEST_CASE(a_message_whose_rest_does_not_come_is_given_up) {
  node_with_client all({"--node.receive-timeout=100ms", "--middleman.heartbeat-interval=0s"});
  forger from;
  raw_connection stranger(all.node.address());
  stranger.send(from.introduction(1) + basp_header(direct_message, 1'900'000, 0, 1, no_actor) + std::string(1'000, 'x'));
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!stranger.is_hung_up(std::chrono::milliseconds(50)) && std::chrono::steady_clock::now() < until)
    raw_connection another(all.node.address());
  BOOST_TEST(all.has_logged("node.receive-timeout"));
}

// Within one actor system all clients of a node share a connection.
BOOST_AUTO_TEST_CASE(any_number_of_clients_come_and_go_over_one_connection) {
  struct client_configuration : caf::actor_system_config {
    client_configuration() {
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };
  node_with_client all;
  client_configuration configuration;
  caf::actor_system system(configuration);
  for (int i = 0; i < 1'100; ++i) {
    const auto one = client::connect(system, all.node.address());
    BOOST_TEST_REQUIRE(one.has_value(), "client " << i << ": " << (one ? "" : to_string(one.failure())));
  }
  BOOST_TEST(all.node.child().errors() == "");
}

BOOST_AUTO_TEST_CASE(garbage_is_hung_up) {
  node_with_client all;
  all.hangs_up("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
  all.hangs_up(std::string(64, '\xff'));
  all.hangs_up(std::string(64, '\0'));
  std::string noise;
  for (unsigned i = 0; i < 4096; ++i) noise += static_cast<char>((i * 2'654'435'761U) >> 24);
  for (std::uint8_t kind = 7; kind < 40; ++kind) all.hangs_up(basp_header(kind, 0) + noise);
  BOOST_TEST(all.has_logged("it does not speak CAF's protocol"));
}

// CAF would read the payload that is not there, and the process would end.
BOOST_AUTO_TEST_CASE(an_introduction_without_content_is_hung_up) {
  node_with_client all;
  all.hangs_up(basp_header(client_handshake, 0));
  all.hangs_up(basp_header(server_handshake, 0, protocol));
  all.hangs_up(basp_header(server_handshake, 40, protocol) + std::string(40, 'x'));
  all.hangs_up(basp_header(client_handshake, 65'537));
  BOOST_TEST(all.has_logged("it introduced itself wrongly"));
}

BOOST_AUTO_TEST_CASE(an_introduction_that_cannot_be_read_is_hung_up) {
  node_with_client all;
  all.hangs_up(basp_header(client_handshake, 3) + "abc");
  all.hangs_up(basp_header(client_handshake, 64) + std::string(64, '\xff'));
}

BOOST_AUTO_TEST_CASE(who_has_not_introduced_himself_is_not_heard) {
  node_with_client all;
  all.hangs_up(basp_header(direct_message, 100, 0, 0, 1) + std::string(100, '\0'));
  all.hangs_up(basp_header(routed_message, 100, 0, 0, 1) + std::string(100, '\0'));
  all.hangs_up(basp_header(monitor_message, 10) + std::string(10, '\0'));
  all.hangs_up(basp_header(down_message, 10, 0, 1) + std::string(10, '\0'));
  all.hangs_up(basp_header(heartbeat, 0));
  BOOST_TEST(all.has_logged("it did not introduce itself first"));
}

// Also from one that has introduced itself; CAF would allocate whatever is announced. Our own client asks the node for its bound.
BOOST_AUTO_TEST_CASE(a_message_that_is_announced_to_be_too_long_is_hung_up) {
  node_with_client all({"--node.max-message-bytes=2000000"});
  forger from;
  all.hangs_up(from.introduction(1) + basp_header(direct_message, 2'000'001, 0, 1, no_actor));
  BOOST_TEST(all.has_logged("node.max-message-bytes allows 2000000"));
}

BOOST_AUTO_TEST_CASE(what_ends_in_the_middle_is_forgotten) {
  node_with_client all;
  const auto introduction = basp_header(client_handshake, 64);
  for (std::size_t length = 0; length <= introduction.size(); ++length) {
    raw_connection stranger(all.node.address());
    stranger.send(introduction.substr(0, length));
  }
  all.deposit();
}

BOOST_AUTO_TEST_CASE(there_is_a_bound_on_connections) {
  node_with_client all({"--node.max-connections=10"});
  {
    std::deque<raw_connection> strangers;
    for (int i = 0; i < 9; ++i) strangers.emplace_back(all.node.address());
    raw_connection one_more(all.node.address());
    BOOST_TEST(one_more.is_hung_up());
    BOOST_TEST(one_more.received() == "");
    BOOST_TEST(all.has_logged("node.max-connections"));
    all.deposit();
  }
  // Those that have gone make room.
  const auto until = std::chrono::steady_clock::now() + patience;
  auto another = client::connect(all.node.address());
  while (!another && std::chrono::steady_clock::now() < until) another = client::connect(all.node.address());
  BOOST_TEST(another.has_value());
}

BOOST_AUTO_TEST_CASE(who_connects_and_says_nothing_makes_room_for_others) {
  node_with_client all;
  raw_connection silent(all.node.address());
  const auto until = std::chrono::steady_clock::now() + patience;
  bool hung_up = false;
  while (!hung_up && std::chrono::steady_clock::now() < until) {
    const raw_connection another(all.node.address());
    hung_up = silent.is_hung_up(std::chrono::milliseconds(200));
  }
  BOOST_TEST(hung_up);
  BOOST_TEST(all.has_logged("it has not introduced itself in time"));
}

BOOST_AUTO_TEST_CASE(those_who_say_nothing_keep_nobody_out) {
  node_with_client all({"--node.max-connections=3"});
  const raw_connection silent(all.node.address());
  const raw_connection as_silent(all.node.address());
  BOOST_TEST(client::connect(all.node.address(), {patience}).has_value() == false);
  const auto until = std::chrono::steady_clock::now() + patience;
  auto connected = client::connect(all.node.address());
  while (!connected && std::chrono::steady_clock::now() < until) connected = client::connect(all.node.address());
  BOOST_TEST(connected.has_value());
}

// Each would cost CAF an entry in its tables, and an actor, for good.
BOOST_AUTO_TEST_CASE(who_introduces_himself_again_and_again_is_hung_up) {
  node_with_client all;
  caf::actor_system_config nothing_special;
  caf::actor_system system(nothing_special);
  const auto introduction = [&](std::uint32_t process) {
    std::vector<char> name;
    caf::binary_serializer to(system, name);
    BOOST_TEST_REQUIRE(!to(caf::make_node_id(process, caf::node_id::default_data::host_id_type{7})));
    return basp_header(client_handshake, static_cast<std::uint32_t>(name.size())) + std::string(name.begin(), name.end());
  };
  all.hangs_up(introduction(1) + introduction(1) + introduction(1));
  BOOST_TEST(all.has_logged("it introduced itself again and again"));
  all.hangs_up(introduction(2) + introduction(3));
}

// What waits for it is held within a bound, and its connection ends.
BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_is_hung_up) {
  node_with_client all({"--node.max-unsent-bytes=1000000"});
  make_history(*all.bystander);
  relay between(all.node.address());
  client_settings patient;
  patient.timeout = patience;
  auto slow = client::connect(between.address(), patient);
  BOOST_TEST_REQUIRE(slow.has_value());
  between.stall_answers(true);
  // A megabyte each, and the operating system holds some megabytes.
  std::deque<std::promise<errc>> answers;
  for (int i = 0; i < 16; ++i) {
    auto& answer = answers.emplace_back();
    ask_for_history(**slow, {}, [&answer](const query_reply& reply) { answer.set_value(static_cast<errc>(reply.code)); });
  }
  BOOST_TEST(all.has_logged("it does not read, or not fast enough"));
  between.stall_answers(false);
  // All at a time may be too much again, so not all of them have to succeed; but none waits for ever.
  for (auto& each : answers) BOOST_TEST((each.get_future().wait_for(patience) == std::future_status::ready));
}

// Who reads, and is slower than the answers come, is not hung up.
BOOST_AUTO_TEST_CASE(a_client_that_reads_gets_all_that_it_asks_for) {
  node_with_client all({"--node.max-unsent-bytes=8000000"});
  make_history(*all.bystander);
  std::deque<std::promise<errc>> answers;
  for (int i = 0; i < 7; ++i) {  // A megabyte each.
    auto& answer = answers.emplace_back();
    ask_for_history(*all.bystander, patience, [&answer](const query_reply& reply) { answer.set_value(static_cast<errc>(reply.code)); });
  }
  for (auto& each : answers) BOOST_TEST((each.get_future().get() == errc::none));
  BOOST_TEST(all.node.child().errors() == "");
}

// It may have stopped, and nobody waits for it.
BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_does_not_keep_the_node_from_ending) {
  std::optional<node_process> node;
  node.emplace("sqlite::memory:");
  const auto talking = node->connect();
  send_with_note(*talking, "open", R"({"owner":"Alice","handle":"@alice"})", 900'000);
  relay between(node->address());
  auto slow = client::connect(between.address());
  BOOST_TEST_REQUIRE(slow.has_value());
  between.stall_answers(true);
  for (int i = 0; i < 40; ++i) ask_for_history(**slow, {}, [](const query_reply&) {});
  // When the node has answered another client it has taken the questions of the first, in all likelihood.
  BOOST_TEST(talking->fetch(bank::account::id{alice}).has_value());
  const auto begin = std::chrono::steady_clock::now();
  BOOST_TEST(node->end() == 0);
  // TCP would try for ten seconds.
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(8)));
}

// A node that is none of ours cannot end a client either.
BOOST_AUTO_TEST_CASE(a_client_survives_what_is_no_node) {
  for (const auto& greeting : {basp_header(server_handshake, 0, protocol), basp_header(client_handshake, 0), basp_header(heartbeat, 0),
                               basp_header(server_handshake, 0xffff'ffff, protocol), std::string("220 mail.example.org ESMTP\r\n") + std::string(64, ' ')}) {
    const impostor nobody(greeting);
    const auto connected = client::connect(nobody.address(), {patience});
    BOOST_TEST_REQUIRE(!connected.has_value());
    BOOST_TEST((connected.failure().code == errc::node_unavailable), to_string(connected.failure()));
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(too_much)

namespace {

// What came of commands that were all sent at once.
struct burst {
  int accepted = 0;
  int overloaded = 0;
  std::string reason;  // Why one of them was refused.
};

auto send_at_once(client& to, int commands) -> burst {
  std::deque<std::promise<error>> answers;
  send_options once;
  once.retry = false;
  for (int i = 0; i < commands; ++i) {
    auto& answer = answers.emplace_back();
    to.send_async("account", alice, "deposit", R"({"cents":1})", once, [&answer](const receipt& got) { answer.set_value(got.answer.failure); });
  }
  burst seen;
  for (auto& each : answers) {
    const auto failure = each.get_future().get();
    if (!failure) ++seen.accepted;
    if (failure.code != errc::overloaded) continue;
    ++seen.overloaded;
    seen.reason = failure.message;
  }
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_client_with_too_many_commands_in_flight_is_refused_and_others_are_not) {
  node_with_client all({"--node.max-commands-per-client=4"});
  const auto greedy = all.node.connect();
  for (int i = 0; i < 5; ++i) {
    auto refused = std::async(std::launch::async, [&] { return send_at_once(*greedy, 500); });
    all.deposit();
    const auto seen = refused.get();
    BOOST_TEST(seen.accepted + seen.overloaded == 500);
    BOOST_TEST(seen.accepted >= 4);
    BOOST_TEST(seen.overloaded > 0);
    BOOST_TEST((seen.reason.find("node.max-commands-per-client") != std::string::npos), seen.reason);
  }
}

BOOST_AUTO_TEST_CASE(a_node_with_too_many_commands_in_flight_refuses_more) {
  node_with_client all({"--node.max-commands-in-flight=4"});
  const auto seen = send_at_once(*all.bystander, 500);
  BOOST_TEST(seen.accepted + seen.overloaded == 500);
  BOOST_TEST(seen.accepted >= 4);
  BOOST_TEST(seen.overloaded > 0);
  BOOST_TEST((seen.reason.find("node.max-commands-in-flight") != std::string::npos), seen.reason);
}

// A client makes further attempts by itself.
BOOST_AUTO_TEST_CASE(what_was_refused_as_too_much_is_done_in_the_end) {
  node_with_client all({"--node.max-commands-per-client=4"});
  std::deque<std::promise<error>> answers;
  for (int i = 0; i < 200; ++i) {
    auto& answer = answers.emplace_back();
    send_options patient;
    patient.timeout = patience;
    all.bystander->send_async("account", alice, "deposit", R"({"cents":1})", patient, [&answer](const receipt& got) { answer.set_value(got.answer.failure); });
  }
  for (auto& each : answers) {
    const auto failure = each.get_future().get();
    BOOST_TEST(!failure, to_string(failure));
  }
}

BOOST_AUTO_TEST_SUITE_END()
