#include <maestro/store/store_actor.hpp>

#include <maestro/store/page_sizer.hpp>
#include <maestro/store/watched.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <exception>
#include <iterator>
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

void hand_back(const commit_job_ptr& job) {
  // The handle moves out first: the receiver may hold the job longer than it holds itself.
  caf::actor to = std::move(job->reply_to);
  job->reply_to = nullptr;
  const hand_on thread;
  if (to) caf::anon_send(to, job);
}

void hand_back(const store_task_ptr& task) {
  caf::actor to = std::move(task->reply_to);
  task->reply_to = nullptr;
  const hand_on thread;
  if (to) caf::anon_send(to, task);
}

// What was thrown goes to the log. What it was thrown by goes back as it came, and says of itself that it did not run.
void say_what_was_thrown(const store_actor_hooks& hooks, const char* by) {
  std::string what = "an exception of unknown type";
  try {
    throw;
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {
  }
  if (hooks.fault) hooks.fault(std::string(by) + " was given up by a fault: " + what);
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
        job->reply_to = caf::actor_cast<caf::actor>(current_sender());
        gather(std::move(job));
      },
      [this](store_task_ptr& task) {
        task->reply_to = caf::actor_cast<caf::actor>(current_sender());
        tasks_.push_back(std::move(task));
        request_flush();
      },
      [this](store_flush) { flush(); },
      [this](const store_stop& order) { stop(order); },
  };
}

// The flush goes to the end of our own mailbox: all that is queued there already joins the batch.
void store_writer::request_flush() {
  if (std::exchange(flush_sent_, true)) return;
  send(this, store_flush{});
}

void store_writer::gather(commit_job_ptr job) {
  pending_.push_back(std::move(job));
  request_flush();
}

void store_writer::flush() {
  flush_sent_ = false;
  if (!doubtful_.empty()) commit(std::exchange(doubtful_, {}));

  auto waiting = std::exchange(pending_, {});
  for (std::size_t next = 0; next < waiting.size();) {
    std::vector<commit_job_ptr> batch;
    std::size_t units = 0;
    while (next < waiting.size() && (batch.empty() || units + waiting[next]->request.units.size() <= settings_.max_batch_commands)) {
      units += waiting[next]->request.units.size();
      batch.push_back(std::move(waiting[next++]));
    }
    commit(std::move(batch));
  }

  run_tasks(tasks_between_commits);
  if (!tasks_.empty()) request_flush();

  if (!doubtful_.empty() && !std::exchange(flush_sent_, true))
    delayed_send(this, settings_.settle_interval, store_flush{});
}

void store_writer::commit(std::vector<commit_job_ptr> batch) {
  std::vector<const commit_request*> requests;
  requests.reserve(batch.size());
  for (const auto& job : batch) {
    job->was_taken_up.store(true, std::memory_order_relaxed);
    requests.push_back(&job->request);
  }
  auto outcomes = waiting_for([&] { return connection_->commit_all(requests); });
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i]->outcome = std::move(outcomes[i]);
  note(batch);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (batch[i]->outcome.failure.code == errc::in_doubt && !batch[i]->outcome.is_final) {
      batch[i]->request.in_doubt = true;
      doubtful_.push_back(std::move(batch[i]));
    } else {
      hand_back(batch[i]);
    }
  }
}

void store_writer::note(const std::vector<commit_job_ptr>& batch) {
  const bool works = std::any_of(batch.begin(), batch.end(), [](auto& job) { return store_trouble::shows_a_working_store(job->outcome); });
  if (works) trouble_.end(settings_.hooks.warn);
  for (const auto& job : batch) {
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
  tasks_.clear();
  for (auto& job : std::exchange(doubtful_, {})) hand_back(job);
  quit();
}

store_reader::store_reader(caf::actor_config& config, std::unique_ptr<store> connection, store_actor_settings settings)
    : caf::event_based_actor(config), connection_(std::move(connection)), settings_(settings) {}

auto store_reader::make_behavior() -> caf::behavior {
  be_watched(*this, "a reader of the store", settings_.hooks.died);
  return {
      [this](store_task_ptr& task) {
        task->reply_to = caf::actor_cast<caf::actor>(current_sender());
        if (auto hydration = std::dynamic_pointer_cast<history_task>(task)) {
          hydrations_.push_back(std::move(hydration));
        } else if (auto question = std::dynamic_pointer_cast<question_task>(task)) {
          auto& of_asker = questions_.of(question->caller()).of(question->asker());
          of_asker.push_back(std::move(question));
        } else {
          pending_.push_back(std::move(task));
        }
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

// To the end of the mailbox, as the writer's.
void store_reader::request_flush() {
  if (!std::exchange(flush_sent_, true)) send(this, store_flush{});
}

void store_reader::flush() {
  flush_sent_ = false;
  for (const auto& task : std::exchange(pending_, {})) run_task(task, *connection_, settings_.hooks);
  hydrate_some();
  work_on_a_question();
  if (!hydrations_.empty() || !questions_.empty()) request_flush();
}

void store_reader::hydrate_some() {
  const auto count = std::min(hydrations_.size(), settings_.max_concurrent_hydrations);
  if (count == 0) return;
  const auto end = hydrations_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::vector<history_task_ptr> some(std::make_move_iterator(hydrations_.begin()), std::make_move_iterator(end));
  hydrations_.erase(hydrations_.begin(), end);
  std::vector<history_task_ptr> wanted;
  std::copy_if(some.begin(), some.end(), std::back_inserter(wanted), [](const auto& task) { return task->is_wanted(); });
  if (!wanted.empty()) read_together(wanted, *connection_);
  for (const auto& task : some) run_task(task, *connection_, settings_.hooks);
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
