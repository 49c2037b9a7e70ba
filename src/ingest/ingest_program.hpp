// rowcrew-ingest as a process: command line, sockets, signals, the service manager.
#pragma once

namespace rowcrew {

/// What main() returns: an ExitCode.
int run_ingest(int argc, char** argv);

}  // namespace rowcrew
