// The scheduler that a node's actors run on: who runs on which thread, and that nobody is forgotten.
#include <maestro/store/scheduling.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

// What an actor of these tests is told: a number that means something to it.
using body = std::function<void(caf::event_based_actor&, int)>;

class doing : public caf::event_based_actor {
 public:
  doing(caf::actor_config& config, body what) : caf::event_based_actor(config), what_(std::move(what)) {}
  auto make_behavior() -> caf::behavior override {
    return {[this](int number) { what_(*this, number); }};
  }

 private:
  const body what_;
};

struct threads {
  explicit threads(std::size_t running, std::size_t blocked = 0, std::size_t throughput = 200) : configuration(running, blocked, throughput) {}

  auto actor(body what) -> caf::actor { return caf::actor_cast<caf::actor>(system.spawn<doing>(std::move(what))); }

  struct config : caf::actor_system_config {
    config(std::size_t running, std::size_t blocked, std::size_t throughput) {
      set("scheduler.max-threads", running + blocked);
      set("scheduler.max-throughput", throughput);
      schedule_by_handing_on(*this, running);
    }
  };
  config configuration;
  caf::actor_system system{configuration};
};

// Waits for `wanted`, and fails where it does not come.
template <class T>
auto value_of(std::promise<T>& wanted) -> T {
  auto future = wanted.get_future();
  BOOST_TEST_REQUIRE((future.wait_for(60s) == std::future_status::ready));
  return future.get();
}

// Whether an actor runs to whom another has handed its thread on, while that one, in `then`, waits for it.
auto runs_meanwhile(threads& all, const std::function<void(const std::function<void()>& wait)>& then) -> bool {
  std::promise<void> ran;
  std::promise<bool> in_time;
  const auto second = all.actor([&](auto&, int) { ran.set_value(); });
  const auto first = all.actor([&](auto& self, int) {
    const hand_on thread;
    self.send(second, 1);
    then([&] { in_time.set_value(ran.get_future().wait_for(60s) == std::future_status::ready); });
  });
  caf::anon_send(first, 1);
  return value_of(in_time);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scheduling)

BOOST_AUTO_TEST_CASE(a_system_knows_its_scheduler) {
  threads ours(1);
  BOOST_TEST(schedules_by_handing_on(ours.system));
  caf::actor_system_config plain;
  caf::actor_system theirs(plain);
  BOOST_TEST(!schedules_by_handing_on(theirs));
}

BOOST_AUTO_TEST_CASE(on_other_threads_nothing_happens) {
  const hand_on thread;
  const blocking_section waiting;
  give_away_next();
  threads all(1);
  std::promise<int> heard;
  caf::anon_send(all.actor([&](auto&, int number) { heard.set_value(number); }), 7);
  BOOST_TEST(value_of(heard) == 7);
}

BOOST_AUTO_TEST_CASE(who_is_handed_the_thread_runs_on_it) {
  threads all(3);
  std::optional<std::promise<std::thread::id>> where;
  std::thread::id before;
  const auto second = all.actor([&](auto&, int) { where->set_value(std::this_thread::get_id()); });
  const auto first = all.actor([&](auto& self, int) {
    before = std::this_thread::get_id();
    const hand_on thread;
    self.send(second, 1);
  });
  // One that has not quite ended what it did before goes on where it is. Of threads at random it would be a third.
  int on_it = 0;
  for (int i = 0; i < 100; ++i) {
    where.emplace();
    caf::anon_send(first, 1);
    if (value_of(*where) == before) ++on_it;
  }
  BOOST_TEST(on_it > 70);
}

// Whoever had been told something before does not wait for the sender.
BOOST_AUTO_TEST_CASE(the_thread_is_handed_on_to_the_last) {
  threads all(2);
  std::promise<void> first_ran;
  std::promise<bool> in_time;
  std::promise<std::thread::id> where;
  std::thread::id before;
  const auto first = all.actor([&](auto&, int) { first_ran.set_value(); });
  const auto last = all.actor([&](auto&, int) { where.set_value(std::this_thread::get_id()); });
  const auto sender = all.actor([&](auto& self, int) {
    before = std::this_thread::get_id();
    const hand_on thread;
    self.send(first, 1);
    self.send(last, 1);
    in_time.set_value(first_ran.get_future().wait_for(60s) == std::future_status::ready);
  });
  caf::anon_send(sender, 1);
  BOOST_TEST(value_of(in_time));
  BOOST_TEST((value_of(where) == before));
}

BOOST_AUTO_TEST_CASE(who_was_to_run_next_can_be_given_away) {
  threads all(2);
  BOOST_TEST(runs_meanwhile(all, [](const auto& wait) {
    give_away_next();
    wait();
  }));
}

BOOST_AUTO_TEST_CASE(another_actor_runs_while_one_is_blocked) {
  threads all(1, 1);
  BOOST_TEST(runs_meanwhile(all, [](const auto& wait) {
    const blocking_section waiting;
    wait();
  }));
}

BOOST_AUTO_TEST_CASE(no_more_run_at_a_time_than_may) {
  constexpr int actors = 20, messages = 200;
  threads all(2, 3);
  std::atomic<int> running{0}, most{0}, left{actors * messages};
  std::promise<void> done;
  std::vector<caf::actor> some;
  for (int i = 0; i < actors; ++i)
    some.push_back(all.actor([&](auto&, int) {
      const int now = ++running;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
      std::this_thread::yield();
      --running;
      if (--left == 0) done.set_value();
    }));
  for (int i = 0; i < messages; ++i)
    for (const auto& each : some) caf::anon_send(each, i);
  value_of(done);
  BOOST_TEST(most <= 2);
}

BOOST_AUTO_TEST_CASE(two_who_hand_on_to_each_other_leave_room_for_a_third) {
  threads all(1);
  std::atomic<bool> third_ran{false};
  std::promise<void> over;
  caf::actor one, other;
  const auto hit = [&](auto& self, const caf::actor& to, int number) {
    if (third_ran) return over.set_value();
    const hand_on thread;
    self.send(to, number + 1);
  };
  one = all.actor([&](auto& self, int number) { hit(self, other, number); });
  other = all.actor([&](auto& self, int number) { hit(self, one, number); });
  caf::anon_send(one, 0);
  caf::anon_send(all.actor([&](auto&, int) { third_ran = true; }), 0);
  value_of(over);
  one = other = nullptr;
}

// Each handler hands on, gives away, blocks, or sends to several, at random: every message arrives.
BOOST_AUTO_TEST_CASE(every_message_arrives) {
  constexpr int actors = 50, messages = 100'000;
  threads all(3, 4, 10);
  std::vector<caf::actor> some;
  std::atomic<int> left{messages};
  std::atomic<int> unheard{0};
  for (int i = 0; i < actors; ++i)
    some.push_back(all.actor([&, state = 2654435761U * static_cast<unsigned>(i + 1)](auto& self, int) mutable {
      const auto random = [&](unsigned bound) {
        state = state * 1664525U + 1013904223U;
        return (state >> 8) % bound;
      };
      for (unsigned count = random(3); count > 0 && left-- > 0; --count) {
        ++unheard;
        if (random(2) == 0) {
          const hand_on thread;
          self.send(some[random(actors)], 1);
        } else {
          self.send(some[random(actors)], 1);
        }
      }
      if (random(8) == 0) give_away_next();
      if (random(8) == 0) {
        const blocking_section waiting;
        std::this_thread::yield();
      }
      --unheard;
    }));
  while (left > 0) {  // What they say to each other may die out.
    ++unheard;
    caf::anon_send(some[static_cast<std::size_t>(left & 31)], 1);
    std::this_thread::yield();
  }
  while (unheard > 0) std::this_thread::yield();
  BOOST_TEST(unheard == 0);
  some.clear();
}

BOOST_AUTO_TEST_CASE(a_system_ends_with_work_left) {
  std::atomic<int> heard{0};
  for (int i = 0; i < 50; ++i) {
    threads all(2, 2);
    auto busy = std::make_shared<caf::actor>();
    *busy = all.actor([&heard, busy](auto& self, int number) {
      ++heard;
      if (number == 0) return self.quit();
      const hand_on thread;
      self.send(*busy, number - 1);
      const blocking_section waiting;
    });
    for (int message = 0; message < 10; ++message) caf::anon_send(*busy, 20);
    caf::anon_send_exit(*busy, caf::exit_reason::user_shutdown);
    caf::scoped_actor self(all.system);
    self->wait_for(*busy);
    *busy = nullptr;
  }
  BOOST_TEST(heard > 0);
}

BOOST_AUTO_TEST_SUITE_END()
