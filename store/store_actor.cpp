#include <maestro/store/store_actor.hpp>

#include <maestro/store/page_sizer.hpp>
#include <maestro/store/watched.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <exception>
#include <new>
#include <span>
#include <utility>

namespace maestro {

namespace {

// What `call` returns, for which this thread waits and others do its work.
template <class Call>
auto waiting_for(Call call) {
  const blocking_section waiting;
  return call();
}

// The handle moves out first: the receiver may hold the job longer than it holds itself. It is back where nothing could be sent.
template <class Job>
void give_back(const Job& job) {
  caf::actor to = std::move(job->reply_to);
  job->reply_to = nullptr;
  const hand_on thread;
  try {
    if (to) caf::anon_send(to, job);
  } catch (...) {
    job->reply_to = std::move(to);
    throw;
  }
}

void hand_back(const commit_job_ptr& job) { give_back(job); }
void hand_back(const store_task_ptr& task) { give_back(task); }

// At the end. The sender of a job is answered, if there is memory for that, and no job holds its sender any more: an actor with a
// job that holds that actor does not end.
template <class Jobs>
void hand_back_all(Jobs& jobs) noexcept {
  for (auto& job : jobs) {
    if (!job) continue;
    try {
      hand_back(job);
    } catch (...) {
      job->reply_to = nullptr;
    }
  }
  jobs.clear();
}

// What was thrown goes to the log. What it was thrown by goes back as it came, and says of itself that it did not run.
void say_what_was_thrown(const store_actor_hooks& hooks, const char* by) {
  if (hooks.fault) hooks.fault(std::string(by) + " was given up by a fault: " + words_of(std::current_exception()));
}

void run_task(const store_task_ptr& task, store& connection, const store_actor_hooks& hooks) {
  try {
    waiting_for([&] { task->run(connection); });
  } catch (...) {
    say_what_was_thrown(hooks, "a reading or writing of the store");
  }
  hand_back(task);
}

// True when the question is over.
auto work_on(question_task& question, store& connection, const store_actor_hooks& hooks) -> bool {
  try {
    return waiting_for([&] { return question.give_up() || question.work(connection); });
  } catch (...) {
    say_what_was_thrown(hooks, "a question to the store");
    return true;
  }
}

// So many snapshots and the like are stored before the commits that have come meanwhile.
constexpr std::size_t tasks_between_commits = 4;

// What they read together is about a page, however many they are, and of each no more than the first page of a scan: how
// large its events are is not known yet.
void read_together(std::span<const history_task_ptr> readers, store& connection) {
  std::vector<aggregate_id> ids;
  std::size_t page = SIZE_MAX;
  for (const auto& reader : readers) {
    ids.push_back(reader->id);
    page = std::min(page, reader->page_events);
  }
  const auto limit = std::clamp<std::size_t>(page / readers.size(), 1, page_sizer::first_events);
  auto histories = waiting_for([&] { return connection.get_histories(ids, limit); });
  // A store that is away is away for each of them. Anything else may be the matter of one.
  if (!histories && (histories.failure().code != errc::store_unavailable || histories.failure().is_damage)) return;
  for (std::size_t i = 0; i < readers.size(); ++i)
    readers[i]->start = histories ? result<aggregate_history>(std::move((*histories)[i])) : histories.failure();
}

template <class Actor>
auto spawn_where_it_can_wait(caf::actor_system& system, std::unique_ptr<store> connection, const store_actor_settings& settings) -> caf::actor {
  return caf::actor_cast<caf::actor>(schedules_by_handing_on(system) ? system.spawn<Actor>(std::move(connection), settings)
                                                                      : system.spawn<Actor, caf::detached>(std::move(connection), settings));
}

}  // namespace

store_writer::store_writer(caf::actor_config& config, std::unique_ptr<store> connection, store_actor_settings settings)
    : caf::event_based_actor(config), connection_(std::move(connection)), settings_(settings) {}

auto store_writer::make_behavior() -> caf::behavior {
  be_watched(*this, "a writer of the store", settings_.hooks.died);
  return {
      [this](commit_job_ptr& job) {
        pending_.push_back(job);
        job->reply_to = caf::actor_cast<caf::actor>(current_sender());
        job.reset();
        request_flush();
      },
      [this](store_task_ptr& task) {
        tasks_.push_back(task);
        task->reply_to = caf::actor_cast<caf::actor>(current_sender());
        task.reset();
        request_flush();
      },
      [this](store_flush) { flush(); },
      [this](const store_stop& order) { stop(order); },
  };
}

void store_writer::on_exit() {
  const auto give_up = [](auto& jobs, errc code, const char* message) {
    for (auto& job : jobs) {
      if (!job || !job->reply_to) continue;
      job->outcome.committed = 0;
      job->outcome.is_final = true;
      job->outcome.failure.code = code;
      try {
        job->outcome.failure.message = message;
      } catch (const std::bad_alloc&) {  // The code says it, too.
      }
    }
    hand_back_all(jobs);
  };
  give_up(at_work_, errc::in_doubt, "a writer of the store has ended by a fault while it committed this");
  give_up(doubtful_, errc::in_doubt, "a writer of the store has ended by a fault before it could find out what became of this");
  give_up(pending_, errc::store_unavailable, "a writer of the store has ended by a fault; nothing was written");
  hand_back_all(tasks_);
}

// The flush goes to the end of our own mailbox: all that is queued there already joins the batch.
void store_writer::request_flush() {
  if (std::exchange(flush_sent_, true)) return;
  send(this, store_flush{});
}

// Whatever is thrown, each job is always in one of the lists.
void store_writer::flush() {
  flush_sent_ = false;
  at_work_.swap(doubtful_);
  if (!at_work_.empty()) commit();

  while (!pending_.empty()) {
    std::size_t units = 0;
    while (!pending_.empty() && (at_work_.empty() || units + pending_.front()->request.units.size() <= settings_.max_batch_commands)) {
      units += pending_.front()->request.units.size();
      at_work_.push_back(std::move(pending_.front()));
      pending_.pop_front();
    }
    commit();
  }

  run_tasks(tasks_between_commits);
  if (!tasks_.empty()) request_flush();

  if (!doubtful_.empty() && !std::exchange(flush_sent_, true))
    delayed_send(this, settings_.settle_interval, store_flush{});
}

void store_writer::commit() {
  std::vector<const commit_request*> requests;
  requests.reserve(at_work_.size());
  for (const auto& job : at_work_) {
    job->was_taken_up.store(true, std::memory_order_relaxed);
    requests.push_back(&job->request);
  }
  auto outcomes = waiting_for([&] { return connection_->commit_all(requests); });
  for (std::size_t i = 0; i < at_work_.size(); ++i) at_work_[i]->outcome = std::move(outcomes[i]);
  note();
  for (auto& job : at_work_) {
    if (job->outcome.failure.code == errc::in_doubt && !job->outcome.is_final) {
      job->request.in_doubt = true;
      doubtful_.push_back(job);
      job.reset();
    } else {
      hand_back(job);
    }
  }
  at_work_.clear();
}

void store_writer::note() {
  const bool works = std::any_of(at_work_.begin(), at_work_.end(), [](auto& job) { return store_trouble::shows_a_working_store(job->outcome); });
  if (works) trouble_.end(settings_.hooks.warn);
  for (const auto& job : at_work_) {
    const auto& failure = job->outcome.failure;
    if (!works && !failure.is_damage) trouble_.note(job->outcome, settings_.hooks.warn);
    if (!settings_.hooks.fault) continue;
    if (failure.code == errc::program_failed && faults_.may_say(job->request.aggregate_type)) settings_.hooks.fault(failure.message);
    if (!failure.is_damage) continue;
    const auto aggregate = job->request.aggregate_type + " " + job->request.aggregate_id.text();
    if (faults_.may_say(aggregate)) settings_.hooks.fault(aggregate + " cannot be committed: " + failure.message);
  }
}

void store_writer::run_tasks(std::size_t limit) {
  for (std::size_t i = 0; i < limit && !tasks_.empty(); ++i) {
    run_task(tasks_.front(), *connection_, settings_.hooks);
    tasks_.pop_front();
  }
}

void store_writer::stop(const store_stop& order) {
  flush();
  while (!tasks_.empty() && std::chrono::steady_clock::now() < order.until) run_tasks(1);
  hand_back_all(tasks_);
  hand_back_all(doubtful_);
  quit();
}

store_reader::store_reader(caf::actor_config& config, std::unique_ptr<store> connection, store_actor_settings settings)
    : caf::event_based_actor(config), connection_(std::move(connection)), settings_(settings) {}

auto store_reader::make_behavior() -> caf::behavior {
  be_watched(*this, "a reader of the store", settings_.hooks.died);
  return {
      [this](store_task_ptr& task) {
        take(task);
        task->reply_to = caf::actor_cast<caf::actor>(current_sender());
        task.reset();
        request_flush();
      },
      [this](store_flush) { flush(); },
      [this](store_stop) {
        do flush();
        while (!hydrations_.empty() || !questions_.empty());
        quit();
      },
  };
}

void store_reader::take(store_task_ptr& task) {
  if (auto hydration = std::dynamic_pointer_cast<history_task>(task)) {
    hydrations_.push_back(std::move(hydration));
  } else if (auto question = std::dynamic_pointer_cast<question_task>(task)) {
    auto& of_asker = questions_.of(question->caller()).of(question->asker());
    of_asker.push_back(std::move(question));
  } else {
    pending_.push_back(task);
  }
}

void store_reader::on_exit() {
  hand_back_all(at_work_);
  hand_back_all(pending_);
  hand_back_all(hydrations_);
  while (!questions_.empty())
    questions_.take_turn([](auto& of_caller) {
      while (!of_caller.empty()) of_caller.take_turn([](auto& of_asker) { hand_back_all(of_asker); });
    });
}

// To the end of the mailbox, as the writer's.
void store_reader::request_flush() {
  if (!std::exchange(flush_sent_, true)) send(this, store_flush{});
}

void store_reader::flush() {
  flush_sent_ = false;
  at_work_.swap(pending_);
  run_what_is_at_work();
  hydrate_some();
  work_on_a_question();
  if (!hydrations_.empty() || !questions_.empty()) request_flush();
}

void store_reader::hydrate_some() {
  std::vector<history_task_ptr> wanted;
  while (!hydrations_.empty() && at_work_.size() < settings_.max_concurrent_hydrations) {
    auto& next = hydrations_.front();
    if (next->is_wanted()) wanted.push_back(next);
    at_work_.push_back(next);
    hydrations_.pop_front();
  }
  if (!wanted.empty()) read_together(wanted, *connection_);
  run_what_is_at_work();
}

void store_reader::run_what_is_at_work() {
  for (const auto& task : at_work_) run_task(task, *connection_, settings_.hooks);
  at_work_.clear();
}

// A slice for the asker whose turn it is, and whose question has begun or may.
void store_reader::work_on_a_question() {
  bool has_worked = false;
  while (!has_worked && !questions_.empty())
    questions_.take_turn([&](auto& of_caller) { of_caller.take_turn([&](auto& of_asker) { has_worked = work_on_next(of_asker); }); });
}

// Questions that are over are handed back on the way, which reads nothing. False when nothing was read.
auto store_reader::work_on_next(std::deque<question_task_ptr>& of_asker) -> bool {
  const auto end_first = [&] {
    open_questions_.erase(of_asker.front().get());
    hand_back(of_asker.front());
    of_asker.pop_front();
  };
  while (!of_asker.empty() && of_asker.front()->give_up()) end_first();
  if (of_asker.empty()) return false;
  auto& next = *of_asker.front();
  if (!open_questions_.contains(&next) && !may_begin(next)) return false;
  open_questions_.insert(&next);
  if (work_on(next, *connection_, settings_.hooks)) end_first();
  return true;
}

// A question that has begun holds what it has read. Callers with many do not keep a caller with one from its turn.
auto store_reader::may_begin(const question_task& next) const -> bool {
  if (open_questions_.size() < settings_.max_open_questions) return true;
  return std::none_of(open_questions_.begin(), open_questions_.end(), [&](const auto* open) { return open->caller() == next.caller(); });
}

auto spawn_store_writer(caf::actor_system& system, std::unique_ptr<store> connection, store_actor_settings settings)
    -> caf::actor {
  return spawn_where_it_can_wait<store_writer>(system, std::move(connection), settings);
}

auto spawn_store_reader(caf::actor_system& system, std::unique_ptr<store> connection, store_actor_settings settings)
    -> caf::actor {
  return spawn_where_it_can_wait<store_reader>(system, std::move(connection), settings);
}

}  // namespace maestro
