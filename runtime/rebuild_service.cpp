#include <maestro/runtime/rebuild_service.hpp>

#include <maestro/store/json.hpp>

#include <cmath>
#include <exception>
#include <system_error>
#include <utility>

namespace maestro {

auto plan_rebuild(const std::vector<definition_ptr>& types, std::string_view projection) -> result<rebuild_plan> {
  rebuild_plan plan;
  plan.projection = projection;
  std::string known;
  for (const auto& type : types)
    for (auto& each : type->projections()) {
      if (each.name != projection) {
        if (known.find(each.name) == known.npos) known.append(known.empty() ? "" : ", ").append(each.name);
        continue;
      }
      plan.sources.push_back({std::string(type->type()), std::move(each.projector)});
      plan.schema = std::move(each.schema);
      plan.ordered_between_aggregates = plan.ordered_between_aggregates || each.ordered_between_aggregates;
    }
  if (!plan.sources.empty()) return plan;
  return error{errc::invalid_argument, "there is no projection \"" + std::string(projection) + "\"; this node has: " +
                                           (known.empty() ? "none" : known)};
}

auto rebuild_report::text() const -> std::string {
  const auto fresh = static_cast<double>(progress.done - progress.resumed);
  const double rate = elapsed.count() > 0 ? fresh / elapsed.count() : 0;
  std::string left = "null";
  if (!running) left = "0";
  else if (rate > 0) left = std::to_string(std::llround(static_cast<double>(progress.total - progress.done) / rate));
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  return "{\"projection\":" + json_quote(projection) + ",\"events\":" + std::to_string(progress.done) +
         ",\"total\":" + std::to_string(progress.total) + ",\"resumed\":" + std::to_string(progress.resumed) +
         ",\"rate\":" + std::to_string(std::llround(rate)) + ",\"seconds_left\":" + left +
         ",\"paused\":" + flag(running && progress.paused) + ",\"running\":" + flag(running) + "}";
}

auto rebuild_service::start(const std::string& projection, rebuild_mode mode) -> result<void> {
  auto plan = plan_rebuild(types_, projection);
  if (!plan) return plan.failure();
  plan->mode = mode;
  std::unique_lock lock(mutex_);
  if (stopping_) return error{errc::shutting_down, "the node is stopping"};
  if (newest_ && newest_->running) {
    if (newest_->projection == projection) return {};
    return error{errc::overloaded, "projection \"" + newest_->projection + "\" is being rebuilt; one at a time"};
  }
  // The one before has ended, and holds nothing any more.
  if (thread_.joinable()) thread_.join();
  auto before = std::exchange(newest_, rebuild_report{projection, {}, {}, true, {}});
  began_ = std::chrono::steady_clock::now();
  try {
    thread_ = std::thread([this, plan = std::move(*plan)] { run(plan); });
  } catch (const std::system_error& problem) {
    newest_ = std::move(before);
    return error{errc::overloaded, "projection \"" + projection + "\" cannot be rebuilt now: the system gives this node no more threads (" +
                                       problem.what() + ")"};
  }
  return {};
}

void rebuild_service::run(const rebuild_plan& plan) {
  const auto note = [this](const rebuild_progress& progress) {
    const std::lock_guard lock(mutex_);
    newest_->progress = progress;
    newest_->elapsed = std::chrono::steady_clock::now() - began_;
    return !stopping_;
  };
  result<rebuild_progress> done = error{errc::internal_error, "the rebuild did not run"};
  try {
    done = database_.rebuild(plan, note);
  } catch (const std::exception& problem) {
    done = error{errc::internal_error, problem.what()};
  }
  const std::lock_guard lock(mutex_);
  if (done) newest_->progress = *done;
  else newest_->failure = done.failure();
  newest_->elapsed = std::chrono::steady_clock::now() - began_;
  newest_->running = false;
}

auto rebuild_service::report(const std::string& projection) const -> result<rebuild_report> {
  const std::lock_guard lock(mutex_);
  if (newest_ && newest_->projection == projection) return *newest_;
  return error{errc::invalid_argument, "projection \"" + projection + "\" has not been rebuilt by this node since it started"};
}

void rebuild_service::stop() {
  stopping_ = true;
  std::thread running;
  {
    const std::lock_guard lock(mutex_);
    running = std::exchange(thread_, {});
  }
  if (running.joinable()) running.join();
}

}  // namespace maestro
