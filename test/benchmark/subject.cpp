#include "subject.hpp"

#include "measuring.hpp"

#include <unistd.h>

#include <stdexcept>

namespace maestro::benchmark {

namespace {

// Events are stored under timestamps, which begin with 48 bits of milliseconds.
auto timestamp_of_now() -> timestamp {
  hybrid_clock clock;
  return clock.now();
}

}  // namespace

auto start_node(const std::string& uri, const adjust_settings& adjust) -> std::unique_ptr<node> {
  node_settings settings;
  settings.port = 0;
  settings.store_uri = uri;
  settings.idle_timeout = std::chrono::hours(1);
  if (adjust) adjust(settings);
  return must(node::start(settings, ledger_types()));
}

subject::subject(const std::string& uri, pid_t server, const adjust_settings& adjust)
    : own_(start_node(uri, adjust)), pids_{::getpid()}, server_(server), client_(own_->local_client()) {
  if (server_ != 0) log_ = own_->open_reader();
}

subject::subject(const std::string& uri, pid_t server, const surroundings& at, int nodes, const std::vector<std::string>& arguments,
                 const client_settings& how)
    : pids_{::getpid()}, server_(server) {
  std::vector<node_address> addresses;
  for (int i = 0; i < nodes; ++i) {
    std::vector<std::string> command{at.executable, "serve", "--store", uri, "--port", "0", "--node.name", "n" + std::to_string(i)};
    command.insert(command.end(), arguments.begin(), arguments.end());
    auto& child = *others_.emplace_back(std::make_unique<test::process>(command));
    const auto ready = child.wait_for_line("ready ");
    if (!ready) throw std::runtime_error("a node did not start: " + child.errors());
    const auto rest = ready->substr(6);
    addresses.push_back(must(node_address::parse(rest.substr(0, rest.find(' ')))));
    pids_.push_back(child.pid());
  }
  log_ = must(open_database(uri))->open_reader();
  client_ = must(client::connect(addresses, how));
}

auto subject::round(std::size_t callers, std::chrono::milliseconds length, const next_request& ask, int events_each) -> sample {
  const auto since = timestamp_of_now();
  const meter meter(pids_, server_);
  auto taken = let_call(callers, length, ask);
  taken.value *= events_each;
  meter.stop(taken, taken.value * std::chrono::duration<double>(length).count());
  if (log_) {
    const auto rows = must(log_->query("SELECT count(*), count(DISTINCT xmin::text) FROM event_log WHERE timestamp >= $1",
                                       std::vector<sql_value>{since}));
    const auto events = rows.at(0).at(0).as<double>();
    const auto transactions = rows.at(0).at(1).as<double>();
    if (transactions > 0) taken.batch = events / transactions / events_each;
  }
  return taken;
}

}  // namespace maestro::benchmark
