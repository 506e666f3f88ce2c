// Aggregates' actors on a store, without a node: several owners of one store at once, as in a cluster that has
// lost its way.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/store/scheduling.hpp>
#include <maestro/store/store_actor.hpp>

#include "counter.hpp"

#include "../store/test_store.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <spdlog/sinks/null_sink.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace test {

using namespace maestro;

class waiting_command final : public command_job {
 public:
  ~waiting_command() override {
    if (!answered_) promise.set_value({{errc::in_doubt, "dropped"}, 0, 0, false, {}, {}});
  }
  void answer(command_answer answer) override {
    answered_ = true;
    promise.set_value(std::move(answer));
  }
  [[nodiscard]] auto caller_is_gone() const -> bool override { return is_gone; }
  [[nodiscard]] auto caller() const -> const void* override { return from_whom; }
  std::atomic<bool> is_gone{false};
  const void* from_whom = nullptr;
  std::promise<command_answer> promise;

 private:
  bool answered_ = false;
};

class waiting_query final : public query_job {
 public:
  [[nodiscard]] auto caller_is_gone() const -> bool override { return is_gone; }
  [[nodiscard]] auto caller() const -> const void* override { return from_whom; }
  std::atomic<bool> is_gone{false};
  const void* from_whom = nullptr;
  void answer(query_answer answer) override { promise.set_value(std::move(answer)); }
  std::promise<query_answer> promise;
};

struct owner_options {
  aggregate_settings settings;
  bool alone = false;  ///< The only one, which a store that others can open does not count on.
  std::unique_ptr<maestro::store> writer;  ///< Instead of the database's own.
  std::unique_ptr<maestro::store> reader;
  caf::actor registry;
  std::chrono::milliseconds clock_offset{0};
};

/// One owner of aggregates: its clock, its store actors. Several may share a database.
class owner {
 public:
  owner(caf::actor_system& system, database& from, owner_options with)
      : system_(system), clock_(std::chrono::minutes(5), with.clock_offset) {
    environment_.clock = &clock_;
    environment_.single_owner = with.alone && from.single_owner();
    environment_.settings = with.settings;
    environment_.registry = std::move(with.registry);
    environment_.log = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::null_sink_mt>());
    environment_.writers.push_back(spawn_store_writer(system, with.writer ? std::move(with.writer) : from.open_writer()));
    environment_.readers.push_back(spawn_store_reader(system, with.reader ? std::move(with.reader) : from.open_reader()));
  }
  owner(caf::actor_system& system, database& from, aggregate_settings settings = {}, bool alone = false,
        std::unique_ptr<maestro::store> writer = nullptr)
      : owner(system, from, owner_options{settings, alone, std::move(writer), nullptr, {}, {}}) {}
  ~owner() {
    caf::scoped_actor self(system_);
    for (auto& actor : aggregates_) {  // They read the environment until they end.
      caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
      self->wait_for(actor);
    }
    for (auto* list : {&environment_.writers, &environment_.readers})
      for (auto& actor : *list) {
        caf::anon_send(actor, store_stop{});
        self->wait_for(actor);
      }
  }

  auto start(const definition& type, const aggregate_id& id) -> caf::actor {
    return aggregates_.emplace_back(
        caf::actor_cast<caf::actor>(system_.spawn<aggregate_actor>(&environment_, &type, id)));
  }
  auto clock() -> hybrid_clock& { return clock_; }
  auto environment() -> aggregate_environment& { return environment_; }

  /// Sends without waiting. `first_send`: nobody has sent `name` before.
  template <class Command>
  auto send(const caf::actor& to, const aggregate_id& id, const Command& command, command_id name = {},
            return_mode returns = return_mode::sequences, bool first_send = false) -> std::future<command_answer> {
    auto job = std::make_shared<waiting_command>();
    job->aggregate_id = id;
    job->first_send = first_send || !name;
    job->command_id = name ? name : clock_.fresh<command_id>();
    job->command = registered_name<Command>();
    job->payload = encode(command).value();
    job->returns = returns;
    auto answer = job->promise.get_future();
    caf::anon_send(to, command_job_ptr(std::move(job)));
    return answer;
  }
  auto ask(const caf::actor& to, const aggregate_id& id, query_kind kind, sequence_number number = 0,
           std::string name = {}) -> query_answer {
    return ask_without_waiting(to, id, kind, number, std::move(name)).get();
  }
  auto ask_without_waiting(const caf::actor& to, const aggregate_id& id, query_kind kind, sequence_number number = 0,
                           std::string name = {}) -> std::future<query_answer> {
    auto job = std::make_shared<waiting_query>();
    job->aggregate_id = id;
    job->kind = kind;
    job->at_least = kind == query_kind::replay ? 0 : number;
    job->up_to.sequence = number;
    job->name = std::move(name);
    job->payload = "{}";
    auto answer = job->promise.get_future();
    caf::anon_send(to, query_job_ptr(std::move(job)));
    return answer;
  }
  auto state(const caf::actor& of, const aggregate_id& id, query_kind kind = query_kind::fetch) -> counter_state {
    return decode<counter_state>(ask(of, id, kind).state).value();
  }

 private:
  caf::actor_system& system_;
  hybrid_clock clock_;
  aggregate_environment environment_;
  std::vector<caf::actor> aggregates_;
};

/// An actor system and a store with the counter's tables.
struct stage {
  stage() {
    const auto steps = type->migrations();
    if (auto migrated = store->migrate(steps); !migrated) throw std::runtime_error(to_string(migrated.failure()));
  }
  struct scheduled_as_nodes_are : caf::actor_system_config {
    scheduled_as_nodes_are() {
      set("scheduler.max-threads", std::size_t{2 + 16});  // Several owners' store actors wait at once.
      schedule_by_handing_on(*this, 2);
    }
  };
  scheduled_as_nodes_are configuration;
  caf::actor_system system{configuration};
  const maestro::test::test_store fresh;
  std::shared_ptr<database> store = open_database(fresh.uri()).value();
  definition_ptr type = define<counter>();
  hybrid_clock clock;
  aggregate_id id = clock.fresh<aggregate_id>();
};

}  // namespace test
