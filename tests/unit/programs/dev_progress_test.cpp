#include "programs/dev/dev_progress.hpp"

#include <doctest/doctest.h>

using namespace rowcrew::dev;

namespace {

EndedPhoto done_photo() {
  EndedPhoto photo;
  photo.name = "IMG.jpg";
  photo.status = "done";
  photo.output = "/srv/portraits/IMG-portrait_pro-3fa9c1.jpg";
  photo.width = "1600";
  photo.height = "2000";
  photo.took_ms = 412;
  return photo;
}

EndedPhoto broken_photo() {
  EndedPhoto photo;
  photo.name = "bro\nken\x1b[2J.jpg";
  photo.status = "failed";
  photo.error_code = "image_truncated";
  photo.error_message = "the picture ends\nin the middle";
  return photo;
}

Counts some_counts() {
  Counts counts;
  counts.found = 14;
  counts.waiting = 2;
  counts.processed = 9;
  counts.failed = 3;
  counts.mails_sent = 11;
  counts.webhooks_verified = 10;
  return counts;
}

}  // namespace

TEST_CASE("dev: a finished photo's line says where its portrait is, its size and its time") {
  CHECK(photo_line(done_photo()) ==
        "IMG.jpg → portraits/IMG-portrait_pro-3fa9c1.jpg (1600×2000, 412 ms)");
}

TEST_CASE("dev: a failed photo's line says why, and no name can break or repaint it") {
  CHECK(photo_line(broken_photo()) ==
        "bro\\nken\\u001b[2J.jpg ✗ image_truncated: the picture ends\\nin the middle");
}

TEST_CASE("dev: the counts name trouble only when there is some") {
  Counts counts = some_counts();
  CHECK(counts_line(counts) ==
        "14 found · 2 waiting · 9 processed · 3 failed · 11 mails · 10 webhooks verified");
  counts.blocked = 1;
  counts.mails_failed = 2;
  counts.webhooks_failed = 3;
  CHECK(counts_line(counts) == "14 found · 2 waiting · 9 processed · 3 failed · 1 blocked · "
                               "11 mails (2 failed) · 10 webhooks verified (3 failed)");
}

TEST_CASE("dev: without a terminal every change gets a line, and nothing else does") {
  ProgressView view(false);
  CHECK(view.update({}, Counts{}) == counts_line(Counts{}) + "\n");
  CHECK(view.update({}, Counts{}).empty());
  CHECK(view.update({done_photo()}, some_counts()) ==
        photo_line(done_photo()) + "\n" + counts_line(some_counts()) + "\n");
  // What the line does not show is no change of it.
  Counts unseen = some_counts();
  unseen.messages_waiting = 7;
  CHECK(view.update({}, unseen).empty());
  CHECK(view.finish().empty());
}

TEST_CASE("dev: on a terminal the counts are redrawn in place, below the photos") {
  const auto drawn = [](const Counts& counts) {
    return "\x1b[?7l" + counts_line(counts) + "\x1b[?7h";
  };
  ProgressView view(true);
  CHECK(view.update({}, Counts{}) == drawn(Counts{}));
  CHECK(view.update({done_photo()}, Counts{}) ==
        "\r\x1b[K" + photo_line(done_photo()) + "\n" + drawn(Counts{}));
  CHECK(view.update({}, Counts{}).empty());
  CHECK(view.finish() == "\n");
  CHECK(view.finish().empty());
  CHECK(view.update({}, some_counts()) == drawn(some_counts()));
}
