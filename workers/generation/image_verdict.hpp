// What the end of rowcrew-image means for the job: pure.
#pragma once

#include <chrono>
#include <string>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/outcome.hpp>

#include "provider.hpp"

namespace rowcrew::generation {

/// Codes of our own: decoder_timeout, decoder_memory, decoder_crashed (failed), decoder_stopped
/// (retried: somebody ended the program). All others are the program's.
Outcome judge(const ChildResult& result, const Work& work, std::chrono::milliseconds took);

/// It had no chance to clear away what it had begun.
bool ended_abruptly(const ChildResult& result);

/// The last part of a path, printable, 100 bytes at most.
std::string base_name(const std::string& path);

}  // namespace rowcrew::generation
