// The reader of CAF's configuration format: one pass over the text, a member function per construct.
#include <maestro/runtime/config_file.hpp>

#include <maestro/store/redaction.hpp>

#include <cerrno>
#include <cstddef>
#include <fstream>
#include <map>
#include <system_error>
#include <utility>

namespace maestro {

namespace {

constexpr std::size_t max_file_bytes = 1024 * 1024;
constexpr int max_depth = 32;  // groups and lists within each other; the reader recurses

// Thrown by the reader, caught by `read_config`; never leaves this file.
struct syntax_error {
  int line;
  std::string what;
};

auto is_key_character(char c) -> bool {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

class config_reader {
 public:
  // Editors on other systems put a byte order mark before the text.
  explicit config_reader(std::string_view text) : text_(text.starts_with("\xef\xbb\xbf") ? text.substr(3) : text) {}

  auto read() -> std::vector<config_entry> {
    read_group("", 0, 0);
    return std::move(entries_);
  }

 private:
  // Reads entries up to the closing brace of the group opened on line `opened`, or for 0 up to the end of the text.
  void read_group(const std::string& group, int opened, int depth) {
    if (depth > max_depth) fail("groups are nested too deep");
    std::string prefix = group;
    bool empty = true;
    for (;; empty = false) {
      skip_blank(" \t\r\n,");
      if (at_end()) {
        if (opened != 0) fail("the group \"" + group + "\", opened on line " + std::to_string(opened) + ", has no }");
        return;
      }
      if (take('}')) {
        if (opened == 0) fail("a } without its {");
        if (empty) add({group, config_kind::group, "", opened});
        return;
      }
      if (opened == 0 && take('[')) {
        prefix = read_section();
      } else {
        read_entry(prefix, depth);
      }
    }
  }

  auto read_section() -> std::string {
    auto name = read_key();
    skip_blank(" \t");
    if (!take(']')) fail("a ] is missing after [" + name);
    end_entry();
    return name == "global" ? std::string() : name;  // CAF's name for what stands outside all sections
  }

  void read_entry(const std::string& prefix, int depth) {
    const int line = line_;
    const auto name = read_key();
    const auto key = prefix.empty() ? name : prefix + '.' + name;
    skip_blank(" \t");
    const bool assigned = take('=');
    skip_blank(" \t");
    if (take('{')) {
      read_group(key, line, depth + 1);
    } else if (assigned) {
      add(read_value(key, line));
    } else {
      fail("a = or a { is missing after " + key);
    }
    end_entry();
  }

  auto read_key() -> std::string {
    const auto start = next_;
    while (!at_end() && is_key_character(text_[next_])) ++next_;
    auto key = std::string(text_.substr(start, next_ - start));
    if (key.empty()) fail("a key is expected here, made of letters, digits, - and _");
    if (key.front() == '.' || key.back() == '.' || key.find("..") != std::string::npos) {
      fail("the key " + key + " has a dot too many");
    }
    return key;
  }

  auto read_value(const std::string& key, int line) -> config_entry {
    if (at_end()) fail(key + " has no value");
    if (text_[next_] == '"' || text_[next_] == '\'') return {key, config_kind::text, read_text(), line};
    const auto start = next_;
    if (text_[next_] == '[') {
      skip_list(0);
      return {key, config_kind::list, std::string(text_.substr(start, next_ - start)), line};
    }
    next_ = std::min(text_.find_first_of(" \t\r\n,;#{}[]\"'", next_), text_.size());
    if (next_ == start) fail(key + " has no value");
    return {key, config_kind::word, std::string(text_.substr(start, next_ - start)), line};
  }

  auto read_text() -> std::string {
    const char quote = text_[next_++];
    std::string content;
    while (!at_end() && text_[next_] != '\n') {
      const char c = text_[next_++];
      if (c == quote) return content;
      if (c != '\\') {
        content += c;
        continue;
      }
      const char escaped = at_end() ? '\n' : text_[next_++];
      switch (escaped) {
        case 'n':
          content += '\n';
          break;
        case 't':
          content += '\t';
          break;
        case 'r':
          content += '\r';
          break;
        case '\\':
        case '"':
        case '\'':
          content += escaped;
          break;
        default:
          fail("a \\ in quotes must be followed by n, t, r, \\ or a quote");
      }
    }
    fail("a closing quote is missing");
  }

  // Lists are only delimited here: no setting is one.
  void skip_list(int depth) {
    if (depth > max_depth) fail("lists are nested too deep");
    const int opened = line_;
    ++next_;
    for (;;) {
      skip_blank(" \t\r\n,");
      if (at_end()) fail("the list opened on line " + std::to_string(opened) + " has no ]");
      if (take(']')) return;
      if (text_[next_] == '[')
        skip_list(depth + 1);
      else if (text_[next_] == '"' || text_[next_] == '\'')
        static_cast<void>(read_text());
      else
        ++next_;
    }
  }

  // What follows a value must be a new line, a comma, the group's end, or a comment.
  void end_entry() {
    skip_blank(" \t\r");
    if (at_end() || text_[next_] == '\n' || text_[next_] == ',' || text_[next_] == '}') return;
    fail("only one entry may stand on a line, unless commas separate them");
  }

  // Skips `blank` characters and comments.
  void skip_blank(std::string_view blank) {
    for (; !at_end(); ++next_) {
      if (text_[next_] == '#' || text_[next_] == ';') next_ = std::min(text_.find('\n', next_), text_.size());
      if (at_end() || blank.find(text_[next_]) == std::string_view::npos) return;
      if (text_[next_] == '\n') ++line_;
    }
  }

  void add(config_entry entry) {
    const auto [first, added] = lines_.emplace(entry.key, entry.line);
    if (!added && entry.kind != config_kind::group) {
      line_ = entry.line;
      fail(entry.key + " is set twice, first on line " + std::to_string(first->second));
    }
    entries_.push_back(std::move(entry));
  }

  auto take(char expected) -> bool {
    if (at_end() || text_[next_] != expected) return false;
    ++next_;
    return true;
  }

  [[nodiscard]] auto at_end() const -> bool { return next_ >= text_.size(); }
  [[noreturn]] void fail(std::string what) const { throw syntax_error{line_, std::move(what)}; }

  const std::string_view text_;
  std::size_t next_ = 0;
  int line_ = 1;
  std::vector<config_entry> entries_;
  std::map<std::string, int> lines_;
};

}  // namespace

auto read_config(std::string_view text, std::string_view name) -> result<std::vector<config_entry>> {
  try {
    return config_reader(text).read();
  } catch (const syntax_error& problem) {
    return error{errc::invalid_setting, std::string(name) + ':' + std::to_string(problem.line) + ": " + problem.what};
  }
}

auto read_config_file(const std::string& path) -> result<std::vector<config_entry>> {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(max_file_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    const auto reason = std::error_code(errno != 0 ? errno : EIO, std::generic_category()).message();
    return error{errc::invalid_argument, "the configuration file " + redacted(path) + " cannot be read: " + reason};
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > max_file_bytes) {
    return error{errc::invalid_argument, "the configuration file " + redacted(path) + " is larger than 1 MiB"};
  }
  return read_config(text, redacted(path));
}

}  // namespace maestro
