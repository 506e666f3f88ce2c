// The store's actors, apart from any database's way of failing: what they do with what waits for them.
#include "conformance.hpp"
#include "forwarding_store.hpp"

#include <maestro/store/store_actor.hpp>
#include <maestro/store/verdict.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <array>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <memory>
#include <new>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

class reading_store final : public forwarding_store {
 public:
  explicit reading_store(std::unique_ptr<store> inner) : forwarding_store(std::move(inner)) {}
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    together.push_back(ids.size());
    limits.push_back(limit);
    if (failure) return failure;
    return inner().get_histories(ids, limit);
  }
  std::vector<std::size_t> together;  ///< How many were read by each call.
  std::vector<std::size_t> limits;
  error failure;
};

// Keeps its reader busy until it is told to go on.
class holding_task final : public store_task {
 public:
  void run(store&) override {
    begun.set_value();
    released.get_future().wait();
  }
  std::promise<void> begun;
  std::promise<void> released;
};

class noting_task final : public history_task {
 public:
  noting_task(const aggregate_id& of, std::size_t page) : history_task(of, page) {}
  void run(store&) override { ran = true; }
  bool ran = false;
};

// Notes its name with each of its slices.
class noting_question final : public question_task {
 public:
  noting_question(std::vector<std::string>& in, std::string name, const void* caller, std::uint64_t asker)
      : in_(in), name_(std::move(name)), caller_(caller), asker_(asker) {}
  auto work(store&) -> bool override {
    in_.push_back(name_);
    return ++slices_ == 2;
  }
  auto give_up() -> bool override { return is_over || (over_after != 0 && slices_ >= over_after); }
  [[nodiscard]] auto caller() const -> const void* override { return caller_; }
  [[nodiscard]] auto asker() const -> std::uint64_t override { return asker_; }
  bool is_over = false;
  int over_after = 0;  // So many slices; 0: never.

 private:
  std::vector<std::string>& in_;
  const std::string name_;
  const void* const caller_;
  const std::uint64_t asker_;
  int slices_ = 0;
};

struct bench {
  bench() {
    value_of(opened->migrate({}));
    open_reader({});
  }
  ~bench() { end_reader(); }
  // In place of the one there is.
  void open_reader(const store_actor_settings& settings) {
    if (reader) end_reader();
    auto made = std::make_unique<reading_store>(opened->open_reader());
    reads = made.get();
    reader = spawn_store_reader(system, std::move(made), settings);
  }
  void end_reader() {
    caf::anon_send(reader, store_stop{});
    self->wait_for(reader);
  }

  // `count` aggregates of `events` events each, all asked for while the reader is busy.
  auto ask_for(std::size_t count, std::size_t events, std::size_t page) -> std::vector<std::shared_ptr<noting_task>> {
    auto writer = opened->open_writer();
    auto holding = std::make_shared<holding_task>();
    self->send(reader, store_task_ptr(holding));
    std::vector<std::shared_ptr<noting_task>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
      const auto request = make.request(1, events);
      succeed(writer->commit_events(request.units[0].events, {}));
      tasks.push_back(std::make_shared<noting_task>(request.aggregate_id, page));
      self->send(reader, store_task_ptr(tasks.back()));
    }
    holding->released.set_value();
    std::size_t back = 0;
    while (back < count + 1) self->receive([&back](const store_task_ptr&) { ++back; });
    return tasks;
  }

  caf::actor_system_config configuration;
  caf::actor_system system{configuration};
  caf::scoped_actor self{system};
  std::shared_ptr<database> opened = value_of(open_database("sqlite::memory:"));
  request_maker make;
  reading_store* reads = nullptr;
  caf::actor reader;
};

// Questions that are asked while the reader is busy.
struct asked_together {
  explicit asked_together(bench& with) : on(with) {
    on.self->send(on.reader, store_task_ptr(holding));
    holding->begun.get_future().wait();  // What is asked from now on is taken up together.
  }
  void ask(const std::string& name, const void* caller, std::uint64_t asker) {
    questions.push_back(std::make_shared<noting_question>(slices, name, caller, asker));
    on.self->send(on.reader, store_task_ptr(questions.back()));
  }
  // In which order it works on them, when it may.
  auto slices_of_all() -> const std::vector<std::string>& {
    holding->released.set_value();
    std::size_t back = 0;
    while (back < questions.size() + 1) on.self->receive([&back](const store_task_ptr&) { ++back; });
    return slices;
  }

  bench& on;
  std::shared_ptr<holding_task> holding = std::make_shared<holding_task>();
  std::vector<std::string> slices;
  std::vector<std::shared_ptr<noting_question>> questions;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(store_reader_actor, bench)

BOOST_AUTO_TEST_CASE(histories_that_wait_together_are_read_together_and_about_a_page_in_all) {
  const auto tasks = ask_for(100, 30, 640);
  // The one that held the reader may have been alone, or have had company already.
  std::size_t asked = 0;
  for (const auto count : reads->together) asked += count;
  BOOST_TEST(asked == 100U);
  BOOST_TEST(reads->together.size() <= 3U);
  for (std::size_t i = 0; i < reads->together.size(); ++i) {
    BOOST_TEST(reads->together[i] <= 64U);
    BOOST_TEST(reads->limits[i] == std::min<std::size_t>(640 / reads->together[i], 32));
  }
  for (const auto& task : tasks) {
    BOOST_TEST(task->ran);
    BOOST_TEST_REQUIRE(task->start.has_value());
    const auto& history = value_of(*task->start);
    BOOST_TEST_REQUIRE(!history.events.empty());
    BOOST_TEST((history.events.front().aggregate_id == task->id));
    BOOST_TEST(history.complete == (history.events.size() == 30 && reads->limits.front() > 30));
  }
}

BOOST_AUTO_TEST_CASE(a_store_that_is_away_is_asked_once_for_all) {
  reads->failure = {errc::store_unavailable, "gone"};
  for (const auto& task : ask_for(10, 1, 100)) {
    BOOST_TEST(task->ran);
    BOOST_TEST_REQUIRE(task->start.has_value());
    BOOST_TEST((task->start->failure().code == errc::store_unavailable));
  }
  BOOST_TEST(reads->together.size() <= 2U);
}

BOOST_AUTO_TEST_CASE(what_fails_together_is_left_to_each_alone) {
  for (const auto& odd : {error{errc::internal_error, "one of them is odd"}, error_from(verdict::damaged, "one of them is damaged")}) {
    reads->failure = odd;
    for (const auto& task : ask_for(10, 1, 100)) {
      BOOST_TEST(task->ran);
      BOOST_TEST(!task->start.has_value());
    }
  }
}

// The askers of one caller share its turns, whatever numbers they have.
BOOST_AUTO_TEST_CASE(callers_take_turns_and_so_do_the_askers_of_each) {
  const int node = 0;
  const int client = 0;
  asked_together all(*this);
  for (const auto* name : {"a1", "a2", "a3"}) all.ask(name, &node, 1);
  all.questions[1]->is_over = true;
  all.ask("b", &node, 2);
  all.ask("c", &node, 3);
  all.ask("d1", &client, 1);
  all.ask("d2", &client, 1);
  const std::vector<std::string> expected{"a1", "d1", "b", "d1", "c", "d2", "a1", "d2", "b", "c", "a3", "a3"};
  BOOST_TEST(all.slices_of_all() == expected, boost::test_tools::per_element());
}

// Each holds what it has read so far. One that is over makes room, too.
BOOST_AUTO_TEST_CASE(no_more_questions_are_open_at_a_time_than_may) {
  store_actor_settings two;
  two.max_open_questions = 2;
  open_reader(two);
  const int caller = 0;
  asked_together all(*this);
  for (std::uint64_t i = 0; i < 5; ++i) all.ask(std::string(1, static_cast<char>('a' + i)), &caller, i);
  all.questions[1]->over_after = 1;
  all.ask("f", &caller, 0);
  const std::vector<std::string> expected{"a", "b", "a", "c", "d", "c", "d", "e", "f", "e", "f"};
  BOOST_TEST(all.slices_of_all() == expected, boost::test_tools::per_element());
}

// However many askers the other one names.
BOOST_AUTO_TEST_CASE(a_caller_with_many_open_questions_keeps_no_other_from_its_turn) {
  store_actor_settings one;
  one.max_open_questions = 1;
  open_reader(one);
  const std::array<int, 2> callers{};
  asked_together all(*this);
  for (std::uint64_t i = 0; i < 3; ++i) all.ask(std::string(1, static_cast<char>('a' + i)), callers.data(), i);
  all.ask("x", &callers[1], 1);
  all.ask("y", &callers[1], 2);
  const std::vector<std::string> expected{"a", "x", "x", "a", "y", "b", "y", "b", "c", "c"};
  BOOST_TEST(all.slices_of_all() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

// Answers commits as it is told, without the store beneath.
class told_store final : public forwarding_store {
 public:
  using forwarding_store::forwarding_store;
  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    if (throws) throw std::bad_alloc();
    const error doubt{errc::in_doubt, "the answer was lost"};
    if (doubts_first && (is_final || !requests.front()->in_doubt))
      return std::vector<commit_outcome>(requests.size(), {0, doubt, doubt, is_final});
    return std::vector<commit_outcome>(requests.size(), next);
  }
  auto get_histories(std::span<const aggregate_id>, std::size_t) -> result<std::vector<aggregate_history>> override { throw std::bad_alloc(); }
  commit_outcome next;
  bool doubts_first = false;  // A request that is not in doubt yet will be.
  bool is_final = false;      // For ever.
  bool throws = false;
};

struct told_bench {
  told_bench() {
    settings.hooks.warn = [this](const std::string& line) { warnings.push_back(line); };
    settings.hooks.fault = [this](const std::string& line) { faults.push_back(line); };
    settings.hooks.died = [this](const std::string& what) { died.set_value(what); };
    auto made = std::make_unique<told_store>(opened->open_writer());
    store = made.get();
    writer = spawn_store_writer(system, std::move(made), settings);
  }
  ~told_bench() {
    caf::anon_send(writer, store_stop{});
    self->wait_for(writer);
  }
  // The writer is done with it before the answer comes.
  auto commit(commit_outcome told) -> commit_outcome {
    store->next = std::move(told);
    auto job = std::make_shared<commit_job>();
    job->request = make.request();
    self->send(writer, job);
    commit_outcome got;
    self->receive([&got](const commit_job_ptr& back) { got = back->outcome; });
    return got;
  }

  caf::actor_system_config configuration;
  caf::actor_system system{configuration};
  caf::scoped_actor self{system};
  std::shared_ptr<database> opened = value_of(open_database("sqlite::memory:"));
  request_maker make;
  store_actor_settings settings;
  std::vector<std::string> warnings;
  std::vector<std::string> faults;
  std::promise<std::string> died;
  told_store* store = nullptr;
  caf::actor writer;
};

auto ends_with_bad_alloc(const std::string& what, const std::string& name) -> bool {
  return what == name + " has ended by a fault: std::bad_alloc";
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(store_actors_in_trouble, told_bench)

BOOST_AUTO_TEST_CASE(a_writer_says_once_that_commits_fail_and_once_that_they_go_on) {
  const error full{errc::store_unavailable, "the disk is full"};
  commit({1, {}});
  for (int i = 0; i < 5; ++i) BOOST_TEST((commit({0, full}).trouble == full));
  const auto late = commit({0, {errc::timed_out, "the command expired before it was sent to the store"}});
  BOOST_TEST((late.failure.code == errc::timed_out));
  BOOST_TEST((late.failure.message.find("; nothing could be written: the disk is full") != std::string::npos), late.failure.message);
  BOOST_TEST_REQUIRE(warnings.size() == 1U);
  BOOST_TEST(warnings[0] == "commits fail: the disk is full");
  commit({1, {}});
  commit({1, {}});
  BOOST_TEST_REQUIRE(warnings.size() == 2U);
  BOOST_TEST(warnings[1].starts_with("commits go on, after "), warnings[1]);
  BOOST_TEST(commit({0, {errc::timed_out, "late"}}).failure.message == "late");
}

BOOST_AUTO_TEST_CASE(a_refusal_shows_that_the_store_works_and_a_fault_of_the_program_is_said_now_and_then) {
  commit({0, {errc::store_unavailable, "gone"}});
  commit({0, {errc::projection_failed, "taken"}});
  BOOST_TEST(warnings.size() == 2U);
  for (int i = 0; i < 3; ++i) commit({0, {errc::program_failed, "no such table"}});
  BOOST_TEST_REQUIRE(faults.size() == 1U);
  BOOST_TEST(faults[0] == "no such table");
}

// It may be what every commit meets, or one aggregate's own.
BOOST_AUTO_TEST_CASE(damage_neither_begins_nor_ends_an_outage_and_names_its_aggregate) {
  error damaged{errc::store_unavailable, "invalid page"};
  damaged.is_damage = true;
  commit({0, damaged});
  commit({0, damaged});
  BOOST_TEST(warnings.empty());
  BOOST_TEST_REQUIRE(faults.size() == 2U);  // Each has an aggregate of its own.
  for (const auto& line : faults) BOOST_TEST(line.ends_with(" cannot be committed: invalid page"), line);
  BOOST_TEST(faults[0] != faults[1]);
  commit({0, {errc::store_unavailable, "gone"}});
  commit({0, damaged});
  BOOST_TEST(warnings.size() == 1U);
  commit({1, {}});
  BOOST_TEST(warnings.size() == 2U);
}

// While the store may still tell, a job in doubt stays with the writer. One that it never will goes back at once.
BOOST_AUTO_TEST_CASE(a_doubt_that_can_never_be_settled_is_handed_back) {
  store->doubts_first = true;
  BOOST_TEST(!commit({1, {}}).failure);
  store->is_final = true;
  const auto job = std::make_shared<commit_job>();
  job->request = make.request();
  self->send(writer, job);
  error failure;
  self->receive([&failure](const commit_job_ptr& back) { failure = back->outcome.failure; },
                caf::after(std::chrono::seconds(30)) >> [] {});
  BOOST_TEST((failure.code == errc::in_doubt), to_string(failure));
}

BOOST_AUTO_TEST_CASE(the_end_of_a_writer_by_an_exception_is_heard_with_its_reason) {
  store->throws = true;
  self->send(writer, std::make_shared<commit_job>());
  auto heard = died.get_future();
  BOOST_TEST_REQUIRE((heard.wait_for(std::chrono::seconds(30)) == std::future_status::ready));
  const auto what = heard.get();
  BOOST_TEST(ends_with_bad_alloc(what, "a writer of the store"), what);
}

BOOST_AUTO_TEST_CASE(the_end_of_a_reader_by_an_exception_is_heard_with_its_reason) {
  const auto reader = spawn_store_reader(system, std::make_unique<told_store>(opened->open_reader()), settings);
  self->send(reader, store_task_ptr(std::make_shared<noting_task>(make.request().aggregate_id, 10)));
  auto heard = died.get_future();
  BOOST_TEST_REQUIRE((heard.wait_for(std::chrono::seconds(30)) == std::future_status::ready));
  const auto what = heard.get();
  BOOST_TEST(ends_with_bad_alloc(what, "a reader of the store"), what);
}

BOOST_AUTO_TEST_SUITE_END()
