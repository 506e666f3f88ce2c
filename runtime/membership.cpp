#include <maestro/runtime/membership.hpp>

#include <maestro/runtime/namesake.hpp>
#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/tcp.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

namespace maestro {

namespace {

// An answer takes less on any network that a cluster is run on, and one's own heartbeat waits meanwhile.
constexpr std::chrono::milliseconds longest_probe{50};
constexpr std::size_t most_probes = 4;
// Texts of what others serve that are read between two heartbeats.
constexpr int most_texts = 8;

auto find(const member_list& list, const incarnation_id& wanted) -> const member* {
  const auto found = std::find_if(list.members.begin(), list.members.end(), [&](const member& each) { return each.incarnation == wanted; });
  return found == list.members.end() ? nullptr : &*found;
}

// Why `self` is not alive in `list` any more, for people.
auto obituary(const member_list& list, const member& self) -> std::string {
  for (const auto& each : list.members)
    if (each.status == member_status::alive && each.name == self.name)
      return "another node has joined the cluster as " + self.name + ", from " + each.address +
             "; if both are meant to run, each needs a node.name of its own";
  return "the other members have declared " + self.name +
         " dead: it gave no sign of life for longer than cluster.suspicion-time, or refused connections; start it again";
}

}  // namespace

auto membership::join(std::unique_ptr<member_table> table, member self, membership_settings settings, hooks calls,
                      std::shared_ptr<spdlog::logger> log) -> result<std::unique_ptr<membership>> {
  auto free = wait_for_namesake(*table, self, settings.heartbeat_interval, settings.suspicion_time);
  if (!free) return free.failure();
  const auto began = cluster_view::clock::now();
  auto joined = table->join(self);
  if (!joined) return joined.failure();
  std::unique_ptr<membership> made(new membership(std::move(table), std::move(self), settings, std::move(calls), std::move(log)));
  made->publish(std::move(*joined), began);
  try {
    made->thread_ = std::thread([raw = made.get()] { raw->run(); });
  } catch (const std::system_error& fault) {
    (void)made->table_->leave(made->self_.incarnation);
    return error{errc::overloaded, std::string("the cluster cannot be joined, which needs a thread: ") + fault.what()};
  }
  return made;
}

membership::membership(std::unique_ptr<member_table> table, member self, membership_settings settings, hooks calls,
                       std::shared_ptr<spdlog::logger> log)
    : table_(std::move(table)),
      self_(std::move(self)),
      settings_(settings),
      hooks_(std::move(calls)),
      own_(std::make_shared<const served>(served::parse(self_.served))),
      log_(std::move(log)),
      suspicion_(settings.suspicion_time) {}

membership::~membership() {
  {
    const std::lock_guard lock(mutex_);
    stage_ = stage::is_to_stop;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

auto membership::leave(std::chrono::milliseconds timeout) -> bool {
  std::unique_lock lock(mutex_);
  if (stage_ == stage::takes_part) stage_ = stage::is_to_leave;
  changed_.notify_all();
  return changed_.wait_for(lock, timeout, [this] { return stage_ == stage::has_left; });
}

void membership::run() {
  while (true) {
    switch (wait_for_next_beat()) {
      case stage::takes_part:
        if (!beat()) return say_goodbye();
        break;
      case stage::is_to_leave:
        if (auto left = table_->leave(self_.incarnation); !left)
          log_->warn("the cluster could not be told that {} leaves: {}", self_.name, to_string(left.failure()));
        return say_goodbye();
      case stage::has_left:
      case stage::is_to_stop:
        return;
    }
  }
}

auto membership::wait_for_next_beat() -> stage {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, settings_.heartbeat_interval, [this] { return stage_ != stage::takes_part; });
  return stage_;
}

void membership::say_goodbye() {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != stage::is_to_stop) stage_ = stage::has_left;
  }
  changed_.notify_all();
}

// False when this member is dead.
auto membership::beat() -> bool {
  const auto began = cluster_view::clock::now();
  auto list = table_->beat(self_.incarnation);
  if (!list) {
    // Nobody can tell from this who else has stopped, and nobody stops for it.
    suspicion_.start_over();
    if (!std::exchange(store_is_away_, true))
      log_->warn("the cluster's members cannot be read; the node goes on with those it knew: {}", to_string(list.failure()));
    return true;
  }
  if (std::exchange(store_is_away_, false)) log_->info("the cluster's members can be read again");
  const auto* own = find(*list, self_.incarnation);
  if (own == nullptr) {
    // A store that was put back to an earlier day does not know us.
    log_->warn("{} is not among the cluster's members any more; it joins again", self_.name);
    suspicion_.start_over();
    if (auto joined = table_->join(self_)) publish(std::move(*joined), began);
    return true;
  }
  if (own->status != member_status::alive) {
    hooks_.declared_dead(obituary(*list, self_));
    return false;
  }
  look_after_the_others(*list);
  publish(std::move(*list), began);
  return true;
}

// A row that came along with a copy of the database stays as it is: nothing is placed on its member until its heartbeat moves.
void membership::publish(member_list list, cluster_view::clock::time_point read_at) {
  if (!list.store.empty()) {
    store_ = list.store;
    unproven_.clear();
    for (const auto& each : list.members)
      if (each.status == member_status::alive && !each.is_connected && each.incarnation != self_.incarnation)
        unproven_.emplace(each.incarnation, each.heartbeat);
  }
  list.store = store_;
  for (auto& each : list.members) {
    const auto unproven = unproven_.find(each.incarnation);
    if (unproven != unproven_.end() && unproven->second != each.heartbeat) unproven_.erase(unproven);
    else each.is_connected = unproven == unproven_.end();
  }
  if (hooks_.store_clock && list.milliseconds != 0) hooks_.store_clock(list.milliseconds);
  learn_what_they_serve(list);
  const auto view = std::make_shared<const cluster_view>(std::move(list), self_.incarnation, known_, own_, read_at);
  note_releases(*view);
  hooks_.read(view);
}

// Reads the texts that are new in `list`, first those of members that are alive. One that cannot be read now is, with
// the next heartbeat; one that is not what its digest names serves nothing, whatever it says.
void membership::learn_what_they_serve(const member_list& list) {
  std::erase_if(known_, [&](const auto& each) {
    return std::none_of(list.members.begin(), list.members.end(),
                        [&](const member& one) { return one.serves == each.first; });
  });
  if (!self_.serves.empty()) known_[self_.serves] = own_;
  int reads = 0;
  for (const bool is_alive : {true, false})
    for (const auto& each : list.members) {
      if ((each.status == member_status::alive) != is_alive || each.serves.empty() || known_.contains(each.serves))
        continue;
      if (reads++ == most_texts) return;
      const auto text = table_->served_text(each.serves);
      if (!text) return;
      const bool is_meant = served_digest(*text) == each.serves;
      if (!is_meant)
        log_->warn(
            "what {} serves cannot be read in the table of members: nothing is placed on it where another member "
            "serves the type",
            each.name);
      known_[each.serves] = std::make_shared<const served>(is_meant ? served::parse(*text) : served());
    }
}

// A line when the members begin to differ in what they serve, and when they do not any more.
void membership::note_releases(const cluster_view& view) {
  std::string mixed;
  for (const auto& [type, placed] : view.placements) {
    mixed += (mixed.empty() ? "" : "; ") + type + " on";
    for (const auto each : placed.members) mixed += " " + view.alive[each].name;
  }
  if (mixed == mixed_) return;
  mixed_ = std::move(mixed);
  if (mixed_.empty())
    log_->info("all members of the cluster serve the same");
  else
    log_->info(
        "the members of the cluster are of different releases; the aggregates of the types that differ live as "
        "follows: {}",
        mixed_);
}

void membership::look_after_the_others(const member_list& list) {
  suspicion_.read(list, self_.incarnation, suspicion::clock::now());
  auto still = suspicion_.standing_still();
  if (still.size() > most_probes) still.resize(most_probes);
  for (const auto& each : still)
    if (const auto address = node_address::parse(each.address); address && refuses_tcp(address->host, address->port, longest_probe))
      suspicion_.refused(each.incarnation);
  for (const auto& suspect : suspicion_.suspects()) {
    const auto declared = table_->declare_dead(suspect, list.version);
    if (declared && *declared) log_->warn("declared {} at {} dead: no sign of life", suspect.name, suspect.address);
    // Whatever came of it, the table is another one now, or somebody else's turn.
    if (!declared || *declared) break;
  }
}

}  // namespace maestro
