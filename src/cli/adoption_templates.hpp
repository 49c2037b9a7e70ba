// Maps to begin with, as the frameworks make their tables.
#pragma once

#include <string_view>

namespace rowcrew::cli {

/// "django", "prisma", "rails" or "sqlalchemy"; empty for anything else.
std::string_view adoption_template(std::string_view framework);

}  // namespace rowcrew::cli
