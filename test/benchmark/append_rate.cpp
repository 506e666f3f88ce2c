// How fast the store appends to a log that is long already, and what failing projections cost. Each figure is the median of
// several rounds, which alternate with those of what it is compared to.
#include "measuring.hpp"

#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

using namespace maestro;
using namespace maestro::benchmark;
using steady = std::chrono::steady_clock;

namespace {

constexpr int rounds = 7;
constexpr auto round_length = std::chrono::seconds(2);
constexpr std::size_t aggregates = 1000;
constexpr std::size_t batch = 256;
// The body of an event of three members, about 100 bytes.
constexpr const char* body =
    R"({"account":"0199a0b1c2d300001122334455667788","cents":12345,"reference":"a transfer between two friends"})";

// One row for each aggregate, as an author would write it; fails for some events.
class counting final : public projector {
 public:
  explicit counting(int fails_one_in) : fails_one_in_(fails_one_in) {}
  void project(transaction& tx, const event& event) const override {
    const bool fails = fails_one_in_ > 0 && ++seen_ % fails_one_in_ == 0;
    tx.execute("INSERT INTO counters (id, events) VALUES ($1, $2) "
               "ON CONFLICT (id) DO UPDATE SET events = counters.events + excluded.events",
               event.aggregate_id, fails ? -1'000'000 : 1);
  }

 private:
  const int fails_one_in_;
  mutable int seen_ = 0;
};

const std::vector<migration> counters = {
    {"counters", 1, "CREATE TABLE counters (id bytea PRIMARY KEY, events bigint NOT NULL CHECK (events > 0))",
     "CREATE TABLE counters (id BLOB NOT NULL PRIMARY KEY, events INTEGER NOT NULL CHECK (events > 0)) STRICT"}};

// A store of its own in a schema of the server's.
class place {
 public:
  place(const std::string& server, const std::string& schema) {
    const std::string uri = fresh_schema(server, schema);
    database_ = must(open_database(uri));
    (void)must(database_->migrate(counters));
    writer_ = database_->open_writer();
    tools_ = must(open_database(uri + "%20-cstatement_timeout%3D0%20-cenable_seqscan%3Don"))->open_writer();
    for (std::size_t i = 0; i < aggregates; ++i) heads_.push_back({clock_.fresh<aggregate_id>(), 0, {}});
  }

  // Rows of other aggregates, ten each, until there are `rows`.
  void fill(std::int64_t rows) {
    (void)must(tools_->query(
        "INSERT INTO event_log (timestamp, aggregate_id, sequence, type, body, aggregate_type, command_id) "
        "SELECT decode(lpad(to_hex(1600000000000 + n), 12, '0') || '00001122334455667788', 'hex'), "
        "       substr(sha256(int8send(n / 10)), 1, 16), 1 + n % 10, 'deposited', $1::jsonb, 'account', "
        "       decode(lpad(to_hex(1600000000000 + n), 12, '0') || '00001122334455667799', 'hex') "
        "FROM generate_series($2::bigint, $3::bigint - 1) AS n",
        std::vector<sql_value>{body, filled_, rows}));
    filled_ = rows;
    (void)must(tools_->query("ANALYZE event_log", {}));
    (void)must(tools_->query("CHECKPOINT", {}));
  }

  // Events per second, of batches of commands with one event each.
  auto append(const std::shared_ptr<const projector>& projector) -> double {
    const auto began = steady::now();
    std::uint64_t events = 0;
    while (steady::now() - began < round_length) events += append_batch(projector);
    return static_cast<double>(events) / std::chrono::duration<double>(steady::now() - began).count();
  }

 private:
  auto append_batch(const std::shared_ptr<const projector>& projector) -> std::size_t {
    std::vector<commit_request> requests;
    std::vector<const commit_request*> pointers;
    for (std::size_t i = 0; i < batch; ++i) {
      const auto& head = heads_[next_++ % aggregates];
      auto& request = requests.emplace_back(commit_request{head.aggregate_id, "account", head.timestamp, {}, false});
      auto& unit = request.units.emplace_back();
      unit.projector = projector;
      auto& event = unit.events.emplace_back();
      event.timestamp = clock_.now();
      event.aggregate_id = head.aggregate_id;
      event.sequence = head.sequence + 1;
      event.aggregate_type = "account";
      event.type = "deposited";
      event.body = body;
      event.command_id = clock_.fresh<command_id>();
    }
    for (const auto& request : requests) pointers.push_back(&request);
    const auto outcomes = writer_->commit_all(pointers);
    std::size_t committed = 0;
    for (std::size_t i = 0; i < batch; ++i) {
      if (outcomes[i].failure && outcomes[i].failure.code != errc::projection_failed)
        throw std::runtime_error(to_string(outcomes[i].failure));
      if (outcomes[i].committed == 0) continue;
      auto& head = heads_[(next_ - batch + i) % aggregates];
      ++head.sequence;
      head.timestamp = requests[i].units[0].events[0].timestamp;
      ++committed;
    }
    return committed;
  }

  hybrid_clock clock_;
  std::shared_ptr<database> database_;
  std::unique_ptr<store> writer_;
  std::unique_ptr<store> tools_;
  std::vector<aggregate_head> heads_;
  std::size_t next_ = 0;
  std::int64_t filled_ = 0;
};

void compare(const std::string& what, const std::function<double()>& ours, const std::function<double()>& reference) {
  std::vector<double> rates, references, ratios;
  (void)ours();
  (void)reference();
  for (int round = 0; round < rounds; ++round) {
    references.push_back(reference());
    rates.push_back(ours());
    ratios.push_back(rates.back() / references.back());
  }
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  std::cout << "{\"what\":\"" << what << "\",\"events_per_second\":" << static_cast<long>(median(rates))
            << ",\"reference\":" << static_cast<long>(median(references)) << ",\"ratio\":" << median(ratios)
            << ",\"least\":" << *least << ",\"most\":" << *most << "}" << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
  const char* server = std::getenv("MAESTRO_TEST_POSTGRES");
  if (server == nullptr) throw std::runtime_error("MAESTRO_TEST_POSTGRES is not set; test/benchmark/append sets it");
  std::vector<std::int64_t> levels;
  for (int i = 1; i < argc; ++i) levels.push_back(std::stoll(argv[i]));
  if (levels.empty()) levels = {1'000'000, 10'000'000};

  place small(server, "append_small");
  place large(server, "append_large");
  compare("empty log, against another empty one", [&] { return large.append(nullptr); }, [&] { return small.append(nullptr); });
  const auto none = std::make_shared<counting>(0);
  const auto some = std::make_shared<counting>(100);
  compare("a one-row projection, against none", [&] { return small.append(none); }, [&] { return small.append(nullptr); });
  compare("1 in 100 fails in its projection, against none failing", [&] { return small.append(some); }, [&] { return small.append(none); });
  for (const auto rows : levels) {
    large.fill(rows);
    compare(std::to_string(rows) + " rows, against a short log", [&] { return large.append(nullptr); }, [&] { return small.append(nullptr); });
  }
  return 0;
} catch (const std::exception& problem) {
  std::cerr << "append_rate: " << problem.what() << std::endl;
  return 1;
}
