#include <maestro/aggregates/recorded_rejection.hpp>
#include <maestro/aggregates/test_kit/difference.hpp>
#include <maestro/aggregates/test_kit/tables.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace maestro::detail {

namespace {

constexpr difference_words row_words{.each = "row"};
constexpr difference_words rebuilt_words{.each = "row", .expected = "committed", .found = "rebuilt", .same = "in both"};

// SQLite has no booleans, and JSON no bytes.
auto json_of(const sql_value& value) -> nlohmann::json {
  const auto show = [](const auto& content) -> nlohmann::json {
    using type = std::remove_cvref_t<decltype(content)>;
    if constexpr (std::is_same_v<type, std::monostate>)
      return nullptr;
    else if constexpr (std::is_same_v<type, bool>)
      return content ? 1 : 0;
    else if constexpr (std::is_same_v<type, sql_bytes>)
      return "x'" + hex(content.bytes) + "'";
    else if constexpr (std::is_same_v<type, double>)
      return std::isfinite(content) ? nlohmann::json(content) : nlohmann::json(std::to_string(content));
    else
      return content;
  };
  return std::visit(show, value.get());
}

auto listed_from(std::span<const sql_row> rows) -> std::vector<listed> {
  std::vector<listed> list;
  for (const auto& row : rows) {
    auto fields = nlohmann::json::array();
    for (const auto& field : row) fields.push_back(json_of(field));
    list.push_back({"", fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
  }
  return list;
}

// Tables have no order: what is compared is sorted.
auto sorted_list(std::span<const sql_row> rows) -> std::vector<listed> {
  auto list = listed_from(rows);
  std::sort(list.begin(), list.end(), [](const listed& left, const listed& right) { return left.json < right.json; });
  return list;
}

auto title_of(const kit_place& place) -> std::string {
  return std::string(place.subject.type->type()) + " \"" + place.name + "\"";
}

// Aggregates that share a projection share its tables.
auto schemas(const std::vector<kit_subject>& subjects) -> std::vector<migration> {
  std::vector<migration> all;
  for (const auto& subject : subjects)
    for (auto& step : subject.type->migrations())
      if (std::find(all.begin(), all.end(), step) == all.end()) all.push_back(std::move(step));
  return all;
}

auto rebuild_plans(const std::vector<kit_subject>& subjects) -> std::map<std::string, rebuild_plan> {
  std::map<std::string, rebuild_plan> plans;
  for (const auto& subject : subjects)
    for (auto& each : subject.type->projections()) {
      if (each.schema.empty()) continue;  // It has no tables of its own.
      auto& plan = plans[each.name];
      plan.projection = each.name;
      plan.schema = std::move(each.schema);
      plan.sources.push_back({std::string(subject.type->type()), std::move(each.projector)});
      plan.ordered_between_aggregates = plan.ordered_between_aggregates || each.ordered_between_aggregates;
    }
  return plans;
}

}  // namespace

kit_tables::kit_tables(std::vector<kit_subject> subjects) : subjects_(std::move(subjects)) {
  std::vector<definition_ptr> types;
  for (const auto& subject : subjects_) types.push_back(subject.type);
  if (auto checked = check_definitions(types); !checked) {
    problem_ = to_string(checked.failure());
    return;
  }
  auto opened = open_database("sqlite::memory:");
  if (!opened) {
    problem_ = "the store in memory: " + to_string(opened.failure());
    return;
  }
  database_ = std::move(*opened);
  store_ = database_->open_writer();
  const auto prepare = [&]() -> result<void> {
    if (auto migrated = database_->migrate({}); !migrated) return migrated.failure();
    auto own = tables();
    if (!own) return own.failure();
    stores_own_ = std::move(*own);
    if (auto migrated = database_->migrate(schemas(subjects_)); !migrated) return migrated.failure();
    return {};
  };
  if (auto prepared = prepare(); !prepared) problem_ = "the projections' tables: " + to_string(prepared.failure());
}

auto kit_tables::head(const aggregate_id& id) -> result<aggregate_head> {
  auto heads = store_->get_heads({&id, 1});
  if (!heads) return heads.failure();
  return heads->empty() ? aggregate_head{id, 0, {}} : heads->front();
}

auto kit_tables::commit(const kit_place& place, const std::vector<emitted_event>& events, const command_id& command)
    -> result<void> {
  if (events.empty()) return {};
  const auto last = head(place.id);
  if (!last) return last.failure();
  commit_request request;
  request.aggregate_id = place.id;
  request.aggregate_type = place.subject.type->type();
  request.predecessor = last->timestamp;
  auto& unit = request.units.emplace_back();
  unit.projector = place.subject.type->projector();
  timestamp newest = last->timestamp;
  sequence_number sequence = last->sequence;
  for (const auto& each : events) {
    auto& row = unit.events.emplace_back();
    row.timestamp = newest = clock_->now_above(newest);
    row.aggregate_id = place.id;
    row.sequence = ++sequence;
    row.aggregate_type = request.aggregate_type;
    row.type = each.type;
    row.body = each.body;
    row.command_id = command;
    row.value = each.value;
  }
  const commit_request* const only = &request;
  auto outcome = store_->commit_all({&only, 1}).front();
  if (outcome.failure) return std::move(outcome.failure);
  return {};
}

auto kit_tables::given(const kit_place& place, const emitted_list& history) -> std::string {
  if (!problem_.empty()) return problem_;
  const auto done = history ? commit(place, *history, clock_->fresh<command_id>()) : result<void>(history.failure());
  if (!done) problem_ = title_of(place) + ": what is given cannot be committed: " + to_string(done.failure());
  return problem_;
}

auto kit_tables::when(const kit_place& place, std::string_view command, const result<std::string>& payload)
    -> commit_attempt {
  commit_attempt attempt{title_of(place) + ": " + command_text(command, payload ? *payload : ""), 0, {}};
  if (!problem_.empty()) return attempt;
  const auto stored = store_->get_events(place.id, {0, max_sequence(), static_cast<std::size_t>(max_sequence())});
  if (!stored) {
    attempt.failure = stored.failure();
    return attempt;
  }
  std::vector<emitted_event> history;
  for (const auto& row : *stored) history.push_back({row.type, row.body, nullptr});
  examination aggregate(place.subject);
  aggregate.with().aggregate_id = place.id;
  aggregate.with().command_id = clock_->fresh<command_id>();
  aggregate.given(history);
  aggregate.when(command, payload);
  if (!aggregate.problem().empty()) {
    problem_ = aggregate.problem();
    return attempt;
  }
  const auto& answer = aggregate.answer();
  std::vector<emitted_event> rows;
  if (answer) {
    rows = *answer;
  } else {
    attempt.failure = answer.failure();
    if (!attempt.failure.is_recorded) return attempt;
    rows.push_back(*event_of_rejection(attempt.failure));  // That it can be recorded was looked at.
  }
  const auto done = commit(place, rows, aggregate.with().command_id);
  if (!done)
    attempt.failure = done.failure();
  else if (answer)
    attempt.events = rows.size();
  return attempt;
}

auto kit_tables::query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>> {
  if (!store_) return error{errc::store_unavailable, problem_};
  return store_->query(sql, parameters);
}

auto kit_tables::check_rows(std::string_view sql, const result<std::vector<sql_row>>& found,
                            std::span<const sql_row> expected) const -> std::string {
  if (!problem_.empty()) return problem_;
  if (!found) return std::string(sql) + ": " + found.failure().message;
  const auto difference = compare_lists(listed_from(expected), listed_from(*found), row_words);
  return difference.places.empty() ? std::string()
                                   : std::string(sql) + ": " + places_text(difference, "row") + difference.lines;
}

auto kit_tables::check_committed(const commit_attempt& attempt) const -> std::string {
  if (!problem_.empty()) return problem_;
  if (!attempt.failure) return {};
  return attempt.title + ": expected to be committed, found " + failure_text(attempt.failure);
}

auto kit_tables::check_refused(const commit_attempt& attempt, std::string_view constraint) const -> std::string {
  if (!problem_.empty()) return problem_;
  const auto& failure = attempt.failure;
  if (failure.code == errc::projection_failed && failure.message.find(constraint) != std::string::npos) return {};
  return attempt.title + ": expected to be refused by " + std::string(constraint) + ", found " +
         (failure ? failure_text(failure) : "a commit of " + count_text(attempt.events));
}

auto kit_tables::tables() -> result<std::vector<std::string>> {
  const auto rows = store_->query(
      "select '\"' || replace(name, '\"', '\"\"') || '\"' from sqlite_master"
      " where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
      {});
  if (!rows) return rows.failure();
  std::vector<std::string> names;
  for (const auto& row : *rows) names.push_back(row.at(0).as<std::string>());
  return names;
}

auto kit_tables::all_rows() -> result<table_rows> {
  const auto names = tables();
  if (!names) return names.failure();
  table_rows all;
  for (const auto& name : *names) {
    if (std::find(stores_own_.begin(), stores_own_.end(), name) != stores_own_.end()) continue;
    auto rows = store_->query("select * from " + name, {});
    if (!rows) return rows.failure();
    all.emplace_back(name, std::move(*rows));
  }
  return all;
}

auto kit_tables::rebuild_all() -> result<void> {
  for (const auto& [name, plan] : rebuild_plans(subjects_))
    if (auto rebuilt = database_->rebuild(plan, nullptr); !rebuilt) return rebuilt.failure();
  return {};
}

auto kit_tables::check_rebuild() -> std::string {
  if (!problem_.empty()) return problem_;
  const auto before = all_rows();
  if (!before) return "the tables cannot be read: " + before.failure().message;
  if (auto rebuilt = rebuild_all(); !rebuilt) return "a rebuild fails: " + rebuilt.failure().message;
  const auto after = all_rows();
  if (!after) return "the rebuilt tables cannot be read: " + after.failure().message;
  for (std::size_t i = 0; i < std::min(before->size(), after->size()); ++i) {
    const auto& [name, rows] = (*before)[i];
    const auto difference = compare_lists(sorted_list(rows), sorted_list((*after)[i].second), rebuilt_words);
    if (!difference.places.empty())
      return name + ": a rebuild makes other rows: " + places_text(difference, "row") + difference.lines;
  }
  return {};
}

}  // namespace maestro::detail
