// The clock of one node of a cluster is set while the nodes hand commands on to each other. Real processes, on PostgreSQL, whose clock
// stays as it is.
#include "batch.hpp"
#include "node_process.hpp"
#include "stepped_clock.hpp"

#include "../store/own_server.hpp"
#include "../store/postgres_server.hpp"
#include "../store/temporary_folder.hpp"

#include <maestro/aggregates/placement.hpp>
#include <maestro/runtime/client.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

namespace {

using batch_id = ::test::batch::id;

struct with_a_server {
  with_a_server() { require_server(); }
};

// The clock of the first can be set. Each client knows one node.
struct two_nodes : with_a_server {
  two_nodes() {
    for (auto* each : {&stepped, &other})
      await("both to know each other", [&] {
        const auto listed = each->maestro("members", {});
        return count(listed.out, R"("status":"alive")") == 2;
      });
  }
  ~two_nodes() { clock.set(0s); }

  static auto count(const std::string& text, const std::string& part) -> int {
    int found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
  }
  [[nodiscard]] static auto owned_by(std::size_t index) -> batch_id {
    const placement both({"first", "second"});
    for (int i = 0;; ++i)
      if (const auto id = batch_id::named("b" + std::to_string(i)); both.owner(placement_key("batch", id)) == index) return id;
  }
  [[nodiscard]] auto said(const std::string& what) -> bool { return stepped.child().errors().find(what) != std::string::npos; }

  const postgres_place place;
  const temporary_folder folder;
  stepped_clock clock{folder.path("clock")};
  node_process stepped{place.uri(), {"--node.name=first", "--log.level=info"},
                       {"/usr/bin/env", "MAESTRO_TEST_CLOCK_FILE=" + folder.path("clock"), MAESTRO_STEPPED_NODE}};
  node_process other{place.uri(), {"--node.name=second"}};
  const std::array<std::unique_ptr<client>, 2> clients{stepped.connect(), other.connect()};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(clock_steps_in_a_cluster)

// One attempt each, through either node, to what lives here and there.
BOOST_DATA_TEST_CASE_F(two_nodes, nodes_go_on_handing_commands_to_each_other, boost::unit_test::data::make({-200, -3, 3, 200}), seconds) {
  send_options once;
  once.retry = false;
  const std::array<batch_id, 2> ids{owned_by(0), owned_by(1)};
  std::int64_t sent = 0;
  for (const auto ahead : {0, seconds, 0}) {
    clock.set(std::chrono::seconds(ahead));
    for (int round = 0; round < 3; ++round) {
      for (const auto& to : clients)
        for (const auto& id : ids) {
          const auto failure = to->send(id, ::test::add{1}, once).answer.failure;
          BOOST_TEST(!failure, ahead << " s: " << to_string(failure));
        }
      sent += 2;
    }
    BOOST_TEST(clock.shown() == ahead, "the clock was not asked for the time since it was set");
  }
  for (const auto& id : ids) {
    const auto found = clients[0]->fetch(id);
    BOOST_TEST_REQUIRE(found.has_value());
    BOOST_TEST(found->value.items == sent);
  }
}

// More than clock.max-drift: new commands are from the future by its clock.
BOOST_FIXTURE_TEST_CASE(a_node_that_falls_behind_declines_until_its_clock_is_right, two_nodes) {
  const auto own = owned_by(0);
  const auto add = [&](const send_options& options = {}) { return clients[0]->send(own, ::test::add{1}, options).answer.failure; };
  BOOST_TEST(!add());
  clock.set(-600s);
  await("the node to see it by a heartbeat", [&] { return said("behind the store's"); });
  for (int i = 0; i < 5; ++i) {
    const auto failure = add();
    BOOST_TEST(!failure, to_string(failure));
  }
  clock.set(0s);
  await("the node to see that it is right", [&] { return said("behind the store's again"); });
  send_options once;
  once.retry = false;
  const auto failure = add(once);
  BOOST_TEST(!failure, to_string(failure));
  const auto found = clients[1]->fetch(own);
  BOOST_TEST_REQUIRE(found.has_value());
  BOOST_TEST(found->value.items == 7);
}

BOOST_AUTO_TEST_SUITE_END()
