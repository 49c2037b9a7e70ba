#include "programs/dev/dev_verdict.hpp"

#include <doctest/doctest.h>

#include "programs/dev/dev_table.hpp"
#include "programs/dev/verified_ids.hpp"

using namespace rowcrew::dev;
using Lines = std::vector<std::string>;

namespace {

const std::set<std::string> kVerified = {"msg_1", "msg_2"};

bool there(const std::string& path) { return path == "/out/a.jpg"; }

PhotoOutcome done_outcome() {
  PhotoOutcome photo;
  photo.name = "a.jpg";
  photo.status = "done";
  photo.output = "/out/a.jpg";
  photo.mail = "sent";
  photo.webhook = "delivered";
  photo.message_id = "msg_1";
  return photo;
}

PhotoOutcome failed_outcome() {
  PhotoOutcome photo = done_outcome();
  photo.name = "b.jpg";
  photo.status = "failed";
  photo.error_code = "image_truncated";
  photo.message_id = "msg_2";
  return photo;
}

const std::vector<ExpectedPhoto> kExpected = {{"a.jpg", "a.jpg", "done"},
                                              {"t.jpg", "b.jpg", "image_truncated"}};

Lines judge(const std::vector<PhotoOutcome>& outcomes) {
  return differences(kExpected, outcomes, kVerified, there);
}

}  // namespace

TEST_CASE("dev: nothing differs when all ended as expected and everybody was told") {
  CHECK(judge({done_outcome(), failed_outcome()}).empty());
}

TEST_CASE("dev: each difference is a sentence that names the photo") {
  PhotoOutcome photo = done_outcome();
  SUBCASE("not found") {
    CHECK(judge({failed_outcome()}) == Lines{"a.jpg: was not found in the inbox"});
  }
  SUBCASE("another outcome") {
    photo.status = "failed";
    photo.error_code = "image_corrupt";
    CHECK(judge({photo, failed_outcome()}) ==
          Lines{"a.jpg: ended as image_corrupt, expected done"});
  }
  SUBCASE("not ended") {
    photo.status = "queued";
    CHECK(judge({photo, failed_outcome()}) == Lines{"a.jpg: ended as queued, expected done"});
  }
  SUBCASE("no output") {
    photo.output = "/out/gone.jpg";
    CHECK(judge({photo, failed_outcome()}) ==
          Lines{"a.jpg: its output /out/gone.jpg is not there"});
  }
  SUBCASE("no mail, no webhook") {
    photo.mail.clear();
    photo.webhook = "failed";
    CHECK(judge({photo, failed_outcome()}) ==
          Lines{"a.jpg: mail none, expected sent", "a.jpg: webhook failed, expected delivered"});
  }
  SUBCASE("a webhook that the receiver did not believe") {
    photo.message_id = "msg_3";
    CHECK(judge({photo, failed_outcome()}) ==
          Lines{"a.jpg: the receiver has not verified webhook msg_3"});
  }
}

TEST_CASE("dev: what went out before this start need not be verified again") {
  PhotoOutcome photo = done_outcome();
  photo.message_id = "msg_3";
  photo.told_before = true;
  CHECK(judge({photo, failed_outcome()}).empty());
}

TEST_CASE("dev: of two photos with one name the later counts") {
  PhotoOutcome old = done_outcome();
  old.status = "failed";
  old.error_code = "image_corrupt";
  CHECK(judge({old, done_outcome(), failed_outcome()}).empty());
  CHECK(judge({done_outcome(), old, failed_outcome()}).size() == 1);
}

TEST_CASE("dev: a mail may be missing for a photo over the limit only") {
  PhotoOutcome photo = failed_outcome();
  photo.status = "blocked";
  photo.error_code = "limit_reached";
  photo.mail.clear();
  CHECK(differences({{"b.jpg", "b.jpg", "limit_reached"}}, {photo}, kVerified, there).empty());
}

TEST_CASE("dev: all have ended when each was found and none is queued") {
  PhotoOutcome waiting = failed_outcome();
  waiting.status = "queued";
  CHECK(all_ended(kExpected, {done_outcome(), failed_outcome()}));
  CHECK_FALSE(all_ended(kExpected, {done_outcome(), waiting}));
  CHECK_FALSE(all_ended(kExpected, {done_outcome()}));
  CHECK(all_ended({}, {}));
}

TEST_CASE("dev: verified webhooks are taken from whole lines of the receiver") {
  VerifiedIds verified;
  const std::string text = "{\"listening\":\"http://127.0.0.1:81\"}\n"
                           "listen: a complaint\n"
                           "{\"id\":\"msg_1\",\"verified\":true}\n"
                           "{\"id\":\"msg_2\",\"verified\":false}\n"
                           "{\"id\":\"msg_3\",\"veri";
  verified.take(text);
  CHECK(verified.url() == "http://127.0.0.1:81");
  CHECK(verified.ids() == std::set<std::string>{"msg_1"});
  verified.take(text.substr(verified.bytes()) + "fied\":true}\n");
  CHECK(verified.ids() == std::set<std::string>{"msg_1", "msg_3"});
  CHECK(verified.bytes() == text.size() + 12);
}

TEST_CASE("dev: the table tells counts, times and places") {
  Counts counts;
  counts.found = 3;
  counts.processed = 2;
  counts.failed = 1;
  counts.mails_sent = 3;
  counts.webhooks_delivered = 3;
  counts.webhooks_verified = 3;
  CHECK(summary_table(counts, {{"processing", 2, 400, 500}}, {2, 1600},
                      {"/in", "/out", "/mail/new", "/logs"}) ==
        "photos    3 found, 2 processed, 1 failed\n"
        "mails     3 sent, 0 failed\n"
        "webhooks  3 delivered, 0 failed, 3 verified in this run\n"
        "speed     1.2 photos/s (2 in 1.6 s, from the first one found)\n"
        "\n"
        "stage       number  median ms  max ms\n"
        "processing       2        400     500\n"
        "\n"
        "inbox    /in\n"
        "results  /out\n"
        "mails    /mail/new\n"
        "logs     /logs\n");
  CHECK(speed_text({}) == "no photo in this run");
}
