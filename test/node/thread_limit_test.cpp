// A node that serves, when the system gives its process no more threads: what needs one is refused, and the node ends in order.
#include "batch.hpp"

#include "../store/temporary_folder.hpp"

#include <maestro/runtime/node.hpp>

#include <boost/test/unit_test.hpp>

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <memory>

using namespace maestro;
using namespace maestro::test;

namespace {

std::atomic<bool> no_more_threads{false};

struct thread_limit {
  thread_limit() { no_more_threads = true; }
  ~thread_limit() { no_more_threads = false; }
  thread_limit(const thread_limit&) = delete;
  auto operator=(const thread_limit&) -> thread_limit& = delete;
};

}  // namespace

// The C library's, up to the limit.
extern "C" auto pthread_create(pthread_t* made, const pthread_attr_t* attributes, void* (*run)(void*), void* with) noexcept -> int {
  using function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "pthread_create"));
  return no_more_threads ? EAGAIN : real(made, attributes, run, with);
}

namespace {

struct embedded_node {
  embedded_node() {
    node_settings settings;
    settings.port = 0;
    settings.store_uri = "sqlite:" + folder.path("store.db");
    auto begun = node::start(settings, {define<::test::batch>()});
    BOOST_TEST_REQUIRE(begun.has_value(), (begun ? "" : to_string(begun.failure())));
    started = std::move(*begun);
  }

  [[nodiscard]] auto rebuild(const std::string& wish) const -> error {
    return client::failure_of(to()->ask(query_verb::rebuild, {}, {}, [&](query_request& request) {
      request.name = "batch_totals";
      request.payload = wish;
    }));
  }
  [[nodiscard]] auto to() const -> client* {
    if (!asking_) asking_ = started->local_client();
    return asking_.get();
  }

  void end() {
    asking_.reset();
    started.reset();
  }

  const temporary_folder folder;
  std::unique_ptr<node> started;

 private:
  mutable std::unique_ptr<client> asking_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(thread_limits)

BOOST_FIXTURE_TEST_CASE(a_rebuild_that_gets_no_thread_is_refused_and_can_be_asked_for_again, embedded_node) {
  BOOST_TEST(!to()->send(::test::batch::id::named("a"), ::test::add{1}).answer.failure);
  {
    const thread_limit reached;
    const auto refused = rebuild("resume");
    BOOST_TEST((refused.code == errc::overloaded), to_string(refused));
    BOOST_TEST((refused.message.find("no more threads") != std::string::npos), refused.message);
    BOOST_TEST((rebuild("").code == errc::invalid_argument));  // None was begun.
    BOOST_TEST(!to()->send(::test::batch::id::named("a"), ::test::add{1}).answer.failure);
  }
  BOOST_TEST(!rebuild("resume"));
}

BOOST_FIXTURE_TEST_CASE(a_node_that_gets_no_thread_ends_in_order, embedded_node) {
  BOOST_TEST(!to()->send(::test::batch::id::named("a"), ::test::add{1}).answer.failure);
  const thread_limit reached;
  BOOST_TEST(started->stop() == 0U);
  end();
}

BOOST_AUTO_TEST_CASE(a_node_that_gets_no_thread_does_not_start) {
  const thread_limit reached;
  node_settings settings;
  settings.port = 0;
  settings.store_uri = "sqlite::memory:";
  const auto begun = node::start(settings, {define<::test::batch>()});
  BOOST_TEST_REQUIRE(!begun.has_value());
  BOOST_TEST((begun.failure().code == errc::overloaded), to_string(begun.failure()));
}

BOOST_AUTO_TEST_SUITE_END()
