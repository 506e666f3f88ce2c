// The `maestro` command: sends commands and questions to a node from a shell. One JSON document per line on stdout, errors as
// one line on stderr, and an exit status that tells what kind of failure it was.
#include <maestro/aggregates/metadata.hpp>
#include <maestro/runtime/certificates.hpp>
#include <maestro/runtime/client.hpp>
#include <maestro/runtime/moment_text.hpp>
#include <maestro/runtime/node.hpp>
#include <maestro/runtime/program.hpp>
#include <maestro/runtime/setting_table.hpp>
#include <maestro/store/json.hpp>

#include <CLI/CLI.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace maestro;

struct arguments {
  std::vector<std::string> nodes;
  std::int64_t timeout_milliseconds = 10'000;
  tls_settings tls;
  std::string type;
  std::string id;
  std::string command;
  std::string payload;
  std::string command_id;
  std::optional<sequence_number> expect_sequence;
  return_mode returns = return_mode::sequences;
  bool fetch = false;
  sequence_number at_least = 0;
  std::string from;
  std::string up_to;
  std::string metadata;
  std::string correlation_id;
  std::string causation_id;
  sequence_number after = 0;
  std::string after_id;
  std::optional<std::size_t> limit;
  std::string store;
  int partitions = 0;
  std::string projection;
  bool restart = false;
  bool abandon = false;
  bool watch = false;
  certificate_options certificates;
};

auto report(const error& failure) -> int {
  // What is wrong with an argument repeats it, and it may be a store's URI in the wrong place.
  std::cerr << "maestro: " << without_passwords(to_string(failure)) << std::endl;
  if (failure.code == errc::store_in_use) return 4;
  return exit_status(failure);
}

// What is printed goes on to stdout here. The exit status of a verb that has printed all it had to say: 1 where that
// could not be written, with `done`, what was done all the same, before the reason.
auto end_of_output(const std::string& done = {}) -> int {
  const auto flushed = flush_output();
  return flushed ? 0 : report({flushed.failure().code, done + flushed.failure().message});
}

auto member(std::string_view name, const std::string& value) -> std::string {
  return "\"" + std::string(name) + "\":" + value;
}

auto quoted(std::string_view name, std::string_view value) -> std::string { return member(name, json_quote(value)); }

auto event_line(const event& row) -> std::string {
  std::string line = "{" + member("sequence", std::to_string(row.sequence)) + "," +
                     quoted("timestamp", row.timestamp.text()) + "," + quoted("type", row.type) + "," +
                     member("body", row.body);
  if (row.command_id) line += "," + quoted("command_id", row.command_id->text());
  const auto said = read_metadata(row.metadata);
  if (!said.correlation_id.empty()) line += "," + quoted("correlation_id", said.correlation_id);
  if (!said.causation_id.empty()) line += "," + quoted("causation_id", said.causation_id);
  if (!row.metadata.empty()) line += "," + member("metadata", row.metadata);
  return line + "}";
}

// A JSON argument: the text itself, `-` for what stdin holds, or `@FILE` for what the file holds. No JSON object begins
// like that.
auto read_json(const std::string& argument) -> result<std::string> {
  // Twice what a node takes: it is the node that says what is wrong with a document, and where.
  constexpr std::size_t most_bytes = 2 * json_limits{}.bytes;
  if (argument != "-" && !argument.starts_with('@')) return argument;
  const auto path = argument.substr(1);
  const auto name = argument == "-" ? "stdin" : path;
  const auto wrong = [&](const std::string& what) { return error{errc::invalid_argument, name + ' ' + what}; };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(
      argument == "-" ? nullptr : std::fopen(path.c_str(), "re"),
      [](std::FILE* file) { return file != nullptr ? std::fclose(file) : 0; });
  std::FILE* from = argument == "-" ? stdin : opened.get();
  if (from == nullptr) return wrong("cannot be read: " + std::system_category().message(errno));
  std::string text(most_bytes + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), from));
  if (std::ferror(from) != 0) return wrong("cannot be read: " + std::system_category().message(errno));
  if (text.size() > most_bytes)
    return wrong("holds more than " + std::to_string(most_bytes) + " bytes, and a node takes " +
                 std::to_string(json_limits{}.bytes));
  return text;
}

auto id_of(const arguments& given) -> result<aggregate_id> {
  auto id = parse_aggregate_id(given.type, given.id);
  if (!id)
    return error{errc::invalid_argument, "\"" + given.id + "\" is no aggregate id; write 32 hex digits, or name:NAME"};
  return *id;
}

// What the command line says, or else the environment. With CLI11's own means the environment would beat the command
// line.
auto or_variable(const std::string& given, const char* variable) -> std::string {
  const char* said = given.empty() ? std::getenv(variable) : nullptr;
  return said != nullptr ? said : given;
}

auto nodes_of(const arguments& given) -> std::vector<std::string> {
  if (!given.nodes.empty()) return given.nodes;
  const auto said = or_variable("", "MAESTRO_NODE");
  return said.empty() ? std::vector<std::string>{"127.0.0.1:4242"} : CLI::detail::split(said, ',');
}

auto tls_of(const arguments& given) -> tls_settings {
  return {or_variable(given.tls.certificate_file, "MAESTRO_TLS_CERTIFICATE"),
          or_variable(given.tls.key_file, "MAESTRO_TLS_KEY"), or_variable(given.tls.ca_file, "MAESTRO_TLS_CA")};
}

auto connect(const arguments& given) -> result<std::unique_ptr<client>> {
  std::vector<node_address> addresses;
  for (const auto& text : nodes_of(given)) {
    auto address = node_address::parse(text);
    if (!address) return address.failure();
    addresses.push_back(std::move(*address));
  }
  client_settings settings;
  settings.timeout = std::chrono::milliseconds(given.timeout_milliseconds);
  settings.tls = tls_of(given);
  return client::connect(std::move(addresses), settings);
}

auto send(const arguments& given) -> int {
  auto id = id_of(given);
  if (!id) return report(id.failure());
  send_options options;
  options.expect_sequence = given.expect_sequence;
  options.returns = given.returns;
  if (given.payload == "-" && given.metadata == "-")
    return report({errc::invalid_argument, "only one of JSON and --metadata can be on stdin"});
  auto payload = read_json(given.payload);
  if (!payload) return report(payload.failure());
  auto metadata = read_json(given.metadata);
  if (!metadata) return report(metadata.failure());
  options.metadata = std::move(*metadata);
  options.correlation_id = given.correlation_id;
  options.causation_id = given.causation_id;
  if (!given.command_id.empty()) {
    options.command_id = command_id::parse(given.command_id);
    if (!options.command_id)
      return report({errc::invalid_argument, "\"" + given.command_id + "\" is no command id; write 32 hex digits"});
  }
  auto to = connect(given);
  if (!to) return report(to.failure());
  const auto got = (*to)->send_json(given.type, *id, given.command, std::move(*payload), options);
  if (got.answer.failure.kind() == error_kind::in_doubt && got.answer.failure)
    return report({got.answer.failure.code, got.answer.failure.message + " (--command-id " + got.command_id.text() + ")"});
  if (got.answer.failure) return report(got.answer.failure);
  std::string line = "{" + quoted("aggregate_id", id->text()) + "," + quoted("command_id", got.command_id.text()) + "," +
                     member("first", std::to_string(got.answer.first)) + "," +
                     member("last", std::to_string(got.answer.last));
  if (got.answer.repeated) line += ",\"repeated\":true";
  if (given.returns == return_mode::state) line += "," + member("state", got.answer.state.empty() ? "null" : got.answer.state);
  if (given.returns == return_mode::events) {
    line += ",\"events\":[";
    for (std::size_t i = 0; i < got.answer.events.size(); ++i) line += (i > 0 ? "," : "") + event_line(got.answer.events[i]);
    line += "]";
  }
  std::cout << line << "}\n";
  return end_of_output("the command was carried out (--command-id " + got.command_id.text() + ", sequences " +
                       std::to_string(got.answer.first) + " to " + std::to_string(got.answer.last) + "), but ");
}

// A question about one aggregate, and how to print the reply.
template <class Fill, class Print>
auto ask(const arguments& given, query_verb verb, Fill&& fill, Print&& print) -> int {
  auto id = id_of(given);
  if (!id) return report(id.failure());
  auto to = connect(given);
  if (!to) return report(to.failure());
  const auto reply = (*to)->ask(verb, given.type, *id, fill);
  if (reply.code != 0) return report(client::failure_of(reply));
  print(*id, reply);
  return end_of_output(verb == query_verb::snapshot ? "the snapshot was stored, but " : "");
}

void print_state(const aggregate_id& id, const query_reply& reply) {
  std::cout << "{" << quoted("aggregate_id", id.text()) << "," << member("sequence", std::to_string(reply.sequence))
            << "," << member("state", reply.state) << "}\n";
}

void set_up_to(query_request& request, const moment& up_to) {
  request.up_to = up_to.sequence;
  request.up_to_time = up_to.time.value_or(query_request::any_time);
}

auto get(const arguments& given) -> int {
  return ask(given, given.fetch ? query_verb::fetch : query_verb::get,
             [&](query_request& request) { request.at_least = given.at_least; }, print_state);
}

auto replay(const arguments& given) -> int {
  const auto up_to = parse_moment(given.up_to);
  if (!up_to) return report(up_to.failure());
  return ask(given, query_verb::replay, [&](query_request& request) { set_up_to(request, *up_to); }, print_state);
}

auto diff(const arguments& given) -> int {
  const auto from = parse_moment(given.from);
  if (!from) return report(from.failure());
  const auto up_to = parse_moment(given.up_to);
  if (!up_to) return report(up_to.failure());
  const auto fill = [&](query_request& request) {
    set_up_to(request, *up_to);
    request.from = from->sequence;
    request.from_time = from->time.value_or(query_request::any_time);
  };
  return ask(given, query_verb::diff, fill, [](const aggregate_id& id, const query_reply& reply) {
    std::cout << "{" << quoted("aggregate_id", id.text()) << "," << reply.state.substr(1) << '\n';
  });
}

auto take_snapshot(const arguments& given) -> int {
  return ask(
      given, query_verb::snapshot, [](query_request&) {},
      [](const aggregate_id& id, const query_reply& reply) {
        std::cout << "{" << quoted("aggregate_id", id.text()) << ","
                  << member("sequence", std::to_string(reply.sequence)) << "}\n";
      });
}

// `events` and `list` ask page by page until the node has no more, or the limit is reached.
template <class Next>
auto page_through(const arguments& given, query_verb verb, aggregate_id id, Next&& next) -> int {
  auto to = connect(given);
  if (!to) return report(to.failure());
  sequence_number after = given.after;
  std::size_t left = given.limit.value_or(SIZE_MAX);
  while (left > 0) {
    const auto reply = (*to)->ask(verb, given.type, id, [&](query_request& request) {
      request.after = after;
      request.limit = static_cast<std::uint32_t>(std::min<std::size_t>(left, 1000));
    });
    if (reply.code != 0) return report(client::failure_of(reply));
    left -= std::min(left, next(reply, id, after));
    if (const int status = end_of_output(); status != 0 || !reply.more) return status;
  }
  return 0;
}

auto history(const arguments& given) -> int {
  auto id = id_of(given);
  if (!id) return report(id.failure());
  return page_through(given, query_verb::events, *id,
                      [](const query_reply& reply, aggregate_id&, sequence_number& after) {
                        for (const auto& row : reply.events) std::cout << event_line(row) << '\n';
                        if (!reply.events.empty()) after = reply.events.back().sequence;
                        return reply.events.size();
                      });
}

auto list(const arguments& given) -> int {
  aggregate_id after{};
  if (!given.after_id.empty()) {
    auto parsed = parse_aggregate_id(given.type, given.after_id);
    if (!parsed)
      return report({errc::invalid_argument, "\"" + given.after_id + "\" is no aggregate id; write 32 hex digits, or name:NAME"});
    after = *parsed;
  }
  return page_through(given, query_verb::list, after, [](const query_reply& reply, aggregate_id& last, sequence_number&) {
    for (const auto& head : reply.heads)
      std::cout << "{" << quoted("aggregate_id", head.aggregate_id.text()) << ","
                << member("sequence", std::to_string(head.sequence)) << "}\n";
    if (!reply.heads.empty()) last = reply.heads.back().aggregate_id;
    return reply.heads.size();
  });
}

// What changes all the time is no change.
auto without_heartbeats(std::string lines) -> std::string {
  constexpr std::string_view mark = "\"heartbeat\":";
  for (auto at = lines.find(mark); at != lines.npos; at = lines.find(mark, at)) {
    const auto number = at + mark.size();
    lines.erase(at, lines.find_first_not_of("0123456789", number) - at);
  }
  return lines;
}

// Has the node rebuild a projection, and says every second how far it is.
auto rebuild(const arguments& given) -> int {
  constexpr auto pause = std::chrono::milliseconds(100);
  constexpr auto interval = std::chrono::seconds(1);
  auto to = connect(given);
  if (!to) return report(to.failure());
  auto said = std::chrono::steady_clock::now() - interval;
  std::string wish = given.abandon ? "abandon" : given.restart ? "restart" : "resume";
  while (true) {
    const auto reply = (*to)->ask(query_verb::rebuild, {}, {}, [&](query_request& request) {
      request.name = given.projection;
      request.payload = std::exchange(wish, {});
    });
    auto failure = client::failure_of(reply);
    if (failure.code == errc::node_unavailable) failure.message += "; the rebuild goes on where it was when you ask again";
    if (failure) return report(failure);
    const auto now = std::chrono::steady_clock::now();
    if (!reply.more || now - said >= interval) {
      std::cout << reply.state << '\n';
      said = now;
    }
    if (const int status = end_of_output(reply.more ? "the rebuild goes on, but " : "the rebuild is done, but ");
        status != 0 || !reply.more)
      return status;
    std::this_thread::sleep_for(pause);
  }
}

// Prints who is in the cluster, and with --watch, until somebody ends it, again whenever that has changed.
auto members(const arguments& given) -> int {
  constexpr auto pause = std::chrono::milliseconds(200);
  auto to = connect(given);
  if (!to) return report(to.failure());
  std::string said;
  do {
    const auto reply = (*to)->ask(query_verb::members, {}, {});
    if (reply.code != 0) return report(client::failure_of(reply));
    if (auto now = without_heartbeats(reply.state); now != said) {
      std::cout << reply.state << (given.watch ? "\n" : "");
      said = std::move(now);
    }
    if (const int status = end_of_output(); status != 0 || !given.watch) return status;
    std::this_thread::sleep_for(pause);
  } while (true);
}

auto migrate(const arguments& given) -> int {
  store_settings settings;
  settings.partitions = given.partitions;
  auto applied = migrate_store(given.store, {}, settings);
  if (!applied) return report(applied.failure());
  std::cout << *applied;
  return end_of_output("the tables are as they should be, but ");
}

auto certificates(const arguments& given) -> int {
  const auto made = make_certificates(given.certificates);
  if (!made) return report(made.failure());
  for (const auto& file : *made) std::cout << "{" << quoted("made", file.path) << "," << quoted("for", file.purpose) << "}\n";
  return end_of_output("the certificates were made, but ");
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::size_t fewest_descriptors = 32;
  prepare_program(argc, argv);
  if (auto enough = use_all_descriptors(fewest_descriptors); !enough) return report(enough.failure());
  CLI::App app{"Talks to a maestro node: one JSON document per line on stdout, errors as one line on stderr.\n"
               "An ID is 32 hex digits, or name:NAME for the aggregate of that type known by NAME.\n"
               "Exit status: 0 done, 1 broken, 2 wrong usage, 3 rejected, 4 retryable, 5 in doubt.",
               "maestro"};
  arguments given;
  int status = 0;
  app.require_subcommand(1);
  app.set_version_flag("--version", MAESTRO_VERSION);

  const auto verb = [&](const char* name, const char* text, auto run) {
    auto* sub = app.add_subcommand(name, text);
    sub->callback([&status, &given, run] { status = run(given); });
    return sub;
  };
  const auto at_node = [&](CLI::App* sub) {
    sub->add_option("--node", given.nodes,
                    "The node's address; several of one cluster, with commas or --node again: the first that answers; "
                    "without: MAESTRO_NODE, or 127.0.0.1:4242")
        ->type_name("HOST:PORT")
        ->delimiter(',')
        ->allow_extra_args(false);
    sub->add_option("--timeout", given.timeout_milliseconds, "How long to wait, in milliseconds")
        ->check(CLI::Range(1, 3'600'000))->capture_default_str();
    const auto file = [sub](const char* name, std::string& path, const char* text) {
      sub->add_option(name, path, text)->type_name("FILE");
    };
    file("--tls-certificate", given.tls.certificate_file,
         "For a node that speaks TLS: your certificate; without: MAESTRO_TLS_CERTIFICATE");
    file("--tls-key", given.tls.key_file, "its private key; without: MAESTRO_TLS_KEY");
    file("--tls-ca", given.tls.ca_file,
         "and the authority that signed the node's certificate; without: MAESTRO_TLS_CA");
    return sub;
  };
  const auto of_node = [&](CLI::App* sub) {
    at_node(sub)->add_option("TYPE", given.type, "The aggregate type")->required();
    return sub;
  };
  const auto of_aggregate = [&](CLI::App* sub) {
    of_node(sub)->add_option("ID", given.id, "32 hex digits, or name:NAME")->required();
    return sub;
  };
  const auto sequences = CLI::Range(0, max_sequence());

  verb("new", "Print a fresh id", [](const arguments&) {
    hybrid_clock clock;
    std::cout << clock.fresh<aggregate_id>().text() << '\n';
    return end_of_output();
  });

  auto* sending = of_aggregate(verb("send", "Send a command", send));
  sending->add_option("COMMAND", given.command, "The command's registered name")->required();
  sending
      ->add_option("JSON", given.payload,
                   "The command as a JSON object; -: on stdin, @FILE: in that file, where neither `ps` nor a limit of "
                   "the shell gets at it")
      ->required();
  sending->add_option("--command-id", given.command_id, "Name the command; repeating it has no second effect")->type_name("HEX");
  sending->add_option("--expect-sequence", given.expect_sequence, "Refuse unless the aggregate is there")->check(sequences);
  sending
      ->add_option("--metadata", given.metadata,
                   "A JSON object to keep with the events; - and @FILE as for the command")
      ->type_name("JSON");
  sending->add_option("--correlation-id", given.correlation_id, "The conversation that the command belongs to, kept with the events");
  sending->add_option("--causation-id", given.causation_id, "What made you send it, kept with the events");
  sending->add_option("--return", given.returns, "Show more of what happened: events or state")
      ->type_name("events|state")
      ->transform([](const std::string& word) {
        if (word == "events") return std::to_string(static_cast<int>(return_mode::events));
        if (word == "state") return std::to_string(static_cast<int>(return_mode::state));
        throw CLI::ValidationError("must be events or state, not " + word);
      });

  auto* getting = of_aggregate(verb("get", "Show the committed state", get));
  getting->add_flag("--fetch", given.fetch, "Ask the store first");
  getting->add_option("--at-least", given.at_least, "Refuse until this sequence is there")->check(sequences);

  of_aggregate(verb("replay", "Show a past state", replay))
      ->add_option("SEQUENCE|TIME", given.up_to, "The sequence to show, or a time as 2026-11-24T20:15:00Z; past the newest: the newest")->required();

  auto* comparing = of_aggregate(verb("diff", "Show what changed in the state between two points, and which events did it", diff));
  comparing->add_option("FROM", given.from, "A sequence (0: before the first event) or a time as 2026-11-24T20:15:00Z")->required();
  comparing->add_option("TO", given.up_to, "The same")->required();

  auto* listing = of_node(verb("list", "List the aggregates of a type", list));
  listing->add_option("--after", given.after_id, "Only ids above this one")->type_name("ID");
  listing->add_option("--limit", given.limit, "At most so many")->check(CLI::Range(1, max_sequence()));

  auto* showing = of_aggregate(verb("events", "Show the events", history));
  showing->add_option("--after", given.after, "Only sequences above this one")->check(sequences);
  showing->add_option("--limit", given.limit, "At most so many")->check(CLI::Range(1, max_sequence()));

  of_aggregate(verb("snapshot", "Store a snapshot now", take_snapshot));

  auto* rebuilding = at_node(verb("rebuild", "Fill a projection's tables anew from the log, or go on where that was stopped", rebuild));
  rebuilding->add_option("PROJECTION", given.projection, "The projection's registered name")->required();
  auto* restart = rebuilding->add_flag("--restart", given.restart, "Throw away what an earlier attempt has done, and begin anew");
  rebuilding->add_flag("--abandon", given.abandon, "Throw it away, and keep the old tables")->excludes(restart);

  at_node(verb("members", "List the nodes of the cluster", members))
      ->add_flag("--watch", given.watch, "Go on, and list them again, after an empty line, whenever something has changed");

  auto* migrating = verb("migrate",
                         "Create or upgrade the store's own tables; those of projections are known to the node program "
                         "alone: run it with --migrate, "
                         "which does both",
                         migrate);
  migrating->add_option("--store", given.store, "sqlite:FILE or postgresql://...")->type_name("URI")->required();
  migrating
      ->add_option("--partitions", given.partitions,
                   "PostgreSQL: make the log in so many hash partitions, as store.partitions says; 0: one table")
      ->check(CLI::Range(0, static_cast<int>(find_setting("maestro.store.partitions")->maximum)))
      ->capture_default_str();

  auto& wanted = given.certificates;
  auto* issuing = verb("certificates", "Make a certificate authority, and certificates for nodes and clients, without asking any node", certificates);
  issuing->add_option("DIR", wanted.folder, "Where ca.crt, ca.key and the others go, or are already; no file is overwritten")->required();
  issuing->add_option("--host", wanted.hosts, "A name or IP address where nodes are reached, as often as there are such; without: localhost, 127.0.0.1, ::1")
      ->type_name("HOST")->allow_extra_args(false);
  issuing->add_option("--days", wanted.days, "How long they are valid; a new authority ten times that")->capture_default_str();
  auto* name = issuing->add_option("--name", wanted.name, "Issue NAME.crt and NAME.key; without: node and client")->type_name("NAME")
                   ->check([](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); });
  auto* use = issuing->add_option("--for", wanted.use, "Whom that one is for")
                  ->type_name("node|client")
                  ->transform([](const std::string& word) {
                    if (word == "node") return std::to_string(static_cast<int>(certificate_use::node));
                    if (word == "client") return std::to_string(static_cast<int>(certificate_use::client));
                    throw CLI::ValidationError("must be node or client, not " + word);
                  })
                  ->needs(name);
  name->needs(use);

  // CLI11 would take --watch=anything for --watch.
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    for (const std::string_view flag : {"--help", "--version", "--fetch", "--restart", "--abandon", "--watch"})
      if (argument.starts_with(flag) && argument.substr(flag.size()).starts_with('='))
        return report({errc::invalid_argument, std::string(flag) + " takes no value"});
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) {
      const int asked_for_help = app.exit(problem);
      const int printed = end_of_output();
      return printed != 0 ? printed : asked_for_help;
    }
    const auto verbs = app.get_subcommands();
    const std::string where = verbs.empty() ? "maestro --help" : "maestro " + verbs.front()->get_name() + " --help";
    std::string what = problem.what();
    if (const std::string first = argc > 1 ? argv[1] : ""; first.starts_with('-')) what = "options come after the verb: " + first;
    else if (verbs.empty() && !first.empty()) what = "there is no verb \"" + first + "\"";
    return report({errc::invalid_argument, what + "; see " + where});
  }
  return status;
}
