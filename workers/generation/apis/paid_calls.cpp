#include "paid_calls.hpp"

#include <nlohmann/json.hpp>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

std::int64_t number(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
}

std::string text(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

PaidCalls::PaidCalls(const std::string& name, const std::string& checkpoint) : provider(name) {
  const json kept = json::parse(checkpoint, nullptr, false);
  if (!kept.is_object() || text(kept, "provider") != name) return;
  sent = static_cast<int>(number(kept, "sent"));
  lost = static_cast<int>(number(kept, "lost"));
  in_vain = static_cast<int>(number(kept, "in_vain"));
  crashes = static_cast<int>(number(kept, "crashes"));
  state = text(kept, "state");
  claim = number(kept, "claim");
  request_id = text(kept, "request_id");
  booked = kept.value("booked", json(false)) == json(true);
}

std::string PaidCalls::to_json() const {
  json kept = {{"provider", provider}, {"sent", sent},   {"lost", lost},   {"in_vain", in_vain},
               {"crashes", crashes},   {"state", state}, {"claim", claim}, {"booked", booked}};
  if (!request_id.empty()) kept["request_id"] = request_id;
  return kept.dump(-1, ' ', false, json::error_handler_t::replace);
}

PaidCalls::Past PaidCalls::past(const Job& job) const {
  if (state == "sent") return Past::sent;
  if (state == "answered") return Past::answered;
  // What is kept is written within a second: a call of the node's last moments is not in it.
  return job.crashes > crashes ? Past::unknown : Past::nothing;
}

void PaidCalls::send(const Job& job) {
  state = "sent";
  claim = job.claim_token;
  crashes = job.crashes;
  request_id.clear();
  booked = false;
  ++sent;
}

void PaidCalls::close(const Job& job) {
  state = "closed";
  crashes = job.crashes;
  request_id.clear();
  booked = false;
}

void PaidCalls::answer(const Job& job, std::string id) {
  state = "answered";
  claim = job.claim_token;
  crashes = job.crashes;
  request_id = std::move(id);
}

void PaidCalls::lose(const Job& job) {
  close(job);
  ++lost;
}

}  // namespace rowcrew::generation
