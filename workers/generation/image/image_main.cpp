// rowcrew-image: reads one request from stdin, writes one line of JSON to stdout.
//
//   exit 0  develop: {"format", "width", "height", "source_width", "source_height", "sha256", "bytes", "icc"}
//           prepare: {"format", "width", "height", "bytes"}; skim: {"answer"}; check, clean: {}
//   exit 3  {"error": {"code", "message"}}: repeating is pointless
//   exit 4  the same: waiting may help
//
// It trusts no byte of the picture. Decoders for other formats are never loaded.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>
#include <string>

#include "develop.hpp"
#include "failure.hpp"
#include "image_fault.hpp"
#include "json_answer.hpp"
#include "load.hpp"
#include "output_file.hpp"
#include "picture.hpp"
#include "request.hpp"
#include "save.hpp"
#include "source_file.hpp"

namespace rowcrew::image {
namespace {

using nlohmann::json;

constexpr std::size_t kMostInput = std::size_t{1} << 20;

std::string read_input() {
  std::string text;
  char piece[16384];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
    if (text.size() > kMostInput) throw Failure("bad_request", "request: longer than 1 MiB");
  }
}

void start_vips() {
  // Its plug-ins are looked for below VIPSHOME: ImageMagick, poppler and others stay outside, and
  // half of the time to start is saved.
  ::setenv("VIPSHOME", "/nonexistent", 1);
  // Warnings about a stranger's file tell nobody anything.
  const auto silent = [](const gchar*, GLogLevelFlags, const gchar*, gpointer) {};
  g_log_set_handler("VIPS", static_cast<GLogLevelFlags>(G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO),
                    silent, nullptr);
  if (VIPS_INIT("rowcrew-image") != 0) throw std::runtime_error("libvips does not start");
  vips_concurrency_set(1);
  vips_cache_set_max(0);
  vips_block_untrusted_set(TRUE);
  vips_operation_block_set("VipsForeignLoad", TRUE);
  for (const char* decoder : {"VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp"}) {
    vips_operation_block_set(decoder, FALSE);
  }
}

void refuse_own_source(const SourceFile& source, const Request& request) {
  struct stat from {};
  struct stat to {};
  if (::fstat(source.fd.get(), &from) != 0 || ::stat(request.target.c_str(), &to) != 0) return;
  if (from.st_dev != to.st_dev || from.st_ino != to.st_ino) return;
  throw Failure("bad_request", shown(request.target) + ": source and target are the same file");
}

SourceFile source_of(const Request& request) {
  return request.pointer.empty() ? open_source(request.source, request.limits.max_bytes)
                                 : open_in_json(request.source, request.pointer, request.limits);
}

json make_picture(const Request& request) {
  remove_parts_of(request.target, request.part);  // first of all: whoever wrote them must not go on
  const SourceFile source = source_of(request);
  refuse_own_source(source, request);
  OutputFile output(request.part, request.target);
  start_vips();
  pass_image_fault("image.decoding");
  const Loaded loaded =
      load(source, shown(request.source), request.workflow.framing, request.limits);
  const Picture picture = develop(loaded.picture, request.workflow.steps);
  const Format format = request.format.value_or(source.format);
  const std::string bytes = encode(opaque_for(format, picture), format);
  output.write(bytes);
  pass_image_fault("image.before_rename");
  output.publish();
  pass_image_fault("image.after_rename");
  if (request.consume) ::unlink(request.source.c_str());
  return {{"format", name_of(format)},
          {"width", picture.width()},
          {"height", picture.height()},
          {"source_width", loaded.source.width},
          {"source_height", loaded.source.height},
          {"sha256", sha256(bytes)},
          {"bytes", bytes.size()},
          {"icc", loaded.icc}};
}

json prepare(const Request& request) {
  remove_parts_of(request.target, request.part);
  const SourceFile source = open_source(request.source, request.limits.max_bytes);
  OutputFile output(request.part, request.target);
  start_vips();
  const Loaded loaded =
      load(source, shown(request.source), request.workflow.framing, request.limits);
  const Format format = *request.format;
  const std::string bytes = encode(opaque_for(format, loaded.picture), format);
  const std::string& written = request.base64 ? base64(bytes) : bytes;
  output.write(written);
  output.keep();
  return {{"format", name_of(format)},
          {"width", loaded.picture.width()},
          {"height", loaded.picture.height()},
          {"bytes", written.size()}};
}

json answer(const std::string& input) {
  const Request request = parse_request(input);
  switch (request.what) {
    case Request::What::develop: return make_picture(request);
    case Request::What::prepare: return prepare(request);
    case Request::What::check: return json::object();  // it was parsed
    case Request::What::skim: return {{"answer", skim(request.source, request.limits)}};
    case Request::What::clean: break;
  }
  remove_parts_of(request.target);
  return json::object();
}

int fail(const std::string& code, const std::string& sentence, int exit_status) {
  const json line = {{"error", {{"code", code}, {"message", sentence}}}};
  std::cout << line.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  return exit_status;
}

int run() {
  try {
    const json line = answer(read_input());
    std::cout << line.dump() << std::endl;
    return std::cout.good() ? 0 : kWaitingMayHelp;
  } catch (const Failure& failure) {
    return fail(failure.code(), failure.what(), failure.exit_status());
  } catch (const std::bad_alloc&) {
    return fail("decoder_memory", "the picture needs more memory than it may have", kBadInput);
  } catch (const VipsError& error) {
    const std::string text = error.what();
    if (text.find("memory") != text.npos) {
      return fail("decoder_memory", "the picture needs more memory than it may have", kBadInput);
    }
    return fail("image_failed", "the picture could not be developed: " + text, kBadInput);
  } catch (const std::exception& error) {
    return fail("image_failed", std::string("the picture could not be developed: ") + error.what(),
                kBadInput);
  }
}

}  // namespace
}  // namespace rowcrew::image

int main() {
  const int status = rowcrew::image::run();
  // Everything is written; libvips' tidying up would only take time.
  std::_Exit(status);
}
