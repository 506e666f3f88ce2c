// Certificates for nodes and clients that know each other by an authority of their own: what `maestro certificates` makes. For
// development and for small clusters; who has an authority already uses that one.
#pragma once

#include <maestro/store/error.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace maestro {

/// What a certificate is good for, as its extended key usage says. A client's does not stand for a node.
enum class certificate_use : std::uint8_t {
  node,    ///< serverAuth and clientAuth: nodes also connect to each other.
  client,  ///< clientAuth only.
};

struct certificate_options {
  std::string folder;
  /// The one certificate to issue, `NAME.crt` and `NAME.key`, and what for; empty: two, `node` and `client`.
  std::string name;
  certificate_use use = certificate_use::node;
  /// DNS names and IP addresses where the node is reached, its subjectAltName; empty: localhost, 127.0.0.1 and ::1.
  std::vector<std::string> hosts;
  /// How long the certificates are valid, 1 to 3650; a new authority ten times that.
  int days = 365;
};

/// A file that was made, and whom it is for, in words.
struct made_file {
  std::string path;
  std::string purpose;
};

/// Issues certificates into a folder, from the authority `ca.crt`, `ca.key` in it; makes folder (0700) and authority first where
/// they are not there. A certificate is PEM, 0644; its key PKCS#8 PEM without a password, 0600 from the start. New keys are EC
/// P-256, signatures use SHA-256, and all are valid from five minutes ago, for clocks that differ. No file is ever overwritten;
/// on failure those that were made are removed again, and so is the folder if it was made.
/// Errors, each naming the file: `invalid_argument` (a name, host or number of days that is none; a file that is there already; an
/// authority that is incomplete, unreadable, or ends before the certificates would; the system's reason where a file cannot be
/// written), `internal_error` (OpenSSL failed). May be called from any thread.
[[nodiscard]] auto make_certificates(const certificate_options& options) -> result<std::vector<made_file>>;

}  // namespace maestro
