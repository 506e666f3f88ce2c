// The rows, and what can be done with one: read a value into it, write it out, find the one that was meant.
#include <maestro/runtime/setting_table.hpp>
#include <maestro/store/redaction.hpp>
#include <maestro/store/utf8.hpp>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <type_traits>
#include <vector>

namespace maestro {

namespace {

using settings_ref = node_settings&;

constexpr std::int64_t second = 1'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;

// The keys that start with `maestro.` are ours, the others CAF's.
const setting rows[] = {
    {"maestro.node.host", "ADDRESS", [](settings_ref s) -> setting_target { return &s.host; },
     "The address to listen on. Anything but loopback needs TLS, or node.insecure-listen.", 1, 0, "", "host"},
    {"maestro.node.port", "PORT", [](settings_ref s) -> setting_target { return &s.port; },
     "The port to listen on; 0 takes a free one.", 0, 65'535, "", "port"},
    {"maestro.node.name", "NAME", [](settings_ref s) -> setting_target { return &s.name; },
     "The node's name in logs and in its cluster, where no two may have the same; empty: the address that it advertises."},
    {"maestro.node.drain-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.drain_timeout; },
     "After SIGTERM: how long commands that are under way may take to end. 2 s later the process ends, whatever it waits for.", 0, day},
    {"maestro.node.max-commands-in-flight", "N",
     [](settings_ref s) -> setting_target { return &s.max_commands_in_flight; },
     "Commands at work in the whole node; more are refused as overloaded.", 1, 100'000'000},
    {"maestro.node.max-commands-per-client", "N",
     [](settings_ref s) -> setting_target { return &s.max_commands_per_client; },
     "Commands of one client at work in the node that it sends them to; more are refused as overloaded.", 1, 100'000'000},
    {"maestro.node.max-live-aggregates", "N", [](settings_ref s) -> setting_target { return &s.max_live_aggregates; },
     "Aggregates kept in memory; beyond it the idle ones leave first.", 1, 1'000'000'000},
    {"maestro.node.migrate", "true|false", [](settings_ref s) -> setting_target { return &s.migrate; },
     "Create or upgrade the store's tables at start; without it, that is done by --migrate."},
    {"maestro.node.insecure-listen", "true|false", [](settings_ref s) -> setting_target { return &s.insecure_listen; },
     "Listen beyond loopback although nothing is encrypted and nobody is authenticated."},
    {"maestro.node.max-connections", "N", [](settings_ref s) -> setting_target { return &s.transport.max_connections; },
     "Connections that others may make to this node; one more is hung up.", 1, 1'000'000},
    {"maestro.node.max-message-bytes", "N", [](settings_ref s) -> setting_target { return &s.transport.max_message_bytes; },
     "The longest message that a connection may bring; a longer one ends it. All nodes of a cluster need the same.", 2'000'000, 2'000'000'000},
    {"maestro.node.max-receiving-bytes", "N", [](settings_ref s) -> setting_target { return &s.transport.max_receiving_bytes; },
     "What may have come of incomplete messages over all connections (in memory up to three times that); more ends a connection.", 2'000'000,
     64'000'000'000},
    {"maestro.node.receive-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.transport.receive_timeout; },
     "How long one message may take to come in, over a slow link; a longer one ends its connection.", 10, hour},
    {"maestro.node.max-unsent-bytes", "N", [](settings_ref s) -> setting_target { return &s.transport.max_unsent_bytes; },
     "What may wait for one peer that does not read, or not fast enough; more ends its connection.", 1'000'000, 2'000'000'000},

    {"maestro.tls.certificate-file", "FILE", [](settings_ref s) -> setting_target { return &s.tls.certificate_file; },
     "The node's certificate, in PEM format; with it nodes and clients connect over TLS only."},
    {"maestro.tls.key-file", "FILE", [](settings_ref s) -> setting_target { return &s.tls.key_file; },
     "The certificate's private key, not encrypted, readable for the node alone."},
    {"maestro.tls.ca-file", "FILE", [](settings_ref s) -> setting_target { return &s.tls.ca_file; },
     "The authorities of which one has to have signed what nodes and clients show."},

    {"maestro.cluster.advertise", "HOST:PORT", [](settings_ref s) -> setting_target { return &s.advertise; },
     "Where the other nodes and clients reach this one; empty: the address that it listens on."},
    {"maestro.cluster.heartbeat-interval", "TIME",
     [](settings_ref s) -> setting_target { return &s.membership.heartbeat_interval; },
     "How often a node tells the store's table of members that it lives, and reads who else does.", 10, minute},
    {"maestro.cluster.suspicion-time", "TIME",
     [](settings_ref s) -> setting_target { return &s.membership.suspicion_time; },
     "A member that gave no sign of life for this long is declared dead; at least four heartbeats.", 40, hour},

    {"maestro.aggregate.idle-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.idle_timeout; },
     "An aggregate that was idle for this long leaves memory.", 1, 365 * day},
    {"maestro.aggregate.max-commands-in-flight", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_commands_in_flight; },
     "Commands waiting for one aggregate; more are refused as overloaded.", 1, 100'000'000},
    {"maestro.aggregate.max-commands-ahead", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_commands_ahead; },
     "Commands of one aggregate that are evaluated while its commit is under way.", 1, 1'000'000},
    {"maestro.aggregate.max-retries", "N", [](settings_ref s) -> setting_target { return &s.aggregate.max_retries; },
     "Evaluations again of a command that lost its sequence to another node.", 0, 1'000'000},
    {"maestro.aggregate.retry-backoff", "TIME",
     [](settings_ref s) -> setting_target { return &s.aggregate.retry_backoff; },
     "The pause before the second retry; it doubles with each.", 0, minute},
    {"maestro.aggregate.max-retry-backoff", "TIME",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_retry_backoff; },
     "The longest pause between two retries.", 0, hour},
    {"maestro.aggregate.page-events", "N", [](settings_ref s) -> setting_target { return &s.aggregate.page_events; },
     "Events read from the store at a time; fewer where they are large.", 1, 1'000'000},
    {"maestro.aggregate.max-events-per-command", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_events_per_command; },
     "Events that one command may record; a command with more is refused.", 1, 1'000'000},
    {"maestro.aggregate.max-event-bytes-per-command", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_event_bytes_per_command; },
     "Bytes of events that one command may record; a command with more is refused.", 1'000, 500'000'000},
    {"maestro.aggregate.max-snapshot-bytes", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_snapshot_bytes; },
     "The largest snapshot that is stored; an aggregate with a larger state is read from its events. What is stored is "
     "always read.",
     1'000, 200'000'000},
    {"maestro.aggregate.max-diff-events", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_diff_events; },
     "Events that one diff follows; a diff over more is refused before anything is read.", 1, 100'000'000},
    {"maestro.aggregate.max-diff-bytes", "N",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_diff_bytes; },
     "Bytes of changes that one diff may tell; a diff with more is refused.", 1'000, 2'000'000'000},
    {"maestro.aggregate.max-question-time", "TIME",
     [](settings_ref s) -> setting_target { return &s.aggregate.max_question_time; },
     "A question (get, replay, diff, events ...) that is not answered after this long is given up, whatever its caller says.", 1, day},

    {"maestro.store.uri", "URI", [](settings_ref s) -> setting_target { return &s.store_uri; },
     "Where events are kept: sqlite:FILE, sqlite::memory: or postgresql://USER@HOST/DATABASE.", 1, 0, "", "store"},
    {"maestro.store.writers", "N", [](settings_ref s) -> setting_target { return &s.store_writers; },
     "Connections that commit; an embedded store uses one.", 1, 64},
    {"maestro.store.readers", "N", [](settings_ref s) -> setting_target { return &s.store_readers; },
     "Connections that read.", 1, 64},
    {"maestro.store.partitions", "N", [](settings_ref s) -> setting_target { return &s.store.partitions; },
     "Partitions by aggregate that a PostgreSQL log is made with, once and for all; 0 for one table.", 0, 1'024},
    {"maestro.store.require-durable", "true|false", [](settings_ref s) -> setting_target { return &s.store.require_durable; },
     "Refuse a store that can lose what it has committed: a server with fsync, full_page_writes or synchronous_commit off, a database in memory."},
    {"maestro.store.max-batch-commands", "N",
     [](settings_ref s) -> setting_target { return &s.store_actor.max_batch_commands; }, "Commands committed together.",
     1, 65'536},
    {"maestro.store.max-concurrent-hydrations", "N",
     [](settings_ref s) -> setting_target { return &s.store_actor.max_concurrent_hydrations; },
     "Aggregates that are read from the store at the same time, on each reading connection.", 1, 65'536},
    {"maestro.store.max-open-questions", "N",
     [](settings_ref s) -> setting_target { return &s.store_actor.max_open_questions; },
     "Questions (replay, diff, events ...) that are worked on by turns, on each reading connection, and one more for each client that has none; "
     "others wait for one of these to end.", 1, 65'536},
    {"maestro.store.max-batch-events", "N", [](settings_ref s) -> setting_target { return &s.store.max_batch_events; },
     "Events in one transaction; a command with more gets one of its own.", 1, 1'000'000},
    {"maestro.store.max-batch-bytes", "N", [](settings_ref s) -> setting_target { return &s.store.max_batch_bytes; },
     "Bytes of event bodies in one transaction, about.", 1, 1'000'000'000},
    {"maestro.store.max-retries", "N", [](settings_ref s) -> setting_target { return &s.store.max_retries; },
     "Repetitions of a transaction that the database gave up (deadlock, serialization).", 0, 1'000},
    {"maestro.store.lock-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.store.lock_timeout; },
     "How long a statement waits for a lock; a batch in all at most twice as long for locked rows.", 1, hour},
    {"maestro.store.statement-timeout", "TIME",
     [](settings_ref s) -> setting_target { return &s.store.statement_timeout; },
     "How long one statement may run. PostgreSQL ends sessions that say nothing within a transaction for twice as long.",
     1, day},
    {"maestro.store.connect-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.store.connect_timeout; },
     "How long one attempt to connect may take.", 1, hour},
    {"maestro.store.reconnect-limit", "TIME", [](settings_ref s) -> setting_target { return &s.store.reconnect_limit; },
     "How long a commit tries to get a lost connection back.", 0, hour},
    {"maestro.store.settle-interval", "TIME",
     [](settings_ref s) -> setting_target { return &s.store_actor.settle_interval; },
     "The pause before a commit whose outcome is in doubt is looked up again.", 1, hour},

    {"maestro.clock.max-drift", "TIME", [](settings_ref s) -> setting_target { return &s.max_clock_drift; },
     "How far ahead of this machine's clock others may be.", 0, 365 * day},
    {"maestro.clock.offset", "TIME", [](settings_ref s) -> setting_target { return &s.clock_offset; },
     "Shifts this node's clock, for tests.", -365 * day, 365 * day},

    {"maestro.client.timeout", "TIME", [](settings_ref s) -> setting_target { return &s.client_timeout; },
     "How long a command of the node's own client may take.", 1, day},

    {"maestro.log.level", "LEVEL", [](settings_ref s) -> setting_target { return &s.log_level; },
     "The least important messages to log.", 0, 0, "off error warn info debug trace"},
    {"maestro.log.file", "FILE", [](settings_ref s) -> setting_target { return &s.log_file; },
     "The file that the log is appended to; empty: stderr."},

    {"scheduler.policy", "POLICY", [](settings_ref s) -> setting_target { return &s.caf.scheduler_policy; },
     "How actors share threads: handing-on is this runtime's own way, the others are CAF's.", 0, 0, "handing-on sharing stealing"},
    {"scheduler.max-threads", "N", [](settings_ref s) -> setting_target { return &s.caf.max_threads; },
     "How many threads run actors; 0: as many as the machine has cores.", 0, 1'024},

    {"middleman.heartbeat-interval", "TIME", [](settings_ref s) -> setting_target { return &s.caf.heartbeat_interval; },
     "How often connected nodes tell each other that they live; 0s: never.", 0, hour},
    {"middleman.connection-timeout", "TIME", [](settings_ref s) -> setting_target { return &s.caf.connection_timeout; },
     "A peer that was silent for this long is given up.", 1, day},
    {"middleman.max-consecutive-reads", "N",
     [](settings_ref s) -> setting_target { return &s.caf.max_consecutive_reads; },
     "Reads from one connection before another's turn.", 1, 1'000'000},
    {"middleman.workers", "N", [](settings_ref s) -> setting_target { return &s.caf.middleman_workers; },
     "Actors that decode messages from the network.", 0, 1'024},

    {"logger.file-verbosity", "LEVEL", [](settings_ref s) -> setting_target { return &s.caf.log_verbosity; },
     "CAF's own log, for work on Maestro itself; Debian's CAF is built without it.", 0, 0,
     "quiet error warning info debug trace"},
    {"logger.file-name", "FILE", [](settings_ref s) -> setting_target { return &s.caf.log_file; },
     "The file of CAF's own log."},
};

auto strip_prefix(std::string_view key) -> std::string_view {
  for (const std::string_view prefix : {"maestro.", "caf."}) {
    if (key.starts_with(prefix)) return key.substr(prefix.size());
  }
  return key;
}

// Insertions, removals, replacements and swaps of neighbours that make one text the other.
auto edit_distance(std::string_view from, std::string_view to) -> std::size_t {
  std::vector<std::size_t> before(to.size() + 1), above(to.size() + 1), line(to.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    line[0] = i;
    for (std::size_t k = 1; k <= to.size(); ++k) {
      line[k] = std::min({above[k] + 1, line[k - 1] + 1, above[k - 1] + (from[i - 1] == to[k - 1] ? 0 : 1)});
      if (i > 1 && k > 1 && from[i - 1] == to[k - 2] && from[i - 2] == to[k - 1]) {
        line[k] = std::min(line[k], before[k - 2] + 1);
      }
    }
    before.swap(above);
    above.swap(line);
  }
  return above[to.size()];
}

auto parse_integer(std::string_view text) -> std::optional<std::int64_t> {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

auto is_digits(std::string_view text) -> bool {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

auto is_choice(std::string_view choices, std::string_view text) -> bool {
  while (!choices.empty()) {
    const auto end = std::min(choices.find(' '), choices.size());
    if (choices.substr(0, end) == text) return true;
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return false;
}

auto quote(std::string_view text) -> std::string {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '"':
      case '\\':
        quoted += '\\';
        [[fallthrough]];
      default:
        quoted += c;
    }
  }
  return quoted + '"';
}

auto out_of_range(const std::string& minimum, const std::string& maximum, const std::string& found) -> std::string {
  return "must be between " + minimum + " and " + maximum + ", not " + found;
}

auto assign_text(const setting& row, std::string& target, std::string_view text) -> std::optional<std::string> {
  if (text.empty() && row.minimum > 0) return "must not be empty";
  if (auto wrong = wrong_text(row, text)) return wrong;
  if (!row.choices.empty() && !is_choice(row.choices, text)) {
    return "must be " + expected_type(row) + ", not " + quote(redacted(text));
  }
  target = row.key == "maestro.node.host" ? without_brackets(text) : text;
  return std::nullopt;
}

auto assign_duration(const setting& row, std::chrono::milliseconds& target, std::string_view text)
    -> std::optional<std::string> {
  const auto duration = parse_duration(text);
  if (!duration) return "must be " + expected_type(row) + ", not " + describe_word(text);
  if (duration->count() < row.minimum || duration->count() > row.maximum) {
    return out_of_range(render_duration(std::chrono::milliseconds{row.minimum}),
                        render_duration(std::chrono::milliseconds{row.maximum}), std::string(text));
  }
  target = *duration;
  return std::nullopt;
}

template <class Integer>
auto assign_integer(const setting& row, Integer& target, std::string_view text) -> std::optional<std::string> {
  const auto value = parse_integer(text);
  if (!value && !is_digits(text)) return "must be " + expected_type(row) + ", not " + describe_word(text);
  if (!value || *value < row.minimum || *value > row.maximum) {
    return out_of_range(std::to_string(row.minimum), std::to_string(row.maximum), std::string(text));
  }
  target = static_cast<Integer>(*value);
  return std::nullopt;
}

}  // namespace

auto setting::option() const -> std::string_view {
  return strip_prefix(key);
}

auto setting_table() -> std::span<const setting> {
  return rows;
}

auto find_setting(std::string_view key) -> const setting* {
  const auto* found = std::find_if(std::begin(rows), std::end(rows), [key](const setting& row) {
    return row.key == key || (key.starts_with("caf.") && row.key == key.substr(4));
  });
  return found == std::end(rows) ? nullptr : found;
}

auto nearest_key(std::string_view key) -> std::optional<std::string_view> {
  const auto wanted = strip_prefix(key).substr(0, 100);
  std::optional<std::string_view> nearest;
  auto distance = std::clamp<std::size_t>(wanted.size() / 3, 1, 4) + 1;  // more would be guessing
  for (const auto& row : rows) {
    const auto option = row.option();
    auto found = edit_distance(wanted, option);
    if (wanted.find('.') == std::string_view::npos) {
      found = std::min({found, edit_distance(wanted, option.substr(option.rfind('.') + 1)),
                        row.alias.empty() ? found : edit_distance(wanted, row.alias)});
    }
    if (found < distance) {
      distance = found;
      nearest = row.key;
    }
  }
  return nearest;
}

auto wrong_text(const setting& row, std::string_view text) -> std::optional<std::string> {
  if (has_control_character(text)) return "must not hold control characters, such as line breaks";
  // A file may have any name.
  if (row.value_name != "FILE" && row.value_name != "URI" && !is_utf8(text)) return "must be UTF-8";
  return std::nullopt;
}

auto without_brackets(std::string_view host) -> std::string_view {
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

auto describe_word(std::string_view given) -> std::string {
  const auto text = redacted(given);  // Before it is cut, which could take away what a password is known by.
  const auto shown = std::string(text.substr(0, 60)) + (text.size() > 60 ? "..." : "");
  if (is_digits(text)) return "the integer " + shown;
  if (text == "true" || text == "false") return "the boolean " + shown;
  if (parse_duration(text)) return "the duration " + shown;
  return quote(shown);
}

auto assign(const setting& row, node_settings& settings, std::string_view text, bool quoted)
    -> std::optional<std::string> {
  return std::visit(
      [&](auto* target) -> std::optional<std::string> {
        using type = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<type, std::string>) {
          return assign_text(row, *target, text);
        } else {
          if (quoted) return "must be " + expected_type(row) + ", not the text " + quote(redacted(text).substr(0, 60));
          if constexpr (std::is_same_v<type, bool>) {
            if (text != "true" && text != "false") return "must be true or false, not " + describe_word(text);
            *target = text == "true";
            return std::nullopt;
          } else if constexpr (std::is_same_v<type, std::chrono::milliseconds>) {
            return assign_duration(row, *target, text);
          } else {
            return assign_integer(row, *target, text);
          }
        }
      },
      row.target(settings));
}

auto expected_type(const setting& row) -> std::string {
  if (!row.choices.empty()) {
    std::string list(row.choices);
    for (std::size_t space = 0; (space = list.find(' ', space)) != std::string::npos; space += 2) {
      list.replace(space, 1, ", ");
    }
    return "one of " + list;
  }
  node_settings settings;
  const auto target = row.target(settings);
  if (std::holds_alternative<std::string*>(target)) return "a text";
  if (std::holds_alternative<bool*>(target)) return "true or false";
  if (std::holds_alternative<std::chrono::milliseconds*>(target)) return "a duration such as 500ms, 2s or 5min";
  return "an integer";
}

auto render_value(const setting& row, const node_settings& settings) -> std::string {
  auto copy = settings;
  return std::visit(
      [&row](const auto* target) -> std::string {
        using type = std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
        if constexpr (std::is_same_v<type, std::string>) {
          return quote(row.key == "maestro.store.uri" ? redact_uri(*target) : target->find("://") != target->npos ? redacted(*target) : *target);
        } else if constexpr (std::is_same_v<type, bool>) {
          return *target ? "true" : "false";
        } else if constexpr (std::is_same_v<type, std::chrono::milliseconds>) {
          return render_duration(*target);
        } else {
          return std::to_string(*target);
        }
      },
      row.target(copy));
}

auto parse_duration(std::string_view text) -> result<std::chrono::milliseconds> {
  struct unit {
    std::string_view name;
    std::int64_t nanoseconds;
  };
  static constexpr unit units[] = {{"ns", 1},
                                   {"us", 1'000},
                                   {"ms", 1'000'000},
                                   {"s", second * 1'000'000},
                                   {"min", minute * 1'000'000},
                                   {"h", hour * 1'000'000}};
  const auto bad = [text](std::string_view why) {
    return error{errc::invalid_setting, quote(text.substr(0, 60)) + " is no duration: " + std::string(why)};
  };
  const auto number = text.substr(0, std::min(text.find_first_not_of("-0123456789"), text.size()));
  const auto name = text.substr(number.size());
  const auto* found =
      std::find_if(std::begin(units), std::end(units), [name](const unit& u) { return u.name == name; });
  if (!is_digits(number) || found == std::end(units)) return bad("it takes a number with ns, us, ms, s, min or h");
  const auto count = parse_integer(number);
  std::int64_t nanoseconds = 0;
  if (!count || __builtin_mul_overflow(*count, found->nanoseconds, &nanoseconds)) return bad("it is too large");
  if (nanoseconds % 1'000'000 != 0) return bad("it is finer than a millisecond");
  return std::chrono::milliseconds{nanoseconds / 1'000'000};
}

auto render_duration(std::chrono::milliseconds duration) -> std::string {
  const auto count = duration.count();
  if (count == 0) return "0s";
  if (count % hour == 0) return std::to_string(count / hour) + "h";
  if (count % minute == 0) return std::to_string(count / minute) + "min";
  if (count % second == 0) return std::to_string(count / second) + "s";
  return std::to_string(count) + "ms";
}

}  // namespace maestro
