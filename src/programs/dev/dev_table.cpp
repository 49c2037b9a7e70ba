#include "programs/dev/dev_table.hpp"

#include <fmt/format.h>

#include "cli/text_table.hpp"

namespace rowcrew::dev {
namespace {

std::string photos_text(const Counts& counts) {
  std::string text = fmt::format("{} found, {} processed, {} failed", counts.found,
                                 counts.processed, counts.failed);
  if (counts.blocked > 0) text += fmt::format(", {} blocked", counts.blocked);
  if (counts.waiting > 0) text += fmt::format(", {} waiting", counts.waiting);
  return text;
}

std::string mails_text(const Counts& counts) {
  return fmt::format("{} sent, {} failed", counts.mails_sent, counts.mails_failed);
}

std::string webhooks_text(const Counts& counts) {
  return fmt::format("{} delivered, {} failed, {} verified in this run", counts.webhooks_delivered,
                     counts.webhooks_failed, counts.webhooks_verified);
}

std::string stages_table(const std::vector<StageTime>& stages) {
  std::vector<std::vector<std::string>> rows{{"stage", "number", "median ms", "max ms"}};
  for (const StageTime& stage : stages) {
    rows.push_back({stage.stage, std::to_string(stage.count), std::to_string(stage.median_ms),
                    std::to_string(stage.max_ms)});
  }
  return cli::format_table(rows, {1, 2, 3});
}

}  // namespace

std::string speed_text(const Speed& speed) {
  if (speed.photos == 0) return "no photo in this run";
  const double seconds = static_cast<double>(speed.took_ms > 0 ? speed.took_ms : 1) / 1000;
  return fmt::format("{:.1f} photos/s ({} in {:.1f} s, from the first one found)",
                     static_cast<double>(speed.photos) / seconds, speed.photos, seconds);
}

std::string summary_table(const Counts& counts, const std::vector<StageTime>& stages,
                          const Speed& speed, const Places& places) {
  const std::string head = cli::format_table({{"photos", photos_text(counts)},
                                              {"mails", mails_text(counts)},
                                              {"webhooks", webhooks_text(counts)},
                                              {"speed", speed_text(speed)}});
  const std::string where = cli::format_table({{"inbox", places.inbox},
                                               {"results", places.portraits},
                                               {"mails", places.mails},
                                               {"logs", places.logs}});
  return head + "\n" + stages_table(stages) + "\n" + where;
}

}  // namespace rowcrew::dev
