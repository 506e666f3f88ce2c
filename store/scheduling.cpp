#include <maestro/store/scheduling.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/policy/unprofiled.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <caf/scheduler/coordinator.hpp>
#include <caf/scheduler/worker.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace maestro {

namespace {

// Where the number of threads that may run actors at a time is kept for the scheduler, whom CAF makes.
constexpr const char* running_threads = "maestro.running-threads";

// So many actors may be run next, one after the other, before the queue has its turn.
constexpr int most_in_a_row = 16;

class job_queue;

// What one thread has for itself. CAF copies the first one for each thread.
struct seat {
  explicit seat(job_queue& whose) : of(&whose) {}
  seat(const seat& other) : of(other.of) {}
  auto operator=(const seat&) -> seat& = delete;
  ~seat() = default;

  job_queue* of;
  caf::resumable* next = nullptr;
  int in_a_row = 0;               // How many were `next` since one came from the queue.
  bool woken = false;             // Guarded by the queue's mutex.
  std::condition_variable wakes;
};

thread_local seat* here = nullptr;
thread_local bool is_handing_on = false;

// What the threads of one scheduler share. While there are jobs in it, as many threads run as may, or all that are not blocked.
class job_queue {
 public:
  explicit job_queue(std::size_t most_running) : most_running_(most_running) {}

  void put(caf::resumable* job) {
    std::unique_lock lock(mutex_);
    jobs_.push_back(job);
    wake_one(std::move(lock));
  }

  // Waits for a job that the thread at `at` may run.
  auto take(seat& at) -> caf::resumable* {
    std::unique_lock lock(mutex_);
    if (std::exchange(here, &at) == nullptr) ++running_;  // It has just begun.
    at.in_a_row = 0;
    if (at.next != nullptr) jobs_.push_back(std::exchange(at.next, nullptr));
    while (jobs_.empty() || running_ > most_running_) {
      --running_;
      at.woken = false;
      idle_.push_back(&at);
      at.wakes.wait(lock, [&] { return at.woken; });
    }
    auto* const job = jobs_.front();
    jobs_.pop_front();
    return job;
  }

  // A thread does not run actors any more, or not for a while.
  void leave() {
    std::unique_lock lock(mutex_);
    --running_;
    if (!jobs_.empty()) wake_one(std::move(lock));
  }

  // It does again, even if that makes one too many: one of them stops as soon as its actor has returned.
  void come_back() {
    const std::lock_guard lock(mutex_);
    ++running_;
  }

  auto take_all() -> std::deque<caf::resumable*> {
    const std::lock_guard lock(mutex_);
    return std::exchange(jobs_, {});
  }

 private:
  // Whoever is woken counts as running from this moment, so that nobody else is woken for the same job.
  void wake_one(std::unique_lock<std::mutex> lock) {
    if (running_ >= most_running_ || idle_.empty()) return;
    auto* const who = idle_.back();
    idle_.pop_back();
    ++running_;
    who->woken = true;
    lock.unlock();
    who->wakes.notify_one();
  }

  const std::size_t most_running_;
  std::mutex mutex_;
  std::deque<caf::resumable*> jobs_;
  std::vector<seat*> idle_;  // Who has worked last is woken first.
  std::size_t running_ = 0;
};

// What CAF's workers ask (see caf/policy/work_sharing.hpp).
class handing_on : public caf::policy::unprofiled {
 public:
  struct coordinator_data : job_queue {
    explicit coordinator_data(caf::scheduler::abstract_coordinator* parent)
        : job_queue(caf::get_or(parent->system().config(), running_threads, std::size_t{1})) {}
  };
  struct worker_data : seat {
    explicit worker_data(caf::scheduler::coordinator<handing_on>* parent) : seat(parent->data()) {}
  };

  template <class Coordinator>
  void central_enqueue(Coordinator* self, caf::resumable* job) {
    enqueue(self->data(), job);
  }
  template <class Worker>
  void internal_enqueue(Worker* self, caf::resumable* job) {
    enqueue(*self->data().of, job);
  }
  template <class Worker>
  void external_enqueue(Worker* self, caf::resumable* job) {
    self->data().of->put(job);
  }
  // The actor has more mail than it may read at once.
  template <class Worker>
  void resume_job_later(Worker* self, caf::resumable* job) {
    seat& at = self->data();
    if (dynamic_cast<goes_first*>(job) != nullptr) {
      std::swap(at.next, job);
      at.in_a_row = 0;
    }
    if (job != nullptr) at.of->put(job);
  }
  template <class Worker>
  auto dequeue(Worker* self) -> caf::resumable* {
    seat& at = self->data();
    if (at.next != nullptr && at.in_a_row++ < most_in_a_row) return std::exchange(at.next, nullptr);
    return at.of->take(at);
  }
  template <class Worker>
  void before_shutdown(Worker* self) {
    give_away_next();
    here = nullptr;
    self->data().of->leave();
  }
  template <class Worker, class Function>
  void foreach_resumable(Worker*, Function) {}  // Nobody keeps a job for itself when all have ended.
  template <class Coordinator, class Function>
  void foreach_central_resumable(Coordinator* self, Function apply) {
    for (auto* job : self->data().take_all()) apply(job);
  }

 private:
  static void enqueue(job_queue& to, caf::resumable* job) {
    if (is_handing_on && here != nullptr && here->of == &to) std::swap(here->next, job);
    if (job != nullptr) to.put(job);
  }
};

using coordinator = caf::scheduler::coordinator<handing_on>;

}  // namespace

void schedule_by_handing_on(caf::actor_system_config& config, std::size_t threads) {
  caf::put(config.content, running_threads, threads);
  config.load<coordinator>();
}

auto schedules_by_handing_on(caf::actor_system& system) -> bool { return dynamic_cast<coordinator*>(&system.scheduler()) != nullptr; }

hand_on::hand_on() : outer_(std::exchange(is_handing_on, true)) {}
hand_on::~hand_on() { is_handing_on = outer_; }

void give_away_next() {
  if (here != nullptr && here->next != nullptr) here->of->put(std::exchange(here->next, nullptr));
}

blocking_section::blocking_section() {
  if (here == nullptr) return;
  give_away_next();
  here->of->leave();
}
blocking_section::~blocking_section() {
  if (here != nullptr) here->of->come_back();
}

}  // namespace maestro
