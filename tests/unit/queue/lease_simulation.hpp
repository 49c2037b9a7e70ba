// A node and a watcher, each with a clock of its own, around one row of the database: events in the
// order of true time. Delays, losses and stalls are drawn from a seed, and drawn to hurt: the
// node's clock may be slow, the watcher's fast, reads follow a commit at once and come back exactly
// when a lease is over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "queue/lease_keeper.hpp"
#include "queue/lease_watch.hpp"

namespace rowcrew::testing {

class LeaseSimulation {
 public:
  using Span = MonoClock::duration;

  LeaseSimulation(Span lease, double node_rate, double watcher_rate, std::uint64_t seed)
      : times_(LeaseTimes::of(lease)),
        random_(seed),
        node_{node_rate, Mono{std::chrono::hours(1)}},
        watcher_{watcher_rate, Mono{std::chrono::hours(9)}},
        keeper_(times_, node_.at(0)) {
    after(0, [this] { heart(); });
    after(0, [this] { guard(); });
    after(0, [this] { watch(); });
  }

  void run(int steps) {
    for (; steps > 0 && !events_.empty(); --steps) {
      const auto first = events_.begin();
      now_ = first->first;
      const auto event = std::move(first->second);
      events_.erase(first);
      event();
    }
  }

  int deaths() const { return deaths_; }
  int revivals() const { return revivals_; }
  /// True time from the end of the last handler to the declaration of death, the shortest of all;
  /// negative: a handler was alive.
  double least_margin() const { return least_margin_; }

 private:
  using True = double;  ///< nanoseconds

  struct LocalClock {
    double rate;
    Mono start;
    Mono at(True t) const { return start + Span(std::llround(t * rate)); }
    True when(Mono local) const { return static_cast<True>((local - start).count()) / rate; }
    True lasting(Span span) const { return static_cast<True>(span.count()) / rate; }
  };

  void after(True delay, std::function<void()> event) {
    events_.emplace(now_ + delay, std::move(event));
  }
  void at(True t, std::function<void()> event) {
    events_.emplace(std::max(now_, t), std::move(event));
  }
  bool chance(double p) { return unit_(random_) < p; }
  True lease_part(double most) {
    return static_cast<True>(times_.lease.count()) * most * unit_(random_);
  }
  /// Mostly nothing or little, sometimes a good part of a lease.
  True delay() {
    if (chance(0.6)) return 0;
    return chance(0.1) ? lease_part(0.7) : lease_part(0.01);
  }

  // The node. One beat at a time, as the heartbeat service does it.
  void heart() {
    if (chance(0.1)) outage_until_ = now_ + lease_part(2.5);
    const Mono local = node_.at(now_);
    const LeaseKeeper::Next next = keeper_.next(local);
    if (next.action == LeaseKeeper::Action::wait) {
      at(node_.when(next.until) + stall(), [this] { heart(); });
      return;
    }
    keeper_.sent(local);
    const bool outage = now_ < outage_until_;
    const bool arrives = !chance(outage ? 0.9 : 0.05);
    const bool answered = arrives && !chance(outage ? 0.9 : 0.05);
    if (arrives) after(delay(), [this, local, answered] { commit(local, answered); });
    if (!answered) after(lease_part(0.4), [this] { heart(); });
  }
  void commit(Mono sent, bool answered) {
    const bool accepted = !dead_;
    if (accepted) {
      ++beat_;
      if (chance(0.5)) after(0, [this] { look(); });
    }
    if (!answered) return;
    after(delay() + stall(), [this, sent, accepted] {
      if (accepted) {
        keeper_.acknowledged(sent);
        restart_handlers();
      } else {
        register_anew();
      }
      heart();
    });
  }
  void register_anew() {
    end_handlers();
    ++epoch_;
    beat_ = 0;
    dead_ = false;
    keeper_ = LeaseKeeper(times_, node_.at(now_));
    after(node_.lasting(times_.grace), [this] { restart_handlers(); });
  }

  // The node's lease guard: late by at most the longest stall.
  void guard() {
    if (keeper_.holds(node_.at(now_))) {
      at(node_.when(keeper_.stop_at()) + 1 + stall(), [this] { guard(); });
      return;
    }
    end_handlers();
    after(lease_part(0.02), [this] { guard(); });
  }
  True stall() { return node_.lasting(times_.stall) * (chance(0.5) ? unit_(random_) : 1.0); }
  void end_handlers() {
    if (handlers_) dead_from_ = now_ + node_.lasting(times_.grace);
    handlers_ = false;
  }
  void restart_handlers() {
    if (handlers_ || now_ < dead_from_ || !keeper_.holds(node_.at(now_))) return;
    handlers_ = true;
    ++revivals_;
  }

  // The watcher.
  void watch() {
    look();
    after(lease_part(0.3), [this] { watch(); });
  }
  void look() {
    const Mono asked = watcher_.at(now_);
    after(delay(), [this, asked] {
      std::vector<NodeBeat> row;
      if (!dead_) row.push_back({1, epoch_, beat_, times_.lease});
      after(delay(), [this, asked, row = std::move(row)] { answered(asked, row); });
    });
  }
  void answered(Mono asked, const std::vector<NodeBeat>& row) {
    const Mono read = watcher_.at(now_);
    // One read at a time in the watcher's own order: an answer that was overtaken is dropped.
    if (asked < latest_asked_) return;
    latest_asked_ = asked;
    for (const NodeBeat& late : lease_watch_.observe(asked, read, row)) {
      after(delay(), [this, late] { declare(late); });
    }
    if (row.empty() || row[0].beat == latest_beat_) return;
    latest_beat_ = row[0].beat;
    at(watcher_.when(read + times_.lease) + 1, [this] { look(); });
  }
  void declare(const NodeBeat& late) {
    if (dead_ || late.epoch != epoch_ || late.beat != beat_) return;
    dead_ = true;
    ++deaths_;
    const True margin = handlers_ ? -std::numeric_limits<True>::infinity() : now_ - dead_from_;
    least_margin_ = std::min(least_margin_, margin);
  }

  LeaseTimes times_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> unit_{0, 1};
  True now_ = 0;
  True outage_until_ = 0;
  std::multimap<True, std::function<void()>> events_;

  std::int64_t epoch_ = 1;  // the row
  std::int64_t beat_ = 0;
  bool dead_ = false;

  LocalClock node_;
  LocalClock watcher_;
  LeaseKeeper keeper_;
  bool handlers_ = true;
  True dead_from_ = 0;  ///< when the handlers that were told to stop are gone
  LeaseWatch lease_watch_;
  Mono latest_asked_{};
  std::int64_t latest_beat_ = -1;
  int deaths_ = 0;
  int revivals_ = 0;
  True least_margin_ = std::numeric_limits<True>::infinity();
};

}  // namespace rowcrew::testing
