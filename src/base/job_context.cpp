#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/job.hpp>

namespace rowcrew {

nlohmann::json JobContext::payload() const {
  auto parsed = nlohmann::json::parse(job_.payload, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    throw PermanentError("bad_payload", "payload: not JSON, expected a JSON object");
  }
  if (!parsed.is_object()) {
    throw PermanentError("bad_payload", std::string("payload: JSON ") + parsed.type_name() +
                                            ", expected a JSON object");
  }
  return parsed;
}

JobTransactions& JobContext::transactions() const {
  if (node_ == nullptr) throw BugError("no_node", "job: no node runs it, expected one that has transactions");
  return node_->transactions;
}

}  // namespace rowcrew
