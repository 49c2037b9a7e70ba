// The commands of this layer, each in <name>_command.cpp.
#pragma once

#include "cli/command.hpp"

namespace rowcrew::cli {

Command adopt_command();
Command cancel_command();
Command doctor_command();
Command enqueue_command();
Command erase_command();
Command jobs_command();
Command key_command();
Command listen_command();
Command migrate_command();
Command limit_command();
Command pause_command();
Command redrive_command();
Command resume_command();
Command schedules_command();
Command spend_command();
Command status_command();
Command tail_command();
Command takeover_command();
Command unadopt_command();
Command why_command();

}  // namespace rowcrew::cli
