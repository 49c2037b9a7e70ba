// What the executions of one job have spent at its provider, kept in the job's checkpoint: pure.
#pragma once

#include <cstdint>
#include <string>

#include <rowcrew/job.hpp>

namespace rowcrew::generation {

/// A call that may have been processed though nobody saw its answer is repeated once per job, and not again.
class PaidCalls {
 public:
  static constexpr int kMostLost = 1;

  enum class Past {
    nothing,   ///< no call is open
    sent,      ///< an execution ended between a call and its answer, which may lie in its part
    answered,  ///< an answer that was paid for lies in the part of the execution that got it
    unknown,   ///< a node died with this job, and nothing says whether a call was open
  };

  PaidCalls() = default;
  /// `checkpoint`: JSON as it was kept, or empty. What another provider left counts as none.
  PaidCalls(const std::string& provider, const std::string& checkpoint);

  std::string to_json() const;
  Past past(const Job& job) const;

  /// A call begins, under this claim.
  void send(const Job& job);
  /// It was answered with no picture to pay for, or was never sent.
  void close(const Job& job);
  /// Its answer is in the part of this claim. `request_id`: how the provider calls the exchange.
  void answer(const Job& job, std::string request_id);
  /// The same for an answer of an earlier execution, which this one has taken over.
  void take_over(const Job& job) { claim = job.claim_token; }
  void lose(const Job& job);

  std::string provider;
  int sent = 0;      ///< calls so far
  int lost = 0;      ///< of them those without an answer
  int in_vain = 0;   ///< and those that gave no picture
  int crashes = 0;   ///< of the job, when this was written
  std::string state = "closed";  ///< "closed", "sent" or "answered"
  std::int64_t claim = 0;        ///< whose part the answer is in
  std::string request_id;
  bool booked = false;
};

}  // namespace rowcrew::generation
