// Money is moved between accounts while the nodes that do it are killed and frozen: in the end each transfer has gone one way, and
// the sum is what it was.
//
// MAESTRO_TEST_ROUNDS makes it longer (test/soak does), MAESTRO_TEST_SEED repeats what was chosen.
#include "mortal_nodes.hpp"

#include "account.hpp"
#include "transfer.hpp"

#include "../store/dice.hpp"
#include "../store/test_store.hpp"

#include <maestro/runtime/client.hpp>
#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

constexpr int accounts = 8;
constexpr std::int64_t each_begins_with = 1'000;

auto name_of(std::int64_t account) -> std::string { return "holder " + std::to_string(account); }

// Begin transfers, some of more than there is, some to an account that nobody has opened, and wait when too many are not over.
class customers {
 public:
  customers(const std::vector<node_address>& nodes, std::uint64_t seed) : random_(seed) {
    auto connected = client::connect(nodes, {patience});
    BOOST_TEST_REQUIRE(connected.has_value());
    client_ = std::move(*connected);
    for (int i = 0; i < accounts; ++i) {
      const auto account = bank::account::id::named(name_of(i));
      must(client_->send(account, bank::open{name_of(i), "@" + std::to_string(i)}));
      must(client_->send(account, bank::deposit{each_begins_with}));
    }
    thread_ = std::thread([this] { run(); });
  }
  ~customers() { stop(); }
  void stop() {
    enough_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Waits until no transfer has anything left to do.
  void wait_until_over() {
    for (; !open_.empty(); open_.pop_front()) {
      const auto deadline = std::chrono::steady_clock::now() + 2 * patience;
      while (!is_over(open_.front()))
        BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "transfer " << open_.front().id.text() << " is " << last_seen_);
    }
  }
  [[nodiscard]] auto begun() const -> int { return begun_; }
  [[nodiscard]] auto lost() const -> int { return lost_; }

 private:
  static constexpr std::ptrdiff_t outstanding = 16;
  static constexpr std::size_t most_open = 128;

  static void must(const receipt& got) { BOOST_TEST_REQUIRE(!got.answer.failure, to_string(got.answer.failure)); }
  auto pick(std::int64_t low, std::int64_t high) -> std::int64_t {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }

  struct begun_transfer {
    bank::transfer::id id;
    std::shared_ptr<std::atomic<bool>> answered;
  };

  void run() {
    while (!enough_) {
      if (open_.size() < most_open) begin();
      else if (is_over(open_.front())) open_.pop_front();
    }
    for (std::ptrdiff_t i = 0; i < outstanding; ++i) free_.acquire();
  }

  void begin() {
    free_.acquire();
    const auto from = pick(0, accounts - 1);
    const auto to = pick(1, 10) == 1 ? accounts + 7 : (from + pick(1, accounts - 1)) % accounts;
    const auto answered = std::make_shared<std::atomic<bool>>(false);
    open_.push_back({bank::transfer::id::fresh(clock_), answered});
    client_->send_async(open_.back().id, bank::begin{name_of(from), name_of(to), pick(1, 400)}, {}, [this, answered](const receipt& got) {
      ++(got.answer.failure ? lost_ : begun_);
      *answered = true;
      free_.release();
    });
  }

  // One that has not begun, and will not any more, is over too.
  auto is_over(const begun_transfer& of) -> bool {
    const bool answered = *of.answered;
    const auto found = client_->fetch(of.id);
    last_seen_ = found ? found->value.stage : to_string(found.failure());
    if (found && found->value.stage.empty()) return answered;
    const bool over = last_seen_ == bank::stage::done || last_seen_ == bank::stage::failed;
    if (!over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return over;
  }

  std::mt19937_64 random_;
  hybrid_clock clock_;
  std::unique_ptr<client> client_;
  std::counting_semaphore<outstanding> free_{outstanding};
  std::deque<begun_transfer> open_;  // In the order of their beginning.
  std::string last_seen_;            // What the newest look at one of them told.
  std::atomic<int> begun_{0};
  std::atomic<int> lost_{0};
  std::atomic<bool> enough_{false};
  std::thread thread_;
};

// How often money of one transfer was moved, and which way.
struct movements {
  int paid = 0;
  int refused = 0;
  int collected = 0;
  int turned_away = 0;
  std::string end;  // The last event of the transfer itself.
};

auto transfer_named_in(const std::string& body) -> std::string {
  return nlohmann::json::parse(body).at("transfer").get<std::string>();
}

auto rows_of(store& from, const std::string& sql) -> std::vector<sql_row> { return value_of(from.query(sql, {})); }

// Every transfer in the log, by its id's text.
auto movements_in(store& log) -> std::map<std::string, movements> {
  std::map<std::string, movements> all;
  for (const auto& head : value_of(log.list_aggregates("transfer", {}, 1'000'000)))
    all[head.aggregate_id.text()].end = value_of(log.get_events(head.aggregate_id)).back().type;
  for (const auto& head : value_of(log.list_aggregates("account", {}, 1'000)))
    for (sequence_number after = 0; after < head.sequence;)
      for (const auto& row : value_of(log.get_events(head.aggregate_id, {after}))) {
        after = row.sequence;
        if (row.type == "opened" || row.type == "deposited") continue;
        auto& of = all[transfer_named_in(row.body)];
        if (row.type == "paid") ++of.paid;
        else if (row.type == "payment_refused") ++of.refused;
        else if (row.type == "collected") ++of.collected;
        else if (row.type == "collection_refused") ++of.turned_away;
        else BOOST_FAIL("an event that nobody asked for: " << row.type);
      }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(transfers)

BOOST_AUTO_TEST_CASE(no_money_is_lost_or_made_whatever_becomes_of_the_nodes) {
  const auto seed = test_seed();
  const auto rounds = test_rounds(8);
  const test_store fresh;
  mortal_nodes nodes(fresh.uri(), seed, MAESTRO_BANK_NODE);
  int begun = 0;
  int lost = 0;
  {
    customers busy(nodes.addresses(), seed + 1);
    for (std::uint64_t round = 0; round < rounds; ++round) nodes.harm_one();
    busy.stop();
    busy.wait_until_over();
    begun = busy.begun();
    lost = busy.lost();
  }
  nodes.end();

  const auto opened = open_database(fresh.uri()).value();
  const auto log = opened->open_reader();
  BOOST_TEST(rows_of(*log, "select transfer from open_transfers").empty());
  const auto sum = rows_of(*log, "select cast(sum(cents) as bigint) from balances").at(0).at(0).as<std::int64_t>();
  BOOST_TEST(sum == accounts * each_begins_with);
  std::map<std::string, int> ends;
  for (const auto& [id, of] : movements_in(*log)) {
    BOOST_TEST_CONTEXT("transfer " << id << ", at last " << of.end) {
      ++ends[of.end];
      const bool declined = of.end == "declined";
      const bool back = of.end == "returned";
      BOOST_TEST((declined || back || of.end == "delivered"));
      BOOST_TEST(of.paid == (declined ? 0 : 1));
      BOOST_TEST(of.refused == (declined ? 1 : 0));
      BOOST_TEST(of.collected == (declined ? 0 : 1));
      BOOST_TEST(of.turned_away == (back ? 1 : 0));
    }
  }
  std::cout << nodes.kills() << " kills and " << nodes.freezes() << " freezes of " << nodes.addresses().size() << " nodes; " << begun
            << " transfers begun, " << lost << " not: " << ends["delivered"] << " delivered, " << ends["declined"] << " declined, "
            << ends["returned"] << " returned" << std::endl;
  for (const char* end : {"delivered", "declined", "returned"}) BOOST_TEST(ends[end] > 0, "none was " << end);
  BOOST_TEST(ends["delivered"] + ends["declined"] + ends["returned"] >= begun);
}

BOOST_AUTO_TEST_SUITE_END()
