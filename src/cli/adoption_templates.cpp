#include "cli/adoption_templates.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kDjango = R"(# A Django model: integer ids, words as its choices spell them, no columns for retries or errors.
schema: public
table: api_imagejob
key: id
job_type: my_images             # what runs every job, a kind or yours; they wait while no node knows it.
                                # Or columns.job_type, if a column tells it
queue: default
max_attempts: 3                 # executions in total
states:                         # the table's own words; retrying and cancelled may be left out:
  pending: pending              # such jobs then stand as pending, and as failed
  processing: processing
  completed: completed
  failed: failed
columns:
  status: status
  completed_at: completed_at
  tenant: user_id               # whose job it is, for limits and pauses by tenant; may be left out
payload: jsonb_build_object('provider', provider, 'prompt', prompt)   # SQL over the columns; left out: the whole row
requeue: [failed]               # a write of the waiting word runs these again; any other is held as a conflict
old_worker: none                # or the statement by which it claims, if it goes on beside us
)";

constexpr std::string_view kPrisma = R"(# A Prisma model: an enum, camelCase, text ids, @updatedAt, timestamps without zone that mean UTC.
schema: public
table: ProcessingJob
key: id
job_type: my_images             # what runs every job, a kind or yours; they wait while no node knows it
zone: UTC
max_attempts: 3
states:
  pending: PENDING
  processing: PROCESSING
  completed: COMPLETED
  failed: FAILED
columns:
  status: status
  error_message: errorMessage
touch: [updatedAt]              # set with every write of ours
payload: jsonb_build_object('type', type, 'prompt', "inputPrompt")
requeue: [failed]
old_worker: none
)";

constexpr std::string_view kRails = R"(# A Rails table with lock columns of its own.
schema: public
table: background_jobs
key: id
zone: UTC
max_attempts: 5
counts: failures                # the counter grows when an execution fails, not when it completes
states:                         # of an enum that is stored as a number: the numbers
  pending: queued
  processing: running
  completed: done
  failed: failed
columns:
  status: state
  job_type: handler
  priority: priority            # 0 is first, 9 last
  attempts: attempts
  error_message: last_error
  scheduled_at: run_at
  locked_at: locked_at
  locked_by: locked_by
touch: [updated_at]
requeue: [failed]
# Leave this out while you do not know it: then nothing is claimed (shadow).
old_worker: none
)";

constexpr std::string_view kSqlalchemy = R"(# A SQLAlchemy model with uuid ids and timestamps without zone.
schema: public
table: jobs
key: id
job_type: my_images             # what runs every job, a kind or yours; they wait while no node knows it
zone: UTC
states:
  pending: queued
  processing: processing
  completed: completed
  failed: failed
  cancelled: cancelled
columns:
  status: status
  started_at: started_at
  completed_at: completed_at
  duration_ms: processing_time_ms
  error_code: error_code
  error_message: error_message
  attempts: retry_count
  max_attempts: max_retries
  worker: worker_id
touch: [updated_at]
counts: failures                # the counter grows when an execution fails, not when it completes
payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)
requeue: [failed, cancelled]
old_worker: none
)";

}  // namespace

std::string_view adoption_template(std::string_view framework) {
  if (framework == "django") return kDjango;
  if (framework == "prisma") return kPrisma;
  if (framework == "rails") return kRails;
  if (framework == "sqlalchemy") return kSqlalchemy;
  return "";
}

}  // namespace rowcrew::cli
