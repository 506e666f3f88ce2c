// Everything a user can get wrong, tried on real programs: each is answered by one line on stderr and the exit status that
// tells its kind, and the node serves on.
#include "node_process.hpp"
#include "peer.hpp"

#include "../store/test_store.hpp"

#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

// Exit statuses by kind of failure, as the command's help has them.
constexpr int broken = 1;
constexpr int usage = 2;
constexpr int rejected = 3;
constexpr int retryable = 4;
constexpr int in_doubt = 5;

void check_failed(const finished_process& ended, int status, std::string_view word) {
  BOOST_TEST(ended.status == status);
  BOOST_TEST(ended.out.empty(), "stdout: " << ended.out);
  BOOST_TEST((std::count(ended.errors.begin(), ended.errors.end(), '\n') == 1 && ended.errors.ends_with('\n')),
             "not one line: " << ended.errors);
  BOOST_TEST((ended.errors.find(word) != std::string::npos), ended.errors << " does not say " << word);
}

auto nested(std::size_t depth) -> std::string {
  return "{\"cents\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
}

// A node with one open account, whose balance tells whether the node still works.
struct serving_node {
  serving_node() { must("send", {"account", "name:alice", "open", R"({"owner":"Alice","handle":"@alice"})"}); }
  // Each test ends with what must hold after any bad input.
  ~serving_node() {
    must("send", {"account", "name:alice", "deposit", R"({"cents":100})"});
    const auto state = must("get", {"account", "name:alice"});
    BOOST_TEST((state.find(R"("balance":100,)") != std::string::npos), state);
    BOOST_TEST(node.end() == 0);
    BOOST_TEST(node.child().errors() == "");
  }

  auto must(const std::string& verb, const std::vector<std::string>& arguments) -> std::string {
    const auto ended = node.maestro(verb, arguments);
    BOOST_TEST(ended.status == 0, verb << ": " << ended.errors);
    return ended.out;
  }
  void refuses(int status, std::string_view word, const std::string& verb, const std::vector<std::string>& arguments) {
    BOOST_TEST_CONTEXT(verb << " " << arguments.back().substr(0, 60)) {
      check_failed(node.maestro(verb, arguments), status, word);
    }
  }
  void refuses_deposit(std::string_view word, const std::string& payload) {
    refuses(rejected, word, "send", {"account", "name:alice", "deposit", payload});
  }

  const test_store store;
  node_process node{store.uri()};
};

// Links to an actor, and dies.
class doomed_link : public caf::event_based_actor {
 public:
  doomed_link(caf::actor_config& config, caf::actor other) : caf::event_based_actor(config), other_(std::move(other)) {}
  auto make_behavior() -> caf::behavior override {
    link_to(other_);
    return {[this](int) { quit(caf::exit_reason::user_shutdown); }};
  }

 private:
  const caf::actor other_;
};

void check_node_fails(const std::vector<std::string>& command, int status, std::string_view word) {
  BOOST_TEST_CONTEXT(command.back()) { check_failed(run(command), status, word); }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(bad_requests, serving_node)

BOOST_AUTO_TEST_CASE(a_name_that_the_node_does_not_know_is_rejected) {
  refuses(rejected, "unknown_aggregate_type", "send", {"acount", "name:alice", "deposit", R"({"cents":1})"});
  refuses(rejected, "unknown_aggregate_type", "get", {"acount", "name:alice"});
  refuses(rejected, "unknown_aggregate_type", "list", {"acount"});
  refuses(rejected, "unknown_aggregate_type", "events", {"", "name:alice"});
  refuses(rejected, "unknown_command", "send", {"account", "name:alice", "depositt", R"({"cents":1})"});
  refuses(rejected, "unknown_command", "send", {"account", "name:alice", "", "{}"});
  refuses(rejected, "unknown_command", "send", {"account", "name:alice", "two\nlines", "{}"});
}

BOOST_AUTO_TEST_CASE(json_that_is_none_is_rejected) {
  for (const auto* payload : {"", "{", "}", "[]", "5", "null", "\"cents\"", "{\"cents\":}", "{\"cents\":5", "{\"cents\":5}}",
                              "{cents:5}", "{'cents':5}", "{\"cents\":5,}", "{\"cents\":NaN}", "{\"cents\":0x10}",
                              "{\"cents\":\"\\u0000\"}", "{\"cents\":\"\xff\"}", "{\"cents\":5} // five"})
    refuses_deposit("malformed_payload", payload);
}

BOOST_AUTO_TEST_CASE(a_member_of_another_type_is_rejected) {
  for (const auto* payload : {"{}", "{\"cent\":5}", "{\"cents\":\"five\"}", "{\"cents\":null}", "{\"cents\":true}",
                              "{\"cents\":5.5}", "{\"cents\":[5]}", "{\"cents\":{}}", "{\"cents\":9223372036854775808}",
                              "{\"cents\":1e400}"})
    refuses_deposit("malformed_payload", payload);
  refuses(rejected, "malformed_payload", "send", {"account", "name:bob", "open", R"({"owner":"Bob","handle":7})"});
}

BOOST_AUTO_TEST_CASE(json_that_is_too_deep_is_rejected) {
  refuses_deposit("deeper than 64", nested(65));
  const auto client = node.connect();
  const auto alice = derive_aggregate_id("account", "alice");
  const auto got = client->send_json("account", alice, "deposit", nested(400'000));
  BOOST_TEST((got.answer.failure.code == errc::malformed_payload), to_string(got.answer.failure));
}

BOOST_AUTO_TEST_CASE(a_payload_of_two_megabytes_is_rejected) {
  const auto client = node.connect();
  const auto alice = derive_aggregate_id("account", "alice");
  const auto payload = "{\"cents\":1,\"padding\":\"" + std::string(2 * 1024 * 1024, 'x') + "\"}";
  const auto got = client->send_json("account", alice, "deposit", payload);
  BOOST_TEST((got.answer.failure.code == errc::malformed_payload), to_string(got.answer.failure));
  send_options options;
  options.metadata = "{\"padding\":\"" + std::string(2 * 1024 * 1024, 'x') + "\"}";
  const auto again = client->send_json("account", alice, "deposit", "{\"cents\":1}", options);
  BOOST_TEST((again.answer.failure.code == errc::malformed_payload), to_string(again.answer.failure));
}

BOOST_AUTO_TEST_CASE(an_id_that_is_no_text_is_rejected_and_not_changed) {
  for (const std::string bad : {"\xff", "order-\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
    for (const auto* option : {"--correlation-id", "--causation-id"})
      refuses(rejected, "is no UTF-8", "send", {"account", "name:alice", option, bad, "deposit", R"({"cents":1})"});
    // So it is by the node, which does not rely on clients.
    for (const bool correlation : {true, false}) {
      peer stranger(node.address());
      caf::scoped_actor self(stranger.system());
      command_request request;
      request.aggregate_type = "account";
      request.aggregate_id = derive_aggregate_id("account", "alice");
      request.command_id = hybrid_clock().fresh<command_id>();
      request.command = "deposit";
      request.payload = R"({"cents":1})";
      (correlation ? request.correlation_id : request.causation_id) = bad;
      self->send(stranger.gateway(), request);
      self->receive(
          [](const command_reply& reply) {
            BOOST_TEST((static_cast<errc>(reply.code) == errc::malformed_payload), reply.message);
            BOOST_TEST((reply.message.find("is no UTF-8") != std::string::npos), reply.message);
          },
          caf::after(patience) >> [] { BOOST_ERROR("the gateway does not answer"); });
    }
  }
  must("send", {"account", "name:alice", "--correlation-id", "Bestellung M\xc3\xbcller", "deposit", R"({"cents":1})"});
  BOOST_TEST((must("events", {"account", "name:alice"}).find("Bestellung M\xc3\xbcller") != std::string::npos));
  must("send", {"account", "name:alice", "withdraw", R"({"cents":1})"});
}

BOOST_AUTO_TEST_CASE(what_the_domain_refuses_is_rejected_with_its_reason) {
  refuses(rejected, "insufficient funds", "send", {"account", "name:alice", "withdraw", R"({"cents":1})"});
  refuses(rejected, "handles", "send", {"account", "name:bob", "open", R"({"owner":"Bob","handle":"@alice"})"});
  refuses(rejected, "wrong_sequence", "send",
          {"account", "name:alice", "--expect-sequence", "7", "deposit", R"({"cents":1})"});
}

BOOST_AUTO_TEST_CASE(arguments_that_cannot_be_read_are_wrong_usage) {
  for (const auto* id : {"", "alice", "name:", "0123", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0"}) {
    refuses(usage, "invalid_argument", "get", {"account", id});
    refuses(usage, "invalid_argument", "send", {"account", id, "deposit", R"({"cents":1})"});
  }
  for (const auto* id : {"7", "name:once", "0123456789abcdef0123456789abcdeg"})
    refuses(usage, "invalid_argument", "send", {"account", "name:alice", "deposit", R"({"cents":1})", "--command-id", id});
  // All zeros stand for none.
  const std::string none(32, '0');
  refuses(usage, "the command id", "send", {"account", "name:alice", "deposit", R"({"cents":1})", "--command-id", none});
  refuses(usage, "the aggregate id", "send", {"account", none, "deposit", R"({"cents":1})"});
  refuses(usage, "invalid_argument", "list", {"account", "--after", "alice"});
  refuses(usage, "invalid_argument", "replay", {"account", "name:alice", "-1"});
  refuses(usage, "invalid_argument", "replay", {"account", "name:alice", "2147483648"});
  refuses(usage, "invalid_argument", "send", {"account", "name:alice", "deposit"});
  refuses(usage, "invalid_argument", "get", {"account", "name:alice", "--no-such-option"});
  refuses(usage, "there is no verb \"no-such-verb\"", "no-such-verb", {"account"});
  check_failed(run({MAESTRO_COMMAND, "--node", node.address().text(), "get", "account", "name:alice"}), usage, "after the verb");
  refuses(usage, "must be events or state", "send", {"account", "name:alice", "deposit", R"({"cents":1})", "--return", "all"});
  refuses(usage, "invalid_argument", "list", {"account", "--limit", "-1"});
}

BOOST_AUTO_TEST_CASE(an_id_of_another_aggregate_type_is_refused_and_poisons_nothing) {
  const auto alice = derive_aggregate_id("account", "alice").text();
  refuses(rejected, "wrong_aggregate_type", "send", {"batch", alice, "add", R"({"items":3})"});
  refuses(rejected, "wrong_aggregate_type", "get", {"batch", alice});
  refuses(rejected, "wrong_aggregate_type", "events", {"batch", alice});
  refuses(rejected, "wrong_aggregate_type", "snapshot", {"batch", alice});
  // Also when the one of the wrong type was there first: nothing of it stays.
  must("get", {"batch", derive_aggregate_id("account", "carol").text()});
  must("send", {"account", "name:carol", "open", R"({"owner":"Carol","handle":"@carol"})"});
  refuses(rejected, "wrong_aggregate_type", "send",
          {"batch", derive_aggregate_id("account", "carol").text(), "add", R"({"items":1})"});
  must("send", {"account", "name:carol", "deposit", R"({"cents":5})"});
}

BOOST_AUTO_TEST_CASE(a_command_id_that_named_another_command_is_rejected) {
  hybrid_clock clock;
  const auto id = clock.fresh<command_id>().text();
  const auto bob = std::vector<std::string>{"account", "name:bob"};
  must("send", {"account", "name:bob", "open", R"({"owner":"Bob","handle":"@bob"})", "--command-id", id});
  refuses(rejected, "command_id_reused", "send",
          {"account", "name:bob", "--command-id", id, "deposit", R"({"cents":1})"});
}

BOOST_AUTO_TEST_CASE(a_command_without_an_answer_in_time_is_in_doubt) {
  refuses(in_doubt, "--command-id", "send",
          {"batch", "name:slow", "--timeout", "1500", "add_slowly", R"({"milliseconds":3000})"});
}

BOOST_AUTO_TEST_CASE(a_peer_that_says_what_no_client_says_ends_nothing) {
  const auto client = node.connect();
  {
    peer stranger(node.address());
    caf::anon_send(stranger.gateway(), std::string("something else"));
    caf::anon_send(stranger.gateway(), caf::make_error(caf::sec::runtime_error));
    caf::anon_send_exit(stranger.gateway(), caf::exit_reason::user_shutdown);
    caf::anon_send_exit(stranger.gateway(), caf::exit_reason::kill);
    caf::anon_send(caf::actor_cast<caf::actor>(stranger.system().spawn<doomed_link>(stranger.gateway())), 1);
    stranger.finish();
  }
  const auto alice = derive_aggregate_id("account", "alice");
  for (int i = 0; i < 2; ++i) {
    const auto got = client->send_json("account", alice, "withdraw", R"({"cents":1})");
    BOOST_TEST((got.answer.failure.code == errc::rejected), to_string(got.answer.failure));
  }
  BOOST_TEST(std::count(node.child().out().begin(), node.child().out().end(), '\n') == 1, node.child().out());
}

BOOST_AUTO_TEST_CASE(a_withdrawal_of_what_was_not_asked_means_nothing) {
  peer stranger(node.address());
  caf::scoped_actor asking(stranger.system());
  caf::scoped_actor other(stranger.system());
  const auto withdraw = [&](const caf::scoped_actor& by, const std::vector<std::uint64_t>& requests) {
    by->send(stranger.gateway(), query_withdrawal{requests});
  };
  caf::anon_send(stranger.gateway(), query_withdrawal{{1, 2, 3}});
  withdraw(asking, {});
  withdraw(asking, std::vector<std::uint64_t>(500'000, 7));
  for (std::uint8_t hops = 0; hops < 4; ++hops) {
    withdraw(asking, {7});
    query_request question;
    question.request = 7;
    question.verb = static_cast<std::uint8_t>(query_verb::fetch);
    question.aggregate_type = "account";
    question.aggregate_id = derive_aggregate_id("account", "alice");
    question.hops = hops;
    question.asker = UINT64_MAX - hops;
    asking->send(stranger.gateway(), question);
    withdraw(other, {7});
    asking->receive(
        [](const query_reply& reply) {
          BOOST_TEST(reply.request == 7U);
          BOOST_TEST((static_cast<errc>(reply.code) == errc::none), reply.message);
        },
        caf::after(patience) >> [] { BOOST_ERROR("the gateway does not answer"); });
  }
  stranger.finish();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(bad_circumstances)

BOOST_AUTO_TEST_CASE(a_history_that_cannot_be_read_breaks_its_aggregate_only) {
  const test_store store;
  const auto uri = store.uri();
  BOOST_TEST(node_process(uri).end() == 0);
  {
    hybrid_clock clock;
    event strange;
    strange.timestamp = clock.now();
    strange.aggregate_id = derive_aggregate_id("account", "mallory");
    strange.sequence = 1;
    strange.aggregate_type = "account";
    strange.type = "laundered";
    strange.body = "{}";
    auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(opened.has_value());
    BOOST_TEST((*opened)->open_writer()->commit_events({strange}, {}).has_value());
  }
  node_process node(uri);
  check_failed(node.maestro("get", {"account", "name:mallory"}), broken, "cannot_hydrate");
  check_failed(node.maestro("send", {"account", "name:mallory", "deposit", R"({"cents":1})"}), broken, "laundered");
  BOOST_TEST(node.maestro("events", {"account", "name:mallory"}).status == 0);
  BOOST_TEST(node.maestro("send", {"account", "name:bob", "open", R"({"owner":"Bob","handle":"@bob"})"}).status == 0);
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(where_no_node_is_the_command_can_be_tried_again) {
  // A port that was free a moment ago.
  const test_store store;
  node_process node(store.uri());
  BOOST_TEST(node.end() == 0);
  check_failed(node.maestro("get", {"account", "name:alice"}), retryable, "node_unavailable");
  check_failed(node.maestro("send", {"account", "name:alice", "deposit", R"({"cents":1})"}), retryable, "node_unavailable");
  check_failed(node.maestro("list", {"account"}), retryable, "node_unavailable");
  for (const auto* address : {"", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http"})
    check_failed(run({MAESTRO_COMMAND, "get", "account", "name:alice", std::string("--node=") + address}), usage,
                 "invalid_argument");
}

BOOST_AUTO_TEST_CASE(a_store_that_cannot_be_reached_ends_the_node_as_retryable) {
  temporary_folder folder;
  check_node_fails(node_process::command("postgresql://127.0.0.1:1/x"), retryable, "store_unavailable");
  check_node_fails(node_process::command("postgresql://bob:secret@127.0.0.1:1/x"), retryable, "store_unavailable");
  BOOST_TEST((run(node_process::command("postgresql://bob:secret@127.0.0.1:1/x")).errors.find("secret") == std::string::npos));
  check_node_fails(node_process::command("sqlite:" + folder.path("no/such/folder.db")), retryable, "store_unavailable");
  check_failed(run({MAESTRO_COMMAND, "migrate", "--store", "postgresql://127.0.0.1:1/x"}), retryable, "store_unavailable");
  check_failed(run({MAESTRO_COMMAND, "migrate", "--store", "sqlite:" + folder.path("no/such/folder.db")}), retryable,
               "store_unavailable");
}

BOOST_AUTO_TEST_CASE(no_program_prints_a_password_that_stands_in_the_wrong_place) {
  const std::string node = MAESTRO_BANK_NODE;
  const std::string command = MAESTRO_COMMAND;
  const auto check = [&](const std::string& password, const std::string& uri) {
    for (const auto& line : std::vector<std::vector<std::string>>{
             {node, "--store " + uri}, {node, uri}, {node, "--port=" + uri}, {node, "--store=" + uri}, {node, "--store=sqlite://u:" + password + "@h/x"},
             {node, "--store=" + uri, "--dump-config"}, {node, "--store=host=x password='" + password + "'", "--dump-config"},
             {node, "--migrate=" + uri}, {node, "--store=sqlite::memory:", "--port=0", "--log.file=/dev/null/" + uri},
             {node, "--store=sqlite::memory:", "--port=0", "--tls.key-file=" + uri, "--tls.certificate-file=x", "--tls.ca-file=x"},
             {command, "--store=" + uri, "migrate"}, {command, uri}, {command, "migrate", "--store " + uri},
             {command, "migrate", "--store", uri}, {command, "migrate", "--store", "u:" + password + "@h"},
             {command, "get", "account", "name:a", "--node=" + uri}, {command, "get", "account", "name:a", "--timeout=" + uri},
             {command, "get", "account", "name:a", "u:" + password + "@"}, {command, "certificates", "x", "--days", uri}}) {
      const auto ended = run(line);
      BOOST_TEST((ended.status != 0 || line.back() == "--dump-config"), line[1]);
      for (const std::string_view part : {"s3", "cret"})
        BOOST_TEST((ended.out.find(part) == std::string::npos && ended.errors.find(part) == std::string::npos),
                   line[1] << ": " << ended.out << ended.errors);
    }
  };
  for (const std::string password : {"s3cret", "s3/cret", "s3@cret", "s3 cret", "s3=cret", "s3?cret"}) {
    check(password, "postgresql://u:" + password + "@127.0.0.1:1/bank");
    // With an '@' in it, what follows would be a host to all who read it.
    if (password.find('@') == std::string::npos) check(password, "postgresql://u:" + password + "/bank");
  }
}

BOOST_AUTO_TEST_CASE(what_is_hidden_of_an_argument_is_all_that_is_missing_from_a_message) {
  const auto said = [](const std::vector<std::string>& line) { return run(line).errors; };
  const std::string command = MAESTRO_COMMAND;
  BOOST_TEST(said({command, "get", "account", "alice@example.org"}) ==
             "maestro: invalid_argument: \"alice@example.org\" is no aggregate id; write 32 hex digits, or name:NAME\n");
  BOOST_TEST(said({command, "get", "account", "u:s3cret@example.org"}) ==
             "maestro: invalid_argument: \"u:***@example.org\" is no aggregate id; write 32 hex digits, or name:NAME\n");
  BOOST_TEST(said({command, "list", "account", "--after", "alice@example.org"}) ==
             "maestro: invalid_argument: \"alice@example.org\" is no aggregate id; write 32 hex digits, or name:NAME\n");
  BOOST_TEST(said({command, "get", "account", "name:alice", "--node=alice@example.org"}) ==
             "maestro: invalid_argument: \"alice@example.org\" is no node address; write HOST:PORT\n");
  BOOST_TEST(said({command, "alice@example.org"}) ==
             "maestro: invalid_argument: there is no verb \"alice@example.org\"; see maestro --help\n");
  BOOST_TEST(said({command, "postgresql://u:s3cret/bank"}) ==
             "maestro: invalid_argument: there is no verb \"postgresql://u:***\"; see maestro --help\n");
  BOOST_TEST(said({MAESTRO_BANK_NODE, "alice@example.org"}) == "bank_node: invalid_argument: unexpected argument: alice@example.org\n");
}

BOOST_AUTO_TEST_CASE(a_flag_with_a_value_is_refused_and_does_nothing) {
  for (const std::string value : {"false", "true", "sqlite:other.db"}) {
    check_node_fails({MAESTRO_BANK_NODE, "--store=sqlite::memory:", "--migrate=" + value}, usage, "--migrate takes no value");
    check_failed(run({MAESTRO_COMMAND, "get", "account", "name:alice", "--fetch=" + value}), usage, "--fetch takes no value");
    check_failed(run({MAESTRO_COMMAND, "--help=" + value}), usage, "--help takes no value");
  }
}

BOOST_AUTO_TEST_CASE(an_empty_name_makes_no_certificates) {
  temporary_folder folder;
  check_failed(run({MAESTRO_COMMAND, "certificates", folder.path("made"), "--name", "", "--for", "node"}), usage, "--name");
  BOOST_TEST(!std::ifstream(folder.path("made/ca.crt")).good());
}

BOOST_AUTO_TEST_CASE(a_store_that_is_none_is_wrong_usage) {
  check_node_fails(node_process::command("mysql://127.0.0.1/x"), usage, "invalid_setting");
  check_node_fails(node_process::command("store.db"), usage, "invalid_setting");
  check_failed(run({MAESTRO_COMMAND, "migrate", "--store", "store.db"}), usage, "invalid_setting");
}

BOOST_AUTO_TEST_CASE(a_node_that_may_not_migrate_says_which_tables_are_missing_and_what_to_run) {
  const test_store store;
  const auto node = node_process::command(store.uri(), {"--node.migrate=false"});
  check_node_fails(node, retryable, "`maestro migrate --store");
  BOOST_TEST(run({MAESTRO_COMMAND, "migrate", "--store", store.uri()}).status == 0);
  check_node_fails(node, retryable, "balances 1");
  const auto migrated = run(node_process::command(store.uri(), {"--migrate"}));
  BOOST_TEST(migrated.status == 0);
  BOOST_TEST(migrated.out == "{\"applied\":\"balances 1\"}\n{\"applied\":\"handles 1\"}\n{\"applied\":\"handles 2\"}\n{\"applied\":\"batch_totals 1\"}\n");
  BOOST_TEST(node_process(store.uri(), {"--node.migrate=false"}).end() == 0);
}

BOOST_AUTO_TEST_CASE(a_port_or_a_file_that_is_taken_ends_the_second_node_and_not_the_first) {
  temporary_folder folder;
  const auto uri = "sqlite:" + folder.path("store.db");
  node_process first(uri);
  check_node_fails(node_process::command("sqlite:" + folder.path("other.db"),
                                         {"--port=" + std::to_string(first.address().port)}),
                   retryable, "address_in_use");
  check_node_fails(node_process::command(uri), retryable, "store_in_use");
  check_failed(run({MAESTRO_COMMAND, "migrate", "--store", uri}), retryable, "store_in_use");
  BOOST_TEST(first.maestro("send", {"batch", "name:first", "add", R"({"items":2})"}).status == 0);
  BOOST_TEST(first.end() == 0);
  // Neither keeps anything from whoever comes next.
  BOOST_TEST(node_process(uri, {"--port=" + std::to_string(first.address().port)}).end() == 0);
}

BOOST_AUTO_TEST_CASE(a_configuration_that_cannot_be_read_is_wrong_usage) {
  temporary_folder folder;
  const auto with_file = [&](const std::string& content) {
    const auto path = folder.path("node.conf");
    std::ofstream(path) << content;
    return std::vector<std::string>{MAESTRO_BANK_NODE, "--config-file=" + path};
  };
  check_node_fails(with_file("maestro { node { prot = 4242 } }"), usage, "prot");
  check_node_fails(with_file("maestro { node { port = \"many\" } }"), usage, "port");
  check_node_fails(with_file("maestro { node { port = 65536 } }"), usage, "port");
  check_node_fails(with_file("maestro { aggregate { idle-timeout = 5 } }"), usage, "idle-timeout");
  check_node_fails(with_file("maestro { node {"), usage, "invalid_setting");
  check_node_fails({MAESTRO_BANK_NODE, "--config-file=" + folder.path("no-such.conf")}, usage, "no-such.conf");
  check_node_fails({MAESTRO_BANK_NODE, "--prot=4242"}, usage, "--prot");
  check_node_fails({MAESTRO_BANK_NODE, "--port=many"}, usage, "port");
  check_node_fails({MAESTRO_BANK_NODE, "4242"}, usage, "4242");
}

BOOST_AUTO_TEST_SUITE_END()
