#include <maestro/runtime/tls.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <new>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace maestro {

namespace {

struct free_ssl {
  void operator()(SSL_CTX* each) const { SSL_CTX_free(each); }
  void operator()(SSL* each) const { SSL_free(each); }
  void operator()(BIO_METHOD* each) const { BIO_meth_free(each); }
  void operator()(X509_STORE_CTX* each) const { X509_STORE_CTX_free(each); }
};
template <class T>
using owned = std::unique_ptr<T, free_ssl>;

// --- the socket, as OpenSSL sees it ------------------------------------------------------------------------------------

// OpenSSL's own writes raise SIGPIPE when the other end is gone, which would end the program that we are part of.
auto socket_of(BIO* bio) -> int { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

auto would_block() -> bool { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

auto read_socket(BIO* bio, char* to, int size) -> int {
  BIO_clear_retry_flags(bio);
  const auto got = ::recv(socket_of(bio), to, static_cast<std::size_t>(size), 0);
  if (got < 0 && would_block()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

auto write_socket(BIO* bio, const char* from, int size) -> int {
  BIO_clear_retry_flags(bio);
  const auto written = ::send(socket_of(bio), from, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (written < 0 && would_block()) BIO_set_retry_write(bio);
  return static_cast<int>(written);
}

auto control_socket(BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; }

auto socket_method() -> BIO_METHOD* {
  static const owned<BIO_METHOD> method = [] {
    owned<BIO_METHOD> made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals"));
    if (!made) throw std::bad_alloc();
    BIO_meth_set_read(made.get(), read_socket);
    BIO_meth_set_write(made.get(), write_socket);
    BIO_meth_set_ctrl(made.get(), control_socket);
    return made;
  }();
  return method.get();
}

// --- what went wrong, for people ---------------------------------------------------------------------------------------

auto last_reason() -> std::string {
  const auto* text = ERR_reason_error_string(ERR_peek_last_error());
  return text != nullptr ? text : "no reason is known";
}

auto wrong(const std::string& what) -> error { return {errc::invalid_setting, "TLS: " + what}; }

// OpenSSL would ask on the terminal for the password of an encrypted key.
auto note_password(char*, int, int, void* asked) -> int {
  *static_cast<bool*>(asked) = true;
  return 0;
}

auto check_readable(const std::string& path, const char* what) -> result<void> {
  errno = 0;
  if (std::ifstream(path).good()) return {};
  return wrong(std::string(what) + ' ' + path + " cannot be read: " + std::system_category().message(errno));
}

auto wrong_use(X509* certificate, int purpose) -> bool { return X509_check_purpose(certificate, purpose, 0) != 1; }

// OpenSSL lets a certificate without any extended key usage stand for everything.
auto names_server(X509* certificate) -> bool {
  return (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) != 0 &&
         (X509_get_extended_key_usage(certificate) & XKU_SSL_SERVER) != 0;
}

// Called for each certificate of the other end, after OpenSSL's own judgement of it.
auto judge_other_end(int good, X509_STORE_CTX* verification) -> int {
  if (good != 1 || X509_STORE_CTX_get_error_depth(verification) != 0) return good;
  const auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  if (ssl == nullptr || SSL_is_server(ssl) != 0 || names_server(X509_STORE_CTX_get_current_cert(verification)))
    return good;
  X509_STORE_CTX_set_error(verification, X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

auto check_certificate(SSL_CTX* context, const tls_settings& settings, tls_end end) -> result<void> {
  X509* certificate = SSL_CTX_get0_certificate(context);
  STACK_OF(X509)* between = nullptr;
  SSL_CTX_get0_chain_certs(context, &between);
  const owned<X509_STORE_CTX> verification(X509_STORE_CTX_new());
  if (!verification || X509_STORE_CTX_init(verification.get(), SSL_CTX_get_cert_store(context), certificate, between) != 1)
    throw std::bad_alloc();
  if (X509_verify_cert(verification.get()) != 1) {
    const int why = X509_STORE_CTX_get_error(verification.get());
    return wrong("the certificate " + settings.certificate_file + " cannot be used with the authorities in " + settings.ca_file + ": " +
                 X509_verify_cert_error_string(why));
  }
  if (wrong_use(certificate, X509_PURPOSE_SSL_CLIENT))
    return wrong("the certificate " + settings.certificate_file + " is not for clients; its extended key usage has to name clientAuth");
  if (end == tls_end::server && (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) == 0)
    return wrong("the certificate " + settings.certificate_file +
                 " names no extended key usage; a node's has to name serverAuth and clientAuth");
  if (end == tls_end::server && (wrong_use(certificate, X509_PURPOSE_SSL_SERVER) || !names_server(certificate)))
    return wrong("the certificate " + settings.certificate_file + " is for clients only; a node's extended key usage has to name serverAuth, too");
  return {};
}

auto new_context() -> owned<SSL_CTX> {
  owned<SSL_CTX> made(SSL_CTX_new(TLS_method()));
  if (!made) throw std::bad_alloc();
  SSL_CTX_set_min_proto_version(made.get(), TLS1_3_VERSION);
  SSL_CTX_set_mode(made.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Connections last: nobody takes up an old session.
  SSL_CTX_set_session_cache_mode(made.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(made.get(), 0);
  return made;
}

}  // namespace

auto readable_for_everyone(const std::string& path) -> bool {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && (found.st_mode & (S_IROTH | S_IWOTH)) != 0;
}

// --- the context -------------------------------------------------------------------------------------------------------

struct tls_context::handle {
  owned<SSL_CTX> context = new_context();
};

tls_context::tls_context(std::unique_ptr<handle> made) : handle_(std::move(made)) {}

tls_context::~tls_context() = default;

auto tls_context::anonymous() -> tls_context_ptr { return tls_context_ptr(new tls_context(std::make_unique<handle>())); }

auto tls_context::load(const tls_settings& settings, tls_end end) -> result<tls_context_ptr> {
  if (settings.certificate_file.empty()) return wrong("the certificate's file is not set; certificate, key and authority are needed together");
  if (settings.key_file.empty()) return wrong("the key's file is not set; certificate, key and authority are needed together");
  if (settings.ca_file.empty()) return wrong("the authority's file is not set; certificate, key and authority are needed together");
  for (const auto& [path, what] : {std::pair(settings.certificate_file, "the certificate"), std::pair(settings.key_file, "the key"),
                                   std::pair(settings.ca_file, "the authority's certificate")})
    if (auto readable = check_readable(path, what); !readable) return readable.failure();

  auto made = std::make_unique<handle>();
  auto* context = made->context.get();
  ERR_clear_error();
  bool asked_for_password = false;
  SSL_CTX_set_default_passwd_cb(context, note_password);
  SSL_CTX_set_default_passwd_cb_userdata(context, &asked_for_password);
  if (SSL_CTX_use_certificate_chain_file(context, settings.certificate_file.c_str()) != 1)
    return wrong(settings.certificate_file + " holds no certificate in PEM format: " + last_reason());
  if (SSL_CTX_use_PrivateKey_file(context, settings.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (asked_for_password)
      return wrong("the key " + settings.key_file + " is encrypted; store it without a password, readable for the program only");
    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
      return wrong("the key " + settings.key_file + " does not belong to the certificate " + settings.certificate_file);
    return wrong(settings.key_file + " holds no private key in PEM format: " + last_reason());
  }
  SSL_CTX_set_default_passwd_cb(context, nullptr);
  SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
  if (SSL_CTX_load_verify_file(context, settings.ca_file.c_str()) != 1)
    return wrong(settings.ca_file + " holds no certificate in PEM format: " + last_reason());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge_other_end);
  auto checked = check_certificate(context, settings, end);
  ERR_clear_error();
  if (!checked) return checked.failure();
  return tls_context_ptr(new tls_context(std::move(made)));
}

auto tls_context::days_left() const -> long {
  int days = 0;
  int seconds = 0;
  const auto* certificate = SSL_CTX_get0_certificate(handle_->context.get());
  if (certificate == nullptr || ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)) != 1) return 0;
  return days;
}

// --- a session ---------------------------------------------------------------------------------------------------------

struct tls_session::handle {
  owned<SSL> ssl;
};

tls_session::tls_session(tls_context_ptr context, int socket, tls_end end)
    : context_(std::move(context)), handle_(std::make_unique<handle>()) {
  handle_->ssl.reset(SSL_new(context_->handle_->context.get()));
  BIO* bio = BIO_new(socket_method());
  if (!handle_->ssl || bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket)));
  BIO_set_init(bio, 1);
  SSL_set_bio(handle_->ssl.get(), bio, bio);
  if (end == tls_end::server) SSL_set_accept_state(handle_->ssl.get());
  else SSL_set_connect_state(handle_->ssl.get());
}

tls_session::~tls_session() = default;

// OpenSSL keeps a list of errors for each thread, and takes what other connections have left there for our own: callers clear it first.
auto tls_session::progress(int returned) -> tls_progress {
  switch (SSL_get_error(handle_->ssl.get(), returned)) {
    case SSL_ERROR_NONE: return tls_progress::done;
    case SSL_ERROR_WANT_READ: return tls_progress::wants_read;
    case SSL_ERROR_WANT_WRITE: return tls_progress::wants_write;
    default: break;
  }
  const auto why = ERR_peek_last_error();
  const auto refused_by_us = SSL_get_verify_result(handle_->ssl.get());
  switch (ERR_GET_LIB(why) == ERR_LIB_SSL ? ERR_GET_REASON(why) : 0) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      reason_ = "it showed no certificate";
      break;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      reason_ = "its certificate is not one that we accept: " + std::string(X509_verify_cert_error_string(refused_by_us));
      break;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_TOO_SMALL:
      reason_ = "it does not speak TLS";
      break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      reason_ = "it asks for a certificate, and was shown none";
      break;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      reason_ = "it does not accept our certificate (" + last_reason() + ")";
      break;
    default:
      if (why != 0 && ERR_GET_REASON(why) != SSL_R_UNEXPECTED_EOF_WHILE_READING) reason_ = last_reason();
  }
  ERR_clear_error();
  return tls_progress::failed;
}

auto tls_session::shake_hands() -> tls_progress {
  ERR_clear_error();
  const auto outcome = progress(SSL_do_handshake(handle_->ssl.get()));
  ready_ = outcome == tls_progress::done;
  return outcome;
}

auto tls_session::read(void* to, std::size_t size, std::size_t& got) -> tls_progress {
  got = 0;
  ERR_clear_error();
  return progress(SSL_read_ex(handle_->ssl.get(), to, size, &got));
}

auto tls_session::write(const void* from, std::size_t size, std::size_t& written) -> tls_progress {
  written = 0;
  while (written < size) {
    std::size_t taken = 0;
    ERR_clear_error();
    const auto outcome = progress(SSL_write_ex(handle_->ssl.get(), static_cast<const char*>(from) + written, size - written, &taken));
    if (outcome == tls_progress::failed) read_last_words();
    if (outcome != tls_progress::done) return outcome;
    written += taken;
  }
  return tls_progress::done;
}

// A node that refuses our certificate says so and hangs up, and resets the connection when we have written something meanwhile.
// What the node said is still there to be read.
void tls_session::read_last_words() {
  if (!reason_.empty()) return;
  char ignored = 0;
  std::size_t got = 0;
  (void)read(&ignored, 1, got);
}

auto tls_session::pending() const -> std::size_t { return static_cast<std::size_t>(SSL_pending(handle_->ssl.get())); }

}  // namespace maestro
