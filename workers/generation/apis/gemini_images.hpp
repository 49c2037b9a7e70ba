// Google's generateContent, for pictures: presets, requests and answers. Pure.
#pragma once

#include "image_api.hpp"

namespace rowcrew::generation {

class GeminiImages final : public ImageApi {
 public:
  using ImageApi::ImageApi;

  const std::string& name() const override;
  PictureOrder order(const Work& work) const override;
  bool inlines_source() const override { return true; }
  HttpRequest request(const PictureOrder& order, const std::string& source, const CallName& call) const override;
  ProviderVerdict judge(const HttpResponse& response, std::chrono::system_clock::time_point now) const override;
  PictureAnswer read(const nlohmann::json& answer) const override;
};

}  // namespace rowcrew::generation
