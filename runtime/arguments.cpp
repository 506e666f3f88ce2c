// The command line of a node: one option per setting, a few short names, and what to print for --help and its like.
#include <maestro/runtime/setting_table.hpp>
#include <maestro/runtime/settings.hpp>
#include <maestro/store/redaction.hpp>

#include <CLI/CLI.hpp>

#include <map>
#include <optional>
#include <utility>

namespace maestro {

namespace {

constexpr std::size_t help_width = 100;

auto bad_argument(std::string message) -> error {
  return {errc::invalid_argument, std::move(message)};
}

// "--store.uri" for people: with its short name, if it has one.
auto option_names(const setting& row) -> std::string {
  auto names = "--" + std::string(row.option());
  if (!row.alias.empty()) names = "--" + std::string(row.alias) + ',' + names;
  return names;
}

// `text`, broken into lines of the help text.
auto paragraph(std::string_view text, std::string_view indent) -> std::string {
  std::string lines;
  while (!text.empty()) {
    auto end = text.size();
    if (end > help_width - indent.size()) {
      end = text.rfind(' ', help_width - indent.size());
      if (end == std::string_view::npos) end = std::min(text.find(' '), text.size());
    }
    lines.append(indent).append(text.substr(0, end)).append("\n");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

auto help_text(std::string_view program) -> std::string {
  const node_settings defaults;
  auto text = "Usage: " + std::string(program) + " [--config-file=FILE] [--SETTING=VALUE ...]\n\n" +
              "  --config-file=FILE\n      Read settings from FILE; options beat it.\n" +
              "  --migrate\n      Create or upgrade the store's tables, those of the projections too, and end.\n" +
              "  --dump-config\n      Print all settings as they would be used, as a configuration file, and end.\n" +
              "  --help\n      Print this text and end.\n  --version\n      Print the version and end.\n\n" +
              "SIGTERM and SIGINT end the node: it leaves its cluster and finishes what is under way first. SIGHUP\n"
              "opens the log file anew, for logrotate. SIGUSR1 and SIGUSR2 are ignored.\n\n"
              "Settings; in a configuration file they stand in the group maestro, CAF's own (scheduler, middleman,\n" +
              "logger) in groups of their own.\n\n";
  for (const auto& row : setting_table()) {
    const auto value = '=' + std::string(row.value_name);
    text += "  ";
    if (!row.alias.empty()) text += "--" + std::string(row.alias) + value + ", ";
    text += "--" + std::string(row.option()) + value + '\n';
    text += paragraph(std::string(row.meaning) + " Default: " + render_value(row, defaults), "      ");
  }
  return text;
}

// What to say about an argument that is no option. It may hold a store's URI in the wrong place: its password is left
// out.
auto unexpected(const std::string& argument) -> error {
  if (!argument.starts_with('-')) return bad_argument("unexpected argument: " + redacted(argument));
  const auto shown = redacted(argument);
  const auto name = shown.substr(0, shown.find('='));
  const auto bare = std::string_view(name).substr(std::min(name.find_first_not_of('-'), name.size()));
  const auto nearest = nearest_key(bare);
  return bad_argument(
      "there is no option " + name +
      (nearest ? "; did you mean --" + std::string(find_setting(*nearest)->option()) + "?" : "; --help lists all"));
}

// The options of the command line, and what stood behind them.
class command_line {
 public:
  command_line() {
    app_.set_help_flag("");
    app_.allow_extras();
    help_ = app_.add_flag("-h,--help");
    version_ = app_.add_flag("--version");
    migrate_ = app_.add_flag("--migrate");
    dump_ = app_.add_flag("--dump-config");
    file_ = add("--config-file");
    for (const auto& row : setting_table()) options_.emplace_back(&row, add(option_names(row)));
  }

  [[nodiscard]] auto parse(int argc, const char* const* argv) -> result<void> {
    // CLI11 would take --migrate=false for --migrate.
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      for (const std::string_view flag : {"--help", "--version", "--migrate", "--dump-config"})
        if (argument.starts_with(flag) && argument.substr(flag.size()).starts_with('='))
          return bad_argument(std::string(flag) + " takes no value");
    }
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ArgumentMismatch& problem) {
      return bad_argument(std::string(problem.what()).substr(0, std::string_view(problem.what()).find(':')) +
                          " needs a value");
    } catch (const CLI::ParseError&) {
      return bad_argument("the command line cannot be read; --help lists the options");
    }
    if (const auto rest = app_.remaining(); !rest.empty()) return unexpected(rest.front());
    return {};
  }

  [[nodiscard]] auto help() const -> bool { return help_->count() != 0; }
  [[nodiscard]] auto version() const -> bool { return version_->count() != 0; }
  [[nodiscard]] auto migrate() const -> bool { return migrate_->count() != 0; }
  [[nodiscard]] auto dump() const -> bool { return dump_->count() != 0; }

  [[nodiscard]] auto config_file() const -> std::optional<std::string> {
    if (file_->count() == 0) return std::nullopt;
    return file_->results().back();
  }

  [[nodiscard]] auto apply(node_settings& settings) const -> result<void> {
    for (const auto& [row, option] : options_) {
      if (option->count() == 0) continue;
      if (auto problem = assign(*row, settings, option->results().back(), false)) {
        return error{errc::invalid_setting, "--" + std::string(row->option()) + ' ' + *problem};
      }
    }
    return {};
  }

 private:
  // An option with one value; of several, the last one counts, so that a script can add to what it was given.
  auto add(const std::string& names) -> CLI::Option* {
    return app_.add_option(names)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }

  CLI::App app_;
  CLI::Option* help_ = nullptr;
  CLI::Option* version_ = nullptr;
  CLI::Option* migrate_ = nullptr;
  CLI::Option* dump_ = nullptr;
  CLI::Option* file_ = nullptr;
  std::vector<std::pair<const setting*, CLI::Option*>> options_;
};

}  // namespace

auto load_settings(int argc, const char* const* argv, std::string_view program) -> result<parsed_arguments> {
  command_line line;
  if (auto parsed = line.parse(argc, argv); !parsed) return std::move(parsed).failure();
  parsed_arguments arguments;
  if (line.help()) {
    arguments.text = help_text(program);
    return arguments;
  }
  if (line.version()) {
    arguments.text = std::string(program) + ' ' + MAESTRO_VERSION + '\n';
    return arguments;
  }
  if (const auto file = line.config_file()) {
    if (auto loaded = load_config_file(arguments.settings, *file); !loaded) return std::move(loaded).failure();
  }
  if (auto applied = line.apply(arguments.settings); !applied) return std::move(applied).failure();
  if (auto checked = check_settings(arguments.settings); !checked) return std::move(checked).failure();
  arguments.migrate = line.migrate();
  if (line.dump()) arguments.text = render_settings(arguments.settings);
  return arguments;
}

}  // namespace maestro
