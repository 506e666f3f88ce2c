#include "references.hpp"

#include "../node/process.hpp"
#include "measuring.hpp"
#include "meter.hpp"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace maestro::benchmark {

namespace {

using steady = std::chrono::steady_clock;

using connection_ptr = std::shared_ptr<PGconn>;
struct clear_result {
  void operator()(PGresult* result) const { PQclear(result); }
};
using result_ptr = std::unique_ptr<PGresult, clear_result>;

auto connect(const std::string& uri) -> connection_ptr {
  connection_ptr connection(PQconnectdb(uri.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
  return connection;
}

auto expect(result_ptr result, ExecStatusType status, PGconn* connection) -> result_ptr {
  if (PQresultStatus(result.get()) != status) throw std::runtime_error(PQerrorMessage(connection));
  return result;
}

auto next_number() -> int {
  static std::atomic<int> last{0};
  return ++last;
}

// --- pgbench -----------------------------------------------------------------------------------------------------------

constexpr const char* insert_script = R"(\set n :n + 1
\set account random(1, 1000)
INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id)
VALUES (int8send((extract(epoch FROM clock_timestamp()) * 1000000)::bigint) || int8send(:client_id),
        int8send(:account) || int8send(:round), :n * 1024 + :client_id, 'recorded', :body, 'ledger', int8send(:n) || int8send(:client_id));
)";

constexpr const char* read_script = R"(\set account random(1, 1000)
SELECT sequence, type, body FROM event_log WHERE aggregate_id = int8send(:account) || int8send(:round) ORDER BY sequence DESC LIMIT 1;
)";

// Latencies of the transactions that ended between two moments, in pgbench's own log: client, transaction number, microseconds, script,
// and the end in seconds and microseconds.
auto take_latencies(const std::filesystem::path& folder, const std::string& prefix, std::int64_t from, std::int64_t to) -> std::vector<std::uint32_t> {
  std::vector<std::uint32_t> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with(prefix + ".")) continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::istringstream fields(line);
      std::int64_t client = 0, number = 0, took = 0, script = 0, seconds = 0, microseconds = 0;
      if (!(fields >> client >> number >> took >> script >> seconds >> microseconds)) continue;
      const auto end = seconds * 1'000'000 + microseconds;
      if (end >= from && end < to) all.push_back(static_cast<std::uint32_t>(took));
    }
    std::filesystem::remove(entry.path());
  }
  return all;
}

auto microseconds_of_now() -> std::int64_t {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void wait_for_clients(PGconn* connection, int clients, steady::time_point until) {
  for (;;) {
    const auto got = expect(result_ptr(PQexec(connection, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench' AND query LIKE '%event_log%'")),
                            PGRES_TUPLES_OK, connection);
    if (std::stoi(PQgetvalue(got.get(), 0, 0)) >= clients) return;
    if (steady::now() > until) throw std::runtime_error("pgbench's clients took too long to connect");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// --- COPY --------------------------------------------------------------------------------------------------------------

// Rows in COPY's binary form.
class copy_rows {
 public:
  copy_rows() : bytes_("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19) {}
  void begin_row(std::uint16_t fields) { add_number(fields, 2); }
  void add(std::string_view bytes) {
    add_number(bytes.size(), 4);
    bytes_ += bytes;
  }
  void add_integer(std::int32_t number) {
    add_number(4, 4);
    add_number(static_cast<std::uint32_t>(number), 4);
  }
  [[nodiscard]] auto end() -> const std::string& { return bytes_.append("\377\377"); }

 private:
  void add_number(std::uint64_t number, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>(number >> shift));
  }
  std::string bytes_;
};

auto sixteen_bytes(std::uint64_t high, std::uint64_t low) -> std::string {
  std::string bytes;
  for (const auto half : {high, low})
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(half >> shift));
  return bytes;
}

class copier {
 public:
  copier(const std::string& uri, std::string body) : connection_(connect(uri)), body_("\1" + std::move(body)) {}

  auto round(std::chrono::milliseconds length) -> sample {
    const auto began = steady::now();
    std::size_t rows = 0;
    for (; steady::now() - began < length; rows += rows_at_once) copy();
    sample taken;
    taken.value = static_cast<double>(rows) / std::chrono::duration<double>(steady::now() - began).count();
    return taken;
  }

 private:
  static constexpr std::size_t rows_at_once = 1024;
  static constexpr std::uint64_t aggregates = 1000;

  void copy() {
    copy_rows rows;
    const auto now = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    for (std::size_t i = 0; i < rows_at_once; ++i, ++count_) {
      rows.begin_row(7);
      const auto unique = sixteen_bytes(now, count_);
      rows.add(unique);
      rows.add(sixteen_bytes(first_aggregate_ + count_ % aggregates, 7));
      rows.add_integer(static_cast<std::int32_t>(count_ / aggregates + 1));
      rows.add("recorded");
      rows.add(body_);
      rows.add("ledger");
      rows.add(unique);
    }
    const auto& bytes = rows.end();
    auto* const raw = connection_.get();
    expect(result_ptr(PQexec(raw, "COPY event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id) "
                                  "FROM STDIN (FORMAT binary)")),
           PGRES_COPY_IN, raw);
    if (PQputCopyData(raw, bytes.data(), static_cast<int>(bytes.size())) != 1 || PQputCopyEnd(raw, nullptr) != 1)
      throw std::runtime_error(PQerrorMessage(raw));
    expect(result_ptr(PQgetResult(raw)), PGRES_COMMAND_OK, raw);
    (void)result_ptr(PQgetResult(raw));
  }

  connection_ptr connection_;
  const std::string body_;  // With the version in front that jsonb has in binary form.
  std::uint64_t count_ = 0;
  const std::uint64_t first_aggregate_ = 1'000'000 * static_cast<std::uint64_t>(next_number());
};

// --- SQLite ------------------------------------------------------------------------------------------------------------

class sqlite_loop {
 public:
  sqlite_loop(const std::string& file, std::string body) : body_(std::move(body)) {
    check(sqlite3_open(file.c_str(), &database_));
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=FULL");
    check(sqlite3_prepare_v2(database_,
                             "INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id) "
                             "VALUES (?, ?, ?, 'recorded', ?, 'ledger', ?)", -1, &insert_, nullptr));
  }
  ~sqlite_loop() {
    sqlite3_finalize(insert_);
    sqlite3_close(database_);
  }
  sqlite_loop(const sqlite_loop&) = delete;
  auto operator=(const sqlite_loop&) -> sqlite_loop& = delete;

  auto round(std::chrono::milliseconds length) -> sample {
    const auto began = steady::now();
    std::vector<std::uint32_t> latencies;
    for (auto now = began; now - began < length;) {
      insert();
      const auto then = std::exchange(now, steady::now());
      latencies.push_back(static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - then).count()));
    }
    sample taken;
    taken.value = static_cast<double>(latencies.size()) / std::chrono::duration<double>(steady::now() - began).count();
    taken.set_latencies(std::move(latencies));
    return taken;
  }

 private:
  void insert() {
    const auto now = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
    const auto unique = sixteen_bytes(now, ++count_);
    const auto id = sixteen_bytes(count_ % 1000, 7);
    const auto bind = [&](int at, const std::string& bytes) {
      check(sqlite3_bind_blob(insert_, at, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC));
    };
    bind(1, unique);
    bind(2, id);
    check(sqlite3_bind_int64(insert_, 3, static_cast<std::int64_t>(count_)));
    check(sqlite3_bind_text(insert_, 4, body_.data(), static_cast<int>(body_.size()), SQLITE_STATIC));
    bind(5, unique);
    if (sqlite3_step(insert_) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_));
    check(sqlite3_reset(insert_));
  }
  void execute(const char* sql) { check(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr)); }
  void check(int status) {
    if (status != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(database_));
  }

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  const std::string body_;
  std::uint64_t count_ = 0;
};

}  // namespace

auto pgbench_inserts(const surroundings& at, const std::string& uri, int clients, const std::string& body, int reads_of_five)
    -> contestant {
  const std::filesystem::path folder(at.folder);
  const auto scripts = std::pair{folder / "insert.sql", folder / "read.sql"};
  std::ofstream(scripts.first) << insert_script;
  std::ofstream(scripts.second) << read_script;
  const auto server = find_postmaster(at.server);
  const auto watch = connect(at.server);
  const auto round = [=](std::chrono::milliseconds length) {
    // What is counted begins when all clients are connected and at work.
    constexpr std::chrono::seconds lead{6};
    const auto number = next_number();
    const auto prefix = "pgbench" + std::to_string(number);
    std::vector<std::string> command{"/usr/bin/env", "pgbench", "-M", "prepared", "-j", "2", "-n", "-c", std::to_string(clients),
                                     "-T", std::to_string((lead + std::chrono::ceil<std::chrono::seconds>(length)).count()),
                                     "-D", "n=0", "-D", "round=" + std::to_string(number), "-D", "body=" + body,
                                     "-l", "--log-prefix", (folder / prefix).string()};
    if (reads_of_five < 5) command.insert(command.end(), {"-f", scripts.first.string() + "@" + std::to_string(5 - reads_of_five)});
    if (reads_of_five > 0) command.insert(command.end(), {"-f", scripts.second.string() + "@" + std::to_string(reads_of_five)});
    command.push_back(uri);
    test::process pgbench(command);
    wait_for_clients(watch.get(), clients, steady::now() + lead - std::chrono::seconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const auto from = microseconds_of_now();
    const meter meter({pgbench.pid()}, server);
    std::this_thread::sleep_for(length);
    const auto to = microseconds_of_now();
    sample taken;
    meter.stop(taken, 1);
    if (pgbench.wait(std::chrono::seconds(60)) != 0) throw std::runtime_error("pgbench failed: " + pgbench.errors() + pgbench.out());
    auto latencies = take_latencies(folder, prefix, from, to);
    if (latencies.empty()) throw std::runtime_error("pgbench did nothing: " + pgbench.out());
    const auto transactions = static_cast<double>(latencies.size());
    taken.value = transactions * 1e6 / static_cast<double>(to - from);
    taken.own_cpu /= transactions;
    taken.server_cpu /= transactions;
    taken.peak_mb = 0;
    taken.set_latencies(std::move(latencies));
    return taken;
  };
  return {"pgbench, " + many(static_cast<std::size_t>(clients), "client"), round};
}

auto large_inserts(const std::string& uri, const std::string& body) -> contestant {
  return {"the wall", [copies = std::make_shared<copier>(uri, body)](auto length) { return copies->round(length); }};
}

auto raw_reads(const std::string& uri, const std::vector<std::string>& hex_ids) -> contestant {
  const auto connection = connect(uri);
  return {"raw reads", [connection, hex_ids](std::chrono::milliseconds) {
            auto* const raw = connection.get();
            std::size_t rows = 0, bytes = 0;
            const auto began = steady::now();
            for (const auto& id : hex_ids) {
              const std::string parameter = "\\x" + id;
              const char* const values[] = {parameter.c_str()};
              const auto got = expect(
                  result_ptr(PQexecParams(raw, "SELECT timestamp, sequence, type, body::text, aggregate_type, command_id FROM event_log "
                                               "WHERE aggregate_id = $1::bytea ORDER BY sequence", 1, nullptr, values, nullptr, nullptr, 0)),
                  PGRES_TUPLES_OK, raw);
              rows += static_cast<std::size_t>(PQntuples(got.get()));
              for (int row = 0; row < PQntuples(got.get()); ++row) bytes += std::strlen(PQgetvalue(got.get(), row, 3));
            }
            sample taken;
            taken.value = static_cast<double>(rows) / std::chrono::duration<double>(steady::now() - began).count();
            if (bytes == 0) throw std::runtime_error("there was nothing to read");
            return taken;
          }};
}

auto sqlite_inserts(const std::string& file, const std::string& body) -> contestant {
  return {"a plain SQLite loop", [loop = std::make_shared<sqlite_loop>(file, body)](auto length) { return loop->round(length); }};
}

}  // namespace maestro::benchmark
