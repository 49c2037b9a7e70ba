// What the end of rowcrew-image means for the job: pure.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew::generation {

/// Codes of our own: decoder_timeout, decoder_memory, decoder_crashed (failed), decoder_stopped
/// (retried: somebody ended the program). All others are the program's.
/// `picture`: the file that was looked into, for sentences.
Outcome judge(const ChildResult& result, const std::string& picture, const std::string& target,
              std::chrono::milliseconds took);

/// What it printed, a JSON object, when it did what was asked; else judge() tells why not.
std::optional<nlohmann::json> report_of(const ChildResult& result);

/// It is not there: decoder_missing, retried.
Outcome missing();

/// It had no chance to clear away what it had begun.
bool ended_abruptly(const ChildResult& result);

/// The last part of a path, printable, 100 bytes at most.
std::string base_name(const std::string& path);

}  // namespace rowcrew::generation
