// What a kind may use, built once in the program. References outlive every handler.
#pragma once

namespace rowcrew {

class ChildRunner;
class Clock;
class Db;
class HttpClient;
class Log;
class Mailer;
class Ports;
class Random;
class Settings;

struct Deps {
  Db& db;
  Ports& ports;
  HttpClient& http;
  Mailer& mail;
  ChildRunner& children;
  Clock& clock;
  Random& random;
  Log& log;
  Settings& kinds;  ///< section `kinds` of the configuration; a kind reads kinds.section("<name>")
};

}  // namespace rowcrew
