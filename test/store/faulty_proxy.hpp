// A wire between a client and the server that can be cut at a chosen moment.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace maestro::test {

/// What a wire leads to: a host by name or address, or the folder of a Unix socket, and the port.
struct wire_end {
  std::string host;
  std::string port;
};

/// Listens on a port of this machine and passes bytes on to `server`, until told otherwise.
class faulty_proxy {
 public:
  explicit faulty_proxy(wire_end server);
  faulty_proxy(const faulty_proxy&) = delete;
  auto operator=(const faulty_proxy&) -> faulty_proxy& = delete;
  ~faulty_proxy();

  [[nodiscard]] auto port() const noexcept -> int { return port_; }

  /// The next message that holds `text` is passed on, its answer is awaited and thrown away, and the wire is cut.
  void lose_answer_to(const std::string& text) { arm(text, fault::answer); }
  /// The wire is cut before the next message that holds `text` is passed on.
  void lose_request(const std::string& text) { arm(text, fault::request); }
  /// The next message that holds `text` is passed on, its answer is awaited and `answer` told instead, and the wire is cut.
  void replace_answer_to(const std::string& text, const std::string& answer) { arm(text, fault::answer, answer); }
  /// In the next message that holds `text` the server reads `other` instead, which is as long. The wire stays.
  void replace_request(const std::string& text, const std::string& other) { arm(text, fault::word, other); }
  /// From now on who connects is hung up on, or not any more. Wires that are there stay.
  void turn_away(bool all) noexcept { turns_away_ = all; }
  /// How often the server answered after the client had said something.
  [[nodiscard]] auto round_trips() const noexcept -> int { return round_trips_; }
  /// How many clients there have been.
  [[nodiscard]] auto connections() const noexcept -> int { return connections_; }
  /// How many wires were cut.
  [[nodiscard]] auto cuts() const noexcept -> int { return cuts_; }

 private:
  enum class fault { none, request, answer, word };
  void arm(const std::string& text, fault happens, const std::string& answer = {});
  auto fault_for(const std::string& message) -> fault;
  void serve();
  void pass(int client);

  const wire_end server_end_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> turns_away_{false};
  std::atomic<int> connections_{0};
  std::atomic<int> cuts_{0};
  std::atomic<int> round_trips_{0};
  std::mutex mutex_;
  fault fault_ = fault::none;
  std::string text_;
  std::string answer_;  // Told in place of the one that is lost, or of `text_`.
  std::vector<std::thread> wires_;
  std::thread server_;
};

}  // namespace maestro::test
