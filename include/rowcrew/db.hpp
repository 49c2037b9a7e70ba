// The door to the database: closures run on a database thread, one connection each, and see a
// transaction; results come back as values. No driver type appears here.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rowcrew {

/// A statement as embedded from sql/queries: its name is the file's path without ".sql". The text
/// is final (templates are rendered before use). Both views must stay valid for the process.
struct Statement {
  std::string_view name;
  std::string_view text;
};

/// Parameters in order, text format. Absent optionals are NULL. Cast in the SQL ($1::uuid[]).
class Params {
 public:
  Params& add(std::string_view text) { values_.emplace_back(std::string(text)); return *this; }
  Params& add(const std::string& text) { return add(std::string_view(text)); }
  Params& add(const char* text) { return add(std::string_view(text)); }
  Params& add(std::nullopt_t) { values_.emplace_back(std::nullopt); return *this; }
  Params& add(const std::optional<std::string>& text) { values_.push_back(text); return *this; }
  template <std::integral T>
  Params& add(T number) { values_.emplace_back(std::to_string(number)); return *this; }
  Params& add(bool flag) { values_.emplace_back(flag ? "t" : "f"); return *this; }
  /// Milliseconds, to be cast: ($1::bigint * interval '1 ms').
  Params& add(std::chrono::milliseconds span) { return add(span.count()); }
  /// Array literals; elements of a text array may be anything, absent ones become NULL.
  Params& add_array(std::span<const std::string> elements);
  Params& add_array(std::span<const std::optional<std::string>> elements);
  Params& add_array(std::span<const std::int64_t> elements);

  const std::vector<std::optional<std::string>>& values() const { return values_; }

 private:
  std::vector<std::optional<std::string>> values_;
};

/// The rows of one result: a value, text format, NULLs kept. Columns by position.
class Rows {
 public:
  Rows() = default;
  explicit Rows(std::size_t columns) : columns_(columns) {}

  void append(std::optional<std::string_view> cell);  ///< row by row, left to right
  void set_affected(std::uint64_t rows) { affected_ = rows; }

  std::size_t size() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  bool empty() const { return size() == 0; }
  std::size_t columns() const { return columns_; }
  /// Rows changed by an INSERT, UPDATE or DELETE; rows returned by a SELECT.
  std::uint64_t affected() const { return affected_; }

  bool is_null(std::size_t row, std::size_t column) const;
  /// Empty for NULL. Valid while this object lives.
  std::string_view text(std::size_t row, std::size_t column) const;
  /// Throws BugError on NULL or on anything but a whole number.
  std::int64_t integer(std::size_t row, std::size_t column) const;
  bool boolean(std::size_t row, std::size_t column) const { return text(row, column) == "t"; }

 private:
  struct Cell {
    std::uint32_t offset;
    std::int32_t length;  ///< -1: NULL
  };
  std::size_t columns_ = 0;
  std::uint64_t affected_ = 0;
  std::vector<Cell> cells_;
  std::string bytes_;
};

/// One transaction, READ COMMITTED. Valid only inside the closure, on that database thread.
class Tx {
 public:
  virtual ~Tx() = default;
  /// Throws DbError (db_error.hpp), and BugError of COPY to or from the client and of more than 65535 parameters.
  virtual Rows exec(const Statement& statement, const Params& params) = 0;
  Rows exec(const Statement& statement) { return exec(statement, Params{}); }
};

enum class TxMode {
  autocommit,   ///< exactly one statement; one round trip
  transaction,  ///< BEGIN ISOLATION LEVEL READ COMMITTED … COMMIT
};

class Db {
 public:
  virtual ~Db() = default;

  /// Runs `work(Tx&)` on a database thread and returns its value on the caller's executor. The
  /// closure captures values only and touches no state of the event thread. It may be run once at
  /// most; a failure after COMMIT was sent is DbError with outcome_unknown().
  ///
  /// Name the closure before awaiting: `auto work = […](Tx& tx) {…}; co_await db.run(mode, work);`
  /// (g++ 12 destroys a capturing lambda inside a co_await expression twice.)
  ///
  /// Throws DbError; TransientError("db_busy") when the queue of waiting closures is full, and
  /// ("db_timeout") when `wait` passed before a database thread was free. Not cancellable once
  /// started: a cancelled caller resumes when the closure has ended (statements carry their own
  /// server-side timeout).
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<F&, Tx&>> run(TxMode mode, F work) {
    using R = std::invoke_result_t<F&, Tx&>;
    if constexpr (std::is_void_v<R>) {
      std::function<void(Tx&)> erased = std::move(work);
      co_await submit(mode, std::move(erased));
    } else {
      auto slot = std::make_shared<std::optional<R>>();
      std::function<void(Tx&)> erased = [slot, work = std::move(work)](Tx& tx) mutable {
        slot->emplace(work(tx));
      };
      co_await submit(mode, std::move(erased));
      co_return std::move(**slot);
    }
  }

  /// One statement in autocommit.
  boost::asio::awaitable<Rows> query(const Statement& statement, Params params) {
    auto work = [statement, params = std::move(params)](Tx& tx) { return tx.exec(statement, params); };
    co_return co_await run(TxMode::autocommit, std::move(work));
  }

 protected:
  virtual boost::asio::awaitable<void> submit(TxMode mode, std::function<void(Tx&)> work) = 0;
};

}  // namespace rowcrew
