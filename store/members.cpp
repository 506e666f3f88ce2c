#include <maestro/store/members.hpp>

#include <algorithm>
#include <utility>

namespace maestro {

namespace {

constexpr std::size_t max_text = 256;

// `what` it is, and the setting that says it.
auto check_text(std::string_view what, std::string_view setting, std::string_view text) -> result<void> {
  const auto wrong = [&](const std::string& how) {
    return error{errc::invalid_argument, "a cluster's member " + how + ": set " + std::string(setting)};
  };
  if (text.empty()) return wrong("needs " + std::string(what));
  if (text.size() > max_text)
    return wrong("has " + std::string(what) + " of at most " + std::to_string(max_text) + " bytes, not " + std::to_string(text.size()));
  if (text.find('\0') != text.npos) return wrong("has " + std::string(what) + " without NUL characters");
  return {};
}

class lone_member_table final : public member_table {
 public:
  explicit lone_member_table(std::string store) : store_(std::move(store)) {}
  auto join(const member& self) -> result<member_list> override {
    if (auto checked = check_member(self); !checked) return checked.failure();
    if (list_.members.empty() || list_.members.front().incarnation != self.incarnation) {
      list_ = {list_.version + 1, store_, 0, {self}};
      served_ = std::exchange(list_.members.front().served, {});
    }
    return list_;
  }
  auto beat(const incarnation_id& self) -> result<member_list> override {
    if (auto* found = alive(self)) ++found->heartbeat;
    return list_;
  }
  auto list() -> result<member_list> override { return list_; }
  auto served_text(const std::string& serves) -> result<std::string> override {
    return list_.members.empty() || list_.members.front().serves != serves ? std::string() : served_;
  }
  auto leave(const incarnation_id& self) -> result<void> override {
    end(self, member_status::left);
    return {};
  }
  auto declare_dead(const member& suspect, std::int64_t version) -> result<bool> override {
    const auto* found = alive(suspect.incarnation);
    if (version != list_.version || found == nullptr || found->heartbeat != suspect.heartbeat) return false;
    end(suspect.incarnation, member_status::dead);
    return true;
  }

 private:
  auto alive(const incarnation_id& self) -> member* {
    const auto found = std::find_if(list_.members.begin(), list_.members.end(), [&](const member& each) {
      return each.incarnation == self && each.status == member_status::alive;
    });
    return found == list_.members.end() ? nullptr : &*found;
  }
  void end(const incarnation_id& self, member_status how) {
    auto* found = alive(self);
    if (found == nullptr) return;
    found->status = how;
    ++list_.version;
  }

  const std::string store_;
  member_list list_;
  std::string served_;  // Of the one member.
};

}  // namespace

auto to_string(member_status status) noexcept -> std::string_view {
  switch (status) {
    case member_status::alive: return "alive";
    case member_status::left: return "left";
    case member_status::dead: return "dead";
  }
  return "unknown";
}

auto check_member(const member& self) -> result<void> {
  if (auto checked = check_text("a name", "node.name", self.name); !checked) return checked;
  if (self.served.size() > max_served_text)
    return error{errc::invalid_argument, "the names of all commands, events and calls of this program take " +
                                             std::to_string(self.served.size()) +
                                             " bytes; a member of a cluster tells the others " +
                                             std::to_string(max_served_text) + " at most"};
  return check_text("an address", "cluster.advertise", self.address);
}

auto make_lone_member_table(std::string store) -> std::unique_ptr<member_table> {
  return std::make_unique<lone_member_table>(std::move(store));
}

}  // namespace maestro
