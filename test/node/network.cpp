#include "network.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace maestro::test {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

auto find_program(const std::string& name) -> std::string {
  for (const auto* folder : {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"})
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return {};
}

// On the host that the calling thread is on.
auto call(const std::string& line) -> finished_process {
  std::istringstream words(line);
  std::vector<std::string> command;
  for (std::string word; words >> word;) command.push_back(word);
  command.front() = find_program(command.front());
  return run(command);
}
void must(const std::string& line) {
  const auto done = call(line);
  if (done.status != 0) throw std::runtime_error(line + ": " + done.errors);
}

auto here() -> open_file {
  open_file space(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (space.number() < 0) fail("no network namespace is known");
  return space;
}
void go_to(const open_file& space) {
  if (::setns(space.number(), CLONE_NEWNET) != 0) fail("no way into a network namespace");
}

auto make_space() -> open_file {
  const auto back = here();
  if (::unshare(CLONE_NEWNET) != 0) fail("no new network namespace");
  auto made = here();
  go_to(back);
  return made;
}

// For programs that run now: the namespace as a file that they can open.
auto path_of(const open_file& space) -> std::string {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(space.number());
}

}  // namespace

open_file::~open_file() {
  if (number_ >= 0) ::close(number_);
}

network::visit::visit(const open_file& space) : back_(here()) { go_to(space); }
network::visit::~visit() { go_to(back_); }

auto network::obstacle() -> std::string {
  if (::geteuid() != 0) return "network namespaces need root";
  for (const auto& [program, package] : {std::pair{"ip", "iproute2"}, {"tc", "iproute2"}, {"iptables", "iptables"}})
    if (find_program(program).empty()) return std::string("there is no ") + program + "; it is in the package " + package;
  try {
    network tried({"one", "other"});
    tried.cut("one", "other");
    tried.slow_down("one", "1mbit");
  } catch (const std::exception& problem) {
    return problem.what();
  }
  return {};
}

network::network(const std::vector<std::string>& hosts) : switch_(make_space()) {
  const visit at_switch(switch_);
  must("ip link add bridge0 type bridge");
  must("ip link set bridge0 up");
  for (const auto& name : hosts) {
    const auto number = std::to_string(hosts_.size() + 1);
    auto& made = hosts_.emplace_back(host_space{name, "10.231.0." + number, "port" + number, make_space()});
    must("ip link add " + made.port + " type veth peer name eth0 netns " + path_of(made.space));
    must("ip link set " + made.port + " master bridge0 up");
    const visit at_host(made.space);
    must("ip link set lo up");
    must("ip address add " + made.address + "/24 dev eth0");
    must("ip link set eth0 up");
  }
}

auto network::find(const std::string& name) const -> const host_space& {
  const auto found = std::find_if(hosts_.begin(), hosts_.end(), [&](const host_space& each) { return each.name == name; });
  if (found == hosts_.end()) throw std::runtime_error("there is no host " + name);
  return *found;
}
auto network::find(const std::string& name) -> host_space& { return const_cast<host_space&>(std::as_const(*this).find(name)); }

void network::cut(const std::string& host, const std::string& other) {
  auto& whom = find(host);
  const visit at_host(whom.space);
  whom.is_cut = true;
  must("iptables -w -A INPUT -s " + address_of(other) + " -j DROP");
  must("iptables -w -A OUTPUT -d " + address_of(other) + " -j DROP");
}

void network::unplug(const std::string& host) {
  auto& whom = find(host);
  const visit at_host(whom.space);
  whom.is_unplugged = true;
  must("ip link set eth0 down");
}

void network::plug_in(host_space& whom) {
  must("ip link set eth0 up");
  whom.is_unplugged = false;
}

void network::slow_down(const std::string& host, const std::string& rate) {
  auto& whom = find(host);
  const std::string limit = " root tbf burst 32kbit latency 400ms rate " + rate;
  whom.is_slow = true;
  {
    const visit at_host(whom.space);
    must("tc qdisc replace dev eth0" + limit);
  }
  const visit at_switch(switch_);
  must("tc qdisc replace dev " + whom.port + limit);
}

auto network::delay(const std::string& host, const std::string& time) -> bool {
  auto& whom = find(host);
  const visit at_host(whom.space);
  if (call("tc qdisc replace dev eth0 root netem delay " + time).status != 0) return false;
  return whom.is_slow = true;
}

auto network::reaches(const std::string& host, const std::string& other, std::uint16_t port) const -> bool {
  constexpr int longest = 500;
  const visit at_host(*this, host);
  const open_file socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, address_of(other).c_str(), &address.sin_addr);
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  if (errno != EINPROGRESS) return errno == ECONNREFUSED;
  pollfd waiting{socket.number(), POLLOUT, 0};
  if (::poll(&waiting, 1, longest) != 1) return false;
  int reason = 0;
  socklen_t size = sizeof reason;
  return ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &reason, &size) == 0 && (reason == 0 || reason == ECONNREFUSED);
}

void network::restore() {
  for (auto& whom : hosts_) {
    const visit at_host(whom.space);
    if (std::exchange(whom.is_cut, false)) must("iptables -w -F");
    if (whom.is_unplugged) plug_in(whom);
    if (!std::exchange(whom.is_slow, false)) continue;
    must("tc qdisc delete dev eth0 root");
    const visit at_switch(switch_);
    (void)call("tc qdisc delete dev " + whom.port + " root");  // Only a slow link has one.
  }
}

}  // namespace maestro::test
