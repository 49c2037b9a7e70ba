#include "cli/builtin.hpp"

#include "cli/cli_program.hpp"

namespace rowcrew::cli {

std::vector<Command> commands() {
  return {migrate_command(), takeover_command(), enqueue_command(), jobs_command(),      why_command(),   cancel_command(), redrive_command(),
          erase_command(),   limit_command(),    pause_command(),   resume_command(),    status_command(), doctor_command(), schedules_command(),
          spend_command(),   tail_command(),     key_command(),     listen_command(),    adopt_command(), unadopt_command()};
}

}  // namespace rowcrew::cli
