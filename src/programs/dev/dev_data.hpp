// What `rowcrew dev` reads and shows, as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowcrew::dev {

/// Of the demo app, since its database was made.
struct Counts {
  std::int64_t found = 0;
  std::int64_t waiting = 0;
  std::int64_t processed = 0;
  std::int64_t failed = 0;
  std::int64_t blocked = 0;
  std::int64_t mails_sent = 0;
  std::int64_t mails_failed = 0;
  std::int64_t webhooks_delivered = 0;
  std::int64_t webhooks_failed = 0;
  std::int64_t messages_waiting = 0;  ///< mails and webhooks that are not out yet
  std::int64_t webhooks_verified = 0; ///< by the receiver of this start
  bool polled = false;                ///< the folder was looked at since the start

  bool operator==(const Counts&) const = default;
};

/// A photo that has ended, well or not.
struct EndedPhoto {
  std::string id;
  std::string name;
  std::string status;  ///< done, failed, blocked or cancelled
  std::string error_code;
  std::string error_message;
  std::string output;  ///< absolute path
  std::string width;
  std::string height;
  std::int64_t took_ms = 0;
  std::string ended_at;
};

/// A photo and what became of its messages.
struct PhotoOutcome {
  std::string name;
  std::string status;  ///< queued as long as it has not ended
  std::string error_code;
  std::string output;
  std::string mail;        ///< sent, failed, …; empty: there was none
  std::string webhook;     ///< delivered, failed, …; empty: there was none
  std::string message_id;  ///< the receiver's webhook-id
  bool told_before = false;  ///< its webhook went out before this start
};

struct StageTime {
  std::string stage;
  std::int64_t count = 0;
  std::int64_t median_ms = 0;
  std::int64_t max_ms = 0;
};

struct Speed {
  std::int64_t photos = 0;  ///< processed since the start
  std::int64_t took_ms = 0;
};

/// A line of samples/expected.json.
struct ExpectedPhoto {
  std::string file;     ///< in the folder of samples
  std::string name;     ///< in the watched folder
  std::string outcome;  ///< "done" or an error code
};

}  // namespace rowcrew::dev
