// Whatever stands in the store's tables, and whatever is missing there: each call of a running and of a starting store answers with a value
// or an error, and the process lives. Random; MAESTRO_TEST_SEED replays a run, MAESTRO_TEST_FUZZ_SECONDS makes it longer.
#include "conformance.hpp"
#include "counters.hpp"
#include "garbage.hpp"

#include <chrono>
#include <span>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

auto impatient() -> store_settings {
  store_settings settings;
  settings.reconnect_limit = std::chrono::milliseconds{20};
  settings.lock_timeout = std::chrono::milliseconds{50};
  settings.statement_timeout = std::chrono::milliseconds{2000};
  settings.max_retries = 2;
  return settings;
}

// One store, its content, and what is asked of it.
class fuzzer {
 public:
  fuzzer(const store_under_test& store, std::uint64_t seed, garbage_tally& tally)
      : dice_(seed), bench_(store, impatient(), counters), hand_(bench_.opened->open_writer()),
        garbage_(seed, bench_.opened->sql_dialect(), {"counters", {"id", "value"}}, tally) {
    for (int i = 0; i < 3; ++i) {
      auto request = with_projection(bench_.request(1, 3), count_up);
      for (auto& event : request.units[0].events) event.command_id = clock_.fresh<command_id>();
      command_ = *request.units[0].events[0].command_id;
      bench_.committed(request);
      newest_ = request.units[0].events.back().timestamp;
      ids_.push_back(request.aggregate_id);
      succeed(bench_.writer->commit_snapshot({request.aggregate_id, 2, "account", "{\"n\":2}", 1, 2}));
    }
    members_ = bench_.opened->open_members();
    self_ = {"north", clock_.fresh<incarnation_id>(), "somewhere:1"};
    other_ = {"south", clock_.fresh<incarnation_id>(), "somewhere:2"};
    self_.serves = "0123456789abcdef";
    self_.served = R"({"types":[]})";
    (void)members_->join(self_);
    (void)members_->join(other_);
    garbage_.allow(*hand_);
  }

  void spoil(bool in_search) { in_search ? garbage_.spoil_in_search(*hand_) : garbage_.spoil(*hand_); }

  // Each of these would end the test, or the process, if it threw.
  void ask_all() {
    auto& reader = *bench_.reader;
    const auto id = dice_.pick(ids_);
    const auto request = with_projection(bench_.request(id, 1, 2, 3, newest_), count_up);
    const auto first = with_projection(bench_.request(), count_up);
    const auto plain = bench_.request(2);
    for (const auto& outcome : bench_.commit({&request, &first, &plain})) answered(outcome.failure);
    auto doubtful = bench_.request(id, 1, 1, 3, newest_);
    doubtful.in_doubt = true;
    answered(bench_.commit(doubtful).failure);
    said(bench_.writer->commit_snapshot({id, 3, "account", "{}", 1, 3}));
    said(reader.get_events(id, {}));
    int pages = 0;
    said(reader.scan_events(id, {0, max_sequence(), 2}, [&pages](std::span<event>) -> result<bool> { return ++pages < 100'000; }));
    BOOST_TEST(pages < 100'000, "the scan does not end");
    said(reader.get_snapshot(id));
    said(reader.get_histories(ids_, 2));
    said(reader.get_heads(ids_));
    said(reader.list_aggregates("account", {}, 10));
    said(reader.find_command(id, command_, {}));
    said(reader.newest_timestamp());
    said(members_->beat(self_.incarnation));
    said(members_->list());
    said(members_->served_text(self_.serves));
    said(members_->join(self_));
    said(members_->declare_dead(other_, static_cast<std::int64_t>(dice_.below(9))));
    if (dice_.one_in(3)) said(members_->leave(self_.incarnation));
  }

  void start() {
    const auto opened = bench_.where->is_shared() ? bench_.where->open(impatient()) : bench_.opened;
    said(opened->check(counters));
    if (dice_.one_in(2)) said(opened->migrate(counters));
    (void)opened->warnings();
    said(opened->open_reader()->newest_timestamp());
    auto plan = counting();
    plan.ordered_between_aggregates = dice_.one_in(2);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{2};
    said(opened->rebuild(plan, [deadline](const rebuild_progress&) { return std::chrono::steady_clock::now() < deadline; }));
    BOOST_TEST((std::chrono::steady_clock::now() < deadline), "the rebuild does not end");
  }

 private:
  void answered(const error& failure) {
    if (failure) BOOST_TEST(!failure.message.empty(), to_string(failure.code));
  }
  template <class T>
  void said(const result<T>& answer) {
    if (!answer) answered(answer.failure());
  }

  dice dice_;
  workbench bench_;
  std::unique_ptr<maestro::store> hand_;  // That of the stranger.
  garbage garbage_;
  hybrid_clock clock_;
  std::vector<aggregate_id> ids_;
  timestamp newest_;
  command_id command_;
  std::unique_ptr<member_table> members_;
  member self_, other_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_garbage)

BOOST_DATA_TEST_CASE(no_content_of_any_table_ends_the_process, data::make(stores_under_test()), store) {
  const auto seed = test_seed();
  const auto end = std::chrono::steady_clock::now() + garbage::time_to_run(std::chrono::seconds{3});
  garbage_tally tally;
  std::size_t round = 0;
  std::size_t searched = 0;
  while (round == 0 || std::chrono::steady_clock::now() < end || (!tally.is_complete() && searched < garbage::most_searched)) {
    const bool in_search = round > 0 && std::chrono::steady_clock::now() >= end;
    if (in_search) ++searched;
    BOOST_TEST_CONTEXT("seed " << seed << ", store number " << round) {
      fuzzer one(store, seed + round++, tally);
      for (int spoiled = 0; spoiled < 8; ++spoiled) {
        one.spoil(in_search);
        if (spoiled % 2 == 0) one.spoil(in_search);
        one.ask_all();
        one.start();
      }
    }
  }
  BOOST_TEST(tally.missing() == "", "changes that the database never took: " << tally.missing());
  BOOST_TEST_MESSAGE(round << " stores");
}

BOOST_AUTO_TEST_SUITE_END()
