#include "broker/server/kinesis/sigv4.h"

#include <openssl/crypto.h>

#include <ctime>

namespace broker::server::kinesis {
namespace {

using protocol::kinesis::Caller;
using protocol::kinesis::Error;
namespace api = protocol::kinesis;

constexpr int64_t kSkewSeconds = 5 * 60;
constexpr int64_t kExpiresMax = 7 * 24 * 3600;
constexpr size_t kSigningKeysMax = 1000;
constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";

bool unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void append_encoded(std::string_view text, std::string& out, char also = '\0') {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (char c : text) {
    if (unreserved(c) || (also && c == also)) {
      out += c;
    } else {
      auto byte = static_cast<uint8_t>(c);
      out += '%', out += kDigits[byte >> 4], out += kDigits[byte & 15];
    }
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// Decoded names and values, in the order of the URL.
std::vector<std::pair<std::string, std::string>> query_of(std::string_view target) {
  std::vector<std::pair<std::string, std::string>> out;
  size_t mark = target.find('?');
  if (mark == target.npos) return out;
  for (std::string_view part : split(target.substr(mark + 1), '&')) {
    if (part.empty()) continue;
    size_t equals = part.find('=');
    std::string value = equals == part.npos ? "" : percent_decoded(part.substr(equals + 1));
    out.emplace_back(percent_decoded(part.substr(0, equals)), std::move(value));
  }
  return out;
}

// Without empty, "." and ".." segments, and encoded once more than on the wire, as for every
// service but S3.
std::string canonical_path(std::string_view target) {
  std::string_view path = target.substr(0, target.find('?'));
  std::vector<std::string_view> kept;
  bool folder = true;
  for (std::string_view segment : split(path, '/')) {
    folder = segment.empty() || segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!folder) kept.push_back(segment);
  }
  std::string out;
  for (std::string_view segment : kept) {
    out += '/';
    append_encoded(segment, out);
  }
  return folder || out.empty() ? out + "/" : out;
}

std::string canonical_query(std::string_view target) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : query_of(target)) {
    if (name == "X-Amz-Signature") continue;
    auto& [to_name, to_value] = encoded.emplace_back();
    append_encoded(name, to_name);
    append_encoded(value, to_value);
  }
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    out += (out.empty() ? "" : "&") + name + "=" + value;
  }
  return out;
}

// Trimmed, and runs of spaces made one.
void append_value(std::string_view value, std::string& out) {
  bool gap = false, begun = false;
  for (char c : value) {
    if (c == ' ' || c == '\t') {
      gap = begun;
      continue;
    }
    if (gap) out += ' ';
    out += c;
    gap = false, begun = true;
  }
}

int64_t unix_seconds(int year, int month, int day, int hour, int minute, int second) {
  std::tm time{};
  time.tm_year = year - 1900, time.tm_mon = month - 1, time.tm_mday = day;
  time.tm_hour = hour, time.tm_min = minute, time.tm_sec = second;
  return timegm(&time);
}

// "20150830T123600Z"
std::optional<int64_t> parse_basic_time(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  for (size_t i = 0; i < 15; ++i) {
    if (i != 8 && (text[i] < '0' || text[i] > '9')) return std::nullopt;
  }
  auto number = [&](size_t at, size_t size) {
    int value = 0;
    for (size_t i = at; i < at + size; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  return unix_seconds(number(0, 4), number(4, 2), number(6, 2), number(9, 2), number(11, 2),
                      number(13, 2));
}

std::string basic_time(int64_t seconds) {
  std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

// "Sun, 30 Aug 2015 12:36:00 GMT", of requests without X-Amz-Date.
std::optional<int64_t> parse_http_time(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (!end || *end) return std::nullopt;
  return timegm(&parts);
}

}  // namespace

std::string canonical_request(const HttpRequest& request,
                              const std::vector<std::string>& signed_headers) {
  std::string out = request.method + "\n" + canonical_path(request.target) + "\n" +
                    canonical_query(request.target) + "\n";
  std::string names;
  for (const std::string& name : signed_headers) {
    out += name + ":";
    bool first = true;
    for (const auto& [key, value] : request.headers) {
      if (key != name) continue;
      if (!first) out += ',';
      append_value(value, out);
      first = false;
    }
    out += '\n';
    names += (names.empty() ? "" : ";") + name;
  }
  const Digest body = request.body_sha256 ? *request.body_sha256 : sha256(request.body);
  return out + "\n" + names + "\n" + hex(body);
}

// What the request says of its signature.
struct SignatureClaim {
  bool presigned = false;
  std::string algorithm, credential, signature, signed_headers, date, expires;
  bool has_token = false;
  // Of the credential and the list of headers.
  std::string key, day, region, service, terminator;
  std::vector<std::string> headers;
};

namespace {

using Query = std::map<std::string, std::string, std::less<>>;

// "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"
Query authorization_fields(std::string_view header) {
  Query fields;
  size_t space = header.find(' ');
  if (space == header.npos) return fields;
  std::string rest(header.substr(space + 1));
  for (char& c : rest) c = c == ',' ? ' ' : c;
  for (std::string_view part : split(rest, ' ')) {
    size_t equals = part.find('=');
    if (equals == part.npos) continue;
    fields.emplace(part.substr(0, equals), part.substr(equals + 1));
  }
  return fields;
}

std::optional<Error> claim_of_header(const HttpRequest& request, SignatureClaim& claim) {
  const std::string_view header = request.header("authorization");
  Query fields = authorization_fields(header);
  std::string lacking;
  auto take = [&](const char* name, std::string& to) {
    to = fields[name];
    if (!to.empty()) return;
    lacking += "Authorization header requires '" + std::string(name) + "' parameter. ";
  };
  take("Credential", claim.credential);
  take("Signature", claim.signature);
  take("SignedHeaders", claim.signed_headers);
  claim.algorithm = header.substr(0, header.find(' '));
  claim.date = request.header("x-amz-date");
  if (claim.date.empty() && request.header("date").empty()) {
    lacking += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' "
               "header. ";
  }
  claim.has_token = request.has_header("x-amz-security-token");
  if (lacking.empty()) return std::nullopt;
  return api::incomplete_signature(lacking + "Authorization=" +
                                   std::string(header.substr(0, 4096)));
}

std::optional<Error> claim_of_query(Query& query, SignatureClaim& claim) {
  std::string lacking;
  auto take = [&](const char* name, std::string& to) {
    to = query[name];
    if (!to.empty()) return;
    lacking += "AWS query-string parameters must include '" + std::string(name) + "'. ";
  };
  take("X-Amz-Algorithm", claim.algorithm);
  take("X-Amz-Credential", claim.credential);
  take("X-Amz-Signature", claim.signature);
  take("X-Amz-SignedHeaders", claim.signed_headers);
  take("X-Amz-Date", claim.date);
  claim.presigned = true;
  claim.expires = query["X-Amz-Expires"];
  claim.has_token = query.contains("X-Amz-Security-Token");
  if (lacking.empty()) return std::nullopt;
  return api::incomplete_signature(lacking + "Re-examine the query-string parameters.");
}

// Takes credential and list of headers apart.
std::optional<Error> split_claim(SignatureClaim& claim) {
  auto scope = split(claim.credential, '/');
  const size_t n = scope.size();
  if (n < 5) {
    return api::incomplete_signature(
        "Credential must have exactly 5 slash-delimited elements, e.g. "
        "keyid/date/region/service/term, got '" + claim.credential.substr(0, 256) + "'");
  }
  // A key may hold slashes; the scope is the last four.
  claim.day = scope[n - 4], claim.region = scope[n - 3];
  claim.service = scope[n - 2], claim.terminator = scope[n - 1];
  claim.key = claim.credential.substr(
      0, static_cast<size_t>(scope[n - 4].data() - claim.credential.data()) - 1);
  for (std::string_view name : split(claim.signed_headers, ';')) {
    std::string& lower = claim.headers.emplace_back(name);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return std::nullopt;
}

std::optional<Error> check_scope(const SignatureClaim& claim, const std::string& service) {
  if (claim.algorithm != kAlgorithm) {
    return api::incomplete_signature("Unsupported AWS 'algorithm': '" +
                                     claim.algorithm.substr(0, 64) + "'. ");
  }
  if (claim.terminator != kTerminator) {
    return api::invalid_signature("Credential should be scoped with a valid terminator: "
                                  "'aws4_request', not '" + claim.terminator.substr(0, 64) +
                                  "'. ");
  }
  if (claim.service != service) {
    return api::invalid_signature("Credential should be scoped to correct service: '" + service +
                                  "'. ");
  }
  return std::nullopt;
}

std::optional<Error> check_headers(const HttpRequest& request,
                                   const std::vector<std::string>& headers) {
  auto covered = [&](std::string_view name) {
    return std::find(headers.begin(), headers.end(), name) != headers.end();
  };
  if (!covered("host") && !covered(":authority")) {
    return api::invalid_signature(
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
  }
  // Else whoever sees a signed DescribeStream could send it again as DeleteStream.
  if (request.has_header("x-amz-target") && !covered("x-amz-target")) {
    return api::invalid_signature(
        "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  }
  for (const std::string& name : headers) {
    if (!request.has_header(name)) {
      return api::invalid_signature("'" + name.substr(0, 64) +
                                    "' is a 'SignedHeader', but the request has no such header.");
    }
  }
  return std::nullopt;
}

std::optional<Error> check_time(int64_t signed_s, int64_t now_s, int64_t valid_s) {
  const std::string at = basic_time(signed_s), now = basic_time(now_s);
  const std::string minutes = std::to_string(kSkewSeconds / 60) + " min.)";
  if (signed_s > now_s + kSkewSeconds) {
    return api::invalid_signature("Signature not yet current: " + at + " is still later than " +
                                  basic_time(now_s + kSkewSeconds) + " (" + now + " + " + minutes);
  }
  if (signed_s + valid_s < now_s) {
    std::string window = valid_s == kSkewSeconds ? minutes : std::to_string(valid_s) + " s)";
    return api::invalid_signature("Signature expired: " + at + " is now earlier than " +
                                  basic_time(now_s - valid_s) + " (" + now + " - " + window);
  }
  return std::nullopt;
}

// How long a presigned URL may be used; nothing when X-Amz-Expires is no number of up to a week.
std::optional<int64_t> valid_seconds(const SignatureClaim& claim) {
  if (!claim.presigned || claim.expires.empty()) return kSkewSeconds;
  int64_t seconds = 0;
  for (char c : claim.expires) {
    if (c < '0' || c > '9') return std::nullopt;
    seconds = seconds * 10 + (c - '0');
    if (seconds > kExpiresMax) return std::nullopt;
  }
  return seconds;
}

std::optional<Error> check_date(const HttpRequest& request, const SignatureClaim& claim,
                                int64_t now_s, std::string& date) {
  auto time_s = claim.date.empty() ? parse_http_time(request.header("date"))
                                   : parse_basic_time(claim.date);
  if (!time_s) {
    return api::incomplete_signature("Date must be in ISO-8601 'basic format'. Got '" +
                                     claim.date.substr(0, 64) +
                                     "'. See http://en.wikipedia.org/wiki/ISO_8601");
  }
  date = basic_time(*time_s);
  if (date.substr(0, 8) != claim.day) {
    return api::invalid_signature("Date in Credential scope does not match YYYYMMDD from ISO-8601 "
                                  "version of date from HTTP: '" + claim.day.substr(0, 64) +
                                  "' != '" + date.substr(0, 8) + "', from '" + date + "'.");
  }
  auto valid_s = valid_seconds(claim);
  if (!valid_s) {
    return api::incomplete_signature("X-Amz-Expires must be a number of seconds from 0 to " +
                                     std::to_string(kExpiresMax) + ".");
  }
  return check_time(*time_s, now_s, *valid_s);
}

}  // namespace

void SignatureCheck::set_credentials(Credentials credentials) {
  credentials_ = std::move(credentials);
  signing_keys_.clear();
}

void SignatureCheck::set_user_credentials(Credentials credentials) {
  user_credentials_ = std::move(credentials);
  signing_keys_.clear();
}

const Credential* SignatureCheck::find_key(std::string_view key) const {
  for (const Credentials* keys : {&credentials_, &user_credentials_}) {
    if (auto it = keys->find(key); it != keys->end()) return &it->second;
  }
  return nullptr;
}

std::optional<Error> SignatureCheck::check(const HttpRequest& request, Caller& caller) {
  caller = {"", std::string(kDefaultAccount), "us-east-1", "", request.peer};
  const bool anyone = rules_.anyone && credentials_.empty() && user_credentials_.empty();
  Query query;
  for (auto& [name, value] : query_of(request.target)) query.emplace(name, value);
  const bool presigned = query.contains("X-Amz-Algorithm");
  const bool header = !request.header("authorization").empty();
  if (header && presigned) {
    return api::invalid_signature(
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.");
  }
  if (!header && !presigned) {
    if (anyone) return std::nullopt;
    return api::missing_authentication_token();
  }
  SignatureClaim claim;
  if (auto error = header ? claim_of_header(request, claim) : claim_of_query(query, claim)) {
    return error;
  }
  if (auto error = split_claim(claim)) return error;
  caller.access_key = claim.key;
  caller.region = claim.region;
  if (anyone) return std::nullopt;
  return verify(request, claim, caller);
}

std::optional<Error> SignatureCheck::check_key(const SignatureClaim& claim) const {
  constexpr char kInvalid[] = "The security token included in the request is invalid";
  if (credentials_.empty() && user_credentials_.empty()) {
    return api::unrecognized_client(
        std::string(kInvalid) +
        ": this broker knows no access keys. Make a StreamUser with spec.authentication.type "
        "AccessKey, name a Secret in spec.kinesis.credentialsSecret of the StreamCluster, or start "
        "the broker with --kinesis-credentials FILE.");
  }
  if (claim.has_token) {
    return api::unrecognized_client(
        std::string(kInvalid) +
        ": temporary credentials (session tokens) are not known here. Sign with an access key "
        "alone, without X-Amz-Security-Token.");
  }
  if (find_key(claim.key)) return std::nullopt;
  return api::unrecognized_client(std::string(kInvalid) + ".");
}

std::optional<Error> SignatureCheck::verify(const HttpRequest& request, const SignatureClaim& claim,
                                            Caller& caller) {
  std::string date;
  if (auto error = check_scope(claim, rules_.service)) return error;
  if (auto error = check_headers(request, claim.headers)) return error;
  if (auto error = check_date(request, claim, clock_.wall_ms() / 1000, date)) return error;
  if (auto error = check_key(claim)) return error;
  const Credential& credential = *find_key(claim.key);
  std::string to_sign = std::string(kAlgorithm) + "\n" + date + "\n" + claim.day + "/" +
                        claim.region + "/" + claim.service + "/" + claim.terminator + "\n" +
                        hex(sha256(canonical_request(request, claim.headers)));
  std::string expected = hex(hmac_sha256(view(signing_key(claim, credential.secret)), to_sign));
  if (expected.size() != claim.signature.size() ||
      CRYPTO_memcmp(expected.data(), claim.signature.data(), expected.size()) != 0) {
    return api::invalid_signature(
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details.");
  }
  caller.account = credential.account;
  caller.user = credential.user.empty() ? claim.key : credential.user;
  return std::nullopt;
}

const Digest& SignatureCheck::signing_key(const SignatureClaim& claim, const std::string& secret) {
  std::string name = claim.key + "\n" + claim.day + "\n" + claim.region;
  if (auto it = signing_keys_.find(name); it != signing_keys_.end()) return it->second;
  if (signing_keys_.size() >= kSigningKeysMax) signing_keys_.clear();
  Digest day = hmac_sha256("AWS4" + secret, claim.day);
  Digest region = hmac_sha256(view(day), claim.region);
  Digest service = hmac_sha256(view(region), claim.service);
  return signing_keys_.emplace(name, hmac_sha256(view(service), claim.terminator)).first->second;
}

}  // namespace broker::server::kinesis
