#include "drive_poll_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/registry.hpp>
#include "folder_backend.hpp"
#include "google_drive_backend.hpp"
#include "sql/drive_poll.hpp"

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// Files that the port takes in one transaction.
constexpr std::size_t kBatch = 100;
constexpr std::chrono::milliseconds kLongestSettle = 10s;

std::string folder_id(const json& payload) {
  const auto folder = payload.find("folder");
  if (folder == payload.end() || !folder->is_string() || payload.size() != 1) {
    throw PermanentError("bad_payload",
                         "drive_poll payload: expected \"folder\", a string, and nothing else");
  }
  return folder->get<std::string>();
}

std::chrono::milliseconds settle_of(std::string_view text) {
  std::int64_t span = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), span);
  if (error != std::errc{} || at != text.data() + text.size() || span < 0 ||
      span > kLongestSettle.count()) {
    throw PermanentError("bad_folder", "settle_ms of the watched folder is not 0 to 10000.");
  }
  return std::chrono::milliseconds(span);
}

// The first of a batch's files to the first of the next.
json slice(const json& files, std::size_t from) {
  const std::size_t to = std::min(files.size(), from + kBatch);
  json batch = json::array();
  for (std::size_t i = from; i < to; ++i) batch.push_back(files[i]);
  return batch;
}

std::string result_of(const Listing& listing, std::int64_t taken) {
  const auto problems =
      std::count_if(listing.files.begin(), listing.files.end(),
                    [](const json& file) { return file.contains("problem"); });
  json result = {{"found", static_cast<std::int64_t>(listing.files.size()) - problems},
                 {"new", taken},
                 {"young", listing.young}};
  if (problems > 0) result["problems"] = problems;
  if (listing.more) result["more"] = true;
  if (listing.position && !listing.position->empty()) result["page_token"] = *listing.position;
  return result.dump();
}

}  // namespace

Backends make_backends(const Deps& deps) {
  Backends backends;
  backends.emplace("folder", std::make_unique<FolderBackend>(deps.children, deps.clock,
                                                             deps.kinds.section("drive_poll")));
  if (auto google = make_google_drive_backend(deps)) backends.emplace("google_drive", std::move(google));
  return backends;
}

DrivePollHandler::DrivePollHandler(const Deps& deps, Backends backends)
    : db_(deps.db),
      ports_(deps.ports),
      backends_(std::move(backends)),
      settle_(deps.kinds.section("drive_poll").duration("settle", 500ms, 0ms, kLongestSettle)) {}

WatchedFolder DrivePollHandler::folder_of(const Rows& rows) const {
  WatchedFolder folder;
  folder.backend = rows.text(0, 0);
  folder.path = rows.text(0, 1);
  folder.settle = rows.is_null(0, 2) ? settle_ : settle_of(rows.text(0, 2));
  folder.known = rows.text(0, 3);
  if (!rows.is_null(0, 4)) folder.description = rows.text(0, 4);
  return folder;
}

boost::asio::awaitable<Outcome> DrivePollHandler::run(JobContext& context) {
  std::string id = folder_id(context.payload());
  const Statement statement = ports_.bind(sql::folder, context.job().app);
  Params params;
  params.add(id);
  const Rows rows = co_await db_.query(statement, std::move(params));
  if (rows.empty()) co_return Completed(R"({"skipped":"the folder is not watched any more"})");
  WatchedFolder folder = folder_of(rows);
  folder.app = context.job().app;
  folder.id = id;
  co_return co_await poll(context, std::move(id), std::move(folder));
}

boost::asio::awaitable<Outcome> DrivePollHandler::poll(JobContext& context, std::string id,
                                                       WatchedFolder folder) {
  const auto backend = backends_.find(folder.backend);
  if (backend == backends_.end()) {
    throw PermanentError("unknown_backend",
                         "The watched folder is on a kind of storage that is not known here.");
  }
  const Listing listing = co_await backend->second->list_new(folder, context.deadline());
  if (listing.otherwise) co_return *listing.otherwise;
  ROWCREW_FAULT_POINT("drive_poll.listed");
  const std::int64_t taken = co_await hand_over(context, std::move(id), listing.files);
  if (taken > 0) {
    context.log().info("drive_poll.found",
                       {{"files", listing.files.size()}, {"new", taken}, {"young", listing.young}});
  }
  co_return Completed(result_of(listing, taken));
}

// A batch that was taken stays taken when a later one fails: the port knows it again.
boost::asio::awaitable<std::int64_t> DrivePollHandler::hand_over(JobContext& context,
                                                                 std::string id,
                                                                 const json& files) {
  std::int64_t taken = 0;
  const Statement statement = ports_.bind(sql::found, context.job().app);
  for (std::size_t from = 0; from < files.size(); from += kBatch) {
    Params params;
    params.add(id).add(slice(files, from).dump());
    const Rows rows = co_await db_.query(statement, std::move(params));
    ROWCREW_FAULT_POINT("drive_poll.taken");
    taken += rows.is_null(0, 0) ? 0 : rows.integer(0, 0);
  }
  co_return taken;
}

}  // namespace rowcrew::drive_poll

namespace rowcrew {

void register_drive_poll(Registry& registry, Deps& deps) {
  registry.add("drive_poll", std::make_unique<drive_poll::DrivePollHandler>(deps));
}

}  // namespace rowcrew
