// Mutual TLS: both ends of a connection show a certificate that the same authority has signed. OpenSSL does the work, TLS 1.3 only,
// since both ends are always ours. What a certificate may be used for is checked: one that is for clients only cannot stand for a node.
// Names of hosts are not: who has a certificate for nodes from the cluster's own authority is a node.
#pragma once

#include <maestro/store/error.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace maestro {

/// Files in PEM format; all three are set, or none. A key must not be encrypted: protect it by its permissions.
struct tls_settings {
  std::string certificate_file;  ///< Our certificate, followed by those between it and the authority's, if there are any.
  std::string key_file;          ///< The certificate's private key.
  std::string ca_file;           ///< Certificates of the authorities that have to have signed the other end's.

  /// Whether any is set.
  [[nodiscard]] auto wanted() const -> bool { return !certificate_file.empty() || !key_file.empty() || !ca_file.empty(); }
  friend auto operator==(const tls_settings&, const tls_settings&) -> bool = default;
};

/// Whether users other than a file's owner and group may read or write it; false where that cannot be found out. For a key.
[[nodiscard]] auto readable_for_everyone(const std::string& path) -> bool;

enum class tls_end { client, server };

class tls_session;

/// Our certificate, key and authorities, read once: a program goes on with these until it is started anew. Any thread may make sessions.
class tls_context {
 public:
  /// For one that only connects (`client`), or that others connect to, too (`server`). Errors: `invalid_setting`, naming the file, and
  /// what is wrong with it: one that is missing, cannot be read or holds no certificate or key, a key that belongs to another certificate
  /// or is encrypted, a certificate that has expired, is for another use, or that no authority of `ca_file` has signed. A node's
  /// certificate has to say that it is one, by the extended key usage serverAuth; one that says nothing is refused, here and by those
  /// that connect to it.
  [[nodiscard]] static auto load(const tls_settings& settings, tls_end end) -> result<std::shared_ptr<const tls_context>>;
  /// One that shows no certificate and takes any: to find out whether somebody speaks TLS at all.
  [[nodiscard]] static auto anonymous() -> std::shared_ptr<const tls_context>;
  ~tls_context();
  tls_context(const tls_context&) = delete;
  auto operator=(const tls_context&) -> tls_context& = delete;

  /// Days until our certificate expires.
  [[nodiscard]] auto days_left() const -> long;

 private:
  friend class tls_session;
  struct handle;
  explicit tls_context(std::unique_ptr<handle> made);
  std::unique_ptr<handle> handle_;
};

using tls_context_ptr = std::shared_ptr<const tls_context>;

/// What came of an attempt that does not block.
enum class tls_progress { done, wants_read, wants_write, failed };

/// One end of a connection over a socket that does not block, and that outlives it. One thread at a time.
class tls_session {
 public:
  tls_session(tls_context_ptr context, int socket, tls_end end);
  ~tls_session();
  tls_session(const tls_session&) = delete;
  auto operator=(const tls_session&) -> tls_session& = delete;

  /// Goes on with the handshake. A client is done before the node has looked at its certificate: a refusal comes with the first `read`.
  [[nodiscard]] auto shake_hands() -> tls_progress;
  [[nodiscard]] auto is_ready() const -> bool { return ready_; }

  /// Reads up to `size` bytes; `got` says how many when it is done.
  [[nodiscard]] auto read(void* to, std::size_t size, std::size_t& got) -> tls_progress;
  /// Writes as much as the socket takes; `written` says how much that was, also when it wants more.
  [[nodiscard]] auto write(const void* from, std::size_t size, std::size_t& written) -> tls_progress;
  /// Bytes that can be read without the socket.
  [[nodiscard]] auto pending() const -> std::size_t;

  /// For people: why it failed; empty when the other end just hung up.
  [[nodiscard]] auto reason() const -> const std::string& { return reason_; }

 private:
  [[nodiscard]] auto progress(int returned) -> tls_progress;
  void read_last_words();

  struct handle;
  const tls_context_ptr context_;
  const std::unique_ptr<handle> handle_;
  bool ready_ = false;
  std::string reason_;
};

}  // namespace maestro
