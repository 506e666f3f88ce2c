// What a client does with answers that are not final: against a gateway that answers as it is told.
#include <maestro/runtime/client.hpp>
#include <maestro/runtime/requester.hpp>

#include <maestro/store/clock.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

struct seen_attempt {
  command_request request;
  std::uint64_t at = 0;  // Milliseconds since the Unix epoch.
};

// What to answer to the attempt of this number, from 1; nothing to stay silent.
using script = std::function<std::optional<command_reply>(std::size_t attempt)>;

auto refusal(errc code) -> command_reply {
  command_reply reply;
  set_failure(reply, {code, "as it was told"});
  return reply;
}
auto accepted() -> command_reply {
  command_reply reply;
  reply.first = reply.last = 7;
  return reply;
}

struct bench {
  struct configuration : caf::actor_system_config {
    configuration() {
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };

  void play(script told, client_settings with = {}) {
    const auto act = [this](caf::event_based_actor* self, const script& answers) -> caf::behavior {
      self->set_default_handler(caf::drop);
      return {[this, self, answers](command_request& request) {
        std::size_t number = 0;
        {
          const std::lock_guard lock(mutex);
          attempts.push_back({request, system_milliseconds(0ms)});
          number = attempts.size();
        }
        auto reply = answers(number);
        if (!reply) return;
        reply->request = request.request;
        self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(*reply));
      }};
    };
    gateway = system.spawn(act, std::move(told));
    to = std::make_unique<client>(system, gateway, with);
  }
  ~bench() {
    to.reset();
    if (gateway) caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown);
  }
  auto send(send_options options = {}) -> receipt { return to->send_json("thing", id, "do", "{}", std::move(options)); }
  auto seen() -> std::vector<seen_attempt> {
    const std::lock_guard lock(mutex);
    return attempts;
  }

  configuration config;
  caf::actor_system system{config};
  hybrid_clock clock;
  const aggregate_id id = clock.fresh<aggregate_id>();
  std::mutex mutex;
  std::vector<seen_attempt> attempts;
  caf::actor gateway;
  std::unique_ptr<client> to;
};

// So short that the second attempt comes long before the first one cannot be carried out any more.
client_settings hasty() {
  client_settings settings;
  settings.attempt_timeout = 50ms;
  settings.retry_backoff = 1ms;
  return settings;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(requesting, bench)

BOOST_AUTO_TEST_CASE(what_can_be_tried_again_is_tried_again_under_the_same_id) {
  const std::vector<errc> refused{errc::overloaded, errc::store_unavailable, errc::too_many_conflicts, errc::timed_out, errc::shutting_down};
  play([&](std::size_t attempt) { return attempt <= refused.size() ? refusal(refused[attempt - 1]) : accepted(); });
  const auto got = send();
  BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
  BOOST_TEST(got.answer.last == 7);
  const auto all = seen();
  BOOST_TEST_REQUIRE(all.size() == refused.size() + 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    BOOST_TEST((all[i].request.command_id == got.command_id));
    BOOST_TEST(all[i].request.first_send == (i == 0));
    BOOST_TEST(all[i].request.expires_at > all[i].at);
  }
}

BOOST_AUTO_TEST_CASE(an_id_that_the_caller_made_is_never_called_new) {
  play([](std::size_t) { return accepted(); });
  send_options options;
  options.command_id = to->new_command_id();
  BOOST_TEST(!send(options).answer.failure);
  BOOST_TEST(!seen().at(0).request.first_send);
}

BOOST_AUTO_TEST_CASE(who_waits_for_a_requester_that_ends_by_a_fault_is_answered) {
  play([](std::size_t) { return std::optional<command_reply>(); });
  std::promise<std::string> died;
  requester_settings settings;
  settings.name = "the one";
  settings.died = [&died](const std::string& what) { died.set_value(what); };
  auto whole = caf::actor_cast<caf::actor>(
      system.spawn<requester>(std::vector<node_address>{}, std::optional<node_link>(node_link{gateway, {}, {}}), std::move(settings)));
  const auto ask = [&] {
    auto told = std::make_shared<std::promise<command_reply>>();
    auto command = std::make_shared<outgoing_command>();
    command->request.aggregate_type = "thing";
    command->request.aggregate_id = id;
    command->deadline = std::chrono::steady_clock::now() + 1min;
    command->done = [told](command_reply reply) { told->set_value(std::move(reply)); };
    caf::anon_send(whole, std::move(command));
    return told->get_future();
  };
  auto sent = ask();
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (seen().empty()) BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline));
  caf::anon_send_exit(whole, caf::exit_reason::kill);
  BOOST_TEST_REQUIRE((sent.wait_for(30s) == std::future_status::ready));
  const auto answer = sent.get();
  BOOST_TEST((static_cast<errc>(answer.code) == errc::in_doubt), answer.message);
  BOOST_TEST(died.get_future().get().starts_with("the one has ended by a fault: "));
  auto late = ask();
  BOOST_TEST_REQUIRE((late.wait_for(30s) == std::future_status::ready));
  const auto refused = late.get();
  BOOST_TEST((static_cast<errc>(refused.code) == errc::node_unavailable), refused.message);
  BOOST_TEST((refused.message.find("nothing was sent") != std::string::npos), refused.message);
}

// Its connector may be at work for longer than it is needed, and then there is no handle to it left.
BOOST_AUTO_TEST_CASE(a_requester_that_is_let_go_of_has_no_fault) {
  std::promise<void> gone;
  std::promise<caf::actor> searching;
  requester_settings settings;
  settings.died = [](const std::string& what) { BOOST_ERROR(what); };
  settings.make_connector = [&](caf::actor_system& in, const node_address&) {
    const auto staying = [](caf::event_based_actor* self, int) -> caf::behavior {
      self->set_default_handler(caf::drop);
      return {[self](stop_connector) { self->delayed_send(self, 1h, stop_connector{}); }};
    };
    auto made = in.spawn(staying, 0);
    searching.set_value(made);
    return made;
  };
  const auto nobody = *node_address::parse("127.0.0.1:1");
  auto whole = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector{nobody}, std::optional<node_link>(), std::move(settings)));
  caf::actor_cast<caf::abstract_actor*>(whole)->attach_functor([&](const caf::error&) { gone.set_value(); });
  auto command = std::make_shared<outgoing_command>();
  command->deadline = std::chrono::steady_clock::now() + 1min;
  caf::anon_send(whole, std::move(command));
  auto connector = searching.get_future().get();
  caf::anon_send(whole, requester_stop{});
  whole = nullptr;
  BOOST_TEST((gone.get_future().wait_for(30s) == std::future_status::ready));
  caf::anon_send_exit(connector, caf::exit_reason::kill);
}

BOOST_AUTO_TEST_CASE(who_wants_one_attempt_gets_its_answer) {
  play([](std::size_t) { return refusal(errc::overloaded); });
  send_options once;
  once.retry = false;
  BOOST_TEST((send(once).answer.failure.code == errc::overloaded));
  BOOST_TEST(seen().size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_first_rejection_is_final) {
  play([](std::size_t) { return refusal(errc::rejected); });
  BOOST_TEST((send().answer.failure.code == errc::rejected));
  BOOST_TEST(seen().size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_rejection_is_told_only_when_no_earlier_attempt_can_be_carried_out_any_more) {
  play([](std::size_t attempt) { return attempt == 1 ? std::nullopt : std::optional(refusal(errc::rejected)); }, hasty());
  BOOST_TEST((send().answer.failure.code == errc::rejected));
  const auto all = seen();
  BOOST_TEST_REQUIRE(all.size() == 3U);
  BOOST_TEST(all[2].at > all[0].request.expires_at);
}

BOOST_AUTO_TEST_CASE(an_acceptance_after_a_rejection_that_was_not_final_is_told) {
  play(
      [](std::size_t attempt) -> std::optional<command_reply> {
        if (attempt == 1) return refusal(errc::in_doubt);
        return attempt == 2 ? refusal(errc::rejected) : accepted();
      },
      hasty());
  BOOST_TEST(!send().answer.failure);
  BOOST_TEST(seen().size() == 3U);
}

BOOST_AUTO_TEST_CASE(without_a_final_answer_in_time_it_is_in_doubt_or_what_was_said_last) {
  play([](std::size_t) { return std::nullopt; }, hasty());
  send_options brief;
  brief.timeout = 200ms;
  BOOST_TEST((send(brief).answer.failure.code == errc::in_doubt));
  BOOST_TEST(seen().size() > 1U);
}

BOOST_AUTO_TEST_CASE(what_was_never_carried_out_is_retryable_when_time_is_over) {
  play([](std::size_t) { return refusal(errc::store_unavailable); });
  send_options brief;
  brief.timeout = 100ms;
  const auto got = send(brief).answer.failure;
  BOOST_TEST((got.code == errc::store_unavailable), to_string(got));
  BOOST_TEST(seen().size() > 1U);
}

BOOST_AUTO_TEST_CASE(a_retryable_answer_does_not_tell_what_became_of_an_earlier_attempt) {
  play([](std::size_t attempt) { return attempt == 1 ? std::nullopt : std::optional(refusal(errc::store_unavailable)); }, hasty());
  send_options brief;
  brief.timeout = 200ms;
  const auto got = send(brief).answer.failure;
  BOOST_TEST((got.code == errc::in_doubt), to_string(got));
  BOOST_TEST((got.message.find("store_unavailable") != std::string::npos), got.message);
}

BOOST_AUTO_TEST_CASE(an_aggregate_that_cannot_be_read_does_not_tell_it_either) {
  play([](std::size_t attempt) { return attempt == 1 ? std::nullopt : std::optional(refusal(errc::cannot_hydrate)); }, hasty());
  const auto got = send().answer.failure;
  BOOST_TEST((got.code == errc::in_doubt), to_string(got));
  BOOST_TEST((got.message.find("cannot_hydrate") != std::string::npos), got.message);
}

BOOST_AUTO_TEST_CASE(a_gateway_that_ends_leaves_commands_in_doubt_and_questions_unanswered) {
  play([](std::size_t) { return std::nullopt; });
  std::promise<receipt> command;
  std::promise<query_reply> question;
  to->send_async("thing", id, "do", "{}", {}, [&](receipt got) { command.set_value(std::move(got)); });
  to->ask_async({}, 10s, [&](query_reply got) { question.set_value(std::move(got)); });
  while (seen().empty()) std::this_thread::yield();
  caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown);
  BOOST_TEST((command.get_future().get().answer.failure.code == errc::in_doubt));
  BOOST_TEST(question.get_future().get().code == static_cast<std::uint16_t>(errc::node_unavailable));
  BOOST_TEST((send().answer.failure.code == errc::node_unavailable));
}

// --- several nodes -----------------------------------------------------------------------------------------------------

namespace {

// A node's gateway that answers everything, and notes what it was sent.
struct fake_node {
  fake_node(caf::actor_system& system, std::string name, std::vector<member_address> members) {
    const auto act = [this](caf::event_based_actor* self, const std::string& own) -> caf::behavior {
      self->set_default_handler(caf::drop);
      return {[this, self](const command_request& request) {
                ++commands;
                command_reply reply;
                reply.request = request.request;
                if (silent) return;
                if (refusing != errc::none) set_failure(reply, {refusing, "as it was told"});
                self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(reply));
              },
              [this, self, own](const hello&) {
                ++greetings;
                auto reply = link.greeting;
                reply.placements = placements;
                if (alone) std::erase_if(reply.members, [&](const member_address& each) { return each.name != own; });
                self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(reply));
              }};
    };
    gateway = system.spawn(act, name);
    link = {gateway, {}, greeting(name, members)};
  }
  ~fake_node() { caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown); }
  fake_node(const fake_node&) = delete;
  auto operator=(const fake_node&) -> fake_node& = delete;

  static auto greeting(const std::string& name, const std::vector<member_address>& members) -> hello_reply {
    hello_reply reply;
    reply.node = name;
    reply.store = "here";
    reply.max_message_bytes = 100'000;
    reply.members = members;
    return reply;
  }

  std::atomic<int> commands{0};
  std::atomic<int> greetings{0};
  std::atomic<bool> silent{false};
  std::atomic<bool> alone{false};  // All others are no members any more.
  std::atomic<errc> refusing{errc::none};
  // Not to be changed once it is asked.
  std::vector<type_members> placements;
  caf::actor gateway;
  node_link link;
};

// A connector that finds what it was given.
auto finding(caf::event_based_actor* self, const node_link& link) -> caf::behavior {
  return {[self, link](find_node) {
            self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::make_shared<result<node_link>>(link));
          },
          [self](stop_connector) { self->quit(); }};
}

// A requester that was given the first of two members' addresses, and is connected to that.
struct two_members : bench {
  explicit two_members(std::chrono::milliseconds attempt_timeout = 500ms,
                       const std::vector<type_members>& placements = {}) {
    for (auto* each : {&north, &south}) each->placements = each->link.greeting.placements = placements;
    requester_settings settings;
    settings.attempt_timeout = attempt_timeout;
    settings.retry_backoff = 1ms;
    settings.make_connector = [this](caf::actor_system& in, const node_address& address) {
      return in.spawn(finding, address.port == 1 ? north.link : south.link);
    };
    asking = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector<node_address>{{"127.0.0.1", 1}}, north.link, settings));
  }
  ~two_members() {
    caf::anon_send(asking, requester_stop{});
    caf::scoped_actor(system)->wait_for(asking);
  }
  auto send_to(const aggregate_id& whom) -> errc {
    auto answered = std::make_shared<std::promise<errc>>();
    auto command = std::make_shared<outgoing_command>();
    command->request.aggregate_type = "thing";
    command->request.aggregate_id = whom;
    command->deadline = std::chrono::steady_clock::now() + 30s;
    command->done = [answered](const command_reply& reply) { answered->set_value(static_cast<errc>(reply.code)); };
    caf::anon_send(asking, std::move(command));
    return answered->get_future().get();
  }
  // An id whose owner is the member at this index.
  auto owned_by(std::size_t index) -> aggregate_id {
    const placement owners({"north", "south"});
    while (true)
      if (const auto fresh = clock.fresh<aggregate_id>(); owners.owner(placement_key("thing", fresh)) == index) return fresh;
  }

  const std::vector<member_address> members{{"north", "127.0.0.1:1"}, {"south", "127.0.0.1:2"}};
  fake_node north{system, "north", members};
  fake_node south{system, "south", members};
  caf::actor asking;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_belongs_to_a_member_goes_straight_to_it, two_members) {
  const auto for_south = owned_by(1);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (south.commands == 0) {  // Until it is connected the other one hands it on.
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "the owner is never asked");
    BOOST_TEST((send_to(for_south) == errc::none));
  }
  const int north_before = north.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(north.commands == north_before);
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(0)) == errc::none));
  BOOST_TEST(north.commands == north_before + 20);
}

// Indices that lead nowhere, and other types, are not in the way.
struct two_members_that_differ : two_members {
  two_members_that_differ()
      : two_members(500ms, {{"other", {0}}, {"thing", {1, 7, 4'000'000'000}}, {"nowhere", {9}}}) {}
};
BOOST_FIXTURE_TEST_CASE(what_lives_on_some_members_only_goes_to_those, two_members_that_differ) {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (south.commands == 0) {
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "the owner is never asked");
    BOOST_TEST((send_to(owned_by(0)) == errc::none));
  }
  const int north_before = north.commands;
  const int south_before = south.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(static_cast<std::size_t>(i) % 2)) == errc::none));
  BOOST_TEST(north.commands == north_before);
  BOOST_TEST(south.commands == south_before + 20);
}

BOOST_FIXTURE_TEST_CASE(a_member_that_is_leaving_is_left_alone, two_members) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  south.refusing = errc::shutting_down;
  const int before = south.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == before + 1);  // Once, to hear it.
}

// A node that is cut off from its store still greets, and does not know that the others have taken its place.
BOOST_FIXTURE_TEST_CASE(what_a_member_does_not_answer_in_time_goes_to_another, two_members) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  south.silent = true;
  const int before = south.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == before + 1);
}

struct two_members_with_patience : two_members {
  two_members_with_patience() : two_members(60s) {}
};

// An attempt does not wait for a node that the others have taken for dead, however patient it is.
BOOST_FIXTURE_TEST_CASE(what_a_member_has_not_answered_goes_to_another_when_it_is_none_any_more, two_members_with_patience) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  south.silent = true;
  north.alone = true;
  const int before = south.commands;
  BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == before + 1);
}

BOOST_FIXTURE_TEST_CASE(what_a_member_without_its_store_cannot_do_goes_to_another, two_members) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  south.refusing = errc::store_unavailable;
  const int before = south.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == before + 1);
  // Where nobody is well, anybody is asked.
  south.refusing = errc::none;
  north.refusing = errc::store_unavailable;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(0)) == errc::none));
}

BOOST_FIXTURE_TEST_CASE(what_a_member_declines_goes_to_another, two_members) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  south.refusing = errc::not_the_owner;
  const int before = south.commands;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == before + 1);
}

// Nothing was sent to any other so far: it has to be found first.
BOOST_FIXTURE_TEST_CASE(what_the_only_node_in_use_declines_goes_to_another_member, two_members) {
  north.refusing = errc::not_the_owner;
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(0)) == errc::none));
  BOOST_TEST(south.commands == 20);
}

// An address may be out of date, or have come along with a copy of a database.
BOOST_FIXTURE_TEST_CASE(nothing_goes_to_a_node_with_another_store, two_members) {
  south.link.greeting.store = "elsewhere";
  for (int i = 0; i < 50; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == 0);
}
BOOST_FIXTURE_TEST_CASE(nothing_goes_to_a_node_that_does_not_say_which_store_it_has, two_members) {
  south.link.greeting.store = "";
  for (int i = 0; i < 50; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  BOOST_TEST(south.commands == 0);
}

BOOST_FIXTURE_TEST_CASE(nothing_goes_to_another_run_than_the_one_that_is_meant, bench) {
  fake_node node(system, "north", {});
  for (const bool is_meant : {false, true}) {
    requester_settings settings;
    settings.follow_members = settings.keep_searching = false;
    settings.incarnation = clock.fresh<incarnation_id>();
    if (is_meant) node.link.greeting.incarnation = *settings.incarnation;
    settings.make_connector = [&](caf::actor_system& in, const node_address&) { return in.spawn(finding, node.link); };
    const auto asking = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector<node_address>{{}}, std::nullopt, settings));
    std::promise<command_reply> answered;
    auto command = std::make_shared<outgoing_command>();
    command->deadline = std::chrono::steady_clock::now() + 30s;
    command->retry = false;
    command->done = [&](const command_reply& reply) { answered.set_value(reply); };
    caf::anon_send(asking, std::move(command));
    const auto reply = answered.get_future().get();
    BOOST_TEST((static_cast<errc>(reply.code) == (is_meant ? errc::none : errc::node_unavailable)));
    const bool says_why = reply.message.find("is not the one that the table of members has there") != std::string::npos;
    BOOST_TEST(says_why == !is_meant, reply.message);
    caf::anon_send(asking, requester_stop{});
    caf::scoped_actor(system)->wait_for(asking);
  }
  BOOST_TEST(node.commands == 1);
}

// It would end the connection, each time it is sent.
BOOST_FIXTURE_TEST_CASE(what_is_longer_than_a_node_takes_is_not_sent, two_members) {
  auto command = std::make_shared<outgoing_command>();
  command->request.aggregate_type = "thing";
  command->request.aggregate_id = owned_by(0);
  command->request.payload = std::string(100'001, ' ');
  command->deadline = std::chrono::steady_clock::now() + 30s;
  std::promise<command_reply> answered;
  command->done = [&](command_reply reply) { answered.set_value(std::move(reply)); };
  caf::anon_send(asking, std::move(command));
  const auto reply = answered.get_future().get();
  BOOST_TEST((static_cast<errc>(reply.code) == errc::malformed_payload));
  BOOST_TEST((reply.message.find("node.max-message-bytes") != std::string::npos), reply.message);
  BOOST_TEST(north.commands == 0);
}

BOOST_FIXTURE_TEST_CASE(what_a_lost_member_owned_goes_to_another, two_members) {
  while (south.commands == 0) BOOST_TEST((send_to(owned_by(1)) == errc::none));
  caf::anon_send_exit(south.gateway, caf::exit_reason::kill);
  for (int i = 0; i < 20; ++i) BOOST_TEST((send_to(owned_by(1)) == errc::none));
}

// A node's own client has no business on the network.
BOOST_AUTO_TEST_CASE(a_client_within_a_node_asks_its_gateway_alone) {
  fake_node own(system, "north", {{"north", "127.0.0.1:1"}, {"south", "127.0.0.1:2"}});
  {
    client within(system, own.gateway, {});
    for (int i = 0; i < 20; ++i) BOOST_TEST(!within.send_json("thing", clock.fresh<aggregate_id>(), "do", "{}").answer.failure);
  }
  BOOST_TEST(own.commands == 20);
  BOOST_TEST(own.greetings == 0);
}

// A connection can be dead with nobody told: the node behind it lives, and its answers go nowhere.
BOOST_AUTO_TEST_CASE(a_question_to_a_node_that_has_fallen_silent_is_asked_of_another_one) {
  const auto answer_with = [](caf::event_based_actor* self, sequence_number sequence) -> caf::behavior {
    self->set_default_handler(caf::drop);
    return {[self, sequence](const query_request& request) {
      if (sequence == 0) return;
      query_reply reply;
      reply.request = request.request;
      reply.sequence = sequence;
      self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(reply));
    }};
  };
  const auto find = [](caf::event_based_actor* self, const caf::actor& node) -> caf::behavior {
    return {[self, node](find_node) {
              self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::make_shared<result<node_link>>(node_link{node, {}, {}}));
            },
            [self](stop_connector) { self->quit(); }};
  };
  const caf::actor silent = system.spawn(answer_with, 0);
  const caf::actor other = system.spawn(answer_with, 9);
  const caf::actor finder = system.spawn(find, other);
  requester_settings hasty_settings{50ms, 1ms, 1ms};
  hasty_settings.make_connector = [&](caf::actor_system&, const node_address&) { return finder; };
  const auto asking = caf::actor_cast<caf::actor>(
      system.spawn<requester>(std::vector<node_address>{{}}, node_link{silent, {}, {}}, hasty_settings));
  auto question = std::make_shared<outgoing_query>();
  std::promise<query_reply> answered;
  question->deadline = std::chrono::steady_clock::now() + 30s;
  question->done = [&](query_reply reply) { answered.set_value(std::move(reply)); };
  caf::anon_send(asking, question);
  BOOST_TEST(answered.get_future().get().sequence == 9);
  caf::anon_send(asking, requester_stop{});
  for (const auto& each : {silent, other}) caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
}

namespace {

// Notes the numbers of the questions that it is asked, and of those that are withdrawn. Answers at most the first.
struct silent_node {
  explicit silent_node(caf::actor_system& system) {
    const auto act = [this](caf::event_based_actor* self, int) -> caf::behavior {
      self->set_default_handler(caf::drop);
      return {[this, self](const hello& greeting) {
                hello_reply reply;
                reply.request = greeting.request;
                if (greets) self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(reply));
              },
              [this, self](const query_request& request) {
                note(asked, request.request);
                if (!first_answer) return;
                query_reply reply;
                reply.request = request.request;
                set_failure(reply, std::exchange(first_answer, {}));
                self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::move(reply));
              },
              [this](const query_withdrawal& notice) {
                longest = std::max(longest.load(), notice.requests.size());
                for (const auto request : notice.requests) note(withdrawn, request);
              }};
    };
    gateway = system.spawn(act, 0);
  }
  ~silent_node() { caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown); }
  void note(std::vector<std::uint64_t>& in, std::uint64_t request) {
    const std::lock_guard lock(mutex);
    in.push_back(request);
  }
  void await(const std::vector<std::uint64_t>& list, std::size_t size) {
    const auto until = std::chrono::steady_clock::now() + 30s;
    const auto count = [&] {
      const std::lock_guard lock(mutex);
      return list.size();
    };
    while (count() < size) {
      BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < until));
      std::this_thread::sleep_for(1ms);
    }
  }

  std::mutex mutex;
  std::vector<std::uint64_t> asked;
  std::vector<std::uint64_t> withdrawn;
  std::atomic<std::size_t> longest{0};
  std::atomic<bool> greets{true};
  error first_answer;  // Its own, from the first question on.
  caf::actor gateway;
};

struct handing_on : bench {
  void begin(requester_settings settings) {
    settings.make_connector = [](caf::actor_system& in, const node_address&) {
      return in.spawn(
          [](caf::event_based_actor* self, int) -> caf::behavior {
            return {[](find_node) {}, [self](stop_connector) { self->quit(); }};
          },
          0);
    };
    way = caf::actor_cast<caf::actor>(
        system.spawn<requester>(std::vector<node_address>{{}}, node_link{node.gateway, {}, {}}, settings));
  }
  ~handing_on() { caf::anon_send(way, requester_stop{}); }
  auto hand_on(const std::atomic<bool>& is_unwanted) -> std::future<query_reply> {
    auto question = std::make_shared<outgoing_query>();
    question->retry = false;
    question->is_unwanted = [&is_unwanted] { return is_unwanted.load(); };
    return ask(std::move(question), 1h);
  }
  auto ask(outgoing_query_ptr question, std::chrono::milliseconds timeout) -> std::future<query_reply> {
    auto told = std::make_shared<std::promise<query_reply>>();
    question->deadline = std::chrono::steady_clock::now() + timeout;
    question->done = [told](query_reply reply) { told->set_value(std::move(reply)); };
    caf::anon_send(way, std::move(question));
    return told->get_future();
  }

  silent_node node{system};
  caf::actor way;
};

auto code_of(std::future<query_reply>& answer) -> errc {
  BOOST_TEST_REQUIRE((answer.wait_for(30s) == std::future_status::ready));
  return static_cast<errc>(answer.get().code);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_was_handed_on_for_a_caller_that_goes_is_withdrawn, handing_on) {
  begin({});
  constexpr std::size_t many = 2 * query_withdrawal::most_requests + 5;
  std::atomic<bool> one_is_gone{false};
  std::atomic<bool> other_is_gone{false};
  std::vector<std::future<query_reply>> of_one;
  for (std::size_t i = 0; i < many; ++i) of_one.push_back(hand_on(one_is_gone));
  auto of_other = hand_on(other_is_gone);
  node.await(node.asked, many + 1);
  one_is_gone = true;
  for (auto& each : of_one) BOOST_TEST((code_of(each) == errc::timed_out));
  node.await(node.withdrawn, many);
  BOOST_TEST(node.longest <= query_withdrawal::most_requests);
  // That of the other one has come last.
  std::sort(node.withdrawn.begin(), node.withdrawn.end());
  BOOST_TEST(node.withdrawn == std::vector(node.asked.begin(), node.asked.end() - 1), boost::test_tools::per_element());
  BOOST_TEST((of_other.wait_for(0s) == std::future_status::timeout));
  auto late = hand_on(one_is_gone);
  BOOST_TEST((code_of(late) == errc::timed_out));
  other_is_gone = true;
  BOOST_TEST((code_of(of_other) == errc::timed_out));
  node.await(node.withdrawn, many + 1);
  BOOST_TEST(node.asked.size() == many + 1);
}

BOOST_FIXTURE_TEST_CASE(a_question_that_nobody_answers_in_the_end_is_told_what_was_said_of_it_before, handing_on) {
  const error why{errc::not_served, "no member serves it"};
  node.first_answer = why;
  begin({1h, 1ms, 1ms});
  auto told = ask(std::make_shared<outgoing_query>(), 2s);
  node.await(node.asked, 2);
  BOOST_TEST((client::failure_of(told.get()) == why));
}

BOOST_FIXTURE_TEST_CASE(a_question_to_a_node_that_goes_is_told_what_that_said_of_it_before, handing_on) {
  const error why{errc::shutting_down, "this node stops"};
  node.first_answer = why;
  begin({1h, 1ms, 1ms});
  auto told = ask(std::make_shared<outgoing_query>(), 1s);
  node.await(node.asked, 1);
  caf::anon_send_exit(node.gateway, caf::exit_reason::user_shutdown);
  BOOST_TEST((client::failure_of(told.get()) == why));
}

// It may have been slow only, and another one answers now.
BOOST_FIXTURE_TEST_CASE(what_was_handed_on_to_a_node_that_falls_silent_is_withdrawn, handing_on) {
  requester_settings hasty_settings{50ms, 1ms, 1ms};
  hasty_settings.keep_searching = false;
  node.greets = false;
  begin(std::move(hasty_settings));
  const std::atomic<bool> is_gone{false};
  auto answer = hand_on(is_gone);
  BOOST_TEST((code_of(answer) == errc::node_unavailable));
  node.await(node.withdrawn, 1);
  BOOST_TEST(node.withdrawn == node.asked, boost::test_tools::per_element());
}

// How far a rebuild is, say.
BOOST_AUTO_TEST_CASE(a_question_for_one_node_alone_does_not_wait_for_another) {
  // CAF would bind a null reference for a function without an argument.
  const auto say_nothing = [](caf::event_based_actor*, int) -> caf::behavior { return {[](const query_request&) {}}; };
  const auto find_nothing = [](caf::event_based_actor* self, int) -> caf::behavior {
    return {[](find_node) {}, [self](stop_connector) { self->quit(); }};
  };
  const caf::actor node = system.spawn(say_nothing, 0);
  requester_settings settings;
  settings.make_connector = [&](caf::actor_system& in, const node_address&) { return in.spawn(find_nothing, 0); };
  const auto asking = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector<node_address>{{}}, node_link{node, {}, {}}, settings));
  const auto ask = [&](const std::function<void()>& meanwhile) {
    auto question = std::make_shared<outgoing_query>();
    std::promise<query_reply> answered;
    question->deadline = std::chrono::steady_clock::now() + 1h;
    question->retry = question->wait_for_node = false;
    question->done = [&](query_reply reply) { answered.set_value(std::move(reply)); };
    caf::anon_send(asking, question);
    meanwhile();
    return static_cast<errc>(answered.get_future().get().code);
  };
  BOOST_TEST((ask([&] { caf::anon_send_exit(node, caf::exit_reason::user_shutdown); }) == errc::node_unavailable));
  BOOST_TEST((ask([] {}) == errc::node_unavailable));
  caf::anon_send(asking, requester_stop{});
  caf::scoped_actor(system)->wait_for(asking);
}

// It may be the question that does it: an answer that is larger than anybody may send, say.
BOOST_AUTO_TEST_CASE(what_costs_every_node_its_connection_is_asked_again_with_ever_longer_pauses) {
  std::atomic<int> asked{0};
  const auto dying = [](caf::event_based_actor* self, std::atomic<int>* count) -> caf::behavior {
    self->set_default_handler(caf::drop);
    return {[self, count](const query_request&) {
      ++*count;
      self->quit();
    }};
  };
  const auto find = [dying](caf::event_based_actor* self, std::atomic<int>* count) -> caf::behavior {
    return {[self, dying, count](find_node) {
              const node_link link{self->spawn(dying, count), {}, {}};
              self->send(caf::actor_cast<caf::actor>(self->current_sender()), std::make_shared<result<node_link>>(link));
            },
            [self](stop_connector) { self->quit(); }};
  };
  requester_settings settings{1'000ms, 100ms, 10s};
  settings.make_connector = [&](caf::actor_system& in, const node_address&) { return in.spawn(find, &asked); };
  const auto asking = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector<node_address>{{}}, std::nullopt, settings));
  auto question = std::make_shared<outgoing_query>();
  std::promise<void> answered;
  question->deadline = std::chrono::steady_clock::now() + 1s;
  question->done = [&](const query_reply&) { answered.set_value(); };
  caf::anon_send(asking, question);
  answered.get_future().get();
  BOOST_TEST(asked > 1);
  BOOST_TEST(asked < 10);
  caf::anon_send(asking, requester_stop{});
  caf::scoped_actor(system)->wait_for(asking);
}

// CAF may hold on to what a requester was (the message that it sent to a dead node, say) until its actor system has ended, and before
// that the system waits for the connector's thread.
BOOST_AUTO_TEST_CASE(a_requester_that_has_ended_lets_go_of_its_connector) {
  play([](std::size_t) { return accepted(); });
  std::promise<caf::weak_actor_ptr> made;
  requester_settings settings;
  settings.make_connector = [&](caf::actor_system& in, const node_address& address) {
    auto finder = spawn_connector(std::make_shared<transport>(in, transport_settings{}, nullptr), address);
    made.set_value(caf::actor_cast<caf::weak_actor_ptr>(finder));
    return finder;
  };
  // Nobody listens at this port, so that it goes on looking.
  const auto held = caf::actor_cast<caf::actor>(system.spawn<requester>(std::vector<node_address>{{"127.0.0.1", 1}}, std::nullopt, settings));
  auto question = std::make_shared<outgoing_query>();
  question->deadline = std::chrono::steady_clock::now() + 30s;
  question->done = [](const query_reply&) {};
  caf::anon_send(held, question);
  const auto watched = made.get_future().get();
  caf::anon_send(held, requester_stop{});
  caf::scoped_actor self(system);
  self->wait_for(held);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (caf::actor_cast<caf::strong_actor_ptr>(watched)) {
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "the connector is still held");
    std::this_thread::sleep_for(1ms);
  }
}

BOOST_AUTO_TEST_SUITE_END()
