// Questions that take long, or that nobody waits for: what they cost the store, and everybody else.
#include <maestro/aggregates/state_diff.hpp>

#include "harness.hpp"

#include "../store/forwarding_store.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>

using namespace maestro;
using namespace ::test;

namespace {

// Notes of which aggregate it is asked to read something, and tells `before` first.
class noting_store final : public maestro::test::forwarding_store {
 public:
  struct notes {
    std::mutex mutex;
    std::vector<std::pair<std::string, aggregate_id>> reads;
    std::function<void(const std::string&, const aggregate_id&)> before;

    auto count(const std::string& what = "") -> std::size_t {
      const std::lock_guard lock(mutex);
      return static_cast<std::size_t>(
          std::count_if(reads.begin(), reads.end(), [&](const auto& read) { return what.empty() || read.first == what; }));
    }
    auto order() -> std::vector<aggregate_id> {
      const std::lock_guard lock(mutex);
      std::vector<aggregate_id> ids;
      for (const auto& [what, id] : reads) ids.push_back(id);
      return ids;
    }
  };
  noting_store(std::unique_ptr<maestro::store> inner, notes& to) : forwarding_store(std::move(inner)), notes_(to) {}

  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    note("events", id);
    return inner().get_events(id, range);
  }
  auto get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to)
      -> result<std::optional<snapshot>> override {
    note("snapshot", id);
    return inner().get_snapshot(id, after, up_to);
  }
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit) -> result<std::vector<aggregate_history>> override {
    for (const auto& id : ids) note("history", id);
    return inner().get_histories(ids, limit);
  }
  auto get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> override {
    for (const auto& id : ids) note("head", id);
    return inner().get_heads(ids);
  }

 private:
  void note(const std::string& what, const aggregate_id& id) {
    if (notes_.before) notes_.before(what, id);
    const std::lock_guard lock(notes_.mutex);
    notes_.reads.emplace_back(what, id);
  }
  notes& notes_;
};

// Keeps the reader busy until it is told to go on.
class holding_task final : public store_task {
 public:
  void run(maestro::store&) override { released.get_future().wait(); }
  std::promise<void> released;
};

struct bench : stage {
  // The one reader, whose every read is noted, and one event a page.
  auto options(std::size_t page = 1) -> owner_options {
    owner_options with;
    with.settings.page_events = page;
    with.reader = std::make_unique<noting_store>(store->open_reader(), notes);
    return with;
  }
  auto filled(owner& by, int events) -> aggregate_id {
    const auto made = by.clock().fresh<aggregate_id>();
    BOOST_TEST(!by.send(by.start(*type, made), made, climb{events}).get().failure);
    return made;
  }
  static auto question(const aggregate_id& of, query_kind kind) -> std::shared_ptr<waiting_query> {
    auto job = std::make_shared<waiting_query>();
    job->aggregate_id = of;
    job->kind = kind;
    if (kind == query_kind::diff) job->from.sequence = 0;
    return job;
  }
  // Whatever is asked before this is gone waits for it together.
  struct held {
    explicit held(owner& whose) { caf::anon_send(whose.environment().readers.front(), store_task_ptr(task)); }
    ~held() { task->released.set_value(); }
    const std::shared_ptr<holding_task> task = std::make_shared<holding_task>();
  };
  static void ask(const caf::actor& to, const std::shared_ptr<waiting_query>& what) { caf::anon_send(to, query_job_ptr(what)); }
  // Returns when the aggregate has taken what it was sent before.
  void wait_until_taken(owner& by, const caf::actor& actor, const aggregate_id& of) {
    auto past = question(of, query_kind::replay);
    past->expires_at = 1;
    ask(actor, past);
    (void)by;
    (void)past->promise.get_future().get();
  }

  noting_store::notes notes;
};

// As the adapter of a server does: while a page is worked on, the next one is read.
class reading_ahead final : public maestro::test::forwarding_store {
 public:
  using forwarding_store::forwarding_store;
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    pages.push_back(range.after);
    return inner().get_events(id, range);
  }
  auto scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void> override {
    auto page = get_events(id, range);
    while (page && !page->empty()) {
      range.after = page->back().sequence;
      auto ahead = get_events(id, range);
      const auto more = take(*page);
      if (!more) return more.failure();
      if (!*more) return {};
      page = std::move(ahead);
    }
    return page ? result<void>() : page.failure();
  }
  std::vector<sequence_number> pages;  ///< After which sequence each begins.
};

constexpr std::array past_kinds{query_kind::replay, query_kind::diff};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(questions, bench)

BOOST_AUTO_TEST_CASE(what_has_expired_when_it_is_taken_up_reads_nothing) {
  owner writing(system, *store);
  const auto of = filled(writing, 3);
  owner one(system, *store, options());
  const auto actor = one.start(*type, of);
  for (const auto kind : {query_kind::get, query_kind::fetch, query_kind::replay, query_kind::diff}) {
    const auto late = question(of, kind);
    late->expires_at = one.clock().expiry_milliseconds() - 1;
    ask(actor, late);
    BOOST_TEST((late->promise.get_future().get().failure.code == errc::timed_out));
  }
  BOOST_TEST(notes.count() == 0U);
}

BOOST_AUTO_TEST_CASE(what_expires_or_loses_its_caller_while_it_waits_reads_nothing) {
  owner writing(system, *store);
  const auto of = filled(writing, 3);
  owner one(system, *store, options());
  const auto actor = one.start(*type, of);
  std::vector<std::shared_ptr<waiting_query>> all;
  {
    const held busy(one);
    for (const auto kind : {query_kind::get, query_kind::replay, query_kind::diff})
      for (int i = 0; i < 50; ++i) {
        if (kind == query_kind::get && i > 0) break;  // The first has the aggregate hydrated.
        all.push_back(question(of, kind));
        ask(actor, all.back());
      }
    wait_until_taken(one, actor, of);
    for (const auto& each : all) each->is_gone = true;
  }
  for (const auto& each : all) BOOST_TEST((each->promise.get_future().get().failure.code == errc::timed_out));
  BOOST_TEST(notes.count() == 0U);
}

BOOST_AUTO_TEST_CASE(a_question_ends_between_two_pages_when_it_expires_or_the_node_stops) {
  constexpr int events = 200;
  for (const auto kind : past_kinds)
    for (const bool stops : {false, true}) {
      owner writing(system, *store);
      const auto of = filled(writing, events);
      owner one(system, *store, options());
      const auto asked = question(of, kind);
      asked->expires_at = stops ? 0 : one.clock().expiry_milliseconds() + 100;
      // The tenth read lasts until it is over.
      notes.before = [&, reads = 0](const std::string&, const aggregate_id&) mutable {
        if (++reads != 10) return;
        if (stops) one.environment().stopping = true;
        else while (one.clock().expiry_milliseconds() <= asked->expires_at) std::this_thread::yield();
        const auto until = std::chrono::steady_clock::now() + 2 * question_slice;
        while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
      };
      const auto before = notes.count();
      ask(one.start(*type, of), asked);
      const auto expected = stops ? errc::shutting_down : errc::timed_out;
      BOOST_TEST((asked->promise.get_future().get().failure.code == expected));
      BOOST_TEST(notes.count() - before <= 12U);
      notes.before = nullptr;
    }
}

// One aggregate's question has hundreds of pages, and each of them takes a slice.
BOOST_AUTO_TEST_CASE(hydrations_and_the_questions_of_others_do_not_wait_for_a_long_one) {
  owner writing(system, *store);
  const auto longest = filled(writing, 300);
  const auto brief = filled(writing, 2);
  const auto living = filled(writing, 2);
  owner one(system, *store, options());
  notes.before = [&](const std::string&, const aggregate_id& of) {
    if (of != longest) return;
    const auto until = std::chrono::steady_clock::now() + question_slice;
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  };
  const auto of_longest = one.start(*type, longest);
  const int caller = 0;
  const int other = 0;
  std::vector<std::shared_ptr<waiting_query>> long_ones;
  const auto short_one = question(brief, query_kind::replay);
  short_one->from_whom = &other;
  std::future<command_answer> command;
  {
    const held busy(one);
    for (int i = 0; i < 20; ++i) {
      long_ones.push_back(question(longest, i % 2 == 0 ? query_kind::replay : query_kind::diff));
      long_ones.back()->from_whom = &caller;
      ask(of_longest, long_ones.back());
    }
    wait_until_taken(one, of_longest, longest);
    ask(one.start(*type, brief), short_one);
    command = one.send(one.start(*type, living), living, add{1});
  }
  BOOST_TEST(!short_one->promise.get_future().get().failure);
  BOOST_TEST(!command.get().failure);
  // Neither has waited for more than a few slices of the long one.
  const auto order = notes.order();
  BOOST_TEST(std::count(order.begin(), order.end(), longest) < 30);
  for (const auto& each : long_ones) each->is_gone = true;
  for (const auto& each : long_ones) (void)each->promise.get_future().get();
}

// The state after a command that comes again is a question like any other.
BOOST_AUTO_TEST_CASE(the_state_after_a_repeated_command_is_shown_in_parts_and_only_while_it_is_wanted) {
  for (const std::string ends : {"never", "expiry", "caller"}) {
    owner writing(system, *store);
    const auto of = writing.clock().fresh<aggregate_id>();
    const auto name = writing.clock().fresh<command_id>();
    const auto by = writing.start(*type, of);
    BOOST_TEST(!writing.send(by, of, climb{60}).get().failure);
    BOOST_TEST(!writing.send(by, of, add{7}, name).get().failure);
    const auto other = filled(writing, 2);
    owner one(system, *store, options());
    const auto actor = one.start(*type, of);
    BOOST_TEST(!one.ask(actor, of, query_kind::get).failure);  // It lives.
    auto job = std::make_shared<waiting_command>();
    job->aggregate_id = of;
    job->command_id = name;
    job->command = registered_name<add>();
    job->payload = encode(add{7}).value();
    job->returns = return_mode::state;
    if (ends == "expiry") job->expires_at = one.clock().expiry_milliseconds() + 2000;
    auto answer = job->promise.get_future();
    const auto before = notes.count();
    std::future<query_answer> of_other;
    notes.before = [&, reads = 0](const std::string&, const aggregate_id& which) mutable {
      if (which != of) return;
      ++reads;
      if (reads == 5) of_other = one.ask_without_waiting(one.start(*type, other), other, query_kind::get);
      if (reads == 10 && ends == "caller") job->is_gone = true;
      while (reads == 10 && ends == "expiry" && one.clock().expiry_milliseconds() <= job->expires_at) std::this_thread::yield();
      const auto until = std::chrono::steady_clock::now() + question_slice;
      while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    };
    caf::anon_send(actor, command_job_ptr(job));
    const auto got = answer.get();
    BOOST_TEST(!got.failure, ends << ": " << to_string(got.failure));
    BOOST_TEST(got.repeated);
    BOOST_TEST(got.last == 61);
    BOOST_TEST(got.state.empty() == (ends != "never"));
    if (ends != "never") BOOST_TEST(notes.count() - before <= 15U);
    // Another aggregate's hydration has not waited for it.
    BOOST_TEST(!of_other.get().failure);
    const auto order = notes.order();
    const auto hydrated = std::find(order.begin() + static_cast<std::ptrdiff_t>(before), order.end(), other);
    BOOST_TEST((hydrated - order.begin() < static_cast<std::ptrdiff_t>(before) + 15));
    notes.before = nullptr;
  }
}

BOOST_AUTO_TEST_CASE(a_question_in_parts_reads_each_page_once) {
  owner writing(system, *store);
  const auto of = filled(writing, 40);
  reading_ahead from(store->open_reader());
  hydration past(*type, of, {}, 4);
  int parts = 1;
  while (!maestro::test::value_of(past.read(from, [] { return false; }))) ++parts;
  BOOST_TEST(past.at().sequence == 40);
  BOOST_TEST(parts > 1);
  auto once = from.pages;
  std::sort(once.begin(), once.end());
  once.erase(std::unique(once.begin(), once.end()), once.end());
  BOOST_TEST(from.pages.size() == once.size());
}

BOOST_AUTO_TEST_CASE(a_diff_over_too_many_events_reads_none_of_them) {
  owner writing(system, *store);
  const auto of = filled(writing, 60);
  auto with = options(1000);
  with.settings.max_diff_events = 50;
  owner one(system, *store, std::move(with));
  const auto actor = one.start(*type, of);
  const auto asked = question(of, query_kind::diff);
  ask(actor, asked);
  const auto failure = asked->promise.get_future().get().failure;
  BOOST_TEST((failure.code == errc::invalid_argument));
  BOOST_TEST((failure.message.find("max-diff-events") != std::string::npos), failure.message);
  BOOST_TEST(notes.count("events") + notes.count("snapshot") + notes.count("history") == 0U);
  const auto fits = question(of, query_kind::diff);
  fits->from.sequence = 10;
  ask(actor, fits);
  BOOST_TEST(!fits->promise.get_future().get().failure);
}

BOOST_AUTO_TEST_CASE(a_diff_that_tells_too_much_is_given_up) {
  owner writing(system, *store);
  const auto of = filled(writing, 60);
  auto with = options(1000);
  with.settings.max_diff_bytes = 1000;
  owner one(system, *store, std::move(with));
  const auto asked = question(of, query_kind::diff);
  ask(one.start(*type, of), asked);
  const auto failure = asked->promise.get_future().get().failure;
  BOOST_TEST((failure.code == errc::invalid_argument));
  BOOST_TEST((failure.message.find("max-diff-bytes") != std::string::npos), failure.message);
}

// What lies between the two points in all counts as well.
BOOST_AUTO_TEST_CASE(a_diff_tells_no_more_than_its_limit) {
  owner writing(system, *store);
  const auto of = filled(writing, 60);
  const auto reader = store->open_reader();
  const auto of_bytes = [&](std::size_t most) { return state_diff(*reader, *type, of, {0}, {60}, {1000, 1000, most}); };
  const auto whole = maestro::test::value_of(of_bytes(100'000));
  BOOST_TEST(!of_bytes(whole.size() - whole.find("\"events\":[")));
  BOOST_TEST(maestro::test::value_of(of_bytes(whole.size())) == whole);
  const auto failure = of_bytes(whole.size() / 2).failure();
  BOOST_TEST((failure.code == errc::invalid_argument));
  BOOST_TEST((failure.message.find("max-diff-bytes") != std::string::npos), failure.message);
}

BOOST_AUTO_TEST_SUITE_END()
