#include "programs/dev/dev_options.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <rowcrew/error.hpp>

namespace rowcrew::dev {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kLongest{1};

/// Without "." and "..", as watched folders must be.
fs::path whole(const std::string& path) { return fs::weakly_canonical(fs::absolute(path)); }

/// What came with the programs.
struct Origin {
  fs::path samples;
  fs::path templates;
  fs::path private_pg;  ///< only in a checkout
};

/// `programs` is bin of a build in a checkout (build/release/bin), or of an installation.
Origin find_origin(const fs::path& programs) {
  const fs::path checkout = programs / "../../..";
  if (fs::exists(checkout / "samples/expected.json")) {
    return {checkout / "samples", checkout / "etc/mail", checkout / "scripts/private-pg.sh"};
  }
  return {programs / "../share/rowcrew/samples", "/etc/rowcrew/mail", {}};
}

fs::path named_or_found(const cli::Arguments& arguments, const char* option,
                        const fs::path& found, const char* what) {
  const auto named = arguments.get(option);
  const fs::path path = named ? fs::path(*named) : found;
  if (!path.empty() && fs::exists(path)) return whole(path.string());
  throw UsageError(named ? fmt::format("--{}: {}: there is no such file or folder", option, *named)
                         : fmt::format("--{}: missing, expected {}", option, what));
}

bool names_database(const cli::Arguments& arguments) {
  return arguments.has("database") || arguments.has("config") ||
         std::getenv("ROWCREW_DATABASE_URL") != nullptr || std::getenv("ROWCREW_DATABASE_URL_FILE") != nullptr;
}

}  // namespace

void declare_options(cli::Arguments& arguments) {
  arguments.flag("once", "end when the samples have ended; status 1 unless all as expected")
      .value("folder", "DIR", "watch this one; samples come into it only with --samples")
      .value("state", "DIR", "everything that is written (default: rowcrew-dev)")
      .value("samples", "DIR", "photographs with an expected.json")
      .value("templates", "DIR", "templates of mails")
      .value("private-pg", "SCRIPT", "starts a private PostgreSQL when no database is named")
      .value("within", "TIME", "of --once (default: 120s)");
}

DevOptions read_options(const cli::Arguments& arguments) {
  DevOptions options;
  options.once = arguments.has("once");
  options.within = arguments.duration("within", kLongest).value_or(options.within);
  options.programs = fs::read_symlink("/proc/self/exe").parent_path();
  const Origin origin = find_origin(options.programs);
  options.state = whole(arguments.get("state", "rowcrew-dev"));
  options.inbox = whole(arguments.get("folder", (options.state / "inbox").string()));
  if (arguments.has("samples") || !arguments.has("folder")) {
    options.samples = named_or_found(arguments, "samples", origin.samples,
                                     "a folder of photographs with an expected.json");
  }
  options.templates =
      named_or_found(arguments, "templates", origin.templates, "a folder of mail templates");
  if (!names_database(arguments)) {
    options.private_pg =
        named_or_found(arguments, "private-pg", origin.private_pg,
                       "a script that starts a PostgreSQL, --database or ROWCREW_DATABASE_URL");
  }
  return options;
}

}  // namespace rowcrew::dev
