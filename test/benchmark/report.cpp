#include "report.hpp"

#include "measuring.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>

namespace maestro::benchmark {

namespace {

struct figure {
  const char* name;
  double sample::*value;
};
constexpr figure figures[] = {{"value", &sample::value},          {"p50_ms", &sample::p50},   {"p99_ms", &sample::p99},
                              {"p999_ms", &sample::p999},         {"own_cpu_us", &sample::own_cpu}, {"server_cpu_us", &sample::server_cpu},
                              {"commands_per_transaction", &sample::batch}, {"peak_mb", &sample::peak_mb}};

template <class... Ts>
auto format(const char* pattern, Ts... values) -> std::string {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

// `digits` after the point; nothing for what was not taken.
auto number(double value, int width, int digits) -> std::string {
  if (value == 0) return std::string(static_cast<std::size_t>(width), ' ');
  return format("%*.*f", width, digits, value);
}

auto goal_text(const workload& what) -> std::string {
  switch (what.wanted) {
    case goal::ratio_at_least: return format("at least %g times", what.target);
    case goal::value_at_most: return format("at most %g ", what.target) + what.unit;
    case goal::none: break;
  }
  return {};
}

}  // namespace

auto median_of(const std::vector<sample>& rounds) -> sample {
  sample of_all;
  for (const auto& each : figures) {
    std::vector<double> values;
    for (const auto& round : rounds) values.push_back(round.*each.value);
    of_all.*each.value = median(std::move(values));
  }
  return of_all;
}

auto workload_result::ratio_to(std::size_t contestant) const -> ratio {
  std::vector<double> ratios;
  const auto& others = contestants.at(contestant).rounds;
  for (std::size_t i = 0; i < others.size(); ++i) ratios.push_back(contestants.front().rounds.at(i).value / others[i].value);
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  return {median(ratios), *least, *most};
}

auto workload_result::is_met() const -> bool {
  switch (what.wanted) {
    case goal::ratio_at_least: return ratio_to(1).median >= what.target;
    case goal::value_at_most: return contestants.front().median.value <= what.target;
    case goal::none: break;
  }
  return true;
}

auto as_text(const workload_result& result) -> std::string {
  std::string text = result.what.title + " (" + result.what.name + ", " + result.what.unit + ")";
  if (const auto goal = goal_text(result.what); !goal.empty()) text += ": " + goal + (result.is_met() ? ", met" : ", NOT MET");
  text += '\n';
  for (std::size_t i = 0; i < result.contestants.size(); ++i) {
    const auto& each = result.contestants[i];
    const auto& m = each.median;
    text += format("  %-24s", each.name.c_str()) + number(m.value, 9, m.value < 100 ? 1 : 0) + number(m.p50, 9, 2) + number(m.p99, 9, 2) +
            number(m.p999, 9, 2) + number(m.batch, 7, 1) + number(m.own_cpu, 8, 1) + number(m.server_cpu, 8, 1) + number(m.peak_mb, 7, 0);
    if (i > 0) {
      const auto ratio = result.ratio_to(i);
      text += format("   %.2f times this (%.2f to %.2f)", ratio.median, ratio.least, ratio.most);
    }
    text += '\n';
  }
  return text;
}

auto as_json(const workload_result& result) -> nlohmann::json {
  nlohmann::json json = {{"name", result.what.name}, {"title", result.what.title}, {"unit", result.what.unit}, {"met", result.is_met()}};
  if (result.what.wanted != goal::none) json["goal"] = goal_text(result.what);
  for (std::size_t i = 0; i < result.contestants.size(); ++i) {
    nlohmann::json each = {{"name", result.contestants[i].name}};
    for (const auto& figure : figures)
      if (result.contestants[i].median.*figure.value != 0) each[figure.name] = result.contestants[i].median.*figure.value;
    for (const auto& round : result.contestants[i].rounds) each["rounds"].push_back(round.value);
    if (i > 0) {
      const auto ratio = result.ratio_to(i);
      each["ours_to_this"] = {{"median", ratio.median}, {"least", ratio.least}, {"most", ratio.most}};
    }
    json["contestants"].push_back(std::move(each));
  }
  return json;
}

}  // namespace maestro::benchmark
