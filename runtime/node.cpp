#include <maestro/runtime/end_watch.hpp>
#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/membership.hpp>
#include <maestro/runtime/network_end.hpp>
#include <maestro/runtime/node.hpp>
#include <maestro/runtime/program.hpp>
#include <maestro/runtime/rebuild_service.hpp>
#include <maestro/runtime/registry.hpp>
#include <maestro/runtime/served.hpp>
#include <maestro/runtime/setting_table.hpp>
#include <maestro/runtime/supervisor.hpp>
#include <maestro/store/json.hpp>
#include <maestro/store/store_actor.hpp>
#include <maestro/store/store_log.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <future>
#include <iostream>
#include <mutex>
#include <optional>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace maestro {

namespace {

struct system_config : caf::actor_system_config {
  explicit system_config(const node_settings& settings) {
    configure_caf(*this, settings.caf, settings.store_writers + settings.store_readers);
    load<caf::io::middleman>();
    add_message_types<caf::id_block::maestro>();
  }
};

// Types that share a projection share its tables.
auto schemas(const std::vector<definition_ptr>& types) -> std::vector<migration> {
  std::vector<migration> all;
  for (const auto& type : types)
    for (auto& step : type->migrations())
      if (std::find(all.begin(), all.end(), step) == all.end()) all.push_back(std::move(step));
  return all;
}

// A connection that cannot be accepted keeps the network thread busy: fewer of them may be made than there are descriptors.
auto connections_for_descriptors(std::size_t wanted) -> std::size_t {
  constexpr rlim_t of_our_own = 256;  // The store's, the log's, and those to other nodes.
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return wanted;
  const auto most = std::max<rlim_t>(descriptors.rlim_cur / 2, descriptors.rlim_cur > of_our_own ? descriptors.rlim_cur - of_our_own : 0);
  if (wanted <= most) return wanted;
  log().info("node.max-connections is {}, and the system allows this process {} open files: it takes {} connections at most", wanted,
             descriptors.rlim_cur, most);
  return most;
}

// Cuts the store off at a time, unless it is gone by then. Nothing is begun any more before that: `stopping`, which outlives this.
// Its thread is there from the start: at the end there may be none to be had.
class store_deadline {
 public:
  store_deadline(std::shared_ptr<node_control> control, std::atomic<bool>& stopping)
      : thread_([this, control = std::move(control), &stopping] {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return over_ || at_; });
          if (over_ || changed_.wait_until(lock, *at_, [this] { return over_; })) return;
          stopping = true;
          control->cut_off_store();
        }) {}
  store_deadline(const store_deadline&) = delete;
  auto operator=(const store_deadline&) -> store_deadline& = delete;
  ~store_deadline() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  /// To be called once.
  void set(std::chrono::steady_clock::time_point at) {
    {
      const std::lock_guard lock(mutex_);
      at_ = at;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::chrono::steady_clock::time_point> at_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace

struct node::parts {
  parts(const node_settings& with, std::shared_ptr<node_control> by)
      : control(std::move(by)),
        settings(with),
        clock(with.max_clock_drift, with.clock_offset),
        flight(with.max_commands_in_flight, with.max_commands_per_client),
        configuration(with) {}
  ~parts() {
    if (!system) return;
    control->enter("waits for the aggregates to end");
    // Aggregates read the environment until they end. A detached actor's thread ends when the last handle to it goes, and the
    // system's end waits for the threads.
    system->await_all_actors_done();
    environment.registry = nullptr;
    environment.writers.clear();
    environment.readers.clear();
    control->enter("closes the network");
    settle_network(*system);
    const farewell ending(*network, std::chrono::seconds(1));
    system.reset();
  }

  auto load_certificates() -> result<void>;
  auto open_store(const std::vector<definition_ptr>& types) -> result<void>;
  void start_actors(std::vector<definition_ptr> types);
  auto listen() -> result<void>;
  auto join() -> result<void>;
  void fail(const std::string& reason);
  // Gives the gateway an order, and says when it has carried it out.
  template <class Order>
  auto order() -> std::future<void> {
    auto done = std::make_shared<std::promise<void>>();
    auto future = done->get_future();
    caf::anon_send(gateway, Order{std::move(done)});
    return future;
  }
  void end_actors(std::chrono::steady_clock::time_point deadline);

  std::shared_ptr<node_control> control;
  aggregate_environment environment;
  std::optional<store_deadline> deadline_of_store;  // Until all that may wait for the store is gone.
  node_settings settings;
  std::string name;
  hybrid_clock clock;
  flight_counter flight;
  std::shared_ptr<maestro::database> database;
  std::unique_ptr<store> first_reader;  // Until the first of the actors that read has it.
  std::vector<definition_ptr> types;
  std::unique_ptr<rebuild_service> rebuilds;
  tls_context_ptr tls;
  system_config configuration;
  std::unique_ptr<caf::actor_system> system;
  transport_ptr network;
  caf::actor gateway;
  node_address address;
  std::unique_ptr<membership> cluster;
  std::shared_ptr<void> beside;
  failure_handler on_failure;
  std::atomic<bool> stopping{false};
  std::atomic<bool> failed{false};
};

auto node::parts::load_certificates() -> result<void> {
  constexpr long warn_days = 30;
  if (!settings.tls.wanted()) {
    if (!is_loopback(settings.host))
      log().critical("INSECURE: this node listens on {} without TLS (node.insecure-listen): whoever can connect can read and write everything, "
                 "and end the node", settings.host);
    return {};
  }
  auto loaded = tls_context::load(settings.tls, tls_end::server);
  if (!loaded) return loaded.failure();
  tls = std::move(*loaded);
  if (readable_for_everyone(settings.tls.key_file))
    log().warn("the TLS key {} can be read or written by every user of this machine: take that away (chmod 600)",
               settings.tls.key_file);
  if (tls->days_left() < warn_days)
    log().warn("the TLS certificate {} expires in {} days; a node reads a new one when it is started anew", settings.tls.certificate_file,
               tls->days_left());
  return {};
}

auto node::parts::open_store(const std::vector<definition_ptr>& registered) -> result<void> {
  // The store judges expiry by the node's clock.
  settings.store.clock_offset = settings.clock_offset;
  set_store_log([](const std::string& line) { log().error("{}", line); });
  auto opened = open_database(settings.store_uri, settings.store);
  if (!opened) return opened.failure();
  database = std::move(*opened);
  control->use(database);
  control->enter("looks at the store's tables");
  const auto steps = schemas(registered);
  if (settings.migrate) {
    control->enter("migrates the store");
    auto applied = database->migrate(steps);
    if (!applied) return applied.failure();
    for (const auto& step : *applied) log().info("store {}: applied migration {}", database->display_name(), step);
  } else if (auto checked = database->check(steps); !checked) {
    return checked.failure();
  }
  for (const auto& warning : database->warnings())
    log().log(warning.is_critical ? spdlog::level::critical : spdlog::level::warn, "store {}: {}", database->display_name(), warning.message);

  control->enter("reads the newest event");
  first_reader = database->open_reader();
  auto newest = first_reader->newest_timestamp();
  if (!newest) return newest.failure();
  if (!clock.merge(*newest))
    log().warn("store {}: its newest event is further ahead of this machine's clock than clock.max-drift; is the clock right?",
               database->display_name());
  return {};
}

void node::parts::start_actors(std::vector<definition_ptr> registered) {
  types = std::move(registered);
  system = std::make_unique<caf::actor_system>(configuration);
  auto bounds = settings.transport;
  bounds.max_connections = connections_for_descriptors(bounds.max_connections);
  bounds.log_refusals = true;
  network = std::make_shared<transport>(*system, bounds, tls);
  environment.clock = &clock;
  environment.single_owner = database->single_owner();
  environment.settings = settings.aggregate;
  environment.log = shared_log();
  const auto died = [this](const std::string& what) { fail(what + "; the node cannot go on without it, and ends"); };
  auto& hooks = settings.store_actor.hooks;
  hooks.warn = [name = database->display_name()](const std::string& line) { log().warn("store {}: {}", name, line); };
  hooks.fault = [](const std::string& line) { log().error("{}", line); };
  hooks.died = died;
  // One embedded file has one writer.
  const std::size_t writers = environment.single_owner ? 1 : settings.store_writers;
  for (std::size_t i = 0; i < writers; ++i)
    environment.writers.push_back(spawn_store_writer(*system, database->open_writer(), settings.store_actor));
  for (std::size_t i = 0; i < settings.store_readers; ++i)
    environment.readers.push_back(
        spawn_store_reader(*system, first_reader ? std::move(first_reader) : database->open_reader(), settings.store_actor));
  rebuilds = std::make_unique<rebuild_service>(*database, types);
  gateway = caf::actor_cast<caf::actor>(system->spawn<registry>(
      &environment, types, &flight, rebuilds.get(),
      registry_settings{settings.max_live_aggregates, settings.idle_timeout, connectors_over(network),
                        bounds.max_message_bytes, died, settings.membership.heartbeat_interval}));
  environment.registry = gateway;
}

void node::parts::fail(const std::string& reason) {
  if (!stopping && !failed.exchange(true) && on_failure) on_failure(reason);
}

auto node::parts::listen() -> result<void> {
  settings.host = without_brackets(settings.host);
  auto port = network->publish(gateway, settings.host, settings.port);
  if (!port)
    return error{port.failure().code, "cannot listen on " + node_address{settings.host, settings.port}.text() + ": " + port.failure().message};
  address = {settings.host, *port};
  return {};
}

auto node::parts::join() -> result<void> {
  const std::string advertised = settings.advertise.empty() ? address.text() : settings.advertise;
  name = settings.name.empty() ? advertised : settings.name;
  membership::hooks hooks;
  hooks.read = [to = gateway](cluster_view_ptr view) { caf::anon_send(to, std::move(view)); };
  hooks.store_clock = [this, was_behind = false](std::uint64_t milliseconds) mutable {
    const auto behind = static_cast<std::int64_t>(milliseconds) - static_cast<std::int64_t>(clock.physical_milliseconds());
    environment.clock_behind = behind;
    const bool is_behind = behind > clock.max_drift().count();
    if (is_behind && !was_behind)
      log().error("this node's clock is {} ms behind the store's, more than clock.max-drift: it declines commands that come from the future "
                  "by its clock, for other nodes to carry out; set the clock", behind);
    if (!is_behind && was_behind) log().info("this node's clock is no more than clock.max-drift behind the store's again");
    was_behind = is_behind;
  };
  hooks.declared_dead = [this](const std::string& reason) { fail(reason); };
  member self{name, clock.fresh<incarnation_id>(), advertised};
  auto told = served(types).text();
  if (!told) return told.failure();
  self.served = std::move(*told);
  self.serves = served_digest(self.served);
  auto joined =
      membership::join(database->open_members(), std::move(self), settings.membership, std::move(hooks), shared_log());
  if (!joined) return joined.failure();
  cluster = std::move(*joined);
  return {};
}

constexpr std::chrono::milliseconds longest_last_answers{700};

void node::parts::end_actors(std::chrono::steady_clock::time_point deadline) {
  if (!system) return;
  environment.stopping = true;
  rebuilds->refuse_more();
  // The store's actors finish what they hold. The gateway goes last: until then it tells callers that the node is stopping.
  caf::scoped_actor self(*system);
  const auto end_all = [&](const std::vector<caf::actor>& actors) {
    for (const auto& actor : actors) caf::anon_send(actor, store_stop{deadline});
    for (const auto& actor : actors) self->wait_for(actor);
  };
  control->enter("waits for commits to end");
  end_all(environment.writers);
  control->enter("waits for reads to end");
  end_all(environment.readers);
  control->enter("waits for a rebuild to end");
  rebuilds->stop();
  // A client takes the gateway's end for the node's, and what is not answered by then is in doubt.
  control->enter("waits for the last answers");
  (void)order<let_go_of_aggregates>().wait_for(longest_last_answers);
  (void)flight.wait_until_none(longest_last_answers);
  control->enter("ends the gateway");
  (void)system->middleman().unpublish(gateway, address.port);
  caf::anon_send(gateway, stop_registry{});
  self->wait_for(std::exchange(gateway, nullptr));
}

auto node::start(const node_settings& settings, std::vector<definition_ptr> types, failure_handler on_failure,
                 std::shared_ptr<node_control> control) -> result<std::unique_ptr<node>> {
  constexpr std::chrono::seconds longest_end{1};  // Of a start that failed: nothing was asked of it yet.
  if (!control) control = std::make_shared<node_control>();
  if (auto checked = check_settings(settings); !checked) return checked.failure();
  if (auto checked = check_definitions(types); !checked) return checked.failure();
  // The defaults leave the program's log as the program has set it up.
  if (const node_settings defaults; settings.log_level != defaults.log_level || settings.log_file != defaults.log_file)
    if (auto ready = set_up_logging(settings.log_level, settings.log_file); !ready) return ready.failure();
  auto made = std::make_unique<parts>(settings, control);
  made->on_failure = std::move(on_failure);
  try {
    made->deadline_of_store.emplace(control, made->environment.stopping);
  } catch (const std::system_error& problem) {
    return error{errc::overloaded, std::string("the system gives this process no more threads: ") + problem.what()};
  }
  // What comes next, unless the start was cancelled.
  const auto next = [&](const char* step) -> result<void> {
    if (control->is_cancelled()) return error{errc::shutting_down, "the node's start was cancelled"};
    control->enter(step);
    return {};
  };
  auto going = next("loads its certificates");
  if (going) going = made->load_certificates();
  if (going) going = next("opens the store");
  if (going) going = made->open_store(types);
  if (going) going = next("starts its actors");
  if (!going) return going.failure();
  made->start_actors(std::move(types));
  going = made->listen();
  if (going) going = next("joins the cluster");
  if (going) going = made->join();
  std::unique_ptr<node> started(new node(std::move(made)));
  if (going) going = next("serves");
  if (going) return started;
  auto& p = *started->parts_;
  p.deadline_of_store->set(std::chrono::steady_clock::now() + longest_end);
  p.stopping = true;
  if (p.cluster) (void)p.cluster->leave(longest_end);
  p.end_actors(std::chrono::steady_clock::now());
  return going.failure();
}

node::node(std::unique_ptr<parts> made) : parts_(std::move(made)) {}

node::~node() { stop(); }

auto node::stop() -> std::size_t {
  auto& p = *parts_;
  if (p.stopping.exchange(true)) return 0;
  const auto deadline = std::chrono::steady_clock::now() + p.settings.drain_timeout;
  p.deadline_of_store->set(deadline);
  p.rebuilds->refuse_more();
  const auto time_left = [&] {
    return std::max(std::chrono::milliseconds(0), std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()));
  };
  // First of all the others place nothing here any more. A store that does not answer leaves time for the rest.
  p.control->enter("leaves the cluster");
  if (!p.cluster->leave(time_left() / 2))
    log().warn("node {}: the cluster could not be told in time that it leaves; the others will find that it has stopped", p.name);
  // From the gateway's answer on, what came before is counted, and nothing comes after. One that was ended breaks the promise.
  p.control->enter("waits for the requests in flight");
  (void)p.order<start_draining>().wait_for(time_left());
  (void)p.flight.wait_until_none(time_left());
  const std::size_t unanswered = p.flight.count();
  p.control->leave_unanswered(unanswered);
  if (unanswered > 0)
    log().warn("node {}: {} requests were still in flight after node.drain-timeout; their callers are told so, or that "
               "they are in doubt where the store may have them",
               p.name, unanswered);
  p.control->enter("waits for what runs beside the aggregates");
  p.beside.reset();
  p.control->enter("waits for snapshots");
  (void)p.order<retire_with_snapshots>().wait_for(time_left());
  p.end_actors(deadline);
  p.control->enter("waits for the last heartbeat");
  p.cluster.reset();
  return unanswered;
}

void node::accompany(std::shared_ptr<void> beside) { parts_->beside = std::move(beside); }

auto node::address() const -> const node_address& { return parts_->address; }
auto node::store_name() const -> std::string { return parts_->database->display_name(); }
auto node::name() const -> const std::string& { return parts_->name; }
auto node::open_reader() -> std::unique_ptr<store> { return parts_->database->open_reader(); }

auto node::local_client() -> std::unique_ptr<client> {
  return std::make_unique<client>(*parts_->system, parts_->gateway, client_settings{parts_->settings.client_timeout},
                                  parts_->settings.clock_offset);
}

auto exit_status(const error& failure) -> int {
  switch (failure.kind()) {
    case error_kind::broken: return 1;
    case error_kind::usage: return 2;
    case error_kind::rejected: return 3;
    case error_kind::retryable: return 4;
    case error_kind::in_doubt: return 5;
  }
  return 1;
}

namespace {

// A node's own failures: a store, port or name in use may be free later, unlike a wrong argument.
auto node_exit_status(const error& failure) -> int {
  switch (failure.code) {
    case errc::store_in_use:
    case errc::address_in_use:
    case errc::name_in_use: return 4;
    default: return exit_status(failure);
  }
}

constexpr std::chrono::milliseconds longest_start_end{2'000};
constexpr std::chrono::milliseconds grace_after_drain{2'000};

auto name_of(int signal) -> const char* { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

auto report(std::string_view program, const error& failure) -> int {
  std::cerr << program << ": " << without_passwords(to_string(failure)) << std::endl;
  return node_exit_status(failure);
}

void tell(const std::string& state) {
  if (auto told = tell_supervisor(state); !told) log().warn("{}", told.failure().message);
}

void open_log_anew() {
  if (auto opened = reopen_log(); !opened)
    log().error("on SIGHUP: {}", opened.failure().message);
  else
    log().info("on SIGHUP: the log file was opened anew");
}

// The exit status of a program that has printed all it had to say.
auto end_of_output(std::string_view program, const std::string& before = {}) -> int {
  const auto flushed = flush_output();
  return flushed ? 0 : report(program, {flushed.failure().code, before + flushed.failure().message});
}

}  // namespace

auto run_node(int argc, char** argv, std::vector<definition_ptr> types, const node_companion& companion) -> int {
  constexpr std::size_t fewest_descriptors = 64;
  const auto program = prepare_program(argc, argv);

  for (const int unused : {SIGUSR1, SIGUSR2}) (void)::signal(unused, SIG_IGN);
  std::atomic<bool> failed{false};  // By a fault of the node's own.
  // A start has nothing to drain: it ends as soon as it can.
  const auto control = std::make_shared<node_control>();
  end_watch watch({[control] { control->cancel_start(); },
                   longest_start_end / 2,
                   [control] { control->cut_off_store(); },
                   longest_start_end,
                   [&failed] { return failed ? 1 : 0; },
                   [control] { return std::string("a start; it ") + control->step(); }},
                  open_log_anew);
  control->enter("reads its settings");

  auto arguments = load_settings(argc, argv, program);
  if (!arguments) return report(program, arguments.failure());
  if (!arguments->text.empty()) {
    std::cout << arguments->text;
    return end_of_output(program);
  }
  if (auto ready = set_up_logging(arguments->settings.log_level, arguments->settings.log_file); !ready)
    return report(program, ready.failure());

  if (arguments->migrate) {
    watch.change({{}, {}, {}, longest_start_end, [] { return 4; }, [] { return std::string("the migration of the store, which can be run again"); }});
    auto applied = migrate_store(arguments->settings.store_uri, types, arguments->settings.store);
    if (!applied) return report(program, applied.failure());
    std::cout << *applied;
    return end_of_output(program, "the tables are as they should be, but ");
  }
  if (auto enough = use_all_descriptors(fewest_descriptors); !enough) return report(program, enough.failure());
  // A reader of our output that goes away is no reason to end.
  (void)::signal(SIGPIPE, SIG_IGN);
  auto started = node::start(arguments->settings, std::move(types), [&failed](const std::string& reason) {
    // First of all what ends the node: the log may be what hangs.
    failed = true;
    ::kill(::getpid(), SIGTERM);
    log().critical("{}", reason);
  }, control);
  if (!started && failed) return 1;  // The log says why.
  if (!started && watch.signal() != 0) {
    log().info("stopped by {} before it served", name_of(watch.signal()));
    return 0;
  }
  if (!started) return report(program, started.failure());
  const auto& running = *started;
  watch.change({{}, {}, {}, arguments->settings.drain_timeout + grace_after_drain, {}, [control] {
                  return std::string("the node ") + control->step() + "; " + std::to_string(control->unanswered()) +
                         " requests had no answer when node.drain-timeout was over";
                }});
  try {
    if (companion) running->accompany(companion(*running));
  } catch (const std::exception& problem) {
    return report(program, {errc::internal_error, std::string("what runs beside the aggregates did not start: ") + problem.what()});
  }
  errno = 0;
  std::cout << "ready " << running->address().text() << " store " << running->store_name() << " members "
            << running->name() << std::endl;
  // A script that waits for that line would wait for ever. Behind a stdout that is closed, here or there, there is none.
  if (!std::cout && errno != EBADF && errno != EPIPE) {
    running->stop();
    return report(program, {errc::internal_error, "the line \"ready\" cannot be written to stdout"});
  }
  tell("READY=1\nSTATUS=serves at " + running->address().text());

  const int signal = watch.wait();
  tell("STOPPING=1");
  log().info("node {}: stopping on {}", running->name(), name_of(signal));
  running->stop();
  return failed ? 1 : 0;
}

auto migrate_store(const std::string& uri, const std::vector<definition_ptr>& types, const store_settings& settings)
    -> result<std::string> {
  if (auto checked = check_definitions(types); !checked) return checked.failure();
  auto opened = open_database(uri, settings);
  if (!opened) return opened.failure();
  auto applied = (*opened)->migrate(schemas(types));
  if (!applied) return applied.failure();
  std::string lines;
  for (const auto& step : *applied) lines += "{\"applied\":" + json_quote(step) + "}\n";
  return lines;
}

}  // namespace maestro
