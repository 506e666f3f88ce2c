// The driver as a part of a node that stops; that money stays whole while nodes are killed is in test/node/transfer_test.cpp.
#include <account.hpp>
#include <transfer.hpp>
#include <transfer_driver.hpp>

#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace bank;

namespace {

using namespace std::chrono_literals;

void must(const maestro::receipt& got) { BOOST_TEST_REQUIRE(!got.answer.failure, to_string(got.answer.failure)); }

void wait_until_done(maestro::client& client, const transfer::id& id) {
  const auto deadline = std::chrono::steady_clock::now() + 120s;
  for (;;) {
    const auto now_at = client.get(id);
    BOOST_TEST_REQUIRE(now_at.has_value(), (now_at ? std::string() : to_string(now_at.failure())));
    if (now_at->value.stage == stage::done) return;
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "a transfer stays where it is: " + now_at->value.stage);
    std::this_thread::sleep_for(1ms);
  }
}

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
  const auto payer = [](int index) { return "alice_" + std::to_string(index); };
  const auto payee = [](int index) { return "bob_" + std::to_string(index); };
  for (int index = 0; index < at_once; ++index) {
    for (const auto& name : {payer(index), payee(index)}) must(client->send(account::id::named(name), open{name, name + "_handle"}));
    must(client->send(account::id::named(payer(index)), deposit{rounds}));
  }
  const auto id_of = [](int round, int index) { return transfer::id::named(std::to_string(round) + "/" + std::to_string(index)); };
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::future<maestro::receipt>> begun;
    for (int index = 0; index < at_once; ++index) {
      auto answered = std::make_shared<std::promise<maestro::receipt>>();
      begun.push_back(answered->get_future());
      client->send_async(id_of(round, index), begin{payer(index), payee(index), 1}, {},
                         [answered](maestro::receipt got) { answered->set_value(std::move(got)); });
    }
    for (auto& each : begun) must(each.get());
    const transfer_driver driver(node);
    // When one is over, the others are somewhere on their way.
    wait_until_done(*client, id_of(round, 0));
  }
  // Another driver goes on.
  const transfer_driver driver(node);
  for (int round = 0; round < rounds; ++round)
    for (int index = 0; index < at_once; ++index) wait_until_done(*client, id_of(round, index));
  for (int index = 0; index < at_once; ++index) {
    BOOST_TEST(client->get(account::id::named(payer(index))).value().value.balance == 0);
    BOOST_TEST(client->get(account::id::named(payee(index))).value().value.balance == rounds);
  }
}

BOOST_AUTO_TEST_SUITE_END()
