#include "filling.hpp"

#include "measuring.hpp"

#include <filesystem>

namespace maestro::benchmark {

auto fill_ledgers(const std::string& uri, std::size_t count, int events, std::chrono::milliseconds age) -> std::vector<typed_id<ledger>> {
  constexpr std::size_t rows_at_once = 1000;
  const auto database = must(open_database(uri));
  for (const auto& type : ledger_types()) (void)must(database->migrate(type->migrations()));
  const auto writer = database->open_writer();
  hybrid_clock clock(std::chrono::minutes(5), -age);
  const auto body = entry_json();
  std::vector<typed_id<ledger>> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(typed_id<ledger>::fresh(clock));

  std::vector<commit_request> requests;
  std::size_t rows = 0;
  const auto write = [&] {
    std::vector<const commit_request*> pointers;
    for (const auto& request : requests) pointers.push_back(&request);
    for (const auto& outcome : writer->commit_all(pointers))
      if (outcome.failure) throw std::runtime_error(to_string(outcome.failure));
    requests.clear();
    rows = 0;
  };
  for (const auto& id : ids) {
    timestamp newest;
    for (int sequence = 0; sequence < events;) {
      auto& request = requests.emplace_back();
      request.aggregate_id = id;
      request.aggregate_type = ledger::type;
      request.predecessor = newest;
      const auto room = rows_at_once - rows;
      for (std::size_t i = 0; i < room && sequence < events; ++i, ++rows) {
        auto& event = request.units.emplace_back().events.emplace_back();
        event.timestamp = newest = clock.now();
        event.aggregate_id = id;
        event.sequence = ++sequence;
        event.aggregate_type = ledger::type;
        event.type = registered_name<recorded>();
        event.body = body;
        event.command_id = clock.fresh<command_id>();
      }
      if (rows == rows_at_once) write();
    }
  }
  if (!requests.empty()) write();
  return ids;
}

void fill_log(const std::string& uri, std::int64_t rows) {
  const auto database = must(open_database(uri + "%20-cstatement_timeout%3D0%20-cenable_seqscan%3Don"));
  (void)must(database->open_writer()->query(
      "INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id) "
      "SELECT decode(lpad(to_hex(1600000000000 + n), 12, '0') || '00001122334455667788', 'hex'), "
      "       substr(sha256(int8send(n / 10)), 1, 16), 1 + n % 10, 'recorded', $1::jsonb, 'ledger', "
      "       decode(lpad(to_hex(1600000000000 + n), 12, '0') || '00001122334455667799', 'hex') "
      "FROM generate_series(0, $2::bigint - 1) AS n",
      std::vector<sql_value>{entry_json(), rows}));
}

auto fresh_file(const surroundings& at, const std::string& name) -> std::string {
  const auto file = at.folder + "/" + name + ".db";
  for (const char* end : {"", "-wal", "-shm", "-lock"}) std::filesystem::remove(file + end);
  return file;
}

void vacuum(const std::string& server, const std::string& table) {
  const auto database = must(open_database(with_patience(server)));
  const auto connection = database->open_writer();
  (void)must(connection->query("VACUUM ANALYZE " + table, {}));
  (void)must(connection->query("CHECKPOINT", {}));
}

}  // namespace maestro::benchmark
