// A member among others, on a table that the test holds in its hands.
#include <maestro/runtime/membership.hpp>
#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>
#include <spdlog/sinks/null_sink.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

using namespace maestro;
using namespace std::chrono_literals;

namespace {

// What several members share. `away`: as a store that cannot be reached.
struct shared_table {
  std::mutex mutex;
  std::condition_variable changed;
  member_list list;
  bool away = false;
  bool texts_are_away = false;  // What members serve cannot be read.
  int beats = 0;
  std::map<std::string, std::string> texts;  // By the digests.
  int text_reads = 0;

  auto find(const incarnation_id& wanted) -> member* {
    const auto at = std::find_if(list.members.begin(), list.members.end(), [&](auto& each) { return each.incarnation == wanted; });
    return at == list.members.end() ? nullptr : &*at;
  }
  auto status_of(const std::string& name) -> std::optional<member_status> {
    for (const auto& each : list.members)
      if (each.name == name) return each.status;
    return std::nullopt;
  }
  // Waits, with the table locked, until `condition` holds.
  template <class Condition>
  auto wait(Condition condition) -> bool {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 30s, condition);
  }
  // The same, for the table to have been read so often since.
  auto wait_for_beats(int count) -> bool {
    std::unique_lock lock(mutex);
    const int goal = beats + count;
    return changed.wait_for(lock, 30s, [&] { return beats >= goal; });
  }
};

class table_connection final : public member_table {
 public:
  explicit table_connection(shared_table& table) : table_(table) {}

  auto join(const member& self) -> result<member_list> override {
    auto list = with([&] {
      if (table_.find(self.incarnation) != nullptr) return;
      if (!self.serves.empty()) table_.texts[self.serves] = self.served;
      change([&] { table_.list.members.push_back(self); });
      table_.list.members.back().served.clear();
    });
    if (list) list->store = "a store";
    return list;
  }
  auto beat(const incarnation_id& self) -> result<member_list> override {
    return with([&] {
      ++table_.beats;
      if (auto* own = table_.find(self); own != nullptr && own->status == member_status::alive) ++own->heartbeat;
    });
  }
  auto list() -> result<member_list> override {
    return with([] {});
  }
  auto served_text(const std::string& serves) -> result<std::string> override {
    const std::lock_guard lock(table_.mutex);
    ++table_.text_reads;
    if (table_.away || table_.texts_are_away) return error{errc::store_unavailable, "as it was told"};
    const auto found = table_.texts.find(serves);
    return found == table_.texts.end() ? std::string() : found->second;
  }
  auto leave(const incarnation_id& self) -> result<void> override {
    auto left = with([&] { change([&] { table_.find(self)->status = member_status::left; }); });
    if (!left) return left.failure();
    return {};
  }
  auto declare_dead(const member& suspect, std::int64_t version) -> result<bool> override {
    bool done = false;
    auto declared = with([&] {
      auto* found = table_.find(suspect.incarnation);
      if (version != table_.list.version || found->heartbeat != suspect.heartbeat) return;
      change([&] { found->status = member_status::dead; });
      done = true;
    });
    if (!declared) return declared.failure();
    return done;
  }

 private:
  template <class Work>
  auto with(Work work) -> result<member_list> {
    const std::lock_guard lock(table_.mutex);
    if (table_.away) return error{errc::store_unavailable, "as it was told"};
    work();
    table_.changed.notify_all();
    return table_.list;
  }
  template <class Work>
  void change(Work work) {
    work();
    ++table_.list.version;
  }

  shared_table& table_;
};

struct cluster {
  auto join(const std::string& name, membership::hooks hooks = {}, const membership_settings& settings = {10ms, 60ms})
      -> std::unique_ptr<membership> {
    if (!hooks.read) hooks.read = [](const cluster_view_ptr&) {};
    if (!hooks.declared_dead) hooks.declared_dead = [](const std::string&) {};
    auto joined = membership::join(std::make_unique<table_connection>(table), {name, clock.fresh<incarnation_id>(), "somewhere:1"},
                                   settings, std::move(hooks), spdlog::null_logger_mt(name + std::to_string(++loggers)));
    BOOST_TEST_REQUIRE(joined.has_value());
    return std::move(*joined);
  }
  auto try_to_join(const std::string& name, const membership_settings& settings = {10ms, 60ms})
      -> result<std::unique_ptr<membership>> {
    membership::hooks none{[](const cluster_view_ptr&) {}, {}, [](const std::string&) {}};
    return membership::join(std::make_unique<table_connection>(table),
                            {name, clock.fresh<incarnation_id>(), "elsewhere:1"}, settings, std::move(none),
                            spdlog::null_logger_mt(name + std::to_string(++loggers)));
  }
  // A member that gives no sign of life.
  void add_silent(const std::string& name, bool is_connected = true) {
    const std::lock_guard lock(table.mutex);
    table.list.members.push_back({name, clock.fresh<incarnation_id>(), "somewhere:2"});
    table.list.members.back().is_connected = is_connected;
    ++table.list.version;
  }

  shared_table table;
  hybrid_clock clock;
  static inline int loggers = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(membership_in_a_cluster, cluster)

BOOST_AUTO_TEST_CASE(members_see_each_other_and_who_leaves) {
  std::mutex mutex;
  std::condition_variable changed;
  cluster_view_ptr seen;
  membership::hooks hooks;
  hooks.read = [&](cluster_view_ptr view) {
    const std::lock_guard lock(mutex);
    seen = std::move(view);
    changed.notify_all();
  };
  const auto wait_for = [&](std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 30s, [&] { return seen->alive.size() == count; });
  };
  const auto north = join("north", std::move(hooks));
  BOOST_TEST(wait_for(1));
  const auto south = join("south");
  BOOST_TEST(wait_for(2));
  BOOST_TEST(seen->owners.names() == (std::vector<std::string>{"north", "south"}), boost::test_tools::per_element());
  BOOST_TEST(south->leave(30s));
  BOOST_TEST(wait_for(1));
  BOOST_TEST((table.status_of("south") == member_status::left));
}

// Its row may have come along with a copy of the database, while it lives with the original.
BOOST_AUTO_TEST_CASE(nothing_is_placed_on_a_member_without_a_session_until_its_heartbeat_moves) {
  const auto south = clock.fresh<incarnation_id>();
  table.list.members.push_back({"south", south, "somewhere:2", member_status::alive, 7, false});
  std::mutex mutex;
  std::vector<std::size_t> alive;
  std::string store;
  membership::hooks hooks;
  hooks.read = [&](const cluster_view_ptr& view) {
    const std::lock_guard lock(mutex);
    alive.push_back(view->alive.size());
    store = view->list.store;
  };
  const auto north = join("north", std::move(hooks));
  const auto until = std::chrono::steady_clock::now() + 30s;
  const auto newest = [&] {
    const std::lock_guard lock(mutex);
    return alive.back();
  };
  {
    const std::lock_guard lock(mutex);
    BOOST_TEST(alive.front() == 1U);
  }
  while (newest() != 2 && std::chrono::steady_clock::now() < until) {
    const std::lock_guard lock(table.mutex);
    ++table.find(south)->heartbeat;
  }
  BOOST_TEST(newest() == 2U);
  const std::lock_guard lock(mutex);
  BOOST_TEST(store == "a store");
}

BOOST_AUTO_TEST_CASE(who_gives_no_sign_of_life_is_declared_dead_and_who_does_is_not) {
  const membership_settings settings{10ms, 1s};  // Longer than a busy machine keeps a thread waiting.
  const auto north = join("north", {}, settings);
  const auto south = join("south", {}, settings);
  add_silent("west");
  BOOST_TEST(table.wait([&] { return table.status_of("west") == member_status::dead; }));
  BOOST_TEST(table.wait_for_beats(20));
  BOOST_TEST((table.status_of("north") == member_status::alive));
  BOOST_TEST((table.status_of("south") == member_status::alive));
}

BOOST_AUTO_TEST_CASE(who_reads_itself_dead_is_told_why_once) {
  std::promise<std::string> told;
  membership::hooks hooks;
  hooks.declared_dead = [&](const std::string& reason) { told.set_value(reason); };
  const auto north = join("north", std::move(hooks));
  {
    const std::lock_guard lock(table.mutex);
    table.list.members.front().status = member_status::dead;
    ++table.list.version;
  }
  BOOST_TEST(told.get_future().get().find("declared north dead") != std::string::npos);
  BOOST_TEST(north->leave(30s));  // It has.
}

BOOST_AUTO_TEST_CASE(who_is_superseded_is_told_by_whom) {
  std::promise<std::string> told;
  membership::hooks hooks;
  hooks.declared_dead = [&](const std::string& reason) { told.set_value(reason); };
  const auto north = join("north", std::move(hooks));
  {
    const std::lock_guard lock(table.mutex);
    table.list.members.front().status = member_status::dead;
    table.list.members.push_back({"north", clock.fresh<incarnation_id>(), "elsewhere:9"});
    ++table.list.version;
  }
  const auto reason = told.get_future().get();
  BOOST_TEST(reason.find("elsewhere:9") != std::string::npos, reason);
  BOOST_TEST(reason.find("node.name") != std::string::npos, reason);
}

BOOST_AUTO_TEST_CASE(beside_a_node_that_lives_its_name_is_refused) {
  const auto north = join("north");
  const auto second = try_to_join("north", {10ms, 30s});
  BOOST_TEST_REQUIRE(!second.has_value());
  BOOST_TEST((second.failure().code == errc::name_in_use));
  BOOST_TEST(second.failure().message.find("somewhere:1") != std::string::npos, second.failure().message);
  BOOST_TEST(second.failure().message.find("node.name") != std::string::npos, second.failure().message);
  BOOST_TEST((table.status_of("north") == member_status::alive));
  BOOST_TEST(table.wait_for_beats(4));
}

BOOST_AUTO_TEST_CASE(the_name_of_a_node_without_a_session_is_free_at_once) {
  add_silent("north", false);
  membership_settings patient{10ms, 1h};
  BOOST_TEST(try_to_join("north", patient).has_value());
}

BOOST_AUTO_TEST_CASE(the_name_of_a_node_that_stands_still_is_free_after_the_suspicion_time) {
  add_silent("north");
  const auto began = std::chrono::steady_clock::now();
  BOOST_TEST(try_to_join("north").has_value());
  BOOST_TEST((std::chrono::steady_clock::now() - began >= 60ms));
}

// Longer than the suspicion time, and for all of them.
BOOST_AUTO_TEST_CASE(an_outage_of_the_store_kills_nobody) {
  std::atomic<bool> ended{false};
  membership::hooks hooks;
  hooks.declared_dead = [&](const std::string&) { ended = true; };
  const membership_settings settings{10ms, 500ms};
  const auto north = join("north", hooks, settings);
  const auto south = join("south", hooks, settings);
  BOOST_TEST(table.wait_for_beats(4));
  const auto begin = std::chrono::steady_clock::now();
  {
    std::unique_lock lock(table.mutex);
    table.away = true;
    // No wait for something to happen: nothing is to happen.
    table.changed.wait_for(lock, 1s, [] { return false; });
    table.away = false;
  }
  BOOST_TEST((std::chrono::steady_clock::now() - begin >= 1s));
  BOOST_TEST(table.wait_for_beats(40));
  BOOST_TEST(!ended.load());
  BOOST_TEST((table.status_of("north") == member_status::alive));
  BOOST_TEST((table.status_of("south") == member_status::alive));
}

BOOST_AUTO_TEST_CASE(a_store_that_has_forgotten_a_member_is_joined_again) {
  const auto north = join("north");
  {
    const std::lock_guard lock(table.mutex);
    table.list.members.clear();
    ++table.list.version;
  }
  BOOST_TEST(table.wait([&] { return table.status_of("north") == member_status::alive; }));
}

// The text behind a digest is read once, with the next heartbeat where it could not be read, and is nothing where it is
// not what the digest says.
BOOST_AUTO_TEST_CASE(what_the_others_serve_is_known_before_anything_is_placed_on_them) {
  const std::string text = R"({"types":[{"type":"parcel","commands":["weigh"],"events":["weighed"],"calls":[]}]})";
  const auto add = [&](const std::string& name, const std::string& digest) {
    const std::lock_guard lock(table.mutex);
    table.list.members.push_back(
        {name, clock.fresh<incarnation_id>(), "somewhere:2", member_status::alive, 0, true, digest});
    ++table.list.version;
  };
  table.texts = {{served_digest(text), text}, {"0123456789abcdef", text}, {"garbage", std::string(100'000, '[')}};
  table.texts_are_away = true;
  add("south", served_digest(text));
  add("south2", served_digest(text));
  add("liar", "0123456789abcdef");
  add("garbage", "garbage");
  add("nothing", "");
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<cluster_view_ptr> seen;
  membership::hooks hooks;
  hooks.read = [&](cluster_view_ptr view) {
    const std::lock_guard lock(mutex);
    seen.push_back(std::move(view));
    changed.notify_all();
  };
  const auto north = join("north", std::move(hooks));
  const auto live_on = [&](const cluster_view& view) {
    std::vector<std::string> names;
    if (const auto* placed = view.placement_of("parcel")) names = placed->owners.names();
    return names;
  };
  {
    const std::lock_guard lock(mutex);
    BOOST_TEST(seen.front()->placements.empty());
  }
  {
    const std::lock_guard lock(table.mutex);
    table.texts_are_away = false;
  }
  std::unique_lock lock(mutex);
  BOOST_TEST(changed.wait_for(lock, 30s, [&] { return !seen.back()->placements.empty(); }));
  BOOST_TEST(live_on(*seen.back()) == (std::vector<std::string>{"south", "south2"}), boost::test_tools::per_element());
  BOOST_TEST((seen.back()->read_at > seen.front()->read_at));
  const auto goal = seen.size() + 10;
  const auto reads = [&] {
    const std::lock_guard table_lock(table.mutex);
    return table.text_reads;
  };
  BOOST_TEST(changed.wait_for(lock, 30s, [&] { return seen.size() >= goal; }));
  const int before = reads();
  BOOST_TEST(changed.wait_for(lock, 30s, [&] { return seen.size() >= goal + 10; }));
  BOOST_TEST(reads() == before);
}

BOOST_AUTO_TEST_CASE(a_member_can_end_while_the_store_is_away) {
  const auto north = join("north");
  {
    const std::lock_guard lock(table.mutex);
    table.away = true;
  }
  BOOST_TEST(north->leave(30s));
}

BOOST_AUTO_TEST_SUITE_END()
