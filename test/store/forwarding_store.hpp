// Stores around another store: every call goes there, unless a class that derives from these does something else with
// it.
#pragma once

#include <maestro/store/store.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace maestro::test {

class forwarding_store : public store {
 public:
  explicit forwarding_store(std::unique_ptr<store> inner) : inner_(std::move(inner)) {}

  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    return inner_->commit_all(requests);
  }
  auto commit_snapshot(const snapshot& snapshot) -> result<void> override { return inner_->commit_snapshot(snapshot); }
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override {
    return inner_->get_events(id, range);
  }
  auto get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to)
      -> result<std::optional<snapshot>> override {
    return inner_->get_snapshot(id, after, up_to);
  }
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override {
    return inner_->get_histories(ids, limit);
  }
  auto get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> override {
    return inner_->get_heads(ids);
  }
  auto list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit)
      -> result<std::vector<aggregate_head>> override {
    return inner_->list_aggregates(type, after, limit);
  }
  auto find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
      -> result<std::vector<event>> override {
    return inner_->find_command(id, command, not_before);
  }
  auto newest_timestamp() -> result<timestamp> override { return inner_->newest_timestamp(); }
  auto query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>> override {
    return inner_->query(sql, parameters);
  }

 protected:
  [[nodiscard]] auto inner() -> store& { return *inner_; }

 private:
  const std::unique_ptr<store> inner_;
};

class forwarding_database : public database {
 public:
  explicit forwarding_database(std::shared_ptr<database> inner) : inner_(std::move(inner)) {}

  auto open_writer() -> std::unique_ptr<store> override { return inner_->open_writer(); }
  auto open_reader() -> std::unique_ptr<store> override { return inner_->open_reader(); }
  auto open_members() -> std::unique_ptr<member_table> override { return inner_->open_members(); }
  auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> override {
    return inner_->migrate(components);
  }
  auto check(std::span<const migration> components) -> result<void> override { return inner_->check(components); }
  auto warnings() -> std::vector<store_warning> override { return inner_->warnings(); }
  auto rebuild(const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> override {
    return inner_->rebuild(plan, watch);
  }
  [[nodiscard]] auto single_owner() const noexcept -> bool override { return inner_->single_owner(); }
  [[nodiscard]] auto sql_dialect() const noexcept -> dialect override { return inner_->sql_dialect(); }
  [[nodiscard]] auto display_name() const -> std::string override { return inner_->display_name(); }

 protected:
  [[nodiscard]] auto inner() -> database& { return *inner_; }

 private:
  const std::shared_ptr<database> inner_;
};

}  // namespace maestro::test
