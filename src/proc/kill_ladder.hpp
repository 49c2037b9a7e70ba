// How hard a child is pushed to its end, decided step by step: pure, so that it can be read and
// tested without a process. Used by the shim, hence no Boost and no allocation.
#pragma once

namespace rowcrew {

/// running -> terminating (SIGTERM sent, grace runs) -> killing (SIGKILL until nothing is left).
/// A phase is never left backwards, and a second request never prolongs the grace.
class KillLadder {
 public:
  enum class Step {
    none,
    terminate,  ///< SIGTERM to the group, and start the grace timer
    kill,       ///< SIGKILL to the group and to every descendant, now and until none is left
  };

  /// The timer fired: the deadline while running, the end of the grace while terminating.
  Step timer() {
    if (phase_ == Phase::running) {
      timed_out_ = true;
      return terminate();
    }
    return kill();
  }

  /// The daemon's lease is over and the daemon has done nothing about it: it is stopped or stuck,
  /// and another may start the job soon.
  Step lease_over() {
    if (phase_ != Phase::running) return Step::none;
    lease_over_ = true;
    return terminate();
  }

  /// The daemon wants the child to end.
  Step asked() { return phase_ == Phase::running ? terminate() : Step::none; }

  /// The daemon is gone: nobody will read the result, and its lease may already be another's.
  Step orphaned() { return kill(); }

  /// The program itself ended; processes that it started may live. One that ended by itself has
  /// left strays behind, which go at once. One that was told to end has companions which were told
  /// too: they keep the rest of the grace.
  Step program_ended() { return phase_ == Phase::running ? kill() : Step::none; }

  bool timed_out() const { return timed_out_; }
  bool outlived_lease() const { return lease_over_; }
  bool killing() const { return phase_ == Phase::killing; }

 private:
  enum class Phase { running, terminating, killing };

  Step terminate() {
    phase_ = Phase::terminating;
    return Step::terminate;
  }
  Step kill() {
    if (phase_ == Phase::killing) return Step::none;
    phase_ = Phase::killing;
    return Step::kill;
  }

  Phase phase_ = Phase::running;
  bool timed_out_ = false;
  bool lease_over_ = false;
};

}  // namespace rowcrew
