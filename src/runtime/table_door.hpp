// One table's way to the database, which notices when an adopted table is no longer what it was when it
// was adopted: its statements are then refused as a whole, whatever job they are about.
#pragma once

#include <string>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>

namespace rowcrew {

/// Whether this error says that the application has changed its table under us: a column, a type, a
/// word, a right or the table itself is gone. Pure.
bool tells_of_changed_table(const DbError& error);
/// Whether a statement about several jobs may have failed because of one job's row: its neighbours need not wait for it.
bool tells_of_a_row(const Error& error);

/// Event thread only. Passes everything on, errors included.
class TableDoor final : public Db {
 public:
  /// `watched`: false for tables of our own, which nobody changes.
  TableDoor(Db& inner, bool watched) : inner_(inner), watched_(watched) {}

  /// What the server said; empty while all is well.
  const std::string& fault() const { return fault_; }
  void clear() { fault_.clear(); }
  /// What went another way to the same table was answered so.
  void refused(const DbError& error);

 protected:
  boost::asio::awaitable<void> submit(TxMode mode, std::function<void(Tx&)> work) override;

 private:
  Db& inner_;
  bool watched_;
  std::string fault_;
};

}  // namespace rowcrew
