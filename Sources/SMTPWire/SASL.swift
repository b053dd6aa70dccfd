import Octets

/// The server's side of an AUTH exchange (RFC 4954), which is at the most two lines long.
struct SASLExchange: Sendable {
  enum Step: Equatable {
    /// Send `334` with this challenge and read a line.
    case challenge(String)
    case credentials(login: String, password: String)
    /// Well-formed, and certainly wrong: nobody has such a name or password.
    case rejected
    case malformed
  }

  let mechanism: SASLMechanism
  private var login: String?

  init(_ mechanism: SASLMechanism) { self.mechanism = mechanism }

  /// The first step: without an initial response a challenge, which is empty for PLAIN (RFC 4954 §4).
  var opening: Step {
    switch mechanism {
    case .plain: .challenge("")
    case .login: .challenge("VXNlcm5hbWU6")
    }
  }

  /// Takes the client's line, in base64 as it came. White space is not base64 (RFC 4954 §4: 501).
  mutating func respond(_ line: some Collection<UInt8>) -> Step {
    guard !line.contains(where: { $0 <= 32 }), let response = Base64.decode(line) else { return .malformed }
    switch (mechanism, login) {
    case (.plain, _): return plain(response)
    case (.login, nil):
      guard let name = String(validating: response, as: UTF8.self) else { return .malformed }
      login = name
      return .challenge("UGFzc3dvcmQ6")
    case (.login, let name?):
      guard let password = String(validating: response, as: UTF8.self) else { return .malformed }
      return decide(name, password)
    }
  }

  /// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
  private func plain(_ message: [UInt8]) -> Step {
    let fields = message.split(separator: 0, omittingEmptySubsequences: false)
    guard fields.count == 3, let identity = String(validating: fields[0], as: UTF8.self),
      let name = String(validating: fields[1], as: UTF8.self), let password = String(validating: fields[2], as: UTF8.self)
    else { return .malformed }
    // Nobody may act as another (RFC 4616 §2).
    if !identity.isEmpty, identity != name { return .rejected }
    return decide(name, password)
  }

  private func decide(_ name: String, _ password: String) -> Step {
    if name.isEmpty || password.isEmpty || name.utf8.contains(0) || password.utf8.contains(0) { return .rejected }
    return .credentials(login: name, password: password)
  }
}
