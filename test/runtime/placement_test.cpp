// Which member an aggregate lives on.
#include <maestro/aggregates/bind.hpp>
#include <maestro/aggregates/placement.hpp>
#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;

namespace {

const std::vector<std::string> three{"east", "north", "west"};

auto some_keys(std::size_t count) -> std::vector<std::uint64_t> {
  hybrid_clock clock;
  std::vector<std::uint64_t> keys;
  while (keys.size() < count) keys.push_back(placement_key("account", clock.fresh<aggregate_id>()));
  return keys;
}

struct made {
  template <class Archive>
  void serialize(Archive&) {}
};
struct make {
  template <class Archive>
  void serialize(Archive&) {}
};
struct nothing_known {
  template <class Archive>
  void serialize(Archive&) {}
};

// All on the member whose name comes last, whatever the id; a faulty one when `Broken`.
template <bool Broken>
struct placed : aggregate<placed<Broken>, nothing_known> {
  static constexpr std::string_view type = "placed";
  using commands = maestro::commands<make>;
  using events = maestro::events<made>;
  static auto eval(const nothing_known&, const make&) -> made { return {}; }
  static void apply(nothing_known&, const made&) {}
  static auto place(const aggregate_id&, std::span<const std::string> members) -> std::size_t {
    if constexpr (Broken) throw 1;
    return static_cast<std::size_t>(std::max_element(members.begin(), members.end()) - members.begin());
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(placing)

// Nodes of different releases, and clients, have to agree for ever: these are pinned.
BOOST_AUTO_TEST_CASE(an_aggregate_has_the_same_owner_everywhere) {
  BOOST_TEST(placement_key("account", derive_aggregate_id("account", "alice")) == 1694562337006867812ULL);
  BOOST_TEST(placement_key("tenant 1") == 3351058389094914276ULL);
  std::string owners;
  const placement members(three);
  for (const std::string name : {"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"})
    owners += three[members.owner(placement_key("account", derive_aggregate_id("account", name)))] + " ";
  BOOST_TEST(owners == "north west north east east west west north ");
}

BOOST_AUTO_TEST_CASE(the_order_of_the_names_does_not_matter) {
  const placement members(three);
  const placement others({"west", "east", "north"});
  for (const auto key : some_keys(1'000)) {
    BOOST_TEST(members.names()[members.owner(key)] == others.names()[others.owner(key)]);
    BOOST_TEST(members.owner(key) == rendezvous(key, three));
  }
}

BOOST_AUTO_TEST_CASE(each_member_has_about_its_share) {
  const placement members(three);
  std::map<std::size_t, int> shares;
  for (const auto key : some_keys(30'000)) ++shares[members.owner(key)];
  for (const auto& [member, share] : shares) BOOST_TEST((share > 9'500 && share < 10'500), three[member] << " has " << share);
  BOOST_TEST(shares.size() == 3U);
}

BOOST_AUTO_TEST_CASE(only_what_must_move_moves) {
  const placement before(three);
  const placement after({"east", "north", "south", "west"});
  int moved = 0;
  for (const auto key : some_keys(10'000)) {
    const auto& was = before.names()[before.owner(key)];
    const auto& is = after.names()[after.owner(key)];
    if (was == is) continue;
    ++moved;
    BOOST_TEST(is == "south");
  }
  BOOST_TEST((moved > 2'200 && moved < 2'800), "a quarter of 10,000 was expected to move, not " << moved);
}

BOOST_AUTO_TEST_CASE(an_aggregate_type_may_place_its_own) {
  const placement members(three);
  const auto type = define<placed<false>>();
  hybrid_clock clock;
  for (int i = 0; i < 100; ++i) BOOST_TEST(three[type->place(clock.fresh<aggregate_id>(), members)] == "west");
  // One that fails owns what it would own without a placement of its own.
  const auto id = clock.fresh<aggregate_id>();
  BOOST_TEST(define<placed<true>>()->place(id, members) == members.owner(placement_key("placed", id)));
}

BOOST_AUTO_TEST_SUITE_END()
