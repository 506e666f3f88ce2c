// What one aggregate costs: the commands per second of one that everybody wants, with evaluate-ahead and without, and the memory
// of one that is idle. Rates are medians of rounds in which all that is compared takes turns.
#include "measuring.hpp"

#include <maestro/aggregates/bind.hpp>
#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>
#include <maestro/store/clock.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <latch>
#include <semaphore>
#include <span>
#include <thread>

using namespace maestro;
using namespace maestro::benchmark;
using steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t levels[] = {1, 8, 64, 512};  // Of callers: requests outstanding.

struct add {
  std::int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(amount));
  }
};
struct added : add {};
struct total {
  std::int64_t value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(value));
  }
};
class counter : public aggregate<counter, total> {
 public:
  static constexpr std::string_view type = "counter";
  using commands = maestro::commands<add>;
  using events = maestro::events<added>;
  static auto eval(const total&, const add& command) -> added { return {command}; }
  static void apply(total& state, const added& event) { state.value += event.amount; }
};

auto start_node(const std::string& uri, std::size_t ahead) -> std::unique_ptr<node> {
  node_settings settings;
  settings.port = 0;
  settings.store_uri = uri;
  settings.aggregate.max_commands_ahead = ahead;
  settings.idle_timeout = std::chrono::hours(1);
  return must(node::start(settings, {define<counter>()}));
}

// A node on a store of its own with one counter, and callers who each send the next command when they have an answer.
class hot_counter {
 public:
  hot_counter(const std::string& uri, std::size_t ahead) : node_(start_node(uri, ahead)), client_(node_->local_client()) {}

  // Commands per second. Commands that are under way at the end are waited for, and do not count.
  auto rate(std::size_t callers, std::chrono::milliseconds length) -> double {
    const auto now = std::make_shared<round>(static_cast<std::ptrdiff_t>(callers));
    const auto began = steady::now();
    for (std::size_t i = 0; i < callers; ++i) send(now);
    std::this_thread::sleep_for(length);
    const auto answered = now->answered.load();
    const std::chrono::duration<double> took = steady::now() - began;
    now->over = true;
    now->callers.wait();
    if (now->failed) throw std::runtime_error("a command failed");
    return static_cast<double>(answered) / took.count();
  }

 private:
  struct round {
    explicit round(std::ptrdiff_t count) : callers(count) {}
    std::atomic<std::uint64_t> answered{0};
    std::atomic<bool> over{false};
    std::atomic<bool> failed{false};
    std::latch callers;
  };

  void send(const std::shared_ptr<round>& now) {
    send_options options;
    options.timeout = std::chrono::minutes(1);
    options.retry = false;
    client_->send_async(id_, add{1}, options, [this, now](const receipt& got) {
      if (got.answer.failure) now->failed = true;
      ++now->answered;
      if (now->over || now->failed) now->callers.count_down();
      else send(now);
    });
  }

  std::unique_ptr<node> node_;
  std::unique_ptr<client> client_;
  const typed_id<counter> id_ = typed_id<counter>::named("hot");
};

struct figures {
  std::vector<double> rates;
  [[nodiscard]] auto text() const -> std::string {
    const auto [least, most] = std::minmax_element(rates.begin(), rates.end());
    return "\"commands_per_second\":" + std::to_string(std::lround(median(rates))) + ",\"least\":" +
           std::to_string(std::lround(*least)) + ",\"most\":" + std::to_string(std::lround(*most));
  }
};

// One kind of store, with evaluate-ahead and with one command per commit.
struct contest {
  std::string store;
  hot_counter ahead;
  hot_counter one_by_one;
  figures ahead_at[std::size(levels)] = {};
  figures one_by_one_at[std::size(levels)] = {};
};

void measure_hot(std::vector<std::unique_ptr<contest>> stores, std::chrono::milliseconds length, int rounds) {
  for (const auto& each : stores)
    for (auto* counter : {&each->ahead, &each->one_by_one}) (void)counter->rate(64, length);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t level = 0; level < std::size(levels); ++level)
      for (const auto& each : stores) {
        each->ahead_at[level].rates.push_back(each->ahead.rate(levels[level], length));
        each->one_by_one_at[level].rates.push_back(each->one_by_one.rate(levels[level], length));
      }
  for (const auto& each : stores)
    for (std::size_t level = 0; level < std::size(levels); ++level)
      std::cout << "{\"what\":\"one hot aggregate on " << each->store << "\",\"callers\":" << levels[level] << ","
                << each->ahead_at[level].text() << ",\"one_per_commit\":{" << each->one_by_one_at[level].text() << "}}" << std::endl;
}

struct memory {
  double resident = 0;
  double allocated = 0;
};

auto memory_in_use() -> memory {
  ::malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  const auto heap = ::mallinfo2();
  return {resident * static_cast<double>(::sysconf(_SC_PAGESIZE)), static_cast<double>(heap.uordblks + heap.hblkhd)};
}

void report_bytes(const std::string& what, std::size_t count, const memory& before, const memory& after) {
  const auto each = [count](double bytes) { return std::lround(bytes / static_cast<double>(count)); };
  std::cout << "{\"what\":\"" << what << "\",\"live\":" << count << ",\"resident_bytes_each\":" << each(after.resident - before.resident)
            << ",\"allocated_bytes_each\":" << each(after.allocated - before.allocated) << "}" << std::endl;
}

// Counters with one event each, which was recorded so long ago.
auto fill(const std::string& uri, std::size_t count, std::chrono::milliseconds age) -> std::vector<aggregate_id> {
  const auto store = must(open_database(uri));
  (void)must(store->migrate({}));
  const auto writer = store->open_writer();
  hybrid_clock clock(std::chrono::minutes(5), -age);
  std::vector<aggregate_id> ids;
  while (ids.size() < count) {
    std::vector<commit_request> requests(std::min<std::size_t>(1000, count - ids.size()));
    std::vector<const commit_request*> pointers;
    for (auto& request : requests) {
      request.aggregate_id = ids.emplace_back(clock.fresh<aggregate_id>());
      request.aggregate_type = counter::type;
      auto& event = request.units.emplace_back().events.emplace_back();
      event.timestamp = clock.now();
      event.aggregate_id = request.aggregate_id;
      event.sequence = 1;
      event.aggregate_type = counter::type;
      event.type = registered_name<added>();
      event.body = must(encode(added{{1}}));
      event.command_id = clock.fresh<command_id>();
      pointers.push_back(&request);
    }
    for (const auto& outcome : writer->commit_all(pointers))
      if (outcome.failure) throw std::runtime_error(to_string(outcome.failure));
  }
  return ids;
}

void hydrate_all(client& node, std::span<const aggregate_id> ids) {
  constexpr std::ptrdiff_t outstanding = 256;
  std::counting_semaphore<outstanding> free{outstanding};
  std::atomic<bool> failed{false};
  for (const auto& id : ids) {
    free.acquire();
    query_request request;
    request.verb = static_cast<std::uint8_t>(query_verb::get);
    request.aggregate_type = counter::type;
    request.aggregate_id = id;
    node.ask_async(std::move(request), {}, [&](const query_reply& reply) {
      if (reply.code != 0 || reply.sequence != 1) failed = true;
      free.release();
    });
  }
  for (std::ptrdiff_t i = 0; i < outstanding; ++i) free.acquire();
  if (failed) throw std::runtime_error("an aggregate could not be hydrated");
}

// The first tenth is there before the count begins, with the store's caches and all else that comes with the first ones.
void measure_idle(const std::string& what, const std::string& uri, std::size_t count, std::chrono::milliseconds age) {
  const auto ids = fill(uri, count + count / 10, age);
  const auto node = start_node(uri, aggregate_settings{}.max_commands_ahead);
  const auto client = node->local_client();
  hydrate_all(*client, std::span(ids).first(count / 10));
  const auto before = memory_in_use();
  hydrate_all(*client, std::span(ids).subspan(count / 10));
  report_bytes(what, count, before, memory_in_use());
}

struct bare_actor : caf::event_based_actor {
  using caf::event_based_actor::event_based_actor;
  auto make_behavior() -> caf::behavior override {
    return {[](retire_aggregate) {}};
  }
};

void measure_bare_actors(std::size_t count) {
  caf::actor_system_config configuration;
  caf::actor_system system(configuration);
  std::vector<caf::actor> actors;
  actors.reserve(count);
  const auto before = memory_in_use();
  for (std::size_t i = 0; i < count; ++i) actors.push_back(caf::actor_cast<caf::actor>(system.spawn<bare_actor>()));
  report_bytes("a bare CAF actor", count, before, memory_in_use());
  for (const auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
}

struct folder {
  folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "maestro_benchmark_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder can be made at " + pattern);
    path = pattern;
  }
  folder(const folder&) = delete;
  auto operator=(const folder&) -> folder& = delete;
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  [[nodiscard]] auto store(const std::string& name) const -> std::string { return "sqlite:" + path + "/" + name + ".db"; }
  std::string path;
};

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t count = argc > 1 ? std::stoul(argv[1]) : 100'000;
  const std::chrono::milliseconds length(argc > 2 ? std::stol(argv[2]) : 1000);
  const int rounds = argc > 3 ? std::stoi(argv[3]) : 5;
  must(set_up_logging("warn", ""));
  const folder scratch;

  std::cout << "{\"what\":\"sizeof\",\"aggregate_actor\":" << sizeof(aggregate_actor) << ",\"of_which_caf\":" << sizeof(caf::event_based_actor)
            << ",\"hydrated\":" << sizeof(hydrated) << ",\"recent_commands\":" << sizeof(recent_commands) << "}" << std::endl;
  measure_bare_actors(count);
  measure_idle("an idle aggregate", scratch.store("idle"), count, std::chrono::hours(1));
  measure_idle("an idle aggregate that was hydrated minutes after its last event", scratch.store("recent"), count, {});

  constexpr auto ahead = aggregate_settings{}.max_commands_ahead;
  std::vector<std::unique_ptr<contest>> stores;
  stores.emplace_back(new contest{"sqlite", {scratch.store("ahead"), ahead}, {scratch.store("one_by_one"), 1}});
  if (const char* server = std::getenv("MAESTRO_TEST_POSTGRES"); server != nullptr && *server != '\0')
    stores.emplace_back(new contest{"postgres", {fresh_schema(server, "hot_ahead"), ahead}, {fresh_schema(server, "hot_one_by_one"), 1}});
  measure_hot(std::move(stores), length, rounds);
  return 0;
} catch (const std::exception& problem) {
  std::cerr << "aggregate_cost: " << problem.what() << std::endl;
  return 1;
}
