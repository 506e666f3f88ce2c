#include "scratch_file.hpp"

#include <maestro/runtime/settings.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/settings.hpp>
#include <caf/timespan.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

auto load(std::vector<std::string> arguments) -> result<parsed_arguments> {
  std::vector<const char*> argv{"a_node"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  return load_settings(static_cast<int>(argv.size()), argv.data(), "a_node");
}

auto loaded(std::vector<std::string> arguments) -> node_settings {
  auto parsed = load(std::move(arguments));
  BOOST_TEST_REQUIRE(parsed.has_value(), (parsed ? "" : parsed.failure().message));
  BOOST_TEST(parsed->text == "");
  return parsed->settings;
}

auto refused(std::vector<std::string> arguments, errc code = errc::invalid_setting) -> std::string {
  auto parsed = load(std::move(arguments));
  BOOST_TEST_REQUIRE(!parsed.has_value());
  BOOST_TEST(to_string(parsed.failure().code) == to_string(code));
  BOOST_TEST((parsed.failure().kind() == error_kind::usage));
  BOOST_TEST(parsed.failure().message.find('\n') == std::string::npos);
  return parsed.failure().message;
}

// What is wrong with a file that holds `text`, without the file's own name.
auto refused_file(const std::string& text) -> std::string {
  const scratch_file file(text);
  const auto message = refused({"--config-file=" + file.path()});
  BOOST_TEST_REQUIRE(message.starts_with(file.path() + ':'), message);
  return message.substr(file.path().size() + 1);
}

auto printed(std::vector<std::string> arguments) -> std::string {
  auto parsed = load(std::move(arguments));
  BOOST_TEST_REQUIRE(parsed.has_value(), (parsed ? "" : parsed.failure().message));
  return parsed->text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(settings)

BOOST_AUTO_TEST_CASE(a_flag_takes_no_value) {
  for (const std::string flag : {"--migrate", "--help", "--version", "--dump-config"})
    for (const std::string value : {"true", "false", "", "x", "sqlite:other.db", "postgresql://u:s3cret@db/bank"})
      BOOST_TEST(refused({flag + '=' + value}, errc::invalid_argument) == flag + " takes no value");
}

BOOST_AUTO_TEST_CASE(no_message_repeats_a_password_from_the_wrong_place) {
  for (const std::string password : {"s3cret", "s3/cret", "s3@cret", "s3=cret", "s3 cret", "s3:cret", "s3cret-0123456789-0123456789-0123456789-0123456789"})
    for (const std::string prefix : {"--store postgresql://u:", "postgresql://u:", "u:", "--stroe=postgresql://u:", "--port=postgresql://u:",
                                     "--log.level=postgresql://u:", "--node.migrate=u:", "--aggregate.idle-timeout=postgresql://u:",
                                     "--store=sqlite://u:", "--cluster.advertise=postgresql://u:", "--config-file=postgresql://u:"}) {
      auto parsed = load({prefix + password + "@db/bank"});
      const auto said = parsed ? "" : parsed.failure().message;
      BOOST_TEST((said.find("s3") == std::string::npos && said.find("cret") == std::string::npos), said);
    }
  for (const std::string option : {"", "--store ", "--stroe=", "--port=", "--log.level=", "--cluster.advertise=", "--node.host=", "--config-file="}) {
    auto parsed = load({option + "postgresql://u:s3cret/bank"});
    const auto said = parsed ? "" : parsed.failure().message;
    BOOST_TEST((!said.empty() && said.find("s3cret") == std::string::npos), said);
  }
  for (const std::string argument : {"--store=host=db password=s3cret", "--store=postgresql://u:s3cret@db/x", "--node.name=postgresql://u:s3cret@db/x"})
    BOOST_TEST((printed({argument, "--dump-config"}).find("s3cret") == std::string::npos), argument);
}

BOOST_AUTO_TEST_CASE(what_our_own_words_say_stays_beside_what_is_hidden) {
  BOOST_TEST(refused({"alice@example.org"}, errc::invalid_argument) == "unexpected argument: alice@example.org");
  BOOST_TEST(refused({"--port=4242@x"}) == "--node.port must be an integer, not \"4242@x\"");
  BOOST_TEST(refused_file("maestro.node.port = 4242@x") == "1: maestro.node.port must be an integer, not \"4242@x\"");
  BOOST_TEST(refused_file("maestro.node.port = \"u:s3cret@x\"") == "1: maestro.node.port must be an integer, not the text \"u:***@x\"");
  BOOST_TEST(refused({"--cluster.advertise=alice@x"}) == "maestro.cluster.advertise is no HOST:PORT: alice@x");
  const auto unlistenable = refused({"--node.host=u:s3cret@x"});
  BOOST_TEST(unlistenable.starts_with("maestro.node.host is u:***@x, which is not loopback, and there is no TLS"), unlistenable);
}

BOOST_AUTO_TEST_CASE(without_arguments_a_node_has_the_defaults) {
  const auto settings = loaded({});
  BOOST_TEST(render_settings(settings) == render_settings());
  BOOST_TEST(settings.host == "127.0.0.1");
  BOOST_TEST(settings.port == 4242);
  BOOST_TEST(settings.store_uri == "sqlite:maestro.db");
  BOOST_TEST((settings.idle_timeout == 5min));
  BOOST_TEST(settings.caf.scheduler_policy == "handing-on");
}

BOOST_AUTO_TEST_CASE(every_default_is_within_its_own_bounds) {
  const scratch_file file(render_settings());
  BOOST_TEST(render_settings(loaded({"--config-file=" + file.path()})) == render_settings());
}

BOOST_AUTO_TEST_CASE(a_file_sets_what_it_names_and_leaves_the_rest) {
  const scratch_file file(
      "# a node\nmaestro {\n  store { uri = \"sqlite:x.db\", lock-timeout = 1s }\n  node.port = 0\n  node.migrate = "
      "false\n"
      "  clock.offset = -5s\n}\nscheduler { policy = \"stealing\" }\ncaf { middleman { heartbeat-interval = 1min } "
      "}\n");
  const auto settings = loaded({"--config-file", file.path()});
  BOOST_TEST(settings.store_uri == "sqlite:x.db");
  BOOST_TEST((settings.store.lock_timeout == 1s));
  BOOST_TEST(settings.port == 0);
  BOOST_TEST(!settings.migrate);
  BOOST_TEST((settings.clock_offset == -5s));
  BOOST_TEST(settings.caf.scheduler_policy == "stealing");
  BOOST_TEST((settings.caf.heartbeat_interval == 1min));
  BOOST_TEST(settings.host == "127.0.0.1");
}

BOOST_AUTO_TEST_CASE(the_command_line_beats_the_file_wherever_it_stands) {
  const scratch_file file("maestro.store.max-batch-events = 5\nmaestro.node.port = 1\nmaestro.log.level = \"debug\"\n");
  const auto settings = loaded({"--port=2", "--config-file=" + file.path(), "--store.max-batch-events", "7"});
  BOOST_TEST(settings.port == 2);
  BOOST_TEST(settings.store.max_batch_events == 7U);
  BOOST_TEST(settings.log_level == "debug");
}

BOOST_AUTO_TEST_CASE(every_setting_is_an_option_and_some_have_short_names) {
  for (const auto& key : setting_keys()) {
    const auto name = key.starts_with("maestro.") ? key.substr(8) : key;
    const auto message = refused({"--" + name}, errc::invalid_argument);
    BOOST_TEST(message.find("needs a value") != std::string::npos, message);
  }
  const auto settings = loaded({"--store", "sqlite::memory:", "--port", "0", "--host=127.0.0.2"});
  BOOST_TEST(settings.store_uri == "sqlite::memory:");
  BOOST_TEST(settings.port == 0);
  BOOST_TEST(settings.host == "127.0.0.2");
  BOOST_TEST(loaded({"--port=1", "--node.port=2"}).port == 2);
  BOOST_TEST(loaded({"--log.file", ""}).log_file == "");
  BOOST_TEST((loaded({"--clock.offset", "-2h"}).clock_offset == -2h));
  BOOST_TEST(loaded({"--store=postgresql://a,b/c?options=[x]"}).store_uri == "postgresql://a,b/c?options=[x]");
}

BOOST_AUTO_TEST_CASE(an_unknown_key_in_a_file_is_named_with_the_one_that_was_meant) {
  BOOST_TEST(refused_file("\nmaestro {\n  node {\n    prot = 1\n  }\n}\n") ==
             "4: there is no setting maestro.node.prot; did you mean maestro.node.port?");
  BOOST_TEST(refused_file("maestro.store.max-batch-event = 1") ==
             "1: there is no setting maestro.store.max-batch-event; did you mean maestro.store.max-batch-events?");
  BOOST_TEST(refused_file("store { uri = \"sqlite:x\" }") ==
             "1: there is no setting store.uri; did you mean maestro.store.uri?");
  BOOST_TEST(refused_file("maestro { uri = \"sqlite:x\" }") ==
             "1: there is no setting maestro.uri; did you mean maestro.store.uri?");
  BOOST_TEST(refused_file("middleman.enable-tcp = true") == "1: there is no setting middleman.enable-tcp");
  BOOST_TEST(refused_file("maestro.xyzzy { }") == "1: there is no setting maestro.xyzzy");
  BOOST_TEST(refused_file("maestro.store = \"sqlite:x\"") ==
             "1: maestro.store is a group of settings, it takes no value of its own");
}

BOOST_AUTO_TEST_CASE(a_mistyped_value_in_a_file_is_named_with_what_was_expected) {
  BOOST_TEST(refused_file("maestro.node.port = \"4242\"") ==
             "1: maestro.node.port must be an integer, not the text \"4242\"");
  BOOST_TEST(refused_file("maestro.node.port = 5s") == "1: maestro.node.port must be an integer, not the duration 5s");
  BOOST_TEST(refused_file("maestro.node.port { }") == "1: maestro.node.port must be an integer, not a group");
  BOOST_TEST(refused_file("maestro.node.port = [1]") == "1: maestro.node.port must be an integer, not a list");
  BOOST_TEST(refused_file("maestro.node.port = 1.5") == "1: maestro.node.port must be an integer, not \"1.5\"");
  BOOST_TEST(refused_file("maestro.node.name = 5") ==
             "1: maestro.node.name must be a text, not the integer 5: put it in double quotes");
  BOOST_TEST(refused_file("maestro.node.migrate = yes") ==
             "1: maestro.node.migrate must be true or false, not \"yes\"");
  BOOST_TEST(refused_file("maestro.node.migrate = 1") ==
             "1: maestro.node.migrate must be true or false, not the integer 1");
  BOOST_TEST(refused_file("\nmaestro.store.lock-timeout = 200") ==
             "2: maestro.store.lock-timeout must be a duration such as 500ms, 2s or 5min, not the integer 200");
  BOOST_TEST(refused_file("maestro.log.level = \"loud\"") ==
             "1: maestro.log.level must be one of off, error, warn, info, debug, trace, not \"loud\"");
  BOOST_TEST(refused_file("scheduler.policy = 'fair'") ==
             "1: scheduler.policy must be one of handing-on, sharing, stealing, not \"fair\"");
}

BOOST_AUTO_TEST_CASE(a_value_out_of_range_is_named_with_the_bounds) {
  BOOST_TEST(refused({"--port=65536"}) == "--node.port must be between 0 and 65535, not 65536");
  BOOST_TEST(refused({"--port=-1"}) == "--node.port must be between 0 and 65535, not -1");
  BOOST_TEST(refused({"--port=99999999999999999999"}) ==
             "--node.port must be between 0 and 65535, not 99999999999999999999");
  BOOST_TEST(refused({"--store.readers=0"}) == "--store.readers must be between 1 and 64, not 0");
  BOOST_TEST(refused({"--aggregate.idle-timeout=0s"}) ==
             "--aggregate.idle-timeout must be between 1ms and 8760h, not 0s");
  BOOST_TEST(refused_file("maestro.store.connect-timeout = 2h") ==
             "1: maestro.store.connect-timeout must be between 1ms and 1h, not 2h");
  BOOST_TEST(refused({"--store", ""}) == "--store.uri must not be empty");
}

BOOST_AUTO_TEST_CASE(a_wrong_argument_is_named) {
  BOOST_TEST(refused({"--prot=1"}, errc::invalid_argument) == "there is no option --prot; did you mean --node.port?");
  BOOST_TEST(refused({"--store.max-batch-event=1"}, errc::invalid_argument) ==
             "there is no option --store.max-batch-event; did you mean --store.max-batch-events?");
  BOOST_TEST(refused({"-x"}, errc::invalid_argument) == "there is no option -x; --help lists all");
  BOOST_TEST(refused({"--frobnicate"}, errc::invalid_argument) == "there is no option --frobnicate; --help lists all");
  BOOST_TEST(refused({"extra"}, errc::invalid_argument) == "unexpected argument: extra");
  BOOST_TEST(refused({"--port"}, errc::invalid_argument) == "--port needs a value");
  BOOST_TEST(refused({"--config-file=/nowhere/x.conf"}, errc::invalid_argument) ==
             "the configuration file /nowhere/x.conf cannot be read: No such file or directory");
}

BOOST_AUTO_TEST_CASE(no_message_holds_the_password_of_a_store) {
  const std::string uri = "postgresql://user:s3cret@localhost/db?application_name=x";
  for (const auto& message :
       {refused({uri}, errc::invalid_argument), refused({"--stoer=" + uri}, errc::invalid_argument),
        refused({"--stoer", uri}, errc::invalid_argument), refused({"--port=1", "--store=" + uri, "--port=x"}),
        refused({"--store.readers", "0", "--store", uri}), refused({"--store", uri, "stray"}, errc::invalid_argument),
        refused_file("maestro.store.uri = " + uri), refused_file("maestro.store.uri = \"" + uri),
        refused_file("maestro.store.uri = <" + uri + ">"), refused_file("maestro.store.url = \"" + uri + "\""),
        refused_file("maestro.store.uri = [\"" + uri + "\"]")}) {
    BOOST_TEST(message.find("s3cret") == std::string::npos, message);
  }
  const auto dump = printed({"--dump-config", "--store=" + uri});
  BOOST_TEST(dump.find("user") != std::string::npos);
  BOOST_TEST(dump.find("s3cret") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_would_make_a_cluster_fall_apart_is_refused) {
  BOOST_TEST(refused({"--cluster.suspicion-time=999ms"}).find("four times maestro.cluster.heartbeat-interval (250ms)") != std::string::npos);
  BOOST_TEST(loaded({"--cluster.suspicion-time=1s"}).membership.suspicion_time == std::chrono::seconds(1));
  BOOST_TEST(refused({"--cluster.advertise=here"}).find("no HOST:PORT: here") != std::string::npos);
  BOOST_TEST(loaded({"--cluster.advertise=node1.example:4242"}).advertise == "node1.example:4242");

  // Every address is none to connect to; an embedded store has nobody who would.
  const std::vector<std::string> anywhere{"--host=0.0.0.0", "--node.insecure-listen=true"};
  auto shared = anywhere;
  shared.emplace_back("--store=postgresql://localhost/x");
  BOOST_TEST(refused(shared).find("maestro.cluster.advertise") != std::string::npos);
  shared.emplace_back("--cluster.advertise=node1.example:4242");
  BOOST_TEST(loaded(shared).host == "0.0.0.0");
  BOOST_TEST(loaded(anywhere).host == "0.0.0.0");
}

BOOST_AUTO_TEST_CASE(a_node_listens_beyond_loopback_with_tls_or_when_told_so_twice) {
  for (const char* host : {"0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.example.org", "127.1"}) {
    const auto message = refused({"--host=" + std::string(host)});
    BOOST_TEST(message.find("there is no TLS") != std::string::npos, message);
    BOOST_TEST(message.find("insecure-listen") != std::string::npos, message);
    BOOST_TEST(loaded({"--host=" + std::string(host), "--node.insecure-listen=true"}).host == host);
    // Whether the files can be used is found when they are read.
    BOOST_TEST(loaded({"--host=" + std::string(host), "--tls.certificate-file=node.crt"}).tls.certificate_file == "node.crt");
  }
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"}) {
    BOOST_TEST(loaded({"--host=" + std::string(host)}).host == host);
  }
  BOOST_TEST(refused({"--host", ""}) == "--node.host must not be empty");
}

BOOST_AUTO_TEST_CASE(a_loopback_address_is_one_however_it_is_written) {
  for (const std::string host : {"127.0.0.1", "127.255.0.9", "localhost", "::1", "[::1]", "0:0:0:0:0:0:0:1",
                                 "[0:0:0:0:0:0:0:1]", "::ffff:127.0.0.1"}) {
    BOOST_TEST(is_loopback(host), host);
    BOOST_TEST(loaded({"--host=" + host}).host.find('[') == std::string::npos);
  }
  for (const std::string host : {"0.0.0.0", "::", "[::]", "::2", "127.0.0.1.example.org", "127.example.org", "127.0.0",
                                 "128.0.0.1", "::ffff:10.0.0.1", "[::1", "localhost.example.org"})
    BOOST_TEST(!is_loopback(host), host);
  const scratch_file file("maestro.node.host = \"[::1]\"\n");
  BOOST_TEST(loaded({"--config-file=" + file.path()}).host == "::1");
  for (const std::string any : {"0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"})
    BOOST_TEST((refused({"--host=" + any, "--node.insecure-listen=true", "--store=postgresql:///x"})
                    .find("cluster.advertise") != std::string::npos),
               any);
}

BOOST_AUTO_TEST_CASE(no_setting_can_forge_a_line_of_output) {
  for (const std::string option : {"--node.name", "--store.uri", "--node.host", "--log.file", "--cluster.advertise",
                                   "--tls.key-file", "--log.level", "--scheduler.policy"})
    for (const std::string bad : {"\n", "\r", "\t", "\x1b[2J", "\x7f", "\xc2\x9b", "\xc2\x85"})
      BOOST_TEST(refused({option + "=a" + bad + "ready b"}) ==
                 option + " must not hold control characters, such as line breaks");
  const scratch_file file("maestro.node.name = \"a\\nready b\"\n");
  BOOST_TEST((refused({"--config-file=" + file.path()}).find("maestro.node.name must not hold control characters") !=
              std::string::npos));
  BOOST_TEST(refused({"--node.name=\xff"}) == "--node.name must be UTF-8");
  BOOST_TEST(refused({"--node.name=\xc3"}) == "--node.name must be UTF-8");
  BOOST_TEST(refused({"--node.name=\xed\xa0\x80"}) == "--node.name must be UTF-8");
  BOOST_TEST(loaded({"--node.name=M\xc3\xbcnchen \xf0\x9f\x98\x80"}).name == "M\xc3\xbcnchen \xf0\x9f\x98\x80");
  BOOST_TEST(loaded({"--log.file=/tmp/\xff"}).log_file == "/tmp/\xff");
  // A program that sets it by itself is told at the start.
  node_settings settings;
  settings.name = "a\nready b";
  const auto checked = check_settings(settings);
  BOOST_TEST_REQUIRE(!checked.has_value());
  BOOST_TEST(
      (checked.failure().message.find("maestro.node.name must not hold control characters") != std::string::npos),
      checked.failure().message);
}

BOOST_AUTO_TEST_CASE(help_says_what_signals_do) {
  const auto text = printed({"--help"});
  for (const std::string signal : {"SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"})
    BOOST_TEST(text.find(signal) != std::string::npos, signal);
}

BOOST_AUTO_TEST_CASE(help_names_every_setting_and_stops_there) {
  const auto text = printed({"--help", "--port=0"});
  BOOST_TEST(text.starts_with("Usage: a_node "));
  for (const auto& key : setting_keys()) {
    const auto name = "--" + (key.starts_with("maestro.") ? key.substr(8) : key) + '=';
    BOOST_TEST(text.find(name) != std::string::npos, name);
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) BOOST_TEST(line.size() <= 100U, line);
  BOOST_TEST(printed({"-h"}) == text);
  BOOST_TEST(printed({"--version"}) == std::string("a_node ") + MAESTRO_VERSION + '\n');
}

BOOST_AUTO_TEST_CASE(the_dumped_configuration_is_read_back_as_it_was) {
  const auto first =
      printed({"--dump-config", "--store=sqlite:a \"b\"\\#.db", "--clock.offset=-1500ms", "--log.level=trace"});
  const scratch_file file(first);
  BOOST_TEST(printed({"--dump-config", "--config-file=" + file.path()}) == first);
  const auto settings = loaded({"--config-file=" + file.path()});
  BOOST_TEST(settings.store_uri == "sqlite:a \"b\"\\#.db");
  BOOST_TEST((settings.clock_offset == -1500ms));
}

BOOST_AUTO_TEST_CASE(the_reference_configuration_is_complete_and_says_the_defaults) {
  const std::string path = MAESTRO_CONFIG_DIR "/node.conf";
  BOOST_TEST(render_settings(loaded({"--config-file=" + path})) == render_settings());
  // Write it anew with `bank_node --dump-config > config/node.conf` when a setting was added.
  BOOST_TEST(read_whole_file(path) == render_settings());
}

BOOST_AUTO_TEST_CASE(the_bank_has_a_store_of_its_own) {
  const auto settings = loaded({"--config-file=" MAESTRO_CONFIG_DIR "/bank.conf"});
  BOOST_TEST(settings.store_uri == "sqlite:bank.db");
  BOOST_TEST(settings.port == 4242);
}

BOOST_AUTO_TEST_CASE(caf_reads_our_format_to_the_same_values) {
  // CAF's own reader, on a file as it writes them (comments changed their sign between CAF's releases: there are none
  // here).
  const auto without_comments = [] {
    std::istringstream all(render_settings());
    std::string kept;
    for (std::string line; std::getline(all, line);)
      if (line.find('#') == std::string::npos) kept += line + '\n';
    return kept;
  }();
  std::istringstream stream(without_comments);
  const auto content = caf::actor_system_config::parse_config(stream);
  BOOST_TEST_REQUIRE(static_cast<bool>(content));
  BOOST_TEST(caf::get<std::string>(*content, "maestro.store.uri") == "sqlite:maestro.db");
  BOOST_TEST(caf::get<int>(*content, "maestro.node.port") == 4242);
  BOOST_TEST(caf::get<bool>(*content, "maestro.node.migrate"));
  BOOST_TEST((caf::get<caf::timespan>(*content, "maestro.aggregate.idle-timeout") == 5min));
  BOOST_TEST((caf::get<caf::timespan>(*content, "middleman.heartbeat-interval") == 500ms));
}

BOOST_AUTO_TEST_CASE(caf_gets_its_part) {
#if CAF_VERSION < 1800
  const std::string prefix;
#else
  const std::string prefix = "caf.";
#endif
  auto settings = loaded({"--scheduler.max-threads=3", "--middleman.connection-timeout=3s"});
  caf::actor_system_config config;
  configure_caf(config, settings.caf);
  const auto& content = config.content;
  BOOST_TEST(caf::get<int>(content, prefix + "scheduler.max-threads") == 3);
  BOOST_TEST((caf::get<caf::timespan>(content, prefix + "middleman.connection-timeout") == 3s));
  BOOST_TEST((caf::get<caf::timespan>(content, prefix + "middleman.heartbeat-interval") == 500ms));
  settings.caf.max_threads = 0;
  configure_caf(config, settings.caf);
  BOOST_TEST(caf::get<unsigned>(content, prefix + "scheduler.max-threads") == std::thread::hardware_concurrency());
}

BOOST_AUTO_TEST_CASE(a_setting_can_be_set_by_its_key) {
  node_settings settings;
  BOOST_TEST(set_setting(settings, "node.port", "1").has_value());
  BOOST_TEST(settings.port == 1);
  BOOST_TEST(set_setting(settings, "maestro.node.port", "2").has_value());
  BOOST_TEST(settings.port == 2);
  const auto unknown = set_setting(settings, "node.prot", "1");
  BOOST_TEST_REQUIRE(!unknown.has_value());
  BOOST_TEST(unknown.failure().message == "there is no setting node.prot; did you mean maestro.node.port?");
}

BOOST_AUTO_TEST_CASE(durations_are_exact_or_refused) {
  for (const auto& [text, value] : std::vector<std::pair<std::string, std::chrono::milliseconds>>{
           {"0s", 0ms}, {"1ms", 1ms}, {"1500ms", 1500ms}, {"90s", 90s}, {"90min", 90min}, {"36h", 36h}, {"-5s", -5s}}) {
    const auto parsed = parse_duration(text);
    BOOST_TEST_REQUIRE(parsed.has_value(), text);
    BOOST_TEST((*parsed == value), text);
    BOOST_TEST(render_duration(value) == text);
  }
  BOOST_TEST((*parse_duration("2000us") == 2ms));
  BOOST_TEST((*parse_duration("3000000ns") == 3ms));
  for (const char* text :
       {"", "5", "s", "5 s", "5d", "1.5s", "-s", "--5s", "5ss", "+5s", "1us", "9999999999999s", "1e3s"}) {
    BOOST_TEST(!parse_duration(text).has_value(), text);
  }
}

BOOST_AUTO_TEST_SUITE_END()
