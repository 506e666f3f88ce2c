// One connection of CAF's network layer (transport.hpp), part of CAF 0.17's event loop: all members are called on the network thread,
// unless they say otherwise.
#pragma once

#include <maestro/runtime/message_gate.hpp>
#include <maestro/runtime/tcp.hpp>
#include <maestro/runtime/tls.hpp>
#include <maestro/runtime/transport.hpp>

#include <caf/io/basp/header.hpp>
#include <caf/io/fwd.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/stream.hpp>
#include <caf/io/scribe.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace maestro {

enum class connection_side {
  made,   ///< By us.
  taken,  ///< Somebody has connected to us.
};

class connection;

/// What all connections of a transport share. Any thread may call any member.
struct transport::shared {
  shared(const transport_settings& with, tls_context_ptr context) : settings(with), tls(std::move(context)) {}

  /// Has those hung up that have not introduced themselves in time, and sooner where there is no room for others, and those whose message
  /// was not all there in time. They are gone, and have made room, when the event loop has seen that.
  void make_room();
  /// Whether there is room for one more that others have made; it is then counted.
  [[nodiscard]] auto admit() -> bool;

  /// For as long as it lives, `each` is known.
  void add(connection& each, connection_side side);
  void remove(connection& each, connection_side side);
  /// That one has introduced itself.
  void know(connection& each);

  void hang_up_all();

  /// Whether there is room for `bytes` more of messages that have come in part; they are then counted, until `release`.
  [[nodiscard]] auto hold(std::size_t bytes) -> bool;
  void release(std::size_t bytes) { held_ -= bytes; }

  /// That a message of `each` has come in part, which began then; and that all of it is there.
  [[nodiscard]] auto too_slow() const -> std::string;  ///< Why such a one is hung up.
  void await_rest(connection& each, std::chrono::steady_clock::time_point began);
  void has_rest(connection& each);

  /// That part of a message of `peer` has come, which takes its time; and when that was last, if it was.
  void note_part(const caf::node_id& peer);
  [[nodiscard]] auto part_from(const caf::node_id& peer) -> std::chrono::steady_clock::time_point;
  void forget_parts(const caf::node_id& peer);

  /// Logs that the connection with `peer` was ended, unless there is too much to log, or nothing is wanted.
  void refused(const std::string& peer, const std::string& why);
  /// Logs, likewise, that what `peer` sent was dropped.
  void dropped(const std::string& peer, const std::string& what);

  const transport_settings settings;
  const tls_context_ptr tls;

 private:
  void say(const std::string& line);

  std::atomic<std::size_t> held_{0};
  std::mutex mutex_;
  std::size_t taken_ = 0;
  std::unordered_set<connection*> all_;
  std::map<std::int64_t, std::pair<std::chrono::steady_clock::time_point, connection*>> strangers_;  // By handle: in order of age.
  std::map<std::int64_t, std::pair<std::chrono::steady_clock::time_point, connection*>> incomplete_;  // When their message began.
  std::unordered_map<caf::node_id, std::chrono::steady_clock::time_point> parts_;
  std::chrono::steady_clock::time_point logged_;
  std::size_t not_logged_ = 0;
};

/// The address of the other end of `socket`, for people.
[[nodiscard]] auto peer_name(int socket) -> std::string;

/// What is read from and written to a socket, in the clear or through TLS.
class connection_stream final : public caf::io::network::stream {
 public:
  connection_stream(caf::io::network::default_multiplexer& multiplexer, int socket, std::unique_ptr<tls_session> tls, connection& owner);
  void handle_event(caf::io::network::operation operation) override;

  /// False until TLS has shaken hands.
  [[nodiscard]] auto is_ready() const -> bool { return !tls_ || tls_->is_ready(); }
  [[nodiscard]] auto is_writing() const -> bool { return state_.writing; }
  /// Whether the event loop is to tell it of what there is to read; it has not heard so yet, right after it was asked.
  [[nodiscard]] auto is_in_loop() const -> bool { return (eventbf_ & caf::io::network::input_mask) != 0; }

 private:
  void shake_hands(caf::io::network::operation operation);

  const std::unique_ptr<tls_session> tls_;
  connection& owner_;
};

class connection final : public caf::io::scribe {
 public:
  /// `tls` is that of one that has shaken hands already; null: this one does it, if the transport uses TLS.
  connection(caf::io::network::default_multiplexer& multiplexer, tcp_socket socket, std::shared_ptr<transport::shared> shared,
             connection_side side, std::unique_ptr<tls_session> tls);
  ~connection() override;

  // What CAF's broker asks of it.
  void configure_read(caf::io::receive_policy::config config) override;
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  auto wr_buf() -> std::vector<char>& override { return stream_.is_ready() ? stream_.wr_buf() : held_; }
  auto rd_buf() -> std::vector<char>& override { return handed_on_ != nullptr ? *handed_on_ : stream_.rd_buf(); }
  void flush() override;
  void graceful_shutdown() override;
  auto consume(caf::execution_unit* unit, const void* data, std::size_t size) -> bool override;
  [[nodiscard]] auto addr() const -> std::string override;
  [[nodiscard]] auto port() const -> std::uint16_t override;
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }

  /// From its stream: TLS has shaken hands, or failed.
  void ready();
  void failed(const std::string& why);

  /// Has the event loop find that the connection is broken. Any thread, as long as it holds the connection.
  void hang_up();
  /// For people: why it broke; empty when there is nothing to say. For who made it, after CAF has reported that it broke.
  [[nodiscard]] auto reason() const -> const std::string& { return reason_; }
  [[nodiscard]] auto socket() const -> int { return stream_.fd(); }

 protected:
  void detach_from(caf::io::abstract_broker* broker) override;

 private:
  // What the connection reads. A message reaches the broker when all of it is there, and if the gate lets it pass.
  struct incoming {
    std::vector<char> header;             // As it came.
    caf::io::basp::header read;           // Valid when it is complete.
    std::vector<char> payload;            // What has come of it, unless it is dropped.
    std::size_t missing = 0;              // Bytes of the payload that have not come.
    std::size_t held = 0;                 // Bytes counted by `transport::shared::hold`.
    message_gate::verdict verdict = message_gate::verdict::pass;
    bool is_awaited = false;                      // The others know that it has come in part.
    std::chrono::steady_clock::time_point began;  // When its first byte came,
    std::chrono::steady_clock::time_point told;   // and when the broker last heard that more is coming.

    [[nodiscard]] auto has_header() const -> bool { return header.size() == caf::io::basp::header_size; }
    [[nodiscard]] auto is_complete() const -> bool { return has_header() && missing == 0; }
  };

  // Each returns what is wrong, if anything is.
  [[nodiscard]] auto take(caf::execution_unit* unit, std::string_view& bytes) -> std::optional<std::string>;
  [[nodiscard]] auto take_header(caf::execution_unit* unit, std::string_view& bytes) -> std::optional<std::string>;
  [[nodiscard]] auto take_payload(std::string_view& bytes) -> std::optional<std::string>;
  [[nodiscard]] auto judge_payload() -> std::optional<std::string>;
  [[nodiscard]] auto wrong_with(const caf::io::basp::header& header) const -> std::optional<std::string>;
  [[nodiscard]] auto judged(message_gate::verdict verdict) -> std::optional<std::string>;

  [[nodiscard]] auto hand_on_message(caf::execution_unit* unit) -> bool;
  [[nodiscard]] auto hand_on(caf::execution_unit* unit, std::vector<char>& bytes) -> bool;
  [[nodiscard]] auto wait_for_the_rest(caf::execution_unit* unit) -> bool;
  void prepare_to_read();
  void forget_spawn_server(caf::io::basp_broker& broker) const;
  void refuse(const std::string& why);

  const std::shared_ptr<transport::shared> shared_;
  const connection_side side_;
  connection_stream stream_;
  message_gate gate_;
  std::vector<char> held_;       // What is to be written when TLS has shaken hands.
  bool launched_ = false;
  incoming next_;
  std::vector<char>* handed_on_ = nullptr;  // What the broker is about to get.
  int introductions_ = 0;            // How often the other end has said who it is.
  std::vector<char> introduction_;   // What it said first.
  bool has_told_of_drop_ = false;
  bool given_up_ = false;            // It was hung up, or found broken, for a reason that was told.
  std::string reason_;
};

}  // namespace maestro
