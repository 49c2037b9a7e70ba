// A transaction that ends before a moment: each statement runs under a statement_timeout below what is
// left until then.
#pragma once

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>

namespace rowcrew {

/// One database thread; `clock` may be asked on any.
class LimitedTx final : public Tx {
 public:
  /// `ceiling`: the connection's own statement_timeout, which is never exceeded.
  LimitedTx(Tx& tx, const Clock& clock, Mono until, std::chrono::milliseconds ceiling)
      : tx_(tx), clock_(clock), until_(until), ceiling_(ceiling) {}

  /// Throws TransientError("too_late") when nothing is left.
  Rows exec(const Statement& statement, const Params& params) override;
  using Tx::exec;
  /// Before COMMIT. Throws as exec() does.
  void check() const { left(); }

 private:
  std::chrono::milliseconds left() const;

  Tx& tx_;
  const Clock& clock_;
  Mono until_;
  std::chrono::milliseconds ceiling_;
  std::chrono::milliseconds set_{0};  ///< in force; 0: the connection's own
};

}  // namespace rowcrew
