// Another session in the middle of a transaction: it has carried out its statements and keeps its
// locks until told otherwise.
#pragma once

#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/db/temp_database.hpp"

namespace rowcrew::testing {

class HeldTransaction {
 public:
  HeldTransaction(const TempDatabase& db, std::string sql)
      : thread_([this, options = options_of(db), sql = std::move(sql)] { hold(options, sql); }) {
    try {
      ready_.get_future().get();
    } catch (...) {
      thread_.join();
      throw;
    }
  }
  ~HeldTransaction() { end(false); }
  HeldTransaction(const HeldTransaction&) = delete;
  HeldTransaction& operator=(const HeldTransaction&) = delete;

  void commit() { end(true); }
  void roll_back() { end(false); }

 private:
  struct RolledBack : std::runtime_error {
    RolledBack() : std::runtime_error("rolled back on purpose") {}
  };

  static PoolOptions options_of(const TempDatabase& db) {
    PoolOptions options = db.options();
    options.lock_timeout = std::chrono::milliseconds(0);
    return options;
  }

  void hold(const PoolOptions& options, const std::string& sql) {
    bool reported = false;
    try {
      auto work = [&](Tx& tx) {
        exec_script(tx, sql);
        reported = true;
        ready_.set_value();
        if (!decision_.get_future().get()) throw RolledBack();
      };
      run_once(options, TxMode::transaction, work);
    } catch (const RolledBack&) {
    } catch (...) {
      if (!reported) ready_.set_exception(std::current_exception());
    }
  }

  void end(bool commit) {
    if (!thread_.joinable()) return;
    decision_.set_value(commit);
    thread_.join();
  }

  std::promise<void> ready_;
  std::promise<bool> decision_;
  std::thread thread_;  ///< last: it uses the others
};

}  // namespace rowcrew::testing
