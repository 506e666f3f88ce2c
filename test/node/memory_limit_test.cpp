// A node that serves, when memory runs out for a moment where a command is carried out: the command is answered, and the node either
// goes on or ends with a reason. What was acknowledged stays, and what was not can be sent again.
#include "../store/own_server.hpp"
#include "../store/test_store.hpp"

#include <maestro/aggregates/aggregate.hpp>
#include <maestro/runtime/node.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace {

// While it is not over, one allocation fails of the thread that has starved: the one after so many.
std::atomic<bool> is_over{true};
thread_local bool has_starved = false;
thread_local std::int64_t to_succeed = 0;

auto may_not_allocate() -> bool {
  if (!has_starved || to_succeed-- > 0) return false;
  has_starved = false;
  return !is_over;
}

}  // namespace

// The next library's, up to the limit: a sanitizer's, if there is one, or that of C++.
auto operator new(std::size_t size) -> void* {
  using function = void* (*)(std::size_t);
  static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "_Znwm"));
  if (may_not_allocate()) throw std::bad_alloc();
  return real(size);
}

namespace {

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

// Where memory runs out: in the aggregate's actor, or in the writer.
enum class place : std::int64_t { eval, project };
auto operator<<(std::ostream& to, place where) -> std::ostream& { return to << (where == place::eval ? "eval" : "project"); }
constexpr std::array places{place::eval, place::project};

struct eat {
  std::int64_t where = 0;
  std::int64_t after = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(where), CEREAL_NVP(after));
  }
};

struct eaten {
  std::int64_t where = 0;
  std::int64_t after = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(where), CEREAL_NVP(after));
  }
};

struct meals {
  std::int64_t count = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count));
  }
};

// Each command starves once, not when it is sent again.
std::atomic<bool> may_starve{false};

void starve(std::int64_t after) {
  if (!may_starve.exchange(false)) return;
  to_succeed = after;
  has_starved = true;
}

struct kitchen {
  static auto schema() -> std::vector<schema_step> {
    return {per_store{.sqlite = "create table kitchen (guest blob not null, sequence integer not null) strict",
                      .postgres = "create table kitchen (guest bytea not null, sequence bigint not null)"}};
  }
  static void project(transaction& tx, const eaten& event, const maestro::event& row) {
    tx.execute("insert into kitchen (guest, sequence) values ($1, $2)", row.aggregate_id, row.sequence);
    if (event.where == static_cast<std::int64_t>(place::project)) starve(event.after);
  }
};

class guest : public aggregate<guest, meals> {
 public:
  static constexpr std::string_view type = "guest";
  using commands = maestro::commands<eat>;
  using events = maestro::events<eaten>;
  using projections = maestro::projections<kitchen>;

  static auto eval(const meals&, const eat& command) -> eaten {
    if (command.where == static_cast<std::int64_t>(place::eval)) starve(command.after);
    return {command.where, command.after};
  }
  static void apply(meals& state, const eaten&) { ++state.count; }
};

// Starts anew when the node has ended.
class restarted_node {
 public:
  restarted_node() { start(); }
  ~restarted_node() { end(); }

  [[nodiscard]] auto to() const -> client& { return *to_; }
  /// As a program does whose client has ended by a fault of its own.
  void connect_again() { to_ = started_->local_client(); }
  /// Whether it had ended, which it does with a reason that names who.
  auto start_again_if_ended() -> bool {
    if (ended_.wait_for(0s) != std::future_status::ready) return false;
    const auto reason = ended_.get();
    BOOST_TEST((reason.find("has ended by a fault") != std::string::npos), reason);
    end();
    start();
    return true;
  }

 private:
  void start() {
    auto told = std::make_shared<std::promise<std::string>>();
    ended_ = told->get_future();
    node_settings settings;
    settings.port = 0;
    settings.store_uri = store_.uri();
    settings.name = "hungry";
    settings.drain_timeout = 1s;
    auto begun = node::start(settings, {define<guest>()}, [told](const std::string& reason) { told->set_value(reason); });
    BOOST_TEST_REQUIRE(begun.has_value(), (begun ? "" : to_string(begun.failure())));
    started_ = std::move(*begun);
    to_ = started_->local_client();
  }
  void end() {
    to_.reset();
    started_.reset();
  }

  const test_store store_;
  std::future<std::string> ended_;
  std::unique_ptr<node> started_;
  std::unique_ptr<client> to_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(memory_limits)

// One allocation after another fails, each in a command of its own.
BOOST_DATA_TEST_CASE(no_command_is_lost_doubled_or_left_without_an_answer, boost::unit_test::data::make(places), where) {
  constexpr std::int64_t allocations = 150;
  restarted_node node;
  int ends = 0;
  int failures = 0;
  for (std::int64_t after = 0; after < allocations; ++after) {
    BOOST_TEST_CHECKPOINT("memory runs out after " << after << " allocations");
    const auto id = guest::id::named("g" + std::to_string(after));
    const auto send = [&](send_options options) {
      options.retry = false;
      options.timeout = 30s;
      return node.to().send(id, eat{static_cast<std::int64_t>(where), after}, options);
    };
    is_over = false;
    may_starve = true;
    const auto got = send({});
    is_over = true;
    if (const auto& failure = got.answer.failure) {
      ++failures;
      BOOST_TEST((failure.kind() != error_kind::rejected), after << ": " << to_string(failure));
      BOOST_TEST((failure.message.find("no answer") == std::string::npos), after << ": " << to_string(failure));
      node.connect_again();
    }
    send_options again;
    again.command_id = got.command_id;
    // What runs out of memory after the answer may take the next command along, and end the node a moment later.
    result<at_sequence<meals>> found = error{errc::internal_error, "not asked"};
    await("the command to be carried out, and its aggregate to be seen", [&] {
      if (node.start_again_if_ended()) ++ends;
      const auto failure = send(again).answer.failure;
      if (!failure) found = node.to().get(id);
      if (failure || !found) node.connect_again();
      return !failure && found.has_value();
    });
    BOOST_TEST(found->value.count == 1, after << ": " << found->value.count);
  }
  BOOST_TEST(failures > 0);
  BOOST_TEST(ends > 0);
  std::cout << "of " << allocations << " commands without memory " << failures << " failed at first, and " << ends << " ended the node" << std::endl;
}

BOOST_AUTO_TEST_SUITE_END()
