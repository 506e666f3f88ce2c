// Whatever stands in the store's tables: a running and a starting node answers each command and question with a value or an error, and lives.
// Random; MAESTRO_TEST_SEED replays a run, MAESTRO_TEST_FUZZ_SECONDS makes it longer.
#include "batch.hpp"

#include "../store/garbage.hpp"
#include "../store/temporary_folder.hpp"
#include "../store/test_store.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using batch_id = typed_id<::test::batch>;

namespace {

auto settings_for(const std::string& uri) -> node_settings {
  node_settings settings;
  settings.port = 0;
  settings.name = "north";
  settings.store_uri = uri;
  settings.drain_timeout = std::chrono::milliseconds(500);
  settings.store.reconnect_limit = std::chrono::milliseconds(20);
  settings.store.max_retries = 2;
  return settings;
}

// The password in the address of the tests' server; empty: there is none.
auto secret_of_server() -> std::string {
  const char* given = std::getenv("MAESTRO_TEST_POSTGRES");
  const std::string uri = given != nullptr ? given : "";
  const auto user = uri.find("://");
  const auto colon = uri.find(':', user + 3);
  const auto at = uri.find('@');
  if (user == uri.npos || at == uri.npos || colon == uri.npos || colon > at) return {};
  return uri.substr(colon + 1, at - colon - 1);
}

void answered(const error& failure) {
  if (!failure) return;
  BOOST_TEST(!failure.message.empty(), to_string(failure.code));
  static const auto secret = secret_of_server();
  BOOST_TEST((secret.empty() || failure.message.find(secret) == std::string::npos), "an error has the store's password");
}

// One store, and the node that serves it for as long as it can.
class fuzzer {
 public:
  fuzzer(std::uint64_t seed, garbage_tally& tally) : dice_(seed) {
    start();
    BOOST_TEST_REQUIRE(node_ != nullptr);
    garbage_ = std::make_unique<garbage>(seed, hand_->query("SELECT pg_backend_pid()", {}) ? dialect::postgres : dialect::sqlite,
                                         table_columns{"batch_totals", {"batch", "items", "total"}}, tally);
    for (int i = 0; i < 4; ++i) {
      const auto sent = client_->send(id(i), ::test::add{3});
      BOOST_TEST_REQUIRE(!sent.answer.failure, to_string(sent.answer.failure));
    }
  }

  void round(bool in_search) {
    garbage_->allow(*hand_);
    for (int i = 0; i < 4; ++i) {
      in_search ? garbage_->spoil_in_search(*hand_) : garbage_->spoil(*hand_);
      ask();
    }
    stop();
    start();
  }
  [[nodiscard]] auto runs() const -> bool { return node_ != nullptr; }

 private:
  static auto id(std::size_t number) -> batch_id { return batch_id::named("batch " + std::to_string(number)); }

  void start() {
    auto started = node::start(settings_for(store_.uri()), {define<::test::batch>()});
    if (!started) return answered(started.failure());
    node_ = std::move(*started);
    client_ = node_->local_client();
    hand_ = stranger_at(store_.uri());
  }
  void stop() {
    hand_.reset();
    client_.reset();
    node_->stop();
    node_.reset();
  }

  // Old aggregates and those that the node has not in memory.
  void ask() {
    send_options hasty;
    hasty.timeout = std::chrono::milliseconds(300);
    answered(client_->send(id(dice_.below(4)), ::test::add{2}, hasty).answer.failure);
    answered(client_->send(id(4 + dice_.below(100)), ::test::add{1}, hasty).answer.failure);
    query_options soon;
    soon.timeout = std::chrono::milliseconds(300);
    const auto got = client_->get<::test::batch>(id(dice_.below(8)), soon);
    if (!got) answered(got.failure());
  }

  dice dice_;
  test_store store_;
  std::unique_ptr<garbage> garbage_;
  std::unique_ptr<node> node_;
  std::unique_ptr<client> client_;
  std::unique_ptr<store> hand_;  // That of the stranger.
};

}  // namespace

BOOST_AUTO_TEST_SUITE(garbage_in_the_tables)

BOOST_AUTO_TEST_CASE(ends_no_node) {
  const temporary_folder folder;
  succeed(set_up_logging("info", folder.path("log")));  // There is much to be said.
  const auto seed = test_seed();
  const auto end = std::chrono::steady_clock::now() + garbage::time_to_run(std::chrono::seconds(6));
  garbage_tally tally;
  std::size_t stores = 0;
  std::size_t searched = 0;
  while (stores == 0 || std::chrono::steady_clock::now() < end || (!tally.is_complete() && searched < garbage::most_searched)) {
    const bool in_search = stores > 0 && std::chrono::steady_clock::now() >= end;
    if (in_search) ++searched;
    BOOST_TEST_CONTEXT("seed " << seed << ", store number " << stores) {
      fuzzer one(seed + stores++, tally);
      for (int rounds = 0; one.runs() && rounds < 4; ++rounds) one.round(in_search);
    }
  }
  succeed(set_up_logging("off", ""));
  const auto secret = secret_of_server();
  std::ifstream log(folder.path("log"));
  std::size_t lines = 0;
  for (std::string line; std::getline(log, line); ++lines)
    BOOST_TEST_REQUIRE((secret.empty() || line.find(secret) == std::string::npos), "line " << lines << " of the log has the store's password");
  BOOST_TEST(lines > 0U);
  BOOST_TEST(tally.missing() == "", "changes that the database never took: " << tally.missing());
  BOOST_TEST_MESSAGE(stores << " stores");
}

BOOST_AUTO_TEST_SUITE_END()
