// What the table is used for: a configuration file read into the settings, the settings written as one, CAF configured.
#include <maestro/runtime/config_file.hpp>
#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/setting_table.hpp>
#include <maestro/runtime/settings.hpp>
#include <maestro/store/redaction.hpp>
#include <maestro/store/scheduling.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/config.hpp>
#include <caf/timespan.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

namespace maestro {

namespace {

auto is_group(std::string_view key) -> bool {
  const auto prefix = std::string(key) + '.';
  return std::ranges::any_of(setting_table(), [&](const setting& row) { return row.key.starts_with(prefix); });
}

// What is wrong with an entry of a file, or nothing. Values of a store's URI are never repeated.
auto apply_entry(node_settings& settings, const config_entry& entry) -> std::optional<std::string> {
  const auto* row = find_setting(entry.key);
  if (row == nullptr) {
    if (is_group(entry.key)) {
      if (entry.kind == config_kind::group) return std::nullopt;
      return entry.key + " is a group of settings, it takes no value of its own";
    }
    const auto nearest = nearest_key(entry.key);
    return "there is no setting " + entry.key + (nearest ? "; did you mean " + std::string(*nearest) + "?" : "");
  }
  const auto key = std::string(row->key);
  const auto wrong = key + " must be " + expected_type(*row) + ", not ";
  node_settings defaults;
  const bool is_text = std::holds_alternative<std::string*>(row->target(defaults));
  switch (entry.kind) {
    case config_kind::group:
      return wrong + "a group";
    case config_kind::list:
      return wrong + "a list";
    case config_kind::word:
      if (is_text) {
        return wrong + (row->key == "maestro.store.uri" ? "a bare word" : describe_word(entry.text)) +
               ": put it in double quotes";
      }
      break;
    case config_kind::text:
      break;
  }
  const auto problem = assign(*row, settings, entry.text, entry.kind == config_kind::text);
  if (problem) return key + ' ' + *problem;
  return std::nullopt;
}

// The four bytes of an IPv4 address, also of one that stands in an IPv6 address, and the sixteen of an IPv6 address.
auto bytes_of(std::string_view host) -> std::string {
  const std::string text(without_brackets(host));
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return {};
  const std::string all(bytes.data(), bytes.size());
  return all.starts_with(std::string(10, '\0') + "\xff\xff") ? all.substr(12) : all;
}

auto is_any_address(std::string_view host) -> bool {
  const auto bytes = bytes_of(host);
  return !bytes.empty() && bytes.find_first_not_of('\0') == bytes.npos;
}

constexpr std::string_view our_prefix = "maestro.";

// The group that a key stands in: everything before its last dot.
auto group_of(const setting& row) -> std::string_view {
  return row.key.substr(0, row.key.rfind('.'));
}

auto render_group(std::string_view group, std::string_view name, const std::string& indent,
                  const node_settings& settings) -> std::string {
  std::string text = indent + std::string(name) + " {\n";
  for (const auto& row : setting_table()) {
    if (group_of(row) != group) continue;
    text += indent + "  # " + std::string(row.meaning) + '\n';
    text += indent + "  " + std::string(row.key.substr(group.size() + 1)) + " = " + render_value(row, settings) + '\n';
  }
  return text + indent + "}\n";
}

}  // namespace

auto is_loopback(std::string_view host) -> bool {
  if (host == "localhost") return true;
  // Numbers only: a name such as 127.example.org is not loopback.
  const auto bytes = bytes_of(host);
  return bytes.size() == 4 ? bytes.front() == 127 : bytes == std::string(15, '\0') + '\1';
}

auto set_setting(node_settings& settings, std::string_view key, std::string_view value) -> result<void> {
  const auto* row = find_setting("maestro." + std::string(key));
  if (row == nullptr) row = find_setting(key);
  if (row == nullptr) {
    const auto nearest = nearest_key(key);
    return error{errc::invalid_setting, "there is no setting " + std::string(key) +
                                            (nearest ? "; did you mean " + std::string(*nearest) + "?" : "")};
  }
  if (auto problem = assign(*row, settings, value, false)) {
    return error{errc::invalid_setting, std::string(row->key) + ' ' + *problem};
  }
  return {};
}

auto load_config_file(node_settings& settings, const std::string& path) -> result<void> {
  auto entries = read_config_file(path);
  if (!entries) return std::move(entries).failure();
  for (const auto& entry : *entries) {
    if (auto problem = apply_entry(settings, entry)) {
      return error{errc::invalid_setting, redacted(path) + ':' + std::to_string(entry.line) + ": " + *problem};
    }
  }
  return {};
}

auto check_settings(const node_settings& settings) -> result<void> {
  auto copy = settings;
  for (const auto& row : setting_table())
    if (const auto target = row.target(copy); const auto* text = std::get_if<std::string*>(&target))
      if (const auto problem = wrong_text(row, **text))
        return error{errc::invalid_setting, std::string(row.key) + ' ' + *problem};
  const auto& membership = settings.membership;
  if (membership.suspicion_time < 4 * membership.heartbeat_interval)
    return error{errc::invalid_setting, "maestro.cluster.suspicion-time is " + render_duration(membership.suspicion_time) +
                                            ", less than four times maestro.cluster.heartbeat-interval (" +
                                            render_duration(membership.heartbeat_interval) +
                                            "): the members would declare each other dead"};
  if (settings.transport.max_receiving_bytes < settings.transport.max_message_bytes)
    return error{errc::invalid_setting, "maestro.node.max-receiving-bytes is " + std::to_string(settings.transport.max_receiving_bytes) +
                                            ", less than maestro.node.max-message-bytes (" +
                                            std::to_string(settings.transport.max_message_bytes) +
                                            "): a message of that length could never come"};
  if (!settings.advertise.empty() && !node_address::parse(settings.advertise))
    return error{errc::invalid_setting, "maestro.cluster.advertise is no HOST:PORT: " + redacted(settings.advertise)};
  if (!is_loopback(settings.host) && !settings.tls.wanted() && !settings.insecure_listen) {
    return error{errc::invalid_setting,
                 "maestro.node.host is " + redacted(settings.host) +
                     ", which is not loopback, and there is no TLS: set maestro.tls.certificate-file, key-file and ca-file (`maestro "
                     "certificates DIR` makes some to begin with), or maestro.node.insecure-listen = true where everyone on the network "
                     "is trusted"};
  }
  if (settings.advertise.empty() && is_any_address(settings.host) && !settings.store_uri.starts_with("sqlite:"))
    return error{errc::invalid_setting, "maestro.node.host is " + redacted(settings.host) +
                                            ", which is every address and none that others could connect to: say in "
                                            "maestro.cluster.advertise where they reach this node"};
  return {};
}

auto render_settings(const node_settings& settings) -> std::string {
  std::string ours;
  std::string of_caf;
  std::string_view last;
  for (const auto& row : setting_table()) {
    const auto group = group_of(row);
    if (group == last) continue;
    last = group;
    if (group.starts_with(our_prefix)) {
      ours += (ours.empty() ? "" : "\n") + render_group(group, group.substr(our_prefix.size()), "  ", settings);
    } else {
      of_caf += '\n' + render_group(group, group, "", settings);
    }
  }
  return "# All settings of a node, in CAF's configuration format. On the command line, maestro.store.uri is "
         "--store.uri=VALUE,\n"
         "# scheduler.policy is --scheduler.policy=VALUE, and so on; the command line beats this file.\n\n"
         "maestro {\n" +
         ours + "}\n" + of_caf;
}

auto setting_keys() -> std::vector<std::string> {
  std::vector<std::string> keys;
  for (const auto& row : setting_table()) keys.emplace_back(row.key);
  return keys;
}

void configure_caf(caf::actor_system_config& config, const caf_settings& settings, std::size_t waiting) {
#if CAF_VERSION < 1800
  const std::string prefix;
  const auto word = [](const std::string& text) { return caf::atom_from_string(text); };
#else
  const std::string prefix = "caf.";
  const auto word = [](const std::string& text) { return text; };
#endif
  const auto threads = std::max<std::size_t>(settings.max_threads != 0 ? settings.max_threads : std::thread::hardware_concurrency(), 1);
  if (settings.scheduler_policy == "handing-on") {
    config.set(prefix + "scheduler.max-threads", threads + waiting);
    schedule_by_handing_on(config, threads);
  } else {
    config.set(prefix + "scheduler.policy", word(settings.scheduler_policy));
    config.set(prefix + "scheduler.max-threads", threads);
  }
  // CAF's default is all that there are: the network thread would hand over everything that waits for it before it writes anything.
  config.set(prefix + "scheduler.max-throughput", std::size_t{200});
  config.set(prefix + "middleman.heartbeat-interval", caf::timespan(settings.heartbeat_interval));
  config.set(prefix + "middleman.connection-timeout", caf::timespan(settings.connection_timeout));
  config.set(prefix + "middleman.max-consecutive-reads", settings.max_consecutive_reads);
  config.set(prefix + "middleman.workers", settings.middleman_workers);
  config.set(prefix + "logger.file-verbosity", word(settings.log_verbosity));
  config.set(prefix + "logger.file-name", settings.log_file);
}

}  // namespace maestro
