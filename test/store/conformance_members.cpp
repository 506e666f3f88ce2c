// The table of a cluster's members: what every store promises of it, and what only one that nodes can share has to.
#include "conformance.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <set>
#include <vector>

using namespace maestro;
using namespace maestro::test;
namespace data = boost::unit_test::data;

namespace {

// Its own connection to the table of a fresh store.
struct members_bench : workbench {
  explicit members_bench(const store_under_test& store) : workbench(store), table(opened->open_members()) {}

  auto fresh(const std::string& name) -> member { return {name, clock.fresh<incarnation_id>(), name + ".example:4242"}; }
  /// Whether another one that joins is told that this one has a session.
  auto is_connected(const member& wanted) -> bool {
    const auto list = value_of(table->join(fresh("observer")));
    return std::any_of(list.members.begin(), list.members.end(),
                       [&](const member& each) { return each.incarnation == wanted.incarnation && each.is_connected; });
  }

  hybrid_clock clock;
  std::unique_ptr<member_table> table;
};

auto find(const member_list& list, const member& wanted) -> const member& {
  for (const auto& each : list.members)
    if (each.incarnation == wanted.incarnation) return each;
  BOOST_FAIL(wanted.name << " is not in the table");
  std::abort();
}

auto names_alive(const member_list& list) -> std::vector<std::string> {
  std::vector<std::string> names;
  for (const auto& each : list.members)
    if (each.status == member_status::alive) names.push_back(each.name);
  return names;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conformance_members)

BOOST_DATA_TEST_CASE(who_joins_is_in_the_table_and_counts_its_heartbeats, data::make(stores_under_test()), store) {
  members_bench bench(store);
  BOOST_TEST(value_of(bench.table->list()).members.empty());
  const auto self = bench.fresh("north");
  const auto joined = value_of(bench.table->join(self));
  BOOST_TEST((find(joined, self) == self));

  const auto again = value_of(bench.table->join(self));
  BOOST_TEST(again.members.size() == 1U);
  for (std::int64_t beats = 1; beats <= 3; ++beats) {
    const auto list = value_of(bench.table->beat(self.incarnation));
    BOOST_TEST(find(list, self).heartbeat == beats);
    BOOST_TEST(list.version == again.version);
  }
}

BOOST_DATA_TEST_CASE(what_a_member_serves_goes_by_a_digest_and_is_read_apart, data::make(stores_under_test()), store) {
  members_bench bench(store);
  auto self = bench.fresh("north");
  self.serves = "0123456789abcdef";
  self.served = R"({"types":[]})";
  for (const auto& list : {value_of(bench.table->join(self)), value_of(bench.table->beat(self.incarnation)),
                           value_of(bench.table->list())}) {
    BOOST_TEST(find(list, self).serves == self.serves);
    BOOST_TEST(find(list, self).served == "");
  }
  BOOST_TEST(value_of(bench.table->served_text(self.serves)) == self.served);
  BOOST_TEST(value_of(bench.table->served_text("fedcba9876543210")) == "");
  BOOST_TEST(value_of(bench.table->served_text("")) == "");
  succeed(bench.table->leave(self.incarnation));
  BOOST_TEST(value_of(bench.table->served_text(self.serves)) == self.served);

  auto large = bench.fresh("south");
  large.serves = "1111111111111111";
  large.served = std::string(max_served_text + 1, 'x');
  const auto refused = bench.table->join(large);
  BOOST_TEST((refused.failure().code == errc::invalid_argument));
  BOOST_TEST((refused.failure().message.find("bytes") != std::string::npos), refused.failure().message);
  if (!bench.where->is_shared()) return;
  large.served.pop_back();
  BOOST_TEST(find(value_of(bench.table->join(large)), large).serves == large.serves);
  BOOST_TEST(value_of(bench.table->served_text(large.serves)).size() == max_served_text);
  // A member that does not say it.
  const auto quiet = bench.fresh("west");
  BOOST_TEST(find(value_of(bench.table->join(quiet)), quiet).serves == "");
}

// What a node needs to tell its own store from a copy, and its own clock from a wrong one.
BOOST_DATA_TEST_CASE(a_store_that_nodes_can_share_says_which_it_is_and_what_time_it_is, data::make(stores_under_test()), store) {
  members_bench bench(store);
  const auto joined = value_of(bench.table->join(bench.fresh("north")));
  if (bench.opened->single_owner()) {
    BOOST_TEST(joined.milliseconds == 0U);
    return;
  }
  BOOST_TEST(joined.store != "");
  const auto now = system_milliseconds(std::chrono::milliseconds(0));
  BOOST_TEST(joined.milliseconds <= now + 60'000);
  BOOST_TEST(joined.milliseconds + 60'000 >= now);
  const auto other = members_bench(store);
  BOOST_TEST(value_of(other.table->join(bench.fresh("north"))).store != joined.store);
  BOOST_TEST(value_of(bench.opened->open_members()->join(bench.fresh("south"))).store == joined.store);
}

BOOST_DATA_TEST_CASE(a_member_without_a_session_is_told_to_those_that_join, data::make(stores_under_test()), store) {
  members_bench bench(store);
  if (bench.opened->single_owner()) return;
  const auto north = bench.fresh("north");
  {
    const auto another_run = bench.where->open({});
    BOOST_TEST(!value_of(another_run->open_members()->join(north)).members.empty());
    const auto session = another_run->open_reader();
    BOOST_TEST((value_of(session->newest_timestamp()) == timestamp{}));
    BOOST_TEST(bench.is_connected(north));
  }
  // The server takes a moment to see that it has gone.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (bench.is_connected(north) && std::chrono::steady_clock::now() < until) {
  }
  BOOST_TEST(!bench.is_connected(north));
}

BOOST_DATA_TEST_CASE(who_leaves_stays_in_the_table_as_one_that_has_left, data::make(stores_under_test()), store) {
  members_bench bench(store);
  const auto self = bench.fresh("north");
  const auto joined = value_of(bench.table->join(self));
  succeed(bench.table->leave(self.incarnation));
  succeed(bench.table->leave(self.incarnation));
  const auto list = value_of(bench.table->beat(self.incarnation));
  BOOST_TEST((find(list, self).status == member_status::left));
  BOOST_TEST(find(list, self).heartbeat == 0);
  BOOST_TEST(list.version > joined.version);
}

BOOST_DATA_TEST_CASE(a_later_run_of_a_name_supersedes_the_earlier_one_at_once, data::make(stores_under_test()), store) {
  members_bench bench(store);
  const auto before = bench.fresh("north");
  const auto after = bench.fresh("north");
  const auto first = value_of(bench.table->join(before));
  const auto second = value_of(bench.table->join(after));
  BOOST_TEST(second.version > first.version);
  BOOST_TEST((find(second, after).status == member_status::alive));
  if (!bench.where->is_shared()) return;  // The earlier one went with its process.
  BOOST_TEST((find(value_of(bench.table->beat(before.incarnation)), before).status == member_status::dead));
}

BOOST_DATA_TEST_CASE(only_who_has_not_moved_since_is_declared_dead, data::make(stores_under_test()), store) {
  members_bench bench(store);
  const auto self = bench.fresh("north");
  const auto joined = value_of(bench.table->join(self));
  value_of(bench.table->beat(self.incarnation));
  BOOST_TEST(!value_of(bench.table->declare_dead(self, joined.version)));  // Its heartbeat was another one.
  const auto seen = value_of(bench.table->list());
  BOOST_TEST(!value_of(bench.table->declare_dead(find(seen, self), seen.version - 1)));
  BOOST_TEST((find(value_of(bench.table->list()), self).status == member_status::alive));
  BOOST_TEST(value_of(bench.table->list()).version == seen.version);

  BOOST_TEST(value_of(bench.table->declare_dead(find(seen, self), seen.version)));
  const auto list = value_of(bench.table->beat(self.incarnation));
  BOOST_TEST((find(list, self).status == member_status::dead));
  BOOST_TEST(list.version > seen.version);
  BOOST_TEST(!value_of(bench.table->declare_dead(find(list, self), list.version)));
}

BOOST_DATA_TEST_CASE(a_name_or_an_address_that_cannot_be_one_is_refused_by_name, data::make(stores_under_test()), store) {
  members_bench bench(store);
  auto nobody = bench.fresh("north");
  nobody.name.clear();
  BOOST_TEST((bench.table->join(nobody).failure().code == errc::invalid_argument));
  auto long_winded = bench.fresh("north");
  long_winded.address = std::string(257, 'a');
  const auto refused = bench.table->join(long_winded);
  BOOST_TEST((refused.failure().code == errc::invalid_argument));
  BOOST_TEST((refused.failure().message.find("address") != std::string::npos));
  BOOST_TEST(value_of(bench.table->list()).members.empty());
}

BOOST_DATA_TEST_CASE(those_who_join_together_are_all_there, data::make(stores_under_test()), store) {
  members_bench bench(store);
  if (!bench.where->is_shared()) return;
  const std::vector<std::string> names{"east", "north", "south", "west"};
  std::vector<std::future<std::int64_t>> joining;
  for (const auto& name : names)
    joining.push_back(std::async(std::launch::async, [table = bench.opened->open_members(), self = bench.fresh(name)] {
      // On a busy server they may wait for each other longer than a lock is waited for.
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      auto joined = table->join(self);
      while (!joined && joined.failure().code == errc::store_unavailable && std::chrono::steady_clock::now() < until)
        joined = table->join(self);
      return value_of(std::move(joined)).version;
    }));
  std::set<std::int64_t> versions;
  for (auto& each : joining) versions.insert(each.get());
  BOOST_TEST(versions.size() == names.size());
  const auto list = value_of(bench.table->list());
  BOOST_TEST(names_alive(list) == names, boost::test_tools::per_element());
  BOOST_TEST(list.version == *versions.rbegin());
}

// One of those who saw the same may declare it; the other has to look again.
BOOST_DATA_TEST_CASE(two_who_suspect_at_the_same_time_do_not_both_decide, data::make(stores_under_test()), store) {
  members_bench bench(store);
  if (!bench.where->is_shared()) return;
  const auto other = bench.opened->open_members();
  const auto north = bench.fresh("north");
  const auto south = bench.fresh("south");
  value_of(bench.table->join(north));
  const auto seen = value_of(bench.table->join(south));
  BOOST_TEST(value_of(bench.table->declare_dead(find(seen, north), seen.version)));
  BOOST_TEST(!value_of(other->declare_dead(find(seen, south), seen.version)));
  BOOST_TEST(names_alive(value_of(other->list())) == std::vector<std::string>{"south"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
