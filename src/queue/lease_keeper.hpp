// When this node beats, and when it must stop its handlers because it could not: pure.
//
// The lease is a promise between a node and whoever may declare it dead, each timing the beat
// counter with its own clock (engine protocol, section "Lease"):
//
//   node:    all handlers are dead by  t_send(last acknowledged beat) + S + K + J
//   reaper:  declares dead not before  t_first_read(that same beat) + L
//   hence    S + K + J <= L * (1 - 2 * rho) - epsilon
#pragma once

#include <chrono>
#include <optional>

#include <rowcrew/clock.hpp>

namespace rowcrew {

struct LeaseTimes {
  using Span = MonoClock::duration;
  Span lease;       ///< L
  Span beat_every;  ///< a sixth of the lease: three in a row may be lost
  Span stop_after;  ///< S: since the send of the last acknowledged beat
  Span grace;       ///< K: cancel to SIGKILL of the group to reaped
  Span stall;       ///< J: longest unnoticed stall of the process, enforced by the watchdog

  /// The shares for a lease of L: K = L/6, J = L/15, epsilon = L/30, rho = 0.001; S is the rest
  /// (30 s: K 5 s, J 2 s, S 21.9 s).
  static LeaseTimes of(Span lease);
};

class LeaseKeeper {
 public:
  enum class Action {
    beat,  ///< send a heartbeat now
    stop,  ///< the lease is about to end: stop every handler, start nothing
    wait,  ///< nothing until `until`
  };
  struct Next {
    Action action;
    Mono until;
  };

  LeaseKeeper(LeaseTimes times, Mono registered_at) : times_(times), held_since_(registered_at) {}

  /// `stretched`: so many times beat_every between two beats. A node that has nothing to lose with its lease
  /// need not provide for as many lost beats; up to 3 leaves time for one of them.
  Next next(Mono now, double stretched = 1) const;
  void sent(Mono now) { last_sent_ = now; }
  /// The beat that was sent at `sent_at` has been committed. Ignored when older than the last.
  void acknowledged(Mono sent_at);
  /// Whether a write or a start may still rest on the lease.
  bool holds(Mono now) const { return now < held_since_ + times_.stop_after; }
  Mono stop_at() const { return held_since_ + times_.stop_after; }
  /// When guardians of child programs act by themselves, should this process be stopped or stuck:
  /// half of the stall that is allowed after stop_at(), and with their grace still within the lease.
  Mono children_end_at() const { return stop_at() + times_.stall / 2; }
  const LeaseTimes& times() const { return times_; }

 private:
  LeaseTimes times_;
  Mono held_since_;
  std::optional<Mono> last_sent_;
};

}  // namespace rowcrew
