"""The languages of Google Drive's parameters: `fields` and `q`."""
import re


class Refusal(Exception):
    def __init__(self, status, reason, message="", **headers):
        super().__init__(reason)
        self.status, self.reason, self.message, self.headers = status, reason, message or reason, headers


def parse_fields(text):
    """ "a,b(c,d)" -> {"a": None, "b": {"c": None, "d": None}} """
    def level(at):
        found, name = {}, ""
        while at < len(text):
            c = text[at]
            if c == "(":
                found[name], at = level(at + 1)
                name = ""
            elif c in ",)":
                if name:
                    found.setdefault(name, None)
                name = ""
                if c == ")":
                    return found, at
            else:
                name += c
            at += 1
        if name:
            found.setdefault(name, None)
        return found, at
    return level(0)[0]


def only(value, fields):
    if fields is None or "*" in fields:
        return value
    if isinstance(value, list):
        return [only(item, fields) for item in value]
    return {key: only(value[key], sub) for key, sub in fields.items() if key in value}


class Query:
    """The q of files.list: terms joined by and, or, not and parentheses."""
    TOKEN = re.compile(r"\s*(\(|\)|'(?:[^'\\]|\\.)*'|[A-Za-z]+|<=|>=|!=|=|<|>)")

    def __init__(self, text):
        self.tokens, at = [], 0
        while text[at:].strip():
            match = self.TOKEN.match(text, at)
            if not match:
                raise Refusal(400, "invalid", f"Invalid Value: {text[at:]}")
            self.tokens.append(match.group(1))
            at = match.end()
        self.at = 0
        self.test = self.either()
        if self.at != len(self.tokens):
            raise Refusal(400, "invalid", "Invalid Value")

    def next(self):
        if self.at == len(self.tokens):
            raise Refusal(400, "invalid", "Invalid Value")
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def either(self):
        parts = [self.both()]
        while self.peek() == "or":
            self.next()
            parts.append(self.both())
        return lambda file: any(part(file) for part in parts)

    def both(self):
        parts = [self.one()]
        while self.peek() == "and":
            self.next()
            parts.append(self.one())
        return lambda file: all(part(file) for part in parts)

    def one(self):
        token = self.next()
        if token == "not":
            inner = self.one()
            return lambda file: not inner(file)
        if token == "(":
            inner = self.either()
            if self.next() != ")":
                raise Refusal(400, "invalid", "Invalid Value")
            return inner
        if token.startswith("'"):
            if self.next() != "in" or self.next() != "parents":
                raise Refusal(400, "invalid", "Invalid Value")
            return lambda file, folder=text_of(token): folder in file["parents"]
        return self.compare(token, self.next(), self.next())

    @staticmethod
    def compare(term, operator, value):
        if term not in ("name", "mimeType", "trashed", "modifiedTime", "createdTime"):
            raise Refusal(400, "invalid", f"Invalid Value: {term}")
        wanted = value == "true" if value in ("true", "false") else text_of(value)
        tests = {"=": lambda x: x == wanted, "!=": lambda x: x != wanted, "<": lambda x: x < wanted, "<=": lambda x: x <= wanted,
                 ">": lambda x: x > wanted, ">=": lambda x: x >= wanted, "contains": lambda x: x.startswith(wanted)}
        if operator not in tests:
            raise Refusal(400, "invalid", f"Invalid Value: {operator}")
        return lambda file: tests[operator](file[term])


def text_of(token):
    return re.sub(r"\\(.)", r"\1", token[1:-1])
