// What one command may record, what is read at a time, and what may be registered together.
#include "../store/forwarding_store.hpp"
#include "harness.hpp"

#include <maestro/aggregates/state_diff.hpp>
#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace ::test;
using maestro::test::forwarding_store;

namespace {

struct write_much {
  int kilobytes = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(kilobytes));
  }
};
struct written {
  std::string text;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(text));
  }
};
struct volume {
  std::int64_t bytes = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(bytes));
  }
};

// Records an event of 1,000 characters for each kilobyte.
class writer : public aggregate<writer, volume> {
 public:
  static constexpr std::string_view type = "writer";
  using commands = maestro::commands<write_much>;
  using events = maestro::events<written>;
  static auto eval(const volume&, const write_much& command) -> std::vector<written> {
    return std::vector<written>(static_cast<std::size_t>(command.kilobytes), written{std::string(1000, 'x')});
  }
  static void apply(volume& state, const written& event) {
    state.bytes += static_cast<std::int64_t>(event.text.size());
  }
};

class second_writer : public aggregate<second_writer, volume> {
 public:
  static constexpr std::string_view type = "writer";
  using commands = maestro::commands<>;
  using events = maestro::events<written>;
  static void apply(volume&, const written&) {}
};

// Remembers how many bytes the largest page had.
class measuring_store final : public forwarding_store {
 public:
  using forwarding_store::forwarding_store;
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    auto read = inner().get_events(id, range);
    if (read) note(*read);
    ++reads;
    return read;
  }
  auto scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void> override {
    return inner().scan_events(id, range, [&](std::span<event> page) {
      note(page);
      return take(page);
    });
  }
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    auto read = inner().get_histories(ids, limit);
    if (read)
      for (const auto& each : *read) note(each.events);
    return read;
  }
  std::size_t largest = 0;
  std::size_t reads = 0;  // By get_events.

 private:
  void note(std::span<const event> page) {
    std::size_t bytes = 0;
    for (const auto& row : page) bytes += row.body.size() + row.metadata.size();
    largest = std::max(largest, bytes);
  }
};

struct writer_stage : stage {
  // Events behind sequence `after`, without an owner.
  void write(sequence_number after, std::size_t count, const std::string& body) {
    const auto predecessor = after == 0 ? timestamp{} : newest;
    std::vector<event> rows(count);
    for (auto& row : rows) {
      row.timestamp = clock.now();
      row.aggregate_id = id;
      row.sequence = ++after;
      row.aggregate_type = "writer";
      row.type = "written";
      row.body = body;
    }
    newest = rows.back().timestamp;
    maestro::test::succeed(store->open_writer()->commit_events(std::move(rows), predecessor));
  }

  definition_ptr kind = define<writer>();
  timestamp newest;  // Of what was written so.
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(bounds, writer_stage)

BOOST_AUTO_TEST_CASE(a_command_records_as_many_events_as_its_bound_says) {
  aggregate_settings few;
  few.max_events_per_command = 20;
  owner node(system, *store, few);
  const auto actor = node.start(*type, id);
  const auto refused = node.send(actor, id, climb{21}).get();
  BOOST_TEST((refused.failure.code == errc::invalid_event));
  BOOST_TEST((refused.failure.message.find("more than 20 events, the limit of aggregate.max-events-per-command") !=
              std::string::npos),
             refused.failure.message);
  const auto taken = node.send(actor, id, climb{20}).get();
  BOOST_TEST(!taken.failure, to_string(taken.failure));
  BOOST_TEST(taken.last == 20);
  BOOST_TEST(node.state(actor, id).total == 210);
}

BOOST_AUTO_TEST_CASE(a_command_records_as_many_bytes_as_its_bound_says) {
  aggregate_settings small;
  small.max_event_bytes_per_command = 10'000;
  owner node(system, *store, small);
  const auto actor = node.start(*kind, id);
  const auto refused = node.send(actor, id, write_much{10}).get();
  BOOST_TEST((refused.failure.code == errc::invalid_event));
  BOOST_TEST((refused.failure.message.find("10000 bytes, the limit of aggregate.max-event-bytes-per-command") !=
              std::string::npos),
             refused.failure.message);
  BOOST_TEST(!node.send(actor, id, write_much{9}).get().failure);
}

BOOST_AUTO_TEST_CASE(metadata_counts_with_each_event) {
  aggregate_settings small;
  small.max_event_bytes_per_command = 10'000;
  owner node(system, *store, small);
  const auto actor = node.start(*type, id);
  const auto send = [&](int steps) {
    auto job = std::make_shared<waiting_command>();
    job->aggregate_id = id;
    job->first_send = true;
    job->command_id = node.clock().fresh<command_id>();
    job->command = registered_name<climb>();
    job->payload = encode(climb{steps}).value();
    job->metadata = R"({"note":")" + std::string(1000, 'n') + "\"}";
    auto answer = job->promise.get_future();
    caf::anon_send(actor, command_job_ptr(std::move(job)));
    return answer.get();
  };
  BOOST_TEST((send(10).failure.code == errc::invalid_event));
  const auto taken = send(9);
  BOOST_TEST(!taken.failure, to_string(taken.failure));
  BOOST_TEST(taken.last == 9);
}

BOOST_AUTO_TEST_CASE(large_events_are_read_a_few_at_a_time) {
  const auto large = R"({"text":")" + std::string(100'000, 'x') + "\"}";
  write(0, 150, large);
  auto watched = std::make_unique<measuring_store>(store->open_reader());
  auto& seen = *watched;
  owner node(system, *store, owner_options{{}, false, nullptr, std::move(watched), {}, {}});
  const auto actor = node.start(*kind, id);
  BOOST_TEST(node.ask(actor, id, query_kind::fetch).state == R"({"bytes":15000000})");
  BOOST_TEST(node.ask(actor, id, query_kind::replay, 149).state == R"({"bytes":14900000})");
  measuring_store compared(store->open_reader());
  BOOST_TEST(state_diff(compared, *kind, id, moment{1}, moment{150}).has_value());
  BOOST_TEST(compared.largest <= 8U * 1024 * 1024);
  write(150, 150, large);  // By another owner: what the aggregate does not know yet.
  BOOST_TEST(node.ask(actor, id, query_kind::fetch).state == R"({"bytes":30000000})");
  BOOST_TEST(seen.largest >= 3'200'000U);
  BOOST_TEST(seen.largest <= 8U * 1024 * 1024 + large.size());  // A refresh reads the event that it knows besides.
}

// As long as it has not come to the end: one that began small each time would read 50,000 events in 1,500 steps.
BOOST_AUTO_TEST_CASE(what_reads_on_takes_larger_pages) {
  const std::string small = R"({"text":"x"})";
  write(0, 10, small);
  auto watched = std::make_unique<measuring_store>(store->open_reader());
  auto& seen = *watched;
  owner node(system, *store, owner_options{{}, false, nullptr, std::move(watched), {}, {}});
  const auto actor = node.start(*kind, id);
  BOOST_TEST(node.ask(actor, id, query_kind::fetch).state == R"({"bytes":10})");
  write(10, 600, small);
  const auto before = seen.reads;
  BOOST_TEST(node.ask(actor, id, query_kind::fetch).state == R"({"bytes":610})");
  BOOST_TEST(seen.reads - before == 3U);  // 32, 128 and the rest.

  hydration past(*kind, id, moment{600}, 1000);
  measuring_store each(store->open_reader());
  while (!maestro::test::value_of(past.read(each, [] { return false; }))) BOOST_TEST_REQUIRE(each.reads < 100U);
  BOOST_TEST(past.at().sequence == 600);
  BOOST_TEST(each.reads <= 5U);
}

BOOST_AUTO_TEST_CASE(two_aggregates_of_one_type_are_refused_by_both_names) {
  const std::vector<definition_ptr> right{type, kind};
  BOOST_TEST(check_definitions(right).has_value());
  const std::vector<definition_ptr> same_type{kind, type, define<second_writer>()};
  const auto refused = check_definitions(same_type);
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST((refused.failure().code == errc::invalid_argument));
  for (const auto* name : {"\"writer\"", "::writer", "::second_writer"})
    BOOST_TEST((refused.failure().message.find(name) != std::string::npos), refused.failure().message);
  node_settings settings;
  settings.port = 0;
  settings.store_uri = "sqlite::memory:";
  const auto started = node::start(settings, same_type);
  BOOST_TEST_REQUIRE(!started.has_value());
  BOOST_TEST(started.failure().message == refused.failure().message);
  const auto migrated = migrate_store(settings.store_uri, same_type, settings.store);
  BOOST_TEST_REQUIRE(!migrated.has_value());
  BOOST_TEST(migrated.failure().message == refused.failure().message);
  const std::vector<definition_ptr> twice{kind, kind};
  BOOST_TEST((check_definitions(twice).failure().message.find("registered twice") != std::string::npos));
  const std::vector<definition_ptr> null{nullptr};
  BOOST_TEST(!check_definitions(null).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
