// What is the program's own fault is no answer to a command: it is said as a fault, to the caller and in the node's log.
#include "batch.hpp"

#include "../store/temporary_folder.hpp"
#include "../store/test_store.hpp"

#include <maestro/runtime/logging.hpp>
#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

using namespace maestro;
using namespace maestro::test;

namespace {

// What an author's code may throw, and where.
struct throw_up {
  bool in_apply = false;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(in_apply));
  }
};
struct thrown {
  template <class Archive>
  void serialize(Archive&) {}
};
struct nothing {
  template <class Archive>
  void serialize(Archive&) {}
};

class volcano : public aggregate<volcano, nothing> {
 public:
  static constexpr std::string_view type = "volcano";
  using commands = maestro::commands<throw_up>;
  using events = maestro::events<thrown>;

  static auto eval(const nothing&, const throw_up& command) -> thrown {
    if (!command.in_apply) throw std::runtime_error("ash in eval");
    return {};
  }
  static void apply(nothing&, const thrown&) { throw std::runtime_error("ash in apply"); }
};

struct logging_node {
  logging_node() {
    BOOST_TEST_REQUIRE(set_up_logging("info", folder.path("log")).has_value());
    node_settings settings;
    settings.port = 0;
    settings.store_uri = store.uri();
    settings.store.lock_timeout = std::chrono::milliseconds(100);
    auto started = node::start(settings, {define<::test::batch>(), define<volcano>()});
    BOOST_TEST_REQUIRE(started.has_value());
    running = std::move(*started);
    here = running->local_client();
  }
  ~logging_node() {
    here.reset();
    running.reset();
    (void)set_up_logging("info", "");
  }
  [[nodiscard]] auto log_text() const -> std::string {
    std::ostringstream text;
    text << std::ifstream(folder.path("log")).rdbuf();
    return text.str();
  }

  const temporary_folder folder;
  const test_store store;
  std::unique_ptr<node> running;
  std::unique_ptr<client> here;
};

auto count(const std::string& text, const std::string& part) -> int {
  int found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(faults_of_the_program, logging_node)

BOOST_AUTO_TEST_CASE(a_table_of_a_projection_that_is_gone_rejects_nobody_and_is_told_in_the_log) {
  const auto id = ::test::batch::id::named("one");
  BOOST_TEST_REQUIRE(!here->send(id, ::test::add{1}).answer.failure);
  const auto tool = stranger_at(store.uri());
  BOOST_TEST_REQUIRE(tool->query("ALTER TABLE batch_totals RENAME TO somewhere_else", {}).has_value());
  for (int i = 0; i < 5; ++i) {
    const auto failure = here->send(id, ::test::add{1}).answer.failure;
    BOOST_TEST((failure.code == errc::program_failed), to_string(failure));
    BOOST_TEST((failure.kind() == error_kind::broken));
    for (const auto* part : {"projection \"batch_totals\"", "aggregate type \"batch\"", "insert into batch_totals", "`maestro rebuild batch_totals`"})
      BOOST_TEST((failure.message.find(part) != std::string::npos), failure.message);
    BOOST_TEST((failure.message.find("migrate") == std::string::npos), failure.message);
  }
  const auto said = log_text();
  BOOST_TEST(count(said, "error projection \"batch_totals\" of aggregate type \"batch\" failed: ") == 1, said);
  BOOST_TEST_REQUIRE(tool->query("ALTER TABLE somewhere_else RENAME TO batch_totals", {}).has_value());
  BOOST_TEST(here->send(id, ::test::add{1}).answer.last == 2);
}

BOOST_AUTO_TEST_CASE(what_eval_or_apply_throws_rejects_nobody_and_is_told_in_the_log) {
  for (const bool in_apply : {false, true}) {
    const auto failure = here->send(volcano::id::named("etna"), throw_up{in_apply}).answer.failure;
    BOOST_TEST((failure.code == errc::program_failed), to_string(failure));
    BOOST_TEST((failure.kind() == error_kind::broken));
    BOOST_TEST((failure.message.find(in_apply ? "ash in apply" : "ash in eval") != std::string::npos), failure.message);
  }
  // Once for each type in a while, whatever the reason.
  const auto said = log_text();
  BOOST_TEST(count(said, "error aggregate \"volcano\"") == 1, said);
  BOOST_TEST(count(said, "a fault of the program: ") == 1, said);
  BOOST_TEST(count(said, "ash in eval") == 1, said);
}

// A transaction of some other tool.
BOOST_AUTO_TEST_CASE(a_store_that_cannot_be_written_is_told_once_and_again_when_it_can) {
  const auto id = ::test::batch::id::named("one");
  BOOST_TEST_REQUIRE(!here->send(id, ::test::add{1}).answer.failure);
  const auto tool = stranger_at(store.uri());
  const bool is_embedded = store.uri().starts_with("sqlite");
  for (const auto* sql : {is_embedded ? "BEGIN IMMEDIATE" : "BEGIN", is_embedded ? "SELECT 1" : "LOCK TABLE event_log IN SHARE ROW EXCLUSIVE MODE"})
    BOOST_TEST_REQUIRE(tool->query(sql, {}).has_value());
  send_options once;
  once.retry = false;
  for (int i = 0; i < 2; ++i) {
    const auto failure = here->send(id, ::test::add{1}, once).answer.failure;
    BOOST_TEST((failure.kind() == error_kind::retryable || failure.kind() == error_kind::in_doubt), to_string(failure));
    BOOST_TEST((failure.message.find("lock") != std::string::npos), failure.message);
  }
  BOOST_TEST(count(log_text(), "warning store ") == 1, log_text());
  BOOST_TEST(count(log_text(), ": commits fail: ") == 1, log_text());
  BOOST_TEST_REQUIRE(tool->query("ROLLBACK", {}).has_value());
  BOOST_TEST(!here->send(id, ::test::add{1}).answer.failure);
  BOOST_TEST(count(log_text(), ": commits go on, after ") == 1, log_text());
}

BOOST_AUTO_TEST_SUITE_END()
