#include "mail_templates.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "template_scan.hpp"

using namespace rowcrew;
using namespace rowcrew::email;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = "/tmp/rowcrew-mail-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  void add(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
  }
  /// A whole template with the same body everywhere.
  void add_mail(const std::string& name, const std::string& subject,
                const std::string& text) const {
    add(name + ".subject", subject);
    add(name + ".txt", text);
    add(name + ".html", text);
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

std::string config_error(const std::string& directory, bool optional = false) {
  try {
    const MailTemplates templates(directory, optional);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

std::string scan_error(const std::string& text) {
  try {
    scan_template(text, "f");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

std::string render_error(const MailTemplates& templates, const std::string& name,
                         const json& data) {
  try {
    templates.render(name, data);
  } catch (const PermanentError& e) {
    return e.code() + ": " + e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("templates: values are escaped in HTML and nowhere else") {
  const Folder folder;
  folder.add_mail("m", "{{x}}\n", "{{x}} {{{x}}} {{&x}} {{n}} {{f}}");
  const MailTemplates templates(folder.path(), false);
  const Content content = templates.render("m", {{"x", "<a href=\"b\">&'"}, {"n", 42}, {"f", 1.5}});
  CHECK(content.subject == "<a href=\"b\">&'");
  CHECK(content.text == "<a href=\"b\">&' <a href=\"b\">&' <a href=\"b\">&' 42 1.5");
  CHECK(content.html.starts_with("&lt;a href=&quot;b&quot;&gt;&amp;"));
  CHECK(content.html.find("<a href=\"b\">&' <a") != std::string::npos);
}

TEST_CASE("templates: what a template needs and the data lack is named, not left out") {
  const Folder folder;
  folder.add_mail("m", "{{a}}", "{{b.c}} {{#s}}[{{s}}]{{/s}}{{^s}}none{{/s}} {{#l}}{{t}}{{/l}}");
  const MailTemplates templates(folder.path(), false);
  CHECK(render_error(templates, "m", json::object()) ==
        "template_data: The mail template m needs data.a, data.b.c, which is missing, empty or no "
        "text.");
  const json full = {{"a", "1"}, {"b", {{"c", "2"}}}};
  CHECK(templates.render("m", full).text == "2 none ");
  for (const json& hole : {json(), json(""), json::object(), json::array(), json(true)}) {
    json data = full;
    data["a"] = hole;
    CAPTURE(hole.dump());
    CHECK(render_error(templates, "m", data)
              .starts_with("template_data: The mail template m needs data.a,"));
  }
  json data = full;
  data["s"] = "some";
  data["l"] = json::array({{{"t", "x"}}, {{"t", "y"}}});
  CHECK(templates.render("m", data).text == "2 [some] xy");
  data["l"] = json::array({{{"u", "x"}}});
  CHECK(render_error(templates, "m", data).find("needs data.t,") != std::string::npos);
  data["l"] = json::array();
  data["s"] = "";
  CHECK(templates.render("m", data).text == "2 none ");
}

TEST_CASE("templates: data that is nested without end is refused") {
  const Folder folder;
  folder.add_mail("m", "s", "t");
  json deep = 1;
  for (int i = 0; i < 20; ++i) deep = json::array({deep});
  CHECK(render_error(MailTemplates(folder.path(), false), "m", {{"x", deep}})
            .starts_with("bad_payload: "));
}

TEST_CASE("templates: an unknown one is answered with those that there are") {
  const Folder folder;
  folder.add_mail("welcome", "s", "t");
  folder.add_mail("bye", "s", "t");
  folder.add("README", "not a template");
  const MailTemplates templates(folder.path(), false);
  CHECK(render_error(templates, "wel\ncome", {}) ==
        "unknown_template: There is no mail template \"wel\\ncome\"; known: bye, welcome.");
  CHECK_NOTHROW(templates.check_known("bye"));
  const Folder empty;
  CHECK(render_error(MailTemplates(empty.path(), false), "x", {}) ==
        "unknown_template: There is no mail template \"x\"; known: none.");
}

TEST_CASE("templates: a broken directory stops the start and names the file") {
  CHECK(config_error("/nonexistent/mail").starts_with("/nonexistent/mail: "));
  CHECK(config_error("/nonexistent/mail", true) == "");
  const Folder half;
  half.add("m.subject", "s");
  half.add("m.txt", "t");
  CHECK(config_error(half.path()) == half.path() + "/m.html: cannot be read");
  half.add("m.html", "line one\nline {{two");
  CHECK(config_error(half.path()) == half.path() + "/m.html:2: a tag is never closed");
  const Folder odd;
  odd.add("Odd-Name.txt", "t");
  CHECK(config_error(odd.path()).find("Odd-Name.txt: expected a name of a-z") != std::string::npos);
  const Folder large;
  large.add_mail("m", "s", std::string(300 << 10, 'x'));
  CHECK(config_error(large.path()).find("larger than") != std::string::npos);
}

TEST_CASE("templates: one that is not in UTF-8 stops the start, instead of reaching people broken") {
  const Folder folder;
  folder.add_mail("m", "Best\xC3\xA4tigung", "Gr\xC3\xBC\xC3\x9F" "e");
  CHECK(config_error(folder.path()) == "");
  folder.add("m.txt", "Gr\xFC\xDF" "e");
  CHECK(config_error(folder.path()) == folder.path() + "/m.txt: text that is no UTF-8, expected a file in UTF-8");
}

TEST_CASE("templates: every mistake of a template has its line") {
  struct Case {
    const char* text;
    const char* error;
  };
  for (const auto& c :
       {Case{"{{a}} {{! c }} {{{b}}} {{&c}} {{#d}}{{/d}}{{^ e }}{{/ e}}", ""},
        Case{"\n{{#a}}\n\n", "f:2: section a is never closed"},
        Case{"\n{{/a}}", "f:2: {{/a}} closes a section that is not open"},
        Case{"{{#a}}\n{{#b}}\n{{/a}}",
             "f:3: {{/a}} found, expected {{/b}} for the section of line 2"},
        Case{"{{! a\nb }}\n{{x", "f:3: a tag is never closed"},
        Case{"{{{x}}", "f:1: a tag is never closed"}, Case{"{{}}", "f:1: {{}} names nothing"},
        Case{"{{  }}", "f:1: {{}} names nothing"}, Case{"{{#}}", "f:1: a section without a name"},
        Case{"{{", "f:1: a tag is never closed"},
        Case{"{{> p}}", "f:1: partials ({{>name}}) are not supported"},
        Case{"{{=<% %>=}}", "f:1: other delimiters ({{=…=}}) are not supported"}}) {
    CAPTURE(c.text);
    CHECK(scan_error(c.text) == c.error);
  }
  CHECK(scan_template("{{#a}}{{x}}{{/a}}{{^b.c}}{{/b.c}}", "f").size() == 2);
}

TEST_CASE("templates: those that we ship can be filled with what they are made for") {
  const char* source = std::getenv("ROWCREW_SOURCE");
  const fs::path root =
      source != nullptr ? fs::path(source) : fs::path(__FILE__).parent_path() / "../..";
  const MailTemplates templates((root / "etc/mail").string(), false);
  const json least = {{"file", "a&b.jpg"},
                      {"output", "out/a.jpg"},
                      {"error", "It is no photo."},
                      {"limit", 50},
                      {"used", 50}};
  json most = least;
  most.update({{"name", "Anna"},
               {"preset", "studio"},
               {"code", "bad_image"},
               {"period_end", "1 January 2027"}});
  for (const char* name : {"photo_ready", "photo_failed", "limit_reached"}) {
    CAPTURE(name);
    const Content plain = templates.render(name, least);
    CHECK(plain.text.starts_with("Hello,\n"));
    CHECK(plain.subject.find('\n') == std::string::npos);
    const Content full = templates.render(name, most);
    CHECK(full.text.starts_with("Hello Anna,\n"));
    CHECK(full.html.find("a&amp;b.jpg") != std::string::npos);
    CHECK(full.text.find("\n\n\n") == std::string::npos);
    CHECK(plain.text.find("\n\n\n") == std::string::npos);
    for (const std::string& text : {plain.subject, plain.text, plain.html, full.text, full.html}) {
      CHECK(text.find("{{") == std::string::npos);
    }
  }
}
