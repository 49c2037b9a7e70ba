// rowcrew-image, the child program that alone looks into pictures, as the providers use it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew {
class Clock;
struct Deps;
class Settings;
}  // namespace rowcrew

namespace rowcrew::generation {

/// kinds.generation; README.md has the meanings and ranges.
struct ImageProgramConfig {
  std::string program;  ///< absolute path of rowcrew-image
  std::chrono::milliseconds timeout{};
  std::chrono::seconds max_cpu{};
  std::uint64_t max_memory = 0;
  std::uint64_t max_pixels = 0;
  std::int64_t max_side = 0;
  std::uint64_t max_bytes = 0;
};

/// Throws ConfigError.
ImageProgramConfig read_image_program_config(const Settings& generation);

/// A picture to be developed into a finished one.
struct Development {
  Development() = default;
  std::string source;   ///< a picture, or a JSON file that holds one
  std::string pointer;  ///< where in that JSON file the base64 text of the picture is (RFC 6901); empty: it is no JSON
  bool consume = false; ///< the source is a part of ours (part_of): gone when the picture is finished
  std::string target;
  std::string workflow;  ///< JSON {"steps"}; empty: re-encoded as it is, without its metadata
  /// "jpeg", "png", "webp"; empty: as the source is. Without a workflow the pixels of a PNG stay the same.
  std::string format;
};

/// A picture to be shown to a provider: upright, small enough, without EXIF, GPS and the like.
struct Preparation {
  Preparation() = default;
  std::string source;
  std::string target;  ///< of the job, for the name of the part
  std::string to;      ///< a part of ours (part_of), written whole
  std::string format = "jpeg";  ///< or "png"
  std::int64_t max_side = 2048;
  bool base64 = false;  ///< `to` holds base64 text of the picture instead (RFC 4648, no line ends)
};

struct Prepared {
  Prepared() = default;
  std::uint64_t bytes = 0;  ///< of the file `to`
  std::int64_t width = 0;
  std::int64_t height = 0;
};

/// Event thread. Each call runs one child, ended with the job's deadline at the latest. Every Outcome that
/// stands in for a result is final: Failed where the file is at fault, Retry where waiting may help.
/// Cancellation passes as operation_aborted.
class ImageProgram {
 public:
  explicit ImageProgram(const Deps& deps);

  /// A name beside the target that is this claim's alone, ".<name>.<claim token>[-<word>].part": clear_away()
  /// and the next execution remove it. `word` is lower-case letters.
  static std::string part_of(const std::string& target, std::int64_t claim_token, const std::string& word = {});

  /// Completed with {"target", "format", "width", "height", "sha256", "bytes", "took_ms"}.
  boost::asio::awaitable<Outcome> develop(JobContext& context, Development order);
  boost::asio::awaitable<std::variant<Prepared, Outcome>> prepare(JobContext& context, Preparation order);
  /// A JSON file of up to max_bytes with every string of more than 1000 bytes replaced by {"$bytes": <length>}:
  /// what a provider said, without the picture in it. Failed("provider_answer") where it is no JSON object.
  boost::asio::awaitable<std::variant<nlohmann::json, Outcome>> skim(JobContext& context, std::string file,
                                                                     std::string target);
  /// Nullopt: develop() will take this workflow. Ask before a picture is paid for.
  boost::asio::awaitable<std::optional<Outcome>> check(JobContext& context, std::string workflow, std::string target);
  /// Removes whatever parts of this target any execution has left. Never throws but for cancellation.
  boost::asio::awaitable<void> clear_away(JobContext& context, std::string target);

 private:
  ChildRequest request(std::string order, std::chrono::milliseconds timeout) const;
  boost::asio::awaitable<std::optional<ChildResult>> run(JobContext& context, ChildRequest child);

  ChildRunner& children_;
  Clock& clock_;
  ImageProgramConfig config_;
  std::vector<std::pair<std::string, std::string>> env_;
};

}  // namespace rowcrew::generation
