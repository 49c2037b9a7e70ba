#include "config.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>
#include "provider.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using namespace comfyui;

constexpr const char* kConfig = R"(
kinds:
  generation:
    program: /bin/true
    comfyui:
      servers: ["http://gpu1:8188/", "https://gpu2/comfy"]
      timeout: 5m
      poll: 1s
      max_side: 1024
      price_per_second: 0.01
      headers: {X-Team: studio}
      headers_secret: {X-API-Key: hush}
)";

TEST_CASE("comfyui: a node without configuration has no such provider, and a wrong one does not start") {
  testing::KindBench without("kinds: {generation: {program: /bin/true}}");
  CHECK(make_comfyui_provider(without.deps) == nullptr);
  testing::KindBench with(kConfig);
  CHECK(make_comfyui_provider(with.deps) != nullptr);
  CHECK_NOTHROW(read_image_program_config(with.kinds.section("generation")));
  CHECK_NOTHROW(check_unknown(with.root));
  const Config config = read_config(with.kinds.section("generation"));
  CHECK(config.servers == std::vector<std::string>{"http://gpu1:8188", "https://gpu2/comfy"});
  CHECK(config.second_micros == 10'000);
  CHECK(config.headers == HttpHeaders{{"X-Team", "studio"}, {"X-API-Key", "hush"}});
  CHECK(label_of(config.servers[1]) == "gpu2");
  for (const char* line :
       {"servers: []", "servers: [gpu1]", "servers: [\"ftp://gpu1\"]", "servers: [\"http://u:p@gpu1\"]", "servers: [\"http://gpu1?x\"]",
        "servers: [\"http://gpu1\", \"http://gpu1/\"]", "timeout: 5", "poll: 1ms", "max_side: 8", "price_per_second: -1",
        "headers: {Host: x}", "headers: {Origin: x}", "headers: {\"a b\": x}", "headers_secret: {X-Key_file: /no/such}"}) {
    CAPTURE(line);
    const std::string servers = std::string(line).starts_with("servers") ? "" : "      servers: [\"http://gpu1\"]\n";
    const auto settings = testing::settings_from("kinds:\n  generation:\n    program: /bin/true\n    comfyui:\n" + servers + "      " + line + "\n");
    CHECK_THROWS_AS(read_config(settings.section("kinds").section("generation")), ConfigError);
  }
}

TEST_CASE("comfyui: looks come more rarely after a while") {
  CHECK(poll_after(1s, 0s) == 1s);
  CHECK(poll_after(1s, 29s) == 1s);
  CHECK(poll_after(1s, 30s) == 3s);
  CHECK(poll_after(2s, 10min) == 5s);
  CHECK(poll_after(20s, 1h) == 20s);
}

TEST_CASE("comfyui: the target's name says the format") {
  CHECK(format_of("/a.b/x.JPG") == "jpeg");
  CHECK(format_of("/a/x.jpeg") == "jpeg");
  CHECK(format_of("/a/x.webp") == "webp");
  CHECK(format_of("/a/x.png") == "png");
  CHECK(format_of("/a.png/x") == "");
  CHECK(format_of("/a/x") == "");
}

}  // namespace
}  // namespace rowcrew::generation
