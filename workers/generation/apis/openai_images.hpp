// OpenAI's Images API: presets, requests and answers. Pure.
#pragma once

#include "image_api.hpp"

namespace rowcrew::generation {

class OpenaiImages final : public ImageApi {
 public:
  OpenaiImages(ImageApiConfig settings, std::string organization, std::string project)
      : ImageApi(std::move(settings)), organization_(std::move(organization)), project_(std::move(project)) {}

  const std::string& name() const override;
  PictureOrder order(const Work& work) const override;
  bool inlines_source() const override { return false; }
  HttpRequest request(const PictureOrder& order, const std::string& source, const CallName& call) const override;
  ProviderVerdict judge(const HttpResponse& response, std::chrono::system_clock::time_point now) const override;
  bool refused_after_work(const HttpResponse& response) const override;
  std::string request_id(const HttpHeaders& headers) const override;
  PictureAnswer read(const nlohmann::json& answer) const override;

 private:
  std::string organization_;
  std::string project_;
};

}  // namespace rowcrew::generation
