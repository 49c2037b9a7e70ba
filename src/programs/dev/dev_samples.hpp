// The sample photographs: what is expected of each, and how they come into the watched folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "programs/dev/dev_data.hpp"

namespace rowcrew::dev {

/// Of "<samples>/expected.json": {"photos": [{"file", "expect", "as"}]}; "as", the name in the
/// watched folder, may be left out. Throws ConfigError naming the file and what is wrong with it.
std::vector<ExpectedPhoto> read_expected(const std::filesystem::path& samples);

/// Copies what is not there yet, each under a dot name that it then loses: nobody sees half a file.
/// Returns how many. Throws ConfigError with the kernel's reason.
std::size_t copy_samples(const std::filesystem::path& samples,
                         const std::vector<ExpectedPhoto>& photos,
                         const std::filesystem::path& inbox);

}  // namespace rowcrew::dev
