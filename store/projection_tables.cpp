#include <maestro/store/projection_tables.hpp>

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

namespace maestro {

namespace {

auto is_word(char letter) -> bool {
  const auto code = static_cast<unsigned char>(letter);
  return std::isalnum(code) != 0 || letter == '_' || code >= 0x80;
}

auto upper(std::string text) -> std::string {
  for (char& letter : text) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return text;
}

// One statement: words, names in quotes, and single other characters. Literals and comments are left out.
using statement_words = std::vector<std::string>;

class script {
 public:
  explicit script(std::string_view sql) : sql_(sql) { read(); }

  [[nodiscard]] auto statements() const -> const std::vector<statement_words>& { return statements_; }
  // False for a block of code in dollar quotes, a body of BEGIN ... END, and what does not end.
  [[nodiscard]] auto is_plain() const -> bool { return is_plain_; }

 private:
  void read() {
    statement_words words;
    while (at_ < sql_.size() && is_plain_) {
      const char letter = sql_[at_];
      if (sql_.substr(at_).starts_with("--")) skip_past("\n", true);
      else if (sql_.substr(at_).starts_with("/*")) skip_past("*/", false);
      else if (letter == '\'') skip_literal();
      else if (letter == '"') words.push_back(quoted());
      else if (letter == '$') is_plain_ = false;
      else if (letter == ';') {
        if (!words.empty()) statements_.push_back(std::move(words));
        words.clear();
        ++at_;
      } else if (is_word(letter)) {
        const auto from = at_;
        while (at_ < sql_.size() && is_word(sql_[at_])) ++at_;
        words.emplace_back(sql_.substr(from, at_ - from));
        if (upper(words.back()) == "BEGIN") is_plain_ = false;
      } else {
        if (std::isspace(static_cast<unsigned char>(letter)) == 0) words.emplace_back(1, letter);
        ++at_;
      }
    }
    if (!words.empty()) statements_.push_back(std::move(words));
  }

  void skip_past(std::string_view end, bool or_end_of_text) {
    const auto found = sql_.find(end, at_ + 2);
    if (found == sql_.npos && !or_end_of_text) is_plain_ = false;
    at_ = found == sql_.npos ? sql_.size() : found + end.size();
  }

  void skip_literal() {
    const auto end = sql_.find('\'', at_ + 1);
    // A backslash may quote the end, in one of the two kinds of literals.
    if (end == sql_.npos || sql_.substr(at_, end - at_).find('\\') != sql_.npos) is_plain_ = false;
    at_ = end == sql_.npos ? sql_.size() : end + 1;
  }

  auto quoted() -> std::string {
    const auto end = sql_.find('"', at_ + 1);
    if (end == sql_.npos || end == at_ + 1) {
      is_plain_ = false;
      return {};
    }
    const std::string name(sql_.substr(at_, end + 1 - at_));
    at_ = end + 1;
    if (at_ < sql_.size() && sql_[at_] == '"') is_plain_ = false;
    return name;
  }

  std::string_view sql_;
  std::size_t at_ = 0;
  std::vector<statement_words> statements_;
  bool is_plain_ = true;
};

class reader {
 public:
  explicit reader(const statement_words& words) : words_(words) {}

  auto take(std::string_view word) -> bool {
    if (at_ >= words_.size() || upper(words_[at_]) != word) return false;
    ++at_;
    return true;
  }
  auto take_all(std::initializer_list<std::string_view> words) -> bool {
    const auto from = at_;
    for (const auto word : words)
      if (!take(word)) {
        at_ = from;
        return false;
      }
    return true;
  }
  // A name, perhaps with its schema; empty when there is none.
  auto name() -> std::string {
    if (!is_name()) return {};
    std::string name = part();
    if (at_ < words_.size() && words_[at_] == ".") {
      ++at_;
      if (!is_name()) return {};
      name += "." + part();
      if (at_ < words_.size() && words_[at_] == ".") return {};
    }
    return name;
  }
  [[nodiscard]] auto holds(std::string_view word) const -> bool {
    return std::any_of(words_.begin(), words_.end(), [&](auto& each) { return upper(each) == word; });
  }

 private:
  [[nodiscard]] auto is_name() const -> bool { return at_ < words_.size() && (is_word(words_[at_][0]) || words_[at_][0] == '"'); }
  // Names without quotes are the same in either case.
  auto part() -> std::string {
    std::string text = words_[at_++];
    if (text[0] != '"')
      for (char& letter : text) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    return text;
  }

  const statement_words& words_;
  std::size_t at_ = 0;
};

class model {
 public:
  void apply(const migration_step& step) {
    const script sql(step.sql);
    if (!sql.is_plain()) unknown_.insert(step.component);
    for (const auto& words : sql.statements())
      if (sql.is_plain() && !apply(step.component, words)) unknown_.insert(step.component);
  }

  auto tables() -> std::vector<projection_table> {
    std::erase_if(tables_, [this](auto& each) { return unknown_.contains(each.component); });
    return std::move(tables_);
  }

 private:
  // False for what may do more than is seen here.
  auto apply(const std::string& component, const statement_words& words) -> bool {
    reader read(words);
    if (read.take("CREATE")) {
      if (read.holds("TEMP") || read.holds("TEMPORARY")) return true;
      if (read.take("SCHEMA") || read.take("EXTENSION")) return false;
      (void)read.take("UNLOGGED");
      if (!read.take("TABLE")) return true;  // An index, a view: no table less.
      (void)read.take_all({"IF", "NOT", "EXISTS"});
      const auto name = read.name();
      if (name.empty()) return false;
      drop(name);
      tables_.push_back({component, name});
      return true;
    }
    if (read.take_all({"DROP", "TABLE"})) {
      (void)read.take_all({"IF", "EXISTS"});
      do {
        const auto name = read.name();
        if (name.empty()) return false;
        drop(name);
      } while (read.take(","));
      return true;
    }
    if (read.take_all({"ALTER", "TABLE"})) {
      (void)read.take_all({"IF", "EXISTS"});
      (void)read.take("ONLY");
      const auto name = read.name();
      if (read.take_all({"RENAME", "TO"})) return rename(name, read.name());
      return !name.empty() && !read.holds("SCHEMA");
    }
    if (read.take("DROP")) return !read.take("SCHEMA") && !read.take("OWNED") && !read.take("EXTENSION");
    if (read.take("SET") || read.take("SELECT") || read.take("CALL") || read.take("DO") || read.take("WITH")) return false;
    return true;
  }

  void drop(const std::string& name) {
    std::erase_if(tables_, [&](auto& each) { return each.name == name; });
  }

  auto rename(const std::string& from, const std::string& to) -> bool {
    if (from.empty() || to.empty() || from.find('.') != from.npos || to.find('.') != to.npos) return false;
    for (auto& each : tables_)
      if (each.name == from) each.name = to;
    return true;
  }

  std::vector<projection_table> tables_;
  std::set<std::string> unknown_;
};

}  // namespace

auto tables_of(std::span<const migration_step> steps) -> std::vector<projection_table> {
  model made;
  for (const auto& step : steps)
    if (step.component != store_component) made.apply(step);
  return made.tables();
}

auto missing_table(const projection_table& table, const std::string& store_name) -> error {
  const std::string of = "\"" + table.component + "\"";
  return {errc::store_unavailable,
          "store " + store_name + " lacks table " + table.name + ", which the migrations of projection " + of +
              " have made: restore it; or drop what is left of the projection's tables, remove its steps (DELETE FROM maestro_migrations WHERE "
              "component = '" + table.component + "'), start the node with node.migrate, and fill it from the log with `maestro rebuild " +
              table.component + "`"};
}

}  // namespace maestro
