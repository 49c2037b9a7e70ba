// The command line of `rowcrew dev`, made whole: which database, which folders, which programs.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "cli/arguments.hpp"
#include "cli/command.hpp"

namespace rowcrew::dev {

struct DevOptions {
  bool once = false;
  std::chrono::milliseconds within{std::chrono::seconds(120)};  ///< --once: until all has ended
  std::filesystem::path state;      ///< absolute, as all here
  std::filesystem::path inbox;      ///< the watched folder
  std::filesystem::path samples;    ///< empty: none are copied
  std::filesystem::path templates;  ///< of mails
  std::filesystem::path programs;   ///< where rowcrewd and its like are
  std::filesystem::path private_pg; ///< script; empty: `arguments` name a database

  std::filesystem::path portraits() const { return state / "portraits"; }
  std::filesystem::path mails() const { return state / "mail"; }
  std::filesystem::path logs() const { return state / "logs"; }
};

/// Adds the options to `arguments`.
void declare_options(cli::Arguments& arguments);

/// After arguments.parse(). What was not named is looked for around this program: in its checkout, or
/// where packages put it. Throws UsageError naming what was not found.
DevOptions read_options(const cli::Arguments& arguments);

}  // namespace rowcrew::dev
