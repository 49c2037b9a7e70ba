// What the answers of a ComfyUI server mean: pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_verdict.hpp>

#include "preset.hpp"

namespace rowcrew::generation::comfyui {

/// Of whom and of whose words a message tells.
struct Asked {
  Asked(std::string server, std::string words) : label(std::move(server)), prompt(std::move(words)) {}
  std::string label;   ///< host and port
  std::string prompt;  ///< never to be repeated
};

/// How long nobody calls a server that was away `times` times running: 1 s, then longer, up to 15 s.
std::chrono::milliseconds away_for(int times);

/// No answer came. Of a server that is away: wait. Codes: comfyui_away, comfyui_egress_refused (shut), the
/// client's own for what is our fault.
ProviderVerdict judge_silence(const Error& error, const Asked& asked, int times_away);

/// An answer of any route, by its status. Codes: comfyui_refuses_us, comfyui_not_comfyui (shut), comfyui_away,
/// comfyui_rate_limited (wait), comfyui_too_large (fail), comfyui_http_<status>.
ProviderVerdict judge_answer(const HttpResponse& response, const Asked& asked, int times_away,
                             std::chrono::system_clock::time_point now);

/// What became of POST /prompt.
struct Submission {
  enum class What {
    accepted,
    known,         ///< 409: it runs, or ran
    upload_again,  ///< the server does not find the picture that was uploaded
    node_missing,  ///< refused: the installation lacks a node, whoever asks
    refused,       ///< as the verdict says
  };
  Submission() = default;
  What what = What::refused;
  ProviderVerdict verdict;
  std::string queued;  ///< refused by us alone: what is to be taken back
};
/// `id`: the name that we gave the run. A server that gives it another (comfyui_too_old) could never be asked for it again.
Submission judge_submission(const HttpResponse& response, const std::string& id, const Preset& preset, const Asked& asked,
                            int times_away, std::chrono::system_clock::time_point now);

/// GET /queue and GET /history/{id}, without the graphs in them.
enum class Place { absent, pending, running };
struct Sight {
  Sight() = default;
  Place place = Place::absent;
  std::size_t rank = 0;  ///< of a pending one: how many run or come before it
};
/// Nullopt: this is no queue.
std::optional<Sight> find_in_queue(const std::string& body, const std::string& id);
/// Null: it is not there. Nullopt: this is no history.
std::optional<nlohmann::json> find_in_history(const std::string& body, const std::string& id);

struct OutputFile {
  OutputFile() = default;
  std::string name;
  std::string subfolder;
};

/// What a run has come to.
struct RunEnd {
  enum class What {
    done,
    out_of_memory,  ///< again, after its memory was freed
    broken,         ///< the server's process needs a restart
    interrupted,    ///< by somebody else
    failed,         ///< and will again
  };
  RunEnd() = default;
  What what = What::failed;
  OutputFile file;
  std::string code;
  std::string message;
  std::optional<std::chrono::milliseconds> took;  ///< from its start to its end
};
RunEnd judge_run(const nlohmann::json& entry, const Preset& preset, const Asked& asked);

/// "3rd in the queue of gpu1:8188", "running on gpu1:8188": for people.
std::string say_place(const Sight& sight, const std::string& label);

/// The answer to an upload: the name by which the graph refers to it. Nullopt: it names none.
std::optional<std::string> uploaded_as(const std::string& body);

/// "filename=…&subfolder=…&type=output", encoded.
std::string view_query(const OutputFile& file);

}  // namespace rowcrew::generation::comfyui
