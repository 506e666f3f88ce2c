// Making an authority and certificates with OpenSSL: everything is made in memory first, then the files are written, all or none.
#include <maestro/runtime/certificates.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

namespace maestro {

namespace {

constexpr int max_days = 3650;
constexpr int authority_factor = 10;  // An authority lives that much longer than what it issues.
constexpr int clock_tolerance_seconds = 300;
constexpr int serial_bits = 128;
constexpr std::size_t max_common_name = 64;  // RFC 5280, ub-common-name
constexpr std::size_t max_host = 253;        // RFC 1035
constexpr mode_t private_mode = 0600;
constexpr mode_t public_mode = 0644;
constexpr mode_t folder_mode = 0700;

// Thrown here, caught by `make_certificates`; never leaves this file.
struct failure {
  error what;
};

[[noreturn]] void refuse(std::string message) { throw failure{{errc::invalid_argument, std::move(message)}}; }

auto system_reason(int code) -> std::string { return std::strerror(code); }

// What OpenSSL returned, if it is neither null nor zero.
template <class T>
auto must(T value) -> T {
  if (value) return value;
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  throw failure{{errc::internal_error, "OpenSSL could not make a certificate: " + std::string(reason ? reason : "no reason given")}};
}

template <auto Free>
struct freeing {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using bio_pointer = std::unique_ptr<BIO, freeing<BIO_free_all>>;
using key_pointer = std::unique_ptr<EVP_PKEY, freeing<EVP_PKEY_free>>;
using certificate_pointer = std::unique_ptr<X509, freeing<X509_free>>;

struct identity {
  key_pointer key;
  certificate_pointer certificate;
};

struct planned_file {
  std::string name;
  mode_t mode;
  std::string content;
  std::string purpose;
};

// --- What may be asked for

auto is_name_character(char c) -> bool {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// One or more labels between dots. Nothing in it means anything to OpenSSL's own notation.
auto is_dns_name(std::string_view name) -> bool {
  if (name.empty() || name.size() > max_host || name.starts_with('-')) return false;
  char before = '.';
  for (const char c : name) {
    if (c == '.' ? before == '.' : !is_name_character(c)) return false;
    before = c;
  }
  return before != '.';
}

auto is_ip_address(const std::string& text) -> bool {
  in6_addr ignored;
  return inet_pton(AF_INET, text.c_str(), &ignored) == 1 || inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
}

// In OpenSSL's notation: DNS:localhost,IP:127.0.0.1
auto alternative_names(const std::vector<std::string>& hosts) -> std::string {
  std::string names;
  for (const auto& host : hosts) {
    const bool address = is_ip_address(host);
    if (!address && !is_dns_name(host)) refuse("\"" + host + "\" is no host; write a DNS name or an IP address, without a port");
    names += (names.empty() ? "" : ",") + std::string(address ? "IP:" : "DNS:") + host;
  }
  return names;
}

void check(const certificate_options& options) {
  if (options.folder.empty()) refuse("the folder has no name");
  if (options.days < 1 || options.days > max_days)
    refuse("certificates are valid for 1 to " + std::to_string(max_days) + " days, not " + std::to_string(options.days));
  if (options.name.empty()) return;
  if (!is_dns_name(options.name) || options.name.size() > max_common_name || options.name == "ca")
    refuse("\"" + options.name + "\" is no name for a certificate; write up to 64 letters, digits, '-', '_' and '.', and not \"ca\"");
  if (options.use == certificate_use::client && !options.hosts.empty()) refuse("a client's certificate names no host");
}

// --- Certificates

void set_validity(X509* certificate, int days) {
  must(X509_gmtime_adj(X509_getm_notBefore(certificate), -clock_tolerance_seconds));
  must(X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, nullptr));
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, freeing<X509_EXTENSION_free>> extension(
      must(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str())));
  must(X509_add_ext(certificate, extension.get(), -1));
}

// A key and its certificate, yet to be extended and signed.
auto begin_identity(const std::string& common_name, int days) -> identity {
  identity made{key_pointer(must(EVP_EC_gen("P-256"))), certificate_pointer(must(X509_new()))};
  auto* certificate = made.certificate.get();
  must(X509_set_version(certificate, X509_VERSION_3));
  const std::unique_ptr<BIGNUM, freeing<BN_free>> serial(must(BN_new()));
  must(BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY));
  must(BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)));
  must(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0));
  set_validity(certificate, days);
  must(X509_set_pubkey(certificate, made.key.get()));
  return made;
}

// An authority signs itself.
void sign(const identity& made, const identity& issuer) {
  auto* certificate = made.certificate.get();
  must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer.certificate.get())));
  add_extension(certificate, issuer.certificate.get(), NID_subject_key_identifier, "hash");
  add_extension(certificate, issuer.certificate.get(), NID_authority_key_identifier, "keyid:always");
  must(X509_sign(certificate, issuer.key.get(), EVP_sha256()));
}

auto new_authority(int days) -> identity {
  auto made = begin_identity("maestro certificate authority", days);
  auto* certificate = made.certificate.get();
  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  sign(made, made);
  return made;
}

auto issue(const identity& authority, const std::string& name, certificate_use use, const std::string& hosts, int days) -> identity {
  auto made = begin_identity(name, days);
  auto* certificate = made.certificate.get();
  auto* issuer = authority.certificate.get();
  add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(certificate, issuer, NID_ext_key_usage, use == certificate_use::node ? "serverAuth,clientAuth" : "clientAuth");
  if (use == certificate_use::node) add_extension(certificate, issuer, NID_subject_alt_name, hosts);
  sign(made, authority);
  return made;
}

// --- Files

// What `write` puts into the memory that it is given.
template <class Write>
auto pem(Write&& write) -> std::string {
  const bio_pointer memory(must(BIO_new(BIO_s_mem())));
  must(write(memory.get()));
  char* bytes = nullptr;
  const auto size = BIO_get_mem_data(memory.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

void plan(std::vector<planned_file>& files, const std::string& name, const identity& made, const std::string& who_gets_certificate,
          const std::string& who_gets_key) {
  files.push_back({name + ".crt", public_mode, pem([&](BIO* to) { return PEM_write_bio_X509(to, made.certificate.get()); }),
                   who_gets_certificate});
  files.push_back({name + ".key", private_mode, pem([&](BIO* to) {
                     return PEM_write_bio_PKCS8PrivateKey(to, made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                   }),
                   who_gets_key});
}

auto open_file(const std::string& path) -> bio_pointer {
  bio_pointer file(BIO_new_file(path.c_str(), "r"));
  if (!file) refuse(path + " cannot be read: " + system_reason(errno));
  return file;
}

// OpenSSL would ask for a password on the terminal.
auto no_password(char*, int, int, void*) -> int { return 0; }

auto read_authority(const std::string& certificate_path, const std::string& key_path, int days) -> identity {
  identity authority;
  authority.certificate.reset(PEM_read_bio_X509(open_file(certificate_path).get(), nullptr, no_password, nullptr));
  if (!authority.certificate || X509_check_ca(authority.certificate.get()) == 0)
    refuse(certificate_path + " is no authority's certificate in PEM form");
  authority.key.reset(PEM_read_bio_PrivateKey(open_file(key_path).get(), nullptr, no_password, nullptr));
  if (!authority.key) refuse(key_path + " is no private key in PEM form without a password");
  if (X509_check_private_key(authority.certificate.get(), authority.key.get()) != 1)
    refuse(key_path + " is not the key of " + certificate_path);
  int days_left = 0;
  int seconds_left = 0;
  must(ASN1_TIME_diff(&days_left, &seconds_left, nullptr, X509_get0_notAfter(authority.certificate.get())));
  if (days_left < 0 || seconds_left < 0) refuse(certificate_path + " has expired; make a new authority in another folder");
  if (days_left < days)
    refuse(certificate_path + " ends in " + std::to_string(days_left) + " days, before what it would issue for " + std::to_string(days) +
           "; ask for fewer with --days, or make a new authority in another folder");
  return authority;
}

// Files that were made, and are removed again unless they are kept.
class new_files {
 public:
  new_files() = default;
  new_files(const new_files&) = delete;
  auto operator=(const new_files&) -> new_files& = delete;
  ~new_files() {
    if (kept_) return;
    for (const auto& path : paths_) ::unlink(path.c_str());
    if (!folder_.empty()) ::rmdir(folder_.c_str());
  }

  void make_folder(const std::string& folder) {
    if (::mkdir(folder.c_str(), folder_mode) == 0) folder_ = folder;
    else if (errno != EEXIST) refuse("the folder " + folder + " cannot be made: " + system_reason(errno));
  }

  void write(const std::string& path, mode_t mode, std::string_view content) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0 && errno == EEXIST)
      refuse(path + " is there already and is kept; move it away, or issue one of another name with --name");
    if (file < 0) refuse(path + " cannot be made: " + system_reason(errno));
    paths_.push_back(path);
    // Whatever the umask took away: others have to read certificates.
    int problem = ::fchmod(file, mode) == 0 ? 0 : errno;
    while (problem == 0 && !content.empty()) {
      const auto written = ::write(file, content.data(), content.size());
      if (written >= 0) content.remove_prefix(static_cast<std::size_t>(written));
      else if (errno != EINTR) problem = errno;
    }
    if (::close(file) != 0 && problem == 0) problem = errno;
    if (problem != 0) refuse(path + " cannot be written: " + system_reason(problem));
  }

  void keep() { kept_ = true; }

 private:
  std::string folder_;
  std::vector<std::string> paths_;
  bool kept_ = false;
};

auto make(const certificate_options& options) -> std::vector<made_file> {
  check(options);
  const auto hosts =
      alternative_names(options.hosts.empty() ? std::vector<std::string>{"localhost", "127.0.0.1", "::1"} : options.hosts);
  const auto path = [&](const std::string& name) { return (std::filesystem::path(options.folder) / name).string(); };
  const auto there = [&](const std::string& name) { return ::access(path(name).c_str(), F_OK) == 0; };
  if (there("ca.crt") != there("ca.key"))
    refuse("an authority is two files, and of " + path("ca.crt") + " and " + path("ca.key") +
           " only one can be found; bring the other one back, or use another folder");

  std::vector<planned_file> files;
  const bool known = there("ca.crt");
  const auto authority =
      known ? read_authority(path("ca.crt"), path("ca.key"), options.days) : new_authority(authority_factor * options.days);
  if (!known) plan(files, "ca", authority, "everybody, to check the others", "nobody but who issues certificates: keep it off the nodes");
  const auto add = [&](const std::string& name, certificate_use use) {
    const std::string owner = use == certificate_use::node ? "nodes" : "clients";
    plan(files, name, issue(authority, name, use, hosts, options.days), owner, owner + " alone");
  };
  if (options.name.empty()) {
    add("node", certificate_use::node);
    add("client", certificate_use::client);
  } else {
    add(options.name, options.use);
  }

  new_files written;
  written.make_folder(options.folder);
  std::vector<made_file> made;
  for (const auto& file : files) {
    written.write(path(file.name), file.mode, file.content);
    made.push_back({path(file.name), file.purpose});
  }
  written.keep();
  return made;
}

}  // namespace

auto make_certificates(const certificate_options& options) -> result<std::vector<made_file>> {
  ERR_clear_error();
  try {
    return make(options);
  } catch (const failure& problem) {
    ERR_clear_error();
    return problem.what;
  }
}

}  // namespace maestro
