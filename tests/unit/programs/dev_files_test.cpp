#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <rowcrew/error.hpp>

#include "programs/dev/dev_config.hpp"
#include "programs/dev/dev_samples.hpp"

using namespace rowcrew::dev;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "rowcrew-dev-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  fs::path path_;
};

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("dev: a sample comes under its own name, whatever is in that, and only once") {
  const Folder samples;
  const Folder inbox;
  samples.write("cat.png", "meow");
  samples.write("expected.json", R"({"photos": [{"file": "cat.png", "expect": "done"},
    {"file": "cat.png", "as": "it's \"a\"\n\ud83d\udc08.png", "expect": "done"}]})");
  const auto photos = read_expected(samples.path());
  REQUIRE(photos.size() == 2);
  CHECK(photos[1].name == "it's \"a\"\n🐈.png");
  CHECK(copy_samples(samples.path(), photos, inbox.path()) == 2);
  CHECK(fs::file_size(inbox.path() / photos[1].name) == 4);
  CHECK(files_in(inbox.path()) == 2);
  CHECK(copy_samples(samples.path(), photos, inbox.path()) == 0);
}

TEST_CASE("dev: a list of samples that is not understood is refused with the file's name") {
  const Folder samples;
  const auto refusal = [&](const char* text) -> std::string {
    samples.write("expected.json", text);
    try {
      read_expected(samples.path());
    } catch (const rowcrew::ConfigError& e) {
      return e.what();
    }
    return "taken";
  };
  CHECK(refusal("{").find("expected.json: expected an object") != std::string::npos);
  CHECK(refusal(R"({"photos": [{"file": "a"}]})").find("an entry") != std::string::npos);
  CHECK(refusal(R"({"photos": [{"file": "../a", "expect": "done"}]})").find("no usable") !=
        std::string::npos);
  CHECK(refusal(R"({"photos": [{"file": ".a", "expect": "done"}]})").find("no usable") !=
        std::string::npos);
  CHECK(refusal(R"({"photos": []})") == "taken");
}

TEST_CASE("dev: a sample that is missing is named") {
  const Folder samples;
  CHECK_THROWS_WITH_AS(copy_samples(samples.path(), {{"no.jpg", "no.jpg", "done"}}, samples.path()),
                       doctest::Contains("no.jpg"), rowcrew::ConfigError);
}

TEST_CASE("dev: the node's settings let it reach the receiver and quote every path") {
  DevOptions options;
  options.state = "/srv/it's: \"here\"";
  options.templates = "/etc/mail";
  const std::string text = node_config(options, "127.0.0.1:4711", 2);
  CHECK(text.find("allow: [\"127.0.0.1:4711\"]") != std::string::npos);
  CHECK(text.find(R"(maildir: "/srv/it's: \"here\"/mail")") != std::string::npos);
  CHECK(text.find("generation: 2\n") != std::string::npos);
}
