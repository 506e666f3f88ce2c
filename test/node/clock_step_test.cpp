// The clocks of a node and of its client are set while they talk to each other.
#include "batch.hpp"
#include "node_process.hpp"
#include "stepped_clock.hpp"

#include <maestro/runtime/client.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

const auto id = ::test::batch::id::named("stepped");

// The processes of `clock` have seen it set: else nothing was tried. A node asks for the time with each command that it carries out.
void must_be_seen(const stepped_clock& clock, std::chrono::seconds ahead) {
  BOOST_TEST(clock.shown() == ahead.count(), "the clock was not asked for the time since it was set");
}

// A node whose clock can be set, and a client that makes one attempt at each command.
struct stepped_node {
  ~stepped_node() {
    stepped_clock::own().set(0s);
    std::filesystem::remove(file);
  }

  void must_be_accepted() const {
    send_options once;
    once.retry = false;
    const auto failure = to->send(id, ::test::add{1}, once).answer.failure;
    BOOST_TEST(!failure, to_string(failure));
  }

  const std::string file =
      (std::filesystem::temp_directory_path() / ("maestro-clock-" + std::to_string(::getpid()))).string();
  stepped_clock clock{file};
  node_process node{"sqlite::memory:", {}, {"/usr/bin/env", "MAESTRO_TEST_CLOCK_FILE=" + file, MAESTRO_STEPPED_NODE}};
  std::unique_ptr<client> to = node.connect();
};

// Less than clock.max-drift, which is for the ids of commands.
const auto steps = boost::unit_test::data::make({-200, -3, 3, 200});

}  // namespace

BOOST_AUTO_TEST_SUITE(clock_steps)

BOOST_DATA_TEST_CASE_F(stepped_node, a_node_whose_clock_is_set_goes_on_taking_commands, steps, seconds) {
  must_be_accepted();
  clock.set(std::chrono::seconds(seconds));
  must_be_accepted();
  must_be_seen(clock, std::chrono::seconds(seconds));
  clock.set(0s);
  must_be_accepted();
  must_be_seen(clock, 0s);
}

BOOST_DATA_TEST_CASE_F(stepped_node, a_client_whose_clock_is_set_goes_on_sending_commands, steps, seconds) {
  must_be_accepted();
  stepped_clock::own().set(std::chrono::seconds(seconds));
  must_be_accepted();
  must_be_seen(stepped_clock::own(), std::chrono::seconds(seconds));
  stepped_clock::own().set(0s);
  must_be_accepted();
  must_be_seen(stepped_clock::own(), 0s);
}

// What has expired stays expired: nothing is carried out that the client has given up.
BOOST_DATA_TEST_CASE_F(stepped_node, what_has_expired_is_not_carried_out_after_a_step, boost::unit_test::data::make({true, false}), of_node) {
  must_be_accepted();
  (of_node ? clock : stepped_clock::own()).set(of_node ? -200s : 200s);
  const auto another = node.connect();
  send_options slow;
  slow.retry = false;
  slow.timeout = 10s;
  send_options brief = slow;
  brief.timeout = 200ms;
  // On one connection, so that the second waits behind the first, for longer than it lives. Then the client takes the node for lost.
  another->send_async("batch", id, "add_slowly", R"({"milliseconds":700})", slow, [](const receipt&) {});
  const auto late = another->send(id, ::test::add{1}, brief).answer.failure;
  BOOST_TEST((late.kind() == error_kind::in_doubt || late.code == errc::timed_out), to_string(late));
  must_be_accepted();
  const auto found = to->fetch(id);
  BOOST_TEST_REQUIRE(found.has_value());
  BOOST_TEST(found->value.items == 3);
  must_be_seen(of_node ? clock : stepped_clock::own(), of_node ? -200s : 200s);
}

BOOST_AUTO_TEST_SUITE_END()
