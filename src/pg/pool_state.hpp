// The threads, the queue of closures and the shut-down of a Pool.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "pg/backoff.hpp"
#include "pg/connection.hpp"
#include "pg/connection_handle.hpp"
#include "pg/interrupt.hpp"
#include "pg/pool.hpp"
#include "pg/session.hpp"

namespace rowcrew {

struct Pool::State {
  struct Request {
    TxMode mode;
    std::function<void(Tx&)> work;
    SteadyTime deadline;
    std::function<void(std::exception_ptr)> done;  ///< any thread; called once
  };

  State(PoolOptions pool_options, Log& pool_log);
  void start_threads();
  void push(std::unique_ptr<Request> request);
  void stop(std::chrono::milliseconds within);
  void join();
  std::size_t waiting() const;
  Usage usage() const;
  void give_way();

  const PoolOptions options;
  Log& log;
  std::atomic<bool> reachable{false};
  std::function<void()> on_loss;

 private:
  struct Worker {
    explicit Worker(const PoolOptions& o) : connector(o) {}
    Connector connector;
    ConnectionHandle handle;
    AnswerWatch answers;
    std::unique_ptr<Session> session;
    unsigned losses_before = 0;  ///< what losses_ was when the session was made
    bool running = false;  ///< this and the next two guarded by mutex_
    bool offered = false;  ///< rests, or is about to
    bool called = false;   ///< something was queued while it rested, or it is to give way
    bool gives_way = false;
    std::condition_variable call;
    std::thread thread;
  };

  void work(Worker& worker);
  void rest(std::unique_lock<std::mutex>& lock, Worker& worker);
  void offer(Worker& worker);
  void withdraw(Worker& worker);
  void call_one();
  bool stands_aside(const Worker& worker) const;
  std::exception_ptr run(Worker& worker, Request& request);
  Session& session_of(Worker& worker, SteadyTime deadline);
  void drop_session(Worker& worker);
  void note_loss(const Worker& worker);
  void await_turn(SteadyTime deadline);
  bool try_connect(Worker& worker);
  void note_crowd(const std::string& reason);
  void note_failure(const std::string& reason);
  void note_success();
  void watch_over();
  void end_overdue(SteadyTime when);
  std::unique_ptr<Request> next_late(SteadyTime when);

  bool await_idle(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds within);
  void cancel_running(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable turn_, idle_, watcher_wake_;
  std::deque<std::unique_ptr<Request>> queue_;
  std::size_t running_ = 0;
  /// The last to come is the first to go: its connection is warm, and those of the others are only
  /// made when there is work for them at the same time.
  std::vector<Worker*> resting_;
  std::size_t waiting_workers_ = 0;  ///< that rest or are about to, or were called and have not begun yet
  bool stopping_ = false;
  bool watcher_dozes_ = false;  ///< until the next tick: nothing was waiting in the queue
  std::atomic<unsigned> sessions_{0};
  SteadyTime crowded_until_{};  ///< guarded by mutex_: until then workers without a session leave the work to others
  SteadyTime next_crowd_line_{};
  std::atomic<unsigned> losses_{0};  ///< of several at once, the first counts
  Outage outage_;
  std::minstd_rand jitter_{std::random_device{}()};
  Interrupt interrupt_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::thread watcher_;
};

}  // namespace rowcrew
