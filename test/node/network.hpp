// A network of the test's own, of the kernel's real thing: each host is a network namespace, joined to the others by a virtual cable and
// a switch in one more. Links can be cut, unplugged and slowed down, and nobody is told.
//
// Needs root, `ip` and `tc` (iproute2) and `iptables`. The namespaces have no names and nothing outside leads into them: they go when
// the last process in them does, however that ends. This machine's own network is neither used nor changed.
#pragma once

#include "process.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace maestro::test {

/// An open file, closed with the object.
class open_file {
 public:
  explicit open_file(int number = -1) : number_(number) {}
  open_file(open_file&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  auto operator=(open_file&& other) noexcept -> open_file& {
    std::swap(number_, other.number_);
    return *this;
  }
  ~open_file();
  [[nodiscard]] auto number() const -> int { return number_; }

 private:
  int number_;
};

/// For one thread. Throws `std::runtime_error` where a step does not succeed.
class network {
 public:
  /// Why there can be no such network here; empty when there can.
  [[nodiscard]] static auto obstacle() -> std::string;

  explicit network(const std::vector<std::string>& hosts);

  [[nodiscard]] auto address_of(const std::string& host) const -> const std::string& { return find(host).address; }

  /// While it lives, its thread is on `host`, with the processes and threads that it starts and the connections that it makes. For any
  /// thread.
  class visit {
   public:
    visit(const network& of, const std::string& host) : visit(of.find(host).space) {}
    ~visit();
    visit(const visit&) = delete;
    auto operator=(const visit&) -> visit& = delete;

   private:
    friend network;
    explicit visit(const open_file& space);
    open_file back_;
  };

  /// Drops whatever goes from one to the other or back, without a word to either.
  void cut(const std::string& host, const std::string& other);
  /// Takes the link of `host` down. Its own programs are told that the network is unreachable, the others nothing.
  void unplug(const std::string& host);
  /// Lets no more than so much through the link of `host`, each way, with a queue as long as 400 ms.
  void slow_down(const std::string& host, const std::string& rate);
  /// Delays what `host` sends. False where the kernel has no netem.
  [[nodiscard]] auto delay(const std::string& host, const std::string& time) -> bool;
  /// Whether a connection from `host` to `port` of another one is answered, be it with a refusal, within half a second.
  [[nodiscard]] auto reaches(const std::string& host, const std::string& other, std::uint16_t port) const -> bool;
  /// Undoes all of this.
  void restore();

 private:
  struct host_space {
    std::string name;
    std::string address;
    std::string port;  // Its end of the cable at the switch.
    open_file space;
    bool is_cut = false;
    bool is_unplugged = false;
    bool is_slow = false;
  };

  [[nodiscard]] auto find(const std::string& name) const -> const host_space&;
  [[nodiscard]] auto find(const std::string& name) -> host_space&;
  void plug_in(host_space& whom);

  open_file switch_;
  std::vector<host_space> hosts_;
};

}  // namespace maestro::test
