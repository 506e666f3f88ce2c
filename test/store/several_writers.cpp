#include "several_writers.hpp"

#include "forwarding_store.hpp"

#include <array>
#include <cstddef>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace maestro::test {

namespace {

constexpr std::size_t writers = 3;

// What one writer has to do, and where its outcomes belong.
struct share {
  std::vector<const commit_request*> requests;
  std::vector<std::size_t> positions;
  std::vector<commit_outcome> outcomes;
};

class store_of_several final : public forwarding_store {
 public:
  explicit store_of_several(database& opened) : forwarding_store(opened.open_writer()) {
    for (auto& other : others_) other = opened.open_writer();
  }

  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override {
    std::array<share, writers> shares;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      auto& share = shares[std::hash<aggregate_id>{}(requests[i]->aggregate_id) % writers];
      share.requests.push_back(requests[i]);
      share.positions.push_back(i);
    }
    commit(shares);
    std::vector<commit_outcome> outcomes(requests.size());
    for (auto& share : shares)
      for (std::size_t i = 0; i < share.positions.size(); ++i)
        outcomes[share.positions[i]] = std::move(share.outcomes.at(i));
    return outcomes;
  }

 private:
  void commit(std::array<share, writers>& shares) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < writers; ++i)
      if (!shares[i].requests.empty())
        threads.emplace_back([this, i, &shares] { shares[i].outcomes = writer(i).commit_all(shares[i].requests); });
    for (auto& thread : threads) thread.join();
  }

  auto writer(std::size_t index) -> store& { return index == 0 ? inner() : *others_[index - 1]; }

  std::array<std::unique_ptr<store>, writers - 1> others_;
};

class database_of_several final : public forwarding_database {
 public:
  using forwarding_database::forwarding_database;
  auto open_writer() -> std::unique_ptr<store> override { return std::make_unique<store_of_several>(inner()); }
};

class place_of_several final : public place {
 public:
  explicit place_of_several(std::unique_ptr<place> where) : where_(std::move(where)) {}
  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override {
    return std::make_shared<database_of_several>(where_->open(settings));
  }
  [[nodiscard]] auto is_shared() const -> bool override { return where_->is_shared(); }

 private:
  std::unique_ptr<place> where_;
};

}  // namespace

auto with_several_writers(std::unique_ptr<place> where) -> std::unique_ptr<place> {
  return std::make_unique<place_of_several>(std::move(where));
}

}  // namespace maestro::test
