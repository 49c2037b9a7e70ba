// run_cli() on a database, with streams that a test can read, from another thread too.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <ostream>
#include <sstream>
#include <streambuf>
#include <string>
#include <vector>

#include "cli/cli_program.hpp"
#include "support/db/login_role.hpp"
#include "support/db/temp_database.hpp"

namespace rowcrew::testing {

/// Keeps what is written to it.
class WatchedOutput final : public std::streambuf {
 public:
  std::atomic<bool> full{false};  ///< a disk that takes nothing more

  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    text_.clear();
  }
  /// False when `part` was not written within half a minute.
  bool await(const std::string& part) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30),
                             [&] { return text_.find(part) != std::string::npos; });
  }

 protected:
  int_type overflow(int_type c) override {
    const char one = traits_type::to_char_type(c);
    return xsputn(&one, 1) == 1 ? c : traits_type::eof();
  }
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    if (full) return 0;
    const std::lock_guard lock(mutex_);
    text_.append(text, static_cast<std::size_t>(size));
    changed_.notify_all();
    return size;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string text_;
};

class CliBench {
 public:
  explicit CliBench(std::string url) : url_(std::move(url)) {}

  int run(std::vector<std::string> args, const std::string& input = {}) {
    std::istringstream in(input);
    out_text.clear();
    err_text.clear();
    out_.clear();
    const PoolOptions options = options_for(url_);
    if (options.pooled) {
      ::setenv("ROWCREW_DATABASE_POOLED", "true", 1);
      ::setenv("ROWCREW_DATABASE_DIRECT_URL", options.direct_url.c_str(), 1);
    }
    args.insert(args.begin(), {"--database", options.url});
    return cli::run_cli(args, cli::commands(), {{}, in, out_, err_, interactive});
  }
  std::string out() const { return out_text.text(); }
  std::string err() const { return err_text.text(); }

  /// From another thread: what Ctrl-C does, once `part` stands in that output.
  static void interrupt_after(const WatchedOutput& output, const std::string& part) {
    if (output.await(part)) ::kill(::getpid(), SIGTERM);
  }

  bool interactive = false;
  WatchedOutput out_text;
  WatchedOutput err_text;

 private:
  std::string url_;
  std::ostream out_{&out_text};
  std::ostream err_{&err_text};
};

}  // namespace rowcrew::testing
