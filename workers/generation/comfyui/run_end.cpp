// What GET /queue, GET /history/{id}, uploads and views say of one run.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "judge.hpp"
#include "words.hpp"

namespace rowcrew::generation::comfyui {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

bool says(const std::string& text, std::string_view words) { return text.find(words) != text.npos; }

// Items are [number, id, graph, extra, outputs, …]: of a long queue megabytes of graphs.
json parse_without_graphs(const std::string& body) {
  constexpr int kInItems = 3;
  const json::parser_callback_t keep = [](int depth, json::parse_event_t event, json&) {
    return event != json::parse_event_t::object_start || depth < kInItems;
  };
  return json::parse(body, keep, false);
}

json parse_without_prompt(const std::string& body) {
  const json::parser_callback_t keep = [](int depth, json::parse_event_t event, json& parsed) {
    return event != json::parse_event_t::key || depth != 2 || (parsed != "prompt" && parsed != "meta");
  };
  return json::parse(body, keep, false);
}

bool is_item(const json& item) {
  return item.is_array() && item.size() >= 2 && item[0].is_number() && item[1].is_string();
}

const json* item_of(const json& items, const std::string& id) {
  const auto at = std::find_if(items.begin(), items.end(),
                               [&](const json& item) { return is_item(item) && item[1] == id; });
  return at == items.end() ? nullptr : &*at;
}

/// The words of the last message of this name; null: there is none.
const json* message_in(const json& status, std::string_view name) {
  const json* messages = list_in(status, "messages");
  if (messages == nullptr) return nullptr;
  for (auto at = messages->rbegin(); at != messages->rend(); ++at) {
    if (at->is_array() && at->size() >= 2 && (*at)[0] == name && (*at)[1].is_object()) return &(*at)[1];
  }
  return nullptr;
}

std::optional<std::int64_t> time_of(const json* message) {
  if (message == nullptr) return std::nullopt;
  const auto at = message->find("timestamp");
  if (at == message->end() || !at->is_number_integer()) return std::nullopt;
  return at->get<std::int64_t>();
}

std::optional<milliseconds> run_time(const json& status) {
  const auto began = time_of(message_in(status, "execution_start"));
  std::optional<std::int64_t> ended;
  for (const char* name : {"execution_success", "execution_error", "execution_interrupted"}) {
    if (!ended) ended = time_of(message_in(status, name));
  }
  if (!began || !ended || *ended < *began) return std::nullopt;
  return milliseconds(*ended - *began);
}

/// The first file of this node that is no preview, pictures before anything else.
std::optional<OutputFile> file_of(const json& outputs, const std::string& node) {
  const json* of_node = object_in(outputs, node.c_str());
  if (of_node == nullptr) return std::nullopt;
  std::optional<OutputFile> found;
  for (const auto& [kind, files] : of_node->items()) {
    if (!files.is_array()) continue;
    for (const json& file : files) {
      if (!file.is_object() || text_in(file, "type") != "output" || text_in(file, "filename").empty()) continue;
      if (found && kind != "images") break;
      found.emplace();
      found->name = text_in(file, "filename");
      found->subfolder = text_in(file, "subfolder");
      break;
    }
  }
  return found;
}

RunEnd failure(RunEnd::What what, std::string code, std::string message) {
  RunEnd end;
  end.what = what;
  end.code = std::move(code);
  end.message = std::move(message);
  return end;
}

RunEnd judge_error(const json& error, const Asked& asked) {
  const std::string type = text_in(error, "exception_type");
  const std::string said = text_in(error, "exception_message");
  const std::string told = fmt::format("node {} {}: {}: {}", text_in(error, "node_id"), text_in(error, "node_type"), type, said);
  const std::string where = at_server(asked);
  if (says(type, "OutOfMemory") || says(said, "CUDA out of memory")) {
    return failure(RunEnd::What::out_of_memory, "comfyui_out_of_memory", where + "has not memory enough for this graph");
  }
  // After one of these every run of that process fails.
  if (says(said, "CUDA error") || says(said, "device-side assert")) {
    return failure(RunEnd::What::broken, "comfyui_broken", where + "needs a restart: " + words_of(told, asked));
  }
  return failure(RunEnd::What::failed, "comfyui_run_failed", where + "failed in " + words_of(told, asked));
}

void append_encoded(std::string& to, const std::string& value) {
  static constexpr std::string_view kUnreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (const char c : value) {
    if (kUnreserved.find(c) != kUnreserved.npos) {
      to += c;
    } else {
      to += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

std::string ordinal(std::size_t number) {
  const std::size_t tens = number % 100;
  const std::size_t ones = number % 10;
  const bool teen = tens >= 11 && tens <= 13;
  return std::to_string(number) + (teen || ones > 3 || ones == 0 ? "th" : ones == 1 ? "st" : ones == 2 ? "nd" : "rd");
}

}  // namespace

std::optional<Sight> find_in_queue(const std::string& body, const std::string& id) {
  const json queue = parse_without_graphs(body);
  const json* running = list_in(queue, "queue_running");
  const json* pending = list_in(queue, "queue_pending");
  if (running == nullptr || pending == nullptr) return std::nullopt;
  Sight sight;
  if (item_of(*running, id) != nullptr) {
    sight.place = Place::running;
  } else if (const json* own = item_of(*pending, id)) {
    sight.place = Place::pending;
    const double number = (*own)[0].get<double>();
    sight.rank = running->size() + static_cast<std::size_t>(std::count_if(pending->begin(), pending->end(), [&](const json& item) {
                   return is_item(item) && item[0].get<double>() < number;
                 }));
  }
  return sight;
}

std::optional<json> find_in_history(const std::string& body, const std::string& id) {
  const json history = parse_without_prompt(body);
  if (!history.is_object()) return std::nullopt;
  const json* entry = object_in(history, id.c_str());
  return entry == nullptr ? json() : *entry;
}

RunEnd judge_run(const json& entry, const Preset& preset, const Asked& asked) {
  const json* outputs = object_in(entry, "outputs");
  const json* status = object_in(entry, "status");  // null in old versions
  const std::optional<OutputFile> file = outputs == nullptr ? std::nullopt : file_of(*outputs, preset.output);
  const std::string word = status == nullptr ? std::string(file ? "success" : "error") : text_in(*status, "status_str");
  RunEnd end;
  if (word == "success" && file) {
    end.what = RunEnd::What::done;
    end.file = *file;
  } else if (word == "success") {
    end = failure(RunEnd::What::failed, "comfyui_no_output", at_server(asked) + "has run the graph, but node " + preset.output + " left no file in its outputs");
  } else if (const json* error = status == nullptr ? nullptr : message_in(*status, "execution_error")) {
    end = judge_error(*error, asked);
  } else if (status != nullptr && message_in(*status, "execution_interrupted") != nullptr) {
    end = failure(RunEnd::What::interrupted, "comfyui_interrupted", at_server(asked) + "was told by somebody else to end this run");
  } else {
    end = failure(RunEnd::What::failed, "comfyui_run_failed", at_server(asked) + "ended the run without a word why");
  }
  if (status != nullptr) end.took = run_time(*status);
  return end;
}

std::string say_place(const Sight& sight, const std::string& label) {
  if (sight.place == Place::running) return "running on " + label;
  if (sight.rank == 0) return "next on " + label;
  return ordinal(sight.rank + 1) + " in the queue of " + label;
}

std::optional<std::string> uploaded_as(const std::string& body) {
  const json answer = json::parse(body, nullptr, false);
  const std::string name = text_in(answer, "name");
  if (name.empty()) return std::nullopt;
  const std::string folder = text_in(answer, "subfolder");
  return folder.empty() ? name : folder + "/" + name;
}

std::string view_query(const OutputFile& file) {
  std::string query = "filename=";
  append_encoded(query, file.name);
  query += "&subfolder=";
  append_encoded(query, file.subfolder);
  return query + "&type=output";
}

std::string text_in(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

const json* object_in(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at != object.end() && at->is_object() ? &*at : nullptr;
}

const json* list_in(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at != object.end() && at->is_array() ? &*at : nullptr;
}

std::string at_server(const Asked& asked) { return "comfyui " + asked.label + ": "; }

std::string words_of(const std::string& said, const Asked& asked) {
  // So much of the job's words is no accident. Quotes and line ends would come escaped.
  constexpr std::size_t kTelling = 24;
  const std::string start = asked.prompt.substr(0, std::min(kTelling, asked.prompt.find_first_of("\"'\\\n\r\t")));
  if (start.size() > 3 && said.find(start) != said.npos) {
    return "(what it says repeats the job's words)";
  }
  return provider_words(said);
}

}  // namespace rowcrew::generation::comfyui
