// Which messages of a peer pass to which actors.
#include <maestro/runtime/message_gate.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/strangers.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/actor_registry.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/message.hpp>
#include <caf/send.hpp>

#include <cstdint>
#include <string>
#include <vector>

using namespace maestro;

namespace {

namespace basp = caf::io::basp;
using kind = basp::message_type;
using verdict = message_gate::verdict;

class closed_actor : public caf::event_based_actor {
 public:
  explicit closed_actor(caf::actor_config& config) : caf::event_based_actor(config) {}
  auto make_behavior() -> caf::behavior override {
    return {[](int) {}};
  }
};
class open_actor : public closed_actor, public open_to_peers {
 public:
  using closed_actor::closed_actor;
};

struct gate_fixture {
  static constexpr std::uint64_t open = 1'001, closed = 1'002, gone = 1'003;

  gate_fixture() {
    system.registry().put(open, actors[0]);
    system.registry().put(closed, actors[1]);
  }
  ~gate_fixture() {
    for (const auto& each : actors) caf::anon_send_exit(each, caf::exit_reason::kill);
  }

  static auto header(kind is, std::uint64_t to, std::uint64_t from = 1, std::uint8_t flags = 0) -> basp::header {
    return {is, flags, 10, 0, from, to};
  }
  template <class... Ts>
  auto bytes(const Ts&... values) -> std::vector<char> {
    std::vector<char> text;
    caf::binary_serializer to(system, text);
    BOOST_TEST_REQUIRE(!to(values...));
    return text;
  }
  auto payload(const caf::message& content) -> std::vector<char> {
    return bytes(std::vector<caf::strong_actor_ptr>{}, content);
  }
  static auto node(std::uint32_t process) -> caf::node_id {
    return caf::make_node_id(process, caf::node_id::default_data::host_id_type{7});
  }

  struct configuration : caf::actor_system_config {
    configuration() { add_message_types<caf::id_block::maestro>(); }
  };
  configuration settings;
  caf::actor_system system{settings};
  const std::vector<caf::actor> actors{caf::actor_cast<caf::actor>(system.spawn<open_actor>()),
                                       caf::actor_cast<caf::actor>(system.spawn<closed_actor>())};
  message_gate gate{system};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(a_message_gate, gate_fixture)

BOOST_AUTO_TEST_CASE(lets_messages_through_to_actors_that_are_open_or_gone) {
  for (const auto is : {kind::direct_message, kind::monitor_message}) {
    BOOST_TEST((gate.judge(header(is, open)) == verdict::pass));
    BOOST_TEST((gate.judge(header(is, gone)) == verdict::pass));
    BOOST_TEST((gate.judge(header(is, closed)) == verdict::refuse));
  }
}

BOOST_AUTO_TEST_CASE(drops_what_is_for_a_server_by_its_name_or_for_another_node) {
  BOOST_TEST((gate.judge(header(kind::direct_message, open, 1, basp::header::named_receiver_flag)) == verdict::drop));
  BOOST_TEST((gate.judge(header(kind::routed_message, open)) == verdict::drop));
}

BOOST_AUTO_TEST_CASE(lets_messages_of_our_own_protocol_through_alone) {
  const auto direct = header(kind::direct_message, open);
  const auto judged = [&](const std::vector<char>& content) { return gate.judge(direct, content); };
  for (const auto& ours :
       {caf::make_message(hello{}), caf::make_message(hello_reply{}), caf::make_message(command_request{}),
        caf::make_message(command_reply{}), caf::make_message(query_request{}), caf::make_message(query_reply{}),
        caf::make_message(query_withdrawal{})})
    BOOST_TEST((judged(payload(ours)) == verdict::pass), caf::to_string(ours));
  for (const auto& other : {caf::make_message(std::string("planted")), caf::make_message(7), caf::make_message(),
                            caf::make_message(hello{}, hello{}), caf::make_message(std::string("maestro::hello")),
                            caf::make_message(caf::exit_msg{caf::actor_addr{}, caf::exit_reason::kill})})
    BOOST_TEST((judged(payload(other)) == verdict::refuse), caf::to_string(other));
  const auto whole = payload(caf::make_message(hello{}));
  for (std::size_t length = 0; length < 10; ++length)
    BOOST_TEST((judged({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}) == verdict::refuse));
  BOOST_TEST((judged(std::vector<char>(64, '\xff')) == verdict::refuse));
}

BOOST_AUTO_TEST_CASE(hangs_up_on_a_peer_that_speaks_for_another_one) {
  BOOST_TEST(!gate.introduce(bytes(caf::node_id{})));
  BOOST_TEST_REQUIRE(gate.introduce(bytes(node(2))));
  for (const auto is : {kind::monitor_message, kind::down_message}) {
    const auto judged = [&](const std::vector<char>& content) { return gate.judge(header(is, open), content); };
    BOOST_TEST((judged(bytes(node(2), system.node(), caf::error{})) == verdict::pass));
    for (const auto& wrong : {bytes(node(3), system.node(), caf::error{}), bytes(node(2), node(3), caf::error{}),
                              std::vector<char>{}, std::vector<char>(64, '\xff')}) {
      BOOST_TEST((judged(wrong) == verdict::hang_up));
      BOOST_TEST(std::string(gate.reason()) == "it speaks for another process than its own");
    }
  }
}

BOOST_AUTO_TEST_CASE(hangs_up_on_a_peer_whose_messages_come_from_ever_new_actors) {
  for (std::uint64_t sender = 1; sender <= 1'000; ++sender)
    BOOST_TEST_REQUIRE((gate.judge(header(kind::direct_message, gone, sender)) == verdict::pass));
  BOOST_TEST((gate.judge(header(kind::direct_message, gone, 7)) == verdict::pass));
  BOOST_TEST((gate.judge(header(kind::direct_message, gone, 1'001)) == verdict::hang_up));
  BOOST_TEST(std::string(gate.reason()) == "its messages come from more actors at a time than a program of ours has");
}

BOOST_AUTO_TEST_SUITE_END()
