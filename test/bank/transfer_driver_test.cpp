// The driver as a part of a node that stops; that money stays whole while nodes are killed is in test/node/transfer_test.cpp.
#include <account.hpp>
#include <transfer.hpp>
#include <transfer_driver.hpp>

#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <latch>
#include <string>

using namespace bank;

namespace {

void must(const maestro::receipt& got) { BOOST_TEST_REQUIRE(!got.answer.failure, to_string(got.answer.failure)); }

}  // namespace

BOOST_AUTO_TEST_SUITE(transfer_driver_in_a_node)

BOOST_AUTO_TEST_CASE(a_driver_may_stop_while_its_steps_are_under_way) {
  constexpr int rounds = 100;
  constexpr int at_once = 48;
  maestro::node_settings settings;
  settings.store_uri = "sqlite::memory:";
  settings.port = 0;
  auto started = maestro::node::start(settings, {maestro::define<account>(), maestro::define<transfer>()});
  BOOST_TEST_REQUIRE(started.has_value());
  auto& node = **started;
  const auto client = node.local_client();
  for (const char* name : {"alice", "bob"}) {
    must(client->send(account::id::named(name), open{name, std::string(name) + "_handle"}));
    must(client->send(account::id::named(name), deposit{1'000'000}));
  }
  for (int round = 0; round < rounds; ++round) {
    const auto id_of = [round](int index) { return transfer::id::named(std::to_string(round) + "/" + std::to_string(index)); };
    std::latch begun(at_once);
    for (int i = 0; i < at_once; ++i)
      client->send_async(id_of(i), begin{"alice", "bob", 1}, {}, [&](const maestro::receipt&) { begun.count_down(); });
    begun.wait();
    const transfer_driver driver(node);
    // When one is over, the others are somewhere on their way.
    while (client->get(id_of(0)).value().value.stage != stage::done) std::this_thread::yield();
  }
  // Another driver goes on.
  const transfer_driver driver(node);
  for (int index = 0; index < at_once; ++index) {
    const auto last = transfer::id::named(std::to_string(rounds - 1) + "/" + std::to_string(index));
    while (client->get(last).value().value.stage != stage::done) std::this_thread::yield();
  }
  const auto alice = client->get(account::id::named("alice"));
  BOOST_TEST(alice.value().value.balance == 1'000'000 - rounds * at_once);
}

BOOST_AUTO_TEST_SUITE_END()
